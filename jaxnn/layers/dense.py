"""The neuron, in layers: weights, bias, and stacks of them."""

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.functions.fill import fill
from jaxnn.functions.sequences import clean
from jaxnn.internal.checks import check_dtype_of, check_features, naming
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import (
    check_callable,
    check_dtypes,
    check_initializer,
    check_option,
    check_size,
)
from jaxnn.internal.users import map_user
from jaxnn.layers.layer import make_layer
from jaxnn.types import Array, ArrayLike, Initializer, Key, Layer, Shape, exportable

_lecun_normal = jax.nn.initializers.lecun_normal()
zeros: Initializer = jax.nn.initializers.zeros


def lecun(key: Key, shape: Shape, dtype: DTypeLike = jnp.float32) -> Array:
    """Normal with the variance 1/fan-in, cut at two standard deviations (LeCun et al. 1998).

    A function by a name of its own, so that a layer which is filled by it can be pickled.
    """
    return _lecun_normal(key, shape, dtype)


@exportable
class DenseParams(NamedTuple):
    """kernel `(in, out)`; bias `(out,)`, `()` where the layer shares one, or None."""

    kernel: Array
    bias: Array | None


@factory
def dense(
    input_size: int,
    output_size: int,
    bias: bool | str = True,
    kernel_init: Initializer = lecun,
    bias_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Layer[DenseParams]:
    """y = x W + b: a layer of neurons before their activation.

    Args:
      input_size, output_size: features of x and of y.
      bias: True for one number a unit, "shared" for one number for the whole layer (as the
        textbook's drawings have it), False for none.
      kernel_init, bias_init: initialisers of `jax.nn.initializers`; by default LeCun and zeros.
      dtype: of x, y and the arithmetic.
      param_dtype: of the parameters; by default dtype, and float32 where that has 16 bits.

    Returns:
      A Layer with `DenseParams`: x `(..., input)` to y `(..., output)`.

    Raises:
      ValueError, TypeError: for sizes that are not positive integers and unknown options; when it
        runs, for features or a dtype that do not fit.

    Source: Rosenblatt 1958. torch.nn.Linear keeps its weight as (out, in).

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> layer = jaxnn.dense(2, 3)
    >>> layer.apply(layer.init(jax.random.key(0)), jnp.ones((5, 2))).shape
    (5, 3)
    """
    input_size = check_size("dense", "input_size", input_size)
    output_size = check_size("dense", "output_size", output_size)
    check_callable("dense", "kernel_init", kernel_init, "an initialiser")
    shape = _bias_shape("dense", bias, output_size)
    bias_init = check_initializer("dense", "bias", shape is not None, bias_init, zeros)
    dtype, param_dtype = check_dtypes("dense", dtype, param_dtype)
    name = this_call()
    sizes = (input_size, output_size)
    init = functools.partial(init_dense, name, sizes, shape, kernel_init, bias_init, param_dtype)
    return make_layer(name, init, functools.partial(apply_dense, name, dtype), 1)


def init_dense(
    name: str,
    sizes: tuple[int, int],
    bias_shape: tuple[int, ...] | None,
    kernel_init: Initializer,
    bias_init: Initializer | None,
    dtype: jnp.dtype,
    key: Key,
) -> DenseParams:
    """The parameters of a dense layer."""
    kernel_key, bias_key = jax.random.split(key)
    bias = None
    if bias_shape is not None and bias_init is not None:
        bias = fill(f"{name}: bias_init", bias_init, bias_key, bias_shape, dtype)
    return DenseParams(fill(f"{name}: kernel_init", kernel_init, kernel_key, sizes, dtype), bias)


def apply_dense(
    name: str,
    dtype: jnp.dtype,
    params: DenseParams,
    x: ArrayLike,
    mask: ArrayLike | None,
    key: Key | None,
) -> Array:
    """x W + b."""
    del key
    check_dtype_of(name, "x", x, dtype)
    check_features(name, "x", x, params.kernel.shape[0])
    y = jnp.matmul(clean(name, x, mask), params.kernel.astype(dtype))
    if params.bias is None:
        return y
    return y + jnp.broadcast_to(params.bias.astype(dtype), y.shape)


@factory
def mlp(
    sizes: tuple[int, ...],
    activation: Callable[[Array], Array] = jax.nn.relu,
    output_activation: Callable[[Array], Array] | None = None,
    bias: bool | str = True,
    kernel_init: Initializer = lecun,
    bias_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Layer[tuple[DenseParams, ...]]:
    """A multi-layer perceptron: layers of neurons, each with weights, bias and activation.

    Args:
      sizes: the features of the input, of each hidden layer and of the output: `(2, 5, 1)`.
      activation: of the hidden layers: a function of an array.
      output_activation: of the output layer; None leaves it as it is.
      bias, kernel_init, bias_init, dtype, param_dtype: of every `dense` layer.

    Returns:
      A Layer whose params are a tuple of `DenseParams`: x `(..., sizes[0])` to y
      `(..., sizes[-1])`.

    Raises:
      ValueError, TypeError: for fewer than two sizes, and as `dense` does.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> network = jaxnn.mlp((2, 5, 3), jnp.tanh, output_activation=jax.nn.softmax)
    >>> y = network.apply(network.init(jax.random.key(0)), jnp.ones((4, 2)))
    >>> y.shape, bool(jnp.allclose(y.sum(-1), 1))
    ((4, 3), True)
    """
    if not isinstance(sizes, tuple) or len(sizes) < 2:
        raise ValueError(
            f"mlp: sizes must be a tuple of at least two, the input's and the output's; "
            f"got {sizes!r}"
        )
    options = (bias, kernel_init, bias_init, dtype, param_dtype)
    sizes = tuple(check_size("mlp", "sizes", size) for size in sizes)
    with naming("mlp"):
        layers = tuple(dense(*pair, *options) for pair in itertools.pairwise(sizes))
    check_callable("mlp", "activation", activation)
    if output_activation is not None:
        check_callable("mlp", "output_activation", output_activation)
    hidden = [("activation", activation)] * (len(layers) - 1)
    activations = (*hidden, ("output_activation", output_activation))
    name = this_call()
    activations = tuple(
        None if f is None else functools.partial(map_user, name, argument, f)
        for argument, f in activations
    )
    init = functools.partial(init_mlp, layers)
    return make_layer(name, init, functools.partial(apply_mlp, name, layers, activations), 1)


def init_mlp(layers: tuple[Layer, ...], key: Key) -> tuple[DenseParams, ...]:
    """The parameters of each layer, from a key of its own."""
    keys = jax.random.split(key, len(layers))
    return tuple(layer.init(k) for layer, k in zip(layers, keys, strict=True))


def apply_mlp(
    name: str,
    layers: tuple[Layer, ...],
    activations: tuple[Callable[[Array], Array] | None, ...],
    params: tuple[DenseParams, ...],
    x: ArrayLike,
    mask: ArrayLike | None,
    key: Key | None,
) -> Array:
    """The forward pass."""
    del key
    y = clean(name, x, mask)
    for layer, p, activation in zip(layers, params, activations, strict=True):
        y = layer.apply(p, y)
        y = y if activation is None else activation(y)
    return y


def _bias_shape(name: str, bias: bool | str, output_size: int) -> tuple[int, ...] | None:
    if not isinstance(bias, (bool, str)):
        raise TypeError(f"{name}: bias must be True, False or 'shared', got {bias!r}")
    check_option(name, "bias", bias, (True, False, "shared"))
    if bias == "shared":
        return ()
    return (output_size,) if bias else None
