"""A training on a mesh of all devices, kept in a folder; it prints the parameters it ends with."""

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

import jaxnn

OPTIMIZER = optax.adam(0.1)
MODEL = jaxnn.dense(3, 2)


def loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
    """With a state for each sample, which is split as the batch is."""
    del key
    total, weight = jaxnn.losses.mean_squared_error(MODEL.apply(params, batch), batch[:, :2])
    return total + jnp.sum(state), weight, state + batch[:, 0]


def first() -> jaxnn.training.TrainState:
    """As it begins, on one device."""
    params = MODEL.init(jax.random.key(0))
    state = jnp.zeros(8, jnp.float32)
    return jaxnn.training.train_state(params, OPTIMIZER, jax.random.key(1), state)


def train(folder: str | None, mesh: Mesh | None, steps: int) -> jaxnn.training.Fit:
    """With a batch for every step."""
    return jaxnn.training.fit(
        jaxnn.training.train_step(loss, OPTIMIZER, mesh, batch_axis=0),
        first(),
        jaxnn.data.by_number(lambda n: np.random.default_rng(n).normal(size=(8, 3)).astype("f")),
        steps,
        progress=False,
        checkpoint=(folder and jaxnn.training.CheckpointOptions(folder)) or None,
    )


if __name__ == "__main__":
    assert jax.device_count() == 4
    result = train(sys.argv[1], jaxnn.training.cpu_mesh(4), 5)
    assert len(result.train_state.state.sharding.device_set) == 4
    print([leaf.tolist() for leaf in jax.tree.leaves(result.train_state[:3])])
