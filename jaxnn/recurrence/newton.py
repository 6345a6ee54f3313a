"""Newton over time: all states at once, from a guess, by sweeps that run in parallel in time.

The states are the fixed point of a sweep, S = Φ(S) (`sweeps.py`). Newton's step from a guess S is

    D_t = A_t · D_{t−1} + Φ(S)_t − S_t           A_t = ∂f/∂s at s_{t−1}, or a part of it
    S   ← S + D

a linear recurrence (`scans/matrix.py`). With the whole Jacobian it is DEER (Lim et al. 2024, arXiv
2309.12252), with a part of it quasi-DEER (Gonzalez et al. 2024, arXiv 2407.19115). Where a new
state leaves a ball, or is not finite, the plain sweep takes its place.

**What comes out is certified.** max |S − Φ(S)| ≤ tolerance · max(1, |S|), or the sequential scan
runs instead: one decision for the whole batch (`internal/one_decision.py`).

**The derivative** is that of the fixed point: dS = Φ'(S)·dS + e, where e is what a sweep makes of
the tangents of everything else. The gradient's equation is its transpose, λ = Φ'(S)ᵀ·λ + S̄. Both
are linear, and solved by the same sweeps, to a residual of rounding, or else step by step; so they
are never approximate. What A leaves out costs sweeps alone.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.internal.checks import state_dtype
from jaxnn.internal.linear_call import apply_linear
from jaxnn.internal.mesh import zeros_of_type
from jaxnn.internal.one_decision import largest
from jaxnn.internal.pinned import pinned
from jaxnn.internal.symbolic_zeros import jvp_along
from jaxnn.recurrence.sweeps import Steps, begins, linearised, sweep
from jaxnn.scans.boundaries import Boundaries, where
from jaxnn.scans.matrix import solve_matrix, solve_matrix_back
from jaxnn.scans.sequential import scan
from jaxnn.types import Array, Params, PyTree, State, Tree

BALL = 10.0
"""How many times as large as the largest state of a plain sweep one may become."""


class Goal(NamedTuple):
    """When the sweeps end: at a residual, or after so many."""

    tolerance: float
    sweeps: int


class Certificate(NamedTuple):
    """How many sweeps there were, and the residual after them; both floating, so that a derivative
    rule has tangents of them."""

    sweeps: Array
    residual: Array

    def meets(self, goal: Goal) -> Array:
        """Whether the residual is within the tolerance; NaN is not."""
        return self.residual <= goal.tolerance


class Known(NamedTuple):
    """What a recurrence runs on."""

    params: Params
    inputs: PyTree
    state: State
    start: State
    at: Boundaries


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def solved_states(
    steps: Steps,
    goal: Goal,
    params: Params,
    inputs: PyTree,
    state: State,
    start: State,
    at: Boundaries,
) -> tuple[State, Certificate]:
    """The states after each step (before a reset that stands after it), and how they came about."""
    known = Known(params, inputs, state, start, at)
    states, certificate = _iterate(steps, goal, known)

    def found(states: State, known: Known) -> State:
        return states

    def in_order(states: State, known: Known) -> State:
        return _in_order(steps, known)

    states = jax.lax.cond(certificate.meets(goal), found, in_order, states, known)
    return pinned((states, certificate), known)


@functools.partial(solved_states.defjvp, symbolic_zeros=True)
def _solved_states_jvp(
    steps: Steps, goal: Goal, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Any, Any]:
    states, certificate = solved_states(steps, goal, *primals)

    def once(params: Params, inputs: PyTree, state: State, start: State) -> State:
        return sweep(steps, params, inputs, state, start, primals[-1], states)

    _, entering = jvp_along(once, primals[:-1], tangents[:-1])
    residuals, known_structure = jax.tree.flatten((primals, states))
    operands, structure = jax.tree.flatten(entering)

    def of(function: Any, residuals: list[Array], operands: list[Array]) -> list[Array]:
        given, states = known_structure.unflatten(residuals)
        found = function(steps, goal, Known(*given), states, structure.unflatten(operands))
        return jax.tree.leaves(found)

    functions = (_tangent, _cotangent, _tangent_in_order)
    run, transposed, plain = (functools.partial(of, function) for function in functions)
    dots = structure.unflatten(
        apply_linear(run, transposed, residuals, operands, operands, plain=plain)
    )
    nothing = jax.tree.map(lambda leaf: zeros_of_type(jax.typeof(leaf)), certificate)
    return pinned((states, certificate), primals), (dots, nothing)


def _iterate(steps: Steps, goal: Goal, known: Known) -> tuple[State, Certificate]:
    """The states that the sweeps reach, and the certificate of them."""
    run = functools.partial(sweep, steps, *known)
    time = jax.tree.leaves(known.inputs)[0].shape[0]

    def more(carry: tuple[Array, State, State, Array]) -> Array:
        count, *_, residual = carry
        return (largest(residual) > goal.tolerance) & (count < goal.sweeps)

    def once(carry: tuple[Array, State, State, Array]) -> tuple[Array, State, State, Array]:
        count, states, new, _ = carry
        _, before = begins(steps, known.state, known.start, known.at, states)
        matrices, fresh = linearised(steps, known.params, known.inputs, known.at, before)
        apart = steps.vectors(jax.tree.map(jnp.subtract, new, states))
        moved = solve_matrix(steps.algebra, steps.reverse, matrices, apart, fresh)
        states = jax.tree.map(jnp.add, states, steps.states(moved, states))
        states = _kept_in_ball(steps, states, new)
        new = run(states)
        return count + 1, states, new, _residual(states, new)

    def guess(leaf: Array) -> Array:
        finite = jnp.where(jnp.isfinite(leaf), leaf, jnp.zeros_like(leaf))
        return jnp.broadcast_to(finite, (time, *leaf.shape))

    states = jax.tree.map(guess, known.state)
    new = run(states)
    first = jnp.zeros((), jnp.int32), states, new, _residual(states, new)
    count, states, _, residual = jax.lax.while_loop(more, once, first)
    residual = largest(residual)
    return states, Certificate(count.astype(residual.dtype), residual)


def _residual(states: State, new: State) -> Array:
    """max |S − Φ(S)| / max(1, |S|), in float32 at least; NaN where one is."""

    def of_leaf(leaf: Array, new: Array) -> Array:
        wide = state_dtype(leaf.dtype)
        leaf, new = leaf.astype(wide), new.astype(wide)
        apart = jnp.abs(leaf - new) / jnp.maximum(jnp.abs(leaf), 1)
        return jnp.max(apart, initial=0)

    found = map(of_leaf, jax.tree.leaves(states), jax.tree.leaves(new))
    return functools.reduce(jnp.maximum, found)


def _kept_in_ball(steps: Steps, states: State, new: State) -> State:
    """The states of a sweep where Newton's are too far away, or not finite."""

    def is_inside(leaf: Array, plain: Array) -> Array:
        bound = BALL * jnp.maximum(jnp.max(jnp.abs(plain), initial=0), 1)
        axes = tuple(range(1 + steps.batch_ndim, leaf.ndim))
        return jnp.all(jnp.abs(leaf) <= bound, axis=axes)

    found = map(is_inside, jax.tree.leaves(states), jax.tree.leaves(new))
    return where(functools.reduce(jnp.logical_and, found), states, new)


def _in_order(steps: Steps, known: Known) -> State:
    """The states by the plain scan."""
    params, inputs, state, start, at = known
    step = functools.partial(steps.step, params)
    whole = scan(steps.name, step, inputs, state, start, at, steps.reverse, _whole)
    return whole[1][0]


def _whole(state: State) -> State:
    return state


def _tangent(steps: Steps, goal: Goal, known: Known, states: State, entering: State) -> State:
    """dS of dS = Φ'(S)·dS + e."""
    run = functools.partial(sweep, steps, *known)
    _, along = jax.linearize(run, states)
    return _solve(steps, goal, known, states, entering, along, solve_matrix, _tangent_in_order)


def _cotangent(steps: Steps, goal: Goal, known: Known, states: State, bars: State) -> State:
    """λ of λ = Φ'(S)ᵀ·λ + S̄."""
    run = functools.partial(sweep, steps, *known)
    _, back = jax.vjp(run, states)

    def along(bars: State) -> State:
        (found,) = back(bars)
        return found

    return _solve(steps, goal, known, states, bars, along, solve_matrix_back, _cotangent_in_order)


def _solve(
    steps: Steps,
    goal: Goal,
    known: Known,
    states: State,
    entering: State,
    along: Any,
    solve: Any,
    in_order: Any,
) -> State:
    """x = along(x) + entering, by the sweeps, or else step by step."""
    _, before = begins(steps, known.state, known.start, known.at, states)
    matrices, fresh = linearised(steps, known.params, known.inputs, known.at, before)
    (dtype,) = {leaf.dtype for leaf in jax.tree.leaves(states)}
    exact = 4 * float(jnp.finfo(dtype).eps)

    def more(carry: tuple[Array, State, State, Array]) -> Array:
        count, *_, residual = carry
        return (largest(residual) > exact) & (count < goal.sweeps)

    def once(carry: tuple[Array, State, State, Array]) -> tuple[Array, State, State, Array]:
        count, x, apart, _ = carry
        moved = solve(steps.algebra, steps.reverse, matrices, steps.vectors(apart), fresh)
        x = _add(x, steps.states(moved, x))
        apart = jax.tree.map(jnp.subtract, _add(along(x), entering), x)
        return count + 1, x, apart, _relative(steps, apart, x, entering)

    nothing = jax.tree.map(jnp.zeros_like, entering)
    unmet = jnp.full_like(_relative(steps, entering, entering), jnp.inf)
    first = jnp.zeros((), jnp.int32), nothing, entering, unmet
    _, x, _, residual = jax.lax.while_loop(more, once, first)

    def found(x: State, known: Known, states: State, entering: State) -> State:
        return x

    def otherwise(x: State, known: Known, states: State, entering: State) -> State:
        return in_order(steps, goal, known, states, entering)

    converged = largest(residual) <= exact
    return jax.lax.cond(converged, found, otherwise, x, known, states, entering)


def _relative(steps: Steps, apart: State, *others: State) -> Array:
    """How large `apart` is beside the largest entry of the others, sequence by sequence."""

    def size(tree: State) -> Array:
        def of_leaf(leaf: Array) -> Array:
            leaf = jnp.abs(leaf.astype(state_dtype(leaf.dtype)))
            axes = (0, *range(1 + steps.batch_ndim, leaf.ndim))
            return jnp.max(leaf, axis=axes, initial=0)

        return functools.reduce(jnp.maximum, map(of_leaf, jax.tree.leaves(tree)))

    found, scale = size(apart), functools.reduce(jnp.maximum, map(size, others))
    share = jnp.where(found == 0, found, found / jnp.where(scale == 0, 1, scale))
    return jnp.max(share, initial=0)


def _tangent_in_order(
    steps: Steps, goal: Goal, known: Known, states: State, entering: State
) -> State:
    """`_tangent` step by step."""
    del goal
    _, before = begins(steps, known.state, known.start, known.at, states)

    def body(dot: State, now: Any) -> tuple[State, State]:
        before, value, entering, (valid, fresh, after) = now
        zeros = jax.tree.map(jnp.zeros_like, dot)

        def step(state: State) -> State:
            return steps.step(known.params, state, value)[0]

        into = dot if fresh is None else where(fresh, zeros, dot)
        _, new = jax.jvp(step, (before,), (into,))
        new = _add(new if valid is None else where(valid, new, dot), entering)
        return new if after is None else where(after, zeros, new), new

    first = jax.tree.map(jnp.zeros_like, known.state)
    inputs = before, known.inputs, entering, known.at
    return jax.lax.scan(body, first, inputs, reverse=steps.reverse)[1]


def _cotangent_in_order(
    steps: Steps, goal: Goal, known: Known, states: State, bars: State
) -> State:
    """`_cotangent` step by step."""
    run = functools.partial(_tangent_in_order, steps, goal, known, states)
    (found,) = jax.linear_transpose(run, bars)(bars)
    return found


def _add(one: Tree, other: Tree) -> Tree:
    return jax.tree.map(jnp.add, one, other)
