"""What a traced `unroll` goes through in jaxnn: `python -m benchmarks.visits`.

Counts the calls of jaxnn's own functions, and the files that they stand in, while
`lstm(12, 64).unroll(params, xs, mask=mask)` is traced: forward, and under `jax.grad`. A reader of
the engine has to open these files.
"""

import collections
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import jaxnn

HOUSE = Path(jaxnn.__file__).parent
ROOMS = ("scans", "derivative", "recurrence")
"""Where a recurrence runs."""


class Visits(NamedTuple):
    """The calls by file of jaxnn, as 'recurrence/unroll.py'."""

    calls: dict[str, int]

    def of_recurrence(self) -> list[str]:
        """The files of the rooms where a recurrence runs."""
        return sorted(file for file in self.calls if file.split("/")[0] in ROOMS)


def visits(function: Callable[..., Any], *arguments: Any) -> Visits:
    """What tracing a function visits."""
    calls: collections.Counter[str] = collections.Counter()

    def count(frame: Any, event: str, _: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(HOUSE):
            calls[str(path.relative_to(HOUSE))] += 1

    jax.clear_caches()
    sys.setprofile(count)
    try:
        jax.make_jaxpr(function)(*arguments)
    finally:
        sys.setprofile(None)
    return Visits(dict(calls))


def measure() -> dict[str, Visits]:
    """Forward, and under a gradient."""
    cell = jaxnn.lstm(12, 64)
    params = cell.init(jax.random.key(0))
    xs, mask = jnp.ones((100, 32, 12), jnp.float32), jnp.ones((100, 32), bool)

    def forward(params: Any, xs: Any, mask: Any) -> Any:
        return cell.unroll(params, xs, mask=mask)

    def loss(params: Any, xs: Any, mask: Any) -> Any:
        return forward(params, xs, mask)[1].mean()

    return {
        "forward": visits(forward, params, xs, mask),
        "under grad": visits(jax.grad(loss), params, xs, mask),
    }


def main() -> None:
    """Prints the numbers, and the files one by one."""
    for name, found in measure().items():
        files = found.of_recurrence()
        total = sum(found.calls.values())
        print(f"{name}: {len(files)} files of {', '.join(ROOMS)}; {total:,} calls in all")
        for file, calls in sorted(found.calls.items()):
            print(f"    {file:32} {calls:6,}")


if __name__ == "__main__":
    main()
