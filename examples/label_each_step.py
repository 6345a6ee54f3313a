"""A label for every step: is the office occupied, minute by minute, from its sensors.

The Occupancy data of Candanedo & Feldheim (2016): five sensors, read once a minute, in three
stretches of time, one for training and two for the test; the last fifth of the first is for
validation. There light and temperature did best; with all five, what was learnt of one week held
less well in the next. The same parameters label a whole recording at once and, as an alarm would
need it, reading by reading; the labels must agree.
"""

import itertools
import pathlib
import time
from typing import Any

import command_line
import drawing
import early_stopping
import jax
import numpy as np
import occupancy
import optax
from occupancy import Recording

import jaxnn
from jaxnn import plot
from jaxnn.types import Array, Cell, Key, Params, State

STREAMS, CHUNK = 8, 120


def side_by_side(recording: Recording) -> Any:
    """`(xs, labels, reset)`, each `(time, STREAMS, ...)`: the recording, cut into streams."""
    steps = len(recording.xs) // STREAMS
    xs, labels = (
        array[: steps * STREAMS].reshape(STREAMS, steps, -1)
        for array in (recording.xs, recording.labels)
    )
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
        optax.adamw(schedule, weight_decay=0.1, mask=jaxnn.training.decay_mask),
    )

    def loss(params: Params, state: State, batch: Any, key: Key) -> Any:
        (xs, labels, reset), mask = batch
        state, logits = model.unroll(params, xs, state, mask, reset, key=key)
        return *jaxnn.losses.binary_cross_entropy(logits, labels, mask), state

    def validate(params: Params) -> tuple[Array, Array]:
        _, logits = model.unroll(params, valid.xs)
        return jaxnn.losses.binary_cross_entropy(logits, valid.labels)

    best = early_stopping.Best(jax.jit(validate))
    passes = (jaxnn.data.chunks(side_by_side(data), CHUNK) for _ in itertools.count())
    result = jaxnn.training.fit(
        jaxnn.training.train_step(loss, optimizer),
        jaxnn.training.train_state(params, optimizer, key, model.initial_state(params, (STREAMS,))),
        itertools.chain.from_iterable(passes),
        steps,
        best,
        evaluate_every=20,
    )
    return best.params, result


def stream(model: Cell, params: Params, xs: np.ndarray) -> np.ndarray:
    """One reading after the other: a label as soon as it is there."""
    apply = jax.jit(model.apply)
    state, labels = model.initial_state(params), []
    for x in xs:
        state, logit = apply(params, state, x)
        labels.append(int(logit[0] > 0))
    return np.array(labels)


def draw(path: pathlib.Path, result: jaxnn.training.Fit, test: Recording, logits: Any) -> None:
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
    parser.add_argument("--data", type=pathlib.Path, default=occupancy.PATH, help=occupancy.SOURCE)
    parser.add_argument(
        "--steps", type=command_line.positive, default=300, help="updates of the parameters"
    )
    parser.add_argument(
        "--hidden", type=command_line.positive, default=16, help="units of the recurrent layer"
    )
    sensors, default = occupancy.SENSORS, ["temperature", "light"]
    parser.add_argument(
        "--sensors", nargs="+", choices=sensors, default=default, help="sensors that are read"
    )
    args = parser.parse_args()
    began = time.perf_counter()
    training, valid, *tests = occupancy.load(args.data, args.sensors)
    model = jaxnn.stack(
        jaxnn.gru(len(args.sensors), args.hidden),
        jaxnn.dropout(0.2),
        jaxnn.dense(args.hidden, 1),
    )
    params, result = train(model, training, valid, args.steps, args.seed)
    light, occupied = training.light, training.labels[:, 0]
    limit = max(np.unique(light), key=lambda value: np.mean((light > value) == occupied))
    whole = [np.asarray(model.unroll(params, test.xs)[1]) for test in tests]
    for number, (test, logits) in enumerate(zip(tests, whole, strict=True), 1):
        labels = stream(model, params, test.xs)
        if not np.array_equal(labels, logits[:, 0] > 0):
            raise RuntimeError("streaming and the whole sequence give different labels")
        right, by_light = (
            100 * np.mean(guess == test.labels[:, 0]) for guess in (labels, test.light > limit)
        )
        print(f"test {number}: {right:.2f} % of {len(labels)} minutes right, streamed and whole "
              f"alike; a limit on the light alone {by_light:.2f} %")  # fmt: skip
    print(f"seed {args.seed}, {args.steps} steps, {time.perf_counter() - began:.0f} s")
    draw(args.out / "label_each_step.png", result, tests[1], whole[1])


if __name__ == "__main__":
    main()
