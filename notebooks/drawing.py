"""Networks as circles and edges, boxes and arrows: what the first chapters draw more than once.

Everything is placed in units of a canvas, where a circle has the diameter 0.7. Fills and line
styles differ in lightness too, so that no picture rests on colour alone.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.path import Path

RADIUS = 0.35
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"
FILLS = {
    "input": "#dbe9f6",
    "hidden": "#fde3bd",
    "output": "#d3ecd0",
    "bias": "#ececec",
    "plain": "white",
}
WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}


class Part(NamedTuple):
    """A circle or box that was drawn: its centre, and the patch where arrows to it end."""

    x: float
    y: float
    patch: Patch | None = None


def canvas(width: float, height: float, scale: float = 1.0) -> tuple[Figure, Axes]:
    """A figure of width × height units, `scale` inches each, that starts at (0, 0), frameless."""
    figure = plt.figure(figsize=(width * scale, height * scale))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height), aspect=1)
    axes.axis("off")
    return figure, axes


def circle(axes: Axes, x: float, y: float, text: str, fill: str = "hidden", **style: Any) -> Part:
    """A neuron: a circle with a text; `fill` is a name of `FILLS`, style is that of the text."""
    patch = axes.add_patch(Circle((x, y), RADIUS, facecolor=FILLS[fill], edgecolor="black"))
    axes.text(x, y, text, ha="center", va="center", **{"fontsize": 10, **style})
    return Part(x, y, patch)


def box(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    fill: str = "plain",
    width: float = 0.9,
    height: float = 0.6,
    **style: Any,
) -> Part:
    """A box with round corners around its centre (x, y), with a text."""
    corner, shape = (x - width / 2, y - height / 2), "round,pad=0,rounding_size=0.1"
    patch = FancyBboxPatch(
        corner, width, height, boxstyle=shape, facecolor=FILLS[fill], edgecolor="black"
    )
    axes.add_patch(patch)
    axes.text(x, y, text, ha="center", va="center", **{"fontsize": 10, **style})
    return Part(x, y, patch)


def arrow(
    axes: Axes,
    start: Part | tuple[float, float],
    end: Part | tuple[float, float],
    text: str = "",
    at: float = 0.5,
    size: float = 9,
    **style: Any,
) -> None:
    """An arrow from one part or point to another.

    Args:
      axes: where it is drawn.
      start, end: parts, at whose rim it starts and ends, or points.
      text: stands on the line, along it; upright where the line is steep.
      at: how far along the line the text stands, from 0 to 1.
      size: of the text.
      style: of the `FancyArrowPatch`, such as color, linestyle, arrowstyle.
    """
    one, other = (p if isinstance(p, Part) else Part(*p) for p in (start, end))
    color = style.get("color", "black")
    axes.add_patch(
        FancyArrowPatch(
            one[:2],
            other[:2],
            patchA=one.patch,
            patchB=other.patch,
            shrinkA=0,
            shrinkB=1,
            **{"arrowstyle": "-|>", "mutation_scale": 10, "linewidth": 1, **style},
        )
    )
    if text:
        dx, dy = other.x - one.x, other.y - one.y
        angle = (math.degrees(math.atan2(dy, dx)) + 90) % 180 - 90
        axes.text(
            one.x + at * dx,
            one.y + at * dy,
            text,
            rotation=angle if abs(angle) < 70 else 0,
            rotation_mode="anchor",
            ha="center",
            va="center",
            fontsize=size,
            color=color,
            bbox=WHITE,
        )


def loop(axes: Axes, part: Part, text: str = "", reach: float = 1.2, **style: Any) -> None:
    """An arrow from a part's right side back into it: the state that comes again next time."""
    half = part.patch.get_width() / 2 if isinstance(part.patch, FancyBboxPatch) else 0.86 * RADIUS
    x, y = part.x + half, part.y
    points = [(x, y + 0.18), (x + reach, y + 0.8), (x + reach, y - 0.8), (x, y - 0.18)]
    path = Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
    look = {"arrowstyle": "-|>", "mutation_scale": 10, "linewidth": 1, **style}
    axes.add_patch(FancyArrowPatch(path=path, **look))
    if text:  # three quarters of the way to the curve's control points
        where, color = x + 0.75 * reach, style.get("color", "black")
        axes.text(where, y, text, ha="center", va="center", fontsize=11, color=color, bbox=WHITE)


def network(
    axes: Axes,
    layers: Sequence[Sequence[str]],
    weights: Sequence[Any] | None = None,
    biases: Sequence[Any] | None = None,
    width: float = 2.4,
    gap: float | Sequence[float] = 1.2,
    origin: tuple[float, float] = (0.6, 0.6),
    at: float = 0.26,
    **style: Any,
) -> list[list[Part]]:
    """A multi-layer perceptron from left to right, every neuron of a layer joined to the next.

    Args:
      axes: a `canvas`.
      layers: the texts inside the circles, from the input to the output, top first.
      weights: of each pair of layers a matrix (in, out), whose numbers (two decimals) or texts
        stand on the edges; None for edges without.
      biases: of each layer but the first the one bias that its neurons share: a circle below, and
        edges; None for none.
      width: between layers.
      gap: between the neurons of a layer, one number or one for each layer.
      origin: of the lower left corner; circles stand centred above it.
      at: how far along an edge its number stands.
      style: of the edges, as in `arrow`.

    Returns:
      The parts of each layer, biases left out.
    """
    gaps = np.broadcast_to(gap, len(layers))
    heights = [g * (len(texts) - 1) for g, texts in zip(gaps, layers, strict=True)]
    shift = 1.0 if biases is not None else 0.0
    rows: list[list[Part]] = []
    for i, texts in enumerate(layers):
        fill = "input" if i == 0 else "output" if i == len(layers) - 1 else "hidden"
        x = origin[0] + i * width
        top = origin[1] + shift + (max(heights) + heights[i]) / 2
        column = [circle(axes, x, top - gaps[i] * j, text, fill) for j, text in enumerate(texts)]
        rows.append(column)
    for i, (below, above) in enumerate(itertools.pairwise(rows)):
        numbers = np.full((len(below), len(above)), "") if weights is None else weights[i]
        for j, one in enumerate(below):
            for k, other in enumerate(above):
                arrow(axes, one, other, label(numbers[j][k]), at, **style)
        if biases is not None:
            bias = circle(axes, below[0].x, origin[1], "1", "bias")
            for other in above:
                arrow(axes, bias, other, label(biases[i]), at, linestyle=":", **style)
    return rows


def label(number: Any) -> str:
    """A text as it is, a number with two decimals."""
    return number if isinstance(number, str) else f"{float(number):.2f}".replace("-", "−")
