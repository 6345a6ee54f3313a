"""The minimal GRU and LSTM: gates of the input alone, so that the step is linear in the state."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.parameters import check_bias, check_kernels, fill_gates
from jaxnn.cells.products import Terms, plus_bias, project_gates
from jaxnn.functions.initializers import glorot
from jaxnn.internal.checks import state_dtype
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_dtypes, check_size
from jaxnn.recurrence.cell import cell_of
from jaxnn.recurrence.linear_split import LinearSplit, hidden
from jaxnn.types import Array, Cell, Initializer, Key, exportable

GATES = ("z", "n")
LSTM_GATES = ("f", "i", "n")


@exportable
class MinGRUParams(NamedTuple):
    """U `(input, gates, hidden)`, and b `(gates, hidden)` or None; two gates, or three."""

    input_kernel: Array
    bias: Array | None


@exportable
class MinGRUState(NamedTuple):
    """h `(*batch, hidden)`."""

    hidden: Array


@exportable
class MinGRUGates(NamedTuple):
    """The values at a step, each `(*batch, hidden)`; z in (0, 1)."""

    z: Array
    n: Array


@exportable
class MinLSTMGates(NamedTuple):
    """The values at a step, each `(*batch, hidden)`; f and i in (0, 1)."""

    f: Array
    i: Array
    n: Array


@factory
def min_gru(
    input_size: int,
    hidden_size: int,
    bias: bool = True,
    kernel_init: Initializer = glorot,
    bias_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[MinGRUParams, MinGRUState]:
    """The minimal GRU: x `(*batch, input)` to y = h' `(*batch, hidden)`.

        z = σ(x U_z + b_z)
        n = x U_n + b_n
        h' = (1 − z)∘h + z∘n

    Nothing but h itself is left in the loop, which runs as a `linear_recurrence`. This is the
    direct form: in logarithms, as the paper's code has it for n > 0, float32 loses four digits and
    more over thousands of steps.

    Args:
      input_size, hidden_size: positive integers.
      bias: whether there is one.
      kernel_init, bias_init: fill U and b gate by gate; b is zeros by default.
      dtype, param_dtype: of the arithmetic and of the parameters; a state under 16-bit arithmetic
        is float32.

    Raises:
      ValueError, TypeError: as `elman` does.

    Source: Feng et al. 2024 (arXiv 2410.01201), section 3.1.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.min_gru(3, 4)
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 2, 3)))
    >>> ys.shape, state.hidden.shape
    ((5, 2, 4), (2, 4))
    """
    options = input_size, hidden_size, bias, kernel_init, bias_init, dtype, param_dtype
    return _cell("min_gru", GATES, _gru, _gru_gates, *options)


@factory
def min_lstm(
    input_size: int,
    hidden_size: int,
    bias: bool = True,
    kernel_init: Initializer = glorot,
    bias_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[MinGRUParams, MinGRUState]:
    """The minimal LSTM: x `(*batch, input)` to y = h' `(*batch, hidden)`.

        f, i = σ(x U + b)
        n = x U_n + b_n
        h' = (f∘h + i∘n) / (f + i)

    Options and errors are those of `min_gru`. Source: Feng et al. 2024 (arXiv 2410.01201), section
    3.2.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.min_lstm(3, 4)
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 2, 3)))
    >>> ys.shape
    (5, 2, 4)
    """
    options = input_size, hidden_size, bias, kernel_init, bias_init, dtype, param_dtype
    return _cell("min_lstm", LSTM_GATES, _lstm, _lstm_gates, *options)


def _sums(params: MinGRUParams, x: Array) -> Terms:
    """x U + b for each gate."""
    return plus_bias(project_gates(x, params.input_kernel), params.bias)


def _gru(params: MinGRUParams, x: Array) -> tuple[MinGRUState, MinGRUState]:
    z, n = _sums(params, x)
    return MinGRUState(jax.nn.sigmoid(-z)), MinGRUState(jax.nn.sigmoid(z) * n)


def _lstm(params: MinGRUParams, x: Array) -> tuple[MinGRUState, MinGRUState]:
    """f / (f + i) is σ of the difference of their logarithms, which never divides by zero."""
    f, i, n = _sums(params, x)
    share = jax.nn.log_sigmoid(f) - jax.nn.log_sigmoid(i)
    return MinGRUState(jax.nn.sigmoid(share)), MinGRUState(jax.nn.sigmoid(-share) * n)


def _gru_gates(params: MinGRUParams, x: Array) -> MinGRUGates:
    z, n = _sums(params, x)
    return MinGRUGates(jax.nn.sigmoid(z), n)


def _lstm_gates(params: MinGRUParams, x: Array) -> MinLSTMGates:
    f, i, n = _sums(params, x)
    return MinLSTMGates(jax.nn.sigmoid(f), jax.nn.sigmoid(i), n)


def _cell(
    kind: str,
    gates: tuple[str, ...],
    coefficients: Callable[[MinGRUParams, Array], tuple[MinGRUState, MinGRUState]],
    values: Callable[[MinGRUParams, Array], tuple[Array, ...]],
    input_size: int,
    hidden_size: int,
    bias: bool,
    kernel_init: Initializer,
    bias_init: Initializer | None,
    dtype: DTypeLike,
    param_dtype: DTypeLike | None,
) -> Cell[MinGRUParams, MinGRUState]:
    sizes = (
        check_size(kind, "input_size", input_size),
        check_size(kind, "hidden_size", hidden_size),
    )
    check_kernels(kind, kernel_init=kernel_init)
    dtype, param_dtype = check_dtypes(kind, dtype, param_dtype)
    filling = kernel_init, check_bias(kind, bias, bias_init, jax.nn.initializers.zeros)
    first = functools.partial(_zeros, state_dtype(dtype))
    split = LinearSplit(
        this_call(), coefficients, first, hidden, dtype=dtype, input_size=_input_size_of,
        any_rank=True, closed=True, gates=values,
    )  # fmt: skip
    return cell_of(
        split, functools.partial(_init, this_call(), len(gates), sizes, filling, param_dtype)
    )


def _init(
    name: str,
    gates: int,
    sizes: tuple[int, int],
    filling: tuple[Initializer, Initializer | None],
    dtype: jnp.dtype,
    key: Key,
) -> MinGRUParams:
    rows, units = sizes
    shapes = (rows, gates, units), (gates, units)
    each = zip(("kernel_init", "bias_init"), filling, jax.random.split(key), shapes, strict=True)
    filled: Any = [
        fill_gates(f"{name}: {what}", fill, k, shape, dtype) for what, fill, k, shape in each
    ]
    return MinGRUParams(*filled)


def _zeros(
    dtype: jnp.dtype, params: MinGRUParams, batch_shape: tuple[int, ...] = ()
) -> MinGRUState:
    return MinGRUState(jnp.zeros((*batch_shape, params.input_kernel.shape[-1]), dtype))


def _input_size_of(params: MinGRUParams) -> int:
    return params.input_kernel.shape[0]
