"""s' = a∘s + b along time, in three ways: step by step, associatively, in chunks side by side.

Two steps are one: s ↦ a₂∘(a₁∘s + b₁) + b₂ = (a₂∘a₁)∘s + (a₂∘b₁ + b₂). So hardware that does many
things at once may join pairs, then pairs of pairs (`jax.lax.associative_scan`; Blelloch 1990): log
T rounds in the place of T steps, and more work in all. On a CPU the plain loop is 3 to 11 times as
fast as that, forward, and compiles in a tenth of the time, which is why the platform decides. In
chunks, the steps of all chunks run side by side, then one state a chunk is handed on.

Everything is a list of numbers (`functions/pair.py`): b over time, a over time or one for all
steps; and `cut`, `(time, *batch)`, says where nothing of the state before goes into a step: not
even a NaN, which a = 0 would let through.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.functions.pair import (
    Number,
    Pair,
    conjugate,
    is_nothing,
    is_pair,
    one_like,
    plus,
    rank,
    times,
)
from jaxnn.internal.mesh import vary, varying_axes
from jaxnn.scans.boundaries import where
from jaxnn.types import Array, Tree

Numbers = Sequence[Number]
Run = Callable[[bool, Numbers, Numbers, Numbers, Array | None], tuple[Numbers, Numbers]]
"""`final, states = run(reverse, a, b, state, cut)`."""


def sequential(
    reverse: bool, a: Numbers, b: Numbers, state: Numbers, cut: Array | None
) -> tuple[Numbers, Numbers]:
    """Step by step."""
    varying, join = _split(a, b)

    def body(state: Numbers, now: tuple) -> tuple[Numbers, Numbers]:
        varying, b, cut = now
        new = _step(join(varying), b, state)
        new = new if cut is None else where(cut, b, new)
        return new, new

    state = vary(state, varying_axes((a, b, state, cut)))
    return jax.lax.scan(body, state, (varying, b, cut), reverse=reverse)


def sequential_back(
    reverse: bool, a: Numbers, b: Numbers, state: Numbers, cut: Array | None
) -> tuple[Numbers, Numbers]:
    """The transpose of `sequential` for its b and its state: `b` and `state` are the cotangents of
    the states and of the final one, and what comes are those of the first state and of b."""
    varying, join = _split(a, b)

    def body(carry: Numbers, now: tuple) -> tuple[Numbers, Numbers]:
        varying, b, cut = now
        out = [plus(s, each) for s, each in zip(carry, b, strict=True)]
        back = [times(conjugate(each), s) for each, s in zip(join(varying), out, strict=True)]
        return back if cut is None else where(cut, _zeros(back), back), out

    state = vary(state, varying_axes((a, b, state, cut)))
    return jax.lax.scan(body, state, (varying, b, cut), reverse=not reverse)


def associative(
    reverse: bool, a: Numbers, b: Numbers, state: Numbers, cut: Array | None
) -> tuple[Numbers, Numbers]:
    """By pairs of steps, pairs of pairs, and so on."""
    a = spread(a, b)
    if cut is not None:
        a = where(cut, _zeros(a), a)
    if not jax.tree.leaves(b)[0].shape[0]:
        return state, b

    def join(first: tuple[Numbers, Numbers], then: tuple[Numbers, Numbers]) -> tuple:
        return _joined(first, then, cut is not None)

    whole = jax.lax.associative_scan(join, (a, b), reverse=reverse)
    first = [jax.tree.map(lambda leaf: leaf[None], s) for s in state]
    states = _applied(whole, first, cut is not None)
    return _last(states, reverse), states


def chunked(
    reverse: bool, a: Numbers, b: Numbers, state: Numbers, cut: Array | None
) -> tuple[Numbers, Numbers]:
    """√T chunks of √T steps: all chunks side by side, from zeros; then the states between them."""
    time = jax.tree.leaves(b)[0].shape[0]
    a = spread(a, b)
    if cut is not None:
        a = where(cut, _zeros(a), a)
    if not time:
        return state, b
    steps = max(1, math.isqrt(time))
    chunks = -(-time // steps)
    ahead = chunks * steps - time

    def apart(leaf: Array, fill: float) -> Array:
        """`(steps, chunks, ...)`; what fills the last chunk changes nothing."""
        leaf = jnp.flip(leaf, 0) if reverse else leaf
        widths = ((0, ahead), *((0, 0),) * (leaf.ndim - 1))
        padded = jnp.pad(leaf, widths, constant_values=fill)
        return jnp.swapaxes(padded.reshape(chunks, steps, *leaf.shape[1:]), 0, 1)

    def together(leaf: Array) -> Array:
        flat = jnp.swapaxes(leaf, 0, 1).reshape(chunks * steps, *leaf.shape[2:])[:time]
        return jnp.flip(flat, 0) if reverse else flat

    one: Any = 1.0
    ones = [Pair(one, 0 * one) if is_pair(each) else one for each in a]
    pieces = jax.tree.map(apart, a, ones), jax.tree.map(functools.partial(apart, fill=0.0), b)
    guarded = cut is not None

    def inside(done: tuple[Numbers, Numbers], now: tuple[Numbers, Numbers]) -> tuple:
        done = _joined(done, now, guarded)
        return done, done

    first = jax.tree.map(lambda leaf: leaf[0], pieces)
    nothing = [one_like(each) for each in first[0]], _zeros(first[1])
    ends, whole = jax.lax.scan(inside, nothing, pieces)

    def between(state: Numbers, now: tuple[Numbers, Numbers]) -> tuple[Numbers, Numbers]:
        return _applied(now, state, guarded), state

    state = vary(state, varying_axes((ends, state)))
    final, begins = jax.lax.scan(between, state, ends)
    begins = [jax.tree.map(lambda leaf: leaf[None], each) for each in begins]
    return final, jax.tree.map(together, _applied(whole, begins, guarded))


def back(
    run: Run, reverse: bool, a: Numbers, b: Numbers, state: Numbers, cut: Array | None
) -> tuple[Numbers, Numbers]:
    """`sequential_back` by another way of running: the same recurrence the other way round, where
    each step has the coefficient of the one after it."""

    def shift(leaf: Array, end: Array) -> Array:
        parts = [end[None], leaf[:-1]] if reverse else [leaf[1:], end[None]]
        return jnp.concatenate(parts)

    a = [conjugate(each) for each in spread(a, b)]
    if not jax.tree.leaves(b)[0].shape[0]:
        return state, b
    after = None
    if cut is not None:
        after = shift(cut, jnp.zeros_like(cut[0]))
    ends = [one_like(jax.tree.map(lambda leaf: leaf[0], each)) for each in a]
    _, outs = run(not reverse, jax.tree.map(shift, a, ends), b, state, after)
    at = -1 if reverse else 0
    first = [
        times(*jax.tree.map(lambda leaf: leaf[at], pair)) for pair in zip(a, outs, strict=True)
    ]
    return first if cut is None else where(cut[at], _zeros(first), first), outs


def _step(a: Numbers, b: Numbers, state: Numbers) -> Numbers:
    return [plus(times(x, s), y) for x, y, s in zip(a, b, state, strict=True)]


def _joined(
    first: tuple[Numbers, Numbers], then: tuple[Numbers, Numbers], guarded: bool
) -> tuple[Numbers, Numbers]:
    """Two steps as one."""
    products = [times(x, y) for x, y in zip(first[0], then[0], strict=True)]
    if guarded:
        products = [_unless_nothing(x, p, x) for x, p in zip(then[0], products, strict=True)]
    return products, _applied(then, first[1], guarded)


def _applied(step: tuple[Numbers, Numbers], state: Numbers, guarded: bool) -> Numbers:
    """A step; with `guarded`, a = 0 lets nothing through, not even a NaN."""
    a, b = step
    new = _step(a, b, state)
    if guarded:
        new = [_unless_nothing(x, s, y) for x, s, y in zip(a, new, b, strict=True)]
    return new


def _unless_nothing(a: Number, value: Number, otherwise: Number) -> Number:
    nothing = is_nothing(a)
    return jax.tree.map(lambda v, o: jnp.where(nothing, o, v), value, otherwise)


def _split(a: Numbers, b: Numbers) -> tuple[Numbers, Callable[[Numbers], Numbers]]:
    """Those of a that vary over time, and what puts all of a step together."""
    varies = [rank(x) == rank(y) for x, y in zip(a, b, strict=True)]

    def join(varying: Numbers) -> Numbers:
        found = iter(varying)
        return [next(found) if yes else x for x, yes in zip(a, varies, strict=True)]

    return [x for x, yes in zip(a, varies, strict=True) if yes], join


def spread(a: Numbers, b: Numbers) -> Numbers:
    """a over time, as wide as b."""

    def wide(x: Array, like: Array) -> Array:
        x = jnp.expand_dims(x, tuple(range(like.ndim - x.ndim)))
        return jnp.broadcast_to(x, like.shape)

    wides = []
    for x, y in zip(a, b, strict=True):
        like = jax.tree.leaves(y)[0]
        wides.append(jax.tree.map(functools.partial(wide, like=like), x))
    return wides


def _last(states: Numbers, reverse: bool) -> Numbers:
    return jax.tree.map(lambda leaf: leaf[0 if reverse else -1], states)


def _zeros(tree: Tree) -> Tree:
    return jax.tree.map(jnp.zeros_like, tree)
