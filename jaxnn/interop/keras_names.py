"""What keras calls the parts of a model, and their weights."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from jaxnn.internal.parts import Parts
from jaxnn.interop.codec import Codec
from jaxnn.interop.walk import Library, Names, apart, by_kind, inside
from jaxnn.types import Params

_KINDS = {
    "elman": "simple_rnn",
    "layer_norm": "layer_normalization",
    "group_norm": "group_normalization",
}


def without_suffix(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Names without the ":0" that Keras 2 has at their end."""
    return {name.removesuffix(":0"): array for name, array in weights.items()}


def _called(tree: Parts) -> str:
    """What keras calls the first layer of a kind."""
    if tree.kind == "conv":
        return f"conv{len(tree.options['window'])}d"
    if tree.kind == "conv_transpose":
        return f"conv{len(tree.options['window'])}d_transpose"
    return _KINDS.get(tree.kind, tree.kind)


def _places(parts: list[Parts | None], given: Names) -> list[str]:
    """The layers in the order of their weights, or as they are called in a new model."""
    names = by_kind(_called)(parts, given)
    there = list(dict.fromkeys(name.partition("/")[0] for name in given or ()))
    if len(there) != sum(part is not None for part in parts):
        return names
    rest = iter(there)
    return [name if part is None else next(rest) for part, name in zip(parts, names, strict=True)]


def _cell(kind: str, given: Names) -> list[Callable[[str], str]]:
    """A cell inside its layer, by whichever number keras gave it, or by itself."""
    usual = f"{_KINDS.get(kind, kind)}_cell"
    found = [name.partition("/")[0] for name in given or ()]
    inner = next((name for name in found if re.fullmatch(rf"{usual}(_\d+)?", name)), usual)
    return [lambda name: f"{inner}/{name}", lambda name: name]


def _directions(tree: Parts, shapes: Params, given: Names) -> list[Codec]:
    """The two layers inside of a Bidirectional."""
    names = []
    for side, part in tree.parts.items():
        usual = f"{side}_{_called(inside(part))}"
        found = [name.partition("/")[0] for name in given or ()]
        names.append(next((name for name in found if name.startswith(f"{side}_")), usual))
    return apart(KERAS, names[0], names[1], tree, shapes, given)


KERAS = Library("keras", "jaxnn.interop.keras", "/", _places, _cell, _directions)
