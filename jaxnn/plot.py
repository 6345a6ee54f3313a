"""Pictures that people draw more than once; matplotlib is imported when one is drawn."""

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jaxnn.internal.options import check_size

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
    >>> import matplotlib.pyplot as plt
    >>> figure, axes = plt.subplots()
    >>> learning_curve(axes, [1.0, 0.5, 0.25], window=2)
    >>> len(axes.lines)
    2
    >>> plt.close(figure)
    """
    _check_axes("learning_curve", axes)
    values = _numbers("learning_curve", "losses", losses)
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
    >>> import matplotlib.pyplot as plt
    >>> figure, axes = plt.subplots()
    >>> confusion_matrix(axes, [0, 1, 1], [0, 1, 0])
    >>> [text.get_text() for text in axes.texts]
    ['1', '1', '1']
    >>> plt.close(figure)
    """
    _check_axes("confusion_matrix", axes)
    labels = _array("confusion_matrix", "labels", labels)
    predictions = _array("confusion_matrix", "predictions", predictions)
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
    _check_names("confusion_matrix", "names", names)
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
    >>> import matplotlib.pyplot as plt
    >>> figure, axes = plt.subplots()
    >>> gate_activity(axes, [[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]], steps="cat")
    >>> axes.images[0].get_array().shape, [text.get_text() for text in axes.get_xticklabels()]
    ((2, 3), ['c', 'a', 't'])
    >>> plt.close(figure)
    """
    _check_axes("gate_activity", axes)
    values = _numbers("gate_activity", "values", values)
    if values.ndim != 2 or not values.size:
        raise ValueError(
            f"gate_activity: values must be (time, units) of one sequence, got the shape "
            f"{values.shape}"
        )
    if steps is not None:
        _check_names("gate_activity", "steps", steps)
    if steps is not None and len(steps) != len(values):
        raise ValueError(f"gate_activity: {len(values)} time steps, but {len(steps)} names of them")
    bounds = _numbers("gate_activity", "limits", limits)
    if bounds.shape != (2,) or not np.isfinite(bounds).all() or not bounds[0] < bounds[1]:
        raise ValueError(f"gate_activity: limits must be (smaller, larger), got {limits}")
    low, high = bounds.tolist()
    colors = "PuOr" if low < 0 else "cividis"
    axes.imshow(values.T, cmap=colors, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    axes.set(xlabel="step", ylabel="unit")
    if steps is not None:
        axes.set_xticks(range(len(steps)), list(steps))
        axes.set_xlabel("")


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
    >>> import matplotlib.pyplot as plt
    >>> figure, axes = plt.subplots()
    >>> gradient_norm(axes, {"vanishes": [1.0, 0.5, 0.25], "explodes": [1.0, 2.0, 4.0]})
    >>> [text.get_text() for text in axes.get_legend().get_texts()], axes.get_yscale()
    (['vanishes', 'explodes'], 'log')
    >>> plt.close(figure)
    """
    _check_axes("gradient_norm", axes)
    if not isinstance(norms, Mapping):
        raise TypeError(
            f"gradient_norm: norms must be a dictionary, from a name to numbers, got "
            f"{type(norms).__name__}"
        )
    if not norms:
        raise ValueError("gradient_norm: norms must name at least one network, got none")
    rows = {}
    for name, given in norms.items():
        values = _numbers("gradient_norm", f"the norms of {name!r}", given)
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


def _check_axes(name: str, axes: object) -> None:
    """Raise TypeError unless one can draw on axes: a figure, or an array of several, is none."""
    if not hasattr(axes, "imshow") or not hasattr(axes, "set_xlabel"):
        raise TypeError(
            f"{name}: axes must be the axes of matplotlib, as plt.subplots() gives them beside the "
            f"figure; got {type(axes).__name__}"
        )


def _array(name: str, argument: str, value: npt.ArrayLike) -> np.ndarray:
    try:
        return np.asarray(value)
    except (TypeError, ValueError):  # rows of unequal length, or traced
        raise TypeError(
            f"{name}: {argument} must be an array of numbers, got {type(value).__name__}"
        ) from None


def _numbers(name: str, argument: str, value: npt.ArrayLike) -> np.ndarray:
    """Real numbers, as float64."""
    values = _array(name, argument, value)
    if values.size and not (jnp.issubdtype(values.dtype, np.number) or values.dtype == bool):
        raise TypeError(f"{name}: {argument} must be numbers, got {values.dtype}")
    if np.iscomplexobj(values):
        raise TypeError(f"{name}: {argument} must be real numbers, got {values.dtype}")
    return values.astype(float)


def _check_names(name: str, argument: str, value: object) -> None:
    """Raise TypeError unless value is a sequence of words, or a word, for its letters."""
    words = isinstance(value, (Sequence, np.ndarray))
    if not words or not all(isinstance(word, str) for word in value):
        raise TypeError(f"{name}: {argument} must be words, one for each, got {value!r}")
