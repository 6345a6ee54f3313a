"""Batch norm that has been trained is a scale and a shift of each feature: it goes into its
neighbour."""

from typing import Any

import jax.numpy as jnp

from jaxnn.cells.elman import ElmanParams
from jaxnn.cells.gru import GRUParams
from jaxnn.cells.lstm import LSTMParams
from jaxnn.internal.checks import check_array, shape_text
from jaxnn.internal.options import check_bool, check_number
from jaxnn.layers.conv import ConvParams
from jaxnn.layers.dense import DenseParams
from jaxnn.types import Array, ArrayLike

_CELLS = (ElmanParams, GRUParams, LSTMParams)


def fold_batch_norm(
    params: Any,
    mean: ArrayLike,
    variance: ArrayLike,
    scale: ArrayLike | None = None,
    shift: ArrayLike | None = None,
    epsilon: float = 1e-5,
    before: bool = False,
) -> Any:
    """The parameters of a layer that does its own work and that of a batch norm beside it.

        y = (x − mean) / √(variance + ε) · scale + shift      with the running statistics

    is affine, and so is a dense or convolutional layer, or what a cell does with its input: of both
    becomes one. The layer has a bias afterwards, so it runs in a model made with `bias=True`. What
    stands before a convolution can be folded only where its padding is "valid", since the zeros of
    a padding are not normalised; that cannot be seen here.

    Args:
      params: DenseParams, ConvParams; with `before`, also the parameters of an elman, lstm or gru.
      mean, variance, scale, shift: of each feature, `(features,)`: torch's running_mean,
        running_var, weight and bias; keras's moving_mean, moving_variance, gamma and beta.
      epsilon: torch's eps, 1e-5 there and 1e-3 in keras.
      before: whether the batch norm stands before the layer, or after it.

    Returns:
      Parameters of the same type, with a bias.

    Raises:
      TypeError: for params of another type, and for a batch norm after a cell.
      ValueError: for statistics of another shape than the layer's features, or another dtype.

    Source: Ioffe & Szegedy 2015 (arXiv 1502.03167), algorithm 2.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> from jaxnn.interop import fold_batch_norm
    >>> params = jaxnn.DenseParams(jnp.ones((2, 1)), None)
    >>> folded = fold_batch_norm(params, jnp.array([3.0]), jnp.array([4.0]), epsilon=1e-12)
    >>> jaxnn.dense(2, 1).apply(folded, jnp.array([2.0, 3.0])).tolist()
    [1.0]
    """
    check_bool("fold_batch_norm", "before", before)
    epsilon = check_number("fold_batch_norm", "epsilon", epsilon, above=0)
    cell = isinstance(params, _CELLS)
    if not isinstance(params, (DenseParams, ConvParams)) and not (cell and before):
        allowed = "DenseParams, ConvParams, or with before=True those of an elman, lstm or gru"
        raise TypeError(f"fold_batch_norm: params must be {allowed}, got {type(params).__name__}")
    kernel = params.input_kernel if cell else params.kernel
    axis = (0 if cell else kernel.ndim - 2) if before else kernel.ndim - 1
    numbers: dict[str, Array] = {}
    given = {"mean": mean, "variance": variance, "scale": scale, "shift": shift}
    for name, value in given.items():
        if value is None and name in ("scale", "shift"):
            continue
        check_array("fold_batch_norm", name, value)
        array = jnp.asarray(value)
        if (array.shape, array.dtype) != ((kernel.shape[axis],), kernel.dtype):
            raise ValueError(
                f"fold_batch_norm: {name} must be {kernel.dtype} ({kernel.shape[axis]},), as the "
                f"kernel's features of {'x' if before else 'y'}; got {shape_text(value)}"
            )
        numbers[name] = array
    factor = 1 / jnp.sqrt(numbers["variance"] + epsilon)
    factor = factor * numbers.get("scale", jnp.ones_like(factor))
    offset = numbers.get("shift", jnp.zeros_like(factor)) - numbers["mean"] * factor
    wide = jnp.expand_dims(factor, tuple(k for k in range(kernel.ndim) if k != axis))
    scaled = kernel * jnp.broadcast_to(wide, kernel.shape)
    if not before:
        bias = offset if params.bias is None else params.bias * factor + offset
        return params._replace(kernel=scaled, bias=bias)
    moved = jnp.moveaxis(kernel, axis, 0)
    added = jnp.tensordot(offset, moved, 1)
    if not cell:
        added = added.reshape(-1, kernel.shape[-1]).sum(0)
    bias = added if params.bias is None else params.bias + added
    return params._replace(**{"input_kernel" if cell else "kernel": scaled, "bias": bias})
