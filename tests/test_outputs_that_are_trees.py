"""Whole states as outputs: merged both ways and side by side, along any axis, and masked."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn

KEY, T, B, F = jax.random.key(0), 4, 2, 3
MASK = jnp.array([[True, True], [True, False], [False, True], [True, True]])
NUMBERS = jnp.asarray(np.random.default_rng(0).normal(size=(T, B, F)), jnp.float32)
XS = jnp.where(MASK[..., None], NUMBERS, jnp.nan)
WORDS: dict[str, Any] = {
    "concat": lambda a, b: np.concatenate([a, b], -1),
    "sum": lambda a, b: a + b,
    "mean": lambda a, b: (a + b) / 2,
    "product": lambda a, b: a * b,
}


def close(got: Any, want: Any) -> None:
    assert jax.tree.structure(got) == jax.tree.structure(want)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, want)


def inner() -> tuple[Any, Any]:
    """A stack, whose state is a tuple of states, and parameters for both directions."""
    cell = jaxnn.output_state(jaxnn.stack(jaxnn.lstm(F, 2), jaxnn.gru(2, 3)))
    return cell, jaxnn.bidirectional(cell).init(KEY)


@pytest.mark.parametrize("merge", WORDS)
def test_both_ways(merge: str) -> None:
    """Leaf by leaf what two runs give; zeros at masked steps, where xs are NaN."""
    cell, params = inner()
    states, ys = jaxnn.bidirectional(cell, merge=merge).unroll(params, XS, None, MASK)
    last, left = cell.unroll(params.forward, XS, None, MASK)
    first, right = cell.unroll(params.backward, XS, None, MASK, None, True)
    close(states, (last, first))
    close(ys, jax.tree.map(WORDS[merge], left, right))
    for leaf in jax.tree.leaves(ys):
        assert not leaf[~np.asarray(MASK)].any() and leaf[np.asarray(MASK)].any()


def test_gradients_of_merged_states() -> None:
    """Finite where xs are NaN, and those of the two runs."""
    cell, params = inner()
    layer = jaxnn.bidirectional(cell)

    def squares(tree: Any) -> Any:
        return sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree))

    def by_hand(params: Any, xs: Any) -> Any:
        _, left = cell.unroll(params.forward, xs, None, MASK)
        _, right = cell.unroll(params.backward, xs, None, MASK, None, True)
        return squares((left, right))

    ours = jax.grad(lambda p, xs: squares(layer.apply(p, xs, MASK)), (0, 1))(params, XS)
    close(ours, jax.grad(by_hand, (0, 1))(params, XS))


def test_complex_states_are_multiplied_as_such() -> None:
    """Those of an LRU are pairs."""
    cell = jaxnn.output_state(jaxnn.lru(F, 2))
    params = jaxnn.bidirectional(cell).init(KEY)
    xs = jnp.ones((T, B, F), jnp.float32)
    ys: Any = jaxnn.bidirectional(cell, merge="product").apply(params, xs)
    parts = (
        cell.unroll(params.forward, xs)[1].hidden,
        cell.unroll(params.backward, xs, None, None, None, True)[1].hidden,
    )
    left, right, both = (
        np.asarray(part.real) + 1j * np.asarray(part.imag) for part in (*parts, ys.hidden)
    )
    np.testing.assert_allclose(both, left * right, rtol=1e-5)


def test_side_by_side_and_along_another_axis() -> None:
    """`parallel` with a mask, at the end of a `serial`, and batch-major by `along`."""
    layer = jaxnn.as_layer(jaxnn.output_state(jaxnn.lstm(F, 2)))
    both: Any = jaxnn.serial(jaxnn.activation(jnp.tanh), jaxnn.parallel(layer, layer))
    params = both.init(KEY)
    ys = both.apply(params, XS, MASK)
    each = [layer.apply(p, jnp.tanh(jnp.where(MASK[..., None], XS, 0)), MASK) for p in params[1]]
    close(ys, jax.tree.map(WORDS["concat"], *each))
    turned = jaxnn.along(-2, both).apply(params, XS.swapaxes(0, 1), MASK.T)
    close(jax.tree.map(lambda y: y.swapaxes(0, 1), turned), ys)


def test_the_final_state_of_such_a_layer() -> None:
    cell, params = inner()
    encoder = jaxnn.final_state(jaxnn.bidirectional(cell))
    (left, right), y = encoder.unroll(params, XS, None, MASK)
    close(y, np.concatenate([left[-1].hidden, right[-1].hidden], -1))


def noisy(params: Any, state: Any, x: Any, scale: float, *, key: Any = None) -> Any:
    """A step whose key is known by its name alone."""
    noise = jnp.zeros_like(x) if key is None else jax.random.normal(key, x.shape, x.dtype)
    return state, scale * x + noise


def scaled(state: Any, scale: float = 2.0, shift: float = 1.0) -> Any:
    """An output with options of its own, as many as `(params, state, x)` are."""
    return scale * state + shift


def test_functions_of_ones_own_get_what_their_parameters_say() -> None:
    """A key by its name, also behind an option that is bound; an output's own options stay."""

    def zeros(params: Any, batch_shape: tuple[int, ...] = ()) -> Any:
        return jnp.zeros((*batch_shape, F), jnp.float32)

    xs = jnp.ones((T, B, F), jnp.float32)
    cell = jaxnn.cell(lambda key: (), functools.partial(noisy, scale=2.0), zeros)
    assert (cell.unroll((), xs)[1] == 2).all()
    assert (cell.unroll((), xs, key=KEY)[1] != 2).all()
    quiet = jaxnn.cell(lambda key: (), functools.partial(noisy, scale=2.0, key=None), zeros)
    assert (quiet.unroll((), xs, key=KEY)[1] == 2).all()
    one = jnp.ones((), jnp.float32)
    linear = jaxnn.linear_cell(lambda key: one, lambda a, x: (a, x), zeros, scaled)
    assert linear.unroll(one, xs)[1][:, 0, 0].tolist() == [3.0, 5.0, 7.0, 9.0]
