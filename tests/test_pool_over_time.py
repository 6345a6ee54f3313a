"""Pooling over time as a layer: the mask reaches it, and stops there."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rows import assert_close, pad_with_nan, with_gradients

import jaxnn

F64 = jnp.float64
MASK = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]], bool)
"""Holes, and a third sequence that has no valid step."""
POOLS = {"mean": jaxnn.masked_mean, "max": jaxnn.masked_max, "last": jaxnn.masked_last}
DENSE, BOTH, HEAD = (
    jaxnn.dense(3, 2, dtype=F64),
    jaxnn.bidirectional(jaxnn.gru(2, 2, dtype=F64)),
    jaxnn.dense(4, 2, dtype=F64),
)


def sequence() -> jax.Array:
    rng = np.random.default_rng(0)
    return pad_with_nan(jnp.asarray(rng.normal(size=(*MASK.shape, 3))), MASK)


def classifier(how: str) -> Any:
    return jaxnn.serial(
        DENSE, jaxnn.serial(BOTH, jaxnn.pool_over_time(how)), jaxnn.activation(jnp.cos), HEAD
    )


@pytest.mark.parametrize("how", POOLS)
def test_a_classifier_is_its_parts(how: str) -> None:
    """Values and gradients, NaN in the padding; a pooling in an inner serial ends the mask too."""
    model, xs = classifier(how), sequence()
    params = model.init(jax.random.key(0))

    def whole(params: Any, xs: Any) -> Any:
        return model.apply(params, xs, MASK)

    def parts(params: Any, xs: Any) -> Any:
        dense, (both, _), _, head = params
        ys = BOTH.apply(both, DENSE.apply(dense, xs, MASK), MASK)
        return HEAD.apply(head, jnp.cos(POOLS[how](ys, MASK)))

    y, (bars, xs_bar) = with_gradients(whole, params, xs)
    clean = jnp.where(MASK[..., None], xs, jnp.zeros_like(xs))
    want, (want_bars, want_xs_bar) = with_gradients(parts, params, clean)
    assert_close((y, bars, xs_bar), (want, want_bars, want_xs_bar))
    assert y.shape == (3, 2) and not np.any(np.asarray(xs_bar)[~MASK])
    # Pooled, the sequence without a valid step is zeros: the head sees the cosine of them.
    assert_close(y[2], HEAD.apply(params[3], jnp.ones(4, F64)))


@pytest.mark.parametrize("how", POOLS)
def test_pool_alone(how: str) -> None:
    """As the function, with and without a mask, at any rank, dtype by dtype."""
    layer, xs = jaxnn.pool_over_time(how), sequence()
    assert layer is jaxnn.pool_over_time(how) and repr(layer) == f"pool_over_time({how!r})"
    assert layer.init(jax.random.key(0)) == () and layer.pools
    assert_close(layer.apply((), xs, MASK), POOLS[how](xs, MASK))
    state, y = layer.unroll((), xs, (), MASK, start=())
    assert state == () and y.shape == (3, 3)
    images = jnp.arange(48.0, dtype=jnp.bfloat16).reshape(4, 3, 2, 2)
    assert_close(layer.apply((), images), POOLS[how](images))
    with pytest.raises(ValueError, match="mask must have the shape"):
        layer.apply((), images, MASK)
    film = jaxnn.serial(jaxnn.average_pool((1,)), layer)  # which knows that a step is an image
    assert film.apply(((), ()), images, MASK).shape == (3, 2, 2)
    assert layer.apply((), images[:, 0, 0]).dtype == jnp.bfloat16


def test_states_pass_through_a_serial() -> None:
    """Two pieces of a sequence: the recurrent state is carried, the last piece is pooled."""
    model = jaxnn.serial(jaxnn.as_layer(jaxnn.gru(3, 4, dtype=F64)), jaxnn.pool_over_time("last"))
    params, xs = model.init(jax.random.key(0)), jnp.nan_to_num(sequence())
    state, _ = model.unroll(params, xs[:2])
    state, y = model.unroll(params, xs[2:], state)
    want, whole = model.unroll(params, xs)
    assert_close((state, y), (want, whole))
    assert_close(want[0].hidden, whole)
    assert want[1] == ()


def test_side_by_side() -> None:
    """Mean and maximum of one sequence, features one after the other; then no mask either."""
    both = jaxnn.parallel(jaxnn.pool_over_time("mean"), jaxnn.pool_over_time("max"))
    xs = sequence()
    want = jnp.concatenate([jaxnn.masked_mean(xs, MASK), jaxnn.masked_max(xs, MASK)], axis=-1)
    assert_close(both.apply(((), ()), xs, MASK), want)
    model = jaxnn.serial(both, jaxnn.dense(6, 2, dtype=F64))
    assert model.apply(model.init(jax.random.key(0)), xs, MASK).shape == (3, 2)


def test_a_pooling_of_ones_own() -> None:
    """Whatever says that it pools ends the mask, and the resets if it takes them."""

    def first(params: Any, x: Any, mask: Any = None, key: Any = None) -> Any:
        del params, mask, key
        return x[0]

    def unroll(params: Any, xs: Any, *rest: Any, **further: Any) -> Any:
        del rest, further
        return (), first(params, xs)

    own = jaxnn.SequenceLayer(lambda key: (), first, unroll, pools=True)
    model = jaxnn.serial(own, jaxnn.dense(3, 2, dtype=F64))
    params, xs = model.init(jax.random.key(0)), jnp.nan_to_num(sequence())
    assert model.unroll(params, xs, None, MASK, ~MASK)[1].shape == (3, 2)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: jaxnn.pool_over_time("sum"), ValueError, "'mean', 'max', 'last'; got 'sum'"),
        (
            lambda: jaxnn.stack(jaxnn.gru(3, 4), jaxnn.pool_over_time("mean")),  # type: ignore[arg-type]
            TypeError,
            "part 1 .*looks along time, so it cannot run step by step: use serial",
        ),
        (
            lambda: jaxnn.serial(jaxnn.pool_over_time("mean"), HEAD, BOTH),
            ValueError,
            r"part 2, bidirectional\(.*looks along time, and part 0.*has pooled over it",
        ),
        (
            lambda: jaxnn.parallel(jaxnn.pool_over_time("mean"), jaxnn.dense(3, 3)),
            ValueError,
            r"pool over time, or none; pool_over_time\('mean'\) does, dense\(3, 3\) does not",
        ),
        (lambda: _unroll("max", jnp.ones((4, 3)), reset=MASK[:, 0]), ValueError, "reset"),
        (lambda: _unroll("max", jnp.ones(4)), ValueError, "got the shape \\(4,\\)"),
        (lambda: _unroll("max", [1.0]), TypeError, "xs must be an array, got list"),
        (lambda: _unroll("max", jnp.ones((4, 3, 2)), mask=MASK.T), ValueError, "batch-major"),
        (lambda: _unroll("max", jnp.ones((4, 2)), state=((),)), ValueError, "state"),
        (lambda: _unroll("mean", jnp.ones((4, 2), int)), TypeError, "must be floating, got int"),
        (lambda: _unroll("mean", jnp.ones((4, 2)), params=((),)), ValueError, "params"),
        (lambda: jaxnn.pool_over_time("last").init(None), TypeError, "init: key must be one"),  # type: ignore[arg-type]
    ],
)
def test_errors(make: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def _unroll(how: str, xs: Any, params: Any = (), **options: Any) -> Any:
    return jaxnn.pool_over_time(how).unroll(params, xs, **options)
