"""A layer norm of several arrays as if they lay side by side, each `(..., units)`.

Its derivative is written down, and the derivative rule of loops (`jaxnn.derivative`) knows it.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxnn.internal.arrays import cut
from jaxnn.internal.mesh import on_mesh
from jaxnn.types import Array

EPSILON = 1e-5


@jax.custom_jvp
def normed(gain: Array, *terms: Array) -> tuple[Array, ...]:
    """γ∘(v − mean) / √(variance + ε), with one row of γ `(terms, units)` for each term.

    Source: Ba, Kiros & Hinton 2016 (arXiv 1607.06450), eq. 3, with the ε of later libraries.

    >>> ones = jnp.ones((2, 2))
    >>> a, b = normed(ones, jnp.array([1.0, 3.0]), jnp.array([5.0, 7.0]))
    >>> bool(jnp.allclose(a, -b[::-1])), round(float(b[1]), 3)
    (True, 1.342)
    """
    return scaled(gain, standardized(terms)[0])


@normed.defjvp
def _normed_jvp(
    primals: tuple[Array, ...], tangents: tuple[Array, ...]
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    (gain, *terms), (gain_dot, *dots) = primals, tangents
    results, scale = standardized(terms)
    moved = zip(scaled(gain, along(results, scale, dots)), scaled(gain_dot, results), strict=True)
    return scaled(gain, results), tuple(a + b for a, b in moved)


def standardized(terms: Sequence[Array]) -> tuple[tuple[Array, ...], Array]:
    """n = (v − mean) · scale, and the scale, 1 / √(variance + ε), `(..., 1)`."""
    parts = _side_by_side(terms)
    mean = _mean(parts)
    centred = [v - mean for v in parts]
    scale = jax.lax.rsqrt(_mean([v**2 for v in centred]) + EPSILON)
    return _apart([v * scale for v in centred], len(terms)), scale


def along(results: Sequence[Array], scale: Array, dots: Sequence[Array]) -> tuple[Array, ...]:
    """The tangents of n: (d − mean(d) − n∘mean(n∘d)) · scale.

    Two sums, and in the transpose two again, where JAX's own derivative has twice as many.
    """
    n, d = _side_by_side(results), _side_by_side(dots)
    mean, slope = _mean(d), _mean([a * b for a, b in zip(n, d, strict=True)])
    moved = [scale * (b - mean - a * slope) for a, b in zip(n, d, strict=True)]
    return _apart(moved, len(results))


def scaled(gain: Array, terms: Sequence[Array]) -> tuple[Array, ...]:
    """Each term times its row of the gain."""
    axes = tuple(range(terms[0].ndim - 1))
    return tuple(jnp.expand_dims(g, axes) * v for g, v in zip(gain, terms, strict=True))


def _side_by_side(terms: Sequence[Array]) -> list[Array]:
    """As one array, unless that would send the parts of a sharded axis around."""
    if len(terms) == 1 or any(map(on_mesh, terms)):
        return list(terms)
    return [jnp.concatenate(terms, axis=-1)]


def _apart(parts: Sequence[Array], count: int) -> tuple[Array, ...]:
    return tuple(parts) if len(parts) == count else tuple(cut(parts[0], count))


def _mean(parts: Sequence[Array]) -> Array:
    """Over the last axes and over the parts, `(..., 1)`."""
    sums = [jnp.sum(v, -1, keepdims=True) for v in parts]
    return functools.reduce(jnp.add, sums) / sum(v.shape[-1] for v in parts)
