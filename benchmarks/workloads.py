"""What is measured: the list of workloads, and what each contestant must give."""

import math
from collections.abc import Sequence
from typing import NamedTuple

SHAPES = (
    (1, 200, 32, 64),
    (8, 200, 64, 64),
    (32, 100, 128, 128),
    (8, 100, 256, 256),
    (64, 128, 256, 256),
)
"""(batch, time, input, hidden)."""
QUICK_SHAPES = SHAPES[1:4:2]
LEFT_OUT = ("bidirectional", "ensemble", "compile")
"""Of a quick run."""
CELLS = ("lstm", "gru", "elman")
MATMUL_SIZE = 3072
FRESH = ("import", "compile", "gradient compile", "gradient memory")


class Workload(NamedTuple):
    """One thing that is measured: a kind of work, on a network, at a shape.

    Workloads of one family stand in one table; the name is the family, and the shape where there
    are several. The network has `layers`, each in both directions where it is `bidirectional`, and
    `members` copies of it are run by vmap.
    """

    name: str
    family: str
    kind: str
    cell: str = "lstm"
    batch: int = 1
    time: int = 1
    input: int = 32
    hidden: int = 64
    layers: int = 1
    bidirectional: bool = False
    members: int = 1

    @property
    def fresh(self) -> bool:
        """Measured once a process, since the second time would find it done."""
        return self.kind in FRESH

    @property
    def shape(self) -> str:
        """The sizes, as a table shows them."""
        if self.kind == "import":
            return "fresh process"
        if self.kind == "matmul":
            return f"{MATMUL_SIZE}, square"
        return f"{self.batch}, {self.time}, {self.input}, {self.hidden}"


def workloads(quick: bool = False) -> list[Workload]:
    """All that are measured; with quick, at one shape mostly, and what most goals are about."""
    listed = [
        over_shape(kind, cell, shape)
        for kind in ("train", "forward")
        for cell in CELLS
        for shape in chosen_shapes(kind, cell, quick)
    ]
    deep = {"batch": 16, "time": 100, "input": 128, "hidden": 128, "layers": 4}
    single = {"batch": 32, "time": 100, "input": 128, "hidden": 128}
    small = {"batch": 8, "time": 100, "input": 32, "hidden": 64, "members": 16}
    listed += [
        alone("bidirectional", "train", **deep, bidirectional=True),
        alone("bidirectional-compile", "gradient compile", **deep, bidirectional=True),
        alone("bidirectional-memory", "gradient memory", **deep, bidirectional=True),
        alone("ensemble", "train", **small),
        alone("stream", "stream"),
        alone("compile", "compile", **single),
        alone("import", "import"),
        alone("matmul", "matmul"),
    ]
    return [w for w in listed if w.name not in LEFT_OUT] if quick else listed


def chosen_shapes(kind: str, cell: str, quick: bool) -> Sequence[tuple[int, int, int, int]]:
    if not quick:
        return SHAPES
    if (kind, cell) == ("train", "lstm"):
        return QUICK_SHAPES
    return QUICK_SHAPES[:1] if kind == "train" or cell == "lstm" else ()


def over_shape(kind: str, cell: str, shape: tuple[int, int, int, int]) -> Workload:
    """A workload of a family that is measured at several shapes."""
    family = f"{kind}-{cell}"
    return Workload(f"{family}-{'x'.join(map(str, shape))}", family, kind, cell, *shape)


def alone(name: str, kind: str, **sizes: int) -> Workload:
    """A family of one."""
    return Workload(name, name, kind, **sizes)  # pyright: ignore[reportArgumentType]


def matmul_flops() -> float:
    """Of one square matmul of `MATMUL_SIZE`."""
    return 2.0 * MATMUL_SIZE**3


def train_flops(workload: Workload) -> float:
    """The matmul FLOP of one LSTM train step: three times those of the forward pass."""
    steps = workload.batch * workload.time
    return 3 * 2.0 * steps * (workload.input + workload.hidden) * 4 * workload.hidden


def check_output(
    workload: Workload, shape: Sequence[int], loss: float, time_major: bool = True
) -> None:
    """Raise where a contestant gave less than it was asked for."""
    leading = (workload.time, workload.batch) if time_major else (workload.batch, workload.time)
    expected = (*leading, workload.hidden * (2 if workload.bidirectional else 1))
    if workload.members > 1:
        expected = (workload.members, *expected)
    if tuple(shape) != expected:
        raise ValueError(f"the output is {tuple(shape)}, expected {expected}")
    if not math.isfinite(loss):
        raise ValueError(f"the loss is {loss}")
