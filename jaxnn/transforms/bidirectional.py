"""Two cells over a sequence, one from each end, and one cell as a Layer."""

import functools
import itertools
from typing import Generic, NamedTuple, TypeVar, overload

import jax
import jax.numpy as jnp

from jaxnn.functions.merge import Merge, check_merge, merge_outputs
from jaxnn.internal.checks import check_init_key, check_tuple, split_key
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.inputs import leading_ndim
from jaxnn.internal.options import check_bool
from jaxnn.internal.parameters import check_kind, init_checked
from jaxnn.layers.composition import apply_layers
from jaxnn.recurrence.arguments import Arguments, begun, checked
from jaxnn.recurrence.cell import check_cell, description_of
from jaxnn.recurrence.methods import FAST, IN_ONE_PIECE, choose, run_projected
from jaxnn.recurrence.split import Split, prepare_both, same_functions
from jaxnn.recurrence.unroll import sequence_unroll_by, zero_outputs
from jaxnn.scans.boundaries import boundaries, where
from jaxnn.types import (
    Cell,
    Key,
    Params,
    PyTree,
    SequenceLayer,
    State,
    appears_as,
    exportable,
    facts_of,
    with_facts,
)

P = TypeVar("P")
Q = TypeVar("Q")
S = TypeVar("S")
T = TypeVar("T")


@exportable
class BidirectionalParams(NamedTuple, Generic[P, Q]):
    """The parameters of the forward and of the backward cell."""

    forward: P
    backward: Q


@overload
def bidirectional(
    forward: Cell[P, S], backward: None = None, merge: Merge = "concat"
) -> SequenceLayer[BidirectionalParams[P, P], tuple[S, S]]:
    """The same cell from both ends."""


@overload
def bidirectional(
    forward: Cell[P, S], backward: Cell[Q, T], merge: Merge = "concat"
) -> SequenceLayer[BidirectionalParams[P, Q], tuple[S, T]]:
    """Two cells."""


@factory
def bidirectional(
    forward: Cell[Params, State],
    backward: Cell[Params, State] | None = None,
    merge: Merge = "concat",
) -> SequenceLayer[Params, State]:
    """One cell from the first step to the last, one from the last to the first, merged.

    It is a Layer over sequences and no Cell, since it needs the end before the start. Deep ones
    come in two forms: `bidirectional(stack(a, b), stack(a, b))`, two stacks that meet at the
    output, and `serial(bidirectional(...), bidirectional(...))`, layers that merge before the next.

    Args:
      forward: the cell that runs forward.
      backward: the one that runs in reverse; by default the same, with parameters of its own.
      merge: how the outputs at a step become one: "concat" (features of both), "sum", "mean",
        "product", or a function of the two. Outputs that are trees, as those of `output_state`, are
        merged leaf by leaf by the words, and handed as they are to a function, which gives one
        array.

    Returns:
      A SequenceLayer. `apply(params, xs, mask=None, key=None)` gives ys `(time, *batch, features)`;
      `unroll(params, xs, state=None, mask=None, reset=None, key=None, start=None)` gives
      `((forward_state, backward_state), ys)`, where the backward state is the one after the first
      step; `state` and `start` are such pairs. Outputs at masked steps are zeros.

    Raises:
      TypeError: for parts that are no Cells; when it runs, for outputs of unequal structure.
      ValueError: for an unknown merge; when it runs, for one that needs equal sizes, or features.

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
    check_cell("bidirectional", "forward", forward)
    if backward is None:
        return bidirectional(forward, forward, merge)
    check_cell("bidirectional", "backward", backward)
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
    name: str,
    forward: Cell,
    backward: Cell,
    merge: Merge,
    params: BidirectionalParams,
    arguments: Arguments,
) -> tuple[State, PyTree]:
    """Both directions, their final states, and the merged outputs."""
    check_kind(name, params, BidirectionalParams)
    for argument, value in (("state", arguments.state), ("start", arguments.start)):
        if value is not None:
            check_tuple(name, argument, value, 2)
    left_state, right_state = arguments.state or (None, None)
    left_start, right_start = arguments.start or (None, None)
    left_key, right_key = split_key(name, arguments.key, 2)
    left = arguments._replace(state=left_state, key=left_key, start=left_start)
    right = arguments._replace(state=right_state, key=right_key, start=right_start, reverse=True)
    one, other = description_of(forward), description_of(backward)
    if isinstance(one, Split) and isinstance(other, Split) and same_functions(one, other):
        (first, left_ys), (last, right_ys) = _run_pair((one, other), params, (left, right))
    else:
        first, left_ys = forward.unroll(params.forward, *left)
        last, right_ys = backward.unroll(params.backward, *right)
    ys = merge_outputs(name, merge, [left_ys, right_ys], _leading(forward, backward, arguments))
    if arguments.mask is not None and callable(merge):
        ys = where(arguments.mask, ys, jnp.zeros_like(ys))
    return (first, last), ys


def _leading(forward: Cell, backward: Cell, arguments: Arguments) -> int | None:
    """How many axes are time and batch, where a cell tells."""
    known = (facts_of(cell).event_ndim for cell in (forward, backward))
    event_ndim = next((each for each in known if each is not None), None)
    return None if event_ndim is None else leading_ndim(arguments.xs, event_ndim)


def _run_pair(
    splits: tuple[Split, Split],
    params: BidirectionalParams,
    both: tuple[Arguments, Arguments],
) -> list[tuple[State, PyTree]]:
    """Two splits of the same functions in both directions, their input projected once for both."""
    given, flags, methods = [], [], []
    for split, each, arguments in zip(splits, params, both, strict=True):
        name = f"{split.name}.unroll"
        checked(name, split, each, arguments)
        given.append(begun(name, split, each, arguments))
        flags.append(boundaries(arguments.mask, arguments.reset, arguments.reverse))
        methods.append(choose(split, each, given[-1], flags[-1], IN_ONE_PIECE))
    if methods == [FAST, FAST] and splits[0].draw is None:
        projected = prepare_both(splits[0], *params, given[0].xs)
        every = zip(splits, params, projected, given, flags, strict=True)
        results = list(itertools.starmap(run_projected, every))
    else:
        every = zip(methods, splits, params, given, flags, strict=True)
        results = [method.run(*rest) for method, *rest in every]
    return [(state, zero_outputs(ys, both[0].mask)) for state, ys in results]


@factory
def as_layer(cell: Cell[P, S], reverse: bool = False) -> SequenceLayer[P, S]:
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
    name: str, cell: Cell, reverse: bool, params: Params, arguments: Arguments
) -> tuple[State, PyTree]:
    """The cell's `unroll` in one direction."""
    del name
    return cell.unroll(params, *arguments._replace(reverse=reverse))
