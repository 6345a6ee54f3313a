"""The gated recurrent unit, with the reset gate after or before the recurrent product."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.cells.gates import (
    check_bias,
    check_gates,
    check_kernels,
    init_gates,
    input_size_of,
    per_unit,
    plus_bias,
    project_both,
    project_gates,
    times_gates,
    zeros,
)
from jaxnn.functions.initializers import glorot, orthogonal
from jaxnn.internal.checks import state_dtype
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_bool, check_dtypes, check_size
from jaxnn.recurrence.split import Split, before_combine, hidden
from jaxnn.recurrence.unroll import cell_of
from jaxnn.types import Array, Cell, Initializer, Key, Params, exportable

GATES = ("r", "z", "n")


@exportable
class GRUParams(NamedTuple):
    """U `(input, 3, hidden)`, W `(hidden, 3, hidden)`, b `(3, hidden)` or None, and b_h
    `(hidden,)`, or None without biases or with the reset before."""

    input_kernel: Array
    recurrent_kernel: Array
    bias: Array | None
    recurrent_bias: Array | None


@exportable
class GRUState(NamedTuple):
    """h `(*batch, hidden)`."""

    hidden: Array


@exportable
class GRUGates(NamedTuple):
    """The gates' values at a step, each `(*batch, hidden)`; r, z in (0, 1), n in (−1, 1)."""

    r: Array
    z: Array
    n: Array


@factory
def gru(
    input_size: int,
    hidden_size: int,
    reset_after: bool = True,
    bias: bool = True,
    kernel_init: Initializer = glorot,
    recurrent_init: Initializer = orthogonal,
    bias_init: Initializer | None = None,
    dtype: Any = jnp.float32,
    param_dtype: Any = None,
) -> Cell:
    """The gated recurrent unit.

        r = σ(x U_r + h W_r + b_r)
        z = σ(x U_z + h W_z + b_z)
        n = tanh(x U_n + b_n + r∘(h W_n + b_h))       reset_after=True: cuDNN's form, the faster
        n = tanh(x U_n + b_n + (r∘h) W_n)             reset_after=False: the paper's and the notes'
        h' = (1 − z)∘n + z∘h

    Args:
      input_size, hidden_size: features of x and of h.
      reset_after: whether the reset gate comes after the recurrent product or before it.
      bias: whether there are b and b_h.
      kernel_init, recurrent_init: of U and W, gate by gate.
      bias_init: of b; zeros by default. b_h starts at zero.
      dtype: of the arithmetic, x and y; the state is float32 where it has 16 bits.
      param_dtype: of the parameters; by default as the state's.

    Returns:
      A Cell with `GRUParams` and `GRUState`: x `(*batch, input)` to y = h' `(*batch, hidden)`.

    Raises:
      ValueError, TypeError: for sizes that are not positive integers, options that are not
        boolean and dtypes that are not floating.

    Source: Cho et al. 2014 (arXiv 1406.1078), whose z keeps the old state, as here and in torch
    (Chung et al. 2014 turn it round). torch.nn.GRU has further, redundant biases for r and z.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.gru(3, 4)
    >>> params = cell.init(jax.random.key(0))
    >>> state, ys = cell.unroll(params, jnp.ones((5, 2, 3)))
    >>> ys.shape, state.hidden.shape
    ((5, 2, 4), (2, 4))
    """
    input_size = check_size("gru", "input_size", input_size)
    hidden_size = check_size("gru", "hidden_size", hidden_size)
    check_bool("gru", "reset_after", reset_after)
    check_kernels("gru", kernel_init=kernel_init, recurrent_init=recurrent_init)
    dtype, param_dtype = check_dtypes("gru", dtype, param_dtype)
    bias_init = check_bias("gru", bias, bias_init, jax.nn.initializers.zeros)
    name = this_call()
    initializers = (kernel_init, recurrent_init, bias_init)
    init = functools.partial(
        init_gru, name, input_size, hidden_size, initializers, reset_after and bias, param_dtype
    )
    return cell_of(_split(name, reset_after, dtype), init)


def init_gru(
    name: str,
    input_size: int,
    hidden_size: int,
    initializers: Any,
    recurrent_bias: bool,
    dtype: Any,
    key: Key,
) -> GRUParams:
    """The parameters of a GRU."""
    kernels = init_gates(name, key, input_size, hidden_size, len(GATES), initializers, dtype)
    return GRUParams(*kernels, jnp.zeros(hidden_size, dtype) if recurrent_bias else None)


def project(params: GRUParams, x: Array) -> tuple[Array, ...]:
    """x U, for each gate."""
    return project_gates(x, params.input_kernel)


def mix(params: GRUParams, state: GRUState) -> tuple[Array, ...]:
    """h W, for each gate."""
    return times_gates(state.hidden, params.recurrent_kernel)


def mix_before(params: GRUParams, state: GRUState) -> tuple[Array, ...]:
    """h W for r and z alone: n needs r first."""
    return times_gates(state.hidden, params.recurrent_kernel[:, :2])


def gates_after(params: GRUParams, projected: Any, mixed: Any, state: GRUState) -> GRUGates:
    """The gates, with the reset after the product."""
    del state
    m_r, m_z, m = mixed
    if params.recurrent_bias is not None:
        m = m + per_unit(params.recurrent_bias, m)
    p_r, p_z, p = projected
    r, z, p = plus_bias((p_r + m_r, p_z + m_z, p), params.bias)
    r = jax.nn.sigmoid(r)
    return GRUGates(r, jax.nn.sigmoid(z), jnp.tanh(p + r * m))


def gates_before(params: GRUParams, projected: Any, mixed: Any, state: GRUState) -> GRUGates:
    """The gates, with the reset before the product: a second matmul, which needs the first."""
    (p_r, p_z, p), (m_r, m_z) = projected, mixed
    r, z, p = plus_bias((p_r + m_r, p_z + m_z, p), params.bias)
    r = jax.nn.sigmoid(r)
    m = jnp.matmul(r * state.hidden, params.recurrent_kernel[:, 2])
    return GRUGates(r, jax.nn.sigmoid(z), jnp.tanh(p + m))


def combine(gates: Any, params: GRUParams, projected: Any, mixed: Any, state: GRUState) -> GRUState:
    """h' = (1 − z)∘n + z∘h."""
    _, z, n = gates(params, projected, mixed, state)
    return GRUState((1 - z) * n + z * state.hidden)


def initial_state(dtype: Any, params: Params, batch_shape: tuple[int, ...] = ()) -> GRUState:
    """Zeros."""
    return GRUState(zeros(params, batch_shape, dtype))


def gru_gates(params: GRUParams, state: GRUState, x: Array, reset_after: bool = True) -> GRUGates:
    """The gates' values at a step.

    Args:
      params, state, x: as for `apply`; the arithmetic is in the dtype of x.
      reset_after: the form that the cell was built with.

    Returns:
      `GRUGates(r, z, n)`, each `(*batch, hidden)`.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.gru(3, 4)
    >>> params = cell.init(jax.random.key(0))
    >>> gru_gates(params, cell.initial_state(params), jnp.zeros(3)).z.tolist()
    [0.5, 0.5, 0.5, 0.5]
    """
    check_bool("gru_gates", "reset_after", reset_after)
    check_gates("gru_gates", GRUParams, functools.partial(_form, reset_after), params, state, x)
    split = _split("gru_gates", reset_after, x.dtype)
    params, projected, mixed = before_combine(split, params, state, x)
    gates = gates_after if reset_after else gates_before
    return gates(params, projected, mixed, state)


def _form(
    reset_after: bool, rows: int, hidden: int, bias: bool, dtype: Any, param_dtype: Any
) -> Cell:
    return gru(rows, hidden, reset_after, bias, dtype=dtype, param_dtype=param_dtype)


@functools.lru_cache(maxsize=1024)
def _split(name: str, reset_after: bool, dtype: Any) -> Split:
    return Split(
        name,
        project,
        mix if reset_after else mix_before,
        functools.partial(combine, gates_after if reset_after else gates_before),
        functools.partial(initial_state, state_dtype(dtype)),
        hidden,
        dtype=dtype,
        any_rank=True,
        input_size=input_size_of,
        project_both=project_both,
    )
