"""A table of a tree's parameters."""

from typing import Any

import jax
import numpy as np

from jaxnn.functions.checks import is_array, leaves_by_path
from jaxnn.types import Params


def path_text(path: Any) -> str:
    """A tree path as 'layers.0.kernel'."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def array_leaves(name: str, params: Params) -> list[tuple[Any, Any]]:
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
