"""A split whose steps draw: numbers from the key of a step, read before the loop and in it.

What a step draws does not depend on the state, so that it is drawn for all steps at once and enters
the loop as the projected input does: the derivative rule takes it. Without a key nothing is drawn.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax

from jaxnn.internal.factory import this_call
from jaxnn.internal.inputs import front, leading_ndim
from jaxnn.recurrence.cell import cell_of, check_cell, description_of
from jaxnn.recurrence.split import Split
from jaxnn.types import Cell, Key, Params, PyTree, State


class Disturbance(NamedTuple):
    """What a regulariser does to the steps of a split.

    draw: `draw(split, params, x, key)` gives what a step draws.
    combine: `combine(split, drawn, params, projected, mixed, state)` gives the new state; `drawn`
      is None where nothing is drawn.
    disturb: `disturb(drawn, x)` gives the input in the place of x.
    """

    draw: Callable[[Split, Params, PyTree, Key], PyTree]
    combine: Callable[..., State]
    disturb: Callable[[PyTree, PyTree], PyTree] | None = None


def disturbed(kind: str, cell: Cell, disturbance: Disturbance) -> Cell:
    """The cell whose steps are disturbed so. A `@factory` returns it, and its call is its name.

    Raises:
      TypeError: where the cell is no Cell, or no split.
    """
    split = split_of(kind, cell)
    return cell_of(
        split._replace(
            name=this_call(),
            project=functools.partial(_project, split, disturbance),
            combine=functools.partial(_combine, split, disturbance),
            gates=None if split.gates is None else functools.partial(_gates, split),
            thinned=None,
            project_both=None,
            draw=functools.partial(_draw, split, disturbance),
        ),
        cell.init,
    )


def split_of(kind: str, cell: Cell) -> Split:
    """What describes a cell that is a split.

    Raises:
      TypeError: where it is no Cell, or no split.
    """
    check_cell(kind, "cell", cell)
    split = description_of(cell)
    if not isinstance(split, Split):
        raise TypeError(
            f"{kind}: cell must be one that jaxnn knows by its equations, such as lstm, gru or a "
            f"split_cell; got {cell!r}. In a stack or another transformation, use {kind} on the "
            f"cells inside"
        )
    return split


def state_outline(split: Split, params: Params, x: PyTree) -> State:
    """The types of the state that goes with x, of one step."""
    batch = front(x, leading_ndim(x, split.event_ndim))
    return jax.eval_shape(functools.partial(split.initial_state, batch_shape=batch), params)


def _draw(
    split: Split, disturbance: Disturbance, params: Params, x: PyTree, key: Key
) -> tuple[PyTree, PyTree]:
    """What the split itself draws, and what the regulariser does."""
    if split.draw is None:
        return None, disturbance.draw(split, params, x, key)
    inner, own = jax.random.split(key)
    return split.draw(params, x, inner), disturbance.draw(split, params, x, own)


def _project(
    split: Split, disturbance: Disturbance, params: Params, x: PyTree, drawn: PyTree
) -> tuple[PyTree, PyTree]:
    inner, own = (None, None) if drawn is None else drawn
    if own is not None and disturbance.disturb is not None:
        x = disturbance.disturb(own, x)
    given = (x,) if split.draw is None else (x, inner)
    return split.project(params, *given), own


def _combine(
    split: Split,
    disturbance: Disturbance,
    params: Params,
    projected: PyTree,
    mixed: PyTree,
    state: State,
) -> State:
    projected, own = projected
    return disturbance.combine(split, own, params, projected, mixed, state)


def _gates(split: Split, params: Params, projected: PyTree, mixed: PyTree, state: State) -> PyTree:
    assert split.gates is not None
    return split.gates(params, projected[0], mixed, state)
