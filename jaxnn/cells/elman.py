"""The Elman network, the simple recurrent cell of the notes."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.cells.gates import (
    check_bias,
    check_gates,
    check_kernels,
    init_gates,
    input_size_of,
    plus_bias,
    project_both,
    project_gates,
    times_gates,
    zeros,
)
from jaxnn.functions.initializers import glorot, orthogonal
from jaxnn.internal.checks import state_dtype
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_callable, check_dtypes, check_size
from jaxnn.internal.users import map_user
from jaxnn.recurrence.split import Split, before_combine, hidden
from jaxnn.recurrence.unroll import cell_of
from jaxnn.types import Array, Cell, Initializer, Key, Params, exportable

GATES = ("s",)
Activation = Callable[[Array], Array]


@exportable
class ElmanParams(NamedTuple):
    """U `(input, 1, hidden)`, W `(hidden, 1, hidden)` and b `(1, hidden)`, or None for no bias."""

    input_kernel: Array
    recurrent_kernel: Array
    bias: Array | None


@exportable
class ElmanState(NamedTuple):
    """s `(*batch, hidden)`."""

    hidden: Array


@exportable
class ElmanGates(NamedTuple):
    """What the one gate of the cell gives: its new state s, `(*batch, hidden)`."""

    s: Array


@factory
def elman(
    input_size: int,
    hidden_size: int,
    activation: Activation = jnp.tanh,
    bias: bool = True,
    kernel_init: Initializer = glorot,
    recurrent_init: Initializer = orthogonal,
    bias_init: Initializer | None = None,
    dtype: Any = jnp.float32,
    param_dtype: Any = None,
) -> Cell:
    """s = f(x U + s₋₁ W + b).

    The output is s; the output layer o = g(s V) of the textbook is a `dense` after it.

    Args:
      input_size, hidden_size: features of x and of s.
      activation: f, unit by unit.
      bias: whether there is a b.
      kernel_init, recurrent_init, bias_init: of U, W and b (zeros), gate by gate.
      dtype: of the arithmetic, x and y; the state is float32 where it has 16 bits.
      param_dtype: of the parameters; by default as the state's.

    Returns:
      A Cell with `ElmanParams` and `ElmanState`: x `(*batch, input)` to y `(*batch, hidden)`.

    Raises:
      ValueError, TypeError: for sizes that are not positive integers and dtypes that are not
        floating.

    Source: Elman 1990, Finding structure in time. torch.nn.RNN has a second, redundant bias.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.elman(3, 4)
    >>> params = cell.init(jax.random.key(0))
    >>> state, ys = cell.unroll(params, jnp.ones((5, 2, 3)))
    >>> ys.shape, state.hidden.shape
    ((5, 2, 4), (2, 4))
    """
    input_size = check_size("elman", "input_size", input_size)
    hidden_size = check_size("elman", "hidden_size", hidden_size)
    check_callable("elman", "activation", activation)
    check_kernels("elman", kernel_init=kernel_init, recurrent_init=recurrent_init)
    dtype, param_dtype = check_dtypes("elman", dtype, param_dtype)
    bias_init = check_bias("elman", bias, bias_init, jax.nn.initializers.zeros)
    name = this_call()
    initializers = (kernel_init, recurrent_init, bias_init)
    init = functools.partial(init_elman, name, input_size, hidden_size, initializers, param_dtype)
    return cell_of(_split(name, activation, dtype), init)


def init_elman(
    name: str, input_size: int, hidden_size: int, initializers: Any, dtype: Any, key: Key
) -> ElmanParams:
    """The parameters of an Elman cell."""
    return ElmanParams(*init_gates(name, key, input_size, hidden_size, 1, initializers, dtype))


def project(params: ElmanParams, x: Array) -> tuple[Array, ...]:
    """x U."""
    return project_gates(x, params.input_kernel)


def mix(params: ElmanParams, state: ElmanState) -> tuple[Array, ...]:
    """s W."""
    return times_gates(state.hidden, params.recurrent_kernel)


def combine(
    f: Activation, params: ElmanParams, projected: Any, mixed: Any, state: ElmanState
) -> ElmanState:
    """f of the sum."""
    del state
    (s,) = plus_bias([projected[0] + mixed[0]], params.bias)
    return ElmanState(f(s))


def initial_state(dtype: Any, params: Params, batch_shape: tuple[int, ...] = ()) -> ElmanState:
    """Zeros."""
    return ElmanState(zeros(params, batch_shape, dtype))


def elman_gates(
    params: ElmanParams, state: ElmanState, x: Array, activation: Activation = jnp.tanh
) -> ElmanGates:
    """The value of the one gate at a step: s = f(x U + s₋₁ W + b).

    Args:
      params, state, x: as for `apply`; the arithmetic is in the dtype of x.
      activation: the one that the cell was built with.

    Returns:
      `ElmanGates(s)`, `(*batch, hidden)`.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.elman(3, 4)
    >>> params = cell.init(jax.random.key(0))
    >>> elman_gates(params, cell.initial_state(params), jnp.ones(3)).s.shape
    (4,)
    """
    check_callable("elman_gates", "activation", activation)
    check_gates("elman_gates", ElmanParams, functools.partial(_form, activation), params, state, x)
    split = _split("elman_gates", activation, x.dtype)
    params, projected, mixed = before_combine(split, params, state, x)
    return ElmanGates(split.combine(params, projected, mixed, state).hidden)


def _form(
    activation: Activation, rows: int, hidden: int, bias: bool, dtype: Any, param_dtype: Any
) -> Cell:
    return elman(rows, hidden, activation, bias, dtype=dtype, param_dtype=param_dtype)


@functools.lru_cache(maxsize=1024)
def _split(name: str, activation: Activation, dtype: Any) -> Split:
    return Split(
        name,
        project,
        mix,
        functools.partial(combine, functools.partial(map_user, name, "activation", activation)),
        functools.partial(initial_state, state_dtype(dtype)),
        hidden,
        dtype=dtype,
        any_rank=True,
        input_size=input_size_of,
        project_both=project_both,
    )
