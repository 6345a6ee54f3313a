"""`unroll`, the view of a recurrence as a whole sequence: checked, compiled once, and run."""

import contextlib
import functools
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from jaxnn.internal.checks import is_traced, naming
from jaxnn.internal.options import check_bool
from jaxnn.recurrence.arguments import Arguments, begun, check_given, checked
from jaxnn.recurrence.description import Description
from jaxnn.recurrence.linear_split import LinearSplit
from jaxnn.recurrence.methods import choose, is_attended
from jaxnn.recurrence.split import Split, Stepwise
from jaxnn.scans.boundaries import boundaries, where
from jaxnn.scans.over_devices import SHARDS, time_over
from jaxnn.types import ArrayLike, Key, Params, PyTree, SequenceUnroll, State, Unroll, appears_as

Runner = Callable[..., tuple[State, PyTree]]
"""`state, ys = runner(*known, params, arguments)`, where `known` was known when the cell was built,
and names it first."""
R = TypeVar("R", bound=Runner)
_whole: set[Runner] = set()


def hands_on(runner: R) -> R:
    """Mark a runner that hands on a whole sequence as it is, part by part or step by step: one that
    may as well be given a part of it, on one of many devices."""
    _whole.add(runner)
    return runner


def unroll_of(description: Description) -> Unroll:
    """The `unroll` of what a split or a step describes."""
    return unroll_by(run_description, description)


def unroll_by(runner: Runner, *known: object) -> Unroll:
    """The `unroll` of a Cell; jitted inside, so that an eager call compiles once."""
    return functools.partial(_unroll, runner, known)


def sequence_unroll_by(runner: Runner, *known: object) -> SequenceUnroll:
    """The `unroll` of a SequenceLayer: the same, without `reverse`."""
    return functools.partial(_unroll_sequence, runner, known)


@appears_as("unroll")
def _unroll(
    runner: Runner,
    known: tuple[object, ...],
    params: Params,
    xs: PyTree,
    state: State | None = None,
    mask: ArrayLike | None = None,
    reset: ArrayLike | None = None,
    reverse: bool = False,
    key: Key | None = None,
    start: State | None = None,
) -> tuple[State, PyTree]:
    name = f"{getattr(known[0], 'name', known[0])}.unroll"
    if is_traced(reverse):
        raise TypeError(
            f"{name}: reverse must be known when traced: under jit, name it in static_argnames, "
            f"jax.jit(cell.unroll, static_argnames='reverse')"
        )
    check_bool(name, "reverse", reverse)
    return _run(name, runner, known, params, Arguments(xs, state, mask, reset, reverse, key, start))


@appears_as("unroll")
def _unroll_sequence(
    runner: Runner,
    known: tuple[object, ...],
    params: Params,
    xs: PyTree,
    state: State | None = None,
    mask: ArrayLike | None = None,
    reset: ArrayLike | None = None,
    key: Key | None = None,
    start: State | None = None,
) -> tuple[State, PyTree]:
    name = f"{getattr(known[0], 'name', known[0])}.unroll"
    return _run(name, runner, known, params, Arguments(xs, state, mask, reset, False, key, start))


def _run(
    name: str, runner: Runner, known: tuple[object, ...], params: Params, arguments: Arguments
) -> tuple[State, PyTree]:
    with naming(name):
        if SHARDS.get() is not None and runner not in _whole:
            raise ValueError(
                "it does not run a sequence step by step from its first to its last, and cannot be "
                "cut along time: put jaxnn.shard_time inside of it"
            )
        if isinstance(known[0], (Split, LinearSplit, Stepwise)):
            checked(name, known[0], params, arguments)
        else:
            check_given(name, params, arguments)
        run = _run_now if is_attended() else _jitted
        return run(runner, known, params, *arguments)


def _run_now(
    runner: Runner,
    known: tuple[object, ...],
    params: Params,
    xs: PyTree,
    state: State | None,
    mask: ArrayLike | None,
    reset: ArrayLike | None,
    reverse: bool,
    key: Key | None,
    start: State | None,
) -> tuple[State, PyTree]:
    arguments = Arguments(xs, state, mask, reset, reverse, key, start)
    return runner(*known, params, arguments)


_jitted = jax.jit(_run_now, static_argnames=("runner", "known", "reverse"))


@hands_on
def run_description(
    description: Description, params: Params, arguments: Arguments
) -> tuple[State, PyTree]:
    """A whole sequence, of checked arguments, by the method that takes it."""
    shards = SHARDS.get()
    # Sequences inside of a step have a time of their own.
    with contextlib.nullcontext() if shards is None else time_over(None):
        name = f"{description.name}.unroll"
        arguments = begun(name, description, params, arguments, shards)
        at = boundaries(arguments.mask, arguments.reset, arguments.reverse)
        method = choose(description, params, arguments, at, shards=shards)
        state, ys = method.run(description, params, arguments, at)
    return state, zero_outputs(ys, arguments.mask)


def zero_outputs(ys: PyTree, mask: ArrayLike | None) -> PyTree:
    """The outputs with zeros at masked steps."""
    return ys if mask is None else where(mask, ys, jax.tree.map(jnp.zeros_like, ys))
