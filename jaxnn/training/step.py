"""One train step, on one device or many: jitted, donating; it keeps the old parameters where it
fails."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxnn.functions.checks import check_key, is_array, is_traced, shape_text, state_dtype
from jaxnn.training.devices import check_mesh, placed, share_spec
from jaxnn.training.plan import Plan, planned
from jaxnn.training.shares import added_up, check_weight, divisor, mean_of_shares
from jaxnn.types import Array, Key, Params, State

Loss = Callable[[Params, State, Any, Key], tuple[Array, Array | float, State]]
"""`loss(params, state, batch, key) -> (sum, weight, state)`."""


class TrainState(NamedTuple):
    """What a train step carries.

    params: the parameters; opt_state: optax's state; state: what the loss carries from batch to
    batch, `()` for nothing; step: how many steps were tried, int32; key: step n draws from
    `jax.random.fold_in(key, n)`.
    """

    params: Params
    opt_state: Any
    state: State
    step: Array
    key: Key


class Metrics(NamedTuple):
    """What a train step tells, each a scalar.

    loss: sum / weight of the batch; weight: how many valid samples or steps it had; gradient_norm:
    of the mean loss; finite: whether loss, gradients and update were. The parameters were updated
    where it is true and weight is above 0.
    """

    loss: Array
    weight: Array
    gradient_norm: Array
    finite: Array


def train_state(
    params: Params, optimizer: optax.GradientTransformation, key: Key, state: State = ()
) -> TrainState:
    """The first TrainState.

    Every array is copied, since `train_step` donates what it is given: the caller's own arrays stay
    usable.

    Args:
      params: the parameters.
      optimizer: any optax transformation, such as `optax.sgd(0.1)`.
      key: for dropout and the like; one key serves the whole training.
      state: what the loss carries, such as the recurrent state in truncated BPTT.

    >>> import jax, optax
    >>> first = train_state({"w": jax.numpy.ones(2)}, optax.sgd(0.1), jax.random.key(0))
    >>> int(first.step)
    0
    """
    check_key("train_state", key)
    if key is None:
        raise TypeError("train_state: key must be one key of jax.random.key(seed), got None")
    with _optax_rules():
        opt_state = optimizer.init(params)
    fresh = TrainState(params, opt_state, state, jnp.zeros((), jnp.int32), key)
    return jax.tree.map(_copy, fresh)


def _copy(leaf: Any) -> Array:
    """A copy without a weak type, which the second step would not have: one trace for all."""
    array = jnp.array(leaf, copy=True)
    return array.astype(array.dtype) if getattr(array, "weak_type", False) else array


def train_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    mesh: Mesh | None = None,
    batch_axis: Any = None,
) -> Callable[[TrainState, Any], tuple[TrainState, Metrics]]:
    """A step of gradient descent on the mean loss, for a loss that gives sum and weight.

    Backpropagation, through time where the loss unrolls a cell, is `jax.grad` of the loss. The
    state that the loss carries is no argument of that gradient: in truncated BPTT it is cut at the
    border of two chunks. Where the loss, a gradient or the optimiser's update is not finite, or no
    sample is valid, params, opt_state and state stay as they were, and the metrics say so.

    With a mesh, each device runs the loss on its share of the batch, and of the carried state,
    whose arrays have the batch first; both are split over all axes of the mesh. Params, opt_state
    and key are the same on all. Sums, weights and gradients are added up in one exchange, so that
    the step is the one that one device would take, to rounding, however unequal the shares. Only
    the random numbers are others: device d draws from `jax.random.fold_in(fold_in(key, n), d)`. A
    `Batch` that does not divide is filled up with masked samples.

    Args:
      loss: `loss(params, state, batch, key)` gives `(sum, weight, state)`; sum / weight is the mean
        that is descended, and the new state is carried on. With a mesh it gets a share of the
        batch, so the sum must be one over samples (or steps), and the weight their number.
      optimizer: any optax transformation; one that asks for the loss (`value`, `grad`, `value_fn`)
        gets it.
      mesh: the devices, such as `jaxnn.one_device_per_core()`; None for one device.
      batch_axis: with a mesh, the axis of each array of the batch that is split: a tree like the
        batch, or its upper part, such as `(1, 0, 1)` for `(xs, labels, mask)`, or `1` where all are
        `(time, batch, ...)`; None, in it, for what every device gets whole. It may be left out for
        a `Batch` with one number as the target of each sample.

    Returns:
      `step(train_state, batch) -> (train_state, metrics)`, jitted. It donates the train_state: the
      one that was given cannot be used again. With a mesh the one that it gives lies on all
      devices, which would all do what is done with it: `jax.device_get` it for an evaluation.

    Raises:
      ValueError: for a train_state that went into a step before; for a batch or state that cannot
        be split as `batch_axis` says, does not divide and cannot be filled up; for a weight that
        does not grow with the batch on a mesh.
      TypeError: where the loss does not give two scalars and a state like the one it was given, or
        an argument is none of its kind.

    >>> import jax, jax.numpy as jnp, jaxnn, optax
    >>> model = jaxnn.dense(1, 1)
    >>> def loss(params, state, batch, key):
    ...     x, y = batch
    ...     return *jaxnn.mean_squared_error(model.apply(params, x), y), state
    >>> optimizer = optax.sgd(0.1)
    >>> mesh = jaxnn.one_device_per_core(1)  # before the first use of jax, and without a number
    >>> step = train_step(loss, optimizer, mesh, batch_axis=0)
    >>> params = model.init(jax.random.key(0))
    >>> current = train_state(params, optimizer, jax.random.key(1))
    >>> x = jnp.linspace(-1.0, 1.0, 9)[:, None]
    >>> for _ in range(100):
    ...     current, metrics = step(current, (x, 2 * x + 1))
    >>> bool(metrics.loss < 1e-4), int(current.step)
    (True, 100)
    """
    check_mesh(mesh)
    if not callable(loss) or not hasattr(optimizer, "update"):
        raise TypeError(
            "train_step: loss must be a function of (params, state, batch, key), and optimizer an "
            f"optax transformation; got {type(loss).__name__} and {type(optimizer).__name__}"
        )
    update = optax.with_extra_args_support(optimizer).update
    # With one device there is nothing to add up, and its keys are those of a step without a mesh.
    names = () if mesh is None or mesh.size == 1 else mesh.axis_names

    def one_step(current: TrainState, batch: Any, plan: Plan | None) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(current.key, current.step)
        if names:
            key = jax.random.fold_in(key, jax.lax.axis_index(names))

        def mean(params: Params, state: State, batch: Any) -> tuple[Array, tuple[Array, State]]:
            total, weight, after = _check_result(loss(params, state, batch, key), state)
            return total / divisor(weight), (weight, after)

        def run(params: Params) -> tuple[Array, Array, Params, State]:
            descend = jax.value_and_grad(mean, has_aux=True)
            (value, (weight, after)), gradients = descend(params, current.state, batch)
            if names:
                value, weight, gradients = added_up(names, value, weight, gradients)
            return value, weight, gradients, after

        def value_of(params: Params) -> Array:
            return mean(params, current.state, batch)[0]

        def weigh(state: State, batch: Any) -> Array:
            return mean(current.params, state, batch)[1][0]

        if plan is not None and names:
            check_weight(weigh, current.state, batch, plan)
        value, weight, gradients, state = run(current.params)
        norm = _norm(gradients)
        with _optax_rules():
            updates, opt_state = update(
                gradients,
                current.opt_state,
                current.params,
                value=value,
                grad=gradients,
                value_fn=mean_of_shares(run) if names else value_of,
            )
            params = optax.apply_updates(current.params, updates)
        finite = jnp.isfinite(value) & jnp.isfinite(weight) & jnp.isfinite(norm)
        finite &= jnp.isfinite(_norm(updates))
        new = (params, opt_state, state)
        old = (current.params, current.opt_state, current.state)
        choose = functools.partial(_choose, finite & (weight > 0))
        params, opt_state, state = jax.tree.map(choose, new, old)
        after = TrainState(params, opt_state, state, current.step + 1, current.key)
        return after, Metrics(value, weight, norm, finite)

    @functools.partial(jax.jit, donate_argnums=0, static_argnames="plan")
    def step(
        current: TrainState, batch: Any, plan: Plan | None = None
    ) -> tuple[TrainState, Metrics]:
        if mesh is None or plan is None:
            return one_step(current, batch, None)
        same, share = share_spec(mesh, None), share_spec(mesh, 0)
        carried = TrainState._make((same, same, share, same, same))
        split = [share_spec(mesh, axis) for axis in plan.axes]
        return jax.shard_map(
            functools.partial(one_step, plan=plan),
            mesh=mesh,
            in_specs=(carried, jax.tree.structure(batch).unflatten(split)),
            out_specs=(carried, same),
            # What varies over the devices is told by no loss: a first state of zeros does not, the
            # one after a step does, and a scan would refuse that. What is the same on all devices
            # is so by the exchange.
            check_vma=False,
        )(current, batch)

    @functools.wraps(step)
    def checked(current: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        _check_alive(current)
        if mesh is None:
            return step(current, batch)
        batch, plan = planned(mesh, batch, batch_axis, current.state)
        batch = placed(mesh, batch, plan.axes)
        state = placed(mesh, current.state, 0)
        current = placed(mesh, current._replace(state=()), None)._replace(state=state)
        if mesh.devices.flat[0].platform == "cpu" and not is_traced(current.step):
            # With many exchanges in its queue, the CPU's runtime waits for itself for ever.
            jax.block_until_ready(current.step)
        return step(current, batch, plan=plan)

    return checked


def _check_alive(current: TrainState) -> None:
    for leaf in jax.tree.leaves(current):
        if isinstance(leaf, jax.Array) and not is_traced(leaf) and leaf.is_deleted():
            raise ValueError(
                "train_step: this train_state, or a part of it, went into a step before, which "
                "donated it: go on with the one that the step returned, and copy what you keep"
            )


def _check_result(result: Any, state: State) -> tuple[Array, Array, State]:
    """What loss gives; sum and weight in float32 at the least, where large weights are exact."""
    if not isinstance(result, tuple) or len(result) != 3:
        got = f"tuple of {len(result)}" if isinstance(result, tuple) else shape_text(result)
        raise TypeError(f"train_step: loss must give (sum, weight, state), got {got}")
    total, weight, after = result
    weight = jnp.asarray(weight) if isinstance(weight, (bool, int, float)) else weight
    for name, value in (("sum", total), ("weight", weight)):
        if not is_array(value) or value.shape:
            raise TypeError(
                f"train_step: the {name} that loss gives must be a scalar, got {shape_text(value)}"
            )
    if not jnp.issubdtype(total.dtype, jnp.floating):
        raise TypeError(f"train_step: the sum that loss gives must be floating, got {total.dtype}")
    if _outline(after) != _outline(state):
        raise TypeError(
            f"train_step: loss must give a state like the one it was given, {_outline(state)}; "
            f"got {_outline(after)}"
        )
    dtype = state_dtype(total.dtype)
    return total.astype(dtype), jax.lax.stop_gradient(weight.astype(dtype)), after


def _outline(tree: Any) -> str:
    leaves, structure = jax.tree.flatten(tree)
    return f"{structure} of {', '.join(map(shape_text, leaves)) or 'nothing'}"


def _norm(tree: Any) -> Array:
    """√Σ g², in float32 at the least, where 16-bit squares would overflow."""
    wide = jax.tree.map(lambda leaf: leaf.astype(state_dtype(leaf.dtype)), tree)
    with _optax_rules():
        return optax.tree.norm(wide)


def _choose(good: Array, new: Any, old: Array) -> Array:
    """In the dtype of old: an optimiser's state must not change it from step to step."""
    new = new if new.dtype == old.dtype else new.astype(old.dtype)
    return jnp.where(good, new, old)


@contextlib.contextmanager
def _optax_rules() -> Iterator[None]:
    """Optax mixes dtypes and ranks inside, so strict settings hold for the user's code alone."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
