"""memax has no minimal GRU of its own: this is one in its algebra, scanned as it scans its LRU."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from memax.equinox.gras import GRAS
from memax.equinox.groups import BinaryAlgebra, Resettable, Semigroup
from memax.equinox.scans import semigroup_scan

from benchmarks.contestants.jax_tasks import Network, Stream, jax_task
from benchmarks.contestants.task import NotPossible, Task
from benchmarks.workloads import Workload


class LinearSemigroup(Semigroup):
    """Two steps of h' = a∘h + b are one."""

    size: int

    def initialize_carry(self, key: Any = None) -> Any:
        return jnp.ones(self.size), jnp.zeros(self.size)

    def __call__(self, carry: Any, input: Any) -> Any:
        return input[0] * carry[0], input[0] * carry[1] + input[1]


class MinGRU(GRAS):
    """h' = (1 − z)∘h + z∘n, with z = σ(x U_z + b_z) and n = x U_n + b_n."""

    algebra: BinaryAlgebra
    scan: Any
    z: eqx.nn.Linear
    n: eqx.nn.Linear

    def __init__(self, input_size: int, size: int, key: Any):
        keys = jax.random.split(key)
        self.algebra, self.scan = Resettable(LinearSemigroup(size)), semigroup_scan
        self.z, self.n = (eqx.nn.Linear(input_size, size, key=k) for k in keys)

    def forward_map(self, x: Any, key: Any = None) -> Any:
        features, start = x
        z = self.z(features)
        return (jax.nn.sigmoid(-z), jax.nn.sigmoid(z) * self.n(features)), start

    def backward_map(self, h: Any, x: Any, key: Any = None) -> Any:
        return h[0][1]

    def initialize_carry(self, key: Any = None) -> Any:
        return self.algebra.initialize_carry(key)


def network(workload: Workload) -> Network:
    """One sequence, mapped over the batch, time first."""
    if workload.cell != "min_gru":
        raise NotPossible(f"no {workload.cell} is compared with that of memax")
    model = MinGRU(workload.input, workload.hidden, jax.random.key(0))
    params, rest = eqx.partition(model, eqx.is_inexact_array)
    start = jnp.zeros(workload.time, bool)

    def apply(params: Any, xs: Any) -> Any:
        model = eqx.combine(params, rest)
        one = lambda xs: model(model.initialize_carry(), (xs, start))[1]  # noqa: E731
        return jax.vmap(one, 1, 1)(xs)

    return Network(params, apply)


def stream(workload: Workload) -> Stream:
    raise NotPossible("memax scans sequences")


def task(workload: Workload) -> Task:
    return jax_task(workload, network, stream)
