"""Learning forward in time beside backpropagation: `python -m benchmarks.online_learning`.

The gradient of a sum of squares along one sequence of 4 features, by `jax.grad` of `unroll` and by
`jaxnn.online`: the relative L2 difference of the two, microseconds of CPU a step (the best of
several rounds, in turn), and the compiled temporaries at this length and at a million steps, which
is compiled and not run. Close what else runs.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import jaxnn
from jaxnn.types import Array, Cell, Key

FEATURES, LONG = 4, 10**6


def indrnn(units: int) -> Cell[Any, Any]:
    """h' = relu(x U + u∘h + b), whose recurrence is diagonal (Li et al. 2018, arXiv 1803.04831)."""

    def init(key: Key) -> dict[str, Array]:
        kernel_key, key = jax.random.split(key)
        return {
            "kernel": jax.random.normal(kernel_key, (FEATURES, units)) / 2,
            "recurrent": jax.random.uniform(key, (units,), minval=0.9, maxval=1.0),
            "bias": jnp.zeros(units),
        }

    return jaxnn.split_cell(
        init,
        lambda params, x: x @ params["kernel"] + params["bias"],
        lambda params, h: h * params["recurrent"],
        lambda params, projected, mixed, h: jax.nn.relu(projected + mixed),
        lambda params, batch_shape=(): jnp.zeros((*batch_shape, units)),
        output=lambda h: h,
    )


CASES: dict[str, tuple[Callable[[], Cell[Any, Any]], tuple[str, ...]]] = {
    "elman 16": (lambda: jaxnn.elman(FEATURES, 16), ("exact", "unit", "uoro")),
    "gru 16": (lambda: jaxnn.gru(FEATURES, 16), ("exact", "unit", "uoro")),
    "lstm 16": (lambda: jaxnn.lstm(FEATURES, 16), ("exact", "unit", "uoro")),
    "indrnn 16": (lambda: indrnn(16), ("exact", "unit", "uoro")),
    "indrnn 128": (lambda: indrnn(128), ("unit", "uoro")),
}


def half_square(y: Array, target: Array) -> Array:
    """The loss of one step."""
    return jnp.sum(jnp.square(y - target)) / 2


def programs(cell: Cell[Any, Any], methods: tuple[str, ...]) -> dict[str, Callable[..., Any]]:
    """The gradient by each way, of `(params, xs, targets)`."""

    def backward(params: Any, xs: Array, targets: Array) -> Any:
        def loss(params: Any) -> Array:
            return jnp.sum(jnp.square(cell.unroll(params, xs)[1] - targets)) / 2

        return jax.grad(loss)(params)

    def forward(method: Any) -> Callable[..., Any]:
        learner = jaxnn.online(cell, method)

        def gradient(params: Any, xs: Array, targets: Array) -> Any:
            key = jax.random.key(1) if method == "uoro" else None
            first = cell.initial_state(params), learner.init(params, (), key)
            return learner.unroll(params, xs, targets, half_square, *first).gradient

        return gradient

    return {"bptt": backward, **{method: forward(method) for method in methods}}


def compiled(program: Callable[..., Any], cell: Cell[Any, Any], steps: int) -> Any:
    """A program for so many steps."""
    params = jax.eval_shape(cell.init, jax.random.key(0))
    features = params[0] if isinstance(params, tuple) else params["kernel"]
    units = features.shape[-1]
    shapes = [jax.ShapeDtypeStruct((steps, size), jnp.float32) for size in (FEATURES, units)]
    return jax.jit(program).lower(params, *shapes).compile()


def difference(found: Any, right: Any) -> float:
    """The relative L2 difference of two gradients."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(right), strict=True)
    squares = sum(float(jnp.sum(jnp.square(a - b))) for a, b in pairs)
    return (squares / sum(float(jnp.sum(jnp.square(b))) for b in jax.tree.leaves(right))) ** 0.5


def seconds(run: Callable[..., Any], given: tuple[Any, ...], best: float) -> float:
    """The CPU seconds of one call, or the best so far."""
    began = time.process_time()
    jax.block_until_ready(run(*given))
    return min(best, time.process_time() - began)


def main() -> None:
    """A table: a line for each cell and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1600, help="length (default 1600)")
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each (default 7)")
    parser.add_argument("--only", nargs="*", default=[""], help="cases begin with one of these")
    given = parser.parse_args()
    head = f"{'':12}{'way':8}{'difference':>12}{'µs a step':>12}{'bytes':>12}{f'at {LONG:,}':>16}"
    print(head, flush=True)
    for name, (make, methods) in CASES.items():
        if not name.startswith(tuple(given.only)):
            continue
        cell = make()
        params = cell.init(jax.random.key(0))
        keys, units = jax.random.split(jax.random.key(1)), int(name.split()[1])
        xs = jax.random.normal(keys[0], (given.steps, FEATURES))
        arguments = params, xs, jax.random.normal(keys[1], (given.steps, units))
        ways = programs(cell, methods)
        runs = {way: compiled(program, cell, given.steps) for way, program in ways.items()}
        results = {way: run(*arguments) for way, run in runs.items()}
        times = dict.fromkeys(runs, float("inf"))
        for _ in range(given.rounds):
            times = {way: seconds(run, arguments, times[way]) for way, run in runs.items()}
        for way, run in runs.items():
            apart = f"{difference(results[way], results['bptt']):.1e}" if way != "bptt" else ""
            took = run.memory_analysis().temp_size_in_bytes
            long = compiled(ways[way], cell, LONG).memory_analysis().temp_size_in_bytes
            rest = f"{1e6 * times[way] / given.steps:12.2f}{took:12,}{long:16,}"
            print(f"{name:12}{way:8}{apart:>12}{rest}", flush=True)


if __name__ == "__main__":
    main()
