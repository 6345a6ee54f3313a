"""Which way a recurrence runs: by the rule where its split keeps its promises, else plainly."""

import functools
from typing import Any

import jax

from jaxnn.derivative.analysis import examine
from jaxnn.derivative.jaxprs import acts_on_each
from jaxnn.derivative.rule import recur
from jaxnn.derivative.weights import restore
from jaxnn.internal.mesh import outline_of_step
from jaxnn.recurrence.split import Split, mixed_by, one_step, over_steps, parameters, shown_by
from jaxnn.scans.boundaries import Boundaries
from jaxnn.scans.sequential import Step, laid_out, scan
from jaxnn.types import Params, State


def run_plain(
    name: str, step: Step, inputs: Any, state: State, start: State, at: Boundaries, reverse: bool
) -> tuple[State, Any]:
    """The plain scan of a step; the outputs at masked steps mean nothing."""
    state, start = laid_out(step, inputs, state, start)
    final, (_, ys) = scan(name, step, inputs, state, start, at, reverse)
    return final, ys


def run_split(
    split: Split,
    reverse: bool,
    params: Params,
    projected: Any,
    state: State,
    start: State,
    at: Boundaries,
) -> tuple[State, Any]:
    """The loop of a split, by the rule or by the plain scan."""
    both, output = parameters(split, params), functools.partial(shown_by, split)

    def step(state: State, projected: Any) -> tuple[State, Any]:
        state = one_step(split, both, state, projected)
        return state, output(state)

    state, start = laid_out(step, projected, state, start)
    mix = functools.partial(mixed_by, split)
    one = outline_of_step(projected)
    mix_all = over_steps(split, mix, (None, 0))
    recurrence = examine(split.name, mix, mix_all, split.combine, output, both, one, state)
    # At a masked step the rule shows the state that is kept, the plain scan the one that is not:
    # both are zeros in the end, unless the output of one sequence reads the state of another.
    alone = at.valid is None or acts_on_each(output, at.valid.ndim - 1, state)
    if recurrence is None or not alone:
        return run_plain(split.name, step, projected, state, start, at, reverse)
    final, shown = recur(recurrence, reverse, both, projected, state, start, at)
    time = jax.tree.leaves(projected)[0].shape[0]
    return final, jax.vmap(output)(restore(recurrence.shows, shown, state, time))
