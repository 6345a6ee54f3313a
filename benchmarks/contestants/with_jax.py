"""JAX itself: what a square matmul reaches on this machine, the rate the rest is a share of."""

import jax
import jax.numpy as jnp

from benchmarks.contestants.task import Task, timed
from benchmarks.workloads import MATMUL_SIZE, Workload


def task(workload: Workload) -> Task:
    a, b = jax.random.normal(jax.random.key(0), (2, MATMUL_SIZE, MATMUL_SIZE))
    matmul = jax.jit(jnp.matmul)

    def products(calls: int) -> None:
        for _ in range(calls):
            matmul(a, b).block_until_ready()

    return Task(timed(products))
