"""A model's parameters from arrays by name, and back: what every converter does, and its errors."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.internal.checks import is_traced
from jaxnn.internal.parameters import check_params
from jaxnn.internal.parts import MODELS, parts
from jaxnn.interop.codec import Codec, NoHomeError
from jaxnn.interop.origin import origin
from jaxnn.interop.walk import Library, Names, codec_of, shapes_of
from jaxnn.types import Params

T = TypeVar("T")


def from_named(
    library: Library,
    called: str,
    model: Any,
    weights: Mapping[str, Any],
    prefix: str,
    cast: bool,
) -> Params:
    """The parameters of a model from a flat mapping.

    Raises:
      TypeError: for a model, mapping, prefix or entry that is none.
      ValueError: with all that is missing, left over, of another shape or dtype; and with all that
        has no conversion.
    """
    check_model(called, model)
    shapes = shapes_of(model)
    check_options(called, prefix=prefix, cast=cast)
    if not isinstance(weights, Mapping):
        raise TypeError(f"{called}: weights must map names to arrays, got {type(weights).__name__}")
    strange = [name for name in weights if not isinstance(name, str)]
    if strange:
        raise TypeError(f"{called}: the names in weights must be text, got {strange[0]!r}")
    given = {n.removeprefix(prefix): a for n, a in weights.items() if n.startswith(prefix)}
    codec = _codec(library, called, model, shapes, tuple(given))
    arrays = _fitting(library, called, codec, shapes, read_arrays(called, given), (prefix, cast))
    try:
        leaves = jax.tree.leaves(codec.read(arrays))
    except ValueError as error:
        raise ValueError(f"{called}: {error}") from error
    # A copy: the other library may change its own arrays in place.
    copies = [leaf if is_traced(leaf) else jnp.array(leaf, copy=True) for leaf in leaves]
    return jax.tree.unflatten(jax.tree.structure(shapes), copies)


def to_named(
    library: Library,
    called: str,
    model: Any,
    params: Params,
    prefix: str,
    like: Iterable[str] | None,
) -> dict[str, Any]:
    """The flat mapping, in the library's order, of the parameters of a model.

    Raises:
      TypeError: for a model, params or a prefix that is none.
      ValueError: with all that the library has no place for, and where the names are not those of
        `like`.
    """
    check_model(called, model)
    shapes = shapes_of(model)
    check_options(called, prefix=prefix)
    check_params(called, model.init, params)
    wanted = None
    if like is not None:
        wanted = tuple(name.removeprefix(prefix) for name in like if name.startswith(prefix))
    codec = _codec(library, called, model, shapes, wanted)
    leaves, structure = jax.tree.flatten(params)
    own = jax.tree.unflatten(
        structure, [leaf if is_traced(leaf) else np.array(leaf) for leaf in leaves]
    )
    try:
        arrays = codec.write(own)
    except ValueError as error:
        raise ValueError(f"{called}: {error}") from error
    if wanted is not None:
        _check_names(called, arrays.keys(), wanted, prefix)
    # A copy: none of them shares its memory with another.
    return {
        prefix + name: array if is_traced(array) else np.array(array, order="C")
        for name, array in arrays.items()
    }


def check_model(called: str, model: Any) -> None:
    """Raise TypeError unless it is one."""
    if not isinstance(model, MODELS):
        raise TypeError(
            f"{called}: model must be a Layer, a SequenceLayer or a Cell, got {model!r}"
        )


def check_options(called: str, prefix: str = "", cast: bool = False) -> None:
    """Raise TypeError for a prefix that is no text, a cast that is neither True nor False."""
    if not isinstance(prefix, str):
        raise TypeError(f"{called}: prefix must be text, got {prefix!r}")
    if not isinstance(cast, bool):
        raise TypeError(f"{called}: cast must be True or False, got {cast!r}")


def flat(called: str, tree: Any, separator: str) -> dict[str, Any]:
    """A nested mapping as a flat one: its keys joined, entries that are None left out."""
    if not isinstance(tree, Mapping):
        raise TypeError(f"{called}: weights must map names to arrays, got {type(tree).__name__}")
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            inner = flat(called, value, separator)
            found |= {f"{key}{separator}{name}": each for name, each in inner.items()}
        elif value is not None:
            found[str(key)] = value
    return found


def nested(arrays: Mapping[str, T], separator: str) -> dict[str, Any]:
    """A flat mapping as nested dicts."""
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        *folders, last = name.split(separator)
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = array
    return tree


def _codec(library: Library, called: str, model: Any, shapes: Params, given: Names) -> Codec:
    try:
        return codec_of(library, parts(model), shapes, given)
    except NoHomeError as error:
        listed = "\n  ".join(error.reasons)
        raise ValueError(f"{called}: no conversion for\n  {listed}") from error


def read_arrays(called: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """As numpy arrays; what is traced stays so."""
    arrays: dict[str, Any] = {}
    for name, value in given.items():
        if is_traced(value):
            arrays[name] = value
            continue
        if not hasattr(value, "shape") or not hasattr(value, "dtype"):
            raise TypeError(f"{called}: {name} must be an array, got {type(value).__name__}")
        try:
            arrays[name] = np.asarray(value)
        except (TypeError, RuntimeError) as error:
            raise TypeError(f"{called}: {name} cannot be read as a numpy array: {error}") from error
    return arrays


def _fitting(
    library: Library,
    called: str,
    codec: Codec,
    shapes: Params,
    arrays: dict[str, Any],
    how: tuple[str, bool],
) -> dict[str, Any]:
    """The arrays, once they are those that the codec reads."""
    prefix, cast = how
    expected = jax.eval_shape(codec.write, shapes)
    problems = [f"{prefix}{name}: missing" for name in expected if name not in arrays]
    problems += [f"{prefix}{name}: left over" for name in arrays if name not in expected]
    for name, like in expected.items():
        if name in arrays:
            problems += [
                f"{prefix}{name}: {what}" for what in _differences(arrays[name], like, cast)
            ]
    if problems:
        listed = "\n  ".join(problems)
        hints = "".join(f"\n{hint}" for hint in _hints(library, expected, arrays))
        raise ValueError(f"{called}: these are not the weights of the model:\n  {listed}{hints}")
    return {name: arrays[name].astype(like.dtype) for name, like in expected.items()}


def _differences(array: Any, like: Any, cast: bool) -> list[str]:
    found = []
    if array.shape != like.shape:
        turned = len(array.shape) > 1 and array.shape == like.shape[::-1]
        hint = " (transposed?)" if turned else ""
        found.append(f"shape {array.shape}, expected {like.shape}{hint}")
    if array.dtype != like.dtype:
        if not jnp.issubdtype(array.dtype, jnp.floating):
            found.append(f"dtype {array.dtype}, expected {like.dtype}")
        elif not cast:
            found.append(f"dtype {array.dtype}, expected {like.dtype} (cast=True converts)")
    return found


def _hints(library: Library, expected: Any, arrays: Mapping[str, Any]) -> list[str]:
    """What the differences may come from."""
    missing, left = expected.keys() - arrays.keys(), arrays.keys() - expected.keys()
    whose = origin(arrays) if missing else None
    if whose is not None and whose not in (library.module, "jaxnn.load"):
        return [f"These look like weights for {whose}."]
    if whose == "jaxnn.load":
        return ["These are named as jaxnn's own: jaxnn.load reads them."]
    hints = []
    if missing and not arrays:
        hints.append("No name begins with the prefix, or there is none at all.")
    if missing and left and not missing & arrays.keys():
        firsts = {name.split(library.separator)[0] for name in left}
        if len(firsts) == 1 and not expected.keys() & arrays.keys():
            hints.append(f"All names begin with {min(firsts) + library.separator!r}: a prefix?")
    if any("running_mean" in name or "moving_mean" in name for name in left):
        hints.append("A batch norm is folded into its neighbour: jaxnn.interop.fold_batch_norm.")
    for names, had, option in ((missing, "no", "False"), (left, "a", "True")):
        if names and all("bias" in name.split(library.separator)[-1] for name in names):
            hints.append(f"The layer has {had} bias there: make ours with bias={option}.")
    grown = [
        name
        for name in expected.keys() & arrays.keys()
        if "bias" in name and len(arrays[name].shape) != len(expected[name].shape)
    ]
    if library.name == "keras" and grown:
        hints.append("A GRU with reset_after=True has a bias (2, 3 · units), else (3 · units,).")
    return hints


def _check_names(called: str, made: Collection[str], wanted: Collection[str], prefix: str) -> None:
    problems = [f"{prefix}{name}: not in `like`" for name in made if name not in wanted]
    problems += [f"{prefix}{name}: in `like` only" for name in wanted if name not in made]
    if problems:
        listed = "\n  ".join(problems)
        raise ValueError(f"{called}: the model has other names than `like`:\n  {listed}")
