"""One derivative rule for every split: one matmul in each loop, the weights' gradients after it.

A split runs s_t = combine(p_t, mix(W, s_{t−1}), s_{t−1}), where p_t is the projected input. Left to
itself, `jax.grad` of that scan puts three matmuls into each step of the backward loop: one for the
state, and one for the gradient of each weight, with an accumulator as large as the weight.

**The tangent.** `mix` is linear in the state, so the tangent of the recurrence is one too, linear:

    du_t = mix(W, ds_{t−1}) + q_t           q_t = mix(dW, s_{t−1}) + dp_t
    ds_t = C_t ∘ du_t + D_t ∘ ds_{t−1}

C and D are the local derivatives of `combine`, which is pointwise: some arrays of the shape of the
state, not matrices (`analysis.py`). q does not depend on ds: it is computed for all time steps at
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
loop stacks over time the fewest arrays from which that can be done (`residuals.py`), and those
leaves of the state that `mix` reads: six arrays for an LSTM, its gates, its output and the cell
state that the step began from; for an Elman cell its output alone. Without differentiation none of
it happens.

**When memory is taken.** Both loops make their outputs late (`scans/sequential.py`), and so is the
array of s_{t−1} that W̄ takes. A 4-layer bidirectional LSTM at batch 16, 100 steps, 128 units
takes 57 MB of temporaries; with `lax.scan`, and with C and D themselves saved, it took 93.

**Why a `custom_jvp`.** A rule for the tangent is differentiable again, in both modes: `jvp`, `grad`
of `grad`, `linearize`, `vmap(grad)` all go through, where a `custom_vjp` would end forward mode.

**A second product.** `combine` may multiply what it has by a weight, as the GRU with the
reset before does with (r∘h) W: then there is one more matmul in each loop, which waits for the
first, and one more after them, for the weight's gradient.

**A layer norm** in `combine` (`internal/standardized.py`) is an operation likewise: its tangent is
linear in those of what it takes, by the normalised values and one scale for each row, and what its
gain adds is a stream.

**A `combine` that mixes units otherwise** keeps half of it: the weights' gradients come from one
matmul after the loop (`whole_steps.py`).

**One stream.** The q of all gates lie side by side in one array, so that the backward loop emits
their δ as one and the matmuls after it read it without a copy.
"""

import functools
import itertools
from collections.abc import Iterable

import jax
import jax.numpy as jnp

from jaxnn.derivative.analysis import Loop, NotPointwise, Recurrence, analyse
from jaxnn.derivative.local import Source
from jaxnn.derivative.tangent import (
    Dots,
    Given,
    Streams,
    dots_of_weights,
    only,
    restore,
    run_tangent,
)
from jaxnn.derivative.whole_steps import derivative_of_whole_steps
from jaxnn.internal.mesh import on_mesh, outline_of_step, over_time
from jaxnn.internal.pinned import pinned
from jaxnn.internal.symbolic_zeros import are_zeros, dense, is_zero, jvp_along
from jaxnn.scans.boundaries import Boundaries
from jaxnn.scans.sequential import Step, scan
from jaxnn.types import Array, ArrayLike, Params, PyTree, State


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def run_loop(
    loop: Loop,
    reverse: bool,
    params: tuple[Params, Params],
    projected: PyTree,
    state: State,
    start: State,
    at: Boundaries,
) -> tuple[State, PyTree]:
    """The final state and the outputs of a loop whose derivative is the rule's, where it may take
    it, and else that of the plain scan. Those at masked steps mean nothing."""
    step = step_of(loop, params)
    final, (_, ys) = scan(loop.name, step, projected, state, start, at, reverse)
    return pinned((final, ys), (params, projected, state, start, at))


def step_of(loop: Loop, params: tuple[Params, Params]) -> Step:
    """`state, y = step(state, projected)`: one step of a loop."""
    for_mix, for_combine = params

    def step(state: State, projected: PyTree) -> tuple[State, PyTree]:
        state = loop.combine(for_combine, projected, loop.mix(for_mix, state), state)
        return state, loop.output(state)

    return step


@functools.partial(run_loop.defjvp, symbolic_zeros=True)
def _run_loop_jvp(
    loop: Loop, reverse: bool, primals: tuple[PyTree, ...], tangents: tuple[PyTree, ...]
) -> tuple[PyTree, PyTree]:
    recurrence = why_or_how(loop, *primals)
    if isinstance(recurrence, str):
        result, dots = jvp_along(functools.partial(run_loop.fun, loop, reverse), primals, tangents)
        return pinned(result, primals), dots
    if isinstance(recurrence, NotPointwise):
        result, dots = derivative_of_whole_steps(loop, reverse, primals, tangents)
        return pinned(result, primals), dots
    (final, leaves), (final_dot, leaves_dot) = _derivative(recurrence, reverse, primals, tangents)
    _, projected, state, *_ = primals
    time = jax.tree.leaves(projected)[0].shape[0]

    def outputs(leaves: list[Array]) -> PyTree:
        return jax.vmap(loop.output)(restore(recurrence.outputs, leaves, state, time))

    ys, ys_dot = jax.jvp(outputs, (leaves,), (leaves_dot,))
    return pinned((final, ys), primals), (final_dot, ys_dot)


def why_or_how(
    loop: Loop,
    params: tuple[Params, Params],
    projected: PyTree,
    state: State,
    start: State,
    at: Boundaries,
) -> Recurrence | NotPointwise | str:
    """What the rule knows of a loop that is given these, or the reason why it may not take it."""
    del start
    masked_ndim = 0 if at.valid is None else at.valid.ndim - 1
    return analyse(loop, params, outline_of_step(projected), state, masked_ndim)


def _derivative(
    recurrence: Recurrence, reverse: bool, primals: tuple[PyTree, ...], tangents: tuple[PyTree, ...]
) -> tuple[PyTree, PyTree]:
    """The final state, and over time the leaves that the output reads; and their tangents."""
    (for_mix, for_combine), _, state, start, at = primals
    _, _, state_dot, start_dot, _ = tangents
    pointwise = recurrence.pointwise
    final, (states, (factors, residuals)) = _with_residuals(recurrence, reverse, True, *primals)
    others, stored = iter(residuals), [*states, *factors]
    apart = zip(pointwise.apart(len(states), at.valid is not None), pointwise.stored, strict=True)
    residuals = [next(others) if alone or n is None else stored[n] for alone, n in apart]
    weights = for_mix, tangents[0][0], states
    mixed_dots = dots_of_weights(recurrence, reverse, *weights, state, start, at)
    streams = _streams(recurrence, primals, tangents, mixed_dots, factors)
    given = Given(
        for_mix,
        for_combine,
        residuals,
        pointwise.constants(for_combine),
        pointwise.known(for_combine),
        jax.tree.map(functools.partial(_widen, state), at),
    )
    dots = Dots(streams, dense(state_dot), dense(start_dot))
    read = list(itertools.compress(states, recurrence.outputs))
    return (final, read), run_tangent(recurrence, reverse, given, dots)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _with_residuals(
    recurrence: Recurrence,
    reverse: bool,
    late: bool,
    params: tuple[Params, Params],
    projected: PyTree,
    state: State,
    start: State,
    at: Boundaries,
) -> tuple[State, tuple[list[Array | None], tuple[list[Array], list[Array]]]]:
    """The final state, and over time the states that are stored, the left factors of products, and
    the residuals."""
    for_mix, for_combine = params
    pointwise = recurrence.pointwise

    def step(state: State, projected: PyTree) -> tuple[State, tuple[list[Array], list[Array]]]:
        mixed = recurrence.loop.mix(for_mix, state)
        new, factors, residuals = pointwise.step(for_combine, projected, mixed, state)
        apart = pointwise.apart(len(jax.tree.leaves(new)), at.valid is not None)
        return new, (factors, list(itertools.compress(residuals, apart)))

    read = functools.partial(only, recurrence.stored)
    run = functools.partial(scan, recurrence.loop.name, step, read=read, late=late)
    result = run(projected, state, start, at, reverse)
    return pinned(result, (params, projected, state, start, at))


@functools.partial(_with_residuals.defjvp, symbolic_zeros=True)
def _with_residuals_jvp(
    recurrence: Recurrence,
    reverse: bool,
    late: bool,
    primals: tuple[PyTree, ...],
    tangents: tuple[PyTree, ...],
) -> tuple[PyTree, PyTree]:
    """A second derivative is that of `lax.scan`."""
    plain = functools.partial(_with_residuals.fun, recurrence, reverse, False)
    result, dots = jvp_along(plain, primals, tangents)
    return pinned(result, primals), dots


def _streams(
    recurrence: Recurrence,
    primals: tuple[PyTree, ...],
    tangents: tuple[PyTree, ...],
    mixed_dots: list[Array],
    factors: list[Array],
) -> Streams:
    """What enters the tangent's recurrence from outside, for all time steps at once."""
    (for_mix, for_combine), projected, state, *_ = primals
    (_, for_combine_dot), projected_dot, *_ = tangents
    projected_dots = jax.tree.leaves(projected_dot, is_leaf=is_zero)
    time = jax.tree.leaves(projected)[0].shape[0]
    known_dots = []
    if not are_zeros(for_combine_dot):
        along = (for_combine,), (dense(for_combine_dot),)
        known_dots = jax.jvp(recurrence.pointwise.known, *along)[1]

    operations = recurrence.pointwise.weights()

    def terms(source: Source) -> dict[str, Array]:
        """What adds up to the stream of a source, by where it comes from."""
        kinds = {
            "projected": [projected_dots[n] for n in source.projected],
            "mixed": [mixed_dots[n] for n in source.mixed if mixed_dots],
            "known": [known_dots[n][None] for n in source.known if known_dots],
            "products": [
                operation.weighed(factors[operation.factor + place], known_dots, place)
                for operation, place in (operations[n] for n in source.results)
                if known_dots
            ],
        }
        nonzero = {kind: [d for d in dots if not is_zero(d)] for kind, dots in kinds.items()}
        return {kind: functools.reduce(jnp.add, dots) for kind, dots in nonzero.items() if dots}

    one_step = [*jax.tree.leaves(state), *(jax.lax.reduce_sum(leaf, (0,)) for leaf in factors)]

    def stream(parts: Iterable[Array], like: Array) -> Array:
        """As wide as the state: what is summed over the batch is so after the loop, once."""
        return over_time(functools.reduce(jnp.add, parts), time, like)

    leaves = recurrence.pointwise.streams()
    found = {source: parts for source in leaves if (parts := terms(source))}
    ordered = sorted((source for source in found if source.mixed), key=lambda source: source.mixed)
    mixed = jax.tree.leaves(jax.eval_shape(recurrence.loop.mix, for_mix, state))
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
