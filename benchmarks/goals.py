"""What jaxnn wants to reach, as ratios of medians of one run; goals, not gates."""

from typing import NamedTuple

from benchmarks.contestants import JAXNN, KERAS, LINEN, OURS, PEERS, TORCH
from benchmarks.ratios import Results, geometric_mean, ratio_of_medians
from benchmarks.workloads import Workload, workloads

PEER = "best JAX peer"
MEAN, EACH = "geometric mean", "on each shape"


class Goal(NamedTuple):
    """A limit on the ratio of the best of ours to the best of theirs, over a family's shapes."""

    text: str
    family: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    over: str
    limit: float


class Outcome(NamedTuple):
    """What came of a goal: `reached`, `missed` or `not measured`, over how many of its shapes."""

    goal: str
    over: str
    limit: float
    ratio: float | None
    verdict: str
    shapes: str


BETTER = "better of one device and one a core"
GOALS = (
    Goal(f"train LSTM, one device / {PEER}", "train-lstm", (JAXNN,), PEERS, MEAN, 0.75),
    Goal(f"train LSTM, one device / {PEER}", "train-lstm", (JAXNN,), PEERS, EACH, 0.95),
    Goal(f"train LSTM, {BETTER} / {PEER}", "train-lstm", OURS, PEERS, MEAN, 0.65),
    Goal(f"train GRU, one device / {PEER}", "train-gru", (JAXNN,), PEERS, MEAN, 0.75),
    Goal(f"train Elman, one device / {PEER}", "train-elman", (JAXNN,), PEERS, MEAN, 0.75),
    Goal(f"train LSTM, {BETTER} / torch", "train-lstm", OURS, (TORCH,), EACH, 1.0),
    Goal(f"forward LSTM, one device / {PEER}", "forward-lstm", (JAXNN,), PEERS, EACH, 1.0),
    Goal(f"forward LSTM, one device / {PEER}", "forward-lstm", (JAXNN,), PEERS, MEAN, 0.85),
    Goal(
        "compile 4-layer bidirectional / keras",
        "bidirectional-compile",
        (JAXNN,),
        (KERAS,),
        EACH,
        0.67,
    ),
    Goal(
        "memory of 4-layer bidirectional / keras",
        "bidirectional-memory",
        (JAXNN,),
        (KERAS,),
        EACH,
        0.61,
    ),
    Goal("streaming step / flax.linen", "stream", (JAXNN,), (LINEN,), EACH, 1.0),
    Goal("streaming step / torch.nn.LSTMCell", "stream", (JAXNN,), (TORCH,), EACH, 1.0),
)


def outcome(goal: Goal, listed: list[Workload], results: dict[str, Results]) -> Outcome:
    """On each shape, the worst ratio decides; what was not measured is counted, not guessed."""
    shapes = [workload.name for workload in listed if workload.family == goal.family]
    ratios = [
        ratio_of_medians(results[name], goal.ours, goal.theirs) if name in results else None
        for name in shapes
    ]
    known = [ratio for ratio in ratios if ratio is not None]
    ratio = geometric_mean(known) if goal.over == MEAN else max(known, default=None)
    verdict = "not measured"
    if ratio is not None:
        verdict = "reached" if ratio <= goal.limit else "missed"
    counted = f"{len(known)} of {len(shapes)}"
    over = goal.over if len(shapes) > 1 else ""
    return Outcome(goal.text, over, goal.limit, ratio, verdict, counted)


def outcomes(results: dict[str, Results]) -> list[Outcome]:
    """Of all goals, against the shapes of the full run."""
    listed = workloads()
    return [outcome(goal, listed, results) for goal in GOALS]
