"""The GRU whose state is an image, for films and other sequences of images."""

import functools
from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.activations import USUAL, Activations, with_activations
from jaxnn.cells.convolutions import check_images, convolve_gates, project_images
from jaxnn.cells.gated import Options, gated_cell
from jaxnn.cells.gru import (
    GATES,
    GRUGates,
    GRUState,
    equations_after,
    equations_with,
    recurrent_bias,
)
from jaxnn.cells.products import Terms
from jaxnn.functions.initializers import glorot, orthogonal
from jaxnn.internal.factory import factory
from jaxnn.internal.options import check_bool
from jaxnn.types import Array, Cell, Initializer, exportable


@exportable
class ConvGRUParams(NamedTuple):
    """U `(*window, input, 3, hidden)`, W `(*window, hidden, 3, hidden)`, b `(3, hidden)` or None,
    and b_h `(hidden,)`, or None without biases or with the reset before."""

    input_kernel: Array
    recurrent_kernel: Array
    bias: Array | None
    recurrent_bias: Array | None


@factory
def conv_gru(
    input_size: int,
    hidden_size: int,
    spatial_shape: tuple[int, ...],
    window: tuple[int, ...],
    recurrent_window: tuple[int, ...] | None = None,
    reset_after: bool = True,
    bias: bool = True,
    kernel_init: Initializer = glorot,
    recurrent_init: Initializer = orthogonal,
    bias_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[ConvGRUParams, GRUState]:
    """The convolutional GRU: a GRU at each place, which sees its neighbours too.

        r = σ(x * U_r + h * W_r + b_r)
        z = σ(x * U_z + h * W_z + b_z)
        n = tanh(x * U_n + b_n + r∘(h * W_n + b_h))       reset_after=True: one convolution a step
        n = tanh(x * U_n + b_n + (r∘h) * W_n)             reset_after=False: the papers'
        h' = (1 − z)∘n + z∘h

    where * is a convolution with padding "same", so that x and h have one spatial shape. With the
    reset before it, a step has a convolution of something that is not linear in the state, and the
    derivative is that of the plain scan.

    Args:
      input_size, hidden_size: features (channels) of x and of h.
      spatial_shape: of x and of the state: `(height, width)` for images, one to three sizes.
      window: of U, as many sizes: `(3, 3)`.
      recurrent_window: of W; by default as window.
      reset_after: whether the reset gate comes after the convolution of h or before it.
      bias: whether there are b and b_h, one number a gate and feature.
      kernel_init, recurrent_init: of U and W, gate by gate.
      bias_init: of b; zeros by default. b_h starts at zero.
      dtype: of the arithmetic, x and y; the state is float32 where it has 16 bits.
      param_dtype: of the parameters; by default as the state's.

    Returns:
      A Cell with `ConvGRUParams` and `GRUState`: x `(*batch, *spatial, input)` to y = h'
      `(*batch, *spatial, hidden)`.

    Raises:
      ValueError, TypeError: as `conv_lstm` does.

    Source: Ballas et al. 2016 (arXiv 1511.06432), section 3.1; Siam et al. 2017 (arXiv 1611.05435).
    Their z is 1 − z here, as in `gru`.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.conv_gru(1, 4, (8, 6), (3, 3))
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 2, 8, 6, 1)))
    >>> ys.shape, state.hidden.shape
    ((5, 2, 8, 6, 4), (2, 8, 6, 4))
    """
    spatial, windows = check_images("conv_gru", spatial_shape, window, recurrent_window)
    check_bool("conv_gru", "reset_after", reset_after)
    options = Options(
        input_size, hidden_size, bias, kernel_init, recurrent_init, bias_init, dtype, param_dtype
    )
    equations = equations_after if reset_after else equations_before
    return gated_cell(
        "conv_gru",
        GATES,
        ConvGRUParams,
        GRUState,
        with_activations("conv_gru", "", equations, USUAL),
        options,
        mix if reset_after else mix_two,
        project_images,
        further=functools.partial(recurrent_bias, reset_after and bias),
        spatial_shape=spatial,
        windows=windows,
    )


def mix(params: ConvGRUParams, state: GRUState) -> Terms:
    """h * W, for each gate."""
    return convolve_gates(state.hidden, params.recurrent_kernel)


def mix_two(params: ConvGRUParams, state: GRUState) -> Terms:
    """h * W for r and z: n needs r first."""
    return convolve_gates(state.hidden, params.recurrent_kernel[..., :2, :])


def equations_before(
    activations: Activations, params: ConvGRUParams, projected: Terms, mixed: Terms, state: GRUState
) -> tuple[GRUState, GRUGates]:
    """The step with the reset before the convolution."""

    def convolved(h: Array) -> Array:
        return convolve_gates(h, params.recurrent_kernel[..., 2:, :])[0]

    return equations_with(convolved, activations, params, projected, mixed, state)
