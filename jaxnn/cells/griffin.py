"""Griffin's recurrent block: a convolution and an RG-LRU, beside a gate."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.block import block_cell
from jaxnn.cells.causal_conv import causal_conv
from jaxnn.cells.rg_lru import rg_lru
from jaxnn.internal.factory import factory
from jaxnn.internal.options import check_bool, check_size
from jaxnn.layers.composition import serial
from jaxnn.layers.dense import dense, lecun
from jaxnn.layers.dropout import activation
from jaxnn.transforms.gated_by import gated_by
from jaxnn.transforms.stack import stack
from jaxnn.types import Cell, Initializer


@factory
def rg_lru_block(
    input_size: int,
    hidden_size: int | None = None,
    blocks: int = 1,
    window: int = 4,
    bias: bool = True,
    kernel_init: Initializer = lecun,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[Any, Any]:
    """Griffin's recurrent block as one Cell that streams: x `(*batch, input)` to y of that shape.

        u = causal_conv(x P + p)
        y = (rg_lru(u)∘gelu(x Q + q)) R + r

    It is made of public parts, and its params and states are those of this stack:

        stack(
            gated_by(
                stack(dense(input_size, hidden_size), causal_conv(hidden_size, window),
                      rg_lru(hidden_size, blocks)),
                serial(dense(input_size, hidden_size), activation(jax.nn.gelu)),
            ),
            dense(hidden_size, input_size),
        )

    In the paper's network a norm stands before it, its input is added to its output, and a gated
    multilayer perceptron follows.

    Args:
      input_size: features of x and of y.
      hidden_size: those of the inside; by default as x has. The paper takes about 4/3 of that.
      blocks: of the gates' kernels in `rg_lru`.
      window: of the convolution.
      bias: whether all of these have biases.
      kernel_init: of P, Q, R and the gates' kernels; by default LeCun's. The convolution and Λ
        start as they do by themselves.
      dtype, param_dtype: of the arithmetic and of the parameters.

    Raises:
      ValueError, TypeError: as `rg_lru`, `causal_conv` and `dense` do.

    Source: De et al. 2024 (arXiv 2402.19427), section 2.3 and figure 2.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> block = jaxnn.rg_lru_block(3, 4)
    >>> params = block.init(jax.random.key(0))
    >>> state, ys = block.unroll(params, jnp.ones((5, 2, 3)))
    >>> state, y = block.apply(params, state, jnp.ones((2, 3)))
    >>> ys.shape, y.shape
    ((5, 2, 3), (2, 3))
    """
    size = check_size("rg_lru_block", "input_size", input_size)
    inner = size if hidden_size is None else check_size("rg_lru_block", "hidden_size", hidden_size)
    check_bool("rg_lru_block", "bias", bias)
    options: dict[str, Any] = {"bias": bias, "dtype": dtype, "param_dtype": param_dtype}

    def make() -> Cell[Any, Any]:
        into = dense(size, inner, kernel_init=kernel_init, **options)
        conv = causal_conv(inner, window, **options)
        unit = rg_lru(inner, blocks, kernel_init=kernel_init, **options)
        branch = gated_by(stack(into, conv, unit), serial(into, activation(jax.nn.gelu)))
        return stack(branch, dense(inner, size, kernel_init=kernel_init, **options))

    return block_cell("rg_lru_block", size, dtype, make)
