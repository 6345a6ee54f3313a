"""keras as an oracle: weights by name with every gradient, and the models that its files hold."""

import json
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compare import assert_close, oracle, random_like

import jaxnn
from jaxnn.interop.keras import from_file, from_weights, read, to_weights

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]
BATCH, TIME, INPUT = 2, 5, 3


@pytest.fixture(scope="module")
def layers() -> Any:
    """keras.layers, over jax."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    return oracle("keras").layers


@pytest.fixture(autouse=True)
def usual_settings() -> Any:
    """keras is not written for strict promotion."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape)


def test_values_gradients_and_back(layers: Any) -> None:
    """Every recurrent layer one after the other, in float32: on jax keras has no float64."""
    import keras

    sequences = {"return_sequences": True}
    theirs = keras.Sequential([
        layers.Input((TIME, INPUT)),
        layers.SimpleRNN(4, use_bias=False, **sequences),
        layers.Bidirectional(layers.LSTM(3, recurrent_activation="hard_sigmoid", **sequences)),
        layers.LayerNormalization(epsilon=1e-3),
        layers.GRU(3, **sequences),
        layers.GRU(3, reset_after=False, **sequences),
    ])  # fmt: skip
    gate = jaxnn.activations.hard_sigmoid(1 / 6)
    ours = jaxnn.serial(
        jaxnn.as_layer(jaxnn.elman(INPUT, 4, bias=False)),
        jaxnn.bidirectional(jaxnn.lstm(4, 3, gate_activation=gate)),
        jaxnn.layer_norm(6, epsilon=1e-3),
        jaxnn.as_layer(jaxnn.gru(6, 3)),
        jaxnn.as_layer(jaxnn.gru(3, 3, reset_after=False)),
    )
    paths = [weight.path for weight in theirs.weights]
    values = random_like([weight.value for weight in theirs.weights], 1)
    x = jnp.asarray(random(BATCH, TIME, INPUT), jnp.float32)
    prefix = f"{theirs.name}/"

    def run_ours(values: Any) -> Any:
        params = from_weights(ours, dict(zip(paths, values, strict=True)), prefix)
        return jaxnn.time_major(ours.apply(params, jaxnn.time_major(x)))

    seeds = [variable.value for variable in theirs.non_trainable_variables]

    def run_theirs(values: Any) -> Any:
        return theirs.stateless_call(values, seeds, x)[0]

    @jax.jit
    def both(values: Any) -> Any:
        expected, their_vjp = jax.vjp(run_theirs, values)
        y, our_vjp = jax.vjp(run_ours, values)
        return (y, *our_vjp(expected)), (expected, *their_vjp(expected))

    one, other = both(values)
    assert_close(one, other, 2e-5)
    params = from_weights(ours, dict(zip(paths, values, strict=True)), prefix)
    back = to_weights(ours, params, prefix, like=paths)
    assert list(back) == paths
    assert_close(from_weights(ours, back, prefix), params, 0)
    fresh = to_weights(ours, params)
    assert list(dict.fromkeys(name.partition("/")[0] for name in fresh)) == [
        "simple_rnn", "bidirectional", "layer_normalization", "gru", "gru_1",
    ]  # fmt: skip
    theirs.set_weights(list(fresh.values()))
    np.testing.assert_allclose(theirs(x), run_ours(values), atol=1e-6)


def models(layers: Any) -> dict[str, Any]:
    """Layers by name, and the shape of a sample; integers where it begins with "tokens"."""
    sequences = {"return_sequences": True}
    return {
        "recurrent": (
            (TIME, INPUT),
            [
                layers.Masking(0.0),
                layers.SimpleRNN(4, activation="relu", go_backwards=True, **sequences),
                layers.GRU(3, use_bias=False, dropout=0.1, **sequences),
                layers.BatchNormalization(),
                layers.LSTM(3, recurrent_activation="hard_sigmoid", name="odd-name"),
                layers.Dense(2, activation="softmax"),
            ],
        ),
        "bidirectional": (
            (TIME, INPUT),
            [
                layers.Bidirectional(layers.LSTM(4, **sequences), merge_mode="sum"),
                layers.Bidirectional(layers.GRU(4, **sequences), merge_mode="ave"),
                layers.BatchNormalization(),
                layers.Bidirectional(layers.SimpleRNN(4, use_bias=False), merge_mode="mul"),
                layers.LeakyReLU(),
            ],
        ),
        "tokens": (
            (8,),
            [
                layers.Embedding(5, 3, mask_zero=True),
                layers.Conv1D(4, 3, padding="causal", activation="relu"),
                layers.BatchNormalization(),
                layers.MaxPooling1D(2),
                layers.GRU(3, reset_after=False, go_backwards=True),
                layers.Dropout(0.1),
                layers.LayerNormalization(scale=False),
                layers.Dense(1, activation="gelu"),
            ],
        ),
        "images": (
            (9, 8, 2),
            [
                layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False),
                layers.BatchNormalization(scale=False),
                layers.ReLU(),
                layers.AveragePooling2D(2, padding="same"),
                layers.BatchNormalization(),
                layers.Conv2DTranspose(2, (3, 2), strides=(2, 1), padding="same"),
                layers.Conv2D(3, (6, 2)),
                layers.Flatten(),
                layers.Dense(2, activation="silu"),
                layers.BatchNormalization(center=False),
            ],
        ),
        "films": (
            (TIME, 5, 4, 1),
            [
                layers.TimeDistributed(layers.Conv2D(2, 2)),
                layers.TimeDistributed(layers.Flatten()),
                layers.LSTM(3, **sequences),
                layers.TimeDistributed(layers.Dense(2, activation="tanh")),
                layers.GlobalAveragePooling1D(),
            ],
        ),
    }


@pytest.mark.parametrize("name", ["recurrent", "bidirectional", "tokens", "images", "films"])
def test_files(name: str, layers: Any, tmp_path: Any) -> None:
    """A new file of each format gives the outputs of the model that was saved."""
    import keras

    shape, chain = models(layers)[name]
    x = random(BATCH, *shape).astype(np.float32)
    if name == "tokens":
        x = 1 + np.abs(x).astype(np.int32) % 4
    source = keras.Input(shape, dtype=x.dtype.name)
    y = source
    for layer in chain:
        y = layer(y)
    functional = name in ("bidirectional", "tokens")
    model = keras.Model(source, y) if functional else keras.Sequential([source, *chain])
    for weight in model.weights:
        if "seed" not in weight.path:
            value = 0.5 * random(*weight.shape)
            weight.assign(np.abs(value) + 0.1 if "variance" in weight.path else value)
    state = [
        [v.value for v in each]
        for each in (model.trainable_variables, model.non_trainable_variables)
    ]
    expected = np.asarray(jax.jit(lambda x: model.stateless_call(*state, x)[0])(x))
    run = None
    for file in ("model.keras", "model.h5"):
        model.save(tmp_path / file)
        with jax.enable_x64(False):  # as users have it
            built = from_file(tmp_path / file)
            params = jax.eval_shape(built.model.init, jax.random.key(0))
        assert jax.tree.structure(built.params) == jax.tree.structure(params)
        shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), built.params)
        assert shapes == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), params)
        xs = x if name == "images" else np.swapaxes(x, 0, 1)
        run = run or jax.jit(built.model.apply)  # both files hold one model
        assert_close(np.asarray(run(built.params, xs)), expected, 2e-6)
    told = {"recurrent": ["mask=", "dropout"], "tokens": ["mask_zero"]}.get(name, [])
    assert len(built.notes) == len(told)
    for word, note in zip(told, built.notes, strict=True):
        assert word in note
    with jax.enable_x64(True):
        wide = from_file(tmp_path / "model.h5", dtype="float64")
    assert {leaf.dtype for leaf in jax.tree.leaves(wide.params)} == {np.dtype("float64")}


def of_keras_2(path: Any, weights: dict[str, np.ndarray], h5py: Any) -> None:
    """A file as Keras 2.2 wrote it: bytes, ":0", no `reset_after`, its own hard sigmoid."""
    recurrent = {"activation": "tanh", "recurrent_activation": "hard_sigmoid", "use_bias": True}
    backs = {"go_backwards": False, "stateful": False, "implementation": 1, "dropout": 0.0}
    configs = [
        ("LSTM", {"name": "lstm_1", "units": 4, "batch_input_shape": [None, None, INPUT],
                  "return_sequences": True, **recurrent, **backs}),
        ("GRU", {"name": "gru_1", "units": 2, "return_sequences": False, **recurrent, **backs}),
    ]  # fmt: skip
    layers = [{"class_name": kind, "config": config} for kind, config in configs]
    config = {"class_name": "Sequential", "config": layers}
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = b"2.2.4"
        file.attrs["model_config"] = json.dumps(config).encode()
        groups = file.create_group("model_weights")
        groups.attrs["layer_names"] = [b"lstm_1", b"gru_1"]
        for layer in ("lstm_1", "gru_1"):
            names = [name for name in weights if name.startswith(layer)]
            group = groups.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name in names:
                group[name] = weights[name]


def test_a_file_of_keras_2(layers: Any, tmp_path: Any) -> None:
    """Against the layers of Keras 3 with the other hard sigmoid."""
    h5py = pytest.importorskip("h5py")
    shapes = {
        "lstm_1/kernel:0": (INPUT, 16),
        "lstm_1/recurrent_kernel:0": (4, 16),
        "lstm_1/bias:0": (16,),
        "gru_1/kernel:0": (4, 6),
        "gru_1/recurrent_kernel:0": (2, 6),
        "gru_1/bias:0": (6,),
    }
    weights = {name: random(*shape).astype(np.float32) for name, shape in shapes.items()}
    of_keras_2(tmp_path / "old.h5", weights, h5py)
    built = from_file(tmp_path / "old.h5")
    x = random(BATCH, TIME, INPUT).astype(np.float32)
    gate = {"recurrent_activation": lambda x: jnp.clip(0.2 * x + 0.5, 0, 1)}
    lstm = layers.LSTM(4, return_sequences=True, **gate)
    gru = layers.GRU(2, reset_after=False, **gate)
    gru(lstm(x))
    lstm.set_weights(list(weights.values())[:3])
    gru.set_weights(list(weights.values())[3:])
    y = built.model.apply(built.params, np.swapaxes(x, 0, 1))
    assert_close(np.asarray(y), np.asarray(gru(lstm(x))), 2e-6)
    # The names of such a file are read by from_weights, too.
    model = jaxnn.serial(*(p.make() for p in jaxnn.parts(built.model).parts.values()))
    assert_close(from_weights(model, weights), tuple(built.params), 0)
    assert_close(read(tmp_path / "old.h5"), weights, 0)
    with h5py.File(tmp_path / "old.h5") as whole, h5py.File(tmp_path / "alone.h5", "w") as file:
        whole.copy("model_weights", file, "model_weights")
        for name, value in whole["model_weights"].attrs.items():
            file.attrs[name] = value
        for name in list(file["model_weights"]):
            file.move(f"model_weights/{name}", name)
        del file["model_weights"]
    alone = read(tmp_path / "alone.h5")  # as save_weights wrote it
    assert list(alone) == list(weights)
    assert_close(from_weights(built.model, alone), built.params, 0)
