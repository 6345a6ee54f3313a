"""x + f(x), for a Layer and for a Cell."""

import functools
from typing import TypeVar, overload

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.functions.sequences import check_valid_fit, clean, clean_tree
from jaxnn.internal.checks import check_array, naming, shape_text, told_apart
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.parameters import init_checked
from jaxnn.recurrence.arguments import Arguments
from jaxnn.recurrence.inner import apply_inner, initial_state_of, unroll_inner
from jaxnn.recurrence.unroll import hands_on, sequence_unroll_by, unroll_by
from jaxnn.types import (
    Array,
    ArrayLike,
    Cell,
    Key,
    Layer,
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
def residual(inner: Layer[P]) -> Layer[P]:
    """Of a Layer."""


@overload
def residual(inner: SequenceLayer[P, S]) -> SequenceLayer[P, S]:
    """Of a SequenceLayer."""


@overload
def residual(inner: Cell[P, S]) -> Cell[P, S]:
    """Of a Cell."""


@factory
def residual(inner: Layer | SequenceLayer | Cell) -> Layer | SequenceLayer | Cell:
    """Add the input to the output: y = x + f(x).

    Args:
      inner: a Layer, a SequenceLayer or a Cell whose output has the shape and dtype of its input.

    Returns:
      The same kind of thing, with the same params and states.

    Raises:
      TypeError: for anything else; when it runs, where the dtypes of x and f(x) differ.
      ValueError: when it runs, where their shapes differ.

    Source: He et al. 2015 (arXiv 1512.03385); between recurrent layers, Wu et al. 2016 (arXiv
    1609.08144).

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.residual(jaxnn.gru(3, 3))
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 2, 3)))
    >>> ys.shape
    (5, 2, 3)
    """
    if not isinstance(inner, (Layer, SequenceLayer, Cell)):
        raise TypeError(f"residual: inner must be a Layer or a Cell, got {inner!r}")
    name = this_call()
    facts = facts_of(inner)
    init = functools.partial(init_checked, name, inner.init)
    init = with_facts(init, facts.event_ndim, facts.each_step)
    if isinstance(inner, Cell):
        return Cell(
            init,
            functools.partial(_apply_cell, name, inner),
            initial_state_of(name, inner),
            unroll_by(_run, name, inner),
        )
    apply = functools.partial(_apply_layer, name, inner)
    if isinstance(inner, Layer):
        return Layer(init, apply)
    return SequenceLayer(init, apply, sequence_unroll_by(_run, name, inner))


@appears_as("apply")
def _apply_layer(
    name: str,
    inner: Layer | SequenceLayer,
    params: Params,
    x: ArrayLike,
    mask: ArrayLike | None = None,
    key: Key | None = None,
) -> Array:
    check_array(name, "x", x)
    check_valid_fit(name, "x", x, mask)
    with naming(name):
        y = inner.apply(params, x, mask, key)  # which checks the mask
    return _add(name, clean(name, x, mask), y)


@appears_as("apply")
def _apply_cell(
    name: str, cell: Cell, params: Params, state: State, x: PyTree, key: Key | None = None
) -> tuple[State, PyTree]:
    state, y = apply_inner(name, cell, params, state, x, key)
    return state, _add_tree(name, x, y)


@hands_on
def _run(
    name: str, inner: Cell | SequenceLayer, params: Params, arguments: Arguments
) -> tuple[State, PyTree]:
    state, ys = unroll_inner(inner, params, arguments)
    return state, _add_tree(name, clean_tree(name, arguments.xs, arguments.mask, "xs"), ys)


def _add_tree(name: str, x: PyTree, y: PyTree) -> PyTree:
    if jax.tree.structure(x) != jax.tree.structure(y):
        want, got = told_apart(x, y)
        raise TypeError(
            f"{name}: the output must be as its input, {want}, to be added to it; got {got}"
        )
    return jax.tree.map(functools.partial(_add, name), x, y)


def _add(name: str, x: PyTree, y: PyTree) -> Array:
    check_array(name, "the output", y)
    if np.shape(x) != np.shape(y) or jnp.result_type(x) != jnp.result_type(y):
        error = ValueError if np.shape(x) != np.shape(y) else TypeError
        raise error(
            f"{name}: the output must be as its input, {shape_text(x)}, to be added to it; "
            f"got {shape_text(y)}"
        )
    return x + y
