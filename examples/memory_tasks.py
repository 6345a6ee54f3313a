"""Four tasks that need memory, as functions from a random key to a batch.

Each gives a `Task`: inputs `(time, batch, features)`, one target for each step or for each
sequence, and the mask of the steps that count in the loss. The defaults are the papers' sizes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.types import Array, Key

SYMBOLS = "EBabcdXY"
"""The symbols of the temporal order task, in the order of its one-hot inputs."""


class Task(NamedTuple):
    """One batch.

    xs: inputs `(time, batch, features)`, float32.
    targets: numbers `(time, batch, 1)`, or classes `(time, batch)`, at steps that count.
    mask: `(time, batch)`, which steps the sequence has; the others are padding.
    counts: `(time, batch)`, at which steps the target is asked for.
    """

    xs: Array
    targets: Array
    mask: Array
    counts: Array


def adding(key: Key, batch: int, time: int = 100) -> Task:
    """Add the two numbers that are marked.

    The first feature of each step is uniform in [0, 1). The second is 1 at two steps and 0
    elsewhere: one of them uniform in the first half of the sequence, the other in the second. The
    target, at the last step, is the sum of the two marked numbers. Always answering 1 has the mean
    squared error Var(a + b) = 1/6 ≈ 0.167.

    Args:
      key: a random key; the same key gives the same batch.
      batch: how many sequences.
      time: T, at least 2.

    Raises:
      ValueError: for a time below 2.

    Source: Hochreiter & Schmidhuber 1997, experiment 4, in the form of Arjovsky, Shah & Bengio 2016
    (arXiv 1511.06464), section 4.2.

    >>> task = adding(jax.random.key(0), batch=3, time=10)
    >>> task.xs.shape, task.xs[..., 1].sum(0).tolist()
    ((10, 3, 2), [2.0, 2.0, 2.0])
    >>> marked = (task.xs[..., 0] * task.xs[..., 1]).sum(0)
    >>> bool(jnp.allclose(task.targets[-1, :, 0], marked))
    True
    """
    _at_least("adding", "time", time, 2)
    number_key, first_key, second_key = jax.random.split(key, 3)
    numbers = jax.random.uniform(number_key, (time, batch))
    first = jax.random.randint(first_key, (batch,), 0, time // 2)
    second = jax.random.randint(second_key, (batch,), time // 2, time)
    steps = jnp.arange(time)[:, None]
    marks = (steps == first[None]) | (steps == second[None])
    total = jnp.sum(numbers * marks, axis=0)
    last = jnp.broadcast_to(steps == time - 1, (time, batch))
    return Task(
        jnp.stack([numbers, marks.astype(numbers.dtype)], axis=-1),
        jnp.where(last, total[None], 0.0)[..., None],
        jnp.ones((time, batch), bool),
        last,
    )


def copy_memory(key: Key, batch: int, delay: int = 100, length: int = 10) -> Task:
    """Say again, after a delay, the symbols that were shown at first.

    Of ten symbols a₀ … a₉, the first `length` steps hold symbols drawn uniformly and independently
    from a₀ … a₇; the next T − 1 the blank a₈; the next the delimiter a₉; the last `length` blanks
    again: T + 2 · length steps. The target is the blank for T + length steps, then the symbols in
    their order. The loss is averaged over all steps. Answering blanks, then a₀ … a₇ at random,
    without memory, has length · ln 8 / (T + 2 · length) nats.

    Args:
      key: a random key; the same key gives the same batch.
      batch: how many sequences.
      delay: T, at least 1.
      length: how many symbols; the paper has 10.

    Raises:
      ValueError: for a delay or length below 1.

    Source: Arjovsky, Shah & Bengio 2016 (arXiv 1511.06464), section 4.1, after Hochreiter &
    Schmidhuber 1997.

    >>> task = copy_memory(jax.random.key(0), batch=1, delay=3, length=2)
    >>> jnp.argmax(task.xs, axis=-1)[:, 0].tolist()
    [5, 0, 8, 8, 9, 8, 8]
    >>> task.targets[:, 0].tolist()
    [8, 8, 8, 8, 8, 5, 0]
    """
    _at_least("copy_memory", "delay", delay, 1)
    _at_least("copy_memory", "length", length, 1)
    symbols = jax.random.randint(key, (length, batch), 0, 8)
    time = delay + 2 * length
    inputs = jnp.full((time, batch), 8).at[:length].set(symbols).at[length + delay - 1].set(9)
    targets = jnp.full((time, batch), 8).at[-length:].set(symbols)
    everywhere = jnp.ones((time, batch), bool)
    return Task(jax.nn.one_hot(inputs, 10), targets, everywhere, everywhere)


def temporal_order(
    key: Key,
    batch: int,
    lengths: tuple[int, int] = (100, 110),
    first: tuple[int, int] = (10, 20),
    second: tuple[int, int] = (50, 60),
) -> Task:
    """Tell in which order two symbols came.

    A sequence begins with E, ends with B, and holds symbols drawn uniformly from a, b, c, d, but at
    t₁ and t₂, where X or Y stand with equal probability. The target, at the last step, is the class
    XX → 0, XY → 1, YX → 2, YY → 3. Each symbol is a one-hot vector of eight (`SYMBOLS`).

    Args:
      key: a random key; the same key gives the same batch.
      batch: how many sequences.
      lengths: the length of a sequence, uniform between these two, both included.
      first, second: t₁ and t₂ likewise, counted from 0, the E.

    Raises:
      ValueError: where the ranges are not in the order E, t₁, t₂, B.

    Source: Hochreiter & Schmidhuber 1997, experiment 6a (Q, R, S, U are the classes 0 to 3).

    >>> task = temporal_order(jax.random.key(1), 1, lengths=(8, 9), first=(1, 2), second=(4, 5))
    >>> "".join(SYMBOLS[s] for s in jnp.argmax(task.xs, axis=-1)[task.mask[:, 0], 0].tolist())
    'EdXacXcB'
    >>> task.targets[task.counts].tolist()
    [0]
    """
    ranges = (*first, *second, *lengths)
    ordered = 0 < first[0] <= first[1] < second[0] <= second[1] < lengths[0] - 1
    if not ordered or lengths[0] > lengths[1]:
        raise ValueError(
            f"temporal_order: 0 < first ≤ … < second ≤ … < lengths − 1 must hold, each range a "
            f"smaller and a larger number; got first, second, lengths = {ranges}"
        )
    symbol_key, class_key, *keys = jax.random.split(key, 5)
    time = lengths[1]
    t1, t2, length = (
        jax.random.randint(k, (1, batch), low, high + 1)
        for k, (low, high) in zip(keys, (first, second, lengths), strict=True)
    )
    classes = jax.random.randint(class_key, (1, batch), 0, 4)
    steps = jnp.arange(time)[:, None]
    symbols = jax.random.randint(symbol_key, (time, batch), 2, 6)
    symbols = jnp.where(steps == 0, SYMBOLS.index("E"), symbols)
    symbols = jnp.where(steps == length - 1, SYMBOLS.index("B"), symbols)
    symbols = jnp.where(steps == t1, SYMBOLS.index("X") + classes // 2, symbols)
    symbols = jnp.where(steps == t2, SYMBOLS.index("X") + classes % 2, symbols)
    return Task(
        jax.nn.one_hot(symbols, len(SYMBOLS)),
        jnp.broadcast_to(classes, (time, batch)),
        steps < length,
        steps == length - 1,
    )


def selective_copy(
    key: Key, batch: int, time: int = 4096, length: int = 16, symbols: int = 14
) -> Task:
    """Say again, in their order, the symbols that stood here and there among blanks.

    The first `time` steps hold `length` symbols drawn uniformly and independently, at places drawn
    uniformly, and blanks elsewhere; the last `length` steps hold a delimiter each. The targets are
    asked for there: the symbols, in the order in which they came. Inputs are one-hot: the symbols,
    then the blank, then the delimiter. In `copy_memory` a fixed filter of the past would do; here
    the gaps differ from sequence to sequence, so that whatever remembers must tell symbols from
    blanks. A guess is right once in `symbols` times.

    Args:
      key: a random key; the same key gives the same batch.
      batch: how many sequences.
      time: steps before the answer, at least `length`.
      length: how many symbols are to be remembered.
      symbols: how many different ones there are; the paper's vocabulary has 16 tokens, the blank
        among them.

    Raises:
      ValueError: for a length or symbols below 1, and for a time below the length.

    Source: Gu & Dao 2023 (arXiv 2312.00752), section 4.1.1, after Jing et al. 2019 (arXiv
    1706.02761).

    >>> task = selective_copy(jax.random.key(7), batch=1, time=6, length=2, symbols=3)
    >>> jnp.argmax(task.xs, axis=-1)[:, 0].tolist()
    [3, 3, 2, 3, 0, 3, 4, 4]
    >>> task.targets[:, 0][task.counts[:, 0]].tolist()
    [2, 0]
    """
    _at_least("selective_copy", "length", length, 1)
    _at_least("selective_copy", "symbols", symbols, 1)
    _at_least("selective_copy", "time", time, length)
    symbol_key, place_key = jax.random.split(key)
    asked = jax.random.randint(symbol_key, (length, batch), 0, symbols)
    # The places are those of the `length` smallest of so many random numbers, in order of time.
    numbers = jax.random.uniform(place_key, (batch, time))
    places = jnp.sort(jax.lax.top_k(-numbers, length)[1], axis=-1).T
    inputs = jnp.full((time, batch), symbols).at[places, jnp.arange(batch)].set(asked)
    inputs = jnp.concatenate([inputs, jnp.full((length, batch), symbols + 1)])
    targets = jnp.zeros((time + length, batch), int).at[time:].set(asked)
    last = jnp.broadcast_to(jnp.arange(time + length)[:, None] >= time, targets.shape)
    return Task(jax.nn.one_hot(inputs, symbols + 2), targets, jnp.ones(targets.shape, bool), last)


def _at_least(name: str, argument: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name}: {argument} must be at least {least}, got {value}")
