"""Parameters that are not those of the cell or layer are refused, with path, expected and got."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn

KEY = jax.random.key(0)
FLOAT = jnp.float32


def ones(*shape: int, dtype: Any = FLOAT) -> jax.Array:
    return jnp.ones(shape, dtype)


MODELS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "elman": (jaxnn.elman(3, 4), (3,)),
    "elman no bias": (jaxnn.elman(3, 4, bias=False), (3,)),
    "lstm": (jaxnn.lstm(3, 4), (3,)),
    "lstm no bias": (jaxnn.lstm(3, 4, bias=False), (3,)),
    "lstm peephole": (jaxnn.lstm(3, 4, peephole=True), (3,)),
    "lstm coupled": (jaxnn.lstm(3, 4, coupled=True), (3,)),
    "lstm wider": (jaxnn.lstm(3, 5), (3,)),
    "gru": (jaxnn.gru(3, 4), (3,)),
    "gru before": (jaxnn.gru(3, 4, reset_after=False), (3,)),
    "mgu": (jaxnn.mgu(3, 4), (3,)),
    "conv_lstm": (jaxnn.conv_lstm(3, 4, (6,), (3,)), (6, 3)),
    "conv_lstm of 5": (jaxnn.conv_lstm(3, 4, (6,), (5,)), (6, 3)),
    "dense": (jaxnn.dense(3, 4), (3,)),
    "dense shared": (jaxnn.dense(3, 4, bias="shared"), (3,)),
    "dense no bias": (jaxnn.dense(3, 4, bias=False), (3,)),
    "dense wider": (jaxnn.dense(3, 5), (3,)),
    "mlp": (jaxnn.mlp((3, 4, 2)), (3,)),
    "layer_norm": (jaxnn.layer_norm(3), (3,)),
    "group_norm": (jaxnn.group_norm(3, 3, 2), (6, 3)),
    "layer_norm wider": (jaxnn.layer_norm(4), (4,)),
    "conv": (jaxnn.conv(3, 4, (3,), padding="same"), (6, 3)),
    "conv_transpose": (jaxnn.conv_transpose(3, 4, (3,), padding="same"), (6, 3)),
    "conv of 5": (jaxnn.conv(3, 4, (5,), padding="same"), (6, 3)),
    "stack": (jaxnn.stack(jaxnn.gru(3, 4), jaxnn.dense(4, 2)), (3,)),
    "serial": (jaxnn.serial(jaxnn.as_layer(jaxnn.gru(3, 4)), jaxnn.dense(4, 2)), (3,)),
    "bidirectional": (jaxnn.bidirectional(jaxnn.gru(3, 4)), (3,)),
    "learned": (jaxnn.learned_initial_state(jaxnn.gru(3, 4)), (3,)),
}
SAME = {
    frozenset({"conv", "conv_transpose"}),
    frozenset({"layer_norm", "group_norm"}),
    frozenset({"stack", "serial"}),
}
"""Pairs whose parameters are the same arrays, so that nothing can be seen."""


def call(name: str, params: Any) -> Any:
    """A whole sequence, or an array, through the model."""
    model, event = MODELS[name]
    x = ones(5, 5, *event)
    return model.unroll(params, x) if hasattr(model, "unroll") else model.apply(params, x)


@pytest.mark.parametrize("name", MODELS)
def test_params_of_every_other_model_are_refused(name: str) -> None:
    call(name, MODELS[name][0].init(KEY))
    for other, (model, _) in MODELS.items():
        if other == name or {other, name} in SAME:
            continue
        with pytest.raises((TypeError, ValueError), match=r"params|params\.\w+ must"):
            call(name, model.init(KEY))


@pytest.mark.parametrize("name", MODELS)
def test_every_leaf_must_have_its_shape_and_dtype(name: str) -> None:
    model, _ = MODELS[name]
    leaves, structure = jax.tree.flatten(model.init(KEY))
    wrong: dict[str, Callable[[jax.Array], Any]] = {
        "one entry": lambda leaf: leaf[..., :1] if leaf.ndim else leaf[None],
        "an axis more": lambda leaf: leaf[None],
        "a batch": lambda leaf: jnp.broadcast_to(leaf, (5, *leaf.shape)),
        "an axis less": lambda leaf: leaf[0] if leaf.ndim else ones(2),
        "integers": lambda leaf: leaf.astype(jnp.int32),
        "half": lambda leaf: leaf.astype(jnp.float16),
        "double": lambda leaf: leaf.astype(jnp.float64),
        "a number": lambda leaf: 1.0,
        "a list": lambda leaf: np.asarray(leaf).tolist(),
        "none": lambda leaf: None,
        "objects": lambda leaf: np.asarray(leaf).astype(object),
    }
    for at, leaf in enumerate(leaves):
        for what, change in wrong.items():
            changed = structure.unflatten([*leaves[:at], change(leaf), *leaves[at + 1 :]])
            if what == "one entry" and changed is not None and leaf.shape[-1:] == (1,):
                continue
            with pytest.raises((TypeError, ValueError), match="must"):
                print(what, call(name, changed))


def test_numpy_params_are_taken() -> None:
    for name, (model, _) in MODELS.items():
        params = jax.tree.map(np.asarray, model.init(KEY))
        call(name, params)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"weight_ih_l0": ones(16, 3), "weight_hh_l0": ones(16, 4)}, "state_dict of torch"),
        ({"params": {"ii": {"kernel": ones(3, 4)}}}, "variables of flax"),
        ({"ii": {"kernel": ones(3, 4)}, "hf": {"kernel": ones(4, 4)}}, "variables of flax"),
        ({"lstm/linear": {"w": ones(7, 16), "b": ones(16)}}, "params of haiku"),
        ([ones(3, 16), ones(4, 16), ones(16)], "weights of keras"),
    ],
)
def test_another_librarys_layout_is_told_so(params: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        jaxnn.lstm(3, 4).unroll(params, ones(5, 2, 3))


def test_an_ensemble_without_vmap_is_told_so() -> None:
    for name, (model, _) in MODELS.items():
        one = jax.eval_shape(model.init, KEY)
        stacked = jax.tree.map(lambda leaf: np.ones((3, *leaf.shape), leaf.dtype), one)
        with pytest.raises(ValueError, match=r"3 members of an ensemble.*jax\.vmap"):
            call(name, stacked)


def test_a_learned_start_has_no_batch() -> None:
    cell = jaxnn.learned_initial_state(jaxnn.gru(3, 4))
    params = cell.init(KEY)
    params = params._replace(start=jaxnn.GRUState(ones(2, 4)))
    with pytest.raises(ValueError, match=r"params\.start\.hidden must have the shape \(4,\)"):
        cell.unroll(params, ones(5, 2, 3))


@pytest.mark.parametrize("name", ["elman", "lstm peephole", "gru", "gru before", "mgu"])
def test_gates_check_their_params_too(name: str) -> None:
    cell = MODELS[name][0]
    params, x = cell.init(KEY), ones(2, 3)
    state = cell.initial_state(params, (2,))
    jaxnn.gates(cell, params, state, x)
    wrong: list[tuple[Any, Any, Any]] = [
        (params._replace(bias=ones(4)), state, x),
        (params._replace(recurrent_kernel=params.recurrent_kernel[:, :, :2]), state, x),
        (params, cell.initial_state(params), x),
        (params, state, jnp.ones((2, 3), jnp.int32)),
        (params, state, ones(2, 4)),
        ({}, state, x),
    ]
    for arguments in wrong:
        with pytest.raises((TypeError, ValueError), match=f"^gates: {re.escape(str(cell))}: "):
            jaxnn.gates(cell, *arguments)


def test_a_cell_of_ones_own_checks_structure_and_shapes() -> None:
    """Its dtypes, and whether a leaf is a plain number, are the business of whoever wrote it."""

    def zeros(params: Any, batch_shape: tuple[int, ...] = ()) -> jax.Array:
        return jnp.zeros((*batch_shape, 4), FLOAT)

    def step(params: Any, state: Any, x: Any) -> Any:
        return (state + params["rate"] * jnp.tanh(x @ params["kernel"]),) * 2

    cell = jaxnn.cell(lambda key: {"kernel": ones(3, 4), "rate": ones()}, step, zeros)
    cell.unroll({"kernel": ones(3, 4), "rate": 0.5}, ones(5, 2, 3))  # pyright: ignore[reportArgumentType]
    for wrong in ({"kernel": ones(3, 4)}, {"kernel": ones(3, 1), "rate": ones()}, ones(3, 4)):
        with pytest.raises((TypeError, ValueError), match=r"cell\(step\)\.unroll: params"):
            cell.unroll(wrong, ones(5, 2, 3))  # pyright: ignore[reportArgumentType]
    # An init that cannot be traced says nothing of its parameters.
    loaded = jaxnn.cell(lambda key: {"k": jnp.asarray(np.asarray(key))}, step, zeros)
    loaded.unroll({"kernel": ones(3, 4), "rate": ones()}, ones(5, 2, 3))
