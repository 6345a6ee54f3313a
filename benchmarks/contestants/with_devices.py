"""jaxnn with a CPU device for each core: the batch is sharded, the parameters are replicated."""

from typing import Any

import jax
from jax.flatten_util import ravel_pytree
from jax.sharding import NamedSharding, PartitionSpec as P

from benchmarks.contestants.jax_tasks import (
    Apply,
    Jitted,
    Network,
    Run,
    descend,
    jax_task,
    mean_square,
)
from benchmarks.contestants.task import NotPossible, Task
from benchmarks.contestants.with_jaxnn import network, stream
from benchmarks.machine import cores
from benchmarks.workloads import Workload

KINDS = ("train", "forward", "compile")


def mesh() -> jax.sharding.Mesh:
    return jax.make_mesh((cores(),), ("batch",))


def train_step(apply: Apply) -> Jitted:
    """`params, loss = step(params, xs)`: each device its part of the batch, one psum at the end.

    check_vma is off: with it, the gradient of replicated parameters would be summed over the
    devices inside the backward loop.
    """

    def step(params: Any, xs: Any) -> tuple[Any, Any]:
        flat, unravel = ravel_pytree(jax.value_and_grad(mean_square(apply))(params, xs))
        loss, gradients = unravel(jax.lax.psum(flat, "batch") / cores())
        return descend(params, gradients), loss

    sharded = jax.shard_map(
        step, mesh=mesh(), in_specs=(P(), P(None, "batch")), out_specs=P(), check_vma=False
    )
    return jax.jit(sharded, donate_argnums=0)


def forward(apply: Apply) -> Jitted:
    """`ys = forward(params, xs)`: nothing is exchanged."""
    specs = P(None, "batch")
    return jax.jit(
        jax.shard_map(apply, mesh=mesh(), in_specs=(P(), specs), out_specs=specs, check_vma=False)
    )


def place(network: Network, xs: Any, workload: Workload) -> tuple[Any, Any]:
    """Parameters on every device, and to each its part of the batch."""
    params = jax.device_put(network.params, NamedSharding(mesh(), P()))
    return params, jax.device_put(xs, NamedSharding(mesh(), P(None, "batch")))


def task(workload: Workload) -> Task:
    if workload.kind not in KINDS:
        raise NotPossible("measured on one device only, as jaxnn")
    if workload.batch % cores():
        raise NotPossible(f"a batch of {workload.batch} does not divide among {cores()} devices")
    jax.config.update("jax_num_cpu_devices", cores())  # before anything asks for a device
    return jax_task(workload, network, stream, Run(place, train_step, forward))
