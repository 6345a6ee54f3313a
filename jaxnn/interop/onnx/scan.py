"""Any cell, as the operator Scan over its step: masks, resets and directions included."""

import functools
from typing import Any

import jax

from jaxnn.interop.onnx.asked import Asked, broadcast
from jaxnn.interop.onnx.graph import Graph
from jaxnn.interop.onnx.translate import translate
from jaxnn.recurrence.cell import description_of
from jaxnn.recurrence.split import Split, prepare_all, step_of
from jaxnn.recurrence.unroll import zero_outputs
from jaxnn.scans.boundaries import boundaries
from jaxnn.scans.sequential import one_step
from jaxnn.types import Cell, Params, PyTree, State, facts_of


def emit_scan(graph: Graph, cell: Cell, params: Params, asked: Asked) -> tuple[State, PyTree]:
    """The final state and the outputs, trees of values."""
    description = description_of(cell)
    event_ndim: Any = facts_of(cell).event_ndim
    batch = asked.x.shape[1 : asked.x.ndim - (1 if event_ndim is None else event_ndim)]
    first = translate(graph, lambda: cell.initial_state(params, batch))
    start = first if asked.start is None else _spread(graph, asked.start, first)
    state = start if asked.state is None else _spread(graph, asked.state, first)
    xs: Any = asked.x
    step = functools.partial(cell.apply, params)
    if isinstance(description, Split):  # the large products stay outside of the loop
        xs = translate(graph, lambda each: prepare_all(description, params, each), xs)
        step = step_of(description, params)

    def run(state: State, x: Any, mask: Any, reset: Any, start: State) -> tuple[State, PyTree]:
        at = boundaries(mask, reset, asked.reverse)
        state, (_, y) = one_step(str(cell), step, state, start, x, at, lambda state: ())
        return state, zero_outputs(y, mask)

    scanned = (xs, asked.mask, asked.reset)
    return _scanned(graph, run, state, scanned, start, asked.reverse)


def _spread(graph: Graph, state: State, like: State) -> State:
    """A state with the batch dimensions of another."""
    leaves = zip(jax.tree.leaves(state), jax.tree.leaves(like), strict=True)
    return jax.tree.unflatten(
        jax.tree.structure(like), [broadcast(graph, graph.value(a), b.shape) for a, b in leaves]
    )


def _scanned(
    graph: Graph, run: Any, state: State, scanned: Any, start: State, reverse: bool
) -> tuple[State, PyTree]:
    leaves, structure = jax.tree.flatten((state, scanned))
    carried = len(jax.tree.leaves(state))
    body = Graph(graph)
    inputs = [
        body.given(f"{graph.name('state')}", leaf.shape, leaf.dtype) for leaf in leaves[:carried]
    ]
    inputs += [
        body.given(f"{graph.name('step')}", leaf.shape[1:], leaf.dtype) for leaf in leaves[carried:]
    ]
    now, (x, mask, reset) = jax.tree.unflatten(structure, inputs)
    results = translate(body, run, now, x, mask, reset, start)
    outputs, form = jax.tree.flatten(results)
    outputs = [body.named(value, graph.name("next")) for value in outputs]
    onnx = graph.onnx
    inner = onnx.helper.make_graph(
        body.nodes, graph.name("body"), list(map(body.info, inputs)), list(map(body.info, outputs))
    )
    time = jax.tree.leaves(scanned)[0].shape[0]
    shapes = [(value.shape, value.dtype) for value in outputs[:carried]]
    shapes += [((time, *value.shape), value.dtype) for value in outputs[carried:]]
    count = len(leaves) - carried
    attributes: dict[str, Any] = {"body": inner, "num_scan_inputs": count}
    if reverse:
        attributes["scan_input_directions"] = [1] * count
        attributes["scan_output_directions"] = [1] * (len(outputs) - carried)
    found = graph.node_of_many("Scan", leaves, shapes, **attributes)
    return jax.tree.unflatten(form, found)
