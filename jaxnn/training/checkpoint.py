"""Parameters in a file: safetensors, by tree path."""

import contextlib
import os
from collections.abc import Iterator
from types import ModuleType
from typing import TypeVar

import jax
import numpy as np

from jaxnn.training.atomic import remove_leftovers, write
from jaxnn.training.named_arrays import differences, digest, named_leaves, on_host, restored
from jaxnn.types import PyTree

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

    >>> import jax, jax.numpy as jnp, jaxnn, tempfile
    >>> params = jaxnn.gru(2, 3).init(jax.random.key(0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(folder + "/gru.safetensors", params)
    ...     again = load(folder + "/gru.safetensors", like=params)
    >>> bool(jnp.all(again.bias == params.bias))
    True
    """
    safetensors = _safetensors("save")
    file = _path("save", path)
    leaves = named_leaves("save", "tree", tree)
    arrays = {where: on_host("save", where, leaf) for where, leaf in leaves.items()}
    for where, array in arrays.items():
        if array.dtype.name not in (*KINDS.split(), "complex64"):
            raise TypeError(f"save: {where} is {array.dtype}, which safetensors does not give back")
    try:
        metadata = {"written_by": WRITER, "blake2b": digest(arrays)}
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
    expected = named_leaves("load", "like", like)
    remove_leftovers(file)
    arrays = _read(safetensors, file)
    if problems := differences("file", arrays, expected):
        listed = "\n  ".join(problems)
        raise ValueError(f"load: {path} does not hold what `like` expects:\n  {listed}")
    leaves = [restored(arrays[name], leaf) for name, leaf in expected.items()]
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
    written_by, checksum = metadata.get("written_by"), metadata.get("blake2b")
    checked = written_by == WRITER or len(checksum or "") == 64
    if checked and (written_by, checksum) != (WRITER, digest(arrays)):
        raise ValueError(
            f"load: {file} is damaged: its checksum is that of other values; it was changed after "
            f"it was saved"
        )
    return arrays


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
