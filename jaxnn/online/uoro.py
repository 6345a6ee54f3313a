"""Unbiased online recurrent optimisation: the influence as one random product of two vectors.

J is estimated by s̃ θ̃ᵀ, whose expectation it is. With signs ν, drawn anew at each step,

    s̃_t = ρ₀ D s̃_{t−1} + ρ₁ ν         θ̃_t = θ̃_{t−1} / ρ₀ + (νᵀ I) / ρ₁

since E[ν νᵀ] = 1 and the crossed terms have mean zero. ρ₀ and ρ₁ make the two vectors alike in
length, which keeps the variance low. (Algorithm 1 of the paper.)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.online.sequence import First, Leaves, Rule, Run, dtype_for
from jaxnn.types import Array, Key, Params, PyTree, exportable

EPSILON = 1e-7


@exportable
class UOROTrace(NamedTuple):
    """s̃, the leaves `(*batch, ...)` of a state; θ̃, shaped as the parameters, after the batch; and
    the key `(*batch)` of what is drawn next."""

    state: Leaves
    params: Params
    key: Key


def uoro_rule() -> Rule:
    """One jvp and one vjp a step; E[s̃ θ̃ᵀ] = J."""
    return Rule(_begin, _again, _advance, _read)


def _begin(first: First, params: Params, key: Key | None) -> UOROTrace:
    if key is None:
        raise TypeError("uoro draws signs, and needs a key")
    after, now = jax.random.split(key)
    leaves, pull = jax.vjp(first, params)
    signs = _signs(now, leaves)
    (immediate,) = pull(signs)
    rho = _balance(immediate, signs)
    return UOROTrace(_times(signs, rho), _times(immediate, 1 / rho), after)


def _again(first: First, params: Params, trace: UOROTrace) -> UOROTrace:
    return _begin(first, params, trace.key)


def _advance(
    run: Run, params: Params, leaves: Leaves, trace: UOROTrace
) -> tuple[Leaves, UOROTrace, PyTree]:
    key, now = jax.random.split(trace.key)
    signs = _signs(now, leaves)
    _, old = jax.jvp(lambda leaves: run(params, leaves)[0], (leaves,), (trace.state,))
    new, pull, aux = jax.vjp(lambda params: run(params, leaves), params, has_aux=True)
    (immediate,) = pull(signs)
    rho0, rho1 = _balance(trace.params, old), _balance(immediate, signs)
    state = jax.tree.map(jnp.add, _times(old, rho0), _times(signs, rho1))
    params = jax.tree.map(jnp.add, _times(trace.params, 1 / rho0), _times(immediate, 1 / rho1))
    return new, UOROTrace(state, params, key), aux


def _read(params: Params, trace: UOROTrace, leaves_bar: Leaves) -> Params:
    del params
    dtype = dtype_for(trace.params, leaves_bar)
    pairs = zip(leaves_bar, trace.state, strict=True)
    products = [jnp.sum(bar.astype(dtype) * leaf.astype(dtype)) for bar, leaf in pairs]
    return _times(trace.params, sum(products[1:], products[0]))


def _signs(key: Key, leaves: Leaves) -> Leaves:
    """±1 for each number of a state."""
    keys = jax.random.split(key, len(leaves))
    return [
        jax.random.rademacher(each, leaf.shape, leaf.dtype)
        for each, leaf in zip(keys, leaves, strict=True)
    ]


def _balance(params: Params, state: Leaves) -> Array:
    """√(|params| / |state|), the ρ that makes ρ · state and params / ρ of one length."""
    dtype = dtype_for(params, state)
    epsilon = jnp.asarray(EPSILON, dtype)
    return jnp.sqrt(_norm(params, dtype) / (_norm(state, dtype) + epsilon)) + epsilon


def _norm(tree: PyTree, dtype: jnp.dtype) -> Array:
    squares = [jnp.sum(jnp.square(leaf.astype(dtype))) for leaf in jax.tree.leaves(tree)]
    return jnp.sqrt(sum(squares[1:], squares[0]))


def _times(tree: PyTree, factor: Array) -> PyTree:
    return jax.tree.map(lambda leaf: (leaf * factor.astype(leaf.dtype)).astype(leaf.dtype), tree)
