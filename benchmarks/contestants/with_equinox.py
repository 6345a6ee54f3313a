"""equinox: lax.scan over eqx.nn.LSTMCell and eqx.nn.GRUCell, which see one sample, under vmap."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from benchmarks.contestants.jax_tasks import Network, Stream, jax_task
from benchmarks.contestants.task import NotPossible, Task
from benchmarks.workloads import Workload

CELLS: dict[str, Any] = {"lstm": eqx.nn.LSTMCell, "gru": eqx.nn.GRUCell}


def make_cell(workload: Workload, input_size: int, key: Any) -> Any:
    if workload.cell not in CELLS:
        raise NotPossible(f"equinox has no {workload.cell} cell")
    return CELLS[workload.cell](input_size, workload.hidden, key=key)


def first_state(workload: Workload) -> Any:
    zeros = jnp.zeros((workload.batch, workload.hidden))
    return (zeros, zeros) if workload.cell == "lstm" else zeros


def one_step(cell: Any, state: Any, x: Any) -> tuple[Any, Any]:
    """A step for the whole batch; the output is the hidden part of the state."""
    state = jax.vmap(cell)(x, state)
    return state, state[0] if isinstance(state, tuple) else state


def unroll(cell: Any, state: Any, xs: Any, reverse: bool = False) -> Any:
    return jax.lax.scan(lambda s, x: one_step(cell, s, x), state, xs, reverse=reverse)[1]


def network(workload: Workload) -> Network:
    """Time-major, as a scan runs."""
    directions = 2 if workload.bidirectional else 1
    sizes = [workload.input] + [directions * workload.hidden] * (workload.layers - 1)
    keys = iter(jax.random.split(jax.random.key(0), directions * workload.layers))
    model = [[make_cell(workload, size, next(keys)) for _ in range(directions)] for size in sizes]
    params, rest = eqx.partition(model, eqx.is_inexact_array)

    def apply(params: Any, xs: Any) -> Any:
        state = first_state(workload)
        for cells in eqx.combine(params, rest):
            outputs = [unroll(cell, state, xs, bool(i)) for i, cell in enumerate(cells)]
            xs = jnp.concatenate(outputs, axis=-1) if workload.bidirectional else outputs[0]
        return xs

    return Network(params, apply)


def stream(workload: Workload) -> Stream:
    """One step of a cell."""
    cell = make_cell(workload, workload.input, jax.random.key(0))
    params, rest = eqx.partition(cell, eqx.is_inexact_array)
    return Stream(
        params,
        first_state(workload),
        lambda params, state, x: one_step(eqx.combine(params, rest), state, x),
    )


def task(workload: Workload) -> Task:
    return jax_task(workload, network, stream)
