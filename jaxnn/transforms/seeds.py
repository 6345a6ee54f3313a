"""Masks of dropout that stay for a whole sequence: its state keeps a seed, of which they are made.

A seed is two whole numbers below 2²⁴ for each sequence, or −1 where none is drawn yet. They are
floating, so that a state can be differentiated like any other, and float32 holds them exactly. The
first step that is given a key draws the seed; later ones leave it, until a reset takes the state
back to its start. So a stream has the masks of a sequence, whatever the sizes of what they cover.
"""

import functools
from typing import Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from jaxnn.types import Array, Key, Shape, State, exportable

S = TypeVar("S")
ArrayOf = TypeVar("ArrayOf", bound=Array)


@exportable
class SeededState(NamedTuple, Generic[S]):
    """The state of the cell, and the seed of the masks, `(*batch, 2)`: −1 where none is drawn. It
    is float32, and float64 where the state is."""

    cell: S
    seed: Array


def no_seed(state: State, batch_shape: tuple[int, ...]) -> Array:
    """The seeds of sequences that have drawn none, in the widest dtype of the state."""
    kinds = [leaf.dtype for leaf in jax.tree.leaves(state) if leaf.dtype == jnp.float64]
    return jnp.full((*batch_shape, 2), -1, kinds[0] if kinds else jnp.float32)


def seeded(seed: Array, key: Key) -> Array:
    """The seeds after a step with this key."""
    fresh = (jax.random.bits(key, seed.shape, jnp.uint32) >> 8).astype(seed.dtype)
    return jnp.where(seed[..., :1] < 0, fresh, seed)


def dropped(array: ArrayOf, mask: Array) -> ArrayOf | Array:
    """An array times its mask, which may lack leading axes."""
    return array * jnp.broadcast_to(mask.astype(array.dtype), array.shape)


def mask_of(seed: Array, place: int, rate: float, shape: Shape) -> Array:
    """0 with probability `rate` and 1 / (1 − rate) otherwise, float32 `(*batch, *event)`.

    Args:
      seed: `(*batch, 2)`.
      place: which of the masks of this seed.
      rate: how much is dropped.
      shape: that of what it covers, `(*batch, *event)`.
    """
    one = functools.partial(_mask_of_one, place, rate, shape[seed.ndim - 1 :])
    for _ in range(seed.ndim - 1):
        one = jax.vmap(one)
    return one(jnp.maximum(seed, 0).astype(jnp.uint32))


def _mask_of_one(place: int, rate: float, event: Shape, seed: Array) -> Array:
    key = jax.random.wrap_key_data(seed, impl="threefry2x32")
    keep = jax.random.bernoulli(jax.random.fold_in(key, place), 1 - rate, event)
    return keep.astype(jnp.float32) / (1 - rate)
