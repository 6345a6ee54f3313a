"""Checks of what is drawn, and of what it is drawn on."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt


def check_axes(name: str, axes: object) -> None:
    """Raise TypeError unless one can draw on axes: a figure, or an array of several, is none."""
    if not hasattr(axes, "imshow") or not hasattr(axes, "set_xlabel"):
        raise TypeError(
            f"{name}: axes must be the axes of matplotlib, as plt.subplots() gives them beside the "
            f"figure; got {type(axes).__name__}"
        )


def array(name: str, argument: str, value: npt.ArrayLike) -> np.ndarray:
    """An array of numpy's; TypeError for what is none."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError):  # rows of unequal length, or traced
        raise TypeError(
            f"{name}: {argument} must be an array of numbers, got {type(value).__name__}"
        ) from None


def numbers(name: str, argument: str, value: npt.ArrayLike) -> np.ndarray:
    """Real numbers, as float64."""
    values = array(name, argument, value)
    if values.size and not (jnp.issubdtype(values.dtype, np.number) or values.dtype == bool):
        raise TypeError(f"{name}: {argument} must be numbers, got {values.dtype}")
    if np.iscomplexobj(values):
        raise TypeError(f"{name}: {argument} must be real numbers, got {values.dtype}")
    return values.astype(float)


def check_names(name: str, argument: str, value: object) -> None:
    """Raise TypeError unless value is a sequence of words, or a word, for its letters."""
    words = isinstance(value, (Sequence, np.ndarray))
    if not words or not all(isinstance(word, str) for word in value):
        raise TypeError(f"{name}: {argument} must be words, one for each, got {value!r}")


def check_named(name: str, argument: str, value: object, of: str, key: type = str) -> None:
    """Raise unless value is a dictionary with at least one entry, whose keys are words or gaps."""
    what = "a name" if key is str else "a number of steps"
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{name}: {argument} must be a dictionary, from {what} to numbers, got "
            f"{type(value).__name__}"
        )
    if not value:
        raise ValueError(f"{name}: {argument} must name at least one {of}, got none")
