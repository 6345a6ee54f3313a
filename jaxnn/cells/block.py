"""A Cell that is made of others and has a name of its own."""

import functools
from collections.abc import Callable
from typing import Any

from jaxnn.internal.checks import naming
from jaxnn.internal.factory import this_call
from jaxnn.internal.parameters import init_checked
from jaxnn.recurrence.arguments import Arguments
from jaxnn.recurrence.unroll import hands_on, unroll_by
from jaxnn.types import (
    ArrayLike,
    Cell,
    Key,
    Params,
    PyTree,
    State,
    appears_as,
    facts_of,
    with_facts,
)


def block_cell(kind: str, make: Callable[[], Cell[Any, Any]]) -> Cell[Any, Any]:
    """The Cell that `make` puts together. A `@factory` returns it, and its call is the name.

    Errors, when it is made and when it runs, say which block they are of; its params and states are
    those of what it is made of.
    """
    with naming(kind):
        block = make()
    name = this_call()
    init = functools.partial(init_checked, name, block.init)
    return Cell(
        with_facts(init, facts_of(block).event_ndim),
        functools.partial(_apply, name, block),
        functools.partial(_initial_state, name, block),
        unroll_by(_run, name, block),
    )


@appears_as("apply")
def _apply(
    name: str, block: Cell, params: Params, state: State, x: ArrayLike, key: Key | None = None
) -> tuple[State, PyTree]:
    with naming(f"{name}.apply"):
        return block.apply(params, state, x, key)


@appears_as("initial_state")
def _initial_state(
    name: str, block: Cell, params: Params, batch_shape: tuple[int, ...] = ()
) -> State:
    with naming(f"{name}.initial_state"):
        return block.initial_state(params, batch_shape)


@hands_on
def _run(name: str, block: Cell, params: Params, arguments: Arguments) -> tuple[State, PyTree]:
    with naming(name):
        return block.unroll(params, *arguments)
