"""The LSTM with a matrix for a memory, written and read by keys, values and queries."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.parameters import check_bias, check_kernels, fill_gates
from jaxnn.cells.products import Terms, plus_bias, project_gates
from jaxnn.cells.slstm import stabilised
from jaxnn.functions.initializers import glorot
from jaxnn.internal.checks import state_dtype
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_bool, check_dtypes, check_heads, check_size
from jaxnn.recurrence.cell import cell_of
from jaxnn.recurrence.split import Split, hidden
from jaxnn.types import Array, Cell, Initializer, Key, exportable

LARGEST = 80.0
"""Of the exponents: exp(−m) is a float32 up to here, and so are its derivatives."""


@exportable
class MLSTMParams(NamedTuple):
    """U `(input, 4, hidden)` for q, k, v, o, without an output gate three of them, b `(4, hidden)`
    or None, and of the gates i and f the kernel `(input, 2, heads)` and the bias `(2, heads)`."""

    input_kernel: Array
    bias: Array | None
    gate_kernel: Array
    gate_bias: Array


@exportable
class MLSTMState(NamedTuple):
    """h `(*batch, hidden)`, C `(*batch, heads, d, d)`, n `(*batch, heads, d)` and m
    `(*batch, heads)`, where d = hidden / heads."""

    hidden: Array
    memory: Array
    normaliser: Array
    stabiliser: Array


@factory
def mlstm(
    input_size: int,
    hidden_size: int,
    heads: int = 1,
    output_gate: bool = True,
    bias: bool = True,
    kernel_init: Initializer = glorot,
    bias_init: Initializer | None = None,
    gate_init: Initializer = jax.nn.initializers.zeros,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[MLSTMParams, MLSTMState]:
    """The xLSTM's cell with a matrix for a memory, in each head:

        q, k, v = x U_q + b_q, (x U_k + b_k) / √d, x U_v + b_v         d = hidden / heads
        i~, f~ = x V + a                                               one number a head
        m' = max(log σ(f~) + m, i~)
        i = exp(i~ − m')
        f = exp(log σ(f~) + m − m')
        C' = f C + i v kᵀ
        n' = f n + i k
        h' = σ(x U_o + b_o)∘C' q / max(|n'·q|, exp(−m'))

    C and n are kept divided by exp(m), so that no gate is ever larger than 1; h does not depend on
    m. Nothing but C, n and m is carried on: there are no recurrent weights, and the products with
    the input are all before the loop. What is left in it is no product with a weight, but it does
    not act unit by unit either, so that its derivative is that of the plain scan, which keeps C for
    every step; `jaxnn.remat` keeps fewer.

    Args:
      input_size, hidden_size: features of x and of h.
      heads: memories of their own; they divide hidden_size.
      output_gate: whether there is the factor σ(x U_o + b_o).
      bias: whether there is a b; the gates have a in any case.
      kernel_init, bias_init: of U, part by part, and of b (zeros).
      gate_init: of V, zeros. At first i~ is zero, and f~ goes from 3 in the first head to 6 in the
        last one, as in the authors' code but for a little noise in i~.
      dtype: of the arithmetic, x and y; gates and state are float32 where it has 16 bits.
      param_dtype: of the parameters; by default as the state's.

    Returns:
      A Cell with `MLSTMParams` and `MLSTMState`: x `(*batch, input)` to y = h' `(*batch, hidden)`.

    Raises:
      ValueError, TypeError: as `elman` does, for heads that do not divide hidden_size, and options
        that are not boolean.

    Source: Beck et al. 2024 (arXiv 2405.04517), section 2.3, equations 19 to 27, of which the
    forget gate is the σ; the authors' code (xlstm) adds 10⁻⁶ to the denominator.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.mlstm(3, 4, heads=2)
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 2, 3)))
    >>> ys.shape, state.memory.shape
    ((5, 2, 4), (2, 2, 2, 2))
    """
    size = check_size("mlstm", "input_size", input_size)
    units = check_size("mlstm", "hidden_size", hidden_size)
    heads = check_heads("mlstm", heads, units)
    check_bool("mlstm", "output_gate", output_gate)
    check_kernels("mlstm", kernel_init=kernel_init, gate_init=gate_init)
    dtype, param_dtype = check_dtypes("mlstm", dtype, param_dtype)
    bias_init = check_bias("mlstm", bias, bias_init, jax.nn.initializers.zeros)
    name, parts = this_call(), 4 if output_gate else 3
    split = Split(
        name,
        project,
        _nothing,
        combine,
        functools.partial(_zeros, state_dtype(dtype)),
        hidden,
        dtype=dtype,
        input_size=_input_size_of,
        any_rank=True,
        closed=True,
    )
    filling = kernel_init, bias_init, gate_init
    init = functools.partial(_init, name, (size, parts, units, heads), filling, param_dtype)
    return cell_of(split, init)


def project(params: MLSTMParams, x: Array) -> tuple[Terms, Terms]:
    """x U and x V."""
    return project_gates(x, params.input_kernel), project_gates(x, params.gate_kernel)


def combine(
    params: MLSTMParams, projected: tuple[Terms, Terms], mixed: Terms, state: MLSTMState
) -> MLSTMState:
    """The step."""
    del mixed
    parts, gates = projected
    i, f = plus_bias(gates, params.gate_bias)
    q, k, v, *o = plus_bias(parts, params.bias)
    q, k, v = (a.reshape(state.normaliser.shape) for a in (q, k, v))
    k = k / k.shape[-1] ** 0.5
    i, f, m = stabilised(i, jax.nn.log_sigmoid(f), state.stabiliser)
    i, f = i[..., None], f[..., None]
    C = f[..., None] * state.memory + v[..., :, None] * (i * k)[..., None, :]
    n = f * state.normaliser + i * k
    read = jnp.einsum("...vk,...k->...v", C, q)
    least = jnp.exp(jnp.minimum(-m, LARGEST))
    h = read / jnp.maximum(jnp.abs(jnp.sum(n * q, -1)), least)[..., None]
    h = h.reshape(state.hidden.shape)
    return MLSTMState(jax.nn.sigmoid(o[0]) * h if o else h, C, n, m)


def _nothing(params: MLSTMParams, state: MLSTMState) -> tuple[()]:
    del params, state
    return ()


def _zeros(dtype: jnp.dtype, params: MLSTMParams, batch_shape: tuple[int, ...] = ()) -> MLSTMState:
    units, heads = params.input_kernel.shape[-1], params.gate_bias.shape[-1]
    d = units // heads
    shapes = (units,), (heads, d, d), (heads, d), (heads,)
    return MLSTMState(*[jnp.zeros((*batch_shape, *shape), dtype) for shape in shapes])


def _init(
    name: str,
    sizes: tuple[int, int, int, int],
    filling: tuple[Initializer, Initializer | None, Initializer],
    dtype: jnp.dtype,
    key: Key,
) -> MLSTMParams:
    rows, parts, units, heads = sizes
    kernel_init, bias_init, gate_init = filling
    keys = jax.random.split(key, 3)
    kernel = fill_gates(f"{name}: kernel_init", kernel_init, keys[0], (rows, parts, units), dtype)
    gates = fill_gates(f"{name}: gate_init", gate_init, keys[2], (rows, 2, heads), dtype)
    assert kernel is not None and gates is not None
    return MLSTMParams(
        kernel,
        fill_gates(f"{name}: bias_init", bias_init, keys[1], (parts, units), dtype),
        gates,
        jnp.stack([jnp.zeros(heads, dtype), jnp.linspace(3, 6, heads, dtype=dtype)]),
    )


def _input_size_of(params: MLSTMParams) -> int:
    return params.input_kernel.shape[0]
