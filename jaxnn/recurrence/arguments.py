"""What `unroll` is asked for, as one value, so that a transformation names only what it changes."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxnn.functions.sequences import check_valid_fit
from jaxnn.internal.checks import (
    check_arguments,
    check_array,
    check_key,
    is_traced,
    naming,
)
from jaxnn.internal.options import check_bool
from jaxnn.types import ArrayLike, Key, Params, SequenceUnroll, State, Unroll, appears_as


class Run(NamedTuple):
    """The arguments of `unroll` after the parameters, in their order."""

    xs: Any
    state: State | None = None
    mask: ArrayLike | None = None
    reset: ArrayLike | None = None
    reverse: bool = False
    key: Key | None = None
    start: State | None = None


Runner = Callable[..., tuple[State, Any]]
"""`state, ys = runner(*known, params, run)`, where `known` was known when the cell was built, and
names it first."""


def unroll_by(runner: Runner, *known: Any) -> Unroll:
    """The `unroll` of a Cell; jitted inside, so that an eager call compiles once."""
    return functools.partial(_unroll, runner, known)


def sequence_unroll_by(runner: Runner, *known: Any) -> SequenceUnroll:
    """The `unroll` of a SequenceLayer: the same, without `reverse`."""
    return functools.partial(_unroll_sequence, runner, known)


def known_of(unroll: Any, runner: Runner) -> tuple[Any, ...] | None:
    """What `unroll_by(runner, *known)` was given; None for another unroll."""
    made_here = isinstance(unroll, functools.partial) and unroll.func is _unroll
    return unroll.args[1] if made_here and unroll.args[0] is runner else None


@appears_as("unroll")
def _unroll(
    runner: Runner,
    known: tuple[Any, ...],
    params: Params,
    xs: Any,
    state: State | None = None,
    mask: ArrayLike | None = None,
    reset: ArrayLike | None = None,
    reverse: bool = False,
    key: Key | None = None,
    start: State | None = None,
) -> tuple[State, Any]:
    name = f"{getattr(known[0], 'name', known[0])}.unroll"
    run = Run(xs, state, mask, reset, reverse, key, start)
    _check_run(name, params, run)
    if is_traced(reverse):
        raise TypeError(
            f"{name}: reverse must be known when traced: under jit, name it in static_argnames, "
            f"jax.jit(cell.unroll, static_argnames='reverse')"
        )
    check_bool(name, "reverse", reverse)
    with naming(name):
        return _jitted(runner, known, params, *run)


@appears_as("unroll")
def _unroll_sequence(
    runner: Runner,
    known: tuple[Any, ...],
    params: Params,
    xs: Any,
    state: State | None = None,
    mask: ArrayLike | None = None,
    reset: ArrayLike | None = None,
    key: Key | None = None,
    start: State | None = None,
) -> tuple[State, Any]:
    name = f"{getattr(known[0], 'name', known[0])}.unroll"
    run = Run(xs, state, mask, reset, False, key, start)
    _check_run(name, params, run)
    with naming(name):
        return _jitted(runner, known, params, *run)


def _check_run(name: str, params: Params, run: Run) -> None:
    """Raise where something is no array: it stands before the jit, which says less."""
    check_key(name, run.key)
    for argument, value in (("xs", run.xs), ("mask", run.mask), ("reset", run.reset)):
        if value is not None or argument == "xs":
            check_array(name, argument, value)
    check_valid_fit(name, "xs", run.xs, run.mask)
    for leaf in jax.tree.leaves((run.xs, run.mask, run.reset)):
        if isinstance(leaf, jax.ShapeDtypeStruct):
            raise TypeError(
                f"{name}: xs, mask and reset must be arrays, got a ShapeDtypeStruct: "
                f"jax.eval_shape(cell.unroll, params, xs) traces shapes"
            )
    check_arguments(name, "params", params=params, state=run.state, start=run.start)


@functools.partial(jax.jit, static_argnames=("runner", "known", "reverse"))
def _jitted(
    runner: Runner,
    known: tuple[Any, ...],
    params: Params,
    xs: Any,
    state: State | None,
    mask: ArrayLike | None,
    reset: ArrayLike | None,
    reverse: bool,
    key: Key | None,
    start: State | None,
) -> tuple[State, Any]:
    return runner(*known, params, Run(xs, state, mask, reset, reverse, key, start))
