"""What a gradient will take, told before it runs."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.internal.checks import check_arguments, shape_text
from jaxnn.internal.compiled import bytes_text, memory_of
from jaxnn.internal.options import check_callable
from jaxnn.types import Array, Params, PyTree


class Memory(NamedTuple):
    """What a compiled program takes, in bytes; prints as text, where 1 MB is 10⁶ bytes.

    Attributes:
      arguments: what it is given.
      outputs: what it gives.
      temporaries: what it needs in between: for a gradient, mostly what is kept for the way back.
      total: all three, less what shares its place.
    """

    arguments: int
    outputs: int
    temporaries: int
    total: int

    def __str__(self) -> str:
        return ", ".join(f"{name} {bytes_text(size)}" for name, size in self._asdict().items())

    __repr__ = __str__


def memory(loss: Callable[..., Array], params: Params, *args: PyTree) -> Memory:
    """What `jax.grad(loss)(params, *args)` will take, by the compiled program; nothing runs.

    It compiles for the default backend, which takes as long as it does where the gradient is run
    first. A CPU and an accelerator plan differently.

    Args:
      loss: `loss(params, *args)` gives a scalar.
      params: its first argument, what is differentiated: arrays, or the shapes of them that
        `jax.eval_shape` gives.
      *args: the others, arrays or `jax.ShapeDtypeStruct`s too.

    Returns:
      A Memory: arguments, outputs (the gradient), temporaries, and total, in bytes.

    Raises:
      TypeError: where loss is no function or gives no floating number, or an argument no array.
      ValueError: for a loss that is no scalar, and where the backend does not tell.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> def temporaries(cell):
    ...     def loss(params, xs):
    ...         return jnp.sum(cell.unroll(params, xs)[0].hidden)
    ...     params = jax.eval_shape(cell.init, jax.random.key(0))
    ...     return jaxnn.memory(loss, params, jax.ShapeDtypeStruct((1024, 3), float)).temporaries
    >>> cell = jaxnn.gru(3, 4)
    >>> temporaries(jaxnn.remat(cell)) < temporaries(cell) / 4
    True
    """
    check_callable("memory", "loss", loss)
    check_arguments("memory", "args", params=params, args=args)
    value = jax.eval_shape(loss, params, *args)
    if not hasattr(value, "shape") or value.shape != ():
        raise ValueError(f"memory: loss must give one number, got {shape_text(value)}")
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise TypeError(f"memory: loss must give a floating number, got {shape_text(value)}")
    found = memory_of("memory", jax.grad(loss), params, *args)
    sizes = (
        found.argument_size_in_bytes,
        found.output_size_in_bytes,
        found.temp_size_in_bytes,
    )
    return Memory(*sizes, sum(sizes) - found.alias_size_in_bytes)
