"""Activations with numbers of their own: values that are equal where their numbers are.

`jax.nn` has those without. A function that is made anew in each call would make every cell that is
given it a new one, which is traced again; these compare, print and pickle by their numbers.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.internal.options import check_number
from jaxnn.types import Array


class HardSigmoid(NamedTuple):
    """What `hard_sigmoid` gives."""

    slope: float
    offset: float

    def __call__(self, x: Array) -> Array:
        return jnp.clip(self.slope * x + self.offset, 0, 1)


class Clip(NamedTuple):
    """What `clip` gives."""

    low: float
    high: float

    def __call__(self, x: Array) -> Array:
        return jnp.clip(x, self.low, self.high)


class LeakyRelu(NamedTuple):
    """What `leaky_relu` gives."""

    slope: float

    def __call__(self, x: Array) -> Array:
        return jnp.where(x >= 0, x, self.slope * x)


class ScaledTanh(NamedTuple):
    """What `scaled_tanh` gives."""

    scale: float
    slope: float

    def __call__(self, x: Array) -> Array:
        return self.scale * jnp.tanh(self.slope * x)


class Elu(NamedTuple):
    """What `elu` gives."""

    scale: float

    def __call__(self, x: Array) -> Array:
        return jax.nn.elu(x, self.scale)


def hard_sigmoid(slope: float = 1 / 6, offset: float = 0.5) -> HardSigmoid:
    """slope · x + offset, cut at 0 and 1.

    There are two of this name: keras 3, torch and `jax.nn.hard_sigmoid` have the slope 1/6, Keras 2
    and, by default, ONNX have 0.2.

    Args:
      slope, offset: finite numbers.

    Returns:
      A function of an array, entry by entry.

    Raises:
      TypeError, ValueError: for what is no finite number.

    Source: Courbariaux et al. 2015 (arXiv 1511.00363), section 1.3, with the slope 1/2.

    >>> import jax.numpy as jnp, jaxnn
    >>> [round(float(y), 2) for y in hard_sigmoid(0.2)(jnp.array([-3.0, 0.0, 1.0]))]
    [0.0, 0.5, 0.7]
    >>> jaxnn.lstm(3, 4, gate_activation=hard_sigmoid(0.2))
    lstm(3, 4, gate_activation=HardSigmoid(slope=0.2, offset=0.5))
    """
    return HardSigmoid(*_numbers("hard_sigmoid", slope=slope, offset=offset))


def clip(low: float, high: float) -> Clip:
    """x, cut at low and high: (0, 6) is relu6, (−1, 1) the hard tanh.

    Args:
      low, high: finite numbers, the lower one first.

    Returns:
      A function of an array, entry by entry; as a Layer, `jaxnn.activation(clip(0, 6))`.

    Raises:
      TypeError, ValueError: for what is no finite number, and for `high` that is not above `low`.

    >>> import jax.numpy as jnp
    >>> clip(0, 6)(jnp.array([-3.0, 2.0, 7.0])).tolist()
    [0.0, 2.0, 6.0]
    """
    low, high = _numbers("clip", low=low, high=high)
    if high <= low:
        raise ValueError(f"clip: high must be above low, got {low} and {high}")
    return Clip(low, high)


def leaky_relu(slope: float = 0.01) -> LeakyRelu:
    """x where it is not negative, and slope · x where it is.

    Args:
      slope: a finite number.

    Returns:
      A function of an array, entry by entry.

    Raises:
      TypeError, ValueError: for what is no finite number.

    Source: Maas, Hannun & Ng 2013, Rectifier nonlinearities improve neural network acoustic models.

    >>> import jax.numpy as jnp
    >>> leaky_relu(0.5)(jnp.array([-3.0, 2.0])).tolist()
    [-1.5, 2.0]
    """
    return LeakyRelu(*_numbers("leaky_relu", slope=slope))


def scaled_tanh(scale: float, slope: float) -> ScaledTanh:
    """scale · tanh(slope · x).

    Args:
      scale, slope: finite numbers; LeCun has 1.7159 and 2/3.

    Returns:
      A function of an array, entry by entry.

    Raises:
      TypeError, ValueError: for what is no finite number.

    Source: LeCun et al. 1998, Efficient BackProp, section 4.4.

    >>> import jax.numpy as jnp
    >>> round(float(scaled_tanh(1.7159, 2 / 3)(jnp.array(1.0))), 4)
    1.0
    """
    return ScaledTanh(*_numbers("scaled_tanh", scale=scale, slope=slope))


def elu(scale: float = 1.0) -> Elu:
    """x where it is positive, and scale · (exp(x) − 1) where it is not.

    Args:
      scale: a finite number.

    Returns:
      A function of an array, entry by entry.

    Raises:
      TypeError, ValueError: for what is no finite number.

    Source: Clevert, Unterthiner & Hochreiter 2015 (arXiv 1511.07289), equation 15.

    >>> import jax.numpy as jnp
    >>> elu(2.0)(jnp.array([0.0, 3.0])).tolist()
    [0.0, 3.0]
    """
    return Elu(*_numbers("elu", scale=scale))


def _numbers(name: str, **given: float) -> list[float]:
    return [check_number(name, argument, value) for argument, value in given.items()]
