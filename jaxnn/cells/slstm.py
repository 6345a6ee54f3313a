"""The LSTM with exponential gates: one number a unit, as the xLSTM has it beside its matrices."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.gated import Equations, Options, gated_cell
from jaxnn.cells.products import Terms, mix_blocks, plus_bias
from jaxnn.functions.initializers import forget_bias, glorot, orthogonal
from jaxnn.internal.factory import factory
from jaxnn.internal.options import check_bool, check_heads
from jaxnn.types import Array, Cell, Initializer, exportable

GATES = ("i", "f", "z", "o")
NOTHING = -1e30
"""What m is at first: so far below what a gate can say that nothing of the first state counts, and
still a number, so that no infinity meets another one."""


@exportable
class SLSTMParams(NamedTuple):
    """U `(input, 4, hidden)`, W `(hidden / heads, 4, hidden)`, and b `(4, hidden)` or None."""

    input_kernel: Array
    recurrent_kernel: Array
    bias: Array | None


@exportable
class SLSTMState(NamedTuple):
    """h, c, n and m, each `(*batch, hidden)`."""

    hidden: Array
    cell: Array
    normaliser: Array
    stabiliser: Array


@exportable
class SLSTMGates(NamedTuple):
    """The gates' values at a step, each `(*batch, hidden)`: i and f in (0, 1], one of them 1, since
    they are stabilised; z in (−1, 1), o in (0, 1)."""

    i: Array
    f: Array
    z: Array
    o: Array


@factory
def slstm(
    input_size: int,
    hidden_size: int,
    heads: int = 1,
    exponential_forget: bool = False,
    bias: bool = True,
    kernel_init: Initializer = glorot,
    recurrent_init: Initializer = orthogonal,
    bias_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[SLSTMParams, SLSTMState]:
    """The xLSTM's cell with a number a unit: exponential gates, and a normaliser.

        i~, f~, z~, o~ = x U + h W + b
        m' = max(log f + m, i~)           log f = log σ(f~), or f~ with exponential_forget
        i = exp(i~ − m')
        f = exp(log f + m − m')
        c' = f∘c + i∘tanh(z~)
        n' = f∘n + i
        h' = σ(o~)∘c' / n'

    c and n are kept divided by exp(m), so that no gate is ever larger than 1; h does not depend on
    m. One of i and f is 1, so that n ≥ 1 after the first step. At first c = n = 0 and m = −10³⁰:
    the first gates are i = 1 and f = 0, whatever they are told.

    Args:
      input_size, hidden_size: features of x and of h.
      heads: W is block-diagonal, of so many blocks; they divide hidden_size.
      exponential_forget: whether the forget gate is an exponential too, and not a σ.
      bias: whether there is a b.
      kernel_init, recurrent_init: of U, gate by gate, and of W, block by block and gate by gate.
      bias_init: of b; by default zeros, but 1 at the forget gate.
      dtype: of the arithmetic, x and y; the state is float32 where it has 16 bits.
      param_dtype: of the parameters; by default as the state's.

    Returns:
      A Cell with `SLSTMParams` and `SLSTMState`: x `(*batch, input)` to y = h' `(*batch, hidden)`.

    Raises:
      ValueError, TypeError: as `elman` does, for heads that do not divide hidden_size, and options
        that are not boolean.

    Source: Beck et al. 2024 (arXiv 2405.04517), section 2.2, equations 8 to 17; the authors' code
    (xlstm) has the σ.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.slstm(3, 4, heads=2)
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 2, 3)))
    >>> ys.shape, state.normaliser.shape
    ((5, 2, 4), (2, 4))
    """
    heads = check_heads("slstm", heads, hidden_size)
    check_bool("slstm", "exponential_forget", exponential_forget)
    options = Options(
        input_size, hidden_size, bias, kernel_init, recurrent_init, bias_init, dtype, param_dtype
    )
    return gated_cell(
        "slstm",
        GATES,
        SLSTMParams,
        SLSTMState,
        _with(exponential_forget),
        options,
        mix_blocks,
        default_bias_init=forget_bias(GATES),
        blocks=heads,
        initial_state=_first_state,
    )


def _first_state(
    dtype: jnp.dtype, params: SLSTMParams, batch_shape: tuple[int, ...] = ()
) -> SLSTMState:
    shape = (*batch_shape, params.input_kernel.shape[-1])
    h, c, n = [jnp.zeros(shape, dtype) for _ in range(3)]
    return SLSTMState(h, c, n, jnp.full(shape, NOTHING, dtype))


@functools.lru_cache(maxsize=1024)
def _with(exponential_forget: bool) -> Equations:
    return functools.partial(equations, exponential_forget)


def equations(
    exponential_forget: bool,
    params: SLSTMParams,
    projected: Terms,
    mixed: Terms,
    state: SLSTMState,
) -> tuple[SLSTMState, SLSTMGates]:
    """The step."""
    i, f, z, o = plus_bias(map(jnp.add, projected, mixed), params.bias)
    i, f, m = stabilised(i, f if exponential_forget else jax.nn.log_sigmoid(f), state.stabiliser)
    gates = SLSTMGates(i, f, jnp.tanh(z), jax.nn.sigmoid(o))
    c = f * state.cell + i * gates.z
    n = f * state.normaliser + i
    return SLSTMState(gates.o * (c / n), c, n, m), gates


def stabilised(log_i: Array, log_f: Array, m: Array) -> tuple[Array, Array, Array]:
    """i, f and m', from the logarithms of the gates."""
    new = jnp.maximum(log_f + m, log_i)
    return jnp.exp(log_i - new), jnp.exp(log_f + m - new), new
