"""Two cells over a sequence, one from each end, and one cell as a Layer."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.functions.merge import Merge, check_merge, merge_outputs
from jaxnn.internal.checks import check_init_key, check_tuple, split_key
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_bool
from jaxnn.internal.parameters import check_kind, init_checked
from jaxnn.layers.composition import apply_layers
from jaxnn.recurrence.arguments import Run, sequence_unroll_by
from jaxnn.recurrence.checked import check_sequence
from jaxnn.recurrence.split import Split, prepare_both, same_functions
from jaxnn.recurrence.unroll import recurrence_of, run_projected
from jaxnn.scans.boundaries import where
from jaxnn.types import (
    Array,
    Cell,
    Key,
    Params,
    SequenceLayer,
    State,
    appears_as,
    exportable,
    facts_of,
    name_of,
    with_facts,
)


@exportable
class BidirectionalParams(NamedTuple):
    """The parameters of the forward and of the backward cell."""

    forward: Params
    backward: Params


@factory
def bidirectional(
    forward: Cell, backward: Cell | None = None, merge: Merge = "concat"
) -> SequenceLayer:
    """One cell from the first step to the last, one from the last to the first, merged.

    It is a Layer over sequences and no Cell, since it needs the end before the start. Deep ones
    come in two forms: `bidirectional(stack(a, b), stack(a, b))`, two stacks that meet at the
    output, and `serial(bidirectional(...), bidirectional(...))`, layers that merge before the next.

    Args:
      forward: the cell that runs forward.
      backward: the one that runs in reverse; by default the same, with parameters of its own.
      merge: how the outputs at a step become one: "concat" (features of both), "sum", "mean",
        "product", or a function of the two.

    Returns:
      A SequenceLayer. `apply(params, xs, mask=None, key=None)` gives ys `(time, *batch, features)`;
      `unroll(params, xs, state=None, mask=None, reset=None, key=None, start=None)` gives
      `((forward_state, backward_state), ys)`, where the backward state is the one after the first
      step; `state` and `start` are such pairs. Outputs at masked steps are zeros.

    Raises:
      TypeError: for parts that are no Cells.
      ValueError: for an unknown merge; when it runs, for one that needs equal sizes.

    Source: Schuster & Paliwal 1997.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> layer = jaxnn.bidirectional(jaxnn.lstm(3, 8), jaxnn.lstm(3, 8))
    >>> params = layer.init(jax.random.key(0))
    >>> layer.apply(params, jnp.ones((5, 2, 3))).shape
    (5, 2, 16)
    >>> (forward, backward), ys = layer.unroll(params, jnp.ones((5, 2, 3)))
    >>> forward.hidden.shape
    (2, 8)
    """
    if backward is None:
        return bidirectional(forward, forward, merge)
    for argument, cell in (("forward", forward), ("backward", backward)):
        check_cell("bidirectional", argument, cell)
    check_merge("bidirectional", merge)
    name = this_call()
    event_ndim = facts_of(forward).event_ndim
    if facts_of(backward).event_ndim not in (event_ndim, None) and event_ndim is not None:
        raise ValueError(
            f"bidirectional: forward and backward must take one kind of input, got {forward} and "
            f"{backward}"
        )
    unroll = sequence_unroll_by(run_bidirectional, name, forward, backward, merge)
    return SequenceLayer(
        with_facts(functools.partial(init_bidirectional, forward, backward), event_ndim),
        functools.partial(apply_layers, name, unroll),
        unroll,
    )


@appears_as("init")
def init_bidirectional(forward: Cell, backward: Cell, key: Key) -> BidirectionalParams:
    """The parameters of both cells, each from a key of its own."""
    check_init_key("bidirectional", key)
    keys = jax.random.split(key)
    return BidirectionalParams(forward.init(keys[0]), backward.init(keys[1]))


def run_bidirectional(
    name: str, forward: Cell, backward: Cell, merge: Merge, params: BidirectionalParams, run: Run
) -> tuple[State, Array]:
    """Both directions, their final states, and the merged outputs."""
    check_kind(name, params, BidirectionalParams)
    for argument, value in (("state", run.state), ("start", run.start)):
        if value is not None:
            check_tuple(name, argument, value, 2)
    left_state, right_state = run.state or (None, None)
    left_start, right_start = run.start or (None, None)
    left_key, right_key = split_key(name, run.key, 2)
    left_run = run._replace(state=left_state, key=left_key, start=left_start)
    right_run = run._replace(state=right_state, key=right_key, start=right_start, reverse=True)
    one, other = recurrence_of(forward), recurrence_of(backward)
    if isinstance(one, Split) and isinstance(other, Split) and same_functions(one, other):
        (first, left), (last, right) = _run_pair((one, other), params, left_run, right_run)
    else:
        first, left = forward.unroll(params.forward, *left_run)
        last, right = backward.unroll(params.backward, *right_run)
    ys = merge_outputs(name, merge, [left, right])
    if run.mask is not None and callable(merge):
        ys = where(run.mask, ys, jnp.zeros_like(ys))
    return (first, last), ys


def _run_pair(
    splits: tuple[Split, Split], params: BidirectionalParams, left_run: Run, right_run: Run
) -> list[tuple[State, Any]]:
    """Two splits of the same functions in both directions, their input projected once for both."""
    begun = [
        check_sequence(f"{split.name}.unroll", split, each, run)
        for split, each, run in zip(splits, params, (left_run, right_run), strict=True)
    ]
    projected = prepare_both(splits[0], *params, begun[0][0].xs)
    parts = zip(splits, params, projected, begun, strict=True)
    return [run_projected(split, each, inputs, *given) for split, each, inputs, given in parts]


@factory
def as_layer(cell: Cell, reverse: bool = False) -> SequenceLayer:
    """A cell as a Layer over sequences.

    Args:
      cell: any Cell.
      reverse: whether it runs from the last step to the first.

    Returns:
      A SequenceLayer: `apply(params, xs, mask=None, key=None)` gives ys, and `unroll` is the
      cell's own, in that direction.

    Raises:
      TypeError: where cell is no Cell, or reverse neither True nor False.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> layer = jaxnn.as_layer(jaxnn.gru(3, 8))
    >>> layer.apply(layer.init(jax.random.key(0)), jnp.ones((5, 2, 3))).shape
    (5, 2, 8)
    """
    check_cell("as_layer", "cell", cell)
    check_bool("as_layer", "reverse", reverse)
    name = this_call()
    unroll = sequence_unroll_by(run_as_layer, name, cell, reverse)
    return SequenceLayer(
        with_facts(functools.partial(init_checked, name, cell.init), facts_of(cell).event_ndim),
        functools.partial(apply_layers, name, unroll),
        unroll,
    )


def run_as_layer(
    name: str, cell: Cell, reverse: bool, params: Params, run: Run
) -> tuple[State, Any]:
    """The cell's `unroll` in one direction."""
    del name
    return cell.unroll(params, *run._replace(reverse=reverse))


def check_cell(name: str, argument: str, cell: Any) -> None:
    """Raise TypeError unless cell is a Cell."""
    if not isinstance(cell, Cell):
        hint = f"; {name_of(cell)} is a Layer already" if isinstance(cell, SequenceLayer) else ""
        raise TypeError(f"{name}: {argument} must be a Cell, got {cell!r}{hint}")
