"""Results whose batch axis under `vmap` is the first one, whatever computed them.

`vmap` of a `custom_jvp` (jax 0.10.2) takes the batch axis of its results from the function, also
where its rule has put it elsewhere: values come out transposed, or a shape error comes from inside
of JAX. So the function and its rule both end here, and their results are batched alike.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxnn.internal.symbolic_zeros import Tangent
from jaxnn.types import Array, PyTree, Tree


def pinned(results: Tree, inputs: PyTree) -> Tree:
    """The results as they are; under `vmap`, batched along their first axis if some input is.

    Args:
      results: a tree of arrays.
      inputs: all that they were computed from.
    """
    leaves, structure = jax.tree.flatten(results)
    return structure.unflatten(
        pinned_p.bind(*leaves, *jax.tree.leaves(inputs), count=len(leaves)) if leaves else leaves
    )


pinned_p = Primitive("pinned")
pinned_p.multiple_results = True


@pinned_p.def_impl
def _impl(*operands: Array, count: int) -> list[Array]:
    return list(operands[:count])


@pinned_p.def_abstract_eval
def _abstract(*operands: ShapedArray, count: int) -> list[ShapedArray]:
    return list(operands[:count])


def _jvp(
    primals: Sequence[Array], tangents: Sequence[Tangent], *, count: int
) -> tuple[list[Array], list[Tangent]]:
    return pinned_p.bind(*primals, count=count), list(tangents[:count])


def _batch(
    operands: Sequence[Array], axes: Sequence[int | None], *, count: int
) -> tuple[list[Array], list[int]]:
    pairs = list(zip(operands, axes, strict=True))
    size = next(leaf.shape[axis] for leaf, axis in pairs if axis is not None)
    first = [
        jnp.broadcast_to(leaf, (size, *leaf.shape)) if axis is None else jnp.moveaxis(leaf, axis, 0)
        for leaf, axis in pairs[:count]
    ]
    return pinned_p.bind(*first, *operands[count:], count=count), [0] * count


ad.primitive_jvps[pinned_p] = _jvp
batching.primitive_batchers[pinned_p] = _batch
mlir.register_lowering(pinned_p, lambda context, *operands, count: operands[:count])
