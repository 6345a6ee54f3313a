"""Wrong calls of `online`, and of the functions that it gives."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import wrong_values as wrong
from refusals import BATCH, FEATURES, HIDDEN, TIME, add, filled, refuse, zeros
from wrong_values import KEY, Pool, ones

import jaxnn

F, H = FEATURES, HIDDEN
METHODS: Pool = {
    "another": "rtrl",
    "of another case": "Exact",
    "None": None,
    "a number": 1,
    "a flag": True,
    "a tuple": ("exact",),
    "a function": abs,
}
refuse(
    "online",
    lambda: jaxnn.online,
    lambda: {"cell": jaxnn.gru(F, H), "method": "exact", "by_layer": False},
    cell={**wrong.CELLS, "a layer": jaxnn.dense(F, H)},
    method=METHODS,
    by_layer=wrong.FLAGS,
)
add(
    "online-by_layer of what has none",
    "online",
    ("by_layer", "dropout"),
    {
        "a cell": lambda: jaxnn.online(jaxnn.gru(F, H), by_layer=True),
        "a residual": lambda: jaxnn.online(jaxnn.residual(jaxnn.gru(F, F)), by_layer=True),
        "a stack with dropout": lambda: jaxnn.online(
            jaxnn.stack(jaxnn.gru(F, H), jaxnn.gru(H, H), dropout=0.5), by_layer=True
        ),
    },
)


def learner() -> Any:
    return jaxnn.online(jaxnn.gru(F, H), "unit")


def half(y: Any, target: Any) -> Any:
    return jnp.sum(jnp.square(y - target)) / 2


@functools.cache
def right(*only: str) -> dict[str, Any]:
    """Right arguments of all functions of a learner."""
    cell = jaxnn.gru(F, H)
    params = filled(cell)
    state, trace = zeros(cell.initial_state(params, (BATCH,))), learner().init(params, (BATCH,))
    x = ones(BATCH, F)
    *_, seen = learner().apply(params, state, trace, x)
    every = {
        "params": params,
        "batch_shape": (BATCH,),
        "state": state,
        "trace": jax.tree.map(np.asarray, trace),
        "x": x,
        "seen": seen,
        "y_bar": ones(BATCH, H),
        "xs": ones(TIME, BATCH, F),
        "targets": ones(TIME, BATCH, H),
        "loss": half,
    }
    return {name: every[name] for name in only}


def others(right: Any) -> Pool:
    """What is no trace."""
    return {**wrong.states(right), "None": None, "of a state": ones(BATCH, H)}


def flags(*shape: int) -> Pool:
    alike = ("time alone", "a batch of one") if len(shape) == 1 else ()
    return wrong.omit(wrong.exact_flags(ones(*shape, dtype=bool)), *alike)


NO_SEEN: Pool = {
    "None": None,
    "text": "seen",
    "a tuple": (1, 2),
    "an array": ones(2),
    "a type": int,
}
LOSSES: Pool = {
    **wrong.FUNCTIONS,
    "of one argument": lambda y: 0.0,
    "of three arguments": lambda y, target, key: 0.0,
    "that gives None": lambda y, target: None,
    "that gives a float": lambda y, target: 0.5,
    "that gives a vector": lambda y, target: y - target,
    "that gives a sum and a weight": lambda y, target: (half(y, target), 1.0),
    "that gives an integer": lambda y, target: jnp.sum(y > target),
    "that looks for another name": lambda y, target: y.nothing,
}
INIT, APPLY = ("params", "batch_shape"), ("params", "state", "trace", "x")
GRADIENT, UNROLL = ("params", "seen", "y_bar"), ("params", "xs", "targets", "loss")


# A step says what is wrong with its x; what does not fit together may be called by either name.
WORDS: dict[str, Any] = {"xs": ("xs", "x", "targets"), "targets": ("targets", "loss")}


def refuse_all(method: str, only: tuple[str, ...], **pools: Any) -> None:
    refuse(
        f"online.{method}",
        lambda: getattr(learner(), method),
        functools.partial(right, *only),
        "online",
        WORDS,
        **pools,
    )


refuse_all("init", INIT, params=wrong.trees, batch_shape=wrong.BATCH_SHAPES)
refuse_all("init", INIT, key={"a key that nothing draws from": KEY, **wrong.KEYS})
refuse_all("apply", APPLY, params=wrong.trees, state=others, trace=others, x=wrong.features)
refuse_all("apply", APPLY, key=wrong.KEYS, reset=flags(BATCH), mask=flags(BATCH))
refuse_all("gradient", GRADIENT, params=wrong.trees, seen=NO_SEEN, y_bar=wrong.floats)
refuse_all("unroll", UNROLL, params=wrong.trees, xs=wrong.sequence, loss=LOSSES)
refuse_all("unroll", UNROLL, targets=wrong.not_arrays)
refuse_all("unroll", UNROLL, key=wrong.KEYS, reset=flags(TIME, BATCH), mask=flags(TIME, BATCH))


def apart(what: str) -> Any:
    """A state without its trace, or the other way round."""
    given = right(*UNROLL, what)
    return learner().unroll(**given)


def draws(**given: Any) -> Any:
    cell = jaxnn.gru(F, H)
    return jaxnn.online(cell, "uoro").init(filled(cell), **given)


def stateless() -> Any:
    cell = jaxnn.stack(jaxnn.dense(F, H))
    return jaxnn.online(cell).init(filled(cell))


def of_integers() -> Any:
    cell = jaxnn.cell(
        lambda key: jnp.ones(H, jnp.int32),
        lambda params, state, x: (state, state),
        lambda params, batch=(): jnp.zeros((*batch, H), jnp.float32),
    )
    return jaxnn.online(cell).init(cell.init(KEY))


add(
    "online-what does not go together",
    "online",
    ("state", "trace", "key", "params"),
    {
        "a state without its trace": lambda: apart("state"),
        "a trace without its state": lambda: apart("trace"),
        "uoro without a key": draws,
        "uoro over a sequence without a trace": lambda: jaxnn.online(
            jaxnn.gru(F, H), "uoro"
        ).unroll(**right(*UNROLL)),
        "a cell without a state": stateless,
        "params of integers": of_integers,
    },
)
