"""jaxnn with a CPU device for each core: the batch is sharded, the parameters are replicated."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

import jaxnn
from benchmarks.contestants.jax_tasks import RATE, Apply, Jitted, Network, Run, jax_task
from benchmarks.contestants.task import NotPossible, Task
from benchmarks.contestants.with_jaxnn import network, stream
from benchmarks.machine import cores
from benchmarks.workloads import Workload

KINDS = ("train", "forward")


def mesh() -> Mesh:
    return jaxnn.training.cpu_mesh(cores())


def train_step(apply: Apply) -> Jitted:
    """`params, loss = step(params, xs)`: jaxnn's own step, with all that it watches over."""

    def loss(params: Any, state: Any, xs: Any, key: Any) -> Any:
        ys = apply(params, xs)
        return jnp.sum(jnp.square(ys)), jnp.full((), ys.size, ys.dtype), state

    optimizer = optax.sgd(RATE)
    step = jaxnn.training.train_step(loss, optimizer, mesh(), batch_axis=1)
    current: Any = None

    def run(params: Any, xs: Any) -> tuple[Any, Any]:
        nonlocal current
        if current is None:
            current = jaxnn.training.train_state(params, optimizer, jax.random.key(0))
        current, metrics = step(current, xs)
        return current.params, metrics.loss

    return run


def forward(apply: Apply) -> Jitted:
    """`ys = forward(params, xs)`: nothing is exchanged."""
    specs = P(None, mesh().axis_names)
    return jax.jit(
        jax.shard_map(apply, mesh=mesh(), in_specs=(P(), specs), out_specs=specs, check_vma=False)
    )


def place(network: Network, xs: Any, workload: Workload) -> tuple[Any, Any]:
    """Parameters on every device, and to each its part of the batch."""
    params = jax.device_put(network.params, NamedSharding(mesh(), P()))
    return params, jax.device_put(xs, NamedSharding(mesh(), P(None, mesh().axis_names)))


def task(workload: Workload) -> Task:
    if workload.kind not in KINDS:
        raise NotPossible("measured on one device only, as jaxnn")
    if workload.batch % cores():
        raise NotPossible(f"a batch of {workload.batch} does not divide among {cores()} devices")
    mesh()  # before anything asks for a device
    return jax_task(workload, network, stream, Run(place, train_step, forward))
