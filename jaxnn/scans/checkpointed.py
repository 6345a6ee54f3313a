"""A sequence in chunks, of which a derivative keeps the borders and computes the inside again.

The loop over chunks is a `lax.scan` whose body is `jax.checkpoint` of the work on one chunk. What a
chunk reads of the sequence is cut out inside the body: a reshape of the whole would be a copy of it
where a dimension has the size 1, and so would be the part behind a ragged first chunk.

**The cotangent of what is cut.** JAX adds the cotangent of a `dynamic_slice` of a constant of the
loop to an array of the whole length, in every round: O(time · chunks). So tangents take another way
than values. They come through `slots`: the same arrays, handed to the loop chunk by chunk, whose
values nobody reads, so that XLA drops them. The transpose of the loop then writes the cotangent of
each chunk to its place.

Source: Chen et al. 2016 (arXiv 1604.06174); of recurrent networks, Gruslys et al. 2016 (arXiv
1606.03401).
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnn.internal.mesh import is_explicit, laid_out_as
from jaxnn.internal.pinned import pinned
from jaxnn.types import Array, PyTree, State, Tree

Piece = Callable[[State, Array, PyTree], tuple[State, PyTree]]
"""`state, ys = piece(state, begin, inputs)`: some steps at once, the first of which is `begin`."""


def scan_checkpointed(
    piece: Piece, state: State, inputs: PyTree, sizes: tuple[int, ...], reverse: bool
) -> tuple[State, PyTree]:
    """Run a sequence in chunks; a derivative keeps the states between them.

    Args:
      piece: runs some steps at once, and keeps the shapes and dtypes of the state.
      state: the first state; None where the first chunk is to make it.
      inputs: a tree of `(time, ...)` arrays, of a known time.
      sizes: how many steps a chunk has, from the outermost loop to the innermost. What does not
        fill a chunk is one of its own, and runs first.
      reverse: from the last chunk to the first.

    Returns:
      The final state, and the outputs of all steps.
    """
    leaves, structure = jax.tree.flatten(inputs)
    slots = [leaf if _has_tangent(leaf) else None for leaf in leaves]

    def run(
        sizes: tuple[int, ...], steps: int, state: State, begin: Array, slots: PyTree
    ) -> tuple[State, PyTree]:
        """So many steps, in chunks of the first of the sizes, each in chunks of the next."""
        if not sizes:
            parts = [_cut(steps, *both, begin) for both in zip(leaves, slots, strict=True)]
            return piece(state, begin, structure.unflatten(parts))
        size, inner = sizes[0], sizes[1:]
        # The first chunk runs by itself where it is ragged, or makes the state.
        first = steps % size or (size if state is None else 0)
        count = (steps - first) // size

        def one(size: int, state: State, at: int) -> tuple[State, PyTree]:
            alone = jax.checkpoint(functools.partial(run, inner, size))
            return alone(state, begin + at, _part(slots, at, size))

        def many(state: State, at: int) -> tuple[State, PyTree]:
            if count == 1:
                return one(size, state, at)
            body = jax.checkpoint(functools.partial(run, inner, size), prevent_cse=False)

            def chunk(state: State, now: tuple[Array, PyTree]) -> tuple[State, PyTree]:
                index, part = now
                return body(state, begin + at + index * size, part)

            apart = _apart(_part(slots, at, count * size), count)
            each = jnp.arange(count, dtype=jnp.int32), apart
            state, ys = jax.lax.scan(chunk, state, each, reverse=reverse)
            return state, _together(ys)

        if not count:
            return one(first, state, 0)
        if not first:
            return many(state, 0)
        state, some = one(first, state, count * size if reverse else 0)
        state, others = many(state, 0 if reverse else first)
        ordered = (others, some) if reverse else (some, others)
        return state, jax.tree.map(lambda *y: jnp.concatenate(y), *ordered)

    time, begin = len(leaves[0]), jnp.zeros((), jnp.int32)
    if any(map(is_explicit, jax.tree.leaves((state, inputs)))):
        after, _ = jax.eval_shape(functools.partial(run, (), time), state, begin, slots)
        state = None if state is None else laid_out_as(state, after)
    return run(sizes, time, state, begin, slots)


def _has_tangent(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def _cut(steps: int, leaf: Array, slot: Array | None, begin: Array) -> Array:
    """So many steps of an array."""
    return _rows(steps, leaf, begin) if slot is None else _with_slot(leaf, slot, begin)


def _rows(steps: int, leaf: Array, begin: Array) -> Array:
    return jax.lax.dynamic_slice_in_dim(leaf, begin, steps, allow_negative_indices=False)


@jax.custom_jvp
def _with_slot(leaf: Array, slot: Array, begin: Array) -> Array:
    """The steps of `leaf` from `begin`, which are the slot. Leaf and slot have one tangent, of
    which the rule takes the slot's; where JAX has dropped the rule, it is the leaf's."""
    return pinned(_rows(len(slot), leaf, begin), leaf)


@_with_slot.defjvp
def _with_slot_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    return _with_slot(*primals), tangents[1]


def _part(slots: Tree, at: int, steps: int) -> Tree:
    return jax.tree.map(lambda leaf: leaf[at : at + steps], slots)


def _apart(slots: Tree, count: int) -> Tree:
    def cut(leaf: Array) -> Array:
        return leaf.reshape(count, leaf.shape[0] // count, *leaf.shape[1:])

    return jax.tree.map(cut, slots)


def _together(ys: Tree) -> Tree:
    return jax.tree.map(lambda y: y.reshape(y.shape[0] * y.shape[1], *y.shape[2:]), ys)
