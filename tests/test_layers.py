"""Layers: dense, mlp, embedding, layer_norm, dropout, activation, and their composition."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compare import random_like

import jaxnn

KEY = jax.random.key(0)
KEYS = [jax.random.key(3), jax.random.PRNGKey(3)]
MASK = np.array([[True, True], [True, False], [False, True], [False, False]])


def normal(*shape, seed=0, dtype: Any = jnp.float32):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def close(actual, expected, tolerance=1e-6):
    np.testing.assert_allclose(
        np.asarray(actual, np.float64),
        np.asarray(expected, np.float64),
        rtol=tolerance,
        atol=tolerance,
    )


# dense and mlp


@pytest.mark.parametrize(("bias", "shape"), [(True, (4,)), ("shared", ()), (False, None)])
@pytest.mark.parametrize("leading", [(), (5,), (5, 2)])
def test_dense(bias, shape, leading):
    """x W + b, with a bias a unit, one for the layer, or none."""
    layer = jaxnn.dense(3, 4, bias=bias)
    params = layer.init(KEY)
    assert params.kernel.shape == (3, 4)
    assert (None if params.bias is None else params.bias.shape) == shape
    params, x = random_like(params, 1), normal(*leading, 3)
    expected = np.asarray(x) @ np.asarray(params.kernel)
    if params.bias is not None:
        expected = expected + np.asarray(params.bias)
    y = layer.apply(params, x)
    assert (y.shape, y.dtype) == ((*leading, 4), jnp.float32)
    close(y, expected)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("bias", [True, False, "shared"])
def test_dense_16_bit(dtype, bias):
    """Parameters in float32, x and y in 16 bits, and gradients in float32 again."""
    layer = jaxnn.dense(3, 4, bias=bias, dtype=dtype)
    params, x = random_like(layer.init(KEY), 1), normal(5, 3, dtype=dtype)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}
    y = layer.apply(params, x)
    assert y.dtype == dtype
    close(y, jaxnn.dense(3, 4, bias=bias).apply(params, x.astype(jnp.float32)), 0.03)
    gradient = jax.grad(lambda p: layer.apply(p, x).astype(jnp.float32).sum())(params)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype(jnp.float32)}
    small = jaxnn.dense(3, 4, dtype=dtype, param_dtype=dtype).init(KEY)
    assert {leaf.dtype for leaf in small} == {jnp.dtype(dtype)}  # pyright: ignore[reportOptionalMemberAccess]


def test_dense_initialisers():
    """LeCun's variance 1 / in, a zero bias, or what is given."""
    params = jaxnn.dense(100, 300).init(KEY)
    np.testing.assert_allclose(params.kernel.std(), 0.1, rtol=0.02)
    assert not bool(params.bias.any())  # pyright: ignore[reportOptionalMemberAccess]
    ones = jax.nn.initializers.ones
    params = jaxnn.dense(2, 3, kernel_init=ones, bias_init=ones).init(KEY)
    assert bool((params.kernel == 1).all()) and params.bias.tolist() == [1, 1, 1]  # pyright: ignore[reportOptionalMemberAccess]


def test_dense_errors():
    """Sizes, options, features, dtypes and foreign params."""
    layer = jaxnn.dense(3, 4)
    params = layer.init(KEY)
    with pytest.raises(ValueError, match="output_size must be a positive integer"):
        jaxnn.dense(3, 0)
    with pytest.raises(ValueError, match="bias must be one of"):
        jaxnn.dense(3, 4, bias="sharde")
    with pytest.raises(ValueError, match="must have 3 features, got 2"):
        layer.apply(params, jnp.ones((5, 2), jnp.float32))
    with pytest.raises(TypeError, match="must be float32, got float64"):
        layer.apply(params, jnp.ones(3, jnp.float64))
    with pytest.raises(TypeError, match="params must be DenseParams"):
        layer.apply(tuple(params), jnp.ones(3, jnp.float32))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("bias", [True, False, "shared"])
@pytest.mark.parametrize("output", [None, jax.nn.softmax])
def test_mlp_is_dense_by_hand(bias, output):
    """Every layer, its activation, and the output's."""
    network = jaxnn.mlp((3, 5, 4, 2), jnp.tanh, output, bias)
    params, x = random_like(network.init(KEY), 1), normal(6, 3)
    y = x
    for index, (p, sizes) in enumerate(zip(params, [(3, 5), (5, 4), (4, 2)], strict=True)):
        y = jaxnn.dense(*sizes, bias=bias).apply(p, y)
        y = jnp.tanh(y) if index < 2 else y if output is None else output(y)
    close(network.apply(params, x), y)


def test_mlp_init():
    """Each layer has a key of its own; relu is the default."""
    network = jaxnn.mlp((4, 4, 4))
    params = network.init(KEY)
    assert float(jnp.abs(params[0].kernel - params[1].kernel).max()) > 0.01
    eye = tuple(
        jaxnn.DenseParams(jnp.eye(4, dtype=jnp.float32), jnp.zeros(4, jnp.float32)) for _ in (0, 1)
    )
    assert network.apply(eye, jnp.array([-1.0, 2, -3, 4], jnp.float32)).tolist() == [0, 2, 0, 4]
    with pytest.raises(ValueError, match="at least two"):
        jaxnn.mlp((3,))


# embedding


@pytest.mark.parametrize(
    ("dtype", "size"), [(np.int8, 7), (np.uint8, 256), (np.int8, 200), (np.int32, 300)]
)
@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_embedding(dtype, size, transform):
    """The table's rows; also where the vocabulary does not fit the dtype of the tokens: bytes."""
    layer = jaxnn.embedding(size, 3)
    params = layer.init(KEY)
    tokens = np.array([[0, 1], [5, min(size - 1, np.iinfo(dtype).max)]], dtype)
    for x in (tokens, jnp.asarray(tokens)):
        y = transform(layer.apply)(params, x)
        np.testing.assert_array_equal(y, np.asarray(params.table)[tokens.astype(int)])


@pytest.mark.parametrize("token", [-1, -7, 7, 100])
def test_embedding_outside(token):
    """An error where the values are known, NaN under jit, and nothing where masked."""
    layer = jaxnn.embedding(7, 3)
    params, tokens = layer.init(KEY), jnp.array([2, token, 6])
    with pytest.raises(ValueError, match=f"0…6, got {token}"):
        layer.apply(params, tokens)
    y = jax.jit(layer.apply)(params, tokens)
    assert jnp.isnan(y).all(axis=-1).tolist() == [False, True, False]
    mask = jnp.array([True, False, True])
    for apply in (layer.apply, jax.jit(layer.apply)):
        y = apply(params, tokens, mask)
        np.testing.assert_array_equal(y[mask], params.table[jnp.array([2, 6])])
        assert bool(jnp.isfinite(y).all())


def test_embedding_dtypes():
    """Vectors in 16 bits from a float32 table; tokens that are no integers are an error."""
    layer = jaxnn.embedding(5, 3, dtype=jnp.bfloat16)
    params = layer.init(KEY)
    assert params.table.dtype == jnp.float32
    y = layer.apply(params, jnp.array(4))
    assert y.dtype == jnp.bfloat16
    close(y, params.table[4], 0.01)
    with pytest.raises(TypeError, match="must be integers"):
        layer.apply(params, jnp.ones(3, jnp.float32))


# layer_norm


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("epsilon", [1e-5, 0.5])
def test_layer_norm(dtype, epsilon):
    """The formula over the last axis; 16-bit input is normalised in float32."""
    layer = jaxnn.layer_norm(6, epsilon, dtype=dtype)
    params, x = random_like(layer.init(KEY), 1), 3 + 20 * normal(4, 2, 6, dtype=dtype)
    wide = np.asarray(x, np.float64)
    normal_form = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(
        wide.var(-1, keepdims=True) + epsilon
    )
    scale, bias = (np.asarray(p, np.float64) for p in params)
    y = layer.apply(params, x)
    assert y.dtype == dtype
    tolerance = {8: 1e-12, 4: 1e-5, 2: 2 * float(jnp.finfo(dtype).eps)}[jnp.dtype(dtype).itemsize]
    close(y, normal_form * scale + bias, tolerance)


def test_layer_norm_float16_does_not_overflow():
    """The square of 400 is no float16."""
    layer = jaxnn.layer_norm(2, dtype=jnp.float16)
    y = layer.apply(layer.init(KEY), jnp.array([400.0, -400.0], jnp.float16))
    assert y.tolist() == [1, -1]


# dropout and activation


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_dropout_rate(rate, dtype):
    """A share of `rate` is zero, the others are x / (1 − rate)."""
    count = 20_000
    y = jaxnn.dropout(rate).apply((), jnp.full(count, 3, dtype), None, KEY)
    assert y.dtype == dtype
    dropped = float((y == 0).mean())
    assert abs(dropped - rate) < 4 * np.sqrt(rate * (1 - rate) / count)
    np.testing.assert_allclose(np.asarray(y[y != 0], np.float32), 3 / (1 - rate), rtol=1e-2)


@pytest.mark.parametrize("key", KEYS, ids=["typed", "legacy"])
def test_dropout_keys(key):
    """The same key drops the same, another key others, no key nothing; under jit too."""
    layer, x = jaxnn.dropout(0.5), normal(64)
    y = layer.apply((), x, None, key)
    np.testing.assert_array_equal(layer.apply((), x, None, key), y)
    np.testing.assert_array_equal(jax.jit(layer.apply)((), x, None, key), y)
    other = layer.apply((), x, None, jax.random.split(key)[0])
    assert bool(((other == 0) != (y == 0)).any())
    np.testing.assert_array_equal(layer.apply((), x), x)
    np.testing.assert_array_equal(jaxnn.dropout(0.0).apply((), x, None, key), x)


def test_dropout_typed_and_legacy_keys_agree():
    """Both forms of one seed are one key."""
    x = normal(64)
    typed, legacy = (jaxnn.dropout(0.5).apply((), x, None, key) for key in KEYS)
    np.testing.assert_array_equal(typed, legacy)


def test_dropout_errors():
    """A rate outside [0, 1), several keys, a seed instead of a key, and params."""
    for rate in (1.0, -0.1):
        with pytest.raises(ValueError, match="rate must be at least 0"):
            jaxnn.dropout(rate)
    layer, x = jaxnn.dropout(0.5), normal(3)
    for key in (jax.random.split(KEY), 7):
        with pytest.raises(TypeError, match="key must be one key"):
            layer.apply((), x, None, key)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="params must be"):
        layer.apply({}, x)  # pyright: ignore[reportArgumentType]


def test_activation():
    """The function, without parameters; what is masked is zero before it."""
    layer, x = jaxnn.activation(jnp.exp), normal(2, 3)
    assert layer.init(KEY) == ()
    np.testing.assert_array_equal(layer.apply((), x), jnp.exp(x))
    y = layer.apply((), x.at[1].set(jnp.nan), jnp.array([True, False]))
    assert y[1].tolist() == [1, 1, 1]
    with pytest.raises(TypeError, match="must be a function"):
        jaxnn.activation("relu")  # pyright: ignore[reportArgumentType]


# Composition


def test_serial_and_parallel_by_hand():
    """One after the other, and side by side with every merge."""
    a, b, x = jaxnn.dense(3, 4), jaxnn.dense(4, 2), normal(5, 3)
    model = jaxnn.serial(a, jaxnn.activation(jnp.tanh), b)
    params = random_like(model.init(KEY), 1)
    close(model.apply(params, x), b.apply(params[2], jnp.tanh(a.apply(params[0], x))))
    for merge, function in {
        "concat": lambda u, v: np.concatenate([u, v], -1),
        "sum": np.add,
        "mean": lambda u, v: (u + v) / 2,
        "product": np.multiply,
    }.items():
        both = jaxnn.parallel(a, jaxnn.dense(3, 4, bias=False), merge=merge)
        params = random_like(both.init(KEY), 2)
        left, right = a.apply(params[0], x), jaxnn.dense(3, 4, bias=False).apply(params[1], x)
        close(both.apply(params, x), function(np.asarray(left), np.asarray(right)))
    subtract = jaxnn.parallel(a, a, merge=jnp.subtract)
    params = random_like(subtract.init(KEY), 3)
    close(subtract.apply(params, x), a.apply(params[0], x) - a.apply(params[1], x))


def test_residual_by_hand():
    """x + f(x), and an error where the shapes differ."""
    inner, x = jaxnn.dense(3, 3), normal(5, 3)
    params = random_like(inner.init(KEY), 1)
    close(jaxnn.residual(inner).apply(params, x), x + inner.apply(params, x))
    wide = jaxnn.residual(jaxnn.dense(3, 4))
    with pytest.raises(ValueError, match="output must be as its input"):
        wide.apply(wide.init(KEY), x)


MASKED = {
    "dense": jaxnn.dense(3, 3),
    "mlp": jaxnn.mlp((3, 4, 3), jnp.tanh),
    "layer_norm": jaxnn.layer_norm(3),
    "serial": jaxnn.serial(jaxnn.dense(3, 4), jaxnn.activation(jnp.tanh), jaxnn.dense(4, 3)),
    "parallel": jaxnn.parallel(jaxnn.dense(3, 3), jaxnn.layer_norm(3), merge="product"),
    "residual": jaxnn.residual(jaxnn.dense(3, 3)),
    "residual serial": jaxnn.residual(
        jaxnn.serial(jaxnn.layer_norm(3), jaxnn.dropout(0.5), jaxnn.dense(3, 3))
    ),
    "log": jaxnn.serial(  # log 0 = −∞ at masked steps
        jaxnn.dense(3, 3), jaxnn.activation(lambda x: jnp.log(x * x)), jaxnn.dense(3, 3)
    ),
    "recurrent": jaxnn.serial(
        jaxnn.dense(3, 4), jaxnn.as_layer(jaxnn.gru(4, 3)), jaxnn.dense(3, 3)
    ),
    "residual recurrent": jaxnn.residual(jaxnn.as_layer(jaxnn.gru(3, 3))),
    "bidirectional": jaxnn.serial(
        jaxnn.parallel(jaxnn.dense(3, 2), jaxnn.as_layer(jaxnn.gru(3, 2))),
        jaxnn.bidirectional(jaxnn.gru(4, 3), merge="sum"),
    ),
}


@pytest.mark.parametrize("name", MASKED)
def test_masked_nan_reaches_nothing(name):
    """What stands at masked steps changes neither valid outputs nor any gradient."""
    layer: Any = MASKED[name]
    params, mask = random_like(layer.init(KEY), 1), jnp.array(MASK)
    zeros = jnp.where(mask[..., None], normal(4, 2, 3), 0)

    @jax.jit
    def run(params, xs):
        def loss(params, xs):
            ys = layer.apply(params, xs, mask)
            return jaxnn.losses.mean_squared_error(ys, jnp.ones_like(ys), mask)[0], ys

        (_, ys), gradients = jax.value_and_grad(loss, (0, 1), has_aux=True)(params, xs)
        return ys, gradients

    expected, gradients = run(params, zeros)
    for bad in (jnp.nan, jnp.inf, 7.0):
        ys, (of_params, of_xs) = run(params, jnp.where(mask[..., None], zeros, bad))
        np.testing.assert_array_equal(ys[mask], expected[mask])
        jax.tree.map(np.testing.assert_array_equal, (of_params, of_xs), gradients)
        assert not bool((of_xs[~mask] != 0).any())
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(of_params))
    assert float(jnp.abs(gradients[1][mask]).min()) > 0


@pytest.mark.parametrize("key", KEYS, ids=["typed", "legacy"])
def test_each_layer_has_its_own_key(key):
    """Two dropouts drop differently, side by side or in a row; no key drops nothing."""
    drop, x = jaxnn.dropout(0.5), jnp.ones(400, jnp.float32)
    side = jaxnn.parallel(drop, drop)
    left, right = jnp.split(side.apply(((), ()), x, None, key), 2)
    assert 0.4 < float(((left == 0) != (right == 0)).mean()) < 0.6
    row = jaxnn.serial(drop, drop)
    y = row.apply(((), ()), x, None, key)
    assert set(y.tolist()) == {0, 4}
    assert 0.2 < float((y != 0).mean()) < 0.3  # one and the same mask would keep a half
    np.testing.assert_array_equal(row.apply(((), ()), x, None, key), y)
    np.testing.assert_array_equal(row.apply(((), ()), x), x)


@pytest.mark.parametrize("make", [jaxnn.serial, jaxnn.parallel])
def test_each_layer_starts_differently(make):
    """init splits its key."""
    params = make(jaxnn.dense(3, 3), jaxnn.dense(3, 3)).init(KEY)
    assert float(jnp.abs(params[0].kernel - params[1].kernel).max()) > 0.01


def test_residual_hands_the_key_on():
    """x + dropout(x)."""
    x = jnp.ones(50, jnp.float32)
    y = jaxnn.residual(jaxnn.dropout(0.5)).apply((), x, None, KEY)
    assert set(y.tolist()) == {1, 3}


@pytest.mark.parametrize("kind", ["serial", "nested", "parallel", "residual"])
def test_unroll_carries_states(kind):
    """A sequence in two parts, the states handed on, is the whole sequence."""
    inner = jaxnn.serial(
        jaxnn.dense(3, 3), jaxnn.as_layer(jaxnn.lstm(3, 3)), jaxnn.as_layer(jaxnn.gru(3, 3))
    )
    model: Any = {
        "serial": inner,
        "nested": jaxnn.serial(inner, jaxnn.dense(3, 2)),
        "parallel": jaxnn.parallel(inner, jaxnn.dense(3, 2)),
        "residual": jaxnn.residual(inner),
    }[kind]
    assert isinstance(model, jaxnn.SequenceLayer)
    params, xs = random_like(model.init(KEY), 1), normal(6, 2, 3)
    state, ys = model.unroll(params, xs)
    middle, first = model.unroll(params, xs[:2])
    last, second = model.unroll(params, xs[2:], middle)
    close(jnp.concatenate([first, second]), ys)
    jax.tree.map(close, last, state)
    close(model.apply(params, xs), ys)
    part = state if kind in ("serial", "residual") else state[0]
    assert part[0] == ()
    assert isinstance(part[1], jaxnn.LSTMState) and isinstance(part[2], jaxnn.GRUState)
    forgotten = model.unroll(params, xs[2:])[1]
    assert float(jnp.abs(forgotten - ys[2:]).max()) > 1e-3


def test_unroll_resets_and_starts():
    """A reset makes the sequence begin anew, from `start` where it is given."""
    model = jaxnn.serial(jaxnn.dense(3, 3), jaxnn.as_layer(jaxnn.gru(3, 4)))
    params, xs = random_like(model.init(KEY), 1), normal(5, 2, 3)
    reset = jnp.zeros((5, 2), bool).at[3].set(True)
    start = ((), jaxnn.GRUState(normal(2, 4, seed=2)))
    ys = model.unroll(params, xs, reset=reset, start=start)[1]
    close(ys[3:], model.unroll(params, xs[3:], start)[1])
    close(ys[:3], model.unroll(params, xs[:3], start)[1])
    assert float(jnp.abs(ys[3:] - model.unroll(params, xs, start)[1][3:]).max()) > 1e-3


def test_bidirectional_states_in_serial():
    """Both final states, in the place of the layer."""
    both = jaxnn.bidirectional(jaxnn.gru(3, 2), jaxnn.gru(3, 2))
    model = jaxnn.serial(both, jaxnn.dense(4, 2))
    assert isinstance(model, jaxnn.SequenceLayer)
    params, xs = random_like(model.init(KEY), 1), normal(5, 2, 3)
    mask = jaxnn.lengths_to_mask(jnp.array([5, 3]), 5)
    (state, nothing), ys = model.unroll(params, xs, None, mask)
    expected, inner = both.unroll(params[0], xs, None, mask)
    assert nothing == ()
    jax.tree.map(close, state, expected)
    close(ys[mask], jaxnn.dense(4, 2).apply(params[1], inner)[mask])


def test_plain_layers_stay_a_layer():
    """Nothing that looks along time: no unroll, and one vector is enough, with its one flag."""
    for make in (jaxnn.serial, jaxnn.parallel):
        model = make(jaxnn.dense(3, 3), jaxnn.layer_norm(3))
        assert isinstance(model, jaxnn.Layer)
        y = model.apply(model.init(KEY), np.full(3, np.nan, np.float32), np.zeros((), bool))
        assert np.isfinite(y).all()
    assert isinstance(jaxnn.residual(jaxnn.dense(3, 3)), jaxnn.Layer)
    assert isinstance(jaxnn.residual(jaxnn.gru(3, 3)), jaxnn.Cell)


def halve(x):
    """Every other step."""
    return x[::2]


@pytest.mark.parametrize(
    "model",
    [
        jaxnn.serial(jaxnn.activation(halve), jaxnn.dense(3, 2)),
        jaxnn.serial(jaxnn.as_layer(jaxnn.gru(3, 3)), jaxnn.activation(halve)),
        jaxnn.parallel(jaxnn.activation(halve), jaxnn.activation(halve)),
    ],
    ids=repr,
)
def test_changing_the_number_of_steps(model):
    """Fine without a mask; with one, an error that says which layer."""
    params, xs = model.init(KEY), normal(4, 2, 3)
    assert model.apply(params, xs).shape[0] == 2
    with pytest.raises(ValueError, match=r"activation\(halve\).*changes the number of steps"):
        model.apply(params, xs, jnp.array(MASK))


def test_composition_errors():
    """A cell where a layer is needed, nothing at all, a wrong merge, params of another length."""
    gru: Any = jaxnn.gru(3, 3)
    merge: Any = "add"
    for make in (jaxnn.serial, jaxnn.parallel):
        with pytest.raises(TypeError, match=r"part 1 must be a Layer, got gru.*as_layer"):
            make(jaxnn.dense(3, 3), gru)
        with pytest.raises(ValueError, match="at least one layer"):
            make()
    with pytest.raises(ValueError, match="merge must be one of"):
        jaxnn.parallel(jaxnn.dense(3, 3), merge=merge)
    model = jaxnn.serial(jaxnn.dense(3, 3), jaxnn.dense(3, 3))
    with pytest.raises(ValueError, match=r"params must be a tuple of 2.*got 1"):
        model.apply(model.init(KEY)[:1], normal(2, 3))
    uneven = jaxnn.parallel(jaxnn.dense(3, 3), jaxnn.dense(3, 2), merge="sum")
    with pytest.raises(ValueError, match="equal sizes"):
        uneven.apply(uneven.init(KEY), normal(2, 3))


NAMES = [
    "stack(lstm(3, 4), dense(4, 2))",
    "dense(3, 4)",
    "dense(3, 4, bias='shared')",
    "dense(3, 4, bias=False)",
    "mlp((2, 5, 1))",
    "embedding(10, 4)",
    "layer_norm(4)",
    "dropout(0.5)",
    "serial(as_layer(gru(3, 8)), dense(8, 2))",
    "parallel(dense(3, 4), dense(3, 4), merge='sum')",
    "residual(dense(3, 3))",
    "residual(gru(3, 3))",
    "as_layer(lstm(3, 4, peephole=True), reverse=True)",
    "bidirectional(gru(3, 4), lstm(3, 4))",
    "stack(gru(3, 3), gru(3, 3), dropout=0.5, residual=True)",
]


@pytest.mark.parametrize("text", NAMES)
def test_names_print_as_the_call(text):
    """The printed call, run, gives the very object."""
    thing = eval(text, dict(vars(jaxnn)))
    assert repr(thing) == text
    assert eval(repr(thing), dict(vars(jaxnn))) is thing


def test_names_of_functions():
    """Functions print by their name."""
    assert repr(jaxnn.activation(jnp.tanh)) == "activation(tanh)"
    summed = jaxnn.parallel(jaxnn.dense(3, 4), jaxnn.dense(3, 4), merge=halve)
    assert repr(summed).startswith("parallel(dense(3, 4), dense(3, 4), merge=")
