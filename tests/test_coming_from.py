"""The conversions that docs/guides/coming_from.md tells of, against the libraries that it names."""

import doctest
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compare import oracle

import jaxnn

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "guides" / "coming_from.md"
BATCH, TIME, INPUT, HIDDEN = 3, 5, 3, 8
pytestmark = pytest.mark.oracle


@pytest.fixture(autouse=True)
def usual_settings() -> Any:
    """The other libraries are not written for strict promotion."""
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


def random(*shape: int) -> np.ndarray:
    seed = sum(shape) + len(shape)
    return 0.5 * np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def filled(tree: Any) -> Any:
    """The same tree with random leaves."""
    return jax.tree.map(lambda leaf: jnp.asarray(random(*leaf.shape)), tree)


X = random(BATCH, TIME, INPUT)
XS = X.swapaxes(0, 1)


def assert_same(cell: Any, params: Any, expected: Any) -> Any:
    """Outputs `(batch, time, hidden)` of the other library; gives our final state."""
    state, ys = cell.unroll(params, jnp.asarray(XS))
    np.testing.assert_allclose(ys.swapaxes(0, 1), expected, atol=3e-7)
    return state


def lstm_params(kernels: Any, bias: Any) -> jaxnn.LSTMParams:
    """From both kernels, `(rows, 4, hidden)`, and b `(4, hidden)`, in our order of the gates."""
    input_kernel, recurrent_kernel = map(jnp.asarray, kernels)
    return jaxnn.LSTMParams(input_kernel, recurrent_kernel, jnp.asarray(bias), None)


def gru_params(kernels: Any, bias: Any, recurrent_bias: Any) -> jaxnn.GRUParams:
    """From both kernels, `(rows, 3, hidden)`, b `(3, hidden)` and b_h, in our gate order."""
    input_kernel, recurrent_kernel = map(jnp.asarray, kernels)
    return jaxnn.GRUParams(input_kernel, recurrent_kernel, jnp.asarray(bias), recurrent_bias)


def by_gate(weight: Any, gates: int) -> Any:
    return weight.reshape(gates, -1, weight.shape[-1]).transpose(2, 0, 1)


def test_the_pages_own_function_for_torch() -> None:
    torch = oracle("torch")
    names: dict[str, Any] = {}
    for example in doctest.DocTestParser().get_examples(PAGE.read_text(encoding="utf-8")):
        if example.source.startswith(("import ", "def ")):
            exec(example.source, names)
    theirs = torch.nn.LSTM(INPUT, HIDDEN, batch_first=True)
    weights = {name: random(*p.shape) for name, p in theirs.named_parameters()}
    theirs.load_state_dict({name: torch.tensor(w) for name, w in weights.items()})
    ys, (h, c) = theirs(torch.tensor(X))
    params = names["lstm_from_torch"](weights)
    state = assert_same(jaxnn.lstm(INPUT, HIDDEN), params, ys.detach())
    np.testing.assert_allclose(state.hidden, h[0].detach(), atol=3e-7)
    np.testing.assert_allclose(state.cell, c[0].detach(), atol=3e-7)


def test_the_elman_of_torch() -> None:
    torch = oracle("torch")
    theirs = torch.nn.RNN(INPUT, HIDDEN, batch_first=True)
    weights = {name: random(*p.shape) for name, p in theirs.named_parameters()}
    theirs.load_state_dict({name: torch.tensor(w) for name, w in weights.items()})
    params = jaxnn.ElmanParams(
        jnp.asarray(weights["weight_ih_l0"].T[:, None]),
        jnp.asarray(weights["weight_hh_l0"].T[:, None]),
        jnp.asarray((weights["bias_ih_l0"] + weights["bias_hh_l0"])[None]),
    )
    assert_same(jaxnn.elman(INPUT, HIDDEN), params, theirs(torch.tensor(X))[0].detach())


def test_flax_linen() -> None:
    oracle("flax")
    import flax.linen as nn

    for make in (nn.LSTMCell, nn.OptimizedLSTMCell):
        rnn = nn.RNN(make(HIDDEN), return_carry=True)
        variables = filled(rnn.init(jax.random.key(0), X))
        p = variables["params"]["cell"]
        parts = [(s + g, part) for s, part in (("i", "kernel"), ("h", "kernel"), ("h", "bias"))
                 for g in "ifgo"]  # fmt: skip
        stacked = [jnp.stack([p[n][part] for n, part in parts[k : k + 4]], -2) for k in (0, 4, 8)]
        (c, h), ys = rnn.apply(variables, X)
        state = assert_same(jaxnn.lstm(INPUT, HIDDEN), lstm_params(stacked[:2], stacked[2]), ys)
        np.testing.assert_allclose(state.cell, c, atol=3e-7)
        np.testing.assert_allclose(state.hidden, h, atol=3e-7)
    rnn = nn.RNN(nn.GRUCell(HIDDEN))
    variables = filled(rnn.init(jax.random.key(0), X))
    p = variables["params"]["cell"]
    kernels = [jnp.stack([p[s + g]["kernel"] for g in "rzn"], -2) for s in "ih"]
    bias = jnp.stack([p["i" + g]["bias"] for g in "rzn"])
    params = gru_params(kernels, bias, p["hn"]["bias"])
    assert_same(jaxnn.gru(INPUT, HIDDEN), params, rnn.apply(variables, X))


def test_flax_nnx() -> None:
    oracle("flax")
    from flax import nnx

    def fill(module: Any) -> tuple[Any, Any]:
        graph, state = nnx.split(module)
        state = filled(state)
        return nnx.merge(graph, state), nnx.to_pure_dict(state)

    lstm, p = fill(nnx.OptimizedLSTMCell(INPUT, HIDDEN, rngs=nnx.Rngs(0)))
    kernels = [p[name]["kernel"].reshape(-1, 4, HIDDEN) for name in ("dense_i", "dense_h")]
    assert "bias" not in p["dense_i"] or p["dense_i"]["bias"] is None
    params = lstm_params(kernels, p["dense_h"]["bias"].reshape(4, HIDDEN))
    assert_same(jaxnn.lstm(INPUT, HIDDEN), params, nnx.RNN(lstm)(jnp.asarray(X)))

    gru, p = fill(nnx.GRUCell(INPUT, HIDDEN, rngs=nnx.Rngs(0)))
    kernels = [p[name]["kernel"].reshape(-1, 3, HIDDEN) for name in ("dense_i", "dense_h")]
    assert "bias" not in p["dense_h"] or p["dense_h"]["bias"] is None
    bias = p["dense_i"]["bias"].reshape(3, HIDDEN)
    params = gru_params(kernels, bias, jnp.zeros(HIDDEN))
    assert_same(jaxnn.gru(INPUT, HIDDEN), params, nnx.RNN(gru)(jnp.asarray(X)))


def test_haiku() -> None:
    oracle("haiku")
    import haiku as hk

    def run(make: Any) -> tuple[Any, Any]:
        def unrolled(xs: Any) -> Any:
            core = make(HIDDEN)
            ys: Any = hk.dynamic_unroll(core, xs, core.initial_state(BATCH))[0]
            return ys.swapaxes(0, 1)

        network = hk.without_apply_rng(hk.transform(unrolled))
        params = filled(network.init(jax.random.key(0), XS))
        return params, network.apply(params, XS)

    params, ys = run(hk.LSTM)
    order = jnp.array([0, 2, 1, 3])
    w = params["lstm/linear"]["w"].reshape(-1, 4, HIDDEN)[:, order]
    b = params["lstm/linear"]["b"].reshape(4, HIDDEN)[order].at[1].add(1.0)
    ours = lstm_params((w[:INPUT], w[INPUT:]), b)
    assert_same(jaxnn.lstm(INPUT, HIDDEN), ours, ys)

    params, ys = run(hk.GRU)
    order, sign = jnp.array([1, 0, 2]), jnp.array([1.0, -1.0, 1.0])[:, None]
    p = params["gru"]
    kernels = [p[name].reshape(-1, 3, HIDDEN)[:, order] * sign for name in ("w_i", "w_h")]
    ours = gru_params(kernels, p["b"].reshape(3, HIDDEN)[order] * sign, None)
    assert_same(jaxnn.gru(INPUT, HIDDEN, reset_after=False), ours, ys)


def test_equinox() -> None:
    eqx = oracle("equinox")

    def run(cell: Any, state: Any) -> Any:
        def step(state: Any, x: Any) -> Any:
            state = jax.vmap(cell)(x, state)
            return state, state[0] if isinstance(state, tuple) else state

        return jax.lax.scan(step, state, jnp.asarray(XS))[1].swapaxes(0, 1)

    zeros = jnp.zeros((BATCH, HIDDEN))
    cell = eqx.nn.LSTMCell(INPUT, HIDDEN, key=jax.random.key(0))
    kernels = [by_gate(w, 4) for w in (cell.weight_ih, cell.weight_hh)]
    params = lstm_params(kernels, cell.bias.reshape(4, HIDDEN))
    assert_same(jaxnn.lstm(INPUT, HIDDEN), params, run(cell, (zeros, zeros)))
    cell = eqx.nn.GRUCell(INPUT, HIDDEN, key=jax.random.key(0))
    kernels = [by_gate(w, 3) for w in (cell.weight_ih, cell.weight_hh)]
    params = gru_params(kernels, cell.bias.reshape(3, HIDDEN), cell.bias_n)
    assert_same(jaxnn.gru(INPUT, HIDDEN), params, run(cell, zeros))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is installed: it is no part of the usual check."""
    if "KERAS_BACKEND" not in os.environ:
        monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")

    def run(layer: Any) -> tuple[list[np.ndarray], np.ndarray]:
        layer(X)
        layer.set_weights([random(*w.shape) for w in layer.get_weights()])
        return layer.get_weights(), np.asarray(layer(X))

    (kernel, recurrent, bias), ys = run(keras.layers.LSTM(HIDDEN, return_sequences=True))
    kernels = [jnp.asarray(w.reshape(-1, 4, HIDDEN)) for w in (kernel, recurrent)]
    params = lstm_params(kernels, jnp.asarray(bias.reshape(4, HIDDEN)))
    assert_same(jaxnn.lstm(INPUT, HIDDEN), params, ys)
    weights, ys = run(keras.layers.SimpleRNN(HIDDEN, return_sequences=True))
    kernel, recurrent, bias = map(jnp.asarray, weights)
    params = jaxnn.ElmanParams(kernel[:, None], recurrent[:, None], bias[None])
    assert_same(jaxnn.elman(INPUT, HIDDEN), params, ys)
    for after in (True, False):
        layer = keras.layers.GRU(HIDDEN, return_sequences=True, reset_after=after)
        (kernel, recurrent, bias), ys = run(layer)
        kernels = [jnp.asarray(w.reshape(-1, 3, HIDDEN)[:, [1, 0, 2]]) for w in (kernel, recurrent)]
        inner, outer = np.broadcast_to(bias.reshape(-1, 3, HIDDEN)[:, [1, 0, 2]], (2, 3, HIDDEN))
        summed = np.stack([inner[0] + outer[0], inner[1] + outer[1], inner[2]]) if after else inner
        own = jnp.asarray(outer[2]) if after else None
        params = gru_params(kernels, jnp.asarray(summed), own)
        assert_same(jaxnn.gru(INPUT, HIDDEN, reset_after=after), params, ys)
