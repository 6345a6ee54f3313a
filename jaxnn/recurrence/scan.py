"""The plain scan: masks, resets and direction, for any step function.

This is the reference that every faster way must equal, and the way of every cell that is no split.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.functions.checks import check_state
from jaxnn.functions.sequences import expand_to
from jaxnn.types import ArrayLike, State

Step = Callable[[State, Any], tuple[State, Any]]


def scan(
    name: str,
    step: Step,
    inputs: Any,
    state: State,
    start: State,
    mask: ArrayLike | None,
    reset: ArrayLike | None,
    reverse: bool,
) -> tuple[State, Any]:
    """Run `state, y = step(state, input)` along the leading axis of inputs.

    A masked step leaves the state as it is and gives zeros. It is computed all the same, from
    `start` in place of its state, so that a state that is not finite puts no NaN into a gradient.
    A reset at a valid step t puts `start` in place of the state before t, or, in reverse, after t.

    Args:
      name: the cell, for errors.
      step: one time step, for the whole batch.
      inputs: a pytree of `(time, ...)` arrays.
      state: the first state, each leaf `(*batch, ...)`.
      start: what a reset returns to, of the same shapes.
      mask: boolean `(time, *batch)`, or None.
      reset: boolean `(time, *batch)`, or None.
      reverse: from the last step to the first.

    Returns:
      The final state, and the outputs with a leading time axis.
    """
    fresh = reset if mask is None or reset is None else reset & mask
    before = _either(None if mask is None else ~mask, None if reverse else fresh)
    after = fresh if reverse else None

    def body(state: State, at: Any) -> tuple[State, Any]:
        value, valid, before, after = at
        new, y = step(state if before is None else where(before, start, state), value)
        check_state(name, "the new state", new, state, ": apply must keep its shapes and dtypes")
        if after is not None:
            new = where(after, start, new)
        if valid is not None:
            new = where(valid, new, state)
            y = where(valid, y, jax.tree.map(jnp.zeros_like, y))
        return new, y

    return jax.lax.scan(body, state, (inputs, mask, before, after), reverse=reverse)


def where(flags: ArrayLike, chosen: Any, otherwise: Any) -> Any:
    """The tree `chosen` where the flags, `(*batch,)`, are true, the tree `otherwise` elsewhere."""
    return jax.tree.map(lambda a, b: jnp.where(expand_to(flags, a), a, b), chosen, otherwise)


def _either(a: ArrayLike | None, b: ArrayLike | None) -> ArrayLike | None:
    if a is None or b is None:
        return b if a is None else a
    return a | b
