"""Weights from and to equinox modules, whose leaves are named by their paths. equinox itself is not
needed: its modules are pytrees."""

from collections.abc import Iterable
from typing import Any, TypeVar

import jax
import numpy as np

from jaxnn.internal.checks import is_array, shape_text
from jaxnn.interop.convert import from_named, to_named
from jaxnn.interop.walk import Library, apart, by_place
from jaxnn.types import Params

T = TypeVar("T")


def from_module(model: Any, module: Any, prefix: str = "", cast: bool = False) -> Params:
    """The parameters of a jaxnn model from an equinox module.

    The parts of a `serial` or `stack` with `names=` stand under their names, as the fields of a
    module; those of one without under "layers.0", "layers.1", … as in equinox.nn.Sequential.

    Args:
      model: what the parameters are for.
      module: an equinox module, or a mapping of paths ("cell.weight_ih") to arrays.
      prefix: only paths that begin with it are read.
      cast: whether floating dtypes other than the model's are converted; else they are refused.

    Returns:
      Parameters as `model.init` gives them, copied.

    Raises:
      TypeError: for arguments of a wrong type.
      ValueError: where paths, shapes or dtypes differ, all of them listed, and for a model with
        parts that equinox has no layer for.

    Source: equinox.nn.LSTMCell and GRUCell, equinox 0.13.

    >>> import jaxnn, jaxnn.interop.equinox, numpy as np
    >>> weights = {"weight": np.ones((2, 3), np.float32), "bias": np.zeros(2, np.float32)}
    >>> jaxnn.interop.equinox.from_module(jaxnn.dense(3, 2), weights).kernel.shape
    (3, 2)
    """
    return from_named(EQUINOX, "from_module", model, paths(module), prefix, cast)


def to_arrays(
    model: Any, params: Params, prefix: str = "", like: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """The arrays of an equinox module by their paths, from the parameters of a jaxnn model.

    Args:
      model, params: a model and its parameters.
      prefix: what every path begins with.
      like: paths that are to be made, where there is a choice.

    Returns:
      Paths to numpy arrays, of the dtypes of the parameters.

    Raises:
      TypeError: for a model, params or a prefix that is none.
      ValueError: for what equinox has no layer for, and paths that are not those of `like`.

    >>> import jax, jaxnn, jaxnn.interop.equinox
    >>> cell = jaxnn.gru(3, 4)
    >>> list(jaxnn.interop.equinox.to_arrays(cell, cell.init(jax.random.key(0))))
    ['weight_ih', 'weight_hh', 'bias', 'bias_n']
    """
    return to_named(EQUINOX, "to_arrays", model, params, prefix, like)


def to_module(model: Any, params: Params, module: T, prefix: str = "") -> T:
    """An equinox module with the parameters of a jaxnn model in the place of its own.

    Args:
      model, params: a model and its parameters.
      module: an equinox module; what does not stand under the prefix stays as it is.
      prefix: what the paths of the arrays begin with.

    Returns:
      A module of the same structure.

    Raises:
      TypeError: for a model, params or a prefix that is none.
      ValueError: for what equinox has no layer for, and where the module has other arrays there.
    """
    there = paths(module)
    arrays = to_named(EQUINOX, "to_module", model, params, prefix, there)
    differ = [
        f"{path}: {shape_text(array)}, in the module {shape_text(there[path])}"
        for path, array in arrays.items()
        if (array.shape, array.dtype) != (there[path].shape, there[path].dtype)
    ]
    if differ:
        listed = "\n  ".join(differ)
        raise ValueError(f"to_module: the module has other arrays:\n  {listed}")

    def replaced(path: Any, leaf: Any) -> Any:
        array = arrays.get(_text(path))
        return leaf if array is None else jax.numpy.array(array, copy=True)

    return jax.tree_util.tree_map_with_path(replaced, module)


def paths(module: Any) -> dict[str, Any]:
    """The arrays of a pytree by their paths, joined by dots; other leaves are left out.

    >>> import jaxnn.interop.equinox, numpy as np
    >>> list(jaxnn.interop.equinox.paths({"cell": [np.ones(2), np.ones(3), "text"]}))
    ['cell.0', 'cell.1']
    """
    leaves = jax.tree_util.tree_leaves_with_path(module)
    return {_text(path): leaf for path, leaf in leaves if is_array(leaf)}


def _text(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _itself(name: str) -> str:
    return name


EQUINOX = Library(
    "equinox",
    "jaxnn.interop.equinox",
    ".",
    by_place("layers.{}"),
    lambda kind, given: (_itself,),
    lambda tree, shapes, given: apart(EQUINOX, "forward", "backward", tree, shapes, given),
)
