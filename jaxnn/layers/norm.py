"""Normalisation that is pure: over the features of one sample, with no batch statistics."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.functions.sequences import clean
from jaxnn.functions.windows import check_event
from jaxnn.internal.checks import check_dtype_of, check_features, state_dtype
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_dtypes, check_number, check_size
from jaxnn.layers.layer import make_layer
from jaxnn.types import Array, ArrayLike, Key, Layer, exportable


@exportable
class NormParams(NamedTuple):
    """scale and bias, each `(features,)`."""

    scale: Array
    bias: Array


@factory
def layer_norm(
    size: int,
    epsilon: float = 1e-5,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Layer[NormParams]:
    """y = (x − mean) / √(variance + ε) · scale + bias, over the last axis.

    Args:
      size: features of x.
      epsilon: ε.
      dtype: of x and y; mean and variance are taken in float32 where it has 16 bits.
      param_dtype: of the parameters; by default dtype, and float32 where that has 16 bits.

    Returns:
      A Layer with `NormParams`: x `(..., size)` to y of the same shape.

    Raises:
      ValueError, TypeError: for a size that is no positive integer; when it runs, for features or a
        dtype that do not fit.

    Source: Ba, Kiros & Hinton 2016 (arXiv 1607.06450), equations 3 and 4.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> layer = jaxnn.layer_norm(2)
    >>> y = layer.apply(layer.init(jax.random.key(0)), jnp.array([1.0, 3.0]))
    >>> [round(value, 3) for value in y.tolist()]
    [-1.0, 1.0]
    """
    size = check_size("layer_norm", "size", size)
    epsilon = check_number("layer_norm", "epsilon", epsilon, above=0)
    dtype, param_dtype = check_dtypes("layer_norm", dtype, param_dtype)
    name = this_call()
    init = functools.partial(init_norm, size, param_dtype)
    return make_layer(name, init, functools.partial(apply_layer_norm, name, epsilon, dtype), 1)


def init_norm(size: int, dtype: jnp.dtype, key: Key) -> NormParams:
    """Scale one, bias zero."""
    del key
    return NormParams(jnp.ones(size, dtype), jnp.zeros(size, dtype))


def apply_layer_norm(
    name: str,
    epsilon: float,
    dtype: jnp.dtype,
    params: NormParams,
    x: ArrayLike,
    mask: ArrayLike | None,
    key: Key | None,
) -> Array:
    """Normalise, scale, shift."""
    del key
    check_dtype_of(name, "x", x, dtype)
    check_features(name, "x", x, params.scale.shape[0])
    x = jnp.asarray(clean(name, x, mask)).astype(state_dtype(dtype))
    return scaled(normalised(x, (x.ndim - 1,), epsilon), params).astype(dtype)


@factory
def group_norm(
    size: int,
    groups: int,
    event_ndim: int,
    epsilon: float = 1e-5,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Layer[NormParams]:
    """y = (x − mean) / √(variance + ε) · scale + bias, over each group of features of an image.

    The features are cut into `groups` equal groups, in their order. Mean and variance are taken
    over all places and over the features of a group, for each image of the batch by itself: with
    one group it is a layer norm of the whole image, with `groups = size` an instance norm.

    Args:
      size: features of x.
      groups: how many groups.
      event_ndim: how many trailing dimensions of x are not batch: 3 for images
        `(height, width, features)`, 2 for `(length, features)`, 1 for features alone.
      epsilon: ε.
      dtype: of x and y; mean and variance are taken in float32 where it has 16 bits.
      param_dtype: of the parameters; by default dtype, and float32 where that has 16 bits.

    Returns:
      A Layer with `NormParams`: x `(*batch, *spatial, size)` to y of the same shape.

    Raises:
      ValueError, TypeError: for sizes that are not positive integers, and groups that do not divide
        the size; when it runs, for features, dimensions or a dtype that do not fit, and for a mask
        that covers a spatial axis.

    Source: Wu & He 2018 (arXiv 1803.08494), equations 1 to 3.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> layer = jaxnn.group_norm(2, 2, 3)
    >>> y = layer.apply(layer.init(jax.random.key(0)), jnp.arange(4.0).reshape(1, 2, 2))
    >>> [round(value, 3) for value in y.ravel().tolist()]
    [-1.0, -1.0, 1.0, 1.0]
    """
    size = check_size("group_norm", "size", size)
    groups = check_size("group_norm", "groups", groups)
    event_ndim = check_size("group_norm", "event_ndim", event_ndim)
    epsilon = check_number("group_norm", "epsilon", epsilon, above=0)
    if size % groups:
        raise ValueError(f"group_norm: size must divide by groups={groups}, got {size}")
    dtype, param_dtype = check_dtypes("group_norm", dtype, param_dtype)
    name = this_call()
    init = functools.partial(init_norm, size, param_dtype)
    apply = functools.partial(apply_group_norm, name, groups, event_ndim, epsilon, dtype)
    return make_layer(name, init, apply, event_ndim)


def apply_group_norm(
    name: str,
    groups: int,
    event_ndim: int,
    epsilon: float,
    dtype: jnp.dtype,
    params: NormParams,
    x: ArrayLike,
    mask: ArrayLike | None,
    key: Key | None,
) -> Array:
    """Normalise, scale, shift."""
    del key
    check_dtype_of(name, "x", x, dtype)
    check_event(name, event_ndim, x)
    check_features(name, "x", x, params.scale.shape[0])
    x = jnp.asarray(clean(name, x, mask)).astype(state_dtype(dtype))
    parts = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    axes = (*range(x.ndim - event_ndim, x.ndim - 1), x.ndim)
    y = normalised(parts, axes, epsilon).reshape(x.shape)
    return scaled(y, params).astype(dtype)


def normalised(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    """(x − mean) / √(variance + ε), over some axes."""
    mean = jnp.mean(x, axis=axes, keepdims=True)
    variance = jnp.var(x, axis=axes, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + epsilon)


def scaled(x: Array, params: NormParams) -> Array:
    """x · scale + bias."""
    scale, bias = (jnp.broadcast_to(p.astype(x.dtype), x.shape) for p in params)
    return x * scale + bias
