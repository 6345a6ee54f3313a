"""Batches of ragged sequences; plain numpy, on the host."""

import functools
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from jaxnn.internal.checks import shape_text
from jaxnn.internal.options import check_bool, check_size
from jaxnn.training.by_number import ByNumber
from jaxnn.training.checks import check_memory
from jaxnn.training.ragged import Arrays, Ragged, arrays_of, check_many, ragged
from jaxnn.types import PyTree


class Batch(NamedTuple):
    """Padded sequences, time first.

    xs `(time, batch, ...)`, or a tree of such; targets `(batch, ...)`, or `(time, batch, ...)`
    where each step has one; mask, boolean `(time, batch)`: the valid steps; valid, boolean
    `(batch,)`: false for the samples that only fill the batch up; sample `(batch,)`: its place in
    the data set, −1 for those.
    """

    xs: PyTree
    targets: PyTree
    mask: np.ndarray
    valid: np.ndarray
    sample: np.ndarray


def pad(sequences: Arrays, time: int | None = None) -> tuple[PyTree, np.ndarray]:
    """Ragged sequences as one array with zeros at the end, and its mask.

    Args:
      sequences: arrays `(time_i, ...)`, alike but for their lengths; a length of 0 is allowed. Or
        trees of such, each a dictionary, a NamedTuple or a tuple of arrays that share their time;
        a list is an array, as numpy takes it.
      time: the steps of the result; by default the longest length.

    Returns:
      xs `(time, batch, ...)`, or a tree of such, and mask, boolean `(time, batch)`.

    Raises:
      ValueError: for no sequences, one that is longer than `time` (nothing is cut), sequences that
        differ in more than their lengths, arrays of a sequence that differ in theirs, or numbers
        that jax cannot hold (float64 beyond float32, without x64).
      TypeError: for sequences that are none, are other trees than the first one, or are not of
        numbers or flags, or a `time` that is no integer.

    >>> xs, mask = pad([np.ones((2, 3)), np.ones((1, 3))])
    >>> xs.shape, mask.astype(int).tolist()
    ((2, 2, 3), [[1, 1], [1, 0]])
    """
    samples = ragged("pad", "sequence", sequences)
    lengths = samples.lengths
    time = int(lengths.max()) if time is None else _time(time)
    if lengths.max() > time:
        raise ValueError(
            f"pad: sequence {int(lengths.argmax())} has {lengths.max()} steps, more than "
            f"time={time}"
        )
    for shape, dtype in samples.kinds():
        check_memory("pad", f"time={time}", (time, len(lengths), *shape), dtype)
    return samples.padded(time, range(len(lengths))), np.arange(time)[:, None] < lengths


def batches(
    sequences: Arrays,
    targets: Arrays,
    batch_size: int,
    seed: int | tuple[int, ...] | None = None,
    boundaries: Sequence[int] | None = None,
    each_step: bool = False,
    epochs: int | None = None,
) -> ByNumber[Batch]:
    """Epochs, each with every sample exactly once, in batches of one size.

    A last batch of fewer samples is filled up with masked ones, so that a jitted step sees few
    shapes: one for each boundary that is in use.

    What it gives has `get_state()` and `set_state(state)`: its place, in numbers, as `fit` keeps it
    in a checkpoint, or as one of one's own may.

    Args:
      sequences: arrays `(time_i, ...)`, or trees of them as `pad` takes them, or one array
        `(samples, time, ...)`, as other libraries have it: what comes out is time-major in all
        cases.
      targets: one for each sequence: a number, or an array of one shape for all; with `each_step`
        an array `(time_i, ...)`, or a tree of them, which is padded with zeros.
      batch_size: samples in a batch.
      seed: an integer from 0, or a tuple such as `(seed, epoch)`, shuffles samples and batches;
        None keeps their order.
      boundaries: rising lengths; each sequence goes to the bucket of the first one that holds it
        and is padded to that length. None means one bucket, of the longest length.
      each_step: whether targets have a time axis, as long as their sequences.
      epochs: how many, one after the other; epoch e is shuffled by `(*seed, e)`. None means a
        single one, shuffled by `seed` itself: use another one every epoch.

    Returns:
      An iterator of `Batch`.

    Raises:
      ValueError: for an empty data set, sequences that differ in more than their lengths, targets
        that do not fit, a batch size or epochs below 1, a sequence beyond the last boundary
        (nothing is cut), a negative seed, or numbers that jax cannot hold (float64 beyond float32,
        without x64).
      TypeError: for sequences or targets that are none, or are not of numbers or flags, a batch
        size or seed that is no integer, or an `each_step` that is not True or False.

    >>> data = [np.ones((length, 1)) for length in (3, 1, 2)]
    >>> epoch = list(batches(data, [0, 1, 2], batch_size=2))
    >>> [batch.sample.tolist() for batch in epoch], epoch[1].xs.shape
    ([[0, 1], [2, -1]], (3, 2, 1))

    Ten series of 50 steps and 3 features, batch-major, with one label each:

    >>> series, labels = np.zeros((10, 50, 3), np.float32), np.arange(10)
    >>> next(batches(series, labels, batch_size=4, seed=0)).xs.shape
    (50, 4, 3)

    Events with the time since the one before:

    >>> events = [{"kind": np.arange(n), "gap": np.ones(n)} for n in (3, 1)]
    >>> batch = next(batches(events, [0, 1], batch_size=2))
    >>> batch.xs["kind"].tolist()
    [[0, 0], [1, 0], [2, 0]]
    """
    batch_size = check_size("batches", "batch_size", batch_size)
    check_bool("batches", "each_step", each_step)
    samples = ragged("batches", "sequence", sequences)
    lengths = samples.lengths
    check_many("batches", "targets", targets)
    if len(lengths) != len(targets):
        raise ValueError(
            f"batches: targets must be one for each of the {len(lengths)} sequences, "
            f"got {len(targets)}"
        )
    goals = _goals(targets, lengths, each_step)
    limits = _limits(lengths, boundaries)
    for shape, dtype in samples.kinds():
        whole = (int(limits[-1]), batch_size, *shape)
        check_memory("batches", f"batch_size={batch_size}", whole, dtype)
    seeds = None if seed is None else _seed(seed)
    epochs = None if epochs is None else check_size("batches", "epochs", epochs)

    @functools.lru_cache(1)
    def groups_of(epoch: int) -> list[tuple[int, np.ndarray]]:
        more = () if epochs is None else (epoch,)
        random = None if seeds is None else np.random.default_rng((*seeds, *more))
        return _groups(lengths, limits, batch_size, random)

    def make(number: int) -> Batch:
        time, members = groups_of(number // per_epoch)[number % per_epoch]
        return _batch(samples, goals, time, members, batch_size)

    per_epoch = len(groups_of(0))
    made_of = {
        "samples": len(lengths),
        "steps": int(lengths.sum()),
        "batch_size": batch_size,
        "seed": None if seeds is None else list(map(int, seeds)),
        "boundaries": limits.tolist(),
        "one_epoch": epochs is None,
    }
    return ByNumber("batches", make, per_epoch * (epochs or 1), made_of)


def _groups(
    lengths: np.ndarray, limits: np.ndarray, batch_size: int, random: np.random.Generator | None
) -> list[tuple[int, np.ndarray]]:
    """Of each batch of an epoch, its time and the samples in it."""
    order = np.arange(len(lengths)) if random is None else random.permutation(len(lengths))
    bucket = np.searchsorted(limits, lengths[order])
    groups = [
        (int(limits[b]), members[at : at + batch_size])
        for b in np.unique(bucket)
        for members in [order[bucket == b]]
        for at in range(0, len(members), batch_size)
    ]
    return groups if random is None else [groups[g] for g in random.permutation(len(groups))]


def _batch(
    samples: Ragged,
    goals: Ragged | list[np.ndarray],
    time: int,
    members: np.ndarray,
    batch_size: int,
) -> Batch:
    index = np.concatenate([members, np.full(batch_size - len(members), -1)])
    valid = index >= 0
    lengths = np.where(valid, samples.lengths[index], 0)
    if isinstance(goals, Ragged):
        targets = goals.padded(time, index)
    else:
        targets = np.stack([goals[i] if i >= 0 else np.zeros_like(goals[0]) for i in index])
    mask = np.arange(time)[:, None] < lengths
    return Batch(samples.padded(time, index), targets, mask, valid, index)


def _time(time: SupportsIndex) -> int:
    try:
        if isinstance(time, bool):
            raise TypeError
        steps = operator.index(time)
    except TypeError:
        raise TypeError(f"pad: time must be an integer or None, got {time!r}") from None
    if steps < 0:
        raise ValueError(f"pad: time must be from 0, got {steps}")
    return steps


def _seed(seed: int | tuple[int, ...]) -> tuple[int, ...]:
    parts: tuple[Any, ...] = seed if isinstance(seed, tuple) and seed else (seed,)
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, (int, np.integer)):
            raise TypeError(
                f"batches: seed must be an integer, a tuple of them, or None, got {seed!r}"
            )
        if part < 0:
            raise ValueError(f"batches: seed must be non-negative, got {seed!r}")
    return parts


def _goals(targets: Arrays, lengths: np.ndarray, each_step: bool) -> Ragged | list[np.ndarray]:
    if each_step:
        along = ragged("batches", "target", targets)
        for index in np.flatnonzero(along.lengths != lengths):
            raise ValueError(
                f"batches: target {index} must have {lengths[index]} steps, as its sequence, "
                f"got the shape {along.columns[0][index].shape}"
            )
        return along
    goals = arrays_of("batches", "target", targets)
    for index, goal in enumerate(goals):
        if goal.shape != goals[0].shape or goal.dtype != goals[0].dtype:
            raise ValueError(
                f"batches: target {index} must be {shape_text(goals[0])}, as target 0, got "
                f"{shape_text(goal)}; for a target at every step pass each_step=True"
            )
    return goals


def _limits(lengths: np.ndarray, boundaries: Sequence[int] | None) -> np.ndarray:
    if boundaries is None:
        return np.array([lengths.max()])
    try:
        limits = np.asarray(boundaries)
    except (ValueError, TypeError):  # of ragged lists, of keys
        limits = np.array(None)
    whole = limits.ndim == 1 and np.issubdtype(limits.dtype, np.integer)
    if not whole or not len(limits) or limits[0] < 1 or (np.diff(limits) <= 0).any():
        raise ValueError(f"batches: boundaries must be rising positive lengths, got {boundaries}")
    if lengths.max() > limits[-1]:
        raise ValueError(
            f"batches: sequence {int(lengths.argmax())} has {lengths.max()} steps, beyond the last "
            f"boundary, {limits[-1]}"
        )
    return limits
