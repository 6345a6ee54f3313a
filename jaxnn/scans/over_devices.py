"""s' = a∘s + b where time is cut over devices: each has the same number of steps, one part.

A part is one step itself, s ↦ p∘s + l: p is the product of its a, and l what it comes to from
zeros. So every device runs its part from zeros and sends p and l, one state each, to all; what
comes of the parts in a row is a recurrence over devices, of which each device takes the state that
its own part begins with, and runs it again from there. However many steps there are, that is two
all-gathers. The transpose is the same the other way round: p∘ again, and the cotangent that comes
out of the part.

What lies over devices varies along the axis of the mesh, as JAX's types of a `shard_map` say. The
first state, `start` and the final state are the same on each device.
"""

import contextlib
import contextvars
import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.functions.pair import Number, conjugate, plus, rank, times
from jaxnn.internal.mesh import vary, varying_axes
from jaxnn.scans.affine import Numbers, Run, sequential, spread
from jaxnn.scans.boundaries import where
from jaxnn.types import Array, State, Tree


class TimeShards(NamedTuple):
    """The axis of the mesh that time lies along, and how many devices it has."""

    axis: str
    devices: int


Cut = tuple[Array, Array]
"""Where nothing of the state before goes into a step, `(time, *batch)`, and whether there is such a
step in the part of each device, `(devices, *batch)`."""

SHARDS: contextvars.ContextVar[TimeShards | None] = contextvars.ContextVar("shards", default=None)
"""How the time of the sequences that run here is cut over devices; None where it is whole."""


@contextlib.contextmanager
def time_over(shards: TimeShards | None) -> Iterator[None]:
    """The sequences that run inside are parts of such ones."""
    token = SHARDS.set(shards)
    try:
        yield
    finally:
        SHARDS.reset(token)


def run_over(
    shards: TimeShards,
    run: Run,
    reverse: bool,
    a: Numbers,
    b: Numbers,
    state: Numbers,
    cut: Cut | None,
) -> tuple[Numbers, Numbers, Numbers]:
    """The final state, the states after each step of this part, and the one that it begins with.

    Args:
      shards: where the parts are.
      run: how a part runs.
      reverse: from the last step of the last device to the first of the first one.
      a, b: those of this part.
      state: the first state of all.
      cut: as above, or None.
    """
    here, there = (None, None) if cut is None else cut
    last, _ = run(reverse, a, b, _zeros(state), here)
    final, begin = _in_a_row(shards, reverse, _products(shards, a, b, here), last, state, there)
    return final, run(reverse, a, b, begin, here)[1], begin


def run_back_over(
    shards: TimeShards,
    run: Run,
    reverse: bool,
    a: Numbers,
    bars: Numbers,
    final: Numbers,
    begin: Numbers,
    cut: Cut | None,
) -> tuple[Numbers, Numbers]:
    """The transpose for state and b: from the cotangents of the states, of the final one and of
    what the parts begin with, to those of the first state and of b; `run` is the transpose too."""
    here, there = (None, None) if cut is None else cut
    within, _ = run(reverse, a, bars, _zeros(final), here)
    within = [plus(x, y) for x, y in zip(within, begin, strict=True)]
    products = [conjugate(p) for p in _products(shards, a, bars, here)]
    first, end = _in_a_row(shards, not reverse, products, within, final, there)
    return first, run(reverse, a, bars, end, here)[1]


def gathered(shards: TimeShards, tree: Tree) -> Tree:
    """What each device has of a tree, along a new leading axis, on all devices."""

    def gather(leaf: Array) -> Array:
        # Tiled: jax 0.10.2 gives a new axis the sharding of the first one that is there.
        return jax.lax.all_gather(leaf[None], shards.axis, tiled=True, to="invarying")

    return jax.tree.map(gather, vary(tree, frozenset([shards.axis])))


def neighbours(shards: TimeShards, reverse: bool, every: Tree, first: Tree) -> Tree:
    """Of what is `gathered`, that of the device whose steps run before ours; `first` where there is
    none."""

    def shift(leaf: Array, first: Array) -> Array:
        parts = [leaf[1:], first[None]] if reverse else [first[None], leaf[:-1]]
        return jnp.concatenate(parts)

    return of_this(shards, jax.tree.map(shift, every, first))


def last_over(shards: TimeShards, reverse: bool, found: Array, last: State, state: State) -> State:
    """What the last device that `found` something has as its `last`; `state` where none has.

    Args:
      found: boolean `(*batch,)`.
      last, state: trees of arrays that begin with the batch.
    """

    def later(state: State, now: tuple[Array, State]) -> tuple[State, None]:
        return where(*now, state), None

    every = gathered(shards, (found, last))
    return jax.lax.scan(later, vary(state, varying_axes(every)), every, reverse=reverse)[0]


def _in_a_row(
    shards: TimeShards,
    reverse: bool,
    products: Numbers,
    last: Numbers,
    state: Numbers,
    there: Array | None,
) -> tuple[Numbers, Numbers]:
    """What comes of all parts in a row, and what this one begins with."""
    final, ends = sequential(reverse, products, gathered(shards, last), state, there)
    return final, neighbours(shards, reverse, ends, state)


def _products(shards: TimeShards, a: Numbers, b: Numbers, cut: Array | None) -> Numbers:
    """The product of a over each part, of all devices; one for all where a is the same for all
    steps, which every device knows by itself."""
    steps = jax.tree.leaves(b)[0].shape[0]
    products: Numbers = []
    for x, wide, y in zip(a, spread(a, b), b, strict=True):
        if rank(x) < rank(y) and shards.axis not in varying_axes(x):
            products.append(_power(x, steps))
            continue
        if cut is not None:
            wide = where(cut, _zeros(wide), wide)
        products.append(gathered(shards, _product(wide)))
    return products


def _product(x: Number) -> Number:
    """Over the leading axis, half of it by the other half."""

    def cut(begin: int, end: int) -> Number:
        return jax.tree.map(lambda leaf: leaf[begin:end], x)

    odd: list[Number] = []
    steps = jax.tree.leaves(x)[0].shape[0]
    while steps > 1:
        half = steps // 2
        if steps % 2:
            odd.append(cut(steps - 1, steps))
        x, steps = times(cut(0, half), cut(half, 2 * half)), half
    return jax.tree.map(lambda leaf: leaf[0], functools.reduce(times, odd, x))


def _power(x: Number, exponent: int) -> Number:
    """x to a positive power."""
    factors = []
    while exponent:
        if exponent % 2:
            factors.append(x)
        exponent //= 2
        if exponent:
            x = times(x, x)
    return functools.reduce(times, factors)


def _zeros(tree: Tree) -> Tree:
    return jax.tree.map(jnp.zeros_like, tree)


def of_this(shards: TimeShards, every: Tree) -> Tree:
    """Of what is `gathered`, that of this device."""
    mine = jnp.arange(shards.devices, dtype=jnp.int32) == jax.lax.axis_index(shards.axis)

    def take(leaf: Array) -> Array:
        if leaf.dtype == bool:
            return jnp.any(where(mine, leaf, jnp.zeros_like(leaf)), axis=0)
        return jnp.sum(where(mine, leaf, jnp.zeros_like(leaf)), axis=0, dtype=leaf.dtype)

    return jax.tree.map(take, every)
