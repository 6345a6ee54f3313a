"""`python -m benchmarks.summary results/benchmarks/results.json`: the README's table of speed.

It reads what `python -m benchmarks` wrote and prints Markdown. Rows where jaxnn is slower than the
best JAX peer stand there like the others, in bold.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.contestants import JAXNN, OURS, PEERS, TORCH
from benchmarks.ratios import Result, best
from benchmarks.report import UNITS, number

TITLES = {
    "train-lstm": "LSTM, train step",
    "train-gru": "GRU, train step",
    "train-elman": "Elman, train step",
    "forward-lstm": "LSTM, forward pass",
    "forward-gru": "GRU, forward pass",
    "forward-elman": "Elman, forward pass",
    "bidirectional": "4-layer bidirectional LSTM, train step",
    "bidirectional-memory": "the same, temporary memory of its gradient",
    "bidirectional-compile": "the same, trace and compile of its gradient",
    "ensemble": "16 LSTMs by `vmap`, train step",
    "stream": "LSTM, one streaming step",
    "compile": "LSTM, trace and compile of a train step",
    "import": "import in a fresh process",
}
HEAD = ("what", "jaxnn", "/ best JAX peer", "who that is", "/ torch")


def table(record: dict[str, Any]) -> str:
    """The Markdown table of a `results.json`, as read."""
    rows = []
    for family, title in TITLES.items():
        found = {
            name: workload
            for name, workload in record["workloads"].items()
            if workload["family"] == family
        }
        if found:
            rows += family_rows(title, found, record["ratios"].get(family, {}))
    lines = [HEAD, ("---", "---:", "---:", "---", "---:"), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def family_rows(title: str, found: dict[str, Any], ratios: dict[str, Any]) -> list[Sequence[str]]:
    """A row for each of ours that was measured on the workloads of a family."""
    several = len(found) > 1
    rows = []
    for ours in OURS:
        peer, torch = (ratios.get(f"{ours} / {other}") for other in ("best JAX peer", TORCH))
        if peer is None or (ours != JAXNN and not several):
            continue
        name = title if ours == JAXNN else f"{title}, a device a core"
        known = [peer["shapes"][name] is not None for name in found]
        who = [best_peer(workload) for workload, kept in zip(found.values(), known, strict=True)
               if kept]  # fmt: skip
        shapes = f" ({sum(known)} shapes)" if several else ""
        rows.append((name + shapes, time_of(found), ratio_text(peer, True), ", ".join(who),
                     ratio_text(torch, False)))  # fmt: skip
    return rows


def best_peer(workload: dict[str, Any]) -> str:
    """The JAX peer with the smallest median."""
    results = {
        name: Result(tuple(result["rounds"]), result["missing"])
        for name, result in workload["results"].items()
    }
    return best(results, PEERS) or "–"


def time_of(found: dict[str, Any]) -> str:
    """jaxnn's median, where there is one shape."""
    if len(found) > 1:
        return ""
    (workload,) = found.values()
    scale, unit = UNITS[workload["kind"]]
    median = workload["results"][JAXNN]["median"]
    return "–" if median is None else f"{number(median * scale)} {unit}"


def ratio_text(ratio: dict[str, Any] | None, bold: bool) -> str:
    """A ratio, and of several shapes the geometric mean with the lowest and the highest."""
    if ratio is None or ratio["geometric mean"] is None:
        return "–"
    mean, each = ratio["geometric mean"], [r for r in ratio["shapes"].values() if r is not None]
    text = f"**{mean:.2f}**" if bold and mean > 1 else f"{mean:.2f}"
    return text if len(each) == 1 else f"{text} ({min(each):.2f}–{max(each):.2f})"


def main() -> None:
    """Print the table of one file."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.summary", description=(__doc__ or "").split("\n\n")[0]
    )
    default = Path("results/benchmarks/results.json")
    parser.add_argument("results", type=Path, nargs="?", default=default, help="a results.json")
    record = json.loads(parser.parse_args().results.read_text(encoding="utf-8"))
    print(table(record))


if __name__ == "__main__":
    main()
