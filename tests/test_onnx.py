"""onnxruntime's recurrent operators as an oracle for values; its kernels are float32."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest
from compare import assert_close, random_like
from onnx import TensorProto, helper

import jaxnn

TIME, BATCH, INPUT, HIDDEN = 6, 4, 3, 5
LENGTHS = (6, 3, 0, 1)
TOLERANCE = 1e-5


class Operator(NamedTuple):
    """An ONNX operator: its weights for some params, its options, and whether it has a c.

    The activation, where it is not left at its default, stands once for each direction.
    """

    name: str
    weights: Callable[[Any], dict[str, np.ndarray]]
    options: dict[str, int]
    activation: str | None = None
    has_cell: bool = False


def flat(gates: list[Any]) -> np.ndarray:
    """ONNX's layout of kernels, `(gates · hidden, rows)`, from one `(rows, hidden)` a gate."""
    return np.concatenate([np.asarray(gate).T for gate in gates])


def biases(ours: list[Any], recurrent: list[Any] | None = None) -> np.ndarray:
    """The input biases, then the recurrent ones; where these only add up, some part of the sum."""
    if recurrent is None:
        rng = np.random.default_rng(90)
        recurrent = [rng.standard_normal(HIDDEN).astype(np.float32) for _ in ours]
        ours = [np.asarray(b) - part for b, part in zip(ours, recurrent, strict=True)]
    return np.concatenate([*map(np.asarray, ours), *map(np.asarray, recurrent)])


def elman_weights(params: jaxnn.ElmanParams) -> dict[str, np.ndarray]:
    """W, R and B of the operator RNN."""
    weights = {"W": flat([params.input_kernel[:, 0]]), "R": flat([params.recurrent_kernel[:, 0]])}
    if params.bias is not None:
        weights["B"] = biases([params.bias[0]])
    return weights


def lstm_weights(params: jaxnn.LSTMParams) -> dict[str, np.ndarray]:
    """W, R and B in ONNX's order i, o, f, c, and P in its order i, o, f."""
    order = [jaxnn.LSTM_GATES.index(gate) for gate in ("i", "o", "f", "g")]
    weights = {
        "W": flat([params.input_kernel[:, gate] for gate in order]),
        "R": flat([params.recurrent_kernel[:, gate] for gate in order]),
    }
    if params.bias is not None:
        weights["B"] = biases([params.bias[gate] for gate in order])
    if params.peephole is not None:
        i, f, o = np.asarray(params.peephole)
        weights["P"] = np.concatenate([i, o, f])
    return weights


def coupled_weights(params: jaxnn.LSTMParams) -> dict[str, np.ndarray]:
    """The operator couples f = 1 − i, so its i is our negated f: σ(−a) = 1 − σ(a).

    Its own f is then never read: here it is large, so that reading it would be seen.
    """
    f, g, o = (jaxnn.COUPLED_LSTM_GATES.index(gate) for gate in ("f", "g", "o"))

    def ordered(gates: Any) -> list[Any]:
        return [-gates[f], gates[o], 10 + 0 * gates[f], gates[g]]

    weights = {
        "W": flat(ordered(jnp.moveaxis(params.input_kernel, 1, 0))),
        "R": flat(ordered(jnp.moveaxis(params.recurrent_kernel, 1, 0))),
    }
    if params.bias is not None:
        weights["B"] = biases(ordered(params.bias))
    if params.peephole is not None:
        f, o = np.asarray(params.peephole)
        weights["P"] = np.concatenate([-f, o, 10 + 0 * f])
    return weights


def gru_weights(params: jaxnn.GRUParams) -> dict[str, np.ndarray]:
    """W, R and B in ONNX's order z, r, h; both keep the state where z is 1."""
    order = [jaxnn.GRU_GATES.index(gate) for gate in ("z", "r", "n")]
    weights = {
        "W": flat([params.input_kernel[:, gate] for gate in order]),
        "R": flat([params.recurrent_kernel[:, gate] for gate in order]),
    }
    if params.bias is not None:
        ours = [params.bias[gate] for gate in order]
        if params.recurrent_bias is None:
            weights["B"] = biases(ours)
        else:
            # r multiplies the recurrent bias of n, which therefore cannot be moved.
            none = jnp.zeros_like(params.recurrent_bias)
            weights["B"] = biases(ours, [none, none, params.recurrent_bias])
    return weights


RNN = Operator("RNN", elman_weights, {})
RELU = Operator("RNN", elman_weights, {}, activation="Relu")
LSTM = Operator("LSTM", lstm_weights, {}, has_cell=True)
COUPLED = Operator("LSTM", coupled_weights, {"input_forget": 1}, has_cell=True)
GRU_AFTER = Operator("GRU", gru_weights, {"linear_before_reset": 1})
GRU_BEFORE = Operator("GRU", gru_weights, {"linear_before_reset": 0})

SIZES = (INPUT, HIDDEN)
CELLS = {
    "elman": (jaxnn.elman(*SIZES), RNN),
    "elman_relu": (jaxnn.elman(*SIZES, activation=jax.nn.relu), RELU),
    "elman_no_bias": (jaxnn.elman(*SIZES, bias=False), RNN),
    "lstm": (jaxnn.lstm(*SIZES), LSTM),
    "lstm_no_bias": (jaxnn.lstm(*SIZES, bias=False), LSTM),
    "lstm_peephole": (jaxnn.lstm(*SIZES, peephole=True), LSTM),
    "lstm_coupled": (jaxnn.lstm(*SIZES, coupled=True), COUPLED),
    "lstm_coupled_peephole": (jaxnn.lstm(*SIZES, coupled=True, peephole=True), COUPLED),
    "gru_after": (jaxnn.gru(*SIZES), GRU_AFTER),
    "gru_after_no_bias": (jaxnn.gru(*SIZES, bias=False), GRU_AFTER),
    "gru_before": (jaxnn.gru(*SIZES, reset_after=False), GRU_BEFORE),
    "gru_before_no_bias": (jaxnn.gru(*SIZES, reset_after=False, bias=False), GRU_BEFORE),
}
CASES = [
    pytest.param(name, direction, lengths, id=f"{name}-{direction}-{label}")
    for name in CELLS
    for direction in ("forward", "reverse", "bidirectional")
    for label, lengths in (("full", None), ("lengths", LENGTHS))
    # Another activation, or no bias, has nothing to do with directions and lengths.
    if not name.endswith(("relu", "no_bias")) or (direction, label) == ("forward", "full")
]


def run_onnx(
    operator: Operator,
    direction: str,
    params: tuple[Any, ...],
    xs: jax.Array,
    states: tuple[Any, ...],
    lengths: tuple[int, ...] | None,
) -> list[np.ndarray]:
    """Y `(time, directions, batch, hidden)`, and the final h and c, without the time."""
    each = [operator.weights(p) for p in params]
    inputs = {name: np.stack([weights[name] for weights in each]) for name in each[0]}
    inputs["X"] = np.asarray(xs)
    if lengths is not None:
        inputs["sequence_lens"] = np.array(lengths, np.int32)
    inputs["initial_h"] = np.stack([np.asarray(state.hidden) for state in states])
    outputs = ["Y", "Y_h"]
    if operator.has_cell:
        inputs["initial_c"] = np.stack([np.asarray(state.cell) for state in states])
        outputs.append("Y_c")
    positions = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
    # An optional input is left out by an empty name, and altogether after the last one given.
    names = [name if name in inputs else "" for name in positions]
    while not names[-1]:
        names.pop()
    attributes: dict[str, Any] = {"direction": direction, "hidden_size": HIDDEN} | operator.options
    if operator.activation is not None:
        attributes["activations"] = [operator.activation] * len(params)
    node = helper.make_node(operator.name, names, outputs, **attributes)
    graph = helper.make_graph(
        [node],
        "cell",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
            )
            for name, value in inputs.items()
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
    )
    # Version 14 of the operators, and a file format that older runtimes can read too.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return [np.asarray(output) for output in session.run(outputs, inputs)]


@pytest.mark.parametrize(("name", "direction", "lengths"), CASES)
def test_values_are_those_of_onnxruntime(
    name: str, direction: str, lengths: tuple[int, ...] | None
) -> None:
    """Outputs and final states, from random params and random initial states."""
    cell, operator = CELLS[name]
    shapes = jax.eval_shape(cell.init, jax.random.key(0))
    directions = 2 if direction == "bidirectional" else 1
    params = tuple(random_like(shapes, seed) for seed in range(directions))
    shapes = cell.initial_state(params[0], (BATCH,))
    states = tuple(random_like(shapes, 10 + seed) for seed in range(directions))
    xs = random_like(jax.ShapeDtypeStruct((TIME, BATCH, INPUT), jnp.float32), 20, scale=1.0)
    mask = None if lengths is None else jaxnn.lengths_to_mask(jnp.array(lengths), TIME)

    if directions == 2:
        layer = jaxnn.bidirectional(cell)
        both = jaxnn.BidirectionalParams(*params)
        ours, ys = layer.unroll(both, xs, states, mask)
        ys = jnp.stack(jnp.split(ys, 2, axis=-1), axis=1)
    else:
        state, ys = cell.unroll(params[0], xs, states[0], mask, None, direction == "reverse")
        ours, ys = (state,), ys[:, None]
    expected, *finals = run_onnx(operator, direction, params, xs, states, lengths)

    assert_close(ys, expected, TOLERANCE)
    fields = ("hidden", "cell") if operator.has_cell else ("hidden",)
    empty = np.array(lengths or LENGTHS[:1] * BATCH) == 0
    for field, final in zip(fields, finals, strict=True):
        mine = np.stack([np.asarray(getattr(state, field)) for state in ours])
        first = np.stack([np.asarray(getattr(state, field)) for state in states])
        # Of a sequence without a step onnx gives zeros; here it returns the state it was given.
        assert not final[:, empty].any()
        assert_close(mine, np.where(empty[:, None], first, final), TOLERANCE)
