"""A split over a whole sequence; where nothing is differentiated, a large one in blocks of time.

The projected input of all steps takes gates · hidden numbers for each step of each sequence. As
long as it stays in a cache, it is fastest to project all steps at once. A large one is written to
memory and read back, and a derivative needs it there anyway; without a derivative nobody does, so
some steps are projected, run, and forgotten (an LSTM's forward pass at batch 64, 128 steps, 256
features and units: 53 ms where it took 69).
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.internal.mesh import on_mesh
from jaxnn.internal.pinned import pinned
from jaxnn.internal.symbolic_zeros import jvp_along
from jaxnn.recurrence.methods import run_split
from jaxnn.recurrence.split import Split, prepare, prepare_all
from jaxnn.scans.boundaries import Boundaries
from jaxnn.types import Params, State

LARGE, BLOCK = 2**24, 2**22
"""In bytes: what is projected in blocks, and what a block may take."""


def run_sequence(
    split: Split, reverse: bool, params: Params, xs: Any, state: State, start: State, at: Boundaries
) -> tuple[State, Any]:
    """The final state and the outputs; those at masked steps mean nothing."""
    steps = _steps_of_a_block(split, params, xs)
    arguments = (params, xs, state, start, at)
    if steps is None:
        return _run_whole(split, reverse, *arguments)
    return _run_blocks(split, reverse, steps, *arguments)


def _steps_of_a_block(split: Split, params: Params, xs: Any) -> int | None:
    """None where the sequence is to run in one piece, as those of unknown length always do."""
    if not all(isinstance(size, int) for size in xs.shape) or on_mesh(xs) or not xs.shape[0]:
        return None
    projected = jax.eval_shape(lambda params, xs: prepare(split, params, xs[0]), params, xs)
    leaves = jax.tree.leaves(projected)
    size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
    return max(1, BLOCK // size) if size * xs.shape[0] > LARGE else None


def _run_whole(
    split: Split, reverse: bool, params: Params, xs: Any, state: State, start: State, at: Boundaries
) -> tuple[State, Any]:
    return run_split(split, reverse, params, prepare_all(split, params, xs), state, start, at)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _run_blocks(
    split: Split,
    reverse: bool,
    steps: int,
    params: Params,
    xs: Any,
    state: State,
    start: State,
    at: Boundaries,
) -> tuple[State, Any]:
    def block(state: State, now: Any) -> tuple[State, Any]:
        return _run_whole(split, reverse, params, now[0], state, start, now[1])

    def blocks(state: State, now: Any) -> tuple[State, Any]:
        apart = jax.tree.map(lambda leaf: leaf.reshape(-1, steps, *leaf.shape[1:]), now)
        state, ys = jax.lax.scan(block, state, apart, reverse=reverse)
        return state, jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), ys)

    rest = xs.shape[0] % steps
    first, others = (
        jax.tree.map(lambda leaf, part=part: leaf[part], (xs, at))
        for part in (slice(rest), slice(rest, None))
    )
    if not rest:
        result = blocks(state, others)
    elif reverse:
        after, right = blocks(state, others)
        after, left = block(after, first)
        result = after, jax.tree.map(lambda *parts: jnp.concatenate(parts), left, right)
    else:
        after, left = block(state, first)
        after, right = blocks(after, others)
        result = after, jax.tree.map(lambda *parts: jnp.concatenate(parts), left, right)
    return pinned(result, (params, xs, state, start, at))


@functools.partial(_run_blocks.defjvp, symbolic_zeros=True)
def _run_blocks_jvp(
    split: Split, reverse: bool, steps: int, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Any, Any]:
    """That of the sequence in one piece, along what moves."""
    whole = functools.partial(_run_whole, split, reverse)
    result, dots = jvp_along(whole, primals, tangents)
    return pinned(result, primals), dots
