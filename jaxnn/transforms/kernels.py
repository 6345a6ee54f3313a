"""A cell that runs with other kernels than its parameters hold: made once for each call."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from jaxnn.functions.params import path_text
from jaxnn.internal.checks import naming
from jaxnn.internal.factory import this_call
from jaxnn.internal.parameters import check_params, init_checked
from jaxnn.recurrence.arguments import Arguments
from jaxnn.recurrence.cell import check_cell
from jaxnn.recurrence.unroll import hands_on, unroll_by
from jaxnn.types import (
    Array,
    ArrayLike,
    Cell,
    Key,
    Params,
    PyTree,
    Shaped,
    State,
    appears_as,
    facts_of,
    with_facts,
)

RECURRENT = ("recurrent_kernel",)
KERNELS = ("input_kernel", "recurrent_kernel")
Change = Callable[[Cell, Params, Key | None], tuple[Params, Key | None]]
"""`params, key = change(cell, params, key)`: what the cell inside is given."""


def with_kernels(cell: Cell, change: Change, init: Callable[[Key], Params]) -> Cell:
    """The cell whose parameters, as `init` gives them, are changed before it runs. A `@factory`
    returns it, and its call is its name."""
    name = this_call()
    change = functools.partial(_changed, name, change, init)
    return Cell(
        with_facts(functools.partial(init_checked, name, init), facts_of(cell).event_ndim),
        functools.partial(_apply, name, cell, change),
        functools.partial(_initial_state, name, cell, change),
        unroll_by(_run, name, cell, change),
    )


def check_kernels_of(kind: str, cell: Cell, names: tuple[str, ...], axes: tuple[int, int]) -> None:
    """Raise where a cell has no kernels of these names, or one with another number of axes."""
    check_cell(kind, "cell", cell)
    shapes = jax.eval_shape(cell.init, jax.random.key(0))
    found = kernels_of(shapes, names)
    if not found:
        raise TypeError(
            f"{kind}: cell must have parameters {' or '.join(names)}, as lstm and gru have; got "
            f"{cell!r}"
        )
    for path, kernel in found.items():
        if not axes[0] <= len(kernel.shape) <= axes[1]:
            raise TypeError(
                f"{kind}: cell must have kernels of matrices, of {axes[0]} to {axes[1]} axes; "
                f"{path} of {cell!r} has the shape {tuple(kernel.shape)}"
            )


def kernels_of(params: Params, names: tuple[str, ...]) -> dict[str, Any]:
    """The leaves of these names, wherever they stand, by path."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    every: dict[str, Shaped] = {path_text(path): leaf for path, leaf in leaves}
    return {path: leaf for path, leaf in every.items() if path.rpartition(".")[2] in names}


def replaced(params: Params, kernels: dict[str, Array]) -> Params:
    """The parameters with these kernels in the place of theirs."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: kernels.get(path_text(path), leaf), params
    )


def _changed(
    name: str,
    change: Change,
    init: Callable[[Key], Params],
    cell: Cell,
    params: Params,
    key: Key | None,
) -> tuple[Params, Key | None]:
    """What the cell inside is given, once the parameters are those of the whole."""
    check_params(name, init, params)
    return change(cell, params, key)


@appears_as("apply")
def _apply(
    name: str,
    cell: Cell,
    change: Change,
    params: Params,
    state: State,
    x: ArrayLike,
    key: Key | None = None,
) -> tuple[State, PyTree]:
    with naming(f"{name}.apply"):
        params, key = change(cell, params, key)
        return cell.apply(params, state, x, key)


@appears_as("initial_state")
def _initial_state(
    name: str, cell: Cell, change: Change, params: Params, batch_shape: tuple[int, ...] = ()
) -> State:
    with naming(f"{name}.initial_state"):
        return cell.initial_state(change(cell, params, None)[0], batch_shape)


@hands_on
def _run(
    name: str, cell: Cell, change: Change, params: Params, arguments: Arguments
) -> tuple[State, PyTree]:
    del name
    params, key = change(cell, params, arguments.key)
    return cell.unroll(params, *arguments._replace(key=key))
