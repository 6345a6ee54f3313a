"""Checks of trees that come from outside: every leaf an array or a number, and jax holds it."""

import math
import sys

import jax
import numpy as np

from jaxnn.internal.checks import check_fits, fits, is_numeric
from jaxnn.types import PyTree

NUMBERS = (bool, int, float, complex)


def check_tree(name: str, argument: str, tree: PyTree) -> None:
    """Raise unless every leaf is an array or a number whose values jax can hold.

    Without x64, jax makes float32 of numpy's float64, and int32 of its int64. That is as everywhere
    in jax; values that would become infinite, or other integers, are refused.

    Raises:
      TypeError: for a leaf that is neither.
      ValueError: for values out of range.
    """
    if all(map(_is_good, jax.tree.leaves(tree))):
        return
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        check_leaf(name, argument + jax.tree_util.keystr(path), leaf)


def check_leaf(name: str, argument: str, leaf: PyTree) -> None:
    """`check_tree` for one leaf."""
    if _is_good(leaf):
        return
    shape_alone = isinstance(leaf, jax.ShapeDtypeStruct)
    if not _is_host_array(leaf) and not isinstance(leaf, NUMBERS):
        foreign = hasattr(leaf, "__array__") and not isinstance(leaf, (np.ndarray, np.generic))
        hint = f": use np.asarray({argument})" if foreign else ""
        text = "a ShapeDtypeStruct" if shape_alone else _kind(leaf)
        raise TypeError(f"{name}: {argument} must be an array, got {text}{hint}")
    check_fits(name, argument, np.asarray(leaf))
    raise ValueError(f"{name}: {argument} is an integer beyond 64 bits, which jax does not hold")


def _kind(leaf: PyTree) -> str:
    return type(leaf).__name__ + (f" of {leaf.dtype}" if hasattr(leaf, "dtype") else "")


def _is_good(leaf: PyTree) -> bool:
    if isinstance(leaf, jax.Array):
        return True
    if isinstance(leaf, NUMBERS):
        leaf = np.asarray(leaf)  # of objects for an int beyond 64 bits
    if not _is_host_array(leaf):
        return False
    return fits(leaf)


def _is_host_array(leaf: PyTree) -> bool:
    return isinstance(leaf, (np.ndarray, np.generic)) and is_numeric(leaf.dtype)


def check_memory(name: str, argument: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise ValueError for an array that no memory could hold."""
    if math.prod(shape) * dtype.itemsize > sys.maxsize:
        raise ValueError(
            f"{name}: {argument} makes an array of the shape {shape}, larger than any memory"
        )
