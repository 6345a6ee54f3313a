"""An image read pixel by pixel, its label at the end: linear recurrences beside LSTM and GRU.

The digits that come with scikit-learn, 64 steps, or with --data Fashion-MNIST, 784 steps; row by
row, and by one permutation of the steps that is the same for all images. Every cell stands in the
same network, with about as many parameters: a dense layer, two residual blocks (layer norm, cell,
GELU, dropout, dense layer) and a layer norm, the mean over time and a dense layer. Each learning
rate is trained with each seed, all at once; the rate with the best mean accuracy on a validation
part of the training set is taken, and its runs are tested, once.
"""

import argparse
import functools
import operator
import pathlib
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import residual_blocks
import spread
from command_line import need, training_parser
from ensemble import keys, train
from image_data import FASHION, SOURCE
from sequential_image_data import ORDERS, Sequences, draw, load

import jaxnn
from jaxnn.types import Array, Key, Params

BATCH, WIDTH, DEPTH, PARAMETERS, CLASSES = 32, 24, 2, 8_000, 10
RATES = 3e-3, 1e-2


class Result(NamedTuple):
    """In one order: the learning rate that was found, the test scores `(seeds,)` in percent, the
    losses `(seeds, steps)`."""

    rate: float
    scores: np.ndarray
    losses: np.ndarray


def network(cell: str, size: int) -> Any:
    """One cell in the network that all share."""
    make = residual_blocks.CELLS[cell]
    body = residual_blocks.blocks(make, size, 1, WIDTH, DEPTH, dropout=0.1)
    mean = jaxnn.pool_over_time("mean")
    return jaxnn.serial(jaxnn.as_layer(body), mean, jaxnn.dense(WIDTH, CLASSES))


@functools.partial(jax.jit, static_argnums=0)
def accuracy(model: Any, params: Params, order: int, data: Sequences) -> Array:
    """The percentage of right answers of one run, some images at a time."""

    def right(one: tuple[Array, Array]) -> Array:
        x, label = one
        return jnp.argmax(model.apply(params, x)) == label

    return 100 * jax.lax.map(right, (data.xs[order], data.labels), batch_size=120).mean()


def compare(title: str, model: Any, parts: tuple[Sequences, ...], args: Any) -> list[Result]:
    """Train in every order, with every learning rate and every seed; choose the rate of each order
    on validation; test."""
    training, valid, test = (jax.tree.map(jnp.asarray, part) for part in parts)

    def optimizer_of(rate: Any) -> optax.GradientTransformation:
        warm = max(1, args.steps // 20)
        schedule = optax.schedules.warmup_cosine_decay_schedule(0.0, 1.0, warm, args.steps)
        decay = optax.scale_by_schedule(schedule)
        return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate), decay)

    optimizer = optax.inject_hyperparams(optimizer_of)(0.0)

    def loss(params: Params, order: Array, data: Sequences, key: Key) -> Any:
        rows_key, key = jax.random.split(key)
        rows = jax.random.randint(rows_key, (BATCH,), 0, len(data.labels))
        logits = model.apply(params, jnp.swapaxes(data.xs[order, rows], 0, 1), key=key)
        return *jaxnn.losses.cross_entropy(logits, data.labels[rows]), order

    def start(order: Array, rate: Array, key: Key) -> jaxnn.training.TrainState:
        first = jaxnn.training.train_state(model.init(key), optimizer, key, order)
        first.opt_state.hyperparams["rate"] = rate
        return first

    grid = len(ORDERS), len(RATES), args.seeds
    order, rate, seed = (index.ravel() for index in np.indices(grid))
    each = jnp.asarray(order), jnp.array(RATES)[rate], keys(args.seed, args.seeds)[seed]
    step = jaxnn.training.train_step(loss, optimizer)
    current, metrics, _ = train(step, start, each, args.steps, training, title=title)

    def scores(runs: np.ndarray, data: Sequences) -> np.ndarray:
        each = (jax.tree.map(operator.itemgetter(run), current.params) for run in runs)
        found = [
            accuracy(model, params, order[run], data)
            for run, params in zip(runs, each, strict=True)
        ]
        return np.array(found)

    valid_scores = scores(np.arange(order.size), valid).reshape(grid)
    results = []
    for which, best in enumerate(valid_scores.mean(axis=-1).argmax(axis=-1)):
        runs = np.flatnonzero((order == which) & (rate == best))
        results.append(Result(RATES[best], scores(runs, test), metrics.loss[runs]))
    return results


def main() -> None:
    """Every cell in both orders; the table; the picture."""
    parser = training_parser(__doc__, steps=1000, seeds=3)
    some: dict[str, Any] = {"nargs": "+", "metavar": "NAME", "choices": residual_blocks.CELLS}
    help = f"which cells are compared, of {', '.join(residual_blocks.CELLS)}"
    parser.add_argument(
        "--cells", default=["lru", "s5", "min_gru", "gru", "lstm"], help=help, **some
    )
    parser.add_argument("--data", type=pathlib.Path, default=FASHION, help=SOURCE)
    args: argparse.Namespace = parser.parse_args()
    need("matplotlib", "tqdm")
    data, *parts = load(args.data)
    sizes = " + ".join(str(len(part.labels)) for part in parts)
    print(f"{data}: {parts[0].xs.shape[2]} steps; {sizes} images for training, validation, test")
    results: dict[str, list[Result]] = {}
    for cell in args.cells:
        began = time.perf_counter()
        model = residual_blocks.largest(functools.partial(network, cell), PARAMETERS)
        results[cell] = compare(cell, model, tuple(parts), args)
        seconds = time.perf_counter() - began
        print(f"{cell}: {residual_blocks.count(model)} parameters, {seconds:.0f} s")
        for order, result in zip(ORDERS, results[cell], strict=True):
            median, low, high = spread.median_and_range(result.scores)
            print(
                f"  {order:<8} {median:.1f} % ({low:.1f} to {high:.1f}), rate {result.rate}",
                flush=True,
            )
    draw(args.out / "sequential_images.png", parts[0], results)


if __name__ == "__main__":
    main()
