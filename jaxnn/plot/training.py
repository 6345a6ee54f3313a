"""How a training went, and what the network takes for what."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jaxnn.internal.options import check_size
from jaxnn.plot.checks import array, check_axes, check_names, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def learning_curve(axes: "Axes", losses: Sequence[float], window: int = 25) -> None:
    """The loss of every step, faint, and its mean over the last `window` steps.

    The scale is logarithmic where every loss is above zero.

    Args:
      axes: matplotlib axes to draw on.
      losses: one number a step, as in `History.loss`.
      window: steps that are averaged.

    Raises:
      ValueError: for no losses, or a window below 1.
      TypeError: for axes that are none, and losses that are no numbers.

    >>> import matplotlib; matplotlib.use("agg")
    >>> import matplotlib.pyplot as plt, jaxnn.plot
    >>> figure, axes = plt.subplots()
    >>> jaxnn.plot.learning_curve(axes, [1.0, 0.5, 0.25], window=2)
    >>> len(axes.lines)
    2
    >>> plt.close(figure)
    """
    check_axes("learning_curve", axes)
    values = numbers("learning_curve", "losses", losses)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"learning_curve: losses must be (steps,), got the shape {values.shape}")
    steps = np.arange(1, len(values) + 1)
    window = min(check_size("learning_curve", "window", window), len(values))
    smooth = np.convolve(values, np.full(window, 1 / window), mode="valid")
    axes.plot(steps, values, color="tab:blue", alpha=0.25, linewidth=0.8, label="each step")
    axes.plot(steps[window - 1 :], smooth, color="tab:blue", label=f"mean of {window} steps")
    positive = bool((values[np.isfinite(values)] > 0).all())
    axes.set(xlabel="step", ylabel="loss", yscale="log" if positive else "linear")
    axes.legend(frameon=False)


def confusion_matrix(
    axes: "Axes",
    labels: npt.ArrayLike,
    predictions: npt.ArrayLike,
    names: Sequence[str] | None = None,
) -> None:
    """How often each class was taken for each other one.

    Args:
      axes: matplotlib axes to draw on.
      labels, predictions: integers `(samples,)`.
      names: of the classes; by default their numbers.

    Raises:
      ValueError: where the two differ in shape, there is no sample or a negative number, or there
        are fewer names than classes.
      TypeError: where they are not integers, names are no words, or axes are none.

    >>> import matplotlib; matplotlib.use("agg")
    >>> import matplotlib.pyplot as plt, jaxnn.plot
    >>> figure, axes = plt.subplots()
    >>> jaxnn.plot.confusion_matrix(axes, [0, 1, 1], [0, 1, 0])
    >>> [text.get_text() for text in axes.texts]
    ['1', '1', '1']
    >>> plt.close(figure)
    """
    check_axes("confusion_matrix", axes)
    labels = array("confusion_matrix", "labels", labels)
    predictions = array("confusion_matrix", "predictions", predictions)
    if labels.shape != predictions.shape or labels.ndim != 1 or not len(labels):
        raise ValueError(
            f"confusion_matrix: labels and predictions must both be (samples,), "
            f"got {labels.shape} and {predictions.shape}"
        )
    for argument, values in (("labels", labels), ("predictions", predictions)):
        if not np.issubdtype(values.dtype, np.integer):
            raise TypeError(f"confusion_matrix: {argument} must be integers, got {values.dtype}")
        if values.min() < 0:
            raise ValueError(f"confusion_matrix: {argument} must not be negative")
    size = int(max(labels.max(), predictions.max())) + 1
    names = [str(k) for k in range(size)] if names is None else names
    check_names("confusion_matrix", "names", names)
    if len(names) < size:
        raise ValueError(f"confusion_matrix: {size} classes, but {len(names)} names")
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (labels, predictions), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(counts):
        dark = shares[row, column] > 0.5
        axes.text(
            column,
            row,
            str(counts[row, column]),
            ha="center",
            va="center",
            color="white" if dark else "black",
        )
    axes.set(xlabel="predicted", ylabel="true", xticks=range(len(names)), yticks=range(len(names)))
    axes.set_xticklabels(names)
    axes.set_yticklabels(names)
