"""What of a batch goes to which device: known, or an error, and never guessed."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxnn.internal.checks import check_array, shape_text
from jaxnn.training.batches import Batch
from jaxnn.types import ArrayLike, PyTree, State


class Plan(NamedTuple):
    """How a batch is split; hashable, since a compiled step depends on it.

    axes: the batch axis of each leaf, None for one that every device gets whole; size: samples;
    filled: whether some of them only fill the batch up.
    """

    axes: tuple[int | None, ...]
    size: int
    filled: bool = False


def planned(mesh: Mesh, batch: PyTree, batch_axis: PyTree, state: State) -> tuple[PyTree, Plan]:
    """The batch, filled up where it does not divide, and how it is split.

    Raises:
      ValueError, TypeError: where the axes are not known, do not fit or do not divide.
    """
    axes = _axes(batch, batch_axis)
    size = _size(batch, axes)
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        if np.shape(leaf)[:1] != (size,):
            raise ValueError(
                f"train_step: on a mesh, every array of the state must be (batch, ...), here with "
                f"a batch of {size}; state{jax.tree_util.keystr(path)} is {shape_text(leaf)}"
            )
    plan = Plan(tuple(axes), size)
    if size % mesh.size == 0:
        return batch, plan
    stands = f"train_step: {size} samples do not divide among {mesh.size} devices"
    if not isinstance(batch, Batch):
        raise ValueError(
            f"{stands}: give batches of a multiple of {mesh.size}, or a jaxnn.data.Batch, which "
            f"has a mask and is filled up"
        )
    if jax.tree.leaves(state):
        raise ValueError(
            f"{stands}, and the state that is carried cannot be filled up: give batches of a "
            f"multiple of {mesh.size}"
        )
    return _filled(batch, axes, -size % mesh.size), plan._replace(filled=True)


def _axes(batch: PyTree, batch_axis: PyTree) -> list[int | None]:
    """The batch axis of each leaf."""
    if batch_axis is None:
        batch_axis = _axes_of_batch(batch)
    return _expanded("batch_axis", batch_axis, batch)


def check_batch_axis(batch_axis: PyTree) -> None:
    """Raise unless it is a tree of axes, counted from the front, and of None."""
    for axis in jax.tree.leaves(batch_axis):
        if isinstance(axis, bool) or not isinstance(axis, int):
            raise TypeError(f"train_step: batch_axis must be of integers or None, got {axis!r}")
        if axis < 0:
            raise ValueError(f"train_step: batch_axis must be of axes from 0 on, got {axis}")


def _axes_of_batch(batch: PyTree) -> Batch:
    """Those of a `Batch`; with targets of several dimensions they are not guessed."""
    if not isinstance(batch, Batch):
        raise ValueError(
            f"train_step: say which axis of each array is split over the devices, such as "
            f"batch_axis=(1, 0) for (xs, labels), or batch_axis=1 where all are (time, batch, "
            f"...); it is known for a jaxnn.data.Batch alone, got {type(batch).__name__}"
        )
    if np.ndim(batch.targets) != 1:
        raise ValueError(
            f"train_step: targets of {shape_text(batch.targets)} may be for each step or for each "
            f"sample: pass batch_axis=Batch(1, 1, 1, 0, 0) where they are (time, batch, ...), "
            f"batch_axis=Batch(1, 0, 1, 0, 0) where they are (batch, ...)"
        )
    return Batch._make((1, 0, 1, 0, 0))


def _expanded(name: str, prefix: PyTree, tree: PyTree) -> list[PyTree]:
    """For each leaf of the tree what stands above it in the prefix, where None is a value too."""
    values: list[PyTree] = []

    def add(value: PyTree, part: PyTree) -> None:
        values.extend([value] * len(jax.tree.leaves(part)))

    try:
        jax.tree.map(add, prefix, tree, is_leaf=lambda node: node is None)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"train_step: {name} must have the structure of the batch, "
            f"{jax.tree.structure(tree)}, or of its upper part, got {prefix!r}"
        ) from error
    return values


def _size(batch: PyTree, axes: list[int | None]) -> int:
    """How many samples: every leaf has as many."""
    sizes = {}
    leaves = jax.tree_util.tree_leaves_with_path(batch)
    for (path, leaf), axis in zip(leaves, axes, strict=True):
        where = "batch" + jax.tree_util.keystr(path)
        check_array("train_step", where, leaf)
        if axis is None:
            continue
        if axis >= leaf.ndim:
            raise ValueError(
                f"train_step: {where} is {shape_text(leaf)}, it has no axis {axis}, which "
                f"batch_axis says is split over the devices"
            )
        sizes[where] = leaf.shape[axis]
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{where} has {size}" for where, size in sizes.items())
        raise ValueError(
            f"train_step: all arrays must have one number of samples along their batch axis; "
            f"{listed}: look at batch_axis"
        )
    if not sizes:
        raise ValueError("train_step: no array of the batch is split over the devices")
    return next(iter(sizes.values()))


def _filled(batch: Batch, axes: list[int | None], more: int) -> Batch:
    """With samples that are masked, as `batches` fills the last one up."""
    blank = Batch._make((0, 0, False, False, -1))
    leaves, structure = jax.tree.flatten(batch)

    def longer(leaf: ArrayLike, axis: int | None, value: float) -> ArrayLike:
        if axis is None:
            return leaf
        numbers = jnp if isinstance(leaf, jax.Array) else np
        widths = [(0, more if n == axis else 0) for n in range(leaf.ndim)]
        return numbers.pad(leaf, widths, constant_values=value)

    values = _expanded("Batch", blank, batch)
    return structure.unflatten(map(longer, leaves, axes, values))
