"""What a recurrence is given, checked: parameters, a sequence or a step, states, flags, a key."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.functions.sequences import clean
from jaxnn.internal.checks import (
    check_array,
    check_fits,
    check_flags,
    check_key,
    check_state,
    is_array,
)
from jaxnn.internal.mesh import vary, varying_axes
from jaxnn.internal.parameters import check_params, known_params
from jaxnn.internal.users import check_leading
from jaxnn.recurrence.arguments import Run
from jaxnn.recurrence.split import Split, check_x
from jaxnn.types import CellApply, InitialState, Key, Params, State


class Stepwise(NamedTuple):
    """A cell that is known by its step only."""

    name: str
    step: CellApply
    initial_state: InitialState
    event_ndim: int
    init: Any = None


def check_params_of(name: str, recurrence: Split | Stepwise, params: Params) -> None:
    """Raise unless params are those of the cell; the dtypes of a user's own are the user's."""
    if isinstance(recurrence, Split) and recurrence.dtype is not None:
        check_params(name, recurrence.init, params)
    elif known_params(recurrence.init) is not None:
        check_params(name, recurrence.init, params, dtypes=False)


def check_step(
    name: str, recurrence: Split | Stepwise, params: Params, state: State, x: Any, key: Key | None
) -> tuple[int, ...]:
    """The batch shape of x, once all fits for one step."""
    check_key(name, key)
    check_params_of(name, recurrence, params)
    event_ndim = recurrence.event_ndim
    check_array(name, "x", x)
    check_fits(name, "x", x)
    if x.ndim < event_ndim:
        raise ValueError(
            f"{name}: x must have at least {event_ndim} dimensions, got the shape {tuple(x.shape)}"
        )
    if isinstance(recurrence, Split):
        check_x(recurrence, params, x, "x")
    batch = tuple(x.shape[: x.ndim - event_ndim])
    expected = _shapes(recurrence.initial_state, params, batch)
    check_leading(name, f"initial_state(params, {batch})", expected, batch)
    hint = _few_axes_hint(state, expected, batch, "; unroll runs a sequence")
    check_state(name, "state", state, expected, hint)
    return batch


def check_sequence(
    name: str, recurrence: Split | Stepwise, params: Params, run: Run
) -> tuple[Run, State, State]:
    """What unroll was asked for, with clean inputs; the first state, and the start."""
    check_key(name, run.key)
    check_params_of(name, recurrence, params)
    batch = _check_xs(name, recurrence, params, run)
    start = _check_start(name, recurrence, params, batch, run.start)
    state = start if run.state is None else run.state
    hint = _batch_hint(state, start, run.xs) or _few_axes_hint(state, start, batch)
    check_state(name, "state", state, start, hint)
    run = run._replace(xs=clean(name, run.xs, run.mask, "xs"))
    axes = varying_axes((params, run.xs, state, start, run.mask, run.reset))
    return run, vary(state, axes), vary(start, axes)


def _check_xs(name: str, recurrence: Split | Stepwise, params: Params, run: Run) -> tuple[int, ...]:
    """The batch shape of xs, once xs, mask and reset fit."""
    event_ndim, xs = recurrence.event_ndim, run.xs
    check_array(name, "xs", xs)
    if xs.ndim < 1 + event_ndim:
        raise ValueError(
            f"{name}: xs must be (time, *batch, {'features' if event_ndim == 1 else '*event'}), "
            f"at least {1 + event_ndim} dimensions, got the shape {tuple(xs.shape)}; apply runs "
            f"one step"
        )
    leading = tuple(xs.shape[: xs.ndim - event_ndim])
    for argument, flags in (("mask", run.mask), ("reset", run.reset)):
        if flags is not None:
            check_flags(name, argument, flags, leading, "xs")
    if isinstance(recurrence, Split):
        check_x(recurrence, params, xs, "xs")
    return leading[1:]


def _check_start(
    name: str,
    recurrence: Split | Stepwise,
    params: Params,
    batch: tuple[int, ...],
    start: State | None,
) -> State:
    """The start of every sequence of the batch; one given without batch dimensions serves all."""
    if start is None:
        start = recurrence.initial_state(params, batch)
        check_leading(name, f"initial_state(params, {batch})", start, batch)
        return start
    expected = _shapes(recurrence.initial_state, params, batch)
    single = _shapes(recurrence.initial_state, params, ())
    shapes = [getattr(leaf, "shape", None) for leaf in jax.tree.leaves(start)]
    if shapes == [leaf.shape for leaf in jax.tree.leaves(single)]:
        check_state(name, "start", start, single)
        return spread(start, batch)
    check_state(name, "start", start, expected)
    return start


def spread(state: State, batch_shape: tuple[int, ...]) -> State:
    """One state, repeated for a batch; each leaf is a new array, so that it can be donated."""
    return jax.tree.map(
        lambda leaf: jnp.array(jnp.broadcast_to(leaf, (*batch_shape, *leaf.shape)), copy=True),
        state,
    )


def _shapes(initial_state: InitialState, params: Params, batch: tuple[int, ...]) -> State:
    return jax.eval_shape(functools.partial(initial_state, batch_shape=batch), params)


def _batch_hint(state: State, expected: State, xs: Any) -> str:
    """Say so where the batch of a state is the first axis of xs."""
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=False)
    first = [(got.shape[:1], want.shape[:1]) for got, want in pairs if is_array(got)]
    if any(got == xs.shape[:1] != want for got, want in first):
        return (
            ". Is xs (batch, time, features)? jaxnn is time-major (time, batch, features): "
            "use xs.swapaxes(0, 1)"
        )
    return ""


def _few_axes_hint(state: State, expected: State, batch: tuple[int, ...], more: str = "") -> str:
    """Say so where a state lacks batch dimensions."""
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=False)
    if any(is_array(got) and got.ndim < want.ndim for got, want in pairs):
        return f". initial_state(params, {batch}) makes one for this batch{more}"
    return ""
