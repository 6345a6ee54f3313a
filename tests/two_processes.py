"""One of the processes that test_devices.py starts: `two_processes.py port number file`."""

import sys
from typing import Any

import jax
import numpy as np
import optax

import jaxnn

MODEL = jaxnn.stack(jaxnn.lstm(3, 8), jaxnn.dense(8, 2))
TIME, SAMPLES, STEPS = 9, 6, 5
AXES = (1, 1, 1)


def loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
    """The squared error at valid steps, from a state that is carried."""
    xs, ys, mask = batch
    state, guesses = MODEL.unroll(params, xs, state, mask, key=key)
    return *jaxnn.losses.mean_squared_error(guesses, ys, mask), state


def batch(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The whole one; the second half of its samples is shorter than the first."""
    rng = np.random.default_rng(number)
    lengths = np.array([9, 8, 9, 2, 3, 1])
    xs = rng.normal(size=(TIME, SAMPLES, 3)).astype(np.float32)
    return xs, xs[..., :2] ** 2, np.arange(TIME)[:, None] < lengths


def train(mesh: jax.sharding.Mesh | None, share: Any) -> Any:
    """The parameters after a few steps; `share` makes of a batch what a step gets."""
    optimizer = optax.adam(0.01)
    step = jaxnn.training.train_step(loss, optimizer, mesh, batch_axis=AXES)
    params = MODEL.init(jax.random.key(0))
    state = MODEL.initial_state(params, (SAMPLES,))
    current = jaxnn.training.train_state(params, optimizer, jax.random.key(1), state)
    for number in range(STEPS):
        current, metrics = step(current, share(batch(number)))
        assert bool(metrics.finite)
    return current.params


def main() -> None:
    port, number, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 1)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=number)
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("batch",))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "batch"))
    half = slice(number * SAMPLES // 2, (number + 1) * SAMPLES // 2)

    def share(leaves: Any) -> Any:
        return tuple(
            jax.make_array_from_process_local_data(split, leaf[:, half], leaf.shape)
            for leaf in leaves
        )

    np.savez(path, *map(np.asarray, jax.tree.leaves(train(mesh, share))))
    jax.distributed.shutdown()


if __name__ == "__main__":
    main()
