"""What takes all places of an image at once: their mean, and all of them in one row."""

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


def _checked_event(name: str, event_ndim: int, x: ArrayLike, mask: ArrayLike | None) -> Array:
    check_event(name, event_ndim, x)
    return jnp.asarray(clean(name, x, mask))
