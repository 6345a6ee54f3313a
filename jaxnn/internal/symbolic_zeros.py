"""Tangents that are known to be zero, in derivative rules."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
from jax.custom_derivatives import SymbolicZero
from jax.interpreters import ad

from jaxnn.internal.mesh import zeros_of_type
from jaxnn.types import Array, PyTree, Tree

R = TypeVar("R")
Tangent = Array | SymbolicZero | ad.Zero
"""A leaf of tangents in a derivative rule."""


def is_zero(tangent: object) -> bool:
    """Whether a tangent, in a rule that asks for symbolic zeros, is one."""
    return isinstance(tangent, (SymbolicZero, ad.Zero))


def are_zeros(tree: PyTree) -> bool:
    """Whether all tangents of a tree are known to be zero."""
    return all(map(is_zero, jax.tree.leaves(tree, is_leaf=is_zero)))


def dense(tree: Tree) -> Tree:
    """A tree of tangents, with zeros written out."""
    return jax.tree.map(
        lambda leaf: zeros_of_type(leaf.aval) if is_zero(leaf) else leaf,
        tree,
        is_leaf=is_zero,
    )


def jvp_along(
    function: Callable[..., R], primals: Sequence[PyTree], tangents: Sequence[PyTree]
) -> tuple[R, R]:
    """`jax.jvp`, along those leaves only whose tangents are not known to be zero."""
    leaves, structure = jax.tree.flatten(primals)
    dots = jax.tree.leaves(tangents, is_leaf=is_zero)
    nonzero = [n for n, dot in enumerate(dots) if not is_zero(dot)]

    def run(values: list[Array]) -> R:
        known = dict(zip(nonzero, values, strict=True))
        return function(*structure.unflatten([known.get(n, at) for n, at in enumerate(leaves)]))

    return jax.jvp(run, ([leaves[n] for n in nonzero],), ([dots[n] for n in nonzero],))
