"""Real-time recurrent learning: the influence as it is, one number for each state and parameter."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.online.sequence import First, Leaves, Rule, Run, dtype_for
from jaxnn.types import Array, Key, Params, PyTree, exportable


@exportable
class ExactTrace(NamedTuple):
    """J `(*batch, states, params)`: all numbers of a state by all numbers of the parameters."""

    influence: Array


def exact_rule() -> Rule:
    """J_t = D_t J_{t−1} + I_t, as it stands; D and I by one vjp for each number of the state."""
    return Rule(_begin, _again, _advance, _read)


def _begin(first: First, params: Params, key: Key | None) -> ExactTrace:
    del key
    leaves, pull = jax.vjp(first, params)
    (rows,) = jax.vmap(pull)(_units(leaves))
    return ExactTrace(_matrix(rows, dtype_for(leaves, params)))


def _again(first: First, params: Params, trace: ExactTrace) -> ExactTrace:
    del trace
    return _begin(first, params, None)


def _advance(
    run: Run, params: Params, leaves: Leaves, trace: ExactTrace
) -> tuple[Leaves, ExactTrace, PyTree]:
    new, pull, aux = jax.vjp(run, params, leaves, has_aux=True)
    immediate, jacobian = jax.vmap(pull)(_units(new))
    dtype = trace.influence.dtype
    through = jnp.matmul(_matrix(jacobian, dtype), trace.influence)
    return new, ExactTrace(through + _matrix(immediate, dtype)), aux


def _read(params: Params, trace: ExactTrace, leaves_bar: Leaves) -> Params:
    dtype = trace.influence.dtype
    bar = jnp.concatenate([leaf.ravel().astype(dtype) for leaf in leaves_bar])
    row, found, at = jnp.matmul(bar, trace.influence), [], 0
    leaves, structure = jax.tree.flatten(params)
    for leaf in leaves:
        shape, size = np.shape(leaf), math.prod(np.shape(leaf))
        part = jax.lax.slice_in_dim(row, at, at + size)
        found.append(part.reshape(shape).astype(jnp.result_type(leaf)))
        at += size
    return structure.unflatten(found)


def _units(leaves: Leaves) -> Leaves:
    """The unit vectors of a state, along a leading axis."""
    count, at, found = sum(leaf.size for leaf in leaves), 0, []
    for leaf in leaves:
        rows = jnp.eye(count, leaf.size, -at, leaf.dtype)
        found.append(rows.reshape(count, *leaf.shape))
        at += leaf.size
    return found


def _matrix(rows: PyTree, dtype: jnp.dtype) -> Array:
    """A tree of rows `(rows, ...)` as one matrix."""
    parts = [leaf.reshape(leaf.shape[0], -1).astype(dtype) for leaf in jax.tree.leaves(rows)]
    return jnp.concatenate(parts, axis=1)
