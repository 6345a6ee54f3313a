"""Learning forward in time, for one sequence: what stands between a cell and a method.

A cell gives s_t, y_t = f(θ, s_{t−1}, x_t). What θ did to the state up to now is its influence,
J_t = ds_t/dθ, and it goes forward as the state does:

    J_t = D_t J_{t−1} + I_t              D_t = ∂s_t/∂s_{t−1},   I_t = ∂s_t/∂θ at s_{t−1} held fixed

What a loss says of y_t, a cotangent ȳ_t, is a gradient at once, with no step before it:

    θ̄ = s̄ J_{t−1} + ȳ_t ∂y_t/∂θ         s̄ = ȳ_t ∂y_t/∂s_{t−1}

The sum of these over all steps is the gradient of backpropagation through time. A `Rule` says in
which form J is kept; a `Learner` does this for one cell, or for the layers of a stack.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.internal.checks import state_dtype
from jaxnn.types import Array, ArrayLike, Cell, Key, Params, PyTree, State

Trace = PyTree
"""The influence of the parameters on a state, as a method keeps it."""
Leaves = list[Array]
"""The floating leaves of a state: those that have a derivative."""
First = Callable[[Params], Leaves]
"""`leaves = first(params)`: of the state that a sequence begins with."""
Run = Callable[[Params, Leaves], tuple[Leaves, PyTree]]
"""`leaves, aux = run(params, leaves)`: one step."""


class Rule(NamedTuple):
    """In which form the influence J is kept, for the state of one cell in one sequence.

    begin: `begin(first, params, key)` gives the influence on the first state.
    again: `again(first, params, trace)` gives it once more, where a reset stands.
    advance: `advance(run, params, leaves, trace)` gives `(leaves, trace, aux)` after a step.
    read: `read(params, trace, leaves_bar)` gives s̄ J.
    """

    begin: Callable[[First, Params, Key | None], Trace]
    again: Callable[[First, Params, Trace], Trace]
    advance: Callable[[Run, Params, Leaves, Trace], tuple[Leaves, Trace, PyTree]]
    read: Callable[[Params, Trace, Leaves], Params]


class Learner(NamedTuple):
    """How one sequence is learned.

    begin: `begin(params, key)` gives the trace of the first state; again: `again(params, trace)`,
    that after a reset.
    step: `step(params, state, trace, x, key)` gives `(state, trace, y, seen)`.
    pull: `pull(params, seen, y_bar)` gives what y_bar says of the parameters, and of x.
    """

    begin: Callable[[Params, Key | None], Trace]
    again: Callable[[Params, Trace], Trace]
    step: Callable[[Params, State, Trace, ArrayLike, Key | None], tuple[State, Trace, PyTree, Any]]
    pull: Callable[[Params, Any, PyTree], tuple[Params, PyTree]]


class Seen(NamedTuple):
    """What a step began from, for its gradient."""

    state: State
    trace: Trace
    x: PyTree
    key: Key | None


def learner_of(rule: Rule, cell: Cell) -> Learner:
    """The learner of a cell as a whole, whatever it is made of."""
    first = functools.partial(_first, cell)
    return Learner(
        functools.partial(rule.begin, first),
        functools.partial(rule.again, first),
        functools.partial(_step, rule, cell),
        functools.partial(_pull, rule, cell),
    )


def _first(cell: Cell, params: Params) -> Leaves:
    return divide(cell.initial_state(params))[0]


def _step(
    rule: Rule,
    cell: Cell,
    params: Params,
    state: State,
    trace: Trace,
    x: PyTree,
    key: Key | None,
) -> tuple[State, Trace, PyTree, Seen]:
    leaves, join = divide(state)

    def run(params: Params, leaves: Leaves) -> tuple[Leaves, PyTree]:
        new, y = cell.apply(params, join(leaves), x, key)
        return divide(new)[0], (new, y)

    _, after, (new, y) = rule.advance(run, params, leaves, trace)
    return new, after, y, Seen(state, trace, x, key)


def _pull(
    rule: Rule, cell: Cell, params: Params, seen: Seen, y_bar: PyTree
) -> tuple[Params, PyTree]:
    leaves, join = divide(seen.state)

    def output(params: Params, leaves: Leaves, x: PyTree) -> PyTree:
        return cell.apply(params, join(leaves), x, seen.key)[1]

    params_bar, leaves_bar, x_bar = jax.vjp(output, params, leaves, seen.x)[1](y_bar)
    through = rule.read(params, seen.trace, leaves_bar)
    return jax.tree.map(jnp.add, params_bar, through), x_bar


def divide(state: State) -> tuple[Leaves, Callable[[Leaves], State]]:
    """The floating leaves of a state, and what puts new ones in their place."""
    leaves, structure = jax.tree.flatten(state)
    floating = [n for n, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]

    def join(new: Leaves) -> State:
        replaced = dict(zip(floating, new, strict=True))
        return structure.unflatten([replaced.get(n, leaf) for n, leaf in enumerate(leaves)])

    return [leaves[n] for n in floating], join


def dtype_for(*trees: PyTree) -> jnp.dtype:
    """The widest floating dtype of some trees, of 32 bits at least: that of an influence."""
    dtypes = (jnp.result_type(leaf) for leaf in jax.tree.leaves(trees))
    return max((state_dtype(dtype) for dtype in dtypes), key=lambda dtype: dtype.itemsize)
