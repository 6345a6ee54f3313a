"""A training read from its folder, be it over or on its way."""

import os
import warnings

from jaxnn.training.checkpoint_options import local_folder
from jaxnn.training.course import Fit
from jaxnn.training.run_folder import newest
from jaxnn.training.state import TrainState


def load_checkpoint(folder: str | os.PathLike[str], train_state: TrainState) -> Fit:
    """Read the newest checkpoint that `fit` wrote to a folder; nothing there is changed.

    A training that still writes to the folder is not disturbed.

    Args:
      folder: that of `CheckpointOptions`.
      train_state: one of the same model and optimizer, as `jaxnn.training.train_state` gives it:
        structure, shapes, dtypes and devices are taken from it, not its values.

    Returns:
      A `Fit` as far as the training had come; `stopped` is "at a checkpoint", `resumed` its step.

    Raises:
      FileNotFoundError: for no folder, or no checkpoint in it.
      ValueError: for one of another train_state, with all differences, or where none can be read.
      TypeError: for a folder that is no path, or a train_state that is none.
      ImportError: without orbax (in the extra `checkpoint`).

    Where the newest is damaged the last good one is read, with a RuntimeWarning.

    >>> import jax, jax.numpy as jnp, jaxnn, optax, tempfile
    >>> optimizer = optax.sgd(0.1)
    >>> def loss(params, state, batch, key):
    ...     return jnp.sum((params - batch) ** 2), 1.0, state
    >>> def first():
    ...     return jaxnn.training.train_state(jnp.zeros(2), optimizer, jax.random.key(0))
    >>> step = jaxnn.training.train_step(loss, optimizer)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = jaxnn.training.CheckpointOptions(folder)
    ...     result = jaxnn.training.fit(
    ...         step, first(), [jnp.ones(2)] * 9, progress=False, checkpoint=checkpoint)
    ...     again = load_checkpoint(folder, first())
    >>> again.resumed, bool((again.train_state.params == result.train_state.params).all())
    (9, True)
    """
    path = local_folder("load_checkpoint", folder)
    if not isinstance(train_state, TrainState):
        raise TypeError(
            f"load_checkpoint: train_state must be a TrainState, as jaxnn.training.train_state "
            f"gives it, got {type(train_state).__name__}"
        )
    if not os.path.isdir(path):
        raise FileNotFoundError(f"load_checkpoint: there is no folder {path}")
    found = newest("load_checkpoint", path, train_state)
    if found is None:
        raise FileNotFoundError(f"load_checkpoint: there is no checkpoint in {path}")
    if warning := found.warning():
        warnings.warn(f"load_checkpoint: {warning}", RuntimeWarning, stacklevel=2)
    return found.fit
