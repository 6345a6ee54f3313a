"""How often each unit of a gate is shut or open."""

import functools
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from jaxnn.diagnostics.gate_values import check_gated, gates
from jaxnn.diagnostics.vectors import check_run_of
from jaxnn.functions.sequences import expand_to, zero_masked
from jaxnn.internal.inputs import front
from jaxnn.internal.options import check_number
from jaxnn.scans.boundaries import boundaries
from jaxnn.scans.sequential import scan
from jaxnn.types import Array, ArrayLike, Cell, Params, PyTree, State, exportable

P = TypeVar("P")
S = TypeVar("S")


@exportable
class GateSaturation(NamedTuple):
    """The shares of all valid steps at which each unit is saturated.

    left: below the lower threshold; right: above the upper one. Each is the NamedTuple of the
    cell's gates, with an array `(hidden,)`, or `(*spatial, hidden)`, for each.
    """

    left: PyTree
    right: PyTree


def gate_saturation(
    cell: Cell[P, S],
    params: P,
    xs: PyTree,
    state: S | None = None,
    mask: ArrayLike | None = None,
    low: float = 0.1,
    high: float = 0.9,
) -> GateSaturation:
    """The shares of steps at which each unit of each gate is below `low` and above `high`.

    A forget gate that is nearly always above: a unit that integrates. One that is nearly always
    below: a unit without memory, as in a feed-forward network.

    Args:
      cell: a gated cell of the library, as for `jaxnn.gates`.
      params, xs, state, mask: as for `cell.unroll`; masked steps do not count.
      low, high: the thresholds, for all gates. Those of a sigmoid lie between 0 and 1; candidates
        such as g and n between −1 and 1: for them, call it again with −0.9 and 0.9.

    Returns:
      GateSaturation, over all valid steps of all sequences, in the dtype of the state; NaN where
      there is no valid step.

    Raises:
      TypeError: for a cell that has no gates to show, and thresholds that are no numbers.
      ValueError: for thresholds of which the lower one is not the smaller one.
      ValueError, TypeError: for what `cell.unroll` would refuse.

    Source: Karpathy, Johnson & Fei-Fei 2015 (arXiv 1506.02078), section 4.2.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.lstm(3, 2)
    >>> params = cell.init(jax.random.key(0))
    >>> params = params._replace(bias=params.bias.at[1].set(jnp.array([9.0, -9.0])))
    >>> found = jaxnn.diagnostics.gate_saturation(cell, params, jnp.zeros((5, 8, 3)))
    >>> found.left.f.tolist(), found.right.f.tolist()
    ([0.0, 1.0], [1.0, 0.0])
    """
    name = "gate_saturation"
    low, high = check_number(name, "low", low), check_number(name, "high", high)
    if not low < high:
        raise ValueError(f"{name}: low must be below high, got low={low} and high={high}")
    check_gated(name, cell)
    batch = check_run_of(name, cell, params, xs, state, mask)
    return _saturation(cell, low, high, len(batch), params, xs, state, mask)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _saturation(
    cell: Cell,
    low: float,
    high: float,
    dimensions: int,
    params: Params,
    xs: PyTree,
    state: State | None,
    mask: ArrayLike | None,
) -> GateSaturation:
    xs, leading = zero_masked(xs, mask), front(xs, 1 + dimensions)
    if state is None:
        state = cell.initial_state(params, leading[1:])

    def step(state: State, x: Array) -> tuple[State, GateSaturation]:
        values = gates(cell, params, state, x)
        beyond = GateSaturation(
            jax.tree.map(lambda gate: gate < low, values),
            jax.tree.map(lambda gate: gate > high, values),
        )
        return cell.apply(params, state, x)[0], beyond

    at = boundaries(mask, None, False)
    _, (_, beyond) = scan("gate_saturation", step, xs, state, state, at, False)
    valid = jnp.ones(leading, jnp.bool_) if mask is None else mask
    dtype = jax.tree.leaves(state)[0].dtype
    steps = jnp.sum(valid, dtype=jnp.int32).astype(dtype)

    def share(flags: Array) -> Array:
        axes = tuple(range(1 + dimensions))
        counted = jnp.sum(flags & expand_to(valid, flags), axis=axes, dtype=jnp.int32)
        return counted.astype(dtype) / steps

    return jax.tree.map(share, beyond)
