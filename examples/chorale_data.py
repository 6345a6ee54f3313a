"""The JSB chorales of Boulanger-Lewandowski 2012, as padded arrays and as random passages."""

import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jsb
import numpy as np
from jsb import NOTES
from memory_tasks import Task

from jaxnn.types import Array, Key


class Chorales(NamedTuple):
    """Notes `(time, chorales, 88)`, 0 or 1, and how many steps each has, `(chorales,)`."""

    notes: Array
    lengths: Array


def load(path: pathlib.Path) -> list[Chorales]:
    """The chorales for training, for validation and for the test."""
    return [padded(part) for part in jsb.load(path)]


def padded(rolls: list[np.ndarray]) -> Chorales:
    """The rolls side by side, with zeros after the end of each."""
    lengths = np.array([len(roll) for roll in rolls])
    notes = np.zeros((lengths.max(), len(rolls), NOTES), np.float32)
    for place, roll in enumerate(rolls):
        notes[: len(roll), place] = roll
    return Chorales(jnp.asarray(notes), jnp.asarray(lengths))


def whole(chorales: Chorales) -> Task:
    """Every chorale from its first step to its last: the next notes from those before them."""
    steps = jnp.arange(1, len(chorales.notes))[:, None]
    mask = steps < chorales.lengths[None]
    return Task(chorales.notes[:-1], chorales.notes[1:], mask, mask)


def passages(key: Key, batch: int, chorales: Chorales, time: int = 64) -> Task:
    """As many passages of `time` steps, each from a place drawn at random; padded where a chorale
    is shorter.

    >>> short = padded([np.ones((3, NOTES)), np.ones((9, NOTES))])
    >>> task = passages(jax.random.key(0), 4, short, time=5)
    >>> task.xs.shape, set(task.mask.sum(0).tolist()) <= {2, 5}
    ((5, 4, 88), True)
    """
    which_key, where_key = jax.random.split(key)
    which = jax.random.randint(which_key, (batch,), 0, len(chorales.lengths))
    lengths = chorales.lengths[which]
    latest = jnp.maximum(lengths - time - 1, 0)
    steps = jnp.arange(time + 1)[:, None] + jax.random.randint(where_key, (batch,), 0, latest + 1)
    inside = steps < lengths[None]
    notes = chorales.notes[jnp.minimum(steps, len(chorales.notes) - 1), which]
    notes = jnp.where(inside[..., None], notes, 0.0)
    return Task(notes[:-1], notes[1:], inside[1:], inside[1:])
