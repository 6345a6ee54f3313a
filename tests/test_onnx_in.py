"""ONNX graphs as models: those that jaxnn writes, those of torch's exporter, and others."""

import io
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from compare import oracle
from hypothesis import given, settings
from onnx import TensorProto, helper, numpy_helper
from onnx_models import assert_equal, checked, example, feeds_for, filled, models, run

import jaxnn
from jaxnn.interop.onnx import from_model, initializers, load, save

XS = example(3)
IMAGE = example(9, 8, 4, leading=1)
HARD = jaxnn.activations.hard_sigmoid(0.3, 0.4)
SCALED = jaxnn.activations.scaled_tanh(1.2, 0.7)
PADDED, STATES = {"lengths": True, "states": True}, {"states": True}
SAME: dict[str, tuple[Any, np.ndarray, dict[str, bool]]] = {
    "elman": (jaxnn.elman(3, 4, jax.nn.relu), XS, PADDED),
    "lstm": (jaxnn.lstm(3, 4, activation=SCALED, gate_activation=HARD), XS, {}),
    "lstm, no bias": (jaxnn.lstm(3, 4, peephole=True, bias=False), XS, PADDED),
    "lstm, coupled": (jaxnn.lstm(3, 4, coupled=True, peephole=True), XS, PADDED),
    "gru": (jaxnn.gru(3, 4), XS, PADDED),
    "gru before": (jaxnn.gru(3, 4, reset_after=False), XS, {}),
    "learned": (jaxnn.learned_initial_state(jaxnn.lstm(3, 4)), XS, PADDED | {"states": False}),
    "reverse": (jaxnn.as_layer(jaxnn.gru(3, 4), reverse=True), XS, PADDED),
    "both": (jaxnn.bidirectional(jaxnn.lstm(3, 4)), XS, PADDED),
    "both, sum": (jaxnn.bidirectional(jaxnn.gru(3, 4), merge="sum"), XS, STATES),
    "both, product": (jaxnn.bidirectional(jaxnn.elman(3, 4), merge="product"), XS, {}),
    "ends": (jaxnn.final_state(jaxnn.bidirectional(jaxnn.gru(3, 4))), XS, {}),
    "stack": (
        jaxnn.stack(jaxnn.dense(3, 4), jaxnn.lstm(4, 4), jaxnn.residual(jaxnn.gru(4, 4))),
        XS,
        PADDED,
    ),
    "classifier": (
        jaxnn.serial(
            jaxnn.embedding(9, 3),
            jaxnn.bidirectional(jaxnn.lstm(3, 4)),
            jaxnn.pool_over_time("max"),
            jaxnn.layer_norm(8),
            jaxnn.dense(8, 2),
            jaxnn.activation(jax.nn.softmax),
        ),
        example(dtype=np.int32),
        {},
    ),
    "windows along time": (
        jaxnn.serial(
            jaxnn.along_time(jaxnn.conv(3, 4, (3,), padding="causal", dilation=2)),
            jaxnn.activation(jaxnn.activations.leaky_relu(0.3)),
            jaxnn.along_time(jaxnn.max_pool((2,))),
            jaxnn.as_layer(jaxnn.gru(4, 2)),
            jaxnn.pool_over_time("last"),
        ),
        XS,
        {},
    ),
    "images": (
        jaxnn.serial(
            jaxnn.conv(4, 6, (3, 2), stride=2, padding=1, groups=2, bias=False),
            jaxnn.activation(jaxnn.activations.clip(-1, 6)),
            jaxnn.average_pool((2, 2), padding=1),
            jaxnn.conv_transpose(6, 2, (3, 3), stride=(2, 1)),
            jaxnn.flatten(3),
            jaxnn.dense(70, 3),
        ),
        IMAGE,
        {},
    ),
    "global pool": (
        jaxnn.serial(jaxnn.conv(4, 6, (3, 3)), jaxnn.global_average_pool(3), jaxnn.dense(6, 3)),
        IMAGE,
        {},
    ),
    "side by side": (
        jaxnn.parallel(
            jaxnn.as_layer(jaxnn.gru(3, 2)),
            jaxnn.serial(jaxnn.dense(3, 2), jaxnn.activation(jnp.tanh)),
            merge="sum",
        ),
        XS,
        {},
    ),
}


def bits(params: Any) -> list[Any]:
    """The leaves, as they are."""
    return [
        (leaf.dtype, leaf.shape, np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(params)
    ]


@pytest.mark.parametrize("name", SAME)
def test_there_and_back_is_the_same_model_with_the_same_bits(name: str) -> None:
    model, x, options = SAME[name]
    params = filled(model)
    got = from_model(checked(model, params, x, **options))
    assert got.model is model
    assert jax.tree.structure(got.params) == jax.tree.structure(params)
    assert bits(got.params) == bits(params)
    assert got.input_axes == tuple(range(x.ndim))


def test_names_get_lost_and_a_projection_becomes_a_product() -> None:
    model = jaxnn.stack(jaxnn.lstm(3, 4, projection_size=2), jaxnn.dense(2, 2), names=("a", "b"))
    params = filled(model)
    proto = checked(model, params, XS)
    got = from_model(proto)
    assert str(got.model) == "stack(lstm(3, 4), dense(4, 2, bias=False), dense(2, 2))"
    again = checked(got.model, got.params, XS)
    feeds = feeds_for(proto)
    assert_equal(run(again, feeds), run(proto, feeds))


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(models())
def test_models_that_are_drawn(model: Any) -> None:
    """There, back and there again: the same function, and no number is lost."""
    params = filled(model)
    proto = checked(model, params, XS)
    got = from_model(proto)
    again = checked(got.model, got.params, XS.transpose(got.input_axes))
    feeds = feeds_for(proto)
    theirs, mine = run(proto, feeds), run(again, feeds)
    assert_equal({"ys": mine.popitem()[1].transpose(got.output_axes)}, theirs)
    assert sorted(bits(got.params), key=str) == sorted(bits(params), key=str)


# torch's exporter ---------------------------------------------------------------------------------


def torch_models(nn: Any, torch: Any) -> dict[str, tuple[Any, Any, str, tuple[int, ...]]]:
    """Modules, inputs, what they are in jaxnn, and the axes of the input."""

    class Read(nn.Module):
        def __init__(self, rnn: Any, read: Any) -> None:
            super().__init__()
            self.rnn, self.read, self.head = rnn, read, nn.Linear(8, 2)

        def forward(self, x: Any) -> Any:
            return self.read(self, *self.rnn(x))

    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.conv = nn.Embedding(9, 3), nn.Conv1d(3, 4, 3, padding=1)
            self.norm, self.rnn = nn.BatchNorm1d(4), nn.GRU(4, 5, batch_first=True)
            self.head = nn.Linear(5, 2)

        def forward(self, x: Any) -> Any:
            h = torch.relu(self.norm(self.conv(self.table(x).transpose(1, 2)))).transpose(1, 2)
            return torch.softmax(self.head(self.rnn(h)[0].mean(1)), -1)

    both: dict[str, Any] = {"num_layers": 2, "bidirectional": True, "batch_first": True}
    batch_first, time_first = (1, 0, 2), (0, 1, 2)
    image = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(16, 5), nn.GELU(),
    )  # fmt: skip
    gelu = (
        "parallel(activation(identity), serial(activation(Affine(slope=0.70710677, offset=0.0)), "
        "activation(erf), activation(Affine(slope=1.0, offset=1.0))), merge='product'), "
        "activation(Affine(slope=0.5, offset=0.0))"
    )
    return {
        "layers": (
            Read(nn.LSTM(3, 4, **both), lambda m, y, _: m.head(y)),
            torch.randn(2, 5, 3),
            "serial(bidirectional(lstm(3, 4), lstm(3, 4)), bidirectional(lstm(8, 4), lstm(8, 4)), "
            "dense(8, 2))",
            batch_first,
        ),
        "last states of both directions": (
            Read(nn.GRU(3, 4, **both), lambda m, _, h: m.head(torch.cat([h[-2], h[-1]], 1))),
            torch.randn(2, 5, 3),
            "serial(bidirectional(gru(3, 4), gru(3, 4)), final_state(bidirectional(gru(8, 4), "
            "gru(8, 4))), dense(8, 2))",
            batch_first,
        ),
        "last step": (
            Read(nn.RNN(3, 8, nonlinearity="relu", bias=False), lambda m, y, _: m.head(y[-1])),
            torch.randn(5, 2, 3),
            "serial(as_layer(elman(3, 8, activation=relu, bias=False)), pool_over_time('last'), "
            "dense(8, 2))",
            time_first,
        ),
        "words": (
            Words(),
            torch.randint(0, 9, (2, 5)),
            "serial(embedding(9, 3), along_time(conv(3, 4, (3,), padding=1)), activation(relu), "
            "as_layer(gru(4, 5)), pool_over_time('mean'), dense(5, 2), activation(softmax))",
            (1, 0),
        ),
        "images": (
            image,
            torch.randn(2, 3, 9, 8),
            "serial(conv(3, 4, (3, 3), stride=2, padding=1), activation(relu), "
            f"average_pool((2, 2)), flatten(3), dense(16, 5), {gelu})",
            (0, 2, 3, 1),
        ),
    }


TORCH = ("layers", "last states of both directions", "last step", "words", "images")


@pytest.mark.oracle
@pytest.mark.parametrize("name", TORCH)
def test_what_torch_exports(name: str) -> None:
    torch = oracle("torch")
    torch.manual_seed(0)
    module, x, model, axes = torch_models(torch.nn, torch)[name]
    file, sizes = io.BytesIO(), {0: "a", 1: "b"} if x.ndim < 4 else {0: "a"}
    names: dict[str, Any] = {"input_names": ["x"], "dynamic_axes": {"x": sizes}}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        module.eval()
        torch.onnx.export(module, (x,), file, dynamo=False, opset_version=17, **names)
        expected = module(x).numpy()
    got = from_model(onnx.load_from_string(file.getvalue()))
    assert (str(got.model), got.input_axes) == (model, axes)
    y = got.model.apply(got.params, jnp.asarray(x.numpy()).transpose(got.input_axes))
    np.testing.assert_allclose(y.transpose(got.output_axes), expected, atol=1e-6)


# Graphs that are written by hand ------------------------------------------------------------------


def graph_of(
    nodes: list[Any],
    tensors: dict[str, np.ndarray],
    inputs: dict[str, Any],
    outputs: tuple[str, ...],
) -> Any:
    """A model of opset 17 with inputs of open sizes, each its rank or shape."""
    kinds = {"lens": TensorProto.INT32}
    infos = [
        helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), shape)
        for name, shape in inputs.items()
    ]
    results = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs]
    arrays = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    graph = helper.make_graph(nodes, "by hand", infos, results, arrays)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def lstm_tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"W": (1, 16, 3), "R": (1, 16, 4), "B": (1, 32)}
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def test_another_layout_is_the_same_cell_with_its_axes_turned() -> None:
    """layout=1 has the batch first, in X, in Y and in the states."""
    tensors = lstm_tensors() | {"two": np.array([2], np.int64)}
    node = helper.make_node("LSTM", ["X", "W", "R", "B"], ["Y", "H"], hidden_size=4, layout=1)
    squeeze = helper.make_node("Squeeze", ["Y", "two"], ["y"])
    got = from_model(graph_of([node, squeeze], tensors, {"X": ["b", "t", 3]}, ("y", "H")))
    assert (str(got.model), got.input_axes, got.output_axes) == ("lstm(3, 4)", (1, 0, 2), (1, 0, 2))
    node = helper.make_node("LSTM", ["X", "W", "R", "B"], ["Y", "H"], hidden_size=4)
    squeeze = helper.make_node("Squeeze", ["Y", "two"], ["y"])
    tensors["two"] = np.array([1], np.int64)
    other = from_model(graph_of([node, squeeze], tensors, {"X": ["t", "b", 3]}, ("y", "H")))
    assert other.model is got.model and bits(other.params) == bits(got.params)


def test_constants_are_folded_and_defaults_are_those_of_onnx() -> None:
    """Weights that are cast, joined and transposed by nodes; a reset before, tanh and σ."""
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((6, n)).astype(np.float16) for n in (1, 2))
    kernel = rng.standard_normal((1, 2, 6)).astype(np.float32)
    value = numpy_helper.from_array(left)
    nodes = [
        helper.make_node("Constant", [], ["left"], value=value),
        helper.make_node("Concat", ["left", "right"], ["both"], axis=1),
        helper.make_node("Cast", ["both"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["wide", "zero"], ["W"]),
        helper.make_node("Transpose", ["kernel"], ["R"], perm=[0, 2, 1]),
        helper.make_node("GRU", ["X", "W", "R", "", "lens", "first"], ["", "H"], hidden_size=2),
        helper.make_node("Identity", ["H"], ["state"]),
        helper.make_node("Squeeze", ["state", "zero"], ["y"]),
    ]
    tensors = {"right": right, "kernel": kernel, "zero": np.array([0], np.int64)}
    inputs = {"X": ["t", "b", 3], "lens": ["b"], "first": [1, "b", 2]}
    got = from_model(graph_of(nodes, tensors, inputs, ("y",)))
    cell = jaxnn.gru(3, 2, reset_after=False, bias=False)
    assert got.model is jaxnn.final_state(jaxnn.as_layer(cell))
    order = [1, 0, 2]  # z, r, h there and r, z, n here
    wide = np.concatenate([left, right], 1).astype(np.float32).reshape(3, 2, 3)[order]
    np.testing.assert_array_equal(got.params.input_kernel, wide.transpose(2, 0, 1))
    rows = kernel[0].reshape(2, 3, 2)[:, order]
    np.testing.assert_array_equal(got.params.recurrent_kernel, rows)


def test_weights_by_name() -> None:
    tensors = lstm_tensors()
    node = helper.make_node("LSTM", ["X", *tensors], ["Y"], hidden_size=4)
    found = initializers(graph_of([node], tensors, {"X": ["t", "b", 3]}, ("Y",)))
    assert {name: array.tobytes() for name, array in found.items()} == {
        name: array.tobytes() for name, array in tensors.items()
    }


def by_hand(*nodes: Any, outputs: tuple[str, ...] = ("y",), **tensors: Any) -> Any:
    """A graph whose first input is X `(t, b, 3)`."""
    given = {name: np.asarray(value) for name, value in tensors.items()}
    inputs = {"X": ["t", "b", 3], "Z": ["t", "b", 3], "F": []}
    return graph_of(list(nodes), lstm_tensors() | given, inputs, outputs)


def lstm_node(output: str = "Y", **options: Any) -> Any:
    return helper.make_node("LSTM", ["X", "W", "R", "B"], [output], hidden_size=4, **options)


EMPTY = helper.make_graph([], "empty", [], [])
ONE, NODE = np.array([1], np.int64), helper.make_node
SQUEEZED = NODE("Squeeze", ["Y", "one"], ["y"])
REFUSED: dict[str, tuple[Any, tuple[str, ...]]] = {
    "every node, by its name": (
        by_hand(
            NODE("Sin", ["X"], ["a"]),
            NODE("Einsum", ["a"], ["b"], name="first", equation="abc->acb"),
            NODE("Det", ["X"], ["d"], name="second"),
            NODE("Add", ["b", "d"], ["y"]),
        ),
        ("first (Einsum)", "second (Det)", "no part"),
    ),
    "clip": (by_hand(lstm_node(clip=3.0), SQUEEZED, one=ONE), ("LSTM", "clip")),
    "activations": (
        by_hand(lstm_node(activations=["Sigmoid", "Tanh", "Relu"]), SQUEEZED, one=ONE),
        ("LSTM", "activations"),
    ),
    "an unknown activation": (
        by_hand(lstm_node(activations=["Sigmoid", "Cosh", "Cosh"]), SQUEEZED, one=ONE),
        ("Cosh",),
    ),
    "directions that are not merged": (
        graph_of(
            [NODE("LSTM", ["X", "V", "S"], ["y"], hidden_size=4, direction="bidirectional")],
            {"V": np.ones((2, 16, 3), np.float32), "S": np.ones((2, 16, 4), np.float32)},
            {"X": ["t", "b", 3]},
            ("y",),
        ),
        ("two directions", "not merged"),
    ),
    "several outputs": (
        by_hand(
            NODE("Tanh", ["X"], ["y"]), NODE("Relu", ["X"], ["z"]), outputs=("y", "z")
        ),
        ("y and z", "output="),
    ),
    "two inputs": (by_hand(NODE("Add", ["X", "Z"], ["y"])), ("Add",)),
    "weights that are computed": (
        by_hand(NODE("Transpose", ["Z"], ["V"]), NODE("MatMul", ["X", "V"], ["y"])),
        ("MatMul", "another one, Z"),
    ),
    "other axes than the features": (
        by_hand(NODE("Softmax", ["X"], ["y"], axis=0)), ("Softmax", "another axis")
    ),
    "a constant that has no place": (
        by_hand(NODE("Add", ["X", "row"], ["y"]), row=np.ones(3, np.float32)), ("Add", "(3,)")
    ),
    "a first state that is computed": (
        by_hand(
            NODE("Tanh", ["Z"], ["h"]),
            NODE("LSTM", ["X", "W", "R", "B", "", "h"], ["Y"], hidden_size=4),
            SQUEEZED,
            one=ONE,
        ),
        ("LSTM", "first state"),
    ),
    "what chooses by another input": (
        by_hand(
            NODE("Greater", ["Z", "zero"], ["flag"]),
            NODE("Where", ["flag", "X", "zero"], ["y"]),
            zero=np.zeros((), np.float32),
        ),
        ("Where", "another input, Z"),
    ),
    "a mean over padding": (
        graph_of(
            [
                NODE("LSTM", ["X", "W", "R", "B", "lens"], ["Y"], hidden_size=4),
                NODE("ReduceMean", ["Y"], ["y"], axes=[0]),
            ],
            lstm_tensors(),
            {"X": ["t", "b", 3], "lens": ["b"]},
            ("y",),
        ),
        ("ReduceMean", "padding"),
    ),
    "random numbers": (
        by_hand(NODE("RandomNormal", [], ["r"], shape=[1]), NODE("Add", ["X", "r"], ["y"])),
        ("RandomNormal", "random"),
    ),
    "dropout in training": (
        by_hand(
            NODE("Dropout", ["X", "rate", "on"], ["y"]), rate=np.float32(0.5), on=np.array(True)
        ),
        ("Dropout", "at random"),
    ),
    "what reads a final state": (
        by_hand(lstm_node(), NODE("LSTM", ["X", "W", "R"], ["", "h"], hidden_size=4),
                NODE("Det", ["h"], ["y"], name="last")),
        ("last (Det)", "no part"),
    ),
    "a softmax over all behind the batch, as it once was": (
        helper.make_model(
            by_hand(NODE("Softmax", ["X"], ["y"])).graph,
            opset_imports=[helper.make_opsetid("", 11)],
        ),
        ("Softmax", "another axis"),
    ),
    "an old model": (
        helper.make_model(
            by_hand(NODE("Add", ["X", "X"], ["y"])).graph,
            opset_imports=[helper.make_opsetid("", 6)],
        ),
        ("opset 6", "version_converter"),
    ),
    "a loop": (
        by_hand(
            NODE("Scan", ["X"], ["y"], num_scan_inputs=1, body=helper.make_graph([], "b", [], []))
        ),
        ("Scan", "graph of its own"),
    ),
    "a branch": (
        by_hand(
            NODE("Not", ["F"], ["no"]),
            NODE("If", ["no"], ["y"], name="branch", then_branch=EMPTY, else_branch=EMPTY),
        ),
        ("branch (If)", "graph of its own"),
    ),
    "operators of somebody else": (
        by_hand(NODE("LSTM", ["X"], ["y"], domain="com.example")), ("com.example",)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_jaxnn_has_no_part_for_is_refused_by_name(name: str) -> None:
    proto, words = REFUSED[name]
    with pytest.raises(ValueError) as caught:
        from_model(proto)
    for word in ("from_model", *words):
        assert word in str(caught.value)


def test_one_of_several_outputs_is_chosen_by_name() -> None:
    proto = by_hand(
        NODE("Tanh", ["X"], ["y"]), NODE("Det", ["X"], ["z"]), outputs=("z", "y")
    )  # fmt: skip
    assert from_model(proto, output="y").model is jaxnn.activation(jnp.tanh)
    with pytest.raises(ValueError, match=r"output must be one of \['z', 'y'\]"):
        from_model(proto, output="X")


def test_files(tmp_path: Any) -> None:
    cell = jaxnn.gru(3, 4)
    params = filled(cell)
    save(tmp_path / "gru.onnx", cell, params, XS)
    got = load(tmp_path / "gru.onnx")
    assert got.model is cell and bits(got.params) == bits(params)
    (tmp_path / "none.onnx").write_bytes(b"\xff\xff\xff no model")
    with pytest.raises(ValueError, match="no ONNX file"):
        load(tmp_path / "none.onnx")
    with pytest.raises(FileNotFoundError):
        save(tmp_path / "nowhere" / "gru.onnx", cell, params, XS)
