"""Cells against their papers' equations, a second time in numpy; gates that are told too much."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compare import assert_close, random_like

import jaxnn

TIME, BATCH, INPUT, HIDDEN, HEADS = 5, 3, 2, 4, 2
TOLERANCE = 1e-12
XS = random_like(jax.ShapeDtypeStruct((TIME, BATCH, INPUT), jnp.float64), 100, scale=1.0)


def random_params(cell: jaxnn.Cell, seed: int = 0) -> Any:
    """Random parameters, none of them zero."""
    return random_like(jax.eval_shape(cell.init, jax.random.key(0)), seed)


def in_numpy(tree: Any) -> Any:
    """The tree with numpy arrays, for arithmetic that jaxnn has no part in."""
    return jax.tree.map(np.asarray, tree)


def sigmoid(a: Any) -> Any:
    """σ."""
    return 1 / (1 + np.exp(-a))


def told(params: Any, x: Any, h: Any) -> Any:
    """x U + h W + b, the gates first."""
    U, W, b = in_numpy(params[:3])
    return np.moveaxis(np.tensordot(x, U, 1) + np.tensordot(h, W, 1) + b, -2, 0)


def test_janet_follows_the_equations() -> None:
    """With β = 0 the two gates are one and its rest, as in the coupled LSTM and the MGU."""
    cell = jaxnn.janet(INPUT, HIDDEN, 0.7, dtype=jnp.float64)
    params = random_params(cell)
    h: Any = np.zeros((BATCH, HIDDEN))
    hs = []
    for x in np.asarray(XS):
        s, n = told(params, x, h)
        gates = jaxnn.JANETGates(sigmoid(s), 1 - sigmoid(s - 0.7), np.tanh(n))  # pyright: ignore[reportArgumentType]
        assert_close(
            jaxnn.gates(cell, params, jaxnn.JANETState(jnp.asarray(h)), x), gates, TOLERANCE
        )
        h = gates.f * h + gates.i * gates.n
        hs.append(h)
    assert_close(cell.unroll(params, XS)[1], np.stack(hs), TOLERANCE)
    f, i, _ = jaxnn.gates(
        jaxnn.janet(INPUT, HIDDEN, 0.0, dtype=jnp.float64), params, jaxnn.JANETState(h), XS[0]
    )
    assert_close(f + i, np.ones_like(h), TOLERANCE)


def convolved(x: Any, kernel: Any) -> Any:
    """x * kernel along one axis, padding "same", the gates first."""
    size = kernel.shape[0]
    padded = np.pad(x, ((0, 0), ((size - 1) // 2, size // 2), (0, 0)))
    places = range(x.shape[1])
    windows = np.stack([padded[:, place : place + size] for place in places], 1)
    return np.moveaxis(np.einsum("bpwf,wfgh->bpgh", windows, kernel), -2, 0)


@pytest.mark.parametrize("reset_after", [True, False])
def test_conv_gru_follows_the_equations(reset_after: bool) -> None:
    cell = jaxnn.conv_gru(
        INPUT, HIDDEN, (5,), (3,), (2,), reset_after=reset_after, dtype=jnp.float64
    )
    params = random_params(cell)
    U, W, b, b_h = in_numpy(params)
    xs = random_like(jax.ShapeDtypeStruct((3, BATCH, 5, INPUT), jnp.float64), 1)
    h: Any = np.zeros((BATCH, 5, HIDDEN))
    for x in np.asarray(xs):
        to_r, to_z, to_n = (
            a + one for a, one in zip(convolved(x, U), b.reshape(3, 1, 1, -1), strict=True)
        )
        from_r, from_z, from_n = convolved(h, W)
        r, z = sigmoid(to_r + from_r), sigmoid(to_z + from_z)
        heard = r * (from_n + b_h) if reset_after else convolved(r * h, W)[2]
        h = (1 - z) * np.tanh(to_n + heard) + z * h
    assert_close(cell.unroll(params, xs)[0].hidden, h, TOLERANCE)


def test_ct_rnn_follows_its_equation() -> None:
    """The step in numpy; two steps of half the time are one, where f holds still; for a small dt it
    is Euler's."""
    make = functools.partial(jaxnn.ct_rnn, INPUT, HIDDEN, dtype=jnp.float64)
    params = random_params(make())
    tau, h = np.exp(np.asarray(params.log_tau)), np.asarray(XS[:2]).reshape(BATCH, HIDDEN)
    state, x = jaxnn.CTRNNState(jnp.asarray(h)), np.asarray(XS[0])
    f = np.tanh(told(params, x, h)[0])
    kept = np.exp(-0.7 / tau)
    new, y = make(dt=0.7).apply(params, state, XS[0])
    assert_close((new.hidden, y), (kept * h + (1 - kept) * f,) * 2, TOLERANCE)
    euler = h + 1e-4 / tau * (f - h)
    assert_close(make(dt=1e-4).apply(params, state, XS[0])[1], euler, 1e-6)
    still = params._replace(recurrent_kernel=jnp.zeros_like(params.recurrent_kernel))
    half, _ = make(dt=0.35).unroll(still, jnp.stack([XS[0]] * 2), state)
    assert_close(half, make(dt=0.7).apply(still, state, XS[0])[0], TOLERANCE)


def test_ltc_follows_its_equations() -> None:
    make = functools.partial(jaxnn.ltc, INPUT, HIDDEN, dtype=jnp.float64)
    params = random_params(make())
    rate, A = np.exp(-np.asarray(params.log_tau)), np.asarray(params.target)
    h: Any = np.zeros((BATCH, HIDDEN))
    for x in np.asarray(XS):
        for _ in range(3):
            f = sigmoid(told(params, x, h)[0])
            h = (h + 0.2 * f * A) / (1 + 0.2 * (rate + f))
    assert_close(make(dt=0.6, unfolds=3).unroll(params, XS)[0].hidden, h, TOLERANCE)


def test_ltc_stays_between_its_targets() -> None:
    """However long a step is and whatever it is told (theorem 2 of the paper)."""
    cell = jaxnn.ltc(INPUT, HIDDEN, dt=1e3, dtype=jnp.float64)
    params = random_params(cell)
    _, ys = cell.unroll(params, 1e3 * XS)
    low, high = jnp.minimum(params.target, 0), jnp.maximum(params.target, 0)
    assert bool(jnp.all((ys >= low[None, None]) & (ys <= high[None, None])))


@pytest.mark.parametrize("recurrent", [True, False])
def test_lif_follows_the_equations(recurrent: bool) -> None:
    """And fires: a test of a silent neuron would pass for anything."""
    cell = jaxnn.lif(INPUT, HIDDEN, 0.8, 0.3, recurrent=recurrent, dtype=jnp.float64)
    params = random_params(cell)
    U, W, b = (None if leaf is None else np.asarray(leaf)[..., 0, :] for leaf in params)
    s: Any = np.zeros((BATCH, HIDDEN))
    v, spikes = s, []
    for x in np.asarray(XS):
        v = 0.8 * v + x @ U + (s @ W if recurrent else 0) + b - 0.3 * s
        s = np.where(v > 0.3, 1.0, 0.0)
        spikes.append(s)
    assert 0.1 < np.mean(spikes) < 0.9
    assert_close(cell.unroll(params, XS), (jaxnn.LIFState(s, v), np.stack(spikes)), TOLERANCE)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "spike", [jaxnn.activations.fast_sigmoid_spike(3.0), jaxnn.activations.arctan_spike(1.5)]
)
def test_the_gradient_of_spikes_is_the_surrogates(spike: Any) -> None:
    """Of the second spike by both inputs, by hand: what fires is also what resets."""
    cell = jaxnn.lif(1, 1, 0.5, 0.4, spike, recurrent=False, bias=False, dtype=jnp.float64)
    one = jnp.ones((1, 1, 1), jnp.float64)
    params = jaxnn.LIFParams(one, None, None)
    xs = jnp.array([0.6, 0.35], jnp.float64)
    gradient = jax.grad(lambda xs: cell.unroll(params, xs[:, None])[1][1, 0])(xs)
    above = np.array([0.6 - 0.4, 0.5 * 0.6 + 0.35 - 0.4 - 0.4])
    if isinstance(spike, jaxnn.activations.FastSigmoidSpike):
        first, second = 1 / (1 + 3 * np.abs(above)) ** 2
    else:
        first, second = 0.75 / (1 + (np.pi * 0.75 * above) ** 2)
    by_hand = np.array([second * (0.5 - 0.4 * first), second])
    assert_close(gradient, by_hand, TOLERANCE)


@pytest.mark.parametrize("exponential", [False, True])
def test_slstm_follows_the_published_code(exponential: bool) -> None:
    """Its step, with a first one that takes m from i~ alone; and the paper's without m."""
    cell = jaxnn.slstm(INPUT, HIDDEN, HEADS, exponential, dtype=jnp.float64)
    params = random_params(cell)
    W = np.zeros((HIDDEN, 4, HIDDEN))  # with its blocks on the diagonal
    for at in (slice(0, 2), slice(2, 4)):
        W[at, :, at] = params.recurrent_kernel[:, :, at]
    h, c, n, m, plain_c, plain_n = np.zeros((6, BATCH, HIDDEN))
    for t, x in enumerate(np.asarray(XS)):
        i, f, z, o = told((params.input_kernel, W, params.bias), x, h)
        log_f = f if exponential else np.log(sigmoid(f))
        new = np.maximum(i, log_f + m) if t else i
        gates = np.exp(i - new), np.exp(log_f + m - new) * (t > 0)
        m, plain_c = new, np.exp(log_f) * plain_c + np.exp(i) * np.tanh(z)
        c, n = gates[1] * c + gates[0] * np.tanh(z), gates[1] * n + gates[0]
        plain_n = np.exp(log_f) * plain_n + np.exp(i)
        h = sigmoid(o) * c / n
        np.testing.assert_allclose(h, sigmoid(o) * plain_c / plain_n, rtol=1e-10)
    assert_close(cell.unroll(params, XS)[0], jaxnn.SLSTMState(h, c, n, m), TOLERANCE)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("output_gate", [True, False])
def test_mlstm_is_the_published_codes_parallel_form(output_gate: bool) -> None:
    """All steps at once: what a query reads is a sum over the steps so far, as in attention."""
    cell = jaxnn.mlstm(INPUT, HIDDEN, HEADS, output_gate, dtype=jnp.float64)
    params = random_params(cell)
    U, b, V, a = in_numpy(params)
    x, d = np.asarray(XS), HIDDEN // HEADS
    parts = np.moveaxis(np.tensordot(x, U, 1) + b, -2, 0)
    q, k, v = (part.reshape(TIME, BATCH, HEADS, d) for part in parts[:3])
    log_i, f = np.moveaxis(np.tensordot(x, V, 1) + a, -2, 0)
    kept = np.cumsum(np.log(sigmoid(f)), axis=0)
    log_D = kept[:, None] - kept + log_i  # (to, from, batch, heads)
    log_D = np.where(np.tri(TIME, dtype=bool)[..., None, None], log_D, -np.inf)
    scores = np.einsum("tbhd,sbhd->tsbh", q, k / np.sqrt(d)) * np.exp(log_D)
    scores /= np.maximum(np.abs(scores.sum(1, keepdims=True)), 1)
    ys = np.einsum("tsbh,sbhd->tbhd", scores, v).reshape(TIME, BATCH, HIDDEN)
    if output_gate:
        ys = sigmoid(parts[3]) * ys
    state, got = cell.unroll(params, XS)
    assert_close(got, ys, TOLERANCE)
    # What is kept divided by exp(m) is the paper's memory.
    C = np.einsum("sbh,sbhv,sbhk->bhvk", np.exp(log_D[-1]), v, k / np.sqrt(d))
    scale = np.exp(np.asarray(state.stabiliser))[..., None, None]
    assert_close(scale * np.asarray(state.memory), C, TOLERANCE)


@pytest.mark.parametrize(
    "cell",
    [jaxnn.slstm(INPUT, HIDDEN), jaxnn.slstm(INPUT, HIDDEN, 1, True), jaxnn.mlstm(INPUT, HIDDEN)],
    ids=["slstm", "slstm, exponential forget", "mlstm"],
)
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_huge_gates_over_many_steps_stay_finite(cell: jaxnn.Cell, scale: float) -> None:
    """Values and gradients, in float32: each of i~ and f~ at plus and minus the scale, in all four
    ways from the first step on; masked steps and resets among them."""
    time = 300
    params = random_like(jax.eval_shape(cell.init, jax.random.key(0)), 0)
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], np.float32)
    name = "gate_kernel" if isinstance(params, jaxnn.MLSTMParams) else "input_kernel"
    kernel = getattr(params, name).at[:, :2].set(0)
    for gate in range(2):
        kernel = kernel.at[gate, gate].set(scale)
    params = params._replace(**{name: kernel})
    order = np.stack([np.roll(signs, n, 0) for n in range(4)], 1)
    rng = np.random.default_rng(0)
    later = signs[rng.integers(4, size=(time - 4, 4))]
    xs = jnp.asarray(np.concatenate([order, later]))
    mask, reset = rng.random((2, time, 4)) < [[[0.9]], [[0.02]]]

    def loss(params: Any, xs: Any) -> Any:
        state, ys = cell.unroll(params, xs, mask=mask, reset=reset)
        return jnp.sum(ys**2), (state, ys)

    run = jax.jit(jax.grad(loss, (0, 1), has_aux=True))
    gradients, (state, ys) = run(params, xs)
    for leaf in jax.tree.leaves((gradients, state, ys)):
        assert bool(jnp.all(jnp.isfinite(leaf)))
    assert float(jnp.abs(gradients[0].input_kernel[:, -1]).max()) > 0
    if isinstance(state, jaxnn.SLSTMState):
        assert float(jnp.abs(ys).max()) <= 1


def test_the_gates_of_an_slstm_are_stabilised() -> None:
    """One of i and f is 1, and with z they make c."""
    cell = jaxnn.slstm(INPUT, HIDDEN, dtype=jnp.float64)
    params = random_params(cell)
    state, _ = cell.unroll(params, XS[:-1])
    i, f, z, o = jaxnn.gates(cell, params, state, XS[-1])
    new, y = cell.apply(params, state, XS[-1])
    assert_close(jnp.maximum(i, f), np.ones((BATCH, HIDDEN)), 0)
    assert_close(f * state.cell + i * z, new.cell, TOLERANCE)
    assert_close(o * new.cell / new.normaliser, y, TOLERANCE)


@pytest.mark.parametrize("make", [jaxnn.slstm, jaxnn.mlstm])
def test_nothing_of_an_empty_memory_counts(make: Any) -> None:
    """After a reset the first input is remembered alone, however little its gate lets in."""
    cell = make(INPUT, HIDDEN, dtype=jnp.float64)
    params = random_params(cell)
    once, _ = cell.unroll(params, XS[-1:])
    reset = np.zeros((TIME, BATCH), bool)
    reset[-1] = True
    again, _ = cell.unroll(params, XS, reset=reset)
    assert_close(again, once, TOLERANCE)
