"""Two checkouts of jaxnn in turn: `python -m benchmarks.versions OTHER`.

Each workload runs in a process of each checkout, which are asked round after round, so that a
change of a few per cent is seen on a machine whose speed wanders. OTHER is the folder of the other
one, such as `git worktree add ../before REVISION` makes it. Close what else runs.
"""

import argparse
import contextlib
import statistics
from pathlib import Path

from benchmarks.contestants import JAXNN
from benchmarks.race import ask, start
from benchmarks.workloads import Workload, workloads

HERE = Path(__file__).resolve().parent.parent


def ratio(workload: Workload, other: Path, rounds: int, seconds: float) -> float:
    """The median over rounds of the time here over the time there."""
    ratios = []
    with contextlib.ExitStack() as stack:
        pair = [stack.enter_context(start(JAXNN, workload, root)) for root in (HERE, other)]
        for worker in pair:
            first = worker.receive()
            if "missing" in first:
                raise SystemExit(f"{workload.name}: {first['missing']}")
        calls = ask(pair[0], {"seconds": seconds})["calls"]
        for number in range(rounds):
            order = pair[::-1] if number % 2 else pair
            values = {id(worker): ask(worker, {"calls": calls})["value"] for worker in order}
            ratios.append(values[id(pair[0])] / values[id(pair[1])])
    return statistics.median(ratios)


def main() -> None:
    """One line a workload, and the geometric mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path, help="folder of the other checkout")
    parser.add_argument(
        "--only", nargs="*", default=["train"], help="names begin with one of these"
    )
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each (default 9)")
    parser.add_argument("--seconds", type=float, default=0.3, help="each takes about so long")
    given = parser.parse_args()
    chosen = [
        workload
        for workload in workloads()
        if not workload.fresh and workload.name.startswith(tuple(given.only))
    ]
    found = []
    for workload in chosen:
        found.append(ratio(workload, given.other.resolve(), given.rounds, given.seconds))
        print(f"{workload.name:40} {found[-1]:.3f}", flush=True)
    print(f"{'geometric mean':40} {statistics.geometric_mean(found):.3f}")


if __name__ == "__main__":
    main()
