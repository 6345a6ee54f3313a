"""haiku: hk.dynamic_unroll with hk.LSTM, hk.GRU and hk.VanillaRNN.

Its GRU resets before the matmul, and its VanillaRNN is a ReLU, which is less work than tanh.
"""

from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from benchmarks.contestants.jax_tasks import Network, Stream, data, jax_task
from benchmarks.contestants.task import Task
from benchmarks.workloads import Workload

CELLS: dict[str, Any] = {"lstm": hk.LSTM, "gru": hk.GRU, "elman": hk.VanillaRNN}


def network(workload: Workload) -> Network:
    """Time-major, haiku's default."""

    def unroll(xs: Any, reverse: bool = False) -> Any:
        core = CELLS[workload.cell](workload.hidden)
        return hk.dynamic_unroll(core, xs, core.initial_state(workload.batch), reverse=reverse)[0]

    def forward(xs: Any) -> Any:
        if not workload.bidirectional:
            return unroll(xs)
        for _ in range(workload.layers):
            xs = jnp.concatenate([unroll(xs), unroll(xs, reverse=True)], axis=-1)
        return xs

    model = hk.without_apply_rng(hk.transform(forward))
    return Network(model.init(jax.random.key(0), data(workload)), model.apply)


def stream(workload: Workload) -> Stream:
    """One step of a core."""

    def one_step(state: Any, x: Any) -> Any:
        y, after = CELLS[workload.cell](workload.hidden)(x, state)
        return after, y

    model = hk.without_apply_rng(hk.transform(one_step))
    start = hk.without_apply_rng(
        hk.transform(lambda: CELLS[workload.cell](workload.hidden).initial_state(workload.batch))
    )
    state = start.apply(start.init(jax.random.key(0)))
    params = model.init(jax.random.key(0), state, data(workload)[0])
    return Stream(params, state, model.apply)


def task(workload: Workload) -> Task:
    return jax_task(workload, network, stream)
