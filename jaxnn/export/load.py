"""A file of `save` again, as functions that can be called."""

import functools
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp

from jaxnn.export.border import described_leaves
from jaxnn.export.container import Content, unpacked
from jaxnn.export.save import check_flatbuffers
from jaxnn.export.summary import leaf_text, read
from jaxnn.internal.checks import dtype_in_jax, is_array, is_key, shape_text
from jaxnn.training.checkpoint import file_path


class Shipped(NamedTuple):
    """A model from a file: functions of plain arrays and dictionaries, jitted, its weights inside.

    about: the metadata, as `info` shows them; weights: arrays by path. `sequence`, `step`,
    `initial_state` and `reset_state` are a Cell's; a SequenceLayer has `sequence`, a Layer `apply`,
    and those that a model has not are None.
    """

    about: dict[str, Any]
    weights: dict[str, jax.Array]
    sequence: Any = None
    step: Any = None
    initial_state: Any = None
    reset_state: Any = None
    apply: Any = None

    def __repr__(self) -> str:
        return f"Shipped({self.about['model']})"


def load(path: str | os.PathLike[str]) -> Shipped:
    """Read what `save` wrote, and make its functions ready.

    jaxnn is not needed for that: the guide "Ship a model" has the ten lines that do without. They
    do not check the arguments as this does.

    Args:
      path: the file.

    Returns:
      A `Shipped`, with functions of arrays and of dictionaries by path. They raise a ValueError or
      a TypeError that lists all that does not fit.

    Raises:
      TypeError: for a path that is none.
      ValueError: where the file is damaged, by its checksum, or none of `save`; where this jax does
        not read it any more, or not yet; where it computes in 64 bits and `jax_enable_x64` is not
        set.
      OSError: where it cannot be read, such as FileNotFoundError.
      ImportError: without the package flatbuffers (in the extra `export`).
    """
    check_flatbuffers("load")
    file = file_path("load", path)
    content = unpacked("load", file, read("load", file))
    _check_x64(file, content.about)
    weights = {name: jnp.array(array) for name, array in content.weights.items()}
    functions = {
        name: functools.partial(
            _call, name, entry["arguments"], _ready(file, name, content), weights
        )
        for name, entry in content.about["functions"].items()
    }
    return Shipped(content.about, weights, **functions)


def _ready(file: str, name: str, content: Content) -> Callable[..., Any]:
    try:
        function = jax.export.deserialize(bytearray(content.functions[name]))
    except Exception as error:  # of flatbuffers, of jax's own, or of the compiler's reader
        versions = content.about["versions"]
        raise ValueError(
            f"load: {file} was written on {content.about['written']} by jax {versions['jax']} with "
            f"jaxlib {versions['jaxlib']}, and this jax {jax.__version__} does not read its "
            f"function {name}: {error}. The weights in it, weights.safetensors, stay readable"
        ) from error
    return jax.jit(function.call)


def _check_x64(file: str, about: dict[str, Any]) -> None:
    leaves = described_leaves("weights", about["weights"])
    for name, entry in about["functions"].items():
        for side in ("arguments", "results"):
            for argument, description in entry[side].items():
                leaves |= described_leaves(f"{name}: {argument}", description)
    for where, leaf in leaves.items():
        if jax.dtypes.canonicalize_dtype(leaf["dtype"]) != leaf["dtype"]:
            raise ValueError(
                f"load: {file} has 64 bits, {where} is {leaf['dtype']}: set "
                f"jax.config.update('jax_enable_x64', True)"
            )


def _call(
    name: str,
    arguments: dict[str, Any],
    function: Callable[..., Any],
    weights: dict[str, jax.Array],
    *given: Any,
) -> Any:
    """The function; where jax refuses what it is given, an error that says all that does not fit.

    The check comes after, since a step of a stream is as short as the check.
    """
    try:
        return function(weights, *given)
    except (TypeError, ValueError) as error:
        if len(given) != len(arguments):
            listed = ", ".join(arguments)
            raise TypeError(f"{name}: it takes ({listed}), got {len(given)} arguments") from error
        problems: list[tuple[type[Exception], str]] = []
        sizes: dict[str, int] = {}
        for (argument, want), got in zip(arguments.items(), given, strict=True):
            problems += _differences(argument, want, got, sizes)
        if not problems:
            raise
        kinds, texts = zip(*problems, strict=True)
        kind = TypeError if TypeError in kinds else ValueError
        raise kind(f"{name}: {'; '.join(texts)}") from error


def _differences(
    argument: str, description: Any, given: Any, sizes: dict[str, int]
) -> Iterator[tuple[type[Exception], str]]:
    """What of an argument is not as the file has it; `sizes` keeps what each name stands for."""
    leaves = described_leaves(argument, description)
    if list(leaves) == [argument]:
        pairs = {argument: given}
    elif not isinstance(given, dict) or set(given) != set(description):
        got = f"a dict of {list(given)}" if isinstance(given, dict) else shape_text(given)
        yield TypeError, f"{argument} must be a dict of {list(description)}, got {got}"
        return
    else:
        pairs = {where: given[path] for where, path in zip(leaves, description, strict=True)}
    for where, leaf in pairs.items():
        want = leaves[where]
        if not is_array(leaf) or is_key(leaf) or str(dtype_in_jax(leaf)) != want["dtype"]:
            yield TypeError, f"{where} must be {leaf_text(want)}, got {shape_text(leaf)}"
        elif not _fits(tuple(leaf.shape), want["shape"], sizes):
            known = [f"{name} is {sizes[name]}" for name in want["shape"] if name in sizes]
            so_far = f", where {' and '.join(known)}" if known else ""
            got = shape_text(leaf)
            yield ValueError, f"{where} must be {leaf_text(want)}{so_far}, got {got}"


def _fits(shape: tuple[int, ...], want: list[int | str], sizes: dict[str, int]) -> bool:
    """Whether a shape is one of those: a name is one size, at least 1, wherever it stands."""
    if len(shape) != len(want):
        return False
    for size, like in zip(shape, want, strict=True):
        if isinstance(like, int):
            fits = size == like
        else:
            fits = size > 0 and size == sizes.setdefault(like, size)
        if not fits:
            return False
    return True
