"""keras on JAX: its layers as pure functions, by stateless_call; KERAS_BACKEND is set to jax."""

from typing import Any

import jax.numpy as jnp
import keras

from benchmarks.contestants.jax_tasks import Network, Stream, jax_task
from benchmarks.contestants.task import Task
from benchmarks.workloads import Workload

LAYERS: dict[str, Any] = {
    "lstm": keras.layers.LSTM,
    "gru": keras.layers.GRU,
    "elman": keras.layers.SimpleRNN,
}
CELLS: dict[str, Any] = {
    "lstm": keras.layers.LSTMCell,
    "gru": keras.layers.GRUCell,
    "elman": keras.layers.SimpleRNNCell,
}


def values(variables: Any) -> list[Any]:
    return [variable.value for variable in variables]


def network(workload: Workload) -> Network:
    """Batch-major, the only layout of keras."""

    def layer() -> Any:
        rnn = LAYERS[workload.cell](workload.hidden, return_sequences=True)
        return keras.layers.Bidirectional(rnn) if workload.bidirectional else rnn

    model = keras.Sequential([layer() for _ in range(workload.layers)])
    model.build((workload.batch, workload.time, workload.input))
    fixed = values(model.non_trainable_variables)

    def apply(params: Any, xs: Any) -> Any:
        return model.stateless_call(params, fixed, xs)[0]

    return Network(values(model.trainable_variables), apply, time_major=False)


def stream(workload: Workload) -> Stream:
    """One step of a cell."""
    cell = CELLS[workload.cell](workload.hidden)
    cell.build((workload.batch, workload.input))
    fixed = values(cell.non_trainable_variables)
    parts = 2 if workload.cell == "lstm" else 1
    state = [jnp.zeros((workload.batch, workload.hidden)) for _ in range(parts)]

    def apply(params: Any, state: Any, x: Any) -> tuple[Any, Any]:
        (y, after), _ = cell.stateless_call(params, fixed, x, state)
        return after, y

    return Stream(values(cell.trainable_variables), state, apply)


def task(workload: Workload) -> Task:
    return jax_task(workload, network, stream)
