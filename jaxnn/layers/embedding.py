"""A vector for each token."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jaxnn.functions.fill import fill
from jaxnn.functions.sequences import clean
from jaxnn.internal.checks import is_traced
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_callable, check_dtypes, check_size
from jaxnn.layers.layer import make_layer
from jaxnn.types import Array, ArrayLike, Initializer, Key, Layer, Shape, exportable

_jax_normal = jax.nn.initializers.normal(1.0)


def normal(key: Key, shape: Shape, dtype: DTypeLike = jnp.float32) -> Array:
    """Normal with standard deviation 1, by a name of its own, so that it can be pickled."""
    return _jax_normal(key, shape, dtype)


@exportable
class EmbeddingParams(NamedTuple):
    """table `(vocabulary, features)`."""

    table: Array


@factory
def embedding(
    vocabulary_size: int,
    output_size: int,
    table_init: Initializer = normal,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Layer[EmbeddingParams]:
    """A learned vector for each token of a vocabulary.

    Args:
      vocabulary_size: how many tokens there are.
      output_size: features of a vector.
      table_init: an initialiser; by default normal with standard deviation 1, as torch has it.
      dtype: of the vectors.
      param_dtype: of the table; by default dtype, and float32 where that has 16 bits.

    Returns:
      A Layer with `EmbeddingParams`: integers x `(...)` in 0…vocabulary − 1 to y
      `(..., output)`.

    Raises:
      TypeError: where x is not integer.
      ValueError: for a token outside the vocabulary. Under `jit`, where values are not known, its
        vector is NaN.

    Source: Bengio et al. 2003.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> layer = jaxnn.embedding(10, 4)
    >>> layer.apply(layer.init(jax.random.key(0)), jnp.array([[3, 1], [0, 9]])).shape
    (2, 2, 4)
    """
    vocabulary_size = check_size("embedding", "vocabulary_size", vocabulary_size)
    output_size = check_size("embedding", "output_size", output_size)
    check_callable("embedding", "table_init", table_init, "an initialiser")
    dtype, param_dtype = check_dtypes("embedding", dtype, param_dtype)
    name = this_call()
    shape = (vocabulary_size, output_size)
    init = functools.partial(init_embedding, name, shape, table_init, param_dtype)
    return make_layer(name, init, functools.partial(apply_embedding, name, dtype), 0)


def init_embedding(
    name: str, shape: tuple[int, int], table_init: Initializer, dtype: jnp.dtype, key: Key
) -> EmbeddingParams:
    """The table."""
    return EmbeddingParams(fill(f"{name}: table_init", table_init, key, shape, dtype))


def apply_embedding(
    name: str,
    dtype: jnp.dtype,
    params: EmbeddingParams,
    x: ArrayLike,
    mask: ArrayLike | None,
    key: Key | None,
) -> Array:
    """table[x]."""
    del key
    if not jnp.issubdtype(x.dtype, jnp.integer):
        raise TypeError(f"{name}: x must be integers, the tokens, got {x.dtype}")
    x = clean(name, x, mask)
    size = params.table.shape[0]
    if not is_traced(x):
        values = np.asarray(x)
        outside = values[(values < 0) | (values >= size)]
        if outside.size:
            raise ValueError(f"{name}: tokens must lie in 0…{size - 1}, got {outside[0].item()}")
    x = jnp.asarray(x)
    if x.dtype.itemsize < 4:  # the size of the vocabulary may not fit
        x = x.astype(jnp.int32)
    found = jnp.take(params.table, jnp.where(x < 0, size, x), axis=0, mode="fill")
    return found.astype(dtype)
