"""Several runs in one picture: their curves, and how far they are spread."""

from typing import Any

import numpy as np

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Seven that most colour-blind readers can tell apart (Okabe & Ito 2008)."""


def grid(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    """A figure and its axes `(rows, columns)`, of this size in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def moving_mean(values: Any, window: int) -> np.ndarray:
    """The mean of each `window` neighbours along the last axis, of those that are not NaN.

    >>> moving_mean([[1.0, 3.0, np.nan, 5.0]], window=2).tolist()
    [[2.0, 3.0, 5.0]]
    """
    values = np.asarray(values, float)
    windows = np.lib.stride_tricks.sliding_window_view(values, window, axis=-1)
    known = ~np.isnan(windows)
    with np.errstate(invalid="ignore"):
        return np.where(known, windows, 0.0).sum(-1) / known.sum(-1)


def median_and_range(scores: np.ndarray) -> tuple[float, float, float]:
    """The median over seeds, the lowest and the highest.

    Not a mean with an interval by Student's t: scores that are bounded (0 to 100 % wrong) or skewed
    (a squared error of which one seed has most) would get ends that no seed could have.

    >>> median_and_range(np.array([0.0, 76.0, 3.0]))
    (3.0, 0.0, 76.0)
    """
    return float(np.median(scores)), float(np.min(scores)), float(np.max(scores))


def curves(axes: Any, values: Any, label: str, color: str, each: bool = True) -> None:
    """The mean of the runs of `(runs, steps)`, smoothed, and if asked each run, faint."""
    values = np.asarray(values)
    window = max(1, values.shape[1] // 40)
    smooth = moving_mean(values, window)
    steps = np.arange(window, values.shape[1] + 1)
    if each:
        axes.plot(steps, smooth.T, color=color, alpha=0.3, linewidth=0.8)
    axes.plot(steps, smooth.mean(axis=0), color=color, linewidth=2, label=label)
