"""The plain scan: masks, resets and direction, for any step function.

This is the reference that every faster way must equal, and the way of every cell that is no split.
The derivative rule runs it too, once for the values and once for the tangents: the tangent of a
recurrence is a recurrence.

**Late outputs.** `lax.scan` makes its outputs out of zeros. Zeros depend on nothing, so that XLA's
scheduler for CPUs makes those of all loops of a program before its first loop runs: a deep network
has the memory of its backward pass before its forward pass begins. `scan_late` makes them of any
content, but dependent on the inputs, so that they are made when those are there. They are carried
by the loop, where JAX's own derivative of it would be slow: this is for what has a derivative rule
of its own.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.extend.core import jaxpr_as_fun

from jaxnn.internal.arrays import entry
from jaxnn.internal.checks import check_state
from jaxnn.internal.mesh import (
    is_explicit,
    laid_out_as,
    on_mesh,
    outline_of_step,
    vary,
    varying_axes,
)
from jaxnn.scans.boundaries import Boundaries, where
from jaxnn.types import PyTree, Shaped, State

Step = Callable[[State, PyTree], tuple[State, PyTree]]


def scan(
    name: str,
    step: Step,
    inputs: PyTree,
    state: State,
    start: State,
    at: Boundaries,
    reverse: bool,
    read: Callable[[State], PyTree] = lambda state: (),
    late: bool = False,
) -> tuple[State, tuple[PyTree, PyTree]]:
    """Run `state, y = step(state, input)` along the leading axis of inputs.

    Args:
      name: the cell, for errors.
      step: one time step, for the whole batch.
      inputs: a pytree of `(time, ...)` arrays.
      state: the first state, each leaf `(*batch, ...)`.
      start: what a reset returns to, of the same shapes.
      at: the `boundaries` of the sequences, as wide as the batch or as the state.
      reverse: from the last step to the first.
      read: what to keep of the state after each step (before a reset that stands after it).
      late: whether the outputs are made late, where that can be: only for what has a derivative
        rule of its own.

    Returns:
      The final state, and `(read, ys)`, each with a leading time axis; the y of a masked step
      means nothing.
    """

    def body(state: State, now: tuple[PyTree, Boundaries]) -> tuple[State, PyTree]:
        return one_step(name, step, state, start, *now, read)

    run = scan_late if late and takes_late_outputs((inputs, at)) else jax.lax.scan
    return run(body, state, (inputs, at), reverse=reverse)


def one_step(
    name: str,
    step: Step,
    state: State,
    start: State,
    value: PyTree,
    at: Boundaries,
    read: Callable[[State], PyTree],
) -> tuple[State, tuple[PyTree, PyTree]]:
    """A step of `scan`: the state after it, and `(read, y)`."""
    valid, before, after = at
    new, y = step(state if before is None else where(before, start, state), value)
    check_state(name, "the new state", new, state, ": apply must keep its shapes and dtypes")
    new = vary(new, varying_axes(state))
    if valid is not None:
        new = where(valid, new, state)
    return new if after is None else where(after, start, new), (read(new), y)


def laid_out(step: Step, inputs: PyTree, state: State, start: State) -> tuple[State, State]:
    """The first states, sharded as a step shards them, where types say how."""
    if not any(map(is_explicit, jax.tree.leaves((state, inputs)))):
        return state, start
    after, now = state, outline_of_step(inputs)
    for _ in jax.tree.leaves(state):  # a leaf may be made of another one of the state before
        after, _ = jax.eval_shape(step, after, now)
    return laid_out_as(state, after), laid_out_as(start, after)


def takes_late_outputs(inputs: PyTree) -> bool:
    """Whether `scan_late` takes such inputs: there is a first step, and it is all on one device."""
    leaves = jax.tree.leaves(inputs)
    sizes = [size for leaf in leaves for size in leaf.shape]
    known = all(isinstance(size, int) for size in sizes) and 0 not in sizes
    return known and bool(leaves) and not any(map(on_mesh, leaves))


def scan_late(
    body: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]],
    carry: PyTree,
    inputs: PyTree,
    reverse: bool,
) -> tuple[PyTree, PyTree]:
    """What `jax.lax.scan(body, carry, inputs, reverse=reverse)` gives; some input is floating."""
    leaves = jax.tree.leaves(inputs)
    steps = leaves[0].shape[0]
    traced, outlines = jax.make_jaxpr(body, return_shape=True)(carry, outline_of_step(inputs))
    structure = jax.tree.structure(outlines)
    axes = varying_axes((carry, inputs))
    floating = next(leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact))

    def step(count: jax.Array, now: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
        carry, arrays = now
        at = steps - 1 - count if reverse else count
        values = carry, jax.tree.map(functools.partial(_read, at), inputs)
        carry, row = structure.unflatten(jaxpr_as_fun(traced)(*jax.tree.leaves(values)))
        return carry, jax.tree.map(functools.partial(_write, at), arrays, vary(row, axes))

    rows = jax.tree.map(functools.partial(_unwritten, floating, steps), outlines[1])
    return jax.lax.fori_loop(0, steps, step, (carry, vary(rows, axes)))


def _unwritten(of: jax.Array, steps: int, row: Shaped) -> jax.Array:
    """An array of so many rows, of any content, that is made when `of` is there."""
    return jnp.broadcast_to(entry(of).astype(row.dtype), (steps, *row.shape))


def _read(at: jax.Array, array: jax.Array) -> jax.Array:
    return jax.lax.dynamic_index_in_dim(array, at, keepdims=False, allow_negative_indices=False)


def _write(at: jax.Array, array: jax.Array, row: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_index_in_dim(array, row, at, 0, allow_negative_indices=False)
