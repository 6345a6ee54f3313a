"""Weights from and to flax.nnx's state, a pure dict. flax itself is not needed."""

from collections.abc import Mapping
from typing import Any

from jaxnn.interop.convert import flat, from_named, nested, to_named
from jaxnn.interop.flax_linen import alone, in_rnn
from jaxnn.interop.walk import Library, apart, by_place
from jaxnn.types import Params


def from_state(
    model: Any, weights: Mapping[Any, Any], prefix: str = "", cast: bool = False
) -> Params:
    """The parameters of a jaxnn model from the state of a flax.nnx module.

    `weights` is `nnx.to_pure_dict(nnx.state(module, nnx.Param))`. The parts of a `serial` or
    `stack` with `names=` stand under their names, as attributes of a module; those of one without
    under "layers/0", "layers/1", … as in nnx.Sequential. Both LSTM cells of nnx are read. nnx's
    GRUCell has no bias on the side of h: ours is zero.

    Args:
      model: what the parameters are for. Every recurrent layer of nnx has a bias.
      weights: nested mappings, or a flat one whose names are joined by "/".
      prefix: only names that begin with it are read ("encoder/").
      cast: whether floating dtypes other than the model's are converted; else they are refused.

    Returns:
      Parameters as `model.init` gives them, copied.

    Raises:
      TypeError: for arguments of a wrong type.
      ValueError: where names, shapes or dtypes differ, all of them listed, and for a model with
        parts that nnx has no layer for; with `bias=False` where a bias is not zero.

    Source: flax.nnx.nn.recurrent, flax 0.12.

    >>> import jax, jaxnn, jaxnn.interop.flax_nnx
    >>> cell = jaxnn.lstm(3, 4)
    >>> weights = jaxnn.interop.flax_nnx.to_state(cell, cell.init(jax.random.key(0)))
    >>> weights["cell"]["dense_i"]["kernel"].shape
    (3, 16)
    >>> jaxnn.interop.flax_nnx.from_state(cell, weights).input_kernel.shape
    (3, 4, 4)
    """
    given = flat("from_state", weights, "/")
    return from_named(NNX, "from_state", model, given, prefix, cast)


def to_state(
    model: Any, params: Params, prefix: str = "", like: Mapping[Any, Any] | None = None
) -> dict[Any, Any]:
    """A pure dict for `nnx.replace_by_pure_dict` from the parameters of a jaxnn model.

    Args:
      model, params: a model and its parameters.
      prefix: what every name begins with.
      like: a pure dict whose names are to be made, where there is a choice: nnx.RNN (the default)
        or a cell by itself, OptimizedLSTMCell (the default) or LSTMCell.

    Returns:
      Nested dicts of numpy arrays, of the dtypes of the parameters; places in a list are integers.

    Raises:
      TypeError: for a model, params or a prefix that is none.
      ValueError: for what nnx has no layer for, a GRU's `recurrent_bias` that is not zero, and
        names that are not those of `like`.

    >>> import jax, jaxnn, jaxnn.interop.flax_nnx
    >>> model = jaxnn.serial(jaxnn.as_layer(jaxnn.lstm(3, 4)), jaxnn.dense(4, 2))
    >>> weights = jaxnn.interop.flax_nnx.to_state(model, model.init(jax.random.key(0)))
    >>> weights["layers"][1]["kernel"].shape
    (4, 2)
    """
    wanted = None if like is None else flat("to_state", like, "/")
    return _places(nested(to_named(NNX, "to_state", model, params, prefix, wanted), "/"))


def _places(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    return {int(key) if key.isdigit() else key: _places(value) for key, value in tree.items()}


NNX = Library(
    "flax.nnx",
    "jaxnn.interop.flax_nnx",
    "/",
    by_place("layers/{}"),
    lambda kind, given: (in_rnn, alone),
    lambda tree, shapes, given: apart(NNX, "forward_rnn", "backward_rnn", tree, shapes, given),
)
