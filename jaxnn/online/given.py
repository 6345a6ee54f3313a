"""What the functions of a learner are given, checked before anything runs."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.functions.sequences import check_valid_fit
from jaxnn.internal.checks import (
    check_arguments,
    check_array,
    check_batch_shape,
    check_flags,
    check_key,
    check_state,
    is_array,
    is_key,
    leaves_by_path,
    outline_text,
    told_apart,
)
from jaxnn.internal.inputs import leading_of, leaves_of
from jaxnn.online.sequence import Trace, divide
from jaxnn.types import ArrayLike, Cell, Key, Params, PyTree, Shape, State, facts_of


def check_params(name: str, params: Params) -> None:
    """Raise unless a gradient can be taken of every parameter."""
    if not jax.tree.leaves(params):
        raise ValueError(f"{name}: params hold no arrays, so there is nothing to learn")
    check_arguments(name, "params", params=params)
    for path, leaf in leaves_by_path(name, "params", params):
        dtype = jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(
                f"{name}: params{jax.tree_util.keystr(path)} must be floating, since a gradient is "
                f"taken, got {dtype}"
            )


def check_first(name: str, cell: Cell, params: Params, batch: Shape) -> State:
    """The shapes of the first state, which has something to learn by."""
    check_batch_shape(name, batch)
    single = jax.eval_shape(cell.initial_state, params)
    for leaf in jax.tree.leaves(single):
        if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
            raise TypeError(f"{name}: a state of complex numbers is not learned, {leaf.dtype}")
    if not divide(single)[0]:
        raise ValueError(
            f"{name}: its state, {outline_text(single)}, holds no floating numbers: nothing goes "
            f"from step to step that could be learned"
        )
    return jax.eval_shape(lambda params: cell.initial_state(params, batch), params)


def batch_of_state(name: str, cell: Cell, params: Params, state: State) -> Shape:
    """The batch shape of a state, which must be one of the cell."""
    check_arguments(name, state=state)
    single = check_first(name, cell, params, ())
    got, want = jax.tree.leaves(state), jax.tree.leaves(single)
    batch: Shape = ()
    if jax.tree.structure(state) == jax.tree.structure(single):
        batch = tuple(got[0].shape[: max(got[0].ndim - want[0].ndim, 0)])
    check_state(name, "state", state, check_first(name, cell, params, batch))
    return batch


def check_like(name: str, argument: str, tree: PyTree, expected: PyTree, hint: str) -> None:
    """Raise unless a tree has the structure, shapes and dtypes of another one; `hint` says where
    the right one comes from."""
    if jax.tree.structure(tree) != jax.tree.structure(expected):
        want, got = told_apart(expected, tree)
        raise TypeError(f"{name}: {argument} must be {want}, {hint}; got {got}")
    check_arguments(name, **{argument: tree})
    check_state(name, argument, tree, expected, f", {hint}")


def check_output(name: str, y: PyTree) -> None:
    """Raise unless a loss has a derivative by all of an output."""
    for path, leaf in leaves_by_path(name, "y", y):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(
                f"{name}: y{jax.tree_util.keystr(path)} must be floating, since a gradient is "
                f"taken, got {leaf.dtype}"
            )


def key_like(trace: Trace) -> jax.ShapeDtypeStruct:
    """The type of one key, as those in a trace are."""
    for leaf in jax.tree.leaves(trace):
        if is_array(leaf) and is_key(leaf):
            return jax.ShapeDtypeStruct((), leaf.dtype)
    return jax.eval_shape(lambda: jax.random.key(0))


def check_inputs(
    name: str,
    argument: str,
    x: PyTree,
    leading: Shape,
    key: Key | None,
    reset: ArrayLike | None,
    mask: ArrayLike | None,
) -> None:
    """Raise unless the input begins with the batch (after time), and flags cover exactly that."""
    check_key(name, key)
    for where, leaf in leaves_of(name, argument, x):
        check_array(name, where, leaf)
        check_leading(name, where, leaf, leading)
        check_valid_fit(name, where, leaf, mask)
    for flags, value in (("reset", reset), ("mask", mask)):
        if value is not None:
            check_array(name, flags, value)
            check_flags(name, flags, value, leading, argument)


def check_leading(name: str, argument: str, x: PyTree, leading: Shape) -> None:
    """Raise unless an array begins with some dimensions."""
    if tuple(x.shape[: len(leading)]) != leading:
        raise ValueError(
            f"{name}: {argument} must begin with the dimensions {leading}, got the shape "
            f"{tuple(x.shape)}"
        )


def check_targets(name: str, targets: PyTree, leading: Shape) -> None:
    """Raise unless targets are arrays with a row for each step and sequence."""
    if not jax.tree.leaves(targets):
        raise TypeError(f"{name}: targets must hold arrays, got {targets!r}")
    for path, leaf in leaves_by_path(name, "targets", targets):
        where = f"targets{jax.tree_util.keystr(path)}"
        check_array(name, where, leaf)
        check_leading(name, where, leaf, leading)


def batch_of_sequence(name: str, cell: Cell, xs: PyTree) -> Shape:
    """The batch shape of a sequence that no state is given for."""
    event_ndim: Any = facts_of(cell).event_ndim
    if event_ndim is None:
        raise ValueError(
            f"{name}: how many dimensions of xs are batch is not known of {cell}: give state and "
            f"trace, which say so"
        )
    return leading_of(name, "xs", xs, event_ndim, True)[1:]
