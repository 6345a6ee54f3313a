"""SnAp-1: of the influence only what a parameter does to its own unit.

Where the last axis of every parameter is the unit, and a step lets a parameter act on its own unit
alone, J has one number for each parameter and leaf of the state, and goes forward by

    J_t[k] = Σ_l D_t[k, l] ∘ J_{t−1}[l] + I_t[k]

with D[k, l] the diagonal of ∂s_k/∂s_l. I[k] is one vjp with ones, since the units stay apart. Where
the recurrence is diagonal too, nothing is left out, and it is the gradient.

What a loss says of y_t goes through the whole of step t and meets J_{t−1}: that step is not cut.
The paper reads J_t instead, which has lost the other units at t already.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.internal.checks import shape_text
from jaxnn.online.pattern import MixesUnitsError, check_apart, diagonal, tangent_jaxpr
from jaxnn.online.sequence import First, Leaves, Rule, Run, dtype_for
from jaxnn.types import Array, Key, Params, PyTree, exportable


@exportable
class UnitTrace(NamedTuple):
    """For each floating leaf of the state, an array for each parameter: `(*batch, *parameter)`."""

    influence: list[Params]


def unit_rule() -> Rule:
    """The rule of SnAp-1."""

    def begin(first: First, params: Params, key: Key | None) -> UnitTrace:
        del key
        leaves = first(params)
        units = _units_of(params, leaves)
        _check_apart("initial_state", first, params, units)
        dtype = dtype_for(leaves, params)
        return UnitTrace(_immediate(jax.vjp(first, params)[1], leaves, dtype))

    def again(first: First, params: Params, trace: UnitTrace) -> UnitTrace:
        del trace
        return begin(first, params, None)

    def advance(
        run: Run, params: Params, leaves: Leaves, trace: UnitTrace
    ) -> tuple[Leaves, UnitTrace, PyTree]:
        units = _units_of(params, leaves)
        _check_apart("apply", lambda params: run(params, leaves)[0], params, units)
        new, pull, aux = jax.vjp(lambda params: run(params, leaves), params, has_aux=True)
        closed = tangent_jaxpr(lambda leaves: run(params, leaves)[0], leaves)
        try:
            dots = closed.jaxpr.invars[len(leaves) :]
            slopes = diagonal(closed, units, leaves, dots)
        except MixesUnitsError as error:
            raise _refused("apply", "the state", error) from None
        dtype = jax.tree.leaves(trace.influence)[0].dtype
        rows = _immediate(pull, new, dtype)
        for row, coefficients in enumerate(slopes):
            for old, slope in zip(trace.influence, coefficients, strict=True):
                if slope is not None:
                    rows[row] = _plus(rows[row], slope.astype(dtype), old)
        return new, UnitTrace(rows), aux

    return Rule(begin, again, advance, _read)


def _read(params: Params, trace: UnitTrace, leaves_bar: Leaves) -> Params:
    def through(leaf: Any, *influences: Array) -> Array:
        terms = [
            _per_unit(bar.astype(influence.dtype), influence) * influence
            for bar, influence in zip(leaves_bar, influences, strict=True)
        ]
        return sum(terms[1:], terms[0]).astype(jnp.result_type(leaf))

    return jax.tree.map(through, params, *trace.influence)


def _plus(rows: Params, slope: Array, old: Params) -> Params:
    """rows + slope ∘ old."""
    return jax.tree.map(lambda new, old: new + _per_unit(slope, old) * old, rows, old)


def _immediate(pull: Any, leaves: Leaves, dtype: jnp.dtype) -> list[Params]:
    """I[k], by one vjp with ones for each leaf of the state."""
    picks = jnp.eye(len(leaves), dtype=bool)
    ones = [
        jnp.broadcast_to(jnp.expand_dims(pick, 1), (len(leaves), leaf.size)).astype(leaf.dtype)
        for pick, leaf in zip(picks, leaves, strict=True)
    ]
    (rows,) = jax.vmap(pull)(ones)
    return [
        jax.tree.map(lambda leaf, row=row: leaf[row].astype(dtype), rows)
        for row in range(len(leaves))
    ]


def _units_of(params: Params, leaves: Leaves) -> int:
    """How many units there are.

    Raises:
      ValueError: where a state is no vector of units, or a parameter's last axis is not the unit.
    """
    shapes = {leaf.shape for leaf in leaves}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        listed = ", ".join(map(shape_text, leaves))
        raise ValueError(
            f"'unit' is for cells whose state is a vector of units, (hidden,) in each leaf "
            f"for one sequence; got {listed}: use method='exact' or 'uoro'"
        )
    ((units,),) = shapes
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if np.ndim(leaf) == 0 or np.shape(leaf)[-1] != units:
            where = f"params{jax.tree_util.keystr(path)}"
            raise ValueError(
                f"'unit' is for cells whose parameters have the unit as their last axis, "
                f"{units} here; {where} has the shape {np.shape(leaf)}: use method='exact' or "
                f"'uoro', or make a stack of the cell and what reads it"
            )
    return units


def _check_apart(where: str, function: First, params: Params, units: int) -> None:
    leaves, structure = jax.tree.flatten(params)
    closed = tangent_jaxpr(lambda leaves: function(structure.unflatten(leaves)), leaves)
    try:
        check_apart(closed, units, closed.jaxpr.invars[len(leaves) :])
    except MixesUnitsError as error:
        raise _refused(where, "the parameters", error) from None


def _refused(where: str, of: str, error: MixesUnitsError) -> ValueError:
    return ValueError(
        f"'unit' is for cells in which a parameter acts on its own unit within a step, and "
        f"in {where}, followed from {of}, {error}: use method='exact' or 'uoro'"
    )


def _per_unit(vector: Array, like: Array) -> Array:
    """A vector of one number a unit, with the rank of `like`."""
    return jnp.expand_dims(vector, tuple(range(like.ndim - 1)))
