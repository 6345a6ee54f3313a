"""The examples of sequences, as a user runs them: few steps, what they print, what they write."""

import importlib.util
import math
import os
import pathlib
import re
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
DATA = pathlib.Path(os.environ.get("JAXNN_DATA") or EXAMPLES.parents[1] / "shared" / "data")
NEED_DATA = {"chorales": "JSB_Chorales.mat", "label_each_step": "occupancy"}


def run(name: str, arguments: str, data: pathlib.Path = DATA) -> subprocess.CompletedProcess[str]:
    """A script with its arguments, in a process of its own."""
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments.split()]
    environment = os.environ | {"JAXNN_DATA": str(data)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def output(name: str, out: pathlib.Path, arguments: str, data: pathlib.Path = DATA) -> str:
    """What a script prints that ends well and draws its picture."""
    done = run(name, f"--out {out} {arguments}", data)
    assert done.returncode == 0, done.stderr
    picture = out / f"{name}.png"
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 10_000
    return done.stdout


def numbers(pattern: str, text: str) -> list[float]:
    """The number in each place where the pattern stands; there is at least one."""
    found = [float(number) for number in re.findall(pattern, text)]
    assert found, text
    return found


def needs(name: str, package: str | None = None) -> None:
    """Skip where the data or the package are not there."""
    if name in NEED_DATA and not (DATA / NEED_DATA[name]).exists():
        pytest.skip(f"no {NEED_DATA[name]} in {DATA}: set JAXNN_DATA")
    if package is not None and importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}")


def test_next_character(tmp_path: pathlib.Path) -> None:
    """It falls back to the sonnets, learns more than how many characters there are, and writes."""
    sizes = "--hidden 32 --layers 1 --streams 8 --steps 30 --characters 40 --cores 1"
    text = output("next_character", tmp_path / "out", sizes, data=tmp_path)
    assert text.startswith("sonnets.txt")
    (vocabulary,) = numbers(r"(\d+) different ones", text)
    (nats,) = numbers(r"test (\S+) nats a character", text)
    assert 0 < nats < math.log(vocabulary) - 0.5
    assert (tmp_path / "out" / "next_character.safetensors").is_file()
    written = text[text.index("nats a character\n") + len("nats a character\n") :]
    assert len(written.rsplit("\npicture", 1)[0]) == 40


def test_chorales(tmp_path: pathlib.Path) -> None:
    """A few steps, and the notes are no longer even odds: 88 log 2 = 61 nats."""
    needs("chorales", "scipy")
    text = output("chorales", tmp_path, "--cells gru --steps 20 --cores 1")
    (nats,) = numbers(r"test (\S+) nats a step", text)
    assert 5 < nats < 40


def test_label_each_step(tmp_path: pathlib.Path) -> None:
    """The script raises where streaming gives other labels; both tests beat always "empty"."""
    needs("label_each_step")
    text = output("label_each_step", tmp_path, "--steps 40")
    first, second = numbers(r": (\S+) % of \d+ minutes right", text)
    assert first > 64 and second > 79


def test_forecast(tmp_path: pathlib.Path) -> None:
    """Two members, few steps: for the CO2 that is enough to beat seasonal-naive."""
    needs("forecast", "statsmodels")
    text = output("forecast", tmp_path, "--members 2 --steps 60")
    ours, naive = numbers(r"error (\S+),", text), numbers(r"seasonal-naive (\S+),", text)
    assert len(ours) == len(naive) == 2 and 0 < ours[0] < naive[0]


@pytest.mark.parametrize("name", ["next_character", "chorales", "label_each_step"])
def test_without_data(name: str, tmp_path: pathlib.Path) -> None:
    """One line, and exit code 2."""
    done = run(name, f"--data {tmp_path / 'nowhere'} --out {tmp_path}")
    assert done.returncode == 2 and not done.stdout
    (line,) = done.stderr.splitlines()
    assert str(tmp_path / "nowhere") in line and "--data takes" in line


@pytest.mark.parametrize("name", ["next_character", "chorales", "label_each_step", "forecast"])
def test_command_line(name: str) -> None:
    """--help says what it is and where the data are from; what makes no sense is refused."""
    done = run(name, "--help")
    assert done.returncode == 0
    assert all(option in done.stdout for option in ("--steps", "--seed", "--out"))
    for wrong in ("--steps 0", "--seed -1", "--steps few"):
        done = run(name, wrong)
        assert done.returncode == 2 and f"argument {wrong.split()[0]}: it must be" in done.stderr
