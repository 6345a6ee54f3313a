"""The minimal gated unit: a GRU with one gate, which both resets and updates."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.gated import Options, gated_cell
from jaxnn.cells.products import Terms, mix_first, plus_bias
from jaxnn.functions.initializers import glorot, orthogonal
from jaxnn.internal.factory import factory
from jaxnn.types import Array, Cell, Initializer, exportable

GATES = ("f", "n")


@exportable
class MGUParams(NamedTuple):
    """U `(input, 2, hidden)`, W `(hidden, 2, hidden)`, and b `(2, hidden)` or None."""

    input_kernel: Array
    recurrent_kernel: Array
    bias: Array | None


@exportable
class MGUState(NamedTuple):
    """h `(*batch, hidden)`."""

    hidden: Array


@exportable
class MGUGates(NamedTuple):
    """The gates' values at a step, each `(*batch, hidden)`; f in (0, 1), n in (−1, 1)."""

    f: Array
    n: Array


@factory
def mgu(
    input_size: int,
    hidden_size: int,
    bias: bool = True,
    kernel_init: Initializer = glorot,
    recurrent_init: Initializer = orthogonal,
    bias_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[MGUParams, MGUState]:
    """The minimal gated unit: x `(*batch, input)` to y = h' `(*batch, hidden)`.

        f = σ(x U_f + h W_f + b_f)
        n = tanh(x U_n + (f∘h) W_n + b_n)
        h' = (1 − f)∘h + f∘n

    Options and errors are those of `elman`. Source: Zhou et al. 2016 (arXiv 1603.09420).

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.mgu(3, 4)
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 2, 3)))
    >>> ys.shape, state.hidden.shape
    ((5, 2, 4), (2, 4))
    """
    options = Options(
        input_size, hidden_size, bias, kernel_init, recurrent_init, bias_init, dtype, param_dtype
    )
    return gated_cell(
        "mgu", GATES, MGUParams, MGUState, equations, options, mix_first(1), thins=True
    )


def equations(
    params: MGUParams,
    projected: Terms,
    mixed: Terms,
    state: MGUState,
    factor: Array | None = None,
) -> tuple[MGUState, MGUGates]:
    """The step; n needs f before its product, which is a second one."""
    f, n = plus_bias((projected[0] + mixed[0], projected[1]), params.bias)
    f = jax.nn.sigmoid(f)
    n = jnp.tanh(n + jnp.matmul(f * state.hidden, params.recurrent_kernel[:, 1]))
    gates = MGUGates(f, n)
    if factor is not None:
        n = factor * n
    return MGUState((1 - f) * state.hidden + f * n), gates
