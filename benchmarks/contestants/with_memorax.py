"""memorax: its minimal GRU, in logarithms, without biases, and with a positive candidate."""

import jax
import jax.numpy as jnp
from memorax.networks.sequence_models import Memoroid, MinGRUCell

from benchmarks.contestants.jax_tasks import Network, Stream, data, jax_task
from benchmarks.contestants.task import NotPossible, Task
from benchmarks.workloads import Workload


def network(workload: Workload) -> Network:
    """Batch-major, as memorax wants it; its mask says where a sequence begins anew."""
    if workload.cell != "min_gru":
        raise NotPossible(f"no {workload.cell} is compared with that of memorax")
    model = Memoroid(MinGRUCell(workload.hidden))
    begins = jnp.zeros((workload.batch, workload.time))
    params = model.init(jax.random.key(0), data(workload, False), begins)
    return Network(params, lambda params, xs: model.apply(params, xs, begins)[1], False)


def stream(workload: Workload) -> Stream:
    raise NotPossible("memorax scans sequences")


def task(workload: Workload) -> Task:
    return jax_task(workload, network, stream)
