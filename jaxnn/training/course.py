"""What a training ends with: its last state, its course, and the best parameters."""

from typing import Any, NamedTuple

from jaxnn.training.state import TrainState
from jaxnn.types import Params


class History(NamedTuple):
    """The course of a training.

    loss: of every step; evaluations: `(step, what evaluate gave)` pairs; seconds: of every step,
    from when the one before was seen to end to when it was itself. They add up to the time of the
    training, batches and the compilation of the first step included, evaluations and checkpoints
    left out; since steps are seen late, and several at once, a single one is not exact, their mean
    is.
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

    train_state: the last good one; history: its course; stopped: "done", "interrupted", "not
    finite at step n: …", or, of `load_checkpoint`, "at a checkpoint"; best: where `best` was asked
    for, the best parameters, else None; resumed: the step of the checkpoint that it went on from,
    0 for none.
    """

    train_state: TrainState
    history: History
    stopped: str
    best: Best | None = None
    resumed: int = 0
