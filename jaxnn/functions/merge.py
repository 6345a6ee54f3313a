"""Merging the outputs of parts that ran side by side."""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from jaxnn.functions.checks import check_array, check_option, shape_text
from jaxnn.types import Array

Merge = str | Callable[..., Array]
MERGES = ("concat", "sum", "mean", "product")


def check_merge(name: str, merge: Merge) -> None:
    """Raise ValueError unless merge is one of `MERGES` or a function."""
    if not callable(merge):
        check_option(name, "merge", merge, MERGES, " or a function of the outputs")


def merge_outputs(name: str, merge: Merge, outputs: list[Any]) -> Array:
    """One array from several, by concatenation of the last axis, sum, mean, product or a function.

    Raises:
      ValueError: where a sum, mean or product is asked of unequal shapes, or a concatenation of
        arrays that differ in another axis than the last.
    """
    if callable(merge):
        return merge(*outputs)
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
