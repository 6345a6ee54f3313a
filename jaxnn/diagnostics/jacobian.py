"""The Jacobian of a step by its state: as a matrix, and as products with it."""

import functools
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from jaxnn.diagnostics.vectors import (
    check_step_of,
    dtype_of,
    outline_of_state,
    over_batch,
    ravel,
    vector_step,
)
from jaxnn.internal.checks import check_arguments, check_state
from jaxnn.types import Array, Cell, Params, PyTree, State

P = TypeVar("P")
S = TypeVar("S")


def step_jacobian(cell: Cell[P, S], params: P, state: S, x: PyTree) -> Array:
    """The Jacobian of a step, d new state / d old state, one matrix for each sequence.

        J[i, j] = ∂ s'[i] / ∂ s[j],   s', y = apply(params, s, x)

    The leaves of the state stand in s one after the other, as `jax.tree.leaves` gives them and each
    flattened: of an LSTM first `hidden`, then `cell`. Each sequence takes its step by itself (the
    step without batch dimensions, under `vmap`), so that the batch is never mixed, also where the
    cell would.

    Args:
      cell: any Cell; where it is made of others, its state is the whole tree of theirs.
      params, state, x: as for `cell.apply`, with any batch dimensions; there is no key, so no noise
        and no dropout.

    Returns:
      `(*batch, size, size)`, with size the numbers in one sequence's state; float64 where a leaf of
      the state is, else float32. It can be jitted, mapped and differentiated.

    Raises:
      ValueError: for a cell whose state is empty.
      TypeError: for a state that is not floating.
      ValueError, TypeError: for params, state and x that `cell.apply` would refuse.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.elman(3, 2, activation=jax.nn.relu)
    >>> params = cell.init(jax.random.key(0))
    >>> params = params._replace(recurrent_kernel=jnp.array([[1.0, 2.0], [3.0, 4.0]])[:, None])
    >>> state = jaxnn.ElmanState(jnp.ones((5, 2)))
    >>> J = jaxnn.diagnostics.step_jacobian(cell, params, state, jnp.zeros((5, 3)))
    >>> J.shape, J[0].tolist()                      # h' = h W: the Jacobian is W transposed
    ((5, 2, 2), [[1.0, 3.0], [2.0, 4.0]])
    """
    dimensions = check_step_of("step_jacobian", cell, params, state, x)
    return dense(cell, dimensions, params, state, x)


@functools.partial(jax.jit, static_argnums=(0, 1))
def dense(cell: Cell, dimensions: int, params: Params, state: State, x: PyTree) -> Array:
    """`step_jacobian`, of checked arguments with so many batch dimensions."""
    outline = outline_of_state("step_jacobian", cell, params)

    def one(state: State, x: PyTree) -> Array:
        step = vector_step(cell, outline, params, x)
        return jax.jacfwd(step)(ravel(state, dtype_of(outline)))

    return over_batch(one, dimensions, (0, 0))(state, x)


class StepOperator(NamedTuple, Generic[S]):
    """The Jacobian of a step as an operator.

    state: the new state; jvp: from a tangent of the old state to that of the new one, J v; vjp:
    from a cotangent of the new state to that of the old one, Jᵀ v. Both are linear functions from
    a tree like the state to such a tree, and can be jitted, mapped and differentiated.
    """

    state: S
    jvp: Callable[[S], S]
    vjp: Callable[[S], S]


def step_operator(cell: Cell[P, S], params: P, state: S, x: PyTree) -> StepOperator[S]:
    """The Jacobian of a step as products with it, without the matrix.

    The step is taken and linearised once; a product costs about as much as a step. As in
    `step_jacobian`, each sequence is by itself.

    Args:
      cell, params, state, x: as for `step_jacobian`.

    Returns:
      A StepOperator: the new state, and the functions `jvp` and `vjp`.

    Raises:
      ValueError, TypeError: as `step_jacobian`; and `jvp` and `vjp` for what is not a tree like the
        state.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.gru(3, 2)
    >>> params = cell.init(jax.random.key(0))
    >>> state, x = cell.initial_state(params, (5,)), jnp.ones((5, 3))
    >>> step = jaxnn.diagnostics.step_operator(cell, params, state, x)
    >>> tangent = jaxnn.GRUState(jnp.ones((5, 2)))
    >>> J = jaxnn.diagnostics.step_jacobian(cell, params, state, x)
    >>> bool(jnp.allclose(step.jvp(tangent).hidden, J.sum(axis=-1), atol=1e-6))
    True
    >>> bool(jnp.allclose(step.vjp(tangent).hidden, J.sum(axis=-2), atol=1e-6))
    True
    """
    dimensions = check_step_of("step_operator", cell, params, state, x)
    x = jax.tree.map(jnp.asarray, x)

    def one(state: S, x: PyTree) -> S:
        return cell.apply(params, state, x)[0]

    def step(state: S) -> S:
        return over_batch(one, dimensions, (0, 0))(state, x)

    state = jax.tree.map(jnp.asarray, state)
    new, forward = jax.linearize(step, state)
    backward = jax.linear_transpose(forward, state)
    outline = jax.eval_shape(lambda: state)
    product = functools.partial(_product, outline)
    return StepOperator(
        new,
        functools.partial(product, "jvp", "tangent", forward),
        functools.partial(product, "vjp", "cotangent", lambda tree: backward(tree)[0]),
    )


def _product(
    outline: State, name: str, argument: str, function: Callable[[Any], Any], tree: State
) -> State:
    name = f"step_operator.{name}"
    check_arguments(name, **{argument: tree})
    check_state(name, argument, tree, outline)
    return function(jax.tree.map(jnp.asarray, tree))
