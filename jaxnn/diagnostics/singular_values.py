"""Singular values of the Jacobian over many steps."""

import functools
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from jaxnn.diagnostics.vectors import (
    check_run_of,
    dtype_of,
    outline_of_state,
    over_batch,
    ravel,
    vector_step,
)
from jaxnn.functions.sequences import zero_masked
from jaxnn.internal.inputs import front, time_of
from jaxnn.internal.options import check_size
from jaxnn.types import Array, ArrayLike, Cell, Params, PyTree, State

P = TypeVar("P")
S = TypeVar("S")


def gap_singular_values(
    cell: Cell[P, S],
    params: P,
    xs: PyTree,
    gap: int,
    state: S | None = None,
    mask: ArrayLike | None = None,
) -> Array:
    """The singular values of d state / d state `gap` steps before, all along a sequence.

        J_{t+gap−1} ⋯ J_{t+1} J_t,   t = 0, 1, …, time − gap

    They say by how much a gradient can grow or shrink over the gap: all near 0, it vanishes
    whatever its direction; the largest far above 1, it can explode.

    Args:
      cell: any Cell.
      params, xs, state, mask: as for `cell.unroll`. The sequence is one segment: no resets.
      gap: how many steps, from 1 to the number of steps.

    Returns:
      `(time − gap + 1, *batch, size)`, the largest first, in the dtype of `step_jacobian`: row t is
      of the steps t to t + gap − 1; NaN where one of them is masked, since there the gap is not so
      many steps. The products are kept in range; what is below size · ε times the largest cannot be
      told from zero, and is given as 0. It takes memory for a matrix a step.

    Raises:
      ValueError: for a gap of more steps than there are.
      ValueError, TypeError: for what `cell.unroll` and `step_jacobian` would refuse.

    Source: Pascanu, Mikolov & Bengio 2013 (arXiv 1211.5063), section 2; the spectrum as a whole,
    Chen, Pennington & Schoenholz 2018 (arXiv 1806.05394).

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.elman(3, 4)                    # its W is orthogonal
    >>> params, xs = cell.init(jax.random.key(0)), jnp.zeros((20, 3))
    >>> values = jaxnn.diagnostics.gap_singular_values(cell, params, xs, 10)
    >>> values.shape, bool(jnp.allclose(values, 1, atol=1e-5))
    ((11, 4), True)
    """
    name = "gap_singular_values"
    batch = check_run_of(name, cell, params, xs, state, mask)
    gap, time = check_size(name, "gap", gap), time_of(xs)
    if isinstance(time, int) and gap > time:
        raise ValueError(f"{name}: gap must be at most the number of steps, {time}; got {gap}")
    jacobians = _jacobians(cell, len(batch), params, xs, state, mask)
    return _singular_values(gap, len(batch), jacobians, mask)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _jacobians(
    cell: Cell,
    dimensions: int,
    params: Params,
    xs: PyTree,
    state: State | None,
    mask: ArrayLike | None,
) -> Array:
    """Those of all steps, `(time, *batch, size, size)`: the same for every gap."""
    outline = outline_of_state("gap_singular_values", cell, params)
    xs = zero_masked(xs, mask)
    if state is None:
        state = cell.initial_state(params, front(xs, 1 + dimensions)[1:])

    def one(xs: PyTree, state: State, mask: ArrayLike | None) -> Array:
        def step(vector: Array, now: tuple[ArrayLike, ArrayLike | None]) -> tuple[Array, Array]:
            x, valid = now
            new = vector_step(cell, outline, params, x)(vector)
            return new if valid is None else jnp.where(valid, new, vector), vector

        def jacobian(vector: Array, x: PyTree) -> Array:
            return jax.jacfwd(vector_step(cell, outline, params, x))(vector)

        _, before = jax.lax.scan(step, ravel(state, dtype_of(outline)), (xs, mask))
        return jax.vmap(jacobian)(before, xs)

    return over_batch(one, dimensions, (1, 0, 1), 1)(xs, state, mask)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _singular_values(gap: int, dimensions: int, jacobians: Array, mask: ArrayLike | None) -> Array:
    def one(jacobians: Array, mask: ArrayLike | None) -> Array:
        products = _over_gap(jacobians, gap)
        if mask is None:
            return _values(products)
        steps = jnp.concatenate([jnp.zeros(1, jnp.int32), mask.astype(jnp.int32)])
        passed = jnp.cumsum(steps, dtype=jnp.int32)
        whole = passed[gap:] - passed[:-gap] == gap
        identity = jnp.eye(jacobians.shape[-1], dtype=jacobians.dtype)
        matrices = jnp.where(whole[:, None, None], products.matrices, identity)
        values = _values(_Products(matrices, products.logs))
        return jnp.where(whole[:, None], values, jnp.full_like(values, jnp.nan))

    return over_batch(one, dimensions, (1, 1), 1)(jacobians, mask)


class _Products(NamedTuple):
    """Products of consecutive matrices, `(windows, size, size)`, to be multiplied by exp(logs)."""

    matrices: Array
    logs: Array


def _over_gap(matrices: Array, gap: int) -> _Products:
    """The products of all windows of `gap` matrices, by doubling: about 2 log₂ gap products."""
    power = _Products(matrices, jnp.zeros(matrices.shape[:1], matrices.dtype))
    width, done, found = 1, 0, None
    while gap:
        if gap & 1:
            found = power if found is None else _joined(found, power, done)
            done += width
        gap >>= 1
        if gap:
            power, width = _joined(power, power, width), 2 * width
    assert found is not None
    return found


def _joined(earlier: _Products, later: _Products, width: int) -> _Products:
    """Windows of `width` matrices, and those that begin where they end."""
    later = _Products(*(part[width:] for part in later))
    earlier = _Products(*(part[: later.logs.shape[0]] for part in earlier))
    product = later.matrices @ earlier.matrices
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(product), axis=(1, 2)))
    largest = jnp.where(largest > 0, largest, jnp.ones_like(largest))
    return _Products(product / largest[:, None, None], earlier.logs + later.logs + jnp.log(largest))


def _values(products: _Products) -> Array:
    """Those that can be told from zero, and zeros."""
    values = jnp.linalg.svd(products.matrices, compute_uv=False)
    floor = values.shape[-1] * jnp.finfo(values.dtype).eps * values[:, :1]
    values = jnp.where(values > floor, values, jnp.zeros_like(values))
    return values * jnp.exp(products.logs)[:, None]
