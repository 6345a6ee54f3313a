"""The minimal GRU and LSTM: gates of the input alone, so that the step is linear in the state."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.linear import Options, linear_gated_cell
from jaxnn.cells.products import Terms, plus_bias
from jaxnn.functions.initializers import glorot
from jaxnn.internal.factory import factory
from jaxnn.types import Array, Cell, Initializer, exportable

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
      dtype, param_dtype: of the arithmetic and of the parameters; gates and state are float32 under
        16-bit arithmetic.

    Raises:
      ValueError, TypeError: as `elman` does.

    Source: Feng et al. 2024 (arXiv 2410.01201), section 3.1.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.min_gru(3, 4)
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 2, 3)))
    >>> ys.shape, state.hidden.shape
    ((5, 2, 4), (2, 4))
    """
    options = Options(input_size, hidden_size, bias, kernel_init, bias_init, dtype, param_dtype)
    return linear_gated_cell(
        "min_gru", GATES, MinGRUParams, MinGRUState, _gru, options, values=_gru_gates
    )


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
    options = Options(input_size, hidden_size, bias, kernel_init, bias_init, dtype, param_dtype)
    return linear_gated_cell(
        "min_lstm", LSTM_GATES, MinGRUParams, MinGRUState, _lstm, options, values=_lstm_gates
    )


def _gru(params: MinGRUParams, projected: Terms) -> tuple[MinGRUState, MinGRUState]:
    z, n = plus_bias(projected, params.bias)
    return MinGRUState(jax.nn.sigmoid(-z)), MinGRUState(jax.nn.sigmoid(z) * n)


def _lstm(params: MinGRUParams, projected: Terms) -> tuple[MinGRUState, MinGRUState]:
    """f / (f + i) is σ of the difference of their logarithms, which never divides by zero."""
    f, i, n = plus_bias(projected, params.bias)
    share = jax.nn.log_sigmoid(f) - jax.nn.log_sigmoid(i)
    return MinGRUState(jax.nn.sigmoid(share)), MinGRUState(jax.nn.sigmoid(-share) * n)


def _gru_gates(params: MinGRUParams, projected: Terms) -> MinGRUGates:
    z, n = plus_bias(projected, params.bias)
    return MinGRUGates(jax.nn.sigmoid(z), n)


def _lstm_gates(params: MinGRUParams, projected: Terms) -> MinLSTMGates:
    f, i, n = plus_bias(projected, params.bias)
    return MinLSTMGates(jax.nn.sigmoid(f), jax.nn.sigmoid(i), n)
