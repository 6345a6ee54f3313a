"""What is said of the parameters of a model: a table, which of them decay, how to shard them."""

import jax
import numpy as np
from jax.sharding import PartitionSpec
from jax.tree_util import KeyPath

from jaxnn.internal.checks import is_array, leaves_by_path
from jaxnn.types import Params, PyTree, Shaped


def path_text(path: KeyPath) -> str:
    """A tree path as 'layers.0.kernel'."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def array_leaves(name: str, params: Params) -> list[tuple[KeyPath, Shaped]]:
    """The leaves of a tree of arrays, with their paths; TypeError for anything else."""
    if params is None:
        raise TypeError(f"{name}: params must be a tree of arrays, as init gives them; got None")
    leaves = leaves_by_path(name, "params", params)
    for path, leaf in leaves:
        if not is_array(leaf):
            where = path_text(path) or "params"
            raise TypeError(f"{name}: {where} is no array but {type(leaf).__name__}")
    return leaves


def describe(params: Params) -> str:
    """A table of paths, shapes, dtypes, counts and bytes, with the total.

    Args:
      params: any pytree of arrays, or of `jax.ShapeDtypeStruct`s (from `jax.eval_shape`).

    Returns:
      The table, as text.

    Raises:
      TypeError: for None, and for a leaf that is not an array.

    >>> import jax, jaxnn
    >>> print(describe(jaxnn.gru(2, 3).init(jax.random.key(0))))
    path              shape      dtype    count  bytes
    input_kernel      (2, 3, 3)  float32     18     72
    recurrent_kernel  (3, 3, 3)  float32     27    108
    bias              (3, 3)     float32      9     36
    recurrent_bias    (3,)       float32      3     12
    total                                    57    228
    """
    rows = [("path", "shape", "dtype", "count", "bytes")]
    total_count = total_bytes = 0
    for path, leaf in array_leaves("describe", params):
        where = path_text(path)
        count = int(np.prod(leaf.shape, dtype=np.int64))
        size = count * leaf.dtype.itemsize
        total_count, total_bytes = total_count + count, total_bytes + size
        rows.append((where, str(tuple(leaf.shape)), str(leaf.dtype), f"{count:,}", f"{size:,}"))
    rows.append(("total", "", "", f"{total_count:,}", f"{total_bytes:,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join(
            text.ljust(width) if column < 3 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def decay_mask(params: Params) -> PyTree:
    """True for kernels and False for everything else: what weight decay should act on.

    A kernel is a leaf whose last name on its path is `kernel`, `projection` (of an LSTM) or ends in
    `_kernel`; biases, peepholes, scales, tables and initial states do not decay.

    Args:
      params: any pytree with named fields (or string keys).

    Returns:
      A tree of booleans of the same structure, for `optax.adamw(..., mask=decay_mask)`.

    Raises:
      TypeError: for None, and for a leaf that is not an array.
      ValueError: where no leaf has a name, so that nothing would decay in silence.

    >>> import jax, jaxnn
    >>> decay_mask(jaxnn.dense(2, 3).init(jax.random.key(0)))
    DenseParams(kernel=True, bias=False)
    """
    check_named("decay_mask", params)
    return jax.tree_util.tree_map_with_path(
        lambda path, _: last_name(path) == "projection" or is_kernel(last_name(path)), params
    )


def check_named(name: str, params: Params) -> None:
    """Raise unless params are a tree of arrays with names, by which kernels are told."""
    leaves = array_leaves(name, params)
    if leaves and not any(_is_name(key) for path, _ in leaves for key in path):
        raise ValueError(
            f"{name}: params must have named fields, since kernels are told by their names; "
            f"there are none"
        )


def last_name(path: KeyPath) -> str:
    """The last name on a path: 'kernel'."""
    return path_text(path).rsplit(".", 1)[-1]


def is_kernel(name: str) -> bool:
    """Whether that of a leaf is `kernel` or ends in `_kernel`."""
    return f"_{name}".endswith("_kernel")


def _is_name(key: object) -> bool:
    """Whether an entry of a path is a field of a NamedTuple or of a class, or a word."""
    return isinstance(getattr(key, "name", getattr(key, "key", None)), str)


def hidden_partition_specs(params: Params, axis: str) -> PyTree:
    """How to lay the parameters of cells over devices along their hidden axis.

    The hidden axis is the last one of each parameter of a cell, and its gates stand apart from it,
    so that all gates of a unit are on one device. A step of the forward loop then sends one
    all-gather, one of the backward loop one all-reduce. It has to divide by the number of devices.

    Args:
      params: the parameters of a cell, or a tree of them.
      axis: the name of the mesh axis.

    Returns:
      A tree of `jax.sharding.PartitionSpec`, for `jax.device_put` with `NamedSharding`s or for the
      `in_shardings` of `jax.jit`.

    Raises:
      TypeError: for None, a leaf that is not an array, and an axis that is no name.
      ValueError: for a parameter that is a scalar.

    >>> import jax, jaxnn
    >>> hidden_partition_specs(jaxnn.gru(3, 8).init(jax.random.key(0)), "model").bias
    P(None, 'model')
    """

    if not isinstance(axis, str) or not axis:
        raise TypeError(
            f"hidden_partition_specs: axis must be the name of a mesh axis, got {axis!r}"
        )
    for path, leaf in array_leaves("hidden_partition_specs", params):
        if not leaf.ndim:
            where = path_text(path) or "params"
            raise ValueError(
                f"hidden_partition_specs: params must be those of cells, got a scalar among them, "
                f"{where}"
            )
    return jax.tree.map(lambda leaf: PartitionSpec(*[None] * (leaf.ndim - 1), axis), params)
