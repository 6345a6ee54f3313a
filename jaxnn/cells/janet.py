"""JANET: an LSTM of which the forget gate alone is left."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.gated import Equations, Options, gated_cell
from jaxnn.cells.products import Terms, plus_bias
from jaxnn.functions.initializers import forget_bias, glorot, orthogonal
from jaxnn.internal.factory import factory
from jaxnn.internal.options import check_number
from jaxnn.types import Array, Cell, Initializer, exportable

GATES = ("f", "n")


@exportable
class JANETParams(NamedTuple):
    """U `(input, 2, hidden)`, W `(hidden, 2, hidden)`, and b `(2, hidden)` or None."""

    input_kernel: Array
    recurrent_kernel: Array
    bias: Array | None


@exportable
class JANETState(NamedTuple):
    """h `(*batch, hidden)`."""

    hidden: Array


@exportable
class JANETGates(NamedTuple):
    """The gates' values at a step, each `(*batch, hidden)`: f and i in (0, 1), n in (−1, 1)."""

    f: Array
    i: Array
    n: Array


@factory
def janet(
    input_size: int,
    hidden_size: int,
    beta: float = 1.0,
    bias: bool = True,
    kernel_init: Initializer = glorot,
    recurrent_init: Initializer = orthogonal,
    bias_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[JANETParams, JANETState]:
    """Just another network: an LSTM's forget gate, and no other.

        s = x U_f + h W_f + b_f
        f = σ(s)
        i = 1 − σ(s − β)
        n = tanh(x U_n + h W_n + b_n)
        h' = f∘h + i∘n

    Args:
      input_size, hidden_size: features of x and of h.
      beta: β. Above zero, more is let in than is forgotten; at zero i = 1 − f.
      bias: whether there is a b.
      kernel_init, recurrent_init: of U and W, gate by gate.
      bias_init: of b; by default zeros, but 1 at the forget gate. The paper has
        `jaxnn.initializers.chrono(jaxnn.JANET_GATES, longest)`, for sequences of so many steps.
      dtype: of the arithmetic, x and y; the state is float32 where it has 16 bits.
      param_dtype: of the parameters; by default as the state's.

    Returns:
      A Cell with `JANETParams` and `JANETState`: x `(*batch, input)` to y = h' `(*batch, hidden)`.

    Raises:
      ValueError, TypeError: as `elman` does, and for a beta that is no finite number.

    Source: van der Westhuizen & Lasenby 2018 (arXiv 1804.04849), with β = 1.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.janet(3, 4, bias_init=jaxnn.initializers.chrono(jaxnn.JANET_GATES, 100.0))
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 2, 3)))
    >>> ys.shape, state.hidden.shape
    ((5, 2, 4), (2, 4))
    """
    options = Options(
        input_size, hidden_size, bias, kernel_init, recurrent_init, bias_init, dtype, param_dtype
    )
    return gated_cell(
        "janet",
        GATES,
        JANETParams,
        JANETState,
        _with(check_number("janet", "beta", beta)),
        options,
        default_bias_init=forget_bias(GATES),
    )


@functools.lru_cache(maxsize=1024)
def _with(beta: float) -> Equations:
    return functools.partial(equations, beta)


def equations(
    beta: float, params: JANETParams, projected: Terms, mixed: Terms, state: JANETState
) -> tuple[JANETState, JANETGates]:
    """The step."""
    s, n = plus_bias(map(jnp.add, projected, mixed), params.bias)
    gates = JANETGates(jax.nn.sigmoid(s), 1 - jax.nn.sigmoid(s - beta), jnp.tanh(n))
    return JANETState(gates.f * state.hidden + gates.i * gates.n), gates
