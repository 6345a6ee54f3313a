"""Parameters in a file: safetensors, by tree path."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.functions.params import path_text
from jaxnn.internal.checks import is_array, is_numeric, is_traced, leaves_by_path, shape_text
from jaxnn.training.atomic import remove_leftovers, write
from jaxnn.types import ArrayLike, PyTree, Shaped

T = TypeVar("T")

WRITER = "jaxnn"
KINDS = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 bfloat16 float16 float32 float64"
"""The dtypes that safetensors gives back as numpy arrays, beside complex64."""


def save(path: str | os.PathLike[str], tree: PyTree) -> None:
    """Write a pytree of arrays to a safetensors file.

    The file holds each leaf under its tree path ("cell.input_kernel"), and nothing that runs when
    it is read; beside them a checksum, by which `load` finds out damage. It is written beside its
    place first, under a name of its own, and synced to the disk (fsync), so that a crash, a power
    cut or somebody else who saves there leaves a whole file; an existing one keeps its permissions,
    and a link is followed. What a killed `save` left beside it is removed by the next one, or by
    `load`. Typed random keys are kept as their data.

    Args:
      path: the file, by custom ending in `.safetensors`.
      tree: params, a `TrainState`, or any pytree of arrays.

    Raises:
      TypeError: for a path that is none, a leaf that is no array, or one of a dtype that
        safetensors does not give back.
      ValueError: for a tree without leaves, two leaves of the same path, a path that no file can
        hold (`__metadata__`), or an array that was donated or is not all here.
      OSError: where it cannot be written, such as FileNotFoundError for a folder.
      ImportError: without the package safetensors (in the extra `examples`).

    >>> import jax, jaxnn, tempfile
    >>> params = jaxnn.gru(2, 3).init(jax.random.key(0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(folder + "/gru.safetensors", params)
    ...     again = load(folder + "/gru.safetensors", like=params)
    >>> bool(jnp.all(again.bias == params.bias))
    True
    """
    safetensors = _safetensors("save")
    file = _path("save", path)
    arrays = {name: _on_host(name, leaf) for name, leaf in _named_leaves("save", tree).items()}
    try:
        metadata = {"written_by": WRITER, "blake2b": _digest(arrays)}
        data = safetensors.numpy.save(arrays, metadata=metadata)
    except safetensors.SafetensorError as error:
        raise TypeError(f"save: {error}") from error
    with _told_by("save"):
        write(file, data)


def load(path: str | os.PathLike[str], like: T) -> T:
    """Read what `save` wrote, or another safetensors file of such names.

    Args:
      path: the file.
      like: a tree of the expected structure, shapes and dtypes: params, or `jax.eval_shape` of what
        makes them.

    Returns:
      A tree of the structure of `like`, with the file's values.

    Raises:
      TypeError: for a path that is none, or a leaf of `like` that is no array.
      ValueError: where names, shapes or dtypes differ (all differences are listed), or the file is
        damaged, by its checksum if it has one, or no safetensors file.
      OSError: where it cannot be read, such as FileNotFoundError.
      ImportError: without the package safetensors (in the extra `examples`).

    >>> import jax, jaxnn, tempfile
    >>> layer = jaxnn.dense(2, 3)
    >>> params = layer.init(jax.random.key(0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(folder + "/dense.safetensors", params)
    ...     like = jax.eval_shape(layer.init, jax.random.key(0))
    ...     load(folder + "/dense.safetensors", like).kernel.shape
    (2, 3)
    """
    safetensors = _safetensors("load")
    file = _path("load", path)
    expected = _named_leaves("load", like)
    remove_leftovers(file)
    arrays = _read(safetensors, file)
    problems = [f"{name}: missing from the file" for name in expected if name not in arrays]
    problems += [f"{name}: in the file only" for name in arrays if name not in expected]
    for name, leaf in expected.items():
        if name in arrays:
            problems += _differences(name, arrays[name], leaf)
    if problems:
        listed = "\n  ".join(problems)
        raise ValueError(f"load: {path} does not hold what `like` expects:\n  {listed}")
    leaves = [_restore(arrays[name], leaf) for name, leaf in expected.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _read(safetensors: ModuleType, file: str) -> dict[str, np.ndarray]:
    """The arrays of a file, as they were saved."""
    with _told_by("load"), open(file, "rb"):
        pass  # safe_open names a missing folder or file less well
    try:
        with safetensors.safe_open(file, framework="np") as content:
            arrays = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
            metadata = content.metadata() or {}
    except OSError as error:
        raise _prefixed("load", error) from error
    except Exception as error:  # safetensors' own, or one of numpy's about a dtype that it has not
        raise ValueError(f"load: {file} is damaged or no safetensors file: {error}") from error
    # Each of the two tells that there has to be the other, so that neither can be lost.
    written_by, digest = metadata.get("written_by"), metadata.get("blake2b")
    checked = written_by == WRITER or len(digest or "") == 64
    if checked and (written_by, digest) != (WRITER, _digest(arrays)):
        raise ValueError(
            f"load: {file} is damaged: its checksum is that of other values; it was changed after "
            f"it was saved"
        )
    return arrays


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Of names, dtypes, shapes and bytes, in one order."""
    digest = hashlib.blake2b(digest_size=32)
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _differences(name: str, array: np.ndarray, like: Shaped) -> list[str]:
    want = jax.eval_shape(_data, like) if _is_key(like) else like
    dtype = jax.dtypes.canonicalize_dtype(want.dtype).newbyteorder("=")
    found = []
    if tuple(want.shape) != array.shape:
        found.append(f"{name}: expected the shape {tuple(want.shape)}, got {array.shape}")
    if dtype != array.dtype:
        wide = jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype
        hint = ", which needs jax.config.update('jax_enable_x64', True)" if wide else ""
        found.append(f"{name}: expected {dtype}, got {array.dtype}{hint}")
    return found


def _named_leaves(name: str, tree: PyTree) -> dict[str, Shaped]:
    leaves = leaves_by_path(name, "like" if name == "load" else "tree", tree)
    if not leaves:
        raise ValueError(f"{name}: the tree holds no arrays")
    named: dict[str, Shaped] = {}
    for path, leaf in leaves:
        text = path_text(path) or "value"
        if not is_array(leaf) or not (_is_key(leaf) or is_numeric(leaf.dtype)):
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


def _on_host(name: str, leaf: Shaped) -> np.ndarray:
    """The values of a leaf, in a dtype that can be read again."""
    if is_traced(leaf) or isinstance(leaf, jax.ShapeDtypeStruct):
        kind = "a tracer: save outside of jit" if is_traced(leaf) else "a ShapeDtypeStruct"
        raise TypeError(f"save: {name} must be an array with values, got {kind}")
    if isinstance(leaf, jax.Array):
        if leaf.is_deleted():
            raise ValueError(f"save: {name} was donated, its values are gone")
        if not (leaf.is_fully_addressable or leaf.is_fully_replicated):
            raise ValueError(f"save: {name} lies on devices of other processes too: gather it")
    array = np.asarray(_data(leaf), order="C")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.name not in (*KINDS.split(), "complex64"):
        raise TypeError(f"save: {name} is {array.dtype}, which safetensors does not give back")
    return array


def _is_key(leaf: Shaped) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _data(leaf: ArrayLike) -> ArrayLike:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _restore(array: np.ndarray, like: Shaped) -> jax.Array:
    # A copy, since the array is a view of the file's bytes, and a train step donates it.
    value = jnp.array(array, copy=True)
    return jax.random.wrap_key_data(value, impl=_key_impl(like)) if _is_key(like) else value


def _key_impl(like: Shaped) -> Any:
    """Of a key or its ShapeDtypeStruct, which `key_impl` takes only as a tracer."""
    found: list[Any] = []
    jax.eval_shape(lambda key: found.append(jax.random.key_impl(key)), like)
    return found[0]


def _path(name: str, path: object) -> str:
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise TypeError(f"{name}: path must be a str or a pathlib.Path, got {type(path).__name__}")
    if "\0" in text or not text:
        raise ValueError(f"{name}: path must be the name of a file, got {text!r}")
    return text


@contextlib.contextmanager
def _told_by(name: str) -> Iterator[None]:
    """An OSError says which of our functions it came from."""
    try:
        yield
    except OSError as error:
        raise _prefixed(name, error) from error


def _prefixed(name: str, error: OSError) -> OSError:
    ours = type(error)(f"{name}: {error}")
    ours.errno = error.errno
    return ours


def _safetensors(name: str) -> ModuleType:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            f"{name}: files are written and read by the package safetensors, which is not "
            f"installed: pip install safetensors, or jaxnn's extra 'examples'"
        ) from error
    return safetensors
