"""A label for every step: is the office occupied, minute by minute, from five sensors.

The Occupancy data of Candanedo & Feldheim (2016): temperature, humidity, light, CO2 and humidity
ratio, once a minute, in three stretches of time, one for training and two for the test. The last
fifth of the first is for validation. The same parameters label a whole recording at once and, as a
sensor would need it, step by step; the labels must agree.
"""

import csv
import itertools
import pathlib
import time
from typing import Any, NamedTuple

import command_line
import drawing
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxnn
from jaxnn import plot
from jaxnn.types import Cell, Key, Params, State

FILES = ("datatraining.txt", "datatest.txt", "datatest2.txt")
SOURCE = "folder of those of UCI's Occupancy Detection: " + ", ".join(FILES)
SENSORS = ("temperature", "humidity", "light", "CO2", "humidity ratio")
LIGHT, STREAMS, CHUNK = SENSORS.index("light"), 8, 120


class Recording(NamedTuple):
    """xs `(time, 5)` and labels `(time, 1)`, 0 or 1, a row a minute."""

    xs: np.ndarray
    labels: np.ndarray


def load(folder: pathlib.Path) -> list[Recording]:
    """Training, validation and two tests, scaled by the training's mean and deviation."""
    recordings = []
    for name in FILES:
        if not (folder / name).is_file():
            command_line.stop(f"no file {folder / name}: --data takes the {SOURCE}")
        with open(folder / name, newline="", encoding="utf-8") as file:
            rows = np.array([row[2:] for row in csv.reader(file)][1:], np.float32)
        recordings.append(Recording(rows[:, :5], rows[:, 5:].astype(np.int32)))
    first, *tests = recordings
    cut = len(first.xs) * 4 // 5
    parts = [Recording(*(a[:cut] for a in first)), Recording(*(a[cut:] for a in first)), *tests]
    mean, scale = parts[0].xs.mean(axis=0), parts[0].xs.std(axis=0)
    return [part._replace(xs=(part.xs - mean) / scale) for part in parts]


def side_by_side(recording: Recording) -> Any:
    """`(xs, labels, reset)`, each `(time, STREAMS, ...)`: the recording, cut into streams."""
    steps = len(recording.xs) // STREAMS
    xs, labels = (a[: steps * STREAMS].reshape(STREAMS, steps, -1) for a in recording)
    reset = np.zeros((steps, STREAMS), bool)
    reset[0] = True  # what a pass ends with is not carried into the next one
    return xs.swapaxes(0, 1), labels.swapaxes(0, 1), reset


def train(model: Cell, data: Recording, valid: Recording, steps: int, seed: int) -> Any:
    """The parameters with the lowest validation loss, and how it went."""
    init_key, key = jax.random.split(jax.random.key(seed))
    params = model.init(init_key)
    schedule = optax.schedules.cosine_decay_schedule(1e-2, steps)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(schedule, weight_decay=0.1, mask=jaxnn.decay_mask),
    )
    best: tuple[float, Params] = (np.inf, None)

    def loss(params: Params, state: State, batch: Any, key: Key) -> Any:
        (xs, labels, reset), mask = batch
        state, logits = model.unroll(params, xs, state, mask, reset, key=key)
        return *jaxnn.binary_cross_entropy(logits, labels, mask), state

    def evaluate(current: jaxnn.TrainState) -> float:
        nonlocal best
        _, logits = model.unroll(current.params, valid.xs)
        total, weight = jaxnn.binary_cross_entropy(logits, valid.labels)
        # a copy, since the next step donates the original
        best = min(
            best, (float(total / weight), jax.device_get(current.params)), key=lambda b: b[0]
        )
        return float(total / weight)

    passes = (jaxnn.chunks(side_by_side(data), CHUNK) for _ in itertools.count())
    result = jaxnn.fit(
        jaxnn.train_step(loss, optimizer),
        jaxnn.train_state(params, optimizer, key, model.initial_state(params, (STREAMS,))),
        itertools.chain.from_iterable(passes),
        steps,
        evaluate,
        evaluate_every=20,
    )
    return best[1], result


def stream(model: Cell, params: Params, xs: np.ndarray) -> np.ndarray:
    """One reading after the other: a label as soon as it is there."""
    apply = jax.jit(model.apply)
    state, labels = model.initial_state(params), []
    for x in xs:
        state, logit = apply(params, state, x)
        labels.append(int(logit[0] > 0))
    return np.array(labels)


def draw(path: pathlib.Path, result: jaxnn.Fit, test: Recording, logits: Any) -> None:
    """The learning curve, and three days of the second test."""
    figure, (left, right) = drawing.panels(2, widths=(1, 1.6))
    plot.learning_curve(left, result.history.loss)
    left.plot(*zip(*result.history.evaluations, strict=True), color="black", label="validation")
    left.set_ylabel("nats a minute")
    left.legend(frameon=False)
    hours = np.arange(len(test.xs))[: 3 * 24 * 60] / 60
    shown = slice(len(hours))
    right.fill_between(
        hours, test.labels[shown, 0], step="mid", color="0.85", linewidth=0, label="occupied"
    )
    right.plot(hours, jax.nn.sigmoid(logits)[shown, 0], color="tab:blue", label="probability")
    right.set(xlabel="hours", ylim=(0, 1.25), title="second test recording, labelled as it streams")
    right.legend(frameon=False, ncols=2, loc="upper right")
    drawing.save(figure, path)


def main() -> None:
    """Train, label both tests in both ways, draw."""
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--data", type=pathlib.Path, default=command_line.data_folder() / "occupancy", help=SOURCE
    )
    parser.add_argument("--steps", type=command_line.positive, default=300, help="train steps")
    parser.add_argument("--hidden", type=command_line.positive, default=16, help="units")
    args = parser.parse_args()
    began = time.perf_counter()
    training, valid, *tests = load(args.data)
    model = jaxnn.stack(
        jaxnn.gru(len(SENSORS), args.hidden), jaxnn.dropout(0.2), jaxnn.dense(args.hidden, 1)
    )
    params, result = train(model, training, valid, args.steps, args.seed)
    limits = np.unique(training.xs[:, LIGHT])
    right = [
        (np.mean((training.xs[:, LIGHT] > limit) == training.labels[:, 0])) for limit in limits
    ]
    limit = limits[np.argmax(right)]
    for number, test in enumerate(tests, 1):
        _, logits = model.unroll(params, test.xs)
        whole = np.asarray(logits[:, 0] > 0).astype(int)
        streamed = stream(model, params, test.xs)
        if not np.array_equal(whole, streamed):
            raise RuntimeError("streaming and the whole sequence give different labels")
        by_light = np.mean((test.xs[:, LIGHT] > limit) == test.labels[:, 0])
        print(
            f"test {number}: {100 * np.mean(whole == test.labels[:, 0]):.2f} % of {len(whole)} "
            f"minutes right, streamed and at once; light alone {100 * by_light:.2f} %"
        )
    print(f"seed {args.seed}, {args.steps} steps, {time.perf_counter() - began:.0f} s")
    draw(args.out / "label_each_step.png", result, tests[1], logits)


if __name__ == "__main__":
    main()
