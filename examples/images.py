"""A convolutional network that tells images apart: clothes where they are there, else digits.

With Debian's package dataset-fashion-mnist (or --data) it learns Fashion-MNIST: 60,000 images of
clothes for training, 10,000 for the test, 28 x 28 (Xiao et al. 2017, arXiv 1708.07747). Otherwise
the 1,797 digits, 8 x 8, that come with scikit-learn, of which one split, always the same, keeps 360
for the test. --validate trains on five sixths of the training part and reports on the rest: so the
hyperparameters were chosen.
"""

import argparse
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import command_line
import drawing
import image_data
import jax
import jax.numpy as jnp
import numpy as np
import optax
from image_data import Images

import jaxnn
from jaxnn import plot
from jaxnn.types import Array, ArrayLike, Key, Layer, Params

BATCH = 64


def build(size: int) -> Layer:
    """Twice two convolutions and a pooling, then two dense layers, for images size x size."""
    relu, layers, features = jaxnn.activation(jax.nn.relu), [], 1
    for wider in (32, 64):
        layers += [jaxnn.conv(features, wider, (3, 3), padding="same"), relu]
        layers += [jaxnn.conv(wider, wider, (3, 3), padding="same"), relu]
        layers += [jaxnn.max_pool((2, 2)), jaxnn.dropout(0.25)]
        features, size = wider, size // 2
    head = jaxnn.dense(size * size * features, 128), relu, jaxnn.dropout(0.5), jaxnn.dense(128, 10)
    return jaxnn.serial(*layers, jaxnn.flatten(3), *head)


def train(model: Layer, data: Images, steps: int, seed: int) -> jaxnn.training.Fit:
    """AdamW on random batches, whose images are moved by up to one pixel."""
    init_key, key = jax.random.split(jax.random.key(seed))
    schedule = optax.schedules.warmup_cosine_decay_schedule(0.0, 2e-3, steps // 10, steps)
    optimizer = optax.adamw(schedule, weight_decay=1e-2, mask=jaxnn.training.decay_mask)

    def loss(params: Params, state: Any, batch: Images, key: Key) -> Any:
        move_key, key = jax.random.split(key)
        images = moved(batch.images, move_key)
        logits = model.apply(params, images, key=key)
        return *jaxnn.losses.cross_entropy(logits, batch.labels), state

    def batches() -> Iterator[Images]:
        rng = np.random.default_rng(seed)
        while True:
            order = rng.permutation(len(data.labels))
            yield from map(data.part, order[: len(order) // BATCH * BATCH].reshape(-1, BATCH))

    return jaxnn.training.fit(
        jaxnn.training.train_step(loss, optimizer),
        jaxnn.training.train_state(model.init(init_key), optimizer, key),
        batches(),
        steps,
    )


def moved(images: ArrayLike, key: Key) -> Array:
    """Each image shifted by −1, 0 or 1 pixel in both directions; zeros come in at the edge."""
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    starts = jnp.pad(jax.random.randint(key, (len(images), 2), 0, 3), ((0, 0), (0, 1)))
    return jax.vmap(lambda image, at: jax.lax.dynamic_slice(image, at, images.shape[1:]))(
        padded, starts
    )


def predict(model: Layer, params: Params, images: np.ndarray) -> np.ndarray:
    """The logits, a thousand images at a time."""
    apply = jax.jit(model.apply)
    parts = [apply(params, images[i : i + 1000]) for i in range(0, len(images), 1000)]
    return np.concatenate(parts)


def draw(
    path: pathlib.Path, losses: list[float], test: Images, logits: np.ndarray, names: Any, what: str
) -> None:
    """The learning curve, the confusion matrix, and the nine images that it found hardest."""
    from matplotlib.figure import Figure

    guesses = logits.argmax(-1)
    figure: Any = Figure(figsize=(15, 4.6), layout="constrained")
    left, middle, right = figure.subfigures(1, 3, width_ratios=(1, 1.15, 1))
    axes = left.subplots()
    plot.learning_curve(axes, losses)
    axes.set_title("training loss (cross-entropy, nats)")
    axes = middle.subplots()
    plot.confusion_matrix(axes, test.labels, guesses, names)
    axes.tick_params(axis="x", rotation=0 if len(names[0]) == 1 else 60)
    axes.set_title(what)
    truth = np.asarray(jax.nn.softmax(logits))[np.arange(len(guesses)), test.labels]
    right.suptitle("the hardest: truth, its probability, [guess]")
    for panel, k in zip(right.subplots(3, 3).flat, np.argsort(truth), strict=False):
        panel.axis("off")
        panel.imshow(test.images[k, ..., 0], cmap="gray_r")
        wrong = f" [{names[guesses[k]]}]" if guesses[k] != test.labels[k] else ""
        panel.set_title(f"{names[test.labels[k]]}, {100 * truth[k]:.0f} %{wrong}", fontsize=9)
    drawing.save(figure, path)


def main() -> None:
    """Load, train, test, draw."""
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--data", type=pathlib.Path, default=image_data.FASHION, help=image_data.SOURCE
    )
    parser.add_argument(
        "--steps",
        type=command_line.positive,
        default=argparse.SUPPRESS,
        help="updates of the parameters (default: 9000 on clothes, 1500 on digits)",
    )
    parser.add_argument(
        "--validate",
        action="store_true",
        help="measure on a part of the training set, not on the test set",
    )
    args = parser.parse_args()
    command_line.need("matplotlib", "tqdm")
    name, names, training, test = image_data.load(args.data)
    steps = getattr(args, "steps", 1500 if name == "digits" else 9000)
    if args.validate:
        cut = len(training.labels) * 5 // 6
        training, test = training.part(slice(cut)), training.part(slice(cut, None))
    if len(training.labels) < BATCH:
        command_line.stop(f"{len(training.labels)} images for training: fewer than one batch")
    began = time.perf_counter()
    model = build(training.images.shape[1])
    result = train(model, training, steps, args.seed)
    logits = predict(model, result.train_state.params, test.images)
    seconds = time.perf_counter() - began
    right = 100 * np.mean(logits.argmax(-1) == test.labels)
    part = "validation" if args.validate else "test"
    what = f"{part} accuracy {right:.2f} % of {len(test.labels)} images"
    print(f"{name}, seed {args.seed}: {what}, {steps} steps in {seconds:.0f} s")
    draw(args.out / f"images_{name}.png", result.history.loss, test, logits, names, what)


if __name__ == "__main__":
    main()
