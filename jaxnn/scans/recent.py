"""What came last before each step: a shift register, for all steps at once.

Where a mask leaves steps out, the valid ones are first moved together, and what is computed of them
goes back to their places. Both are gathers, and each is the transpose of the other, so that no
gradient is a scatter.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.internal.linear_call import apply_linear
from jaxnn.scans.boundaries import where
from jaxnn.types import Array, ArrayLike

Move = Callable[[list[Array], list[Array]], list[Array]]


class Places(NamedTuple):
    """Where steps go when the valid ones are moved together.

    of: `(time, *batch)`, which step comes to each place; at: which place each step has.
    count: `(*batch)`, how many steps are valid. valid: the mask.
    """

    of: Array
    at: Array
    count: Array
    valid: ArrayLike


def places(mask: ArrayLike) -> Places:
    """Those of a mask, `(time, *batch)`."""
    valid = jnp.asarray(mask, jnp.int32)
    of = jnp.argsort(1 - valid, axis=0, stable=True).astype(jnp.int32)
    at = jnp.maximum(jnp.cumsum(valid, 0, dtype=jnp.int32) - 1, 0)
    return Places(of, at, jnp.sum(valid, 0, dtype=jnp.int32), mask)


def together(xs: Array, to: Places) -> Array:
    """xs `(time, *batch, features)` with the valid steps first, in their order, and zeros behind."""
    return _moved(_together, _apart, xs, to)


def apart(xs: Array, to: Places) -> Array:
    """The steps back at their places; zeros at masked ones."""
    return _moved(_apart, _together, xs, to)


def recent(
    xs: Array, state: Array, start: Array, cut: ArrayLike | None
) -> tuple[list[Array], list[Array]]:
    """What came one step before each step, two steps before, and so on, and the same after the last.

    Args:
      xs: `(time, *batch, features)`.
      state, start: what came before the first step, and before any after a cut, the oldest first:
        `(width, *batch, features)`.
      cut: boolean `(time + 1, *batch)`, true where all that came before a step is `start`, also
        before the one that would come after the last.

    Returns:
      `width` arrays `(time, *batch, features)`, and the same with one step more, which is the last.
    """
    time, width = xs.shape[0], state.shape[0]
    if cut is None:
        whole = jnp.concatenate([state, xs])
        longer = [whole[width - ago : width - ago + time + 1] for ago in range(1, width + 1)]
    else:
        longer, now = [], jnp.concatenate([xs, state[:1]])  # one step more, whose x is not read
        for ago in range(1, width + 1):
            now = jnp.concatenate([state[width - ago][None], now[:-1]])
            now = where(cut, start[width - ago][None], now)
            longer.append(now)
    return [each[:-1] for each in longer], longer


def at_step(xs: Array, step: Array) -> Array:
    """Of xs, `(time, *batch, features)`, the step that `(*batch,)` names."""
    return _taken(xs, step[None])[0]


def _moved(run: Move, back: Move, xs: Array, to: Places) -> Array:
    (moved,) = apply_linear(run, back, list(to), [xs], [jax.typeof(xs)])
    return moved


def _together(to: list[Array], operands: list[Array]) -> list[Array]:
    of, _, count, _ = to
    (xs,) = operands
    steps = jnp.arange(xs.shape[0], dtype=count.dtype).reshape(-1, *(1,) * count.ndim)
    return [_zero_unless(steps < count[None], _taken(xs, of))]


def _apart(to: list[Array], operands: list[Array]) -> list[Array]:
    _, at, _, valid = to
    (xs,) = operands
    return [_zero_unless(valid, _taken(xs, at))]


def _taken(xs: Array, of: Array) -> Array:
    """xs, `(time, *batch, features)`, at the steps `(any, *batch)`."""
    return jnp.take_along_axis(xs, of[..., None], 0, mode="promise_in_bounds")


def _zero_unless(flags: Array, xs: Array) -> Array:
    return where(flags, xs, jnp.zeros_like(xs))
