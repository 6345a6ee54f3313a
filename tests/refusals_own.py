"""Functions of one's own that give something else than they must."""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from refusals import BATCH, FEATURES, HIDDEN, TIME, add, filled
from refusals_models import LINEAR, OWN, SPLIT, own_apply, own_combine
from wrong_values import KEY, ones

import jaxnn

F, H = FEATURES, HIDDEN
State: Any = jaxnn.ElmanState
PARAMS = {"kernel": ones(F, H), "recurrent": ones(H, H)}
STATE: Any = State(np.zeros((BATCH, H), np.float32))
X, XS = ones(BATCH, F), ones(TIME, BATCH, F)
Change = Callable[[Any], Any]
GIVES: dict[str, Change] = {
    "None": lambda right: None,
    "text": lambda right: "y",
    "a list": lambda right: [right],
    "a function": lambda right: abs,
    "a set": lambda right: {1},
}
ARRAYS: dict[str, Change] = {
    **{what: change for what, change in GIVES.items() if what != "a list"},
    "a scalar": lambda right: jnp.sum(right),
    "what drops the batch": lambda right: jnp.sum(right, -2),
}
STATES: dict[str, Change] = {
    **GIVES,
    "an array": lambda right: right.hidden,
    "a tuple": lambda right: tuple(right),
    "a state of something else": lambda right: jaxnn.GRUState(*right),
    "a state without the batch": lambda right: State(jnp.sum(right.hidden, 0)),
    "a state of more numbers": lambda right: State(jnp.concatenate([right.hidden] * 2, -1)),
    "a state of one batch": lambda right: State(right.hidden[:1]),
    "a state of float16": lambda right: State(right.hidden.astype(jnp.float16)),
    "a state of integers": lambda right: State(right.hidden.astype(jnp.int32)),
    "a state of None": lambda right: State(None),
    "a state of text": lambda right: State("h"),
}


def changed(function: Callable[..., Any], change: Change) -> Callable[..., Any]:
    """The function, with its result changed."""

    @functools.wraps(function)
    def give(*args: Any, **kwargs: Any) -> Any:
        return change(function(*args, **kwargs))

    return give


def step(model: Any) -> Any:
    return model.apply(PARAMS, STATE, X)


def unroll(model: Any) -> Any:
    return model.unroll(PARAMS, XS)


def first_state(model: Any) -> Any:
    return model.initial_state(PARAMS, (BATCH,))


def initialise(model: Any) -> Any:
    return model.init(KEY)


Way = Callable[[Any], Any]


def add_own(
    kind: str, functions: dict[str, Any], part: str, changes: dict[str, Change], *ways: Way
) -> None:
    """Calls of a cell one of whose functions gives something else."""
    make: Callable[..., Any] = getattr(jaxnn, kind)

    def call(way: Way, change: Change) -> Any:
        return way(make(**{**functions, part: changed(functions[part], change)}))

    for way in ways:
        calls = {what: functools.partial(call, way, change) for what, change in changes.items()}
        names = (kind, "own_apply") if kind == "cell" else kind
        function = getattr(functions[part], "__name__", "")
        add(f"{kind}: {way.__name__}-{part} gives", names, (part, function), calls)


PAIRS: dict[str, Change] = {
    **GIVES,
    "the state alone": lambda right: right[0],
    "the output alone": lambda right: right[1],
    "a list of the two": lambda right: [*right],
    "three": lambda right: (*right, right[1]),
    "an output of text": lambda right: (right[0], "y"),
    "an output of a function": lambda right: (right[0], abs),
    "an output that is a scalar": lambda right: (right[0], jnp.sum(right[1])),
    "an output without the batch": lambda right: (right[0], jnp.sum(right[1], 0)),
    **{f"{what}, and y": lambda right, c=c: (c(right[0]), right[1]) for what, c in STATES.items()},
}
COEFFICIENTS: dict[str, Change] = {
    "None": lambda right: None,
    "an array": lambda right: right[0].hidden,
    "one of the two": lambda right: right[:1],
    **{f"a, and {what}": lambda right, c=c: (right[0], c(right[1])) for what, c in STATES.items()},
    "a of other units": lambda right: (jaxnn.ElmanState(right[0].hidden[..., 1:]), right[1]),
    "a of another dtype": lambda right: (
        jaxnn.ElmanState(right[0].hidden.astype(jnp.float16)),
        right[1],
    ),
    "a that is an array": lambda right: (right[0].hidden, right[1]),
    "a that is complex": lambda right: (jaxnn.ElmanState(right[0].hidden + 0j), right[1]),
}
INITS: dict[str, Change] = {
    "text": lambda right: "params",
    "a function": lambda right: abs,
    "objects": lambda right: np.full(2, None, object),
    "a leaf of text": lambda right: {**right, "name": "mine"},
}
FIRST: dict[str, Change] = {
    what: change
    for what, change in STATES.items()
    if (what in GIVES and what != "a list") or "batch" in what  # a list may be a state
}
FIRST = {
    **FIRST,
    "a scalar": lambda right: 0.0,
    "a state of text": STATES["a state of text"],
}
add_own("cell", OWN, "apply", PAIRS, step, unroll)
add_own("split_cell", SPLIT, "project", ARRAYS, step, unroll)
add_own("split_cell", SPLIT, "mix", ARRAYS, step, unroll)
add_own("split_cell", SPLIT, "combine", STATES, step, unroll)
add_own("split_cell", SPLIT, "output", ARRAYS, step, unroll)
add_own("linear_cell", LINEAR, "coefficients", COEFFICIENTS, step, unroll)
add_own("linear_cell", LINEAR, "output", ARRAYS, step, unroll)
for kind_, functions_ in {"cell": OWN, "split_cell": SPLIT, "linear_cell": LINEAR}.items():
    add_own(kind_, functions_, "init", INITS, initialise)
    add_own(kind_, functions_, "initial_state", FIRST, first_state, unroll)


def arities(kind: str, functions: dict[str, Any], part: str) -> dict[str, Callable[[], Any]]:
    """A function of other arguments, refused where it is given or where it is called."""

    def call(function: Any) -> Any:
        model = getattr(jaxnn, kind)(**{**functions, part: function})
        return initialise(model), first_state(model), step(model), unroll(model)

    wrong: dict[str, Any] = {
        "of no argument": lambda: (),
        "of six": lambda a, b, c, d, e, f: a,
    }
    return {what: functools.partial(call, function) for what, function in wrong.items()}


for kind_, functions_ in {"cell": OWN, "split_cell": SPLIT, "linear_cell": LINEAR}.items():
    for part_ in functions_:
        calls_ = arities(kind_, functions_, part_)
        add(f"{kind_}-{part_} of other arguments", (kind_, "own_apply"), part_, calls_)


# Activations and merges ---------------------------------------------------------------------------

ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "None": lambda x: None,
    "text": lambda x: "y",
    "a list": lambda x: [x],
    "a pair": lambda x: (x, x),
    "a number": lambda x: 1.0,
    "a function": lambda x: abs,
    "of two arguments": lambda x, y: x,
}
SHAPES: dict[str, Callable[..., Any]] = {
    "a scalar": jnp.sum,
    "what drops the batch": lambda x: jnp.sum(x, 0),
    "what drops the features": lambda x: jnp.sum(x, -1),
    "more features": lambda x: jnp.concatenate([x, x], -1),
    "float16": lambda x: x.astype(jnp.float16),
    "integers": lambda x: x.astype(jnp.int32),
}


def layer_with(make: Callable[[Any], Any], x: Any, function: Any) -> Any:
    layer = make(function)
    return layer.apply(filled(layer), x)


def cell_with(function: Any) -> Any:
    cell = jaxnn.elman(F, H, function)
    return cell.unroll(filled(cell), XS)


def step_with(function: Any) -> Any:
    cell = jaxnn.elman(F, H, function)
    params = filled(cell)
    return cell.apply(params, cell.initial_state(params, (BATCH,)), X)


def gates_with(function: Any) -> Any:
    cell = jaxnn.elman(F, H, function)
    return jaxnn.gates(cell, filled(cell), STATE, X)


BOTH_WAYS = functools.partial(jaxnn.bidirectional, jaxnn.lstm(F, H), None)
SIDE_BY_SIDE = functools.partial(jaxnn.parallel, jaxnn.dense(F, H), jaxnn.dense(F, H))
HIDDEN_MLP = functools.partial(jaxnn.mlp, (F, 5, 2))
Takers = dict[str, tuple[str, str, Callable[[Any], Any], dict[str, Callable[..., Any]]]]
TAKERS: Takers = {
    "elman.unroll-activation gives": ("elman", "activation", cell_with, {**ACTIVATIONS, **SHAPES}),
    "elman.apply-activation gives": ("elman", "activation", step_with, {**ACTIVATIONS, **SHAPES}),
    "gates-activation gives": (
        "gates",
        "activation",
        gates_with,
        {**ACTIVATIONS, **SHAPES},
    ),
    "activation.apply-function gives": (
        "activation",
        "function",
        functools.partial(layer_with, jaxnn.activation, X),
        ACTIVATIONS,
    ),
    "mlp.apply-activation gives": (
        "mlp",
        "activation",
        functools.partial(layer_with, HIDDEN_MLP, X),
        {**ACTIVATIONS, **SHAPES},
    ),
    "mlp.apply-output_activation gives": (
        "mlp",
        "output_activation",
        functools.partial(layer_with, lambda f: HIDDEN_MLP(output_activation=f), X),
        ACTIVATIONS,
    ),
    "bidirectional.apply-merge gives": (
        "bidirectional",
        "merge",
        functools.partial(layer_with, lambda f: BOTH_WAYS(merge=f), XS),
        {
            "None": lambda a, b: None,
            "text": lambda a, b: "y",
            "a pair": lambda a, b: (a, b),
            "a list": lambda a, b: [a, b],
            "a number": lambda a, b: 1.0,
            "a scalar": lambda a, b: jnp.sum(a + b),
            "what drops the time": lambda a, b: jnp.sum(a + b, 0),
            "what drops the batch": lambda a, b: jnp.sum(a + b, 1),
            "of one argument": lambda a: a,
        },
    ),
    "parallel.apply-merge gives": (
        "parallel",
        "merge",
        functools.partial(layer_with, lambda f: SIDE_BY_SIDE(merge=f), XS),
        {
            "None": lambda a, b: None,
            "text": lambda a, b: "y",
            "a pair": lambda a, b: (a, b),
            "a list": lambda a, b: [a, b],
            "a number": lambda a, b: 1.0,
            "of one argument": lambda a: a,
        },
    ),
}
for where_, (name_, word_, take_, functions_) in TAKERS.items():
    calls_ = {what: functools.partial(take_, given) for what, given in functions_.items()}
    add(where_, name_, word_, calls_)


# Functions that raise -----------------------------------------------------------------------------


class Own(Exception):
    """What a function of one's own raises."""


def failing(*args: Any, **kwargs: Any) -> Any:
    raise Own("mine")


failing_step = changed(own_apply, failing)
RAISING: dict[str, Callable[[], Any]] = {
    "apply of cell, a step": lambda: step(jaxnn.cell(**{**OWN, "apply": failing_step})),
    "apply of cell": lambda: unroll(jaxnn.cell(**{**OWN, "apply": failing_step})),
    "initial_state of cell": lambda: unroll(jaxnn.cell(**{**OWN, "initial_state": failing})),
    "init of cell": lambda: initialise(jaxnn.cell(**{**OWN, "init": failing})),
    "project": lambda: unroll(jaxnn.split_cell(**{**SPLIT, "project": failing})),
    "mix": lambda: unroll(jaxnn.split_cell(**{**SPLIT, "mix": failing})),
    "combine": lambda: unroll(
        jaxnn.split_cell(**{**SPLIT, "combine": changed(own_combine, failing)})
    ),
    "output": lambda: unroll(jaxnn.split_cell(**{**SPLIT, "output": failing})),
    "activation of elman": lambda: cell_with(failing),
    "activation of elman, its gates": lambda: gates_with(failing),
    "activation": lambda: layer_with(jaxnn.activation, X, failing),
    "activation of mlp": lambda: layer_with(HIDDEN_MLP, X, failing),
    "merge of bidirectional": lambda: layer_with(lambda f: BOTH_WAYS(merge=f), XS, failing),
    "merge of parallel": lambda: layer_with(lambda f: SIDE_BY_SIDE(merge=f), XS, failing),
    "kernel_init": lambda: jaxnn.lstm(F, H, kernel_init=failing).init(KEY),
    "initializer of per_gate": lambda: jaxnn.initializers.per_gate(failing)(
        KEY, (2, 3, 4), jnp.float32
    ),
}
