"""Masks over time, and pooling over the valid steps of a time-major sequence."""

import functools
import operator
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jaxnn.internal.checks import (
    check_array,
    check_fits,
    check_flags,
    dtype_in_jax,
    is_array,
    is_traced,
    shape_text,
    state_dtype,
)
from jaxnn.internal.inputs import leaves_of
from jaxnn.internal.options import LARGEST
from jaxnn.types import Array, ArrayLike, PyTree, Tree


def lengths_to_mask(lengths: npt.ArrayLike, time: int) -> Array:
    """A mask that is true for the first `lengths` steps of each sequence.

    Args:
      lengths: integers in 0…time, `(*batch)`: an array, a number or a list.
      time: the number of steps of the padded sequences, from 0.

    Returns:
      Boolean, `(time, *batch)`.

    Raises:
      TypeError: where lengths or time are not integers.
      ValueError: where a length is outside 0…time, or time is negative. Under `jit`, where values
        are not known, a negative length counts as 0 and one beyond `time` as `time`.

    >>> lengths_to_mask(jnp.array([0, 2, 3]), 3).astype(int).tolist()
    [[0, 1, 1], [0, 1, 1], [0, 0, 1]]
    """
    time = _check_time(time)
    if not is_traced(lengths):
        lengths = _known_lengths(lengths, time)
    elif not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise TypeError(f"lengths_to_mask: lengths must be integers, got {lengths.dtype}")
    lengths = jnp.asarray(lengths)
    if lengths.dtype.itemsize < 4:  # the number of steps may not fit
        lengths = lengths.astype(jnp.int32)
    steps = jnp.arange(time, dtype=lengths.dtype)
    return steps.reshape(-1, *(1,) * lengths.ndim) < jnp.expand_dims(lengths, 0)


def _check_time(time: int) -> Any:
    """The number of steps, which may be symbolic."""
    if jax.export.is_symbolic_dim(time):
        return time
    try:
        if isinstance(time, (bool, np.bool_)):
            raise TypeError
        steps = operator.index(time)
    except TypeError:
        got = shape_text(time) if is_array(time) else repr(time)
        raise TypeError(
            f"lengths_to_mask: time must be an integer that is known when it is traced, got {got}"
        ) from None
    if not 0 <= steps <= LARGEST:
        raise ValueError(
            f"lengths_to_mask: time must be at least 0 and at most {LARGEST}, got {steps}"
        )
    return steps


def _known_lengths(lengths: npt.ArrayLike, time: int) -> ArrayLike:
    """Lengths that are integers, in 0…time where that can be told."""
    try:
        values = lengths if isinstance(lengths, jax.Array) else np.asarray(lengths)
        whole = jnp.issubdtype(values.dtype, jnp.integer)
    except (TypeError, ValueError):  # rows of unequal length, or nothing that numpy knows
        raise TypeError(
            f"lengths_to_mask: lengths must be integers, got {type(lengths).__name__}"
        ) from None
    if not whole:
        got = type(lengths).__name__ if values.dtype == object else values.dtype
        raise TypeError(f"lengths_to_mask: lengths must be integers, got {got}")
    if is_known(values) and isinstance(time, int):
        values = np.asarray(values)
        outside = values[(values < 0) | (values > time)]
        if outside.size:
            raise ValueError(
                f"lengths_to_mask: lengths must lie in 0…{time}, got {int(outside.flat[0])}"
            )
    return values


def is_known(x: object) -> bool:
    """Whether the values of x can be looked at: not under `jit`, nor in other processes."""
    known = not is_traced(x) and not isinstance(x, jax.ShapeDtypeStruct)
    return known and getattr(x, "is_fully_addressable", True)


def expand_to(flags: ArrayLike, x: ArrayLike) -> Array:
    """`flags` with trailing dimensions of size 1, up to the rank of x."""
    return jnp.expand_dims(flags, tuple(range(flags.ndim, x.ndim)))


def clean(name: str, x: ArrayLike, mask: ArrayLike | None, argument: str = "x") -> Any:
    """x with zeros where the mask is false: what stands there, NaN included, goes no further.

    It must happen before the first arithmetic on x, since NaN · 0 in a gradient is NaN.
    """
    check_values(name, argument, x)
    if mask is not None:
        check_values(name, "mask", mask)
        check_flags(name, "mask", mask, x.shape[: mask.ndim], argument)
    check_valid_fit(name, argument, x, mask)
    return _zero_masked(mask, x)


def clean_tree(name: str, x: PyTree, mask: ArrayLike | None, argument: str = "x") -> Any:
    """`clean`, of an array or each array of a tree."""
    cleaned = [clean(name, leaf, mask, where) for where, leaf in leaves_of(name, argument, x)]
    return jax.tree.structure(x).unflatten(cleaned)


def zero_masked(x: PyTree, mask: ArrayLike | None) -> Any:
    """`clean_tree`, of what is checked; x in the dtypes that jax keeps: without x64, 32 of numpy's
    64 bits."""
    return jax.tree.map(functools.partial(_zero_masked, mask), x)


def _zero_masked(mask: ArrayLike | None, x: ArrayLike) -> Any:
    if not isinstance(x, jax.Array) and dtype_in_jax(x) != x.dtype:
        with np.errstate(over="ignore"):  # at masked steps
            x = np.asarray(x, dtype_in_jax(x))
    return x if mask is None else jnp.where(expand_to(mask, x), x, jnp.zeros((), x.dtype))


def check_values(name: str, argument: str, x: PyTree) -> None:
    """Raise TypeError unless x is an array that has values, or will have."""
    check_array(name, argument, x)
    if isinstance(x, jax.ShapeDtypeStruct):
        raise TypeError(
            f"{name}: {argument} must be an array, got ShapeDtypeStruct: use jax.eval_shape"
        )


def check_valid_fit(name: str, argument: str, x: ArrayLike, mask: ArrayLike | None) -> None:
    """`check_fits` at the valid steps: what stands at masked ones goes nowhere."""
    if (
        not isinstance(x, (np.ndarray, np.generic))
        or not is_known(mask)
        or dtype_in_jax(x) == x.dtype
    ):
        return
    if mask is not None and is_array(mask) and tuple(mask.shape) == x.shape[: mask.ndim]:
        flags = np.asarray(mask)
        x = np.where(flags.reshape(flags.shape + (1,) * (x.ndim - flags.ndim)), x, 0)
    check_fits(name, argument, x)


def masked_mean(xs: ArrayLike, mask: ArrayLike | None = None) -> Array:
    """The mean over the valid steps; zeros for a sequence that has none.

    Args:
      xs: `(time, *batch, features)`, or `(time,)`, floating. Sums of 16-bit numbers are taken in
        float32.
      mask: boolean `(time, *batch)`, or None where every step is valid.

    Returns:
      `(*batch, features)`, of the dtype of xs.

    Raises:
      TypeError: for xs that are no array, or not floating, and a mask that is not boolean.
      ValueError: for a mask of another shape: it is not broadcast.

    >>> xs = jnp.array([[1.0], [3.0], [jnp.nan]])
    >>> masked_mean(xs, jnp.array([True, True, False])).tolist()
    [2.0]
    """
    xs, mask = _valid("masked_mean", xs, mask)
    if not jnp.issubdtype(xs.dtype, jnp.floating):
        raise TypeError(f"masked_mean: xs must be floating, got {xs.dtype}")
    exact = state_dtype(xs.dtype)
    count = jnp.maximum(jnp.sum(mask, axis=0, dtype=exact), jnp.ones((), exact))
    total = jnp.sum(xs, axis=0, dtype=exact)
    return (total / expand_to(count, total)).astype(xs.dtype)


def masked_max(xs: ArrayLike, mask: ArrayLike | None = None) -> Array:
    """The largest value over the valid steps; zeros for a sequence that has none.

    Args:
      xs: `(time, *batch, features)`, or `(time,)`.
      mask: boolean `(time, *batch)`, or None where every step is valid.

    Returns:
      `(*batch, features)`, of the dtype of xs.

    Raises:
      TypeError: for xs that are no array of real numbers, and a mask that is not boolean.
      ValueError: for a mask of another shape: it is not broadcast.

    >>> xs = jnp.array([[-1.0], [-3.0], [jnp.nan]])
    >>> masked_max(xs, jnp.array([True, True, False])).tolist()
    [-1.0]
    """
    xs, mask = _valid("masked_max", xs, mask)
    floating = jnp.issubdtype(xs.dtype, jnp.floating)
    if not floating and not jnp.issubdtype(xs.dtype, jnp.integer):
        raise TypeError(f"masked_max: xs must be real numbers, got {xs.dtype}")
    lowest = jnp.array(-jnp.inf if floating else jnp.iinfo(xs.dtype).min, xs.dtype)
    largest = jnp.max(jnp.where(expand_to(mask, xs), xs, lowest), axis=0, initial=lowest)
    return jnp.where(expand_to(jnp.any(mask, axis=0), largest), largest, jnp.zeros((), xs.dtype))


def masked_last(xs: ArrayLike, mask: ArrayLike | None = None) -> Array:
    """The value at the last valid step; zeros for a sequence that has none.

    Args:
      xs: `(time, *batch, features)`, or `(time,)`.
      mask: boolean `(time, *batch)`, or None where every step is valid.

    Returns:
      `(*batch, features)`, of the dtype of xs.

    Raises:
      TypeError: for xs that are no array of numbers or flags, and a mask that is not boolean.
      ValueError: for a mask of another shape: it is not broadcast.

    >>> xs = jnp.array([[1.0], [3.0], [jnp.nan]])
    >>> masked_last(xs, jnp.array([True, True, False])).tolist()
    [3.0]
    """
    xs, mask = _valid("masked_last", xs, mask)
    later = jnp.cumsum(jnp.flip(mask, 0), axis=0, dtype=jnp.int32)
    is_last = mask & (jnp.flip(later, 0) == 1)
    picked = jnp.where(expand_to(is_last, xs), xs, jnp.zeros((), xs.dtype))
    return jnp.sum(picked, axis=0, dtype=xs.dtype)


def _valid(name: str, xs: ArrayLike, mask: ArrayLike | None) -> tuple[Array, ArrayLike]:
    """xs, clean, and a mask in any case."""
    check_array(name, "xs", xs)
    if not jnp.issubdtype(xs.dtype, np.number) and xs.dtype != jnp.bool_:
        raise TypeError(f"{name}: xs must be numbers, got {xs.dtype}")
    if xs.ndim < 1:
        raise ValueError(f"{name}: xs must have a leading time axis, got a scalar")
    leading = xs.shape if xs.ndim == 1 else xs.shape[:-1]
    if mask is None:
        mask = jnp.ones(leading, jnp.bool_)
    check_values(name, "mask", mask)
    check_flags(name, "mask", mask, leading, "xs")
    return jnp.asarray(clean(name, xs, mask, "xs")), mask


def time_major(x: Tree) -> Tree:
    """From batch-major, as other libraries have it, to time-major: `(batch, time, ...)` becomes
    `(time, batch, ...)`. Twice is back again.

    Nothing in an array says which of its axes is time, so no function here can notice it; a network
    that is given `(batch, time, features)` runs along the batch.

    Args:
      x: an array `(batch, time, ...)`, or a tree of them, such as `(xs, mask)`. What has no time
        axis, such as one label for each sample, stays outside.

    Returns:
      The same with the first two axes exchanged; numpy's arrays stay numpy's.

    Raises:
      TypeError: for a leaf that is no array, or a tree without any.
      ValueError: for an array of less than two dimensions.

    >>> time_major(jnp.zeros((32, 100, 3))).shape
    (100, 32, 3)
    """
    leaves = jax.tree_util.tree_leaves_with_path(x)
    if not leaves:
        raise TypeError(f"time_major: x must be an array, or a tree of them, got {x!r}")
    for path, leaf in leaves:
        where = "x" + jax.tree_util.keystr(path)
        check_array("time_major", where, leaf)
        if isinstance(leaf, jax.ShapeDtypeStruct):
            raise TypeError(f"time_major: {where} must be an array, got a ShapeDtypeStruct")
        if leaf.ndim < 2:
            raise ValueError(
                f"time_major: {where} must be (batch, time, ...), got {shape_text(leaf)}; "
                f"leave out what has no time axis"
            )
    return jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), x)
