"""A stack layer by layer: each learns by the influence on its own state alone.

What a loss says of the output goes down through all layers, within this one step, and meets in each
the influence of that layer's parameters on that layer's state. What is left out is the way from a
layer's past to the output through the *states* of the layers above it. So the layers from the top
down to the first recurrent one have their exact gradient, and those below an approximation of it.
"""

import functools
from typing import Any

import jax

from jaxnn.internal.checks import naming, split_key
from jaxnn.internal.named import Names, joined
from jaxnn.online.sequence import Learner, Rule, Trace, learner_of
from jaxnn.transforms.residual import residual
from jaxnn.transforms.stack import stack
from jaxnn.types import (
    Cell,
    Key,
    Layer,
    Params,
    PyTree,
    State,
    facts_of,
)


def is_stack(cell: Cell) -> bool:
    """Whether a cell was made by `stack`."""
    parts = facts_of(cell).parts
    return parts is not None and parts.factory is stack


def by_layer(rule: Rule, cell: Cell) -> Learner:
    """The learner of a stack by its layers, of stacks in it too; of another cell as a whole.

    Raises:
      ValueError: for a stack with a `dropout` of its own.
    """
    if not is_stack(cell):
        return learner_of(rule, cell)
    parts = facts_of(cell).parts
    if parts.options["dropout"]:
        raise ValueError(
            f"online: a stack with dropout={parts.options['dropout']} cannot be taken apart: put "
            f"jaxnn.dropout layers between its cells instead"
        )
    titles, learners, below = [], [], False
    for place, one in enumerate(parts.parts.values()):
        part = one.make()
        titles.append(f"part {place}, {part}")
        if isinstance(part, Layer):
            learners.append(_of_layer(part))
            continue
        wrapped = residual(part) if below and parts.options["residual"] else part
        learners.append(by_layer(rule, wrapped))
        below = True
    return _together(tuple(titles), tuple(learners), parts.options["names"])


def _together(titles: tuple[str, ...], layers: tuple[Learner, ...], names: Names | None) -> Learner:
    """The learner of some layers on top of each other."""

    def begin(params: Params, key: Key | None) -> Trace:
        traces = []
        each = zip(titles, layers, params, split_key("online", key, len(layers)), strict=True)
        for title, layer, part, own_key in each:
            with naming(title):
                traces.append(layer.begin(part, own_key))
        return tuple(traces)

    def again(params: Params, trace: Trace) -> Trace:
        each = zip(layers, params, trace, strict=True)
        return tuple(layer.again(part, old) for layer, part, old in each)

    def step(
        params: Params, state: State, trace: Trace, x: PyTree, key: Key | None
    ) -> tuple[State, Trace, PyTree, PyTree]:
        states, traces, seen, y = [], [], [], x
        keys = split_key("online", key, len(layers))
        each = zip(titles, layers, params, state, trace, keys, strict=True)
        for title, layer, part, old, before, own_key in each:
            with naming(title):
                new, influence, y, here = layer.step(part, old, before, y, own_key)
            states.append(new)
            traces.append(influence)
            seen.append(here)
        return joined(names, states), tuple(traces), y, tuple(seen)

    def pull(params: Params, seen: PyTree, y_bar: PyTree) -> tuple[Params, PyTree]:
        found, bar = [], y_bar
        for layer, part, here in reversed(list(zip(layers, params, seen, strict=True))):
            part_bar, bar = layer.pull(part, here, bar)
            found.append(part_bar)
        return joined(names, reversed(found)), bar

    return Learner(begin, again, step, pull)


def _of_layer(layer: Layer) -> Learner:
    """The learner of a Layer, which has no state."""
    return Learner(
        _no_trace, _no_trace, functools.partial(_step, layer), functools.partial(_pull, layer)
    )


def _no_trace(params: Params, trace: Any) -> Trace:
    del params, trace
    return ()


def _step(
    layer: Layer, params: Params, state: State, trace: Trace, x: PyTree, key: Key | None
) -> tuple[State, Trace, PyTree, PyTree]:
    return state, trace, layer.apply(params, x, None, key), (x, key)


def _pull(layer: Layer, params: Params, seen: PyTree, y_bar: PyTree) -> tuple[Params, PyTree]:
    x, key = seen

    def output(params: Params, x: PyTree) -> PyTree:
        return layer.apply(params, x, None, key)

    return jax.vjp(output, params, x)[1](y_bar)
