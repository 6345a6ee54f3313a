"""A scan whose outputs are arrays that are made late.

`lax.scan` makes its outputs out of zeros. Zeros depend on nothing, so that XLA's scheduler for CPUs
makes those of all loops of a program before its first loop runs: a deep network has the memory of
its backward pass before its forward pass begins. Here they are arrays of any content that depend on
the inputs, and so are made when those are there.

They are carried by the loop, where JAX's own derivative of it would be slow: this is for what has a
derivative rule of its own.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxpr_as_fun

from jaxnn.internal.mesh import on_mesh, outline_of_step, vary, varying_axes


def takes_late_outputs(inputs: Any) -> bool:
    """Whether `scan_late` takes such inputs: there is a first step, and it is all on one device."""
    leaves = jax.tree.leaves(inputs)
    sizes = [size for leaf in leaves for size in leaf.shape]
    known = all(isinstance(size, int) for size in sizes) and 0 not in sizes
    return known and bool(leaves) and not any(map(on_mesh, leaves))


def scan_late(
    body: Callable[[Any, Any], tuple[Any, Any]], carry: Any, inputs: Any, reverse: bool
) -> tuple[Any, Any]:
    """What `jax.lax.scan(body, carry, inputs, reverse=reverse)` gives; some input is floating."""
    leaves = jax.tree.leaves(inputs)
    steps = leaves[0].shape[0]
    traced, outlines = jax.make_jaxpr(body, return_shape=True)(carry, outline_of_step(inputs))
    structure = jax.tree.structure(outlines)
    axes = varying_axes((carry, inputs))
    floating = next(leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact))

    def step(count: Any, now: tuple[Any, Any]) -> tuple[Any, Any]:
        carry, arrays = now
        at = steps - 1 - count if reverse else count
        values = carry, jax.tree.map(functools.partial(_read, at), inputs)
        carry, row = structure.unflatten(jaxpr_as_fun(traced)(*jax.tree.leaves(values)))
        return carry, jax.tree.map(functools.partial(_write, at), arrays, vary(row, axes))

    rows = jax.tree.map(functools.partial(_unwritten, floating, steps), outlines[1])
    arrays = vary(rows, axes)
    return jax.lax.fori_loop(0, steps, step, (carry, arrays))


def _unwritten(of: jax.Array, steps: int, row: Any) -> jax.Array:
    """An array of so many rows, of any content, that is made when `of` is there."""
    return jnp.broadcast_to(_entry(of).astype(row.dtype), (steps, *row.shape))


@jax.custom_batching.custom_vmap
def late_zero(of: jax.Array) -> jax.Array:
    """The number 0, known when the floating array `of` is there: what it places is made then.

    XLA does not see that no number both differs from itself and is equal to itself.
    """
    entry = _entry(of)
    return ((entry != entry) & (entry == entry)).astype(jnp.int32)


@late_zero.def_vmap
def _(size: int, batched: Any, of: jax.Array) -> tuple[jax.Array, bool]:
    """One for the whole batch: a place for each would be a gather."""
    del size, batched
    return late_zero(of[0]), False


def _entry(of: jax.Array) -> jax.Array:
    return jax.lax.slice(of, (0,) * of.ndim, (1,) * of.ndim).reshape(())


def _read(at: Any, array: jax.Array) -> jax.Array:
    return jax.lax.dynamic_index_in_dim(array, at, keepdims=False, allow_negative_indices=False)


def _write(at: Any, array: jax.Array, row: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_index_in_dim(array, row, at, 0, allow_negative_indices=False)
