"""Convolutions and windows over images, from features last to ONNX's features first and back."""

import math
from typing import Any

import numpy as np

from jaxnn.functions.windows import Windows, check_fit
from jaxnn.interop.onnx.graph import Graph, Value
from jaxnn.interop.onnx.package import Refused
from jaxnn.types import Shape

WINDOW = ("window_dimensions", "window_strides", "padding")


def _fixed(what: str, numbers: Any) -> list[int]:
    """Paddings as numbers; those of a length that is not known are none."""
    flat = [n for pair in numbers for n in pair]
    if not all(isinstance(n, (int, np.integer)) for n in flat):
        raise Refused(
            f"the padding of its {what} depends on a length that is not known: give xs of fixed "
            f"sizes, with dynamic=False, or take the stride 1"
        )
    return [int(pair[0]) for pair in numbers] + [int(pair[1]) for pair in numbers]


def convolution(graph: Graph, equation: Any, x: Value, kernel: Value) -> Value:
    """A Conv, and a ConvTranspose where x is spread out."""
    params, out = equation.params, equation.outvars[0].aval
    numbers = params["dimension_numbers"]
    if params["batch_group_count"] != 1:
        raise Refused("a convolution in groups of the batch has no operator")
    images = graph.transpose(x, numbers.lhs_spec)
    weights = graph.transpose(kernel, numbers.rhs_spec)
    shape = tuple(out.shape[axis] for axis in numbers.out_spec)
    pads = _fixed("convolution", params["padding"])
    groups, dilations = params["feature_group_count"], list(params["rhs_dilation"])
    attributes: dict[str, Any] = {"dilations": dilations, "group": groups}
    spread, strides = list(params["lhs_dilation"]), list(params["window_strides"])
    window = [int(n) for n in weights.shape[2:]]
    attributes["kernel_shape"] = window
    if max(spread) == 1:
        attributes |= {"strides": strides, "pads": pads}
        y = graph.node("Conv", [images, weights], shape, out.dtype, **attributes)
    else:
        if max(strides) > 1:
            raise Refused("a convolution that both spreads x and strides has no operator")
        spans = [d * (k - 1) for d, k in zip(dilations, window, strict=True)]
        cuts = [span - pad for span, pad in zip([*spans, *spans], pads, strict=True)]
        lows, highs = cuts[: len(spans)], cuts[len(spans) :]
        if min(lows) < 0:
            raise Refused("a transposed convolution that is padded in front has no operator")
        attributes["strides"] = spread
        attributes["pads"] = [*lows, *(max(high, 0) for high in highs)]
        attributes["output_padding"] = [max(-high, 0) for high in highs]
        turned = _turned(graph, weights, groups)
        y = graph.node("ConvTranspose", [images, turned], shape, out.dtype, **attributes)
    back = np.argsort(numbers.out_spec)
    return graph.transpose(y, [int(axis) for axis in back])


def _turned(graph: Graph, weights: Value, groups: int) -> Value:
    """The kernel of a ConvTranspose, `(in, out / groups, *window)`, not flipped."""
    array = graph.array(weights)
    if array is None:
        raise Refused("a transposed convolution needs a kernel that is a parameter")
    out, rows, *window = array.shape
    flipped = np.flip(array, tuple(range(2, array.ndim)))
    apart = flipped.reshape(groups, out // groups, rows, *window).swapaxes(1, 2)
    return graph.constant(apart.reshape(groups * rows, out // groups, *window))


def window_max(graph: Graph, equation: Any, x: Value) -> Value:
    """A MaxPool."""
    return _pooled(graph, equation, x, "MaxPool")


def window_sum(graph: Graph, equation: Any, x: Value) -> Value:
    """An AveragePool that counts the padding, times the size of the window."""
    mean = _pooled(graph, equation, x, "AveragePool", count_include_pad=1)
    size = np.array(math.prod(equation.params["window_dimensions"]), x.dtype)
    return graph.node("Mul", [mean, graph.constant(size)], mean.shape, mean.dtype)


def average(graph: Graph, windows: Windows, x: Value) -> Value:
    """An AveragePool over some axes of x, where the padding does not count."""
    sizes, strides, padding = [1] * x.ndim, [1] * x.ndim, [(0, 0)] * x.ndim
    shape: list[Any] = list(x.shape)
    image: Any = x
    every = zip(windows.sizes, windows.strides, check_fit(windows, image), strict=True)
    for axis, (size, stride, pair) in zip(windows.axes(x.ndim), every, strict=True):
        sizes[axis], strides[axis], padding[axis] = size, stride, pair
        shape[axis] = (x.shape[axis] + sum(pair) - size) // stride + 1
    return _slid(graph, x, "AveragePool", (sizes, strides, padding), tuple(shape))


def _pooled(graph: Graph, equation: Any, x: Value, operator: str, **attributes: Any) -> Value:
    params, out = equation.params, equation.outvars[0].aval
    if {*params["base_dilation"], *params["window_dilation"]} != {1}:
        raise Refused("windows with gaps have no operator")
    windows = tuple(params[name] for name in WINDOW)
    return _slid(graph, x, operator, windows, out.shape, **attributes)


def _slid(
    graph: Graph, x: Value, operator: str, windows: Any, shape: Shape, **attributes: Any
) -> Value:
    """A pooling, `(sizes, strides, padding)` of every axis, to a shape."""
    sizes, strides, padding = windows
    quiet = [
        axis
        for axis in range(x.ndim)
        if sizes[axis] == strides[axis] == 1 and tuple(padding[axis]) == (0, 0)
    ]
    slid = [axis for axis in range(x.ndim) if axis not in quiet]
    if not slid:
        return x
    order = [*quiet, *slid]
    images = graph.transpose(x, order)
    shape = tuple(shape[axis] for axis in order)
    places = shape[: len(quiet)]
    merged = places if len(quiet) == 2 else (math.prod(places), 1)
    images = graph.reshape(images, (*merged, *images.shape[len(quiet) :]))
    attributes |= {
        "kernel_shape": [sizes[axis] for axis in slid],
        "strides": [strides[axis] for axis in slid],
        "pads": _fixed("pooling", [padding[axis] for axis in slid]),
    }
    y = graph.node(operator, [images], (*merged, *shape[len(quiet) :]), x.dtype, **attributes)
    y = graph.reshape(y, shape)
    return graph.transpose(y, [int(axis) for axis in np.argsort(order)])
