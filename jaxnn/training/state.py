"""What a train step carries and tells, and how it begins."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnn.internal.checks import check_key
from jaxnn.internal.options import check_size
from jaxnn.training.accumulate import not_by_weight, nothing_yet, refuse_others
from jaxnn.training.checks import check_tree
from jaxnn.types import Array, ArrayLike, Key, Params, PyTree, State, Tree


class TrainState(NamedTuple):
    """What a train step carries.

    params: the parameters; opt_state: optax's state; state: what the loss carries from batch to
    batch, `()` for nothing; step: how many steps were tried, int32; key: step n draws from
    `jax.random.fold_in(key, n)`; accumulated: with `accumulate` above 1 what the batches since the
    last update add up to, else `()`.
    """

    params: Params
    opt_state: PyTree
    state: State
    step: Array
    key: Key
    accumulated: PyTree = ()


class Metrics(NamedTuple):
    """What a train step tells of its own batch, each a scalar.

    loss: sum / weight of the batch; weight: how many valid samples or steps it had; gradient_norm:
    of the mean loss; finite: whether loss, weight, gradients and the optimiser's update, where
    there was one, were; updated: whether the parameters were; aux: the further numbers that the
    loss gives, summed over the batch and all devices, `()` for none.
    """

    loss: Array
    weight: Array
    gradient_norm: Array
    finite: Array
    updated: Array
    aux: PyTree = ()


def train_state(
    params: Params,
    optimizer: optax.GradientTransformation,
    key: Key,
    state: State = (),
    accumulate: int = 1,
) -> TrainState:
    """The first TrainState.

    Every array is copied, since `train_step` donates what it is given: the caller's own arrays stay
    usable. Without x64 numpy's float64 becomes float32, as everywhere in jax.

    Args:
      params: the parameters, arrays of floating dtypes.
      optimizer: any optax transformation, such as `optax.sgd(0.1)`, but none that accumulates by
        itself.
      key: for dropout and the like; one key serves the whole training.
      state: what the loss carries, such as the recurrent state in truncated BPTT.
      accumulate: as for `train_step`; above 1 room is made for the gradients that are added up.

    Raises:
      TypeError: for a key that is none, params that are no floating arrays, a state that holds
        something else than arrays, an optimizer that is none, or `accumulate` that is no integer.
      ValueError: for numpy arrays with values that do not fit the dtype that jax makes of theirs,
        `accumulate` below 1, or an optimizer with `optax.MultiSteps` in it.

    >>> import jax, optax
    >>> first = train_state({"w": jax.numpy.ones(2)}, optax.sgd(0.1), jax.random.key(0))
    >>> int(first.step)
    0
    """
    check_optimizer("train_state", optimizer)
    check_key("train_state", key)
    if key is None:
        raise TypeError("train_state: key must be one key of jax.random.key(seed), got None")
    accumulate = check_size("train_state", "accumulate", accumulate)
    if params is None:
        raise TypeError("train_state: params must hold arrays, got None")
    check_tree("train_state", "params", params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        dtype = leaf.dtype if hasattr(leaf, "dtype") else jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.inexact):
            raise TypeError(
                f"train_state: params{jax.tree_util.keystr(path)} must be floating, since a "
                f"gradient is taken, got {dtype}: cast it, or keep it out of params"
            )
    check_tree("train_state", "state", state)
    with optax_rules():
        opt_state = optimizer.init(params)
    refuse_others("train_state", opt_state)
    accumulated = nothing_yet(params) if accumulate > 1 else ()
    step = jnp.zeros((), jnp.int32)
    return copy_of(TrainState(params, opt_state, state, step, key, accumulated))


def check_optimizer(name: str, optimizer: object) -> None:
    """Raise unless it is an optax transformation, and ValueError where it is a `MultiSteps`."""
    parts = [getattr(optimizer, part, None) for part in ("init", "update")]
    if not all(map(callable, parts)) or isinstance(optimizer, type):
        raise TypeError(
            f"{name}: optimizer must be an optax transformation, such as optax.sgd(0.1), got "
            f"{type(optimizer).__name__}"
        )
    if any(isinstance(getattr(part, "__self__", None), optax.MultiSteps) for part in parts):
        raise not_by_weight(name, "MultiSteps")


def copy_of(tree: Tree) -> Tree:
    """A copy of each array, without a weak type, which the second step would not have: one trace
    for all."""

    def copy(leaf: ArrayLike) -> Array:
        array = jnp.array(leaf, copy=True)
        return array.astype(array.dtype) if getattr(array, "weak_type", False) else array

    return jax.tree.map(copy, tree)


@contextlib.contextmanager
def optax_rules() -> Iterator[None]:
    """Optax mixes dtypes and ranks inside, so strict settings hold for the user's code alone."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
