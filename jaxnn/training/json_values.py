"""Values as JSON and back: numbers, texts, lists, tuples, dicts, bytes and arrays of them."""

import base64
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.internal.checks import is_numeric


def to_json(where: str, value: object) -> Any:
    """What `json.dumps` takes, and `from_json` gives back.

    A scalar array becomes a number, a named tuple a tuple, an array of jax's one of numpy's.

    Raises:
      TypeError: for anything else.
    """
    if isinstance(value, jax.Array) and not jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = np.asarray(value)
    if isinstance(value, (np.ndarray, np.generic)) and is_numeric(value.dtype):
        if value.shape:
            native = value.astype(value.dtype.newbyteorder("="))
            data = base64.b64encode(native.tobytes()).decode()
            return {"array": [native.dtype.name, list(native.shape), data]}
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return [to_json(where, item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [to_json(where, item) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[to_json(where, key), to_json(where, value[key])] for key in value]}
    raise TypeError(
        f"{where} must be of numbers, texts, bytes and arrays, in lists, tuples and dicts, to be "
        f"kept in a checkpoint; got {type(value).__name__}"
    )


def from_json(value: Any) -> Any:
    """What was given to `to_json`."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        dtype, shape, data = content
        count = math.prod(shape)
        return np.frombuffer(base64.b64decode(data), jnp.dtype(dtype), count).reshape(shape).copy()
    if kind == "bytes":
        return base64.b64decode(content)
    if kind == "tuple":
        return tuple(map(from_json, content))
    return {from_json(key): from_json(item) for key, item in content}
