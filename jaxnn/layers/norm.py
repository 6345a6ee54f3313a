"""Normalisation that is pure: over the features of one sample, with no batch statistics."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.functions.checks import (
    check_dtype_of,
    check_dtypes,
    check_features,
    check_init_key,
    check_key,
    check_params,
    check_size,
    state_dtype,
)
from jaxnn.functions.factory import call_text, factory
from jaxnn.functions.sequences import clean
from jaxnn.types import Array, ArrayLike, Key, Layer, exportable, named


@exportable
class LayerNormParams(NamedTuple):
    """scale and bias, each `(features,)`."""

    scale: Array
    bias: Array


@factory
def layer_norm(
    size: int, epsilon: float = 1e-5, dtype: Any = jnp.float32, param_dtype: Any = None
) -> Layer:
    """y = (x − mean) / √(variance + ε) · scale + bias, over the last axis.

    Args:
      size: features of x.
      epsilon: ε.
      dtype: of x and y; mean and variance are taken in float32 where it has 16 bits.
      param_dtype: of the parameters; by default dtype, and float32 where that has 16 bits.

    Returns:
      A Layer with `LayerNormParams`: x `(..., size)` to y of the same shape.

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
    dtype, param_dtype = check_dtypes("layer_norm", dtype, param_dtype)
    name = call_text("layer_norm", size)
    return Layer(
        named(name, functools.partial(init_layer_norm, size, param_dtype)),
        functools.partial(apply_layer_norm, name, epsilon, dtype),
    )


def init_layer_norm(size: int, dtype: Any, key: Key) -> LayerNormParams:
    """Scale one, bias zero."""
    check_init_key("layer_norm", key)
    return LayerNormParams(jnp.ones(size, dtype), jnp.zeros(size, dtype))


def apply_layer_norm(
    name: str,
    epsilon: float,
    dtype: Any,
    params: LayerNormParams,
    x: Any,
    mask: ArrayLike | None = None,
    key: Key | None = None,
) -> Array:
    """Normalise, scale, shift."""
    check_key(name, key)
    check_params(name, params, LayerNormParams)
    check_dtype_of(name, "x", x, dtype)
    check_features(name, "x", x, params.scale.shape[0])
    x = jnp.asarray(clean(name, x, mask)).astype(state_dtype(dtype))
    mean = jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.var(x, axis=-1, keepdims=True)
    scale, bias = (jnp.broadcast_to(p.astype(x.dtype), x.shape) for p in params)
    return ((x - mean) * jax.lax.rsqrt(variance + epsilon) * scale + bias).astype(dtype)
