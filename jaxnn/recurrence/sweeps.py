"""A recurrence as an equation for all of its states at once, and the derivative of its steps.

The states s₁ … s_T are the fixed point of one *sweep*, which takes each step from the states that
are given: s_t ← f(s_{t−1}, x_t) for all t side by side. `newton.py` looks for it. How each step
depends on the state before it is a matrix: of the whole state ("full"), or, where `combine` works
unit by unit, of the leaves of one unit ("unit"), which leaves out what `mix` brings from the other
units.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.derivative.analysis import NotPointwise, analyse
from jaxnn.derivative.rule import step_of
from jaxnn.internal.checks import outline_text, shape_text
from jaxnn.internal.inputs import batch_of
from jaxnn.internal.mesh import is_explicit
from jaxnn.recurrence.arguments import Arguments, checked_step, keys_of
from jaxnn.recurrence.description import Description, step as step_once
from jaxnn.recurrence.linear_split import LinearSplit
from jaxnn.recurrence.split import (
    Split,
    loop_of,
    outline_of_projected,
    parameters,
    prepare_all,
)
from jaxnn.scans.boundaries import Boundaries, previous, where
from jaxnn.scans.matrix import DENSE, UNITS, Algebra, Matrices, Vectors
from jaxnn.types import Array, ArrayLike, Params, PyTree, State

Every = Callable[[Params, State, PyTree], tuple[State, PyTree]]


class Steps(NamedTuple):
    """The steps of one recurrence: functions of their arguments alone.

    name: the cell, for errors.
    step: `new, y = step(params, state, input)`, for the whole batch.
    matrices: `matrices(params, before, inputs)`: how all steps depend on the states before them.
    algebra: that of these matrices.
    batch_ndim: the number of batch dimensions.
    reverse: from the last step to the first.
    """

    name: str
    step: Every
    matrices: Callable[[Params, State, PyTree], Matrices]
    algebra: Algebra
    batch_ndim: int
    reverse: bool

    def every(self, params: Params, before: State, inputs: PyTree) -> tuple[State, PyTree]:
        """All steps side by side."""
        return jax.vmap(self.step, (None, 0, 0))(params, before, inputs)

    def vectors(self, states: State) -> Vectors:
        """States over time, as the algebra has them."""
        leaves = jax.tree.leaves(states)
        return _flat(leaves, self.batch_ndim) if self.algebra == DENSE else leaves

    def states(self, vectors: Vectors, like: State) -> State:
        """The inverse of `vectors`."""
        if self.algebra == DENSE:
            return _unflat(vectors, like, self.batch_ndim)
        return jax.tree.structure(like).unflatten(vectors)


def steps_of(
    method: str, description: Description, params: Params, arguments: Arguments
) -> tuple[Steps, Params, PyTree]:
    """The steps of a recurrence, and the parameters and the inputs that they take."""
    batch, inputs = batch_of(arguments.xs, description.event_ndim), arguments.xs
    if isinstance(description, Split):
        step = functools.partial(_step_of_split, description)
        inputs = prepare_all(description, params, inputs, description.draw and keys_of(arguments))
        params = parameters(description, params)
    elif isinstance(description, LinearSplit):
        step = functools.partial(step_once, description)
    else:
        step = functools.partial(checked_step, description, batch)
        inputs = inputs, keys_of(arguments)
    if method == "full":
        matrices, algebra = functools.partial(_dense, step, len(batch)), DENSE
    else:
        matrices, algebra = functools.partial(_units, description, len(batch)), UNITS
    steps = Steps(description.name, step, matrices, algebra, len(batch), arguments.reverse)
    return steps, params, inputs


def why_not_solved(
    method: str, description: Description, params: Params, arguments: Arguments
) -> str | None:
    """The reason why there are no such matrices of a recurrence; None where there are."""
    leaves = jax.tree.leaves(arguments.state)
    if any(map(is_explicit, jax.tree.leaves((params, arguments.xs, *leaves)))):
        return "the types of its arrays say how they are sharded: use a mesh with automatic axes"
    if not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
        return f"a leaf of the state is not floating: {outline_text(arguments.state)}"
    if len({leaf.dtype for leaf in leaves}) > 1:
        return f"the leaves of the state differ in dtype: {outline_text(arguments.state)}"
    if method == "full":
        return None
    if isinstance(description, LinearSplit):
        return "it is a linear recurrence, which runs in parallel as it is"
    if not isinstance(description, Split):
        return "the cell is no split, of which one knows what a unit is"
    batch = len(batch_of(arguments.xs, description.event_ndim))
    shapes = {leaf.shape for leaf in leaves}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1 + batch:
        listed = ", ".join(map(shape_text, leaves))
        return f"the units of its state do not lie along one axis: {listed}"
    projected = outline_of_projected(description, params, arguments.xs)
    given = parameters(description, params), projected, arguments.state
    found = analyse(loop_of(description), *given)
    if isinstance(found, (str, NotPointwise)):
        reason = found if isinstance(found, str) else found.reason
        return f"{reason}, so that a step does not work unit by unit"
    if found.pointwise.operations:
        return "combine: it has a product or a norm, so that a step does not work unit by unit"
    return None


def sweep(
    steps: Steps,
    params: Params,
    inputs: PyTree,
    state: State,
    start: State,
    at: Boundaries,
    states: State,
) -> State:
    """All steps once, each from what the states say that it begins from."""
    kept, before = begins(steps, state, start, at, states)
    new, _ = steps.every(params, before, inputs)
    return new if at.valid is None else where(at.valid, new, kept)


def begins(
    steps: Steps, state: State, start: State, at: Boundaries, states: State
) -> tuple[State, State]:
    """Over time, the state that a masked step keeps, and the one that a step begins from."""
    kept = previous(states, state, start, at._replace(before=None), steps.reverse)
    if at.before is None:
        return kept, kept
    first = jax.tree.map(lambda leaf: leaf[None], start)
    return kept, where(at.before, first, kept)


def linearised(
    steps: Steps, params: Params, inputs: PyTree, at: Boundaries, before: State
) -> tuple[Matrices, ArrayLike | None]:
    """How each step depends on the one before, masked ones included, and where nothing does."""
    found = steps.matrices(params, before, inputs)
    if at.valid is not None:
        found = where(at.valid, found, steps.algebra.identity(found))
    fresh = at.after if steps.reverse else at.before
    if fresh is not None and at.valid is not None:
        fresh = fresh & at.valid
    return found, fresh


def _step_of_split(
    split: Split, params: Params, state: State, projected: PyTree
) -> tuple[State, PyTree]:
    return step_of(loop_of(split), params)(state, projected)


def _dense(step: Every, batch_ndim: int, params: Params, before: State, inputs: PyTree) -> Array:
    """The Jacobian of each step, `(time, *batch, size, size)`: a jvp for each column, side by side.

    A column is that of all sequences at once: no step looks from one into another.
    """

    def every(flat: Array) -> Array:
        states = _unflat(flat, before, batch_ndim)
        new, _ = jax.vmap(step, (None, 0, 0))(params, states, inputs)
        return _flat(jax.tree.leaves(new), batch_ndim)

    point = _flat(jax.tree.leaves(before), batch_ndim)

    def column(unit: Array) -> Array:
        return jax.jvp(every, (point,), (jnp.broadcast_to(unit, point.shape),))[1]

    columns = jax.vmap(column)(jnp.eye(point.shape[-1], dtype=point.dtype))
    return jnp.moveaxis(columns, 0, -1)


def _units(
    split: Any, batch_ndim: int, params: Params, before: State, inputs: PyTree
) -> list[list[Array]]:
    """The matrix of each unit, as rows of arrays: one jvp of `combine` for each leaf of the state,
    along what `mix` gives of the unit to itself, and ones."""
    for_mix, for_combine = params
    loop = loop_of(split)
    leaves, structure = jax.tree.flatten(before)
    mixed = jax.vmap(loop.mix, (None, 0))(for_mix, before)

    def combine(mixed: PyTree, before: State) -> State:
        return jax.vmap(loop.combine, (None, 0, 0, 0))(for_combine, inputs, mixed, before)

    columns = []
    for number, leaf in enumerate(leaves):
        own = _own_share(loop.mix, for_mix, before, number, batch_ndim)
        along = [jnp.zeros_like(other) for other in leaves]
        along[number] = jnp.ones_like(leaf)
        tangents = jax.tree.map(_as_wide, own, mixed), structure.unflatten(along)
        _, column = jax.jvp(combine, (mixed, before), tangents)
        columns.append(jax.tree.leaves(column))
    return UNITS.transpose(columns)


def _own_share(mix: Any, for_mix: Params, before: State, number: int, batch_ndim: int) -> PyTree:
    """What `mix` gives of one leaf of the state to the same unit, `(units,)` for each leaf of its
    own: it is linear, so that unit vectors tell."""
    leaves, structure = jax.tree.flatten(before)
    ones = (1,) * batch_ndim
    units = leaves[number].shape[-1]

    def probe(vector: Array) -> PyTree:
        state = [jnp.zeros((*ones, leaf.shape[-1]), leaf.dtype) for leaf in leaves]
        state[number] = vector.reshape(*ones, units)
        return mix(for_mix, structure.unflatten(state))

    probed = jax.vmap(probe)(jnp.eye(units, dtype=leaves[number].dtype))

    def diagonal(leaf: Array) -> Array:
        if math.prod(leaf.shape[1:]) != units:  # of another shape, `combine` cannot read it
            return jnp.zeros((), leaf.dtype)
        return jnp.diagonal(leaf.reshape(units, units))

    return jax.tree.map(diagonal, probed)


def _as_wide(own: Array, mixed: Array) -> Array:
    return jnp.broadcast_to(own, mixed.shape)


def _flat(leaves: list[Array], batch_ndim: int) -> Array:
    """Leaves `(time, *batch, ...)` as one array `(time, *batch, size)`."""
    lead = leaves[0].shape[: 1 + batch_ndim]
    return jnp.concatenate(
        [leaf.reshape(*lead, math.prod(leaf.shape[1 + batch_ndim :])) for leaf in leaves], axis=-1
    )


def _unflat(flat: Array, like: State, batch_ndim: int) -> State:
    """The inverse of `_flat`."""
    leaves, structure = jax.tree.flatten(like)
    found, at = [], 0
    for leaf in leaves:
        size = math.prod(leaf.shape[1 + batch_ndim :])
        piece = jax.lax.slice_in_dim(flat, at, at + size, axis=-1)
        found.append(piece.reshape(leaf.shape))
        at += size
    return structure.unflatten(found)
