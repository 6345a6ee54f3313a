"""Which structure helps? Four models on MNIST-1D, in order and with its steps shuffled.

MNIST-1D (Greydanus 2020, arXiv 2011.14439): 4,000 signals of 40 steps for training and 1,000 for
the test, each the outline of a digit that was moved, stretched, sheared and made noisy. A
convolution and a recurrence rely on the order of the steps: shuffled, by one permutation for all
signals, they lose what they had. --validate trains on four fifths of the training part and reports
on the rest: so the hyperparameters were chosen, in order, and kept for shuffled steps.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import command_line
import jax
import jax.numpy as jnp
import numpy as np
import optax
from mnist_1d_data import ORDERS, PUBLISHED, draw, load

import jaxnn
from jaxnn.types import Array, Key, Layer, Params

STEPS, CLASSES, BATCH = 40, 10, 100


class Settings(NamedTuple):
    """How a model is made, and trained."""

    make: Callable[[], Layer]
    steps: int
    learning_rate: float
    weight_decay: float


def logistic() -> Layer:
    """x W + b."""
    return jaxnn.serial(jaxnn.flatten(2), jaxnn.dense(STEPS, CLASSES))


def mlp(hidden: int = 512, drop: float = 0.5) -> Layer:
    """Two hidden layers."""
    relu = jaxnn.activation(jax.nn.relu)
    first = jaxnn.flatten(2), jaxnn.dense(STEPS, hidden), relu, jaxnn.dropout(drop)
    second = jaxnn.dense(hidden, hidden), relu, jaxnn.dropout(drop)
    return jaxnn.serial(*first, *second, jaxnn.dense(hidden, CLASSES))


def cnn(features: int = 64, drop: float = 0.5) -> Layer:
    """Three convolutions, each with a pooling: 40 places become 20, 10, 5."""
    relu, layers = jaxnn.activation(jax.nn.relu), []
    for inputs in (1, features, features):
        window = jaxnn.conv(inputs, features, (5,), padding="same")
        layers += [window, relu, jaxnn.max_pool((2,))]
    head = jaxnn.dense(STEPS // 8 * features, CLASSES)
    return jaxnn.serial(*layers, jaxnn.flatten(2), jaxnn.dropout(drop), head)


def gru(hidden: int = 32, drop: float = 0.2) -> Layer:
    """A bidirectional GRU, the largest of each output over time, and a dense layer."""
    parts = jaxnn.bidirectional(jaxnn.gru(1, hidden)), jaxnn.dropout(drop)
    encoder, head = jaxnn.serial(*parts), jaxnn.dense(2 * hidden, CLASSES)

    def init(key: Key) -> Params:
        encoder_key, head_key = jax.random.split(key)
        return encoder.init(encoder_key), head.init(head_key)

    def apply(params: Params, x: Any, mask: Any = None, key: Key | None = None) -> Array:
        ys = encoder.apply(params[0], jnp.swapaxes(x, 0, 1), key=key)
        return head.apply(params[1], jnp.max(ys, axis=0))

    return Layer(init, apply)


MODELS = {
    "logistic": Settings(logistic, 1500, 1e-2, 0.0),
    "mlp": Settings(mlp, 3000, 2e-3, 0.1),
    "cnn": Settings(cnn, 2000, 5e-3, 0.1),
    "gru": Settings(gru, 1500, 1e-2, 0.1),
}


def train(settings: Settings, data: Any, steps: int, seed: int) -> tuple[Layer, Params]:
    """The model and its parameters."""
    model = settings.make()
    init_key, key = jax.random.split(jax.random.key(seed))
    schedule = optax.schedules.cosine_decay_schedule(settings.learning_rate, steps)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(schedule, weight_decay=settings.weight_decay, mask=jaxnn.training.decay_mask),
    )

    def loss(params: Params, state: Any, batch: Any, key: Key) -> Any:
        x, labels = batch
        return *jaxnn.losses.cross_entropy(model.apply(params, x, key=key), labels), state

    def batches() -> Iterator[Any]:
        rng = np.random.default_rng(seed)
        while True:
            for rows in rng.permutation(len(data[1])).reshape(-1, BATCH):
                yield tuple(array[rows] for array in data)

    first = jaxnn.training.train_state(model.init(init_key), optimizer, key)
    result = jaxnn.training.fit(jaxnn.training.train_step(loss, optimizer), first, batches(), steps)
    return model, result.train_state.params


def main() -> None:
    """Train every model in both orders, test, draw."""
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=list(MODELS), help="which are trained"
    )
    parser.add_argument(
        "--steps",
        type=command_line.positive,
        default=argparse.SUPPRESS,
        help="updates of the parameters (default: each model's own number)",
    )
    parser.add_argument(
        "--validate",
        action="store_true",
        help="measure on a part of the training set, not on the test set",
    )
    args = parser.parse_args()
    command_line.need("matplotlib", "tqdm")
    part = "validation" if args.validate else "test"
    data = [load(order == "shuffled", args.validate) for order in ORDERS]
    accuracies: dict[str, list[float]] = {}
    for name in args.models:
        began = time.perf_counter()
        steps = getattr(args, "steps", MODELS[name].steps)
        for training, (x, labels) in data:
            model, params = train(MODELS[name], training, steps, args.seed)
            right = np.asarray(jnp.argmax(model.apply(params, x), axis=-1)) == labels
            accuracies.setdefault(name, []).append(100 * float(right.mean()))
        seconds = time.perf_counter() - began
        ours = " / ".join(f"{value:.1f}" for value in accuracies[name])
        published = " / ".join(map(str, PUBLISHED[name]))
        print(f"{name}: {part} {ours} % in order / shuffled (published {published}), "
              f"seed {args.seed}, {steps} steps, {seconds:.0f} s")  # fmt: skip
    draw(args.out / "mnist_1d.png", [training for training, _ in data], accuracies, part)


if __name__ == "__main__":
    main()
