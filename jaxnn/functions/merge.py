"""Merging the outputs of parts that ran side by side."""

import functools
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnn.functions.pair import Number, is_pair, plus, times
from jaxnn.internal.checks import check_array, is_array, shape_text, told_apart
from jaxnn.internal.options import check_option
from jaxnn.internal.users import MISTAKES
from jaxnn.types import Array, PyTree, Shape

Merge = str | Callable[..., Array]
MERGES = ("concat", "sum", "mean", "product")


def check_merge(name: str, merge: Merge) -> None:
    """Raise ValueError unless merge is one of `MERGES` or a function, which a class is not."""
    if isinstance(merge, type) or not callable(merge):
        check_option(name, "merge", merge, MERGES, " or a function of the outputs")


def merge_outputs(
    name: str, merge: Merge, outputs: list[PyTree], leading: int | None = None
) -> PyTree:
    """One output from several, by concatenation of the last axis, sum, mean, product or a function.

    Trees, such as whole states, are merged number by number, but for a function, which gets them as
    they are. `leading` is how many axes come before the features, where that is known.

    Raises:
      ValueError: where a sum, mean or product is asked of unequal shapes, or a concatenation of
        arrays that differ in another axis than the last, or have no features; where a function
        fails, or loses a leading axis.
      TypeError: for trees of other structures, what is no array in them, and where a function gives
        no array.
    """
    if callable(merge):
        return _merged_by_function(name, merge, outputs)
    first, *others = outputs
    structure = jax.tree.structure(first)
    for other in others:
        if jax.tree.structure(other) != structure:
            want, got = told_apart(first, other)
            raise TypeError(
                f"{name}: merge={merge!r} needs outputs of one structure, got {want} and {got}: "
                f"merge them by a function of the outputs"
            )

    def merged(*parts: Number) -> Number:
        for part in jax.tree.leaves(parts):
            check_array(name, "an output to be merged", part)
            if leading is not None and part.ndim <= leading and merge == "concat":
                raise ValueError(
                    f"{name}: merge='concat' needs outputs with features to join, got "
                    f"{shape_text(part)}, of {leading} leading axes: use 'sum' or another merge"
                )
        return _merged(name, merge, list(parts))

    return jax.tree.map(merged, *outputs, is_leaf=is_pair)


def _merged(name: str, merge: str, outputs: list[Number]) -> Number:
    """One array, or pair of the parts of complex numbers, from several."""
    cut = slice(None, -1) if merge == "concat" else slice(None)
    leaves = [jax.tree.leaves(y)[0] for y in outputs]
    if len({tuple(y.shape)[cut] for y in leaves}) > 1 or len({y.dtype for y in leaves}) > 1:
        shapes = ", ".join(map(shape_text, leaves))
        raise ValueError(
            f"{name}: merge={merge!r} needs outputs of equal "
            f"{'leading dimensions' if merge == 'concat' else 'sizes'} and dtypes, got {shapes}"
        )
    if merge == "concat":
        return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-1), *outputs)
    if merge == "product":
        return functools.reduce(times, outputs)
    total = functools.reduce(plus, outputs)
    return jax.tree.map(lambda y: y / len(outputs), total) if merge == "mean" else total


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
