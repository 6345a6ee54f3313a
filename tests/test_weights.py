"""Weights from and to the libraries that are written in JAX, each as its own oracle, in float64:
outputs, the gradients of all weights, and the way back."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compare import assert_close, oracle, random_like

import jaxnn
from jaxnn.interop import equinox, flax_linen, flax_nnx, haiku

BATCH, TIME, INPUT, HIDDEN = 3, 4, 3, 5
F64 = jnp.float64
SIZES = (INPUT, HIDDEN)
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(autouse=True)
def usual_settings() -> Any:
    """The other libraries are not written for strict promotion."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


class Case(NamedTuple):
    """A model here, the other library's weights, its function of weights and x, and both ways."""

    model: Any
    weights: Any
    theirs: Callable[[Any, Any], Any]
    read: Callable[[Any, Any], Any]
    write: Callable[[Any, Any, Any], Any]


def random(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(len(shape)).standard_normal(shape))


SEQUENCES, IMAGES = random(BATCH, TIME, INPUT), random(BATCH, 6, 5, 4)
TOKENS = jnp.array([[1, 0, 2], [2, 2, 1]])


def cell(kind: str, **options: Any) -> Any:
    return jaxnn.as_layer(getattr(jaxnn, kind)(*SIZES, dtype=F64, **options))


LAYERS = {
    "dense_no_bias": (jaxnn.dense(4, 6, bias=False, dtype=F64), IMAGES),
    "conv": (jaxnn.conv(4, 6, (3, 2), (2, 1), dtype=F64), IMAGES),
    "conv_groups": (jaxnn.conv(4, 6, (3, 2), (2, 1), groups=2, dtype=F64), IMAGES),
    "conv_transpose": (jaxnn.conv_transpose(4, 6, (3, 2), 2, dtype=F64), IMAGES),
    "embedding": (jaxnn.embedding(3, 4, dtype=F64), TOKENS),
    "layer_norm": (jaxnn.layer_norm(4, dtype=F64), IMAGES),
    "group_norm": (jaxnn.group_norm(4, 2, 3, dtype=F64), IMAGES),
}


def of_linen(name: str) -> Case:
    import flax.linen as nn

    types = {"dtype": F64, "param_dtype": F64}
    x = SEQUENCES

    def rnn(make: Any) -> Any:
        return nn.RNN(make(HIDDEN, **types))

    if name in LAYERS:
        model, x = LAYERS[name]
        module: Any = {
            "dense_no_bias": nn.Dense(6, use_bias=False, **types),
            "conv_groups": nn.Conv(6, (3, 2), (2, 1), "VALID", feature_group_count=2, **types),
            "conv_transpose": nn.ConvTranspose(6, (3, 2), (2, 2), "VALID", **types),
            "embedding": nn.Embed(3, 4, **types),
            "layer_norm": nn.LayerNorm(epsilon=1e-5, **types),
            "group_norm": nn.GroupNorm(2, epsilon=1e-5, **types),
        }[name]
    else:
        model, module = {
            "optimized_lstm": (cell("lstm"), rnn(nn.OptimizedLSTMCell)),
            "elman": (cell("elman"), rnn(nn.SimpleCell)),
            "bidirectional": (
                jaxnn.bidirectional(jaxnn.gru(*SIZES, dtype=F64)),
                nn.Bidirectional(rnn(nn.GRUCell), rnn(nn.GRUCell)),
            ),
            "deep": (
                jaxnn.serial(
                    cell("lstm"),
                    jaxnn.activation(jnp.tanh),
                    jaxnn.as_layer(jaxnn.gru(HIDDEN, 2, dtype=F64)),
                    jaxnn.dense(2, 2, dtype=F64),
                ),
                nn.Sequential(
                    [
                        rnn(nn.LSTMCell),
                        jnp.tanh,
                        nn.RNN(nn.GRUCell(2, **types)),
                        nn.Dense(2, **types),
                    ]
                ),
            ),
        }[name]
    weights = module.init(jax.random.key(0), x)["params"]
    return Case(
        model,
        weights,
        lambda weights, x: module.apply({"params": weights}, x),
        flax_linen.from_params,
        lambda model, params, like: flax_linen.to_params(model, params, like=like),
    )


def of_nnx(name: str) -> Case:
    from flax import nnx

    types: Any = {"dtype": F64, "param_dtype": F64, "rngs": nnx.Rngs(0)}

    def rnn(make: Any) -> Any:
        return nnx.RNN(make(*SIZES, **types))

    if name in LAYERS:
        model, _ = LAYERS[name]
        module: Any = {
            "conv": lambda: nnx.Conv(4, 6, (3, 2), (2, 1), padding="VALID", **types),
            "conv_transpose": lambda: nnx.ConvTranspose(
                4, 6, (3, 2), (2, 2), padding="VALID", **types
            ),
            "embedding": lambda: nnx.Embed(3, 4, **types),
            "layer_norm": lambda: nnx.LayerNorm(4, epsilon=1e-5, **types),
            "group_norm": lambda: nnx.GroupNorm(4, 2, epsilon=1e-5, **types),
        }[name]()
    else:
        make: Any = {
            "optimized_lstm": nnx.OptimizedLSTMCell,
            "elman": nnx.SimpleCell,
            "deep": nnx.GRUCell,
        }.get(name, nnx.LSTMCell)
        if name == "bidirectional":
            model = jaxnn.bidirectional(jaxnn.lstm(*SIZES, dtype=F64))
            module = nnx.Bidirectional(rnn(make), rnn(make), rngs=nnx.Rngs(0))
        elif name == "deep":
            model = jaxnn.serial(cell("gru"), jaxnn.dense(HIDDEN, 2, dtype=F64))
            module = nnx.Sequential(rnn(make), nnx.Linear(HIDDEN, 2, **types))
        else:
            model, module = cell(name.removeprefix("optimized_")), rnn(make)
    graph, state, rest = nnx.split(module, nnx.Param, ...)

    def theirs(weights: Any, x: Any) -> Any:
        new, others = jax.tree.map(lambda leaf: leaf, (state, rest))  # both of this trace
        nnx.replace_by_pure_dict(new, weights)
        return nnx.merge(graph, new, others)(x)

    return Case(
        model,
        nnx.to_pure_dict(state),
        theirs,
        flax_nnx.from_state,
        lambda model, params, like: flax_nnx.to_state(model, params, like=like),
    )


def of_haiku(name: str) -> Case:
    import haiku as hk

    prefix = ""
    if name in LAYERS:
        model, x = LAYERS[name]
        make: Any = {
            "conv": lambda: hk.Conv2D(6, (3, 2), (2, 1), padding="VALID"),
            "embedding": lambda: hk.Embed(3, 4),
            "layer_norm": lambda: hk.LayerNorm(-1, True, True),
            "group_norm": lambda: hk.GroupNorm(2),
        }[name]
        prefix = {
            "conv": "conv2_d/", "embedding": "embed/",
            "layer_norm": "layer_norm/", "group_norm": "group_norm/",
        }[name]  # fmt: skip
        transformed = hk.without_apply_rng(hk.transform(lambda x: make()(x)))
    else:
        relu = {"activation": jax.nn.relu}
        model, cores, prefix = {
            "gru": (cell("gru", reset_after=False), lambda: [hk.GRU(HIDDEN)], "gru/"),
            "elman": (cell("elman", **relu), lambda: [hk.VanillaRNN(HIDDEN)], "vanilla_rnn/"),
            "elman_one_bias": (
                cell("elman", **relu),
                lambda: [hk.VanillaRNN(HIDDEN, double_bias=False)],
                "vanilla_rnn/",
            ),
            "deep": (
                jaxnn.serial(
                    cell("lstm"),
                    jaxnn.as_layer(jaxnn.lstm(HIDDEN, 2, dtype=F64)),
                    jaxnn.dense(2, 2, dtype=F64),
                ),
                lambda: [hk.LSTM(HIDDEN), hk.LSTM(2), hk.Linear(2)],
                "",
            ),
        }[name]
        x = SEQUENCES

        def run(x: Any) -> Any:
            for core in cores():
                if isinstance(core, hk.RNNCore):
                    x, _ = hk.dynamic_unroll(core, x, core.initial_state(BATCH), time_major=False)
                else:
                    x = core(x)
            return x

        transformed = hk.without_apply_rng(hk.transform(run))
    weights = transformed.init(jax.random.key(0), x)
    return Case(
        model,
        jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, F64), weights),
        transformed.apply,
        lambda model, weights: haiku.from_params(model, weights, prefix),
        lambda model, params, like: haiku.to_params(model, params, prefix, like),
    )


def of_equinox(name: str) -> Case:
    import equinox as eqx

    key = jax.random.key(0)
    nn = eqx.nn

    def over_time(core: Any, xs: Any) -> Any:
        zeros = jnp.zeros(HIDDEN)
        first = (zeros, zeros) if isinstance(core, nn.LSTMCell) else zeros

        def step(state: Any, x: Any) -> Any:
            state = core(x, state)
            return state, state[0] if isinstance(state, tuple) else state

        return jax.lax.scan(step, first, xs)[1]

    def channels_first(module: Any, image: Any) -> Any:
        return jnp.moveaxis(module(jnp.moveaxis(image, -1, 0)), 0, -1)

    def everywhere(module: Any, x: Any) -> Any:
        flat = x.reshape(-1, x.shape[-1])
        return jax.vmap(module)(flat).reshape(*x.shape[:-1], -1)

    module, run = {
        "lstm": lambda: (nn.LSTMCell(*SIZES, key=key), over_time),
        "gru": lambda: (nn.GRUCell(*SIZES, key=key), over_time),
        "layer_norm": lambda: (nn.LayerNorm(4), everywhere),
        "conv_groups": lambda: (nn.Conv2d(4, 6, (3, 2), (2, 1), groups=2, key=key), channels_first),
        "embedding": lambda: (nn.Embedding(3, 4, key=key), jax.vmap),
        "group_norm": lambda: (nn.GroupNorm(2, 4), channels_first),
        "deep": lambda: (
            nn.Sequential(
                [nn.Linear(INPUT, 4, key=key), nn.LayerNorm(4), nn.Linear(4, 2, key=key)]
            ),
            everywhere,
        ),
    }[name]()
    if name in LAYERS:
        model, _ = LAYERS[name]
    elif name == "deep":
        layers = jaxnn.dense(INPUT, 4, dtype=F64), jaxnn.layer_norm(4, dtype=F64)
        model = jaxnn.serial(*layers, jaxnn.dense(4, 2, dtype=F64))
    else:
        model = cell(name)
    arrays, rest = eqx.partition(module, eqx.is_array)

    def theirs(weights: Any, x: Any) -> Any:
        module = eqx.combine(weights, rest)
        if run is jax.vmap:
            return jax.vmap(jax.vmap(module))(x)
        return jax.vmap(lambda each: run(module, each))(x)

    return Case(model, arrays, theirs, equinox.from_module, equinox.to_module)


# Each case compiles anew: of all, those that the others do not imply ("deep" has the usual cells).
NORMS = ["embedding", "layer_norm", "group_norm"]
NAMES = {
    of_linen: ["optimized_lstm", "elman", "bidirectional", "deep", "dense_no_bias", "conv_groups",
               "conv_transpose", *NORMS],
    of_nnx: ["optimized_lstm", "elman", "bidirectional", "deep", "conv", "conv_transpose"],
    of_haiku: ["gru", "elman", "elman_one_bias", "deep", "conv"],
    of_equinox: ["lstm", "gru", "deep", "conv_groups"],
}  # fmt: skip
# The gradients of all weights: every kind of cell and of conversion, once.
GRADIENTS = {
    (of_linen, "optimized_lstm"), (of_linen, "conv_transpose"), (of_nnx, "elman"),
    (of_haiku, "gru"), (of_equinox, "lstm"),
}  # fmt: skip
PACKAGES = {of_linen: "flax", of_nnx: "flax", of_haiku: "haiku", of_equinox: "equinox"}
CASES = [
    pytest.param(make, name, id=f"{make.__name__[3:]}-{name}")
    for make, names in NAMES.items()
    for name in names
]


@pytest.mark.parametrize(("make", "name"), CASES)
def test_values_and_back(make: Any, name: str) -> None:
    oracle(PACKAGES[make])
    case = make(name)
    model, x = case.model, LAYERS[name][1] if name in LAYERS else SEQUENCES
    sequence = isinstance(model, jaxnn.SequenceLayer)
    weights = random_like(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, F64), case.weights), 1)

    def ours(weights: Any) -> Any:
        params = case.read(model, weights)
        if sequence:
            return jaxnn.time_major(model.apply(params, jaxnn.time_major(x)))
        return model.apply(params, x)

    def theirs(weights: Any) -> Any:
        return case.theirs(weights, x)

    def with_gradient(function: Any, weights: Any) -> Any:
        y, vjp = jax.vjp(function, weights)
        return y, *vjp(random(*y.shape))

    if (make, name) in GRADIENTS:
        one, other = jax.jit(
            lambda weights: (with_gradient(ours, weights), with_gradient(theirs, weights))
        )(weights)
        assert all(np.asarray(leaf).any() for leaf in jax.tree.leaves(other))
    else:
        one, other = jax.jit(lambda weights: (ours(weights), theirs(weights)))(weights)
    assert_close(one, other, 1e-12)

    params = case.read(model, weights)
    back = case.write(model, params, case.weights)
    assert jax.tree.structure(back) == jax.tree.structure(case.weights)
    assert_close(case.read(model, back), params, 1e-15 if make is of_haiku else 0)


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("make", [of_nnx, of_haiku, of_equinox], ids=lambda make: make.__name__[3:])
def test_names_and_shapes(make: Any, name: str) -> None:
    """Of layers whose parameters stay as they are: those that the library itself makes."""
    oracle(PACKAGES[make])
    case = make(name)
    params = random_like(jax.eval_shape(case.model.init, jax.random.key(0)), 1)
    weights = jax.tree.map(lambda leaf: leaf.astype(F64), case.weights)
    back = case.write(case.model, params, weights)
    assert jax.tree.map(jnp.shape, back) == jax.tree.map(jnp.shape, weights)
    assert_close(case.read(case.model, back), params, 0)
