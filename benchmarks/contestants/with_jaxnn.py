"""jaxnn on one device."""

import functools
from typing import Any

import jax

import jaxnn
from benchmarks.contestants.jax_tasks import Network, Stream, jax_task
from benchmarks.contestants.task import Task
from benchmarks.workloads import Workload

CELLS = {
    "lstm": jaxnn.lstm,
    "gru": jaxnn.gru,
    "elman": jaxnn.elman,
    "min_gru": jaxnn.min_gru,
    "lstm normed": functools.partial(jaxnn.lstm, layer_norm=True),
    "gru normed": functools.partial(jaxnn.gru, layer_norm=True),
    "lstm projected": lambda size, shown: jaxnn.lstm(size, 2 * shown, projection_size=shown),
}


def network(workload: Workload) -> Network:
    """One cell unrolled, or a serial of bidirectional layers."""
    make = CELLS[workload.cell]
    if not workload.bidirectional:
        cell = make(workload.input, workload.hidden)
        params = cell.init(jax.random.key(0))
        return Network(params, lambda params, xs: cell.unroll(params, xs)[1])

    def layer(input_size: int) -> Any:
        return jaxnn.bidirectional(
            make(input_size, workload.hidden), make(input_size, workload.hidden)
        )

    deeper = [layer(2 * workload.hidden) for _ in range(workload.layers - 1)]
    model = jaxnn.serial(layer(workload.input), *deeper)
    return Network(model.init(jax.random.key(0)), lambda params, xs: model.apply(params, xs))


def stream(workload: Workload) -> Stream:
    """One step of a cell."""
    cell = CELLS[workload.cell](workload.input, workload.hidden)
    params = cell.init(jax.random.key(0))
    return Stream(params, cell.initial_state(params, (workload.batch,)), cell.apply)


def task(workload: Workload) -> Task:
    return jax_task(workload, network, stream)
