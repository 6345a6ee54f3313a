"""The quasi-recurrent network and the simple recurrent unit: a linear recurrence between gates."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.linear import Options, linear_gated_cell
from jaxnn.cells.products import Terms, plus_bias, project_gates
from jaxnn.functions.initializers import glorot
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_callable, check_size
from jaxnn.internal.users import is_closed, map_user
from jaxnn.types import Array, Cell, Initializer, exportable

GATES = ("z", "f", "o")
SRU_GATES = ("n", "f", "r")
Activation = Callable[[Array], Array]


@exportable
class QRNNParams(NamedTuple):
    """U `(input, 3, hidden)`, and b `(gates, hidden)` or None; two gates of an SRU have one."""

    input_kernel: Array
    bias: Array | None


@exportable
class QRNNState(NamedTuple):
    """c `(*batch, hidden)`."""

    cell: Array


@factory
def qrnn(
    input_size: int,
    hidden_size: int,
    bias: bool = True,
    kernel_init: Initializer = glorot,
    bias_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[QRNNParams, QRNNState]:
    """The quasi-recurrent network with fo-pooling: x `(*batch, input)` to y `(*batch, hidden)`.

        z = tanh(x U_z + b_z)
        f, o = σ(x U + b)
        c' = f∘c + (1 − f)∘z
        y = o∘c'

    The paper's gates see a window of the last steps. This is the window of one step.

    Args:
      input_size, hidden_size: positive integers.
      bias: whether there is one; the paper leaves it out of its equations.
      kernel_init, bias_init: fill U and b gate by gate; b is zeros by default.
      dtype, param_dtype: of the arithmetic and of the parameters; gates and state are float32 under
        16-bit arithmetic.

    Raises:
      ValueError, TypeError: as `elman` does.

    Source: Bradbury et al. 2016 (arXiv 1611.01576), section 2.1, equations 1, 2 and 4.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.qrnn(3, 4)
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 2, 3)))
    >>> ys.shape, state.cell.shape
    ((5, 2, 4), (2, 4))
    """
    options = Options(input_size, hidden_size, bias, kernel_init, bias_init, dtype, param_dtype)
    return linear_gated_cell(
        "qrnn", GATES, QRNNParams, QRNNState, _pooled, options, _project, _output
    )


@factory
def sru(
    size: int,
    activation: Activation = jnp.tanh,
    bias: bool = True,
    kernel_init: Initializer = glorot,
    bias_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[QRNNParams, QRNNState]:
    """The simple recurrent unit, with its highway: x `(*batch, size)` to y `(*batch, size)`.

        n = x U_n
        f, r = σ(x U + b)
        c' = f∘c + (1 − f)∘n
        y = r∘g(c') + (1 − r)∘x

    These are the gates of the paper's first version, which do not see the state; those of its last
    one see c, so that a step is not linear in it.

    Args:
      size: features of x, c and y.
      activation: g, entry by entry.
      bias: whether f and r have one; n has none.
      kernel_init, bias_init: fill U and b gate by gate; b is zeros by default.
      dtype, param_dtype: as for `qrnn`.

    Raises:
      ValueError, TypeError: as `elman` does.

    Source: Lei et al. 2017 (arXiv 1709.02755v1), equations 3 to 7.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.sru(3)
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 2, 3)))
    >>> ys.shape, state.cell.shape
    ((5, 2, 3), (2, 3))
    """
    size = check_size("sru", "size", size)
    check_callable("sru", "activation", activation)
    options = Options(size, size, bias, kernel_init, bias_init, dtype, param_dtype)
    output = _highway_with(this_call(), activation)
    closed = is_closed(activation)
    return linear_gated_cell(
        "sru", SRU_GATES, QRNNParams, QRNNState, _averaged, options, _project, output,
        biased=SRU_GATES[1:], closed=closed,
    )  # fmt: skip


def _project(params: QRNNParams, x: Array) -> Terms:
    """x U of the first two gates, the ones that the recurrence reads."""
    return project_gates(x, params.input_kernel[:, :2])


def _pooled(params: QRNNParams, projected: Terms) -> tuple[QRNNState, QRNNState]:
    z, f = plus_bias(projected, None if params.bias is None else params.bias[:2])
    return QRNNState(jax.nn.sigmoid(f)), QRNNState(jax.nn.sigmoid(-f) * jnp.tanh(z))


def _averaged(params: QRNNParams, projected: Terms) -> tuple[QRNNState, QRNNState]:
    (f,) = plus_bias(projected[1:], None if params.bias is None else params.bias[:1])
    return QRNNState(jax.nn.sigmoid(f)), QRNNState(jax.nn.sigmoid(-f) * projected[0])


def _output(params: QRNNParams, state: QRNNState, x: Array) -> Array:
    return _last_gate(params, state, x) * state.cell


def _highway(g: Activation, params: QRNNParams, state: QRNNState, x: Array) -> Array:
    r, c = _last_gate(params, state, x), state.cell
    x = x.astype(c.dtype)
    return x + r * (g(c) - x)


@functools.lru_cache(maxsize=1024)
def _highway_with(name: str, activation: Activation) -> Callable[..., Array]:
    """That of one activation, whose errors say which cell it was given to."""
    return functools.partial(_highway, functools.partial(map_user, name, "activation", activation))


def _last_gate(params: QRNNParams, state: QRNNState, x: Array) -> Array:
    """The gate that the output alone reads, in the dtype of the state."""
    gate = project_gates(x, params.input_kernel[:, 2:])
    bias = None if params.bias is None else params.bias[-1:]
    (gate,) = plus_bias(gate, bias)
    return jax.nn.sigmoid(gate.astype(state.cell.dtype))
