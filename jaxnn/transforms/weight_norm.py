"""Weight normalisation: the length of each unit's weights is a parameter of its own."""

from typing import Generic, NamedTuple, TypeVar

import jax.numpy as jnp

from jaxnn.internal.checks import state_dtype
from jaxnn.internal.factory import factory
from jaxnn.transforms.kernels import KERNELS, check_kernels_of, kernels_of, replaced, with_kernels
from jaxnn.types import Array, Cell, Key, exportable

P = TypeVar("P")
S = TypeVar("S")


@exportable
class WeightNormParams(NamedTuple, Generic[P]):
    """The parameters of the cell, of whose kernels the direction counts, and for each kernel its
    gain g, `(gates, hidden)`, by its path and `_gain`."""

    cell: P
    gain: dict[str, Array]


@factory
def weight_norm(cell: Cell[P, S]) -> Cell[WeightNormParams[P], S]:
    """A cell whose kernels are normalised, unit by unit.

        w = g · v / ‖v‖

    v are the weights into one unit of one gate, a column of an `input_kernel` or of a
    `recurrent_kernel`, of a whole `stack` too. At first g = ‖v‖, so that the cell is as it was.

    Args:
      cell: any Cell with such parameters.

    Returns:
      A Cell with `WeightNormParams`, and the states and outputs of `cell`. The kernels are made
      once for each call; it runs as fast as `cell`.

    Raises:
      TypeError: for a cell without such parameters.

    Source: Salimans & Kingma 2016 (arXiv 1602.07868), without their initialisation by data.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell, xs = jaxnn.gru(3, 4), jnp.ones((5, 2, 3))
    >>> normed = jaxnn.regularizers.weight_norm(cell)
    >>> params = normed.init(jax.random.key(0))
    >>> params.gain["recurrent_kernel_gain"].shape
    (3, 4)
    >>> bool(jnp.allclose(normed.unroll(params, xs)[1], cell.unroll(params.cell, xs)[1], atol=1e-6))
    True
    """
    check_kernels_of("weight_norm", cell, KERNELS, (2, 9))

    def init(key: Key) -> WeightNormParams[P]:
        params = cell.init(key)
        kernels = kernels_of(params, KERNELS).items()
        return WeightNormParams(
            params,
            {f"{path}_gain": _lengths(v).squeeze(_rows(v)).astype(v.dtype) for path, v in kernels},
        )

    return with_kernels(cell, _normed, init)


def _normed(cell: Cell[P, S], params: WeightNormParams[P], key: Key | None) -> tuple[P, Key | None]:
    directions = kernels_of(params.cell, KERNELS)
    kernels = {
        path: (jnp.expand_dims(params.gain[f"{path}_gain"], _rows(v)) * v / _lengths(v)).astype(
            v.dtype
        )
        for path, v in directions.items()
    }
    return replaced(params.cell, kernels), key


def _rows(v: Array) -> tuple[int, ...]:
    """The axes of what one unit is given; the gates and the units, or the units, come after."""
    return tuple(range(max(1, v.ndim - 2)))


def _lengths(v: Array) -> Array:
    """‖v‖ with axes of length one; never zero, so that a kernel of zeros has a gradient."""
    v = v.astype(state_dtype(v.dtype))
    return jnp.sqrt(jnp.sum(v**2, _rows(v), keepdims=True) + jnp.finfo(v.dtype).tiny)
