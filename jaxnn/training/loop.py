"""The loop around a train step: progress, evaluation, what is kept however it ends."""

import collections
import contextlib
import math
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import jax

from jaxnn.internal.options import check_callable, check_option, check_size, check_takes
from jaxnn.training.bar import Bar, bar_of, is_number
from jaxnn.training.batches import Batch
from jaxnn.training.interrupt import Interrupts, interrupts
from jaxnn.training.state import Metrics, TrainState, copy_of
from jaxnn.training.step import Step
from jaxnn.types import Array, Params, PyTree

BEHIND = 4
"""How many steps the metrics are read late at the most."""


class History(NamedTuple):
    """The course of a training.

    loss: of every step; evaluations: `(step, what evaluate gave)` pairs; seconds: of every step,
    from when the one before was seen to end to when it was itself. They add up to the time of the
    training, batches and the compilation of the first step included, evaluations left out; since
    steps are seen late, and several at once, a single one is not exact, their mean is.
    """

    loss: list[float]
    evaluations: list[tuple[int, Any]]
    seconds: list[float]


class Best(NamedTuple):
    """The parameters for which `evaluate` gave the best value: a copy, and the step they are of."""

    params: Params
    step: int
    value: float


class Fit(NamedTuple):
    """What a training ends with.

    train_state: the last good one; history: its course; stopped: "done", "interrupted", or "not
    finite at step n: …"; best: where `best` was asked for, the best parameters, else None.
    """

    train_state: TrainState
    history: History
    stopped: str
    best: Best | None = None


def fit(
    step: Callable[[TrainState, PyTree], tuple[TrainState, Metrics]],
    train_state: TrainState,
    batches: Iterable[PyTree],
    steps: int | None = None,
    evaluate: Callable[[TrainState], object] | None = None,
    evaluate_every: int = 100,
    progress: bool | None = None,
    best: Literal["min", "max"] | None = None,
) -> Fit:
    """Take train steps until the batches or the steps end. Whatever ends it, what was reached is
    kept.

    - Ctrl-C ends it between two steps, and the Fit is returned; where a batch or an evaluation
      hangs, a second Ctrl-C does so.
    - An exception, in the batches, the step or `evaluate`, is raised as it is, and has the Fit as
      its attribute `fit`: `error.fit.train_state` is the one after the last step.
    - Where a step is not finite it ends with a RuntimeWarning, and the train_state is the one that
      this step left, with params, opt_state and state as they were before it.

    It does not wait for a step before it gives the next one to the device: the metrics are read up
    to four steps late. A step of `train_step` that follows one that was not finite changes nothing,
    so that the result is the same as if each had been waited for; but a few batches more may have
    been taken. A step of one's own is waited for.

    Recurrent networks here are time-major: for arrays `(batch, time, features)`, whose order
    nothing gives away, see `jaxnn.time_major` and `jaxnn.data.batches`.

    Args:
      step: what `train_step` gives. It donates the train_state.
      train_state: the first one; it cannot be used afterwards.
      batches: the batches, one a step; may be endless if `steps` is given.
      steps: how many steps at the most.
      evaluate: `evaluate(train_state)`, called after every `evaluate_every` steps and after the
        last; what it gives goes into the history and, where it is a number, onto the bar. The next
        step donates the train_state: copy what you keep of it.
      evaluate_every: steps between evaluations.
      progress: whether a bar shows the loss and the speed. None means where tqdm is installed (it
        is in the extra `examples`). Its clock starts after the first step, which compiles.
      best: "min" or "max" keeps a copy of the parameters for which the number that `evaluate` gives
        was lowest or highest, the first of equals; NaN never is. They are in `Fit.best`.

    Returns:
      A `Fit`: `train_state, history, stopped, best`.

    Raises:
      ValueError: for `steps` or `evaluate_every` below 1, no batch at all, another `best`, or a
        `best` without `evaluate`.
      TypeError: for an argument that is none of its kind, or a `best` of what is no number.
      ImportError: for `progress=True` without tqdm.

    >>> import itertools, jax, jax.numpy as jnp, jaxnn, optax
    >>> optimizer = optax.sgd(0.1)
    >>> def loss(params, state, batch, key):
    ...     return jnp.sum((params - batch) ** 2), 1.0, state
    >>> first = jaxnn.training.train_state(jnp.zeros(2), optimizer, jax.random.key(0))
    >>> step, batches = jaxnn.training.train_step(loss, optimizer), itertools.repeat(jnp.ones(2))
    >>> result = fit(step, first, batches, steps=50, progress=False, best="min", evaluate_every=20,
    ...     evaluate=lambda current: jnp.abs(current.params - 0.99).sum())
    >>> result.stopped, len(result.history.loss), bool(result.history.loss[-1] < 1e-6)
    ('done', 50, True)
    >>> result.best.step, [step for step, value in result.history.evaluations]
    (20, [20, 40, 50])
    """
    _check(step, train_state, batches, evaluate, progress, best)
    steps = None if steps is None else check_size("fit", "steps", steps)
    evaluate_every = check_size("fit", "evaluate_every", evaluate_every)
    with bar_of(progress, steps) as bar, interrupts() as pressed:
        training = _Training(step, train_state, evaluate, best, bar, pressed)
        try:
            try:
                training.run(batches, steps, evaluate_every)
                if training.stopped.startswith("not finite"):
                    message = f"fit: {training.stopped}; params and state are as before that step"
                    warnings.warn(message, RuntimeWarning, stacklevel=2)
                taken = len(training.history.loss)
                if taken % evaluate_every or training.stopped.startswith("not finite"):
                    training.evaluate()
            except KeyboardInterrupt:  # that of a batch or an evaluation that hung
                if not training.is_alive():
                    raise
                training.read(0)
                training.stopped = "interrupted"
        except BaseException as error:
            training.give_to(error)
            raise
        return training.result()


class _Training:
    """A training on its way: the last train_state, and metrics that were not read yet."""

    def __init__(
        self,
        step: Callable[[TrainState, PyTree], tuple[TrainState, Metrics]],
        train_state: TrainState,
        evaluate: Callable[[TrainState], object] | None,
        best: str | None,
        bar: Bar,
        pressed: Interrupts,
    ) -> None:
        self.train_state, self.stopped = train_state, "done"
        self.history = History([], [], [])
        self._step, self._evaluate, self._bar, self._pressed = step, evaluate, bar, pressed
        self._sign = {"min": 1.0, "max": -1.0, None: 0.0}[best]
        self._best: Best | None = None
        self._finite: Array | None = None
        self._unread: collections.deque[Metrics] = collections.deque()
        self._since = time.perf_counter()

    def run(self, batches: Iterable[PyTree], steps: int | None, evaluate_every: int) -> None:
        """Steps to the end, and evaluations but the last."""
        end, taken = object(), 0
        with self._pressed.may_raise():
            iterator = iter(batches)
        while taken != steps:
            with self._pressed.may_raise():
                batch = next(iterator, end)
            if batch is end:
                break
            self._take(batch)
            taken += 1
            if taken % evaluate_every == 0 and self._evaluate is not None:
                self.read(0)
            if self.stopped == "done" and taken % evaluate_every == 0:
                self.evaluate()
            if self._pressed.count and self.stopped == "done":
                self.read(0)
                self.stopped = "interrupted" if self.stopped == "done" else self.stopped
            if self.stopped != "done":
                return
        self.read(0)
        if not taken:
            raise ValueError("fit: batches must give at least one batch, got none")

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
                self.stopped = f"not finite at step {len(self.history.loss)}: {what}"
                unread.clear()
                return
            self._bar.step(loss)

    def evaluate(self) -> None:
        """What `evaluate` gives, where there is one, and the best so far."""
        if self._evaluate is None:
            return
        with self._pressed.may_raise():
            value = self._evaluate(self.train_state)
        taken = len(self.history.loss)
        self.history.evaluations.append((taken, value))
        self._bar.evaluation(value)
        if self._sign:
            if not is_number(value):
                raise TypeError(
                    f"fit: best needs an evaluate that gives a number, got {type(value).__name__}"
                )
            number = float(value)
            least = math.inf if self._best is None else self._sign * self._best.value
            if self._sign * number < least:
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
        self.stopped = type(error).__name__
        taken = len(self.history.loss)
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
        return Fit(self.train_state, self.history, self.stopped, self._best)


def _is_metrics(value: object) -> bool:
    return all(hasattr(value, name) for name in ("loss", "finite", "gradient_norm"))


def _check(
    step: Callable[..., object],
    train_state: object,
    batches: object,
    evaluate: Callable[..., object] | None,
    progress: object,
    best: object,
) -> None:
    check_callable("fit", "step", step, "a train step, as jaxnn.training.train_step gives it")
    check_takes("fit", "step", step, ("train_state", "batch"))
    if not isinstance(train_state, TrainState):
        raise TypeError(
            f"fit: train_state must be a TrainState, as jaxnn.training.train_state gives it, got "
            f"{type(train_state).__name__}"
        )
    if isinstance(batches, Batch):
        raise TypeError("fit: batches must be many, got a single Batch: use [batch]")
    scalar = getattr(batches, "ndim", 1) == 0
    if isinstance(batches, (str, bytes)) or not hasattr(batches, "__iter__") or scalar:
        hint = ": call it" if callable(batches) else ""
        raise TypeError(f"fit: batches must be iterable, got {type(batches).__name__}{hint}")
    if evaluate is not None:
        check_callable("fit", "evaluate", evaluate, "a function of the train_state")
        check_takes("fit", "evaluate", evaluate, ("train_state",))
    if progress is not None and not isinstance(progress, bool):
        raise TypeError(f"fit: progress must be True, False or None, got {progress!r}")
    check_option("fit", "best", best, (None, "min", "max"))
    if best is not None and evaluate is None:
        raise ValueError(f"fit: best={best!r} needs evaluate, a function that gives a number")
