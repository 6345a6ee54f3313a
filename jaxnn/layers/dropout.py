"""Layers without parameters: dropout and activations."""

import functools
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from jaxnn.functions.sequences import clean
from jaxnn.internal.checks import check_array, check_floating
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_callable, check_fraction
from jaxnn.internal.users import call_user, check_leading
from jaxnn.layers.layer import make_layer, no_params
from jaxnn.types import Array, ArrayLike, Key, Layer, Params

X = TypeVar("X", bound=ArrayLike)


@factory
def dropout(rate: float) -> Layer[tuple[()]]:
    """Each number of x becomes zero with probability `rate`, the others grow by 1 / (1 − rate).

    Args:
      rate: how much is dropped, in [0, 1).

    Returns:
      A Layer without parameters, `()`, that keeps shape and dtype. `key=None` means evaluation: x
      as it is.

    Raises:
      ValueError, TypeError: for a rate that is no number in [0, 1).

    Source: Srivastava et al. 2014.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> layer = jaxnn.dropout(0.5)
    >>> layer.apply((), jnp.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    >>> sorted(set(layer.apply((), jnp.ones(99), key=jax.random.key(0)).tolist()))
    [0.0, 2.0]
    """
    check_fraction("dropout", "rate", rate)
    name = this_call()
    return make_layer(name, no_params, functools.partial(apply_dropout, name, rate))


def apply_dropout(
    name: str,
    rate: float,
    params: Params,
    x: ArrayLike,
    mask: ArrayLike | None,
    key: Key | None,
) -> Array:
    """Dropout where a key is given."""
    del params
    check_floating(name, x)
    return drop(rate, clean(name, x, mask), key)


def drop(rate: float, x: X, key: Key | None) -> X | Array:
    """x with a share of `rate` of its numbers dropped; as it is, where there is no key."""
    if key is None or rate == 0:
        return x
    keep = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(keep, x / (1 - rate), jnp.zeros((), x.dtype))


@factory
def activation(function: Callable[[Array], Array]) -> Layer[tuple[()]]:
    """A function of an array as a Layer, for a place in `serial` or `stack`.

    Args:
      function: such as `jax.nn.relu`, `jax.nn.sigmoid`, `jnp.tanh`, `jax.nn.softmax`.

    Returns:
      A Layer without parameters, `()`.

    Raises:
      TypeError: where function cannot be called.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> jaxnn.activation(jax.nn.relu).apply((), jnp.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    check_callable("activation", "function", function, "a function of an array")
    name = f"activation({getattr(function, '__name__', function)})"
    called = functools.partial(call_user, name, "function", function)
    return make_layer(name, no_params, functools.partial(apply_activation, name, called))


def apply_activation(
    name: str,
    function: Callable[[Array], Array],
    params: Params,
    x: ArrayLike,
    mask: ArrayLike | None,
    key: Key | None,
) -> Array:
    """function(x)."""
    del params, key
    y = function(clean(name, x, mask))
    check_array(name, "what function gives", y)
    check_leading(name, "function", y, () if mask is None else tuple(mask.shape), "the steps")
    return y
