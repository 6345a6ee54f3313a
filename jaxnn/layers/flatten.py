"""What takes all places of an image at once: their mean, all of them in one row, another shape."""

import functools
import math

import jax.numpy as jnp

from jaxnn.functions.sequences import clean
from jaxnn.functions.windows import check_event
from jaxnn.internal.checks import check_floating, state_dtype
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_size
from jaxnn.layers.layer import make_layer, no_params
from jaxnn.types import Array, ArrayLike, Key, Layer, Params


@factory
def global_average_pool(event_ndim: int) -> Layer[tuple[()]]:
    """The mean of x over all its spatial axes, feature by feature.

    Args:
      event_ndim: how many trailing dimensions of x are not batch: 3 for images
        `(height, width, features)`, 2 for `(length, features)`. Over the time of a time-major
        sequence, `pool_over_time` does it.

    Returns:
      A Layer without parameters, `()`: x `(*batch, *spatial, features)` to y `(*batch, features)`,
      of the same dtype. Means of 16-bit numbers are taken in float32.

    Raises:
      ValueError, TypeError: for an event_ndim below 2; when it runs, for x that has fewer
        dimensions or is not floating, and for a mask that covers a spatial axis.

    Source: Lin, Chen & Yan 2013 (arXiv 1312.4400), section 3.2.

    >>> import jax.numpy as jnp, jaxnn
    >>> jaxnn.global_average_pool(3).apply((), jnp.ones((8, 5, 5, 16))).shape
    (8, 16)
    """
    event_ndim = check_size("global_average_pool", "event_ndim", event_ndim)
    if event_ndim < 2:
        raise ValueError(
            "global_average_pool: event_ndim must be at least 2, the features and a spatial axis; "
            "got 1"
        )
    name = this_call()
    apply = functools.partial(apply_global_average_pool, name, event_ndim)
    return make_layer(name, no_params, apply, event_ndim, "; use pool_over_time for steps")


def apply_global_average_pool(
    name: str,
    event_ndim: int,
    params: Params,
    x: ArrayLike,
    mask: ArrayLike | None,
    key: Key | None,
) -> Array:
    """The means."""
    del params, key
    x = _checked_event(name, event_ndim, x, mask)
    check_floating(name, x)
    spatial = tuple(range(x.ndim - event_ndim, x.ndim - 1))
    return jnp.mean(x, spatial, dtype=state_dtype(x.dtype)).astype(x.dtype)


@factory
def flatten(event_ndim: int) -> Layer[tuple[()]]:
    """The last dimensions of x as one, row by row.

    `(*batch, d₁, …, dₙ)` becomes `(*batch, d₁ · … · dₙ)`, with n = event_ndim.

    Args:
      event_ndim: how many trailing dimensions of x are not batch: 3 for images
        `(height, width, features)`.

    Returns:
      A Layer without parameters, `()`, for x of any dtype.

    Raises:
      ValueError, TypeError: for an event_ndim that is no positive integer; when it runs, for x that
        has fewer dimensions, and for a mask that covers one of them.

    >>> import jax.numpy as jnp, jaxnn
    >>> jaxnn.flatten(3).apply((), jnp.ones((8, 5, 5, 16))).shape
    (8, 400)
    """
    event_ndim = check_size("flatten", "event_ndim", event_ndim)
    name = this_call()
    return make_layer(
        name, no_params, functools.partial(apply_flatten, name, event_ndim), event_ndim
    )


def apply_flatten(
    name: str,
    event_ndim: int,
    params: Params,
    x: ArrayLike,
    mask: ArrayLike | None,
    key: Key | None,
) -> Array:
    """One reshape."""
    del params, key
    x = _checked_event(name, event_ndim, x, mask)
    batch, event = x.shape[: x.ndim - event_ndim], x.shape[x.ndim - event_ndim :]
    return x.reshape(*batch, math.prod(event))


@factory
def reshape(event_ndim: int, shape: tuple[int, ...]) -> Layer[tuple[()]]:
    """The last dimensions of x in another shape, row by row.

    `(*batch, d₁, …, dₙ)` becomes `(*batch, *shape)`, with n = event_ndim.

    Args:
      event_ndim: how many trailing dimensions of x are not batch: 1 for features.
      shape: the new ones; one of them may be −1, for whatever is left.

    Returns:
      A Layer without parameters, `()`, for x of any dtype.

    Raises:
      ValueError, TypeError: for an event_ndim that is no positive integer, and a shape that is no
        tuple of positive integers and at most one −1; when it runs, for x that has fewer dimensions
        or another size, and for a mask that covers one of them.

    >>> import jax.numpy as jnp, jaxnn
    >>> jaxnn.reshape(1, (7, 7, -1)).apply((), jnp.ones((8, 98))).shape
    (8, 7, 7, 2)
    """
    event_ndim = check_size("reshape", "event_ndim", event_ndim)
    if not isinstance(shape, tuple):
        raise TypeError(f"reshape: shape must be a tuple of sizes, got {shape!r}")
    sizes = tuple(each if each == -1 else check_size("reshape", "shape", each) for each in shape)
    if sizes.count(-1) > 1:
        raise ValueError(f"reshape: shape may have one −1 at the most, got {shape}")
    name = this_call()
    apply = functools.partial(apply_reshape, name, event_ndim, sizes)
    return make_layer(name, no_params, apply, event_ndim)


def apply_reshape(
    name: str,
    event_ndim: int,
    sizes: tuple[int, ...],
    params: Params,
    x: ArrayLike,
    mask: ArrayLike | None,
    key: Key | None,
) -> Array:
    """One reshape."""
    del params, key
    x = _checked_event(name, event_ndim, x, mask)
    batch, event = x.shape[: x.ndim - event_ndim], x.shape[x.ndim - event_ndim :]
    told = math.prod(size for size in sizes if size != -1)
    fits = math.prod(event) % told == 0 if -1 in sizes else math.prod(event) == told
    if not fits:
        raise ValueError(f"{name}: x {tuple(x.shape)} has {math.prod(event)} numbers to lay out")
    rest = math.prod(event) // told
    return x.reshape(*batch, *(rest if size == -1 else size for size in sizes))


def _checked_event(name: str, event_ndim: int, x: ArrayLike, mask: ArrayLike | None) -> Array:
    check_event(name, event_ndim, x)
    return jnp.asarray(clean(name, x, mask))
