"""Pooling over windows: layers without parameters."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.functions.sequences import expand_to
from jaxnn.functions.windows import (
    Padding,
    Sizes,
    Sliding,
    Windows,
    check_fit,
    check_image,
    check_steps,
    check_windows,
    clean_image,
)
from jaxnn.internal.checks import check_floating, state_dtype
from jaxnn.internal.factory import factory, this_call
from jaxnn.layers.layer import make_sliding_layer, no_params
from jaxnn.types import Array, ArrayLike, Key, Layer, Params


@factory
def max_pool(
    window: tuple[int, ...], stride: Sizes | None = None, padding: Padding = "valid"
) -> Layer[tuple[()]]:
    """The largest x of each window, feature by feature.

    With window k, stride s and padding (low, high), N places along an axis become

        M = ⌊(N + low + high − k) / s⌋ + 1

    and with padding "same" or "causal", M = ⌈N / s⌉. Padding is never the largest.

    Args:
      window: the places that one y sees, `(2, 2)` over images; its length is the number of spatial
        axes, one to three.
      stride: one number, or one for each spatial axis; by default as the window, so that no two
        overlap.
      padding: "valid", "same", "causal", a number for all sides, or for each spatial axis a pair
        (low, high), each below the window.

    Returns:
      A Layer without parameters, `()`: x `(*batch, *spatial, features)` to y
      `(*batch, *spatial', features)`, of the same dtype. `along_time(max_pool(...))` slides along
      the leading axis of `(time, *batch, features)`.

    Raises:
      ValueError, TypeError: for a window, stride or padding that does not fit; when it runs, for
        x that is not floating or smaller than the window.

    Source: Riesenhuber & Poggio 1999. Where several x are the largest, the gradient goes to the
    first one, as in torch.

    >>> import jax.numpy as jnp, jaxnn
    >>> jaxnn.max_pool((2, 2)).apply((), jnp.arange(16.0).reshape(4, 4, 1))[..., 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    return _pool("max_pool", apply_max_pool, window, stride, padding)


@factory
def average_pool(
    window: tuple[int, ...], stride: Sizes | None = None, padding: Padding = "valid"
) -> Layer[tuple[()]]:
    """The mean of x over each window, feature by feature.

    Padding is not counted: at an edge it is the mean of those places that there are (torch's
    `count_include_pad=False`). Output sizes are those of `max_pool`. Means of 16-bit numbers are
    taken in float32.

    Args:
      window, stride, padding: as for `max_pool`.

    Returns:
      A Layer without parameters, `()`, as `max_pool` gives one.

    Raises:
      ValueError, TypeError: as `max_pool` does.

    Source: LeCun et al. 1989.

    >>> import jax.numpy as jnp, jaxnn
    >>> jaxnn.average_pool((2, 2)).apply((), jnp.arange(16.0).reshape(4, 4, 1))[..., 0].tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    return _pool("average_pool", apply_average_pool, window, stride, padding)


def _pool(
    kind: str,
    apply: Callable[..., Array],
    window: tuple[int, ...],
    stride: Sizes | None,
    padding: Padding,
) -> Layer:
    windows = check_windows(kind, window, window if stride is None else stride, padding)
    if not isinstance(windows.padding, str):
        for pair, size in zip(windows.padding, windows.sizes, strict=True):
            if max(pair) >= size:
                raise ValueError(
                    f"{kind}: padding must be below the window {windows.sizes}, so that each "
                    f"window has something in it; got {padding!r}"
                )
    name = this_call()
    windows = windows._replace(name=name)
    return make_sliding_layer(name, Sliding(no_params, apply, windows))


def apply_max_pool(
    windows: Windows,
    params: Params,
    x: ArrayLike,
    mask: ArrayLike | None,
    key: Key | None,
) -> Array:
    """The maxima; zeros for windows without a valid step."""
    del params, key
    x = _checked(windows, x, mask)
    lowest = jnp.array(-jnp.inf, x.dtype)
    if mask is not None:
        x = jnp.where(expand_to(mask, x), x, lowest)
    y = _reduce(windows, x, -jnp.inf, jax.lax.max)
    if mask is not None:
        y = jnp.where(_counts(windows, x, mask) > 0, y, jnp.zeros((), y.dtype))
    return check_steps(windows, y, mask)


def apply_average_pool(
    windows: Windows,
    params: Params,
    x: ArrayLike,
    mask: ArrayLike | None,
    key: Key | None,
) -> Array:
    """The means; zeros for windows without a valid step."""
    del params, key
    x = _checked(windows, x, mask)
    exact = x.astype(state_dtype(x.dtype))
    counts = jnp.maximum(_counts(windows, exact, mask), jnp.ones((), exact.dtype))
    y = (_reduce(windows, exact, 0, jax.lax.add) / counts).astype(x.dtype)
    return check_steps(windows, y, mask)


def _checked(windows: Windows, x: ArrayLike, mask: ArrayLike | None) -> Array:
    check_image(windows, x)
    check_floating(windows.name, x)
    return jnp.asarray(clean_image(windows, x, mask))


def _reduce(
    windows: Windows, x: Array, first: float, join: Callable[[Array, Array], Array]
) -> Array:
    sizes, strides, pads = [1] * x.ndim, [1] * x.ndim, [(0, 0)] * x.ndim
    every = zip(windows.sizes, windows.strides, check_fit(windows, x), strict=True)
    for axis, (size, stride, pair) in zip(windows.axes(x.ndim), every, strict=True):
        sizes[axis], strides[axis], pads[axis] = size, stride, pair
    return jax.lax.reduce_window(x, np.array(first, x.dtype), join, sizes, strides, pads)


def _counts(windows: Windows, x: Array, mask: ArrayLike | None) -> Array:
    """How many valid places each window has, `(..., 1)`; without a mask, the same for the batch."""
    flags = np.ones((1,) * x.ndim, bool) if mask is None else expand_to(mask, x)
    wide = [*flags.shape]
    for axis in windows.axes(x.ndim):
        wide[axis] = x.shape[axis]
    return _reduce(windows, jnp.broadcast_to(flags, wide).astype(x.dtype), 0, jax.lax.add)
