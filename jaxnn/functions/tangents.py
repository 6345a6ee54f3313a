"""Tangents that are known to be zero, in derivative rules."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.custom_derivatives import SymbolicZero
from jax.interpreters import ad


def is_zero(tangent: Any) -> bool:
    """Whether a tangent, in a rule that asks for symbolic zeros, is one."""
    return isinstance(tangent, (SymbolicZero, ad.Zero))


def jvp_along(
    function: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Any, Any]:
    """`jax.jvp`, along those leaves only whose tangents are not known to be zero."""
    leaves, structure = jax.tree.flatten(primals)
    dots = jax.tree.leaves(tangents, is_leaf=is_zero)
    moving = [n for n, dot in enumerate(dots) if not is_zero(dot)]

    def run(moved: list[Any]) -> Any:
        known = dict(zip(moving, moved, strict=True))
        return function(*structure.unflatten([known.get(n, at) for n, at in enumerate(leaves)]))

    return jax.jvp(run, ([leaves[n] for n in moving],), ([dots[n] for n in moving],))
