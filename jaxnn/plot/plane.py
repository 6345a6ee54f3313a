"""Eigenvalues in the complex plane."""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jaxnn.plot.checks import array, check_axes, check_named

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def eigenvalues(axes: "Axes", values: Mapping[str, npt.ArrayLike]) -> None:
    """Eigenvalues in the complex plane, with the unit circle: inside decays, outside grows.

    Those of the first name are black, those of the next white, grey, and so on.

    Args:
      axes: matplotlib axes to draw on.
      values: for each name, real or complex numbers of any shape, such as the `eigenvalues` of
        FixedPoints at one point; there may be none.

    Raises:
      ValueError: for no name at all.
      TypeError: for axes that are none, and values that are no dictionary of numbers.

    >>> import matplotlib; matplotlib.use("agg")
    >>> import matplotlib.pyplot as plt, jaxnn.plot
    >>> figure, axes = plt.subplots()
    >>> jaxnn.plot.eigenvalues(axes, {"W": [0.9 + 0.2j, 0.9 - 0.2j, 0.3]})
    >>> [float(x) for x in axes.lines[-1].get_xdata()]
    [0.9, 0.9, 0.3]
    >>> plt.close(figure)
    """
    check_axes("eigenvalues", axes)
    check_named("eigenvalues", "values", values, "set of eigenvalues")
    rows = {}
    for name, given in values.items():
        drawn = array("eigenvalues", f"the values of {name!r}", given)
        if drawn.size and not jnp.issubdtype(drawn.dtype, np.number):
            raise TypeError(
                f"eigenvalues: the values of {name!r} must be numbers, got {drawn.dtype}"
            )
        rows[name] = drawn.ravel().astype(complex)
    angle = np.linspace(-np.pi, np.pi, 400)
    axes.plot(np.cos(angle), np.sin(angle), color="grey", linewidth=0.8)
    faces = itertools.cycle(["black", "white", "grey"])
    for (name, drawn), marker, face in zip(rows.items(), itertools.cycle("ooosss"), faces):
        axes.plot(
            drawn.real, drawn.imag, marker, color="black", mfc=face, ms=5, alpha=0.8, label=name
        )
    axes.set(xlabel="real part", ylabel="imaginary part", aspect="equal")
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
