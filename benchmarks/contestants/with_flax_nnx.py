"""flax.nnx: nnx.RNN with its cells, split into parameters and the rest once, outside the step."""

from typing import Any

from flax import nnx

from benchmarks.contestants.jax_tasks import Network, Stream, data, jax_task
from benchmarks.contestants.task import Task
from benchmarks.workloads import Workload

CELLS: dict[str, Any] = {
    "lstm": nnx.OptimizedLSTMCell,
    "gru": nnx.GRUCell,
    "elman": nnx.SimpleCell,
}


def network(workload: Workload) -> Network:
    """Time-major: that spares the transposes of nnx.RNN's default."""
    rngs = nnx.Rngs(0)

    def rnn(input_size: int) -> nnx.RNN:
        cell = CELLS[workload.cell](input_size, workload.hidden, rngs=rngs)
        return nnx.RNN(cell, time_major=True)

    if workload.bidirectional:
        sizes = [workload.input] + [2 * workload.hidden] * (workload.layers - 1)
        layers = [nnx.Bidirectional(rnn(size), rnn(size), time_major=True) for size in sizes]
        model = nnx.Sequential(*layers)
    else:
        model = rnn(workload.input)
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    # Copied, since a call counts its random numbers in the rest, which is outside the trace.
    return Network(params, lambda params, xs: nnx.merge(graph, params, rest, copy=True)(xs))


def stream(workload: Workload) -> Stream:
    """One step of a cell."""
    rngs = nnx.Rngs(0)
    cell = CELLS[workload.cell](workload.input, workload.hidden, rngs=rngs)
    state = cell.initialize_carry(data(workload)[0].shape, rngs)
    graph, params, rest = nnx.split(cell, nnx.Param, ...)
    return Stream(params, state, lambda params, state, x: nnx.merge(graph, params, rest)(state, x))


def task(workload: Workload) -> Task:
    return jax_task(workload, network, stream)
