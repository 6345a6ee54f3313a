"""A program that sends models to a process that it spawns; it prints what each of the two finds."""

import multiprocessing
from typing import Any

import jax
import jax.numpy as jnp

import jaxnn


def step(params: Any, state: Any, x: Any) -> tuple[Any, Any]:
    """Of a cell of one's own."""
    state = jnp.tanh(x @ params + state)
    return state, state


def init(key: Any) -> Any:
    """Of a cell of one's own."""
    return jax.random.normal(key, (3, 4))


def start(params: Any, batch_shape: tuple[int, ...] = ()) -> Any:
    """Of a cell of one's own."""
    return jnp.zeros((*batch_shape, 4))


def work(model: Any) -> list[float]:
    """What a process does with a model that it was sent."""
    params = model.init(jax.random.key(0))
    return jnp.sum(model.unroll(params, jnp.ones((3, 2, 3)))[1], (0, 1)).tolist()


def main() -> None:
    """Two models, here and there."""
    he_normal = jax.nn.initializers.he_normal()
    models = [
        jaxnn.stack(jaxnn.lstm(3, 4), jaxnn.dense(4, 2, kernel_init=he_normal)),
        jaxnn.cell(init, step, start),
    ]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.map_async(work, models).get(timeout=120)
    assert there == [work(model) for model in models]
    print("the same in both")


if __name__ == "__main__":
    main()
