"""d = A·d + r along time, from d = 0, where A is a matrix: of the whole state, or of each unit.

The matrix form of `affine.py`: two steps are one, A₂·(A₁·d + r₁) + r₂ = (A₂·A₁)·d + (A₂·r₁ + r₂),
so there is a loop for a CPU, and an associative scan for hardware that does many things at once.
Nobody differentiates what is here: it only has to be as exact as a step of an iteration.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.internal.mesh import vary, varying_axes
from jaxnn.scans.boundaries import where
from jaxnn.scans.linear import run_linear
from jaxnn.types import Array, ArrayLike, Tree

Matrices = Any
"""Over time: one array `(time, *batch, size, size)`, or rows of arrays `(time, *batch, units)`."""
Vectors = Any
"""Over time: one array `(time, *batch, size)`, or a list of arrays `(time, *batch, units)`."""


class Algebra(NamedTuple):
    """What is done with matrices: A·d, A·B, Aᵀ, and the identity in the place of another one."""

    apply: Callable[[Matrices, Vectors], Vectors]
    join: Callable[[Matrices, Matrices], Matrices]
    transpose: Callable[[Matrices], Matrices]
    identity: Callable[[Matrices], Matrices]


_matmul = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def _apply_dense(a: Array, d: Array) -> Array:
    return _matmul(a, d[..., None])[..., 0]


def _transpose_dense(a: Array) -> Array:
    return jnp.swapaxes(a, -1, -2)


def _identity_dense(a: Array) -> Array:
    return jnp.broadcast_to(jnp.eye(a.shape[-1], dtype=a.dtype), a.shape)


def _apply_units(a: list[list[Array]], d: list[Array]) -> list[Array]:
    return [_dot(row, d) for row in a]


def _join_units(a: list[list[Array]], b: list[list[Array]]) -> list[list[Array]]:
    columns = _transpose_units(b)
    return [[_dot(row, column) for column in columns] for row in a]


def _transpose_units(a: list[list[Array]]) -> list[list[Array]]:
    return [list(column) for column in zip(*a, strict=True)]


def _identity_units(a: list[list[Array]]) -> list[list[Array]]:
    return [
        [jnp.full_like(entry, float(k == n)) for n, entry in enumerate(row)]
        for k, row in enumerate(a)
    ]


def _dot(row: list[Array], column: list[Array]) -> Array:
    products = [x * y for x, y in zip(row, column, strict=True)]
    return functools.reduce(jnp.add, products)


DENSE = Algebra(_apply_dense, _matmul, _transpose_dense, _identity_dense)
"""One matrix for the whole state."""
UNITS = Algebra(_apply_units, _join_units, _transpose_units, _identity_units)
"""One matrix for each unit, as a list of rows of arrays, so that units lie side by side."""


def solve_matrix(
    algebra: Algebra, reverse: bool, a: Matrices, r: Vectors, fresh: ArrayLike | None
) -> Vectors:
    """d after each step.

    Args:
      algebra: DENSE or UNITS.
      reverse: from the last step to the first.
      a, r: matrices and vectors over time.
      fresh: boolean `(time, *batch)`, where a segment begins, or None: d is zero before such a
        step, or, in reverse, after it.
    """
    if algebra == UNITS and len(r) == 1:
        zeros = [jnp.zeros(r[0].shape[1:], r[0].dtype)]
        return run_linear(None, reverse, a[0], r, zeros, zeros, None, fresh)[1]
    cut = None if fresh is None else jnp.asarray(fresh)
    if reverse and cut is not None:
        cut = _shifted(cut, forward=True)
    return _run(algebra, reverse, a, r, cut)


def solve_matrix_back(
    algebra: Algebra, reverse: bool, a: Matrices, bars: Vectors, fresh: ArrayLike | None
) -> Vectors:
    """The transpose of `solve_matrix`: the cotangents of r from those of d."""
    if algebra == UNITS and len(bars) == 1:
        solve = functools.partial(solve_matrix, algebra, reverse, a, fresh=fresh)
        (found,) = jax.vjp(solve, bars)[1](bars)
        return found

    shift = functools.partial(_shifted, forward=not reverse)
    cut = None if fresh is None else jnp.asarray(fresh)
    if cut is not None and not reverse:  # in reverse it stands after its step, and cuts there
        cut = shift(cut)
    return _run(algebra, not reverse, jax.tree.map(shift, algebra.transpose(a)), bars, cut)


def _shifted(leaf: Array, forward: bool) -> Array:
    """At each step what was at the next one, or else at the one before; zeros at the end."""
    end = jnp.zeros_like(leaf[:1])
    return jnp.concatenate([leaf[1:], end] if forward else [end, leaf[:-1]])


def _run(algebra: Algebra, reverse: bool, a: Matrices, r: Vectors, cut: Array | None) -> Vectors:
    loop = functools.partial(_sequential, algebra, reverse)
    time = jax.tree.leaves(r)[0].shape[0]
    if not isinstance(time, int) or time < 2:
        return loop(a, r, cut)
    parallel = functools.partial(_associative, algebra, reverse)
    return jax.lax.platform_dependent(a, r, cut, cpu=loop, default=parallel)


def _sequential(
    algebra: Algebra, reverse: bool, a: Matrices, r: Vectors, cut: Array | None
) -> Vectors:
    """Step by step."""

    def body(d: Vectors, now: tuple[Matrices, Vectors, Array | None]) -> tuple[Vectors, Vectors]:
        a, r, cut = now
        new = _sum(algebra.apply(a, d), r)
        new = new if cut is None else where(cut, r, new)
        return new, new

    first = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:], leaf.dtype), r)
    first = vary(first, varying_axes((a, r, cut)))
    return jax.lax.scan(body, first, (a, r, cut), reverse=reverse)[1]


def _associative(
    algebra: Algebra, reverse: bool, a: Matrices, r: Vectors, cut: Array | None
) -> Vectors:
    """By pairs of steps, pairs of pairs, and so on; a cut lets nothing through, not even a NaN."""

    def join(first: tuple, then: tuple) -> tuple:
        (a, r, cut), (b, q, other) = first, then
        product, moved = algebra.join(b, a), _sum(algebra.apply(b, r), q)
        if other is None:
            return product, moved, None
        return where(other, _zeros(product), product), where(other, q, moved), cut | other

    return jax.lax.associative_scan(join, (a, r, cut), reverse=reverse)[1]


def _sum(a: Tree, b: Tree) -> Tree:
    return jax.tree.map(jnp.add, a, b)


def _zeros(tree: Tree) -> Tree:
    return jax.tree.map(jnp.zeros_like, tree)
