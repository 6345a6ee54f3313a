"""Weights from and to keras, by name or by layer. keras itself is not needed."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jaxnn.interop.convert import from_named, to_named
from jaxnn.interop.keras_files import from_file as from_file, read as read
from jaxnn.interop.keras_model import KerasModel as KerasModel, from_config as from_config
from jaxnn.interop.keras_names import KERAS, without_suffix
from jaxnn.types import Params


def from_weights(
    model: Any, weights: Mapping[str, Any], prefix: str = "", cast: bool = False
) -> Params:
    """The parameters of a jaxnn model from keras's weights by their paths.

    `weights` is `{weight.path: weight for weight in model.weights}` (of Keras 2, `weight.name`).
    The parts of a `serial` or `stack` with `names=` stand under their names; those of one without
    are the layers in the order of the weights. The names of a single layer begin with its own:
    `prefix="sequential/lstm/"`. `from_file` and `from_config` also build the model.

    Args:
      model: what the parameters are for.
      weights: paths to arrays or variables: "lstm/lstm_cell/kernel". A ":0" at their end is not
        read.
      prefix: only names that begin with it are read.
      cast: whether floating dtypes other than the model's are converted; else they are refused.

    Returns:
      Parameters as `model.init` gives them, copied.

    Raises:
      TypeError: for arguments of a wrong type.
      ValueError: where names, shapes or dtypes differ, all of them listed, and for a model with
        parts that keras has no layer for.

    Source: keras.layers.SimpleRNN, LSTM and GRU, keras 3.15.

    >>> import jax, jaxnn, jaxnn.interop.keras
    >>> model = jaxnn.serial(jaxnn.as_layer(jaxnn.gru(3, 4)), jaxnn.dense(4, 2))
    >>> weights = jaxnn.interop.keras.to_weights(model, model.init(jax.random.key(0)))
    >>> list(weights)[2:], weights["gru/gru_cell/bias"].shape
    (['gru/gru_cell/bias', 'dense/kernel', 'dense/bias'], (2, 12))
    >>> jaxnn.interop.keras.from_weights(model, weights)[0].recurrent_bias.shape
    (4,)
    """
    given = without_suffix(weights) if isinstance(weights, Mapping) else weights
    return from_named(KERAS, "from_weights", model, given, prefix, cast)


def to_weights(
    model: Any, params: Params, prefix: str = "", like: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """keras's weights by their paths from the parameters of a jaxnn model.

    Their order is that of `keras_model.set_weights`.

    Args:
      model, params: a model and its parameters.
      prefix: what every name begins with.
      like: the paths that are to be made; by default those of a new keras model.

    Returns:
      Paths to numpy arrays, of the dtypes of the parameters.

    Raises:
      TypeError: for a model, params or a prefix that is none.
      ValueError: for what keras has no layer for, and names that are not those of `like`.

    >>> import jax, jaxnn, jaxnn.interop.keras
    >>> cell = jaxnn.lstm(3, 4)
    >>> weights = jaxnn.interop.keras.to_weights(cell, cell.init(jax.random.key(0)), "lstm/")
    >>> weights["lstm/lstm_cell/kernel"].shape
    (3, 16)
    """
    return to_named(KERAS, "to_weights", model, params, prefix, like)
