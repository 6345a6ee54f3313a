"""Parameters in a file: safetensors, by tree path."""

import os
import pathlib
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.functions.checks import is_array
from jaxnn.functions.describe import path_text

T = TypeVar("T")


def save(path: str | os.PathLike[str], tree: Any) -> None:
    """Write a pytree of arrays to a safetensors file.

    The file holds each leaf under its tree path ("cell.input_kernel"), and nothing that runs when
    it is read. It is written beside its place first, so that a crash leaves the old file whole.
    Typed random keys are kept as their data.

    Args:
      path: the file, by custom ending in `.safetensors`.
      tree: params, a `TrainState`, or any pytree of arrays.

    Raises:
      TypeError: for a leaf that is no array, or of a dtype that safetensors does not have.
      ValueError: for a tree without leaves, or two leaves of the same path.
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
    safetensors = _safetensors()
    arrays = {}
    for name, leaf in _named_leaves("save", tree).items():
        arrays[name] = np.asarray(_data(leaf), order="C")
    try:
        data = safetensors.numpy.save(arrays)
    except safetensors.SafetensorError as error:
        raise TypeError(f"save: {error}") from error
    path = pathlib.Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def load(path: str | os.PathLike[str], like: T) -> T:
    """Read what `save` wrote.

    Args:
      path: the file.
      like: a tree of the expected structure, shapes and dtypes: params, or `jax.eval_shape` of what
        makes them.

    Returns:
      A tree of the structure of `like`, with the file's values.

    Raises:
      ValueError: where names, shapes or dtypes differ (all differences are listed), or the file is
        damaged or no safetensors file.
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
    safetensors = _safetensors()
    with open(path, "rb"):
        pass  # load_file names a missing folder or file less well
    try:
        arrays = safetensors.numpy.load_file(os.fspath(path))
    except safetensors.SafetensorError as error:
        raise ValueError(f"load: {path} is damaged or no safetensors file: {error}") from error
    expected = _named_leaves("load", like)
    problems = [f"{name}: missing from the file" for name in expected if name not in arrays]
    problems += [f"{name}: in the file only" for name in arrays if name not in expected]
    for name, leaf in expected.items():
        if name in arrays:
            want = jax.eval_shape(_data, leaf)
            got = arrays[name]
            if tuple(want.shape) != got.shape:
                problems.append(f"{name}: expected the shape {tuple(want.shape)}, got {got.shape}")
            if want.dtype != got.dtype:
                problems.append(f"{name}: expected {want.dtype}, got {got.dtype}")
    if problems:
        listed = "\n  ".join(problems)
        raise ValueError(f"load: {path} does not hold what `like` expects:\n  {listed}")
    leaves = [_restore(arrays[name], leaf) for name, leaf in expected.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _named_leaves(name: str, tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    if not leaves:
        raise ValueError(f"{name}: the tree holds no arrays")
    named: dict[str, Any] = {}
    for path, leaf in leaves:
        text = path_text(path) or "value"
        if not is_array(leaf):
            raise TypeError(f"{name}: {text} must be an array, got {type(leaf).__name__}")
        if text in named:
            raise ValueError(f"{name}: two leaves have the path {text}")
        named[text] = leaf
    return named


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _data(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _restore(array: np.ndarray, like: Any) -> jax.Array:
    # A copy, since the array is a view of the file's bytes, and a train step donates it.
    value = jnp.array(array, copy=True)
    return jax.random.wrap_key_data(value, impl=_key_impl(like)) if _is_key(like) else value


def _key_impl(like: Any) -> Any:
    """Of a key or its ShapeDtypeStruct, which `key_impl` takes only as a tracer."""
    found: list[Any] = []
    jax.eval_shape(lambda key: found.append(jax.random.key_impl(key)), like)
    return found[0]


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError("saving needs safetensors: install the extra 'examples'") from error
    return safetensors
