"""A Cell's two views, one step and a whole sequence, and how they run."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.internal.checks import check_batch_shape, check_state, shape_text
from jaxnn.internal.mesh import outline_of_step
from jaxnn.internal.parameters import init_checked
from jaxnn.internal.users import check_leading
from jaxnn.recurrence.arguments import Run, known_of, unroll_by
from jaxnn.recurrence.blocks import run_sequence
from jaxnn.recurrence.checked import Stepwise, check_params_of, check_sequence, check_step
from jaxnn.recurrence.methods import run_plain, run_split
from jaxnn.recurrence.split import Split, mixed_by, one_step, parameters, prepare, shown_by
from jaxnn.scans.boundaries import edges, where
from jaxnn.types import ArrayLike, Cell, Key, Params, State, appears_as, with_facts

Recurrence = Split | Stepwise


def cell_of(recurrence: Recurrence, init: Callable[[Key], Params]) -> Cell:
    """The Cell that a split or a step describes."""
    name = recurrence.name
    recurrence = recurrence._replace(init=init)
    return Cell(
        with_facts(functools.partial(init_checked, name, init), recurrence.event_ndim),
        functools.partial(apply_recurrence, recurrence),
        functools.partial(initial_state_of, recurrence),
        unroll_by(run_recurrence, recurrence),
    )


def recurrence_of(cell: Cell) -> Recurrence | None:
    """The split or step that `cell_of` made a Cell from; None for a transformed cell."""
    known = known_of(cell.unroll, run_recurrence)
    return None if known is None else known[0]


@appears_as("initial_state")
def initial_state_of(
    recurrence: Recurrence, params: Params, batch_shape: tuple[int, ...] = ()
) -> State:
    """The first state, for the parameters of this cell."""
    name = f"{recurrence.name}.initial_state"
    check_batch_shape(name, batch_shape)
    check_params_of(name, recurrence, params)
    state = recurrence.initial_state(params, batch_shape)
    check_leading(name, f"initial_state(params, {batch_shape})", state, batch_shape)
    return state


@appears_as("apply")
def apply_recurrence(
    recurrence: Recurrence, params: Params, state: State, x: Any, key: Key | None = None
) -> tuple[State, Any]:
    """One time step."""
    batch = check_step(f"{recurrence.name}.apply", recurrence, params, state, x, key)
    if isinstance(recurrence, Stepwise):
        return _checked_step(recurrence, batch, params, state, (x, key))
    _check_functions(f"{recurrence.name}.apply", recurrence, params, x, state, batch)
    state = one_step(
        recurrence, parameters(recurrence, params), state, prepare(recurrence, params, x)
    )
    return state, shown_by(recurrence, state)


def run_recurrence(recurrence: Recurrence, params: Params, run: Run) -> tuple[State, Any]:
    """A whole sequence."""
    name = f"{recurrence.name}.unroll"
    run, state, start = check_sequence(name, recurrence, params, run)
    at = edges(run.mask, run.reset, run.reverse)
    batch = tuple(run.xs.shape[1 : run.xs.ndim - recurrence.event_ndim])
    if isinstance(recurrence, Split):
        _check_functions(name, recurrence, params, outline_of_step(run.xs), state, batch)
        state, ys = run_sequence(recurrence, run.reverse, params, run.xs, state, start, at)
        return state, _valid(ys, run.mask)
    step = functools.partial(_checked_step, recurrence, batch, params)
    inputs = run.xs, None if run.key is None else jax.random.split(run.key, run.xs.shape[0])
    state, ys = run_plain(recurrence.name, step, inputs, state, start, at, run.reverse)
    return state, _valid(ys, run.mask)


def run_projected(
    split: Split, params: Params, projected: Any, run: Run, state: State, start: State
) -> tuple[State, Any]:
    """What is left of a split once its input is projected."""
    at = edges(run.mask, run.reset, run.reverse)
    state, ys = run_split(split, run.reverse, params, projected, state, start, at)
    return state, _valid(ys, run.mask)


def _valid(ys: Any, mask: ArrayLike | None) -> Any:
    return ys if mask is None else where(mask, ys, jax.tree.map(jnp.zeros_like, ys))


def _check_functions(
    name: str, split: Split, params: Params, x: Any, state: State, batch: tuple[int, ...]
) -> None:
    """Raise unless a user's functions keep the batch: what does not would be spread over it."""
    if split.dtype is not None:
        return

    def results(params: Params, x: Any, state: State) -> Any:
        for_mix, _ = parameters(split, params)
        found = prepare(split, params, x), mixed_by(split, for_mix, state), shown_by(split, state)
        for function, result in zip(("project", "mix", "output"), found, strict=True):
            check_leading(f"{name}, {function}", "what it gives", result, batch)
        return found

    jax.eval_shape(results, params, x, state)


def _checked_step(
    plain: Stepwise,
    batch: tuple[int, ...],
    params: Params,
    state: State,
    at: tuple[Any, Key | None],
) -> tuple[State, Any]:
    """The step of a cell that is known by it only."""
    result = plain.step(params, state, *at)
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"{plain.name}: apply must give (state, y), got {shape_text(result)}")
    check_state(
        plain.name, "the new state", result[0], state, ": apply must keep its shapes and dtypes"
    )
    check_leading(f"{plain.name}, apply", "y", result[1], batch)
    return result
