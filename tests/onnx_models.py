"""Models as ONNX graphs, run by onnxruntime, and a way to draw such models."""

from typing import Any

import jax
import numpy as np
import onnx
import onnxruntime
from compare import random_like
from hypothesis import strategies as st

import jaxnn
from jaxnn.interop.onnx import to_model

SIZES = {"time": 6, "batch": 4, "batch_1": 2, "batch_2": 5}
LENGTHS = np.array([6, 3, 0, 1], np.int32)
TOLERANCE = 1e-5


def example(*event: int, dtype: Any = np.float32, leading: int = 2) -> np.ndarray:
    """An input for `to_model`, of other sizes than those it is run with."""
    return np.zeros((5, 3)[:leading] + event, dtype)


def filled(model: Any, seed: int = 0) -> Any:
    """Parameters of which none is zero."""
    return random_like(jax.eval_shape(model.init, jax.random.key(0)), seed)


def checked(model: Any, params: Any, x: Any, **options: bool) -> Any:
    """What `to_model` gives, once ONNX's own checker has seen it."""
    proto = to_model(model, params, x, **options)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def run(proto: Any, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs of a graph by name, from those of the feeds that it takes."""
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [each.name for each in session.get_outputs()]
    given = {each.name: feeds[each.name] for each in session.get_inputs()}
    return {
        name: np.asarray(value)
        for name, value in zip(names, session.run(names, given), strict=True)
    }


def feeds_for(proto: Any, seed: int = 1) -> dict[str, np.ndarray]:
    """Random inputs of a graph."""
    rng, feeds = np.random.default_rng(seed), {}
    for each in proto.graph.input:
        kind = each.type.tensor_type
        shape: Any = [SIZES.get(dim.dim_param, dim.dim_value) for dim in kind.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        if each.name == "lengths":
            feeds[each.name] = LENGTHS
        elif dtype == np.bool_:
            feeds[each.name] = rng.random(shape) < 0.6
        elif np.issubdtype(dtype, np.integer):
            feeds[each.name] = rng.integers(0, 3, shape).astype(dtype)
        else:
            feeds[each.name] = rng.standard_normal(shape).astype(dtype)
    return feeds


def ours(model: Any, params: Any, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What jaxnn gives for the inputs of a graph, by the names of its outputs."""
    if isinstance(model, jaxnn.Layer):
        return named("y", model.apply(params, feeds["x"]))
    xs, mask = feeds["xs"], feeds.get("mask")
    if "lengths" in feeds:
        mask = jaxnn.lengths_to_mask(feeds["lengths"], len(xs))
    shapes = jax.eval_shape(model.unroll, params, xs)[0]
    leaves = [value for name, value in feeds.items() if name.startswith("state")]
    given = jax.tree.unflatten(jax.tree.structure(shapes), leaves) if leaves else None
    final, ys = model.unroll(params, xs, given, mask, feeds.get("reset"))
    return named("ys", ys) | (named("new_state", final) if leaves else {})


def named(name: str, tree: Any) -> dict[str, np.ndarray]:
    """The leaves of a tree by the names that a graph gives them."""
    return {
        ".".join([name, jax.tree_util.keystr(path, simple=True, separator=".")]).rstrip("."): leaf
        for path, leaf in (
            (path, np.asarray(leaf)) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        )
    }


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Equal names, shapes and dtypes, and entries relative to the largest one."""
    assert set(found) == set(expected)
    for name, want in expected.items():
        assert (found[name].shape, found[name].dtype) == (want.shape, want.dtype), name
        largest = np.abs(want).max(initial=1e-30)
        np.testing.assert_allclose(
            found[name], want, rtol=0, atol=TOLERANCE * largest, err_msg=name
        )


def assert_same_function(model: Any, x: Any, **options: bool) -> Any:
    """A model and its graph give the same; the graph is given back."""
    params = filled(model)
    proto = checked(model, params, x, **options)
    feeds = feeds_for(proto)
    assert_equal(run(proto, feeds), ours(model, params, feeds))
    return proto


def operators(proto: Any) -> list[str]:
    """The operators of a graph, in their order."""
    return [node.op_type for node in proto.graph.node]


# Models that are drawn ---------------------------------------------------------------------------

ACTIVATIONS = (jax.nn.relu, jax.numpy.tanh, jax.nn.softmax, jaxnn.activations.leaky_relu(0.3))
GATES = (jax.nn.sigmoid, jaxnn.activations.hard_sigmoid(0.3), jaxnn.activations.hard_sigmoid())


@st.composite
def cells(draw: st.DrawFn, size: int) -> tuple[jaxnn.Cell, int]:
    """A cell that has an operator, and its output size."""
    hidden, bias = draw(st.integers(1, 3)), draw(st.booleans())
    gate = draw(st.sampled_from(GATES))
    kind = draw(st.sampled_from(("elman", "lstm", "gru")))
    if kind == "elman":
        activation = draw(st.sampled_from(ACTIVATIONS[:2]))
        return jaxnn.elman(size, hidden, activation, bias), hidden
    if kind == "gru":
        after = draw(st.booleans())
        return jaxnn.gru(size, hidden, after, bias, gate_activation=gate), hidden
    options: dict[str, Any] = {name: draw(st.booleans()) for name in ("peephole", "coupled")}
    return jaxnn.lstm(size, hidden, bias=bias, gate_activation=gate, **options), hidden


@st.composite
def parts(draw: st.DrawFn, size: int) -> tuple[Any, int]:
    """A layer over sequences, or of single steps, and its output size."""
    kind = draw(st.sampled_from(("dense", "norm", "activation", "one", "both", "conv", "beside")))
    if kind == "dense":
        out = draw(st.integers(1, 3))
        return jaxnn.dense(size, out, bias=draw(st.booleans())), out
    if kind == "norm":
        return jaxnn.layer_norm(size), size
    if kind == "activation":
        return jaxnn.activation(draw(st.sampled_from(ACTIVATIONS))), size
    if kind == "conv":
        padding = draw(st.sampled_from(("same", "causal")))
        dilation = draw(st.integers(1, 2))
        layer = jaxnn.conv(size, 2, (3,), padding=padding, dilation=dilation)
        return jaxnn.along_time(layer), 2
    if kind == "beside":
        left, right = jaxnn.dense(size, 2), jaxnn.as_layer(jaxnn.gru(size, 2))
        merge = draw(st.sampled_from(("concat", "sum", "product")))
        return jaxnn.parallel(left, right, merge=merge), 4 if merge == "concat" else 2
    cell, out = draw(cells(size))
    if kind == "one":
        return jaxnn.as_layer(cell, reverse=draw(st.booleans())), out
    merge = draw(st.sampled_from(("concat", "sum", "mean", "product")))
    return jaxnn.bidirectional(cell, merge=merge), 2 * out if merge == "concat" else out


@st.composite
def models(draw: st.DrawFn) -> Any:
    """A `serial` of some parts, the first of which looks along time."""
    cell, size = draw(cells(3))
    chosen: list[Any] = [jaxnn.as_layer(cell)]
    for _ in range(draw(st.integers(1, 3))):
        part, size = draw(parts(size))
        chosen.append(part)
    if draw(st.booleans()):
        chosen.append(jaxnn.pool_over_time(draw(st.sampled_from(("mean", "max", "last")))))
    return jaxnn.serial(*chosen)
