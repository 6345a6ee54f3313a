"""Arrays in equal parts along their last axis, and numbers that are known late."""

import jax
import jax.numpy as jnp

from jaxnn.types import Array

NARROW = 8


def cut(x: Array, parts: int) -> tuple[Array, ...]:
    """x `(..., parts · width)` as `parts` arrays `(..., width)`.

    The transpose of a split is a concatenation, which is fast. Of narrow parts it may be wrong:
    XLA (jax 0.10.2, CPU, float64) makes one kernel of it and of what is concatenated, a loop over
    rows that LLVM turns into interleaved loads where a row has eight numbers or fewer, and for
    four rows of five numbers the machine code reads the wrong ones. So narrow parts are slices,
    whose transposes are padded and added.
    """
    width = x.shape[-1] // parts
    if width > NARROW:
        return tuple(jnp.split(x, parts, axis=-1))
    starts = range(0, parts * width, width)
    return tuple(jax.lax.slice_in_dim(x, at, at + width, axis=-1) for at in starts)


@jax.custom_batching.custom_vmap
def late_zero(of: jax.Array) -> jax.Array:
    """The number 0, known when the floating array `of` is there: what it places is made then.

    XLA does not see that no number both differs from itself and is equal to itself.
    """
    number = entry(of)
    return ((number != number) & (number == number)).astype(jnp.int32)


@late_zero.def_vmap
def _(size: int, batched: list[bool], of: jax.Array) -> tuple[jax.Array, bool]:
    """One for the whole batch: a place for each would be a gather."""
    del size, batched
    return late_zero(of[0]), False


def entry(of: jax.Array) -> jax.Array:
    """The first entry of an array."""
    return jax.lax.slice(of, (0,) * of.ndim, (1,) * of.ndim).reshape(())
