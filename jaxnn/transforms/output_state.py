"""A cell whose output is its whole state."""

import functools
from typing import TypeVar

from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.inputs import check_event_ndim
from jaxnn.recurrence.cell import cell_of, check_cell, description_of
from jaxnn.recurrence.description import output_state_of
from jaxnn.recurrence.linear_split import LinearSplit
from jaxnn.recurrence.split import Split, Stepwise
from jaxnn.types import Cell, Key, Params, PyTree, State, facts_of

P = TypeVar("P")
S = TypeVar("S")


@factory
def output_state(cell: Cell[P, S], event_ndim: PyTree = 1) -> Cell[P, S]:
    """A cell whose output at each step is its whole new state.

    Args:
      cell: any Cell.
      event_ndim: how many trailing dimensions of x are not batch, a number or a tree of them;
        read where `cell` is itself made of cells and does not know it.

    Returns:
      A Cell with the params and states of `cell`; ys is a state with a leading time axis, in the
      dtype of the state, zeros at masked steps.

    Raises:
      TypeError: where cell is no Cell.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.output_state(jaxnn.lstm(3, 4))
    >>> _, states = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 3)))
    >>> states.hidden.shape, states.cell.shape
    ((5, 4), (5, 4))
    """
    check_cell("output_state", "cell", cell)
    description = description_of(cell)
    event_ndim = check_event_ndim("output_state", event_ndim)
    name = this_call()
    if isinstance(description, (Split, LinearSplit)):
        return cell_of(output_state_of(description, name), cell.init)
    known = facts_of(cell).event_ndim
    event_ndim = event_ndim if known is None else known
    described = Stepwise(name, functools.partial(_emit, cell), cell.initial_state, event_ndim)
    return cell_of(described, cell.init)


def _emit(
    cell: Cell, params: Params, state: State, x: PyTree, key: Key | None = None
) -> tuple[State, State]:
    state, _ = cell.apply(params, state, x, key)
    return state, state
