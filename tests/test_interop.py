"""Names, errors and files of the converters, with torch as the example of them all."""

import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compare import assert_close, oracle, random_like

import jaxnn
from jaxnn.interop import (
    equinox,
    flax_linen,
    flax_nnx,
    fold_batch_norm,
    from_states,
    haiku,
    keras,
    to_states,
    torch as from_torch,
)
from jaxnn.interop.torch import from_state_dict, to_state_dict

KEY = jax.random.key(0)
LSTM = jaxnn.lstm(3, 4)


def params_of(model: Any) -> Any:
    """Random numbers in every place."""
    return random_like(jax.eval_shape(model.init, KEY), 1)


def weights_of(model: Any, **options: Any) -> dict[str, Any]:
    """The state_dict of random parameters."""
    return to_state_dict(model, params_of(model), **options)


# Names --------------------------------------------------------------------------------------------

ENCODER = jaxnn.stack(jaxnn.lstm(3, 4), jaxnn.lstm(4, 4))
NAMES = {
    "cell": (LSTM, ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]),
    "no bias": (jaxnn.gru(3, 4, bias=False), ["weight_ih_l0", "weight_hh_l0"]),
    "places": (
        jaxnn.serial(jaxnn.dense(3, 4), jaxnn.activation(jnp.tanh), jaxnn.dense(4, 4, bias=False)),
        ["0.weight", "0.bias", "2.weight"],
    ),
    "names": (
        jaxnn.serial(
            jaxnn.as_layer(ENCODER),
            jaxnn.dropout(0.1),
            jaxnn.layer_norm(4),
            names=("encoder", "drop", "norm"),
        ),
        [f"encoder.{part}_l{k}" for k in (0, 1) for part in (
            "weight_ih", "weight_hh", "bias_ih", "bias_hh")] + ["norm.weight", "norm.bias"],
    ),
    "mlp": (
        jaxnn.mlp((3, 4, 5, 2), bias=False),
        ["0.weight", "2.weight", "4.weight"],
    ),
    "nested": (
        jaxnn.stack(jaxnn.stack(jaxnn.dense(3, 4, bias=False), names=("a",)), names=("b",)),
        ["b.a.weight"],
    ),
    "cells that differ": (
        jaxnn.bidirectional(jaxnn.elman(3, 4, bias=False), jaxnn.gru(3, 4, bias=False)),
        [f"{side}.weight_{part}_l0" for side in ("forward", "backward") for part in ("ih", "hh")],
    ),
    "start": (
        jaxnn.learned_initial_state(jaxnn.elman(3, 4, bias=False)),
        ["weight_ih_l0", "weight_hh_l0", "start.hidden"],
    ),
    "looked through": (
        jaxnn.final_state(
            jaxnn.as_layer(jaxnn.remat(jaxnn.residual(jaxnn.elman(4, 4, bias=False))), True)
        ),
        ["weight_ih_l0", "weight_hh_l0"],
    ),
    "projected": (
        jaxnn.lstm(3, 4, bias=False, projection_size=2),
        ["weight_ih_l0", "weight_hh_l0", "weight_hr_l0"],
    ),
    "nothing": (jaxnn.activation(jnp.tanh), []),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_and_back(name: str) -> None:
    """In torch's order, each its own copy, and the same bits back, under a prefix too."""
    model, names = NAMES[name]
    params = params_of(model)
    weights = to_state_dict(model, params)
    assert list(weights) == names
    assert all(array.flags.writeable and array.flags.c_contiguous for array in weights.values())
    again = from_state_dict(model, weights)
    assert_close(again, params, 0)
    for array in weights.values():
        array[...] = np.nan  # as another library may, in place
    assert_close(again, params, 0)
    below = to_state_dict(model, params, "model.") | {"other.weight": np.zeros(2)}
    assert_close(from_state_dict(model, below, "model."), params, 0)


def test_a_choice_is_made_by_the_names() -> None:
    """One layer with num_layers, or several; layers, or cells."""
    params = params_of(ENCODER)
    apart = [f"{k}.{part}" for k in (0, 1) for part in
             ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]  # fmt: skip
    for names in (apart, [f"{name}_l0" for name in apart]):
        weights = to_state_dict(ENCODER, params, like=names)
        assert list(weights) == names
        assert_close(from_state_dict(ENCODER, weights), params, 0)
    with pytest.raises(ValueError, match="weight_ih_l0: not in `like`"):
        to_state_dict(ENCODER, params, like=["0.weight"])


def test_every_library_has_its_names_for_parts() -> None:
    model = jaxnn.serial(jaxnn.dense(3, 3), jaxnn.activation(jnp.tanh), jaxnn.dense(3, 3))
    params = params_of(model)
    assert list(haiku.to_params(model, params)) == ["linear", "linear_1"]
    with pytest.raises(ValueError, match="prefix='linear/'"):
        haiku.to_params(jaxnn.dense(3, 3), params[0])
    assert list(flax_linen.to_params(model, params)) == ["layers_0", "layers_2"]
    assert list(flax_nnx.to_state(model, params)["layers"]) == [0, 2]
    assert list(equinox.to_arrays(model, params))[::2] == ["layers.0.weight", "layers.2.weight"]
    assert list(keras.to_weights(model, params))[::2] == ["dense/kernel", "dense_1/kernel"]


# Errors -------------------------------------------------------------------------------------------


def test_all_that_differs_is_told_at_once() -> None:
    weights = weights_of(jaxnn.serial(LSTM_LAYER, jaxnn.dense(4, 2)))
    del weights["0.bias_hh_l0"]
    weights["0.weight_ih_l0"] = weights["0.weight_ih_l0"].T
    weights["0.weight_hh_l0"] = weights["0.weight_hh_l0"].astype(np.float64)
    weights["1.weight"] = weights["1.weight"].astype(np.int32)
    weights["2.running_mean"] = np.zeros(2, np.float32)
    with pytest.raises(ValueError, match="these are not the weights") as error:
        from_state_dict(jaxnn.serial(LSTM_LAYER, jaxnn.dense(4, 2)), weights)
    for line in (
        "0.bias_hh_l0: missing",
        "0.weight_ih_l0: shape (3, 16), expected (16, 3) (transposed?)",
        "0.weight_hh_l0: dtype float64, expected float32 (cast=True converts)",
        "1.weight: dtype int32, expected float32",
        "2.running_mean: left over",
        "fold_batch_norm",
    ):
        assert line in str(error.value)


LSTM_LAYER = jaxnn.as_layer(LSTM)


def test_a_cast_is_asked_for() -> None:
    wide = {name: array.astype(np.float64) for name, array in weights_of(LSTM).items()}
    narrow = from_state_dict(LSTM, wide, cast=True)
    assert_close(narrow, params_of(LSTM), 0)
    half = {name: array.astype(np.float16) for name, array in wide.items()}
    assert from_state_dict(LSTM, half, cast=True).bias.dtype == np.float32
    with pytest.raises(ValueError, match="cast=True converts"):
        from_state_dict(LSTM, half)


@pytest.mark.parametrize(
    ("model", "reasons"),
    [
        (jaxnn.lstm(3, 4, peephole=True), ["no peepholes"]),
        (jaxnn.lstm(3, 4, coupled=True), ["no coupled gates"]),
        (jaxnn.gru(3, 4, reset_after=False), ["make the cell with reset_after=True"]),
        (jaxnn.elman(3, 4, activation=jax.nn.sigmoid), ["tanh or relu for its activation"]),
        (jaxnn.lstm(3, 4, activation=jax.nn.relu), ["tanh for its activation, not relu"]),
        (jaxnn.gru(3, 4, gate_activation=jax.nn.hard_sigmoid), ["sigmoid for its gate_activation"]),
        (jaxnn.dense(3, 4, bias="shared"), ["one number for a whole layer"]),
        (jaxnn.stack(jaxnn.mgu(3, 4), jaxnn.lstm(4, 4, peephole=True)), ["mgu(3, 4)", "peepholes"]),
        (jaxnn.bidirectional(jaxnn.mgu(3, 4)), ["mgu"]),
    ],
    ids=str,
)
def test_what_has_no_home_is_refused(model: Any, reasons: list[str]) -> None:
    """All of it, with the reason, in both directions."""
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype),
                          jax.eval_shape(model.init, KEY))  # fmt: skip
    for call in (lambda: from_state_dict(model, {}), lambda: to_state_dict(model, params)):
        with pytest.raises(ValueError, match="no conversion for") as error:
            call()
        assert all(reason in str(error.value) for reason in reasons)


@pytest.mark.parametrize("whose", ["torch", "keras", "flax_linen", "flax_nnx", "haiku", "equinox"])
def test_weights_of_another_library_are_recognised(whose: str) -> None:
    writers: dict[str, Any] = {
        "torch": (to_state_dict, LSTM),
        "keras": (keras.to_weights, LSTM),
        "flax_linen": (flax_linen.to_params, LSTM),
        "flax_nnx": (flax_nnx.to_state, LSTM),
        "haiku": (lambda model, params: haiku.to_params(model, params, "lstm/"), LSTM),
        "equinox": (equinox.to_arrays, jaxnn.gru(3, 4)),
    }
    write, model = writers[whose]
    weights = write(model, params_of(model))
    readers: dict[str, Any] = {"torch": from_state_dict, "keras": keras.from_weights}
    for own, read in readers.items():
        if own != whose:
            with pytest.raises(ValueError, match=f"weights for jaxnn.interop.{whose}"):
                read(model, named(weights))


def named(tree: Any, path: str = "") -> dict[str, Any]:
    """A flat mapping of names that are joined by "/"."""
    if not isinstance(tree, dict):
        return {path: tree}
    inner = [named(value, f"{path}/{key}" if path else str(key)) for key, value in tree.items()]
    return {name: array for each in inner for name, array in each.items()}


def test_hints() -> None:
    for model, weights, hint in (
        (LSTM, {}, "No name begins with the prefix"),
        (LSTM, weights_of(LSTM, prefix="rnn."), "All names begin with 'rnn.': a prefix"),
        (jaxnn.gru(3, 4, bias=False), weights_of(jaxnn.gru(3, 4)), "make ours with bias=True"),
        (jaxnn.gru(3, 4), weights_of(jaxnn.gru(3, 4, bias=False)), "make ours with bias=False"),
        (LSTM, {"input_kernel": np.zeros((3, 4, 4))}, "jaxnn.load reads them"),
    ):
        with pytest.raises(ValueError, match=hint):
            from_state_dict(model, weights)
    before = jaxnn.gru(3, 4, reset_after=False)
    weights = keras.to_weights(before, params_of(before), "gru/")
    with pytest.raises(ValueError, match="reset_after=True has a bias"):
        keras.from_weights(jaxnn.gru(3, 4), weights, "gru/")


read: Any = from_state_dict
wrong: Any = flax_linen.from_params


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: from_state_dict(jaxnn.lstm, {}), "model must be a Layer"),
        (lambda: read(LSTM, [np.zeros(3)]), "weights must map names to arrays"),
        (lambda: from_state_dict(LSTM, {"weight_ih_l0": [1.0]}), "weight_ih_l0 must be an array"),
        (lambda: read(LSTM, {}, prefix=3), "prefix must be text"),
        (lambda: read(LSTM, {}, cast="yes"), "cast must be True or False"),
        (lambda: to_state_dict(LSTM, {}), "params must be LSTMParams"),
        (lambda: read(LSTM, {3: np.ones(2)}), "names in weights must be text"),
        (lambda: wrong(LSTM, [1]), "weights must map names to arrays"),
        (lambda: fold_batch_norm({}, np.zeros(2), np.ones(2)), "params must be DenseParams"),
    ],
)
def test_arguments_of_a_wrong_type(call: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        call()


# States -------------------------------------------------------------------------------------------


def test_states() -> None:
    """Each library's order of h and c, directions and layers; tests/test_torch.py has torch's."""
    both = jaxnn.bidirectional(LSTM, jaxnn.gru(3, 2))
    model = jaxnn.serial(jaxnn.dense(3, 3), both, names=("first", "rnn"))
    h, c, g = (np.full((2, size), value) for size, value in ((4, 1.0), (4, 2.0), (2, 3.0)))
    state, _ = jax.eval_shape(
        lambda: model.unroll(model.init(KEY), jnp.ones((5, 2, 3), jnp.float32))
    )
    for library, order in (
        ("keras", [h, c, g]), ("haiku", [h, c, g]), ("equinox", [(h, c), g]),
        ("flax.linen", ((c, h), g)), ("flax.nnx", ((c, h), g)),
    ):  # fmt: skip
        ours = from_states(library, model, order)
        assert jax.tree.structure(ours) == jax.tree.structure(state)
        forward, backward = ours.rnn
        assert forward.hidden.max() == 1 and forward.cell.max() == 2 and backward.hidden.max() == 3
        assert_close(
            to_states(library, model, ours), [jnp.asarray(a) for a in jax.tree.leaves(order)], 0
        )
    for call, words in (
        (lambda: from_states("keras", LSTM, [h]), "the cells of"),
        (lambda: from_states("torch", LSTM, (h, c)), "the cells of"),
        (lambda: from_states("onnx", LSTM, [h, c]), "library must be"),
        (lambda: from_states("keras", jaxnn.mgu(3, 4), [h]), "keras has no layer for it"),
        (lambda: to_states("torch", both, ours.rnn), "its cells differ"),
        (lambda: to_states("keras", LSTM, jaxnn.GRUState(jnp.asarray(h))), "must hold LSTMState"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


# Batch norm ---------------------------------------------------------------------------------------


@pytest.mark.oracle
@pytest.mark.parametrize("before", [True, False])
def test_a_batch_norm_is_folded(before: bool) -> None:
    """Into a dense layer, a convolution, and before a cell, against torch's own, in float64."""
    torch = oracle("torch")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 6, 5, 3))
    for layer in (
        jaxnn.dense(3, 4, dtype="float64"),
        jaxnn.conv(3, 4, (2, 3), bias=False, dtype="float64"),
        jaxnn.as_layer(jaxnn.gru(3, 4, dtype="float64")),
        jaxnn.as_layer(jaxnn.lstm(3, 4, bias=False, dtype="float64")),
    ):
        cell = isinstance(layer, jaxnn.SequenceLayer)
        if cell and not before:
            continue
        size = 3 if before else 4
        norm = torch.nn.BatchNorm2d(size, eps=1e-3, dtype=torch.float64).eval()
        given = {k: v for k, v in norm.state_dict().items() if v.ndim}
        numbers = {k: rng.uniform(0.5, 2, size) for k in given}
        norm.load_state_dict({k: torch.tensor(v) for k, v in numbers.items()}, strict=False)

        def normed(x: Any, norm: Any = norm) -> Any:
            return np.moveaxis(norm(torch.tensor(np.moveaxis(x, -1, 1))).detach().numpy(), 1, -1)

        params = params_of(layer)
        folded = fold_batch_norm(
            params, numbers["running_mean"], numbers["running_var"],
            numbers["weight"], numbers["bias"], 1e-3, before,
        )  # fmt: skip
        wide = jaxnn.parts(layer)
        inner = wide.parts["cell"] if cell else wide
        biased = inner.factory(**inner.options | {"bias": True})
        biased = jaxnn.as_layer(biased) if cell else biased
        if before:
            expected = layer.apply(params, jnp.asarray(normed(x)))
        else:
            expected = normed(np.array(layer.apply(params, jnp.asarray(x))))
        assert_close(np.asarray(biased.apply(folded, jnp.asarray(x))), np.asarray(expected), 1e-12)


def test_what_a_batch_norm_cannot_be_folded_into() -> None:
    params = jaxnn.dense(3, 4).init(KEY)
    ones = np.ones(4, np.float32)
    with pytest.raises(ValueError, match=r"mean must be float32 \(3,\)"):
        fold_batch_norm(params, ones, ones, before=True)
    with pytest.raises(ValueError, match="variance must be float32"):
        fold_batch_norm(params, ones, ones.astype(np.float64))
    with pytest.raises(TypeError, match="before=True"):
        fold_batch_norm(LSTM.init(KEY), ones, ones)


# Files and imports --------------------------------------------------------------------------------


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_a_pt_file_is_data(tmp_path: Any) -> None:
    """Tensors by name are read; what would run something is not."""
    torch = oracle("torch")
    module = torch.nn.LSTM(3, 4, 2, proj_size=2, bidirectional=True)
    torch.save(module.state_dict(), tmp_path / "lstm.pt")
    weights = from_torch.read(tmp_path / "lstm.pt")
    layers = [jaxnn.bidirectional(jaxnn.lstm(n, 4, projection_size=2)) for n in (3, 4)]
    model = jaxnn.serial(*layers)
    params = from_state_dict(model, weights)
    x = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
    expected, (h, c) = module(torch.tensor(x))
    state, ys = model.unroll(params, x)
    assert_close(np.asarray(ys), expected.detach().numpy(), 1e-6)
    for ours, theirs in zip(to_states("torch", model, state), (h, c), strict=True):
        assert_close(np.asarray(ours), theirs.detach().numpy(), 1e-6)
    with pytest.raises(TypeError, match="weight_ih_l0 cannot be read as a numpy array"):
        from_state_dict(model, dict(module.named_parameters()))
    file = tmp_path / "file.pt"
    torch.save({"model": module.state_dict(), "epoch": 3}, file)
    assert_close(from_state_dict(model, from_torch.read(file, "model")), params, 0)
    for entry, words in ((None, "it has 'model', 'epoch'"), ("state", "no entry 'state', but 'mo")):
        with pytest.raises(ValueError, match=words):
            from_torch.read(file, entry)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ValueError, match="is damaged"):
        from_torch.read(file)
    torch.save(module, file)
    with pytest.raises(ValueError, match="more than data"):
        from_torch.read(file)
    with pytest.raises(FileNotFoundError):
        from_torch.read(tmp_path / "missing.pt")


def test_the_converters_import_no_neighbour() -> None:
    """Nor does jaxnn import the converters."""
    code = """
import sys, jaxnn
assert "jaxnn.interop" not in sys.modules
import jaxnn.interop.torch, jaxnn.interop.keras, jaxnn.interop.haiku, jaxnn.interop.equinox
import jaxnn.interop.flax_linen, jaxnn.interop.flax_nnx
names = {"torch", "keras", "haiku", "equinox", "flax", "h5py", "onnx", "safetensors"}
print(sorted(names & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
