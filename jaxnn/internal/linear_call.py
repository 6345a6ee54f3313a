"""A linear function that brings its own transpose.

JAX transposes a linear scan by another scan, whose outputs it makes itself. Here the transpose is
given, for gradients; forward mode, `vmap`, second derivatives and the rest are as JAX has them: a
derivative in the residuals is that of the plain function.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import AbstractValue, ShapedArray
from jax.extend.core import ClosedJaxpr, Primitive, jaxpr_as_fun
from jax.interpreters import ad, batching, mlir

from jaxnn.internal.symbolic_zeros import Tangent, jvp_along
from jaxnn.types import Array

Flat = Callable[[list[Array], list[Array]], list[Array]]
"""From residuals and linear operands to results."""


class Linear(NamedTuple):
    """A function and its transpose, each as it runs, and as JAX may differentiate it."""

    run: Flat
    plain: Flat
    run_transposed: Flat
    plain_transposed: Flat

    def transposed(self) -> "Linear":
        return Linear(self.run_transposed, self.plain_transposed, self.run, self.plain)

    def mapped(self, residuals: list[int | None]) -> "Linear":
        """Over a leading axis of all operands but of residuals marked None."""
        return Linear(*(jax.vmap(function, (residuals, 0)) for function in self))


def apply_linear(
    run: Flat, transposed: Flat, residuals: Sequence[Array], operands: Sequence[Array]
) -> list[Array]:
    """`run(residuals, operands)`, linear in the operands; no function may close over a tracer.

    Args:
      run: the function, which JAX can differentiate.
      transposed: `transposed(residuals, cotangents)` gives those of the operands.
      residuals, operands: arrays.
    """
    outlines = [jax.typeof(leaf) for leaf in operands]

    def plain_transposed(residuals: list[Array], cotangents: list[Array]) -> list[Array]:
        (found,) = jax.linear_transpose(lambda x: run(residuals, x), outlines)(cotangents)
        return found

    return _bind(Linear(run, run, transposed, plain_transposed), residuals, operands)


def _bind(linear: Linear, residuals: Sequence[Array], operands: Sequence[Array]) -> list[Array]:
    count = len(residuals)
    together = [*residuals, *operands]
    jaxpr = jax.make_jaxpr(lambda *leaves: linear.run([*leaves[:count]], [*leaves[count:]]))
    return linear_p.bind(*together, linear=linear, count=count, jaxpr=jaxpr(*together))


linear_p = Primitive("linear_recurrence")
linear_p.multiple_results = True


@linear_p.def_impl
def _impl(*operands: Array, linear: Linear, count: int, jaxpr: ClosedJaxpr) -> list[Array]:
    return jaxpr_as_fun(jaxpr)(*operands)


@linear_p.def_abstract_eval
def _abstract(
    *operands: ShapedArray, linear: Linear, count: int, jaxpr: ClosedJaxpr
) -> list[AbstractValue]:
    return jaxpr.out_avals


def _jvp(
    primals: list[Array], tangents: list[Tangent], *, linear: Linear, count: int, jaxpr: ClosedJaxpr
) -> tuple[list[Array], list[Array]]:
    def plain(*leaves: Array) -> list[Array]:
        return linear.plain([*leaves[:count]], [*leaves[count:]])

    _, dots = jvp_along(plain, primals, tangents)
    results = linear_p.bind(*primals, linear=linear, count=count, jaxpr=jaxpr)
    return results, dots


def _transpose(
    cotangents: list[Array | ad.Zero],
    *operands: Any,
    linear: Linear,
    count: int,
    jaxpr: ClosedJaxpr,
) -> list[Array | None]:
    dense = [ad.instantiate_zeros(cotangent) for cotangent in cotangents]
    found = _bind(linear.transposed(), operands[:count], dense)
    asked = map(ad.is_undefined_primal, operands[count:])
    return [None] * count + [ct if yes else None for ct, yes in zip(found, asked, strict=True)]


def _batch(
    operands: list[Array], axes: list[int | None], *, linear: Linear, count: int, jaxpr: ClosedJaxpr
) -> tuple[list[Array], list[int]]:
    pairs = list(zip(operands, axes, strict=True))
    (size, *_) = (leaf.shape[axis] for leaf, axis in pairs if axis is not None)
    leading = [leaf if axis is None else jnp.moveaxis(leaf, axis, 0) for leaf, axis in pairs]
    for n in range(count, len(leading)):
        if axes[n] is None:
            leading[n] = jnp.broadcast_to(leading[n], (size, *leading[n].shape))
    mapped = linear.mapped([None if axis is None else 0 for axis in axes[:count]])
    results = _bind(mapped, leading[:count], leading[count:])
    return results, [0] * len(results)


ad.primitive_jvps[linear_p] = _jvp
ad.primitive_transposes[linear_p] = _transpose
batching.primitive_batchers[linear_p] = _batch
mlir.register_lowering(linear_p, mlir.lower_fun(_impl, multiple_results=True))
