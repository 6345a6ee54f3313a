"""The tangent of a recurrence: a linear recurrence, and its transpose, each one loop.

    du_t = mix(W, ds_{t−1}) + q_t               δ_t = C_t ∘ s̄_t
    ds_t = C_t ∘ du_t + D_t ∘ ds_{t−1}          s̄_{t−1} = mixᵀ(W, δ_t) + D_t ∘ s̄_t + …

(`rule.py` has the derivation.) The transpose of one step is JAX's own; its loop is written here, so
that the δ of all steps get their array late (`late.py`).
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.derivative.analysis import Recurrence
from jaxnn.derivative.local import Source
from jaxnn.derivative.pointwise import Pointwise
from jaxnn.internal.arrays import cut
from jaxnn.internal.linear_call import apply_linear
from jaxnn.internal.mesh import outline_of_step
from jaxnn.scans.boundaries import Boundaries
from jaxnn.scans.buffers import scan_late, takes_late_outputs
from jaxnn.scans.sequential import one_step, scan
from jaxnn.types import Array, State


class Streams(NamedTuple):
    """The q of each source that moves, `(time, *batch, hidden)`: those that go with leaves of
    `mixed`, side by side in the order of these leaves where that can be, and all others."""

    together: Array | None
    apart: dict[Source, Array]


class Given(NamedTuple):
    """What the tangent's recurrence does not move with: the parameters of `mix` and of `combine`,
    what was saved of each step, the coefficients that do not vary, the weights of products, the
    edges."""

    for_mix: Any
    for_combine: Any
    saved: list[Array]
    constant: list[Array]
    fixed: list[Array]
    at: Boundaries


class Dots(NamedTuple):
    """What it is linear in."""

    streams: Streams
    state: State
    start: State


def run_tangent(
    recurrence: Recurrence, reverse: bool, given: Given, dots: Dots
) -> tuple[State, list[Array]]:
    """The tangents of the final state, and over time of the leaves that are shown."""
    if not given.saved or not takes_late_outputs((given.saved, given.at)):
        return _run(recurrence, reverse, given, dots)
    residuals, given_structure = jax.tree.flatten(given)
    operands, dots_structure = jax.tree.flatten(dots)
    results_structure = jax.tree.structure((dots.state, recurrence.shown(dots.state)))
    outlines = dots._replace(streams=outline_of_step(dots.streams))
    outlines = jax.tree.map(jax.typeof, outlines)

    def run(residuals: list[Any], operands: list[Any]) -> list[Any]:
        given, dots = given_structure.unflatten(residuals), dots_structure.unflatten(operands)
        return jax.tree.leaves(_run(recurrence, reverse, given, dots))

    def transposed(residuals: list[Any], cotangents: list[Any]) -> list[Any]:
        given, bars = given_structure.unflatten(residuals), results_structure.unflatten(cotangents)
        return jax.tree.leaves(_run_back(recurrence, reverse, given, outlines, *bars))

    return results_structure.unflatten(apply_linear(run, transposed, residuals, operands))


def _run(
    recurrence: Recurrence, reverse: bool, given: Given, dots: Dots
) -> tuple[State, list[Array]]:
    step = functools.partial(_step, recurrence, given)
    inputs, show = (dots.streams, given.saved), recurrence.shown
    final, (shown, _) = scan(
        recurrence.name, step, inputs, dots.state, dots.start, given.at, reverse, show
    )
    return final, shown


def _run_back(
    recurrence: Recurrence,
    reverse: bool,
    given: Given,
    outlines: Dots,
    state_bar: State,
    shown_bar: list[Array],
) -> Dots:
    """The cotangents of the streams, of the first state and of the start, from the last step on."""
    resets = given.at.before is not None or given.at.after is not None

    def body(bars: tuple[State, State], now: Any) -> tuple[tuple[State, State], Streams]:
        (state_bar, start_bar), (shown_bar, saved, at) = bars, now
        step = functools.partial(_step, recurrence, given)

        def forward(dots: Dots) -> tuple[State, list[Array]]:
            value = dots.streams, saved
            state, (shown, _) = one_step(
                recurrence.name, step, dots.state, dots.start, value, at, recurrence.shown
            )
            return state, shown

        (found,) = jax.linear_transpose(forward, outlines)((state_bar, shown_bar))
        if resets:
            start_bar = jax.tree.map(jnp.add, start_bar, found.start)
        return (found.state, start_bar), found.streams

    bars = state_bar, jax.tree.map(jnp.zeros_like, state_bar)
    inputs = shown_bar, given.saved, given.at
    (state_bar, start_bar), streams_bar = scan_late(body, bars, inputs, not reverse)
    return Dots(streams_bar, state_bar, start_bar)


def _step(
    recurrence: Recurrence, given: Given, state_dot: State, now: tuple[Streams, list[Array]]
) -> tuple[State, tuple[()]]:
    streams, saved = now
    pointwise = recurrence.pointwise
    varying = pointwise.slopes(given.for_combine, saved)
    slopes = pointwise.coefficients(varying, given.constant)
    mixed_dots = jax.tree.leaves(recurrence.mix(given.for_mix, state_dot))
    return _new_dot(pointwise, slopes, given.fixed, state_dot, mixed_dots, streams), ()


def _new_dot(
    pointwise: Pointwise,
    slopes: Iterator[Array],
    fixed: list[Array],
    state_dot: State,
    mixed_dots: Sequence[Array],
    streams: Streams,
) -> State:
    """The tangent of the new state: each row's slopes times the tangents of its sources."""
    old, structure = jax.tree.flatten(state_dot)
    if streams.together is not None:
        side_by_side = jnp.concatenate(mixed_dots, axis=-1) + streams.together
        mixed_dots = cut(side_by_side, len(mixed_dots))
    new: list[Any] = [None] * (len(old) + len(pointwise.products))
    products: list[Any] = []
    for row in pointwise.rows:
        total = None
        for source in row.sources:
            terms = [streams.apart[source]] if source in streams.apart else []
            tangents = (mixed_dots, [], [], products, old, new)
            for indices, leaves in zip(source, tangents, strict=True):
                terms += [leaves[n] for n in indices if leaves and leaves[n] is not None]
            slope = next(slopes)
            if terms:
                term = slope * functools.reduce(jnp.add, terms)
                total = term if total is None else total + term
        new[row.leaf] = total
        if row.leaf >= len(old):
            product = pointwise.products[len(products)]
            products.append(None if total is None else product.of(total, fixed[product.weight]))
    known = zip(old, new, strict=False)
    return structure.unflatten(
        [jnp.zeros_like(before) if after is None else after for before, after in known]
    )
