"""What grows or fades along a sequence: gradients, singular values, tangents."""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jaxnn.internal.options import check_size
from jaxnn.plot.checks import check_axes, check_named, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def gradient_norm(axes: "Axes", norms: Mapping[str, npt.ArrayLike]) -> None:
    """How large a gradient is after so many steps back through time: a line for each network.

    The scale is logarithmic; a norm of zero, where a gradient has vanished altogether, and one that
    is not finite leave a gap.

    Args:
      axes: matplotlib axes to draw on.
      norms: for each name, numbers `(distances,)`: the norm at distance 0, 1, 2, … from the loss.

    Raises:
      ValueError: for no network, norms that are not `(distances,)`, or a negative norm.
      TypeError: for axes that are none, and norms that are no dictionary of numbers.

    Source: the picture goes back to Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013
    (arXiv 1211.5063).

    >>> import matplotlib; matplotlib.use("agg")
    >>> import matplotlib.pyplot as plt, jaxnn.plot
    >>> figure, axes = plt.subplots()
    >>> jaxnn.plot.gradient_norm(axes, {"vanishes": [1.0, 0.5, 0.25], "explodes": [1.0, 2.0, 4.0]})
    >>> [text.get_text() for text in axes.get_legend().get_texts()], axes.get_yscale()
    (['vanishes', 'explodes'], 'log')
    >>> plt.close(figure)
    """
    check_axes("gradient_norm", axes)
    check_named("gradient_norm", "norms", norms, "network")
    rows = {}
    for name, given in norms.items():
        values = numbers("gradient_norm", f"the norms of {name!r}", given)
        if values.ndim != 1 or not len(values):
            raise ValueError(
                f"gradient_norm: the norms of {name!r} must be (distances,), got the shape "
                f"{values.shape}"
            )
        if (values < 0).any():
            raise ValueError(f"gradient_norm: the norms of {name!r} must not be negative")
        rows[name] = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    for (name, drawn), style in zip(rows.items(), itertools.cycle(["-", "--", "-.", ":"])):
        axes.plot(np.arange(len(drawn)), drawn, linestyle=style, label=name)
    axes.set(xlabel="steps back from the loss", ylabel="norm of the gradient", yscale="log")
    axes.legend(frameon=False)


def singular_values(axes: "Axes", values: Mapping[int, npt.ArrayLike]) -> None:
    """The largest, the median and the smallest singular value against the gap of steps.

    Each is a line of medians over all windows and sequences, on logarithmic scales; a faint line at
    1 is where nothing grows or shrinks. NaN, of masked windows, does not count; what is zero leaves
    a gap.

    Args:
      axes: matplotlib axes to draw on.
      values: for each gap, what `gap_singular_values` gives of it, `(..., size)`.

    Raises:
      ValueError: for no gap, a gap below 1, values without a last dimension, or a negative one.
      TypeError: for axes that are none, and values that are no dictionary of numbers.

    Source: Pascanu, Mikolov & Bengio 2013 (arXiv 1211.5063).

    >>> import matplotlib; matplotlib.use("agg")
    >>> import matplotlib.pyplot as plt, jaxnn.plot
    >>> figure, axes = plt.subplots()
    >>> jaxnn.plot.singular_values(axes, {1: [[1.1, 0.5]], 2: [[1.2, 0.3]], 4: [[1.5, 0.1]]})
    >>> [line.get_label() for line in axes.lines[:3]]
    ['largest', 'median', 'smallest']
    >>> plt.close(figure)
    """
    check_axes("singular_values", axes)
    check_named("singular_values", "values", values, "gap", int)
    rows = []
    for gap, given in values.items():
        gap = check_size("singular_values", "a gap in values", gap)
        drawn = numbers("singular_values", f"the values of gap {gap}", given)
        if not drawn.ndim or not drawn.size:
            raise ValueError(
                f"singular_values: the values of gap {gap} must be (..., size), got the shape "
                f"{drawn.shape}"
            )
        if (drawn < 0).any():
            raise ValueError(f"singular_values: the values of gap {gap} must not be negative")
        drawn = drawn.reshape(-1, drawn.shape[-1])
        drawn = drawn[~np.isnan(drawn).any(axis=1)]
        each = [np.max(drawn, axis=1), np.median(drawn, axis=1), np.min(drawn, axis=1)]
        rows.append([gap, *(np.median(part) if len(part) else np.nan for part in each)])
    gaps, *lines = np.array(sorted(rows)).T
    lines = [np.where(np.isfinite(line) & (line > 0), line, np.nan) for line in lines]
    axes.fill_between(gaps, lines[2], lines[0], color="tab:blue", alpha=0.12, linewidth=0)
    styles = {"largest": "-", "median": "--", "smallest": ":"}
    for line, (name, style) in zip(lines, styles.items(), strict=True):
        axes.plot(gaps, line, color="tab:blue", linestyle=style, marker=".", label=name)
    axes.axhline(1, color="grey", linewidth=0.8)
    axes.set(xlabel="gap (steps)", ylabel="singular value", xscale="log", yscale="log")
    axes.legend(frameon=False)


def lyapunov_exponents(axes: "Axes", growth: npt.ArrayLike) -> None:
    """The estimates of the Lyapunov exponents after each step: the mean growth so far, a line each.

    A faint line at 0 parts what is forgotten, below, from chaos, above.

    Args:
      axes: matplotlib axes to draw on.
      growth: `(time, count)`, the `growth` of `LyapunovExponents` for one sequence.

    Raises:
      ValueError: where growth is not `(time, count)`.
      TypeError: for axes that are none, and growth that is no numbers.

    >>> import matplotlib; matplotlib.use("agg")
    >>> import matplotlib.pyplot as plt, jaxnn.plot
    >>> figure, axes = plt.subplots()
    >>> jaxnn.plot.lyapunov_exponents(axes, [[0.5, -1.0], [0.3, -1.0]])
    >>> [text.get_text() for text in axes.get_legend().get_texts()]
    ['λ1 = 0.400', 'λ2 = −1.000']
    >>> plt.close(figure)
    """
    check_axes("lyapunov_exponents", axes)
    values = numbers("lyapunov_exponents", "growth", growth)
    if values.ndim != 2 or not values.size:
        raise ValueError(
            f"lyapunov_exponents: growth must be (time, count) of one sequence, got the shape "
            f"{values.shape}"
        )
    steps = np.arange(1, len(values) + 1)
    means = np.cumsum(values, axis=0) / steps[:, None]
    for number, line in enumerate(means.T, start=1):
        label = f"λ{number} = {line[-1]:.3f}".replace("-", "−")
        axes.plot(steps, np.where(np.isfinite(line), line, np.nan), label=label)
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set(xlabel="steps", ylabel="exponent (nats a step)", xscale="log")
    axes.legend(frameon=False, fontsize="small", ncols=1 + (values.shape[1] - 1) // 8)
