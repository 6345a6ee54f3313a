"""A model from what keras says of one: its config, and the weights of each layer."""

import json
import keyword
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.internal.options import check_dtypes
from jaxnn.interop.keras_builder import Builder, Piece
from jaxnn.interop.keras_layers import BUILD, add
from jaxnn.interop.walk import shapes_of
from jaxnn.layers.composition import serial
from jaxnn.types import Params

Layers = Mapping[str, Sequence[Any]]
Described = tuple[str, Mapping[str, Any]]
"""A layer's class and its config."""


class KerasModel(NamedTuple):
    """A model that was built from one of keras.

    Attributes:
      model: a `serial` with the names of keras's layers.
      params: its parameters.
      notes: sentences: what keras's model does and this one is to be told at each call, such as
        masks, and what was left out, since it does something in training only.
    """

    model: Any
    params: Params
    notes: tuple[str, ...]


def from_config(
    config: str | Mapping[str, Any],
    weights: Layers,
    dtype: Any = None,
    version: int | None = None,
) -> KerasModel:
    """A jaxnn model and its parameters from a keras model's config and weights.

    A Sequential, or a functional model that is a chain, of SimpleRNN, LSTM, GRU, Bidirectional,
    TimeDistributed, Embedding, Dense, convolutions, pooling, LayerNormalization, Flatten, Dropout
    and activations. A BatchNormalization goes, with the statistics of training, into its neighbour
    where that is linear, else it is a `dense` by a diagonal. `return_sequences=False` is a
    `final_state`.

    The model is time-major, as all of jaxnn: what keras takes as (batch, time, features) it takes
    as (time, batch, features), `jaxnn.time_major(x)`. Images are (batch, height, width, features)
    in both. A mask is given at the call: the notes say where keras would make one.

    Args:
      config: what `keras_model.to_json()` gives, or the same as a mapping.
      weights: the arrays of each layer by its name, as `layer.get_weights()` gives them.
      dtype: of the model; by default that of the weights. Where one is given, they are converted.
      version: of keras, 2 or 3, where the config does not say it: their hard sigmoids differ.

    Returns:
      A KerasModel: the model, its params, and notes.

    Raises:
      TypeError: for a config that is no text or mapping of a model.
      ValueError: for layers that have no counterpart (all of them), options that have none, a model
        that is no chain, and weights that do not fit.

    Source: the configs of keras 3.15 and 2.15.

    >>> import jaxnn, jaxnn.interop.keras, numpy as np
    >>> options = {"name": "head", "units": 2, "activation": "relu", "use_bias": False}
    >>> layers = [{"class_name": "Dense", "config": options}]
    >>> arrays = [np.ones((3, 2), np.float32)]
    >>> built = jaxnn.interop.keras.from_config(
    ...     {"class_name": "Sequential", "config": {"layers": layers}}, {"head": arrays}
    ... )
    >>> print(built.model)
    serial(dense(3, 2, bias=False), activation(relu), names=('head', 'head_activation'))
    >>> built.params.head.kernel.shape
    (3, 2)
    """
    described = json.loads(config) if isinstance(config, str) else config
    if not isinstance(described, Mapping) or "class_name" not in described:
        raise TypeError("from_config: config must be a model's to_json(), or that as a mapping")
    chain = list(_chain(described))
    unknown = [f"{name} ({kind})" for kind, name in _names(chain) if kind not in BUILD]
    if unknown:
        raise ValueError(f"from_config: no counterpart for {', '.join(unknown)}")
    if dtype is not None:
        dtype, _ = check_dtypes("from_config", dtype, None)
    builder = Builder(dtype, version or _version(described), *_input(described, chain))
    for kind, options in chain:
        arrays = _numbers(weights.get(str(options["name"]), ()))
        try:
            add(builder, kind, options, arrays)
        except KeyError as error:
            raise ValueError(
                f"from_config: {options['name']} ({kind}): its config has no {error}"
            ) from error
        except (ValueError, TypeError) as error:
            raise ValueError(f"from_config: {options['name']} ({kind}): {error}") from error
    names = {name for _, name in _names(chain)}
    unused = [name for name, arrays in weights.items() if len(arrays) and name not in names]
    if unused:
        raise ValueError(f"from_config: weights of layers that are not there: {', '.join(unused)}")
    return _whole(builder.finished(), builder.notes)


def _whole(pieces: list[Piece], notes: list[str]) -> KerasModel:
    model = serial(*(piece.layer for piece in pieces), names=_fields(pieces))
    leaves = jax.tree.leaves([piece.params for piece in pieces])
    params = jax.tree.unflatten(jax.tree.structure(shapes_of(model)), leaves)
    return KerasModel(model, params, tuple(notes))


def _numbers(arrays: Sequence[Any]) -> list[np.ndarray]:
    """Without the states of random generators, which are integers."""
    every = [np.asarray(array) for array in arrays]
    return [array for array in every if jnp.issubdtype(array.dtype, jnp.floating)]


def _fields(pieces: list[Piece]) -> tuple[str, ...]:
    """keras's names as those of fields: with letters, digits and _ alone, and none twice."""
    names: list[str] = []
    for piece in pieces:
        name = re.sub(r"\W", "_", piece.name).lstrip("_")
        if not name or name[0].isdigit() or keyword.iskeyword(name) or name in ("count", "index"):
            name = f"layer_{name}"
        while name in names:
            name += "_"
        names.append(name)
    return tuple(names)


def _names(chain: list[Described]) -> list[tuple[str, str]]:
    return [(kind, str(options["name"])) for kind, options in chain]


def _chain(described: Mapping[str, Any]) -> Iterator[Described]:
    """The layers in their order, without the input.

    Raises:
      ValueError: for a model that is no chain.
    """
    config = described["config"]
    layers = config if isinstance(config, list) else config["layers"]
    if described["class_name"] not in ("Sequential", "Functional", "Model"):
        raise ValueError(f"from_config: {described['class_name']} has no config to build it from")
    if described["class_name"] == "Sequential":
        ordered = layers
    else:
        ordered = _ordered({str(layer["config"]["name"]): layer for layer in layers})
    for layer in ordered:
        if layer["class_name"] != "InputLayer":
            yield str(layer["class_name"]), layer["config"]


def _ordered(layers: dict[str, Any]) -> list[Any]:
    """The layers of a functional model, from its input to its output."""
    nodes = {name: layer.get("inbound_nodes", []) for name, layer in layers.items()}
    above = {name: sorted(_history(each)) for name, each in nodes.items()}
    after: dict[str | None, str] = {}
    for name, below in above.items():
        source = below[0] if below else None
        if len(below) > 1 or source in after:
            raise ValueError(
                f"from_config: the model must be a chain; {name!r} "
                + (f"has the inputs {below}" if len(below) > 1 else f"is not alone on {source!r}")
            )
        after[source] = name
    ordered, place = [], None
    while place in after:
        place = after[place]
        ordered.append(layers[place])
    return ordered


def _history(node: Any) -> set[str]:
    """The layers that a node comes from, in the words of Keras 3 or 2."""
    if isinstance(node, Mapping):
        if "keras_history" in node:
            return {str(node["keras_history"][0])}
        return {name for value in node.values() for name in _history(value)}
    if isinstance(node, list):
        if len(node) >= 3 and isinstance(node[0], str) and isinstance(node[1], int):
            return {node[0]}
        return {name for value in node for name in _history(value)}
    return set()


def _version(described: Mapping[str, Any]) -> int | None:
    """2 or 3, where it is said: Keras 3 alone registers names."""
    if "keras_version" in described:
        return int(str(described["keras_version"]).partition(".")[0])
    return 3 if "registered_name" in described else None


def _input(described: Mapping[str, Any], chain: list[Described]) -> tuple[int, bool]:
    """How many axes a sample has, and whether the first of them is time."""
    config = described["config"]
    layers = config if isinstance(config, list) else config["layers"]
    shapes = [
        layer["config"].get("batch_shape")
        or layer["config"].get("batch_input_shape")
        or (layer.get("build_config") or {}).get("input_shape")
        for layer in layers[:1]
    ]
    kinds = [kind for kind, _ in chain]
    first = kinds[0] if kinds else "Dense"
    if shapes and shapes[0] is not None:
        axes = len(shapes[0]) - 1
    else:
        axes = {"Dense": 1, "Embedding": 1, "Conv2D": 3, "Conv3D": 4}.get(first, 2)
    return axes, axes == 2 or first == "Embedding" or "TimeDistributed" in kinds
