"""`python -m benchmarks`: measure, print the tables, write the numbers and the picture."""

import argparse
import datetime
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.contestants import contestants_for
from benchmarks.goals import outcomes
from benchmarks.machine import describe_machine, load_average
from benchmarks.picture import draw
from benchmarks.race import race
from benchmarks.ratios import Results
from benchmarks.report import (
    families,
    family_table,
    goal_table,
    machine_text,
    ratio_rows,
    share_table,
    shares,
)
from benchmarks.workloads import Workload, alone, workloads

ROUNDS, QUICK_ROUNDS = 5, 3
FRESH_ROUNDS, QUICK_FRESH_ROUNDS = 3, 1  # of what takes a new process each time
SECONDS, QUICK_SECONDS = 0.3, 0.2


def arguments() -> tuple[argparse.Namespace, list[Workload]]:
    """The command line, and the workloads that it asks for."""
    names = dict.fromkeys(workload.family for workload in workloads())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures jaxnn beside its peers: each contestant in a process of its own, "
        "asked in turn, round after round.",
        epilog=f"Workloads: {', '.join(names)}; a shape is chosen as in train-lstm-8x200x64x64.",
    )
    parser.add_argument("--only", nargs="+", metavar="WORKLOAD", help="workloads or families")
    parser.add_argument(
        "--rounds",
        type=int,
        help=f"by default {ROUNDS}, {FRESH_ROUNDS} of compile and import times; fewer with --quick",
    )
    parser.add_argument("--quick", action="store_true", help="fewer shapes, rounds and calls")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results/benchmarks"),
        metavar="DIR",
        help="for results.json and results.png; by default %(default)s",
    )
    args = parser.parse_args()
    if args.rounds is not None and args.rounds < 1:
        parser.error("--rounds must be at least 1")
    chosen = workloads(args.quick)
    if args.only:
        # Who names a shape, or a family that a quick run leaves out, wants it all the same.
        found = {name: called(name, chosen) or called(name, workloads()) for name in args.only}
        for name in found:
            if not found[name]:
                parser.error(f"no workload is called {name}; there are {', '.join(names)}")
        wanted = {workload for listed in found.values() for workload in listed}
        chosen = [workload for workload in workloads() if workload in wanted]
    return args, chosen


def called(name: str, listed: Sequence[Workload]) -> list[Workload]:
    return [workload for workload in listed if name in (workload.name, workload.family)]


def turns(args: argparse.Namespace, workload: Workload) -> tuple[int, float]:
    """How many rounds, and how long a turn is."""
    seconds = QUICK_SECONDS if args.quick else SECONDS
    rounds = QUICK_ROUNDS if args.quick else ROUNDS
    fresh = QUICK_FRESH_ROUNDS if args.quick else FRESH_ROUNDS
    return args.rounds or (fresh if workload.fresh else rounds), seconds


def measure(workload: Workload, head: str, rounds: int, seconds: float) -> Results:
    """One workload, with a line on the terminal while it runs, and its time when it is done."""
    began, shown = time.monotonic(), sys.stderr.isatty()

    def tell(text: str) -> None:
        if shown:
            print(f"\r{head}: {text}\x1b[K", end="", file=sys.stderr, flush=True)

    results = race(workload, contestants_for(workload.kind), rounds, seconds, tell)
    start = "\r\x1b[K" if shown else ""
    print(f"{start}{head}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return results


def as_json(chosen: Sequence[Workload], results: dict[str, Results]) -> dict[str, Any]:
    """Everything that was measured and everything that was computed from it."""
    return {
        "workloads": {
            workload.name: workload._asdict()
            | {
                "unit": "bytes" if workload.kind == "gradient memory" else "seconds",
                "results": {
                    name: {"median": result.median, **result._asdict()}
                    for name, result in results[workload.name].items()
                },
            }
            for workload in chosen
        },
        "ratios": {
            family.name: {
                label: {
                    "shapes": dict(
                        zip((w.name for w in family.workloads), values[:-1], strict=True)
                    ),
                    "geometric mean": values[-1],
                }
                for label, values in ratio_rows(family)
            }
            for family in families(chosen, results)
        },
        "shares of the matmul rate": shares(chosen, results),
        "goals": [row._asdict() for row in outcomes(results)],
    }


def main() -> None:
    """Run it all."""
    args, chosen = arguments()
    described, before = describe_machine(), load_average()
    print(f"{machine_text(described)}\nload average before: {before}")
    (rounds, seconds), (fresh, _) = (turns(args, alone("", kind)) for kind in ("train", "import"))
    print(f"{rounds} rounds of {seconds} s a turn, {fresh} of compile and import\n", flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    record: dict[str, Any] = {"date": date, "seconds a turn": seconds, **described}
    results: dict[str, Results] = {}
    for i, workload in enumerate(chosen, 1):
        head = f"{i:2} of {len(chosen)}  {workload.name}"
        results[workload.name] = measure(workload, head, *turns(args, workload))
        # Written each time, so that a run which is stopped is not lost.
        record["load average"] = {"before": before, "after": load_average()}
        record |= as_json(chosen[:i], results)
        (args.out / "results.json").write_text(json.dumps(record, indent=1))

    shown = families(chosen, results)
    tables = [family_table(family) for family in shown]
    tables += [share_table(shares(chosen, results)), goal_table(outcomes(results))]
    print("", *filter(None, tables), sep="\n\n")
    print(f"\nload average before: {before}, after: {load_average()}")
    print(f"written: {args.out / 'results.json'}")
    try:
        draw(args.out / "results.png", shown)
        print(f"written: {args.out / 'results.png'}")
    except ModuleNotFoundError as error:
        print(f"no picture: {error}")


if __name__ == "__main__":
    main()
