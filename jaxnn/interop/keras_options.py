"""keras's words for options: functions, paddings, and what has no counterpart."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.functions.activations import hard_sigmoid, leaky_relu
from jaxnn.types import Array, Key, Layer

Function = Callable[[Array], Array]


def identity(x: Array) -> Array:
    """keras's "linear", where a cell takes a function."""
    return x


def exact_gelu(x: Array) -> Array:
    """By the error function, as keras has it by default."""
    return jax.nn.gelu(x, approximate=False)


FUNCTIONS: dict[str, Function] = {
    "linear": identity,
    "elu": jax.nn.elu,
    "exponential": jnp.exp,
    "gelu": exact_gelu,
    "hard_silu": jax.nn.hard_silu,
    "leaky_relu": leaky_relu(0.2),
    "log_softmax": jax.nn.log_softmax,
    "mish": jax.nn.mish,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "selu": jax.nn.selu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softmax": jax.nn.softmax,
    "softplus": jax.nn.softplus,
    "softsign": jax.nn.soft_sign,
    "swish": jax.nn.silu,
    "tanh": jnp.tanh,
}
"""Those of Keras 2 and 3 that are the same in both."""


def function_of(value: Any, version: int | None) -> Function:
    """A function by its name in a config; None there is the linear one.

    Raises:
      ValueError: for one that has no counterpart, and for a hard sigmoid of an unknown version.
    """
    name = value.get("class_name") if isinstance(value, Mapping) else value or "linear"
    if name == "hard_sigmoid":
        if version is None:
            raise ValueError(
                "hard_sigmoid has the slope 1/5 in Keras 2 and 1/6 in Keras 3: give version=2 or 3"
            )
        return hard_sigmoid(0.2) if version < 3 else hard_sigmoid(1 / 6)
    if name not in FUNCTIONS:
        raise ValueError(f"no counterpart for the activation {name!r}")
    return FUNCTIONS[name]


def refuse(options: Mapping[str, Any], **allowed: tuple[Any, ...]) -> None:
    """Raise ValueError for options, where they are given, with values that have no counterpart."""
    for name, values in allowed.items():
        if name in options and options[name] not in values:
            raise ValueError(f"no counterpart for {name}={options[name]!r}")


def per_axis(value: Any) -> tuple[int, ...]:
    """One number for each axis."""
    return (value,) if isinstance(value, int) else tuple(value)


def axis_of(options: Mapping[str, Any]) -> int:
    """The one axis of a normalization."""
    axis = options.get("axis", -1)
    if not isinstance(axis, list):
        return axis
    if len(axis) != 1:
        raise ValueError(f"no counterpart for axis={axis}")
    return axis[0]


def backwards() -> Layer:
    """Steps in the other order, as `go_backwards` gives its outputs."""
    return Layer(_no_params, _flipped)


def _no_params(key: Key) -> tuple[()]:
    del key
    return ()


def _flipped(params: Any, x: Any, mask: Any = None, key: Any = None) -> Array:
    del params, key
    if mask is not None:
        raise ValueError("go_backwards: its outputs in the other order cannot be masked")
    return jnp.flip(jnp.asarray(x), 0)
