"""What must choose what it remembers: symbols among blanks, said again in order at the end.

Selective copying (Gu & Dao 2023, arXiv 2312.00752), small enough for two cores. A minimal GRU in
three residual blocks, whose gates see the input, stands beside an LRU in the same blocks, which
treats every step alike, and a plain LSTM: all with about as many parameters, the same updates and
the same learning rate. --cells also takes the LSTM or another cell in the blocks.
"""

import argparse
import functools
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import drawing
import jax
import memory_tasks
import numpy as np
import optax
import residual_blocks
import spread
from command_line import above_zero, need, positive, training_parser
from ensemble import keys, train

import jaxnn
from jaxnn.types import Array, Cell, Key, Params

BATCH, SYMBOLS, WIDTH, DEPTH, PARAMETERS, TESTED = 32, 8, 32, 3, 20_000, 1000
FEATURES = SYMBOLS + 2


def plain(size: int) -> Cell:
    """One LSTM and a dense layer."""
    return jaxnn.stack(jaxnn.lstm(FEATURES, size), jaxnn.dense(size, SYMBOLS))


def deep(cell: str, size: int) -> Cell:
    """Residual blocks and a dense layer."""
    body = residual_blocks.blocks(residual_blocks.CELLS[cell], size, FEATURES, WIDTH, DEPTH)
    return jaxnn.stack(body, jaxnn.dense(WIDTH, SYMBOLS))


NETWORKS: dict[str, Callable[[int], Cell]] = {
    "plain lstm": plain,
    **{name: functools.partial(deep, name) for name in residual_blocks.CELLS},
}


class Result(NamedTuple):
    """The percentages of right symbols in the test `(seeds,)`, and the losses `(seeds, steps)`."""

    scores: np.ndarray
    losses: np.ndarray


def learn(title: str, model: Cell, args: argparse.Namespace) -> Result:
    """Train with every seed, all at once, on fresh sequences; test on others."""
    sample = functools.partial(
        memory_tasks.selective_copy, time=args.time, length=args.length, symbols=SYMBOLS
    )
    schedule = optax.schedules.warmup_cosine_decay_schedule(
        0.0, args.rate, max(1, args.steps // 20), args.steps
    )
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))

    def loss(params: Params, state: Any, batch: Any, key: Key) -> Any:
        task = sample(key, BATCH)
        _, ys = model.unroll(params, task.xs)
        return *jaxnn.losses.cross_entropy(ys, task.targets, task.counts), state

    def start(key: Key) -> jaxnn.training.TrainState:
        return jaxnn.training.train_state(model.init(key), optimizer, key)

    @jax.jit
    def score(params: Params, task: memory_tasks.Task) -> Array:
        def of_run(params: Params) -> Array:
            _, ys = model.unroll(params, task.xs)
            right, weight = jaxnn.losses.accuracy(ys, task.targets, task.counts)
            return 100 * right / weight

        return jax.lax.map(of_run, params)

    step = jaxnn.training.train_step(loss, optimizer)
    current, metrics, _ = train(
        step, start, (keys(args.seed, args.seeds),), args.steps, title=title
    )
    test = sample(jax.random.key(2**31 - 1), TESTED)
    return Result(np.asarray(score(current.params, test)), metrics.loss)


def draw(path: pathlib.Path, results: dict[str, Result], args: argparse.Namespace) -> None:
    """A sequence; the loss of each seed; what is right in the test."""
    figure, (left, middle, right) = drawing.panels(3, widths=(1.2, 1, 0.8))
    task = memory_tasks.selective_copy(jax.random.key(0), 1, args.time, args.length, SYMBOLS)
    left.imshow(task.xs[:, 0].T, aspect="auto", cmap="Greys", interpolation="nearest")
    left.set(title="a sequence: what comes in", xlabel="step", yticks=range(FEATURES))
    left.set_yticklabels([*(f"symbol {k}" for k in range(SYMBOLS)), "blank", "say them"])
    for row, (name, result) in enumerate(results.items()):
        color = spread.COLORS[row]
        spread.curves(middle, result.losses, name, color)
        right.plot(result.scores, np.full(len(result.scores), row), "o", color=color, alpha=0.5)
    middle.axhline(np.log(SYMBOLS), color="black", linestyle=":", linewidth=0.8)
    middle.set(title="training loss", xlabel="update", ylabel="nats a symbol")
    middle.legend(frameon=False)
    right.axvline(100 / SYMBOLS, color="black", linestyle=":", linewidth=0.8)
    right.set(title="test, every seed", xlabel="% of the symbols right", xlim=(0, 102))
    right.set(yticks=range(len(results)), yticklabels=list(results), ylim=(len(results), -1))
    drawing.save(figure, path)


def main() -> None:
    """Every network; the table; the picture."""
    parser = training_parser(__doc__, steps=1500, seeds=3)
    parser.add_argument("--time", type=positive, default=200, help="steps before the answer")
    parser.add_argument("--length", type=positive, default=4, help="symbols to be remembered")
    parser.add_argument("--rate", type=above_zero, default=1e-2, help="largest learning rate")
    help = f"which networks are compared, of {', '.join(NETWORKS)}"
    some: dict[str, Any] = {"nargs": "+", "metavar": "NAME", "choices": NETWORKS, "help": help}
    parser.add_argument("--cells", default=["min_gru", "lru", "plain lstm"], **some)
    args = parser.parse_args()
    need("matplotlib", "tqdm")
    if args.length > args.time:
        parser.error(f"--length must be at most --time, {args.time}, got {args.length}")
    print(f"{args.length} of {args.time} steps; a guess: {100 / SYMBOLS} % right")
    results = {}
    for name in args.cells:
        began, model = time.perf_counter(), residual_blocks.largest(NETWORKS[name], PARAMETERS)
        results[name] = learn(name, model, args)
        median, low, high = spread.median_and_range(results[name].scores)
        print(
            f"{name:<11} {median:.1f} % ({low:.1f} to {high:.1f}), "
            f"{residual_blocks.count(model)} parameters, {time.perf_counter() - began:.0f} s",
            flush=True,
        )
    draw(args.out / "selective_copy.png", results, args)


if __name__ == "__main__":
    main()
