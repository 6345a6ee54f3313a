"""RNN, LSTM and GRU of a file as jaxnn's cells."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxnn.cells.elman
import jaxnn.cells.gru
import jaxnn.cells.lstm
from jaxnn.interop.layouts import Layout, layouts_of
from jaxnn.interop.onnx.activations import function_of
from jaxnn.interop.onnx.package import Refused
from jaxnn.interop.onnx.values import (
    Axis,
    Made,
    Make,
    Other,
    Pair,
    Roles,
    Spread,
    Tensor,
    is_known,
)
from jaxnn.interop.recurrent import to_ours
from jaxnn.layers.along import along
from jaxnn.transforms.bidirectional import BidirectionalParams, as_layer, bidirectional
from jaxnn.transforms.final_state import final_state
from jaxnn.transforms.initial_state import LearnedInitialStateParams, learned_initial_state
from jaxnn.types import Cell, Params

KINDS = {"RNN": "elman", "LSTM": "lstm", "GRU": "gru"}
DEFAULTS = {"RNN": ["Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}
NUMBERS = ("alpha", "beta")


class Weights(NamedTuple):
    """The cells of an operator, one for each direction, with their parameters."""

    cells: list[Cell]
    params: list[Params]
    hidden: int


def read_recurrent(
    operator: str, inputs: list[Any], options: dict[str, Any], roles: Roles
) -> list[Any]:
    """Y, Y_h and Y_c of an operator."""
    inputs = [*inputs, *[None] * (8 - len(inputs))]
    x, _, _, _, lengths, *states = inputs[:7]
    if not isinstance(x, Tensor):
        raise Refused("its X does not come from the first input of the model")
    if lengths is not None:
        if not isinstance(lengths, Other) or not lengths.plain:
            raise Refused("its sequence_lens are no input of the graph: make them one")
        roles.padded = True
    layout = options.get("layout", 0)
    time, batch, size = _axes_of(x, layout)
    if roles.time is None:
        roles.time = time.root()
    direction = options.get("direction", "forward")
    weights = _weights(operator, inputs, options)
    weights = _with_first_states(weights, states, layout)
    hidden = Axis(weights.hidden)
    leading = [axis for axis in (*x.made.leading, *x.made.spatial) if axis not in (size,)]
    _takes(x.made, size)
    turn = functools.partial(_turned, x.made, time)
    if direction == "bidirectional":
        pair = Axis(2)
        ys, last = (
            Made(x.made, None, each, [], None, _pair(weights, final, turn, pair, hidden))
            for final, each in ((False, leading), (True, [a for a in leading if a is not time]))
        )
        dims: Any = ((pair,), tuple(batch), (hidden,))
    else:
        back = direction == "reverse"
        ys, last = (
            Made(x.made, _one(weights, 0, back, final, turn), each, [], hidden)
            for final, each in ((False, leading), (True, [a for a in leading if a is not time]))
        )
        dims = ((), tuple(batch), (hidden,))
    last.is_state = True
    order = (1, 0, 2) if layout else (0, 1, 2)
    y_h = Tensor(last, tuple(dims[axis] for axis in order), x.dtype)
    whole = (tuple(batch), (time,), *dims[::2]) if layout else ((time,), *dims)
    return [Tensor(ys, whole, x.dtype), y_h, Final()]


class Final(NamedTuple):
    """A final c, which the model gives by `unroll`."""


def _axes_of(x: Tensor, layout: int) -> tuple[Axis, tuple[Axis, ...], Axis]:
    """Time, batch and features of X."""
    if len(x.dims) != 3:
        raise Refused(f"its X has {len(x.dims)} dimensions, not 3")
    first, second, size = x.dims
    time, batch = (second, first) if layout else (first, second)
    if len(time) != 1 or len(size) != 1:
        raise Refused("its time or its features are several axes of the model")
    return time[0], batch, size[0]


def _takes(made: Made, size: Axis) -> None:
    """An input whose features are not known yet has them here."""
    if made.features is None and size in made.leading:
        made.leading = [axis for axis in made.leading if axis is not size]
        made.features = size
    if made.features is not size:
        raise Refused("its features are another axis of what it takes: it would have to be turned")


def _weights(operator: str, inputs: list[Any], options: dict[str, Any]) -> Weights:
    names = {"W": 1, "R": 2, "B": 3, "P": 7}
    arrays = {name: inputs[place] for name, place in names.items() if inputs[place] is not None}
    for name, array in arrays.items():
        if not is_known(array):
            raise Refused(f"its {name} is no constant")
    if options.get("clip"):
        raise Refused("it clips the inputs of its activations, which jaxnn's cells do not")
    layout = _layout_of(operator, options)
    count, hidden = arrays["W"].shape[0], arrays["R"].shape[-1]
    functions = _functions(operator, options, count)
    cells, params = [], []
    for place in range(count):
        own = {name: array[place] for name, array in arrays.items()}
        size, dtype = own["W"].shape[1], own["W"].dtype
        biased = "B" in own
        params.append(jax.tree.map(jax.numpy.asarray, to_ours(layout, own, biased)))
        further: dict[str, Any] = {}
        if operator == "LSTM":
            further = {"peephole": "P" in own, "coupled": layout.coupled}
        if operator == "GRU":
            further["reset_after"] = layout.reset_after
        cells.append(_cell(operator, functions[place], (size, hidden), biased, dtype, further))
    return Weights(cells, params, hidden)


def _layout_of(operator: str, options: dict[str, Any]) -> Layout:
    rows = layouts_of("onnx", KINDS[operator])
    coupled = bool(options.get("input_forget", 0))
    after = bool(options.get("linear_before_reset", 0)) if operator == "GRU" else None
    return next(row for row in rows if (row.coupled, row.reset_after) == (coupled, after))


def _functions(operator: str, options: dict[str, Any], count: int) -> list[list[Any]]:
    """The activations of each direction, whose numbers stand in their order."""
    names = options.get("activations") or DEFAULTS[operator] * count
    numbers = {each: list(options.get(f"activation_{each}", [])) for each in NUMBERS}
    found = [function_of(name, numbers) for name in names]
    size = len(DEFAULTS[operator])
    return [found[size * place : size * (place + 1)] for place in range(count)]


def _cell(
    operator: str,
    functions: list[Any],
    sizes: tuple[int, int],
    bias: bool,
    dtype: Any,
    further: dict[str, Any],
) -> Cell:
    *gate, own = functions
    if operator == "RNN":
        return jaxnn.cells.elman.elman(*sizes, activation=own, bias=bias, dtype=dtype)
    if operator == "LSTM":
        if gate[1] != own:
            raise Refused("its activations of g and of c differ, and jaxnn's lstm has one")
        further |= activations_of(gate[0], own)
        return jaxnn.cells.lstm.lstm(*sizes, bias=bias, dtype=dtype, **further)
    further |= activations_of(gate[0], own)
    return jaxnn.cells.gru.gru(*sizes, bias=bias, dtype=dtype, **further)


def activations_of(gate: Any, own: Any) -> dict[str, Any]:
    """The options of a cell, those left out that are as by default."""
    usual = {"activation": (own, jax.numpy.tanh), "gate_activation": (gate, jax.nn.sigmoid)}
    return {name: given for name, (given, default) in usual.items() if given != default}


def _with_first_states(weights: Weights, states: list[Any], layout: int) -> Weights:
    """Cells that learn their first state, where the file has one that is not zero."""
    arrays = [None if state is None else _rows(state, layout, weights.hidden) for state in states]
    if all(array is None or not array.any() for array in arrays):
        return weights
    cells, params = [], []
    for place, (cell, p) in enumerate(zip(weights.cells, weights.params, strict=True)):
        first = cell.initial_state(p)
        leaves = [
            leaf
            if array is None
            else jax.numpy.asarray(
                np.broadcast_to(array, (len(weights.cells), weights.hidden))[place], leaf.dtype
            )
            for leaf, array in zip(first, arrays, strict=False)
        ]
        cells.append(learned_initial_state(cell))
        params.append(LearnedInitialStateParams(p, type(first)(*leaves)))
    return weights._replace(cells=cells, params=params)


def _rows(state: Any, layout: int, hidden: int) -> np.ndarray | None:
    """A first state that is a constant, `(directions, hidden)`; None where it is an input."""
    if isinstance(state, Other):
        if not state.plain:
            raise Refused("its first state is computed from another input: make it an input")
        return None
    array = state.array if isinstance(state, Spread) else state
    if not isinstance(array, np.ndarray) or array.dtype == object:
        raise Refused("its first state is computed from the input of the model")
    if not array.any():
        return array
    if array.ndim != 3 or array.shape[-1] != hidden:
        raise Refused(f"its first state has the shape {array.shape}")
    rows = array if layout else array.swapaxes(0, 1)
    if (rows != rows[:1]).any():
        raise Refused("its first state is a constant that differs from sequence to sequence")
    return rows[0]


def _turned(source: Made, time: Axis, layer: Any, roles: Roles) -> Any:
    """A layer along the axis that is its time, which need not be that of the model."""
    if roles.is_time(time):
        return layer
    axes = source.axes(roles)
    return along(
        axes.index(time) - len(axes), as_layer(layer) if isinstance(layer, Cell) else layer
    )


def _one(weights: Weights, place: int, back: bool, final: bool, turn: Any) -> Make:
    cell, params = weights.cells[place], weights.params[place]

    def make(roles: Roles) -> tuple[Any, Params]:
        layer = as_layer(cell, reverse=True) if back else cell
        return turn(final_state(as_layer(cell, back)) if final else layer, roles), params

    return make


def _pair(weights: Weights, final: bool, turn: Any, axis: Axis, hidden: Axis) -> Pair:
    def merged(merge: str) -> Make:
        def make(roles: Roles) -> tuple[Any, Params]:
            layer = bidirectional(weights.cells[0], weights.cells[1], merge)
            layer = turn(final_state(layer) if final else layer, roles)
            return layer, BidirectionalParams(*weights.params)

        return make

    def single(place: int) -> Make:
        return _one(weights, place, bool(place), final, turn)

    return Pair(merged, single, axis, hidden)
