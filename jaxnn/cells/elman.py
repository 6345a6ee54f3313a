"""The Elman network, the simple recurrent cell of the notes."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.gated import Equations, Options, gated_cell
from jaxnn.cells.products import Terms, plus_bias
from jaxnn.functions.initializers import glorot, orthogonal
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_callable
from jaxnn.internal.users import is_closed, map_user
from jaxnn.types import Array, Cell, Initializer, exportable

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
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[ElmanParams, ElmanState]:
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
      ValueError, TypeError: for sizes that are not positive integers, a `bias` that is not boolean,
        what is no function or initialiser, and dtypes that are not floating.

    Source: Elman 1990, Finding structure in time. torch.nn.RNN has a second, redundant bias.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.elman(3, 4)
    >>> params = cell.init(jax.random.key(0))
    >>> state, ys = cell.unroll(params, jnp.ones((5, 2, 3)))
    >>> ys.shape, state.hidden.shape
    ((5, 2, 4), (2, 4))
    """
    check_callable("elman", "activation", activation)
    options = Options(
        input_size, hidden_size, bias, kernel_init, recurrent_init, bias_init, dtype, param_dtype
    )
    equations = _equations_with(this_call(), activation)
    closed = is_closed(activation)
    return gated_cell("elman", GATES, ElmanParams, ElmanState, equations, options, closed=closed)


def equations(
    f: Activation, params: ElmanParams, projected: Terms, mixed: Terms, state: ElmanState
) -> tuple[ElmanState, ElmanGates]:
    """f of the sum."""
    del state
    (s,) = plus_bias([projected[0] + mixed[0]], params.bias)
    s = f(s)
    return ElmanState(s), ElmanGates(s)


@functools.lru_cache(maxsize=1024)
def _equations_with(name: str, activation: Activation) -> Equations:
    """Those of one activation, whose errors say which cell it was given to."""
    f = functools.partial(map_user, name, "activation", activation)
    return functools.partial(equations, f)
