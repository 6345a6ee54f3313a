"""flax.linen: nn.RNN with OptimizedLSTMCell, GRUCell and SimpleCell."""

from typing import Any

import flax.linen as nn
import jax

from benchmarks.contestants.jax_tasks import Network, Stream, data, jax_task
from benchmarks.contestants.task import Task
from benchmarks.workloads import Workload

CELLS: dict[str, Any] = {
    "lstm": nn.OptimizedLSTMCell,
    "gru": nn.GRUCell,
    "elman": nn.SimpleCell,
}


def network(workload: Workload) -> Network:
    """Time-major: that spares the transposes of nn.RNN's default."""
    make, hidden = CELLS[workload.cell], workload.hidden

    def rnn() -> nn.RNN:
        return nn.RNN(make(hidden), time_major=True)

    if workload.bidirectional:
        layers = [
            nn.Bidirectional(rnn(), rnn(), time_major=True)  # pyright: ignore[reportArgumentType]
            for _ in range(workload.layers)
        ]
        model = nn.Sequential(layers)
    else:
        model = rnn()
    params = model.init(jax.random.key(0), data(workload))
    return Network(params, lambda params, xs: model.apply(params, xs))


def stream(workload: Workload) -> Stream:
    """One step of a cell."""
    cell, x = CELLS[workload.cell](workload.hidden), data(workload)[0]
    state = cell.initialize_carry(jax.random.key(0), x.shape)
    params = cell.init(jax.random.key(0), state, x)
    return Stream(params, state, cell.apply)


def task(workload: Workload) -> Task:
    return jax_task(workload, network, stream)
