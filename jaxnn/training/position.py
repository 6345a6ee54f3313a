"""The place in the data: the batches' own account of it, or how many were taken."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jaxnn.types import PyTree


class Position:
    """Where an iterator of batches is, and how to get there with a new one."""

    def __init__(self, batches: Iterable[PyTree], iterator: Iterator[PyTree], replay: bool) -> None:
        self._iterator: Any = iterator
        self._has_state = all(
            callable(getattr(iterator, name, None)) for name in ("get_state", "set_state")
        )
        ordered = all(hasattr(batches, name) for name in ("__len__", "__getitem__"))
        if not self._has_state and not replay and (not ordered or isinstance(batches, Mapping)):
            raise TypeError(
                f"fit: with checkpoint, batches must say where they are, by get_state and "
                f"set_state, as those of jaxnn.data.batches, jaxnn.data.by_number and grain do; "
                f"got {type(iterator).__name__}. Where they are the same each time, "
                f"CheckpointOptions(..., replay=True) takes them anew from the first"
            )

    def get(self) -> list[Any] | None:
        """The batches' own account; None where the number of those taken is all there is."""
        return [self._iterator.get_state()] if self._has_state else None

    def go_to(self, place: list[Any] | None, taken: int) -> None:
        """Be where another one was when it gave this place, after so many batches."""
        if self._has_state != (place is not None):
            raise ValueError(
                f"fit: the checkpoint is of batches with{'' if place else 'out'} get_state, those "
                f"given are with{'' if self._has_state else 'out'}"
            )
        if place is not None:
            self._iterator.set_state(*place)
            return
        end = object()
        for number in range(taken):
            if next(self._iterator, end) is end:
                raise ValueError(
                    f"fit: the checkpoint is of a run that had taken {taken} batches, and there "
                    f"are {number} only"
                )
