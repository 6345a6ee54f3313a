"""The arithmetic: medians over rounds, ratios round by round, means over shapes."""

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple


class Result(NamedTuple):
    """What one contestant answered on one workload.

    rounds: a number for each round; missing: why there is none, otherwise empty; facts: what else
    it told, such as its number of parameters.
    """

    rounds: tuple[float, ...] = ()
    missing: str = ""
    facts: dict[str, Any] = {}  # noqa: RUF012

    @property
    def median(self) -> float | None:
        return statistics.median(self.rounds) if self.rounds else None


Results = dict[str, Result]
"""By contestant."""


def best(results: Results, names: Sequence[str]) -> str | None:
    """Who of these has the smallest median."""
    medians = {name: m for name in names if (m := median_of(results, name)) is not None}
    return min(medians, key=lambda name: medians[name]) if medians else None


def median_of(results: Results, name: str | None) -> float | None:
    return results[name].median if name in results else None


def ratio_of_medians(results: Results, ours: Sequence[str], theirs: Sequence[str]) -> float | None:
    """The best of ours over the best of theirs."""
    a, b = (median_of(results, best(results, names)) for names in (ours, theirs))
    return None if a is None or b is None else a / b


def ratio_by_round(results: Results, ours: str, theirs: Sequence[str]) -> float | None:
    """The median of the rounds' ratios of one of ours to the best of theirs.

    Both were measured within a second or two of each other in each round, so that a machine which
    is slower for a while slows both.
    """
    other = best(results, theirs)
    if other is None or median_of(results, ours) is None:
        return None
    pairs = zip(results[ours].rounds, results[other].rounds, strict=True)
    return statistics.median(a / b for a, b in pairs)


def geometric_mean(ratios: Sequence[float | None]) -> float | None:
    """Over the shapes that have a ratio."""
    known = [ratio for ratio in ratios if ratio is not None]
    return statistics.geometric_mean(known) if known else None
