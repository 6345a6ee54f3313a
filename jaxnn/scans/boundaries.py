"""What breaks the chain of states: masks, resets and direction, made in one place."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.functions.sequences import expand_to
from jaxnn.internal.arrays import late_zero
from jaxnn.internal.mesh import is_explicit, laid_out_as, vary, varying_axes
from jaxnn.types import Array, ArrayLike, PyTree, State, Tree


class Boundaries(NamedTuple):
    """What breaks the chain of states, each boolean `(time, *batch)`, or None for nowhere.

    valid: where the step counts; before and after: where `start` takes the place of the state
    before the step, and after it.
    """

    valid: ArrayLike | None
    before: ArrayLike | None
    after: ArrayLike | None


def boundaries(mask: ArrayLike | None, reset: ArrayLike | None, reverse: bool) -> Boundaries:
    """A masked step leaves the state as it is, and its reset is ignored. It is computed all the
    same, from `start` in place of its state, so that a state that is not finite puts no NaN into a
    gradient. A reset at a valid step stands before that step, or, in reverse, after it.
    """
    fresh = reset if mask is None or reset is None else reset & mask
    if reverse:
        return Boundaries(mask, None if mask is None else ~mask, fresh)
    if mask is None or fresh is None:
        return Boundaries(mask, fresh if mask is None else ~mask, None)
    return Boundaries(mask, ~mask | fresh, None)


def previous(
    states: State,
    state: State,
    start: State,
    at: Boundaries,
    reverse: bool,
    when: Array | None = None,
) -> State:
    """The states that the steps of such a scan began from, given those after each step.

    Where an array `when` is given, they are made when that is there (see `sequential.py`).
    """
    start = jax.tree.map(lambda leaf: leaf[None], start)
    if at.after is not None:
        states = where(at.after, start, states)

    def shift(first: Array, rest: Array) -> Array:
        whole = jnp.concatenate([rest, first[None]] if reverse else [first[None], rest])
        if when is None:
            return whole[1:] if reverse else whole[:-1]
        begin = int(reverse) + late_zero(when)
        whole, begin = vary((whole, begin), varying_axes((whole, when)))
        return jax.lax.dynamic_slice_in_dim(whole, begin, len(rest))

    states = jax.tree.map(shift, state, states)
    return states if at.before is None else where(at.before, start, states)


def where(flags: ArrayLike, chosen: PyTree, otherwise: Tree) -> Tree:
    """The tree `chosen` where the flags, `(*batch,)`, are true, the tree `otherwise` elsewhere."""

    def choose(a: Array, b: Array) -> Array:
        which = expand_to(flags, b)
        if is_explicit(b):
            wide = max(a, b, key=lambda leaf: leaf.size)
            which = laid_out_as(jnp.broadcast_to(which, wide.shape), jax.typeof(wide))
        return jnp.where(which, a, b)

    return jax.tree.map(choose, chosen, otherwise)
