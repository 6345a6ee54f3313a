"""What the pictures of the examples share; matplotlib is imported when one is drawn."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np


def panels(columns: int, rows: int = 1, widths: Sequence[float] | None = None) -> tuple[Any, Any]:
    """A figure, and its axes from left to right, row by row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * columns, 4.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, width_ratios=widths, squeeze=False)
    return figure, axes.ravel()


def save(figure: Any, path: pathlib.Path) -> None:
    """Write a picture, and say where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"picture: {path}")


def coloured_text(axes: Any, text: str, values: Any, largest: float, width: int = 80) -> None:
    """Each character on a ground that is the darker the nearer its value comes to `largest`."""
    from matplotlib import colormaps

    row = column = 0
    for character, value in zip(text, np.asarray(values).tolist(), strict=True):
        if column == width:
            row, column = row + 1, 0
        colour = colormaps["YlOrRd"](min(value / largest, 1.0) * 0.8)
        axes.fill_between([column, column + 1], -row - 1, -row, color=colour, linewidth=0)
        shown = character if character.isprintable() else "↵" * (character == "\n")
        axes.text(
            column + 0.5,
            -row - 0.5,
            shown,
            family="monospace",
            fontsize=8,
            ha="center",
            va="center",
        )
        column += 1
        if character == "\n":
            row, column = row + 1, 0
    axes.set(xlim=(0, width), ylim=(-row - 1, 0))
    axes.axis("off")
