"""The devices: a mesh of all of them, and arrays on it."""

import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding

from jaxnn.internal.checks import is_traced
from jaxnn.internal.options import check_size
from jaxnn.types import Array, Tree

MOST = 4096
"""CPU devices: JAX would make a thread for each of any number, and not come back."""


def cpu_mesh(cores: int | None = None) -> Mesh:
    """A mesh of all devices, for `train_step`; on a CPU, of one device for each core.

    JAX takes a CPU for one device, however many cores it has, and a recurrent network, whose
    matmuls are small, keeps one of them busy. Call this before the first use of JAX, that is before
    the first array: the number of devices is fixed from there on. On a machine with an accelerator
    the mesh is of its devices. Among several processes each calls it, after
    `jax.distributed.initialize`; the mesh is of the devices of all.

    Args:
      cores: CPU devices to make; by default as many as this process may run on.

    Returns:
      A mesh of one axis, `batch`.

    Raises:
      TypeError: for `cores` that is no integer.
      ValueError: for `cores` below 1, or more than any machine has.
      RuntimeError: where JAX was used before, and its CPU has another number of devices.

    >>> mesh = cpu_mesh(1)  # without a number: all cores
    >>> mesh.axis_names
    ('batch',)
    """
    count = _cores() if cores is None else check_size("cpu_mesh", "cores", cores)
    if count > MOST:
        raise ValueError(f"cpu_mesh: cores must be {MOST} at the most, got {count}")
    used = False
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:  # jax was used before; that is no harm where its devices are as asked
        used = True
    local = jax.local_devices()
    if local[0].platform == "cpu" and len(local) != count:
        why = ", since jax was used before" if used else ""
        raise RuntimeError(
            f"cpu_mesh: the CPU has {len(local)} device{'s' * (len(local) > 1)} "
            f"already, not {count}{why}: call this before the first use of jax (the first array, "
            f"key or jax.devices())"
        )
    return Mesh(np.array(jax.devices()), ("batch",))


def _cores() -> int:
    """Those that this process may run on, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_mesh(mesh: object) -> None:
    """Raise TypeError unless mesh is None or a Mesh."""
    if mesh is not None and not isinstance(mesh, Mesh):
        raise TypeError(
            f"train_step: mesh must be a jax.sharding.Mesh, as jaxnn.training.cpu_mesh() gives "
            f"it, or None; got {type(mesh).__name__}"
        )


def share_spec(mesh: Mesh, axis: int | None) -> PartitionSpec:
    """`axis` is split over all axes of the mesh."""
    return PartitionSpec() if axis is None else PartitionSpec(*[None] * axis, mesh.axis_names)


def placed(mesh: Mesh, tree: Tree, axes: tuple[int | None, ...] | int | None) -> Tree:
    """The tree with each leaf on its devices: split along its axis, or on all of them."""
    leaves, structure = jax.tree.flatten(tree)
    axes = axes if isinstance(axes, tuple) else (axes,) * len(leaves)
    shardings = [_sharding(mesh, axis) for axis in axes]
    if all(map(_is_placed, leaves, shardings)):
        return tree
    # Where other processes have a part in it, jax places no typed keys: their numbers go instead.
    typed = [jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in leaves]
    given = [
        jax.random.key_data(leaf) if t else leaf for leaf, t in zip(leaves, typed, strict=True)
    ]
    put = zip(leaves, jax.device_put(given, shardings), typed, strict=True)
    return structure.unflatten(
        jax.random.wrap_key_data(new, impl=jax.random.key_impl(old)) if t else new
        for old, new, t in put
    )


def go_on(mesh: Mesh | None, like: Array) -> Array:
    """True, where a step leaves its own flags: on the mesh, or committed where `like` is."""
    if mesh is not None:
        return _true(_sharding(mesh, None))
    committed = not is_traced(like) and getattr(like, "committed", False)
    return _true(like.sharding if committed else None)


@functools.cache
def _true(sharding: Sharding | None) -> Array:
    """Placed once, since every step takes it."""
    with jax.ensure_compile_time_eval():
        return jnp.array(True) if sharding is None else jax.device_put(np.array(True), sharding)


@functools.cache
def _sharding(mesh: Mesh, axis: int | None) -> NamedSharding:
    return NamedSharding(mesh, share_spec(mesh, axis))


def _is_placed(leaf: object, sharding: NamedSharding) -> bool:
    if not isinstance(leaf, jax.Array) or is_traced(leaf):
        return False
    # On a mesh of one device a plain array would be equivalent too, but be another program.
    own = leaf.sharding
    named = isinstance(own, NamedSharding)
    return named and (own == sharding or own.is_equivalent_to(sharding, leaf.ndim))
