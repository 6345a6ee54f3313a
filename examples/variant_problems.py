"""The cells that lstm_variants.py compares, and the four tasks: what is asked, and how it counts.

The synthetic ones are shorter than in the papers: adding has 40 steps, copy memory 5 symbols over a
delay of 15, temporal order 35 to 40 steps with t₁ in 3 … 7 and t₂ in 17 … 20. The chorales are
learnt from passages of 32 steps, and tested whole.
"""

import bisect
import functools
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import chorale_data
import jax
import memory_tasks
import numpy as np

import jaxnn
from jaxnn.types import Array, Cell

SETS = 1000
"""Sequences for validation, and as many for the test, of a synthetic task."""

CELLS: dict[str, Callable[[int, int], Cell]] = {
    "elman": jaxnn.elman,
    "lstm": jaxnn.lstm,
    "peephole": lambda *sizes: jaxnn.lstm(*sizes, peephole=True),
    "coupled": lambda *sizes: jaxnn.lstm(*sizes, coupled=True),
    "both": lambda *sizes: jaxnn.lstm(*sizes, peephole=True, coupled=True),
    "gru": jaxnn.gru,
    "gru reset before": lambda *sizes: jaxnn.gru(*sizes, reset_after=False),
}


class Problem(NamedTuple):
    """A task: how it is sampled, `(key, batch) -> Task`, what it costs and how it is scored, both
    `(outputs, targets, mask) -> (sum, weight)`, and with how many parameters."""

    sample: Callable[..., memory_tasks.Task]
    features: int
    outputs: int
    cost: Callable[..., tuple[Array, Array]]
    score: Callable[..., tuple[Array, Array]]
    unit: str
    without_memory: float
    parameters: int = 4_000
    dropout: float = 0.0
    share: float = 1.0


def errors(logits: Array, labels: Array, mask: Array) -> tuple[Array, Array]:
    """How many answers are wrong, in percent."""
    right, weight = jaxnn.losses.accuracy(logits, labels, mask)
    return 100 * (weight - right), weight


ORDER = functools.partial(
    memory_tasks.temporal_order, lengths=(35, 40), first=(3, 7), second=(17, 20)
)
COPY = functools.partial(memory_tasks.copy_memory, delay=15, length=5)
PASSAGES = functools.partial(chorale_data.passages, time=32)
ERROR, NATS, NOTES = (
    jaxnn.losses.mean_squared_error,
    jaxnn.losses.cross_entropy,
    jaxnn.losses.binary_cross_entropy,
)
PROBLEMS = {
    "adding": Problem(
        functools.partial(memory_tasks.adding, time=40), 2, 1, ERROR, ERROR, "squared error", 1 / 6
    ),
    "copy memory": Problem(COPY, 10, 10, NATS, NATS, "nats a step", 5 * np.log(8) / 25),
    "temporal order": Problem(ORDER, 8, 4, NATS, errors, "% wrong", 75.0),
    # Without memory: the share of each note in the training set, by the same convention.
    "chorales": Problem(PASSAGES, 88, 88, NOTES, NOTES, "nats a step", 11.09, 20_000, 0.25, 0.5),
}


def sets(name: str, path: pathlib.Path) -> tuple[Any, memory_tasks.Task, memory_tasks.Task]:
    """What each update is given, the validation set and the test set."""
    if name == "chorales":
        train, valid, test = chorale_data.load(path)
        return (train,), chorale_data.whole(valid), chorale_data.whole(test)
    valid_key, test_key = jax.random.split(jax.random.key(2**31 - 1))
    sample = PROBLEMS[name].sample
    return (), sample(valid_key, SETS), sample(test_key, SETS)


def build(cell: str, problem: Problem) -> Cell:
    """The largest network, of this cell and a dense layer, that the number of parameters allows."""

    def network(hidden: int) -> Cell:
        dropout = (jaxnn.dropout(problem.dropout),) if problem.dropout else ()
        recurrent = CELLS[cell](problem.features, hidden)
        return jaxnn.stack(recurrent, *dropout, jaxnn.dense(hidden, problem.outputs))

    def count(hidden: int) -> int:
        params = jax.eval_shape(network(hidden).init, jax.random.key(0))
        return sum(leaf.size for leaf in jax.tree.leaves(params))

    return network(bisect.bisect_right(range(1000), problem.parameters, lo=1, key=count) - 1)
