"""Networks that are trained together: one train step, vmapped over their parameters.

Each run has its own seed (or learning rate), and all of them take each update at once.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm.auto import tqdm

from jaxnn.types import Array


def keys(seed: int, count: int) -> Array:
    """The key of each seed, from `seed` on: that of a run does not depend on how many there are."""
    return jax.vmap(jax.random.key)(jnp.arange(seed, seed + count))


def train(
    step: Callable[[Any, Any], tuple[Any, Any]],
    start: Callable[..., Any],
    each: tuple[Any, ...],
    steps: int,
    batch: Any = (),
    watch: Callable[[Any], Any] = lambda current: (),
    title: str = "",
) -> tuple[Any, Any, Any]:
    """Take `steps` train steps of every run, in a few jitted scans, with a bar between them.

    Args:
      step: what `jaxnn.training.train_step` gives.
      start: `start(*one_of_each)` gives the first TrainState of a run.
      each: arrays whose first axis is the runs, such as `(keys(0, 5),)`.
      steps: updates of every run.
      batch: what each update of every run is given.
      watch: `watch(train_state)`, called after every update.
      title: of the bar.

    Returns:
      The TrainStates, with a leading axis of runs; the Metrics and what was watched, `(runs,
      steps)` in front.
    """
    piece = max(k for k in range(1, max(1, steps // 20) + 1) if steps % k == 0)

    def update(current: Any, batch: Any) -> Any:
        current, metrics = step(current, batch)
        return current, (metrics, watch(current))

    @functools.partial(jax.jit, donate_argnums=0)
    def advance(current: Any, batch: Any) -> Any:
        one = jax.vmap(update, in_axes=(0, None))
        return jax.lax.scan(lambda c, _: one(c, batch), current, None, length=piece)

    current = jax.jit(jax.vmap(start))(*each)
    # Compiled before the bar starts, whose estimate of the time left would count it for each piece.
    compiled = advance.lower(current, batch).compile()
    seen = []
    with tqdm(total=steps, desc=title, unit="step", dynamic_ncols=True) as bar:
        for _ in range(steps // piece):
            current, piece_seen = compiled(current, batch)
            seen.append(jax.device_get(piece_seen))
            bar.set_postfix_str(f"loss {seen[-1][0].loss[-1].mean():.4f}", refresh=False)
            bar.update(piece)
    metrics, watched = jax.tree.map(lambda *leaves: np.concatenate(leaves).swapaxes(0, 1), *seen)
    return jax.device_get(current), metrics, watched
