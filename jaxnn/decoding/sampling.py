"""Tokens from logits: the likeliest one, or one drawn from a distribution that is made narrower."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.internal.checks import check_array, check_key
from jaxnn.internal.options import check_number, check_size
from jaxnn.types import Array, ArrayLike, Key


def greedy(logits: ArrayLike, key: Key | None = None) -> Array:
    """The likeliest token, the first of equal ones.

    Args:
      logits: `(*batch, vocabulary)`, floating.
      key: not needed; `decode` gives one to every function that takes the next token.

    Returns:
      int32 `(*batch,)`.

    Raises:
      TypeError: for logits that are no floating array.

    >>> greedy(jnp.array([[0.0, 2.0, 1.0], [3.0, 0.0, 3.0]])).tolist()
    [1, 0]
    """
    del key
    _check_logits("greedy", logits)
    return jnp.argmax(logits, axis=-1).astype(jnp.int32)


class Categorical(NamedTuple):
    """A function that draws tokens, as `categorical` makes it; two of equal options are equal."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __call__(self, logits: ArrayLike, key: Key | None) -> Array:
        """A token for each row of logits `(*batch, vocabulary)`: int32 `(*batch,)`."""
        _check_logits("categorical", logits)
        if key is None:
            raise TypeError("categorical: it draws, so that it needs a key; got None")
        check_key("categorical", key)
        logits, size = logits / self.temperature, logits.shape[-1]
        if self.top_k is not None and self.top_k > size:
            raise ValueError(f"categorical: top_k is {self.top_k}, and there are {size} logits")
        if self.top_k is None and self.top_p is None:
            return jax.random.categorical(key, logits).astype(jnp.int32)
        values, tokens = jax.lax.top_k(logits, self.top_k or size)  # the likeliest first
        if self.top_p is not None:
            shares = jax.nn.softmax(values)
            before = jnp.cumsum(shares, axis=-1) - shares
            values = jnp.where(before < self.top_p, values, -jnp.inf)
        place = jax.random.categorical(key, values)[..., None]
        return jnp.take_along_axis(tokens, place, axis=-1)[..., 0].astype(jnp.int32)


def categorical(
    temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Categorical:
    """Draw the next token from softmax(logits / temperature).

    Args:
      temperature: above 0; the lower, the safer.
      top_k: only the so many likeliest tokens count (of equal ones the first).
      top_p: only the likeliest ones that have this share together, in (0, 1], and at least one; of
        those that `top_k` leaves.

    Returns:
      A function `token = sample(logits, key)`, which can be hashed: logits `(*batch, vocabulary)`
      to int32 `(*batch,)`.

    Raises:
      TypeError, ValueError: for options that are none; when it runs, for a `top_k` above the number
        of logits, and without a key.

    Source: top-k, Fan et al. 2018 (arXiv 1805.04833); top-p, Holtzman et al. 2020 (arXiv
    1904.09751).

    >>> sample = categorical(0.7, top_k=2)
    >>> logits = jnp.array([0.0, 5.0, 1.0])
    >>> {int(sample(logits, key)) for key in jax.random.split(jax.random.key(0), 50)} <= {1, 2}
    True
    """
    temperature = check_number("categorical", "temperature", temperature, 0)
    if top_k is not None:
        top_k = check_size("categorical", "top_k", top_k)
    if top_p is not None:
        top_p = check_number("categorical", "top_p", top_p, 0)
        if top_p > 1:
            raise ValueError(f"categorical: top_p must be at most 1, got {top_p}")
    return Categorical(temperature, top_k, top_p)


def _check_logits(name: str, logits: ArrayLike) -> None:
    check_array(name, "logits", logits)
    if not jnp.issubdtype(logits.dtype, jnp.floating) or not logits.ndim:
        raise TypeError(
            f"{name}: logits must be floating, (*batch, vocabulary), got {logits.dtype} of the "
            f"shape {tuple(logits.shape)}"
        )
