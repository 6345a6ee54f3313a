"""The leaky integrate-and-fire neuron, whose output is spikes."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.gated import Equations, Options, gated_cell
from jaxnn.cells.products import Terms, mix_hidden, plus_bias
from jaxnn.functions.initializers import glorot, orthogonal
from jaxnn.functions.spikes import FastSigmoidSpike
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import (
    check_bool,
    check_callable,
    check_fraction,
    check_initializer,
    check_number,
)
from jaxnn.internal.users import is_closed, map_user
from jaxnn.types import Array, Cell, Initializer, exportable

SPIKE = FastSigmoidSpike(25.0)


@exportable
class LIFParams(NamedTuple):
    """U `(input, 1, hidden)`, W `(hidden, 1, hidden)` or None, and b `(1, hidden)` or None."""

    input_kernel: Array
    recurrent_kernel: Array | None
    bias: Array | None


@exportable
class LIFState(NamedTuple):
    """The spikes s and the potentials v, each `(*batch, hidden)`."""

    hidden: Array
    potential: Array


@factory
def lif(
    input_size: int,
    hidden_size: int,
    decay: float = 0.9,
    threshold: float = 1.0,
    spike: Callable[[Array], Array] = SPIKE,
    recurrent: bool = True,
    bias: bool = True,
    kernel_init: Initializer = glorot,
    recurrent_init: Initializer | None = None,
    bias_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[LIFParams, LIFState]:
    """The leaky integrate-and-fire neuron, by a surrogate of its derivative.

        v' = β v + x U + s W + b − θ s
        s' = 1 where v' > θ, else 0

    A unit that has fired loses θ in the next step: its potential is reset by subtraction. A spike
    has no derivative; that of `spike` stands for it, in every derivative that is taken.

    Args:
      input_size, hidden_size: features of x and of s.
      decay: β, at least 0 and below 1: exp(−dt / τ) for a membrane's time constant τ.
      threshold: θ, above zero.
      spike: what gives s' = spike(v' − θ), entry by entry, with its own derivative:
        `jaxnn.activations.fast_sigmoid_spike` or `arctan_spike`, or a `jax.custom_jvp` function of
        yours.
      recurrent: whether units hear each other's spikes, by W.
      bias: whether there is a b.
      kernel_init, recurrent_init, bias_init: of U, W (orthogonal) and b (zeros).
      dtype: of the arithmetic, x and y; the state is float32 where it has 16 bits.
      param_dtype: of the parameters; by default as the state's.

    Returns:
      A Cell with `LIFParams` and `LIFState`: x `(*batch, input)` to y = s' `(*batch, hidden)`.

    Raises:
      ValueError, TypeError: as `elman` does; for a decay outside of [0, 1), a threshold that is not
        above zero, a spike that is no function, and a `recurrent_init` without a W.

    Source: Neftci, Mostafa & Zenke 2019 (arXiv 1901.09948), with the current reaching the
    membrane at once.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.lif(1, 1, decay=0.5, recurrent=False, kernel_init=jax.nn.initializers.ones)
    >>> _, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.full((6, 1), 0.75))
    >>> ys[:, 0].tolist()                            # potentials 0.75, 1.125, 0.3125, 0.90625, …
    [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]
    """
    check_fraction("lif", "decay", decay)
    threshold = check_number("lif", "threshold", threshold, above=0)
    check_callable("lif", "spike", spike)
    check_bool("lif", "recurrent", recurrent)
    recurrent_init = check_initializer("lif", "recurrent", recurrent, recurrent_init, orthogonal)
    options = Options(
        input_size, hidden_size, bias, kernel_init, recurrent_init, bias_init, dtype, param_dtype
    )
    return gated_cell(
        "lif",
        ("v",),
        LIFParams,
        LIFState,
        _with("" if is_closed(spike) else this_call(), float(decay), threshold, spike),
        options,
        mix_hidden if recurrent else nothing,
        recurrent=recurrent,
        closed=is_closed(spike),
        shown=False,
    )


def nothing(params: LIFParams, state: LIFState) -> Terms:
    """Without W."""
    del params, state
    return ()


@functools.lru_cache(maxsize=1024)
def _with(name: str, decay: float, threshold: float, spike: Callable[[Array], Array]) -> Equations:
    if name:
        spike = functools.partial(map_user, name, "spike", spike)
    return functools.partial(equations, decay, threshold, spike)


def equations(
    decay: float,
    threshold: float,
    spike: Callable[[Array], Array],
    params: LIFParams,
    projected: Terms,
    mixed: Terms,
    state: LIFState,
) -> tuple[LIFState, None]:
    """The step."""
    (current,) = plus_bias([sum(mixed, projected[0])], params.bias)
    v = decay * state.potential + current - threshold * state.hidden
    return LIFState(spike(v - threshold), v), None
