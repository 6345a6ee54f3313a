"""The values of a cell's gates, to look at."""

from typing import TypeVar

from jaxnn.internal.checks import naming
from jaxnn.recurrence.arguments import check_step
from jaxnn.recurrence.cell import check_cell, description_of
from jaxnn.recurrence.linear_split import LinearSplit, gates_of
from jaxnn.recurrence.split import Split, before_combine
from jaxnn.types import Cell, Params, PyTree, State

P = TypeVar("P")
S = TypeVar("S")


def gates(cell: Cell[P, S], params: P, state: S, x: PyTree) -> PyTree:
    """The values of a cell's gates at a step.

    Args:
      cell: a gated cell of the library, such as an LSTM, or `output_state` of one.
      params, state, x: as for `cell.apply`: the state before the step, and the input of the step.

    Returns:
      The NamedTuple of the cell's own gates, each `(*batch, hidden)`, or `(*batch, *spatial,
      hidden)`, in the dtype of the state: `LSTMGates(i, f, g, o)` of `lstm` and `conv_lstm`,
      `GRUGates(r, z, n)` of `gru` and `conv_gru`, `MGUGates(f, n)` of `mgu`, `JANETGates(f, i,
      n)` of `janet`, `SLSTMGates(i, f, z, o)` of `slstm`, `ElmanGates(s)` of `elman`,
      `MinGRUGates(z, n)` and `MinLSTMGates(f, i, n)` of `min_gru` and `min_lstm`. For a
      whole sequence, `jax.vmap` it over the states and inputs of all steps.

    Raises:
      TypeError: for a cell that has no gates to show: one that is made of other cells (give one of
        its parts), `cell` and `split_cell`.
      ValueError, TypeError: for params, state and x that `cell.apply` would refuse.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.lstm(3, 4, coupled=True)
    >>> params = cell.init(jax.random.key(0))
    >>> values = jaxnn.gates(cell, params, cell.initial_state(params), jnp.ones(3))
    >>> values._fields
    ('i', 'f', 'g', 'o')
    >>> bool(jnp.allclose(values.i + values.f, 1))
    True
    """
    split = check_gated("gates", cell)
    name = f"gates: {split.name}"
    check_step(name, split._replace(name=name), params, state, x, None)
    with naming("gates"):
        return gates_at(split, params, state, x)


def gates_at(split: Split | LinearSplit, params: Params, state: State, x: PyTree) -> PyTree:
    """The gates' values at one step, of what `check_gated` gave."""
    if isinstance(split, LinearSplit):
        return gates_of(split, params, x)
    assert split.gates is not None
    return split.gates(*before_combine(split, params, state, x), state)


def check_gated(name: str, cell: Cell) -> Split | LinearSplit:
    """What a cell that has gates to show is made from; TypeError for another."""
    check_cell(name, "cell", cell)
    split = description_of(cell)
    if not isinstance(split, (Split, LinearSplit)) or split.gates is None:
        raise TypeError(
            f"{name}: cell must be one of the library's gated cells, got {cell}. Of a cell that is "
            f"made of others, give one of its parts and that part's params and state; what the "
            f"gates are in functions of your own, only those know"
        )
    return split
