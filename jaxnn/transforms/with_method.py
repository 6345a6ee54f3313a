"""The same cell, run by a method that is asked for."""

import functools
from typing import Any, TypeVar, overload

from jaxnn.internal.checks import naming
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_option
from jaxnn.internal.parameters import init_checked
from jaxnn.recurrence.arguments import Arguments
from jaxnn.recurrence.inner import apply_of, initial_state_of, unroll_inner
from jaxnn.recurrence.methods import BY_NAME, asking
from jaxnn.recurrence.unroll import hands_on, sequence_unroll_by, unroll_by
from jaxnn.types import (
    ArrayLike,
    Cell,
    Key,
    Params,
    PyTree,
    SequenceLayer,
    State,
    appears_as,
    facts_of,
    with_facts,
)

P = TypeVar("P")
S = TypeVar("S")


@overload
def with_method(model: Cell[P, S], method: str) -> Cell[P, S]:
    """Of a Cell."""


@overload
def with_method(model: SequenceLayer[P, S], method: str) -> SequenceLayer[P, S]:
    """Of a SequenceLayer."""


@factory
def with_method(model: Cell | SequenceLayer, method: str) -> Cell | SequenceLayer:
    """The same model, each of whose recurrences runs by the method that is named.

    By default each runs by the first method that takes it, which `jaxnn.explain` shows.

    Args:
      model: a Cell, or a SequenceLayer such as `bidirectional` makes.
      method: "sequential" (the plain scan, with JAX's own derivative), "fast" (the derivative rule
        of a split), "whole steps" (half of it, where units are mixed), "blocks" (a split, in blocks
        of time), "at once" (what needs no loop, such as `causal_conv`), "linear" (a linear
        recurrence, as the platform likes it), or that by name: "scan", "associative", "chunked".

    Returns:
      The same kind of thing, with the same params, states and numbers (but for rounding). `apply`
      is one step in any case.

    Raises:
      TypeError: for anything else.
      ValueError: for an unknown method; when it runs, where the method refuses a recurrence.

    >>> import jax.numpy as jnp, jaxnn
    >>> jaxnn.explain(jaxnn.with_method(jaxnn.gru(3, 4), "sequential"), jnp.ones((5, 3)))
    gru(3, 4) over float32[5, 3]: sequential
    """
    if not isinstance(model, (Cell, SequenceLayer)):
        raise TypeError(f"with_method: model must be a Cell or a SequenceLayer, got {model!r}")
    check_option("with_method", "method", method, tuple(BY_NAME))
    name = this_call()
    facts = facts_of(model)
    init = functools.partial(init_checked, name, model.init)
    init = with_facts(init, facts.event_ndim, facts.each_step)
    if isinstance(model, Cell):
        return Cell(
            init,
            apply_of(name, model),
            initial_state_of(name, model),
            unroll_by(_run, name, model, method),
        )
    unroll = sequence_unroll_by(_run, name, model, method)
    return SequenceLayer(init, functools.partial(_apply, unroll), unroll, model.pools)


@hands_on
def _run(
    name: str, model: Cell | SequenceLayer, method: str, params: Params, arguments: Arguments
) -> tuple[State, PyTree]:
    with naming(name), asking(method):
        return unroll_inner(model, params, arguments)


@appears_as("apply")
def _apply(
    unroll: Any, params: Params, x: PyTree, mask: ArrayLike | None = None, key: Key | None = None
) -> PyTree:
    return unroll(params, x, None, mask, None, key)[1]
