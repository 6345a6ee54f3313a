"""Variants of cells, beside themselves by the plain scan: `python -m benchmarks.variants`.

Train steps (value_and_grad of mean(y²), SGD) of cells whose `combine` mixes units, and of others,
as jaxnn differentiates them and by JAX's own derivative of the scan: each in a process of its own,
asked in turn, round after round. Close what else runs.
"""

import argparse

from benchmarks.ablation import times
from benchmarks.contestants import ABLATED
from benchmarks.workloads import Workload, over_shape

PLAIN = ABLATED[-1]
SHAPE = 32, 100, 128, 128
"""(batch, time, input, units)."""


def variants(batch: int, time: int, size: int, units: int) -> list[Workload]:
    """Two with layer norms, an LSTM with half as many features as units, and the LSTM itself."""
    listed = [("lstm", units), ("lstm normed", units), ("gru normed", units)]
    listed.append(("lstm projected", units // 2))
    return [over_shape("train", cell, (batch, time, size, shown)) for cell, shown in listed]


def main() -> None:
    """A line a variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each (default 9)")
    parser.add_argument("--seconds", type=float, default=0.3, help="each takes about so long")
    given = parser.parse_args()
    print(f"{'(batch, time, input, units) =':30} {SHAPE}: plain scan / jaxnn", flush=True)
    for workload in variants(*SHAPE):
        ratio = times(workload, given.rounds, given.seconds, (PLAIN,))[PLAIN]
        print(f"{workload.cell:30} {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
