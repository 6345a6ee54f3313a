"""Spikes: a step, 0 or 1, with the derivative of something smoother in the place of its own.

As the activations with numbers of their own, they compare, print and pickle by their numbers.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.internal.options import check_number
from jaxnn.types import Array


class FastSigmoidSpike(NamedTuple):
    """What `fast_sigmoid_spike` gives."""

    slope: float

    def __call__(self, x: Array) -> Array:
        return _step(self, x)

    def derivative(self, x: Array) -> Array:
        """1 / (1 + slope·|x|)²."""
        return (1 + self.slope * jnp.abs(x)) ** -2


class ArctanSpike(NamedTuple):
    """What `arctan_spike` gives."""

    slope: float

    def __call__(self, x: Array) -> Array:
        return _step(self, x)

    def derivative(self, x: Array) -> Array:
        """(slope / 2) / (1 + (π · slope · x / 2)²)."""
        return self.slope / 2 / (1 + jnp.square(math.pi * self.slope / 2 * x))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _step(surrogate: FastSigmoidSpike | ArctanSpike, x: Array) -> Array:
    return (x > 0).astype(x.dtype)


@_step.defjvp
def _step_jvp(
    surrogate: FastSigmoidSpike | ArctanSpike, primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    (x,), (x_dot,) = primals, tangents
    return _step(surrogate, x), surrogate.derivative(x) * x_dot


def fast_sigmoid_spike(slope: float = 25.0) -> FastSigmoidSpike:
    """1 where x is above zero, else 0; its derivative is taken to be 1 / (1 + slope·|x|)².

    Args:
      slope: a finite number above zero.

    Returns:
      A function of an array, entry by entry: what `jaxnn.lif` makes its spikes by.

    Raises:
      TypeError, ValueError: for what is no finite number above zero.

    Source: Zenke & Ganguli 2018 (arXiv 1705.11146); Neftci, Mostafa & Zenke 2019 (arXiv
    1901.09948).

    >>> import jax, jax.numpy as jnp
    >>> spike = fast_sigmoid_spike(1.0)
    >>> spike(jnp.array([-1.0, 0.0, 1.0])).tolist(), float(jax.grad(spike)(jnp.ones(())))
    ([0.0, 0.0, 1.0], 0.25)
    """
    return FastSigmoidSpike(check_number("fast_sigmoid_spike", "slope", slope, above=0))


def arctan_spike(slope: float = 2.0) -> ArctanSpike:
    """1 where x is above zero, else 0; its derivative is taken to be that of
    arctan(π · slope · x / 2) / π.

    Args:
      slope: a finite number above zero.

    Returns:
      A function of an array, entry by entry: what `jaxnn.lif` makes its spikes by.

    Raises:
      TypeError, ValueError: for what is no finite number above zero.

    Source: Fang et al. 2021 (arXiv 2007.05785).

    >>> import jax, jax.numpy as jnp
    >>> spike = arctan_spike()
    >>> spike(jnp.array([-1.0, 0.0, 1.0])).tolist(), float(jax.grad(spike)(jnp.zeros(())))
    ([0.0, 0.0, 1.0], 1.0)
    """
    return ArctanSpike(check_number("arctan_spike", "slope", slope, above=0))
