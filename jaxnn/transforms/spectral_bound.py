"""A bound on the largest singular value of recurrent kernels."""

import functools
from typing import TypeVar

import jax.numpy as jnp

from jaxnn.internal.checks import state_dtype
from jaxnn.internal.factory import factory
from jaxnn.internal.options import check_number
from jaxnn.transforms.kernels import RECURRENT, check_kernels_of, kernels_of, replaced, with_kernels
from jaxnn.types import Array, Cell, Key

P = TypeVar("P")
S = TypeVar("S")
SQUARINGS = 8


@factory
def spectral_bound(cell: Cell[P, S], largest: float = 1.0) -> Cell[P, S]:
    """A cell whose recurrent matrices have no singular value above `largest`.

        W̃ = W · largest / max(largest, σ̄)       σ ≤ σ̄ ≤ σ · rank(W)^(1/512)

    for the matrix of each gate. σ̄ is a bound, found by squaring: ‖(WᵀW)^128‖ in Frobenius' norm to
    the power 1/256. It is above σ by less than 1 % for 128 units, and never below it, as an
    estimate by power iteration is; it keeps nothing from call to call, and takes matrix products
    alone, where an exact decomposition takes many times as long.

    Args:
      cell: any Cell with parameters that are called `recurrent_kernel`, a `stack` too.
      largest: the bound, above zero.

    Returns:
      A Cell with the params, states and outputs of `cell`. The kernels are made once for each call;
      it runs as fast as `cell`.

    Raises:
      TypeError, ValueError: for a cell without such parameters or with convolutions in their place,
        and for a bound that is no number above zero.

    Source: Delattre et al. 2023 (arXiv 2305.16173), Gram iteration; of recurrent networks, Miller &
    Hardt 2019 (arXiv 1805.10369).

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.regularizers.spectral_bound(jaxnn.elman(3, 4, jax.nn.relu), 0.5)
    >>> params = cell.init(jax.random.key(0))
    >>> state, _ = cell.apply(params, jaxnn.ElmanState(jnp.ones(4)), jnp.zeros(3))
    >>> bool(jnp.linalg.norm(state.hidden) <= 0.5 * 2)
    True
    """
    largest = check_number("spectral_bound", "largest", largest, above=0)
    check_kernels_of("spectral_bound", cell, RECURRENT, (2, 3))
    return with_kernels(cell, functools.partial(_bounded, largest), cell.init)


def _bounded(largest: float, cell: Cell, params: P, key: Key | None) -> tuple[P, Key | None]:
    kernels = {}
    for path, kernel in kernels_of(params, RECURRENT).items():
        exact = kernel.astype(state_dtype(kernel.dtype))
        factor = largest / jnp.maximum(largest, largest_singular_value(exact))
        kernels[path] = (exact * factor).astype(kernel.dtype)
    return replaced(params, kernels), key


def largest_singular_value(kernel: Array) -> Array:
    """A bound from above for each matrix: `(rows, columns)` to `(1, 1)`, `(rows, gates, columns)`
    to `(1, gates, 1)`."""
    g = kernel if kernel.ndim == 2 else jnp.moveaxis(kernel, 1, 0)
    logarithm = jnp.zeros((), g.dtype)
    for _ in range(SQUARINGS):
        length = _length(g)
        logarithm = 2 * (logarithm + jnp.log(length))
        g = g / length
        g = jnp.matmul(jnp.swapaxes(g, -1, -2), g)
    logarithm = logarithm + jnp.log(_length(g))
    bound = jnp.exp(logarithm / 2**SQUARINGS)
    return bound if kernel.ndim == 2 else jnp.moveaxis(bound, 0, 1)


def _length(g: Array) -> Array:
    """Frobenius' norm of each matrix, `(..., 1, 1)`; never zero."""
    return jnp.sqrt(jnp.sum(g**2, (-2, -1), keepdims=True) + jnp.finfo(g.dtype).tiny)
