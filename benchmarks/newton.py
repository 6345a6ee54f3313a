"""Newton over time against the scan: `python -m benchmarks.newton`.

For cells at their default initialisation, and with the recurrent kernel multiplied by a gain: the
sweeps, the residual, whether it converged, how far the outputs are from those of `unroll`, and the
largest relative difference of the gradient. `--time` also runs both in turn, in CPU seconds of this
process, and prints the ratio. All in float32.
"""

import argparse
import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import jaxnn

KINDS = {"elman": jaxnn.elman, "gru": jaxnn.gru, "lstm": jaxnn.lstm}
FEATURES = 8


class Case(NamedTuple):
    """A cell, how it is solved, and over how many steps."""

    kind: str
    hidden: int
    steps: int
    gain: float
    method: str


def loss(cell: Any, params: Any, xs: jax.Array) -> jax.Array:
    """Of all outputs and the final state."""
    state, ys = cell.unroll(params, xs)
    return jnp.sum(ys**2) + sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(state))


def largest_difference(tree: Any, other: Any) -> float:
    """The largest difference of two trees, relative to the largest entry of each leaf."""

    def of_leaf(a: jax.Array, b: jax.Array) -> float:
        return float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b)))

    return max(map(of_leaf, jax.tree.leaves(tree), jax.tree.leaves(other)))


def in_turn(functions: list[Callable[[], Any]], rounds: int = 5) -> list[float]:
    """The least CPU time of each, in seconds."""
    times = [[] for _ in functions]
    for _ in range(rounds):
        for found, function in zip(times, functions, strict=True):
            begin = time.process_time()
            jax.block_until_ready(function())
            found.append(time.process_time() - begin)
    return [min(found) for found in times]


def report(case: Case, timed: bool) -> str:
    """One line of the table."""
    cell = KINDS[case.kind](FEATURES, case.hidden)
    params = cell.init(jax.random.key(0))
    params = params._replace(recurrent_kernel=params.recurrent_kernel * case.gain)
    xs = jax.random.normal(jax.random.key(1), (case.steps, FEATURES))
    solved = jaxnn.solve(cell, case.method)
    found, (_, ys) = jaxnn.solution(solved, params, xs), cell.unroll(params, xs)
    off = float(jnp.max(jnp.abs(found.ys - ys)))
    slopes = [
        jax.jit(jax.grad(functools.partial(loss, each), (0, 1)))(params, xs)
        for each in (solved, cell)
    ]
    finite = all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(slopes[1]))
    gradient = f"{largest_difference(*slopes):9.1e}" if finite else "   is inf"
    line = (
        f"{case.kind:6} {case.hidden:6} {case.steps:6} {case.gain:5} {case.method:7}"
        f"{int(found.sweeps):7} {float(found.residual):9.1e} {bool(found.converged)!s:>10}"
        f" {off:9.1e} {gradient}"
    )
    if not timed:
        return line
    runs = [functools.partial(each.unroll, params, xs) for each in (solved, cell)]
    mine, scan = in_turn([lambda run=run: run() for run in runs])
    return f"{line} {1e3 * scan:9.2f} {1e3 * mine:9.2f} {mine / scan:7.1f}"


def cases() -> list[Case]:
    """At default initialisation, every method; with a gain, what is chaotic."""
    plain = [
        Case(kind, hidden, steps, 1.0, method)
        for method in ("full", "unit")
        for kind in KINDS
        for hidden in (16, 64)
        for steps in (512, 4096)
    ]
    chaotic = [
        Case(kind, 16, 512, gain, method)
        for method in ("full", "unit")
        for kind in KINDS
        for gain in (0.5, 2.0, 3.0, 5.0)
    ]
    return plain + chaotic


def main() -> None:
    """One line a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--time", action="store_true", help="CPU milliseconds of both, in turn")
    parser.add_argument("--only", nargs="*", default=list(KINDS), help="kinds of cells")
    parser.add_argument("--hidden", type=int, nargs="*", default=[16, 64], help="sizes")
    given = parser.parse_args()
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}")
    head = "cell   hidden  steps  gain method  sweeps  residual  converged       off  gradient"
    print(head + (" scan, ms  newton, ms  ratio" if given.time else ""))
    for case in cases():
        if case.kind in given.only and case.hidden in given.hidden:
            print(report(case, given.time), flush=True)


if __name__ == "__main__":
    main()
