"""Convolution and pooling against plain loops; layouts, masks, dtypes, errors, export."""

import itertools
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from compare import random_like
from jax.test_util import check_grads
from rows import assert_close

import jaxnn

KEY = jax.random.key(0)
WINDOWS = [(3,), (2, 3), (2, 1, 3)]
LENGTHS = (7, 6, 5)


def normal(*shape: int, seed: int = 0, dtype: Any = jnp.float64) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def windows_of(
    x: np.ndarray, window: Any, stride: Any, pads: Any, dilation: Any, fill: float
) -> Any:
    """The places that each window sees: (*out, *window, ...) from (*spatial, ...), by loops."""
    wide = np.pad(x, [*pads, *[(0, 0)] * (x.ndim - len(pads))], constant_values=fill)
    lengths = wide.shape[: len(window)]
    spans = [d * (k - 1) + 1 for k, d in zip(window, dilation, strict=True)]
    counts = [(n - w) // s + 1 for n, w, s in zip(lengths, spans, stride, strict=True)]
    seen = np.empty((*counts, *window, *wide.shape[len(window) :]))
    for place in itertools.product(*map(range, counts)):
        for offset in itertools.product(*map(range, window)):
            at = (s * p + d * o for s, p, d, o in zip(stride, place, dilation, offset, strict=True))
            seen[place + offset] = wide[tuple(at)]
    return seen


def pads_of(word: str, window: Any, stride: Any, dilation: Any) -> list[tuple[int, int]]:
    """As the docstring says it."""
    pads = []
    for n, k, s, d in zip(LENGTHS, window, stride, dilation, strict=False):
        needed = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        words = {"valid": (0, 0), "same": (needed // 2, needed - needed // 2)}
        pads.append((words | {"causal": (d * (k - 1), 0)})[word])
    return pads


def padded_sizes(window: Any, stride: Any, pads: Any, dilation: Any) -> list[int]:
    """The docstring's M, for each axis."""
    return [
        (n + low + high - d * (k - 1) - 1) // s + 1
        for n, k, s, (low, high), d in zip(LENGTHS, window, stride, pads, dilation, strict=False)
    ]


@pytest.mark.parametrize("word", ["valid", "same", "causal", 1, "pairs"])
@pytest.mark.parametrize(("step", "spread"), [(1, 1), (2, 1), (1, 2), (3, 2)])
@pytest.mark.parametrize("window", WINDOWS)
def test_conv_is_a_loop(window: Any, step: int, spread: int, word: Any) -> None:
    """Values and output sizes, for every form of padding."""
    if word == "causal" and len(window) > 1:
        return
    n = len(window)
    stride, dilation = (step,) * n, (spread,) * n
    pairs = tuple((axis, 2 - axis) for axis in range(n))
    given = pairs if word == "pairs" else word
    forms = {1: [(1, 1)] * n, "pairs": list(pairs)}
    pads = forms[word] if word in forms else pads_of(word, window, stride, dilation)
    layer = jaxnn.conv(4, 6, window, step, given, spread, groups=2, dtype=jnp.float64)
    params, x = random_like(layer.init(KEY), 1), normal(*LENGTHS[:n], 4)
    seen = windows_of(np.asarray(x), window, stride, pads, dilation, 0.0)
    halves = [
        np.tensordot(seen[..., g], np.asarray(params.kernel)[..., f], n + 1)
        for g, f in ((slice(0, 2), slice(0, 3)), (slice(2, 4), slice(3, 6)))
    ]
    y = jax.jit(layer.apply)(params, x)
    assert_close(y, jnp.asarray(np.concatenate(halves, -1) + np.asarray(params.bias)), 1e-12)
    assert list(y.shape[:-1]) == padded_sizes(window, stride, pads, dilation)
    if word in ("same", "causal"):
        assert list(y.shape[:-1]) == [-(-length // step) for length in LENGTHS[:n]]


@pytest.mark.parametrize("padding", ["valid", "same", "causal", 1])
@pytest.mark.parametrize("step", [1, 2, None])
@pytest.mark.parametrize("window", WINDOWS)
def test_pools_are_loops(window: Any, step: Any, padding: Any) -> None:
    """Padding is never the largest, and is not counted in a mean."""
    n = len(window)
    if (padding == "causal" and n > 1) or (padding == 1 and min(window) == 1):
        return
    stride, ones = ((step,) * n if step else window), (1,) * n
    pads = pads_of(padding, window, stride, ones) if padding != 1 else [(1, 1)] * n
    x = normal(*LENGTHS[:n], 2) - 3
    seen = windows_of(np.asarray(x), window, stride, pads, ones, np.nan)
    inside = tuple(range(n, 2 * n))
    largest = jax.jit(jaxnn.max_pool(window, step, padding).apply)((), x)
    assert_close(largest, jnp.asarray(np.nanmax(seen, inside)), 1e-12)
    mean = jax.jit(jaxnn.average_pool(window, step, padding).apply)((), x)
    assert_close(mean, jnp.asarray(np.nanmean(seen, inside)), 1e-12)
    assert list(mean.shape[:-1]) == padded_sizes(window, stride, pads, ones)


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("padding", ["valid", "same", ((1, 0), (0, 1))])
def test_conv_transpose_transposes_conv(stride: int, padding: Any) -> None:
    """⟨conv(x), y⟩ = ⟨x, conv_transpose(y)⟩ with in and out of the kernel exchanged; and sizes."""
    window, sizes = (3, 2), (5, 4)
    wide = jaxnn.conv_transpose(6, 4, window, stride, padding, bias=False, dtype=jnp.float64)
    params, y = random_like(wide.init(KEY), 1), normal(*sizes, 6)
    x = wide.apply(params, y)
    if padding == "same":
        want = [stride * length for length in sizes]
    else:
        cuts = [0, 0] if padding == "valid" else [1, 1]
        want = [(n - 1) * stride + k - c for n, k, c in zip(sizes, window, cuts, strict=True)]
    assert list(x.shape[:-1]) == want
    narrow = jaxnn.conv(4, 6, window, stride, padding, bias=False, dtype=jnp.float64)
    kernel = jnp.swapaxes(params.kernel, -1, -2)
    assert_close(wide.apply(params, y), pulled_back(narrow, kernel, x.shape, y), 1e-12)


def pulled_back(layer: Any, kernel: jax.Array, shape: Any, y: jax.Array) -> jax.Array:
    run = lambda x: layer.apply(jaxnn.ConvParams(kernel, None), x)  # noqa: E731
    return jax.vjp(run, jnp.zeros(shape, y.dtype))[1](y)[0]


LAYERS = {
    "conv": jaxnn.conv(3, 4, (3, 2), padding="same", dtype=jnp.float64),
    "conv, strides": jaxnn.conv(3, 4, (3, 2), 2, 1, dtype=jnp.float64),
    "conv_transpose": jaxnn.conv_transpose(3, 4, (3, 2), 2, dtype=jnp.float64),
    "max_pool": jaxnn.max_pool((2, 2)),
    "average_pool": jaxnn.average_pool((3, 2), 1, "same"),
    "group_norm": jaxnn.group_norm(3, 3, 3, dtype=jnp.float64),
    "global_average_pool": jaxnn.global_average_pool(3),
    "flatten": jaxnn.flatten(3),
}


@pytest.mark.parametrize("name", LAYERS)
def test_any_batch_is_one_image_after_the_other(name: str) -> None:
    """Without a batch, with two batch dimensions, with none in one of them; jit and vmap."""
    layer = LAYERS[name]
    params, images = random_like(layer.init(KEY), 1), normal(2, 3, 6, 5, 3)
    one = jnp.stack([layer.apply(params, image) for image in images.reshape(-1, 6, 5, 3)])
    batch = layer.apply(params, images)
    assert_close(batch, one.reshape(2, 3, *one.shape[1:]))
    assert_close(jax.jit(layer.apply)(params, images), batch)
    assert_close(jax.vmap(layer.apply, (None, 0))(params, images), batch)
    assert layer.apply(params, images[:, :0]).shape == (2, 0, *one.shape[1:])


@pytest.mark.parametrize("name", LAYERS)
def test_derivatives_of_every_kind(name: str) -> None:
    """Against finite differences, to the second order; vmap over parameters."""
    layer = LAYERS[name]
    params, x = random_like(layer.init(KEY), 1), normal(2, 4, 5, 3)
    run = jax.jit(layer.apply)
    check_grads(run, (params, x), order=2, modes=("fwd", "rev"), atol=1e-4, rtol=1e-4, eps=1e-4)
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, -leaf]), params)
    if jax.tree.leaves(many):
        each = [layer.apply(jax.tree.map(lambda a, n=n: a[n], many), x) for n in range(2)]
        assert_close(jax.vmap(layer.apply, (0, None))(many, x), jnp.stack(each))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", LAYERS)
def test_16_bit(name: str, dtype: Any) -> None:
    """y in 16 bits, near the exact one; parameters and their gradients in float32."""
    exact = LAYERS[name]
    layer: Any = exact
    if name.startswith("conv"):
        kind = getattr(jaxnn, name.split(",")[0])
        options = {"conv": (1, "same"), "conv, strides": (2, 1), "conv_transpose": (2,)}[name]
        layer = kind(3, 4, (3, 2), *options, dtype=dtype)
    if name == "group_norm":
        layer = jaxnn.group_norm(3, 3, 3, dtype=dtype)
    params, x = random_like(layer.init(KEY), 1), normal(2, 6, 6, 3, dtype=dtype)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} <= {jnp.dtype(jnp.float32)}
    y = layer.apply(params, x)
    assert y.dtype == dtype
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), (params, x))
    assert_close(y.astype(jnp.float64), exact.apply(*wide), 0.02)
    slopes = jax.grad(lambda p: layer.apply(p, x).astype(jnp.float32).sum())(params)
    assert {leaf.dtype for leaf in jax.tree.leaves(slopes)} <= {jnp.dtype(jnp.float32)}


def test_average_of_many_in_float16_does_not_overflow() -> None:
    x = jnp.full((64, 64, 1), 100, jnp.float16)
    assert jaxnn.global_average_pool(3).apply((), x).tolist() == [100]
    assert jaxnn.average_pool((64, 64)).apply((), x).tolist() == [[[100]]]


def test_initialisers() -> None:
    """LeCun's variance 1 / (window · in / groups), a zero bias, or what is given."""
    params = jaxnn.conv(32, 600, (3, 3), groups=2).init(KEY)
    assert params.kernel.shape == (3, 3, 16, 600)
    np.testing.assert_allclose(params.kernel.std(), 1 / 12, rtol=0.02)
    assert not bool(params.bias.any())  # pyright: ignore[reportOptionalMemberAccess]
    ones = jax.nn.initializers.ones
    params = jaxnn.conv(1, 2, (3,), kernel_init=ones, bias_init=ones).init(KEY)
    assert bool((params.kernel == 1).all()) and params.bias.tolist() == [1, 1]  # pyright: ignore[reportOptionalMemberAccess]
    assert jaxnn.conv(1, 2, (3,), bias=False).init(KEY).bias is None
    assert jaxnn.conv(1, 2, (3,), dtype=jnp.bfloat16, param_dtype=jnp.bfloat16).init(KEY)[
        0
    ].dtype == jnp.dtype(jnp.bfloat16)


# Along time


ALONG = {
    "conv": jaxnn.conv(3, 4, (3,), padding="causal", dtype=jnp.float64),
    "conv, same": jaxnn.conv(3, 4, (4,), padding="same", dilation=2, dtype=jnp.float64),
    "conv, strides": jaxnn.conv(3, 4, (3,), 2, "causal", dtype=jnp.float64),
    "conv_transpose": jaxnn.conv_transpose(3, 4, (3,), 2, dtype=jnp.float64),
    "max_pool": jaxnn.max_pool((3,), 1, "causal"),
    "average_pool": jaxnn.average_pool((3,), 1, "same"),
    "max_pool, strides": jaxnn.max_pool((2,)),
}
MASKABLE = [name for name in ALONG if "strides" not in name and name != "conv_transpose"]
MASK = np.arange(6)[:, None] < np.array([6, 4, 0, 1])


@pytest.mark.parametrize("batch", [(), (4,), (2, 4)])
@pytest.mark.parametrize("name", ALONG)
def test_along_time_is_the_layer_on_moved_axes(name: str, batch: Any) -> None:
    layer = ALONG[name]
    params, xs = random_like(layer.init(KEY), 1), normal(6, *batch, 3)
    along = jaxnn.along_time(layer)
    moved = layer.apply(params, jnp.moveaxis(xs, 0, -2))
    ys = along.apply(params, xs)
    assert_close(ys, jnp.moveaxis(moved, -2, 0))
    assert along.unroll(params, xs, ())[0] == ()
    assert_close(along.unroll(params, xs)[1], ys)


def test_along_time_of_a_film() -> None:
    """(time, batch, height, width, features), the first axis of the window along time."""
    for layer in (jaxnn.conv(3, 4, (2, 3, 1), dtype=jnp.float64), jaxnn.average_pool((2, 3, 1))):
        params, xs = random_like(layer.init(KEY), 1), normal(4, 2, 5, 6, 3)
        want = jnp.moveaxis(layer.apply(params, jnp.moveaxis(xs, 0, 1)), 1, 0)
        assert_close(jaxnn.along_time(layer).apply(params, xs), want)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", MASKABLE)
def test_padding_changes_nothing(name: str) -> None:
    """A masked step counts as padding: each sequence gives what it gives when cut to its length,
    whatever stands behind it, in values and gradients."""
    layer = jaxnn.along_time(ALONG[name])
    params, clean = random_like(layer.init(KEY), 1), normal(6, 4, 3) - 1

    def loss(params: Any, xs: Any, mask: Any) -> Any:
        ys = layer.apply(params, xs, mask)
        kept = ys if mask is None else jnp.where(mask[..., None], ys, 0)
        return jnp.sum(kept**3), kept

    slopes = jax.value_and_grad(loss, (0, 1), has_aux=True)
    for filler in (jnp.nan, jnp.inf, 7.0):
        xs = jnp.where(MASK[..., None], clean, filler)
        (_, ys), (of_params, of_xs) = slopes(params, xs, jnp.asarray(MASK))
        total = jax.tree.map(jnp.zeros_like, params)
        for b, length in enumerate(MASK.sum(0)):
            one = clean[:length, b]
            if length:
                (_, want), (share, slope) = slopes(params, one, None)
                assert_close(ys[:length, b], want)
                assert_close(of_xs[:length, b], slope)
                total = jax.tree.map(jnp.add, total, share)
            assert not np.any(of_xs[length:, b])
        assert_close(of_params, total)


def test_pools_of_no_valid_step_are_zero() -> None:
    for layer in (jaxnn.max_pool((2,), 1, "same"), jaxnn.average_pool((2,), 1, "same")):
        ys = jaxnn.along_time(layer).apply((), normal(6, 4, 3), jnp.asarray(MASK))
        assert not np.any(ys[:, 2]) and np.all(np.isfinite(ys))


def test_a_causal_conv_sees_no_later_step() -> None:
    layer = jaxnn.along_time(jaxnn.conv(3, 4, (3,), padding="causal", dilation=2))
    params, xs = layer.init(KEY), normal(9, 2, 3, dtype=jnp.float32)
    changed = layer.apply(params, xs.at[5:].set(9.0)) != layer.apply(params, xs)
    assert changed.any((1, 2)).tolist() == [False] * 5 + [True] * 4


def test_in_a_serial_with_cells() -> None:
    """Cleaned before each layer: NaN at masked steps reaches no valid output and no gradient."""
    causal = jaxnn.along_time(jaxnn.conv(3, 4, (3,), padding="causal"))
    same = jaxnn.along_time(jaxnn.conv(4, 4, (3,), padding="same"))
    model = jaxnn.serial(
        causal, jaxnn.activation(jax.nn.relu), same, jaxnn.as_layer(jaxnn.gru(4, 2))
    )
    params, mask = random_like(model.init(KEY), 1), jnp.asarray(MASK)
    zeros = jnp.where(mask[..., None], normal(6, 4, 3, dtype=jnp.float32), 0)

    def loss(params: Any, xs: Any) -> Any:
        ys = model.apply(params, xs, mask)
        return jaxnn.losses.mean_squared_error(ys, jnp.ones_like(ys), mask)[0]

    want = jax.value_and_grad(loss, (0, 1))(params, zeros)
    got = jax.value_and_grad(loss, (0, 1))(params, jnp.where(mask[..., None], zeros, jnp.nan))
    assert_close(got, want, 1e-6)
    state, ys = model.unroll(params, zeros, mask=mask)
    assert state[0] == () and ys.shape == (6, 4, 2)


def test_images_at_each_step() -> None:
    """In a stack, layers over images act on each step by itself, streamed and unrolled."""
    model = jaxnn.stack(
        jaxnn.conv(1, 2, (3, 3), padding="same"),
        jaxnn.max_pool((2, 2)),
        jaxnn.flatten(3),
        jaxnn.gru(8, 3),
    )
    params, xs = model.init(KEY), normal(6, 4, 4, 5, 1, dtype=jnp.float32)
    mask = jnp.asarray(MASK)
    _, ys = model.unroll(params, jnp.where(mask[..., None, None, None], xs, jnp.nan), mask=mask)
    state = model.initial_state(params, (4,))
    for t in range(6):
        new, y = model.apply(params, state, xs[t])
        assert_close(ys[t][MASK[t]], y[MASK[t]], 1e-5)
        state = jax.tree.map(lambda a, b, t=t: jnp.where(MASK[t][:, None], a, b), new, state)


# conv_lstm


def test_a_conv_lstm_of_window_one_is_an_lstm_at_each_place() -> None:
    image = jaxnn.conv_lstm(2, 3, (4, 5), (1, 1), dtype=jnp.float64)
    params = random_like(image.init(KEY), 1)
    unit = jaxnn.LSTMParams(
        params.input_kernel[0, 0], params.recurrent_kernel[0, 0], params.bias, None
    )
    xs = normal(6, 4, 4, 5, 2)
    got = image.unroll(params, xs, None, MASK, MASK)
    wide = np.broadcast_to(MASK[..., None, None], (6, 4, 4, 5))
    want = jaxnn.lstm(2, 3, dtype=jnp.float64).unroll(unit, xs, None, wide, wide)
    assert_close(got, want)


def test_conv_lstm_starts_as_the_lstm_does() -> None:
    """Forget bias 1, each gate by itself orthogonal over its window and input; a weight a place."""
    cell = jaxnn.conv_lstm(2, 8, (4, 5), (3, 3), (2, 2), peephole=True)
    params = cell.init(KEY)
    assert [leaf.shape for leaf in params] == [  # pyright: ignore[reportOptionalMemberAccess]
        (3, 3, 2, 4, 8),
        (2, 2, 8, 4, 8),
        (4, 8),
        (3, 4, 5, 8),
    ]
    assert params.bias.tolist() == [[0.0] * 8, [1.0] * 8, [0.0] * 8, [0.0] * 8]  # pyright: ignore[reportOptionalMemberAccess]
    forget = params.recurrent_kernel[..., 1, :].reshape(-1, 8)
    np.testing.assert_allclose(forget.T @ forget, np.eye(8), atol=1e-5)
    assert bool(params.peephole.any())  # pyright: ignore[reportOptionalMemberAccess]


def test_conv_lstm_in_a_stack_of_images() -> None:
    """Streamed and unrolled, with layers over images above and below."""
    model = jaxnn.stack(
        jaxnn.conv(1, 2, (3, 3), 2, "same"),
        jaxnn.conv_lstm(2, 3, (3, 4), (3, 3)),
        jaxnn.residual(jaxnn.conv_lstm(3, 3, (3, 4), (3, 3), peephole=True)),
        jaxnn.conv_transpose(3, 1, (3, 3), 2, "same"),
    )
    params, xs = random_like(model.init(KEY), 1), normal(3, 2, 6, 8, 1, dtype=jnp.float32)
    final, ys = model.unroll(params, xs)
    state, each = model.initial_state(params, (2,)), []
    for x in xs:
        state, y = model.apply(params, state, x)
        each.append(y)
    assert ys.shape == xs.shape
    assert_close((final, ys), (state, jnp.stack(each)), 1e-5)


# Export


@pytest.mark.parametrize("name", LAYERS)
def test_export_with_a_symbolic_batch(name: str) -> None:
    layer = LAYERS[name]
    params, x = random_like(layer.init(KEY), 1), normal(3, 6, 5, 3)
    (batch,) = jax.export.symbolic_shape("b")
    assert_exports(layer.apply, params, x, (batch, 6, 5, 3))


@pytest.mark.parametrize("name", MASKABLE)
def test_export_with_a_symbolic_time(name: str) -> None:
    layer = jaxnn.along_time(ALONG[name])
    params, xs = random_like(layer.init(KEY), 1), normal(7, 2, 3)
    assert_exports(layer.apply, params, xs, (*jax.export.symbolic_shape("t, b"), 3))


def assert_exports(apply: Any, params: Any, x: jax.Array, shape: Any) -> None:
    """The values and the gradient, for three platforms."""

    def both(params: Any, x: Any) -> Any:
        return jax.value_and_grad(lambda p, x: jnp.sum(apply(p, x) ** 2), (0, 1))(params, x)

    symbolic = jax.ShapeDtypeStruct(shape, x.dtype)
    made = jax.export.export(jax.jit(both), platforms=("cpu", "cuda", "tpu"))(params, symbolic)
    again = jax.export.deserialize(made.serialize())
    assert_close(again.call(params, x), both(params, x))


# Errors and names


CONV = jaxnn.conv(3, 4, (3, 3))
PARAMS = CONV.init(KEY)
LINE = jaxnn.conv(3, 4, (3,))
FRAMES = jaxnn.conv_lstm(3, 2, (4, 4), (3, 3))


def ones(*shape: int, dtype: Any = jnp.float32) -> jax.Array:
    return jnp.ones(shape, dtype)


def wrong(make: Any, *arguments: Any, **options: Any) -> Any:
    """A call that a type checker would not let through."""
    return lambda: make(*arguments, **options)


def run(layer: Any, x: Any, mask: Any = None, **options: Any) -> Any:
    return lambda: (
        layer.unroll(layer.init(KEY), x, mask=mask, **options)
        if options
        else (layer.apply(layer.init(KEY), x, mask))
    )


def run_cell(xs: Any) -> Any:
    return lambda: FRAMES.unroll(FRAMES.init(KEY), xs)


ERRORS: dict[str, tuple[Any, type[Exception], list[str]]] = {
    "a window that is a number": (
        wrong(jaxnn.conv, 3, 4, 3),
        TypeError,
        ["conv: window must be a tuple of one to three sizes", "(3, 3) over images", "got 3"],
    ),
    "a window of four": (wrong(jaxnn.max_pool, (1, 2, 3, 4)), TypeError, ["one to three sizes"]),
    "an empty window": (wrong(jaxnn.max_pool, ()), TypeError, ["one to three sizes"]),
    "a window of zero": (wrong(jaxnn.conv, 3, 4, (0,)), ValueError, ["window must be a positive"]),
    "a stride of another length": (
        wrong(jaxnn.conv, 3, 4, (3, 3), (2,)),
        ValueError,
        ["conv: stride must be one number, or 2", "got (2,)"],
    ),
    "a stride of zero": (
        wrong(jaxnn.conv, 3, 4, (3,), 0),
        ValueError,
        ["stride must be a positive"],
    ),
    "an unknown word": (
        wrong(jaxnn.conv, 3, 4, (3,), padding="SAME"),
        ValueError,
        ["padding must be one of 'valid', 'same', 'causal'", "a pair for each axis", "got 'SAME'"],
    ),
    "one pair for two axes": (
        wrong(jaxnn.conv, 3, 4, (3, 3), padding=(1, 1)),
        ValueError,
        ["for each axis of the window a pair of such numbers, ((1, 1), (1, 1))", "got (1, 1)"],
    ),
    "negative padding": (wrong(jaxnn.conv, 3, 4, (3,), padding=-1), ValueError, ["from 0"]),
    "causal over images": (
        wrong(jaxnn.conv, 3, 4, (3, 3), padding="causal"),
        ValueError,
        ["'causal' is for one spatial axis, the window has 2", "give pairs"],
    ),
    "a causal transpose": (
        wrong(jaxnn.conv_transpose, 3, 4, (3,), padding="causal"),
        ValueError,
        ["conv_transpose: padding must be one of 'valid', 'same'"],
    ),
    "groups that do not divide": (
        wrong(jaxnn.conv, 3, 4, (3,), groups=2),
        ValueError,
        ["conv: input_size must divide by groups=2, got 3"],
    ),
    "pool padding as large as the window": (
        wrong(jaxnn.max_pool, (2, 2), padding=2),
        ValueError,
        ["max_pool: padding must be below the window (2, 2)", "got 2"],
    ),
    "channels first": (
        run(CONV, ones(8, 3, 28, 28)),
        ValueError,
        [
            "conv(3, 4, (3, 3)): x must have 3 features, got 28",
            "looks channels-first",
            "jnp.moveaxis(x, -3, -1)",
        ],
    ),
    "features that do not fit": (run(CONV, ones(9, 9, 2)), ValueError, ["3 features, got 2"]),
    "too few dimensions": (
        run(CONV, ones(9, 3)),
        ValueError,
        ["x must be (*batch, height, width, features), got the shape (9, 3)"],
    ),
    "an image below the window": (
        run(CONV, ones(2, 9, 2, 3)),
        ValueError,
        ["its window spans 3 × 3, x has 9 × 2", "pad x, or take a smaller window"],
    ),
    "too few steps": (
        run(jaxnn.along_time(LINE), ones(2, 9, 3)),
        ValueError,
        ["along_time(conv(3, 4, (3,)))", "spans 3, x has 2", "(time, *batch, features)"],
    ),
    "an image below the pool": (run(jaxnn.max_pool((3,)), ones(2, 3)), ValueError, ["spans 3"]),
    "a transpose that cuts all": (
        run(jaxnn.conv_transpose(3, 4, (3,), padding=2), ones(1, 3)),
        ValueError,
        ["conv_transpose(3, 4, (3,), padding=2)", "cuts off all", "1 places"],
    ),
    "another dtype": (
        run(CONV, ones(9, 9, 3, dtype=jnp.float64)),
        TypeError,
        ["x must be float32, got float64"],
    ),
    "bytes in a pool": (
        run(jaxnn.max_pool((2,)), ones(4, 3, dtype=jnp.uint8)),
        TypeError,
        ["max_pool((2,)): x must be floating, got uint8"],
    ),
    "foreign params": (
        lambda: CONV.apply(tuple(PARAMS), ones(9, 9, 3)),  # pyright: ignore[reportArgumentType]
        TypeError,
        ["params must be ConvParams"],
    ),
    "params of another window": (
        lambda: CONV.apply(LINE.init(KEY), ones(9, 9, 3)),
        ValueError,
        ["params.kernel must be float32[3, 3, 3, 4], got float32[3, 3, 4]"],
    ),
    "params for a pool": (
        lambda: jaxnn.max_pool((2,)).apply(PARAMS, ones(4, 3)),  # pyright: ignore[reportArgumentType]
        TypeError,
        ["params must be a tuple of 0"],
    ),
    "a mask along the window": (
        run(jaxnn.conv(3, 4, (3,), padding="same"), ones(5, 2, 3), ones(5, 2, dtype=bool)),
        ValueError,
        ["mask must have the shape (5,)", "jaxnn.along_time(layer)"],
    ),
    "a mask, and other steps": (
        run(jaxnn.along_time(LINE), ones(5, 2, 3), ones(5, 2, dtype=bool)),
        ValueError,
        ["along_time(conv(3, 4, (3,)))", "changes the number of steps, from 5 to 3", "'causal'"],
    ),
    "a mask, and pooled steps": (
        run(jaxnn.along_time(jaxnn.max_pool((2,))), ones(4, 2, 3), ones(4, 2, dtype=bool)),
        ValueError,
        ["along_time(max_pool((2,)))", "changes the number of steps, from 4 to 2"],
    ),
    "a mask of another shape": (
        run(jaxnn.along_time(LINE), ones(5, 2, 3), ones(4, 2, dtype=bool)),
        ValueError,
        ["mask must have the shape (5, 2)"],
    ),
    "a mask over a global pool": (
        run(jaxnn.global_average_pool(2), ones(5, 2, 3), ones(5, 2, dtype=bool)),
        ValueError,
        ["global_average_pool(2)", "use pool_over_time for steps"],
    ),
    "a reset": (
        run(jaxnn.along_time(LINE), ones(5, 2, 3), reset=ones(5, 2, dtype=bool)),
        ValueError,
        ["cannot be given a reset", "each segment as a sequence of its own"],
    ),
    "a state": (
        run(jaxnn.along_time(LINE), ones(5, 2, 3), state=(ones(1),)),
        ValueError,
        ["state must be a tuple of 0"],
    ),
    "a serial along time": (
        wrong(jaxnn.along_time, jaxnn.serial(LINE, LINE)),
        TypeError,
        ["along_time: layer must be one conv", "wrap each one of a serial"],
    ),
    "something else along time": (
        wrong(jaxnn.along_time, jaxnn.dense(3, 4)),
        TypeError,
        ["along_time: layer must be one conv", "got dense(3, 4)"],
    ),
    "along time in a stack": (
        wrong(jaxnn.stack, jaxnn.along_time(LINE)),
        TypeError,
        ["part 0 must be a Cell or a Layer, got along_time(conv(3, 4, (3,)))", "use serial"],
    ),
    "a norm of uneven groups": (
        wrong(jaxnn.group_norm, 6, 4, 3),
        ValueError,
        ["group_norm: size must divide by groups=4, got 6"],
    ),
    "a norm of other features": (
        run(jaxnn.group_norm(3, 1, 3), ones(2, 3, 5, 5)),
        ValueError,
        ["group_norm(3, 1, 3): x must have 3 features, got 5", "axis 1 has 3"],
    ),
    "a norm of too few dimensions": (
        run(jaxnn.group_norm(3, 1, 3), ones(2, 3)),
        ValueError,
        ["x must have at least 3 dimensions"],
    ),
    "a mask over what is normalised": (
        run(jaxnn.group_norm(3, 1, 2), ones(5, 2, 3), ones(5, 2, dtype=bool)),
        ValueError,
        ["mask must have the shape (5,)", "taken together"],
    ),
    "features alone": (wrong(jaxnn.global_average_pool, 1), ValueError, ["at least 2"]),
    "too few to flatten": (
        run(jaxnn.flatten(3), ones(2, 3)),
        ValueError,
        ["flatten(3): x must have at least 3 dimensions, got the shape (2, 3)"],
    ),
    "a conv_lstm of a number": (
        wrong(jaxnn.conv_lstm, 1, 2, 8, (3, 3)),
        TypeError,
        ["conv_lstm: spatial_shape must be a tuple of one to three sizes", "got 8"],
    ),
    "a conv_lstm of another window": (
        wrong(jaxnn.conv_lstm, 1, 2, (8, 8), (3,)),
        ValueError,
        ["conv_lstm: window must have 2 sizes, as spatial_shape has; got (3,)"],
    ),
    "a conv_lstm of another recurrent window": (
        wrong(jaxnn.conv_lstm, 1, 2, (8, 8), (3, 3), (3, 3, 3)),
        ValueError,
        ["conv_lstm: recurrent_window must have 2 sizes"],
    ),
    "frames of another shape": (
        run_cell(ones(5, 2, 4, 8, 3)),
        ValueError,
        ["conv_lstm(3, 2, (4, 4), (3, 3))", "xs must have the spatial shape (4, 4)", "(4, 8)"],
    ),
    "frames that are channels-first": (
        run_cell(ones(5, 2, 3, 4, 4)),
        ValueError,
        ["xs must have 3 features, got 4", "channels-first", "jnp.moveaxis(xs, -3, -1)"],
    ),
    "frames without time": (
        run_cell(ones(4, 4, 3)),
        ValueError,
        ["xs must be (time, *batch, *event), at least 4 dimensions"],
    ),
    "params of an lstm": (
        lambda: FRAMES.unroll(jaxnn.lstm(3, 2).init(KEY), ones(5, 4, 4, 3)),  # pyright: ignore[reportArgumentType]
        TypeError,
        ["params must be ConvLSTMParams", "got LSTMParams"],
    ),
    "init without a key": (wrong(CONV.init, None), TypeError, ["conv(3, 4, (3, 3)).init: key"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error(case: str) -> None:
    call, kind, texts = ERRORS[case]
    with pytest.raises(kind) as caught:
        call()
    assert caught.type is kind
    missing = [text for text in texts if text not in str(caught.value)]
    assert not missing, f"{missing} in {str(caught.value)!r}"


NAMES = [
    "conv(3, 4, (3, 3))",
    "conv(3, 4, (3,), stride=2, padding='causal', dilation=3, bias=False)",
    "conv(4, 4, (3, 1), stride=(2, 1), padding=((1, 0), (0, 0)), groups=2)",
    "conv_transpose(3, 4, (3, 3), stride=2, padding='same')",
    "max_pool((2, 2))",
    "max_pool((3,), stride=1, padding='causal')",
    "average_pool((2, 2), stride=1, padding=1)",
    "global_average_pool(3)",
    "group_norm(6, 2, 3)",
    "flatten(3)",
    "along_time(conv(3, 4, (5,), padding='causal'))",
    "conv_lstm(1, 8, (16, 16), (3, 3), peephole=True)",
    "conv_lstm(1, 8, (16,), (5,), recurrent_window=(3,))",
    "serial(conv(1, 8, (3, 3)), max_pool((2, 2)), flatten(3), dense(8, 10))",
]


@pytest.mark.parametrize("text", NAMES)
def test_names_print_as_the_call(text: str) -> None:
    thing = eval(text, dict(vars(jaxnn)))
    assert repr(thing) == text
    assert eval(repr(thing), dict(vars(jaxnn))) is thing
