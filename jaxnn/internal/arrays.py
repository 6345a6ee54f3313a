"""An array in equal parts along its last axis."""

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
