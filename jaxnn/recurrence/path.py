"""Which way a recurrence runs: by the rule where its split keeps its promises, else plainly."""

import functools
from typing import Any

import jax

from jaxnn.recurrence.rule import examine, recur, restore
from jaxnn.recurrence.run import Run
from jaxnn.recurrence.scan import Step, laid_out, scan
from jaxnn.recurrence.split import Split, mixed_by, one_step, parameters, prepare, shown_by
from jaxnn.types import Params, State


def run_plain(
    name: str, step: Step, inputs: Any, state: State, start: State, run: Run
) -> tuple[State, Any]:
    """The plain scan of a step; the outputs at masked steps mean nothing."""
    state, start = laid_out(step, inputs, state, start)
    loop = (run.mask, run.reset, run.reverse)
    final, (_, ys) = scan(name, step, inputs, state, start, *loop)
    return final, ys


def run_split(
    split: Split, params: Params, run: Run, state: State, start: State
) -> tuple[State, Any]:
    """A split over a sequence: its inputs projected at once, then the loop."""
    both, projected = parameters(split, params), prepare(split, params, run.xs)
    output = functools.partial(shown_by, split)

    def step(state: State, projected: Any) -> tuple[State, Any]:
        state = one_step(split, both, state, projected)
        return state, output(state)

    state, start = laid_out(step, projected, state, start)
    mix = functools.partial(mixed_by, split)
    at = jax.eval_shape(functools.partial(jax.tree.map, _one), projected)
    recurrence = examine(split.name, mix, split.combine, output, both, at, state)
    if recurrence is None:
        return run_plain(split.name, step, projected, state, start, run)
    arguments = (both, projected, state, start, run.mask, run.reset)
    final, shown = recur(recurrence, run.reverse, *arguments)
    states = restore(recurrence.shows, shown, state, run.xs.shape[0])
    return final, jax.vmap(output)(states)


def _one(leaf: jax.Array) -> jax.Array:
    """Something of the type of one time step, also where there is none."""
    reduce = jax.lax.reduce_or if leaf.dtype == bool else jax.lax.reduce_sum
    return reduce(leaf, (0,))
