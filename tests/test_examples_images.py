"""The examples of images and of MNIST-1D as a user runs them, and the files that they read."""

import gzip
import importlib
import importlib.util
import pathlib
import re
import struct
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
WITHOUT = """
import runpy, sys
sys.modules.update({hidden})
sys.argv, sys.path[0] = sys.argv[1:], {folder!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(name: str, arguments: str, without: str = "") -> subprocess.CompletedProcess[str]:
    """A script in a process of its own, in which some packages are as if not installed."""
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments.split()]
    if without:
        hidden = dict.fromkeys(without.split())
        command[1:1] = ["-c", WITHOUT.format(hidden=hidden, folder=str(EXAMPLES))]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def output(name: str, arguments: str, picture: pathlib.Path) -> str:
    """What a script prints that ends well and draws its picture."""
    done = run(name, f"{arguments} --out {picture.parent}")
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 10_000
    return done.stdout


def needs(package: str) -> None:
    """Skip without an optional package, and digits where there are clothes."""
    if package == "sklearn" and pathlib.Path("/usr/share/datasets/fashion-mnist").is_dir():
        pytest.skip("Fashion-MNIST is installed, so images.py does not learn the digits")
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}")


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the examples."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module


def write_idx(path: pathlib.Path, array: np.ndarray, code: int) -> None:
    """As the format's description has it; gzipped where the name says so."""
    content = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    content += array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("code", "dtype"),
    [(8, np.uint8), (9, np.int8), (11, np.int16), (12, np.int32), (13, np.float32),
     (14, np.float64)],
)  # fmt: skip
def test_idx(example: Any, tmp_path: pathlib.Path, code: int, dtype: Any, suffix: str) -> None:
    """Every type of number, in two and in no dimensions, comes back as it was."""
    idx, path = example("idx"), tmp_path / f"some{suffix}"
    for array in (np.array([[0, 1, 100], [-1, 7, 127]]).astype(dtype), np.array(5, dtype)):
        write_idx(path, array, code)
        again = idx.read(path)
        assert again.dtype == dtype and again.flags.writeable
        np.testing.assert_array_equal(again, array)


def test_damaged_idx(example: Any, tmp_path: pathlib.Path) -> None:
    """What is cut off, too long or something else is refused, by name."""
    idx, path = example("idx"), tmp_path / "some"
    write_idx(path, np.arange(6, dtype=np.uint8).reshape(2, 3), 8)
    good = path.read_bytes()
    for content, message in (
        (good[:-1], r"should have 6 bytes for the shape \(2, 3\), it has 5"),
        (good + b"\0", "it has 7"),
        (good[:7], "ends within its sizes"),
        (good[:3], "is no idx file"),
        (b"\x89PNG" + good, "is no idx file: it begins with 89 50 4e 47"),
        (bytes([0, 0, 10, 1, 0, 0, 0, 0]), "is no idx file"),
        (gzip.compress(good)[:-9], "its gzip is damaged"),
        (gzip.compress(good)[:12] + bytes(20), "its gzip is damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message) as error:
            idx.read(path)
        assert str(path) in str(error.value)


def write_clothes(folder: pathlib.Path) -> None:
    """Sixteen places on 28 x 28, of which one is bright: that of the label."""
    for part, count in (("train", 128), ("t10k", 40)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = np.zeros((count, 4, 7, 4, 7), np.uint8)
        images[np.arange(count), labels // 4, :, labels % 4] = 255
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images.reshape(count, 28, 28), 8)
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels, 8)


def test_pairs(example: Any, tmp_path: pathlib.Path) -> None:
    """Images with their labels, gzipped or not; what does not belong together is refused."""
    idx = example("idx")
    write_clothes(tmp_path)
    images, labels = idx.read_pair(tmp_path, "t10k")
    assert images.shape == (40, 28, 28) and images.max() == 255
    assert labels.tolist() == [k % 10 for k in range(40)]
    (tmp_path / "train-images-idx3-ubyte.gz").rename(tmp_path / "train-images.idx3-ubyte")
    assert len(idx.read_pair(tmp_path, "train")[0]) == 128
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", labels[:-1], 8)
    with pytest.raises(ValueError, match=r"\(40, 28, 28\) and labels \(39,\)"):
        idx.read_pair(tmp_path, "t10k")
    with pytest.raises(FileNotFoundError, match="no train-labels-idx1-ubyte or"):
        (tmp_path / "train-labels-idx1-ubyte").unlink()
        idx.read_pair(tmp_path, "train")


def test_moved(example: Any) -> None:
    """By at most one pixel in each direction, and in each; nothing comes round the edge."""
    images = jnp.zeros((200, 5, 4, 1)).at[:, 2, 1].set(1.0).at[:, 0, 3].set(2.0)
    moved = np.asarray(example("images").moved(images, jax.random.key(0)))
    assert moved.shape == images.shape
    places = np.argwhere(moved[..., 0] == 1)
    assert places[:, 0].tolist() == list(range(200))
    assert {tuple(place) for place in places[:, 1:]} == {
        (row, column) for row in (1, 2, 3) for column in (0, 1, 2)
    }
    corners = {tuple(place) for place in np.argwhere(moved[..., 0] == 2)[:, 1:]}
    assert corners == {(0, 2), (0, 3), (1, 2), (1, 3)}


def test_digits(tmp_path: pathlib.Path) -> None:
    """A few steps, and most of the digits of the test are told apart."""
    needs("sklearn")
    picture = tmp_path / "images_digits.png"
    text = output("images", "--steps 150", picture)
    found = re.search(r"digits, seed 0: test accuracy (\S+) % of 360 images", text)
    assert found and 50 < float(found[1]) <= 100, text


def test_clothes(tmp_path: pathlib.Path) -> None:
    """From idx files: here the place of a bright square is the label, which is soon learned."""
    write_clothes(tmp_path)
    picture = tmp_path / "images_fashion_mnist.png"
    text = output("images", f"--steps 40 --data {tmp_path}", picture)
    found = re.search(r"fashion_mnist, seed 0: test accuracy (\S+) % of 40 images", text)
    assert found and 50 < float(found[1]) <= 100, text


def test_mnist_1d(tmp_path: pathlib.Path) -> None:
    """Every model in both orders; after a few steps better than one in ten."""
    needs("mnist1d")
    text = output("mnist_1d", "--steps 60", tmp_path / "mnist_1d.png")
    found = re.findall(r"^(\w+): test (\S+) / (\S+) %", text, re.MULTILINE)
    assert [name for name, _, _ in found] == ["logistic", "mlp", "cnn", "gru"]
    assert all(14 < float(value) <= 100 for _, *pair in found for value in pair), text


def test_signals(example: Any) -> None:
    """The frozen data set; shuffled, it has the same values, in one order for all of it."""
    needs("mnist1d")
    load = example("mnist_1d_data").load
    (train, test), (mixed, mixed_test) = load(False, False), load(True, False)
    assert train[0].shape == (4000, 40, 1) and test[0].shape == (1000, 40, 1)
    order = [
        int(np.argmin(np.abs(mixed[0][:50] - train[0][:50, [step]]).sum((0, 2))))
        for step in range(40)
    ]
    assert sorted(order) == list(range(40)) != order
    np.testing.assert_allclose(mixed_test[0][:, order], test[0], atol=1e-5)
    np.testing.assert_array_equal(mixed_test[1], test[1])
    (fit, _), (valid, labels) = load(False, True)
    np.testing.assert_array_equal(np.concatenate([fit, valid]), train[0])
    assert len(valid) == len(labels) == 800


@pytest.mark.parametrize("name", ["images", "mnist_1d"])
def test_command_line(name: str) -> None:
    """--help tells; what makes no sense is refused; a missing package is named in one line."""
    done = run(name, "--help")
    assert done.returncode == 0
    assert all(option in done.stdout for option in ("--steps", "--seed", "--out", "--validate"))
    done = run(name, "--steps 0")
    assert done.returncode == 2 and "argument --steps: it must be a whole number" in done.stderr
    packages = {"images": "sklearn", "mnist_1d": "mnist1d"}
    needs(packages[name])
    for package in ("matplotlib", packages[name]):
        done = run(name, "--steps 1", without=package)
        assert done.returncode == 2 and not done.stdout
        assert len(done.stderr.splitlines()) == 1 and "this example needs" in done.stderr


def test_without_files(tmp_path: pathlib.Path) -> None:
    """One line, and exit code 2."""
    done = run("images", f"--data {tmp_path}")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and line.startswith("no train-images-idx3-ubyte or")
    assert "--data takes" in line
