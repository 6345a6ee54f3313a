"""What a contestant gives for a workload, and how it says that it cannot."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple


class Task(NamedTuple):
    """A workload, built.

    measure: the mean of so many calls, in seconds (in bytes where memory is measured); check: run
    after the first call, raises where less was done than asked for, and gives what is worth noting.
    """

    measure: Callable[[int], float]
    check: Callable[[], dict[str, Any]] = dict


class NotPossible(Exception):
    """A contestant cannot do a workload; says why."""


def timed(run: Callable[[int], None]) -> Callable[[int], float]:
    """From what makes so many calls and waits for the last to what says how long one took."""

    def measure(calls: int) -> float:
        start = time.perf_counter()
        run(calls)
        return (time.perf_counter() - start) / calls

    return measure
