"""Drawings of recurrent modules: layers as boxes, pointwise operations as circles, and wires.

The symbols are those of Olah 2015, "Understanding LSTM Networks". A module is six wide and four
high; its belt, the line along which a state travels, runs near its top edge. Each part belongs to a
group, such as "forget": `lit` names the groups that are drawn in black, the rest is pale.
"""

from collections.abc import Callable, Collection
from typing import Any

from matplotlib.patches import Circle, FancyBboxPatch

LAYER, POINTWISE, MODULE = "#ffe08a", "#f4b4c4", "#eaf3ea"
ERROR, PEEPHOLE = "#d55e00", "#7b3294"
PALE = "#c9c9c9"
Point = tuple[float, float]


class Pen:
    """Draws symbols; one whose group is not lit is pale. ("belt forget" belongs to two groups.)

    Args:
      axes: matplotlib axes.
      lit: the groups that are drawn in black; None for all.
      at: the lower left corner of the module.
    """

    def __init__(self, axes: Any, lit: Collection[str] | None = None, at: Point = (0, 0)) -> None:
        self.axes, self.lit, self.at = axes, lit, at

    def _ink(self, group: str, color: str = "black") -> tuple[str, int]:
        lit = self.lit is None or any(name in self.lit for name in group.split())
        return (color, 4) if lit else (PALE, 2)

    def _point(self, point: Point) -> Point:
        return self.at[0] + point[0], self.at[1] + point[1]

    def wire(
        self, group: str, *points: Point, arrow: bool = True, color: str = "black", style: str = "-"
    ) -> None:
        """A line through the points, each `(x, y)`, with an arrow at its end."""
        ink, order = self._ink(group, color)
        *line, end = map(self._point, points)
        xs, ys = zip(*line, end, strict=True)
        self.axes.plot(
            xs, ys, color=ink, linewidth=1.6, linestyle=style, zorder=order, solid_joinstyle="round"
        )
        if arrow:
            head = {"arrowstyle": "-|>", "color": ink, "linewidth": 0, "mutation_scale": 12}
            head |= {"shrinkA": 0, "shrinkB": 0}
            self.axes.annotate("", end, line[-1], arrowprops=head, zorder=order)

    def bridge(self, point: Point) -> None:
        """A gap in the wire that a vertical one crosses without touching it."""
        x, y = self._point(point)
        gap = [x - 0.14, x + 0.14], [y, y]
        self.axes.plot(*gap, color=MODULE, linewidth=5, solid_capstyle="butt", zorder=4)

    def layer(self, group: str, center: Point, text: str, width: float = 0.8) -> None:
        """A neural network layer: a box with its activation."""
        self._box(group, center, text, width, 0.5, LAYER)

    def pointwise(self, group: str, center: Point, text: str) -> None:
        """A pointwise operation: a circle with ×, + or the like."""
        ink, order = self._ink(group)
        x, y = self._point(center)
        face = POINTWISE if ink != PALE else "white"
        self.axes.add_patch(
            Circle((x, y), 0.24, facecolor=face, edgecolor=ink, linewidth=1.2, zorder=order + 1)
        )
        self.text(group, center, text, size=11)

    def squash(self, group: str, center: Point, text: str = "tanh") -> None:
        """A pointwise function without weights: an oval."""
        self._box(group, center, text, 0.8, 0.36, POINTWISE, rounding=0.17)

    def _box(
        self,
        group: str,
        center: Point,
        text: str,
        width: float,
        height: float,
        face: str,
        rounding: float = 0.04,
    ) -> None:
        ink, order = self._ink(group)
        x, y = self._point(center)
        self.axes.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - height / 2),
                width,
                height,
                boxstyle=f"round,pad=0,rounding_size={rounding}",
                facecolor=face if ink != PALE else "white",
                edgecolor=ink,
                linewidth=1.2,
                zorder=order + 1,
            )
        )
        self.text(group, center, text, size=9)

    def text(self, group: str, point: Point, text: str, size: float = 11, **options: Any) -> None:
        """A label, centred unless the options say otherwise."""
        ink, order = self._ink(group)
        options = {"ha": "center", "va": "center", "color": ink, "zorder": order + 2} | options
        self.axes.text(*self._point(point), text, fontsize=size, **options)

    def frame(self, width: float = 6, height: float = 4) -> None:
        """The module's box, behind everything."""
        self.axes.add_patch(
            FancyBboxPatch(
                self.at,
                width,
                height,
                boxstyle="round,pad=0,rounding_size=0.25",
                facecolor=MODULE,
                edgecolor="#8aa88a",
                linewidth=1.2,
                zorder=0,
            )
        )


Module = Callable[..., None]
"""`module(axes, at=(0, 0), lit=None, t="t")`: one of the drawings below."""


def blank(axes: Any, left: float, right: float, bottom: float = -1.4, top: float = 5.4) -> None:
    """An empty sheet on which one unit is as wide as it is high."""
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    axes.axis("off")


def elman_module(
    axes: Any, at: Point = (0, 0), lit: Collection[str] | None = None, t: str = "t"
) -> None:
    """One layer: s_t = tanh(x_t U + s_{t-1} W + b)."""
    pen = Pen(axes, lit, at)
    pen.frame()
    pen.wire("belt", (-1, 0.8), (3, 0.8), (3, 1.75))
    pen.wire("input", (1, -0.6), (1, 0.8), arrow=False)
    pen.layer("belt", (3, 2), "tanh", width=1.1)
    pen.wire("belt", (3, 2.25), (3, 3.2), (5, 3.2), (5, 0.8), (7, 0.8), arrow=True)
    pen.wire("output", (5, 3.2), (5, 4.6))
    _ends(pen, t, x=1, y=5, output="s")


def lstm_module(
    axes: Any,
    at: Point = (0, 0),
    lit: Collection[str] | None = None,
    t: str = "t",
    peephole: bool = False,
    coupled: bool = False,
    names: bool = True,
) -> None:
    """Four layers and a belt, or three where the gates are coupled; peepholes are dashed.

    The groups are "belt", "forget", "input" (i and g), "update" (what i and g do to the belt),
    "output", "peephole", "x" and "h" (the two inputs of every layer).

    Args:
      axes: matplotlib axes.
      at: the lower left corner.
      lit: the groups that are drawn in black; None for all.
      t: the index of the step.
      peephole, coupled: the variant.
      names: whether the letters f, i, g, o stand beside the wires.
    """
    pen = Pen(axes, lit, at)
    pen.frame()
    pen.wire("belt", (-1, 3.4), (7, 3.4))
    pen.wire("h", (-1, 0.6), (4.5, 0.6), arrow=False)
    pen.wire("x", (0.6, -0.6), (0.6, 0.6), arrow=False)
    for group, x, text in (
        ("forget", 1.5, "σ"),
        ("input", 2.5, "σ"),
        ("input", 3.5, "tanh"),
        ("output", 4.5, "σ"),
    ):
        if coupled and x == 2.5:
            continue
        pen.wire(group, (x, 0.6), (x, 1.1))
        pen.layer(group, (x, 1.35), text)
    pen.wire("forget", (1.5, 1.6), (1.5, 3.16))
    pen.pointwise("belt forget", (1.5, 3.4), "×")
    if coupled:
        pen.wire("input", (1.5, 2.3), (2.26, 2.3))
        pen.pointwise("input", (2.5, 2.3), "1−")
        pen.wire("input", (2.74, 2.3), (3.26, 2.3))
    else:
        pen.wire("input", (2.5, 1.6), (2.5, 2.3), (3.26, 2.3))
    pen.wire("input", (3.5, 1.6), (3.5, 2.06))
    pen.pointwise("input", (3.5, 2.3), "×")
    pen.wire("update", (3.5, 2.54), (3.5, 3.16))
    pen.pointwise("belt update", (3.5, 3.4), "+")
    pen.wire("output", (5.3, 3.4), (5.3, 2.9))
    pen.squash("output", (5.3, 2.7))
    pen.wire("output", (5.3, 2.52), (5.3, 2.14))
    pen.wire("output", (4.5, 1.6), (4.5, 1.9), (5.06, 1.9))
    pen.pointwise("output", (5.3, 1.9), "×")
    pen.wire("output", (5.3, 1.66), (5.3, 0.6), (7, 0.6))
    pen.bridge((5.85, 3.4))
    pen.wire("output", (5.85, 0.6), (5.85, 4.6))
    if peephole:
        dashed = {"color": PEEPHOLE, "style": (0, (3, 1.5))}
        pen.wire("peephole", (0.4, 3.4), (0.4, 1.35), (1.1, 1.35), **dashed)
        if not coupled:
            pen.wire("peephole", (0.75, 3.4), (0.75, 1.95), (2.25, 1.95), (2.25, 1.6), **dashed)
        pen.wire("peephole", (4.7, 3.4), (4.7, 1.6), **dashed)
    if names:
        pen.text("forget", (1.28, 2.65), f"$f_{{{t}}}$")
        pen.text("input", (2.98, 2.58) if coupled else (2.3, 2.3), f"$i_{{{t}}}$")
        pen.text("input", (3.75, 1.84), f"$g_{{{t}}}$")
        pen.text("output", (4.38, 2.1), f"$o_{{{t}}}$")
        pen.text("belt", (-1.05, 3.7), f"$c_{{{t}-1}}$")
        pen.text("belt", (7.05, 3.7), f"$c_{{{t}}}$")
        pen.text("h", (-1.05, 0.3), f"$h_{{{t}-1}}$")
        pen.text("output", (7.05, 0.3), f"$h_{{{t}}}$")
    _ends(pen, t, x=0.6, y=5.85, output="h")


def gru_module(
    axes: Any, at: Point = (0, 0), lit: Collection[str] | None = None, t: str = "t"
) -> None:
    """Three layers; h itself is the belt. The reset comes before the product, as in Cho 2014."""
    pen = Pen(axes, lit, at)
    pen.frame()
    pen.wire("belt", (-1, 3.4), (7, 3.4))
    pen.wire("h", (0.6, 3.4), (0.6, 0.6), (2.9, 0.6), arrow=False)
    pen.wire("x", (0.3, -0.6), (0.3, 0.6), (0.6, 0.6), arrow=False)
    pen.wire("x", (0.3, 0.22), (4.4, 0.22), arrow=False)
    for x, text in ((1.4, "σ"), (2.9, "σ")):
        pen.wire("gates", (x, 0.6), (x, 1.1))
        pen.layer("gates", (x, 1.35), text)
    pen.wire("reset", (2.15, 3.4), (2.15, 2.34))
    pen.wire("reset", (1.4, 1.6), (1.4, 2.1), (1.91, 2.1))
    pen.pointwise("reset", (2.15, 2.1), "×")
    pen.bridge((2.15, 0.6))
    pen.wire("reset", (2.15, 1.86), (2.15, 0.22))
    pen.wire("new", (4.4, 0.22), (4.4, 1.1))
    pen.layer("new", (4.4, 1.35), "tanh")
    pen.wire("new", (4.4, 1.6), (4.4, 2.16))
    pen.wire("update", (2.9, 1.6), (2.9, 3.16))
    pen.pointwise("update", (2.9, 3.4), "×")
    pen.wire("update", (2.9, 2.4), (3.41, 2.4))
    pen.pointwise("update", (3.65, 2.4), "1−")
    pen.wire("update", (3.89, 2.4), (4.16, 2.4))
    pen.pointwise("new", (4.4, 2.4), "×")
    pen.wire("new", (4.4, 2.64), (4.4, 3.16))
    pen.pointwise("new", (4.4, 3.4), "+")
    pen.wire("output", (5.6, 3.4), (5.6, 4.6))
    pen.text("reset", (1.2, 1.95), f"$r_{{{t}}}$")
    pen.text("update", (2.68, 2.1), f"$z_{{{t}}}$")
    pen.text("new", (4.68, 1.88), f"$n_{{{t}}}$")
    pen.text("belt", (-1.05, 3.7), f"$h_{{{t}-1}}$")
    pen.text("belt", (7.05, 3.7), f"$h_{{{t}}}$")
    _ends(pen, t, x=0.3, y=5.6, output="h")


def _ends(pen: Pen, t: str, x: float, y: float, output: str) -> None:
    """The circles below and above a module: what comes in and what goes out."""
    for point, name, color in (((x, -0.95), "x", "#cfe2f3"), ((y, 4.95), output, "#e4d7f0")):
        center = pen.at[0] + point[0], pen.at[1] + point[1]
        face = Circle(center, 0.38, facecolor=color, edgecolor="black", linewidth=1, zorder=4)
        pen.axes.add_patch(face)
        size = 11 if len(t) == 1 else 9
        text = f"${name}_{{{t}}}$"
        pen.axes.text(*center, text, ha="center", va="center", fontsize=size, zorder=6)


def chain(axes: Any, module: Module) -> None:
    """Three times the same module, one a step; the state goes from each to the next."""
    for at, t in ((0.0, "t-1"), (8.0, "t"), (16.0, "t+1")):
        module(axes, (at, 0), t=t)
    blank(axes, -1.4, 23.4)


def legend_of_symbols(axes: Any) -> None:
    """What the symbols of the other drawings mean."""
    pen = Pen(axes)
    pen.layer("", (1, 1), "σ")
    pen.pointwise("", (4, 1), "×")
    pen.wire("", (6.3, 1), (7.7, 1))
    for y in (0.75, 1.25):
        pen.wire("", (9.3, y), (10, 1), arrow=False)
    pen.wire("", (10, 1), (10.8, 1))
    pen.wire("", (12.3, 1), (13, 1), arrow=False)
    for y in (0.7, 1.3):
        pen.wire("", (13, 1), (13.8, y))
    names = ("a layer:\nweights, bias,\nactivation", "a pointwise\noperation", "a vector\nmoves on")
    for x, name in zip(
        (1, 4, 7, 10, 13), (*names, "two vectors\nare joined", "a vector\nis copied"), strict=True
    ):
        pen.text("", (x, 0.42), name, size=9, va="top")
    blank(axes, -0.5, 14.5, -0.7, 1.6)


def gate(axes: Any, value: float) -> None:
    """A gate by itself: a sigmoid layer whose output multiplies what passes, unit by unit."""
    pen = Pen(axes)
    pen.wire("", (-1.6, 1.6), (1.6, 1.6), arrow=False)
    shade = str(0.85 * (1 - value))
    axes.plot([0, 1.6], [1.6, 1.6], color="white", linewidth=3, zorder=4)
    axes.plot([0, 1.6], [1.6, 1.6], color=shade, linewidth=1.6 + 2.4 * value, zorder=4)
    axes.plot([-1.6, 0], [1.6, 1.6], color="black", linewidth=4, zorder=4)
    pen.wire("", (0, 0.25), (0, 1.36))
    pen.layer("", (0, 0), "σ")
    pen.wire("", (0, -0.9), (0, -0.25))
    pen.pointwise("", (0, 1.6), "×")
    pen.text("", (-1.1, 1.95), "$v$")
    pen.text("", (1.1, 1.95), f"${value:g}\\,v$")
    pen.text("", (0.5, 0.75), f"{value:g}")
    pen.text("", (0, -1.15), "$x, h$")
    blank(axes, -1.8, 1.8, -1.4, 2.3)


def backward_through_time(axes: Any, steps: int) -> None:
    """The unrolled network, its error at the last step, and δ on its way back."""
    for k in range(1, steps + 1):
        x = 3 * k
        for y, name, color in (
            (0, "x", "#cfe2f3"),
            (2, "s", LAYER),
            *([(4, "o", "#e4d7f0")] if k == steps else []),
        ):
            axes.add_patch(Circle((x, y), 0.5, facecolor=color, edgecolor="black", zorder=4))
            axes.text(x, y, f"${name}_{k}$", ha="center", va="center", fontsize=13, zorder=5)
        _arrow(axes, (x - 0.12, 0.5), (x - 0.12, 1.5), "U" if k == 1 else "")
        _arrow(axes, (x - 2.5, 2.12), (x - 0.5, 2.12), "W" if k == 1 else "")
        _arrow(axes, (x + 0.12, 1.5), (x + 0.12, 0.5), "", ERROR)
        axes.text(x + 0.62, 1.45, f"$\\delta_{k}$", color=ERROR, fontsize=14, va="center")
        if k > 1:
            _arrow(axes, (x - 0.5, 1.88), (x - 2.5, 1.88), "", ERROR)
    axes.text(0.3, 2.12, "$s_0$", ha="right", va="center", fontsize=13)
    x = 3 * steps
    _arrow(axes, (x - 0.12, 2.5), (x - 0.12, 3.5), "V")
    _arrow(axes, (x + 0.12, 3.5), (x + 0.12, 2.5), "", ERROR)
    axes.text(x + 0.8, 4, "error E", va="center", fontsize=12, color=ERROR)
    blank(axes, -0.4, x + 2.6, -0.7, 4.7)


def _arrow(axes: Any, start: Point, end: Point, text: str, color: str = "black") -> None:
    line = {"arrowstyle": "-|>", "color": color, "linewidth": 1.5, "shrinkA": 0, "shrinkB": 0}
    if color == ERROR:
        line["linestyle"] = (0, (4, 2))
    axes.annotate("", end, start, arrowprops=line)
    if text:
        level = start[1] == end[1]
        point = ((start[0] + end[0]) / 2, start[1] + 0.25)
        point = point if level else (start[0] - 0.3, (start[1] + end[1]) / 2)
        axes.text(*point, f"${text}$", ha="center", va="center", fontsize=12, color=color)
