"""Nodes that only move, name or cut axes: of tensors, of shapes, and of states from outside."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxnn.interop.onnx.package import Refused
from jaxnn.interop.onnx.values import Axis, Made, Other, Spread, Tensor, flat, is_known, is_sizes

Dims = tuple[tuple[Axis, ...], ...]


def transposed(tensor: Tensor, order: Sequence[int]) -> Tensor:
    """The dimensions in another order."""
    return tensor._replace(dims=tuple(tensor.dims[axis] for axis in order))


def squeezed(tensor: Tensor, axes: Sequence[int] | None) -> Tensor:
    """Without dimensions of size 1."""
    dims = tensor.dims
    if axes is None:
        gone = {n for n, dim in enumerate(dims) if _size(dim) == 1}
    else:
        gone = {axis % len(dims) for axis in axes}
    for axis in gone:
        if dims[axis] and _size(dims[axis]) != 1:
            raise Refused(f"it squeezes the dimension {axis}, whose size is not known to be 1")
    kept = tuple(dim for n, dim in enumerate(dims) if n not in gone)
    lost = [axis for n in gone for axis in dims[n]]
    if lost:
        raise Refused("it squeezes an axis of size 1 of the model itself")
    return tensor._replace(dims=kept)


def unsqueezed(tensor: Tensor, axes: Sequence[int]) -> Tensor:
    """With further dimensions of size 1."""
    rank = len(tensor.dims) + len(axes)
    new = {axis % rank for axis in axes}
    rest = iter(tensor.dims)
    return tensor._replace(dims=tuple(() if n in new else next(rest) for n in range(rank)))


def reshaped(tensor: Tensor, target: Sequence[Any]) -> Tensor:
    """Dimensions merged into one, or taken apart again, in their order."""
    wanted: list[Any] = list(target)
    for place, entry in enumerate(wanted):
        if not isinstance(entry, Axis) and entry == 0:
            wanted[place] = tensor.dims[place]
    axes = flat(tensor.dims)
    front = list(itertools.takewhile(lambda each: not _is_rest(each), wanted))
    back = wanted[len(front) + 1 :][::-1]
    dims, axes = _in_order(front, axes)
    if len(front) < len(wanted):
        tail, rest = _in_order(back, axes[::-1])
        dims, axes = [*dims, tuple(rest[::-1]), *(dim[::-1] for dim in tail[::-1])], []
    if axes:
        raise Refused("it reshapes to fewer numbers than there are")
    return tensor._replace(dims=tuple(dims))


def _is_rest(entry: Any) -> bool:
    return entry is None or (not isinstance(entry, (Axis, tuple)) and entry == -1)


def _in_order(
    entries: Sequence[Any], axes: list[Axis]
) -> tuple[list[tuple[Axis, ...]], list[Axis]]:
    """The axes of one dimension after the other, and those that are left."""
    dims: list[tuple[Axis, ...]] = []
    for place, entry in enumerate(entries):
        after = len(entries) - place - 1
        taken = _taken(entry, axes, after)
        dims.append(tuple(axes[:taken]))
        axes = axes[taken:]
    return dims, axes


def _taken(entry: Any, axes: Sequence[Axis], after: int) -> int:
    """How many of the first axes make up a dimension, before so many others.

    Axes of size 1 may belong to this one or the next: they do to this one where the others have
    enough without.
    """
    if isinstance(entry, tuple):  # a dimension as it was
        if set(axes[: len(entry)]) != set(entry):
            raise Refused("it reshapes across its axes")
        return len(entry)
    if isinstance(entry, Axis):
        if not axes or axes[0].root() is not entry.root():
            raise Refused("it reshapes across its axes")
        return 1
    taken, product = 0, 1
    while taken < len(axes):
        size = axes[taken].size
        more = size == 1 and len(axes) - taken > after
        if not more and (product == entry or size is None or product * size > entry):
            break
        product *= size or 0
        taken += 1
    if product != entry:
        raise Refused(
            f"it reshapes to a size {entry}, which its axes next to each other do not have"
        )
    return taken


def flattened(tensor: Tensor, axis: int) -> Tensor:
    """Two dimensions: all before the axis, and all from it on."""
    dims = tensor.dims
    place = axis % len(dims) if axis < 0 else axis
    return tensor._replace(dims=(tuple(flat(dims[:place])), tuple(flat(dims[place:]))))


def _size(dim: Sequence[Axis]) -> int | None:
    sizes = [axis.size for axis in dim]
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


def shape_of(tensor: Tensor) -> np.ndarray:
    """Its sizes; an Axis for an open one."""
    found = np.empty(len(tensor.dims), object)
    for place, dim in enumerate(tensor.dims):
        size = _size(dim)
        found[place] = size if size is not None else (dim[0] if len(dim) == 1 else None)
    return found


def of_sizes(operator: str, inputs: Sequence[Any], options: dict[str, Any]) -> Any:
    """Arithmetic of shapes."""
    x = inputs[0]
    if any(each.ndim == 0 and each[()] is None for each in inputs if is_sizes(each)):
        return np.array(None, object)
    if operator in ("Identity", "Cast"):
        return x
    if operator == "Gather":
        return np.asarray(np.take(x, inputs[1], axis=options.get("axis", 0)), object)
    if operator == "Concat":
        return np.concatenate([np.atleast_1d(np.asarray(each, object)) for each in inputs])
    if operator == "Unsqueeze":
        return np.reshape(x, 1) if x.ndim == 0 else x
    if operator == "Squeeze":
        return np.reshape(x, ())
    if operator == "Reshape":
        return np.reshape(x, [int(n) for n in inputs[1]])
    if operator == "Slice":
        starts, ends, *rest = (np.atleast_1d(each) for each in inputs[1:])
        step = int(rest[1][0]) if len(rest) > 1 else 1
        return x[int(starts[0]) : int(ends[0]) : step]
    return np.array(None, object)  # a size that is computed


def of_spread(operator: str, inputs: Sequence[Any], options: dict[str, Any]) -> Any:
    """Constants that are broadcast: how they stand is seen by who reads them."""
    x = inputs[0]
    if operator == "ConstantOfShape":
        value = options.get("value")
        return Spread(np.zeros((), np.float32) if value is None else np.asarray(value).reshape(()))
    if operator == "Concat":
        axis = options["axis"]
        arrays = [each.array if isinstance(each, Spread) else each for each in inputs]
        if all(not array.any() for array in arrays):
            return Spread(np.zeros((), arrays[0].dtype))
        return Spread(np.concatenate(arrays, axis))
    array = x.array if isinstance(x, Spread) else x
    if operator in ("Expand", "Identity", "Cast") or not array.any():
        return Spread(array)
    raise Refused("it changes a first state that is a constant: give the constant in its place")


PLAIN = ("Concat", "Gather", "Slice", "Split", "Expand")
"""What leaves the numbers of a state as they are, beside `MOVES`."""
MOVES = ("Identity", "Cast", "Dropout", "Transpose", "Squeeze", "Unsqueeze", "Reshape", "Flatten")


def of_other(operator: str, inputs: Sequence[Any]) -> Other:
    """Lengths and states, as they are handed to an operator."""
    others = [each for each in inputs if isinstance(each, Other)]
    plain = operator in (*PLAIN, *MOVES) and all(each.plain for each in others)
    return Other(frozenset().union(*(each.names for each in others)), plain)


def moved(operator: str, tensor: Tensor, inputs: Sequence[Any], options: dict[str, Any]) -> Tensor:
    """A tensor whose numbers stay."""
    if operator == "Transpose":
        return transposed(tensor, options.get("perm", range(len(tensor.dims))[::-1]))
    if operator in ("Squeeze", "Unsqueeze"):
        axes = options.get("axes")
        if len(inputs) > 1 and inputs[1] is not None:
            axes = [int(axis) for axis in np.atleast_1d(_known(inputs[1]))]
        return squeezed(tensor, axes) if operator == "Squeeze" else unsqueezed(tensor, axes or [])
    if operator == "Reshape":
        target = inputs[1]
        if not (is_known(target) or is_sizes(target)):
            raise Refused("it reshapes to a shape that is computed")
        if options.get("allowzero") and 0 in list(target):
            raise Refused("it reshapes to nothing")
        return reshaped(tensor, [n if isinstance(n, Axis) or n is None else int(n) for n in target])
    if operator == "Flatten":
        return flattened(tensor, options.get("axis", 1))
    return tensor


def _known(value: Any) -> np.ndarray:
    if not is_known(value):
        raise Refused("its axes are computed")
    return value


def same_axes(left: Made, right: Made) -> bool:
    """Whether two results have the same axes, but for what the features are."""
    ours = [axis.root() for axis in (*left.leading, *left.spatial)]
    theirs = [axis.root() for axis in (*right.leading, *right.spatial)]
    return set(ours) == set(theirs)
