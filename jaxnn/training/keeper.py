"""Keeps a training in a folder: when, from where it goes on, and what of the data with it."""

import warnings
from collections.abc import Iterable, Iterator

from jaxnn.training.checkpoint_options import CheckpointOptions
from jaxnn.training.course import Fit
from jaxnn.training.json_values import to_json
from jaxnn.training.position import Position
from jaxnn.training.run_folder import RunFolder
from jaxnn.training.state import TrainState
from jaxnn.types import PyTree


class Keeper:
    """The checkpoints of one training."""

    def __init__(
        self,
        options: CheckpointOptions,
        best_of: str | None,
        batches: Iterable[PyTree],
        iterator: Iterator[PyTree],
    ) -> None:
        self._every, self._best_of = options.every, best_of
        self._position = Position(batches, iterator, options.replay)
        to_json("fit: the state of batches", self._position.get())  # now, and not in the night
        self._folder = RunFolder(options)
        self._kept = (0, 0)

    def go_on(self, train_state: TrainState) -> tuple[Fit, str] | None:
        """The training as it was kept, and the path of that, with the batches at their place."""
        found = self._folder.newest(train_state)
        if found is None:
            return None
        if warning := found.warning():
            warnings.warn(f"fit: {warning}", RuntimeWarning, stacklevel=5)
        if found.best_of != self._best_of:
            raise ValueError(
                f"fit: the checkpoint {found.path} is of a training with best={found.best_of!r}, "
                f"got best={self._best_of!r}"
            )
        self._position.go_to(found.place, len(found.fit.history.loss))
        self._folder.put_aside(found.damaged)
        self._kept = _stage(found.fit)
        return found.fit, found.path

    def is_due(self, taken: int) -> bool:
        """Whether there is to be a checkpoint after so many steps."""
        return taken % self._every == 0

    def save(self, fit: Fit) -> None:
        """A checkpoint, unless there is one of just this."""
        if self._kept != _stage(fit):
            self._folder.save(fit, self._best_of, self._position.get())
            self._kept = _stage(fit)

    def close(self) -> None:
        """Wait for the last one, and leave the folder to others; OSError where it failed."""
        self._folder.close()


def _stage(fit: Fit) -> tuple[int, int]:
    return len(fit.history.loss), len(fit.history.evaluations)
