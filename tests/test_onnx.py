"""Models as ONNX graphs give what they give in jaxnn: onnxruntime is the oracle, in float32."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from onnx_models import (
    LENGTHS,
    assert_equal,
    assert_same_function,
    checked,
    example,
    feeds_for,
    filled,
    models,
    operators,
    ours,
    run,
)
from rows import problem

import jaxnn
from jaxnn.interop.onnx import to_model

HARD = jaxnn.activations.hard_sigmoid(0.2)
CELLS: dict[str, jaxnn.Cell] = {
    "elman": jaxnn.elman(3, 5),
    "elman relu no bias": jaxnn.elman(3, 5, jax.nn.relu, bias=False),
    "lstm": jaxnn.lstm(3, 5),
    "lstm peephole": jaxnn.lstm(3, 5, peephole=True, bias=False),
    "lstm coupled": jaxnn.lstm(3, 5, coupled=True, gate_activation=HARD),
    "lstm coupled peephole": jaxnn.lstm(3, 5, coupled=True, peephole=True),
    "gru after": jaxnn.gru(3, 5, gate_activation=HARD, activation=jaxnn.activations.elu(0.3)),
    "gru before": jaxnn.gru(3, 5, reset_after=False),
}
NATIVE = {"elman": "RNN", "lstm": "LSTM", "gru": "GRU"}
XS = example(3)


@pytest.mark.parametrize("direction", ["forward", "both"])
@pytest.mark.parametrize("name", CELLS)
def test_cells_with_an_operator(name: str, direction: str) -> None:
    """With lengths, an empty sequence among them, and first and final states."""
    cell = CELLS[name]
    model = cell if direction == "forward" else jaxnn.bidirectional(cell)
    proto = assert_same_function(model, XS, lengths=True, states=True)
    assert NATIVE[name.split()[0]] in operators(proto) and "Scan" not in operators(proto)


def test_the_other_direction_and_other_merges() -> None:
    cell = jaxnn.gru(3, 5)
    layers = [jaxnn.bidirectional(cell, merge=merge) for merge in ("sum", "mean", "product")]
    proto = assert_same_function(jaxnn.parallel(jaxnn.as_layer(cell, True), *layers), XS)
    assert operators(proto).count("GRU") == 4 and "Scan" not in operators(proto)


def test_two_kinds_of_cells_are_two_operators() -> None:
    layer = jaxnn.bidirectional(jaxnn.lstm(3, 4), jaxnn.gru(3, 4), merge=jnp.maximum)
    proto = assert_same_function(layer, XS, lengths=True, states=True)
    assert {"LSTM", "GRU"} <= set(operators(proto))


def test_a_projection_is_folded() -> None:
    layer = jaxnn.bidirectional(jaxnn.lstm(3, 5, projection_size=2))
    assert "LSTM" in operators(assert_same_function(layer, XS))
    cell = jaxnn.lstm(3, 5, projection_size=2)
    assert "Scan" in operators(assert_same_function(cell, XS, states=True))


@pytest.mark.parametrize("make", [jaxnn.lstm, jaxnn.gru])
def test_no_operator_has_a_layer_norm(make: Any) -> None:
    proto = assert_same_function(make(3, 5, layer_norm=True), XS, lengths=True)
    assert "Scan" in operators(proto)


SCANNED = (
    "lstm projected, with hard gates", "gru reset before", "mgu", "conv lstm peephole",
    "own with key", "own linear of pairs", "split that mixes units", "min lstm", "rg lru block",
    "indrnn", "qrnn", "s5", "s6", "lru", "causal conv", "mamba block", "emitting lstm",
    "learned in stack in residual", "variational dropout of zoneout",
)  # fmt: skip


@pytest.mark.parametrize("row", SCANNED)
def test_every_other_cell_is_a_loop_over_its_step(row: str) -> None:
    """With arbitrary masks and resets, which no operator has."""
    case = problem(row, jnp.float32)
    options = {"mask": True, "reset": True, "states": True}
    proto = checked(case.cell, case.params, case.xs, **options)
    feeds = feeds_for(proto)
    assert_equal(run(proto, feeds), ours(case.cell, case.params, feeds))
    assert "Scan" in operators(proto)


def test_masks_and_resets_in_reverse() -> None:
    layer = jaxnn.bidirectional(jaxnn.learned_initial_state(jaxnn.gru(3, 4)))
    assert_same_function(layer, XS, mask=True, reset=True, states=True)


def test_parameters_of_16_bits_are_written_as_they_are_used() -> None:
    cell = jaxnn.lstm(3, 4, projection_size=2, param_dtype=jnp.bfloat16)
    assert "LSTM" in operators(assert_same_function(jaxnn.stack(cell, jaxnn.dense(2, 2)), XS))


def test_float64_runs_as_a_loop() -> None:
    """onnxruntime has the operators in float32 only."""
    cell = jaxnn.gru(3, 4, dtype=jnp.float64)
    assert "Scan" in operators(assert_same_function(cell, XS.astype(np.float64)))


@pytest.mark.parametrize("name", ["lstm", "min lstm"])
def test_steps_one_by_one_are_the_sequence(name: str) -> None:
    cell = problem(name, jnp.float32).cell
    model = jaxnn.stack(jaxnn.dense(3, 3), cell, jaxnn.activation(jnp.tanh))
    params = filled(model)
    whole = checked(model, params, XS, states=True)
    step = checked(model, params, XS[0], step=True)
    feeds = feeds_for(whole)
    expected, state, ys = run(whole, feeds), dict(feeds), []
    for x in feeds["xs"]:
        found = run(step, state | {"x": x})
        ys.append(found.pop("y"))
        state |= {name.removeprefix("new_"): value for name, value in found.items()}
    assert_equal({"ys": np.stack(ys)}, {"ys": expected["ys"]})
    last = {name: state[name.removeprefix("new_")] for name in expected if name != "ys"}
    assert_equal(last, {name: expected[name] for name in last})


def test_a_step_with_a_mask_and_a_reset() -> None:
    cell = jaxnn.gru(3, 4)
    params = filled(cell)
    proto = checked(cell, params, XS[0], step=True, mask=True, reset=True)
    feeds = feeds_for(proto)
    given = jaxnn.GRUState(jnp.asarray(feeds["state.hidden"]))
    mask, reset = (feeds[name][None] for name in ("mask", "reset"))
    final, ys = cell.unroll(params, feeds["x"][None], given, mask, reset)
    expected = {"y": np.asarray(ys[0]), "new_state.hidden": np.asarray(final.hidden)}
    assert_equal(run(proto, feeds), expected)


IMAGE = example(9, 8, 4, leading=1)
LAYERS: dict[str, tuple[Any, np.ndarray]] = {
    "conv": (jaxnn.conv(4, 6, (3, 2), padding="same", stride=2, groups=2), IMAGE),
    "conv, dilated": (jaxnn.conv(4, 6, (3, 3), padding=1, dilation=2, bias=False), IMAGE),
    "conv_transpose": (jaxnn.conv_transpose(4, 6, (3, 2), stride=(2, 5), groups=2), IMAGE),
    "conv_transpose, same": (jaxnn.conv_transpose(4, 3, (3, 3), 2, "same"), IMAGE),
    "max_pool": (jaxnn.max_pool((2, 3), padding=1), IMAGE),
    "average_pool": (jaxnn.average_pool((3, 2), stride=2, padding="same"), IMAGE),
    "global_average_pool": (jaxnn.global_average_pool(3), IMAGE),
    "flatten": (jaxnn.flatten(3), IMAGE),
    "group_norm": (jaxnn.group_norm(4, 2, 3), IMAGE),
    "layer_norm": (jaxnn.layer_norm(4), example(4)),
    "embedding": (jaxnn.embedding(3, 2), example(dtype=np.int32)),
    "mlp": (jaxnn.mlp((4, 3, 2), output_activation=jax.nn.softmax), example(4)),
    "reshape": (jaxnn.serial(jaxnn.reshape(1, (2, 2)), jaxnn.dropout(0.5)), example(4)),
    "residual": (jaxnn.residual(jaxnn.dense(4, 4, bias="shared")), example(4)),
    "along two axes": (
        jaxnn.serial(
            jaxnn.along(-3, jaxnn.bidirectional(jaxnn.gru(4, 2))),
            jaxnn.along(-2, jaxnn.as_layer(jaxnn.lstm(4, 3), reverse=True)),
        ),
        IMAGE,
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    layer, x = LAYERS[name]
    assert "Scan" not in operators(assert_same_function(layer, x))


@pytest.mark.parametrize("pool", ["mean", "max", "last"])
def test_windows_and_pooling_over_padded_sequences(pool: str) -> None:
    """A masked step is padding for a window, and nothing for a mean."""
    layers = [
        jaxnn.along_time(jaxnn.conv(3, 4, (3,), padding="causal", dilation=2)),
        jaxnn.along_time(jaxnn.max_pool((3,), 1, "same")),
        jaxnn.along_time(jaxnn.average_pool((2,), 1, "same")),
        jaxnn.as_layer(jaxnn.elman(4, 2)),
        jaxnn.pool_over_time(pool),
    ]
    assert_same_function(jaxnn.serial(*layers), XS, lengths=True)


def test_what_sequences_end_with() -> None:
    ends = [
        jaxnn.final_state(jaxnn.bidirectional(jaxnn.lstm(3, 4), merge="sum")),
        jaxnn.final_state(jaxnn.as_layer(jaxnn.stack(jaxnn.dense(3, 2), jaxnn.gru(2, 4)), True)),
    ]
    model = jaxnn.serial(jaxnn.parallel(*ends), jaxnn.dense(8, 2), names=("ends", "head"))
    assert_same_function(model, XS, lengths=True, states=True)


FUNCTIONS: dict[str, Any] = {
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "log_softmax": jax.nn.log_softmax,
    "standardize": jax.nn.standardize,
    "glu": jax.nn.glu,
    "clip": jaxnn.activations.clip(-1, 0.5),
    "scaled_tanh": jaxnn.activations.scaled_tanh(1.7, 0.6),
    "log1p near zero": lambda x: 1e8 * jnp.log1p(1e-8 * jnp.square(x)) + jnp.log1p(x * x),
    "expm1 near zero": lambda x: 1e8 * jnp.expm1(1e-8 * x) + jnp.expm1(x),
    "comparisons": lambda x: jnp.where((x > 0.1) & ~(x >= 1) | (x != x), x**3, 2.0**x),
    "moves": lambda x: jnp.roll(x[..., ::-1], 1, -1)[..., jnp.array([2, 0, 1])] - x[..., 1:2],
    "sums": lambda x: jnp.cumsum(x, -1) * jax.lax.rsqrt(jnp.max(x * x, -1, keepdims=True)),
    "products": lambda x: jnp.einsum("...i,...j->...ij", x, x) @ jnp.ones((4, 1), x.dtype) @ (
        jnp.ones((1, 1), x.dtype)
    )[..., 0],
    "steps": lambda x: x + jnp.arange(4, dtype=x.dtype).reshape((1,) * (x.ndim - 1) + (4,)),
    "rounding": lambda x: jnp.round(3 * x) + jnp.floor(x) + jnp.sign(x) * jnp.clip(x, -1, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_by_their_equations(name: str) -> None:
    assert_same_function(jaxnn.activation(FUNCTIONS[name]), example(4))


@settings(max_examples=6, deadline=None, derandomize=True, database=None)
@given(models())
def test_models_that_are_drawn(model: Any) -> None:
    """Padded, all of them."""
    assert_same_function(model, XS, lengths=True)


def test_padding_that_is_nan_reaches_nothing() -> None:
    model = jaxnn.stack(jaxnn.dense(3, 3), jaxnn.lstm(3, 4), residual=True)
    params = filled(model)
    proto = checked(model, params, XS, lengths=True)
    feeds = feeds_for(proto)
    expected = run(proto, feeds)
    for row, length in enumerate(LENGTHS):
        feeds["xs"][length:, row] = np.nan
    assert_equal(run(proto, feeds), expected)


def test_sizes_are_open_or_those_of_the_example() -> None:
    cell = jaxnn.gru(3, 4)
    protos = (checked(cell, filled(cell), XS, dynamic=dynamic) for dynamic in (True, False))
    shapes = [proto.graph.input[0].type.tensor_type.shape for proto in protos]
    dims = [[each.dim_param or each.dim_value for each in shape.dim] for shape in shapes]
    assert dims == [["time", "batch", 3], [5, 3, 3]]


def test_a_batch_of_two_axes_and_of_none() -> None:
    model = jaxnn.bidirectional(jaxnn.lstm(3, 4))
    assert_same_function(model, np.zeros((5, 3, 2, 3), np.float32))
    assert_same_function(model, np.zeros((5, 3), np.float32))


def test_constants_are_written_once_and_nothing_that_is_not_read() -> None:
    cell = jaxnn.gru(3, 4)
    both = jaxnn.parallel(jaxnn.as_layer(cell), jaxnn.as_layer(cell))
    params = filled(cell)
    proto = checked(both, (params, params), XS)
    sizes = sorted(int(np.prod(each.dims)) for each in proto.graph.initializer)
    assert [size for size in sizes if size > 4] == [24, 36, 48]


def spectrum(x: jax.Array) -> jax.Array:
    """Through complex numbers."""
    return jnp.abs(jnp.fft.fft(x))


REFUSED: dict[str, tuple[Any, dict[str, bool], tuple[str, ...]]] = {
    "every fault, with its path": (
        jaxnn.serial(
            jaxnn.activation(jnp.sort),
            jaxnn.parallel(jaxnn.as_layer(jaxnn.gru(3, 2)), jaxnn.activation(spectrum)),
        ),
        {},
        ("model/0: activation(sort)", "sort", "model/1/1: activation(spectrum)", "complex"),
    ),
    "a cell of ones own that no operator has": (
        jaxnn.stack(
            jaxnn.cell(
                lambda key: jnp.ones(3, jnp.float32),
                lambda p, s, x: (jnp.sort(s + x * p[0]), s),
                lambda p, batch=(): jnp.zeros((*batch, 3), jnp.float32),
            )
        ),
        {},
        ("model/0", "sort", "leave this part outside"),
    ),
    "resets of what looks along time": (
        jaxnn.serial(jaxnn.as_layer(jaxnn.gru(3, 2)), jaxnn.pool_over_time("mean")),
        {"reset": True},
        ("model/1", "pool_over_time('mean')", "reset"),
    ),
    "a stride along open time": (
        jaxnn.along_time(jaxnn.conv(3, 2, (3,), stride=2, padding="same")),
        {},
        ("along_time", "dynamic=False"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_operator_is_refused_by_name(name: str) -> None:
    model, options, words = REFUSED[name]
    with pytest.raises(ValueError) as caught:
        to_model(model, filled(model), XS, **options)
    for word in ("to_model", *words):
        assert word in str(caught.value)


def test_the_example_is_checked_by_the_model() -> None:
    cell = jaxnn.gru(3, 4)
    with pytest.raises(ValueError, match=r"gru\(3, 4\).*3 features"):
        to_model(cell, filled(cell), example(2))
    with pytest.raises((ValueError, TypeError), match="params"):
        to_model(cell, filled(jaxnn.gru(3, 5)), XS)


@pytest.mark.parametrize("name", ["stack", "residual", "rg lru", "learned", "conv lstm"])
def test_models_are_traced_where_jnp_shape_is_another(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is under jax2onnx, which gives it a result that is no tuple and has no truth value."""

    class Sizes:
        def __bool__(self) -> bool:
            raise AssertionError("jnp.shape was asked")

        def __eq__(self, other: object) -> Any:
            raise AssertionError("jnp.shape was asked")

        __ne__ = __iter__ = __getitem__ = __len__ = __eq__

    case = problem(name, jnp.float32)
    monkeypatch.setattr(jnp, "shape", lambda x: Sizes())
    xs = jax.ShapeDtypeStruct((17, *case.xs.shape[1:]), case.xs.dtype)
    mask = jax.ShapeDtypeStruct((17, *case.mask.shape[1:]), jnp.bool_)
    jax.eval_shape(lambda p, x, m: case.cell.unroll(p, x, None, m, m), case.params, xs, mask)
