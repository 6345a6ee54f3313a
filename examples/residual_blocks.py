"""The deep network that sequential_images.py and selective_copy.py put every cell into."""

import bisect
from collections.abc import Callable
from typing import Any

import jax

import jaxnn
from jaxnn.types import Cell

Make = Callable[[int, int], tuple[Cell, int]]
"""`cell, features = make(width, size)`: takes `width` features, and puts out `features`."""

CELLS: dict[str, Make] = {
    "lru": lambda width, size: (jaxnn.lru(width, size, r_min=0.9, r_max=0.999), width),
    "s5": lambda width, size: (jaxnn.s5(width, 2 * size), width),
    "min_gru": lambda width, size: (jaxnn.min_gru(width, size), size),
    "gru": lambda width, size: (jaxnn.gru(width, size), size),
    "lstm": lambda width, size: (jaxnn.lstm(width, size), size),
}


def blocks(
    make: Make, size: int, inputs: int, width: int, depth: int, dropout: float = 0.0
) -> Cell:
    """A dense layer, `depth` residual blocks and a layer norm; a block is a layer norm, a cell, a
    GELU and a dense layer.

    >>> import jax.numpy as jnp
    >>> model = blocks(CELLS["gru"], size=6, inputs=3, width=4, depth=2)
    >>> model.unroll(model.init(jax.random.key(0)), jnp.ones((5, 2, 3)))[1].shape
    (5, 2, 4)
    """
    residuals = []
    for _ in range(depth):
        cell, features = make(width, size)
        after = [jaxnn.activation(jax.nn.gelu), jaxnn.dense(features, width)]
        if dropout:
            after.insert(1, jaxnn.dropout(dropout))
        residuals.append(jaxnn.residual(jaxnn.stack(jaxnn.layer_norm(width), cell, *after)))
    return jaxnn.stack(jaxnn.dense(inputs, width), *residuals, jaxnn.layer_norm(width))


def count(model: Any) -> int:
    """How many parameters a model has.

    >>> count(jaxnn.dense(3, 4))
    16
    """
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def largest(network: Callable[[int], Any], parameters: int) -> Any:
    """The network of the largest size that has no more parameters.

    >>> largest(lambda size: jaxnn.dense(3, size), 18)
    dense(3, 4)
    """
    sizes = range(1, 256)
    found = bisect.bisect_right(sizes, parameters, key=lambda size: count(network(size)))
    return network(max(1, found))
