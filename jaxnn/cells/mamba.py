"""Mamba's block: a convolution and a selective state space, beside a gate."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.block import block_cell
from jaxnn.cells.causal_conv import causal_conv, uniform_rows
from jaxnn.cells.s6 import s6
from jaxnn.internal.factory import factory
from jaxnn.internal.options import check_size
from jaxnn.layers.composition import serial
from jaxnn.layers.dense import dense
from jaxnn.layers.dropout import activation
from jaxnn.transforms.gated_by import gated_by
from jaxnn.transforms.stack import stack
from jaxnn.types import Cell, Initializer


@factory
def mamba_block(
    input_size: int,
    hidden_size: int = 16,
    expand: int = 2,
    window: int = 4,
    rank: int | None = None,
    kernel_init: Initializer = uniform_rows,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[Any, Any]:
    """Mamba's block as one Cell that streams: x `(*batch, input)` to y of the same shape.

        u = silu(causal_conv(x P))
        y = (s6(u)∘silu(x Q)) R

    It is made of public parts, in this way, with `inner = expand·input_size`:

        stack(
            gated_by(
                stack(dense(input_size, inner, bias=False), causal_conv(inner, window),
                      activation(jax.nn.silu), s6(inner, hidden_size, rank)),
                serial(dense(input_size, inner, bias=False), activation(jax.nn.silu)),
            ),
            dense(inner, input_size, bias=False),
        )

    and its params and states are those of that stack. In the paper's network a norm stands before
    it, and its input is added to its output: `residual(stack(layer_norm(n), mamba_block(n)))`. On
    its memory under a gradient, and `jaxnn.remat`, see `s6`.

    Args:
      input_size: features of x and of y.
      hidden_size: numbers of the state a feature of `s6`.
      expand: how many times as many features the inside has.
      window: of the convolution.
      rank: of the step of `s6`; by default its features / 16, rounded up.
      kernel_init: of all kernels; by default uniform in ±1/√rows.
      dtype, param_dtype: of the arithmetic and of the parameters.

    Raises:
      ValueError, TypeError: as `s6` and `causal_conv` do.

    Source: Gu & Dao 2023 (arXiv 2312.00752), section 3.4 and figure 3.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> block = jaxnn.mamba_block(3)
    >>> params = block.init(jax.random.key(0))
    >>> state, ys = block.unroll(params, jnp.ones((5, 2, 3)))
    >>> state, y = block.apply(params, state, jnp.ones((2, 3)))
    >>> ys.shape, y.shape
    ((5, 2, 3), (2, 3))
    """
    size = check_size("mamba_block", "input_size", input_size)
    inner = size * check_size("mamba_block", "expand", expand)
    options: dict[str, Any] = {
        "kernel_init": kernel_init,
        "dtype": dtype,
        "param_dtype": param_dtype,
    }

    def make() -> Cell[Any, Any]:
        into = dense(size, inner, bias=False, **options)
        silu = activation(jax.nn.silu)
        conv = causal_conv(inner, window, **options)
        selective = s6(inner, hidden_size, rank, **options)
        branch = gated_by(stack(into, conv, silu, selective), serial(into, silu))
        return stack(branch, dense(inner, size, bias=False, **options))

    return block_cell("mamba_block", size, dtype, make)
