"""Gated cells, linear in the state or diagonal: their papers' equations once more, in numpy."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rows import assert_close

import jaxnn

TIME, BATCH, INPUT, HIDDEN = 6, 2, 4, 6
EXACT = jnp.float64


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def numbers(cell: jaxnn.Cell, rows: int) -> tuple[Any, Any, Any, Any]:
    """Parameters, a state and inputs, none of them zero; and the parameters in numpy."""
    rng = np.random.default_rng(4)

    def draw(leaf: Any) -> jax.Array:
        return jnp.asarray(rng.normal(size=leaf.shape))

    params = jax.tree.map(draw, cell.init(jax.random.key(0)))
    state = jax.tree.map(draw, cell.initial_state(params, (BATCH,)))
    xs = jnp.asarray(rng.normal(size=(TIME, BATCH, rows)))
    return params, state, xs, jax.tree.map(np.asarray, params)


def min_gru(p: Any, h: Any, x: Any) -> Any:
    z = sigmoid(x @ p.input_kernel[:, 0] + p.bias[0])
    n = x @ p.input_kernel[:, 1] + p.bias[1]
    h = (1 - z) * h + z * n
    return h, h


def min_lstm(p: Any, h: Any, x: Any) -> Any:
    f, i = (sigmoid(x @ p.input_kernel[:, gate] + p.bias[gate]) for gate in (0, 1))
    n = x @ p.input_kernel[:, 2] + p.bias[2]
    h = f / (f + i) * h + i / (f + i) * n
    return h, h


def rg_lru(p: Any, h: Any, x: Any) -> Any:
    """With full matrices, of which the blocks are a part; a is a power of σ(−Λ)."""
    blocks, rows, _, _ = p.input_kernel.shape
    full = np.zeros((2, blocks * rows, blocks * rows))
    for gate in (0, 1):
        for block in range(blocks):
            at = slice(block * rows, (block + 1) * rows)
            full[gate, at, at] = p.input_kernel[block, :, gate]
    r, i = (sigmoid(x @ full[gate] + p.bias[gate]) for gate in (0, 1))
    a = sigmoid(-p.decay) ** (8 * r)
    h = a * h + np.sqrt(1 - a**2) * (i * x)
    return h, h


def qrnn(p: Any, c: Any, x: Any) -> Any:
    z, f, o = (x @ p.input_kernel[:, gate] + p.bias[gate] for gate in range(3))
    c = sigmoid(f) * c + (1 - sigmoid(f)) * np.tanh(z)
    return c, sigmoid(o) * c


def sru(p: Any, c: Any, x: Any) -> Any:
    n, f, r = (x @ p.input_kernel[:, gate] for gate in range(3))
    f, r = sigmoid(f + p.bias[0]), sigmoid(r + p.bias[1])
    c = f * c + (1 - f) * n
    return c, r * np.tanh(c) + (1 - r) * x


def indrnn(p: Any, h: Any, x: Any) -> Any:
    bound = 2 ** (1 / 3)
    u = np.minimum(np.maximum(p.recurrent_weight[0], -bound), bound)
    h = np.maximum(x @ p.input_kernel[:, 0] + u * h + p.bias[0], 0)
    return h, h


Equations = Callable[[Any, Any, Any], Any]
REFERENCES: dict[str, tuple[jaxnn.Cell, int, Equations]] = {
    "min_gru": (jaxnn.min_gru(INPUT, HIDDEN, dtype=EXACT), INPUT, min_gru),
    "min_lstm": (jaxnn.min_lstm(INPUT, HIDDEN, dtype=EXACT), INPUT, min_lstm),
    "rg_lru": (jaxnn.rg_lru(HIDDEN, dtype=EXACT), HIDDEN, rg_lru),
    "rg_lru of blocks": (jaxnn.rg_lru(HIDDEN, 3, dtype=EXACT), HIDDEN, rg_lru),
    "qrnn": (jaxnn.qrnn(INPUT, HIDDEN, dtype=EXACT), INPUT, qrnn),
    "sru": (jaxnn.sru(HIDDEN, dtype=EXACT), HIDDEN, sru),
    "indrnn": (jaxnn.indrnn(INPUT, HIDDEN, steps=3, dtype=EXACT), INPUT, indrnn),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_it_follows_the_papers_equations(name: str) -> None:
    cell, rows, equations = REFERENCES[name]
    params, state, xs, p = numbers(cell, rows)
    s, ys = np.asarray(state[0]), []
    for x in np.asarray(xs):
        s, y = equations(p, s, x)
        ys.append(y)
    got, outputs = cell.unroll(params, xs, state)
    assert_close((got[0], outputs), (s, np.stack(ys)), 1e-12)


def test_the_bound_of_an_indrnn_counts() -> None:
    """The weights above reach beyond it, and without `steps` there is none."""
    params, state, xs, p = numbers(*REFERENCES["indrnn"][:2])
    assert np.abs(p.recurrent_weight).max() > 2 ** (1 / 3)
    free = jaxnn.indrnn(INPUT, HIDDEN, dtype=EXACT)
    assert not np.allclose(
        free.unroll(params, xs, state)[1], REFERENCES["indrnn"][0].unroll(params, xs, state)[1]
    )


@pytest.mark.parametrize(("steps", "bound"), [(None, 1.0), (2, math.sqrt(2))])
def test_an_indrnn_starts_below_its_bound(steps: int | None, bound: float) -> None:
    params = jaxnn.indrnn(2, 2000, steps=steps).init(jax.random.key(0))
    u = np.asarray(params.recurrent_weight)
    assert u.min() >= 0 and 0.99 * bound < u.max() <= bound


def test_an_rg_lru_starts_with_its_decay_uniform() -> None:
    """a, where r = 1: between 0.9 and 0.999, with the mean and the variance of that."""
    decay = np.asarray(jaxnn.rg_lru(4000).init(jax.random.key(0)).decay, np.float64)
    a = sigmoid(-decay) ** 8
    assert a.min() + 1e-5 >= 0.9 and a.max() <= 0.999 + 1e-5
    np.testing.assert_allclose(a.mean(), 0.9495, atol=0.002)
    np.testing.assert_allclose(a.var(), 0.099**2 / 12, rtol=0.05)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_the_gradients_of_an_rg_lru_are_finite_where_it_forgets_nothing(dtype: str) -> None:
    """r or softplus(Λ) is zero, or nearly so, in the arithmetic, so that a = 1."""
    cell = jaxnn.rg_lru(6, bias_init=jax.nn.initializers.zeros, dtype=dtype)
    params = cell.init(jax.random.key(0))
    assert params.bias is not None
    far = jnp.asarray([-1e4, -400.0, -100.0, -80.0, -30.0, 0.0], params.bias.dtype)
    xs = jnp.ones((4, 6), dtype)

    def loss(params: Any) -> jax.Array:
        return jnp.sum(cell.unroll(params, xs)[1].astype(jnp.float32) ** 2)

    for at in (params._replace(bias=params.bias.at[0].set(far)), params._replace(decay=far)):
        first = jax.grad(loss)(at)
        again = jax.grad(
            lambda p: sum(jnp.sum(leaf) for leaf in jax.tree.leaves(jax.grad(loss)(p)))
        )
        for leaf in jax.tree.leaves((first, again(at))):
            assert np.isfinite(np.asarray(leaf, np.float64)).all()


def test_the_root_of_an_rg_lru_loses_no_digits() -> None:
    """√(1 − a²) for an a that rounds to 1 in float32: what h gets of x in one step."""
    cell = jaxnn.rg_lru(1, bias=False, kernel_init=jax.nn.initializers.zeros)
    params = cell.init(jax.random.key(0))._replace(decay=jnp.asarray([-20.0], jnp.float32))
    _, y = cell.apply(params, cell.initial_state(params), jnp.ones(1, jnp.float32))
    log_a = -8 * math.log1p(math.exp(-20)) * 0.5
    np.testing.assert_allclose(y[0], math.sqrt(-math.expm1(2 * log_a)) * 0.5, rtol=1e-6)


def test_gates_near_one_survive_16_bits() -> None:
    """In bfloat16 a = 0.999 would be 1: nothing would be forgotten in a thousand steps."""
    cells = [jaxnn.min_gru(1, 1, dtype=dtype) for dtype in ("bfloat16", "float32")]
    params = cells[1].init(jax.random.key(0))
    params = params._replace(bias=jnp.asarray([[-7.0], [0.0]], jnp.float32))
    state = jaxnn.MinGRUState(jnp.ones(1, jnp.float32))
    got, want = (
        cell.unroll(params, jnp.zeros((1000, 1), dtype), state)[0].hidden
        for cell, dtype in zip(cells, ("bfloat16", "float32"), strict=True)
    )
    assert want < 0.5
    np.testing.assert_allclose(got, want, rtol=1e-3)


def test_the_block_of_an_rg_lru_is_its_parts() -> None:
    """Written once more from the functions of its parts."""
    block = jaxnn.rg_lru_block(4, 6, blocks=2, window=3, dtype=EXACT)
    params, state, xs, _ = numbers(block, 4)
    conv, unit = jaxnn.causal_conv(6, 3, dtype=EXACT), jaxnn.rg_lru(6, 2, dtype=EXACT)
    ((into, conv_params, unit_params), (gate, _)), out = params
    ((), before, hidden), () = state
    last, us = conv.unroll(conv_params, xs @ into.kernel + into.bias[None, None], before)
    final, hs = unit.unroll(unit_params, us, hidden)
    branch = hs * jax.nn.gelu(xs @ gate.kernel + gate.bias[None, None])
    got, ys = block.unroll(params, xs, state)
    assert_close(
        (got, ys), ((((), last, final), ()), branch @ out.kernel + out.bias[None, None]), 1e-12
    )


def test_blocks_of_an_rg_lru_each_start_as_one() -> None:
    """LeCun's variance is 1 / rows of a block, and no two blocks or gates are equal."""
    kernel = np.asarray(jaxnn.rg_lru(400, 4).init(jax.random.key(0)).input_kernel)
    assert kernel.shape == (4, 100, 2, 100)
    np.testing.assert_allclose(kernel.std(axis=(1, 3)), 0.1, rtol=0.05)
    pieces = [kernel[block, :, gate] for block in range(4) for gate in range(2)]
    assert all(not np.allclose(a, b) for n, a in enumerate(pieces) for b in pieces[:n])
