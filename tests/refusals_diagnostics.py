"""Wrong calls of what looks inside of a cell."""

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
import wrong_values as wrong
from refusals import BATCH, FEATURES, HIDDEN, TIME, add, filled, refuse, zeros
from refusals_functions import GATELESS
from wrong_values import NAN, Pool, ones

import jaxnn
from jaxnn import diagnostics

F, H = FEATURES, HIDDEN
CELL = jaxnn.lstm(F, H)
STACK = jaxnn.stack(jaxnn.gru(F, H), jaxnn.dense(H, 2))
NO_CELLS: Pool = {**wrong.CELLS, "a layer": jaxnn.dense(F, H)}
MASK = ones(TIME, BATCH, dtype=bool)


def counting(params: Any, state: Any, x: Any) -> Any:
    """The step of a cell whose state is an integer."""
    del params
    return state + 1, x


def counter(dtype: Any, *shape: int) -> jaxnn.Cell:
    """A cell of one's own with such a state."""

    def first(params: Any, batch_shape: tuple[int, ...] = ()) -> Any:
        return jnp.zeros((*batch_shape, *shape), dtype)

    return jaxnn.cell(lambda key: ones(1), counting, first)


UNSUITABLE: dict[str, jaxnn.Cell] = {
    "an integer state": counter(jnp.int32),
    "a complex state": counter(jnp.complex64, 2),
    "no numbers in the state": counter(jnp.float32, 0),
    "no state": jaxnn.stack(jaxnn.dense(F, H)),
}


@functools.cache
def step_of(cell: jaxnn.Cell) -> dict[str, Any]:
    params = filled(cell)
    state = zeros(cell.initial_state(params, (BATCH,)))
    return {"cell": cell, "params": params, "state": state, "x": ones(BATCH, F)}


@functools.cache
def run_of(cell: jaxnn.Cell) -> dict[str, Any]:
    return {"cell": cell, "params": filled(cell), "xs": ones(TIME, BATCH, F)}


def states(right: Any) -> Pool:
    """Of which there must be one."""
    return {**wrong.states(right), "None": None}


def first_states(_: Any) -> Pool:
    return wrong.states(step_of(CELL)["state"])


def flags(_: Any) -> Pool:
    return wrong.exact_flags(MASK)


for name_ in ("step_jacobian", "step_operator"):
    function_: Any = getattr(diagnostics, name_)
    for label_, cell_ in {"": CELL, " of a stack": STACK}.items():
        refuse(
            f"{name_}{label_}",
            lambda function_=function_: function_,
            functools.partial(step_of, cell_),
            name_,
            params=wrong.trees,
            state=states,
            x=wrong.features,
        )
    refuse(name_, lambda function_=function_: function_, step_of(CELL), cell=NO_CELLS)

for name_ in ("jvp", "vjp"):
    refuse(
        f"step_operator.{name_}",
        lambda name_=name_: (
            lambda tree: getattr(diagnostics.step_operator(**step_of(CELL)), name_)(tree)
        ),
        lambda: {"tree": step_of(CELL)["state"]},
        "step_operator",
        {"tree": ("tangent", "cotangent")},
        tree=states,
    )

LOSSES: Pool = {
    **wrong.FUNCTIONS,
    "of two arguments": lambda y, labels: jnp.sum(y),
    "one for each sequence": lambda y: jnp.sum(y, axis=-1),
    "nothing": lambda y: None,
    "an integer": lambda y: jnp.argmax(y),
    "a Python number": lambda y: 1.0,
    "a pair": lambda y: (jnp.sum(y), y),
    "a mistake": lambda y: y @ y @ y,
}
BEYOND: Pool = {**wrong.SIZES, "more than there are": 2 * H + 1}
WARMUPS: Pool = {**wrong.omit(wrong.SIZES, "zero"), "all steps": TIME}
MORE: dict[str, dict[str, Any]] = {
    "lyapunov_exponents": {"count": BEYOND, "warmup": WARMUPS},
    "gap_singular_values": {"gap": {**wrong.SIZES, "more than there are": TIME + 1}},
    "gradient_norms": {"loss": LOSSES},
    "gate_saturation": {
        what: {
            **wrong.omit(wrong.FRACTIONS, "one", "an integer one", "negative"),
            "on the other side": 2.0 if what == "low" else -1.0,
            "a numpy array": np.ones(()),
        }
        for what in ("low", "high")
    },
}
RIGHT: dict[str, dict[str, Any]] = {
    "gap_singular_values": {"gap": 1},
    "gradient_norms": {"loss": lambda y: jnp.sum(y)},
}


def run_arguments(name: str, cell: jaxnn.Cell) -> dict[str, Any]:
    return {**run_of(cell), **RIGHT.get(name, {})}


for name_, more_ in MORE.items():
    function_ = getattr(diagnostics, name_)
    refuse(
        name_,
        lambda function_=function_: function_,
        functools.partial(run_arguments, name_, CELL),
        name_,
        cell=GATELESS if name_ == "gate_saturation" else NO_CELLS,
        params=wrong.trees,
        xs=wrong.sequence,
        state=first_states,
        mask=flags,
        **more_,
    )

for what_, cell_ in UNSUITABLE.items():
    right_ = {"cell": cell_, "params": filled(cell_)}
    state_ = zeros(cell_.initial_state(right_["params"], (BATCH,)))
    x_, xs_ = ones(BATCH, F), ones(TIME, BATCH, F)
    calls_: dict[str, Any] = {
        "step_jacobian": {"state": state_, "x": x_},
        "step_operator": {"state": state_, "x": x_},
        "lyapunov_exponents": {"xs": xs_},
        "gap_singular_values": {"xs": xs_, "gap": 1},
        "gradient_norms": {"xs": xs_, "loss": lambda y: jnp.sum(y)},
        "fixed_points": {"starts": state_, "x": x_[0]},
    }
    for name_, arguments_ in calls_.items():
        call_ = functools.partial(getattr(diagnostics, name_), **right_, **arguments_)
        add(f"{name_} of {what_}", name_, ("state", "cell"), {what_: call_})

HELD: Pool = {
    "a batch": ones(BATCH, F),
    "a sequence": ones(TIME, BATCH, F),
    "of a sequence of one": ones(1, F),
}


def held(right: Any) -> Pool:
    return {**wrong.omit(wrong.features(right), "features first"), **HELD}


def all_starts(right: Any) -> Pool:
    """Each leaf with the starts in front."""
    none = jaxnn.LSTMState(*(leaf[:0] for leaf in right))
    return {
        **states(right),
        "no starts": none,
        "one without the starts": zeros(CELL.initial_state(filled(CELL))),
    }


def points_of() -> dict[str, Any]:
    step = step_of(CELL)
    return {"cell": CELL, "params": step["params"], "starts": step["state"], "x": ones(F)}


NUMBERS: Pool = {**wrong.omit(wrong.POSITIVE, "negative"), "negative": -1.0, "NaN": NAN}
refuse(
    "fixed_points",
    lambda: diagnostics.fixed_points,
    points_of,
    cell=NO_CELLS,
    params=wrong.trees,
    starts=all_starts,
    x=held,
    tolerance=NUMBERS,
    iterations=wrong.SIZES,
    apart=NUMBERS,
)
