"""Cells made from a cell: another initial state, another output; and a reset by hand."""

import functools
from typing import Any, NamedTuple

import jax

from jaxnn.functions.checks import check_array, check_batch_shape, check_flags, check_state, naming
from jaxnn.functions.factory import call_text, factory
from jaxnn.functions.parameters import check_kind, init_checked
from jaxnn.recurrence.bidirectional import check_cell
from jaxnn.recurrence.checked import Plain, spread
from jaxnn.recurrence.own import check_event_ndim
from jaxnn.recurrence.run import Run, unroll_by
from jaxnn.recurrence.scan import where
from jaxnn.recurrence.split import Split, whole_state
from jaxnn.recurrence.unroll import cell_of, recurrence_of
from jaxnn.types import ArrayLike, Cell, Key, Params, State, appears_as, exportable, facts_of, named


@exportable
class LearnedInitialStateParams(NamedTuple):
    """The parameters of the cell, and its first state, without batch dimensions."""

    cell: Params
    start: State


@factory
def learned_initial_state(cell: Cell) -> Cell:
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
    name = call_text("learned_initial_state", cell)
    init = functools.partial(_init_learned, cell)
    return Cell(
        named(name, functools.partial(init_checked, name, init), facts_of(cell).event_ndim),
        functools.partial(_apply_learned, name, cell),
        functools.partial(_initial_state_learned, name, cell),
        unroll_by(_run_learned, name, cell),
    )


def _init_learned(cell: Cell, key: Key) -> LearnedInitialStateParams:
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
    x: Any,
    key: Key | None = None,
) -> tuple[State, Any]:
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


def _run_learned(
    name: str, cell: Cell, params: LearnedInitialStateParams, run: Run
) -> tuple[State, Any]:
    _check_learned(name, cell, params)
    start = params.start if run.start is None else run.start
    return cell.unroll(params.cell, *run._replace(start=start))


@factory
def emit_state(cell: Cell, event_ndim: int = 1) -> Cell:
    """A cell whose output at each step is its whole new state.

    Args:
      cell: any Cell.
      event_ndim: how many trailing dimensions of x are not batch; read where `cell` is itself made
        of cells (a cell made by a factory, `cell` or `split_cell` knows it).

    Returns:
      A Cell with the params and states of `cell`; ys is a state with a leading time axis, in the
      dtype of the state, zeros at masked steps.

    Raises:
      TypeError: where cell is no Cell.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.emit_state(jaxnn.lstm(3, 4))
    >>> _, states = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 3)))
    >>> states.hidden.shape, states.cell.shape
    ((5, 4), (5, 4))
    """
    check_cell("emit_state", "cell", cell)
    recurrence = recurrence_of(cell)
    event_ndim = check_event_ndim("emit_state", event_ndim)
    name = call_text("emit_state", cell)
    if isinstance(recurrence, Split):
        return cell_of(recurrence._replace(name=name, output=whole_state), cell.init)
    known = facts_of(cell).event_ndim
    event_ndim = event_ndim if known is None else known
    plain = Plain(name, functools.partial(_emit, cell), cell.initial_state, event_ndim)
    return cell_of(plain, cell.init)


def _emit(
    cell: Cell, params: Params, state: State, x: Any, key: Key | None = None
) -> tuple[State, State]:
    state, _ = cell.apply(params, state, x, key)
    return state, state


def reset_state(
    cell: Cell, params: Params, state: State, reset: ArrayLike, start: State | None = None
) -> State:
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
