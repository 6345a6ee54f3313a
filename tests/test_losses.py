"""Losses against numpy: weights of samples, sums along axes, smoothing, forecasts and CTC."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn import losses

RNG = np.random.default_rng(0)
QUANTILES = (0.1, 0.5, 0.9)
T, B, F = 4, 3, 5


def normal(*shape: int, seed: int = 0, dtype: Any = np.float64) -> Any:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def classes(*shape: int) -> Any:
    return jnp.asarray(np.random.default_rng(1).integers(0, F, shape))


def log_softmax(x: Any) -> np.ndarray:
    x = np.asarray(x, np.float64)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def pinball(a: Any, y: Any) -> np.ndarray:
    apart = np.asarray(y)[..., None] - np.asarray(a)
    q = np.array(QUANTILES)
    return np.where(apart > 0, q * apart, (q - 1) * apart).sum((-1, -2))


def smoothed(logits: Any, labels: Any) -> np.ndarray:
    target = np.eye(F)[np.asarray(labels)] * 0.7 + 0.3 / F
    return -(target * log_softmax(logits)).sum(-1)


def smoothed_flags(logits: Any, labels: Any) -> np.ndarray:
    y, x = np.asarray(labels) * 0.7 + 0.15, np.asarray(logits, np.float64)
    return (y * np.log1p(np.exp(-x)) + (1 - y) * np.log1p(np.exp(x))).sum(-1)


SCALE = jnp.asarray(RNG.uniform(0.5, 2.0, (B, F)))
EACH: dict[str, tuple[Any, Any, Any, Any]] = {
    "mean_squared_error": (
        losses.mean_squared_error,
        normal(T, B, F),
        normal(T, B, F, seed=1),
        lambda a, y: ((y - a) ** 2).sum(-1),
    ),
    "half_squared_error": (
        losses.half_squared_error,
        normal(T, B, F),
        normal(T, B, F, seed=1),
        lambda a, y: ((y - a) ** 2).sum(-1) / 2,
    ),
    "cross_entropy": (
        lambda *args, **more: losses.cross_entropy(*args, **more, label_smoothing=0.3),
        normal(T, B, F),
        classes(T, B),
        smoothed,
    ),
    "binary_cross_entropy": (
        lambda *args, **more: losses.binary_cross_entropy(*args, **more, label_smoothing=0.3),
        normal(T, B, F),
        jnp.asarray(RNG.integers(0, 2, (T, B, F))),
        smoothed_flags,
    ),
    "accuracy": (
        losses.accuracy,
        normal(T, B, F),
        jnp.argmax(normal(T, B, F), -1).at[0].set(0),
        lambda x, y: np.argmax(x, -1) == y,
    ),
    "binary_accuracy": (
        losses.binary_accuracy,
        normal(T, B, F),
        jnp.asarray(RNG.integers(0, 2, (T, B, F))),
        lambda x, y: ((x > 0) == y).mean(-1),
    ),
    "quantile_loss": (
        lambda a, y, *args, **more: losses.quantile_loss(a, y, QUANTILES, *args, **more),
        normal(T, B, F, 3),
        normal(T, B, F, seed=1),
        pinball,
    ),
    "mean_absolute_scaled_error": (
        lambda a, y, *args, **more: losses.mean_absolute_scaled_error(a, y, SCALE, *args, **more),
        normal(T, B, F),
        normal(T, B, F, seed=1),
        lambda a, y: (np.abs(y - a) / np.asarray(SCALE)).sum(-1),
    ),
}
WEIGHTS = np.array([[0.5, 0.0, 2.0], [1.0, 1.5, 0.0], [0.0, 3.0, 1.0], [0.25, 1.0, 1.0]])
MASK = np.array([[True, True, False], [True, True, True], [True, False, True], [False, True, True]])


def spoilt(x: Any, where: np.ndarray) -> Any:
    """x with NaN, or a class that does not exist, where it must not be read."""
    bad = jnp.asarray(np.nan if jnp.issubdtype(x.dtype, jnp.floating) else 99, x.dtype)
    return jnp.where(where.reshape(where.shape + (1,) * (x.ndim - 2)), x, bad)


@pytest.mark.parametrize("name", EACH)
def test_weights_and_axes(name: str):
    """A sample counts as often as its weight says, and what has none, or is masked, is not read."""
    loss, predictions, targets, reference = EACH[name]
    each = np.asarray(reference(np.asarray(predictions), np.asarray(targets)), np.float64)
    counted = MASK & (WEIGHTS != 0)
    weights = jnp.where(MASK, WEIGHTS, jnp.nan)
    given = spoilt(predictions, counted), spoilt(targets, counted)
    used = np.where(MASK, WEIGHTS, 0)
    for axis, axes in ((None, (0, 1)), (0, 0), ((), ())):
        run = jax.jit(lambda *args, axis=axis: loss(*args, axis=axis))
        ours = run(*given, MASK, weights)
        np.testing.assert_allclose(ours[0], (each * used).sum(axes), rtol=1e-12)
        np.testing.assert_allclose(ours[1], used.sum(axes), rtol=1e-12)
    eager = loss(*given, MASK, weights, ())
    np.testing.assert_allclose(eager[0], each * used, rtol=1e-12)
    plain = loss(predictions, targets, axis=0)
    np.testing.assert_allclose(plain[0], each.sum(0), rtol=1e-12)
    assert plain[1].tolist() == [T] * B
    masked = loss(given[0], given[1], counted, axis=1)
    np.testing.assert_allclose(masked[0], (each * counted).sum(1), rtol=1e-12)
    assert masked[1].tolist() == counted.sum(1).tolist()


@pytest.mark.parametrize("name", [name for name in EACH if "accuracy" not in name])
def test_gradients_of_weighted_losses(name: str):
    """That of each sample times its weight; zero, and not NaN, where it does not count."""
    loss, predictions, targets, _ = EACH[name]
    counted = MASK & (WEIGHTS != 0)
    grad = jax.jit(jax.grad(lambda a, y, *more: loss(a, y, *more)[0], argnums=(0, 3)))
    ours, of_weights = grad(spoilt(predictions, counted), spoilt(targets, counted), MASK, WEIGHTS)
    each = jax.jit(jax.grad(lambda a: loss(a, targets)[0]))(predictions)
    used = np.where(MASK, WEIGHTS, 0).reshape(T, B, *(1,) * (predictions.ndim - 2))
    np.testing.assert_allclose(ours, each * used, rtol=1e-12)
    singles = loss(predictions, targets, axis=())[0]
    np.testing.assert_allclose(of_weights, np.where(counted, singles, 0), rtol=1e-12)


def _scaled(scale: Any, a: Any, y: Any, *more: Any) -> Any:
    return losses.mean_absolute_scaled_error(a, y, scale, *more)


@pytest.mark.parametrize("name", EACH)
def test_dtypes_of_weights(name: str):
    """Float32 beside 16 bits, or their own; sums are float32; numpy's float64 is float32 to jax."""
    loss, predictions, targets, _ = EACH[name]
    dtype = jnp.dtype("bfloat16")
    predictions = predictions.astype(dtype)
    if name == "mean_absolute_scaled_error":
        loss = functools.partial(_scaled, SCALE.astype("float32"))
    if jnp.issubdtype(targets.dtype, jnp.floating):
        targets = targets.astype(dtype)
    wide = loss(predictions, targets, None, WEIGHTS.astype("float32"))
    own = loss(predictions, targets, None, jnp.asarray(WEIGHTS, dtype))
    assert {x.dtype for x in (*wide, *own)} == {jnp.dtype("float32")}
    np.testing.assert_array_equal(wide, own)  # these weights are exact in 16 bits
    with pytest.raises(TypeError, match=f"{name}: weights must be float32"):
        loss(predictions, targets, None, jnp.asarray(WEIGHTS))
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        ours = loss(predictions, np.asarray(targets), None, WEIGHTS)
        np.testing.assert_array_equal(ours, wide)


def test_weights_that_are_known():
    """Checked where they count, also inside of jit; there the labels of no weight are not."""
    logits, labels = normal(T, B, F), classes(T, B)
    for wrong in (-0.5, np.nan, np.inf):
        weights = WEIGHTS.copy()
        weights[1, 1] = wrong
        for given in (weights, jnp.asarray(weights)):
            with pytest.raises(ValueError, match="cross_entropy: weights must be finite and at"):
                losses.cross_entropy(logits, labels, None, given)
            with pytest.raises(ValueError, match="weights must be finite and at least 0"):
                jax.jit(lambda x, w=given: losses.cross_entropy(x, labels, None, w))(logits)
            mask = np.ones((T, B), bool)
            mask[1, 1] = False
            assert np.isfinite(losses.cross_entropy(logits, labels, mask, given)[0])
    bad = jnp.where(WEIGHTS == 0, 99, labels)
    expected = losses.cross_entropy(logits, labels, None, WEIGHTS)
    inside = jax.jit(lambda x: losses.cross_entropy(x, bad, None, WEIGHTS))(logits)
    np.testing.assert_allclose(inside, expected, rtol=1e-12)
    unknown = jax.jit(losses.cross_entropy)(logits, labels, None, jnp.full((T, B), jnp.nan))
    assert np.isnan(unknown[0])


def test_the_loss_of_the_last_valid_step():
    """One label for a sequence: `masked_last`, with a mask of the sequences that have a step."""
    ys, labels = normal(T, B, F), classes(B)
    mask = jaxnn.lengths_to_mask(jnp.array([4, 2, 0]), T)
    ours = losses.cross_entropy(jaxnn.masked_last(ys, mask), labels, mask.any(0))
    by_hand = -log_softmax(ys)[[3, 1], [0, 1], np.asarray(labels)[:2]]
    np.testing.assert_allclose(ours, [by_hand.sum(), 2], rtol=1e-12)


# Smoothing ----------------------------------------------------------------------------------------


def test_label_smoothing_against_optax():
    logits, labels = normal(T, B, F), classes(T, B)
    target = optax.losses.smooth_labels(jax.nn.one_hot(labels, F), 0.2)
    expected = optax.losses.softmax_cross_entropy(logits, target).sum()
    ours, _ = losses.cross_entropy(logits, labels, label_smoothing=0.2)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    never = logits.at[..., 0].set(-jnp.inf)  # a class that is ruled out costs nothing without it
    assert np.isfinite(losses.cross_entropy(never, jnp.ones_like(labels), label_smoothing=0.0)[0])


# Forecasts ----------------------------------------------------------------------------------------


def test_the_best_forecast_is_the_quantile():
    """Of a sample of numbers, by numpy."""
    y = normal(101, 1)
    grid = jnp.linspace(-3.0, 3.0, 601)

    def of(a: Any) -> Any:
        each = jnp.broadcast_to(a, (101, 1, 3))
        return losses.quantile_loss(each, y, QUANTILES)[0]

    for place, q in enumerate(QUANTILES):
        one = jax.vmap(lambda a, q=q: losses.quantile_loss(
            jnp.broadcast_to(a, (101, 1, 1)), y, (q,))[0])(grid)  # fmt: skip
        assert abs(grid[jnp.argmin(one)] - np.quantile(np.asarray(y), q)) < 0.011, place
    np.testing.assert_allclose(
        of(jnp.zeros(())), sum(np.maximum(q * y, (q - 1) * y).sum() for q in QUANTILES), rtol=1e-12
    )


def test_scale_and_error_by_hand():
    """A season of two; pairs with a masked step do not count, nor do series without a pair."""
    y = np.array([[1.0, 5.0], [2.0, 5.0], [4.0, np.nan], [1.0, np.nan], [7.0, 5.0]])[..., None]
    mask = np.array([[1, 1], [1, 1], [1, 0], [0, 0], [1, 1]], bool)
    assert losses.naive_scale(y, 2, mask)[:, 0].tolist() == [3.0, 0.0]  # |4 − 1|, |7 − 4|
    assert losses.naive_scale(y[:, :1]).tolist() == [[(1 + 2 + 3 + 6) / 4]]
    scale = losses.naive_scale(y[:, :1])
    ours = losses.mean_absolute_scaled_error(
        jnp.array([[[4.0]], [[0.0]]]), jnp.array([[[1.0]], [[6.0]]]), scale
    )
    assert [float(x) for x in ours] == [3.0, 2.0]
    per_sample = jnp.broadcast_to(scale, (2, 1, 1))
    again = losses.mean_absolute_scaled_error(
        jnp.array([[[4.0]], [[0.0]]]), jnp.array([[[1.0]], [[6.0]]]), per_sample
    )
    assert [float(x) for x in again] == [3.0, 2.0]


def test_a_scale_that_is_none():
    """Zero where it is needed is refused; beside a masked series it divides nothing."""
    a, y, scale = normal(T, B, 1), normal(T, B, 1, seed=1), jnp.array([[1.0], [0.0], [2.0]])
    with pytest.raises(ValueError, match=r"scale must be finite and above 0, got 0\.0"):
        losses.mean_absolute_scaled_error(a, y, scale)
    mask = np.ones((T, B), bool)
    mask[:, 1] = False
    loss = losses.mean_absolute_scaled_error
    gradient = jax.grad(lambda a, s: loss(a, y, s, mask)[0], (0, 1))(a, scale)
    assert all(np.isfinite(leaf).all() for leaf in gradient) and not gradient[0][:, 1].any()
    kept = [0, 2]
    expected = loss(a[:, kept], y[:, kept], scale[jnp.array(kept)])
    np.testing.assert_allclose(loss(a, y, scale, mask), expected, rtol=1e-12)


# CTC ----------------------------------------------------------------------------------------------


def read(alignment: tuple[int, ...], blank: int) -> list[int]:
    """What an alignment reads as."""
    return [c for c, _ in itertools.groupby(alignment) if c != blank]


def by_enumeration(logits: Any, labels: list[int], blank: int) -> float:
    """The loss of one sequence, over every alignment."""
    each = log_softmax(logits)
    steps, many = each.shape
    found = [
        sum(each[t, c] for t, c in enumerate(alignment))
        for alignment in itertools.product(range(many), repeat=steps)
        if read(alignment, blank) == labels
    ]
    return -np.logaddexp.reduce(found) if found else np.inf


CASES = [[1, 2], [1, 1], [], [2], [1, 2, 1, 2], [2, 2]]


@pytest.mark.parametrize("blank", [0, 3])
def test_ctc_is_the_sum_over_alignments(blank: int):
    """Equal labels, none, too many, steps and labels with holes that hold NaN and nonsense."""
    cases = [[c - 1 if blank else c for c in case] for case in CASES]
    rng, width = np.random.default_rng(2), len(cases)
    steps = np.array([[1] * 6, [1, 0, 1, 1, 1, 1], [1] * 6, [1] * 6, [1] * 6, [0] * 6]).T
    mask = np.concatenate([steps, np.zeros((1, width))]).astype(bool)
    mask[:2, 0] = False
    logits = rng.standard_normal((7, width, 4))
    labels, there = np.full((7, width), 99), np.zeros((7, width), bool)
    for column, case in enumerate(cases):
        rows = sorted(rng.choice(7, len(case), replace=False))
        labels[rows, column], there[rows, column] = case, True
    bad = np.where(mask[..., None], logits, np.nan)
    expected = [
        by_enumeration(logits[mask[:, i], i], case, blank) for i, case in enumerate(cases[:-1])
    ]
    assert np.isfinite(expected).all()
    run = jax.jit(losses.ctc_loss, static_argnames=("axis", "blank"))
    each, weight = run(bad, labels, mask, there, axis=(), blank=blank)
    np.testing.assert_allclose(each, [*expected, 0.0], rtol=1e-10)
    assert weight.tolist() == [1.0] * 5 + [0.0]
    total = losses.ctc_loss(bad, labels, mask, there, blank=blank)
    np.testing.assert_allclose(total, [sum(expected), 5], rtol=1e-10)
    weights = np.array([0.5, 2.0, 0.0, 1.0, 0.0, 7.0])
    ours = losses.ctc_loss(bad, labels, mask, there, weights, blank=blank)
    np.testing.assert_allclose(ours[0], np.dot(weights[:-1], expected), rtol=1e-10)
    assert float(ours[1]) == 3.5
    gradient = jax.jit(jax.grad(lambda x: losses.ctc_loss(x, labels, mask, there, blank=blank)[0]))
    found = np.asarray(gradient(bad))
    assert np.isfinite(found).all() and not found[~mask].any()


def test_ctc_of_what_cannot_be():
    """Infinite, with a gradient of zero, so that a weight of zero leaves it out."""
    logits = normal(3, 2, 4)
    labels = np.array([[1, 1], [1, 2], [2, 3]])  # the first needs four steps
    loss = jax.jit(losses.ctc_loss, static_argnames="axis")
    each, _ = loss(logits, labels, axis=())
    assert np.isinf(each[0]) and np.isfinite(each[1])
    gradient = jax.grad(lambda x: loss(x, labels)[0])(logits)
    assert np.isfinite(gradient).all() and not gradient[:, 0].any() and gradient[:, 1].any()
    one = loss(logits, labels, None, None, jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(one, [each[1], 1], rtol=1e-12)


def test_ctc_of_any_batch_and_dtype():
    """No batch, two of them, no labels; 16 bits are summed in float32; long and unlikely ones."""
    logits, labels = normal(5, 2, 3, 4), classes(2, 2, 3) % 3 + 1
    each, _ = losses.ctc_loss(logits, labels, axis=())
    assert each.shape == (2, 3)
    alone, weight = losses.ctc_loss(logits[:, 1, 2], labels[:, 1, 2])
    np.testing.assert_allclose(alone, each[1, 2], rtol=1e-12)
    assert float(weight) == 1
    np.testing.assert_allclose(losses.ctc_loss(logits, labels, axis=1)[0], each.sum(1), rtol=1e-12)
    none, _ = losses.ctc_loss(logits, labels[:0])
    np.testing.assert_allclose(none, -log_softmax(logits)[..., 0].sum(), rtol=1e-12)
    half = losses.ctc_loss(logits.astype(jnp.bfloat16), labels)
    assert {x.dtype for x in half} == {jnp.dtype("float32")}
    np.testing.assert_allclose(half[0], each.sum(), rtol=0.02)
    steep = jnp.zeros((2000, 1, 2)).at[..., 1].set(-100.0)
    (loss, _), ones = (
        losses.ctc_loss(steep, jnp.ones((1, 1), int)),
        losses.ctc_loss(-steep, jnp.ones((0, 1), int)),
    )
    np.testing.assert_allclose(float(loss), 100.0 - np.log(2000), rtol=1e-9)
    np.testing.assert_allclose(float(ones[0]), 2000 * 100.0, rtol=1e-9)


@pytest.mark.oracle
def test_ctc_against_torch():
    torch = pytest.importorskip("torch")
    lengths, counts = [9, 5, 7], [4, 2, 0]
    logits, labels = normal(9, 3, 6), np.random.default_rng(3).integers(1, 6, (4, 3))
    mask, there = (
        jaxnn.lengths_to_mask(jnp.array(n), size) for n, size in ((lengths, 9), (counts, 4))
    )
    ours, found = jax.jit(jax.value_and_grad(lambda x: losses.ctc_loss(x, labels, mask, there)[0]))(
        logits
    )
    given = torch.tensor(np.array(logits), requires_grad=True)
    theirs = torch.nn.functional.ctc_loss(
        given.log_softmax(-1), torch.tensor(labels.T.copy()), lengths, counts, reduction="sum"
    )
    theirs.backward()
    np.testing.assert_allclose(ours, float(theirs.detach()), rtol=1e-10)
    np.testing.assert_allclose(found, given.grad.numpy(), atol=1e-10)


@pytest.mark.parametrize("label", [-1, 0, 4])
def test_ctc_labels_outside(label: int):
    """An error where they are known, NaN under jit, and nothing where they do not count."""
    logits, labels = normal(5, 2, 4), np.array([[1, 2], [label, 3]])
    with pytest.raises(ValueError, match=f"ctc_loss: labels must .*{label}"):
        losses.ctc_loss(logits, labels)
    run = jax.jit(losses.ctc_loss, static_argnames="axis")
    each, _ = run(logits, labels, axis=())
    assert np.isnan(each[0]) and np.isfinite(each[1])
    far, _ = run(logits, jnp.array([[1, 2], [2**32 + 1, 3]]), axis=())
    assert np.isnan(far[0]) and np.isfinite(far[1])
    there = np.array([[True, True], [False, True]])
    assert np.isfinite(losses.ctc_loss(logits, labels, None, there)[0])
    with pytest.raises(ValueError, match="ctc_loss: labels must"):
        jax.jit(lambda x: losses.ctc_loss(x, labels))(logits)
