"""A tree as numpy arrays under names, their checksum, and the tree again."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.functions.params import path_text
from jaxnn.internal.checks import is_array, is_numeric, is_traced, leaves_by_path, shape_text
from jaxnn.types import ArrayLike, PyTree, Shaped


def named_leaves(name: str, argument: str, tree: PyTree) -> dict[str, Shaped]:
    """The leaves by their paths; an error, of the function `name`, for what is no array."""
    leaves = leaves_by_path(name, argument, tree)
    if not leaves:
        raise ValueError(f"{name}: the tree holds no arrays")
    named: dict[str, Shaped] = {}
    for path, leaf in leaves:
        text = path_text(path) or "value"
        if not is_array(leaf) or not (is_key(leaf) or is_numeric(leaf.dtype)):
            foreign = hasattr(leaf, "__array__") and not isinstance(leaf, (np.ndarray, np.generic))
            hint = ": use np.asarray of it" if foreign else ""
            kind = shape_text(leaf) if hasattr(leaf, "dtype") else type(leaf).__name__
            raise TypeError(f"{name}: {text} must be an array, got {kind}{hint}")
        if text in named:
            raise ValueError(f"{name}: two leaves have the path {text}")
        if text == "__metadata__" or any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ValueError(f"{name}: no safetensors file can hold a leaf of the path {text!r}")
        named[text] = leaf
    return named


def on_host(name: str, where: str, leaf: Shaped) -> np.ndarray:
    """The values of a leaf, those of a key its data, in the order of this machine's bytes."""
    if is_traced(leaf) or isinstance(leaf, jax.ShapeDtypeStruct):
        kind = f"a tracer: {name} outside of jit" if is_traced(leaf) else "a ShapeDtypeStruct"
        raise TypeError(f"{name}: {where} must be an array with values, got {kind}")
    if isinstance(leaf, jax.Array):
        if leaf.is_deleted():
            raise ValueError(f"{name}: {where} was donated, its values are gone")
        if not (leaf.is_fully_addressable or leaf.is_fully_replicated):
            raise ValueError(f"{name}: {where} lies on devices of other processes too: gather it")
    array = np.asarray(_data(leaf), order="C")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Of names, dtypes, shapes and bytes, in one order."""
    found = hashlib.blake2b(digest_size=32)
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        found.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def differences(source: str, found: Mapping[str, Shaped], like: Mapping[str, Shaped]) -> list[str]:
    """In what the arrays of a source are not those that are expected, each on a line."""
    lines = [f"{name}: missing from the {source}" for name in like if name not in found]
    lines += [f"{name}: in the {source} only" for name in found if name not in like]
    for name in like:
        lines += _differences(name, found[name], like[name]) if name in found else []
    return lines


def _differences(name: str, found: Shaped, like: Shaped) -> list[str]:
    want = jax.eval_shape(_data, like) if is_key(like) else like
    dtype = jax.dtypes.canonicalize_dtype(want.dtype).newbyteorder("=")
    lines = []
    if tuple(want.shape) != tuple(found.shape):
        lines.append(f"{name}: expected the shape {tuple(want.shape)}, got {tuple(found.shape)}")
    if dtype != found.dtype:
        wide = jax.dtypes.canonicalize_dtype(found.dtype) != found.dtype
        hint = ", which needs jax.config.update('jax_enable_x64', True)" if wide else ""
        lines.append(f"{name}: expected {dtype}, got {found.dtype}{hint}")
    return lines


def restored(array: np.ndarray, like: Shaped) -> jax.Array:
    """An array as jax's, a typed key where the one expected is one."""
    # A copy, since the array is a view of the file's bytes, and a train step donates it.
    value = jnp.array(array, copy=True)
    return jax.random.wrap_key_data(value, impl=_key_impl(like)) if is_key(like) else value


def _key_impl(like: Shaped) -> Any:
    """Of a key or its ShapeDtypeStruct, which `key_impl` takes only as a tracer."""
    found: list[Any] = []
    jax.eval_shape(lambda key: found.append(jax.random.key_impl(key)), like)
    return found[0]


def is_key(leaf: Shaped) -> bool:
    """Whether it is a typed key."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _data(leaf: ArrayLike) -> ArrayLike:
    return jax.random.key_data(leaf) if is_key(leaf) else leaf
