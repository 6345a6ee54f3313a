"""The same cell, for sequences that are cut along time over many devices."""

import functools
from typing import Any, TypeVar

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.inputs import time_of
from jaxnn.internal.options import check_option
from jaxnn.internal.parameters import init_checked
from jaxnn.internal.parts import Parts, parts
from jaxnn.recurrence.arguments import Arguments
from jaxnn.recurrence.cell import check_cell
from jaxnn.recurrence.unroll import unroll_by
from jaxnn.scans.over_devices import TimeShards, time_over
from jaxnn.types import Array, Cell, Params, PyTree, State, facts_of, with_facts

P = TypeVar("P")
S = TypeVar("S")


@factory
def shard_time(cell: Cell[P, S], mesh: Mesh, axis: str) -> Cell[P, S]:
    """A cell whose `unroll` runs sequences that are cut along time over the devices of a mesh.

    Each device holds `time / devices` steps of xs, mask, reset and ys. A recurrence that is linear
    in its state, s' = a∘s + b, needs no more than the product of a over each part, and the state
    that the part comes to from zeros: with those of every device, each knows the state that its own
    part begins with. So a recurrence sends two states a device by two all-gathers (one where a is
    the same for all steps, and one of flags more where there are resets, two in reverse), however
    many steps there are, and as many at most for its gradient. The values are those of the cell, to
    rounding.

    Args:
      cell: a Cell that is linear in its state (`min_gru`, `linear_cell`, an affine `split_cell`),
        or one made of such cells, and of layers that act on each step, by `stack`, `residual`,
        `learned_initial_state`, `output_state`, `with_method`.
      mesh: a `jax.sharding.Mesh`, such as `jax.make_mesh((8,), ("time",))`. Its other axes are left
        as they are: the batch may lie along one of them.
      axis: the name of the axis that time is cut along.

    Returns:
      A Cell with the params, states and numbers of `cell`. Of its `unroll`, ys is cut along time
      and the final state is on all devices, as params, state and start are taken to be. Given a
      key, device n draws from `jax.random.fold_in(key, n)`. `apply` is one step, as it was. It does
      not pickle, since a mesh does not.

    Raises:
      TypeError: where cell is no Cell, or has an `unroll` of somebody's own, or mesh is no Mesh.
      ValueError: for an axis that the mesh does not have; when it runs, for a number of steps that
        the devices do not share evenly, inside of a `shard_map` over the axis, and for a recurrence
        that is not linear in its state: there each device would wait for the one before it.

    Each device runs its part twice, so that n devices win n / 2 at most in the recurrence, and n in
    all that is done step by step. The product of a over a part must not overflow. Source: Blelloch
    1990; Martin & Cundy 2018 (arXiv 1709.04057).

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> mesh = jax.make_mesh((1,), ("time",), devices=jax.devices()[:1])
    >>> cell = jaxnn.shard_time(jaxnn.min_gru(3, 4), mesh, "time")
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((8, 2, 3)))
    >>> ys.shape
    (8, 2, 4)
    """
    check_cell("shard_time", "cell", cell)
    if not isinstance(mesh, Mesh):
        raise TypeError(f"shard_time: mesh must be a jax.sharding.Mesh, got {type(mesh).__name__}")
    check_option("shard_time", "axis", axis, mesh.axis_names, ", the axes of the mesh")
    _check_known(parts(cell))
    name = this_call()
    facts = facts_of(cell)
    init = with_facts(functools.partial(init_checked, name, cell.init), facts.event_ndim)
    unroll = unroll_by(_run, name, cell, mesh, axis)
    return Cell(init, cell.apply, cell.initial_state, unroll)


def _check_known(tree: Parts) -> None:
    """Raise unless a factory made all of it: of an `unroll` of somebody's own nothing is known."""
    if tree.factory is Cell:
        raise TypeError(
            "shard_time: cell must be made by jaxnn's factories, got one with an unroll of its "
            "own, which may do anything along time: use jaxnn.linear_cell"
        )
    for part in tree.parts.values():
        _check_known(part)


def _run(
    name: str, cell: Cell, mesh: Mesh, axis: str, params: Params, arguments: Arguments
) -> tuple[State, PyTree]:
    count = mesh.shape[axis]
    _check_divides(name, time_of(arguments.xs), count)
    xs, state, mask, reset, reverse, key, start = arguments
    around = jax.sharding.get_abstract_mesh()
    if axis in around.manual_axes:
        raise ValueError(
            f"{name}: the axis {axis!r} is taken by a shard_map around it (as a train step with a "
            f"mesh has one): call it outside, under jit, which lays the batch over the other axes"
        )
    if count == 1:
        return cell.unroll(params, *arguments)

    def part(params: Params, key: Any, first: Any, cut: Any) -> tuple[State, PyTree]:
        (xs, mask, reset), (state, start) = cut, first
        if key is not None:
            key = jax.random.fold_in(key, jax.lax.axis_index(axis))
        with time_over(TimeShards(axis, count)):
            return cell.unroll(params, xs, state, mask, reset, reverse, key, start)

    whole, over_time = PartitionSpec(), PartitionSpec(axis)
    specs = whole, whole, whole, over_time
    given = params, key, (state, start), (xs, mask, reset)
    given = tuple(_laid(mesh, axis, *each) for each in zip(given, specs, strict=True))
    run = jax.shard_map(
        part,
        mesh=None if around.manual_axes else mesh,
        in_specs=specs,
        out_specs=(whole, over_time),
        axis_names={axis},
    )
    return run(*given)


def _check_divides(name: str, time: int, count: int) -> None:
    if not isinstance(time, int):
        raise ValueError(f"{name}: the number of steps must be known, got {time}")
    if time % count:
        more = -time % count
        raise ValueError(
            f"{name}: xs must have steps that {count} devices share evenly, got {time} steps: "
            f"add {more} by jnp.pad(xs, [(0, {more})] + [(0, 0)] * (xs.ndim - 1)), to reset too, "
            f"with a mask that is false there, which leaves the state as it is"
        )


def _laid(mesh: Mesh, axis: str, tree: PyTree, spec: PartitionSpec) -> PyTree:
    """The tree on the mesh, where types say how arrays are sharded; else the compiler does it."""
    if dict(zip(mesh.axis_names, mesh.axis_types, strict=True))[axis] is not AxisType.Explicit:
        return tree

    def lay(leaf: Array) -> Array:
        others = list(jax.typeof(leaf).sharding.spec)
        if spec:
            others[0] = axis
        return jax.sharding.reshard(leaf, NamedSharding(mesh, PartitionSpec(*others)))

    return jax.tree.map(lay, tree)
