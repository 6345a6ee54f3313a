"""The LSTM whose state is an image, for films and other sequences of images."""

import functools
from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.activations import USUAL, with_activations
from jaxnn.cells.convolutions import check_images, convolve_gates, project_images
from jaxnn.cells.gated import Options, gated_cell
from jaxnn.cells.lstm import GATES, LSTMState, equations
from jaxnn.cells.parameters import check_peephole, fill_gates
from jaxnn.cells.products import per_unit
from jaxnn.functions.initializers import forget_bias, glorot, orthogonal
from jaxnn.internal.factory import factory
from jaxnn.types import Array, Cell, Initializer, Key, exportable


@exportable
class ConvLSTMParams(NamedTuple):
    """U `(*window, input, gates, hidden)`, W `(*window, hidden, gates, hidden)`, b
    `(gates, hidden)` or None, and p `(3, *spatial, hidden)` for i, f, o, or None."""

    input_kernel: Array
    recurrent_kernel: Array
    bias: Array | None
    peephole: Array | None


@factory
def conv_lstm(
    input_size: int,
    hidden_size: int,
    spatial_shape: tuple[int, ...],
    window: tuple[int, ...],
    recurrent_window: tuple[int, ...] | None = None,
    peephole: bool = False,
    bias: bool = True,
    kernel_init: Initializer = glorot,
    recurrent_init: Initializer = orthogonal,
    bias_init: Initializer | None = None,
    peephole_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[ConvLSTMParams, LSTMState]:
    """The convolutional LSTM: an LSTM at each place, which sees its neighbours too.

        i = σ(x * U_i + h * W_i + b_i)     [+ p_i∘c]
        f = σ(x * U_f + h * W_f + b_f)     [+ p_f∘c]
        g = tanh(x * U_g + h * W_g + b_g)
        c' = f∘c + i∘g
        o = σ(x * U_o + h * W_o + b_o)     [+ p_o∘c']
        h' = o∘tanh(c')

    where * is a convolution with padding "same", so that x, h and c have one spatial shape.

    Args:
      input_size, hidden_size: features (channels) of x and of h.
      spatial_shape: of x and of the state: `(height, width)` for images, one to three sizes.
      window: of U, as many sizes: `(3, 3)`.
      recurrent_window: of W; by default as window.
      peephole: the terms in brackets, inside the σ, which the paper has: one weight for each place
        and feature.
      bias: whether there is a b, one number a gate and feature.
      kernel_init, recurrent_init: of U and W, gate by gate.
      bias_init: of b; by default zeros, but 1 at the forget gate.
      peephole_init: of p; by default `uniform_hidden`.
      dtype: of the arithmetic, x and y; the state is float32 where it has 16 bits.
      param_dtype: of the parameters; by default as the state's.

    Returns:
      A Cell with `ConvLSTMParams` and `LSTMState`: x `(*batch, *spatial, input)` to y = h'
      `(*batch, *spatial, hidden)`; c has the shape of h.

    Raises:
      ValueError, TypeError: for sizes that are not positive integers, windows of another number of
        axes, options that are not boolean and dtypes that are not floating; when it runs, for x of
        another spatial shape.

    Source: Shi et al. 2015 (arXiv 1506.04214), equation 3.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.conv_lstm(1, 4, (8, 6), (3, 3), peephole=True)
    >>> params = cell.init(jax.random.key(0))
    >>> state, ys = cell.unroll(params, jnp.ones((5, 2, 8, 6, 1)))
    >>> ys.shape, state.cell.shape
    ((5, 2, 8, 6, 4), (2, 8, 6, 4))
    """
    spatial, windows = check_images("conv_lstm", spatial_shape, window, recurrent_window)
    peephole_init = check_peephole("conv_lstm", peephole, peephole_init)
    options = Options(
        input_size, hidden_size, bias, kernel_init, recurrent_init, bias_init, dtype, param_dtype
    )
    return gated_cell(
        "conv_lstm",
        GATES,
        ConvLSTMParams,
        LSTMState,
        with_activations("conv_lstm", "", equations, USUAL),
        options,
        mix,
        project_images,
        default_bias_init=forget_bias(GATES),
        further=functools.partial(peepholes, peephole_init, spatial),
        spatial_shape=spatial,
        windows=windows,
    )


def peepholes(
    peephole_init: Initializer | None,
    spatial_shape: tuple[int, ...],
    name: str,
    hidden_size: int,
    dtype: jnp.dtype,
    key: Key,
) -> tuple[Iterable[Key], tuple[Array | None]]:
    """p, one number for each place and feature, for each gate but g."""
    *keys, peephole_key = jax.random.split(key, 4)
    where, shape = f"{name}: peephole_init", (len(GATES) - 1, *spatial_shape, hidden_size)
    p = fill_gates(where, peephole_init, peephole_key, shape, dtype, gates_first=True)
    return keys, (p,)


def mix(params: ConvLSTMParams, state: LSTMState) -> tuple[Array, ...]:
    """h * W for each gate, [+ p∘c for i and f]."""
    i, f, g, o = convolve_gates(state.hidden, params.recurrent_kernel)
    if params.peephole is None:
        return i, f, g, o
    c = state.cell
    p_i, p_f, _ = (per_unit(p, c) for p in params.peephole)
    return i + p_i * c, f + p_f * c, g, o
