"""The command line that the research examples share."""

import argparse
import pathlib
from collections.abc import Callable

DATA = pathlib.Path(__file__).parents[1].parent / "shared" / "data"
"""Where the data stand that are not committed: beside the checkout."""


def at_least(least: int) -> Callable[[str], int]:
    """A type of argparse: an integer that is not below `least`.

    >>> at_least(1)("12")
    12
    """

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"must be an integer from {least} on, got {text!r}")
        return value

    return number


def parser(doc: str | None, steps: int, seeds: int) -> argparse.ArgumentParser:
    """A parser with `--steps`, `--seeds`, `--seed` and `--out`; `doc` is the script's docstring."""
    made = argparse.ArgumentParser(
        description=(doc or "").split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("--steps", type=at_least(1), default=steps, help="updates of each training")
    made.add_argument("--seeds", type=at_least(1), default=seeds, help="how many")
    made.add_argument("--seed", type=at_least(0), default=0, help="the first of them")
    made.add_argument("--out", type=pathlib.Path, default=pathlib.Path("results"), help="folder")
    return made
