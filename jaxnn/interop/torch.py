"""Weights from and to torch, as a state_dict: names to arrays. torch itself is not needed."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jaxnn.internal.parts import Parts
from jaxnn.interop.codec import Codec, NoHomeError, renamed, together
from jaxnn.interop.convert import from_named, read_arrays, to_named
from jaxnn.interop.leaves import RECURRENT, recurrent_codec, recurrent_rows
from jaxnn.interop.walk import Library, Names, apart, by_place, inside
from jaxnn.types import Params


def from_state_dict(
    model: Any, weights: Mapping[str, Any], prefix: str = "", cast: bool = False
) -> Params:
    """The parameters of a jaxnn model from the state_dict of a torch module.

    The parts of a `serial` or `stack` with `names=` stand under their names (`lstm.weight_ih_l0`),
    those of one without under their places, as in torch.nn.Sequential (`0.weight_ih_l0`). A `stack`
    of equal cells, or a `serial` of them or of bidirectionals, may be one layer of torch with
    `num_layers`. A cell is an `LSTM` or an `LSTMCell`, whichever the names say. torch's two biases
    become their sum, but for that of n in a GRU. A learned initial state is at `start.hidden`
    beside its cell.

    It is differentiable: `jax.vjp` of it takes gradients of the parameters to those of the weights.

    Args:
      model: what the parameters are for.
      weights: names to arrays (numpy, jax, or torch tensors on the CPU that need no gradient).
      prefix: only names that begin with it are read.
      cast: whether floating dtypes other than the model's are converted; else they are refused.

    Returns:
      Parameters as `model.init` gives them, copied.

    Raises:
      TypeError: for arguments of a wrong type.
      ValueError: where names, shapes or dtypes differ, all of them listed, and for a model with
        parts that torch has no layer for (peepholes, coupled gates, `reset_after=False`, …).

    Source: the parameters of torch.nn.RNN, LSTM and GRU, docs.pytorch.org.

    >>> import jax, jaxnn, jaxnn.interop.torch, numpy as np
    >>> model = jaxnn.serial(jaxnn.as_layer(jaxnn.gru(3, 4)), jaxnn.dense(4, 2))
    >>> weights = jaxnn.interop.torch.to_state_dict(model, model.init(jax.random.key(0)))
    >>> list(weights)[:3], weights["1.weight"].shape
    (['0.weight_ih_l0', '0.weight_hh_l0', '0.bias_ih_l0'], (2, 4))
    >>> params = jaxnn.interop.torch.from_state_dict(model, weights)
    >>> params[1].kernel.shape
    (4, 2)
    """
    return from_named(TORCH, "from_state_dict", model, weights, prefix, cast)


def to_state_dict(
    model: Any, params: Params, prefix: str = "", like: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """The state_dict of a torch module from the parameters of a jaxnn model.

    `module.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})`
    takes it in. Of torch's two biases the second is zero, but for that of n in a GRU.

    Args:
      model, params: a model and its parameters.
      prefix: what every name begins with.
      like: the names to be made, such as `module.state_dict()`, where there is a choice: between
        layers and cells, and between one layer with `num_layers` and several. By default layers,
        and one for a `stack` of equal cells.

    Returns:
      Names to numpy arrays, of the dtypes of the parameters, in torch's order.

    Raises:
      TypeError: for a model, params or a prefix that is none.
      ValueError: for what torch has no layer for, and names that are not those of `like`.

    >>> import jax, jaxnn, jaxnn.interop.torch
    >>> cell = jaxnn.lstm(3, 4)
    >>> weights = jaxnn.interop.torch.to_state_dict(cell, cell.init(jax.random.key(0)), "lstm.")
    >>> weights["lstm.weight_ih_l0"].shape
    (16, 3)
    """
    return to_named(TORCH, "to_state_dict", model, params, prefix, like)


def read(path: str | os.PathLike[str], entry: str | None = None) -> dict[str, np.ndarray]:
    """The arrays of a file that torch.save wrote of a state_dict.

    It is read with `weights_only=True`: data, and nothing that runs. A file with more than that,
    such as a whole module, is refused.

    Args:
      path: a `.pt` or `.pth` file.
      entry: where the file is a checkpoint, a dict with further things, its key of the state_dict:
        "state_dict", "model".

    Returns:
      Names to numpy arrays.

    Raises:
      ValueError: where names and tensors are not all that is there, and for a file that is damaged.
      OSError: where it cannot be read.
      ImportError: without torch (in the extra `torch`).
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError("read needs torch: pip install 'jaxnn-cells[torch]'") from error
    import pickle

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"read: {path} is damaged, or more than data: {error}") from error
    except (EOFError, RuntimeError) as error:
        raise ValueError(f"read: {path} is damaged: {error}") from error
    if entry is not None and isinstance(content, Mapping) and entry in content:
        content = content[entry]
    elif entry is not None:
        raise ValueError(f"read: {path} has no entry {entry!r}, but {_keys(content)}")
    if not isinstance(content, Mapping) or not all(map(torch.is_tensor, content.values())):
        raise ValueError(
            f"read: {path} must hold names and tensors alone, or have an entry= with them; it has "
            f"{_keys(content)}"
        )
    return read_arrays("read", {name: tensor.detach() for name, tensor in content.items()})


def _keys(content: Any) -> str:
    keys = list(content) if isinstance(content, Mapping) else [type(content).__name__]
    return ", ".join(map(repr, keys[:12])) + (", …" if len(keys) > 12 else "")


def _layer(suffix: str) -> Any:
    """The names of one direction of one layer of torch.nn.RNN, LSTM or GRU."""
    return lambda name: f"{name}{suffix}"


def _directions(tree: Parts, shapes: Params, given: Names) -> list[Codec]:
    """As `bidirectional=True` where both cells are of one kind, or as two layers by name."""
    both = list(tree.parts.values())
    found = []
    if _one_layer(both):
        suffixes = ("_l0", "_l0_reverse")
        found = [together([_bare(p, s) for p, s in zip(both, suffixes, strict=True)])]
    try:
        return [*found, *apart(TORCH, "forward", "backward", tree, shapes, given)]
    except NoHomeError:
        if found:
            return found
        raise


def _deep(tree: Parts, shapes: Params, given: Names) -> list[Codec]:
    """A container of equal cells, or of bidirectionals of them, as one layer with `num_layers`."""
    del shapes, given
    if tree.kind == "parallel" or tree.options.get("residual"):
        return []
    layers = [_cells(part) for part in tree.parts.values()]
    cells = [cell for layer in layers for cell in layer]
    if len({len(layer) for layer in layers}) != 1 or not _one_layer(cells):
        return []
    codecs = []
    for index, layer in enumerate(layers):
        suffixes = (f"_l{index}", f"_l{index}_reverse")
        each = [_bare(p, s) for p, s in zip(layer, suffixes, strict=False)]
        codecs.append(each[0] if len(each) == 1 else together(each))
    return [together(codecs)]


def _cells(tree: Parts) -> list[Parts]:
    """The cells of one layer, forward first."""
    tree = inside(tree)
    return list(tree.parts.values()) if tree.kind == "bidirectional" else [tree]


def _one_layer(cells: list[Parts]) -> bool:
    """Whether torch could have these cells in one layer: of one kind, and of one size but for x."""
    trees = [inside(cell) for cell in cells]
    sizes = ("hidden_size", "projection_size", "bias", "activation", "reset_after")
    same = {(tree.kind, *(tree.options.get(name) for name in sizes)) for tree in trees}
    return len(same) == 1 and trees[0].kind in RECURRENT and _has_home(trees[0])


def _has_home(tree: Parts) -> bool:
    try:
        return bool(recurrent_rows("torch", tree))
    except NoHomeError:
        return False


def _bare(tree: Parts, suffix: str) -> Codec:
    tree = inside(tree)
    (row,) = recurrent_rows("torch", tree)
    return renamed(recurrent_codec(row, tree), _layer(suffix))


TORCH = Library(
    "torch",
    "jaxnn.interop.torch",
    ".",
    by_place("{}"),
    lambda kind, given: (_layer("_l0"), _layer("")),
    _directions,
    _deep,
)
