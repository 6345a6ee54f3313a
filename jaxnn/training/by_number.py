"""Batches by their number: an iterator whose place can be kept, and taken up again."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from jaxnn.internal.options import check_callable, check_size, check_takes

T = TypeVar("T")


class ByNumber(Iterator[T], Generic[T]):
    """What `by_number`, `batches` and `chunks` give: an iterator that says where it is."""

    def __init__(
        self, name: str, make: Callable[[int], T], count: int | None, made_of: Mapping[str, Any]
    ) -> None:
        self._name, self._make, self._count, self._made_of = name, make, count, dict(made_of)
        self._next = 0

    def __iter__(self) -> "ByNumber[T]":
        return self

    def __next__(self) -> T:
        if self._next == self._count:
            raise StopIteration
        item = self._make(self._next)
        self._next += 1
        return item

    def get_state(self) -> dict[str, Any]:
        """Where it is, and of what it is made, in numbers, texts and lists of them."""
        return {"next": self._next, "made_of": dict(self._made_of)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go to where another one was, with data and options alike.

        Raises:
          ValueError: for a place beyond the end, or that of an iterator of other data or options.
          TypeError: for what is no state.
        """
        if not isinstance(state, Mapping) or set(state) != {"next", "made_of"}:
            raise TypeError(f"{self._name}: state must be what get_state gives, got {state!r}")
        made_of, place = dict(state["made_of"]), state["next"]
        if made_of != self._made_of:
            raise ValueError(
                f"{self._name}: the state is that of other data or options: expected "
                f"{self._made_of}, got {made_of}"
            )
        if isinstance(place, bool) or not isinstance(place, int) or place < 0:
            raise TypeError(f"{self._name}: a place must be an integer from 0, got {place!r}")
        if self._count is not None and place > self._count:
            raise ValueError(f"{self._name}: there are {self._count}, got the place {place}")
        self._next = place


def by_number(batch_of: Callable[[int], T], count: int | None = None) -> ByNumber[T]:
    """Batches that are a function of their number, so that a training can go on at any of them.

    It has `get_state()` and `set_state(state)`, by which `fit` keeps its place in a checkpoint. A
    generator has no place; a function of the number is often written as easily.

    Args:
      batch_of: `batch_of(n)` gives batch n, from 0, and the same one each time. What is random in
        it is drawn from n, as by `numpy.random.default_rng((seed, n))`.
      count: how many there are; None means without end.

    Returns:
      An iterator.

    Raises:
      ValueError: for a count below 1, and by `set_state` for the place of another.
      TypeError: for a `batch_of` that is no function of one argument, or a count that is no
        integer.

    >>> import numpy as np
    >>> batches = by_number(lambda n: np.random.default_rng((0, n)).integers(9, size=2), count=3)
    >>> first, place = next(batches), batches.get_state()
    >>> rest = [batch.tolist() for batch in batches]
    >>> batches.set_state(place)
    >>> [batch.tolist() for batch in batches] == rest, len(rest)
    (True, 2)
    """
    check_callable("by_number", "batch_of", batch_of, "a function of the number of a batch")
    check_takes("by_number", "batch_of", batch_of, ("n",))
    count = None if count is None else check_size("by_number", "count", count)
    return ByNumber("by_number", batch_of, count, {})
