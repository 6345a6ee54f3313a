"""Weights from and to haiku's params: modules to names to arrays. haiku itself is not needed."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jaxnn.internal.parts import Parts, parts
from jaxnn.interop.convert import flat, from_named, to_named
from jaxnn.interop.walk import Library, apart, by_kind, inside
from jaxnn.types import Params


def from_params(
    model: Any, weights: Mapping[str, Any], prefix: str = "", cast: bool = False
) -> Params:
    """The parameters of a jaxnn model from those of a function that haiku transformed.

    The parts of a `serial` or `stack` with `names=` stand under their names, as modules made with
    `name=` do ("encoder/linear/w"); those of one without under the names that haiku gives, counted
    by kind: "lstm/linear", "lstm_1/linear", "linear". The names of a single cell or layer begin
    with its own: `prefix="lstm/"`. haiku's LSTM adds 1 to the forget gate's bias in its code, here
    it is in the bias; the z of its GRU keeps the new state, so it is negated; its VanillaRNN is a
    ReLU.

    Args:
      model: what the parameters are for: `gru(..., reset_after=False)`, `elman(..., activation=
        jax.nn.relu)`.
      weights: haiku's params, or a flat mapping whose names are joined by "/".
      prefix: only names that begin with it are read.
      cast: whether floating dtypes other than the model's are converted; else they are refused.

    Returns:
      Parameters as `model.init` gives them, copied.

    Raises:
      TypeError: for arguments of a wrong type.
      ValueError: where names, shapes or dtypes differ, all of them listed, and for a model with
        parts that haiku has no layer for.

    Source: hk.LSTM, hk.GRU and hk.VanillaRNN, dm-haiku 0.0.17.

    >>> import jaxnn, jaxnn.interop.haiku, numpy as np
    >>> weights = {"linear": {"w": np.ones((3, 2), np.float32), "b": np.zeros(2, np.float32)}}
    >>> jaxnn.interop.haiku.from_params(jaxnn.dense(3, 2), weights, "linear/").kernel.shape
    (3, 2)
    """
    given = flat("from_params", weights, "/")
    return from_named(HAIKU, "from_params", model, given, prefix, cast)


def to_params(
    model: Any, params: Params, prefix: str = "", like: Mapping[str, Any] | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """haiku's params from the parameters of a jaxnn model.

    Args:
      model, params: a model and its parameters.
      prefix: what every name begins with: "lstm/" for a cell by itself.
      like: params of haiku whose names are to be made, where there is a choice.

    Returns:
      Modules to names to numpy arrays, of the dtypes of the parameters.

    Raises:
      TypeError: for a model, params or a prefix that is none.
      ValueError: for what haiku has no layer for, names that are not those of `like`, and a layer
        by itself without a prefix.

    >>> import jax, jaxnn, jaxnn.interop.haiku
    >>> cell = jaxnn.lstm(3, 4)
    >>> params = cell.init(jax.random.key(0))
    >>> jaxnn.interop.haiku.to_params(cell, params, "lstm/")["lstm/linear"]["w"].shape
    (7, 16)
    """
    wanted: Iterable[str] | None = None if like is None else flat("to_params", like, "/")
    tree: dict[str, dict[str, np.ndarray]] = {}
    for name, array in to_named(HAIKU, "to_params", model, params, prefix, wanted).items():
        module, _, last = name.rpartition("/")
        if not module:
            raise ValueError(f"to_params: a layer by itself is a module: prefix='{_own(model)}/'?")
        tree.setdefault(module, {})[last] = array
    return tree


def _own(model: Any) -> str:
    return _called(inside(parts(model)))


def _itself(name: str) -> str:
    return name


def _called(tree: Parts) -> str:
    if tree.kind == "conv":
        return f"conv{len(tree.options['window'])}_d"
    names = {"elman": "vanilla_rnn", "dense": "linear", "embedding": "embed"}
    return names.get(tree.kind, tree.kind)


HAIKU = Library(
    "haiku",
    "jaxnn.interop.haiku",
    "/",
    by_kind(_called),
    lambda kind, given: (_itself,),
    lambda tree, shapes, given: apart(HAIKU, "forward", "backward", tree, shapes, given),
)
