"""What an array's type says of the mesh that it lies on."""

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxnn.types import Array, ArrayLike, PyTree, Tree


def varying_axes(tree: PyTree) -> frozenset[str]:
    """The axes of a `shard_map` along which some leaf differs from device to device."""
    return frozenset().union(*map(_axes_of_type, map(jax.typeof, jax.tree.leaves(tree))))


def _axes_of_type(kind: ShapedArray) -> frozenset[str]:
    return kind.manual_axis_type.varying


def zeros_of_type(kind: ShapedArray) -> jax.Array:
    """Zeros of the shape and dtype of a type, varying and sharded as it is."""
    zeros = vary(jnp.zeros(kind.shape, kind.dtype), _axes_of_type(kind))
    return laid_out_as(zeros, kind) if _is_explicit_type(kind) else zeros


def outline_of_type(kind: ShapedArray) -> jax.ShapeDtypeStruct:
    """What a function can be traced with in the place of an array of a type, varying and sharded as
    it is."""
    axes = kind.manual_axis_type
    sharding = kind.sharding if _is_explicit_type(kind) else None
    if axes.varying and sharding is None:
        sharding = NamedSharding(kind.sharding.mesh, PartitionSpec())
    return jax.ShapeDtypeStruct(kind.shape, kind.dtype, sharding=sharding, manual_axis_type=axes)


def vary(tree: Tree, axes: frozenset[str]) -> Tree:
    """The same leaves, of a type that says that they may differ along the axes too.

    A scan wants its first state of the type of its last: zeros are the same on each device, and
    what a network makes of its own part of a batch is not.
    """

    def cast(leaf: Array) -> Array:
        missing = tuple(sorted(axes - varying_axes(leaf)))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(cast, tree)


def on_mesh(x: ArrayLike) -> bool:
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


def is_explicit(x: Array) -> bool:
    """Whether the type of x says how it is sharded."""
    return _is_explicit_type(jax.typeof(x))


def _is_explicit_type(kind: ShapedArray) -> bool:
    return AxisType.Explicit in kind.sharding.mesh.axis_types


def laid_out_as(tree: Tree, like: PyTree) -> Tree:
    """A tree with the shardings of another one of equal shapes."""
    return jax.tree.map(lambda leaf, kind: jax.sharding.reshard(leaf, kind.sharding), tree, like)


def outline_of_step(tree: Tree) -> Tree:
    """The types of one time step of arrays over time, also where there is none."""

    def one(leaf: jax.Array) -> jax.Array:
        if isinstance(leaf.shape[0], int) and leaf.shape[0]:
            return leaf[0]
        reduce = jax.lax.reduce_or if leaf.dtype == bool else jax.lax.reduce_sum
        return reduce(leaf, (0,))

    return with_mesh(jax.eval_shape(lambda tree: jax.tree.map(one, tree), tree))


def with_mesh(outlines: Tree) -> Tree:
    """What `jax.eval_shape` gives, so that it can be traced again: inside of a `shard_map` over
    some axes only, jax 0.10.2 leaves out the mesh, without which nothing may vary."""

    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return outlines

    def one(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        if leaf.sharding is not None or not leaf.manual_axis_type:
            return leaf
        return leaf.update(sharding=NamedSharding(mesh, PartitionSpec()))

    return jax.tree.map(one, outlines)


def over_time(x: jax.Array, time: int, like: jax.Array) -> jax.Array:
    """x, as wide as `like` at each of so many time steps, and sharded as it is."""
    wide = jnp.broadcast_to(x, (time, *like.shape))
    if not is_explicit(like):
        return wide
    sharding = jax.typeof(like).sharding
    return jax.sharding.reshard(wide, sharding.update(spec=PartitionSpec(None, *sharding.spec)))
