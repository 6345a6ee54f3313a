"""Merging the outputs of parts that ran side by side."""

import functools
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnn.internal.checks import check_array, is_array, shape_text
from jaxnn.internal.options import check_option
from jaxnn.internal.users import MISTAKES
from jaxnn.types import Array, Shape

Merge = str | Callable[..., Array]
MERGES = ("concat", "sum", "mean", "product")


def check_merge(name: str, merge: Merge) -> None:
    """Raise ValueError unless merge is one of `MERGES` or a function, which a class is not."""
    if isinstance(merge, type) or not callable(merge):
        check_option(name, "merge", merge, MERGES, " or a function of the outputs")


def merge_outputs(name: str, merge: Merge, outputs: list[Array]) -> Array:
    """One array from several, by concatenation of the last axis, sum, mean, product or a function.

    Raises:
      ValueError: where a sum, mean or product is asked of unequal shapes, or a concatenation of
        arrays that differ in another axis than the last; where a function fails, or loses a leading
        axis.
      TypeError: where a function gives no array.
    """
    if callable(merge):
        return _merged_by_function(name, merge, outputs)
    for y in outputs:
        check_array(name, "an output to be merged", y)
    cut = slice(None, -1) if merge == "concat" else slice(None)
    if len({tuple(y.shape)[cut] for y in outputs}) > 1 or len({y.dtype for y in outputs}) > 1:
        shapes = ", ".join(map(shape_text, outputs))
        raise ValueError(
            f"{name}: merge={merge!r} needs outputs of equal "
            f"{'leading dimensions' if merge == 'concat' else 'sizes'} and dtypes, got {shapes}"
        )
    if merge == "concat":
        return jnp.concatenate(outputs, axis=-1)
    if merge == "product":
        return functools.reduce(jnp.multiply, outputs)
    total = functools.reduce(jnp.add, outputs)
    return total / len(outputs) if merge == "mean" else total


def _merged_by_function(name: str, merge: Callable[..., Array], outputs: list[Array]) -> Array:
    """What a function makes of the outputs: `(*leading, features)`, as they are."""
    called = getattr(merge, "__name__", repr(merge))
    given = ", ".join(shape_text(y) for y in outputs)
    try:
        y = merge(*outputs)
    except MISTAKES as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{name}: merge={called} failed for outputs {given}: {error}") from error
    if not is_array(y):
        raise TypeError(f"{name}: merge={called} must give one array, got {shape_text(y)}")
    leading = _common([tuple(leaf.shape[:-1]) for leaf in jax.tree.leaves(outputs)])
    if tuple(y.shape[: len(leading)]) != leading or y.ndim <= len(leading):
        kept = ", ".join([*map(str, leading), "features"])
        raise ValueError(
            f"{name}: merge={called} must keep the leading axes of the outputs and give ({kept}), "
            f"got the shape {tuple(y.shape)} from {given}"
        )
    return y


def _common(shapes: list[Shape]) -> Shape:
    """The first axes, as far as all have them."""
    same = itertools.takewhile(lambda sizes: len(set(sizes)) == 1, zip(*shapes, strict=False))
    return tuple(sizes[0] for sizes in same)
