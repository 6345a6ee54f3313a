"""What the readers of single nodes share: constants, features, and the places of an image."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn.interop.onnx.package import Refused
from jaxnn.interop.onnx.values import Axis, Made, Make, Roles, Tensor, is_known
from jaxnn.layers.along_time import along_time
from jaxnn.layers.flatten import flatten

Read = Callable[[list[Any], dict[str, Any], Roles], Any]
"""`tensor = read(inputs, options, roles)` of a node that reads a tensor."""


def done(model: Any, params: Any = ()) -> Make:
    """A part that does not depend on the roles of axes."""
    return lambda roles: (model, params)


def constant(value: Any, what: str) -> np.ndarray:
    """A constant input of a node."""
    if not is_known(value):
        raise Refused(f"its {what} is no constant")
    return value


def in_jax(value: Any) -> Any:
    """A parameter, or None."""
    return None if value is None else jnp.asarray(np.ascontiguousarray(value))


def with_features(tensor: Tensor, dim: Sequence[Axis]) -> tuple[Made, list[int] | None]:
    """What a layer of neurons takes: the features of the tensor, or all axes of an image as one.

    Of an image also the places of its axes, as the file flattens them, in jaxnn's order.
    """
    made = tensor.made
    if made.features is None and dim and all(axis in made.leading for axis in dim):
        made.leading = [axis for axis in made.leading if axis not in dim]
        made.spatial, made.features = list(dim[:-1]), dim[-1]
    if len(dim) == 1 and dim[0] is made.features:
        return made, None
    ours = [*made.spatial, *([made.features] if made.features else [])]
    if made.features is None or len(dim) != len(ours) or set(dim) != set(ours):
        raise Refused("it works along another axis than the features")
    sizes = [axis.size for axis in ours if axis.size is not None]
    if len(sizes) < len(ours):
        raise Refused("it flattens axes whose sizes are open")
    flattened = Made(made, done(flatten(len(ours))), made.leading, [], Axis(math.prod(sizes)))
    return flattened, [list(dim).index(axis) for axis in ours]


def image_of(x: Tensor) -> tuple[Made, list[Axis]]:
    """What was made, and the spatial axes of a tensor that is channels-first."""
    if len(x.dims) < 3 or any(len(dim) != 1 for dim in x.dims[1:]):
        raise Refused("its features or its places are not one axis each")
    features, *spatial = (dim[0] for dim in x.dims[1:])
    made = x.made
    if made.features is None:
        made.features = features
        made.leading = [axis for axis in made.leading if axis is not features]
    if made.features is not features:
        raise Refused("its features are another axis of what it takes")
    if not made.spatial:
        made.leading = [axis for axis in made.leading if axis not in spatial]
        made.spatial = list(spatial)
    if made.spatial != spatial:
        raise Refused("its places are other axes than those of the convolution before it")
    return made, spatial


def slid(layer: Any, spatial: Sequence[Axis], params: Any) -> Make:
    """A layer with windows, along time where that is its first axis."""

    def make(roles: Roles) -> tuple[Any, Any]:
        along = [roles.is_time(axis) for axis in spatial]
        if any(along[1:]):
            raise Refused("a window slides along time as another axis than its first")
        return (along_time(layer) if along[0] else layer), params

    return make


def without(x: Tensor, places: Sequence[int], keep: bool) -> tuple[tuple[Axis, ...], ...]:
    """The dimensions that are left when some are reduced."""
    dims = [() if place in places else dim for place, dim in enumerate(x.dims)]
    return tuple(dim for place, dim in enumerate(dims) if keep or place not in places)


def applied(x: Tensor, layer: Any, params: Any = ()) -> Tensor:
    """A layer that keeps the axes of what was made."""
    made = x.made
    if made.pair is not None:
        raise Refused("its two directions are not merged")
    result = Made(made, done(layer, params), made.leading, made.spatial, made.features)
    return x._replace(made=result)
