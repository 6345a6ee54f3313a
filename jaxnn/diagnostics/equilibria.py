"""Where a recurrence stands still, and whether it stays there."""

import functools
from typing import Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from jaxnn.diagnostics.vectors import (
    dtype_of,
    norm,
    outline_of_state,
    ravel,
    unravel,
    vector_step,
)
from jaxnn.functions.sequences import check_values
from jaxnn.internal.checks import check_arguments, check_state, is_array, naming
from jaxnn.internal.inputs import leading_of, leaves_of
from jaxnn.internal.options import check_number, check_size
from jaxnn.recurrence.cell import check_cell
from jaxnn.types import Array, Cell, Params, PyTree, State, exportable, facts_of

P = TypeVar("P")
S = TypeVar("S")

DAMPING, STUCK = 0.01, 1e12
"""The damping at first, and where no step makes it better any more."""


@exportable
class FixedPoints(NamedTuple, Generic[S]):
    """Where searches for a fixed point ended, one a row, the different fixed points first.

    state: each leaf `(starts, ...)`; residual: |f(h) − h|, `(starts,)`; hits: how many searches
    ended at this point, `(starts,)`; eigenvalues: of the step's Jacobian there, complex, `(starts,
    size)`, the largest modulus first; distinct: how many different fixed points there are. They are
    the first rows, those with the most hits first. Rows after them are no further points, and have
    0 hits: first searches that did not converge, the smallest residual first, then repetitions.
    """

    state: S
    residual: Array
    hits: Array
    eigenvalues: Array
    distinct: Array


def fixed_points(
    cell: Cell[P, S],
    params: P,
    starts: S,
    x: PyTree,
    tolerance: float = 1e-5,
    iterations: int = 200,
    apart: float = 0.01,
) -> FixedPoints[S]:
    """The fixed points of a step under a constant input, and the eigenvalues there.

    From each start q = ½|f(h) − h|² is minimised, f(h) being the state after h, by
    Levenberg–Marquardt: Newton's step, shortened towards the gradient's until q falls. A point at
    which all eigenvalues are inside the unit circle attracts; along each one outside, the state
    leaves. An end that did not converge, with a small residual, is a slow point.

    Args:
      cell: any Cell; there is no key, so no noise.
      params: its parameters.
      starts: states to search from, each leaf `(starts, ...)`; `cell.unroll`'s on the way of what
        is to be explained are good ones.
      x: the input that is held, of one step of one sequence, without batch dimensions.
      tolerance: the largest residual of a fixed point.
      iterations: of each search, at most; it ends before where nothing gets better.
      apart: two points of a smaller distance, over the whole state, are one.

    Returns:
      FixedPoints, with as many rows as starts: `state` at `[:distinct]` are the points. Points are
      differentiated as what they are, by the implicit function theorem, in any order; gradients of
      rows that did not converge mean nothing. Residuals and eigenvalues are values only: for the
      derivative of eigenvalues, take them of `step_jacobian` at the point.

    Raises:
      ValueError: for no starts, an x with batch dimensions, a tolerance or distance not above 0.
      ValueError, TypeError: for what `cell.apply` and `step_jacobian` would refuse. JAX has no
        eigenvalues of general matrices on a TPU.

    Source: Sussillo & Barak 2013, "Opening the black box: low-dimensional dynamics in
    high-dimensional recurrent neural networks", Neural Computation 25.

    >>> import jax.numpy as jnp, jaxnn
    >>> pitchfork = jaxnn.cell(
    ...     init=lambda key: jnp.array(0.1),
    ...     apply=lambda rate, h, x: (h - rate * (h**3 - h), h),
    ...     initial_state=lambda rate, batch_shape=(): jnp.zeros((*batch_shape, 1)),
    ... )
    >>> starts = jnp.array([[0.2], [0.9], [-2.0], [1.5]])
    >>> found = jaxnn.diagnostics.fixed_points(pitchfork, jnp.array(0.1), starts, jnp.zeros(1))
    >>> points, values = found.state[: int(found.distinct), 0], found.eigenvalues[:, 0].real
    >>> found.hits.tolist()
    [2, 1, 1, 0]
    >>> sorted((f"{h:.2f}", f"{value:.2f}") for h, value in zip(points.tolist(), values.tolist()))
    [('-1.00', '0.80'), ('0.00', '1.10'), ('1.00', '0.80')]
    """
    name = "fixed_points"
    check_cell(name, "cell", cell)
    tolerance = check_number(name, "tolerance", tolerance, above=0.0)
    iterations = check_size(name, "iterations", iterations)
    apart = check_number(name, "apart", apart, above=0.0)
    outline = outline_of_state(name, cell, params)
    _check_starts(name, starts, outline)
    _check_held(name, cell, params, outline, x)
    return _fixed_points(cell, tolerance, iterations, apart, params, starts, x)


def _check_starts(name: str, starts: State, outline: State) -> None:
    check_arguments(name, starts=starts)
    leaves = jax.tree.leaves(starts)
    count = leaves[0].shape[0] if leaves and is_array(leaves[0]) and leaves[0].ndim else 1
    expected = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype), outline
    )
    check_state(name, "starts", starts, expected, ": each leaf is (starts, ...)")
    if isinstance(count, int) and count == 0:
        raise ValueError(f"{name}: starts must hold at least one state, got none")


def _check_held(name: str, cell: Cell, params: Params, outline: State, x: PyTree) -> None:
    for where, leaf in leaves_of(name, "x", x):
        check_values(name, where, leaf)
    event_ndim = facts_of(cell).event_ndim
    batch = () if event_ndim is None else leading_of(name, "x", x, event_ndim, False)
    if batch:
        raise ValueError(
            f"{name}: x must be one input of {cell}, of {event_ndim} dimensions, without time and "
            f"batch; got the batch {batch}. For several inputs, jax.vmap it over them"
        )

    def step(state: State) -> State:
        return cell.apply(params, state, x)[0]

    with naming(name):
        jax.eval_shape(step, outline)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _fixed_points(
    cell: Cell,
    tolerance: float,
    iterations: int,
    apart: float,
    params: Params,
    starts: State,
    x: PyTree,
) -> FixedPoints:
    outline = outline_of_state("fixed_points", cell, params)
    step = vector_step(cell, outline, params, x)

    def one(start: State) -> tuple[Array, State, Array]:
        found = _search(cell, iterations, params, x, ravel(start, dtype_of(outline)))
        state = unravel(outline, found)
        found = ravel(state, found.dtype)
        return found, state, jax.lax.stop_gradient(norm(step(found) - found))

    ends, states, residuals = jax.vmap(one)(starts)
    order, hits = _different(jax.lax.stop_gradient(ends), residuals, tolerance, apart)
    ends, states, residuals = jax.tree.map(lambda leaf: leaf[order], (ends, states, residuals))
    jacobians = jax.vmap(jax.jacfwd(step))(jax.lax.stop_gradient(ends))
    values = jnp.linalg.eigvals(jax.lax.stop_gradient(jacobians))
    largest = jnp.argsort(-jnp.abs(values), axis=-1)
    values = jnp.take_along_axis(values, largest, axis=-1)
    return FixedPoints(states, residuals, hits, values, jnp.sum(hits > 0, dtype=jnp.int32))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _search(cell: Cell, iterations: int, params: Params, x: Array, start: Array) -> Array:
    """Where the search from one start ends."""
    step = vector_step(cell, outline_of_state("fixed_points", cell, params), params, x)

    def rest(h: Array) -> Array:
        return step(h) - h

    def goes_on(carry: tuple[Array, Array, Array, Array]) -> Array:
        _, r, damping, count = carry
        return (count < iterations) & (damping < STUCK) & jnp.any(r != 0)

    def improve(
        carry: tuple[Array, Array, Array, Array],
    ) -> tuple[Array, Array, Array, Array]:
        h, r, damping, count = carry
        jacobian = jax.jacfwd(rest)(h)
        normal = jacobian.T @ jacobian + damping * jnp.eye(h.size, dtype=h.dtype)
        tried = h - jnp.linalg.solve(normal, jacobian.T @ r)
        remaining = rest(tried)
        better = jnp.sum(remaining**2) < jnp.sum(r**2)  # never of what is not finite
        h, r = jnp.where(better, tried, h), jnp.where(better, remaining, r)
        return h, r, damping * jnp.where(better, 0.3, 3.0).astype(h.dtype), count + 1

    damping, count = jnp.full((), DAMPING, start.dtype), jnp.zeros((), jnp.int32)
    return jax.lax.while_loop(goes_on, improve, (start, rest(start), damping, count))[0]


@_search.defjvp
def _search_jvp(
    cell: Cell,
    iterations: int,
    primals: tuple[Params, Array, Array],
    tangents: tuple[Params, Array, Array],
) -> tuple[Array, Array]:
    """From h = f(h, p): (1 − ∂f/∂h) dh = ∂f/∂p dp. Where it started from does not matter."""
    params, x, start = primals
    h = _search(cell, iterations, params, x, start)
    outline = outline_of_state("fixed_points", cell, params)

    def after(params: Params, x: Array) -> Array:
        return vector_step(cell, outline, params, x)(h)

    _, moved = jax.jvp(after, (params, x), tangents[:2])
    jacobian = jax.jacfwd(vector_step(cell, outline, params, x))(h)
    return h, jnp.linalg.solve(jnp.eye(h.size, dtype=h.dtype) - jacobian, moved)


def _different(
    ends: Array, residuals: Array, tolerance: float, apart: float
) -> tuple[Array, Array]:
    """The order of the rows, and the hits of each in this order.

    The ends are taken with the smallest residual first; one that converged joins the nearest point
    so far, or is a new one.
    """
    first = jnp.argsort(residuals)
    ends, good = ends[first], residuals[first] <= tolerance

    def join(index: Array, hits: Array) -> Array:
        distances = norm(ends - ends[index][None])
        near = jnp.where(hits > 0, distances, jnp.full_like(distances, jnp.inf))
        nearest = jnp.argmin(near)
        home = jnp.where(near[nearest] < apart, nearest, index)
        return hits.at[home].add(good[index].astype(jnp.int32))

    count = ends.shape[0]
    hits = jax.lax.fori_loop(0, count, join, jnp.zeros(count, jnp.int32))
    kind = jnp.where(hits > 0, 0, jnp.where(good, 2, 1))
    order = jnp.lexsort((-hits, kind))
    return first[order], hits[order]
