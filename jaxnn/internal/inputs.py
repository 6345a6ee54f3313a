"""What a step takes: one array, or a tree of arrays that share their time and their batch.

`event_ndim` says how many trailing dimensions of each array are neither: one number for all of
them, or a tree of numbers like x. Whoever asks what time and batch of an input are asks here.
"""

from typing import Any

import jax

from jaxnn.internal.checks import (
    check_array,
    check_dtype_of,
    is_array,
    leaves_by_path,
    outline_text,
    told_apart,
)
from jaxnn.internal.options import check_size
from jaxnn.types import EventNdim, PyTree, Ranks, Shape


def leaves_of(name: str, argument: str, x: PyTree) -> list[tuple[str, Any]]:
    """The leaves of an input, each with what one would write for it: `xs`, or `xs['edges']`.

    Raises:
      TypeError: for a tree without any array.
    """
    if jax.tree_util.all_leaves((x,)):
        return [(argument, x)]
    leaves = named(name, argument, x)
    if not any(is_array(leaf) for _, leaf in leaves):
        raise TypeError(
            f"{name}: {argument} must be an array, got {type(x).__name__}; nor is it a tree of them"
        )
    return leaves


def named(name: str, argument: str, tree: PyTree) -> list[tuple[str, Any]]:
    """The leaves of any tree, likewise."""
    leaves = leaves_by_path(name, argument, tree)
    return [(argument + jax.tree_util.keystr(path), leaf) for path, leaf in leaves]


def check_arrays(name: str, argument: str, x: PyTree) -> None:
    """Raise TypeError unless an input is an array, or a tree of them."""
    for where, leaf in leaves_of(name, argument, x):
        check_array(name, where, leaf)


def leading_of(
    name: str, argument: str, x: PyTree, event_ndim: EventNdim, time: bool, more: str = ""
) -> Shape:
    """The dimensions before those of the event: the batch, with time before it where x has that.

    Args:
      name, argument: what was called, and what x is called there.
      x: an array, or a tree of them.
      event_ndim: how many dimensions the event has, in each array.
      time: whether x is a sequence.
      more: what to do where there are too few.

    Raises:
      TypeError: where x is another tree than event_ndim.
      ValueError: where an array has too few dimensions, or another time or batch than the first.
    """
    leaves = leaves_of(name, argument, x)
    if isinstance(event_ndim, int):
        ndims = (event_ndim,) * len(leaves)
    else:
        ndims = event_ndim.ndims
        if jax.tree.structure(x) != event_ndim.structure:
            raise TypeError(
                f"{name}: {argument} must be a tree like event_ndim, {event_ndim}, got "
                f"{told_apart(event_ndim.tree(), x)[1]}"
            )
    found: list[tuple[str, Shape]] = []
    for (where, leaf), behind in zip(leaves, ndims, strict=True):
        least = int(time) + behind
        if leaf.ndim < least:
            event = "features" if behind == 1 else "*event"
            raise ValueError(
                f"{name}: {where} must be ({'time, ' if time else ''}*batch, {event}), at least "
                f"{least} dimensions, got the shape {tuple(leaf.shape)}{more}"
            )
        found.append((where, tuple(leaf.shape[: leaf.ndim - behind])))
    first, leading = found[0]
    for where, other in found:
        if other != leading:
            raise ValueError(
                f"{name}: all arrays of {argument} must have one {'time and ' if time else ''}"
                f"batch, but {first} begins with {leading}, and {where} with {other} "
                f"(event_ndim={event_ndim})"
            )
    return leading


def front(x: PyTree, count: int) -> Shape:
    """The first dimensions of an input, so many, which all of its arrays share."""
    return tuple(jax.tree.leaves(x)[0].shape[:count])


def time_of(xs: PyTree) -> Any:
    """How many steps a sequence has; the number may be symbolic."""
    return front(xs, 1)[0]


def leading_ndim(x: PyTree, event_ndim: EventNdim) -> int:
    """How many dimensions come before those of the event, of an input that is checked."""
    behind = event_ndim if isinstance(event_ndim, int) else event_ndim.ndims[0]
    return jax.tree.leaves(x)[0].ndim - behind


def batch_of(xs: PyTree, event_ndim: EventNdim) -> Shape:
    """The batch of a sequence that is checked."""
    return tuple(jax.tree.leaves(xs)[0].shape[1 : leading_ndim(xs, event_ndim)])


def check_one_array(name: str, argument: str, x: PyTree) -> None:
    """Raise TypeError for a tree where a cell takes one array."""
    if not jax.tree_util.all_leaves((x,)):
        raise TypeError(
            f"{name}: {argument} must be an array, got {outline_text(x)}: the cells of jaxnn take "
            f"one array, such as the features of all side by side; one of your own, of jaxnn.cell, "
            f"takes a tree"
        )


def check_event(name: str, argument: str, x: PyTree, event: PyTree) -> None:
    """Raise unless each array of x ends with the shape of its event, and has the dtype of that."""
    leaves = zip(leaves_of(name, argument, x), jax.tree.leaves(event), strict=True)
    for (where, leaf), like in leaves:
        check_dtype_of(name, where, leaf, like.dtype)
        if tuple(leaf.shape[leaf.ndim - len(like.shape) :]) != tuple(like.shape):
            raise ValueError(
                f"{name}: {where} must end with the shape {tuple(like.shape)}, got "
                f"{tuple(leaf.shape)}"
            )


def check_event_ndim(name: str, event_ndim: Any) -> EventNdim:
    """0 or a positive integer, as an int; or a tree of such, as Ranks."""
    if not isinstance(event_ndim, Ranks):
        return _number(name, "event_ndim", event_ndim)
    leaves = named(name, "event_ndim", event_ndim.tree())
    return Ranks(event_ndim.structure, tuple(_number(name, *leaf) for leaf in leaves))


def _number(name: str, argument: str, value: Any) -> int:
    if type(value) is int and value == 0:
        return 0
    return check_size(name, argument, value)
