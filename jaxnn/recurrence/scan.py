"""The plain scan: masks, resets and direction, for any step function.

This is the reference that every faster way must equal, and the way of every cell that is no split.
The derivative rule runs it too, once for the values and once for the tangents: the tangent of a
recurrence is a recurrence.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.functions.checks import check_state
from jaxnn.functions.mesh import is_explicit, laid_out_as, outline_of_step, vary, varying_axes
from jaxnn.functions.sequences import expand_to
from jaxnn.recurrence.late import late_zero, scan_late, takes_late_outputs
from jaxnn.types import ArrayLike, State

Step = Callable[[State, Any], tuple[State, Any]]


class Edges(NamedTuple):
    """What breaks the chain of states, each boolean `(time, *batch)`, or None for nowhere.

    valid: where the step counts; before and after: where `start` takes the place of the state
    before the step, and after it.
    """

    valid: ArrayLike | None
    before: ArrayLike | None
    after: ArrayLike | None


def edges(mask: ArrayLike | None, reset: ArrayLike | None, reverse: bool) -> Edges:
    """A masked step leaves the state as it is, and its reset is ignored. It is computed all the
    same, from `start` in place of its state, so that a state that is not finite puts no NaN into a
    gradient. A reset at a valid step stands before that step, or, in reverse, after it.
    """
    fresh = reset if mask is None or reset is None else reset & mask
    if reverse:
        return Edges(mask, None if mask is None else ~mask, fresh)
    if mask is None or fresh is None:
        return Edges(mask, fresh if mask is None else ~mask, None)
    return Edges(mask, ~mask | fresh, None)


def scan(
    name: str,
    step: Step,
    inputs: Any,
    state: State,
    start: State,
    at: Edges,
    reverse: bool,
    show: Callable[[State], Any] = lambda state: (),
    late: bool = False,
) -> tuple[State, tuple[Any, Any]]:
    """Run `state, y = step(state, input)` along the leading axis of inputs.

    Args:
      name: the cell, for errors.
      step: one time step, for the whole batch.
      inputs: a pytree of `(time, ...)` arrays.
      state: the first state, each leaf `(*batch, ...)`.
      start: what a reset returns to, of the same shapes.
      at: the `edges` of the sequences, as wide as the batch or as the state.
      reverse: from the last step to the first.
      show: what is wanted of the state after each step (before a reset that stands after it).
      late: whether the outputs are made late, where that can be: only for what has a derivative
        rule of its own (`late.py`).

    Returns:
      The final state, and `(shown, ys)`, each with a leading time axis; the y of a masked step
      means nothing.
    """

    def body(state: State, now: tuple[Any, Edges]) -> tuple[State, Any]:
        return one_step(name, step, state, start, *now, show)

    run = scan_late if late and takes_late_outputs((inputs, at)) else jax.lax.scan
    return run(body, state, (inputs, at), reverse=reverse)


def one_step(
    name: str,
    step: Step,
    state: State,
    start: State,
    value: Any,
    at: Edges,
    show: Callable[[State], Any],
) -> tuple[State, tuple[Any, Any]]:
    """A step of `scan`: the state after it, and `(shown, y)`."""
    valid, before, after = at
    new, y = step(state if before is None else where(before, start, state), value)
    check_state(name, "the new state", new, state, ": apply must keep its shapes and dtypes")
    new = vary(new, varying_axes(state))
    if valid is not None:
        new = where(valid, new, state)
    return new if after is None else where(after, start, new), (show(new), y)


def laid_out(step: Step, inputs: Any, state: State, start: State) -> tuple[State, State]:
    """The first states, sharded as a step shards them, where types say how."""
    if not any(map(is_explicit, jax.tree.leaves((state, inputs)))):
        return state, start
    after, _ = jax.eval_shape(step, state, outline_of_step(inputs))
    return laid_out_as(state, after), laid_out_as(start, after)


def previous(
    states: State, state: State, start: State, at: Edges, reverse: bool, when: Any = None
) -> State:
    """The states that the steps of such a scan began from, given those that it showed.

    Where an array `when` is given, they are made when that is there (`late.py`).
    """
    start = jax.tree.map(lambda leaf: leaf[None], start)
    if at.after is not None:
        states = where(at.after, start, states)

    def shift(first: Any, rest: Any) -> Any:
        whole = jnp.concatenate([rest, first[None]] if reverse else [first[None], rest])
        if when is None:
            return whole[1:] if reverse else whole[:-1]
        begin = int(reverse) + late_zero(when)
        whole, begin = vary((whole, begin), varying_axes((whole, when)))
        return jax.lax.dynamic_slice_in_dim(whole, begin, len(rest))

    states = jax.tree.map(shift, state, states)
    return states if at.before is None else where(at.before, start, states)


def where(flags: ArrayLike, chosen: Any, otherwise: Any) -> Any:
    """The tree `chosen` where the flags, `(*batch,)`, are true, the tree `otherwise` elsewhere."""

    def choose(a: Any, b: Any) -> Any:
        which = expand_to(flags, b)
        if is_explicit(b):
            which = laid_out_as(jnp.broadcast_to(which, b.shape), jax.typeof(b))
        return jnp.where(which, a, b)

    return jax.tree.map(choose, chosen, otherwise)
