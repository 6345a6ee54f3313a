"""Options that do not fit one another, and initialisers that give something else."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import wrong_values as wrong
from refusals import FEATURES, HIDDEN, add, refuse
from refusals_options import CONV, FACTORIES, IMAGES, INNER, LSTM, MERGES, NAMES
from wrong_values import HUGE, KEY, Pool

import jaxnn

F, H = FEATURES, HIDDEN
FILL: Any = jax.nn.initializers.ones

# Options that do not fit one another, and arguments that there are none of ------------------------

PARTS: Pool = {**INNER, "a factory without its sizes": jaxnn.dense}
DENSE = jaxnn.dense(F, H)
for name_ in ("stack", "serial", "parallel"):
    combine_: Callable[..., Any] = getattr(jaxnn, name_)
    other_: Any = (
        {"a layer over time": jaxnn.as_layer(LSTM)} if name_ == "stack" else {"a cell": LSTM}
    )
    pool_ = {**PARTS, **other_}
    firsts_ = {what: functools.partial(combine_, value) for what, value in pool_.items()}
    seconds_ = {
        f"{what}, second": functools.partial(combine_, DENSE, value)
        for what, value in pool_.items()
    }
    words_ = ("part", "cells", "layers", "cell", "layer")
    add(f"{name_}-parts", name_, words_, {"none": combine_, **firsts_, **seconds_})
    named_ = {what: functools.partial(combine_, DENSE, DENSE, names=n) for what, n in NAMES.items()}
    add(f"{name_}-names", name_, "names", named_)
stacked = functools.partial(jaxnn.stack, LSTM)
refuse("stack", lambda: stacked, {}, dropout=wrong.FRACTIONS, residual=wrong.FLAGS)
paired = functools.partial(jaxnn.parallel, DENSE, DENSE)
refuse("parallel", lambda: paired, {}, merge=MERGES)

POOL = jaxnn.pool_over_time("max")
BIAS_INIT = "bias_init"
MISFITS: dict[str, dict[str, tuple[Callable[[], Any], Any]]] = {
    "elman": {BIAS_INIT: (lambda: jaxnn.elman(F, H, bias=False, bias_init=FILL), BIAS_INIT)},
    "lstm": {
        BIAS_INIT: (lambda: jaxnn.lstm(F, H, bias=False, bias_init=FILL), BIAS_INIT),
        "peephole_init": (lambda: jaxnn.lstm(F, H, peephole_init=FILL), "peephole_init"),
    },
    "gru": {BIAS_INIT: (lambda: jaxnn.gru(F, H, bias=False, bias_init=FILL), BIAS_INIT)},
    "janet": {BIAS_INIT: (lambda: jaxnn.janet(F, H, bias=False, bias_init=FILL), BIAS_INIT)},
    "ct_rnn": {BIAS_INIT: (lambda: jaxnn.ct_rnn(F, H, bias=False, bias_init=FILL), BIAS_INIT)},
    "ltc": {BIAS_INIT: (lambda: jaxnn.ltc(F, H, bias=False, bias_init=FILL), BIAS_INIT)},
    "lif": {
        BIAS_INIT: (lambda: jaxnn.lif(F, H, bias=False, bias_init=FILL), BIAS_INIT),
        "recurrent_init": (
            lambda: jaxnn.lif(F, H, recurrent=False, recurrent_init=FILL),
            "recurrent_init",
        ),
    },
    "slstm": {BIAS_INIT: (lambda: jaxnn.slstm(F, H, bias=False, bias_init=FILL), BIAS_INIT)},
    "mlstm": {BIAS_INIT: (lambda: jaxnn.mlstm(F, H, bias=False, bias_init=FILL), BIAS_INIT)},
    "conv_gru": {
        BIAS_INIT: (lambda: jaxnn.conv_gru(**IMAGES, bias=False, bias_init=FILL), BIAS_INIT)
    },
    "indrnn": {BIAS_INIT: (lambda: jaxnn.indrnn(F, H, bias=False, bias_init=FILL), BIAS_INIT)},
    "qrnn": {BIAS_INIT: (lambda: jaxnn.qrnn(F, H, bias=False, bias_init=FILL), BIAS_INIT)},
    "sru": {BIAS_INIT: (lambda: jaxnn.sru(F, bias=False, bias_init=FILL), BIAS_INIT)},
    "rg_lru": {BIAS_INIT: (lambda: jaxnn.rg_lru(F, bias=False, bias_init=FILL), BIAS_INIT)},
    "mgu": {BIAS_INIT: (lambda: jaxnn.mgu(F, H, bias=False, bias_init=FILL), BIAS_INIT)},
    "min_gru": {BIAS_INIT: (lambda: jaxnn.min_gru(F, H, bias=False, bias_init=FILL), BIAS_INIT)},
    "conv_lstm": {
        BIAS_INIT: (
            lambda: jaxnn.conv_lstm(**IMAGES, bias=False, bias_init=FILL),
            BIAS_INIT,
        ),
        "peephole_init": (lambda: jaxnn.conv_lstm(**IMAGES, peephole_init=FILL), "peephole_init"),
    },
    "dense": {BIAS_INIT: (lambda: jaxnn.dense(F, H, bias=False, bias_init=FILL), BIAS_INIT)},
    "mlp": {BIAS_INIT: (lambda: jaxnn.mlp((F, H), bias=False, bias_init=FILL), BIAS_INIT)},
    "conv": {BIAS_INIT: (lambda: jaxnn.conv(**CONV, bias=False, bias_init=FILL), BIAS_INIT)},
    "serial": {"pooled twice": (lambda: jaxnn.serial(POOL, POOL), ("part", "layers"))},
    "parallel": {"one pools": (lambda: jaxnn.parallel(POOL, DENSE), ("layers", "part"))},
}
for name_, cases_ in MISFITS.items():
    for what_, (call_, words_) in cases_.items():
        add(f"{name_}-{what_} that does not fit", name_, words_, {what_: call_})


def public(name: str) -> Callable[..., Any]:
    doors = jaxnn.initializers, jaxnn.regularizers, jaxnn
    return next(getattr(door, name) for door in doors if hasattr(door, name))


def unknown(name: str, right: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    return {"an unknown argument": functools.partial(public(name), **right, nonsense=1)}


def missing(name: str, argument: str) -> dict[str, Callable[[], Any]]:
    return {f"without {argument}": public(name)}


for name_, (_, right_, pools_) in FACTORIES.items():
    if name_ == "per_gate":  # of any number of arguments, without names
        add(
            "per_gate-no argument",
            name_,
            "initializers",
            {"none": lambda: jaxnn.initializers.per_gate()},
        )
        continue
    first_ = next(iter({**right_, **pools_}))
    whole_ = right_ or {first_: None}
    add(f"{name_}-an unknown argument", name_, "nonsense", unknown(name_, whole_))
    add(f"{name_}-no argument", name_, first_, missing(name_, first_))
for name_ in ("stack", "serial", "parallel", "per_gate"):
    add(f"{name_}-an unknown argument", name_, "nonsense", unknown(name_, {}))


def huge(name: str, right: dict[str, Any], argument: str) -> Any:
    """A size that no array has, at the latest when the parameters are made."""
    return FACTORIES[name][0](**{**right, argument: HUGE}).init(KEY)


for name_, (_, right_, pools_) in FACTORIES.items():
    for argument_ in ("input_size", "hidden_size", "output_size", "vocabulary_size", "size"):
        if argument_ in pools_:
            right_ = {**right_, "groups": 1} if name_ == "group_norm" else right_
            call_ = functools.partial(huge, name_, right_, argument_)
            add(f"{name_}-{argument_} beyond all arrays", name_, argument_, {"huge": call_})


# What an initialiser gives ------------------------------------------------------------------------

RESULTS: dict[str, Any] = {
    "None": lambda key, shape, dtype: None,
    "a number": lambda key, shape, dtype: 0.5,
    "a list": lambda key, shape, dtype: np.ones(shape, dtype).tolist(),
    "text": lambda key, shape, dtype: "ones",
    "a scalar": lambda key, shape, dtype: jnp.ones((), dtype),
    "the other way round": lambda key, shape, dtype: jnp.ones((*shape, 2), dtype),
    "of one": lambda key, shape, dtype: jnp.ones((*shape[:-1], 1), dtype),
    "integers": lambda key, shape, dtype: jnp.ones(shape, jnp.int32),
    "float16": lambda key, shape, dtype: jnp.ones(shape, jnp.float16),
    "float64": lambda key, shape, dtype: np.ones(shape),
    "objects": lambda key, shape, dtype: np.ones(shape, object),
    "a pair": lambda key, shape, dtype: (jnp.ones(shape, dtype), key),
    "of two arguments": lambda key, shape: jnp.ones(shape),
    "of an argument more": lambda key, shape, dtype, more: jnp.ones(shape, dtype),
}


def initialised(name: str, right: dict[str, Any], argument: str) -> dict[str, Callable[[], Any]]:
    """Calls of init, where an initialiser gives something else."""
    make = FACTORIES[name][0]
    more = {"peephole": True} if argument == "peephole_init" else {}

    def call(initializer: Any) -> Any:
        return make(**right, **more, **{argument: initializer}).init(KEY)

    return {what: functools.partial(call, result) for what, result in RESULTS.items()}


for name_, (_, right_, pools_) in FACTORIES.items():
    for argument_ in [argument for argument in pools_ if argument.endswith("_init")]:
        calls_ = functools.partial(initialised, name_, right_, argument_)
        add(f"{name_}.init-{argument_} gives", name_, argument_, calls_)


def filled_by(initializer: Any, shape: Any = (4, 2), dtype: Any = jnp.float32) -> Callable[[], Any]:
    return lambda: initializer(KEY, shape, dtype)


FORGET, CHRONO = (
    jaxnn.initializers.forget_bias(jaxnn.LSTM_GATES),
    jaxnn.initializers.chrono(jaxnn.LSTM_GATES, 9.0),
)
for name_, filler_ in {"forget_bias": FORGET, "chrono": CHRONO}.items():
    shapes_ = {
        "three gates": filled_by(filler_, (3, 2)),
        "one axis": filled_by(filler_, (4,)),
        "no axis": filled_by(filler_, ()),
        "five gates": filled_by(filler_, (5, 4)),
    }
    add(f"{name_}(...)-shape", name_, ("shape", "bias", "gates"), shapes_)
add(
    "per_gate(...)-shape",
    "per_gate",
    "shape",
    {
        "one axis": filled_by(jaxnn.initializers.per_gate(FILL), (4,)),
        "no axis": filled_by(jaxnn.initializers.glorot, ()),
    },
)
add(
    "per_gate(...)-initializer gives",
    "per_gate",
    ("initializer", "initializers"),
    lambda: {
        what: filled_by(jaxnn.initializers.per_gate(result), (3, 4, 2))
        for what, result in RESULTS.items()
    },
)
