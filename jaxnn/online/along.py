"""A learner along a sequence: the loss and its gradient, by one scan that stores no step."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.internal.checks import (
    is_array,
    naming,
    outline_text,
    shape_text,
    state_dtype,
)
from jaxnn.internal.inputs import check_arrays, front, time_of
from jaxnn.internal.mesh import outline_of_step
from jaxnn.internal.options import check_callable, check_takes
from jaxnn.internal.users import call_user
from jaxnn.online.batch import Flags, Loss, Taught, keys_of, over_batch, summed, teach
from jaxnn.online.given import (
    batch_of_sequence,
    batch_of_state,
    check_first,
    check_inputs,
    check_output,
    check_params,
    check_targets,
)
from jaxnn.online.sequence import Trace
from jaxnn.online.stepwise import Known, begun, check_trace
from jaxnn.types import (
    Array,
    ArrayLike,
    Key,
    Params,
    PyTree,
    Shape,
    State,
    appears_as,
    exportable,
)


@exportable
class Learned(NamedTuple):
    """What `unroll` of a learner gives.

    state, trace: after the last step; loss: the sum over all valid steps and sequences; weight: how
    many there were; gradient: of that sum, shaped as the parameters.
    """

    state: State
    trace: Trace
    loss: Array
    weight: Array
    gradient: Params


@appears_as("unroll")
def unroll(
    known: Known,
    params: Params,
    xs: PyTree,
    targets: PyTree,
    loss: Loss,
    state: State | None = None,
    trace: Trace | None = None,
    mask: ArrayLike | None = None,
    reset: ArrayLike | None = None,
    key: Key | None = None,
) -> Learned:
    """A whole sequence with fixed parameters: the loss and its gradient."""
    name = f"{known.name}.unroll"
    check_params(name, params)
    check_callable(name, "loss", loss)
    check_takes(name, "loss", loss, ("y", "target"))
    if (state is None) != (trace is None):
        raise ValueError(f"{name}: state and trace belong together: give both, or neither")
    with naming(name):
        check_arrays(name, "xs", xs)
        if state is None:
            batch = batch_of_sequence(name, known.cell, xs)
            trace = _first_trace(name, known, params, batch)
            state = known.cell.initial_state(params, batch)
        else:
            batch = batch_of_state(name, known.cell, params, state)
            check_trace(name, known, params, batch, trace)
        if not front(xs, 1):
            raise ValueError(f"{name}: xs must be (time, *batch, ...), got {outline_text(xs)}")
        leading = *front(xs, 1), *batch
        check_inputs(name, "xs", xs, leading, key, reset, mask)
        check_targets(name, targets, leading)
        flags = Flags(key, reset, mask)
        return _jitted_unroll(known, batch, loss, params, xs, targets, state, trace, flags)


def _first_trace(name: str, known: Known, params: Params, batch: Shape) -> Trace:
    """The trace of a sequence that none is given for."""
    if known.draws:
        raise ValueError(
            f"{name}: state and trace must be given, since the trace is drawn by a key: "
            f"cell.initial_state(params, {batch}) and init(params, {batch}, key)"
        )
    check_first(name, known.cell, params, batch)
    return begun(known, batch, params, None)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _jitted_unroll(
    known: Known,
    batch: Shape,
    loss: Loss,
    params: Params,
    xs: PyTree,
    targets: PyTree,
    state: State,
    trace: Trace,
    flags: Flags,
) -> Learned:
    name = f"{known.name}.unroll"
    scalar = functools.partial(_scalar, name, loss)
    of_batch = over_batch(functools.partial(teach, known.learner, known.cell, scalar), batch)

    def step(state: State, trace: Trace, x: PyTree, target: PyTree, at: Flags) -> Taught:
        at = at._replace(key=keys_of(at.key, batch))
        return of_batch(params, state, trace, x, target, at)

    def body(carry: tuple[State, Trace, Array, Params], now: Any) -> tuple[Any, None]:
        state, trace, total, found = carry
        taught = step(state, trace, *now)
        added = summed(taught.gradient, batch)
        found = jax.tree.map(lambda a, b: a + b.astype(a.dtype), found, added)
        total = total + summed(taught.loss, batch).astype(total.dtype)
        return (taught.state, taught.trace, total, found), None

    keys = None if flags.key is None else jax.random.split(flags.key, time_of(xs))
    inputs = xs, targets, flags._replace(key=keys)
    one = jax.eval_shape(step, state, trace, *outline_of_step(inputs))
    total = jnp.zeros((), state_dtype(one.loss.dtype))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, state_dtype(leaf.dtype)), params)
    (state, trace, total, found), _ = jax.lax.scan(body, (state, trace, total, zeros), inputs)
    found = jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), found, params)
    steps = jnp.ones((time_of(xs), *batch), bool) if flags.mask is None else flags.mask
    return Learned(state, trace, total, jnp.sum(steps, dtype=total.dtype), found)


def _scalar(name: str, loss: Loss, y: PyTree, target: PyTree) -> Array:
    """The loss of one step, which must be one floating number."""
    check_output(name, y)
    value = call_user(name, "loss", loss, y, target)
    if not is_array(value) or value.shape != () or not jnp.issubdtype(value.dtype, jnp.floating):
        raise TypeError(
            f"{name}: loss must give one floating number for one step of one sequence, got "
            f"{shape_text(value)}"
        )
    return value
