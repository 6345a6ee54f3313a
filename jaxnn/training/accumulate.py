"""One update from several batches: sums of gradients and weights, divided once.

The gradient of the mean over n batches is Σ wᵢ gᵢ / Σ wᵢ, where gᵢ is that of the mean over batch i
and wᵢ its weight. The mean of the gᵢ, which `optax.MultiSteps` takes, is another one where the
batches are unequal.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.internal.checks import state_dtype
from jaxnn.training.reduction import divisor
from jaxnn.types import Array, ArrayLike, Params, PyTree


class Accumulated(NamedTuple):
    """What the batches since the last update add up to.

    gradients: Σ wᵢ gᵢ, in float32 at the least; total: the sum of the loss; weight: Σ wᵢ;
    batches: how many there were, int32.
    """

    gradients: Params
    total: Array
    weight: Array
    batches: Array


def nothing_yet(params: Params) -> Accumulated:
    """Zeros."""

    def zeros(leaf: ArrayLike) -> Array:
        return jnp.zeros(np.shape(leaf), state_dtype(jnp.result_type(leaf)))

    zero = jnp.zeros(())  # the widest that there is
    return Accumulated(jax.tree.map(zeros, params), zero, zero, jnp.zeros((), jnp.int32))


def plus(
    sums: Accumulated, mean: Array, weight: Array, gradients: Params, counts: Array, good: Array
) -> Accumulated:
    """With one batch more: one of the count where `counts`, and nothing of its numbers unless
    `good`, so that NaN stays out."""

    def add(sum: Array, gradient: Array) -> Array:
        more = gradient.astype(sum.dtype) * weight.astype(sum.dtype)
        return sum + jnp.where(good, more, jnp.zeros((), sum.dtype))

    return Accumulated(
        jax.tree.map(add, sums.gradients, gradients),
        add(sums.total, mean),
        add(sums.weight, jnp.ones((), weight.dtype)),
        sums.batches + counts.astype(sums.batches.dtype),
    )


def mean_of(sums: Accumulated, params: Params) -> tuple[Array, Params]:
    """The mean loss and its gradients, in the dtypes of params."""

    def divided(sum: Array, param: Array) -> Array:
        return (sum / divisor(sums.weight).astype(sum.dtype)).astype(param.dtype)

    return sums.total / divisor(sums.weight), jax.tree.map(divided, sums.gradients, params)


def refuse_others(name: str, opt_state: PyTree) -> None:
    """Raise ValueError where an optimiser accumulates by itself, as far as its state shows."""
    kinds = {optax.MultiStepsState: "MultiSteps", optax.ApplyEvery: "apply_every"}
    for node in jax.tree.leaves(opt_state, is_leaf=lambda node: type(node) in kinds):
        if type(node) in kinds:
            raise not_by_weight(name, kinds[type(node)])


def not_by_weight(name: str, optimizer: str) -> ValueError:
    """What is wrong with accumulation by an optimiser."""
    return ValueError(
        f"{name}: the optimizer holds optax.{optimizer}, which adds up gradients without the "
        f"weights of their batches, so that unequal ones give another mean: take it out, and pass "
        f"accumulate=n to train_step and train_state"
    )


def check_accumulated(accumulated: PyTree, accumulate: int) -> None:
    """Raise ValueError where a train_state was made for another kind of step."""
    if isinstance(accumulated, Accumulated) == (accumulate > 1):
        return
    made = "for accumulation" if isinstance(accumulated, Accumulated) else "without accumulate"
    raise ValueError(
        f"train_step: this step has accumulate={accumulate}, but the train_state was made {made}: "
        f"pass accumulate={accumulate} to train_state too"
    )


def no_value_fn(params: Params) -> Array:
    """For optimisers that call the loss again, of batches that are gone."""
    del params
    raise ValueError(
        "train_step: this optimizer calls the loss again (value_fn, as a line search does), which "
        "accumulate=n cannot give it, since the earlier batches are gone: take accumulate=1 and "
        "larger batches, or another optimizer"
    )
