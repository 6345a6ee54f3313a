"""Recurrent dropout without memory loss: of what is added to the state, and not of the state."""

import functools
from typing import TypeVar

import jax
import jax.numpy as jnp

from jaxnn.internal.factory import factory
from jaxnn.internal.options import check_fraction
from jaxnn.recurrence.split import Split
from jaxnn.transforms.random_split import Disturbance, disturbed, split_of, state_outline
from jaxnn.types import Array, ArrayLike, Cell, Key, Params, PyTree, State

P = TypeVar("P")
S = TypeVar("S")


@factory
def recurrent_dropout(cell: Cell[P, S], rate: float) -> Cell[P, S]:
    """A cell that drops what is new in a step, so that what it remembers is not lost.

        c' = f∘c + i∘(d∘g)             of an lstm
        h' = (1 − z)∘(d∘n) + z∘h       of a gru, and of an mgu by its f

    d is 0 with probability `rate` and 1 / (1 − rate) otherwise, for each unit at each step anew,
    where a key is given; 1 without. A mask on the state itself would forget a share of it at each
    step.

    Args:
      cell: an `lstm`, `gru` or `mgu`, with any options.
      rate: how much is dropped, in [0, 1).

    Returns:
      A Cell with the params, states and outputs of `cell`. It runs as fast as `cell`.

    Raises:
      TypeError, ValueError: for another cell, and for a rate that is no number in [0, 1).

    Source: Semeniuta, Severyn & Barth 2016 (arXiv 1603.05118), with the mask of each step.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.regularizers.recurrent_dropout(jaxnn.lstm(3, 4), 0.5)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((1, 3))
    >>> state, _ = cell.unroll(params, xs, key=jax.random.key(1))
    >>> (state.cell == 0).tolist()
    [True, False, True, False]
    """
    check_fraction("recurrent_dropout", "rate", rate)
    split = split_of("recurrent_dropout", cell)
    if split.thinned is None:
        raise TypeError(
            f"recurrent_dropout: cell must be an lstm, gru or mgu, of which it is known what is "
            f"new in a step; got {cell!r}. Other regularisers stand around this one"
        )
    draw = functools.partial(_draw, rate)
    return disturbed("recurrent_dropout", cell, Disturbance(draw, _combine))


def _draw(rate: float, split: Split, params: Params, x: ArrayLike, key: Key) -> Array:
    """d, for each unit: the leaf that is last in the state has one number for each."""
    like = jax.tree.leaves(state_outline(split, params, x))[-1]
    keep = jax.random.bernoulli(key, 1 - rate, like.shape)
    return jnp.where(keep, jnp.array(1 / (1 - rate), like.dtype), jnp.zeros((), like.dtype))


def _combine(
    split: Split,
    factor: Array | None,
    params: Params,
    projected: PyTree,
    mixed: PyTree,
    state: State,
) -> State:
    if factor is None or split.thinned is None:
        return split.combine(params, projected, mixed, state)
    return split.thinned(factor, params, projected, mixed, state)
