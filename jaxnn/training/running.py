"""A training on its way: its steps, what is told of them, evaluations and checkpoints."""

import collections
import contextlib
import math
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal

import jax

from jaxnn.training.bar import Bar, is_number
from jaxnn.training.checkpoint_options import CheckpointOptions
from jaxnn.training.course import Best, Fit, History
from jaxnn.training.interrupt import Interrupts
from jaxnn.training.keeper import Keeper
from jaxnn.training.state import Metrics, TrainState, copy_of
from jaxnn.training.step import Step
from jaxnn.types import Array, PyTree

BEHIND = 4
"""How many steps the metrics are read late at the most."""


class Training:
    """A training on its way: the last train_state, and metrics that were not read yet."""

    def __init__(
        self,
        step: Callable[[TrainState, PyTree], tuple[TrainState, Metrics]],
        train_state: TrainState,
        evaluate: Callable[[TrainState], object] | None,
        best: Literal["min", "max"] | None,
        on_step: Callable[[int, Metrics], object] | None,
        checkpoint: CheckpointOptions | None,
        bar: Bar,
        pressed: Interrupts,
    ) -> None:
        self.train_state, self.stopped, self.resumed = train_state, "done", 0
        self.history = History([], [], [])
        self._step, self._evaluate, self._bar, self._pressed = step, evaluate, bar, pressed
        self._on_step, self._checkpoint = on_step, checkpoint
        self._keeper: Keeper | None = None
        self._best_of, self._best = best, None
        self._finite: Array | None = None
        self._unread: collections.deque[Metrics] = collections.deque()
        self._since = time.perf_counter()

    def run(self, batches: Iterable[PyTree], steps: int | None, evaluate_every: int) -> None:
        """Steps to the end, with the evaluations and checkpoints on the way."""
        end = object()
        with self._pressed.may_raise():
            iterator = iter(batches)
            if self._checkpoint is not None:
                self._keeper = Keeper(self._checkpoint, self._best_of, batches, iterator)
                self._go_on(self._keeper)
        taken = self.resumed
        while steps is None or taken < steps:
            with self._pressed.may_raise():
                batch = next(iterator, end)
            if batch is end:
                break
            self._take(batch)
            taken += 1
            evaluating = self._evaluate is not None and taken % evaluate_every == 0
            keeping = self._keeper is not None and self._keeper.is_due(taken) and taken != steps
            if evaluating or keeping:
                self.read(0)
            if evaluating and self.stopped == "done":
                self.evaluate()
            if keeping and self.stopped == "done":
                self._keep()
            if self._pressed.count and self.stopped == "done":
                self.read(0)
                self.stopped = "interrupted" if self.stopped == "done" else self.stopped
            if self.stopped != "done":
                return
        self.read(0)
        if not taken:
            raise ValueError("fit: batches must give at least one batch, got none")

    def finish(self) -> None:
        """The evaluation and the checkpoint after the last step.

        One that was interrupted is kept as it was before that evaluation, which would not have been
        there, so that it goes on as if nothing had been.
        """
        if self.stopped == "interrupted":
            self._keep()
        if not self.history.evaluations or self.history.evaluations[-1][0] != self._taken():
            self.evaluate()
        if self.stopped == "done":
            self._keep()

    def close(self) -> None:
        """Wait for the last checkpoint; OSError where it could not be written."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            with self._pressed.may_raise():
                keeper.close()

    def _go_on(self, keeper: Keeper) -> None:
        found = keeper.go_on(self.train_state)
        if found is not None:
            self.train_state, self.history, _, self._best, self.resumed = found[0]
            self._bar.resumed(self.resumed, found[1])
            self._since = time.perf_counter()

    def _keep(self) -> None:
        if self._keeper is not None:
            self._keeper.save(self.result())
            self._since = time.perf_counter()

    def _taken(self) -> int:
        return len(self.history.loss)

    def _take(self, batch: PyTree) -> None:
        step = self._step
        if isinstance(step, Step):
            result = step.after(self.train_state, batch, self._finite)
        else:
            result = step(self.train_state, batch)
            if not isinstance(result, tuple) or len(result) != 2 or not _is_metrics(result[1]):
                raise TypeError(
                    f"fit: step must give (train_state, metrics), as that of "
                    f"jaxnn.training.train_step does, got {type(result).__name__}"
                )
        self.train_state, metrics = result
        self._finite = metrics.finite
        self._unread.append(metrics)
        self.read(BEHIND if isinstance(step, Step) else 0)

    def read(self, behind: int) -> None:
        """The metrics that are there, and those that are more steps behind than that."""
        unread: Any = self._unread  # is_ready is no part of jax.Array's type
        while unread and (len(unread) > behind or unread[0].finite.is_ready()):
            metrics = unread.popleft()
            loss, finite = map(float, jax.device_get((metrics.loss, metrics.finite)))
            now = time.perf_counter()
            self.history.seconds.append(now - self._since)
            self._since = now
            self.history.loss.append(loss)
            if not finite:
                norm = float(metrics.gradient_norm)
                what = f"loss {loss:g}, gradient norm {norm:g}"
                if math.isfinite(loss) and math.isfinite(norm):
                    what += ", but not the optimiser's update"
                self.stopped = f"not finite at step {self._taken()}: {what}"
                unread.clear()
            else:
                self._bar.step(loss)
            self._tell(metrics)

    def _tell(self, metrics: Metrics) -> None:
        """Call `on_step`, which is not called again once it has raised."""
        tell, self._on_step = self._on_step, None
        if tell is not None:
            with self._pressed.may_raise():
                tell(self._taken(), metrics)
            self._on_step = tell

    def evaluate(self) -> None:
        """What `evaluate` gives, where there is one, and the best so far."""
        if self._evaluate is None:
            return
        with self._pressed.may_raise():
            value = self._evaluate(self.train_state)
        taken = self._taken()
        self.history.evaluations.append((taken, value))
        self._bar.evaluation(value)
        if self._best_of is not None:
            if not is_number(value):
                raise TypeError(
                    f"fit: best needs an evaluate that gives a number, got {type(value).__name__}"
                )
            number, sign = float(value), 1.0 if self._best_of == "min" else -1.0
            least = math.inf if self._best is None else sign * self._best.value
            if sign * number < least:
                self._best = Best(copy_of(self.train_state.params), taken, number)
        self._since = time.perf_counter()

    def is_alive(self) -> bool:
        """Whether the train_state is there, and not gone into a step that did not end."""
        arrays = [x for x in jax.tree.leaves(self.train_state) if isinstance(x, jax.Array)]
        if any(array.is_deleted() for array in arrays):
            return False
        try:
            jax.block_until_ready(arrays)
        except Exception:  # whatever the device ran into
            return False
        return True

    def give_to(self, error: BaseException) -> None:
        """Hand an exception what was reached."""
        with contextlib.suppress(Exception):
            self.read(0)
        try:
            self.close()
        except BaseException as further:
            error.add_note(f"fit: and the last checkpoint failed: {further}")
        self.stopped = type(error).__name__
        taken = self._taken()
        with contextlib.suppress(Exception):
            error.__dict__["fit"] = self.result()
            if taken and self.is_alive():
                error.add_note(f"fit: the train_state after {taken} steps is in error.fit")
            elif taken:
                error.add_note(
                    f"fit: the step failed after it had taken the train_state, which is lost; the "
                    f"history of {taken} steps and the best params are in error.fit"
                )

    def result(self) -> Fit:
        """All of it."""
        return Fit(self.train_state, self.history, self.stopped, self._best, self.resumed)


def _is_metrics(value: object) -> bool:
    return all(hasattr(value, name) for name in ("loss", "finite", "gradient_norm"))
