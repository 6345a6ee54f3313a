"""Zoneout: units that keep their state at a step, by chance."""

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
Rates = float | tuple[float, ...]


@factory
def zoneout(cell: Cell[P, S], rates: Rates) -> Cell[P, S]:
    """A cell whose units keep what they were at a step, each with probability `rates`.

        s' = d∘s + (1 − d)∘new(s, x)       d ~ Bernoulli(rate), where a key is given
        s' = rate·s + (1 − rate)·new(s, x)       without: the expectation

    At each step each number of the state has a d of its own. The output is that of s'.

    Args:
      cell: a cell of the library that has equations, such as `lstm`, or a `split_cell`.
      rates: one number in [0, 1) for the whole state, or a tuple of one for each leaf, in the order
        of its fields: for an `lstm` those of h and of c.

    Returns:
      A Cell with the params, states and outputs of `cell`. It runs as fast as `cell`.

    Raises:
      TypeError, ValueError: for another cell, and for rates that are no numbers in [0, 1), one for
        each leaf.

    Source: Krueger et al. 2017 (arXiv 1606.01305), who take 0.05 for h and 0.5 for c.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.regularizers.zoneout(jaxnn.gru(3, 4), 0.5)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((1, 3))
    >>> start = jaxnn.GRUState(jnp.full(4, 9.0))
    >>> state, _ = cell.unroll(params, xs, start, key=jax.random.key(1))
    >>> (state.hidden == 9).tolist()
    [True, True, False, False]
    """
    split_of("zoneout", cell)
    if isinstance(rates, tuple):
        leaves = len(
            jax.tree.leaves(
                jax.eval_shape(functools.partial(_first_state, cell), jax.random.key(0))
            )
        )
        if len(rates) != leaves:
            raise ValueError(
                f"zoneout: rates must be a number, or {leaves} for the leaves of the state of "
                f"{cell}; got {len(rates)}"
            )
    for rate in rates if isinstance(rates, tuple) else (rates,):
        check_fraction("zoneout", "rates", rate)
    draw, combine = functools.partial(_draw, rates), functools.partial(_combine, rates)
    return disturbed("zoneout", cell, Disturbance(draw, combine))


def _first_state(cell: Cell, key: Key) -> State:
    return cell.initial_state(cell.init(key))


def _each(rates: Rates, leaves: list[Array]) -> tuple[float, ...]:
    return rates if isinstance(rates, tuple) else (rates,) * len(leaves)


def _draw(rates: Rates, split: Split, params: Params, x: ArrayLike, key: Key) -> list[Array]:
    """For each leaf of the state, where it keeps what it was."""
    leaves = jax.tree.leaves(state_outline(split, params, x))
    every = zip(jax.random.split(key, len(leaves)), _each(rates, leaves), leaves, strict=True)
    return [jax.random.bernoulli(k, rate, leaf.shape) for k, rate, leaf in every]


def _combine(
    rates: Rates,
    split: Split,
    kept: list[Array] | None,
    params: Params,
    projected: PyTree,
    mixed: PyTree,
    state: State,
) -> State:
    news, structure = jax.tree.flatten(split.combine(params, projected, mixed, state))
    olds = jax.tree.leaves(state)
    if kept is None:
        every = zip(_each(rates, news), olds, news, strict=True)
        return structure.unflatten([rate * old + (1 - rate) * new for rate, old, new in every])
    every = zip(kept, olds, news, strict=True)
    return structure.unflatten([jnp.where(keep, old, new) for keep, old, new in every])
