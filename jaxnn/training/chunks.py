"""Chunks of long sequences, for truncated BPTT; plain numpy, on the host."""

import jax
import numpy as np

from jaxnn.internal.options import check_size
from jaxnn.training.by_number import ByNumber
from jaxnn.training.checks import check_memory, check_tree
from jaxnn.types import ArrayLike, PyTree


def chunks(tree: PyTree, length: int) -> ByNumber[tuple[PyTree, np.ndarray]]:
    """Cut time-major arrays into chunks for truncated BPTT.

    Carry the final state of a chunk into the next one (as the `state` of a `train_step`'s loss):
    the forward pass is that of the whole sequence, and the gradient is cut at the borders.

    Args:
      tree: a pytree of arrays `(time, batch, ...)`, all of one length.
      length: the steps of a chunk.

    Returns:
      An iterator of `(chunk, mask)`, each leaf `(length, batch, ...)`; the last chunk is padded
      with zeros, and mask, boolean `(length, batch)`, is false there. Its place can be kept by
      `get_state()` and `set_state(state)`, as that of `batches`.

    Raises:
      ValueError: for no steps, arrays of unequal leading dimensions, or a length below 1.
      TypeError: for a leaf that is no array, or a length that is no integer.

    Source: Williams & Peng 1990.

    >>> pieces = [(x[:, 0].tolist(), m[:, 0].tolist()) for x, m in chunks(np.ones((3, 1)), 2)]
    >>> pieces
    [([1.0, 1.0], [True, True]), ([1.0, 0.0], [True, False])]

    A training; the state is made anew for every epoch, since a step donates the one it is given:

    >>> import jax.numpy as jnp, jaxnn, optax
    >>> model = jaxnn.stack(jaxnn.gru(1, 8), jaxnn.dense(8, 1))
    >>> def loss(params, state, batch, key):
    ...     (xs, ys), mask = batch
    ...     state, guesses = model.unroll(params, xs, state, mask)
    ...     total, weight = jaxnn.losses.mean_squared_error(guesses, ys, mask)
    ...     return total, weight, state
    >>> params, optimizer = model.init(jax.random.key(0)), optax.sgd(0.01)
    >>> step = jaxnn.training.train_step(loss, optimizer)
    >>> current = jaxnn.training.train_state(
    ...     params, optimizer, jax.random.key(1), state=model.initial_state(params, (4,)))
    >>> wave = jnp.sin(jnp.arange(51.0))[:, None, None] * jnp.ones((1, 4, 1))
    >>> for epoch in range(3):
    ...     current = current._replace(state=model.initial_state(current.params, (4,)))
    ...     for batch in chunks((wave[:-1], wave[1:]), 20):
    ...         current, metrics = step(current, batch)
    >>> int(current.step), float(metrics.weight)
    (9, 40.0)
    """
    length = check_size("chunks", "length", length)
    check_tree("chunks", "tree", tree)
    shapes = {np.shape(leaf)[:2] for leaf in jax.tree.leaves(tree)}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2 or next(iter(shapes))[0] == 0:
        raise ValueError(
            f"chunks: every array must be (time, batch, ...) with the same, positive time and "
            f"batch, got {sorted(shapes)}"
        )
    time, batch = next(iter(shapes))
    for leaf in map(jax.typeof, jax.tree.leaves(tree)):
        check_memory("chunks", f"length={length}", (length, *leaf.shape[1:]), leaf.dtype)

    def make(number: int) -> tuple[PyTree, np.ndarray]:
        at = number * length
        return _chunk(tree, at, min(length, time - at), length, batch)

    made_of = {"time": time, "batch": batch, "length": length}
    return ByNumber("chunks", make, -(-time // length), made_of)


def _chunk(tree: PyTree, at: int, steps: int, length: int, batch: int) -> tuple[PyTree, np.ndarray]:
    def cut(leaf: ArrayLike) -> np.ndarray:
        leaf = np.asarray(leaf[at : at + steps])
        return np.pad(leaf, [(0, length - steps), *[(0, 0)] * (leaf.ndim - 1)])

    mask = np.broadcast_to((np.arange(length) < steps)[:, None], (length, batch))
    return jax.tree.map(cut, tree), mask
