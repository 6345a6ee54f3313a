"""What the cells whose state is an image are written with: convolutions for the products."""

import jax.numpy as jnp

from jaxnn.cells.products import Terms
from jaxnn.functions.windows import check_windows
from jaxnn.layers.conv import convolve
from jaxnn.types import Array, Params

Sizes = tuple[int, ...]


def check_images(
    kind: str, spatial_shape: Sizes, window: Sizes, recurrent_window: Sizes | None
) -> tuple[Sizes, tuple[Sizes, Sizes]]:
    """The sizes of an image, and the windows of both kernels, of as many axes."""
    spatial = check_windows(kind, spatial_shape, 1, "same", argument="spatial_shape").sizes
    recurrent_window = window if recurrent_window is None else recurrent_window
    for argument, given in (("window", window), ("recurrent_window", recurrent_window)):
        sizes = check_windows(kind, given, 1, "same", argument=argument).sizes
        if len(sizes) != len(spatial):
            raise ValueError(
                f"{kind}: {argument} must have {len(spatial)} sizes, as spatial_shape has; "
                f"got {given!r}"
            )
    return spatial, (window, recurrent_window)


def project_images(params: Params, x: Array) -> Terms:
    """x * U, for each gate."""
    return convolve_gates(x, params.input_kernel)


def convolve_gates(x: Array, kernel: Array) -> Terms:
    """x * kernel, one array a gate: `(..., *spatial, rows)` by `(*window, rows, gates, hidden)`."""
    *window, rows, gates, features = kernel.shape
    pads = [((size - 1) // 2, size // 2) for size in window]
    y = convolve(x, kernel.reshape(*window, rows, gates * features), pads)
    return tuple(jnp.split(y, gates, axis=-1))
