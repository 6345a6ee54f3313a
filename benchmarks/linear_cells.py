"""The minimal GRU beside the LSTM and beside its peers: `python -m benchmarks.linear_cells`.

Train steps (value_and_grad of mean(y²), SGD) at long sequences, each contestant in a process of its
own, asked in turn, round after round; then trace and compile of one train step, in fresh processes;
then the values, of the same weights, against a loop in float64. `--quick` does one shape, with
fewer rounds. Close what else runs.

    pip install -e '.[peers]' memax memorax
"""

import argparse
import contextlib
import statistics
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxnn
from benchmarks.contestants import JAXNN, LINEN, MEMAX, MEMORAX
from benchmarks.contestants.jax_tasks import data
from benchmarks.race import Worker, ask, in_turn, start
from benchmarks.workloads import Workload

SHAPES = ((1024, 16, 128), (16384, 1, 64))
"""(time, batch, features), of x and of the state."""
OURS = JAXNN, "min_gru"
RUNNERS = (OURS, (JAXNN, "lstm"), (LINEN, "lstm"), (MEMAX, "min_gru"), (MEMORAX, "min_gru"))
"""Whose what."""


def workload(kind: str, cell: str, shape: tuple[int, int, int]) -> Workload:
    """Of one shape, with as many features in as out."""
    time, batch, size = shape
    return Workload(kind, kind, kind, cell, batch, time, size, size)


@contextlib.contextmanager
def running(kind: str, shape: tuple[int, int, int]) -> Iterator[dict[str, Worker]]:
    """A process for each of those that are there, with its name."""
    with contextlib.ExitStack() as stack:
        there = {}
        for contestant, cell in RUNNERS:
            name = f"{contestant} {cell}"
            worker = stack.enter_context(start(contestant, workload(kind, cell, shape)))
            first = worker.receive()
            if "missing" in first:
                print(f"    {name}: {first['missing']}")
            else:
                there[name] = worker
        yield there


def times(shape: tuple[int, int, int], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Of each the time of a train step, in each round."""
    found: dict[str, list[float]] = {}
    with running("train", shape) as workers:
        calls = {name: ask(w, {"seconds": seconds})["calls"] for name, w in workers.items()}
        for number in range(rounds):
            for name in in_turn([*workers], number):
                value = ask(workers[name], {"calls": calls[name]})["value"]
                found.setdefault(name, []).append(value)
    return found


def compiles(shape: tuple[int, int, int], rounds: int) -> dict[str, float]:
    """Of each the time to trace and compile a train step."""
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for contestant, cell in RUNNERS:
            with start(contestant, workload("compile", cell, shape)) as worker:
                if "missing" not in worker.receive():
                    value = ask(worker, {"calls": 1})["value"]
                    found.setdefault(f"{contestant} {cell}", []).append(value)
    return {name: statistics.median(values) for name, values in found.items()}


def errors(shape: tuple[int, int, int]) -> dict[str, float]:
    """Of the states of each the largest error, relative to the largest entry, with equal weights.

    memorax has g(n) in the place of n, where g(n) = n + 1/2 for n ≥ 0, and σ(n) below: it is judged
    by that, beside jaxnn's recurrence of the same.
    """
    given = workload("forward", "min_gru", shape)
    xs, size = data(given), given.hidden
    cell = jaxnn.min_gru(size, size, bias=False)
    params = cell.init(jax.random.key(0))
    kernel = np.asarray(params.input_kernel, np.float64)
    z = 1 / (1 + np.exp(-(xs @ kernel[:, 0])))
    n = xs @ kernel[:, 1]
    positive = np.where(n >= 0, n + 0.5, 1 / (1 + np.exp(-n)))
    exact, exact_positive = _loop(z, n), _loop(z, positive)
    found = {f"{JAXNN} min_gru": _error(jax.jit(cell.unroll)(params, xs)[1], exact)}

    def with_positive(xs: Any) -> Any:
        z, n = (xs @ params.input_kernel[:, gate] for gate in (0, 1))
        n = jnp.where(n >= 0, n + 0.5, jax.nn.sigmoid(n))
        return jaxnn.linear_recurrence(jax.nn.sigmoid(-z), jax.nn.sigmoid(z) * n)[1]

    found[f"{JAXNN} linear_recurrence of g(n)"] = _error(jax.jit(with_positive)(xs), exact_positive)
    with contextlib.suppress(ImportError):
        import equinox as eqx

        from benchmarks.contestants import with_memax

        theirs = with_memax.network(given)
        leaves = lambda model: (model.z.weight, model.n.weight, model.z.bias, model.n.bias)  # noqa: E731
        zeros = jnp.zeros(size)
        same = (params.input_kernel[:, 0].T, params.input_kernel[:, 1].T, zeros, zeros)
        same = eqx.tree_at(leaves, theirs.params, same)
        found[f"{MEMAX} min_gru"] = _error(jax.jit(theirs.apply)(same, xs), exact)
    with contextlib.suppress(ImportError):
        from benchmarks.contestants import with_memorax

        theirs = with_memorax.network(given)
        kernels = {"z": params.input_kernel[:, 0], "h": params.input_kernel[:, 1]}
        same = {"params": {"cell": {name: {"kernel": k} for name, k in kernels.items()}}}
        ys = jax.jit(theirs.apply)(same, xs.swapaxes(0, 1)).swapaxes(0, 1)
        found[f"{MEMORAX} min_gru of g(n)"] = _error(ys, exact_positive)
    return found


def _loop(z: np.ndarray, n: np.ndarray) -> np.ndarray:
    """h' = (1 − z)∘h + z∘n, in float64."""
    h, states = np.zeros(z.shape[1:]), []
    for a, b in zip(1 - z, z * n, strict=True):
        h = a * h + b
        states.append(h)
    return np.stack(states)


def _error(states: Any, exact: np.ndarray) -> float:
    return float(np.abs(np.asarray(states, np.float64) - exact).max() / np.abs(exact).max())


def main() -> None:
    """A table a shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the first shape, with 3 rounds")
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each (default 9)")
    parser.add_argument("--seconds", type=float, default=0.3, help="each takes about so long")
    given = parser.parse_args()
    rounds = 3 if given.quick else given.rounds
    ours = " ".join(OURS)
    for shape in SHAPES[:1] if given.quick else SHAPES:
        print(f"time, batch, features = {shape}", flush=True)
        found = times(shape, rounds, given.seconds)
        seconds = compiles(shape, max(1, rounds // 3))
        print(
            f"    {'train step':24}{'median ms':>12}{'min_gru / it':>14}{'compile s':>12}",
            flush=True,
        )
        for name, values in found.items():
            median = statistics.median(values)
            ratio = statistics.median(found[ours]) / median
            print(f"    {name:24}{1e3 * median:12.2f}{ratio:14.3f}{seconds[name]:12.2f}")
        print("    largest error of the states against float64, relative to the largest")
        for name, error in errors(shape).items():
            print(f"    {name:36}{error:12.1e}", flush=True)


if __name__ == "__main__":
    main()
