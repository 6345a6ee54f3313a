"""Deep networks: cells on top of each other, layer by layer."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, overload

import jax

from jaxnn.functions.sequences import clean, clean_tree
from jaxnn.internal.checks import check_batch_shape, check_init_key, check_tuple, naming, split_key
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.inputs import time_of
from jaxnn.internal.named import Names, check_joined, check_names, joined
from jaxnn.internal.options import check_bool, check_fraction
from jaxnn.internal.parts import parts
from jaxnn.layers.composition import check_flags_of, event_ndim_of, mask_for
from jaxnn.layers.dropout import drop
from jaxnn.recurrence.arguments import Arguments
from jaxnn.recurrence.unroll import hands_on, unroll_by, zero_outputs
from jaxnn.scans.over_devices import time_over
from jaxnn.transforms.residual import residual as with_residual
from jaxnn.types import (
    Cell,
    EventNdim,
    Key,
    Layer,
    Params,
    PyTree,
    SequenceLayer,
    State,
    appears_as,
    facts_of,
    know,
    name_of,
    with_facts,
)

R = TypeVar("R")


@overload
def stack(
    *cells: Cell[Params, State] | Layer[Params],
    dropout: float = 0.0,
    residual: bool = False,
    names: None = None,
) -> Cell[tuple[Params, ...], tuple[State, ...]]:
    """Params and states are tuples."""


@overload
def stack(
    *cells: Cell[Params, State] | Layer[Params],
    dropout: float = 0.0,
    residual: bool = False,
    names: Names,
) -> Cell[Any, Any]:
    """They are NamedTuples of these names."""


@factory
def stack(
    *cells: Cell[Params, State] | Layer[Params],
    dropout: float = 0.0,
    residual: bool = False,
    names: Names | None = None,
) -> Cell[Any, Any]:
    """Cells on top of each other, as one Cell: each takes what the one below it gives.

    A Layer among them is a cell with the empty state `()`, so `stack(dense, gru, dense)` is a whole
    model, streamed by `apply` and run over a sequence by `unroll`. Such a Layer acts on each step
    by itself; one that looks along time belongs in a `serial`.

    Args:
      *cells: Cells and Layers, the lowest first.
      dropout: the rate at which the input of every Cell but the first is dropped, where a key is
        given.
      residual: whether the input of every Cell but the first is added to its output (`residual`);
        their sizes must be equal. For other places, wrap the cells in `jaxnn.residual` yourself.
      names: a name for each part: params, states and starts are then NamedTuples, `params.head`.

    Returns:
      A Cell whose params, states and starts are tuples, one entry a part. `unroll` runs part by
      part. Given a key, each part gets a key of its own.

    Raises:
      TypeError: for a part that is neither a Cell nor a Layer that acts on one step, and for names
        that are no words.
      ValueError: without parts, and for names that are not one for each; when it runs, where the
        sizes of two parts do not meet.

    Source: Graves 2013 (arXiv 1308.0850); El Hihi & Bengio 1995. With `dropout`, Zaremba 2014
    (arXiv 1409.2329), as torch.nn.LSTM(num_layers, dropout) has it.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> model = jaxnn.stack(jaxnn.lstm(3, 8), jaxnn.gru(8, 8), jaxnn.dense(8, 2))
    >>> params = model.init(jax.random.key(0))
    >>> state, ys = model.unroll(params, jnp.ones((5, 3)))
    >>> state, y = model.apply(params, state, jnp.ones(3))
    >>> ys.shape, y.shape
    ((5, 2), (2,))
    """
    check_fraction("stack", "dropout", dropout)
    check_bool("stack", "residual", residual)
    if not cells:
        raise ValueError("stack: it needs at least one cell")
    names = check_names("stack", names, len(cells))
    stacked, below = [], False
    for index, part in enumerate(cells):
        if isinstance(part, Layer):
            stacked.append(_as_cell(part))
            continue
        if not isinstance(part, Cell):
            hint = (
                "; it looks along time, so it cannot run step by step: use serial"
                if isinstance(part, SequenceLayer)
                else ""
            )
            raise TypeError(f"stack: part {index} must be a Cell or a Layer, got {part!r}{hint}")
        if below and dropout:
            part = _drop_input(part, dropout)
        stacked.append(with_residual(part) if below and residual else part)
        below = True
    name, event_ndim, stacked = this_call(), event_ndim_of(cells), tuple(stacked)
    return Cell(
        with_facts(functools.partial(init_stack, stacked, names), event_ndim),
        functools.partial(apply_stack, name, stacked, names),
        functools.partial(initial_state_of_stack, name, stacked, names),
        unroll_by(run_stack, name, event_ndim, stacked, names),
    )


@appears_as("init")
def init_stack(cells: tuple[Cell, ...], names: Names | None, key: Key) -> tuple[Params, ...]:
    """The parameters of each cell, from a key of its own."""
    check_init_key("stack", key)
    keys = jax.random.split(key, len(cells))
    return joined(names, (cell.init(k) for cell, k in zip(cells, keys, strict=True)))


@appears_as("initial_state")
def initial_state_of_stack(
    name: str,
    cells: tuple[Cell, ...],
    names: Names | None,
    params: Params,
    batch_shape: tuple[int, ...] = (),
) -> tuple[State, ...]:
    """The first state of each cell."""
    check_batch_shape(f"{name}.initial_state", batch_shape)
    check_joined(name, "params", params, names, len(cells))
    pairs = zip(cells, params, strict=True)
    with naming(f"{name}.initial_state"):
        return joined(names, [cell.initial_state(p, batch_shape) for cell, p in pairs])


@appears_as("apply")
def apply_stack(
    name: str,
    cells: tuple[Cell, ...],
    names: Names | None,
    params: Params,
    state: State,
    x: PyTree,
    key: Key | None = None,
) -> tuple[State, PyTree]:
    """One time step, through all cells."""
    check_joined(name, "params", params, names, len(cells))
    check_joined(name, "state", state, names, len(cells))
    states = []
    with naming(f"{name}.apply"):
        for index, k in enumerate(split_key(name, key, len(cells))):
            run = functools.partial(cells[index].apply, params[index], state[index], x, k)
            new, x = _meet(cells, index, run)
            states.append(new)
    return joined(names, states), x


@hands_on
def run_stack(
    name: str,
    event_ndim: EventNdim | None,
    cells: tuple[Cell, ...],
    names: Names | None,
    params: Params,
    arguments: Arguments,
) -> tuple[State, PyTree]:
    """A whole sequence, cell by cell."""
    check_flags_of(name, event_ndim, arguments)
    check_joined(name, "params", params, names, len(cells))
    for argument, value in (("state", arguments.state), ("start", arguments.start)):
        if value is not None:
            check_joined(name, argument, value, names, len(cells))
    states, xs = [], arguments.xs
    for index, k in enumerate(split_key(name, arguments.key, len(cells))):
        state = None if arguments.state is None else arguments.state[index]
        start = None if arguments.start is None else arguments.start[index]
        part = arguments._replace(xs=xs, state=state, key=k, start=start)
        unroll = functools.partial(cells[index].unroll, params[index], *part)
        new, xs = _meet(cells, index, unroll)
        states.append(new)
    return joined(names, states), xs


def _meet(cells: tuple[Cell, ...], index: int, run: Callable[[], R]) -> R:
    """Run a part; an error of its own says which part it is, and which one it stands on."""
    try:
        return run()
    except (TypeError, ValueError) as error:
        if type(error) not in (TypeError, ValueError) or not index:
            raise
        raise type(error)(
            f"stack: part {index}, {cells[index]}, on top of part {index - 1}, "
            f"{cells[index - 1]}: {error}"
        ) from error


def _as_cell(layer: Layer) -> Cell:
    """A Layer as a Cell with the empty state, of the same name."""
    cell = Cell(
        with_facts(functools.partial(layer.init), facts_of(layer).event_ndim),
        functools.partial(_apply_layer, layer),
        _no_state,
        unroll_by(_run_layer, layer),
    )
    return know(cell, parts(layer))


def _no_state(params: Params, batch_shape: tuple[int, ...] = ()) -> State:
    del params, batch_shape
    return ()


def _apply_layer(
    layer: Layer, params: Params, state: State, x: PyTree, key: Key | None = None
) -> tuple[State, PyTree]:
    check_tuple(name_of(layer), "state", state, 0)
    return (), layer.apply(params, x, None, key)


@hands_on
def _run_layer(layer: Layer, params: Params, arguments: Arguments) -> tuple[State, PyTree]:
    """All steps at once; masked steps give zeros."""
    name, mask = name_of(layer), arguments.mask
    xs = clean_tree(name, arguments.xs, mask, "xs")
    with time_over(None):
        ys = layer.apply(params, xs, mask_for(layer, mask), arguments.key)
    before = time_of(xs)
    for leaf in jax.tree.leaves(ys):
        if leaf.shape[:1] != (before,):
            after = leaf.shape[0] if leaf.ndim else "none"
            raise ValueError(
                f"{name}: it changes the number of steps, from {before} to {after}; in a stack a "
                f"layer acts on each step by itself: use serial, which takes it without a mask"
            )
    if mask is not None:
        ys = zero_outputs(ys, mask)
    return (), ys


def _drop_input(cell: Cell, rate: float) -> Cell:
    """A cell whose input is dropped at the rate, where a key is given, of the same name."""
    dropped = Cell(
        with_facts(functools.partial(cell.init), facts_of(cell).event_ndim),
        functools.partial(_apply_dropped, cell, rate),
        cell.initial_state,
        unroll_by(_run_dropped, cell, rate),
    )
    return know(dropped, parts(cell))


def _apply_dropped(
    cell: Cell, rate: float, params: Params, state: State, x: PyTree, key: Key | None = None
) -> tuple[State, PyTree]:
    drop_key, key = split_key(name_of(cell), key, 2)
    return cell.apply(params, state, drop(rate, clean(name_of(cell), x, None), drop_key), key)


@hands_on
def _run_dropped(
    cell: Cell, rate: float, params: Params, arguments: Arguments
) -> tuple[State, PyTree]:
    drop_key, key = split_key(name_of(cell), arguments.key, 2)
    xs = drop(rate, clean(name_of(cell), arguments.xs, arguments.mask, "xs"), drop_key)
    return cell.unroll(params, *arguments._replace(xs=xs, key=key))
