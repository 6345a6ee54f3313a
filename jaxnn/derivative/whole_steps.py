"""The derivative of a loop whose `combine` mixes units, such as one with a softmax.

There are no coefficients, so that each step is differentiated as a whole, by JAX's own rules. But
`mix` is linear in the state, and what its weights add to the tangent does not depend on ds:

    q_t  = mix(dW, s_{t−1})                     for all steps at once
    dm_t = mix(W, ds_{t−1}) + q_t
    ds_t = the tangent of combine along (dp_t, dm_t, ds_{t−1})

So the gradient has one product with W in each step of its loop, as for other splits, and that of W
comes from one matmul after it: the plain scan adds up a gradient as large as W at every step. The
forward loop keeps s_{t−1} and the result of `mix`, and the backward loop does `combine` again.

Nothing is taken on trust: of `combine` and `output` all derivatives are JAX's. But what
`jax.checkpoint` does again has lost the rules of `jax.custom_jvp` and `custom_vjp` (jax 0.10.2), so
that a second derivative would be another one. Where the tangent of a step still has such a rule, as
that of `jax.nn.relu` has, the loop runs by the plain scan.
"""

import jax
import jax.numpy as jnp

from jaxnn.derivative.analysis import Loop
from jaxnn.internal.symbolic_zeros import are_zeros, dense, is_zero, jvp_along
from jaxnn.scans.sequential import scan
from jaxnn.types import Array, Params, PyTree, State


def derivative_of_whole_steps(
    loop: Loop, reverse: bool, primals: tuple[PyTree, ...], tangents: tuple[PyTree, ...]
) -> tuple[tuple[State, PyTree], tuple[State, PyTree]]:
    """The final state and the outputs of a loop, and their tangents."""
    (for_mix, for_combine), projected, state, start, at = primals
    (mix_dot, combine_dot), projected_dot, state_dot, start_dot, _ = tangents

    def step(state: State, projected: PyTree) -> tuple[State, PyTree]:
        mixed = loop.mix(for_mix, state)
        new = loop.combine(for_combine, projected, mixed, state)
        return new, (loop.output(new), state, mixed)

    final, (_, (ys, before, mixed)) = scan(loop.name, step, projected, state, start, at, reverse)
    added = None
    if not are_zeros(mix_dot):

        def mix(weights: Params) -> PyTree:
            return loop.mix_all(weights, before)

        added = jvp_along(mix, (for_mix,), (mix_dot,))[1]
    dots, structure = jax.tree.flatten(projected_dot, is_leaf=is_zero)
    given = {n: dot for n, dot in enumerate(dots) if not is_zero(dot)}

    @jax.checkpoint
    def combined(
        given: dict[int, Array], projected: PyTree, mixed: PyTree, state: State, along: PyTree
    ) -> tuple[State, PyTree]:
        mixed_dot, state_dot = along
        projected_dot = structure.unflatten([given.get(n, dot) for n, dot in enumerate(dots)])
        values = for_combine, projected, mixed, state
        every = combine_dot, projected_dot, mixed_dot, state_dot
        new, new_dot = jvp_along(loop.combine, values, every)
        return new_dot, jax.jvp(loop.output, (new,), (new_dot,))[1]

    def tangent(state_dot: State, now: PyTree) -> tuple[State, PyTree]:
        given, added, projected, mixed, state = now
        mixed_dot = loop.mix(for_mix, state_dot)
        if added is not None:
            mixed_dot = jax.tree.map(jnp.add, mixed_dot, added)
        return combined(given, projected, mixed, state, (mixed_dot, state_dot))

    inputs = given, added, projected, mixed, before
    first = dense(state_dot), dense(start_dot)
    final_dot, (_, ys_dot) = scan(loop.name, tangent, inputs, *first, at, reverse)
    return (final, ys), (final_dot, ys_dot)
