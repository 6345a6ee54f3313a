"""The operators of single equations: those that are pointwise, and what moves or reduces axes."""

import string
from typing import Any

import numpy as np

from jaxnn.interop.onnx.graph import ALL, Graph, Value
from jaxnn.interop.onnx.package import Refused
from jaxnn.interop.onnx.pointwise import POINTWISE, Emit, out_of
from jaxnn.interop.onnx.windows import convolution, window_max, window_sum

REDUCTIONS = {
    "reduce_sum": "ReduceSum",
    "reduce_max": "ReduceMax",
    "reduce_min": "ReduceMin",
    "reduce_prod": "ReduceProd",
}


def _dot(graph: Graph, equation: Any, x: Value, y: Value) -> Value:
    """A MatMul where it is one, and any other product an Einsum."""
    (x_sum, y_sum), (x_batch, y_batch) = equation.params["dimension_numbers"]
    plain = tuple(x_sum) == (x.ndim - 1,) and tuple(y_sum) == (0,) and y.ndim == 2
    if x.dtype != y.dtype or x.dtype != out_of(equation)[1]:
        raise Refused(
            f"a product of {x.dtype} and {y.dtype} to {out_of(equation)[1]} has no operator"
        )
    if plain and x.ndim > 1 and not x_batch:
        return graph.node("MatMul", [x, y], *out_of(equation))
    letters = iter(string.ascii_letters)
    ours = [next(letters) for _ in range(x.ndim)]
    theirs = [next(letters) for _ in range(y.ndim)]
    for a, b in (*zip(x_sum, y_sum, strict=True), *zip(x_batch, y_batch, strict=True)):
        theirs[b] = ours[a]
    free = [ours[a] for a in range(x.ndim) if a not in (*x_sum, *x_batch)]
    free += [theirs[b] for b in range(y.ndim) if b not in (*y_sum, *y_batch)]
    result = [ours[a] for a in x_batch] + free
    text = f"{''.join(ours)},{''.join(theirs)}->{''.join(result)}"
    return graph.node("Einsum", [x, y], *out_of(equation), equation=text)


def _broadcast(graph: Graph, equation: Any, x: Value, *sizes: Value) -> Value:
    shape, _ = out_of(equation)
    places = equation.params["broadcast_dimensions"]
    padded: list[Any] = [1] * len(shape)
    for place, size in zip(places, x.shape, strict=True):
        padded[place] = size
    return graph.expand(_unsqueezed(graph, x, tuple(padded), places), shape)


def _unsqueezed(graph: Graph, x: Value, shape: Any, places: Any) -> Value:
    new = [axis for axis in range(len(shape)) if axis not in places]
    if not new:
        return x
    array = graph.array(x)
    if array is not None:
        return graph.constant(array.reshape(shape))
    axes = graph.constant(np.array(new, np.int64))
    return graph.node("Unsqueeze", [x, axes], shape, x.dtype)


def _reshape(graph: Graph, equation: Any, x: Value, *sizes: Value) -> Value:
    return graph.reshape(x, out_of(equation)[0])


def _squeeze(graph: Graph, equation: Any, x: Value) -> Value:
    axes = graph.constant(np.array(equation.params["dimensions"], np.int64))
    return graph.node("Squeeze", [x, axes], *out_of(equation))


def _transpose(graph: Graph, equation: Any, x: Value) -> Value:
    return graph.transpose(x, equation.params["permutation"])


def _concatenate(graph: Graph, equation: Any, *values: Value) -> Value:
    return graph.node("Concat", values, *out_of(equation), axis=equation.params["dimension"])


def _slice(graph: Graph, equation: Any, x: Value) -> Value:
    shape, _ = out_of(equation)
    starts, ends = equation.params["start_indices"], equation.params["limit_indices"]
    steps = equation.params["strides"] or (1,) * x.ndim
    every = zip(starts, ends, steps, x.shape, strict=True)
    cut = [
        (axis, start, ALL if str(end) == str(size) else end, step)
        for axis, (start, end, step, size) in enumerate(every)
        if not (start == 0 and str(end) == str(size) and step == 1)
    ]
    return _cut(graph, x, cut, shape)


def _cut(graph: Graph, x: Value, cut: list[Any], shape: Any) -> Value:
    """The part of x between starts and ends, `(axis, start, end, step)` for each axis."""
    if not cut:
        return x
    axes, *numbers = zip(*cut, strict=True)
    starts, ends, steps = map(graph.sizes, numbers)
    along = graph.constant(np.array(axes, np.int64))
    return graph.node("Slice", [x, starts, ends, along, steps], shape, x.dtype)


def _gather(graph: Graph, equation: Any, x: Value, places: Value) -> Value:
    """Indexing by numbers that are known: one place, or some along one axis."""
    numbers, sizes = graph.array(places), equation.params["slice_sizes"]
    if numbers is None:
        raise Refused(
            "indexing by what is computed has no operator here: use jaxnn.embedding, or a product "
            "with jax.nn.one_hot"
        )
    form = equation.params["dimension_numbers"]
    gone, axes = form.collapsed_slice_dims, form.start_index_map
    if numbers.ndim == 1 and not form.operand_batching_dims:
        starts = dict(zip(axes, map(int, numbers), strict=True))
        cut = [
            (a, n, n + sizes[a], 1) for a, n in starts.items() if str(sizes[a]) != str(x.shape[a])
        ]
        part = _cut(graph, x, cut, tuple(sizes))
        shape = tuple(size for axis, size in enumerate(sizes) if axis not in gone)
        if not gone:
            return part
        along = graph.constant(np.array(gone, np.int64))
        return graph.node("Squeeze", [part, along], shape, x.dtype)
    apart = [d for d in range(len(out_of(equation)[0])) if d not in form.offset_dims]
    axis = axes[0]
    whole = all(str(size) == str(x.shape[a]) for a, size in enumerate(sizes) if a != axis)
    if (
        tuple(gone) == tuple(axes)
        and len(axes) == 1
        and whole
        and apart == [axis + k for k in range(numbers.ndim - 1)]
    ):
        where = graph.constant(numbers[..., 0].astype(np.int64))
        return graph.node("Gather", [x, where], *out_of(equation), axis=axis)
    raise Refused("indexing along several axes at once has no operator here: use slices")


def _reverse(graph: Graph, equation: Any, x: Value) -> Value:
    cut = [(axis, -1, -ALL, -1) for axis in equation.params["dimensions"]]
    return _cut(graph, x, cut, x.shape)


def _split(graph: Graph, equation: Any, x: Value) -> list[Value]:
    sizes = graph.constant(np.array(equation.params["sizes"], np.int64))
    outputs = [(var.aval.shape, var.aval.dtype) for var in equation.outvars]
    return graph.node_of_many("Split", [x, sizes], outputs, axis=equation.params["axis"])


def _unstack(graph: Graph, equation: Any, x: Value) -> list[Value]:
    axis = equation.params["axis"]
    shape, dtype = out_of(equation)
    return [
        graph.node("Gather", [x, graph.constant(np.array(n, np.int64))], shape, dtype, axis=axis)
        for n in range(len(equation.outvars))
    ]


def _pad(graph: Graph, equation: Any, x: Value, fill: Value) -> Value:
    config = equation.params["padding_config"]
    if any(inside for _, _, inside in config):
        raise Refused("padding between entries has no operator")
    pads = np.array([[low for low, _, _ in config], [high for _, high, _ in config]], np.int64)
    return graph.node("Pad", [x, graph.constant(pads.ravel()), fill], *out_of(equation))


def _iota(graph: Graph, equation: Any, *sizes: Value) -> Value:
    """0, 1, … along one axis, of a size that is known when it runs."""
    shape, dtype = out_of(equation)
    axis = equation.params["dimension"]
    zero, one = (graph.constant(np.array(n, np.int64)) for n in (0, 1))
    end = graph.node("Squeeze", [graph.sizes((shape[axis],))], (), np.int64)
    steps = graph.node("Range", [zero, end, one], (shape[axis],), np.int64)
    kind = graph.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    steps = graph.node("Cast", [steps], steps.shape, dtype, to=kind)
    padded = tuple(shape[axis] if place == axis else 1 for place in range(len(shape)))
    return graph.expand(_unsqueezed(graph, steps, padded, (axis,)), shape)


def _reduction(operator: str) -> Emit:
    def emit(graph: Graph, equation: Any, x: Value) -> Value:
        axes = graph.constant(np.array(equation.params["axes"], np.int64))
        return graph.node(operator, [x, axes], *out_of(equation), keepdims=0)

    return emit


def _flags_reduced(operator: str) -> Emit:
    def emit(graph: Graph, equation: Any, x: Value) -> Value:
        """As the largest or smallest of numbers, which has an operator."""
        if x.dtype != np.bool_:
            raise Refused(f"its {equation.primitive.name} works on bits, and has no operator here")
        kind = graph.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(np.int32))
        numbers = graph.node("Cast", [x], x.shape, np.int32, to=kind)
        axes = graph.constant(np.array(equation.params["axes"], np.int64))
        shape, _ = out_of(equation)
        found = graph.node(operator, [numbers, axes], shape, np.int32, keepdims=0)
        kind = graph.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(np.bool_))
        return graph.node("Cast", [found], shape, np.bool_, to=kind)

    return emit


def _cumsum(graph: Graph, equation: Any, x: Value) -> Value:
    axis = graph.constant(np.array(equation.params["axis"], np.int64))
    back = int(equation.params["reverse"])
    return graph.node("CumSum", [x, axis], *out_of(equation), reverse=back)


OPERATORS = POINTWISE | {name: _reduction(operator) for name, operator in REDUCTIONS.items()}
OPERATORS |= {
    "dot_general": _dot,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "transpose": _transpose,
    "concatenate": _concatenate,
    "slice": _slice,
    "gather": _gather,
    "rev": _reverse,
    "split": _split,
    "unstack": _unstack,
    "pad": _pad,
    "iota": _iota,
    "reduce_or": _flags_reduced("ReduceMax"),
    "reduce_and": _flags_reduced("ReduceMin"),
    "cumsum": _cumsum,
    "conv_general_dilated": convolution,
    "reduce_window_max": window_max,
    "reduce_window_sum": window_sum,
}
