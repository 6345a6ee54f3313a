"""A model as a graph of ONNX: its inputs, its outputs, and the file."""

import os
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnn.functions.params import path_text
from jaxnn.internal.checks import check_array, is_traced
from jaxnn.internal.options import check_bool
from jaxnn.interop.onnx.asked import Asked, mask_of
from jaxnn.interop.onnx.graph import Graph, Value, needed_nodes, reads
from jaxnn.interop.onnx.package import IR_VERSION, OPSET, Refused, needed
from jaxnn.interop.onnx.walk import Model, emit
from jaxnn.training import atomic
from jaxnn.types import Cell, Layer, Params, PyTree, Ranks, SequenceLayer, Shape, Shaped, facts_of

LARGEST = 2**31 - 1
"""How many bytes a protocol buffer may have."""


class Wanted(NamedTuple):
    """The options of `to_model`."""

    lengths: bool
    mask: bool
    reset: bool
    states: bool
    step: bool
    dynamic: bool


def to_model(
    model: Model,
    params: Params,
    xs: Shaped,
    lengths: bool = False,
    mask: bool = False,
    reset: bool = False,
    states: bool = False,
    step: bool = False,
    dynamic: bool = True,
) -> Any:
    """A model and its parameters as an ONNX model, which runs without jaxnn and without JAX.

    `elman`, `lstm` and `gru` become the operators RNN, LSTM and GRU (with peepholes, coupled
    gates, a projection, either reset, and both directions in one node), where a mask is one of
    lengths, the arithmetic is float32 and the activations are known to ONNX. Every other cell, and
    these where they are asked for more, become a Scan over their step. All other parts become the
    operators of their equations; dropout becomes nothing.

    Inputs and outputs have names: `xs` and `ys` of a model over sequences, `x` and `y` of a Layer
    or a step, then `lengths`, `mask` and `reset`, and with `states` one for each leaf of the state,
    such as `state.0.hidden` and `new_state.0.hidden`.

    Args:
      model: a Layer, a SequenceLayer or a Cell.
      params: its parameters.
      xs: what it takes, an array or a `jax.ShapeDtypeStruct`: `(time, *batch, ...)`, or
        `(*batch, ...)` for a Layer or a step. Only its shape and dtype are read.
      lengths: whether it also takes `lengths`, int32 `(*batch,)`: how many steps of each sequence
        count; the others are padding behind them. Outputs there are as under a mask.
      mask: whether it also takes `mask`, boolean `(time, *batch)`.
      reset: whether it also takes `reset`, boolean `(time, *batch)`.
      states: whether it also takes the first state and gives the final one.
      step: one time step of a Cell, to be streamed: with `states`, which it implies.
      dynamic: whether the sizes of time and batch are open; else they are those of xs.

    Returns:
      An `onnx.ModelProto` of opset 18.

    Raises:
      ValueError: for a part that has no operator, with its path, the reason and what to do; for
        `lengths` and `mask` together, and flags or states of a model that has none.
      TypeError: for what is no model, no array or no boolean.
      ImportError: without the package onnx (the extra `onnx`).

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> model = jaxnn.stack(jaxnn.lstm(3, 8), jaxnn.dense(8, 2))
    >>> params = model.init(jax.random.key(0))
    >>> proto = to_model(model, params, jnp.zeros((5, 2, 3)))
    >>> [node.op_type for node in proto.graph.node][:2]
    ['LSTM', 'Squeeze']
    """
    onnx = needed("to_model")
    wanted = Wanted(lengths, mask, reset, states, step, dynamic)
    _check("to_model", model, params, xs, wanted)
    wanted = wanted._replace(states=states or step)
    graph = Graph()
    shape, batch = _sizes(model, xs, wanted)
    asked, inputs = _inputs(graph, model, params, shape, batch, xs, wanted)
    try:
        state, y = emit(graph, "model", model, params, asked)
    except Refused:
        state = y = ()
    if graph.faults:
        faults = "\n  ".join(graph.faults)
        hint = "\n(time and batch are open here; dynamic=False writes the sizes of xs)"
        raise ValueError(f"to_model: ONNX has no operators for\n  {faults}{hint * dynamic}")
    name = "y" if step or isinstance(model, Layer) else "ys"
    results = [(name, _without_time(graph, y) if step else y)]
    if wanted.states:
        shapes = _state_of(model, params, xs, step)
        state = jax.tree.unflatten(jax.tree.structure(shapes), jax.tree.leaves(state))
        results.append(("new_state", state))
    outputs = [
        graph.named(leaf, _join(where, path))
        for where, tree in results
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]
    return _assembled(onnx, graph, str(model), inputs, outputs)


def save(
    path: str | os.PathLike[str],
    model: Model,
    params: Params,
    xs: Shaped,
    lengths: bool = False,
    mask: bool = False,
    reset: bool = False,
    states: bool = False,
    step: bool = False,
    dynamic: bool = True,
) -> None:
    """Write what `to_model` gives to a file, whole or not at all.

    Args:
      path: the file, by custom ending in `.onnx`.
      model, params, xs, lengths, mask, reset, states, step, dynamic: as for `to_model`.

    Raises:
      ValueError, TypeError, ImportError: as `to_model` does; ValueError for a model of 2 GB or
        more, which the format cannot hold in one file.
      OSError: where it cannot be written.

    >>> import jax, jax.numpy as jnp, jaxnn, tempfile
    >>> cell = jaxnn.gru(3, 8)
    >>> params = cell.init(jax.random.key(0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(folder + "/gru.onnx", cell, params, jnp.zeros((5, 2, 3)), states=True)
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"save: path must be a path, got {path!r}")
    proto = to_model(model, params, xs, lengths, mask, reset, states, step, dynamic)
    if proto.ByteSize() > LARGEST:
        raise ValueError(
            f"save: the model has {proto.ByteSize():,} bytes, and one file holds 2 GB: use "
            f"to_model, and onnx.save_model(..., save_as_external_data=True)"
        )
    atomic.write(os.fsdecode(path), proto.SerializeToString())


def _check(name: str, model: Model, params: Params, xs: Shaped, wanted: Wanted) -> None:
    """Raise unless the model takes such an input, and has what is asked for."""
    if not isinstance(model, (Layer, SequenceLayer, Cell)):
        raise TypeError(f"{name}: model must be a Layer, a SequenceLayer or a Cell, got {model!r}")
    for option, value in wanted._asdict().items():
        check_bool(name, option, value)
    if isinstance(facts_of(model).event_ndim, Ranks):
        raise TypeError(f"{name}: {model} takes a tree of arrays, and a graph one array")
    check_array(name, "xs", xs)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if is_traced(leaf) or isinstance(leaf, jax.ShapeDtypeStruct):
            raise TypeError(
                f"{name}: params.{path_text(path)} must have values: call it outside of jit"
            )
    if wanted.lengths and (wanted.mask or wanted.step):
        other = "mask" if wanted.mask else "step"
        raise ValueError(f"{name}: lengths and {other} cannot be asked for together")
    if wanted.step and not isinstance(model, Cell):
        raise ValueError(
            f"{name}: step is for Cells, which run step by step; {model} is none: use states=True"
        )
    if isinstance(model, Layer):
        for option in ("lengths", "mask", "reset", "states"):
            if getattr(wanted, option):
                raise ValueError(
                    f"{name}: {option} is for models over sequences, {model} is a Layer"
                )
    jax.eval_shape(_run_of(model, wanted.step), params, xs)
    if wanted.states and not jax.tree.leaves(_state_of(model, params, xs, wanted.step)):
        raise ValueError(f"{name}: states is for models that have a state, {model} has none")


def _run_of(model: Model, step: bool) -> Any:
    """The model as a function of params and x, for its own checks."""
    if isinstance(model, Cell):
        return (lambda params, x: model.unroll(params, x[None])) if step else model.unroll
    return model.apply if isinstance(model, Layer) else model.unroll


def _state_of(model: Any, params: Params, xs: Any, step: bool) -> Any:
    """The types of its state."""
    return jax.eval_shape(_run_of(model, step), params, xs)[0]


def _opened(state: Any, batch: Shape) -> Any:
    """The types of a state, for another batch."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((*batch, *leaf.shape[len(batch) :]), leaf.dtype), state
    )


def _sizes(model: Model, xs: Shaped, wanted: Wanted) -> tuple[Shape, Shape]:
    """The shape of xs with its leading sizes open, and the part of it that is batch."""
    event_ndim: Any = facts_of(model).event_ndim
    behind = min(1 if event_ndim is None else event_ndim, xs.ndim)
    has_time = not (isinstance(model, Layer) or wanted.step)
    leading = xs.ndim - behind
    if has_time and not leading:
        raise ValueError(
            f"to_model: xs must be (time, *batch, ...), got the shape {tuple(xs.shape)}"
        )
    shape: Any = tuple(xs.shape)
    if wanted.dynamic and leading:
        batches = leading - has_time
        names = ["time"] * has_time + ["batch", *(f"batch_{n}" for n in range(1, batches))][
            :batches
        ]
        shape = (*jax.export.symbolic_shape(",".join(names)), *shape[leading:])
    return shape, shape[has_time:leading]


def _inputs(
    graph: Graph,
    model: Model,
    params: Params,
    shape: Shape,
    batch: Shape,
    xs: Shaped,
    wanted: Wanted,
) -> tuple[Asked, list[Value]]:
    """What the model is asked, and the inputs of the graph."""
    whole = wanted.step or isinstance(model, Layer)
    inputs = [graph.given("x" if whole else "xs", shape, xs.dtype)]
    asked = Asked(_with_time(graph, inputs[0]) if wanted.step else inputs[0])
    if wanted.lengths:
        inputs.append(graph.given("lengths", batch, np.int32))
        time = shape[0]
        asked = asked._replace(lengths=inputs[-1], mask=mask_of(graph, inputs[-1], time))
    leading = batch if wanted.step else (shape[0], *batch)
    for flag in ("mask", "reset"):
        if getattr(wanted, flag):
            inputs.append(graph.given(flag, leading, np.bool_))
            value = _with_time(graph, inputs[-1]) if wanted.step else inputs[-1]
            asked = asked._replace(**{flag: value})
    if wanted.states:
        state = _opened(_state_of(model, params, xs, wanted.step), batch)
        leaves, structure = jax.tree_util.tree_flatten_with_path(state)
        given = [graph.given(_join("state", path), leaf.shape, leaf.dtype) for path, leaf in leaves]
        inputs += given
        asked = asked._replace(state=jax.tree.unflatten(structure, given))
    return asked, inputs


def _join(name: str, path: Any) -> str:
    return ".".join([name, path_text(path)]) if path else name


def _with_time(graph: Graph, value: Value) -> Value:
    """One step as a sequence of one."""
    axis = graph.constant(np.array([0], np.int64))
    return graph.node("Unsqueeze", [value, axis], (1, *value.shape), value.dtype)


def _without_time(graph: Graph, y: PyTree) -> PyTree:
    axis = graph.constant(np.array([0], np.int64))
    return jax.tree.map(
        lambda value: graph.node("Squeeze", [value, axis], value.shape[1:], value.dtype), y
    )


def _assembled(
    onnx: Any, graph: Graph, name: str, inputs: list[Value], outputs: list[Value]
) -> Any:
    nodes = needed_nodes(graph.nodes, [value.name for value in outputs])
    used = {name for node in nodes for name in reads(node)}
    tensors = [tensor for tensor in graph.tensors.values() if tensor.name in used]
    made = onnx.helper.make_graph(
        nodes, name, list(map(graph.info, inputs)), list(map(graph.info, outputs)), tensors
    )
    return onnx.helper.make_model(
        made,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="jaxnn",
    )
