"""Elman networks, LSTMs and GRUs as the operators RNN, LSTM and GRU, in one or both directions."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnn.internal.parts import Parts, parts
from jaxnn.interop.layouts import Layout, layouts_of
from jaxnn.interop.onnx.activations import Named, named
from jaxnn.interop.onnx.asked import Asked, broadcast
from jaxnn.interop.onnx.graph import Graph, Value
from jaxnn.interop.recurrent import to_theirs
from jaxnn.types import Cell, Params, State

DIRECTIONS = ("forward", "reverse", "bidirectional")


class Operator(NamedTuple):
    """The operator of a cell: its row in the table of layouts, its attributes, and the activations
    of one direction, in their order."""

    layout: Layout
    name: str
    attributes: dict[str, int]
    activations: tuple[Named, ...]
    state: type


def operator_of(cell: Cell, params: Params, asked: Asked) -> Operator | None:
    """The operator that runs a cell as it is asked to, or None.

    ONNX's operators have lengths, but no masks and no resets; runtimes have them in float32.
    """
    part = parts(cell)
    if part.kind not in ("elman", "lstm", "gru") or asked.reset is not None:
        return None
    options = part.options
    if asked.x.dtype != np.float32 or options["dtype"] != np.float32:
        return None
    if asked.mask is not None and asked.lengths is None:
        return None
    if options.get("layer_norm"):
        return None
    if options.get("projection_size") and asked.state is not None:
        return None  # the operator's own h, before the projection, does not follow from ours
    found = _activations(part)
    if found is None:
        return None
    layouts = layouts_of("onnx", part.kind)
    after = options.get("reset_after")
    coupled = options.get("coupled", False)
    layout = next(row for row in layouts if (row.reset_after, row.coupled) == (after, coupled))
    attributes = {"input_forget": 1} if coupled else {}
    if after:
        attributes["linear_before_reset"] = 1
    state = type(jax.eval_shape(cell.initial_state, params))
    return Operator(layout, layout.layer.partition("(")[0], attributes, found, state)


def _activations(part: Parts) -> tuple[Named, ...] | None:
    own, gate = part.options["activation"], part.options.get("gate_activation")
    order = {"elman": [own], "gru": [gate, own], "lstm": [gate, own, own]}[part.kind]
    found = [named(function) for function in order]
    known = tuple(each for each in found if each is not None)
    if len(known) < len(found) or not all(each.in_recurrence for each in known):
        return None
    if part.options.get("coupled") and not known[0].is_symmetric():
        return None  # i = 1 − f is written as i(a) = f(−a)
    return known


def emit_native(
    graph: Graph, operator: Operator, params: Sequence[Any], asked: Asked, both: bool
) -> tuple[list[State], Value]:
    """Final states, one for each direction, and ys `(time, directions, batch, hidden)`.

    With `both`, two cells, of which the second one runs from the end; their states are a pair.
    """
    x, layout = asked.x, operator.layout
    batch = x.shape[1:-1]
    time, size = x.shape[0], x.shape[-1]
    flat = (_product(batch),)
    x = graph.reshape(x, (time, *flat, size))
    weights = [to_theirs(layout, _numpy(each)) for each in params]
    hidden, count = weights[0]["R"].shape[-1], len(params)
    stacked = {name: np.stack([each[name] for each in weights]) for name in weights[0]}
    lengths = None if asked.lengths is None else graph.reshape(asked.lengths, flat)
    fields, first = layout.state, None
    states = [None] * count
    if asked.state is not None:
        states = list(asked.state) if both else [asked.state]
        first = [
            _joined(graph, [getattr(state, field) for state in states], (*flat, hidden))
            for field in fields
        ]
    inputs = [x, stacked["W"], stacked["R"], stacked.get("B"), lengths, *(first or [])]
    if "P" in stacked:
        inputs += [None] * (7 - len(inputs)) + [stacked["P"]]
    attributes: dict[str, Any] = {"hidden_size": hidden} | operator.attributes
    attributes["direction"] = DIRECTIONS[2 if both else int(asked.reverse)]
    attributes |= _activation_attributes(operator.activations * count)
    shapes: list[Any] = [((time, count, *flat, hidden), x.dtype)]
    shapes += [((count, *flat, hidden), x.dtype)] * len(fields)
    ys, *finals = graph.node_of_many(operator.name, inputs, shapes, **attributes)
    if lengths is not None and first is not None:
        finals = [_kept(graph, lengths, *pair) for pair in zip(first, finals, strict=True)]
    states = [
        operator.state(*(graph.reshape(_one(graph, f, d, count), (*batch, hidden)) for f in finals))
        for d in range(count)
    ]
    return states, graph.reshape(ys, (time, count, *batch, hidden))


def _product(sizes: Sequence[Any]) -> Any:
    whole: Any = 1
    for size in sizes:
        whole = whole * size
    return whole


def _numpy(params: Any) -> Any:
    """In numpy and float32, with a projection folded into the recurrent kernel:
    h W = (o∘tanh(c)) (P W)."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), params)
    projection = getattr(params, "projection", None)
    if projection is None:
        return params
    kernel = params.recurrent_kernel
    wide = projection.astype(np.float64) @ kernel.reshape(kernel.shape[0], -1).astype(np.float64)
    folded = wide.astype(kernel.dtype).reshape(-1, *kernel.shape[1:])
    return params._replace(recurrent_kernel=folded, projection=None)


def _joined(graph: Graph, leaves: Sequence[Any], shape: Any) -> Value:
    """A state of all directions, `(directions, batch, hidden)`."""
    values = [_alone(graph, graph.value(leaf), (1, *shape)) for leaf in leaves]
    if len(values) == 1:
        return values[0]
    return graph.node("Concat", values, (len(values), *shape), values[0].dtype, axis=0)


def _alone(graph: Graph, value: Value, shape: Any) -> Value:
    """A state of one direction; a constant has no batch yet."""
    return broadcast(graph, value, shape) if value.ndim == 1 else graph.reshape(value, shape)


def _one(graph: Graph, value: Value, direction: int, count: int) -> Value:
    """The final state of one direction."""
    if count == 1:
        return graph.reshape(value, value.shape[1:])
    place = graph.constant(np.array(direction, np.int64))
    return graph.node("Gather", [value, place], value.shape[1:], value.dtype, axis=0)


def _kept(graph: Graph, lengths: Value, first: Value, final: Value) -> Value:
    """The final state, but the first one of a sequence without a step, where ONNX has zeros."""
    zero = graph.constant(np.zeros((), lengths.dtype))
    empty = graph.node("Equal", [lengths, zero], lengths.shape, np.bool_)
    empty = graph.reshape(empty, (*lengths.shape, 1))
    return graph.node("Where", [empty, first, final], final.shape, final.dtype)


def _activation_attributes(activations: Sequence[Named]) -> dict[str, Any]:
    """Names, and the numbers of those that have some, in their order."""
    given: dict[str, Any] = {"activations": [each.operator for each in activations]}
    for name in ("alpha", "beta"):
        numbers = [each.numbers[name] for each in activations if name in each.numbers]
        if numbers:
            given[f"activation_{name}"] = numbers
    return given
