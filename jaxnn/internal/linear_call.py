"""A linear function that brings its own transpose.

JAX transposes a linear scan by another scan, whose outputs it makes itself. Here the transpose is
given, for gradients; forward mode, `vmap`, second derivatives and the rest are as JAX has them: a
derivative in the residuals is that of the plain function.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import core
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxnn.internal.mesh import is_explicit, varying_axes
from jaxnn.internal.symbolic_zeros import Tangent, jvp_along
from jaxnn.types import Array, Shaped

Flat = Callable[[list[Array], list[Array]], list[Array]]
"""From residuals and linear operands to results."""


class Linear(NamedTuple):
    """A function and its transpose, each as it runs, and as JAX may differentiate it; the types of
    its operands and of its results."""

    run: Flat
    plain: Flat
    run_transposed: Flat
    plain_transposed: Flat
    operands: tuple[core.ShapedArray, ...]
    results: tuple[core.ShapedArray, ...]

    def transposed(self) -> "Linear":
        return Linear(
            self.run_transposed,
            self.plain_transposed,
            self.run,
            self.plain,
            self.results,
            self.operands,
        )

    def bind(self, residuals: Sequence[Array], operands: Sequence[Array]) -> list[Array]:
        return linear_p.bind(*residuals, *operands, linear=self)


def apply_linear(
    run: Flat,
    transposed: Flat,
    residuals: Sequence[Array],
    operands: Sequence[Array],
    results: Sequence[Shaped],
    plain_transposed: Flat | None = None,
    plain: Flat | None = None,
) -> list[Array]:
    """`run(residuals, operands)`, linear in the operands; no function may close over a tracer.

    A function is traced where it is compiled, and not before: of a gradient that is the transpose
    alone.

    Args:
      run: the function, which JAX can differentiate unless `plain` is given.
      transposed: `transposed(residuals, cotangents)` gives those of the operands.
      residuals, operands: arrays.
      results: arrays or types like those of the results.
      plain_transposed: the transpose as JAX may differentiate it; by default its own of `plain`.
      plain: the function as JAX may differentiate it; by default `run`.
    """
    outlines = [jax.typeof(leaf) for leaf in operands]
    plain = plain or run

    def transposed_by_jax(residuals: list[Array], cotangents: list[Array]) -> list[Array]:
        (found,) = jax.linear_transpose(lambda x: plain(residuals, x), outlines)(cotangents)
        return found

    functions = run, plain, transposed, plain_transposed or transposed_by_jax
    return _bind(functions, residuals, operands, results)


def _bind(
    functions: tuple[Flat, Flat, Flat, Flat],
    residuals: Sequence[Array],
    operands: Sequence[Array],
    results: Sequence[Shaped],
) -> list[Array]:
    kinds: list[Any] = [core.ShapedArray(leaf.shape, leaf.dtype) for leaf in results]
    if varying_axes((residuals, operands)) or any(map(is_explicit, (*residuals, *operands))):
        # How they vary from device to device, or are laid over them, only tracing tells.
        kinds = jax.make_jaxpr(functions[0])([*residuals], [*operands]).out_avals
    linear = Linear(*functions, tuple(map(jax.typeof, operands)), tuple(kinds))
    return linear.bind(residuals, operands)


linear_p = Primitive("linear_recurrence")
linear_p.multiple_results = True


@linear_p.def_impl
def _impl(*leaves: Array, linear: Linear) -> list[Array]:
    count = len(leaves) - len(linear.operands)
    return _jitted(linear.run)([*leaves[:count]], [*leaves[count:]])


@functools.lru_cache(maxsize=1024)
def _jitted(function: Flat) -> Any:
    """One object for one function: equal layers of a network are traced and lowered once."""
    return jax.jit(function)


@linear_p.def_abstract_eval
def _abstract(*leaves: core.ShapedArray, linear: Linear) -> list[core.ShapedArray]:
    return list(linear.results)


def _jvp(
    primals: list[Array], tangents: list[Tangent], *, linear: Linear
) -> tuple[list[Array], list[Array]]:
    count = len(primals) - len(linear.operands)

    def plain(*leaves: Array) -> list[Array]:
        return linear.plain([*leaves[:count]], [*leaves[count:]])

    _, dots = jvp_along(plain, primals, tangents)
    return linear_p.bind(*primals, linear=linear), dots


def _transpose(
    cotangents: list[Array | ad.Zero], *leaves: Any, linear: Linear
) -> list[Array | None]:
    count = len(leaves) - len(linear.operands)
    dense = [ad.instantiate_zeros(cotangent) for cotangent in cotangents]
    found = linear.transposed().bind(leaves[:count], dense)
    asked = map(ad.is_undefined_primal, leaves[count:])
    return [None] * count + [ct if yes else None for ct, yes in zip(found, asked, strict=True)]


def _batch(
    leaves: list[Array], axes: list[int | None], *, linear: Linear
) -> tuple[list[Array], list[int]]:
    count = len(leaves) - len(linear.operands)
    pairs = list(zip(leaves, axes, strict=True))
    (size, *_) = (leaf.shape[axis] for leaf, axis in pairs if axis is not None)
    leading = [leaf if axis is None else jnp.moveaxis(leaf, axis, 0) for leaf, axis in pairs]
    for n in range(count, len(leading)):
        if axes[n] is None:
            leading[n] = jnp.broadcast_to(leading[n], (size, *leading[n].shape))
    mapped = [None if axis is None else 0 for axis in axes[:count]]
    one, other, back, back_again = (jax.vmap(function, (mapped, 0)) for function in linear[:4])
    wide = [jax.ShapeDtypeStruct((size, *kind.shape), kind.dtype) for kind in linear.results]
    found = _bind((one, other, back, back_again), leading[:count], leading[count:], wide)
    return found, [0] * len(found)


ad.primitive_jvps[linear_p] = _jvp
ad.primitive_transposes[linear_p] = _transpose
batching.primitive_batchers[linear_p] = _batch
mlir.register_lowering(linear_p, mlir.lower_fun(_impl, multiple_results=True))
