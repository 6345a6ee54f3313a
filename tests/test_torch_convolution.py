"""torch as an oracle for convolution, pooling and group_norm, in float64: values and gradients."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compare import assert_close, oracle

import jaxnn
from jaxnn.interop.torch import from_state_dict

torch = oracle("torch")
pytestmark = pytest.mark.oracle

BATCH, TOLERANCE = 3, 1e-12
LENGTHS = (11, 9, 7)
"""Of the spatial axes."""
Arrays = dict[str, Any]


def random(seed: int, *shape: int) -> np.ndarray:
    """Normal numbers in float64."""
    return np.random.default_rng(seed).standard_normal(shape)


def assert_equal(
    layer: Any,
    theirs: Callable[[Any, Arrays], Any],
    inputs: Arrays,
    order: Callable[[Any], Any] = lambda image: jnp.moveaxis(image, 1, -1),
    to_params: Callable[[Any, Arrays], Any] = from_state_dict,
) -> None:
    """The layer on `order(x)` and `theirs` on x agree, and so do the gradients of all inputs."""
    leaves = {
        name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
        for name, value in inputs.items()
    }
    expected = theirs(leaves["x"], leaves)
    cotangent = random(60, *expected.shape)
    gradients = torch.autograd.grad(expected, list(leaves.values()), torch.tensor(cotangent))

    @jax.jit
    def value_and_vjp(inputs: Arrays, cotangent: Any) -> Any:
        def run(inputs: Arrays) -> Any:
            weights = {name: array for name, array in inputs.items() if name != "x"}
            return layer.apply(to_params(layer, weights), order(inputs["x"]))

        y, vjp = jax.vjp(run, inputs)
        return y, vjp(order(cotangent))[0]

    y, ours = value_and_vjp(jax.tree.map(jnp.asarray, inputs), jnp.asarray(cotangent))
    assert_close(y, np.asarray(order(expected.detach().numpy())), TOLERANCE)
    assert all(gradient.any() for gradient in gradients)
    assert_close(ours, dict(zip(leaves, (g.numpy() for g in gradients), strict=True)), TOLERANCE)


CONV = {
    "plain": {},
    "no bias": {"bias": False},
    "padding": {"padding": 2},
    "stride": {"stride": 2, "padding": 1},
    "dilation": {"dilation": 2},
    "same": {"padding": "same"},
    "same, dilated": {"padding": "same", "dilation": 2},
    "groups": {"groups": 2},
    "everything": {"stride": 2, "padding": 2, "dilation": 2, "groups": 2},
}


def of_windows(cases: dict[str, Any], line: Any, block: Any, image: Any = (4, 3)) -> list[Any]:
    """Every case over images; over lines and blocks the first and the last one."""
    first, *_, last = cases
    return [(image, case) for case in cases] + [
        (w, case) for w in (line, block) for case in (first, last)
    ]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(("window", "case"), of_windows(CONV, (3,), (2, 3, 1)))
def test_conv_is_conv(window: tuple[int, ...], case: str) -> None:
    options: dict[str, Any] = CONV[case]
    groups, bias, n = options.get("groups", 1), options.get("bias", True), len(window)
    inputs = {"weight": random(0, 6, 4 // groups, *window)} | (
        {"bias": random(1, 6)} if bias else {}
    )
    theirs = getattr(torch.nn.functional, f"conv{n}d")
    given = {name: value for name, value in options.items() if name != "bias"}
    assert_equal(
        jaxnn.conv(4, 6, window, dtype=jnp.float64, **options),
        lambda x, w: theirs(x, w["weight"], w.get("bias"), **given),
        inputs | {"x": random(2, BATCH, 4, *LENGTHS[:n])},
    )


@pytest.mark.parametrize(
    ("stride", "padding", "pairs"),
    [((2, 1), (1, 2), ((1, 1), (2, 2))), ((1, 3), (0, 1), ((0, 0), (1, 1)))],
)
def test_each_axis_has_its_own(stride: Any, padding: Any, pairs: Any) -> None:
    assert_equal(
        jaxnn.conv(4, 6, (3, 2), stride, pairs, (1, 2), dtype=jnp.float64),
        lambda x, w: torch.nn.functional.conv2d(x, w["weight"], w["bias"], stride, padding, (1, 2)),
        {"weight": random(0, 6, 4, 3, 2), "bias": random(1, 6), "x": random(2, 2, 4, 8, 9)},
    )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 3])
def test_causal_along_time_is_padding_on_the_left(stride: int, dilation: int) -> None:
    """torch has (batch, features, time), we have (time, batch, features)."""
    layer = jaxnn.conv(4, 6, (3,), stride, "causal", dilation, dtype=jnp.float64)
    assert_equal(
        jaxnn.along_time(layer),
        lambda x, w: torch.nn.functional.conv1d(
            torch.nn.functional.pad(x, (2 * dilation, 0)),
            w["weight"],
            w["bias"],
            stride,
            dilation=dilation,
        ),
        {"weight": random(0, 6, 4, 3), "bias": random(1, 6), "x": random(2, BATCH, 4, 11)},
        order=lambda x: jnp.transpose(x, (2, 0, 1)),
    )


def test_conv_of_a_film_along_time() -> None:
    """torch has (batch, features, time, height, width)."""
    pairs = ((2, 0), (1, 1), (1, 1))
    layer = jaxnn.conv(4, 6, (3, 3, 3), padding=pairs, dtype=jnp.float64)
    assert_equal(
        jaxnn.along_time(layer),
        lambda x, w: torch.nn.functional.conv3d(
            torch.nn.functional.pad(x, (1, 1, 1, 1, 2, 0)), w["weight"], w["bias"]
        ),
        {"weight": random(0, 6, 4, 3, 3, 3), "bias": random(1, 6), "x": random(2, 2, 4, 5, 6, 7)},
        order=lambda x: jnp.transpose(x, (2, 0, 3, 4, 1)),
    )


TRANSPOSE = {
    "plain": {},
    "no bias": {"bias": False},
    "stride": {"stride": 2},
    "gaps": {"stride": 5},
    "padding": {"padding": 1, "stride": 2},
    "dilation": {"dilation": 2, "padding": 2},
    "groups": {"groups": 2, "stride": 2},
    "everything": {"stride": 3, "padding": 1, "dilation": 2, "groups": 2},
}


@pytest.mark.parametrize(("window", "case"), of_windows(TRANSPOSE, (3,), (2, 3, 3)))
def test_conv_transpose_is_conv_transpose(window: tuple[int, ...], case: str) -> None:
    options: dict[str, Any] = TRANSPOSE[case]
    given = {name: value for name, value in options.items() if name != "bias"}
    groups, bias, n = options.get("groups", 1), options.get("bias", True), len(window)
    inputs = {"weight": random(0, 4, 6 // groups, *window)}
    inputs |= {"bias": random(1, 6)} if bias else {}
    theirs = getattr(torch.nn.functional, f"conv_transpose{n}d")
    assert_equal(
        jaxnn.conv_transpose(4, 6, window, dtype=jnp.float64, **options),
        lambda x, w: theirs(x, w["weight"], w.get("bias"), **given),
        inputs | {"x": random(2, BATCH, 4, *[length // 2 for length in LENGTHS[:n]])},
    )


def test_output_padding_is_a_shorter_cut() -> None:
    """torch's padding 1 with output_padding 1."""
    assert_equal(
        jaxnn.conv_transpose(4, 6, (3, 3), 2, ((1, 0), (1, 0)), dtype=jnp.float64),
        lambda x, w: torch.nn.functional.conv_transpose2d(x, w["weight"], w["bias"], 2, 1, 1),
        {"weight": random(0, 4, 6, 3, 3), "bias": random(1, 6), "x": random(2, 2, 4, 5, 6)},
    )


POOL = {
    "plain": {},
    "overlapping": {"stride": 1},
    "padding": {"stride": 2, "padding": 1},
}


@pytest.mark.parametrize(("window", "case"), of_windows(POOL, (3,), (3, 2, 2), (2, 3)))
@pytest.mark.parametrize("kind", ["max", "average"])
def test_pools_are_pools(kind: str, window: tuple[int, ...], case: str) -> None:
    """After a ReLU, where many of a window are the largest: the gradient goes to the first."""
    options: dict[str, Any] = POOL[case]
    given = options | ({"count_include_pad": False} if kind == "average" else {})
    name, n = {"max": "max", "average": "avg"}[kind], len(window)
    theirs = getattr(torch.nn.functional, f"{name}_pool{n}d")
    x = np.maximum(random(2, BATCH, 4, *LENGTHS[:n]), 0)
    layer = {"max": jaxnn.max_pool, "average": jaxnn.average_pool}[kind](window, **options)
    assert_equal(layer, lambda x, w: theirs(x, window, **given), {"x": x})


@pytest.mark.parametrize("n", [1, 2, 3])
def test_global_average_pool_is_the_mean(n: int) -> None:
    layer = jaxnn.global_average_pool(n + 1)
    x = random(2, BATCH, 4, *LENGTHS[:n])
    pool = getattr(torch.nn.functional, f"adaptive_avg_pool{n}d")
    assert_equal(
        layer,
        lambda x, w: pool(x, 1).reshape(BATCH, 4),
        {"x": x},
        order=lambda image: jnp.moveaxis(image, 1, -1),
    )


def test_flatten_is_flatten() -> None:
    """Of an image whose features come last, in torch too."""
    assert_equal(
        jaxnn.flatten(3),
        lambda x, w: torch.flatten(x, 1),
        {"x": random(2, BATCH, 4, 5, 6)},
        order=lambda image: image,
    )


@pytest.mark.parametrize(("groups", "n"), [(1, 2), (2, 2), (6, 2), (1, 0), (2, 1), (2, 3)])
def test_group_norm_is_group_norm(groups: int, n: int) -> None:
    """One group is a layer norm of the whole image, as many as features an instance norm."""
    assert_equal(
        jaxnn.group_norm(6, groups, n + 1, dtype=jnp.float64),
        lambda x, w: torch.nn.functional.group_norm(x, groups, w["weight"], w["bias"]),
        {"weight": random(0, 6), "bias": random(1, 6), "x": random(2, BATCH, 6, *LENGTHS[:n]) + 1},
    )


def lstm_of_images(x: Any, weights: Arrays, steps: int) -> Any:
    """Equation 3 of Shi et al. 2015, by a loop of convolutions; x is (time, batch, features, ...).

    The weights are torch's, with the gates i, f, g, o one after the other.
    """
    n = x.ndim - 3
    convolve = getattr(torch.nn.functional, f"conv{n}d")
    h, c = weights["hidden"], weights["cell"]
    ys = []
    for t in range(steps):
        both = [(x[t], weights["input_kernel"]), (h, weights["recurrent_kernel"])]
        a = sum(convolve(image, kernel, padding="same") for image, kernel in both)
        i, f, g, o = torch.chunk(a + weights["bias"].reshape(-1, *(1,) * n), 4, 1)
        p_i, p_f, p_o = weights["peephole"]
        i, f = torch.sigmoid(i + p_i * c), torch.sigmoid(f + p_f * c)
        c = f * c + i * torch.tanh(g)
        h = torch.sigmoid(o + p_o * c) * torch.tanh(c)
        ys.append(h)
    return torch.stack([*ys, c])


@pytest.mark.parametrize("peephole", [True, False])
@pytest.mark.parametrize(
    ("window", "recurrent_window", "spatial"),
    [((3,), (5,), (6,)), ((3, 5), (1, 3), (4, 5)), ((3, 1, 3), (3, 3, 1), (3, 2, 4))],
    ids=["line", "image", "block"],
)
def test_conv_lstm_is_a_loop_of_convolutions(
    window: Any, recurrent_window: Any, spatial: Any, peephole: bool
) -> None:
    """All outputs, the last c, and the gradients of all weights, xs and the first state."""
    n, steps, rows, hidden = len(window), 4, 2, 3
    cell = jaxnn.conv_lstm(
        rows, hidden, spatial, window, recurrent_window, peephole=peephole, dtype=jnp.float64
    )
    inputs = {
        "x": random(0, steps, BATCH, rows, *spatial),
        "input_kernel": random(1, 4 * hidden, rows, *window) / 2,
        "recurrent_kernel": random(2, 4 * hidden, hidden, *recurrent_window) / 2,
        "bias": random(3, 4 * hidden),
        "hidden": random(4, BATCH, hidden, *spatial),
        "cell": random(5, BATCH, hidden, *spatial),
    }
    if peephole:
        inputs["peephole"] = random(6, 3, hidden, *spatial)
    none = torch.zeros((3, 1), dtype=torch.float64)

    class Unrolled:
        """What `assert_equal` applies: the outputs, and the last c behind them."""

        @staticmethod
        def apply(weights: Arrays, xs: Any) -> Any:
            def by_gate(kernel: Any) -> Any:
                wide = kernel.reshape(4, hidden, *kernel.shape[1:])
                return jnp.transpose(wide, (*range(3, 3 + n), 2, 0, 1))

            params = jaxnn.ConvLSTMParams(
                by_gate(weights["input_kernel"]),
                by_gate(weights["recurrent_kernel"]),
                weights["bias"].reshape(4, hidden),
                jnp.moveaxis(weights["peephole"], 1, -1) if peephole else None,
            )
            first = (jnp.moveaxis(weights[name], 1, -1) for name in ("hidden", "cell"))
            state, ys = cell.unroll(params, xs, jaxnn.LSTMState(*first))
            return jnp.concatenate([ys, state.cell[None]])

    assert_equal(
        Unrolled,
        lambda x, w: lstm_of_images(x, {"peephole": none} | w, steps),
        inputs,
        order=lambda images: jnp.moveaxis(images, 2, -1),
        to_params=lambda layer, weights: weights,
    )
