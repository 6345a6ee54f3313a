"""A state as one vector, and the step of one sequence as a function from a vector to the next.

What is measured of a step is written for one sequence without batch dimensions and mapped over the
batch: by construction no sequence enters the numbers of another one. The leaves of a state stand in
the vector one after the other, in the order of `jax.tree.leaves`, each as `reshape(-1)` has it: of
an LSTM first `hidden`, then `cell`.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.functions.sequences import check_values
from jaxnn.internal.checks import naming
from jaxnn.internal.inputs import leaves_of
from jaxnn.internal.options import check_size
from jaxnn.recurrence.cell import check_cell
from jaxnn.types import Array, ArrayLike, Cell, Params, PyTree, State

F = TypeVar("F", bound=Callable[..., object])
VectorStep = Callable[[Array], Array]


def outline_of_state(name: str, cell: Cell, params: Params) -> State:
    """The shapes and dtypes of the state of one sequence; raise unless it can be differentiated."""
    with naming(name):
        outline = jax.eval_shape(lambda: cell.initial_state(params))
    for path, leaf in jax.tree_util.tree_leaves_with_path(outline):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(
                f"{name}: state{jax.tree_util.keystr(path)} of {cell} must be floating, since "
                f"derivatives are taken by it; it is {leaf.dtype}"
            )
    if not size_of(outline):
        raise ValueError(f"{name}: cell must have a state; that of {cell} is empty")
    return outline


def size_of(outline: State) -> int:
    """How many numbers the state of one sequence has."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(outline))


def dtype_of(outline: State) -> jnp.dtype:
    """The dtype of the vector: float64 where a leaf is, else float32."""
    wide = any(leaf.dtype.itemsize > 4 for leaf in jax.tree.leaves(outline))
    return jnp.dtype(jnp.float64 if wide else jnp.float32)


def ravel(state: State, dtype: jnp.dtype) -> Array:
    """The state of one sequence as a vector `(size,)`."""
    leaves = jax.tree.leaves(state)
    return jnp.concatenate([jnp.reshape(leaf, -1).astype(dtype) for leaf in leaves])


def unravel(outline: State, vector: Array) -> State:
    """The state of one sequence that a vector holds."""
    leaves, structure = jax.tree.flatten(outline)
    ends = np.cumsum([math.prod(leaf.shape) for leaf in leaves])[:-1].tolist()
    parts = zip(leaves, jnp.split(vector, ends), strict=True)
    return structure.unflatten([part.reshape(to.shape).astype(to.dtype) for to, part in parts])


def vector_step(cell: Cell, outline: State, params: Params, x: PyTree) -> VectorStep:
    """The step of one sequence at a fixed input, from the vector of a state to that of the next."""

    def step(vector: Array) -> Array:
        state, _ = cell.apply(params, unravel(outline, vector), x)
        return ravel(state, vector.dtype)

    return step


def norm(vectors: Array) -> Array:
    """The norms along the last axis; their squares neither overflow nor vanish."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(vectors), axis=-1, keepdims=True))
    usual = (largest > 0) & jnp.isfinite(largest)
    scale = jnp.where(usual, largest, jnp.ones_like(largest))
    scaled = jnp.where(largest == 0, jnp.ones_like(vectors), vectors / scale)
    found = scale[..., 0] * jnp.sqrt(jnp.sum(scaled**2, axis=-1))
    return jnp.where(largest[..., 0] == 0, jnp.zeros_like(found), found)


def over_batch(function: F, dimensions: int, in_axes: Any, out_axes: Any = 0) -> F:
    """A function of one sequence, for so many batch dimensions."""
    for _ in range(dimensions):
        function = jax.vmap(function, in_axes, out_axes)
    return function


def check_step_of(name: str, cell: Cell, params: Params, state: State, x: PyTree) -> int:
    """How many batch dimensions there are, once all fits for one step."""
    check_cell(name, "cell", cell)
    inputs = leaves_of(name, "x", x)
    for where, leaf in inputs:
        check_values(name, where, leaf)
    with naming(name):
        new, _ = jax.eval_shape(lambda: cell.apply(params, state, x))
    batch = _batch_of(outline_of_state(name, cell, params), new)
    for where, leaf in inputs:
        if tuple(leaf.shape[: len(batch)]) != batch:
            raise ValueError(
                f"{name}: {where} must begin with the batch {batch} of the state, got the shape "
                f"{tuple(leaf.shape)}"
            )
    return len(batch)


def check_run_of(
    name: str,
    cell: Cell,
    params: Params,
    xs: PyTree,
    state: State | None,
    mask: ArrayLike | None,
) -> tuple[int, ...]:
    """The batch shape, once all fits for a sequence; nothing is computed."""
    check_cell(name, "cell", cell)
    with naming(name):
        final, _ = jax.eval_shape(lambda: cell.unroll(params, xs, state, mask))
    return _batch_of(outline_of_state(name, cell, params), final)


def check_from_zero(name: str, argument: str, value: int) -> int:
    """0 or a positive integer, as an int."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"{name}: {argument} must be an integer from 0, got {value}")
        if value == 0:
            return 0
    return check_size(name, argument, value)


def _batch_of(outline: State, state: State) -> tuple[int, ...]:
    single, whole = jax.tree.leaves(outline)[0], jax.tree.leaves(state)[0]
    return tuple(whole.shape[: whole.ndim - single.ndim])
