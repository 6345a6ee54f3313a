"""Mamba's block: a convolution and a selective state space, beside a gate."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.causal_conv import causal_conv, uniform_rows
from jaxnn.cells.s6 import s6
from jaxnn.internal.checks import check_dtype_of, check_features, naming
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_dtypes, check_size
from jaxnn.internal.parameters import init_checked
from jaxnn.layers.composition import serial
from jaxnn.layers.dense import dense
from jaxnn.layers.dropout import activation
from jaxnn.recurrence.arguments import Arguments
from jaxnn.recurrence.unroll import hands_on, unroll_by
from jaxnn.transforms.gated_by import gated_by
from jaxnn.transforms.stack import stack
from jaxnn.types import (
    ArrayLike,
    Cell,
    Initializer,
    Key,
    Params,
    PyTree,
    State,
    appears_as,
    with_facts,
)


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
    options = {"kernel_init": kernel_init, "dtype": dtype, "param_dtype": param_dtype}
    with naming("mamba_block"):
        into = dense(size, inner, bias=False, **options)
        silu = activation(jax.nn.silu)
        conv = causal_conv(inner, window, **options)
        selective = s6(inner, hidden_size, rank, **options)
        branch = gated_by(stack(into, conv, silu, selective), serial(into, silu))
        block = stack(branch, dense(inner, size, bias=False, **options))
    name = this_call()
    check = functools.partial(_check, check_dtypes("mamba_block", dtype, param_dtype)[0], size)
    init = functools.partial(init_checked, name, block.init)
    return Cell(
        with_facts(init, event_ndim=1),
        functools.partial(_apply, name, check, block),
        functools.partial(_initial_state, name, block),
        unroll_by(_run, name, check, block),
    )


def _check(dtype: jnp.dtype, size: int, name: str, argument: str, x: ArrayLike) -> None:
    check_dtype_of(name, argument, x, dtype)
    check_features(name, argument, x, size)


@appears_as("apply")
def _apply(
    name: str,
    check: Callable[[str, str, ArrayLike], None],
    block: Cell,
    params: Params,
    state: State,
    x: ArrayLike,
    key: Key | None = None,
) -> tuple[State, PyTree]:
    check(f"{name}.apply", "x", x)
    with naming(f"{name}.apply"):
        return block.apply(params, state, x, key)


@appears_as("initial_state")
def _initial_state(
    name: str, block: Cell, params: Params, batch_shape: tuple[int, ...] = ()
) -> State:
    with naming(f"{name}.initial_state"):
        return block.initial_state(params, batch_shape)


@hands_on
def _run(
    name: str,
    check: Callable[[str, str, ArrayLike], None],
    block: Cell,
    params: Params,
    arguments: Arguments,
) -> tuple[State, PyTree]:
    check(f"{name}.unroll", "xs", arguments.xs)
    if arguments.xs.ndim < 2:
        raise ValueError(
            f"{name}.unroll: xs must be (time, *batch, features), at least 2 dimensions, got the "
            f"shape {tuple(arguments.xs.shape)}; apply runs one step"
        )
    with naming(name):
        return block.unroll(params, *arguments)
