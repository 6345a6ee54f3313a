"""What an array's type says of the mesh that it lies on."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec

from jaxnn.functions.describe import array_leaves, path_text


def varying_axes(tree: Any) -> frozenset[str]:
    """The axes of a `shard_map` along which some leaf differs from device to device."""
    return frozenset().union(*map(_axes_of_type, map(jax.typeof, jax.tree.leaves(tree))))


def _axes_of_type(kind: Any) -> frozenset[str]:
    return kind.manual_axis_type.varying


def zeros_of_type(kind: Any) -> jax.Array:
    """Zeros of the shape and dtype of a type, varying and sharded as it is."""
    zeros = vary(jnp.zeros(kind.shape, kind.dtype), _axes_of_type(kind))
    return laid_out_as(zeros, kind) if _is_explicit_type(kind) else zeros


def vary(tree: Any, axes: frozenset[str]) -> Any:
    """The same leaves, of a type that says that they may differ along the axes too.

    A scan wants its first state of the type of its last: zeros are the same on each device, and
    what a network makes of its own part of a batch is not.
    """

    def cast(leaf: Any) -> Any:
        missing = tuple(sorted(axes - varying_axes(leaf)))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(cast, tree)


def on_mesh(x: Any) -> bool:
    """Whether the compiler, or the type, may lay x over many devices.

    Then its axes stay apart: merging one that is sharded with another would gather it. Inside a
    `shard_map`, and on one device, everything is local.
    """
    mesh = jax.typeof(x).sharding.mesh
    return any(kind is not AxisType.Manual for kind in mesh.axis_types)


def whole_rows(x: jax.Array) -> jax.Array:
    """x with its last axis on every device, where its type says that it is sharded."""
    sharding = jax.typeof(x).sharding
    if sharding.spec[-1:] in ((), (None,)):
        return x
    return jax.sharding.reshard(x, sharding.update(spec=PartitionSpec(*sharding.spec[:-1], None)))


def is_explicit(x: Any) -> bool:
    """Whether the type of x says how it is sharded."""
    return _is_explicit_type(jax.typeof(x))


def _is_explicit_type(kind: Any) -> bool:
    return AxisType.Explicit in kind.sharding.mesh.axis_types


def laid_out_as(tree: Any, like: Any) -> Any:
    """A tree with the shardings of another one of equal shapes."""
    return jax.tree.map(lambda leaf, kind: jax.sharding.reshard(leaf, kind.sharding), tree, like)


def outline_of_step(tree: Any) -> Any:
    """The types of one time step of arrays over time, also where there is none."""

    def one(leaf: jax.Array) -> jax.Array:
        if isinstance(leaf.shape[0], int) and leaf.shape[0]:
            return leaf[0]
        reduce = jax.lax.reduce_or if leaf.dtype == bool else jax.lax.reduce_sum
        return reduce(leaf, (0,))

    return jax.eval_shape(lambda tree: jax.tree.map(one, tree), tree)


def over_time(x: jax.Array, time: Any, like: jax.Array) -> jax.Array:
    """x, as wide as `like` at each of so many time steps, and sharded as it is."""
    wide = jnp.broadcast_to(x, (time, *like.shape))
    if not is_explicit(like):
        return wide
    sharding = jax.typeof(like).sharding
    return jax.sharding.reshard(wide, sharding.update(spec=PartitionSpec(None, *sharding.spec)))


def hidden_specs(params: Any, axis: str) -> Any:
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
    >>> hidden_specs(jaxnn.gru(3, 8).init(jax.random.key(0)), "model").bias
    P(None, 'model')
    """

    if not isinstance(axis, str) or not axis:
        raise TypeError(f"hidden_specs: axis must be the name of a mesh axis, got {axis!r}")
    for path, leaf in array_leaves("hidden_specs", params):
        if not leaf.ndim:
            where = path_text(path) or "params"
            raise ValueError(
                f"hidden_specs: params must be those of cells, got a scalar among them, {where}"
            )
    return jax.tree.map(lambda leaf: PartitionSpec(*[None] * (leaf.ndim - 1), axis), params)
