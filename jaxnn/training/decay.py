"""Which parameters weight decay acts on."""

from typing import Any

import jax

from jaxnn.functions.checks import is_array, shape_text
from jaxnn.functions.describe import path_text
from jaxnn.training.checks import NUMBERS
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
      TypeError: for None, or a leaf that is no array.

    >>> import jax, jaxnn
    >>> decay_mask(jaxnn.dense(2, 3).init(jax.random.key(0)))
    DenseParams(kernel=True, bias=False)
    """
    if params is None:
        raise TypeError("decay_mask: params must hold arrays, got None")
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not is_array(leaf) and not isinstance(leaf, NUMBERS):
            raise TypeError(
                f"decay_mask: params{jax.tree_util.keystr(path)} must be an array, got "
                f"{shape_text(leaf)}"
            )
    return jax.tree_util.tree_map_with_path(
        lambda path, _: ("_" + path_text(path).rsplit(".", 1)[-1]).endswith("_kernel"), params
    )
