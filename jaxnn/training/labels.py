"""What each parameter is, in a word, for optimisers that treat them in groups."""

from typing import Any

import jax
import optax
from jax.tree_util import KeyPath

from jaxnn.cells.causal_conv import CausalConvParams
from jaxnn.cells.rg_lru import RGLRUParams
from jaxnn.functions.params import check_named, is_kernel, last_name
from jaxnn.transforms.initial_state import LearnedInitialStateParams
from jaxnn.types import Params, PyTree

WORDS = {
    "recurrent_kernel": "recurrent_kernel",
    "projection": "projection",
    "peephole": "peephole",
    "scale": "norm",
    "input_gain": "norm",
    "recurrent_gain": "norm",
    "input_kernel_gain": "norm",
    "recurrent_kernel_gain": "norm",
    "cell_gain": "norm",
    "table": "embedding",
    "eigenvalues": "dynamics",
    "log_step": "dynamics",
    "input_decay": "dynamics",
    "log_decay": "dynamics",
    "log_phase": "dynamics",
    "log_gain": "dynamics",
    "log_rates": "dynamics",
    "log_tau": "dynamics",
    "decay": "dynamics",
    "recurrent_weight": "dynamics",
}
"""What the names of the library's parameters say, beside those that end in kernel or bias."""


def labels(params: Params) -> PyTree:
    """A word for each parameter: for `optax.partition`, which trains every group by its own rule.

    - `kernel`: a leaf `kernel`, or that ends in `_kernel`
    - `recurrent_kernel`, and `projection`, that of an LSTM
    - `bias`: a leaf `bias`, or that ends in `_bias`
    - `peephole`
    - `norm`: the `scale` of a normalisation; the gains of the norms of cells, and of `weight_norm`
    - `embedding`: its `table`
    - `dynamics`: the numbers from which a recurrence has its eigenvalues, steps or time constants,
      which are mostly trained at a lower rate, and never decay (Gu et al. 2022; Orvieto et al.
      2023)
    - `initial_state`: what `learned_initial_state` learns
    - `other`: anything else

    Args:
      params: any pytree with named fields (or string keys); the last name on a path counts.

    Returns:
      A tree of words of the same structure.

    Raises:
      TypeError: for None, and for a leaf that is not an array.
      ValueError: where no leaf has a name.

    >>> import jax, jaxnn
    >>> jaxnn.training.labels(jaxnn.elman(2, 3).init(jax.random.key(0)))
    ElmanParams(input_kernel='kernel', recurrent_kernel='recurrent_kernel', bias='bias')
    """
    check_named("labels", params)
    return jax.tree_util.tree_map_with_path(_label, params, is_leaf=_has_start)


def _has_start(node: object) -> bool:
    return isinstance(node, LearnedInitialStateParams)


def _label(path: KeyPath, leaf: Any) -> Any:
    if isinstance(leaf, LearnedInitialStateParams):
        start = jax.tree.map(lambda _: "initial_state", leaf.start)
        inner = jax.tree_util.tree_map_with_path(_label, leaf.cell, is_leaf=_has_start)
        return LearnedInitialStateParams(inner, start)
    name = last_name(path)
    if f"_{name}".endswith("_bias"):
        return "bias"
    return WORDS.get(name, "kernel" if is_kernel(name) else "other")


def muon_dimensions(params: Params) -> PyTree:
    """How Muon reads each kernel: as the matrix of each gate, which is orthogonalised by itself.

    `optax.contrib.muon` takes matrices. A kernel `(input, gates, hidden)` is one for each gate,
    that of a convolution `(*window, input, output)` one from all that a window sees to the outputs,
    and a complex one `(input, 2, hidden)` two. Whatever is no such kernel gets None, and is trained
    by Adam: biases, peepholes, scales and tables, and the kernel of a `causal_conv`, which has one
    number for each step and feature. The heads of an `slstm` stay side by side in one matrix.

    Args:
      params: any pytree with named fields, as `labels`.

    Returns:
      A tree of `optax.contrib.MuonDimensionNumbers` and None, for
      `optax.contrib.muon(..., muon_weight_dimension_numbers=muon_dimensions)`.

    Raises:
      TypeError, ValueError: as `labels`.
      ImportError: where optax is older than 0.2.6.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon.

    >>> import jax, jaxnn
    >>> found = jaxnn.training.muon_dimensions(jaxnn.gru(2, 3).init(jax.random.key(0)))
    >>> found.input_kernel, found.bias
    (MuonDimensionNumbers(reduction_axis=(0,), output_axis=(2,)), None)
    """
    check_named("muon_dimensions", params)
    if not hasattr(optax.contrib, "MuonDimensionNumbers"):
        raise ImportError("muon_dimensions needs optax 0.2.6 or later: pip install -U optax")
    return jax.tree_util.tree_map_with_path(_dimensions, params, is_leaf=_is_special)


def _is_special(node: object) -> bool:
    return isinstance(node, (LearnedInitialStateParams, CausalConvParams, RGLRUParams))


def _dimensions(path: KeyPath, leaf: Any) -> Any:
    if isinstance(leaf, LearnedInitialStateParams):
        start = _nothing(leaf.start)
        inner = jax.tree_util.tree_map_with_path(_dimensions, leaf.cell, is_leaf=_is_special)
        return LearnedInitialStateParams(inner, start)
    if isinstance(leaf, CausalConvParams):
        return _nothing(leaf)
    if isinstance(leaf, RGLRUParams):  # a matrix for each block and gate
        return _nothing(leaf)._replace(input_kernel=_numbers((1,), 3))
    name = last_name(path)
    if leaf.ndim < 2 or not (name == "projection" or is_kernel(name)):
        return None
    gates = leaf.ndim > 2 and name != "kernel"
    return _numbers(tuple(range(leaf.ndim - 1 - gates)), leaf.ndim - 1)


def _nothing(tree: PyTree) -> Any:
    return jax.tree.map(lambda _: None, tree)


def _numbers(inputs: tuple[int, ...], output: int) -> Any:
    return optax.contrib.MuonDimensionNumbers(inputs, (output,))
