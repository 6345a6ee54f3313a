"""Memory and time of a gradient against the number of steps: `python -m benchmarks.long_memory`.

An LSTM with a loss on its final state, by `cell.unroll` and by `jaxnn.remat`. Temporaries are the
compiler's; times are CPU seconds of the process, measured in turn, the best of some rounds. A plain
gradient that would take more than a gigabyte is not run. `docs/guides/long_sequences.md` has the
figures.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxnn
from benchmarks.machine import describe_machine, load_average
from benchmarks.report import machine_text

LARGEST_PLAIN = 2**30
"""Bytes of temporaries above which the plain gradient is not run."""


class Shape(NamedTuple):
    """A sequence, and the units of the cell that reads it (and of its input)."""

    time: int
    batch: int
    hidden: int


SHAPES = (
    Shape(2**10, 16, 128),
    Shape(2**12, 1, 64),
    Shape(2**14, 1, 64),
    Shape(2**17, 1, 64),
    Shape(2**20, 1, 64),
)
QUICK = (Shape(2**8, 4, 16), Shape(2**10, 1, 16))
WAYS: dict[str, Callable[[jaxnn.Cell], jaxnn.Cell]] = {
    "plain": lambda cell: cell,
    "remat": jaxnn.remat,
    "remat, levels=2": lambda cell: jaxnn.remat(cell, levels=2),
}


class Row(NamedTuple):
    """One way at one shape: bytes, and what was measured where it ran."""

    shape: Shape
    way: str
    temporaries: int
    seconds: float | None = None
    ratio: float | None = None
    error: float | None = None


def measure(shape: Shape, rounds: int) -> list[Row]:
    """Every way at a shape, asked in turn."""
    inner = jaxnn.lstm(shape.hidden, shape.hidden)
    params = inner.init(jax.random.key(0))
    size = shape.time, shape.batch, shape.hidden
    xs = jax.random.normal(jax.random.key(1), size, jnp.float32)
    programs: dict[str, Any] = {}
    for way, make in WAYS.items():
        programs[way] = _gradient(make(inner)).lower(params, xs).compile()
    takes = {way: program.memory_analysis().temp_size_in_bytes for way, program in programs.items()}
    run = [way for way in WAYS if takes[way] <= LARGEST_PLAIN]
    results = {way: jax.block_until_ready(programs[way](params, xs)) for way in run}
    best = dict.fromkeys(run, float("inf"))
    for number in range(rounds):
        for way in run if number % 2 else run[::-1]:
            began = time.process_time()
            jax.block_until_ready(programs[way](params, xs))
            best[way] = min(best[way], time.process_time() - began)
    rows = []
    for way in WAYS:
        seconds, ratio, error = best.get(way), None, None
        if seconds is not None and "plain" in best:
            ratio = seconds / best["plain"]
            error = _difference(results[way], results["plain"])
        rows.append(Row(shape, way, takes[way], seconds, ratio, error))
    return rows


def _gradient(cell: jaxnn.Cell) -> Any:
    def loss(params: Any, xs: jax.Array) -> jax.Array:
        state, _ = cell.unroll(params, xs)
        return jnp.sum(state.hidden**2)

    return jax.jit(jax.grad(loss))


def _difference(one: Any, other: Any) -> float:
    """The largest difference of two gradients, relative to the largest entry of each leaf."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in map(_arrays, pairs))


def _arrays(pair: Any) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(pair[0]), np.asarray(pair[1])


def table(rows: list[Row]) -> str:
    """Markdown."""
    lines = [
        "| T, batch, hidden | | temporaries | CPU µs a step | of plain | gradient off by |",
        "| :-- | :-- | --: | --: | --: | --: |",
    ]
    for row in rows:
        shape = ", ".join(f"{size:,}" for size in row.shape)
        step = "–" if row.seconds is None else f"{row.seconds / row.shape.time * 1e6:.1f}"
        ratio = "–" if row.ratio is None else f"{row.ratio:.2f}"
        error = "–" if row.error is None or row.way == "plain" else f"{row.error:.0e}"
        size = f"{row.temporaries / 1e6:,.1f} MB"
        lines.append(f"| {shape} | {row.way} | {size} | {step} | {ratio} | {error} |")
    return "\n".join(lines)


def main() -> None:
    """The whole table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small shapes, two rounds")
    parser.add_argument("--rounds", type=int, help="of each way (default 5, with --quick 2)")
    given = parser.parse_args()
    rounds = given.rounds or (2 if given.quick else 5)
    print(f"{machine_text(describe_machine())}\nload average before: {load_average()}\n")
    rows = [row for shape in (QUICK if given.quick else SHAPES) for row in measure(shape, rounds)]
    print(table(rows))
    print(f"\nload average after: {load_average()}")


if __name__ == "__main__":
    main()
