"""Cells with layer norms: their equations in numpy, and how their gradient runs."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rows import assert_close, with_gradients

import jaxnn
from jaxnn.internal.standardized import normed, scaled, standardized
from jaxnn.interop.torch import to_state_dict

LSTM = jaxnn.lstm(3, 5, layer_norm=True, dtype="float64")
COUPLED = jaxnn.lstm(3, 5, coupled=True, projection_size=4, layer_norm=True, dtype="float64")
GRU = jaxnn.gru(3, 5, layer_norm=True, dtype="float64")
CELLS = {"lstm": LSTM, "lstm coupled and projected": COUPLED, "gru": GRU}


@functools.cache
def given(name: str) -> tuple[Any, Any, Any]:
    """A cell, parameters of which none is zero, and a sequence."""
    cell, rng = CELLS[name], np.random.default_rng(0)
    params = jax.tree.map(lambda p: rng.normal(size=p.shape), cell.init(jax.random.key(0)))
    return cell, jax.tree.map(jnp.asarray, params), jnp.asarray(rng.normal(size=(6, 2, 3)))


def norm(v: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    centred = v - v.mean(axes, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axes, keepdims=True) + 1e-5)


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def sums(p: Any, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """γ_x∘N(x U) and γ_h∘N(h W), `(batch, gates, hidden)`."""
    both = np.tensordot(x, p.input_kernel, 1), np.tensordot(h, p.recurrent_kernel, 1)
    return tuple(
        norm(a, (1, 2)) * gain
        for a, gain in zip(both, (p.norm.input_gain, p.norm.recurrent_gain), strict=True)
    )


def lstm_step(p: Any, h: np.ndarray, c: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, ...]:
    *i, f, g, o = np.moveaxis(sum(sums(p, x, h)) + p.bias, 1, 0)
    f, o = sigmoid(f), sigmoid(o)
    c = f * c + (sigmoid(i[0]) if i else 1 - f) * np.tanh(g)
    h = o * np.tanh(norm(c, (1,)) * p.norm.cell_gain + p.norm.cell_bias)
    return h if p.projection is None else h @ p.projection, c


def gru_step(p: Any, h: np.ndarray, x: np.ndarray) -> tuple[np.ndarray]:
    a, m = (np.moveaxis(each, 1, 0) for each in sums(p, x, h))
    a = a + p.bias[:, None]
    r, z = sigmoid(a[:2] + m[:2])
    n = np.tanh(a[2] + r * (m[2] + p.recurrent_bias))
    return ((1 - z) * n + z * h,)


@pytest.mark.parametrize("name", CELLS)
def test_the_equations(name: str) -> None:
    cell, params, xs = given(name)
    _, ys = cell.unroll(params, xs)
    p = jax.tree.map(np.asarray, params)
    state = [np.asarray(leaf) for leaf in cell.initial_state(params, (2,))]
    step: Any = gru_step if name == "gru" else lstm_step
    for x, y in zip(np.asarray(xs), ys, strict=True):
        state = step(p, *state, x)
        assert_close(y, state[0], 1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_the_rule_takes_norms(name: str) -> None:
    cell, params, xs = given(name)
    (choice,) = jaxnn.explain(cell, xs).choices
    assert choice.derivative == "fast"

    def run(method: str, params: Any, xs: Any) -> Any:
        return jaxnn.with_method(cell, method).unroll(params, xs)

    got, want = (
        with_gradients(functools.partial(run, method), params, xs)
        for method in ("fast", "sequential")
    )
    assert_close(got, want)


def test_of_a_constant_input_nothing_is_left_but_the_gain() -> None:
    """x U that is scaled is the same after the norm, but for ε."""
    cell, params, xs = given("gru")
    (first, one), (second, other) = (cell.unroll(params, scale * xs) for scale in (10.0, 20.0))
    assert_close((first, one), (second, other), 1e-4)


def test_the_rule_with_steps_that_draw() -> None:
    cell, params, xs = given("lstm")
    random = jaxnn.regularizers.zoneout(cell, 0.5)
    key = jax.random.key(3)

    def run(method: str, params: Any, xs: Any) -> Any:
        model = jaxnn.with_method(random, method)
        return model.unroll(params, xs, None, np.ones((6, 2), bool), None, True, key)

    got, want = (
        with_gradients(functools.partial(run, method), params, xs)
        for method in ("fast", "sequential")
    )
    assert_close(got, want)


@jax.custom_jvp
def doubled(gain: jax.Array, *terms: jax.Array) -> tuple[jax.Array, ...]:
    """What `normed` computes, with another derivative."""
    return scaled(gain, standardized(terms)[0])


@doubled.defjvp
def _(primals: Any, tangents: Any) -> Any:
    results, dots = jax.jvp(normed, primals, tangents)
    return results, tuple(2 * dot for dot in dots)


def gain_of_the_state(params: Any, projected: Any, mixed: Any, state: Any) -> Any:
    """The gain is not known before the step."""
    (new,) = normed(jnp.stack([state[0]]), projected + mixed)
    return jnp.tanh(new)


def one_is_projected(params: Any, projected: Any, mixed: Any, state: Any) -> Any:
    a, b = normed(params.gain, projected, mixed)
    return jnp.tanh(a * b + state)


def in_a_row(params: Any, projected: Any, mixed: Any, state: Any) -> Any:
    """A norm of a norm, of what the parameters alone tell too, and one that nothing is made of."""
    (first,) = normed(params.gain[:1], projected + mixed)
    (second,) = normed(params.gain[1:], jnp.sin(first) + jnp.expand_dims(params.gain[0], 0))
    return jnp.tanh(second * first) + 0 * normed(params.gain[:1], mixed)[0]


def another_rule(params: Any, projected: Any, mixed: Any, state: Any) -> Any:
    (new,) = doubled(params.gain[:1], projected + mixed)
    return jnp.tanh(new)


def by_hand(params: Any, projected: Any, mixed: Any, state: Any) -> Any:
    return jnp.tanh(projected + mixed - jnp.mean(mixed, -1, keepdims=True))


class Weights(NamedTuple):
    kernel: jax.Array
    recurrent: jax.Array
    gain: jax.Array


@pytest.mark.parametrize(
    ("combine", "derivative"),
    [
        (one_is_projected, "fast"),
        (in_a_row, "fast"),
        (gain_of_the_state, None),
        (another_rule, None),
        (by_hand, None),
    ],
)
def test_norms_of_a_cell_of_ones_own(combine: Any, derivative: str | None) -> None:
    """What is not seen to be this norm is no norm to the rule: its derivative is its own."""
    rng = np.random.default_rng(0)
    params = Weights(*(jnp.asarray(rng.normal(size=s)) for s in ((3, 4), (4, 4), (2, 4))))
    cell = jaxnn.split_cell(
        lambda key: params,
        lambda params, x: x @ params.kernel,
        lambda params, state: state @ params.recurrent,
        combine,
        lambda params, batch_shape=(): jnp.ones((*batch_shape, 4)),
        lambda state: state,
    )
    xs, mask = jnp.asarray(rng.normal(size=(5, 2, 3))), rng.random((5, 2)) < 0.7
    (choice,) = jaxnn.explain(cell, xs).choices
    assert (choice.derivative == "fast") == (derivative == "fast")
    state = jnp.asarray(rng.normal(size=(2, 4)))

    def run(method: str | None, *arguments: Any) -> Any:
        params, xs, state = arguments
        model = cell if method is None else jaxnn.with_method(cell, method)
        return model.unroll(params, xs, state, mask, ~mask)

    got, want = (
        with_gradients(functools.partial(run, method), params, xs, state)
        for method in (None, "sequential")
    )
    assert_close(got, want)


def test_torch_has_no_place_for_it() -> None:
    cell = jaxnn.lstm(3, 4, layer_norm=True)
    with pytest.raises(ValueError, match="no layer norm"):
        to_state_dict(cell, cell.init(jax.random.key(0)))
