"""Sequences along any axis, what they end with, other shapes, names of parts, activations."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rows import assert_close

import jaxnn
from jaxnn import activations

KEY = jax.random.key(0)
IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 4, 3)))
ROWS, COLUMNS = -2, -3
BOTH_WAYS = jaxnn.bidirectional(jaxnn.gru(3, 2, dtype="float64"))
PARAMS = BOTH_WAYS.init(KEY)
MASK = jaxnn.lengths_to_mask(np.array([5, 2]), 5).T


def test_along_is_one_row_after_the_other() -> None:
    rows = [[BOTH_WAYS.apply(PARAMS, row) for row in image] for image in IMAGES]
    columns = [[BOTH_WAYS.apply(PARAMS, image[:, c]) for c in range(4)] for image in IMAGES]
    assert_close(jaxnn.along(ROWS, BOTH_WAYS).apply(PARAMS, IMAGES), jnp.array(rows))
    expected = jnp.moveaxis(jnp.array(columns), 2, 1)
    assert_close(jaxnn.along(COLUMNS, BOTH_WAYS).apply(PARAMS, IMAGES), expected)


@pytest.mark.parametrize("axis", [ROWS, COLUMNS])
def test_a_mask_over_the_axis_or_before_it(axis: int) -> None:
    """The second image ends after two rows, of which all columns count; NaN stands below."""
    x = jnp.where(MASK[..., None, None], IMAGES, jnp.nan)
    y = jaxnn.along(axis, BOTH_WAYS).apply(PARAMS, x, MASK)
    whole = jaxnn.along(axis, BOTH_WAYS)
    expected = [whole.apply(PARAMS, IMAGES[:1])[0], whole.apply(PARAMS, IMAGES[1:, :2])[0]]
    assert_close((y[0], y[1, :2]), tuple(expected))
    assert not y[1, 2:].any()


def test_a_batch_major_model_in_a_serial() -> None:
    model = jaxnn.serial(
        jaxnn.along(-2, BOTH_WAYS), jaxnn.dense(4, 1, dtype="float64"), names=("encoder", "head")
    )
    params, xs = model.init(KEY), IMAGES[:, :, 0]
    y = model.apply(params, xs, MASK)
    time_major = BOTH_WAYS.apply(params.encoder, xs.swapaxes(0, 1), MASK.T)
    expected = np.asarray(time_major).swapaxes(0, 1) @ np.asarray(params.head.kernel)
    assert_close(y, expected + np.asarray(params.head.bias))
    ended = jaxnn.along(-2, jaxnn.pool_over_time("last"))
    assert_close(ended.apply((), xs, MASK), jnp.stack([xs[0, -1], xs[1, 1]]))


def test_along_draws_from_the_key() -> None:
    dropped = jaxnn.serial(BOTH_WAYS, jaxnn.dropout(0.5))
    layer, params = jaxnn.along(-2, dropped), dropped.init(KEY)
    drawn = dropped.apply(params, jnp.moveaxis(IMAGES, -2, 0), None, KEY)
    assert_close(layer.apply(params, IMAGES, None, KEY), jnp.moveaxis(drawn, 0, -2))
    assert jnp.sum(drawn == 0) > 10


def ends(**options: Any) -> tuple[Any, Any]:
    xs = jnp.where(MASK.T[..., None], IMAGES[:, :, 0].swapaxes(0, 1), jnp.nan)
    layer = jaxnn.bidirectional(jaxnn.lstm(3, 2, dtype="float64"), **options)
    params = layer.init(KEY)
    (left, right), _ = layer.unroll(params, xs, mask=MASK.T)
    y = jaxnn.final_state(layer).apply(params, xs, MASK.T)
    return y, (left.hidden, right.hidden)


def test_the_final_state_of_both_directions_is_merged() -> None:
    y, (left, right) = ends()
    assert_close(y, jnp.concatenate([left, right], -1))
    y, (left, right) = ends(merge="sum")
    assert_close(y, left + right)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_final_state_of_a_cell_is_its_last_output(reverse: bool) -> None:
    cell = jaxnn.stack(jaxnn.dense(3, 4), jaxnn.lstm(4, 5, projection_size=2))
    layer = jaxnn.as_layer(cell, reverse)
    params, xs = layer.init(KEY), jnp.ones((5, 3), "float32").at[2].set(2)
    ys = layer.apply(params, xs)
    end = jaxnn.final_state(layer)
    assert_close(end.apply(params, xs), ys[0 if reverse else -1], 1e-6)
    state, _ = end.unroll(params, xs)
    chex.assert_trees_all_equal(state, layer.unroll(params, xs)[0])
    head = jaxnn.serial(end, jaxnn.dense(2, 1))
    mask = jnp.array([True, True, False, True, True])
    assert head.apply(head.init(KEY), xs, mask).shape == (1,)


def test_reshape_lays_out_row_by_row() -> None:
    y = jaxnn.reshape(2, (2, -1, 3)).apply((), IMAGES)
    np.testing.assert_array_equal(y, np.reshape(IMAGES, (2, 5, 2, 2, 3)))
    with pytest.raises(ValueError, match=r"reshape\(2, \(5, -1\)\): x .* 12 numbers"):
        jaxnn.reshape(2, (5, -1)).apply((), IMAGES)


def test_named_parts_have_named_params_and_states() -> None:
    cell = jaxnn.stack(jaxnn.dense(3, 4), jaxnn.gru(4, 2), names=("features", "memory"))
    params = cell.init(KEY)
    state, _ = cell.unroll(params, jnp.ones((5, 3), "float32"))
    assert state._fields == params._fields == ("features", "memory")
    assert state.memory.hidden.shape == (2,) and state.features == ()
    plain = jaxnn.stack(jaxnn.dense(3, 4), jaxnn.gru(4, 2))
    chex.assert_trees_all_equal(tuple(params), plain.init(KEY))
    with pytest.raises(TypeError, match=r"NamedTuple of \(features, memory\).*got tuple"):
        cell.unroll(tuple(params), jnp.ones((5, 3), "float32"))
    with pytest.raises(TypeError, match=r"state must be a NamedTuple of \(features, memory\)"):
        cell.apply(params, tuple(state), jnp.ones(3, "float32"))


X = np.array([-7.0, -2.5, -0.5, -0.0, 0.25, 1.5, 9.0])


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (activations.hard_sigmoid(), np.clip(X / 6 + 0.5, 0, 1)),
        (activations.hard_sigmoid(0.2, 0.25), np.clip(X / 5 + 0.25, 0, 1)),
        (activations.clip(-1, 2), np.clip(X, -1, 2)),
        (activations.leaky_relu(0.1), np.where(X < 0, X / 10, X)),
        (activations.scaled_tanh(2, 0.5), 2 * np.tanh(X / 2)),
        (activations.elu(0.5), np.where(X < 0, np.expm1(X) / 2, X)),
    ],
    ids=str,
)
def test_activations(function: Any, expected: np.ndarray) -> None:
    np.testing.assert_allclose(function(jnp.asarray(X)), expected, rtol=1e-12)
    assert function == type(function)(*function) and hash(function) == hash(
        type(function)(*function)
    )
    assert function(jnp.ones(2, "bfloat16")).dtype == "bfloat16"
    layer = jaxnn.activation(function)
    np.testing.assert_array_equal(layer.apply((), jnp.asarray(X)), function(jnp.asarray(X)))


@pytest.mark.parametrize("make", [jaxnn.lstm, jaxnn.gru])
def test_the_activations_of_a_cell_are_where_the_paper_has_tanh_and_sigma(make: Any) -> None:
    """σ(x) = (1 + tanh(x/2)) / 2 by other functions is the same cell."""
    one = make(3, 4, dtype="float64")
    other = make(
        3,
        4,
        activation=activations.scaled_tanh(1, 1),
        gate_activation=lambda x: (1 + jnp.tanh(x / 2)) / 2,
        dtype="float64",
    )
    params, xs = one.init(KEY), IMAGES[0]
    assert_close(other.unroll(params, xs), one.unroll(params, xs))
    turned = make(3, 4, activation=jnp.sin, dtype="float64").unroll(params, xs)[1]
    assert jnp.max(abs(turned - one.unroll(params, xs)[1])) > 1e-3


def test_a_projection_of_the_identity_is_none() -> None:
    plain, projected = (jaxnn.lstm(3, 4, projection_size=p, dtype="float64") for p in (None, 4))
    params = plain.init(KEY)
    own = params._replace(projection=jnp.eye(4))
    assert_close(projected.unroll(own, IMAGES[0]), plain.unroll(params, IMAGES[0]))
    shapes = jax.tree.map(jnp.shape, jaxnn.lstm(3, 8, projection_size=5).init(KEY))
    assert shapes.projection == (8, 5) and shapes.recurrent_kernel == (5, 4, 8)
