"""What each device's share of a batch adds to the whole: sums, weights and gradients.

A loss is a sum over samples, and its weight counts them. Devices that hold unequal numbers of valid
steps give the mean of the whole batch where sums and weights are added before the division.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, Literal, Var
from jax.flatten_util import ravel_pytree

from jaxnn.internal.checks import state_dtype
from jaxnn.training.batch_sharding import Plan
from jaxnn.training.batches import Batch
from jaxnn.types import Array, Params, PyTree, Shaped, State


def divisor(weight: Array) -> Array:
    """The weight, or 1 where it is none."""
    return jnp.where(weight > 0, weight, jnp.ones((), weight.dtype))


def added_up(
    names: Sequence[str], mean: Array, weight: Array, gradients: Params, aux: PyTree
) -> tuple[Array, Array, Params, PyTree]:
    """The mean, weight, gradients and aux of the whole batch, from those of each device's share.

    All of it is one vector, so that the devices exchange once a step. Each device has divided by
    its own weight: a sum of 16-bit gradients would overflow.
    """
    own = divisor(weight)

    def times(gradient: Array) -> Array:
        wide = gradient.astype(state_dtype(gradient.dtype))
        return wide * own.astype(wide.dtype)

    # One vector has one dtype, the widest of all.
    with jax.numpy_dtype_promotion("standard"):
        vector, unravel = ravel_pytree((mean * own, weight, jax.tree.map(times, gradients), aux))
        total, weight, sums, aux = unravel(jax.lax.psum(vector, tuple(names)))
    whole = divisor(weight)

    def divided(sum: Array, gradient: Array) -> Array:
        return (sum / whole.astype(sum.dtype)).astype(gradient.dtype)

    return total / whole, weight, jax.tree.map(divided, sums, gradients), aux


def mean_of_shares(run: Callable[[Params], tuple[PyTree, ...]]) -> Callable[[Params], Array]:
    """The mean as a function of params, differentiable; `run` gives it, the
    weight, its gradients and more.

    For optimisers that call the loss again. The derivative of a sum over devices is no matter of
    the device alone, so it is said here.
    """

    @jax.custom_jvp
    def mean(params: Params) -> Array:
        return run(params)[0]

    @mean.defjvp
    def _(primals: tuple[Params], tangents: tuple[Params]) -> tuple[Array, Array]:
        value, _, gradients, *_ = run(primals[0])
        slopes = jax.tree.map(lambda g, t: jnp.sum(g * t).astype(value.dtype), gradients, *tangents)
        return value, jax.tree.reduce(jnp.add, slopes, jnp.zeros_like(value))

    return mean


def check_weight(weigh: Callable[..., Array], state: State, batch: PyTree, plan: Plan) -> None:
    """Raise where the sum and weight of a loss cannot be added up over devices.

    It is read from the program of the weight: whether it depends on the values of the batch, or at
    least on its size, and, where masked samples fill the batch up, on the mask.

    Args:
      weigh: `weigh(state, batch)` gives the weight.
      state: of one device.
      batch: of one device.
      plan: how the batch was split.
    """
    closed = jax.make_jaxpr(weigh)(*_outline((state, batch)))
    reads, program = _origin(closed.jaxpr, closed.jaxpr.outvars)
    count = len(jax.tree.leaves(state))
    if plan.filled and isinstance(batch, Batch):
        inputs = closed.jaxpr.invars[count:]
        named = jax.tree.structure(batch).unflatten(inputs)
        if not reads.intersection(jax.tree.leaves((named.mask, named.valid))):
            raise ValueError(
                f"train_step: {plan.size} samples do not divide among the devices, and the batch "
                f"is filled up with masked ones; but the weight that loss gives depends on neither "
                f"batch.mask nor batch.valid, so they would count: hand one of them to the loss, "
                f"or give batches that divide"
            )
    if reads:
        return

    def whole(leaf: Shaped, axis: int | None) -> jax.ShapeDtypeStruct:
        shape = [plan.size if n == axis else size for n, size in enumerate(leaf.shape)]
        return jax.ShapeDtypeStruct(tuple(shape), leaf.dtype)

    leaves, structure = jax.tree.flatten(batch)
    axis, leaf = next((a, leaf) for a, leaf in zip(plan.axes, leaves, strict=True) if a is not None)
    larger = structure.unflatten(map(whole, leaves, plan.axes))
    closed = jax.make_jaxpr(weigh)(jax.tree.map(lambda leaf: whole(leaf, 0), state), larger)
    if _origin(closed.jaxpr, closed.jaxpr.outvars)[1] == program:
        raise ValueError(
            f"train_step: the weight that loss gives is the same for {leaf.shape[axis]} samples as "
            f"for {plan.size}. On a mesh sums and weights are added up over the devices: give the "
            f"sum over the samples (or steps) and how many they are, not a mean and 1"
        )


def _outline(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


def _origin(jaxpr: Jaxpr, results: Sequence[Var | Literal]) -> tuple[set[Var], list[str]]:
    """The inputs that some results of a program depend on, and the steps that lead to them."""
    needed = {atom for atom in results if not isinstance(atom, Literal)}
    steps = [str(atom.val) for atom in results if isinstance(atom, Literal)]
    for eqn in reversed(jaxpr.eqns):
        if needed.isdisjoint(eqn.outvars):
            continue
        atoms = list(eqn.invars)
        if eqn.primitive.name in ("jit", "pjit"):
            called = eqn.params["jaxpr"].jaxpr
            pairs = zip(called.outvars, eqn.outvars, strict=True)
            inner, inside = _origin(called, [out for out, outer in pairs if outer in needed])
            steps += inside
            atoms = [a for a, v in zip(atoms, called.invars, strict=True) if v in inner]
        else:
            steps.append(f"{eqn.primitive} {eqn.params}")
        steps += [str(atom.val) for atom in atoms if isinstance(atom, Literal)]
        needed.update(atom for atom in atoms if not isinstance(atom, Literal))
    return needed.intersection(jaxpr.invars), steps
