"""The continuous-time network: units that leak towards what they are told."""

import functools
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.gated import Equations, Options, gated_cell
from jaxnn.cells.products import Terms, per_unit, plus_bias
from jaxnn.functions.initializers import glorot, orthogonal
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_callable, check_number
from jaxnn.internal.users import is_closed, map_user
from jaxnn.types import Array, Cell, Initializer, Key, exportable

Activation = Callable[[Array], Array]


@exportable
class CTRNNParams(NamedTuple):
    """U `(input, 1, hidden)`, W `(hidden, 1, hidden)`, b `(1, hidden)` or None, and log τ
    `(hidden,)`."""

    input_kernel: Array
    recurrent_kernel: Array
    bias: Array | None
    log_tau: Array


@exportable
class CTRNNState(NamedTuple):
    """h `(*batch, hidden)`."""

    hidden: Array


@factory
def ct_rnn(
    input_size: int,
    hidden_size: int,
    tau: float = 5.0,
    dt: float = 1.0,
    activation: Activation = jnp.tanh,
    bias: bool = True,
    kernel_init: Initializer = glorot,
    recurrent_init: Initializer = orthogonal,
    bias_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[CTRNNParams, CTRNNState]:
    """The continuous-time recurrent network, τ dh/dt = −h + f(x U + h W + b), a time dt a step.

        a = exp(−dt / τ)
        h' = a∘h + (1 − a)∘f(x U + h W + b)

    This is the solution for an f that holds still during the step. However long dt is, h' lies
    between h and f, which Euler's rule, 1 − dt/τ in the place of a, does not promise; for a small
    dt/τ they agree.

    Args:
      input_size, hidden_size: features of x and of h.
      tau: τ of every unit at first, above zero, in the unit of dt. It is learned, as log τ.
      dt: the time of a step, above zero.
      activation: f, entry by entry.
      bias: whether there is a b.
      kernel_init, recurrent_init, bias_init: of U, W and b (zeros).
      dtype: of the arithmetic, x and y; the state is float32 where it has 16 bits.
      param_dtype: of the parameters; by default as the state's.

    Returns:
      A Cell with `CTRNNParams` and `CTRNNState`: x `(*batch, input)` to y = h' `(*batch, hidden)`.

    Raises:
      ValueError, TypeError: as `elman` does, and for tau and dt that are not finite numbers above
        zero.

    Source: Funahashi & Nakamura 1993, Approximation of dynamical systems by continuous time
    recurrent neural networks. They have f before the product, τ du/dt = −u + f(u) W + x U: it is
    this for u = h W + x U, where x holds still.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.ct_rnn(3, 4, tau=10.0, dt=0.5)
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 2, 3)))
    >>> ys.shape, state.hidden.shape
    ((5, 2, 4), (2, 4))
    """
    check_callable("ct_rnn", "activation", activation)
    dt = check_number("ct_rnn", "dt", dt, above=0)
    tau = check_number("ct_rnn", "tau", tau, above=0)
    options = Options(
        input_size, hidden_size, bias, kernel_init, recurrent_init, bias_init, dtype, param_dtype
    )
    return gated_cell(
        "ct_rnn",
        ("n",),
        CTRNNParams,
        CTRNNState,
        _with("" if is_closed(activation) else this_call(), activation, dt),
        options,
        further=functools.partial(time_constants, tau),
        closed=is_closed(activation),
        shown=False,
    )


def time_constants(
    tau: float, name: str, hidden_size: int, dtype: jnp.dtype, key: Key
) -> tuple[Iterable[Key], tuple[Array]]:
    """log τ."""
    del name
    return jax.random.split(key, 3), (jnp.full(hidden_size, math.log(tau), dtype),)


@functools.lru_cache(maxsize=1024)
def _with(name: str, activation: Activation, dt: float) -> Equations:
    if name:
        activation = functools.partial(map_user, name, "activation", activation)
    return functools.partial(equations, activation, dt)


def equations(
    activation: Activation,
    dt: float,
    params: CTRNNParams,
    projected: Terms,
    mixed: Terms,
    state: CTRNNState,
) -> tuple[CTRNNState, None]:
    """The step."""
    (n,) = plus_bias([projected[0] + mixed[0]], params.bias)
    a = per_unit(jnp.exp(-dt * jnp.exp(-params.log_tau)), n)
    return CTRNNState(a * state.hidden + (1 - a) * activation(n)), None
