"""What the command lines of the examples share."""

import argparse
import importlib.util
import os
import pathlib
import sys
from typing import NoReturn


def parser(doc: str | None) -> argparse.ArgumentParser:
    """One that shows the first line of a docstring and the defaults; it knows --seed and --out."""
    made = argparse.ArgumentParser(
        description=(doc or "").split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("--seed", type=seed, default=0, help="seed of all random numbers")
    made.add_argument(
        "--out", type=pathlib.Path, default="results", help="folder for pictures and results"
    )
    return made


def training_parser(doc: str | None, steps: int, seeds: int) -> argparse.ArgumentParser:
    """A parser for trainings of several seeds: --steps and --seeds too, with these defaults."""
    made = parser(doc)
    made.add_argument(
        "--steps", type=positive, default=steps, help="updates of the parameters in each training"
    )
    made.add_argument(
        "--seeds", type=positive, default=seeds, help="how many seeds, from --seed on"
    )
    return made


def data_folder() -> pathlib.Path:
    """The environment variable JAXNN_DATA, or `shared/data` beside the repository."""
    beside = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"
    return pathlib.Path(os.environ.get("JAXNN_DATA") or beside)


def positive(text: str) -> int:
    """A whole number above zero, as the `type` of an argument."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"it must be a whole number above zero, got {text}")
    return int(text)


def seed(text: str) -> int:
    """A whole number from zero on, as the `type` of an argument."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"it must be a whole number from zero on, got {text}")
    return int(text)


def above_zero(text: str) -> float:
    """A finite number above zero, as the `type` of an argument."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"it must be a number above zero, got {text}")
    return value


def stop(message: str) -> NoReturn:
    """End the script with one line and exit code 2."""
    print(message, file=sys.stderr)
    raise SystemExit(2)


def need(*packages: str) -> None:
    """End the script where packages, by the names that pip knows, are not installed."""
    names = {"scikit-learn": "sklearn"}
    missing = [p for p in packages if importlib.util.find_spec(names.get(p, p)) is None]
    if missing:
        stop(f"this example needs {', '.join(missing)}: pip install {' '.join(missing)}")
