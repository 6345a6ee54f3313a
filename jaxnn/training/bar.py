"""The progress bar of `fit`: tqdm, where it is asked for or there."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, TypeGuard

from jaxnn.internal.checks import is_array
from jaxnn.types import Array


class Bar:
    """tqdm with the loss and the last evaluation, or nothing."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._texts = ["the first step compiles", ""]
        self._first, self._start = True, 0
        self._show()

    def resumed(self, step: int, path: str) -> None:
        """Say that a training goes on, and from where."""
        self._start = step
        text = f"fit: goes on after step {step}, from {path}"
        if self._bar is None:
            print(text, file=sys.stderr)
        else:
            self._bar.n = self._bar.initial = step
            self._bar.write(text, file=sys.stderr)

    def step(self, loss: float) -> None:
        """One step more."""
        self._texts[0] = f"loss {loss:.4f}"
        if self._bar is None:
            return
        if self._first:
            # The clock starts here: the first step compiles, and is no measure of those to come.
            self._first = False
            self._bar.n = self._bar.initial = self._bar.last_print_n = self._start + 1
            self._bar.unpause()
            self._show()
        else:
            self._show(refresh=False)
            self._bar.update()

    def evaluation(self, value: object) -> None:
        """What an evaluation gave, where it is a number."""
        if is_number(value):
            self._texts[1] = f", evaluation {float(value):.4f}"
            self._show()

    def _show(self, refresh: bool = True) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str("".join(self._texts), refresh=refresh)


def is_number(value: Any) -> TypeGuard[float | Array]:
    """Whether a bar can show it."""
    return isinstance(value, (int, float)) or (is_array(value) and value.shape == ())


@contextlib.contextmanager
def bar_of(progress: bool | None, steps: int | None) -> Iterator[Bar]:
    """A bar where `progress` is true, or None and tqdm is installed."""
    tqdm = None if progress is False else _tqdm(required=progress is True)
    if tqdm is None:
        yield Bar(None)
        return
    # The mean speed, evaluations included, tells best when it will end.
    with tqdm(total=steps, unit="step", dynamic_ncols=True, smoothing=0) as bar:
        yield Bar(bar)


def _tqdm(required: bool) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        if not required:
            return None
        raise ImportError(
            "fit: progress=True needs tqdm: install the extra 'examples', or leave it out"
        ) from error
    return tqdm
