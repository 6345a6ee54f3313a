"""Weights from and to flax.linen's params, nested dicts. flax itself is not needed."""

from collections.abc import Mapping
from typing import Any

from jaxnn.interop.convert import flat, from_named, nested, to_named
from jaxnn.interop.walk import Library, apart, by_place
from jaxnn.types import Params


def from_params(
    model: Any, weights: Mapping[str, Any], prefix: str = "", cast: bool = False
) -> Params:
    """The parameters of a jaxnn model from `variables["params"]` of a flax.linen module.

    The parts of a `serial` or `stack` with `names=` stand under their names ("encoder/cell/…" of an
    nn.RNN, or "encoder/…" of the cell); those of one without under "layers_0", "layers_1", … as in
    nn.Sequential. nn.LSTMCell and OptimizedLSTMCell have the same params; a bidirectional is an
    nn.Bidirectional of two nn.RNN.

    Args:
      model: what the parameters are for. Every recurrent layer of flax has a bias.
      weights: nested mappings, or a flat one whose names are joined by "/".
      prefix: only names that begin with it are read ("encoder/").
      cast: whether floating dtypes other than the model's are converted; else they are refused.

    Returns:
      Parameters as `model.init` gives them, copied.

    Raises:
      TypeError: for arguments of a wrong type.
      ValueError: where names, shapes or dtypes differ, all of them listed, and for a model with
        parts that flax has no layer for; with `bias=False` where a bias is not zero.

    Source: flax.linen.recurrent, flax 0.12.

    >>> import jax, jaxnn, jaxnn.interop.flax_linen
    >>> cell = jaxnn.gru(3, 4)
    >>> weights = jaxnn.interop.flax_linen.to_params(cell, cell.init(jax.random.key(0)))
    >>> weights["cell"]["hn"]["bias"].shape
    (4,)
    >>> jaxnn.interop.flax_linen.from_params(cell, weights).recurrent_bias.shape
    (4,)
    """
    given = flat("from_params", weights, "/")
    return from_named(LINEN, "from_params", model, given, prefix, cast)


def to_params(
    model: Any, params: Params, prefix: str = "", like: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """flax.linen's params from the parameters of a jaxnn model.

    Args:
      model, params: a model and its parameters.
      prefix: what every name begins with.
      like: params whose names are to be made, where there is a choice: nn.RNN (the default) or a
        cell by itself.

    Returns:
      Nested dicts of numpy arrays, of the dtypes of the parameters.

    Raises:
      TypeError: for a model, params or a prefix that is none.
      ValueError: for what flax has no layer for, and names that are not those of `like`.

    >>> import jax, jaxnn, jaxnn.interop.flax_linen
    >>> model = jaxnn.serial(jaxnn.as_layer(jaxnn.lstm(3, 4)), jaxnn.dense(4, 2))
    >>> weights = jaxnn.interop.flax_linen.to_params(model, model.init(jax.random.key(0)))
    >>> weights["layers_1"]["kernel"].shape
    (4, 2)
    """
    wanted = None if like is None else flat("to_params", like, "/")
    return nested(to_named(LINEN, "to_params", model, params, prefix, wanted), "/")


def in_rnn(name: str) -> str:
    """The arrays of a cell inside an RNN of flax."""
    return f"cell/{name}"


def alone(name: str) -> str:
    """The arrays of a cell by itself."""
    return name


LINEN = Library(
    "flax.linen",
    "jaxnn.interop.flax_linen",
    "/",
    by_place("layers_{}"),
    lambda kind, given: (in_rnn, alone),
    lambda tree, shapes, given: apart(LINEN, "forward_rnn", "backward_rnn", tree, shapes, given),
)
