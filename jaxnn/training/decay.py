"""Which parameters weight decay acts on."""

from typing import Any

import jax

from jaxnn.functions.describe import array_leaves, path_text
from jaxnn.types import Params


def decay_mask(params: Params) -> Any:
    """True for kernels and False for everything else: what weight decay should act on.

    A kernel is a leaf whose last name on its path is `kernel` or ends in `_kernel`; biases,
    peepholes, scales, tables and initial states do not decay.

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
    leaves = array_leaves("decay_mask", params)
    if leaves and not any(_is_name(key) for path, _ in leaves for key in path):
        raise ValueError(
            "decay_mask: params must have named fields, since kernels are told by their names; "
            "there are none"
        )
    return jax.tree_util.tree_map_with_path(
        lambda path, _: ("_" + path_text(path).rsplit(".", 1)[-1]).endswith("_kernel"), params
    )


def _is_name(key: Any) -> bool:
    """Whether an entry of a path is a field of a NamedTuple or of a class, or a word."""
    return isinstance(getattr(key, "name", getattr(key, "key", None)), str)
