"""Checks of options: sizes, flags, words, numbers, functions, initialisers and dtypes."""

import inspect
import math
import operator
from collections.abc import Callable, Sequence
from typing import SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jaxnn.internal.checks import state_dtype
from jaxnn.types import Initializer

LARGEST = 2**31 - 1
"""The largest size that an axis can have."""


def check_size(name: str, argument: str, value: SupportsIndex) -> int:
    """A positive integer, as an int; ValueError or TypeError otherwise."""
    try:
        if isinstance(value, bool):
            raise TypeError
        size = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: {argument} must be a positive integer, got {value!r}") from None
    if size < 1:
        raise ValueError(f"{name}: {argument} must be a positive integer, got {size}")
    if size > LARGEST:
        raise ValueError(f"{name}: {argument} must be at most {LARGEST}, got {size}")
    return size


def check_heads(name: str, heads: SupportsIndex, hidden_size: SupportsIndex) -> int:
    """A positive integer that divides hidden_size; ValueError or TypeError otherwise."""
    count, units = check_size(name, "heads", heads), check_size(name, "hidden_size", hidden_size)
    if units % count:
        raise ValueError(f"{name}: heads must divide hidden_size={units}, got {count}")
    return count


def check_bool(name: str, argument: str, value: object) -> None:
    """Raise TypeError unless value is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}: {argument} must be True or False, got {value!r}")


def check_callable(name: str, argument: str, value: object, what: str = "a function") -> None:
    """Raise TypeError unless value can be called."""
    if not callable(value) or isinstance(value, type):
        raise TypeError(f"{name}: {argument} must be {what}, got {value!r}")


def check_takes(
    name: str, argument: str, function: Callable[..., object], arguments: tuple[str, ...]
) -> None:
    """Raise TypeError where a user's function is seen not to take so many arguments."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of a builtin
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        listed = ", ".join(arguments)
        raise TypeError(f"{name}: {argument} must take ({listed}); it takes {signature}") from None


def check_initializer(
    name: str, argument: str, wanted: bool, given: Initializer | None, default: Initializer
) -> Initializer | None:
    """The initialiser of a parameter, None where it is not wanted.

    Raises:
      TypeError: for one that cannot be called.
      ValueError: for one of a parameter that is not wanted.
    """
    if given is None:
        return default if wanted else None
    check_callable(name, f"{argument}_init", given, "an initialiser")
    if not wanted:
        raise ValueError(f"{name}: {argument}_init is given, but {argument}=False")
    return given


def check_number(name: str, argument: str, value: object, above: float | None = None) -> float:
    """A finite number, above a bound if one is given, as a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: {argument} must be a number, got {value!r}")
    if not math.isfinite(value) or (above is not None and value <= above):
        bound = "" if above is None else f" above {above}"
        raise ValueError(f"{name}: {argument} must be a finite number{bound}, got {value}")
    return float(value)


def check_fraction(name: str, argument: str, value: object) -> None:
    """Raise unless value is a number in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: {argument} must be a number, got {value!r}")
    if not 0 <= value < 1:
        raise ValueError(f"{name}: {argument} must be at least 0 and below 1, got {value}")


def check_option(
    name: str, argument: str, value: object, options: Sequence[object], more: str = ""
) -> None:
    """Raise ValueError unless value is one of the options."""
    if not any(type(value) is type(option) and value == option for option in options):
        listed = ", ".join(map(repr, options))
        raise ValueError(f"{name}: {argument} must be one of {listed}{more}; got {value!r}")


def check_dtypes(
    name: str, dtype: DTypeLike, param_dtype: DTypeLike | None
) -> tuple[jnp.dtype, jnp.dtype]:
    """The dtype of the arithmetic and the one of the parameters.

    Parameters of 16-bit arithmetic are kept in float32 unless `param_dtype` says otherwise.
    """
    if dtype is None:
        raise TypeError(f"{name}: dtype must be a floating dtype, got None")
    dtype = _check_dtype(name, "dtype", dtype)
    if param_dtype is None:
        return dtype, state_dtype(dtype)
    return dtype, _check_dtype(name, "param_dtype", param_dtype)


def _check_dtype(name: str, argument: str, dtype: DTypeLike) -> jnp.dtype:
    dtype = jnp.dtype(dtype)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"{name}: {argument} must be a floating dtype, got {dtype}")
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise ValueError(
            f"{name}: {argument} {dtype} needs jax.config.update('jax_enable_x64', True)"
        )
    return dtype
