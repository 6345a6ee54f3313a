"""A model as it is made of its parts, each as one operator, as a loop, or as its equations."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxnn.functions.activations import Clip
from jaxnn.functions.merge import Merge, merge_outputs
from jaxnn.internal.parts import Parts, parts
from jaxnn.interop.onnx.activations import named
from jaxnn.interop.onnx.asked import Asked, clean
from jaxnn.interop.onnx.graph import Graph, Value
from jaxnn.interop.onnx.native import emit_native, operator_of
from jaxnn.interop.onnx.package import Refused
from jaxnn.interop.onnx.scan import emit_scan
from jaxnn.interop.onnx.translate import translate
from jaxnn.interop.onnx.windows import average
from jaxnn.layers.along import mask_along
from jaxnn.layers.composition import mask_for
from jaxnn.transforms.final_state import hidden_of
from jaxnn.types import Cell, Layer, Params, PyTree, SequenceLayer, State, facts_of

Model = Layer | SequenceLayer | Cell
Rule = Callable[[Graph, Parts, Any, Asked], tuple[State, PyTree]]
"""`state, y = rule(graph, part, params, asked)`, as `unroll` gives them, of values."""
KNOWN = "known"
"""What an error has beside its text when the fault behind it is written down already."""
SAME_FUNCTION = ("remat", "solve", "with_method", "shard_time")
"""Transformations that only change how their model runs."""


def emit(
    graph: Graph, name: str, model: Model, params: Params, asked: Asked
) -> tuple[State, PyTree]:
    """The final state and the output of a part of the model, which has a name."""
    with graph.inside(name):
        try:
            part = parts(model)
            if part.kind in RULES:
                return RULES[part.kind](graph, part, params, asked)
            if part.kind in SAME_FUNCTION:
                inner = part.parts["cell" if "cell" in part.parts else next(iter(part.parts))]
                return emit(graph, "inner", inner.make(), params, asked)
            if isinstance(model, Cell):
                return _cell(graph, model, params, asked)
            return _layer(graph, model, params, asked)
        except (ValueError, TypeError) as error:
            if error.args[1:] != (KNOWN,):
                graph.faults.append(f"{'/'.join(graph.path)}: {model}: {error}")
            return _in_its_place(graph, model, params, asked)


def _in_its_place(graph: Graph, model: Model, params: Params, asked: Asked) -> tuple[State, PyTree]:
    """Values of the right shapes, so that what comes after a part that was refused is seen too."""
    run: Any = model.apply if isinstance(model, Layer) else model.unroll
    try:
        found = jax.eval_shape(run, params, asked.x.struct())
    except (ValueError, TypeError) as error:
        raise Refused("what comes after it was not looked at", KNOWN) from error
    both = ((), found) if isinstance(model, Layer) else found
    return jax.tree.map(
        lambda leaf: graph.given(graph.name("refused"), leaf.shape, leaf.dtype), both
    )


def children(part: Parts) -> list[Any]:
    """The models that a part is made of."""
    return [each.make() for each in part.parts.values()]


def _cell(graph: Graph, cell: Cell, params: Params, asked: Asked) -> tuple[State, PyTree]:
    """An operator where one has it, and a loop over its step otherwise."""
    operator = operator_of(cell, params, asked)
    if operator is None:
        return emit_scan(graph, cell, params, asked)
    states, ys = emit_native(graph, operator, [params], asked, both=False)
    shape = (ys.shape[0], *ys.shape[2:])
    axis = graph.constant(np.array([1], np.int64))
    y = graph.node("Squeeze", [ys, axis], shape, ys.dtype)
    projection = getattr(params, "projection", None)
    if projection is not None:
        y = _projected(graph, y, projection)
        hidden = _projected(graph, states[0].hidden, projection)
        return states[0]._replace(hidden=hidden), y
    return states[0], y


def _projected(graph: Graph, value: Value, projection: Any) -> Value:
    shape = (*value.shape[:-1], projection.shape[1])
    return graph.node("MatMul", [value, np.asarray(projection, value.dtype)], shape, value.dtype)


def _layer(
    graph: Graph, layer: Layer | SequenceLayer, params: Params, asked: Asked
) -> tuple[State, PyTree]:
    """By its equations."""
    if isinstance(layer, Layer):
        run: Any = functools.partial(_applied, layer, params)
        mask: Any = asked.mask
        return (), translate(graph, run, asked.x, mask_for(layer, mask))
    arguments = asked.x, asked.mask, asked.reset
    if jax.tree.leaves((asked.state, asked.start)):
        raise Refused("it has a state, and is none of the models that this file knows")

    def unrolled(x: Any, mask: Any, reset: Any) -> Any:
        return layer.unroll(params, x, None, mask, reset)

    return translate(graph, unrolled, *arguments)


def _applied(layer: Layer, params: Params, x: Any, mask: Any) -> Any:
    return layer.apply(params, x, mask)


def _many(asked: Asked, count: int) -> list[Asked]:
    """What each of some parts is asked: states and starts of its own."""
    nothing = (None,) * count
    pairs = zip(asked.state or nothing, asked.start or nothing, strict=True)
    return [asked._replace(state=state, start=start) for state, start in pairs]


def _serial(graph: Graph, part: Parts, params: Any, asked: Asked) -> tuple[State, PyTree]:
    states, x = [], asked.x
    layers = children(part)
    no_flags: dict[str, None] = {}
    each = zip(part.parts, layers, params, _many(asked, len(layers)), strict=True)
    for name, layer, p, mine in each:
        flags = mine._replace(**no_flags)
        x = clean(graph, x, flags.mask)
        state, x = emit(graph, name, layer, p, flags._replace(x=x))
        states.append(state)
        if isinstance(layer, SequenceLayer) and layer.pools:
            no_flags = dict.fromkeys(("mask", "lengths", "reset"))
    return tuple(states), x


def _parallel(graph: Graph, part: Parts, params: Any, asked: Asked) -> tuple[State, PyTree]:
    x = clean(graph, asked.x, asked.mask)
    layers = children(part)
    each = zip(part.parts, layers, params, _many(asked, len(layers)), strict=True)
    found = [emit(graph, name, layer, p, a._replace(x=x)) for name, layer, p, a in each]
    states, outputs = zip(*found, strict=True)
    return tuple(states), _merged(graph, part.options["merge"], list(outputs))


def _merged(graph: Graph, merge: Merge, outputs: list[Any]) -> Value:
    return translate(graph, lambda *ys: merge_outputs("merge", merge, list(ys)), *outputs)


def _stack(graph: Graph, part: Parts, params: Any, asked: Asked) -> tuple[State, PyTree]:
    """Cells on each other, and layers, whose outputs at masked steps are zeros."""
    states, x, below = [], asked.x, False
    models = children(part)
    each = zip(part.parts, models, params, _many(asked, len(models)), strict=True)
    for name, model, p, mine in each:
        if isinstance(model, Cell):
            state, y = emit(graph, name, model, p, mine._replace(x=x))
            if below and part.options["residual"]:
                y = _added(graph, clean(graph, x, asked.mask), y)
            below = True
        else:
            x = clean(graph, x, asked.mask)
            state, y = emit(graph, name, model, p, mine._replace(x=x))
            y = clean(graph, y, asked.mask)
        states.append(state)
        x = y
    return tuple(states), x


def _residual(graph: Graph, part: Parts, params: Any, asked: Asked) -> tuple[State, PyTree]:
    (inner,) = children(part)
    state, y = emit(graph, "inner", inner, params, asked)
    return state, _added(graph, clean(graph, asked.x, asked.mask), y)


def _added(graph: Graph, x: Value, y: Value) -> Value:
    return graph.node("Add", [x, y], y.shape, y.dtype)


def _as_layer(graph: Graph, part: Parts, params: Any, asked: Asked) -> tuple[State, PyTree]:
    (cell,) = children(part)
    return emit(graph, "cell", cell, params, asked._replace(reverse=part.options["reverse"]))


def _bidirectional(graph: Graph, part: Parts, params: Any, asked: Asked) -> tuple[State, PyTree]:
    """One operator for two cells of one kind, else one for each."""
    cells, merge = children(part), part.options["merge"]
    operators = [operator_of(cell, p, asked) for cell, p in zip(cells, params, strict=True)]
    same = [jax.tree.map(np.shape, tuple(p)) for p in params]
    projected = any(getattr(p, "projection", None) is not None for p in params)
    alike = operators[0] == operators[1] and same[0] == same[1] and not projected
    if operators[0] is not None and alike:
        states, ys = emit_native(graph, operators[0], params, asked, both=True)
        return tuple(states), _clean_merge(graph, _both(graph, merge, ys), merge, asked)
    found = [
        emit(graph, name, cell, p, mine._replace(reverse=name == "backward"))
        for name, cell, p, mine in zip(
            ("forward", "backward"), cells, params, _many(asked, 2), strict=True
        )
    ]
    states, outputs = zip(*found, strict=True)
    return tuple(states), _clean_merge(graph, _merged(graph, merge, list(outputs)), merge, asked)


def _clean_merge(graph: Graph, y: Value, merge: Merge, asked: Asked) -> Value:
    """What a function makes of zeros may be anything."""
    return clean(graph, y, asked.mask) if callable(merge) else y


def _both(graph: Graph, merge: Merge, ys: Value) -> Value:
    """Outputs `(time, 2, *batch, hidden)`, merged."""
    shape = (ys.shape[0], *ys.shape[2:])
    if merge == "concat":
        order = [0, *range(2, ys.ndim - 1), 1, ys.ndim - 1]
        return graph.reshape(graph.transpose(ys, order), (*shape[:-1], 2 * shape[-1]))
    reductions = {"sum": "ReduceSum", "mean": "ReduceMean", "product": "ReduceProd"}
    if isinstance(merge, str):
        axis = graph.constant(np.array([1], np.int64))
        return graph.node(reductions[merge], [ys, axis], shape, ys.dtype, keepdims=0)
    return translate(graph, lambda y: merge_outputs("merge", merge, [y[:, 0], y[:, 1]]), ys)


def _final_state(graph: Graph, part: Parts, params: Any, asked: Asked) -> tuple[State, PyTree]:
    (layer,) = children(part)
    state, _ = emit(graph, "layer", layer, params, asked)
    merge = parts(layer).options.get("merge")
    if merge is None:
        return state, hidden_of("final_state", state)
    return state, _merged(graph, merge, [hidden_of("final_state", each) for each in state])


def _along(graph: Graph, part: Parts, params: Any, asked: Asked) -> tuple[State, PyTree]:
    """The axis to the front, and back; as a mask the mask of a step there."""
    (layer,) = children(part)
    place = asked.x.ndim + part.options["axis"]
    mask = asked.mask
    xs = clean(graph, asked.x, mask)
    order = [place, *(axis for axis in range(xs.ndim) if axis != place)]
    xs = graph.transpose(xs, order)
    if mask is not None:
        behind: Any = facts_of(layer).event_ndim or 1
        leading = xs.shape[: xs.ndim - behind]
        mask = translate(graph, functools.partial(mask_along, place, leading), mask)
    _, ys = emit(graph, "layer", layer, params, Asked(xs, mask=mask))
    if layer.pools:
        return (), ys
    return (), graph.transpose(ys, [int(axis) for axis in np.argsort(order)])


def _learned(graph: Graph, part: Parts, params: Any, asked: Asked) -> tuple[State, PyTree]:
    (cell,) = children(part)
    start = params.start if asked.start is None else asked.start
    state = start if asked.state is None else asked.state
    return emit(graph, "cell", cell, params.cell, asked._replace(state=state, start=start))


def _dropout(graph: Graph, part: Parts, params: Any, asked: Asked) -> tuple[State, PyTree]:
    """Evaluation: x as it is."""
    return (), asked.x


def _pool_over_time(graph: Graph, part: Parts, params: Any, asked: Asked) -> tuple[State, PyTree]:
    """One operator where every step is valid."""
    x, how = asked.x, part.options["how"]
    if asked.mask is not None or asked.reset is not None or x.dtype != np.float32:
        return _layer(graph, part.make(), params, asked)
    if how == "last":
        last = graph.constant(np.array(-1, np.int64))
        return (), graph.node("Gather", [x, last], x.shape[1:], x.dtype, axis=0)
    operator = {"mean": "ReduceMean", "max": "ReduceMax"}[how]
    axis = graph.constant(np.array([0], np.int64))
    return (), graph.node(operator, [x, axis], x.shape[1:], x.dtype, keepdims=0)


def _average_pool(graph: Graph, part: Parts, params: Any, asked: Asked) -> tuple[State, PyTree]:
    """One operator, which does not count the padding either."""
    if asked.x.dtype != np.float32:
        return _layer(graph, part.make(), params, asked)
    sliding: Any = facts_of(part.make()).description
    return (), average(graph, sliding.windows, asked.x)


def _global_average(graph: Graph, part: Parts, params: Any, asked: Asked) -> tuple[State, PyTree]:
    x, behind = asked.x, part.options["event_ndim"]
    if x.dtype != np.float32:
        return _layer(graph, part.make(), params, asked)
    axes = np.arange(x.ndim - behind, x.ndim - 1)
    shape = (*x.shape[: x.ndim - behind], x.shape[-1])
    return (), graph.node("ReduceMean", [x, axes], shape, x.dtype, keepdims=0)


def _embedding(graph: Graph, part: Parts, params: Any, asked: Asked) -> tuple[State, PyTree]:
    """Rows of the table; a runtime says what it does with tokens outside of it."""
    table = np.asarray(params.table.astype(part.options["dtype"]))
    x = asked.x
    if x.dtype not in (np.int32, np.int64):
        x = translate(graph, lambda each: each.astype(np.int32), x)
    shape = (*x.shape, table.shape[1])
    return (), graph.node("Gather", [table, x], shape, table.dtype, axis=0)


def _layer_norm(graph: Graph, part: Parts, params: Any, asked: Asked) -> tuple[State, PyTree]:
    if asked.x.dtype != np.float32 or params.scale.dtype != np.float32:
        return _layer(graph, part.make(), params, asked)
    weights = [np.asarray(params.scale), np.asarray(params.bias)]
    x, epsilon = asked.x, part.options["epsilon"]
    return (), graph.node(
        "LayerNormalization", [x, *weights], x.shape, x.dtype, axis=-1, epsilon=epsilon
    )


def _activation(graph: Graph, part: Parts, params: Any, asked: Asked) -> tuple[State, PyTree]:
    """One operator where it has a name, else its equations."""
    function = part.options["function"]
    if isinstance(function, Clip) and asked.x.dtype == np.float32:
        ends = [np.array(end, np.float32) for end in function]
        return (), graph.node("Clip", [asked.x, *ends], asked.x.shape, asked.x.dtype)
    found = named(function)
    if found is None or not found.in_graph or not np.issubdtype(asked.x.dtype, np.floating):
        return _layer(graph, part.make(), params, asked)
    return (), graph.node(found.operator, [asked.x], asked.x.shape, asked.x.dtype, **found.numbers)


RULES: dict[str, Rule] = {
    "serial": _serial,
    "parallel": _parallel,
    "stack": _stack,
    "residual": _residual,
    "as_layer": _as_layer,
    "bidirectional": _bidirectional,
    "learned_initial_state": _learned,
    "dropout": _dropout,
    "along": _along,
    "final_state": _final_state,
    "average_pool": _average_pool,
    "global_average_pool": _global_average,
    "pool_over_time": _pool_over_time,
    "embedding": _embedding,
    "layer_norm": _layer_norm,
    "activation": _activation,
}
