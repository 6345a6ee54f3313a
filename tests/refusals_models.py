"""Wrong calls of what the factories give: init, initial_state, apply and unroll of every kind."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import wrong_values as wrong
from refusals import BATCH, FEATURES, HIDDEN, TIME, add, filled, refuse, zeros
from wrong_values import KEY, Pool, ones

import jaxnn

F, H = FEATURES, HIDDEN
IMAGES = ("conv_lstm", "conv_gru")
CONV_LSTM = functools.partial(jaxnn.conv_lstm, F, H, (5,), (3,))


def own_apply(params: Any, state: Any, x: Any) -> Any:
    """The step of a cell of one's own."""
    h = jnp.tanh(x @ params["kernel"] + state.hidden @ params["recurrent"])
    return jaxnn.ElmanState(h), h


def own_combine(params: Any, projected: Any, mixed: Any, state: Any) -> Any:
    """The last part of a split of one's own."""
    del params, state
    return jaxnn.ElmanState(jnp.tanh(projected + mixed))


def own_init(key: Any) -> Any:
    del key
    return {"kernel": jnp.ones((F, H), jnp.float32), "recurrent": jnp.ones((H, H), jnp.float32)}


def own_initial_state(params: Any, batch_shape: tuple[int, ...] = ()) -> Any:
    del params
    return jaxnn.ElmanState(jnp.zeros((*batch_shape, H), jnp.float32))


OWN: dict[str, Any] = {"init": own_init, "apply": own_apply, "initial_state": own_initial_state}
SPLIT: dict[str, Any] = {
    "init": own_init,
    "project": lambda params, x: x @ params["kernel"],
    "mix": lambda params, state: state.hidden @ params["recurrent"],
    "combine": own_combine,
    "initial_state": own_initial_state,
    "output": lambda state: state.hidden,
}
LINEAR: dict[str, Any] = {
    "init": own_init,
    "coefficients": lambda params, x: (
        jaxnn.ElmanState(jax.nn.sigmoid(x @ params["kernel"])),
        jaxnn.ElmanState(x @ params["kernel"]),
    ),
    "initial_state": own_initial_state,
    "output": lambda params, state, x: state.hidden @ params["recurrent"],
}
CELLS: dict[str, Callable[[], Any]] = {
    "elman": lambda: jaxnn.elman(F, H),
    "lstm": lambda: jaxnn.lstm(F, H),
    "lstm with peepholes": lambda: jaxnn.lstm(F, H, peephole=True),
    "lstm, coupled": lambda: jaxnn.lstm(F, H, peephole=True, coupled=True),
    "gru": lambda: jaxnn.gru(F, H),
    "gru, reset before": lambda: jaxnn.gru(F, H, reset_after=False),
    "mgu": lambda: jaxnn.mgu(F, H),
    "janet": lambda: jaxnn.janet(F, H),
    "ct_rnn": lambda: jaxnn.ct_rnn(F, H),
    "ltc": lambda: jaxnn.ltc(F, H, unfolds=2),
    "lif": lambda: jaxnn.lif(F, H),
    "slstm": lambda: jaxnn.slstm(F, H, heads=2),
    "mlstm": lambda: jaxnn.mlstm(F, H, heads=2),
    "conv_gru": lambda: jaxnn.conv_gru(F, H, (5,), (3,)),
    "indrnn": lambda: jaxnn.indrnn(F, H, steps=3),
    "qrnn": lambda: jaxnn.qrnn(F, H),
    "sru": lambda: jaxnn.sru(F),
    "rg_lru": lambda: jaxnn.rg_lru(F),
    "rg_lru_block": lambda: jaxnn.rg_lru_block(F, H),
    "conv_lstm": lambda: CONV_LSTM(peephole=True),
    "cell": lambda: jaxnn.cell(**OWN),
    "split_cell": lambda: jaxnn.split_cell(**SPLIT),
    "linear_cell": lambda: jaxnn.linear_cell(**LINEAR),
    "min_gru": lambda: jaxnn.min_gru(F, H),
    "min_lstm": lambda: jaxnn.min_lstm(F, H),
    "with_method": lambda: jaxnn.with_method(jaxnn.min_gru(F, H), "associative"),
    "lru": lambda: jaxnn.lru(F, H),
    "s5": lambda: jaxnn.s5(F, 2 * H),
    "s6": lambda: jaxnn.s6(F, H, 2),
    "causal_conv": lambda: jaxnn.causal_conv(F, 3),
    "mamba_block": lambda: jaxnn.mamba_block(F, 2, rank=2),
    "gated_by": lambda: jaxnn.gated_by(jaxnn.lstm(F, H), jaxnn.dense(F, H)),
    "stack": lambda: jaxnn.stack(jaxnn.lstm(F, H), jaxnn.dense(H, 2)),
    "residual of a cell": lambda: jaxnn.residual(jaxnn.gru(F, F)),
    "learned_initial_state": lambda: jaxnn.learned_initial_state(jaxnn.lstm(F, H)),
    "output_state": lambda: jaxnn.output_state(jaxnn.lstm(F, H)),
    "variational_dropout": lambda: jaxnn.regularizers.variational_dropout(
        jaxnn.lstm(F, H), 0.5, 0.5, 0.5
    ),
    "weight_norm": lambda: jaxnn.regularizers.weight_norm(jaxnn.gru(F, H)),
    "drop_connect": lambda: jaxnn.regularizers.drop_connect(jaxnn.gru(F, H), 0.5),
    "remat": lambda: jaxnn.remat(jaxnn.lstm(F, H), 1),
    "remat of a stack": lambda: jaxnn.remat(jaxnn.stack(jaxnn.gru(F, H), jaxnn.dense(H, 2))),
    "solve": lambda: jaxnn.solve(jaxnn.gru(F, H)),
}
VARIANTS = ("lstm with peepholes", "lstm, coupled", "gru, reset before")
SEQUENCE_LAYERS: dict[str, Callable[[], Any]] = {
    "bidirectional": lambda: jaxnn.bidirectional(jaxnn.lstm(F, H)),
    "as_layer": lambda: jaxnn.as_layer(jaxnn.gru(F, H)),
    "along_time": lambda: jaxnn.along_time(jaxnn.conv(F, H, (3,), padding="same")),
    "pool_over_time": lambda: jaxnn.pool_over_time("mean"),
    "final_state": lambda: jaxnn.final_state(jaxnn.bidirectional(jaxnn.gru(F, H))),
    "serial over time": lambda: jaxnn.serial(jaxnn.as_layer(jaxnn.gru(F, H)), jaxnn.dense(H, 2)),
    "parallel over time": lambda: jaxnn.parallel(
        jaxnn.as_layer(jaxnn.gru(F, H)), jaxnn.dense(F, H)
    ),
    "residual over time": lambda: jaxnn.residual(jaxnn.as_layer(jaxnn.gru(F, F))),
    "remat over time": lambda: jaxnn.remat(jaxnn.as_layer(jaxnn.gru(F, H)), 1),
}
LINE = ones(BATCH, 6, F)  # images of one spatial axis
LAYERS: dict[str, tuple[Callable[[], Any], np.ndarray]] = {
    "dense": (lambda: jaxnn.dense(F, H), ones(TIME, BATCH, F)),
    "dense, shared bias": (lambda: jaxnn.dense(F, H, bias="shared"), ones(TIME, BATCH, F)),
    "dense, no bias": (lambda: jaxnn.dense(F, H, bias=False), ones(TIME, BATCH, F)),
    "mlp": (lambda: jaxnn.mlp((F, 5, 2)), ones(TIME, BATCH, F)),
    "embedding": (lambda: jaxnn.embedding(9, H), ones(TIME, BATCH, dtype=np.int32)),
    "layer_norm": (lambda: jaxnn.layer_norm(F), ones(TIME, BATCH, F)),
    "group_norm": (lambda: jaxnn.group_norm(4, 2, 2), ones(TIME, BATCH, 5, 4)),
    "dropout": (lambda: jaxnn.dropout(0.5), ones(TIME, BATCH, F)),
    "activation": (lambda: jaxnn.activation(jnp.tanh), ones(TIME, BATCH, F)),
    "conv": (lambda: jaxnn.conv(F, H, (3,)), LINE),
    "conv_transpose": (lambda: jaxnn.conv_transpose(F, H, (3,)), LINE),
    "max_pool": (lambda: jaxnn.max_pool((2,)), LINE),
    "average_pool": (lambda: jaxnn.average_pool((2,)), LINE),
    "global_average_pool": (lambda: jaxnn.global_average_pool(2), LINE),
    "flatten": (lambda: jaxnn.flatten(2), LINE),
    "reshape": (lambda: jaxnn.reshape(2, (-1, 2)), LINE),
    "along": (lambda: jaxnn.along(-2, jaxnn.bidirectional(jaxnn.gru(F, H))), LINE),
    "serial": (lambda: jaxnn.serial(jaxnn.dense(F, H), jaxnn.layer_norm(H)), ones(TIME, BATCH, F)),
    "parallel": (lambda: jaxnn.parallel(jaxnn.dense(F, H), jaxnn.dense(F, 2)), ones(2, 2, F)),
    "residual": (lambda: jaxnn.residual(jaxnn.dense(F, F)), ones(TIME, BATCH, F)),
}


def name_in(label: str) -> str:
    return label.replace(",", "").split(" ")[0]


@functools.cache
def given(make: Callable[[], Any]) -> tuple[Any, Any]:
    """A model and its parameters, made once."""
    model = make()
    return model, filled(model)


# Cells --------------------------------------------------------------------------------------------


def without_features(right: np.ndarray) -> Pool:
    """For the input of a cell of one's own, which alone knows sizes and dtypes."""
    arrays = wrong.omit(wrong.not_arrays(right), "a tuple", "a dict")  # which may be right
    return {**arrays, **wrong.keys_like(right), "a scalar": right.ravel()[0]}


def no_state(right: Any) -> Pool:
    return {**wrong.states(right), "None": None}


@functools.cache
def first_state(make: Callable[[], Any]) -> Any:
    cell, params = given(make)
    return zeros(cell.initial_state(params, (BATCH,)))


def cell_arguments(make: Callable[[], Any], *only: str) -> dict[str, Any]:
    """Right ones for every method of a cell."""
    cell, params = given(make)
    spatial = (5,) if name_in(repr(cell)).startswith(IMAGES) else ()
    state = first_state(make)
    every = {
        "params": params,
        "state": state,
        "start": state,
        "batch_shape": (BATCH,),
        "x": ones(BATCH, *spatial, F),
        "xs": ones(TIME, BATCH, *spatial, F),
        "mask": ones(TIME, BATCH, dtype=bool),
        "reset": ones(TIME, BATCH, dtype=bool),
        "reverse": False,
        "key": KEY,
    }
    return {name: every[name] for name in only}


def refuse_cell(label: str, make: Callable[[], Any]) -> None:
    """All arguments of all methods; of a variant of a cell, its parameters."""
    name: Any = name_in(label)
    own = name in ("cell", "split_cell", "linear_cell")
    name = (name, "own_apply") if name == "cell" else name
    trees = wrong.trees_of_any_dtype if own else wrong.trees
    right = functools.partial(cell_arguments, make)
    if label in VARIANTS:
        least = functools.partial(right, "params", "state", "x")
        refuse(f"{label}.apply", lambda: make().apply, least, name, params=trees)
        least = functools.partial(right, "params", "xs")
        refuse(f"{label}.unroll", lambda: make().unroll, least, name, params=trees)
        return
    refuse(f"{label}.init", lambda: make().init, {"key": KEY}, name, key=wrong.KEYS_FOR_INIT)
    refuse(
        f"{label}.initial_state",
        lambda: make().initial_state,
        functools.partial(right, "params", "batch_shape"),
        name,
        params=wrong.structures,
        batch_shape=wrong.BATCH_SHAPES,
    )
    refuse(
        f"{label}.apply",
        lambda: make().apply,
        functools.partial(right, "params", "state", "x", "key"),
        name,
        params=trees,
        state=no_state,
        x=without_features if own else wrong.features,
        key=wrong.KEYS,
    )
    refuse(
        f"{label}.unroll",
        lambda: make().unroll,
        functools.partial(right, "params", "xs"),
        name,
        params=trees,
        xs=without_features if own else wrong.sequence,
    )
    flags = lambda right: wrong.exact_flags(ones(TIME, BATCH, dtype=bool))  # noqa: E731
    refuse_options = {
        "state": lambda _: wrong.states(right("state")["state"]),
        "start": lambda _: wrong.starts(right("start")["start"]),
        "mask": flags,
        "reset": flags,
        "reverse": wrong.FLAGS,
        "key": wrong.KEYS,
    }
    for argument, pool in refuse_options.items():
        refuse(
            f"{label}.unroll",
            lambda: make().unroll,
            functools.partial(right, "params", "xs"),
            name,
            **{argument: pool},
        )
    add_signatures(label, name, make, ("init", "initial_state", "apply", "unroll"))


def add_signatures(
    label: str, name: Any, make: Callable[[], Any], methods: tuple[str, ...]
) -> None:
    """An argument that there is none of."""

    def calls() -> dict[str, Callable[[], Any]]:
        model, params = given(make)
        least = {
            "init": (KEY,),
            "initial_state": (params,),
            "apply": (params, ones(BATCH, F)),
            "unroll": (params, ones(TIME, BATCH, F)),
        }
        if "initial_state" in methods:
            least["apply"] = (params, first_state(make), ones(BATCH, F))
        return {
            method: functools.partial(getattr(model, method), *least[method], nonsense=1)
            for method in methods
        }

    # Python itself refuses, and names the function that was called, not the model.
    functions = ("init", "initial_state", "apply", "unroll")
    add(f"{label}(...)-an unknown argument", functions, "nonsense", calls, ours=False)


def others() -> dict[str, Callable[[], Any]]:
    """Parameters of another form or size of the same cell."""
    lstm, gru = jaxnn.lstm(F, H), jaxnn.gru(F, H)
    pairs: dict[str, tuple[Any, Any]] = {
        "gru: reset before, for after": (gru, jaxnn.gru(F, H, reset_after=False)),
        "gru: reset after, for before": (jaxnn.gru(F, H, reset_after=False), gru),
        "gru: of other hidden size": (gru, jaxnn.gru(F, 5)),
        "gru: without biases": (gru, jaxnn.gru(F, H, bias=False)),
        "gru: with biases": (jaxnn.gru(F, H, bias=False), gru),
        "lstm: coupled": (lstm, jaxnn.lstm(F, H, coupled=True)),
        "lstm: not coupled": (jaxnn.lstm(F, H, coupled=True), lstm),
        "lstm: with peepholes": (lstm, jaxnn.lstm(F, H, peephole=True)),
        "lstm: without peepholes": (jaxnn.lstm(F, H, peephole=True), lstm),
        "lstm: peepholes of the coupled form": (
            jaxnn.lstm(F, H, peephole=True),
            jaxnn.lstm(F, H, peephole=True, coupled=True),
        ),
        "lstm: of other hidden size": (lstm, jaxnn.lstm(F, 5)),
        "lstm: of other input size": (lstm, jaxnn.lstm(5, H)),
        "lstm: of other dtype": (lstm, jaxnn.lstm(F, H, param_dtype="float16")),
        "lstm: of a learned initial state": (lstm, jaxnn.learned_initial_state(lstm)),
        "elman: of other hidden size": (jaxnn.elman(F, H), jaxnn.elman(F, 5)),
        "elman: without a bias": (jaxnn.elman(F, H), jaxnn.elman(F, H, bias=False)),
        "elman: of an lstm": (jaxnn.elman(F, H), lstm),
        "indrnn: of other hidden size": (jaxnn.indrnn(F, H), jaxnn.indrnn(F, 5)),
        "indrnn: of an elman": (jaxnn.indrnn(F, H), jaxnn.elman(F, H)),
        "qrnn: of other hidden size": (jaxnn.qrnn(F, H), jaxnn.qrnn(F, 5)),
        "qrnn: of an sru": (jaxnn.qrnn(F, F), jaxnn.sru(F)),
        "sru: of a qrnn": (jaxnn.sru(F), jaxnn.qrnn(F, F)),
        "rg_lru: of other blocks": (jaxnn.rg_lru(F), jaxnn.rg_lru(F, F)),
        "rg_lru: without a bias": (jaxnn.rg_lru(F), jaxnn.rg_lru(F, bias=False)),
        "rg_lru_block: of other hidden size": (
            jaxnn.rg_lru_block(F, H),
            jaxnn.rg_lru_block(F, 5),
        ),
        "mgu: of other hidden size": (jaxnn.mgu(F, H), jaxnn.mgu(F, 5)),
        "mgu: without a bias": (jaxnn.mgu(F, H), jaxnn.mgu(F, H, bias=False)),
        "mgu: of a gru": (jaxnn.mgu(F, H), gru),
        "janet: of an mgu": (jaxnn.janet(F, H), jaxnn.mgu(F, H)),
        "janet: of other hidden size": (jaxnn.janet(F, H), jaxnn.janet(F, 5)),
        "ct_rnn: of an elman": (jaxnn.ct_rnn(F, H), jaxnn.elman(F, H)),
        "ltc: of a ct_rnn": (jaxnn.ltc(F, H), jaxnn.ct_rnn(F, H)),
        "lif: of one that is not recurrent": (
            jaxnn.lif(F, H),
            jaxnn.lif(F, H, recurrent=False),
        ),
        "slstm: of other heads": (jaxnn.slstm(F, H), jaxnn.slstm(F, H, heads=2)),
        "slstm: of an lstm": (jaxnn.slstm(F, H), lstm),
        "mlstm: of other heads": (jaxnn.mlstm(F, H), jaxnn.mlstm(F, H, heads=2)),
        "mlstm: without an output gate": (
            jaxnn.mlstm(F, H),
            jaxnn.mlstm(F, H, output_gate=False),
        ),
        "conv_gru: of another window": (
            jaxnn.conv_gru(F, H, (5,), (3,)),
            jaxnn.conv_gru(F, H, (5,), (5,)),
        ),
        "min_gru: of other hidden size": (jaxnn.min_gru(F, H), jaxnn.min_gru(F, 5)),
        "min_gru: of a min_lstm": (jaxnn.min_gru(F, H), jaxnn.min_lstm(F, H)),
        "min_gru: of a gru": (jaxnn.min_gru(F, H), gru),
        "lru: of other hidden size": (jaxnn.lru(F, H), jaxnn.lru(F, 5)),
        "s5: of other hidden size": (jaxnn.s5(F, 8), jaxnn.s5(F, 6)),
        "s5: of an lru": (jaxnn.s5(F, 8), jaxnn.lru(F, 4)),
        "s6: of other hidden size": (jaxnn.s6(F, H), jaxnn.s6(F, 5)),
        "causal_conv: of another window": (jaxnn.causal_conv(F, 3), jaxnn.causal_conv(F, 4)),
        "causal_conv: without a bias": (
            jaxnn.causal_conv(F, 3),
            jaxnn.causal_conv(F, 3, bias=False),
        ),
        "mamba_block: of another window": (jaxnn.mamba_block(F), jaxnn.mamba_block(F, window=3)),
        "gated_by: of its cell": (jaxnn.gated_by(lstm, jaxnn.dense(F, H)), lstm),
        "gated_by: of another gate": (
            jaxnn.gated_by(lstm, jaxnn.dense(F, H)),
            jaxnn.gated_by(lstm, jaxnn.dense(F, H, bias=False)),
        ),
        "conv_lstm: of another window": (CONV_LSTM(), jaxnn.conv_lstm(F, H, (5,), (5,))),
        "conv_lstm: of another state window": (
            CONV_LSTM(),
            jaxnn.conv_lstm(F, H, (5,), (3,), (1,)),
        ),
        "conv_lstm: of two axes": (CONV_LSTM(), jaxnn.conv_lstm(F, H, (5, 5), (3, 3))),
        "conv_lstm: peepholes of another image": (
            CONV_LSTM(peephole=True),
            jaxnn.conv_lstm(F, H, (6,), (3,), peephole=True),
        ),
        "stack: of other parts": (jaxnn.stack(lstm, gru), jaxnn.stack(lstm, jaxnn.lstm(H, H))),
        "stack: of fewer parts": (jaxnn.stack(lstm, gru), jaxnn.stack(lstm)),
        "bidirectional: of one cell": (jaxnn.bidirectional(lstm), lstm),
        "bidirectional: of other cells": (jaxnn.bidirectional(lstm), jaxnn.bidirectional(gru)),
        "as_layer: of another cell": (jaxnn.as_layer(lstm), gru),
    }
    calls = {}
    for what, (model, other) in pairs.items():
        xs = ones(TIME, BATCH, 5, F) if what.startswith(IMAGES) else ones(TIME, BATCH, F)
        calls[what] = functools.partial(model.unroll, filled(other), xs)
    return calls


for label_, make_ in CELLS.items():
    refuse_cell(label_, make_)
OTHERS = (
    "gru",
    "lstm",
    "elman",
    "mgu",
    "janet",
    "ct_rnn",
    "ltc",
    "lif",
    "slstm",
    "mlstm",
    "conv_gru",
    "indrnn",
    "qrnn",
    "sru",
    "rg_lru",
    "rg_lru_block",
    "min_gru",
    "lru",
    "s5",
    "s6",
    "causal_conv",
    "mamba_block",
    "gated_by",
    "conv_lstm",
    "stack",
    "bidirectional",
    "as_layer",
)
for name_ in OTHERS:
    add(
        f"{name_}.unroll-params of another form",
        name_,
        "params",
        lambda name_=name_: {w: c for w, c in others().items() if w.split(":")[0] == name_},
    )


# Layers -------------------------------------------------------------------------------------------


def refuse_layer(label: str, make: Callable[[], Any], x: np.ndarray) -> None:
    name = name_in(label)
    mask = x.shape[: 1 if x is LINE else 2]
    xs: Any = wrong.features
    if name in ("dropout", "activation", "flatten", "reshape"):  # they take any dtype
        xs = wrong.not_arrays
    elif name.endswith("_pool"):
        xs = wrong.floats_of_any_size
    elif name == "embedding":
        xs = tokens
    refuse(f"{label}.init", lambda: make().init, {"key": KEY}, name, key=wrong.KEYS_FOR_INIT)
    refuse(
        f"{label}.apply",
        lambda: make().apply,
        lambda: {"params": given(make)[1], "x": x},
        name,
        {"x": ("x", "tokens", "xs")} if name in ("embedding", "along") else None,
        params=wrong.trees,
        x=xs,
    )
    options = {
        "mask": lambda _: masks(mask, x, xs is not wrong.not_arrays, name != "along"),
        "key": wrong.KEYS,
    }
    for argument, pool in options.items():
        right = lambda: {"params": given(make)[1], "x": x}  # noqa: E731
        refuse(f"{label}.apply", lambda: make().apply, right, name, **{argument: pool})
    add_signatures(label, name, make, ("init", "apply"))


def masks(shape: tuple[int, ...], x: np.ndarray, features_count: bool, spatial: bool) -> Pool:
    """For a mask of the leading axes."""
    pool = wrong.flags(ones(*shape, dtype=bool))
    pool["more axes than x"] = ones(*x.shape, 1, dtype=bool)
    if x is LINE and spatial:
        pool["a spatial axis too"] = ones(*x.shape[:2], dtype=bool)
    if x.ndim == 3 and features_count:
        pool["the features too"] = ones(*x.shape, dtype=bool)
    return pool


def tokens(right: np.ndarray) -> Pool:
    """For integers in 0…8."""
    return {
        **wrong.not_arrays(right),
        **wrong.of_dtypes(right, "float32", "float16", "bool", "complex64"),
        **wrong.keys_like(right),
        "beyond the vocabulary": right + 8,
        "negative": right - 2,
    }


for label_, (make_, x_) in LAYERS.items():
    refuse_layer(label_, make_, x_)


# Layers over sequences ----------------------------------------------------------------------------


def sequence_arguments(make: Callable[[], Any]) -> dict[str, Any]:
    return {"params": given(make)[1], "xs": ones(TIME, BATCH, F)}


@functools.cache
def final_state(make: Callable[[], Any]) -> Any:
    model, params = given(make)
    return zeros(jax.eval_shape(model.unroll, params, ones(TIME, BATCH, F))[0])


def refuse_sequence_layer(label: str, make: Callable[[], Any]) -> None:
    name, key = name_in(label), wrong.KEYS
    right = functools.partial(sequence_arguments, make)
    exact = lambda _: wrong.exact_flags(ones(TIME, BATCH, dtype=bool))  # noqa: E731
    xs = wrong.floats_of_any_size if name == "pool_over_time" else wrong.sequence
    refuse(f"{label}.init", lambda: make().init, {"key": KEY}, name, key=wrong.KEYS_FOR_INIT)
    words: Any = {"x": ("x", "xs"), "xs": ("x", "xs")}
    refuse(f"{label}.unroll", lambda: make().unroll, right, name, words, params=wrong.trees, xs=xs)
    refuse(
        f"{label}.apply",
        lambda: make().apply,
        lambda: {"params": given(make)[1], "x": ones(TIME, BATCH, F)},
        name,
        words,
        params=wrong.structures,
        x=xs,
    )
    reset: Any = exact
    if name in ("along_time", "pool_over_time"):
        reset = {"flags": ones(TIME, BATCH, dtype=bool), "text": "all"}
    options: dict[str, Any] = {
        "state": lambda _: wrong.states(final_state(make)),
        "start": lambda _: wrong.starts(final_state(make)),
        "mask": exact,
        "reset": reset,
        "key": key,
    }
    for argument, pool in options.items():
        refuse(f"{label}.unroll", lambda: make().unroll, right, name, **{argument: pool})
    add_signatures(label, name, make, ("init", "apply", "unroll"))


for label_, make_ in SEQUENCE_LAYERS.items():
    refuse_sequence_layer(label_, make_)
