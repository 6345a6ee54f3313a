"""Lyapunov exponents along a sequence."""

import functools
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from jaxnn.diagnostics.vectors import (
    check_from_zero,
    check_run_of,
    dtype_of,
    outline_of_state,
    over_batch,
    ravel,
    size_of,
    vector_step,
)
from jaxnn.functions.sequences import zero_masked
from jaxnn.internal.inputs import front, time_of
from jaxnn.internal.options import check_size
from jaxnn.types import Array, ArrayLike, Cell, Params, PyTree, State, exportable

P = TypeVar("P")
S = TypeVar("S")


@exportable
class LyapunovExponents(NamedTuple):
    """How fast neighbouring states part, or meet.

    exponents: `(*batch, count)`, nats a step, the largest first up to the error of a finite
    sequence; growth: `(time, *batch, count)`, what each step adds, whose mean they are; zero at
    masked steps.
    """

    exponents: Array
    growth: Array


def lyapunov_exponents(
    cell: Cell[P, S],
    params: P,
    xs: PyTree,
    count: int = 1,
    state: S | None = None,
    mask: ArrayLike | None = None,
    warmup: int = 0,
) -> LyapunovExponents:
    """The largest Lyapunov exponents of a recurrence, along a sequence.

    Tangents are carried along by the Jacobian of each step and made orthonormal after it:

        Q₀ R₀ = QR(random),   Q_t R_t = QR(J_t Q_{t−1}),   λ_i = mean over t of ln |R_t[i, i]|

    A largest exponent below zero: what the state was is forgotten, and gradients vanish at this
    rate; above zero: chaos, and gradients explode. The sum of the first n is the rate at which
    volumes of n dimensions grow; of all of them, the mean of ln |det J|.

    Args:
      cell: any Cell.
      params, xs, state, mask: as for `cell.unroll`; a masked step counts for nothing. The sequence
        is one segment: there are no resets.
      count: how many exponents, at most the numbers in one sequence's state.
      warmup: how many steps at the beginning do not count: the state has to reach where it stays,
        and the tangents have to turn into their directions, which costs an error that falls with
        1 / time.

    Returns:
      LyapunovExponents, in the dtype of `step_jacobian`; NaN for a sequence in which no step
      counts, −inf where the steps lose a dimension. An exponent that lies more than about −ln ε
      below the largest one (16 in float32) is rounding.

    Raises:
      ValueError: for a count above the size of the state, a warmup that leaves no step.
      ValueError, TypeError: for what `cell.unroll` and `step_jacobian` would refuse.

    Source: Benettin, Galgani, Giorgilli & Strelcyn 1980, "Lyapunov characteristic exponents for
    smooth dynamical systems and for Hamiltonian systems; a method for computing all of them",
    Meccanica 15; of recurrent networks, Engelken, Wolf & Abbott 2023 (arXiv 2006.02427).

    >>> import jax.numpy as jnp, jaxnn
    >>> logistic = jaxnn.cell(
    ...     init=lambda key: jnp.array(4.0),
    ...     apply=lambda rate, s, x: (rate * s * (1 - s), s),
    ...     initial_state=lambda rate, batch_shape=(): jnp.full((*batch_shape, 1), 0.3),
    ... )
    >>> found = jaxnn.diagnostics.lyapunov_exponents(logistic, jnp.array(4.0), jnp.zeros((5000, 1)))
    >>> abs(float(found.exponents[0]) - 0.6931) < 0.01       # ln 2
    True
    """
    name = "lyapunov_exponents"
    batch = check_run_of(name, cell, params, xs, state, mask)
    count, warmup = check_size(name, "count", count), check_from_zero(name, "warmup", warmup)
    size, time = size_of(outline_of_state(name, cell, params)), time_of(xs)
    if count > size:
        raise ValueError(
            f"{name}: count must be at most the size of the state, {size}; got {count}"
        )
    if warmup and isinstance(time, int) and warmup >= time:
        raise ValueError(f"{name}: warmup must be below the number of steps, {time}; got {warmup}")
    return _exponents(cell, count, warmup, len(batch), params, xs, state, mask)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _exponents(
    cell: Cell,
    count: int,
    warmup: int,
    dimensions: int,
    params: Params,
    xs: PyTree,
    state: State | None,
    mask: ArrayLike | None,
) -> LyapunovExponents:
    outline = outline_of_state("lyapunov_exponents", cell, params)
    dtype, xs = dtype_of(outline), zero_masked(xs, mask)
    if state is None:
        state = cell.initial_state(params, front(xs, 1 + dimensions)[1:])
    # Of any directions, since those of the axes may be invariant and never turn into the largest.
    # The same in every call and dtype: results do not depend on a key.
    drawn = jax.random.normal(jax.random.key(0), (size_of(outline), count), jnp.float32)
    first, _ = jnp.linalg.qr(drawn.astype(dtype))

    def one(xs: PyTree, state: State, mask: ArrayLike | None) -> tuple[Array, Array]:
        def step(
            carry: tuple[Array, Array], now: tuple[ArrayLike, ArrayLike | None]
        ) -> tuple[tuple[Array, Array], Array]:
            (vector, tangents), (x, valid) = carry, now
            new, push = jax.linearize(vector_step(cell, outline, params, x), vector)
            turned, triangle = jnp.linalg.qr(jax.vmap(push, 1, 1)(tangents))
            factors = jnp.abs(jnp.diagonal(triangle))
            if valid is not None:
                new = jnp.where(valid, new, vector)
                turned = jnp.where(valid, turned, tangents)
                factors = jnp.where(valid, factors, jnp.ones_like(factors))
            return (new, turned), jnp.log(factors)

        _, growth = jax.lax.scan(step, (ravel(state, dtype), first), (xs, mask))
        counts = jnp.arange(time_of(xs)) >= warmup
        counts = counts if mask is None else counts & mask
        steps = jnp.sum(counts, dtype=jnp.int32).astype(dtype)
        total = jnp.sum(jnp.where(counts[:, None], growth, jnp.zeros_like(growth)), axis=0)
        mean = total / jnp.maximum(steps, jnp.ones_like(steps))
        nothing = jnp.full_like(mean, jnp.nan)
        return jnp.where(steps > 0, mean, nothing), growth

    run = over_batch(one, dimensions, (1, 0, 1), (0, 1))
    return LyapunovExponents(*run(xs, state, mask))
