"""What a transformation hands to the model inside of it: an error of that names the whole, too."""

import functools
from typing import Any

from jaxnn.internal.checks import naming
from jaxnn.recurrence.arguments import Arguments
from jaxnn.types import (
    Cell,
    CellApply,
    InitialState,
    Key,
    Params,
    PyTree,
    SequenceLayer,
    State,
    appears_as,
)


def apply_of(name: str, cell: Cell) -> CellApply[Any, Any]:
    """The `apply` of a cell inside of what has the name."""
    return functools.partial(apply_inner, name, cell)


def initial_state_of(name: str, cell: Cell) -> InitialState[Any, Any]:
    """The `initial_state` of a cell inside of what has the name."""
    return functools.partial(_initial_state, name, cell)


@appears_as("apply")
def apply_inner(
    name: str, cell: Cell, params: Params, state: State, x: PyTree, key: Key | None = None
) -> tuple[State, PyTree]:
    """One time step of it."""
    with naming(f"{name}.apply"):
        return cell.apply(params, state, x, key)


def unroll_inner(
    inner: Cell | SequenceLayer, params: Params, arguments: Arguments
) -> tuple[State, PyTree]:
    """A whole sequence; a SequenceLayer has a direction of its own."""
    if isinstance(inner, Cell):
        return inner.unroll(params, *arguments)
    return inner.unroll(params, *arguments[:4], *arguments[5:])


@appears_as("initial_state")
def _initial_state(
    name: str, cell: Cell, params: Params, batch_shape: tuple[int, ...] = ()
) -> State:
    with naming(f"{name}.initial_state"):
        return cell.initial_state(params, batch_shape)
