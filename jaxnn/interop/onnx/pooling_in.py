"""What takes an axis away, or a part of it: pooling, means, steps, directions and final states."""

from typing import Any

import numpy as np

from jaxnn.interop.onnx.given import (
    Read,
    constant,
    done,
    image_of,
    in_jax,
    slid,
    with_features,
    without,
)
from jaxnn.interop.onnx.package import Refused
from jaxnn.interop.onnx.values import Axis, Made, Pair, Roles, Rows, Tensor
from jaxnn.interop.onnx.windows_in import short, window_of
from jaxnn.layers.embedding import EmbeddingParams, embedding
from jaxnn.layers.flatten import global_average_pool
from jaxnn.layers.pool import average_pool
from jaxnn.layers.pool_over_time import pool_over_time


def read_pool(factory: Any) -> Read:
    """MaxPool and AveragePool."""

    def read(inputs: list[Any], options: dict[str, Any], roles: Roles) -> Tensor:
        x = inputs[0]
        window = window_of(options, options["kernel_shape"])
        if set(window.dilations) != {1}:
            raise Refused("its windows have gaps")
        counts = factory is average_pool and options.get("count_include_pad")
        if counts and window.padding() != "valid":
            raise Refused("it counts the padding in its means")
        source, spatial = image_of(x)
        stride = None if window.strides == window.sizes else short(window.strides)
        layer = factory(window.sizes, stride=stride, padding=window.padding())
        new = window.slid_along(spatial)
        made = Made(source, slid(layer, spatial, ()), source.leading, new, source.features)
        return Tensor(made, (*x.dims[:2], *((axis,) for axis in new)), x.dtype)

    return read


def read_global_average(inputs: list[Any], options: dict[str, Any], roles: Roles) -> Tensor:
    """GlobalAveragePool."""
    image_of(inputs[0])
    return _averaged(inputs[0], list(range(2, len(inputs[0].dims))), True)


def _averaged(x: Tensor, places: list[int], keep: bool) -> Tensor:
    """The mean over all places of an image."""
    made = x.made
    layer = global_average_pool(1 + len(made.spatial))
    result = Made(made, done(layer), made.leading, [], made.features)
    return Tensor(result, without(x, places, keep), x.dtype)


def read_reduction(how: str) -> Read:
    """ReduceMean, ReduceMax and others: over directions, time, or the places of an image."""

    def read(inputs: list[Any], options: dict[str, Any], roles: Roles) -> Tensor:
        x, axes = inputs[0], options.get("axes")
        if len(inputs) > 1 and inputs[1] is not None:
            axes = [int(axis) for axis in constant(inputs[1], "axes")]
        places = [axis % len(x.dims) for axis in axes or range(len(x.dims))]
        keep = bool(options.get("keepdims", 1))
        gone = [axis for place in places for axis in x.dims[place]]
        made, pair = x.made, x.made.pair
        if pair is not None and gone == [pair.axis]:
            if how == "max":
                raise Refused("it takes the larger one of two directions")
            merged = Made(made.source, pair.merged(how), made.leading, [], pair.hidden)
            return Tensor(merged, without(x, places, keep), x.dtype)
        if how == "mean" and len(gone) > 1 and made.features is None and x.dims[-1]:
            with_features(x, x.dims[-1])
            made.leading = [axis for axis in made.leading if axis not in gone]
            made.spatial = gone
        of_image = bool(gone) and set(gone) == set(made.spatial)
        if how == "mean" and of_image and not any(map(roles.is_time, gone)):
            return _averaged(x, places, keep)
        if how not in ("mean", "max"):
            raise Refused("it sums or multiplies along an axis")
        return _pooled(x, how, places, keep, roles)

    return read


def _pooled(x: Tensor, how: str, places: list[int], keep: bool, roles: Roles) -> Tensor:
    """One value for each sequence."""
    gone = [axis for place in places for axis in x.dims[place]]
    if len(gone) != 1:
        raise Refused("it pools over several axes")
    if roles.time is None:
        roles.time = gone[0].root()
    if not roles.is_time(gone[0]):
        raise Refused("it pools over another axis than time")
    if roles.padded:
        raise Refused("it pools over padding, too, which jaxnn's pooling leaves out")
    made = x.made
    leading, spatial = (
        [axis for axis in axes if axis is not gone[0]] for axes in (made.leading, made.spatial)
    )
    result = Made(made, done(pool_over_time(how)), leading, spatial, made.features)
    return Tensor(result, without(x, places, keep), x.dtype)


def read_gather(inputs: list[Any], options: dict[str, Any], roles: Roles) -> Tensor:
    """An embedding; the last step of a sequence; one direction, or one layer's final state."""
    x, places = inputs
    if isinstance(places, Tensor):
        return _embedded(constant(x, "table"), places, options)
    place = constant(places, "place")
    if place.ndim:
        raise Refused("it takes several places at once")
    axis = options.get("axis", 0)
    if isinstance(x, Rows):
        if axis != x.axis:
            raise Refused("it takes a part of several states")
        return x.tensors[int(place)]
    axis %= len(x.dims)
    pair = x.made.pair
    if pair is not None and x.dims[axis] == (pair.axis,):
        return _direction(x, pair, int(place) % 2, axis)
    if not x.dims[axis] and int(place) in (0, -1):
        return x._replace(dims=without(x, [axis], False))
    if int(place) != -1:
        raise Refused("it takes another step than the last one")
    return _pooled(x, "last", [axis], False, roles)


def _embedded(table: np.ndarray, tokens: Tensor, options: dict[str, Any]) -> Tensor:
    if options.get("axis", 0) or table.ndim != 2:
        raise Refused("it gathers along another axis than the rows of a table")
    layer, out = embedding(*table.shape, dtype=table.dtype), Axis(table.shape[1])
    params = EmbeddingParams(in_jax(table))
    made = Made(tokens.made, done(layer, params), tokens.made.leading, [], out)
    return Tensor(made, (*tokens.dims, (out,)), table.dtype)


def _direction(x: Tensor, pair: Pair, place: int, axis: int) -> Tensor:
    """One of two directions."""
    made = x.made
    alone = Made(made.source, pair.single(place), made.leading, [], pair.hidden)
    alone.side, alone.is_state = (pair, place), made.is_state
    return Tensor(alone, without(x, [axis], False), x.dtype)


def rows(tensors: list[Tensor], axis: int) -> Rows:
    """Final states of several layers and directions, one after the other."""
    found: list[Tensor] = []
    for each in tensors:
        place, pair = axis % len(each.dims), each.made.pair
        if pair is not None and each.dims[place] == (pair.axis,):
            found += [_direction(each, pair, side, place) for side in (0, 1)]
        else:
            found.append(each._replace(dims=without(each, [place], False)))
    return Rows(tuple(found), axis)
