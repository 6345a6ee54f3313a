"""Another first state: one that is learned; and a return to the first one by hand."""

import functools
from typing import Generic, NamedTuple, TypeVar

import jax

from jaxnn.internal.checks import check_array, check_batch_shape, check_flags, check_state, naming
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.parameters import check_kind, init_checked
from jaxnn.recurrence.arguments import Arguments, spread
from jaxnn.recurrence.cell import check_cell
from jaxnn.recurrence.unroll import hands_on, unroll_by
from jaxnn.scans.boundaries import where
from jaxnn.types import (
    ArrayLike,
    Cell,
    Key,
    PyTree,
    State,
    appears_as,
    exportable,
    facts_of,
    with_facts,
)

P = TypeVar("P")
S = TypeVar("S")


@exportable
class LearnedInitialStateParams(NamedTuple, Generic[P, S]):
    """The parameters of the cell, and its first state, without batch dimensions."""

    cell: P
    start: S


@factory
def learned_initial_state(cell: Cell[P, S]) -> Cell[LearnedInitialStateParams[P, S], S]:
    """A cell whose first state is a parameter.

    It is also what a reset returns to, and stays so inside every other transformation. It starts at
    the cell's own initial state.

    Args:
      cell: any Cell.

    Returns:
      A Cell with `LearnedInitialStateParams`, and the states and outputs of `cell`.

    Raises:
      TypeError: where cell is no Cell.

    >>> import jax, jaxnn
    >>> cell = jaxnn.learned_initial_state(jaxnn.gru(3, 2))
    >>> params = cell.init(jax.random.key(0))
    >>> params = params._replace(start=jaxnn.GRUState(jax.numpy.ones(2)))
    >>> cell.initial_state(params, (2,)).hidden.tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    check_cell("learned_initial_state", "cell", cell)
    name = this_call()
    init = functools.partial(_init_learned, cell)
    return Cell(
        with_facts(functools.partial(init_checked, name, init), facts_of(cell).event_ndim),
        functools.partial(_apply_learned, name, cell),
        functools.partial(_initial_state_learned, name, cell),
        unroll_by(_run_learned, name, cell),
    )


def _init_learned(cell: Cell[P, S], key: Key) -> LearnedInitialStateParams[P, S]:
    params = cell.init(key)
    return LearnedInitialStateParams(params, cell.initial_state(params))


def _check_learned(name: str, cell: Cell, params: LearnedInitialStateParams) -> None:
    check_kind(name, params, LearnedInitialStateParams)
    with naming(name):
        first = jax.eval_shape(cell.initial_state, params.cell)
    check_state(name, "params.start", params.start, first, ": it has no batch dimensions")


@appears_as("apply")
def _apply_learned(
    name: str,
    cell: Cell,
    params: LearnedInitialStateParams,
    state: State,
    x: PyTree,
    key: Key | None = None,
) -> tuple[State, PyTree]:
    _check_learned(name, cell, params)
    with naming(f"{name}.apply"):
        return cell.apply(params.cell, state, x, key)


@appears_as("initial_state")
def _initial_state_learned(
    name: str, cell: Cell, params: LearnedInitialStateParams, batch_shape: tuple[int, ...] = ()
) -> State:
    check_batch_shape(f"{name}.initial_state", batch_shape)
    _check_learned(name, cell, params)
    return spread(params.start, batch_shape)


@hands_on
def _run_learned(
    name: str, cell: Cell, params: LearnedInitialStateParams, arguments: Arguments
) -> tuple[State, PyTree]:
    _check_learned(name, cell, params)
    start = params.start if arguments.start is None else arguments.start
    return cell.unroll(params.cell, *arguments._replace(start=start))


def reset_state(
    cell: Cell[P, S], params: P, state: S, reset: ArrayLike, start: S | None = None
) -> S:
    """Put sequences back to their first state, between two steps: `reset=` of `unroll`, by hand.

    Args:
      cell: the Cell, and `params` its parameters (they hold a learned initial state).
      state: the state, each leaf `(*batch, ...)`.
      reset: boolean `(*batch,)`, true where the next x is the first of a new segment.
      start: the state to go back to, with or without batch dimensions; by default
        `cell.initial_state(params, batch)`.

    Returns:
      The state before the next step. Where reset is true nothing is left of the old one, NaN
      included.

    Raises:
      TypeError, ValueError: for a reset that is not boolean, or a state of another batch or cell.

    >>> import jax.numpy as jnp, jax, jaxnn
    >>> cell = jaxnn.gru(3, 1)
    >>> params = cell.init(jax.random.key(0))
    >>> state = jaxnn.GRUState(jnp.array([[jnp.nan], [1.0]]))
    >>> reset_state(cell, params, state, jnp.array([True, False])).hidden.tolist()
    [[0.0], [1.0]]
    """
    check_cell("reset_state", "cell", cell)
    check_array("reset_state", "reset", reset)
    check_flags("reset_state", "reset", reset, reset.shape, "the state")
    with naming("reset_state"):
        first = cell.initial_state(params, reset.shape)
    if start is not None:
        shapes = [getattr(leaf, "shape", None) for leaf in jax.tree.leaves(start)]
        if shapes == [leaf.shape for leaf in jax.tree.leaves(cell.initial_state(params))]:
            start = spread(start, reset.shape)
        check_state("reset_state", "start", start, first)
        first = start
    check_state("reset_state", "state", state, first)
    return where(reset, first, state)
