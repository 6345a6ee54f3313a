"""Two runs of one split as one batch: both directions of a sequence, in one loop."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.recurrence.path import run_split
from jaxnn.recurrence.run import Run
from jaxnn.recurrence.scan import Edges, edges, where
from jaxnn.recurrence.split import Split, prepare
from jaxnn.recurrence.unroll import begin
from jaxnn.types import Params, State


def run_pair(
    split: Split, params: tuple[Params, Params], forth: Run, back: Run
) -> tuple[tuple[State, Any], tuple[State, Any]]:
    """A split from both ends of one sequence, with parameters of equal shapes.

    One matmul projects the input for both; the second one's is turned round, and the loop runs the
    two as one batch, with half as many steps, and larger ones, than two loops.
    """
    forth, *forth_states = begin(split, params[0], forth)
    back, *back_states = begin(split, params[1], back)
    both, states = _stack(*params, 0), _stack(forth_states, back_states, 0)
    projected = jax.vmap(functools.partial(prepare, split), (0, None))(both, forth.xs)
    projected = jax.tree.map(lambda leaf: _stack(leaf[0], leaf[1][::-1], 1), projected)
    at = _edges_of_both(forth, back)
    run: Any = functools.partial(run_split, split, False)
    final, ys = jax.vmap(run, (0, 1, 0, 0, 1), (0, 1))(both, projected, *states, at)
    if at.valid is not None:
        ys = where(at.valid, ys, jax.tree.map(jnp.zeros_like, ys))

    def one(index: int) -> tuple[State, Any]:
        state = jax.tree.map(lambda leaf: leaf[index], final)
        return state, jax.tree.map(lambda leaf: leaf[:: 1 - 2 * index, index], ys)

    return one(0), one(1)


def _stack(left: Any, right: Any, axis: int) -> Any:
    return jax.tree.map(lambda a, b: jnp.stack([a, b], axis), left, right)


def _edges_of_both(forth: Run, back: Run) -> Edges:
    """Those of the first run, and those of the second from its end; None for nowhere."""

    def pair(a: Any, b: Any) -> Any:
        if a is None and b is None:
            return None
        a = jnp.zeros_like(b) if a is None else a
        b = jnp.zeros_like(a) if b is None else b
        return _stack(a, b[::-1], 1)

    one, other = edges(forth.mask, forth.reset, False), edges(back.mask, back.reset, True)
    return Edges(*(pair(a, b) for a, b in zip(one, other, strict=True)))
