"""A split over a whole sequence; where nothing is differentiated, a large one in blocks of time.

The projected input of all steps takes gates · hidden numbers for each step of each sequence. As
long as it stays in a cache, it is fastest to project all steps at once. A large one is written to
memory and read back, and a derivative needs it there anyway; without a derivative nobody does, so
some steps are projected, run, and forgotten (an LSTM's forward pass at batch 64, 128 steps, 256
features and units: 53 ms where it took 69).
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnn.internal.inputs import time_of
from jaxnn.internal.pinned import pinned
from jaxnn.internal.symbolic_zeros import jvp_along
from jaxnn.scans.boundaries import Boundaries
from jaxnn.types import Params, PyTree, State

Run = Callable[[Params, PyTree, State, State, Boundaries], tuple[State, PyTree]]
"""`state, ys = run(params, xs, state, start, boundaries)`."""


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def run_blocks(
    run: Run,
    reverse: bool,
    steps: int,
    params: Params,
    xs: PyTree,
    state: State,
    start: State,
    at: Boundaries,
) -> tuple[State, PyTree]:
    """What `run` gives for the whole sequence, by so many steps at a time."""

    def block(state: State, now: PyTree) -> tuple[State, PyTree]:
        return run(params, now[0], state, start, now[1])

    def blocks(state: State, now: PyTree) -> tuple[State, PyTree]:
        apart = jax.tree.map(lambda leaf: leaf.reshape(-1, steps, *leaf.shape[1:]), now)
        state, ys = jax.lax.scan(block, state, apart, reverse=reverse)
        return state, jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), ys)

    rest = time_of(xs) % steps
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


@functools.partial(run_blocks.defjvp, symbolic_zeros=True)
def _run_blocks_jvp(
    run: Run, reverse: bool, steps: int, primals: tuple[PyTree, ...], tangents: tuple[PyTree, ...]
) -> tuple[PyTree, PyTree]:
    """That of the sequence in one piece, along what is not zero."""
    del reverse, steps
    result, dots = jvp_along(run, primals, tangents)
    return pinned(result, primals), dots
