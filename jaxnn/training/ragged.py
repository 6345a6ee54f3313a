"""Samples of unequal length, each an array or a tree of arrays; plain numpy, on the host."""

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple

import jax
import numpy as np
import numpy.typing as npt

from jaxnn.internal.checks import is_numeric, shape_text, told_apart
from jaxnn.internal.inputs import named
from jaxnn.training.checks import check_leaf
from jaxnn.types import PyTree

Arrays = Sequence[npt.ArrayLike] | Sequence[PyTree] | np.ndarray | jax.Array


class Ragged(NamedTuple):
    """Some samples, alike but for their lengths.

    structure: of each sample; columns: for each of its leaves, the arrays `(time_i, ...)` of all
    samples; lengths: the time of each.
    """

    structure: Any
    columns: tuple[list[np.ndarray], ...]
    lengths: np.ndarray

    def padded(self, time: int, samples: Sequence[int] | np.ndarray) -> PyTree:
        """Samples by their places, as arrays `(time, batch, ...)` with zeros at the end; the place
        −1 is an empty one."""
        return self.structure.unflatten([_padded(column, time, samples) for column in self.columns])

    def kinds(self) -> Iterator[tuple[tuple[int, ...], np.dtype]]:
        """Of each leaf, the shape of one step, and the dtype."""
        for column in self.columns:
            yield column[0].shape[1:], column[0].dtype


def _padded(arrays: list[np.ndarray], time: int, samples: Sequence[int] | np.ndarray) -> np.ndarray:
    found = np.zeros((time, len(samples), *arrays[0].shape[1:]), arrays[0].dtype)
    for place, sample in enumerate(samples):
        if sample >= 0:
            found[: len(arrays[sample]), place] = arrays[sample]
    return found


def ragged(name: str, what: str, values: Arrays) -> Ragged:
    """The samples, checked: alike but for their lengths, which all arrays of a sample share."""
    check_many(name, f"{what}s", values)
    if not len(values):
        raise ValueError(f"{name}: {what}s must hold at least one {what}, got none")
    if isinstance(values, (np.ndarray, jax.Array)) or not any(map(_is_tree, values)):
        column = arrays_of(name, what, values)
        _check_alike(name, what, "", column)
        return Ragged(jax.tree.structure(0), (column,), np.array([len(array) for array in column]))
    every = [named(name, f"{what} {index}", value) for index, value in enumerate(values)]
    structure = jax.tree.structure(values[0])
    for index, value in enumerate(values):
        if jax.tree.structure(value) != structure:
            want, got = told_apart(values[0], value)
            raise TypeError(f"{name}: {what} {index} must be {want}, as {what} 0, got {got}")
    if not every[0]:
        raise TypeError(f"{name}: {what} 0 must hold arrays, got {values[0]!r}")
    columns = []
    paths = [where.removeprefix(f"{what} 0") for where, _ in every[0]]
    for path, column in zip(paths, zip(*every, strict=True), strict=True):
        columns.append(arrays_of(name, what, [leaf for _, leaf in column], path))
        _check_alike(name, what, path, columns[-1])
        for index, (one, other) in enumerate(zip(columns[0], columns[-1], strict=True)):
            if len(one) != len(other):
                raise ValueError(
                    f"{name}: all arrays of a {what} must have one time, but of {what} {index} "
                    f"{paths[0]} has {len(one)} steps, and {path} {len(other)}"
                )
    return Ragged(structure, tuple(columns), np.array([len(array) for array in columns[0]]))


def _is_tree(value: object) -> bool:
    """Whether a sample is a tree: a list is an array to numpy, and so is a tuple of numbers."""
    if isinstance(value, list) or value is None or jax.tree_util.all_leaves((value,)):
        return False
    if type(value) is not tuple:
        return True
    return any(np.ndim(leaf) for leaf in jax.tree.leaves(value) if hasattr(leaf, "dtype"))


def _check_alike(name: str, what: str, path: str, arrays: list[np.ndarray]) -> None:
    first = arrays[0]
    for index, array in enumerate(arrays):
        if array.ndim < 1 or array.shape[1:] != first.shape[1:] or array.dtype != first.dtype:
            raise ValueError(
                f"{name}: {what}s must be arrays (time, ...), alike but for their lengths: {what} "
                f"{index}{path} is {shape_text(array)}, {what} 0{path} {shape_text(first)}"
            )


def check_many(name: str, argument: str, values: object) -> None:
    """Raise TypeError unless values have a length and an order."""
    ordered = hasattr(values, "__len__") and hasattr(values, "__getitem__")
    scalar = getattr(values, "ndim", 1) == 0
    if not ordered or scalar or isinstance(values, (str, bytes, Mapping, Set)):
        got = shape_text(values) if scalar else type(values).__name__
        hint = ": use list of it" if hasattr(values, "__next__") else ""
        raise TypeError(f"{name}: {argument} must be a list of arrays, or one, got {got}{hint}")


def arrays_of(name: str, what: str, values: Any, path: str = "") -> list[np.ndarray]:
    """Each as numpy's, of numbers or flags that jax can hold."""
    if isinstance(values, np.ndarray) and is_numeric(values.dtype):
        check_leaf(name, f"{what}s", values)  # all at once
        return list(values) if values.ndim > 1 else [np.asarray(value) for value in values]
    arrays = []
    for index, value in enumerate(values):
        try:
            array = np.asarray(value)
        except (ValueError, TypeError) as error:
            raise TypeError(
                f"{name}: {what} {index}{path} must be an array, got {type(value).__name__}: "
                f"{error}"
            ) from error
        if not is_numeric(array.dtype):
            raise TypeError(
                f"{name}: {what} {index}{path} must be of numbers or flags, got {array.dtype}, "
                f"made of {type(value).__name__}"
            )
        check_leaf(name, f"{what} {index}{path}", array)
        arrays.append(array)
    return arrays
