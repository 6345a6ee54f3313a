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
from jaxnn.functions.mesh import vary, varying_axes
from jaxnn.functions.sequences import clean
from jaxnn.recurrence.blocks import run_sequence
from jaxnn.recurrence.path import run_plain, run_split
from jaxnn.recurrence.run import Run, known_of, unroll_by
from jaxnn.recurrence.scan import edges, where
from jaxnn.recurrence.split import Split, check_x, one_step, parameters, prepare, shown_by
from jaxnn.types import ArrayLike, Cell, CellApply, InitialState, Key, Params, State, named


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
    expected = _shapes(split.initial_state, params, batch)
    hint = _few_axes_hint(state, expected, batch, "; unroll runs a sequence")
    check_state(split.name, "state", state, expected, hint)
    both = parameters(split, params)
    state = one_step(split, both, state, prepare(split, params, x))
    return state, shown_by(split, state)


def run_recurrence(recurrence: Split | Plain, params: Params, run: Run) -> tuple[State, Any]:
    """A whole sequence."""
    run, state, start = begin(recurrence, params, run)
    at = edges(run.mask, run.reset, run.reverse)
    if isinstance(recurrence, Split):
        state, ys = run_sequence(recurrence, run.reverse, params, run.xs, state, start, at)
        return state, _valid(ys, run.mask)
    batch = tuple(run.xs.shape[1 : run.xs.ndim - recurrence.event_ndim])
    step = functools.partial(_checked_step, recurrence, batch, params)
    inputs = run.xs, None if run.key is None else jax.random.split(run.key, run.xs.shape[0])
    state, ys = run_plain(recurrence.name, step, inputs, state, start, at, run.reverse)
    return state, _valid(ys, run.mask)


def run_projected(
    split: Split, params: Params, projected: Any, run: Run, state: State, start: State
) -> tuple[State, Any]:
    """What is left of a split once its input is projected."""
    at = edges(run.mask, run.reset, run.reverse)
    state, ys = run_split(split, run.reverse, params, projected, state, start, at)
    return state, _valid(ys, run.mask)


def _valid(ys: Any, mask: ArrayLike | None) -> Any:
    return ys if mask is None else where(mask, ys, jax.tree.map(jnp.zeros_like, ys))


def begin(recurrence: Split | Plain, params: Params, run: Run) -> tuple[Run, State, State]:
    """What unroll was asked for, checked and with clean inputs; the first state, and the start."""
    name = f"{recurrence.name}.unroll"
    check_key(name, run.key)
    batch = _check_sequence(recurrence, params, run)
    start = _check_start(recurrence, params, batch, run.start)
    state = start if run.state is None else run.state
    hint = _batch_hint(state, start, run.xs) or _few_axes_hint(state, start, batch)
    check_state(name, "state", state, start, hint)
    run = run._replace(xs=clean(name, run.xs, run.mask, "xs"))
    axes = varying_axes((params, run.xs, state, start, run.mask, run.reset))
    return run, vary(state, axes), vary(start, axes)


def _checked_step(
    plain: Plain, batch: tuple[int, ...], params: Params, state: State, at: tuple[Any, Key | None]
) -> tuple[State, Any]:
    """The step of a cell that is known by it only."""
    result = plain.step(params, state, *at)
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"{plain.name}.unroll: apply must give (state, y), got {shape_text(result)}"
        )
    _check_batch(f"{plain.name}.unroll", "y", result[1], batch)
    return result


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


def _few_axes_hint(state: State, expected: State, batch: tuple[int, ...], more: str = "") -> str:
    """Say so where a state lacks batch dimensions."""
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=False)
    if any(jnp.ndim(got) < want.ndim for got, want in pairs):
        return f". initial_state(params, {batch}) makes one for this batch{more}"
    return ""


def init_checked(name: str, init: Callable[[Key], Params], key: Key) -> Params:
    """`init`, once the key is one."""
    check_init_key(name, key)
    return init(key)
