"""The gated recurrent unit, with the reset gate after or before the recurrent product."""

import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.activations import Activation, Activations, with_activations
from jaxnn.cells.gated import Options, gated_cell
from jaxnn.cells.products import Terms, mix_first, mix_hidden, per_unit, plus_bias
from jaxnn.functions.initializers import glorot, orthogonal
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_bool
from jaxnn.internal.users import is_closed
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
    """The gates' values at a step, each `(*batch, hidden)`; by default r, z in (0, 1), n in
    (−1, 1)."""

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
    activation: Activation = jnp.tanh,
    gate_activation: Activation = jax.nn.sigmoid,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[GRUParams, GRUState]:
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
      activation, gate_activation: what stands for tanh and for σ, unit by unit, such as
        `jaxnn.activations.hard_sigmoid(0.2)`, which is Keras 2's.
      dtype: of the arithmetic, x and y; the state is float32 where it has 16 bits.
      param_dtype: of the parameters; by default as the state's.

    Returns:
      A Cell with `GRUParams` and `GRUState`: x `(*batch, input)` to y = h' `(*batch, hidden)`.

    Raises:
      ValueError, TypeError: for sizes that are not positive integers, options that are not
        boolean, what is no function or initialiser, and dtypes that are not floating.

    Source: Cho et al. 2014 (arXiv 1406.1078), whose z keeps the old state, as here and in torch
    (Chung et al. 2014 turn it round). torch.nn.GRU has further, redundant biases for r and z.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.gru(3, 4)
    >>> params = cell.init(jax.random.key(0))
    >>> state, ys = cell.unroll(params, jnp.ones((5, 2, 3)))
    >>> ys.shape, state.hidden.shape
    ((5, 2, 4), (2, 4))
    """
    check_bool("gru", "reset_after", reset_after)
    activations = Activations(activation, gate_activation)
    options = Options(
        input_size, hidden_size, bias, kernel_init, recurrent_init, bias_init, dtype, param_dtype
    )
    return gated_cell(
        "gru",
        GATES,
        GRUParams,
        GRUState,
        with_activations(
            "gru", this_call(), equations_after if reset_after else equations_before, activations
        ),
        options,
        mix_hidden if reset_after else mix_first(2),
        further=functools.partial(recurrent_bias, reset_after and bias),
        closed=all(map(is_closed, activations)),
    )


def recurrent_bias(
    biased: bool, name: str, hidden_size: int, dtype: jnp.dtype, key: Key
) -> tuple[Iterable[Key], tuple[Array | None]]:
    """b_h, zeros."""
    del name
    return jax.random.split(key, 3), (jnp.zeros(hidden_size, dtype) if biased else None,)


def equations_after(
    activations: Activations, params: Params, projected: Terms, mixed: Terms, state: GRUState
) -> tuple[GRUState, GRUGates]:
    """The step with the reset after the product."""
    m_r, m_z, m = mixed
    if params.recurrent_bias is not None:
        m = m + per_unit(params.recurrent_bias, m)
    p_r, p_z, p = projected
    r, z, p = plus_bias((p_r + m_r, p_z + m_z, p), params.bias)
    tanh, sigmoid = activations
    r = sigmoid(r)
    return _updated(state, GRUGates(r, sigmoid(z), tanh(p + r * m)))


def equations_before(
    activations: Activations, params: GRUParams, projected: Terms, mixed: Terms, state: GRUState
) -> tuple[GRUState, GRUGates]:
    """The step with the reset before the product: a second matmul, which needs the first."""

    def multiplied(h: Array) -> Array:
        return jnp.matmul(h, params.recurrent_kernel[:, 2])

    return equations_with(multiplied, activations, params, projected, mixed, state)


def equations_with(
    product: Callable[[Array], Array],
    activations: Activations,
    params: Params,
    projected: Terms,
    mixed: Terms,
    state: GRUState,
) -> tuple[GRUState, GRUGates]:
    """The same, for any product of r∘h."""
    (p_r, p_z, p), (m_r, m_z) = projected, mixed
    r, z, p = plus_bias((p_r + m_r, p_z + m_z, p), params.bias)
    tanh, sigmoid = activations
    r = sigmoid(r)
    return _updated(state, GRUGates(r, sigmoid(z), tanh(p + product(r * state.hidden))))


def _updated(state: GRUState, gates: GRUGates) -> tuple[GRUState, GRUGates]:
    """h' = (1 − z)∘n + z∘h, and the gates."""
    _, z, n = gates
    return GRUState((1 - z) * n + z * state.hidden), gates
