"""A cell whose output is multiplied by a gate of the input."""

import functools
from typing import Generic, NamedTuple, TypeVar

import jax

from jaxnn.internal.checks import check_array, naming, shape_text, split_key
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.parameters import check_kind, init_checked
from jaxnn.recurrence.arguments import Arguments
from jaxnn.recurrence.cell import check_cell
from jaxnn.recurrence.unroll import hands_on, unroll_by
from jaxnn.transforms.stack import stack
from jaxnn.types import (
    Array,
    Cell,
    Key,
    Layer,
    PyTree,
    State,
    appears_as,
    exportable,
    facts_of,
    with_facts,
)

P = TypeVar("P")
Q = TypeVar("Q")
S = TypeVar("S")


@exportable
class GatedByParams(NamedTuple, Generic[P, Q]):
    """The parameters of the cell, and those of the gate."""

    cell: P
    gate: Q


@factory
def gated_by(cell: Cell[P, S], gate: Layer[Q]) -> Cell[GatedByParams[P, Q], S]:
    """y = f(x)∘g(x): a cell's output, multiplied by a gate that sees the same input.

    With an activation that lets one half through, it is the branch of a block as Mamba and Griffin
    have it: `gated_by(stack(dense, causal_conv, rg_lru), serial(dense, activation(jax.nn.gelu)))`.

    Args:
      cell: any Cell.
      gate: a Layer that acts on each step by itself, whose output is like that of the cell.

    Returns:
      A Cell with `GatedByParams`, and the states of `cell`. Given a key, each part gets one of its
      own.

    Raises:
      TypeError: for anything else; when it runs, where the dtypes of f(x) and g(x) differ.
      ValueError: when it runs, where their shapes differ.

    Source: Dauphin et al. 2017 (arXiv 1612.08083); around a recurrence, De et al. 2024 (arXiv
    2402.19427), section 2.3, and Gu & Dao 2023 (arXiv 2312.00752), section 3.4.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> gate = jaxnn.serial(jaxnn.dense(3, 4), jaxnn.activation(jax.nn.silu))
    >>> cell = jaxnn.gated_by(jaxnn.min_gru(3, 4), gate)
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 2, 3)))
    >>> ys.shape
    (5, 2, 4)
    """
    check_cell("gated_by", "cell", cell)
    if not isinstance(gate, Layer):
        raise TypeError(f"gated_by: gate must be a Layer, got {gate!r}")
    name = this_call()
    # A stack runs a Layer over time: masked steps, and its errors, are its business.
    parts = cell, stack(gate)
    init = functools.partial(init_checked, name, functools.partial(_init, parts))
    return Cell(
        with_facts(init, facts_of(cell).event_ndim),
        functools.partial(_apply, name, parts),
        functools.partial(_initial_state, name, parts),
        unroll_by(_run, name, parts),
    )


def _init(parts: tuple[Cell, Cell], key: Key) -> GatedByParams:
    keys = jax.random.split(key)
    params, (gate,) = (part.init(k) for part, k in zip(parts, keys, strict=True))
    return GatedByParams(params, gate)


@appears_as("apply")
def _apply(
    name: str,
    parts: tuple[Cell, Cell],
    params: GatedByParams,
    state: State,
    x: PyTree,
    key: Key | None = None,
) -> tuple[State, Array]:
    check_kind(name, params, GatedByParams)
    keys = split_key(f"{name}.apply", key, 2)
    with naming(f"{name}.apply"):
        state, y = parts[0].apply(params.cell, state, x, keys[0])
        _, gate = parts[1].apply((params.gate,), ((),), x, keys[1])
    return state, _multiplied(name, y, gate)


@appears_as("initial_state")
def _initial_state(
    name: str,
    parts: tuple[Cell, Cell],
    params: GatedByParams,
    batch_shape: tuple[int, ...] = (),
) -> State:
    check_kind(name, params, GatedByParams)
    with naming(f"{name}.initial_state"):
        return parts[0].initial_state(params.cell, batch_shape)


@hands_on
def _run(
    name: str, parts: tuple[Cell, Cell], params: GatedByParams, arguments: Arguments
) -> tuple[State, Array]:
    check_kind(name, params, GatedByParams)
    keys = split_key(f"{name}.unroll", arguments.key, 2)
    state, ys = parts[0].unroll(params.cell, *arguments._replace(key=keys[0]))
    alone = Arguments(arguments.xs, mask=arguments.mask, key=keys[1])
    _, gates = parts[1].unroll((params.gate,), *alone)
    return state, _multiplied(name, ys, gates)


def _multiplied(name: str, y: PyTree, gate: PyTree) -> Array:
    check_array(name, "the output of the cell", y)
    check_array(name, "the gate", gate)
    if y.shape != gate.shape or y.dtype != gate.dtype:
        error = ValueError if y.shape != gate.shape else TypeError
        raise error(
            f"{name}: the gate must be as the output of the cell, {shape_text(y)}, to be "
            f"multiplied with it; got {shape_text(gate)}"
        )
    return y * gate
