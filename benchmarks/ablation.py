"""What each piece of the derivative rule is worth: `python -m benchmarks.ablation`.

The same train steps by jaxnn as it is and without one piece, each in a process of its own, asked in
turn, round after round; then the temporaries and the compile time of the 4-layer bidirectional
gradient. `jaxnn/derivative/README.md` has the figures. Close what else runs.
"""

import argparse
import contextlib
import statistics
from collections.abc import Sequence

from benchmarks.contestants import ABLATED, JAXNN
from benchmarks.race import ask, start
from benchmarks.workloads import Workload, workloads


def times(
    workload: Workload, rounds: int, seconds: float, without: Sequence[str] = ABLATED
) -> dict[str, float]:
    """For each contestant the median over rounds of its time over that of the whole."""
    ratios: dict[str, list[float]] = {name: [] for name in without}
    with contextlib.ExitStack() as stack:
        workers = {name: stack.enter_context(start(name, workload)) for name in (JAXNN, *without)}
        for name, worker in workers.items():
            if "missing" in (first := worker.receive()):
                raise SystemExit(f"{name}: {first['missing']}")
        calls = ask(workers[JAXNN], {"seconds": seconds})["calls"]
        for number in range(rounds):
            order = list(workers) if number % 2 else [*workers][::-1]
            values = {name: ask(workers[name], {"calls": calls})["value"] for name in order}
            for name in without:
                ratios[name].append(values[name] / values[JAXNN])
    return {name: statistics.median(found) for name, found in ratios.items()}


def fresh(workload: Workload, rounds: int) -> dict[str, float]:
    """The same of what can be measured once a process, in turn."""
    values: dict[str, list[float]] = {name: [] for name in (JAXNN, *ABLATED)}
    for _ in range(rounds):
        for name, found in values.items():
            with start(name, workload) as worker:
                worker.receive()
                found.append(ask(worker, {"calls": 1})["value"])
    whole = statistics.median(values.pop(JAXNN))
    return {name: statistics.median(found) / whole for name, found in values.items()}


def main() -> None:
    """A line a workload."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each (default 9)")
    parser.add_argument("--seconds", type=float, default=0.3, help="each takes about so long")
    parser.add_argument(
        "--only",
        nargs="*",
        default=["train-lstm", "train-gru", "bidirectional"],
        help="names begin with one of these",
    )
    given = parser.parse_args()
    chosen = [w for w in workloads() if w.name.startswith(tuple(given.only))]
    print(f"{'without, over with':26}" + "".join(f"{name:>22}" for name in ABLATED), flush=True)
    for workload in chosen:
        if workload.fresh:
            found = fresh(workload, 1 if workload.kind == "gradient memory" else 3)
        else:
            found = times(workload, given.rounds, given.seconds)
        print(f"{workload.name:26}" + "".join(f"{v:22.3f}" for v in found.values()), flush=True)


if __name__ == "__main__":
    main()
