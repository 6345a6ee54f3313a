"""The plain scan: masks, resets and direction, for any step function.

This is the reference that every faster way must equal, and the way of every cell that is no split.
The derivative rule runs it too, once for the values and once for the tangents: the tangent of a
recurrence is a recurrence.
"""

from collections.abc import Callable
from typing import Any

import jax

from jaxnn.internal.checks import check_state
from jaxnn.internal.mesh import is_explicit, laid_out_as, outline_of_step, vary, varying_axes
from jaxnn.scans.boundaries import Boundaries, where
from jaxnn.scans.buffers import scan_late, takes_late_outputs
from jaxnn.types import State

Step = Callable[[State, Any], tuple[State, Any]]


def scan(
    name: str,
    step: Step,
    inputs: Any,
    state: State,
    start: State,
    at: Boundaries,
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

    def body(state: State, now: tuple[Any, Boundaries]) -> tuple[State, Any]:
        return one_step(name, step, state, start, *now, show)

    run = scan_late if late and takes_late_outputs((inputs, at)) else jax.lax.scan
    return run(body, state, (inputs, at), reverse=reverse)


def one_step(
    name: str,
    step: Step,
    state: State,
    start: State,
    value: Any,
    at: Boundaries,
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
