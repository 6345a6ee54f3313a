"""One step of learning for a batch: every sequence by itself, its mask, reset and key included."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.functions.sequences import zero_masked
from jaxnn.online.sequence import Learner, Trace
from jaxnn.scans.boundaries import boundaries
from jaxnn.types import Array, ArrayLike, Cell, Key, Params, PyTree, Shape, State, Tree, exportable

Loss = Callable[[PyTree, PyTree], Array]
"""`scalar = loss(y, target)`, for one step of one sequence."""


class Flags(NamedTuple):
    """For one step: the key of what is random in the cell, where it resets, and where it counts."""

    key: Key | None
    reset: ArrayLike | None
    mask: ArrayLike | None


@exportable
class Observed(NamedTuple):
    """What `apply` saw at a step, for `gradient`.

    begun: what each sequence began from, with its trace; state and y: those after the step; mask:
    which sequences count, or None.
    """

    begun: Any
    state: State
    y: PyTree
    mask: ArrayLike | None


class Taught(NamedTuple):
    """What a step with a target gives: the state and trace after it, the loss and its gradient."""

    state: State
    trace: Trace
    loss: Array
    gradient: Params


def over_batch(function: Callable[..., Any], batch: Shape) -> Callable[..., Any]:
    """`function(params, *rest)` of one sequence, for a batch: params serve all of it."""

    def run(params: Params, *rest: PyTree) -> Any:
        mapped = functools.partial(function, params)
        for _ in batch:
            mapped = jax.vmap(mapped)
        return mapped(*rest)

    return run


def summed(tree: Tree, batch: Shape) -> Tree:
    """The sum over the batch."""
    return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=tuple(range(len(batch)))), tree)


def keys_of(key: Key | None, batch: Shape) -> Key | None:
    """A key for each sequence; without a batch, the key itself."""
    return key if key is None or not batch else jax.random.split(key, batch)


def step(
    learner: Learner,
    cell: Cell,
    params: Params,
    state: State,
    trace: Trace,
    x: PyTree,
    flags: Flags,
) -> tuple[State, Trace, PyTree, Observed]:
    """One step of one sequence, by the rules of `unroll` for masks and resets."""
    at = boundaries(flags.mask, flags.reset, False)
    first = state, trace
    if at.before is not None:
        fresh = cell.initial_state(params), learner.again(params, trace)
        first = choose(at.before, fresh, first)
    new, after, y, begun = learner.step(params, *first, zero_masked(x, flags.mask), flags.key)
    if flags.mask is not None:
        new, after = choose(flags.mask, (new, after), (state, trace))
        y = choose(flags.mask, y, jax.tree.map(jnp.zeros_like, y))
    return new, after, y, Observed(begun, new, y, flags.mask)


def gradient(learner: Learner, params: Params, seen: Observed, y_bar: PyTree) -> Params:
    """What y_bar says of the parameters; nothing, where the step is masked."""
    if seen.mask is None:
        return learner.pull(params, seen.begun, y_bar)[0]
    y_bar = choose(seen.mask, y_bar, jax.tree.map(jnp.zeros_like, y_bar))
    found, _ = learner.pull(params, seen.begun, y_bar)
    return choose(seen.mask, found, jax.tree.map(jnp.zeros_like, found))


def teach(
    learner: Learner,
    cell: Cell,
    loss: Loss,
    params: Params,
    state: State,
    trace: Trace,
    x: PyTree,
    target: PyTree,
    flags: Flags,
) -> Taught:
    """One step of one sequence, its loss, and the gradient of that."""
    state, trace, y, seen = step(learner, cell, params, state, trace, x, flags)
    if flags.mask is not None:
        target = zero_masked(target, flags.mask)
    value, y_bar = jax.value_and_grad(loss)(y, target)
    if flags.mask is not None:
        value = choose(flags.mask, value, jnp.zeros_like(value))
    return Taught(state, trace, value, gradient(learner, params, seen, y_bar))


def choose(flag: ArrayLike, chosen: Tree, otherwise: Tree) -> Tree:
    """One of two trees, for one sequence."""
    return jax.tree.map(lambda a, b: jnp.where(flag, a, b), chosen, otherwise)
