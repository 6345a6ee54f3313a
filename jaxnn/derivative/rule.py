"""One derivative rule for every split: one matmul in each loop, the weights' gradients after it.

A split runs s_t = combine(p_t, mix(W, s_{t−1}), s_{t−1}), where p_t is the projected input. Left to
itself, `jax.grad` of that scan puts three matmuls into each step of the backward loop: one for the
state, and one for the gradient of each weight, with an accumulator as large as the weight.

**The tangent.** `mix` is linear in the state, so the tangent of the recurrence is one too, linear:

    du_t = mix(W, ds_{t−1}) + q_t           q_t = mix(dW, s_{t−1}) + dp_t
    ds_t = C_t ∘ du_t + D_t ∘ ds_{t−1}

C and D are the local derivatives of `combine`, which is pointwise: some arrays of the shape of the
state, not matrices (`pointwise.py`). q does not depend on ds: it is computed for all time steps at
once, before the loop, by one large matmul. What is left in the loop is one matmul and a few
multiply-adds; masks, resets and direction are those of the same plain `scan`.

**The gradient** is the transpose of that (`tangent.py`). The loop runs backward:

    δ_t = C_t ∘ s̄_t                         the error with respect to the pre-activations
    s̄_{t−1} = mixᵀ(W, δ_t) + D_t ∘ s̄_t + (what the loss says of s_{t−1})

with one matmul, and it emits δ_t, the cotangent of q_t. The large matmul before the loop becomes
the large matmul after it, W̄ = Σ_t s_{t−1}ᵀ δ_t; that of `project`, Ū = Σ_t x_tᵀ δ_t, stands outside
the rule. For the LSTM, with a bar for a cotangent and ' for the derivative at its pre-activation:

    c̄_t = h̄_t∘o∘(1 − tanh²c) + c̄_{t+1}∘f          δ_o = h̄_t∘tanh(c)∘o'
    δ_i = c̄_t∘g∘i'     δ_f = c̄_t∘c_{t−1}∘f'     δ_g = c̄_t∘i∘g'

**What is saved.** C and D are computed again in the backward loop, one step at a time. The forward
loop stacks over time the fewest arrays from which that can be done (`fewest.py`), and those leaves
of the state that `mix` reads: six arrays for an LSTM, its gates, its output and the cell state that
the step began from; for an Elman cell its output alone. Without differentiation none of it happens.

**When memory is taken.** Both loops make their outputs late (`late.py`), and so is the array of
s_{t−1} that W̄ takes (`weights.py`). A 4-layer bidirectional LSTM at batch 16, 100 steps, 128 units
takes 57 MB of temporaries; with `lax.scan`, and with C and D themselves saved, it took 93.

**Why a `custom_jvp`.** A rule for the tangent is differentiable again, in both modes: `jvp`, `grad`
of `grad`, `linearize`, `vmap(grad)` all go through, where a `custom_vjp` would end forward mode.

**A second product.** `combine` may multiply something that moves by a weight, as the GRU with the
reset before does with (r∘h) W: then there is one more matmul in each loop, which waits for the
first, and one more after them, for the weight's gradient.

**One stream.** The q of all gates lie side by side in one array, so that the backward loop emits
their δ as one and the matmuls after it read it without a copy.
"""

import functools
import itertools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.derivative.analysis import Recurrence
from jaxnn.derivative.local import Source
from jaxnn.derivative.tangent import Dots, Given, Streams, run_tangent
from jaxnn.derivative.weights import dots_of_weights, only
from jaxnn.internal.mesh import on_mesh, over_time
from jaxnn.internal.pinned import pinned
from jaxnn.internal.symbolic_zeros import are_zeros, dense, is_zero, jvp_along
from jaxnn.scans.boundaries import Boundaries
from jaxnn.scans.sequential import scan
from jaxnn.types import Array, ArrayLike, State


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def recur(
    recurrence: Recurrence,
    reverse: bool,
    params: tuple[Any, Any],
    projected: Any,
    state: State,
    start: State,
    at: Boundaries,
) -> tuple[State, list[Array]]:
    """The final state, and over time the leaves of the state that the output reads."""
    for_mix, for_combine = params

    def step(state: State, projected: Any) -> tuple[State, tuple[()]]:
        mixed = recurrence.mix(for_mix, state)
        return recurrence.combine(for_combine, projected, mixed, state), ()

    run = functools.partial(scan, recurrence.name, step, show=recurrence.shown, late=True)
    final, (shown, _) = run(projected, state, start, at, reverse)
    return pinned((final, shown), (params, projected, state, start, at))


@functools.partial(recur.defjvp, symbolic_zeros=True)
def _recur_jvp(
    recurrence: Recurrence, reverse: bool, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Any, Any]:
    (for_mix, for_combine), _, state, start, at = primals
    _, _, state_dot, start_dot, _ = tangents
    pointwise = recurrence.pointwise
    final, (states, (factors, saved)) = _with_slopes(recurrence, reverse, True, *primals)
    if at.valid is None:
        others = iter(saved)
        saved = [next(others) if n is None else states[n] for n in pointwise.saves]
    moved = for_mix, tangents[0][0], states
    mixed_dots = dots_of_weights(recurrence, reverse, *moved, state, start, at)
    streams = _streams(recurrence, primals, tangents, mixed_dots, factors)
    given = Given(
        for_mix,
        for_combine,
        saved,
        pointwise.constants(for_combine),
        pointwise.fix(for_combine),
        jax.tree.map(functools.partial(_widen, state), at),
    )
    dots = Dots(streams, dense(state_dot), dense(start_dot))
    final_dot, shown_dot = run_tangent(recurrence, reverse, given, dots)
    shown = list(itertools.compress(states, recurrence.shows))
    return pinned((final, shown), primals), (final_dot, shown_dot)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _with_slopes(
    recurrence: Recurrence,
    reverse: bool,
    late: bool,
    params: tuple[Any, Any],
    projected: Any,
    state: State,
    start: State,
    at: Boundaries,
) -> tuple[State, tuple[list[Any], tuple[list[Array], list[Array]]]]:
    """The final state, and over time the states that are kept, the factors of products, and the
    coefficients that vary."""
    for_mix, for_combine = params

    def step(state: State, projected: Any) -> tuple[State, tuple[list[Array], list[Array]]]:
        mixed = recurrence.mix(for_mix, state)
        new, factors, saved = recurrence.pointwise.step(for_combine, projected, mixed, state)
        # At a masked step the state is the old one: what it would have been is saved apart.
        apart = [at.valid is not None or leaf is None for leaf in recurrence.pointwise.saves]
        return new, (factors, list(itertools.compress(saved, apart)))

    show = functools.partial(only, recurrence.kept)
    run = functools.partial(scan, recurrence.name, step, show=show, late=late)
    result = run(projected, state, start, at, reverse)
    return pinned(result, (params, projected, state, start, at))


@functools.partial(_with_slopes.defjvp, symbolic_zeros=True)
def _with_slopes_jvp(
    recurrence: Recurrence,
    reverse: bool,
    late: bool,
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
) -> tuple[Any, Any]:
    """A second derivative is that of `lax.scan`."""
    plain = functools.partial(_with_slopes.fun, recurrence, reverse, False)
    result, dots = jvp_along(plain, primals, tangents)
    return pinned(result, primals), dots


def _streams(
    recurrence: Recurrence,
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    mixed_dots: list[Array],
    factors: list[Array],
) -> Streams:
    """What enters the tangent's recurrence from outside, for all time steps at once."""
    (for_mix, for_combine), projected, state, *_ = primals
    (_, for_combine_dot), projected_dot, *_ = tangents
    projected_dots = jax.tree.leaves(projected_dot, is_leaf=is_zero)
    time = jax.tree.leaves(projected)[0].shape[0]
    fixed_dots = []
    if not are_zeros(for_combine_dot):
        along = (for_combine,), (dense(for_combine_dot),)
        fixed_dots = jax.jvp(recurrence.pointwise.fix, *along)[1]

    def terms(source: Source) -> dict[str, Array]:
        """What adds up to the stream of a source, by where it comes from."""
        kinds = {
            "projected": [projected_dots[n] for n in source.projected],
            "mixed": [mixed_dots[n] for n in source.mixed if mixed_dots],
            "fixed": [fixed_dots[n][None] for n in source.fixed if fixed_dots],
            "products": [
                product.of(factors[n], fixed_dots[product.weight])
                for n, product in ((n, recurrence.pointwise.products[n]) for n in source.products)
                if fixed_dots
            ],
        }
        moving = {kind: [d for d in dots if not is_zero(d)] for kind, dots in kinds.items()}
        return {kind: functools.reduce(jnp.add, dots) for kind, dots in moving.items() if dots}

    one_step = [*jax.tree.leaves(state), *(jax.lax.reduce_sum(leaf, (0,)) for leaf in factors)]

    def stream(parts: Iterable[Array], like: Array) -> Array:
        """As wide as the state: what is summed over the batch is so after the loop, once."""
        return over_time(functools.reduce(jnp.add, parts), time, like)

    leaves = recurrence.pointwise.streams()
    found = {source: parts for source in leaves if (parts := terms(source))}
    ordered = sorted((source for source in found if source.mixed), key=lambda source: source.mixed)
    mixed = jax.tree.leaves(jax.eval_shape(recurrence.mix, for_mix, state))
    alike = len({(leaf.shape, leaf.dtype) for leaf in mixed}) == 1 and mixed[0].ndim > 0
    alike = alike and len({tuple(found[source]) for source in ordered}) == 1
    # Side by side along a hidden axis that is sharded, they would have to be sent around.
    alike = alike and not any(map(on_mesh, jax.tree.leaves(found)))
    together = None
    if alike and [source.mixed for source in ordered] == [(n,) for n in range(len(mixed))]:
        rows = [found.pop(source) for source in ordered]
        side_by_side = functools.partial(jnp.concatenate, axis=-1)
        parts = [side_by_side([row[kind] for row in rows]) for kind in rows[0]]
        together = stream(parts, side_by_side([one_step[leaves[source]] for source in ordered]))
    apart = {
        source: stream(parts.values(), one_step[leaves[source]]) for source, parts in found.items()
    }
    return Streams(together, apart)


def _widen(state: State, flags: ArrayLike) -> ArrayLike:
    """Flags as wide as the state: broadcast in the loop, they would have a loop of their own."""
    shapes = {leaf.shape for leaf in jax.tree.leaves(state)}
    if len(shapes) != 1:
        return flags
    (shape,) = shapes
    flags = jnp.expand_dims(flags, tuple(range(flags.ndim, 1 + len(shape))))
    return jnp.broadcast_to(flags, (flags.shape[0], *shape))
