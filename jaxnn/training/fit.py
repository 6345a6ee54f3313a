"""The loop around a train step: progress, evaluation, and three ways to end."""

import contextlib
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from jaxnn.functions.checks import check_size, is_array
from jaxnn.training.step import Metrics, TrainState


class History(NamedTuple):
    """The course of a training.

    loss: of every step; evaluations: `(step, what evaluate gave)` pairs; seconds: of every step,
    from batch to metrics.
    """

    loss: list[float]
    evaluations: list[tuple[int, Any]]
    seconds: list[float]


class Fit(NamedTuple):
    """What a training ends with.

    train_state: the last good one; history: its course; stopped: "done", "interrupted", or "not
    finite at step n: …".
    """

    train_state: TrainState
    history: History
    stopped: str


def fit(
    step: Callable[[TrainState, Any], tuple[TrainState, Metrics]],
    train_state: TrainState,
    batches: Iterable[Any],
    steps: int | None = None,
    evaluate: Callable[[TrainState], Any] | None = None,
    evaluate_every: int = 100,
    progress: bool = True,
) -> Fit:
    """Take train steps until the batches or the steps end.

    Ctrl-C ends it between two steps, and what was reached is returned; a second Ctrl-C interrupts
    at once. Where a loss or gradient is not finite it ends with a RuntimeWarning, and the
    train_state is the one before that step.

    Args:
      step: what `train_step` gives. It donates the train_state.
      train_state: the first one; it cannot be used afterwards.
      batches: the batches, one a step; may be endless if `steps` is given.
      steps: how many steps at the most.
      evaluate: `evaluate(train_state)`, called after every `evaluate_every` steps and after the
        last; what it gives goes into the history and, where it is a number, onto the bar. The next
        step donates the train_state: copy what you keep of it.
      evaluate_every: steps between evaluations.
      progress: whether a bar (tqdm, in the extra `examples`) shows the loss and the speed.

    Returns:
      A `Fit`: `train_state, history, stopped`.

    Raises:
      ValueError: for `steps` or `evaluate_every` below 1, or where there was no batch at all.
      ImportError: for a bar without tqdm.

    >>> import itertools, jax, jax.numpy as jnp, jaxnn, optax
    >>> from jaxnn.training.step import train_state, train_step
    >>> optimizer = optax.sgd(0.1)
    >>> def loss(params, state, batch, key):
    ...     return jnp.sum((params - batch) ** 2), 1.0, state
    >>> first = train_state(jnp.zeros(2), optimizer, jax.random.key(0))
    >>> batches = itertools.repeat(jnp.ones(2))
    >>> result = fit(train_step(loss, optimizer), first, batches, steps=50, progress=False)
    >>> result.stopped, len(result.history.loss), bool(result.history.loss[-1] < 1e-6)
    ('done', 50, True)
    """
    if steps is not None:
        check_size("fit", "steps", steps)
    check_size("fit", "evaluate_every", evaluate_every)
    history = History([], [], [])
    stopped = "done"
    with _bar(progress, steps) as bar, _interrupts() as interrupted:
        for batch in batches:
            began = time.perf_counter()
            train_state, metrics = step(train_state, batch)
            loss = float(metrics.loss)
            history.seconds.append(time.perf_counter() - began)
            history.loss.append(loss)
            taken = len(history.loss)
            if not bool(metrics.finite):
                norm = float(metrics.gradient_norm)
                what = f"loss {loss:g}, gradient norm {norm:g}"
                if math.isfinite(loss) and math.isfinite(norm):
                    what += ", but not the optimiser's update"
                stopped = f"not finite at step {taken}: {what}"
                message = f"fit: {stopped}; the train_state is the one before that step"
                warnings.warn(message, RuntimeWarning, stacklevel=2)
                break
            if evaluate is not None and taken % evaluate_every == 0:
                history.evaluations.append((taken, evaluate(train_state)))
            bar.show(loss, history.evaluations)
            if interrupted():
                stopped = "interrupted"
                break
            if taken == steps:
                break
        if not history.loss:
            raise ValueError("fit: batches must give at least one batch, got none")
        taken = len(history.loss)
        if evaluate is not None and (taken % evaluate_every or stopped.startswith("not")):
            history.evaluations.append((taken, evaluate(train_state)))
    return Fit(train_state, history, stopped)


class _Bar:
    """tqdm with the loss and the last evaluation, or nothing."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar

    def show(self, loss: float, evaluations: list[tuple[int, Any]]) -> None:
        if self.bar is None:
            return
        text = f"loss {loss:.4f}"
        if evaluations and _is_number(evaluations[-1][1]):
            text += f", evaluation {float(evaluations[-1][1]):.4f}"
        self.bar.set_postfix_str(text, refresh=False)
        self.bar.update()


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or (is_array(value) and value.shape == ())


@contextlib.contextmanager
def _bar(progress: bool, steps: int | None) -> Iterator[_Bar]:
    if not progress:
        yield _Bar(None)
        return
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(
            "fit: the progress bar needs tqdm: install the extra 'examples', or pass progress=False"
        ) from error
    with tqdm(total=steps, unit="step", dynamic_ncols=True) as bar:
        yield _Bar(bar)


@contextlib.contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Collect the first Ctrl-C instead of being cut off inside a step, whose inputs are donated."""
    seen: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    # Handlers belong to the main thread; None is one that Python did not set and cannot restore.
    main = threading.current_thread() is threading.main_thread()
    if not main or before is None or before == signal.SIG_IGN:
        yield lambda: False
        return

    def note(number: int, frame: Any) -> None:
        del frame
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, before)
