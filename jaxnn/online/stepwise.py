"""One step of a learner, as a user calls it: `init`, `apply` and `gradient`, checked and jitted."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.internal.checks import check_batch_shape, check_key, naming
from jaxnn.online.batch import (
    Flags,
    Observed,
    gradient as gradient_of_one,
    keys_of,
    over_batch,
    step as step_of_one,
    summed,
)
from jaxnn.online.given import (
    batch_of_state,
    check_first,
    check_inputs,
    check_like,
    check_output,
    check_params,
    key_like,
)
from jaxnn.online.sequence import Learner, Trace
from jaxnn.types import ArrayLike, Cell, Key, Params, PyTree, Shape, State, appears_as


class Known(NamedTuple):
    """What a learner was built of; hashable, so that jit knows it again."""

    name: str
    cell: Cell
    learner: Learner
    draws: bool


@appears_as("init")
def init(known: Known, params: Params, batch_shape: Shape = (), key: Key | None = None) -> Trace:
    """The trace of the initial state."""
    name = f"{known.name}.init"
    check_params(name, params)
    check_batch_shape(name, batch_shape)
    check_key(name, key)
    if known.draws and key is None:
        raise TypeError(f"{name}: key must be one key of jax.random.key(seed), got None")
    if not known.draws and key is not None:
        raise ValueError(f"{name}: key is given, but nothing is drawn by this method")
    with naming(name):
        check_first(name, known.cell, params, batch_shape)
        return begun(known, batch_shape, params, key)


@functools.partial(jax.jit, static_argnums=(0, 1))
def begun(known: Known, batch: Shape, params: Params, key: Key | None) -> Trace:
    """The trace of the initial state, for a batch."""
    if key is not None and not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(key)
    if known.draws:
        return over_batch(known.learner.begin, batch)(params, keys_of(key, batch))
    trace = known.learner.begin(params, None)
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (*batch, *leaf.shape)), trace)


def check_trace(name: str, known: Known, params: Params, batch: Shape, trace: Trace) -> None:
    """Raise unless a trace is what `init` gives for these parameters, and the batch of a state."""
    begin = functools.partial(begun, known, batch)
    expected = jax.eval_shape(begin, params, key_like(trace) if known.draws else None)
    hint = f"as init(params, {batch}) gives it: state has the batch {batch}"
    check_like(name, "trace", trace, expected, hint)


@appears_as("apply")
def apply(
    known: Known,
    params: Params,
    state: State,
    trace: Trace,
    x: PyTree,
    key: Key | None = None,
    reset: ArrayLike | None = None,
    mask: ArrayLike | None = None,
) -> tuple[State, Trace, PyTree, Observed]:
    """One time step."""
    name = f"{known.name}.apply"
    check_params(name, params)
    with naming(name):
        batch = batch_of_state(name, known.cell, params, state)
        check_trace(name, known, params, batch, trace)
        check_inputs(name, "x", x, batch, key, reset, mask)
        return _jitted_apply(known, batch, params, state, trace, x, Flags(key, reset, mask))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _jitted_apply(
    known: Known,
    batch: Shape,
    params: Params,
    state: State,
    trace: Trace,
    x: PyTree,
    flags: Flags,
) -> tuple[State, Trace, PyTree, Observed]:
    flags = flags._replace(key=keys_of(flags.key, batch))
    run = functools.partial(step_of_one, known.learner, known.cell)
    return over_batch(run, batch)(params, state, trace, x, flags)


@appears_as("gradient")
def gradient(known: Known, params: Params, seen: Observed, y_bar: PyTree) -> Params:
    """What a cotangent of the y of a step says of the parameters."""
    name = f"{known.name}.gradient"
    check_params(name, params)
    if not isinstance(seen, Observed):
        raise TypeError(
            f"{name}: seen must be what apply gave as its fourth result, got {type(seen).__name__}"
        )
    with naming(name):
        check_output(name, seen.y)
        check_like(name, "y_bar", y_bar, seen.y, "as the y of the step")
        batch = batch_of_state(name, known.cell, params, seen.state)
        return _jitted_gradient(known, batch, params, seen, y_bar)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _jitted_gradient(
    known: Known, batch: Shape, params: Params, seen: Observed, y_bar: PyTree
) -> Params:
    run = functools.partial(gradient_of_one, known.learner)
    return summed(over_batch(run, batch)(params, seen, y_bar), batch)
