"""Tell nine speakers apart: a bidirectional LSTM on the JapaneseVowels recordings.

Each utterance is 7 to 29 frames of 12 LPC coefficients; 270 are for training, 370 for the test
(Kudo, Toyama & Shimbo 1999). The hyperparameters were chosen by cross-validation inside the 270
(japanese_vowels_search.py); the test set is for reporting.
"""

import argparse
import itertools
import pathlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import vowels

import jaxnn
from jaxnn.types import Array, ArrayLike, Cell, Key, Layer, SequenceLayer

SPEAKERS = 9
LONGEST = 29
CELLS = {
    "lstm": jaxnn.lstm,
    "lstm-peephole": lambda *sizes: jaxnn.lstm(*sizes, peephole=True),
    "lstm-coupled": lambda *sizes: jaxnn.lstm(*sizes, coupled=True),
    "gru": jaxnn.gru,
    "gru-reset-before": lambda *sizes: jaxnn.gru(*sizes, reset_after=False),
    "elman": jaxnn.elman,
}


class Settings(NamedTuple):
    """The hyperparameters; the defaults won the cross-validation."""

    cell: str = "lstm"
    hidden: int = 64
    layers: int = 1
    steps: int = 900
    batch_size: int = 30
    learning_rate: float = 5e-3
    weight_decay: float = 1e-2
    dropout: float = 0.5
    noise: float = 0.1


class Model(NamedTuple):
    """The parts of the network, or, in the same places, their parameters."""

    encoder: Any
    head: Any


def build(settings: Settings) -> Model:
    """Bidirectional layers, each with dropout, and one dense layer on the mean of their outputs."""
    make = CELLS[settings.cell]
    layers: list[Layer | SequenceLayer] = []
    features = 12
    for _ in range(settings.layers):
        cell: Cell = make(features, settings.hidden)
        layers += [jaxnn.bidirectional(cell, cell), jaxnn.dropout(settings.dropout)]
        features = 2 * settings.hidden
    layers.append(jaxnn.pool_over_time("mean"))
    return Model(jaxnn.serial(*layers), jaxnn.dense(features, SPEAKERS))


def logits(
    model: Model, params: Model, xs: ArrayLike, mask: ArrayLike, key: Key | None = None
) -> Array:
    """One row for each utterance."""
    return model.head.apply(params.head, model.encoder.apply(params.encoder, xs, mask, key))


def train(
    settings: Settings,
    data: Any,
    seed: int,
    progress: bool = True,
    evaluate: Any = None,
    mesh: jax.sharding.Mesh | None = None,
) -> tuple[Model, Model, jaxnn.training.Fit]:
    """The network, its trained parameters, and how it went."""
    sequences, labels = data
    model = build(settings)
    init_key, key = jax.random.split(jax.random.key(seed))
    params = Model(
        *(part.init(k) for part, k in zip(model, jax.random.split(init_key), strict=True))
    )
    schedule = optax.schedules.warmup_cosine_decay_schedule(
        0.0, settings.learning_rate, settings.steps // 10, settings.steps
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(schedule, weight_decay=settings.weight_decay, mask=jaxnn.training.decay_mask),
    )

    def loss(params: Model, state: Any, batch: jaxnn.data.Batch, key: Key) -> Any:
        noise_key, key = jax.random.split(key)
        xs = batch.xs + settings.noise * jax.random.normal(noise_key, batch.xs.shape)
        scores = logits(model, params, xs, batch.mask, key)
        return *jaxnn.losses.cross_entropy(scores, batch.targets, batch.valid), state

    def endless() -> Iterator[jaxnn.data.Batch]:
        for epoch in itertools.count():
            yield from jaxnn.data.batches(
                sequences, labels, settings.batch_size, seed=(seed, epoch), boundaries=(LONGEST,)
            )

    result = jaxnn.training.fit(
        jaxnn.training.train_step(loss, optimizer, mesh),
        jaxnn.training.train_state(params, optimizer, key),
        endless(),
        settings.steps,
        None if evaluate is None else lambda current: evaluate(model, current.params),
        progress=progress,
    )
    # All devices hold them, and would all work on every answer.
    return model, jax.device_get(result.train_state.params), result


def predict(model: Model, params: Model, sequences: Any) -> np.ndarray:
    """The speaker of each utterance."""
    xs, mask = jaxnn.data.pad(sequences, LONGEST)
    scores = jax.jit(lambda params, xs, mask: logits(model, params, xs, mask))(params, xs, mask)
    return np.asarray(jnp.argmax(scores, axis=-1))


def normalised(train_data: Any, *others: Any) -> list[Any]:
    """Every feature with mean 0 and standard deviation 1 over the frames of the first data set."""
    frames = np.concatenate(train_data[0])
    mean, scale = frames.mean(axis=0), frames.std(axis=0)
    return [([(x - mean) / scale for x in xs], labels) for xs, labels in (train_data, *others)]


def draw(
    path: pathlib.Path, result: jaxnn.training.Fit, labels: Any, guesses: Any, title: str
) -> None:
    """The learning curve beside the confusion matrix."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from jaxnn import plot

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    plot.learning_curve(left, result.history.loss)
    left.set_title("training loss (cross-entropy, nats)")
    plot.confusion_matrix(right, labels, guesses, [str(k + 1) for k in range(SPEAKERS)])
    right.set_title(title)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Train, test, save, load again, draw."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    defaults = Settings()
    parser.add_argument("--cell", choices=CELLS, default=defaults.cell, help="recurrent cell")
    parser.add_argument(
        "--hidden", type=int, default=defaults.hidden, help="units in each direction"
    )
    parser.add_argument("--layers", type=int, default=defaults.layers, help="bidirectional layers")
    parser.add_argument(
        "--steps", type=int, default=defaults.steps, help="updates of the parameters"
    )
    parser.add_argument("--cores", type=int, help="CPU cores that share each batch; all by default")
    parser.add_argument(
        "--seed", type=int, nargs="+", default=[0], help="one or more seeds, a training each"
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path("results"),
        help="folder for weights and pictures",
    )
    parser.add_argument("--data", type=pathlib.Path, help="another copy of japanese_vowels.npz")
    args = parser.parse_args()
    mesh = jaxnn.training.cpu_mesh(args.cores)
    settings = defaults._replace(
        cell=args.cell, hidden=args.hidden, layers=args.layers, steps=args.steps
    )
    args.out.mkdir(parents=True, exist_ok=True)
    train_data, test_data = normalised(*vowels.load(args.data))
    accuracies = []
    for seed in args.seed:
        began = time.perf_counter()
        model, params, result = train(settings, train_data, seed, mesh=mesh)
        if result.stopped != "done":
            print(f"training ended early: {result.stopped}")
        guesses = predict(model, params, test_data[0])
        accuracy = float(np.mean(guesses == test_data[1]))
        seconds = time.perf_counter() - began
        stem = args.out / f"japanese_vowels_{settings.cell}_{seed}"
        weights = stem.with_suffix(".safetensors")
        jaxnn.training.save(weights, params)
        again = predict(model, jaxnn.training.load(weights, like=params), test_data[0])
        assert_same(guesses, again)
        title = f"test accuracy {accuracy:.4f} ({settings.cell}, seed {seed})"
        draw(stem.with_suffix(".png"), result, test_data[1], guesses, title)
        accuracies.append(accuracy)
        if seed == args.seed[0]:
            print(jaxnn.describe(params))
        print(f"seed {seed}: test accuracy {accuracy:.4f} in {seconds:.1f} s, compile included")
        print(f"  saved and loaded again, same answers: {weights}; picture: {stem}.png")
        if result.stopped == "interrupted":
            break
    if len(accuracies) > 1:
        print(f"mean test accuracy {np.mean(accuracies):.4f}, lowest {min(accuracies):.4f}")


def assert_same(guesses: np.ndarray, again: np.ndarray) -> None:
    """Raise where the parameters that were loaded answer otherwise than those that were saved."""
    if not np.array_equal(guesses, again):
        raise RuntimeError("the parameters that were loaded give other answers")


if __name__ == "__main__":
    main()
