"""The loop around a train step: progress, evaluation, what is kept however it ends."""

import warnings
from collections.abc import Callable, Iterable
from typing import Literal

from jaxnn.internal.options import check_callable, check_option, check_size, check_takes
from jaxnn.training.bar import bar_of
from jaxnn.training.batches import Batch
from jaxnn.training.checkpoint_options import CheckpointOptions, check_options
from jaxnn.training.course import Fit
from jaxnn.training.interrupt import interrupts
from jaxnn.training.running import Training
from jaxnn.training.state import Metrics, TrainState
from jaxnn.types import PyTree


def fit(
    step: Callable[[TrainState, PyTree], tuple[TrainState, Metrics]],
    train_state: TrainState,
    batches: Iterable[PyTree],
    steps: int | None = None,
    evaluate: Callable[[TrainState], object] | None = None,
    evaluate_every: int = 100,
    progress: bool | None = None,
    best: Literal["min", "max"] | None = None,
    on_step: Callable[[int, Metrics], object] | None = None,
    checkpoint: CheckpointOptions | None = None,
) -> Fit:
    """Take train steps until the batches or the steps end. Whatever ends it, what was reached is
    kept.

    - Ctrl-C ends it between two steps, and the Fit is returned; where a batch or an evaluation
      hangs, a second Ctrl-C does so.
    - An exception, in the batches, the step, `evaluate` or `on_step`, is raised as it is, and has
      the Fit as its attribute `fit`: `error.fit.train_state` is the one after the last step.
    - Where a step is not finite it ends with a RuntimeWarning, and the train_state is the one that
      this step left, with params, opt_state and state as they were before it.

    It does not wait for a step before it gives the next one to the device: the metrics are read up
    to four steps late. A step of `train_step` that follows one that was not finite changes nothing,
    so that the result is the same as if each had been waited for; but a few batches more may have
    been taken. A step of one's own is waited for.

    With `checkpoint` a training that was killed goes on as if it had not been: the same call finds
    the newest checkpoint of the folder, says so on stderr and in `Fit.resumed`, and ends, bit for
    bit, with the parameters of a training that never stopped. The train_state that is given is then
    only what that of the checkpoint must be like. A checkpoint holds the train_state, the history,
    the best parameters and the place in the data, with checksums. It is copied first, since the
    next step donates the train_state, written while the training goes on, and there whole or not at
    all. Where the newest is damaged, the last good one is used, with a RuntimeWarning. `steps`
    counts from the first call on, so that a call after the end takes no step. Ctrl-C and the end
    write a checkpoint; an exception and a step that is not finite do not.

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
      on_step: `on_step(n, metrics)`, called once for each step, in their order, n from 1 over all
        calls that go on; for any logger. It comes when the metrics are read, up to four steps late,
        but before the evaluation and the checkpoint after that step; the step that is not finite is
        the last one told. Steps after the last checkpoint are told again when a killed training
        goes on.
      checkpoint: the folder, and how often; needs orbax (in the extra `checkpoint`). The batches
        have to say where they are, by `get_state` and `set_state`, as those of `jaxnn.data` and
        grain do, or be a list; others need `replay=True`. What `evaluate` gives must be numbers,
        texts and arrays, in lists, tuples and dicts: named tuples and jax's arrays come back as
        tuples and numpy's arrays.

    Returns:
      A `Fit`: `train_state, history, stopped, best, resumed`.

    Raises:
      ValueError: for `steps` or `evaluate_every` below 1, no batch at all, another `best`, or a
        `best` without `evaluate`; for a folder whose newest checkpoint is of another train_state,
        of batches of other data or of another `best`, or of which none can be read.
      TypeError: for an argument that is none of its kind, a `best` of what is no number, batches
        that do not say where they are, or what a checkpoint cannot hold.
      OSError: where a checkpoint cannot be written, raised at the next one or at the end at the
        latest, or another process has its own in the folder.
      ImportError: for `progress=True` without tqdm, or `checkpoint` without orbax.

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
    if on_step is not None:
        check_callable("fit", "on_step", on_step, "a function of a step's number and its metrics")
        check_takes("fit", "on_step", on_step, ("step", "metrics"))
    checkpoint = None if checkpoint is None else check_options(checkpoint)
    steps = None if steps is None else check_size("fit", "steps", steps)
    evaluate_every = check_size("fit", "evaluate_every", evaluate_every)
    with bar_of(progress, steps) as bar, interrupts() as pressed:
        training = Training(step, train_state, evaluate, best, on_step, checkpoint, bar, pressed)
        try:
            try:
                training.run(batches, steps, evaluate_every)
                if training.stopped.startswith("not finite"):
                    message = f"fit: {training.stopped}; params and state are as before that step"
                    warnings.warn(message, RuntimeWarning, stacklevel=2)
                training.finish()
            except KeyboardInterrupt:  # that of a batch or an evaluation that hung
                if not training.is_alive():
                    raise
                training.read(0)
                training.stopped = "interrupted"
            training.close()
        except BaseException as error:
            training.give_to(error)
            raise
        return training.result()


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
