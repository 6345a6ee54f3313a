"""Checks at trace time: which argument, what was expected, what came, what to do.

They read shapes and dtypes only, so they cost nothing in a compiled program, and they compare
sizes for equality only, so symbolic sizes (`jax.export.symbolic_shape`) pass them too.
"""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any, TypeGuard

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.tree_util import KeyPath
from jax.typing import DTypeLike

from jaxnn.types import Key, PyTree, Shape, Shaped, State


def shape_text(x: Any) -> str:
    """'float32[8, 64]' for an array, the type's name for anything else."""
    if not is_array(x):
        return type(x).__name__ + (f" of {x.dtype}" if hasattr(x, "dtype") else "")
    return f"{x.dtype}[{', '.join(map(str, x.shape))}]"


def is_array(x: object) -> bool:
    """Whether x is an array that jax takes: numpy's, jax's, a tracer, a ShapeDtypeStruct."""
    if isinstance(x, (jax.Array, jax.ShapeDtypeStruct)):
        return True
    return isinstance(x, (np.ndarray, np.generic)) and is_numeric(x.dtype)


@functools.lru_cache(maxsize=64)
def is_numeric(dtype: np.dtype) -> bool:
    """Whether a dtype of numpy's is one of numbers or flags: text, dates and objects are not."""
    return jnp.issubdtype(dtype, jnp.number) or dtype == np.bool_


def is_key(x: Shaped | np.generic) -> bool:
    """Whether an array holds keys of `jax.random.key`."""
    return jnp.issubdtype(x.dtype, jax.dtypes.extended)


def dtype_in_jax(x: Shaped | np.generic) -> jnp.dtype:
    """The dtype that jax has for an array: without x64, numpy's float64 counts as float32."""
    return x.dtype if is_key(x) else jax.dtypes.canonicalize_dtype(x.dtype)


def is_traced(x: object) -> TypeGuard[Tracer]:
    """Whether the values of x are unknown, as under jit."""
    return isinstance(x, Tracer)


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """What is called within: an error of a part says the whole that was called, too."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if type(error) not in (TypeError, ValueError) or name in str(error):
            raise
        raise type(error)(f"{name}: {error}") from error


def check_array(name: str, argument: str, x: PyTree) -> None:
    """Raise TypeError unless x is an array of numpy's or jax's, of numbers or flags."""
    if is_array(x) and is_key(x):
        raise TypeError(f"{name}: {argument} must be an array of numbers, got keys, {x.dtype}")
    if not is_array(x):
        raise TypeError(
            f"{name}: {argument} must be an array, got {shape_text(x)}"
            + (f": use np.asarray({argument})" if hasattr(x, "__array__") else "")
        )


def state_dtype(dtype: DTypeLike) -> jnp.dtype:
    """The dtype of a state under arithmetic in `dtype`: float32 for the 16-bit ones."""
    dtype = jnp.dtype(dtype)
    # Not jnp.promote_types, which raises under strict dtype promotion.
    return dtype if dtype.itemsize >= 4 else jnp.dtype(jnp.float32)


def check_dtype_of(name: str, argument: str, x: Shaped, dtype: jnp.dtype) -> None:
    """Raise TypeError unless x is an array of the dtype (as jax sees it: without x64, numpy's
    float64 counts as float32)."""
    check_array(name, argument, x)
    got = dtype_in_jax(x)
    if got != dtype:
        raise TypeError(
            f"{name}: {argument} must be {dtype}, got {got}: cast it with "
            f"{argument}.astype('{dtype}'), or build with dtype='{got}'"
            if jnp.issubdtype(got, jnp.floating)
            else f"{name}: {argument} must be {dtype}, got {got}: cast it with "
            f"{argument}.astype('{dtype}')"
        )


def check_floating(name: str, x: Shaped) -> None:
    """Raise TypeError unless x is floating."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"{name}: x must be floating, got {x.dtype}: cast it with x.astype(float)")


def check_features(name: str, argument: str, x: Shaped, size: int) -> None:
    """Raise ValueError unless the last dimension of x is `size`."""
    if x.ndim and x.shape[-1] == size:
        return
    elsewhere = [axis for axis, length in enumerate(x.shape[:-1]) if length == size]
    hint = (
        f"; axis {elsewhere[0]} has {size}: features come last, use jnp.moveaxis({argument}, "
        f"{elsewhere[0]}, -1)"
        if elsewhere
        else ""
    )
    got = f"{x.shape[-1]} (shape {x.shape})" if x.ndim else "a scalar"
    raise ValueError(f"{name}: {argument} must have {size} features, got {got}{hint}")


def check_flags(
    name: str, argument: str, flags: Shaped, shape: Shape, of: str, more: str = ""
) -> None:
    """Raise unless `flags`, a mask or a reset, is boolean and has the given shape.

    `more` is what to do where it covers further dimensions.
    """
    check_array(name, argument, flags)
    if flags.dtype != jnp.bool_:
        raise TypeError(
            f"{name}: {argument} must be boolean, got {flags.dtype}: use "
            f"{argument}.astype(bool), or lengths_to_mask for lengths"
        )
    check_covers(name, argument, flags, shape, of, more)


def check_covers(
    name: str, argument: str, flags: Shaped, shape: Shape, of: str, more: str = ""
) -> None:
    """Raise ValueError unless `flags`, or weights, have the shape of the leading dimensions."""
    if tuple(flags.shape) == tuple(shape):
        return
    hint = ""
    if flags.ndim >= 2 and len(shape) >= 2 and flags.shape[:2] == (shape[1], shape[0]):
        hint = (
            f". One of the two is batch-major; jaxnn is time-major (time, batch): use "
            f"{of}.swapaxes(0, 1) or {argument}.swapaxes(0, 1)"
        )
    elif tuple(flags.shape) == (*shape, 1):
        hint = f": use {argument}[..., 0]"
    elif flags.ndim < len(shape):
        hint = (
            f": it covers fewer dimensions, and is not spread over the others, since it could be "
            f"meant for either of two of one length; say which by jnp.broadcast_to({argument}, "
            f"{tuple(shape)}) or {argument}[:, None]"
        )
    elif flags.ndim > len(shape):
        hint = f": what is behind them is taken together{more}"
    raise ValueError(
        f"{name}: {argument} must have the shape {tuple(shape)} (the leading dimensions of {of}), "
        f"got {tuple(flags.shape)}{hint}"
    )


def check_batch_shape(name: str, batch_shape: object) -> None:
    """Raise unless batch_shape is a tuple of sizes, which may be symbolic."""
    if not isinstance(batch_shape, tuple) or not all(map(_is_size, batch_shape)):
        raise TypeError(
            f"{name}: batch_shape must be a tuple of sizes, such as (8,), got {batch_shape!r}"
        )
    for size in batch_shape:
        if isinstance(size, (int, np.integer)) and size < 0:
            raise ValueError(f"{name}: batch_shape must be of sizes from 0, got {size}")


def _is_size(value: Any) -> bool:
    if isinstance(value, (int, np.integer)):
        return not isinstance(value, bool)
    return jax.export.is_symbolic_dim(value)


def check_key(name: str, key: Key | None) -> None:
    """Raise TypeError unless key is None or one key, typed or legacy."""
    if key is None:
        return
    typed = is_array(key) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    legacy = is_array(key) and key.dtype == jnp.uint32 and tuple(key.shape) == _legacy_shape()
    if not (typed and key.ndim == 0) and not legacy:
        raise TypeError(
            f"{name}: key must be one key of jax.random.key(seed), got {shape_text(key)}"
        )


def _legacy_shape() -> tuple[int, ...]:
    """How many numbers a key of `jax.random.PRNGKey` has, by jax's own settings."""
    return jax.eval_shape(lambda: jax.random.PRNGKey(0)).shape


def check_init_key(name: str, key: Key) -> None:
    """Raise TypeError unless key is one key: unlike `apply`, `init` cannot do without."""
    if key is None:
        raise TypeError(f"{name}.init: key must be one key of jax.random.key(seed), got None")
    check_key(f"{name}.init", key)


def split_key(name: str, key: Key | None, parts: int) -> list[Key | None]:
    """A key for each part, or None for each."""
    check_key(name, key)
    return [None] * parts if key is None else list(jax.random.split(key, parts))


def check_tuple(name: str, argument: str, value: object, length: int) -> None:
    """Raise unless value is a tuple with one entry for each part."""
    if not isinstance(value, tuple) or hasattr(value, "_fields"):
        raise TypeError(
            f"{name}: {argument} must be a tuple of {length}, one for each part; "
            f"got {type(value).__name__}"
        )
    if len(value) != length:
        raise ValueError(
            f"{name}: {argument} must be a tuple of {length}, one for each part; got {len(value)}"
        )


def check_state(name: str, argument: str, state: State, expected: State, hint: str = "") -> None:
    """Raise unless state has the structure, shapes and dtypes of `expected`."""
    if jax.tree.structure(state) != jax.tree.structure(expected):
        want, got = told_apart(expected, state)
        raise TypeError(f"{name}: {argument} must be {want}, as initial_state gives it; got {got}")
    got_leaves = jax.tree_util.tree_leaves_with_path(state)
    for (path, got), want in zip(got_leaves, jax.tree.leaves(expected), strict=True):
        where = argument + jax.tree_util.keystr(path)
        if not is_array(got):
            check_array(name, where, got)
        got_dtype = dtype_in_jax(got)
        if tuple(got.shape) != tuple(want.shape):
            raise ValueError(
                f"{name}: {where} must have the shape {tuple(want.shape)}, "
                f"got {tuple(got.shape)}{hint}"
            )
        if got_dtype != want.dtype:
            raise TypeError(f"{name}: {where} must be {want.dtype}, got {got_dtype}{hint}")


def outline_text(tree: PyTree) -> str:
    """The names of a tree without its values: 'LSTMState(hidden, cell)'."""
    if hasattr(tree, "_fields"):
        return f"{type(tree).__name__}({', '.join(tree._fields)})"
    if isinstance(tree, (tuple, list)):
        return f"{type(tree).__name__} of ({', '.join(map(outline_text, tree))})"
    if isinstance(tree, dict):
        return f"dict of ({', '.join(map(str, tree))})"
    return shape_text(tree)


def type_text(tree: PyTree) -> str:
    """The type of a tree and where it is from: 'jaxnn.cells.lstm.LSTMState'."""
    return f"{type(tree).__module__}.{type(tree).__qualname__}"


def told_apart(expected: PyTree, got: PyTree) -> tuple[str, str]:
    """What an error calls two trees of different structure.

    Their outlines, and where those are equal the first part that differs too: 'tuple of
    (LSTMState(hidden, cell)) with [0] jaxnn.cells.lstm.LSTMState', for a type of that name from
    elsewhere.
    """
    want, found = outline_text(expected), outline_text(got)
    if want != found:
        return want, found
    path, part, other = _first_difference("", expected, got)
    texts = outline_text(part), outline_text(other)
    if texts[0] == texts[1]:
        texts = type_text(part), type_text(other)
    return (f"{want} with {path} {texts[0]}", f"{want} with {path} {texts[1]}") if path else texts


def _first_difference(path: str, a: PyTree, b: PyTree) -> tuple[str, PyTree, PyTree]:
    """The smallest parts that differ in structure, of two trees of one outline, and where."""
    if type(a) is type(b) and outline_text(a) == outline_text(b):
        if isinstance(a, dict):
            parts = [(f"[{key!r}]", a[key], b[key]) for key in a]
        elif isinstance(a, (tuple, list)):
            keys = [f".{field}" for field in getattr(a, "_fields", ())]
            keys = keys or [f"[{index}]" for index in range(len(a))]
            parts = list(zip(keys, a, b, strict=True))
        else:
            parts = []
        for key, one, other in parts:
            if jax.tree.structure(one) != jax.tree.structure(other):
                return _first_difference(path + key, one, other)
    return path, a, b


def leaves_by_path(name: str, argument: str, tree: PyTree) -> list[tuple[KeyPath, PyTree]]:
    """The leaves of a tree and their paths; TypeError where jax cannot order them."""
    try:
        return jax.tree_util.tree_leaves_with_path(tree)
    except (ValueError, TypeError) as error:  # keys of a dictionary that cannot be sorted
        raise TypeError(f"{name}: {argument} must be a tree of arrays: {error}") from None


def check_arguments(name: str, numbers: str = "", **arguments: PyTree) -> None:
    """Raise unless every leaf is an array that jit takes, with values that it keeps.

    It stands before the jit, which would refuse what it does not know in words of its own. The
    argument that `numbers` names may hold plain numbers too.
    """
    for argument, tree in arguments.items():
        if tree is None:
            continue
        for path, leaf in leaves_by_path(name, argument, tree):
            where = argument + jax.tree_util.keystr(path)
            if argument == numbers and isinstance(leaf, (bool, int, float, complex)):
                continue
            if not is_array(leaf):  # keys may stand in params and states
                check_array(name, where, leaf)
            check_fits(name, where, leaf)


def check_fits(name: str, argument: str, x: object) -> None:
    """Raise ValueError where numpy's 64 bits hold what the 32 that jax makes of them do not.

    Without x64 jax takes float64 for float32 and int64 for int32, everywhere. A number that would
    become infinite, or another one, is refused. Arrays of jax's are never looked at.
    """
    if not isinstance(x, (np.ndarray, np.generic)) or not is_numeric(x.dtype) or fits(x):
        return
    kept, values = np.dtype(dtype_in_jax(x)), np.asarray(x)
    with np.errstate(over="ignore"):
        cast = values.astype(kept)
    lost = cast != values if kept.kind in "iu" else np.isfinite(values) & ~np.isfinite(cast)
    raise ValueError(
        f"{name}: {argument} is numpy's {x.dtype}, which jax takes for {kept}, and holds "
        f"{values[lost].flat[0]}, which does not fit {kept}: scale it, or set "
        f"jax.config.update('jax_enable_x64', True)"
    )


def fits(array: Any) -> bool:
    """Whether numpy's array keeps its values as jax holds it."""
    kept = np.dtype(dtype_in_jax(array))
    if array.dtype.itemsize < 8 or array.size == 0 or kept == array.dtype.newbyteorder("="):
        return True
    if np.issubdtype(kept, np.integer):
        limits = jnp.iinfo(kept)
        return bool(np.min(array) >= limits.min and np.max(array) <= limits.max)
    largest = float(jnp.finfo(kept).max)
    for part in (array.real, array.imag) if np.iscomplexobj(array) else (array,):
        # The extremes first: they pass over NaN and need no second array.
        if np.fmax.reduce(part, axis=None) > largest or np.fmin.reduce(part, axis=None) < -largest:
            with np.errstate(over="ignore"):
                lost = np.isinf(part.astype(np.float32)) & np.isfinite(part)
            if np.any(lost):
                return False
    return True


def check_mask(
    name: str,
    mask: Shaped | None,
    x: Shaped,
    event_ndim: int | None,
    argument: str = "x",
    hint: str = "",
) -> None:
    """Raise unless a mask covers all dimensions of x but the last `event_ndim` ones."""
    if mask is None:
        return
    check_array(name, "mask", mask)
    leading = x.ndim - event_ndim if event_ndim is not None else min(mask.ndim, x.ndim)
    check_flags(name, "mask", mask, tuple(x.shape[: max(leading, 0)]), argument, hint)
