"""A model of jaxnn from what was made, one part on the other."""

from typing import Any

from jaxnn.interop.onnx.package import Refused
from jaxnn.interop.onnx.values import Axis, Made, Make, Roles
from jaxnn.layers.composition import parallel, serial
from jaxnn.layers.dropout import activation
from jaxnn.transforms.bidirectional import as_layer
from jaxnn.transforms.residual import residual
from jaxnn.transforms.stack import stack
from jaxnn.types import Cell, Params, SequenceLayer


def identity(x: Any) -> Any:
    """x as it is: a branch that does nothing."""
    return x


def chain(made: Made, root: Made | None) -> list[Made]:
    """The parts between two results, the first one first."""
    found = []
    while made is not root:
        if made.source is None:
            break
        found.append(made)
        made = made.source
    return found[::-1]


def combined(merge: str, sources: list[Made], features: Axis | None) -> Made:
    """Branches from what they have in common, side by side, or around it."""
    ways = [_way(each) for each in sources]
    shared = [each for each in ways[0] if all(each in way for way in ways)]
    if not shared:
        raise Refused("its inputs come from two inputs of the model")
    root = shared[-1]
    branches = [chain(each, root) for each in sources]
    first = sources[0]
    make = _around(branches) if merge == "sum" and _is_around(branches) else None
    make = make or _side_by_side(merge, branches)
    return Made(root, make, first.leading, first.spatial, features)


def _way(made: Made) -> list[Made]:
    """What a result is made on, from the input on."""
    found: list[Made] = []
    each: Made | None = made
    while each is not None:
        found.append(each)
        each = each.source
    return found[::-1]


def _is_around(branches: list[list[Made]]) -> bool:
    return len(branches) == 2 and sum(not branch for branch in branches) == 1


def _around(branches: list[list[Made]]) -> Make:
    branch = branches[0] or branches[1]

    def make(roles: Roles) -> tuple[Any, Params]:
        inner, params = together(branch, roles)
        return residual(inner), params

    return make


def _side_by_side(merge: str, branches: list[list[Made]]) -> Make:
    def make(roles: Roles) -> tuple[Any, Params]:
        pairs = [
            together(branch, roles) if branch else (activation(identity), ()) for branch in branches
        ]
        layers, params = zip(*pairs, strict=True)
        layers = [as_layer(each) if isinstance(each, Cell) else each for each in layers]
        return parallel(*layers, merge=merge), tuple(params)

    return make


def together(parts: list[Made], roles: Roles) -> tuple[Any, Params]:
    """Parts one after the other: a Cell where each runs step by step, else a layer."""
    pairs = []
    for each in parts:
        if each.make is None:
            raise Refused("the two directions of an operator are not merged")
        pairs.append(each.make(roles))
    models, params = map(list, zip(*pairs, strict=True))
    if len(models) == 1:
        return models[0], params[0]
    if any(isinstance(each, Cell) for each in models):
        if not any(isinstance(each, SequenceLayer) for each in models):
            return stack(*models), tuple(params)
        models = [as_layer(each) if isinstance(each, Cell) else each for each in models]
    return serial(*models), tuple(params)
