"""DropConnect on recurrent kernels."""

import functools
from typing import TypeVar

import jax

from jaxnn.internal.checks import check_key
from jaxnn.internal.factory import factory
from jaxnn.internal.options import check_fraction
from jaxnn.layers.dropout import drop
from jaxnn.transforms.kernels import RECURRENT, check_kernels_of, kernels_of, replaced, with_kernels
from jaxnn.types import Cell, Key

P = TypeVar("P")
S = TypeVar("S")


@factory
def drop_connect(cell: Cell[P, S], rate: float) -> Cell[P, S]:
    """A cell that drops weights of its recurrent kernels, the same ones at all steps.

        W̃ = W∘m / (1 − rate)       m ~ Bernoulli(1 − rate), for each weight, where a key is given

    Each call of `unroll` draws once, for the whole batch, and each call of `apply` too: a sequence
    that is cut in pieces draws for each piece. Kernels are the leaves of the parameters that are
    called `recurrent_kernel`, those of a whole `stack` too.

    Args:
      cell: any Cell with such parameters.
      rate: how much is dropped, in [0, 1).

    Returns:
      A Cell with the params, states and outputs of `cell`. It runs as fast as `cell`.

    Raises:
      TypeError, ValueError: for a cell without such parameters, and for a rate that is no number in
        [0, 1).

    Source: Wan et al. 2013; of recurrent kernels, Merity et al. 2018 (arXiv 1708.02182).

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.regularizers.drop_connect(jaxnn.lstm(3, 8), 0.5)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((5, 2, 3))
    >>> def loss(params, key):
    ...     return jnp.sum(cell.unroll(params, xs, key=key)[1])
    >>> gradient = jax.grad(loss)(params, jax.random.key(1)).recurrent_kernel
    >>> 0.4 < (gradient == 0).mean().item() < 0.6
    True
    """
    check_fraction("drop_connect", "rate", rate)
    check_kernels_of("drop_connect", cell, RECURRENT, (1, 9))
    return with_kernels(cell, functools.partial(_drop, rate), cell.init)


def _drop(rate: float, cell: Cell, params: P, key: Key | None) -> tuple[P, Key | None]:
    check_key("drop_connect", key)
    if key is None:
        return params, None
    own, key = jax.random.split(key)
    kernels = kernels_of(params, RECURRENT)
    keys = jax.random.split(own, len(kernels))
    dropped = {
        path: drop(rate, kernel, k) for k, (path, kernel) in zip(keys, kernels.items(), strict=True)
    }
    return replaced(params, dropped), key
