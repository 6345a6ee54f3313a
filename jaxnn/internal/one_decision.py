"""One decision for a whole batch, also for one that `vmap` makes.

Under `vmap`, a `while_loop` whose condition differs from element to element runs until the last one
is through, and a `cond` runs both branches for all. A condition that is made of `largest` is the
same for all elements, and stays one.
"""

import jax
import jax.numpy as jnp

from jaxnn.types import Array


@jax.custom_batching.custom_vmap
def largest(of: Array) -> Array:
    """A number as it is; under `vmap` the largest one of all elements, NaN where one is."""
    return of


@largest.def_vmap
def _(size: int, batched: list[bool], of: Array) -> tuple[Array, bool]:
    """One for the whole batch, however deep it is."""
    del size, batched
    return largest(jnp.max(of, axis=0)), False
