"""How strongly a loss reaches the states of the steps before."""

import functools
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from jaxnn.diagnostics.vectors import (
    check_run_of,
    dtype_of,
    norm,
    outline_of_state,
    over_batch,
    ravel,
)
from jaxnn.functions.sequences import zero_masked
from jaxnn.internal.checks import is_array, shape_text
from jaxnn.internal.inputs import front
from jaxnn.internal.mesh import outline_of_step
from jaxnn.internal.options import check_callable, check_takes
from jaxnn.internal.users import call_user
from jaxnn.scans.boundaries import where
from jaxnn.types import Array, ArrayLike, Cell, Params, PyTree, State

P = TypeVar("P")
S = TypeVar("S")


def gradient_norms(
    cell: Cell[P, S],
    params: P,
    xs: PyTree,
    loss: Callable[[PyTree], Array],
    state: S | None = None,
    mask: ArrayLike | None = None,
) -> Array:
    """The norm of the gradient of a loss on the last output by the states before, by distance.

        row k:  ‖ ∂ loss(y_t) / ∂ (the state that step t − k began from) ‖,   t the last step

    All distances come from one backward pass. Where it falls with the distance, what lies far back
    cannot be learned from; `jaxnn.plot.gradient_norm` draws it.

    Args:
      cell: any Cell; `stack(cell, head)` has the outputs of the head.
      params, xs, state, mask: as for `cell.unroll`; the last output is that of each sequence's last
        valid step, and distances are in valid steps. For a loss on an earlier step, end xs there.
      loss: from the last outputs y `(*batch, ...)` to a number. A sum over the batch, not a mean,
        leaves each sequence the gradient of its own part.

    Returns:
      `(time, *batch)`, over all leaves of the state together, in the dtype of `step_jacobian`; NaN
      at distances from before the first valid step of a sequence.

    Raises:
      TypeError: for a loss that is no function of one argument, or does not give a floating number.
      ValueError, TypeError: for what `cell.unroll` and `step_jacobian` would refuse.

    Source: Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013 (arXiv 1211.5063).

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.elman(3, 4, activation=jax.nn.relu)
    >>> params = cell.init(jax.random.key(0))
    >>> params = params._replace(recurrent_kernel=0.5 * jnp.eye(4)[:, None])
    >>> xs, state = jnp.zeros((3, 2, 3)), jaxnn.ElmanState(jnp.ones((2, 4)))
    >>> def loss(y):
    ...     return jnp.sum(y[:, 0])
    >>> jaxnn.diagnostics.gradient_norms(cell, params, xs, loss, state)[:, 0].tolist()
    [0.5, 0.25, 0.125]
    """
    name = "gradient_norms"
    check_callable(name, "loss", loss)
    check_takes(name, "loss", loss, ("y",))
    batch = check_run_of(name, cell, params, xs, state, mask)
    return _norms(cell, loss, len(batch), params, xs, state, mask)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _norms(
    cell: Cell,
    loss: Callable[[PyTree], Array],
    dimensions: int,
    params: Params,
    xs: PyTree,
    state: State | None,
    mask: ArrayLike | None,
) -> Array:
    dtype = dtype_of(outline_of_state("gradient_norms", cell, params))
    xs, leading = zero_masked(xs, mask), front(xs, 1 + dimensions)
    if state is None:
        state = cell.initial_state(params, leading[1:])
    first = jax.tree.map(jnp.asarray, state)

    def of_last(pushes: State) -> Array:
        """The loss as a function of what is added to the state before each step."""

        def step(
            carry: tuple[State, PyTree], now: tuple[State, ArrayLike, ArrayLike | None]
        ) -> tuple[tuple[State, PyTree], None]:
            (state, y), (push, x, valid) = carry, now
            new = cell.apply(params, jax.tree.map(jnp.add, state, push), x)
            return (new if valid is None else where(valid, new, (state, y))), None

        outline = jax.eval_shape(cell.apply, params, first, outline_of_step(xs))[1]
        y = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), outline)
        (_, y), _ = jax.lax.scan(step, (first, y), (pushes, xs, mask))
        return _checked(call_user("gradient_norms", "loss", loss, y))

    pushes = jax.tree.map(lambda leaf: jnp.zeros((leading[0], *leaf.shape), leaf.dtype), first)
    gradient = jax.grad(of_last)(pushes)
    flat = over_batch(functools.partial(ravel, dtype=dtype), len(leading), 0)(gradient)
    norms = norm(flat)
    return norms[::-1] if mask is None else _valid_first(norms, mask)


def _valid_first(norms: Array, mask: ArrayLike) -> Array:
    """Those of the valid steps, the last one first; NaN in the place of the others."""
    time = norms.shape[0]
    steps = jnp.arange(time, dtype=jnp.int32).reshape(-1, *(1,) * (norms.ndim - 1))
    back = jnp.where(mask, time - 1 - steps, jnp.full_like(steps, time))
    ordered = jnp.take_along_axis(norms, jnp.argsort(back, axis=0), axis=0)
    there = steps < jnp.sum(mask, axis=0, dtype=jnp.int32)[None]
    return jnp.where(there, ordered, jnp.full_like(ordered, jnp.nan))


def _checked(value: Array) -> Array:
    if not is_array(value) or value.shape != () or not jnp.issubdtype(value.dtype, jnp.floating):
        raise TypeError(
            f"gradient_norms: loss must give one floating number, got {shape_text(value)}"
        )
    return value
