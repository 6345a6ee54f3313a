"""The picture: times as multiples of the best JAX peer's; matplotlib is imported when drawn."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.contestants import CONTESTANTS, JAX, PEERS
from benchmarks.ratios import ratio_of_medians
from benchmarks.report import Family

COLUMNS = 3


def draw(path: Path, shown: Sequence[Family]) -> None:
    """A panel for each family that has shapes, and one for all families of one."""
    from matplotlib.figure import Figure  # only who draws needs it

    several = [family for family in shown if len(family.workloads) > 1]
    ones = [family for family in shown if len(family.workloads) == 1 and family.name != "matmul"]
    panels = [(family.name, family_bars(family)) for family in several]
    if ones:
        panels.append(("one shape each", [bar for one in ones for bar in one_bar(one)]))
    if not panels:
        return
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(6.5 * columns, 4.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    drawn = {name for _, bars in panels for _, ratios in bars for name, r in ratios.items() if r}
    names = [name for name in CONTESTANTS if name in drawn and name != JAX]
    for axis, (title, bars) in zip(axes, panels, strict=False):
        panel(axis, title, bars, names)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


Bars = list[tuple[str, dict[str, float | None]]]
"""Under each label, a ratio to the best JAX peer by contestant."""


def family_bars(family: Family) -> Bars:
    pairs = zip(family.workloads, family.results, strict=True)
    return [
        (
            workload.shape.replace(", ", "\n"),
            {name: ratio_of_medians(results, (name,), PEERS) for name in results},
        )
        for workload, results in pairs
    ]


def one_bar(family: Family) -> Bars:
    return [(family.name.replace("-", "\n"), family_bars(family)[0][1])]


def panel(axis: Any, title: str, bars: Bars, names: Sequence[str]) -> None:
    """Groups of bars on a logarithmic scale, around the line where the best JAX peer is."""
    width = 0.85 / len(names)
    for i, name in enumerate(names):
        heights = [ratios.get(name) or math.nan for _, ratios in bars]
        places = [place + (i - (len(names) - 1) / 2) * width for place in range(len(bars))]
        # A bar starts at the line of the best peer, so that shorter is below and slower above.
        axis.bar(places, [h - 1 for h in heights], width, bottom=1, label=name, color=f"C{i}")
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set(title=title, yscale="log", ylabel="time / best JAX peer")
    axis.set_xticks(range(len(bars)), [label for label, _ in bars], fontsize=8)
    ticks = [0.25, 0.5, 0.75, 1, 1.5, 2, 4, 8, 16, 32]
    low, high = axis.get_ylim()
    axis.set_yticks([t for t in ticks if low <= t <= high], minor=False)
    axis.set_yticks([], minor=True)
    axis.yaxis.set_major_formatter("{x:g}")
    axis.grid(axis="y", alpha=0.3)
