"""Trees at the border of a file: plain dictionaries by path, which need no type of ours.

An array stays an array; any other tree becomes a dictionary of its leaves by their paths, such as
`{"0.hidden": ..., "0.cell": ...}`. A tree of nothing, such as the state of a layer, is `{}`.
"""

from typing import Any

import jax

from jaxnn.functions.params import path_text
from jaxnn.internal.checks import leaves_by_path
from jaxnn.training.named_arrays import named_leaves
from jaxnn.types import PyTree

Outward = Any
"""An array, or a dictionary of arrays by path."""


def outward(name: str, tree: PyTree) -> Outward:
    """A tree as it is outside.

    Raises:
      ValueError: where two leaves have one path.
    """
    leaves = leaves_by_path("save", name, tree)
    if len(leaves) == 1 and not leaves[0][0]:
        return tree
    flat = {path_text(path): leaf for path, leaf in leaves}
    if len(flat) < len(leaves):
        paths = [path_text(path) for path, _ in leaves]
        twice = next(path for path in paths if paths.count(path) > 1)
        raise ValueError(f"save: two leaves of {name} have the path {twice}")
    return flat


def weights_of(params: PyTree) -> dict[str, Any]:
    """Parameters as they are outside: a dictionary in any case."""
    return named_leaves("save", "params", params) if jax.tree.leaves(params) else {}


def inward(flat: Outward, like: PyTree) -> PyTree:
    """The tree again, of the structure of `like`."""
    leaves = jax.tree_util.tree_leaves_with_path(like)
    if len(leaves) == 1 and not leaves[0][0]:
        return flat["value"] if isinstance(flat, dict) else flat
    return jax.tree.unflatten(jax.tree.structure(like), [flat[path_text(p)] for p, _ in leaves])


def described(flat: Outward) -> Any:
    """The shapes and dtypes, in words that JSON has; a symbolic size is its name."""
    if isinstance(flat, dict):
        return {name: described(leaf) for name, leaf in flat.items()}
    shape = [size if isinstance(size, int) else str(size) for size in flat.shape]
    return {"dtype": str(flat.dtype), "shape": shape}


def described_leaves(name: str, description: Any) -> dict[str, Any]:
    """The leaves of what `described` gives, each under what one would write for it."""
    if set(description) == {"dtype", "shape"} and isinstance(description["dtype"], str):
        return {name: description}
    return {f"{name}[{path!r}]": leaf for path, leaf in description.items()}
