"""The tables: a family of workloads each, then shares of the machine's rate, then the goals."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.contestants import JAX, OURS, PEERS, TORCH
from benchmarks.goals import Outcome
from benchmarks.ratios import Results, best, geometric_mean, median_of, ratio_by_round
from benchmarks.workloads import Workload, matmul_flops, train_flops

UNITS = {
    "train": (1e3, "ms"),
    "forward": (1e3, "ms"),
    "stream": (1e6, "µs"),
    "compile": (1.0, "s"),
    "gradient compile": (1.0, "s"),
    "gradient memory": (1e-6, "MB"),
    "import": (1.0, "s"),
    "matmul": (1e3, "ms"),
}


class Family(NamedTuple):
    """The workloads that stand in one table, one column each."""

    name: str
    workloads: list[Workload]
    results: list[Results]


def families(measured: Sequence[Workload], results: dict[str, Results]) -> list[Family]:
    names = dict.fromkeys(workload.family for workload in measured)
    grouped = [[w for w in measured if w.family == name] for name in names]
    return [Family(ws[0].family, ws, [results[w.name] for w in ws]) for ws in grouped]


def number(value: float | None) -> str:
    """Two or three significant digits, without an exponent."""
    if value is None:
        return "–"
    decimals = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{max(decimals, 3 if value < 0.1 else decimals)}f}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]


def ratio_rows(family: Family) -> list[tuple[str, list[float | None]]]:
    """Each of ours against the best JAX peer and against torch: a ratio a workload, and the mean.

    Ratios are those of the rounds, and the mean is over the shapes that have one.
    """
    rows = []
    for ours in OURS:
        for label, theirs in (("best JAX peer", PEERS), ("torch", (TORCH,))):
            ratios = [ratio_by_round(results, ours, theirs) for results in family.results]
            if any(ratio is not None for ratio in ratios):
                rows.append((f"{ours} / {label}", [*ratios, geometric_mean(ratios)]))
    return rows


def family_table(family: Family) -> str:
    """Medians, ratios, and why somebody is missing."""
    scale, unit = UNITS[family.workloads[0].kind]
    several = len(family.workloads) > 1
    rows = [[f"{family.name} [{unit}]", *(w.shape for w in family.workloads)]]
    reasons: dict[str, list[str]] = {}
    for name in family.results[0]:
        row = [name]
        for workload, results in zip(family.workloads, family.results, strict=True):
            median, missing = results[name].median, results[name].missing
            row.append(missing.partition(":")[0] if median is None else number(median * scale))
            if missing:
                reasons.setdefault(f"{name}: {missing}", []).append(workload.shape)
        rows.append(row)
    peers = [best(results, PEERS) or "–" for results in family.results]
    rows.append(["best JAX peer", *peers])
    ratios = ratio_rows(family)
    if several:
        rows = [[*row, "" if i else "geometric mean"] for i, row in enumerate(rows)]
    cut = None if several else -1
    rows += [[label, *map(number, values[:cut])] for label, values in ratios]
    notes = [
        f"  {reason}" + (f" ({'; '.join(at)})" if len(at) < len(family.workloads) else "")
        for reason, at in reasons.items()
    ]
    lines = aligned(rows)
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], *notes])


def shares(measured: Sequence[Workload], results: dict[str, Results]) -> list[dict[str, Any]]:
    """The model FLOP/s of jaxnn's LSTM train steps over those of a large square matmul."""
    seconds = median_of(results.get("matmul", {}), JAX)
    if seconds is None:
        return []
    rate = matmul_flops() / seconds
    rows = []
    for workload in (w for w in measured if w.family == "train-lstm"):
        for ours in OURS:
            step = median_of(results[workload.name], ours)
            if step is not None:
                achieved = train_flops(workload) / step
                rows.append(
                    {
                        "contestant": ours,
                        "shape": workload.shape,
                        "gigaflops": achieved / 1e9,
                        "share": achieved / rate,
                    }
                )
    return rows


def share_table(rows: Sequence[dict[str, Any]]) -> str:
    """What share of the machine's matmul rate a train step reaches."""
    if not rows:
        return ""
    rate = rows[0]["gigaflops"] / rows[0]["share"]
    title = f"LSTM train step, of the {rate:.0f} GFLOP/s of a large float32 matmul"
    table = [[title, "shape", "GFLOP/s", "share"]]
    table += [
        [row["contestant"], row["shape"], f"{row['gigaflops']:.1f}", f"{row['share']:.0%}"]
        for row in rows
    ]
    lines = aligned(table)
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def goal_table(found: Sequence[Outcome]) -> str:
    """Goals: the ratio of medians, its limit, and whether it is below."""
    table = [["goal", "over", "limit", "ratio", "verdict", "shapes"]]
    table += [
        [row.goal, row.over, f"{row.limit:.2f}", number(row.ratio), row.verdict, row.shapes]
        for row in found
    ]
    lines = aligned(table)
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def machine_text(described: dict[str, dict[str, str]]) -> str:
    """A line for each group."""
    return "\n".join(
        f"{group}: " + ", ".join(f"{name} {value}" for name, value in values.items())
        for group, values in described.items()
    )
