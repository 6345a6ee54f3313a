"""What the gates of a cell do."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jaxnn.diagnostics import GateSaturation
from jaxnn.plot.checks import check_axes, check_names, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def gate_activity(
    axes: "Axes",
    values: npt.ArrayLike,
    steps: Sequence[str] | None = None,
    limits: tuple[float, float] = (0.0, 1.0),
) -> None:
    """What each unit of a gate, or of a state, does at each time step: a row a unit.

    Colours run from dark, closed, to bright, open; where the lower limit is below zero from orange
    over white to purple. A colour bar is `figure.colorbar(axes.images[0])`.

    Args:
      axes: matplotlib axes to draw on.
      values: `(time, units)`, such as `gates(cell, params, state, x).f` of every step.
      steps: what was read at each step, such as characters; by default the steps' numbers.
      limits: the values of the first and the last colour; (−1, 1) suits g, n and h.

    Raises:
      ValueError: where values are not `(time, units)`, there are not as many steps, or the limits
        are not a smaller and a larger number.
      TypeError: for axes that are none, values that are no numbers, and steps that are no words.

    >>> import matplotlib; matplotlib.use("agg")
    >>> import matplotlib.pyplot as plt, jaxnn.plot
    >>> figure, axes = plt.subplots()
    >>> jaxnn.plot.gate_activity(axes, [[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]], steps="cat")
    >>> axes.images[0].get_array().shape, [text.get_text() for text in axes.get_xticklabels()]
    ((2, 3), ['c', 'a', 't'])
    >>> plt.close(figure)
    """
    check_axes("gate_activity", axes)
    values = numbers("gate_activity", "values", values)
    if values.ndim != 2 or not values.size:
        raise ValueError(
            f"gate_activity: values must be (time, units) of one sequence, got the shape "
            f"{values.shape}"
        )
    if steps is not None:
        check_names("gate_activity", "steps", steps)
    if steps is not None and len(steps) != len(values):
        raise ValueError(f"gate_activity: {len(values)} time steps, but {len(steps)} names of them")
    bounds = numbers("gate_activity", "limits", limits)
    if bounds.shape != (2,) or not np.isfinite(bounds).all() or not bounds[0] < bounds[1]:
        raise ValueError(f"gate_activity: limits must be (smaller, larger), got {limits}")
    low, high = bounds.tolist()
    colors = "PuOr" if low < 0 else "cividis"
    axes.imshow(values.T, cmap=colors, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    axes.set(xlabel="step", ylabel="unit")
    if steps is not None:
        axes.set_xticks(range(len(steps)), list(steps))
        axes.set_xlabel("")


def gate_saturation(
    axes: "Axes", saturation: GateSaturation, gates: Sequence[str] | None = None
) -> None:
    """A circle for each unit of each gate: how often it is open, and how often it is shut.

    To the right, units that nearly always let through; at the top, those that nearly never do; at
    the origin, those that are hardly ever saturated. The two shares add up to one at the most: the
    dotted line.

    Args:
      axes: matplotlib axes to draw on.
      saturation: what `gate_saturation` gives.
      gates: which gates, by their letters, such as "ifo"; by default all.

    Raises:
      ValueError: for a gate that the cell does not have, or none.
      TypeError: for axes that are none, another saturation, and gates that are no words.

    Source: Karpathy, Johnson & Fei-Fei 2015 (arXiv 1506.02078), figure 3.

    >>> import matplotlib; matplotlib.use("agg")
    >>> import matplotlib.pyplot as plt, jax.numpy as jnp, jaxnn.plot
    >>> left, right = (jaxnn.LSTMGates(*jnp.full((4, 8), share)) for share in (0.1, 0.6))
    >>> figure, axes = plt.subplots()
    >>> jaxnn.plot.gate_saturation(axes, jaxnn.diagnostics.GateSaturation(left, right), "ifo")
    >>> [text.get_text() for text in axes.get_legend().get_texts()]
    ['i', 'f', 'o']
    >>> plt.close(figure)
    """
    check_axes("gate_saturation", axes)
    if not isinstance(saturation, GateSaturation):
        raise TypeError(
            f"gate_saturation: saturation must be the GateSaturation of "
            f"jaxnn.diagnostics.gate_saturation, got {type(saturation).__name__}"
        )
    known = saturation.left._fields
    gates = known if gates is None else gates
    check_names("gate_saturation", "gates", gates)
    if not gates or not set(gates) <= set(known):
        raise ValueError(
            f"gate_saturation: gates must be some of {', '.join(known)}; got {gates!r}"
        )
    for gate, marker in zip(gates, itertools.cycle("os^D")):
        left, right = (
            numbers("gate_saturation", f"the shares of {gate}", getattr(side, gate)).ravel()
            for side in saturation
        )
        axes.scatter(right, left, s=24, marker=marker, alpha=0.45, linewidths=0, label=gate)
    axes.plot([0, 1], [1, 0], color="grey", linestyle=":", linewidth=0.8)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    axes.set(xlabel="share of steps right-saturated", ylabel="share of steps left-saturated")
    axes.legend(frameon=False)
