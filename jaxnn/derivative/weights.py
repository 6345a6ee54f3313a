"""The tangent of `mix` in its weights, for all time steps by one matmul, and its transpose.

The transpose is the gradient of the weights, Σ_t s_{t−1}ᵀ δ_t, after the backward loop. The states
that steps begin from are those after each step, moved by one: an array of its own, which the
gradient makes late (`late.py`), so that it is not kept from the forward pass on.
"""

import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.derivative.analysis import Recurrence
from jaxnn.internal.linear_call import apply_linear
from jaxnn.internal.mesh import over_time
from jaxnn.internal.symbolic_zeros import are_zeros, dense, is_zero
from jaxnn.scans.boundaries import Boundaries, previous
from jaxnn.scans.buffers import takes_late_outputs
from jaxnn.types import Array, State


def dots_of_weights(
    recurrence: Recurrence,
    reverse: bool,
    weights: Any,
    weights_dot: Any,
    states: list[Any],
    state: State,
    start: State,
    at: Boundaries,
) -> list[Array]:
    """The tangents of the leaves of `mix`, `(time, ...)`; [] where those of its weights are zero.

    Args:
      recurrence, reverse: what ran, and its direction.
      weights, weights_dot: those of `mix`, and their tangents.
      states: over time, the leaves of the state after each step, None for those not kept.
      state, start, at: of that scan.
    """
    leaves = jax.tree.leaves(weights_dot, is_leaf=is_zero)
    if are_zeros(list(itertools.compress(leaves, recurrence.weights))):
        return []
    residuals, residuals_structure = jax.tree.flatten((weights, states, state, start, at))
    dots, dots_structure = jax.tree.flatten(dense(weights_dot))
    outlines = list(map(jax.typeof, dots))

    def run(residuals: list[Any], dots: list[Any], when: Array | None = None) -> list[Any]:
        weights, states, state, start, at = residuals_structure.unflatten(residuals)
        before = _before(states, state, start, at, reverse, when)
        along = dots_structure.unflatten(dots)
        if recurrence.bilinear:
            return jax.tree.leaves(recurrence.mix_all(along, before))

        def mix(weights: Any) -> Any:
            return recurrence.mix_all(weights, before)

        return jax.tree.leaves(jax.jvp(mix, (weights,), (along,))[1])

    def transposed(residuals: list[Any], cotangents: list[Any]) -> list[Any]:
        function = functools.partial(run, residuals, when=cotangents[0])
        (found,) = jax.linear_transpose(function, outlines)(cotangents)
        return found

    if not recurrence.bilinear or not takes_late_outputs((states, at)):
        return run(residuals, dots)
    return apply_linear(run, transposed, residuals, dots)


def _before(
    states: list[Any], state: State, start: State, at: Boundaries, reverse: bool, when: Array | None
) -> State:
    """The states that the steps began from, whole; an array that `mix` does not read is zeros."""
    kept = [leaf is not None for leaf in states]
    ends = only(kept, state), only(kept, start)
    shifted = jax.tree.leaves(previous(states, *ends, at, reverse, when))
    return restore(kept, shifted, state, shifted[0].shape[0])


def restore(which: Sequence[bool], leaves: Iterable[Array], like: State, time: Any) -> State:
    """States over time from those leaves that were wanted; nobody reads the others: zeros."""
    found = iter(leaves)
    full = [
        next(found) if yes else over_time(jnp.zeros_like(leaf), time, leaf)
        for yes, leaf in zip(which, jax.tree.leaves(like), strict=True)
    ]
    return jax.tree.structure(like).unflatten(full)


def only(which: Sequence[bool], tree: Any) -> list[Any]:
    """The leaves of a tree, with None for those that are not wanted."""
    return [leaf if yes else None for leaf, yes in zip(jax.tree.leaves(tree), which, strict=True)]
