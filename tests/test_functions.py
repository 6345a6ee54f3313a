"""Plain functions: initialisers, losses, pooling, masks, tables and the cache of factories."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn

KEY = jax.random.key(0)
FLOATS = [jnp.float64, jnp.float32, jnp.bfloat16, jnp.float16]
HALVES = [jnp.bfloat16, jnp.float16]
LOSSES: dict[str, Any] = {
    "mean_squared_error": jaxnn.losses.mean_squared_error,
    "half_squared_error": jaxnn.losses.half_squared_error,
    "cross_entropy": jaxnn.losses.cross_entropy,
    "binary_cross_entropy": jaxnn.losses.binary_cross_entropy,
    "accuracy": jaxnn.losses.accuracy,
    "binary_accuracy": jaxnn.losses.binary_accuracy,
}
SMOOTH = [name for name in LOSSES if "accuracy" not in name]
POOLS: dict[str, Any] = {
    "mean": jaxnn.masked_mean,
    "max": jaxnn.masked_max,
    "last": jaxnn.masked_last,
}


def normal(*shape, seed=0, dtype: Any = jnp.float64):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def close(actual, expected, tolerance=1e-12):
    np.testing.assert_allclose(
        np.asarray(actual, np.float64),
        np.asarray(expected, np.float64),
        rtol=tolerance,
        atol=tolerance,
    )


def example(name, shape=(4, 3, 5), seed=0, dtype: Any = jnp.float64):
    """Predictions and targets that the loss of that name takes."""
    rng = np.random.default_rng(seed)
    predictions = jnp.asarray(rng.standard_normal(shape), dtype)
    if name in ("cross_entropy", "accuracy"):
        return predictions, jnp.asarray(rng.integers(0, shape[-1], shape[:-1]))
    if name.startswith("binary"):
        return predictions, jnp.asarray(rng.integers(0, 2, shape))
    return predictions, jnp.asarray(rng.standard_normal(shape), dtype)


# Initialisers


@pytest.mark.parametrize(("rows", "hidden"), [(5, 5), (7, 3), (3, 7)])
def test_orthogonal_per_gate(rows, hidden):
    """The shorter side of every gate is orthonormal, and no two gates are the same."""
    kernel = jaxnn.initializers.orthogonal(KEY, (rows, 4, hidden), jnp.float64)
    assert (kernel.shape, kernel.dtype) == ((rows, 4, hidden), jnp.float64)
    for gate in range(4):
        w = kernel[:, gate]
        close(w @ w.T if rows <= hidden else w.T @ w, np.eye(min(rows, hidden)))
    assert float(jnp.abs(kernel[:, 0] - kernel[:, 1]).max()) > 0.1


def test_cells_start_orthogonal():
    """The recurrent kernel of a cell is orthogonal gate by gate."""
    kernel = jaxnn.gru(3, 6, dtype=jnp.float64).init(KEY).recurrent_kernel
    close(jnp.einsum("hgk,jgk->ghj", kernel, kernel), np.stack([np.eye(6)] * 3))


@pytest.mark.parametrize("gates", [1, 3, 4])
def test_glorot_bound_per_gate(gates):
    """Each gate fills ±√(6 / (rows + hidden)), whatever the number of gates."""
    rows, hidden = 40, 60
    kernel = jaxnn.initializers.glorot(KEY, (rows, gates, hidden), jnp.float64)
    largest = np.abs(kernel).max(axis=(0, 2))
    bound = np.sqrt(6 / (rows + hidden))
    assert (largest <= bound).all()
    assert (largest > 0.99 * bound).all()
    np.testing.assert_allclose(np.std(kernel, axis=(0, 2)), bound / np.sqrt(3), rtol=0.05)


def test_uniform_hidden_bound():
    """±1/√hidden, of the last axis."""
    kernel = jaxnn.initializers.uniform_hidden(KEY, (50, 4, 16), jnp.float64)
    assert 0.245 < float(jnp.abs(kernel).max()) <= 0.25
    assert float(kernel.min()) < -0.245


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "init",
    [
        jaxnn.initializers.orthogonal,
        jaxnn.initializers.glorot,
        jaxnn.initializers.uniform_hidden,
        jaxnn.initializers.chrono(jaxnn.LSTM_GATES, 50.0),
        jaxnn.initializers.forget_bias(jaxnn.LSTM_GATES),
    ],
    ids=["orthogonal", "glorot", "uniform_hidden", "chrono", "forget_bias"],
)
def test_initializers_give_the_dtype(init, dtype):
    """16-bit parameters too, finite and not all zero."""
    values = init(
        KEY,
        (3, 4, 3) if init in (jaxnn.initializers.orthogonal, jaxnn.initializers.glorot) else (4, 3),
        dtype,
    )
    assert values.dtype == dtype
    assert bool(jnp.isfinite(values).all()) and bool(jnp.any(values != 0))


def test_orthogonal_bfloat16_is_the_rounded_float32():
    """The 16-bit kernel is worked out in float32."""
    exact = jaxnn.initializers.orthogonal(KEY, (4, 3, 4), jnp.float32)
    rounded = jaxnn.initializers.orthogonal(KEY, (4, 3, 4), jnp.bfloat16)
    np.testing.assert_array_equal(
        np.asarray(rounded, np.float32), np.asarray(exact.astype(jnp.bfloat16), np.float32)
    )


def test_per_gate_calls_with_one_gate():
    """The wrapped initialiser sees the shape of one gate and a key of its own."""
    seen = []

    def init(key, shape, dtype):
        seen.append((shape, dtype, tuple(jax.random.key_data(key).tolist())))
        return jnp.full(shape, len(seen), dtype)

    kernel = jaxnn.initializers.per_gate(init)(KEY, (2, 3, 5), jnp.bfloat16)
    assert [(shape, dtype) for shape, dtype, _ in seen] == [((2, 5), jnp.float32)] * 3
    assert len({key for *_, key in seen}) == 3
    assert kernel[0, :, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "gates", [jaxnn.LSTM_GATES, jaxnn.GRU_GATES, jaxnn.COUPLED_LSTM_GATES], ids="/".join
)
def test_chrono_distribution(gates):
    """exp(b) of the keeping gate is uniform in [1, longest − 1]; b_i = −b_f; the rest is zero."""
    longest, units = 200.0, 4000
    bias = np.asarray(
        jaxnn.initializers.chrono(gates, longest)(KEY, (len(gates), units), jnp.float64)
    )
    keep = "z" if "z" in gates else "f"
    times = np.sort(np.exp(bias[gates.index(keep)]))
    assert times[0] >= 1 - 1e-6 and times[-1] <= (longest - 1) * (1 + 1e-6)
    uniform = np.linspace(1, longest - 1, units)
    assert np.abs(times - uniform).max() / longest < 0.03  # Kolmogorov-Smirnov: 1.6 / √4000
    for gate in gates:
        row = bias[gates.index(gate)]
        if gate == "i":
            np.testing.assert_array_equal(row, -bias[gates.index("f")])
        elif gate != keep:
            assert not row.any()


def test_chrono_in_a_cell():
    """As the bias_init of a GRU: the update gate, which keeps the state."""
    cell = jaxnn.gru(2, 5, bias_init=jaxnn.initializers.chrono(jaxnn.GRU_GATES, 30.0))
    bias = cell.init(KEY).bias
    assert bool(jnp.all(bias[1] > 0)) and not bool(jnp.any(bias[jnp.array([0, 2])]))  # pyright: ignore[reportOptionalSubscript]


@pytest.mark.parametrize(
    ("gates", "longest"), [(("i", "g", "o"), 10.0), (("h",), 10.0), (("i", "f", "g", "o"), 1.5)]
)
def test_chrono_errors(gates, longest):
    """No gate that keeps the state, or no time at all."""
    with pytest.raises(ValueError, match="chrono"):
        jaxnn.initializers.chrono(gates, longest)


@pytest.mark.parametrize("value", [1.0, 2.5])
def test_forget_bias(value):
    """The value at f, zeros elsewhere."""
    bias = jaxnn.initializers.forget_bias(jaxnn.COUPLED_LSTM_GATES, value)(KEY, (3, 2), jnp.float32)
    expected = [[value if gate == "f" else 0.0] * 2 for gate in jaxnn.COUPLED_LSTM_GATES]
    assert bias.tolist() == expected


def test_forget_bias_needs_a_forget_gate():
    """Gates without f are an error, not silent zeros."""
    with pytest.raises(ValueError, match="forget_bias"):
        jaxnn.initializers.forget_bias(jaxnn.GRU_GATES)


@pytest.mark.parametrize(
    "init",
    [
        jaxnn.initializers.forget_bias(jaxnn.LSTM_GATES),
        jaxnn.initializers.chrono(jaxnn.LSTM_GATES, 10.0),
    ],
)
def test_wrong_number_of_gates(init):
    """An initialiser for four gates does not fill three."""
    with pytest.raises(ValueError, match=r"3 gates.*made for 4"):
        jaxnn.lstm(2, 3, coupled=True, bias_init=init).init(KEY)


# Losses


@pytest.mark.parametrize(
    ("name", "predictions", "targets", "expected"),
    [
        ("mean_squared_error", [[1.0, 2.0], [0.0, 3.0]], [[0.0, 4.0], [1.0, 3.0]], 6.0),
        ("half_squared_error", [[1.0, 2.0], [0.0, 3.0]], [[0.0, 4.0], [1.0, 3.0]], 3.0),
        ("cross_entropy", [[0.0, np.log(3.0)], [0.0, 0.0]], [1, 0], np.log(8 / 3)),
        (
            "binary_cross_entropy",
            [[0.0, np.log(3.0)], [0.0, 0.0]],
            [[1, 1], [0, 1]],
            3 * np.log(2) + np.log(4 / 3),
        ),
        ("accuracy", [[0.0, 1.0], [2.0, 1.0]], [1, 1], 1.0),
        ("binary_accuracy", [[3.0, -1.0], [-2.0, -1.0]], [[1, 1], [0, 0]], 1.5),
    ],
)
def test_losses_by_hand(name, predictions, targets, expected):
    """(sum, weight): the sum over samples and outputs, the number of samples."""
    total, weight = LOSSES[name](jnp.array(predictions), jnp.array(targets))
    assert total.shape == weight.shape == ()
    close([total, weight], [expected, 2])


@pytest.mark.parametrize(
    ("name", "shape"),
    [("cross_entropy", (5,)), *((n, s) for n in SMOOTH for s in [(4, 5), (4, 3, 5)])],
)
def test_losses_against_optax(name, shape):
    """optax gives each number; any number of sample axes, for classes none included."""
    each: Any = {
        "mean_squared_error": optax.squared_error,
        "half_squared_error": optax.l2_loss,
        "cross_entropy": optax.softmax_cross_entropy_with_integer_labels,
        "binary_cross_entropy": optax.sigmoid_binary_cross_entropy,
    }[name]
    predictions, targets = example(name, shape)
    expected = each(
        predictions, targets.astype(predictions.dtype) if name.startswith("binary") else targets
    )
    total, weight = LOSSES[name](predictions, targets)
    close([total, weight], [expected.sum(), np.prod(shape[:-1])])


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dims", [1, 2])
def test_losses_mask_nan(name, dims):
    """NaN where the mask is false changes neither value nor gradient, and has gradient zero."""
    predictions, targets = example(name, (4, 3, 5)[2 - dims :])
    mask = np.array([True, False, True])
    if dims == 2:
        mask = np.random.default_rng(1).random((4, 3)) < 0.5
    assert 0 < mask.sum() < mask.size
    trailing = mask[..., None]
    bad = jnp.where(trailing, predictions, jnp.nan)
    if jnp.issubdtype(targets.dtype, jnp.floating):
        bad_targets = jnp.where(trailing, targets, jnp.nan)
    else:
        bad_targets = jnp.where(trailing if targets.ndim > dims else mask, targets, 1000)
    valid, valid_targets = np.asarray(predictions)[mask], np.asarray(targets)[mask]
    expected = jax.jit(LOSSES[name])(valid, valid_targets)
    loss, tolerance = LOSSES[name], 1e-12 if name in SMOOTH else 1e-6  # shares are float32
    close(loss(bad, bad_targets, jnp.array(mask)), expected, tolerance)
    close(jax.jit(loss)(bad, bad_targets, jnp.array(mask)), expected, tolerance)
    if name in SMOOTH:
        grad = jax.jit(jax.grad(lambda *arguments: loss(*arguments)[0]))
        gradient = np.asarray(grad(bad, bad_targets, jnp.array(mask)))
        assert np.isfinite(gradient).all()
        assert not gradient[~mask].any()
        close(gradient[mask], grad(valid, valid_targets))


@pytest.mark.parametrize("name", LOSSES)
def test_losses_without_a_valid_sample(name):
    """Nothing valid: zero of zero, and a finite gradient."""
    predictions, targets = example(name)
    predictions = predictions.at[:].set(jnp.nan)
    mask = jnp.zeros((4, 3), bool)
    assert [float(part) for part in LOSSES[name](predictions, targets, mask)] == [0, 0]
    gradient = jax.grad(lambda p: LOSSES[name](p, targets, mask)[0])(predictions)
    assert not bool(jnp.any(gradient != 0))


@pytest.mark.parametrize("name", ["binary_cross_entropy", "binary_accuracy"])
@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int32, np.int64, np.float64])
def test_binary_labels_of_any_dtype(name, dtype):
    """Boolean, integer and floating labels give the same."""
    predictions, targets = example(name)
    expected = LOSSES[name](predictions, targets)
    close(LOSSES[name](predictions, jnp.asarray(targets, dtype)), expected)
    close(LOSSES[name](predictions, np.asarray(targets, dtype)), expected)


@pytest.mark.parametrize("name", ["cross_entropy", "accuracy"])
@pytest.mark.parametrize(
    ("dtype", "classes"),
    [(np.int8, 5), (np.uint8, 256), (np.int8, 200), (np.int32, 300), (np.int64, 5)],
)
@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_integer_labels_of_any_dtype(name, dtype, classes, transform):
    """Also where the number of classes does not fit the dtype of the labels: bytes."""
    logits = normal(6, classes)
    labels = np.array([0, 1, 2, 3, 4, min(classes - 1, np.iinfo(dtype).max)])
    logits = logits.at[np.arange(3), labels[:3]].set(9.0).at[5, labels[5]].set(9.0)
    expected = LOSSES[name](logits, jnp.asarray(labels, jnp.int64))
    close(transform(LOSSES[name])(logits, jnp.asarray(labels, dtype)), expected)


@pytest.mark.parametrize("label", [-1, 5])
def test_class_outside(label):
    """An eager error; under jit NaN for the loss and wrong for the accuracy."""
    logits, labels = example("cross_entropy", (3, 5))
    labels = jnp.argmax(logits, axis=-1).at[1].set(label)
    for loss in (jaxnn.losses.cross_entropy, jaxnn.losses.accuracy):
        with pytest.raises(ValueError, match=f"0…4, got {label}"):
            loss(logits, labels)
    assert bool(jnp.isnan(jax.jit(jaxnn.losses.cross_entropy)(logits, labels)[0]))
    assert [float(part) for part in jax.jit(jaxnn.losses.accuracy)(logits, labels)] == [2, 3]
    mask = jnp.array([True, False, True])
    close(jax.jit(jaxnn.losses.cross_entropy)(logits, labels, mask), jaxnn.losses.cross_entropy(
        logits[mask], labels[mask]))  # fmt: skip


@pytest.mark.parametrize("label", [-1, 2, 1.5, -0.5])
@pytest.mark.parametrize("name", ["binary_cross_entropy", "binary_accuracy"])
def test_binary_label_outside(name, label):
    """An eager error that names the label, unless the sample is masked."""
    logits = normal(2, 3)
    dtype = jnp.float64 if isinstance(label, float) else jnp.int32
    labels = jnp.zeros((2, 3), dtype).at[1, 2].set(label)
    with pytest.raises(ValueError, match=rf"\[0, 1\], got {label}"):
        LOSSES[name](logits, labels)
    assert float(LOSSES[name](logits, labels, jnp.array([True, False]))[1]) == 1


@pytest.mark.parametrize("name", LOSSES)
def test_targets_and_mask_that_jit_closes_over(name):
    """They are known while the predictions are not; in numpy or jax."""
    predictions, targets = example(name, (4, 3, 2))
    for array in (np.asarray, jnp.asarray):
        known = array(targets)
        for mask in (array(np.ones((4, 3), bool)), array(np.eye(4, 3) > 0)):
            bound = functools.partial(LOSSES[name], targets=known, mask=mask)
            if name not in ("mean_squared_error", "half_squared_error"):
                bound = functools.partial(LOSSES[name], labels=known, mask=mask)
            for ours, eager in zip(jax.jit(bound)(predictions), bound(predictions), strict=True):
                close(ours, eager)


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("dtype", HALVES)
def test_16_bit_losses_are_summed_in_float32(name, dtype):
    """Thousands of samples, whose sum 16 bits could not hold."""
    predictions, targets = example(name, (9000, 3), dtype=dtype)
    if name in ("mean_squared_error", "half_squared_error"):
        predictions, targets = jnp.full_like(predictions, 3), jnp.ones_like(targets)
    total, weight = LOSSES[name](predictions, targets)
    assert total.dtype == weight.dtype == jnp.float32
    assert float(weight) == 9000
    wide = predictions.astype(jnp.float32)
    exact = LOSSES[name](wide, targets if jnp.issubdtype(targets.dtype, jnp.integer) else
                         targets.astype(jnp.float32))[0]  # fmt: skip
    np.testing.assert_allclose(float(total), float(exact), rtol=2e-3)


@pytest.mark.parametrize("name", ["mean_squared_error", "half_squared_error"])
@pytest.mark.parametrize("dtype", HALVES)
def test_16_bit_outputs_are_summed_in_float32(name, dtype):
    """One sample of many outputs: the sum over them is not rounded to 16 bits."""
    predictions, targets = jnp.ones((1, 4097), dtype), jnp.zeros((1, 4097), dtype)
    total, _ = LOSSES[name](predictions, targets)
    assert float(total) == (4097 if name == "mean_squared_error" else 2048.5)


@pytest.mark.parametrize("name", ["accuracy", "binary_accuracy"])
def test_accuracy_of_bfloat16(name):
    """Counts do not stop at 256."""
    predictions, targets = example(name, (3000, 2), dtype=jnp.bfloat16)
    right, weight = LOSSES[name](predictions, targets)
    expected = LOSSES[name](predictions.astype(jnp.float32), targets)
    assert [float(right), float(weight)] == [float(part) for part in expected]
    assert float(weight) == 3000 and 1000 < float(right) < 2000


def test_sums_and_weights_add_up():
    """Unequal parts give the mean of the whole."""
    predictions, targets = example("cross_entropy", (7, 5))
    parts = [
        jaxnn.losses.cross_entropy(predictions[s], targets[s]) for s in (slice(2), slice(2, 7))
    ]
    total, weight = jax.tree.map(lambda a, b: a + b, *parts)
    expected = optax.softmax_cross_entropy_with_integer_labels(predictions, targets).mean()
    close(total / weight, expected)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_refuse_a_wrong_mask(name):
    """The error names the mask, for the dtype, a wrong shape and a batch-major one."""
    predictions, targets = example(name)
    with pytest.raises(TypeError, match="mask must be boolean"):
        LOSSES[name](predictions, targets, jnp.ones((4, 3), jnp.int32))
    for shape in [(3, 4), (5,), (4, 3, 5)]:
        with pytest.raises(ValueError, match="mask must have the shape"):
            LOSSES[name](predictions, targets, jnp.ones(shape, bool))


@pytest.mark.parametrize("name", LOSSES)
def test_losses_refuse_other_shapes(name):
    """Targets do not broadcast, and integers are no predictions."""
    predictions, targets = example(name)
    with pytest.raises(ValueError, match="must have the shape"):
        LOSSES[name](predictions, targets[:1])
    with pytest.raises(ValueError, match="must have the shape"):
        LOSSES[name](predictions, targets[:1], jnp.ones((4, 3), bool))
    with pytest.raises(TypeError, match="must be floating"):
        LOSSES[name](predictions.astype(jnp.int32), targets)
    with pytest.raises(TypeError, match="must be an array"):
        LOSSES[name](predictions, targets.tolist())


# Pooling and masks


def pooled_by_hand(name, xs, lengths):
    """numpy, sequence by sequence."""
    rows = []
    for b, length in enumerate(lengths):
        valid = np.asarray(xs)[:length, b]
        zeros = np.zeros(xs.shape[-1])
        one = {"mean": lambda v: v.mean(0), "max": lambda v: v.max(0), "last": lambda v: v[-1]}
        rows.append(one[name](valid) if length else zeros)
    return np.stack(rows)


@pytest.mark.parametrize("name", POOLS)
def test_pooling(name):
    """NaN padding, an empty sequence, a full one; all negative, so that zeros would show."""
    lengths = [4, 0, 2, 1]
    xs = -1 - jnp.abs(normal(4, 4, 3))
    mask = jaxnn.lengths_to_mask(jnp.array(lengths), 4)
    bad = jnp.where(mask[..., None], xs, jnp.nan)
    expected = pooled_by_hand(name, xs, lengths)
    close(POOLS[name](bad, mask), expected)
    close(jax.jit(POOLS[name])(bad, mask), expected)
    close(jax.vmap(POOLS[name], in_axes=1)(bad, mask), expected)


@pytest.mark.parametrize("name", POOLS)
def test_pooling_gradient(name):
    """Zero at padding and for empty sequences, and that of the unpadded sequence elsewhere."""
    lengths = [3, 0, 2]
    mask = jaxnn.lengths_to_mask(jnp.array(lengths), 4)
    xs, weights = normal(4, 3, 2), normal(3, 2, seed=1)
    bad = jnp.where(mask[..., None], xs, jnp.nan)
    gradient = jax.grad(lambda xs: jnp.sum(weights * POOLS[name](xs, mask)))(bad)
    for b, length in enumerate(lengths):
        expected = np.zeros((4, 2))
        if length:
            rows = {"mean": range(length), "last": [length - 1]}.get(name)
            for feature in range(2):
                best = [int(np.argmax(xs[:length, b, feature]))]
                at = best if rows is None else list(rows)
                expected[at, feature] = weights[b, feature] / len(at)
        close(gradient[:, b], expected)


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 2, 3), (4, 2, 2, 3)])
def test_pooling_without_mask(name, shape):
    """mask=None: every step counts, and so does a mask of trues."""
    xs = normal(*shape)
    expected = {"mean": xs.mean(0), "max": xs.max(0), "last": xs[-1]}[name]
    close(POOLS[name](xs), expected)
    close(POOLS[name](xs, jnp.ones(shape[:-1] or shape, bool)), expected)


@pytest.mark.parametrize("name", POOLS)
def test_pooling_gap(name):
    """A mask with holes: only the valid steps, wherever they stand."""
    xs = jnp.array([[jnp.nan], [-3.0], [jnp.nan], [-1.0], [-2.0], [jnp.inf]])
    mask = jnp.array([False, True, False, True, True, False])
    assert POOLS[name](xs, mask).tolist() == [{"mean": -2.0, "max": -1.0, "last": -2.0}[name]]


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("dtype", HALVES)
def test_pooling_16_bit(name, dtype):
    """The dtype stays, and the mean counts beyond 2048 steps."""
    xs = jnp.full((5000, 1), 3.0, dtype)
    mask = jnp.arange(5000) < 4999
    pooled = POOLS[name](xs, mask)
    assert pooled.dtype == dtype
    assert pooled.tolist() == [3.0]


@pytest.mark.parametrize("dtype", [np.int64, np.float64, np.uint64, np.float32])
def test_arrays_of_numpy_without_x64(dtype):
    """64 bits count as 32, as jax takes them, and nothing warns."""
    xs, mask = np.arange(3, dtype=dtype)[:, None], np.array([True, True, False])
    with jax.enable_x64(False):
        last = jaxnn.masked_last(xs, mask)
    assert last.tolist() == [1] and last.dtype.itemsize == 4


def test_mean_of_integers():
    """Nothing is cut to whole numbers in silence."""
    with pytest.raises(TypeError, match="masked_mean: xs must be floating, got int"):
        jaxnn.masked_mean(jnp.arange(3)[:, None])


@pytest.mark.parametrize("name", POOLS)
def test_pooling_errors(name):
    """The mask must fit, and be boolean."""
    xs = normal(4, 3, 2)
    with pytest.raises(ValueError, match=r"batch-major.*swapaxes"):
        POOLS[name](xs, jnp.ones((3, 4), bool))
    with pytest.raises(TypeError, match="boolean"):
        POOLS[name](xs, jnp.ones((4, 3), jnp.float32))
    with pytest.raises(ValueError, match=r"got \(\): it covers fewer"):
        POOLS[name](xs, jnp.array(True))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
@pytest.mark.parametrize("time", [4, 200, 300])
def test_lengths_to_mask(dtype, time):
    """True for the first `lengths` steps, also where `time` does not fit the lengths' dtype."""
    lengths = np.array([[0, 3], [4, 1]], dtype)
    expected = np.arange(time)[:, None, None] < lengths.astype(int)
    for transform in (lambda f: f, jax.jit):
        mask = transform(functools.partial(jaxnn.lengths_to_mask, time=time))(lengths)
        assert (mask.shape, mask.dtype) == ((time, 2, 2), jnp.bool_)
        np.testing.assert_array_equal(mask, expected)


def test_lengths_to_mask_edges():
    """A scalar, a list, no steps, no sequences; lengths outside are errors, under jit clipped."""
    assert jaxnn.lengths_to_mask(2, 3).tolist() == [True, True, False]
    assert jaxnn.lengths_to_mask([0, 1], 1).tolist() == [[False, True]]
    assert jaxnn.lengths_to_mask(jnp.zeros(2, jnp.int32), 0).shape == (0, 2)
    assert jaxnn.lengths_to_mask(jnp.zeros(0, jnp.int32), 3).shape == (3, 0)
    for wrong in ([1, 4], [-1, 2]):
        with pytest.raises(ValueError, match="lengths must lie in 0…3"):
            jaxnn.lengths_to_mask(jnp.array(wrong), 3)
    with pytest.raises(TypeError, match="integers"):
        jaxnn.lengths_to_mask(jnp.array([1.0]), 3)
    jitted = jax.jit(lambda lengths: jaxnn.lengths_to_mask(lengths, 3))
    assert jitted(jnp.array([-1, 7])).T.tolist() == [[False] * 3, [True] * 3]


# Tables


def test_describe():
    """A row a leaf with its path, and the totals; shapes without values do as well."""
    model = jaxnn.serial(jaxnn.dense(3, 4), jaxnn.dense(4, 500, dtype=jnp.bfloat16, bias=False))
    table = jaxnn.describe(model.init(KEY))
    assert [line.split() for line in table.splitlines()] == [
        ["path", "shape", "dtype", "count", "bytes"],
        ["0.kernel", "(3,", "4)", "float32", "12", "48"],
        ["0.bias", "(4,)", "float32", "4", "16"],
        ["1.kernel", "(4,", "500)", "float32", "2,000", "8,000"],
        ["total", "2,016", "8,064"],
    ]
    assert jaxnn.describe(jax.eval_shape(model.init, KEY)) == table


def test_describe_scalars_and_errors():
    """A scalar counts one, no parameters count zero, and a number is no array."""
    assert jaxnn.describe({"x": jnp.zeros((), jnp.bfloat16)}).splitlines()[1].split() == [
        "x", "()", "bfloat16", "1", "2"]  # fmt: skip
    assert jaxnn.describe(()).splitlines()[-1].split() == ["total", "0", "0"]
    with pytest.raises(TypeError, match=r"a\.b is no array but float"):
        jaxnn.describe({"a": {"b": 1.0}})


# The cache


def test_factories_are_cached():
    """The same arguments, however passed, give the same object; others give another."""
    assert jaxnn.lstm(3, 4) is jaxnn.lstm(3, hidden_size=4)
    assert jaxnn.lstm(3, 4) is jaxnn.lstm(hidden_size=4, input_size=3, peephole=False)
    assert jaxnn.lstm(3, 4) is not jaxnn.lstm(3, 4, peephole=True)
    assert jaxnn.lstm(3, 4) is not jaxnn.lstm(4, 3)
    assert jaxnn.gru(3, 4, dtype="bfloat16") is jaxnn.gru(3, 4, dtype=jnp.bfloat16)
    assert jaxnn.gru(3, 4, dtype="bfloat16") is not jaxnn.gru(3, 4)
    assert jaxnn.serial(jaxnn.dense(2, 3)) is jaxnn.serial(jaxnn.dense(2, 3))
    assert jaxnn.initializers.chrono(jaxnn.LSTM_GATES, 9.0) is jaxnn.initializers.chrono(
        jaxnn.LSTM_GATES, longest=9.0
    )


def test_true_is_not_one():
    """1 is not taken for True, even after True has been cached."""
    assert jaxnn.lstm(1, 4, peephole=True) is jaxnn.lstm(1, 4, True)
    with pytest.raises(TypeError, match="peephole must be True or False, got 1"):
        jaxnn.lstm(1, 4, peephole=1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="input_size must be a positive integer, got True"):
        jaxnn.lstm(True, 4, peephole=True)


def test_equal_cells_trace_once():
    """jit knows a cell that is built twice."""
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def run(cell, params, xs):
        traces.append(cell)
        return cell.unroll(params, xs)[1]

    xs = jnp.ones((2, 3), jnp.float32)
    for hidden in (4, 4, 5):
        run(jaxnn.gru(3, hidden), jaxnn.gru(3, hidden).init(KEY), xs)
    assert len(traces) == 2


def test_factory_errors():
    """Unknown and missing arguments name the signature; unhashable ones say what to do."""
    with pytest.raises(TypeError, match=r"dense: .*output_size.*; it takes input_size"):
        jaxnn.dense(3)  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match=r"dense: .*'units'"):
        jaxnn.dense(3, 4, units=4)  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match=r"mlp: sizes must be hashable.*list"):
        jaxnn.mlp([3, 4])  # pyright: ignore[reportArgumentType]


def test_factories_look_at_types_inside_of_tuples():
    """True is no 1, though they are equal, and though the right one was built before."""
    assert jaxnn.mlp((2, 1)) is jaxnn.mlp((2, 1))
    with pytest.raises(TypeError, match="must be a positive integer, got True"):
        jaxnn.mlp((2, True))
    assert jaxnn.conv(2, 1, (3,)) is jaxnn.conv(2, 1, window=(3,))
    with pytest.raises(TypeError, match=r"must be a positive integer, got 3\.0"):
        jaxnn.conv(2, 1, (3.0,))  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="got True"):
        jaxnn.serial(jaxnn.max_pool((1, 1)), jaxnn.max_pool((True, 1)))
