"""The LSTM, with peepholes and coupled gates as options."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.cells.gates import (
    check_bias,
    check_gates,
    check_kernels,
    check_peephole,
    fill_gates,
    init_gates,
    input_size_of,
    per_unit,
    plus_bias,
    project_both,
    project_gates,
    times_gates,
    zeros,
)
from jaxnn.functions.initializers import forget_bias, glorot, orthogonal
from jaxnn.internal.checks import state_dtype
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_bool, check_dtypes, check_size
from jaxnn.recurrence.split import Split, before_combine, hidden
from jaxnn.recurrence.unroll import cell_of
from jaxnn.types import Array, Cell, Initializer, Key, Params, exportable

GATES = ("i", "f", "g", "o")
COUPLED_GATES = ("f", "g", "o")
"""With i = 1 − f no input gate is computed."""


@exportable
class LSTMParams(NamedTuple):
    """U `(input, gates, hidden)`, W `(hidden, gates, hidden)`, b `(gates, hidden)` or None, and p
    `(3, hidden)` for i, f, o, or `(2, hidden)` for f, o where they are coupled, or None."""

    input_kernel: Array
    recurrent_kernel: Array
    bias: Array | None
    peephole: Array | None


@exportable
class LSTMState(NamedTuple):
    """h and c, each `(*batch, hidden)`."""

    hidden: Array
    cell: Array


@exportable
class LSTMGates(NamedTuple):
    """The gates' values at a step, each `(*batch, hidden)`; i, f, o in (0, 1), g in (−1, 1)."""

    i: Array
    f: Array
    g: Array
    o: Array


@factory
def lstm(
    input_size: int,
    hidden_size: int,
    peephole: bool = False,
    coupled: bool = False,
    bias: bool = True,
    kernel_init: Initializer = glorot,
    recurrent_init: Initializer = orthogonal,
    bias_init: Initializer | None = None,
    peephole_init: Initializer | None = None,
    dtype: Any = jnp.float32,
    param_dtype: Any = None,
) -> Cell:
    """The long short-term memory.

        i = σ(x U_i + h W_i + b_i)     [+ p_i∘c]      or i = 1 − f, if coupled
        f = σ(x U_f + h W_f + b_f)     [+ p_f∘c]
        g = tanh(x U_g + h W_g + b_g)
        c' = f∘c + i∘g
        o = σ(x U_o + h W_o + b_o)     [+ p_o∘c']
        h' = o∘tanh(c')

    Args:
      input_size, hidden_size: features of x and of h.
      peephole: the terms in brackets, inside the σ: one weight a unit, as in the paper. (A popular
        drawing, Olah 2015, shows full matrices there.)
      coupled: i = 1 − f, and no input gate is computed (the CIFG of Greff 2017).
      bias: whether there is a b.
      kernel_init, recurrent_init: of U and W, gate by gate.
      bias_init: of b; by default zeros, but 1 at the forget gate.
      peephole_init: of p; by default `uniform_hidden`.
      dtype: of the arithmetic, x and y; the state is float32 where it has 16 bits.
      param_dtype: of the parameters; by default as the state's.

    Returns:
      A Cell with `LSTMParams` and `LSTMState`: x `(*batch, input)` to y = h' `(*batch, hidden)`.

    Raises:
      ValueError, TypeError: for sizes that are not positive integers, options that are not
        boolean and dtypes that are not floating.

    Source: Hochreiter & Schmidhuber 1997; forget gate: Gers, Schmidhuber & Cummins 2000; peephole:
    Gers & Schmidhuber 2000; coupled: Greff et al. 2017 (arXiv 1503.04069). torch.nn.LSTM has the
    same gate order, a second, redundant bias, and no options.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.lstm(3, 4, peephole=True)
    >>> params = cell.init(jax.random.key(0))
    >>> state, ys = cell.unroll(params, jnp.ones((5, 2, 3)))
    >>> ys.shape, state.cell.shape
    ((5, 2, 4), (2, 4))
    """
    input_size = check_size("lstm", "input_size", input_size)
    hidden_size = check_size("lstm", "hidden_size", hidden_size)
    check_bool("lstm", "coupled", coupled)
    check_kernels("lstm", kernel_init=kernel_init, recurrent_init=recurrent_init)
    dtype, param_dtype = check_dtypes("lstm", dtype, param_dtype)
    gates = COUPLED_GATES if coupled else GATES
    bias_init = check_bias("lstm", bias, bias_init, forget_bias(gates))
    initializers = (kernel_init, recurrent_init, bias_init)
    name = this_call()
    init = functools.partial(
        init_lstm,
        name,
        input_size,
        hidden_size,
        len(gates),
        initializers,
        check_peephole("lstm", peephole, peephole_init),
        param_dtype,
    )
    return cell_of(_split(name, dtype), init)


def init_lstm(
    name: str,
    input_size: int,
    hidden_size: int,
    gates: int,
    initializers: Any,
    peephole_init: Initializer | None,
    dtype: Any,
    key: Key,
) -> LSTMParams:
    """The parameters of an LSTM."""
    key, peephole_key = jax.random.split(key)
    kernels = init_gates(name, key, input_size, hidden_size, gates, initializers, dtype)
    if peephole_init is None:
        return LSTMParams(*kernels, peephole=None)
    where, shape = f"{name}: peephole_init", (gates - 1, hidden_size)
    return LSTMParams(*kernels, fill_gates(where, peephole_init, peephole_key, shape, dtype))


def project(params: LSTMParams, x: Array) -> tuple[Array, ...]:
    """x U, for each gate."""
    return project_gates(x, params.input_kernel)


def mix(params: LSTMParams, state: LSTMState) -> tuple[Array, ...]:
    """h W for each gate, [+ p∘c for i and f, which come first]."""
    mixed = times_gates(state.hidden, params.recurrent_kernel)
    if params.peephole is None:
        return mixed
    c, rows = state.cell, params.peephole[:-1]
    seen = [m + per_unit(p, c) * c for m, p in zip(mixed, rows, strict=False)]
    return *seen, *mixed[len(rows) :]


def combine(params: LSTMParams, projected: Any, mixed: Any, state: LSTMState) -> LSTMState:
    """c' = f∘c + i∘g, h' = o∘tanh(c')."""
    gates, c = _gates_and_cell(params, projected, mixed, state)
    return LSTMState(gates.o * jnp.tanh(c), c)


def _gates_and_cell(
    params: LSTMParams, projected: Any, mixed: Any, state: LSTMState
) -> tuple[LSTMGates, Array]:
    *before, g, o = plus_bias(map(jnp.add, projected, mixed), params.bias)
    i, f = (None, *before) if len(before) == 1 else before
    f = jax.nn.sigmoid(f)
    i = 1 - f if i is None else jax.nn.sigmoid(i)
    g = jnp.tanh(g)
    c = f * state.cell + i * g
    if params.peephole is not None:
        o = o + per_unit(params.peephole[-1], c) * c
    return LSTMGates(i, f, g, jax.nn.sigmoid(o)), c


def initial_state(dtype: Any, params: Params, batch_shape: tuple[int, ...] = ()) -> LSTMState:
    """Zeros."""
    return LSTMState(zeros(params, batch_shape, dtype), zeros(params, batch_shape, dtype))


def lstm_gates(params: LSTMParams, state: LSTMState, x: Array) -> LSTMGates:
    """The gates' values at a step, for every variant (i = 1 − f where they are coupled).

    Args:
      params, state, x: as for `apply`; the arithmetic is in the dtype of x.

    Returns:
      `LSTMGates(i, f, g, o)`, each `(*batch, hidden)`.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.lstm(3, 4, coupled=True)
    >>> params = cell.init(jax.random.key(0))
    >>> gates = lstm_gates(params, cell.initial_state(params), jnp.ones(3))
    >>> bool(jnp.allclose(gates.i + gates.f, 1))
    True
    """
    check_gates("lstm_gates", LSTMParams, functools.partial(_form, params), params, state, x)
    split = _split("lstm_gates", x.dtype)
    params, projected, mixed = before_combine(split, params, state, x)
    return _gates_and_cell(params, projected, mixed, state)[0]


def _form(
    params: LSTMParams, rows: int, hidden: int, bias: bool, dtype: Any, param_dtype: Any
) -> Cell:
    """The LSTM of the form that the parameters have."""
    coupled, peephole = params.input_kernel.shape[1] == 3, params.peephole is not None
    return lstm(rows, hidden, peephole, coupled, bias, dtype=dtype, param_dtype=param_dtype)


@functools.lru_cache(maxsize=1024)
def _split(name: str, dtype: Any) -> Split:
    return Split(
        name,
        project,
        mix,
        combine,
        functools.partial(initial_state, state_dtype(dtype)),
        hidden,
        dtype=dtype,
        any_rank=True,
        input_size=input_size_of,
        project_both=project_both,
    )
