"""What the derivative rule has to know of a split, and whether it may take it."""

import itertools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxnn.derivative.jaxprs import inlined, is_closed, is_linear, is_read
from jaxnn.derivative.pointwise import Pointwise, take_apart
from jaxnn.types import State


class Recurrence(NamedTuple):
    """A split that keeps its promises, and what the rule knows of it.

    `mix(weights, state)` and `combine(params, projected, mixed, state)` are its functions, and
    `mix_all(weights, states)` is mix for the states of all steps at once. The flags say, leaf by
    leaf, which weights `mix` reads, which states a derivative needs or the output reads, and which
    the output reads; `bilinear`, whether `mix` is linear in its weights.
    """

    name: str
    mix: Callable[[Any, State], Any]
    mix_all: Callable[[Any, State], Any]
    combine: Callable[[Any, Any, Any, State], State]
    pointwise: Pointwise
    weights: list[bool]
    kept: list[bool]
    shows: list[bool]
    bilinear: bool

    def shown(self, state: State) -> list[Any]:
        """The leaves of a state that its output reads."""
        return list(itertools.compress(jax.tree.leaves(state), self.shows))


def examine(
    name: str,
    mix: Callable[[Any, State], Any],
    mix_all: Callable[[Any, State], Any],
    combine: Callable[[Any, Any, Any, State], State],
    output: Callable[[State], Any],
    params: tuple[Any, Any],
    projected: Any,
    state: State,
) -> Recurrence | None:
    """The Recurrence of a split, or None where it does not keep its promises.

    Args:
      name: the cell, for errors.
      mix, combine, output: its functions, as they run in the loop.
      mix_all: mix for all steps at once.
      params: those of mix, and those of combine.
      projected, state: of one step; shapes will do.
    """
    for_mix, for_combine = params
    closed = inlined(mix, for_mix, state)
    mixing = closed.jaxpr
    count = len(jax.tree.leaves(for_mix))
    weights, states = mixing.invars[:count], mixing.invars[count:]
    if not is_closed(closed) or not is_linear(mixing, states):
        return None
    mixed = jax.eval_shape(mix, for_mix, state)
    showing, reads = inlined(output, state).jaxpr, is_read(mixing, weights)
    mixes, shows = is_read(mixing, states), is_read(showing, showing.invars)
    kept = list(map(operator.or_, mixes, shows))
    pointwise = take_apart(combine, kept, for_combine, projected, mixed, state)
    if pointwise is None:
        return None
    return Recurrence(
        name,
        mix,
        mix_all,
        combine,
        pointwise,
        weights=reads,
        kept=kept,
        shows=shows,
        bilinear=is_linear(mixing, itertools.compress(weights, reads)),
    )
