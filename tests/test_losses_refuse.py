"""What losses, pooling and masks refuse: masks of other axes, unclear samples, odd values."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn

LOSSES: dict[str, Any] = {
    "mean_squared_error": jaxnn.losses.mean_squared_error,
    "half_squared_error": jaxnn.losses.half_squared_error,
    "cross_entropy": jaxnn.losses.cross_entropy,
    "binary_cross_entropy": jaxnn.losses.binary_cross_entropy,
    "accuracy": jaxnn.losses.accuracy,
    "binary_accuracy": jaxnn.losses.binary_accuracy,
}
OF_CLASSES = ("cross_entropy", "accuracy")
OF_PAIRS = [name for name in LOSSES if name not in OF_CLASSES]
BINARY = ["binary_cross_entropy", "binary_accuracy"]
POOLS: dict[str, Any] = {
    "masked_mean": jaxnn.masked_mean,
    "masked_max": jaxnn.masked_max,
    "masked_last": jaxnn.masked_last,
}
MASKED = [*LOSSES, *POOLS]


@pytest.fixture(params=["strict, x64", "as users have it"])
def settings(request: pytest.FixtureRequest) -> Iterator[None]:
    """The tests' own, and jax's defaults."""
    if request.param == "strict, x64":
        yield
    else:
        promotion = jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow")
        with jax.enable_x64(False), promotion[0], promotion[1]:
            yield


def arguments(name: str, shape: tuple[int, ...]) -> list[Any]:
    """Predictions and targets, or xs, that the function takes."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)
    if name in POOLS:
        return [x]
    return [x, jnp.zeros(shape[:-1], int) if name in OF_CLASSES else jnp.zeros(shape, x.dtype)]


def function(name: str) -> Any:
    return {**LOSSES, **POOLS}[name]


@pytest.mark.parametrize("name", MASKED)
@pytest.mark.parametrize(
    ("of", "shape", "hint"),
    [
        ((4, 4, 2), (4,), r"either of two .*broadcast_to\(mask, \(4, 4\)\) or mask\[:, None\]"),
        ((4, 3, 2), (4,), r"fewer dimensions.*mask\[:, None\]"),
        ((4, 3, 2), (3,), r"fewer dimensions.*broadcast_to\(mask, \(4, 3\)\)"),
        ((4, 3, 5, 2), (4, 3), "fewer dimensions"),
        ((4, 3, 5, 2), (4,), "fewer dimensions"),
        ((4, 3, 2), (), r"got \(\): it covers fewer dimensions"),
        ((4, 3, 2), (5,), r"got \(5,\)"),
        ((4, 3, 2), (3, 4), "batch-major"),
        ((4, 3, 2), (4, 3, 1), r"use mask\[\.\.\., 0\]"),
        ((4, 3, 2), (4, 3, 2), r"got \(4, 3, 2\)"),
        ((4, 3, 2), (1, 3), r"got \(1, 3\)"),
    ],
)
def test_masks_have_exactly_the_leading_axes(
    name: str, of: tuple[int, ...], shape: tuple[int, ...], hint: str
):
    """Fewer axes may be meant for either; nothing is broadcast, with or without jit."""
    given, mask = arguments(name, of), jnp.ones(shape, bool)
    leading = str(of[:-1]).replace("(", r"\(").replace(")", r"\)")
    for run in (function(name), jax.jit(function(name))):
        with pytest.raises(
            ValueError, match=rf"{name}: mask must have the shape {leading}.*{hint}"
        ):
            run(*given, mask)


@pytest.mark.parametrize("name", MASKED)
def test_a_mask_that_is_written_out(name: str, settings: None):
    """What the hint says works, and counts steps or sequences as it says."""
    given = arguments(name, (4, 4, 2))
    keep = jnp.array([True, True, True, False])
    first = function(name)(*given, jnp.broadcast_to(keep[..., None], (4, 4)))
    cut = function(name)(*[x[:3] for x in given])
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), first, cut)


@pytest.mark.parametrize("name", MASKED)
@pytest.mark.parametrize("wrong", ["list", "text", "int", "float", "objects", "key"])
def test_masks_are_boolean_arrays(name: str, wrong: str, settings: None):
    given = arguments(name, (4, 3, 2))
    mask: Any = {
        "list": [[True] * 3] * 4,
        "text": "all",
        "int": jnp.ones((4, 3), int),
        "float": np.ones((4, 3)),
        "objects": np.full((4, 3), None),
        "key": jax.random.split(jax.random.key(0), (4, 3)),
    }[wrong]
    with pytest.raises(TypeError, match=f"{name}: mask must be (boolean|an array)"):
        function(name)(*given, mask)


@pytest.mark.parametrize("name", POOLS)
def test_pooling_of_a_line(name: str):
    """xs without features: the mask is `(time,)` too."""
    xs, mask = jnp.array([-1.0, -4.0, jnp.nan]), jnp.array([True, True, False])
    assert float(POOLS[name](xs, mask)) == {"masked_mean": -2.5, "masked_max": -1}.get(name, -4)
    with pytest.raises(ValueError, match=rf"{name}: mask must have the shape \(3,\)"):
        POOLS[name](xs, mask[:, None])


@pytest.mark.parametrize("name", ["masked_mean", "masked_max"])
@pytest.mark.parametrize("dtype", [bool, np.complex64])
def test_pooling_of_what_has_no_order(name: str, dtype: Any):
    with pytest.raises(TypeError, match=f"{name}: xs must be (floating|real numbers), got"):
        POOLS[name](jnp.ones((3, 1), dtype))


@pytest.mark.parametrize("name", OF_PAIRS)
def test_one_axis_is_unclear(name: str):
    """`(N,)` may be N samples or one; both ways out are named, and differ by the factor N."""
    x, y = arguments(name, (4,))
    text = rf"{name}: (predictions|logits) must be .*\[:, None\] for 4 samples.*\[None\] for one"
    with pytest.raises(ValueError, match=text):
        LOSSES[name](x, y)
    with pytest.raises(ValueError, match=r"use (predictions|logits)\[:, None\]"):
        LOSSES[name](x, y[:, None])
    with pytest.raises(ValueError, match=r"got \(4,\): use (targets|labels)\[\.\.\., None\]"):
        LOSSES[name](x[:, None], y)
    samples, sample = LOSSES[name](x[:, None], y[:, None]), LOSSES[name](x[None], y[None])
    assert (float(samples[1]), float(sample[1])) == (4, 1)


@pytest.mark.parametrize("name", OF_CLASSES)
def test_one_axis_of_classes_is_clear(name: str):
    """One sample, with a label and a mask without axes."""
    logits = jnp.array([0.0, 2.0])
    total, weight = LOSSES[name](logits, jnp.array(1), jnp.array(True))
    assert float(weight) == 1
    np.testing.assert_allclose(total, LOSSES[name](logits[None], jnp.array([1]))[0])


@pytest.mark.parametrize("name", OF_CLASSES)
@pytest.mark.parametrize(
    ("labels", "error", "text"),
    [
        (jnp.zeros((4, 1), int), ValueError, r"use labels\[\.\.\., 0\]"),
        (jnp.zeros((4, 2)), TypeError, "argmax.*one-hot"),
        (jnp.zeros((4, 2), int), ValueError, "argmax.*one-hot"),
        (jnp.zeros(4, bool), TypeError, r"got bool: use labels\.astype\(int\)"),
        (jnp.zeros(4), TypeError, r"got float64: use labels\.astype\(int\)"),
        (None, TypeError, "got NoneType"),
        (1, TypeError, "got int"),
        ([0, 1, 0, 1], TypeError, "got list"),
        (np.array(["a"] * 4), TypeError, ""),
        (np.array([None] * 4), TypeError, ""),
        (jax.ShapeDtypeStruct((4,), int), TypeError, "ShapeDtypeStruct"),
        (jax.random.split(jax.random.key(0), 4), TypeError, "got key"),
    ],
)
def test_labels_of_classes(name: str, labels: Any, error: Any, text: str):
    with pytest.raises(error, match=rf"{name}: labels must .*{text}") as caught:
        LOSSES[name](jnp.ones((4, 2)), labels)
    assert caught.type is error


@pytest.mark.parametrize("name", OF_CLASSES)
def test_batch_major_labels(name: str):
    with pytest.raises(ValueError, match=r"batch-major: use labels\.swapaxes\(0, 1\)"):
        LOSSES[name](jnp.ones((4, 3, 2)), jnp.zeros((3, 4), int))


@pytest.mark.parametrize("name", OF_PAIRS)
def test_batch_major_targets(name: str):
    with pytest.raises(ValueError, match=r"batch-major: use (targets|labels)\.swapaxes\(0, 1\)"):
        LOSSES[name](jnp.ones((4, 3, 2)), jnp.ones((3, 4, 2)))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (jnp.ones((4, 2), int), TypeError),
        (np.ones((4, 2), bool), TypeError),
        (jnp.ones((4, 2), jnp.complex64), TypeError),
        (np.full((4, 2), None), TypeError),
        (jax.random.split(jax.random.key(0), (4, 2)), TypeError),
        ([[1.0, 2.0]] * 4, TypeError),
        ("abc", TypeError),
        (None, TypeError),
        (jax.ShapeDtypeStruct((4, 2), jnp.float32), TypeError),
        (jnp.ones(()), ValueError),
        (jnp.ones((4, 0)), ValueError),
    ],
)
def test_predictions(name: str, wrong: Any, error: Any, settings: None):
    """The error names the function called and its argument."""
    targets = arguments(name, (4, 2))[1]
    with pytest.raises(error, match=rf"^{name}: (predictions|logits) must ") as caught:
        LOSSES[name](wrong, targets)
    assert caught.type is error


@pytest.mark.parametrize("name", OF_PAIRS)
@pytest.mark.parametrize(
    "wrong",
    [
        jnp.ones((4, 2), jnp.float16),
        jnp.ones((4, 2), jnp.complex64),
        np.full((4, 2), None),
        jax.random.split(jax.random.key(0), (4, 2)),
        [[1.0, 2.0]] * 4,
        None,
        jax.ShapeDtypeStruct((4, 2), jnp.float32),
    ],
)
def test_targets(name: str, wrong: Any, settings: None):
    with pytest.raises(TypeError, match=rf"^{name}: (targets|labels) must ") as caught:
        LOSSES[name](jnp.ones((4, 2), jnp.float32), wrong)
    assert caught.type is TypeError


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.1, 1.1])
def test_labels_that_are_no_share(name: str, value: float, settings: None):
    """NaN is outside of [0, 1] too, but not at a masked sample."""
    labels = np.zeros((4, 2), np.float32)
    labels[1, 1] = value
    for given in (labels, jnp.asarray(labels)):
        with pytest.raises(ValueError, match=rf"{name}: labels must lie in \[0, 1\], got"):
            LOSSES[name](jnp.ones((4, 2), jnp.float32), given)
        mask = jnp.array([True, False, True, True])
        total, weight = LOSSES[name](jnp.ones((4, 2), jnp.float32), given, mask)
        assert np.isfinite(float(total)) and float(weight) == 3


@pytest.mark.parametrize("name", LOSSES)
def test_labels_beyond_32_bits(name: str, settings: None):
    """2³² + 1 would be 1 in 32 bits: an error, also where only the mask is traced."""
    if name in ("mean_squared_error", "half_squared_error"):
        return
    logits = jnp.ones((4, 2), jnp.float32)
    labels = np.zeros((4, 2) if name in BINARY else 4, np.int64)
    labels.reshape(4, -1)[2, 0] = 2**32 + 1
    with pytest.raises(ValueError, match=f"{name}: labels must lie in .*, got 4294967297"):
        LOSSES[name](logits, labels)
    mask = np.array([True, True, False, True])
    masked = LOSSES[name](logits, labels, mask)
    assert np.isfinite(float(masked[0])) and float(masked[1]) == 3
    if name in OF_CLASSES:
        wrong = jax.jit(lambda mask: LOSSES[name](logits, labels, mask))(~mask)[0]
        assert np.isnan(wrong) if name == "cross_entropy" else float(wrong) == 0


@pytest.mark.parametrize("name", [*OF_PAIRS, *POOLS])
def test_float64_of_numpy_as_users_have_it(name: str):
    """Taken for float32, as jax does, but not where it would become infinite."""
    first, *rest = arguments(name, (4, 2))
    with jax.enable_x64(False):
        rest = [np.asarray(x, np.float64) for x in rest]
        expected = function(name)(first, *[x.astype(np.float32) for x in rest])
        for x in (first, np.asarray(first, np.float64)):
            got = function(name)(x, *rest)
            jax.tree.map(np.testing.assert_array_equal, got, expected)
            assert {leaf.dtype for leaf in jax.tree.leaves(got)} == {np.dtype("float32")}
        large = np.asarray(first, np.float64)
        large[1, 1] = 1e300
        with pytest.raises(ValueError, match=rf"{name}: .* takes for float32.*1e\+300"):
            function(name)(large, *rest)
        mask = np.array([True, False, True, True])
        for run in (lambda f: f, jax.jit):  # whatever stands at a masked step
            pooled = run(lambda mask: function(name)(large, *rest, mask))(mask)
            assert np.isfinite(jax.tree.leaves(pooled)[0]).all()
        large[1, 1] = np.inf  # which it was already
        function(name)(large, *rest)


@pytest.mark.parametrize("name", ["accuracy", "binary_accuracy"])
def test_nan_is_never_right(name: str):
    """A network that has diverged does not score with the class 0."""
    logits, labels = arguments(name, (4, 2))
    right, weight = LOSSES[name](logits.at[1:].set(jnp.nan), jnp.zeros_like(labels))
    first, _ = LOSSES[name](logits[:1], jnp.zeros_like(labels[:1]))
    assert (float(right), float(weight)) == (float(first), 4)


@pytest.mark.parametrize(
    ("lengths", "error", "text"),
    [
        ([1.0, 2.0], TypeError, "lengths must be integers, got float64"),
        (True, TypeError, "lengths must be integers, got bool"),
        (np.array([True]), TypeError, "lengths must be integers, got bool"),
        (None, TypeError, "lengths must be integers, got NoneType"),
        ("3", TypeError, "lengths must be integers, got"),
        ([[1], [1, 2]], TypeError, "lengths must be integers, got list"),
        (jax.random.key(0), TypeError, "lengths must be integers, got key"),
        (jax.ShapeDtypeStruct((2,), int), TypeError, "lengths must be integers, got ShapeDtype"),
        (np.array([1, 2**32 + 1]), ValueError, "lengths must lie in 0…3, got 4294967297"),
        (np.array([1, 2**63], np.uint64), ValueError, "lengths must lie in 0…3, got 9223"),
        (-1, ValueError, "lengths must lie in 0…3, got -1"),
    ],
)
def test_lengths(lengths: Any, error: Any, text: str, settings: None):
    with pytest.raises(error, match=f"lengths_to_mask: {text}") as caught:
        jaxnn.lengths_to_mask(lengths, 3)
    assert caught.type is error


@pytest.mark.parametrize(
    ("time", "error"),
    [(2.0, TypeError), (True, TypeError), ("3", TypeError), (None, TypeError), (-1, ValueError)],
)
def test_time_of_lengths(time: Any, error: Any):
    with pytest.raises(error, match="lengths_to_mask: time must be") as caught:
        jaxnn.lengths_to_mask(jnp.array([0, 0]), time)
    assert caught.type is error


def test_lengths_under_jit():
    """Lengths may be traced, the number of steps may not, unless it is a size."""
    lengths = jnp.array([0, 2])
    with pytest.raises(TypeError, match=r"time must be an integer that is known.*got int64"):
        jax.jit(jaxnn.lengths_to_mask)(lengths, 3)
    with pytest.raises(TypeError, match="lengths must be integers, got float"):
        jax.jit(functools.partial(jaxnn.lengths_to_mask, time=3))(jnp.ones(2))
    (time,) = jax.export.symbolic_shape("t")
    exported = jax.export.export(
        jax.jit(lambda xs: jaxnn.lengths_to_mask(jnp.array([0, 2]), xs.shape[0]))
    )(jax.ShapeDtypeStruct((time,), jnp.float32))
    assert exported.call(jnp.ones(3, jnp.float32)).T.tolist() == [[False] * 3, [True, True, False]]
