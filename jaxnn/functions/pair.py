"""Complex numbers as pairs of real arrays.

XLA compiles complex loops slowly, no 16-bit complex type exists, and not every exporter knows one.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.types import Array, PyTree, exportable


@exportable
class Pair(NamedTuple):
    """A complex array, as the two real arrays of its parts; a leaf of a linear recurrence.

    >>> import jax.numpy as jnp, jaxnn
    >>> turn = jaxnn.Pair(jnp.zeros(1), jnp.ones(1))
    >>> state, _ = jaxnn.linear_recurrence(turn, jaxnn.Pair(*jnp.zeros((2, 3, 1))),
    ...                                    jaxnn.Pair(jnp.ones(1), jnp.zeros(1)))
    >>> state.real.tolist(), state.imag.tolist()
    ([0.0], [-1.0])
    """

    real: Array
    imag: Array


Number = Array | Pair
"""An array, or a pair."""


def is_pair(x: object) -> bool:
    """Whether a node of a tree is a Pair."""
    return isinstance(x, Pair)


def numbers_of(tree: PyTree) -> list[Number]:
    """The arrays and pairs of a tree."""
    return jax.tree.leaves(tree, is_leaf=is_pair)


def rank(x: Number) -> int:
    """The number of dimensions."""
    return x.real.ndim if isinstance(x, Pair) else x.ndim


def times(a: Number, b: Number) -> Number:
    """The product, complex where b is; what has fewer dimensions serves all the leading ones."""
    a, b = _wide(a, b), _wide(b, a)
    if isinstance(a, Pair) and isinstance(b, Pair):
        return Pair(a.real * b.real - a.imag * b.imag, a.real * b.imag + a.imag * b.real)
    return jax.tree.map(lambda part: a * part, b)


def plus(a: Number, b: Number) -> Number:
    """The sum of two of a kind and shape."""
    return jax.tree.map(jnp.add, a, b)


def conjugate(a: Number) -> Number:
    """That of a pair; a real number is its own."""
    return Pair(a.real, -a.imag) if isinstance(a, Pair) else a


def is_nothing(a: Number) -> Array:
    """Where a number is zero."""
    return (a.real == 0) & (a.imag == 0) if isinstance(a, Pair) else a == 0


def one_like(a: Number) -> Number:
    """Ones."""
    if isinstance(a, Pair):
        return Pair(jnp.ones_like(a.real), jnp.zeros_like(a.imag))
    return jnp.ones_like(a)


def paired(tree: PyTree) -> PyTree:
    """A tree with a Pair for each complex array."""

    def pair(leaf: Array) -> Number:
        return Pair(leaf.real, leaf.imag) if jnp.iscomplexobj(leaf) else leaf

    return jax.tree.map(pair, tree)


def unpaired(tree: PyTree, like: PyTree) -> PyTree:
    """The inverse of `paired`: complex arrays where `like` has them."""

    def join(leaf: Array, number: Number) -> Number:
        is_joined = isinstance(number, Pair) and not isinstance(leaf, Pair)
        return jax.lax.complex(number.real, number.imag) if is_joined else number

    return jax.tree.map(join, like, tree, is_leaf=is_pair)


def _wide(x: Number, like: Number) -> Number:
    """x in the shape of what has more dimensions; its transpose sums over them all at once, which
    XLA's CPU does many times as fast as over the first ones of several with one entry."""
    shape = jax.tree.leaves(like)[0].shape
    if rank(x) >= len(shape):
        return x
    return jax.tree.map(lambda part: jnp.broadcast_to(part, shape), x)
