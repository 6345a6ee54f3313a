"""The tangent of a recurrence: a linear recurrence, and its transpose, each one loop; and that of
`mix` in its weights, for all time steps by one matmul.

    du_t = mix(W, ds_{t−1}) + q_t               δ_t = C_t ∘ s̄_t
    ds_t = C_t ∘ du_t + D_t ∘ ds_{t−1}          s̄_{t−1} = mixᵀ(W, δ_t) + D_t ∘ s̄_t + …

(`rule.py` has the derivation.) The transpose of one step is JAX's own; its loop is written here, so
that the δ of all steps get their array late (`scans/sequential.py`). The transpose of the other is
the gradient of the weights, Σ_t s_{t−1}ᵀ δ_t, after the backward loop. The states that steps begin
from are those after each step, moved by one: an array of its own, which the gradient makes late
too, so that it is not kept from the forward pass on.
"""

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.derivative.analysis import Pointwise, Recurrence
from jaxnn.derivative.jaxprs import traced
from jaxnn.derivative.local import Source
from jaxnn.internal.arrays import cut
from jaxnn.internal.linear_call import apply_linear
from jaxnn.internal.mesh import outline_of_step, over_time
from jaxnn.internal.symbolic_zeros import are_zeros, dense, is_zero
from jaxnn.scans.boundaries import Boundaries, previous
from jaxnn.scans.sequential import one_step, scan, scan_late, takes_late_outputs
from jaxnn.types import Array, Params, PyTree, State


class Streams(NamedTuple):
    """The q of each source whose tangent is not zero, `(time, *batch, hidden)`: those that go with
    leaves of `mixed`, side by side in the order of these leaves where that can be, and the
    others."""

    together: Array | None
    apart: dict[Source, Array]


class Given(NamedTuple):
    """What the tangent's recurrence is not linear in: the parameters of `mix` and of `combine`, the
    residuals of each step, the coefficients that do not vary, what the parameters alone tell, the
    boundaries."""

    for_mix: Params
    for_combine: Params
    residuals: list[Array]
    constants: list[Array]
    known: list[Array]
    at: Boundaries


class Dots(NamedTuple):
    """What it is linear in."""

    streams: Streams
    state: State
    start: State


def run_tangent(
    recurrence: Recurrence, reverse: bool, given: Given, dots: Dots
) -> tuple[State, list[Array]]:
    """The tangents of the final state, and over time of the leaves that the output reads."""
    if not given.residuals or not takes_late_outputs((given.residuals, given.at)):
        return _run(recurrence, reverse, given, dots)
    residuals, given_structure = jax.tree.flatten(given)
    operands, dots_structure = jax.tree.flatten(dots)
    results_structure = jax.tree.structure((dots.state, recurrence.read(dots.state)))
    outlines = dots._replace(streams=outline_of_step(dots.streams))
    outlines = jax.tree.map(jax.typeof, outlines)

    def run(residuals: list[Array], operands: list[Array]) -> list[Array]:
        given, dots = given_structure.unflatten(residuals), dots_structure.unflatten(operands)
        return jax.tree.leaves(_run(recurrence, reverse, given, dots))

    def transposed(residuals: list[Array], cotangents: list[Array]) -> list[Array]:
        given, bars = given_structure.unflatten(residuals), results_structure.unflatten(cotangents)
        return jax.tree.leaves(_run_back(recurrence, reverse, given, outlines, *bars))

    read = _over_time(recurrence.read(dots.state), given.residuals[0].shape[0])
    results = [*jax.tree.leaves(dots.state), *read]
    return results_structure.unflatten(apply_linear(run, transposed, residuals, operands, results))


def _run(
    recurrence: Recurrence, reverse: bool, given: Given, dots: Dots
) -> tuple[State, list[Array]]:
    step = functools.partial(_step, recurrence, given)
    inputs, read = (dots.streams, given.residuals), recurrence.read
    final, (outputs, _) = scan(
        recurrence.loop.name, step, inputs, dots.state, dots.start, given.at, reverse, read
    )
    return final, outputs


def _run_back(
    recurrence: Recurrence,
    reverse: bool,
    given: Given,
    outlines: Dots,
    state_bar: State,
    outputs_bar: list[Array],
) -> Dots:
    """The cotangents of the streams, of the first state and of the start, from the last step on."""
    resets = given.at.before is not None or given.at.after is not None

    def body(bars: tuple[State, State], now: PyTree) -> tuple[tuple[State, State], Streams]:
        (state_bar, start_bar), (outputs_bar, residuals, at) = bars, now
        step = functools.partial(_step, recurrence, given)

        def forward(dots: Dots) -> tuple[State, list[Array]]:
            value = dots.streams, residuals
            state, (outputs, _) = one_step(
                recurrence.loop.name, step, dots.state, dots.start, value, at, recurrence.read
            )
            return state, outputs

        (found,) = jax.linear_transpose(forward, outlines)((state_bar, outputs_bar))
        if resets:
            start_bar = jax.tree.map(jnp.add, start_bar, found.start)
        return (found.state, start_bar), found.streams

    bars = state_bar, jax.tree.map(jnp.zeros_like, state_bar)
    inputs = outputs_bar, given.residuals, given.at
    (state_bar, start_bar), streams_bar = scan_late(body, bars, inputs, not reverse)
    return Dots(streams_bar, state_bar, start_bar)


def _step(
    recurrence: Recurrence, given: Given, state_dot: State, now: tuple[Streams, list[Array]]
) -> tuple[State, tuple[()]]:
    streams, residuals = now
    pointwise = recurrence.pointwise
    varying = pointwise.varying(given.for_combine, residuals)
    coefficients = pointwise.coefficients(varying, given.constants)
    mixed_dots = jax.tree.leaves(recurrence.loop.mix(given.for_mix, state_dot))
    return _new_dot(pointwise, coefficients, given.known, state_dot, mixed_dots, streams), ()


def _new_dot(
    pointwise: Pointwise,
    coefficients: Iterator[Array],
    known: list[Array],
    state_dot: State,
    mixed_dots: Sequence[Array],
    streams: Streams,
) -> State:
    """The tangent of the new state: each row's coefficients times the tangents of its sources."""
    old, structure = jax.tree.flatten(state_dot)
    if streams.together is not None:
        side_by_side = jnp.concatenate(mixed_dots, axis=-1) + streams.together
        mixed_dots = cut(side_by_side, len(mixed_dots))
    new: list[Any] = [None] * len(pointwise.rows)
    results: list[Any] = []
    waiting = list(pointwise.operations)
    for row in pointwise.rows:
        total = None
        for source in row.sources:
            terms = [streams.apart[source]] if source in streams.apart else []
            tangents = (mixed_dots, [], [], results, old, new)
            for indices, leaves in zip(source, tangents, strict=True):
                terms += [leaves[n] for n in indices if leaves and leaves[n] is not None]
            coefficient = next(coefficients)
            if terms:
                term = coefficient * functools.reduce(jnp.add, terms)
                total = term if total is None else total + term
        new[row.leaf] = total
        if waiting and row.leaf == waiting[0].leaves[-1]:
            operation = waiting.pop(0)
            values = list(itertools.islice(coefficients, operation.values))
            results += operation.tangents([new[n] for n in operation.leaves], known, values)
    pairs = zip(old, new, strict=False)
    return structure.unflatten(
        [jnp.zeros_like(before) if after is None else after for before, after in pairs]
    )


def dots_of_weights(
    recurrence: Recurrence,
    reverse: bool,
    weights: Params,
    weights_dot: Params,
    states: list[Array | None],
    state: State,
    start: State,
    at: Boundaries,
) -> list[Array]:
    """The tangents of the leaves of `mix`, `(time, ...)`; [] where those of its weights are zero.

    Args:
      recurrence, reverse: what ran, and its direction.
      weights, weights_dot: those of `mix`, and their tangents.
      states: over time, the leaves of the state after each step, None for those not stored.
      state, start, at: of that scan.
    """
    leaves = jax.tree.leaves(weights_dot, is_leaf=is_zero)
    if are_zeros(list(itertools.compress(leaves, recurrence.weights))):
        return []
    residuals, residuals_structure = jax.tree.flatten((weights, states, state, start, at))
    dots, dots_structure = jax.tree.flatten(dense(weights_dot))
    outlines = list(map(jax.typeof, dots))

    def run(residuals: list[Array], dots: list[Array], when: Array | None = None) -> list[Array]:
        weights, states, state, start, at = residuals_structure.unflatten(residuals)
        before = _before(states, state, start, at, reverse, when)
        along = dots_structure.unflatten(dots)
        if recurrence.bilinear:
            return jax.tree.leaves(recurrence.loop.mix_all(along, before))

        def mix(weights: Params) -> PyTree:
            return recurrence.loop.mix_all(weights, before)

        return jax.tree.leaves(jax.jvp(mix, (weights,), (along,))[1])

    def transposed(residuals: list[Array], cotangents: list[Array]) -> list[Array]:
        function = functools.partial(run, residuals, when=cotangents[0])
        (found,) = jax.linear_transpose(function, outlines)(cotangents)
        return found

    if not recurrence.bilinear or not takes_late_outputs((states, at)):
        return run(residuals, dots)
    mixed = traced(recurrence.loop.mix, weights, state).out_info
    time = jax.tree.leaves(states)[0].shape[0]
    return apply_linear(run, transposed, residuals, dots, _over_time(mixed, time))


def _over_time(tree: PyTree, time: int) -> list[jax.ShapeDtypeStruct]:
    """The types of the leaves of a tree at so many steps."""
    leaves = jax.tree.leaves(tree)
    return [jax.ShapeDtypeStruct((time, *leaf.shape), leaf.dtype) for leaf in leaves]


def _before(
    states: list[Array | None],
    state: State,
    start: State,
    at: Boundaries,
    reverse: bool,
    when: Array | None,
) -> State:
    """The states that the steps began from, whole; an array that `mix` does not read is zeros."""
    stored = [leaf is not None for leaf in states]
    ends = only(stored, state), only(stored, start)
    shifted = jax.tree.leaves(previous(states, *ends, at, reverse, when))
    return restore(stored, shifted, state, shifted[0].shape[0])


def restore(which: Sequence[bool], leaves: Iterable[Array], like: State, time: int) -> State:
    """States over time from some of their leaves; nobody reads the others: zeros."""
    found = iter(leaves)
    full = [
        next(found) if yes else over_time(jnp.zeros_like(leaf), time, leaf)
        for yes, leaf in zip(which, jax.tree.leaves(like), strict=True)
    ]
    return jax.tree.structure(like).unflatten(full)


def only(which: Sequence[bool], tree: PyTree) -> list[Any]:
    """The leaves of a tree, with None for the others."""
    return [leaf if yes else None for leaf, yes in zip(jax.tree.leaves(tree), which, strict=True)]
