"""A Cell's two views: one step, and a whole sequence; what they check, and how they run."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.functions.checks import (
    check_array,
    check_batch_shape,
    check_flags,
    check_init_key,
    check_key,
    check_state,
    shape_text,
)
from jaxnn.functions.sequences import clean
from jaxnn.recurrence.rule import examine, recur, restore
from jaxnn.recurrence.run import Run, known_of, unroll_by
from jaxnn.recurrence.scan import scan, where
from jaxnn.recurrence.split import Split, check_x, mixed_by, parameters, prepare, shown_by
from jaxnn.types import Cell, CellApply, InitialState, Key, Params, State, named


class Plain(NamedTuple):
    """A cell that is known by its step only."""

    name: str
    step: CellApply
    initial_state: InitialState
    event_ndim: int


def cell_of(split: Split, init: Callable[[Key], Params]) -> Cell:
    """The Cell that a split describes, which the fast path runs."""
    return Cell(
        named(split.name, functools.partial(init_checked, split.name, init)),
        functools.partial(apply_split, split),
        split.initial_state,
        unroll_by(run_recurrence, split),
    )


def recurrence_of(cell: Cell) -> Split | Plain | None:
    """The split or step that `cell_of` or `cell` made a Cell from; None for a transformed cell."""
    known = known_of(cell.unroll, run_recurrence)
    return None if known is None else known[0]


def apply_split(
    split: Split, params: Params, state: State, x: Any, key: Key | None = None
) -> tuple[State, Any]:
    """One time step of a split."""
    check_key(split.name, key)
    check_x(split, params, x, "x")
    batch = x.shape[: x.ndim - split.event_ndim]
    check_state(split.name, "state", state, _shapes(split.initial_state, params, batch))
    state = _step(split, parameters(split, params), state, prepare(split, params, x))
    return state, shown_by(split, state)


def _step(split: Split, params: tuple[Params, Params], state: State, projected: Any) -> State:
    """What is left in the loop."""
    for_mix, for_combine = params
    return split.combine(for_combine, projected, mixed_by(split, for_mix, state), state)


def run_recurrence(recurrence: Split | Plain, params: Params, run: Run) -> tuple[State, Any]:
    """A whole sequence, by the plain scan."""
    name = f"{recurrence.name}.unroll"
    check_key(name, run.key)
    batch = _check_sequence(recurrence, params, run)
    start = _check_start(recurrence, params, batch, run.start)
    state = start if run.state is None else run.state
    check_state(name, "state", state, start, _batch_hint(state, start, run.xs))
    xs = clean(name, run.xs, run.mask, "xs")
    run = run._replace(xs=xs)
    if isinstance(recurrence, Split):
        state, ys = _run_split(recurrence, params, run, state, start)
    else:
        state, ys = _run_plain(recurrence, params, run, state, start, batch)
    if run.mask is not None:
        ys = where(run.mask, ys, jax.tree.map(jnp.zeros_like, ys))
    return state, ys


def _run_split(
    split: Split, params: Params, run: Run, state: State, start: State
) -> tuple[State, Any]:
    """By the fast rule where the split keeps its promises, else by the plain scan."""
    projected, both = prepare(split, params, run.xs), parameters(split, params)
    boundaries = (run.mask, run.reset)
    at = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), projected)
    mix = functools.partial(mixed_by, split)
    output = functools.partial(shown_by, split)
    recurrence = examine(split.name, mix, split.combine, output, both, at, state)
    if recurrence is None:

        def step(state: State, at: Any) -> tuple[State, Any]:
            state = _step(split, both, state, at)
            return state, output(state)

        state, (_, ys) = scan(split.name, step, projected, state, start, *boundaries, run.reverse)
        return state, ys
    final, shown = recur(recurrence, run.reverse, both, projected, state, start, *boundaries)
    states = restore(recurrence.shows, shown, state, run.xs.shape[0])
    return final, jax.vmap(output)(states)


def _run_plain(
    plain: Plain, params: Params, run: Run, state: State, start: State, batch: tuple[int, ...]
) -> tuple[State, Any]:
    inputs = run.xs, None if run.key is None else jax.random.split(run.key, run.xs.shape[0])

    def step(state: State, at: Any, /) -> tuple[State, Any]:
        result = plain.step(params, state, *at)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"{plain.name}.unroll: apply must give (state, y), got {shape_text(result)}"
            )
        _check_batch(f"{plain.name}.unroll", "y", result[1], batch)
        return result

    state, (_, ys) = scan(plain.name, step, inputs, state, start, run.mask, run.reset, run.reverse)
    return state, ys


def _check_sequence(recurrence: Split | Plain, params: Params, run: Run) -> tuple[int, ...]:
    """The batch shape of xs, once xs, mask and reset fit."""
    name, event_ndim = f"{recurrence.name}.unroll", recurrence.event_ndim
    xs, mask, reset = run.xs, run.mask, run.reset
    check_array(name, "xs", xs)
    if xs.ndim < 1 + event_ndim:
        raise ValueError(
            f"{name}: xs must be (time, *batch, {'features' if event_ndim == 1 else '*event'}), "
            f"at least {1 + event_ndim} dimensions, got the shape {tuple(xs.shape)}; apply runs "
            f"one step"
        )
    leading = tuple(xs.shape[: xs.ndim - event_ndim])
    if mask is not None:
        check_flags(name, "mask", mask, leading, "xs")
    if reset is not None:
        check_flags(name, "reset", reset, leading, "xs")
    if isinstance(recurrence, Split):
        check_x(recurrence, params, xs, "xs")
    return leading[1:]


def _check_start(
    recurrence: Split | Plain, params: Params, batch: tuple[int, ...], start: State | None
) -> State:
    """The start of every sequence of the batch; one given without batch dimensions serves all."""
    if start is None:
        start = recurrence.initial_state(params, batch)
        _check_batch(recurrence.name, f"initial_state(params, {batch})", start, batch)
        return start
    expected = _shapes(recurrence.initial_state, params, batch)
    single = _shapes(recurrence.initial_state, params, ())
    if [jnp.shape(leaf) for leaf in jax.tree.leaves(start)] == [
        leaf.shape for leaf in jax.tree.leaves(single)
    ]:
        check_state(recurrence.name, "start", start, single)
        return spread(start, batch)
    check_state(recurrence.name, "start", start, expected)
    return start


def _check_batch(name: str, what: str, tree: Any, batch: tuple[int, ...]) -> None:
    """Every leaf begins with the batch dimensions: what does not would be broadcast."""
    for leaf in jax.tree.leaves(tree):
        if tuple(jnp.shape(leaf)[: len(batch)]) != tuple(batch):
            raise ValueError(
                f"{name}: {what} must begin with the batch {batch}, got the shape {jnp.shape(leaf)}"
            )


def spread(state: State, batch_shape: tuple[int, ...]) -> State:
    """One state, repeated for a batch; each leaf is a new array, so that it can be donated."""
    check_batch_shape(batch_shape)
    return jax.tree.map(
        lambda leaf: jnp.array(jnp.broadcast_to(leaf, (*batch_shape, *leaf.shape)), copy=True),
        state,
    )


def _shapes(initial_state: InitialState, params: Params, batch: tuple[int, ...]) -> State:
    return jax.eval_shape(functools.partial(initial_state, batch_shape=batch), params)


def _batch_hint(state: State, expected: State, xs: Any) -> str:
    """Say so where the batch of a state is the first axis of xs."""
    first = zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=False)
    if any(jnp.shape(got)[:1] == xs.shape[:1] != want.shape[:1] for got, want in first):
        return (
            ". Is xs (batch, time, features)? jaxnn is time-major (time, batch, features): "
            "use xs.swapaxes(0, 1)"
        )
    return ""


def init_checked(name: str, init: Callable[[Key], Params], key: Key) -> Params:
    """`init`, once the key is one."""
    check_init_key(name, key)
    return init(key)
