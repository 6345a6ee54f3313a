"""onnxruntime's convolution, pooling and normalisation as an oracle for values, in float32."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest
from compare import assert_close, random_like
from onnx import TensorProto, helper

import jaxnn

TOLERANCE = 1e-5
LENGTHS = (11, 9, 7)


def run_onnx(name: str, inputs: list[np.ndarray], **attributes: Any) -> np.ndarray:
    """The first output of one operator."""
    named = {f"input_{n}": value for n, value in enumerate(inputs)}
    node = helper.make_node(name, list(named), ["y"], **attributes)
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape)
        for name, value in named.items()
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "layer", values, [output])
    # Version 21 of the operators, and a file format that older runtimes can read too.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(["y"], named)[0])


def images(spatial: int) -> np.ndarray:
    """Channels-first, as onnx has them."""
    return np.random.default_rng(0).standard_normal((2, 4, *LENGTHS[:spatial]), np.float32)


def assert_equal(layer: Any, params: Any, x: np.ndarray, expected: np.ndarray) -> None:
    """Of images that are channels-first."""
    y = layer.apply(params, jnp.moveaxis(x, 1, -1))
    assert_close(y, np.moveaxis(expected, 1, -1) if expected.ndim > 2 else expected, TOLERANCE)


CONV: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "same": ({"padding": "same"}, {"auto_pad": "SAME_UPPER"}),
    "same, strides": ({"padding": "same", "stride": 3}, {"auto_pad": "SAME_UPPER", "strides": 3}),
    "padding": ({"padding": 2, "stride": 2}, {"pads": 2, "strides": 2}),
    "dilation": ({"dilation": 2}, {"dilations": 2}),
    "groups": ({"groups": 2}, {"group": 2}),
}


def lists(attributes: dict[str, Any], spatial: int) -> dict[str, Any]:
    """onnx wants a number for each axis, and for each of its sides."""
    counts = {"strides": spatial, "dilations": spatial, "pads": 2 * spatial}
    return {
        name: [value] * counts[name] if name in counts else value
        for name, value in attributes.items()
    }


@pytest.mark.parametrize("case", CONV)
@pytest.mark.parametrize("window", [(3,), (4, 3), (2, 3, 2)])
def test_conv(window: tuple[int, ...], case: str) -> None:
    options, attributes = CONV[case]
    layer = jaxnn.conv(4, 6, window, **options)
    params, x = random_like(layer.init(jax.random.key(0)), 1), images(len(window))
    kernel = np.moveaxis(np.asarray(params.kernel), (-1, -2), (0, 1))
    given = lists(attributes, len(window))
    assert params.bias is not None
    weights = [kernel, np.asarray(params.bias)]
    expected = run_onnx("Conv", [x, *weights], kernel_shape=window, **given)
    assert_equal(layer, params, x, expected)


TRANSPOSE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "same": ({"padding": "same", "stride": 2}, {"auto_pad": "SAME_UPPER", "strides": 2}),
    "gaps": ({"stride": 5}, {"strides": 5}),
    "padding": ({"padding": 1, "stride": 2}, {"pads": 1, "strides": 2}),
    "dilation": ({"dilation": 2}, {"dilations": 2}),
}


@pytest.mark.parametrize("case", TRANSPOSE)
@pytest.mark.parametrize("window", [(3,), (4, 3)])
def test_conv_transpose(window: tuple[int, ...], case: str) -> None:
    options, attributes = TRANSPOSE[case]
    layer = jaxnn.conv_transpose(4, 6, window, **options)
    params, x = random_like(layer.init(jax.random.key(0)), 1), images(len(window))
    kernel = np.moveaxis(np.asarray(params.kernel), (-2, -1), (0, 1))
    given = lists(attributes, len(window))
    weights = [kernel, np.asarray(params.bias)]
    expected = run_onnx("ConvTranspose", [x, *weights], kernel_shape=window, **given)
    assert_equal(layer, params, x, expected)


POOL: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {"strides": None}),
    "same": ({"stride": 2, "padding": "same"}, {"strides": 2, "auto_pad": "SAME_UPPER"}),
    "padding": ({"stride": 2, "padding": 1}, {"strides": 2, "pads": 1}),
}


@pytest.mark.parametrize("case", POOL)
@pytest.mark.parametrize("window", [(3,), (2, 3), (3, 2, 2)])
@pytest.mark.parametrize(
    ("make", "operator"),
    [(jaxnn.max_pool, "MaxPool"), (jaxnn.average_pool, "AveragePool")],
    ids=["max", "average"],
)
def test_pool(make: Any, operator: str, window: tuple[int, ...], case: str) -> None:
    """onnx does not count padding in a mean either."""
    options, attributes = POOL[case]
    x = images(len(window))
    given = lists(attributes, len(window))
    if attributes["strides"] is None:
        given["strides"] = window
    expected = run_onnx(operator, [x], kernel_shape=window, **given)
    assert_equal(make(window, **options), (), x, expected)


def test_global_average_pool() -> None:
    x = images(2)
    expected = run_onnx("GlobalAveragePool", [x])
    assert_equal(jaxnn.global_average_pool(3), (), x, expected[:, :, 0, 0])


def test_flatten() -> None:
    """Of an image whose features come last, in onnx too."""
    x = np.moveaxis(images(2), 1, -1)
    expected = run_onnx("Flatten", [x])
    assert_close(jaxnn.flatten(3).apply((), x), expected, TOLERANCE)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_norm(groups: int) -> None:
    layer = jaxnn.group_norm(4, groups, 3, epsilon=1e-3)
    params, x = random_like(layer.init(jax.random.key(0)), 1), images(2)
    weights = [np.asarray(leaf) for leaf in params]
    expected = run_onnx("GroupNormalization", [x, *weights], num_groups=groups, epsilon=1e-3)
    assert_equal(layer, params, x, expected)
