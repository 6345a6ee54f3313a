"""One train step, on one device or many: jitted, donating; it keeps the old parameters where it
fails."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxnn.internal.checks import is_traced, state_dtype
from jaxnn.internal.options import check_callable, check_size, check_takes
from jaxnn.training.accumulate import (
    check_accumulated,
    mean_of,
    no_value_fn,
    nothing_yet,
    plus,
    refuse_others,
)
from jaxnn.training.batch_sharding import Plan, check_batch_axis, planned
from jaxnn.training.checks import check_leaf, check_tree
from jaxnn.training.devices import check_mesh, go_on, placed, share_spec
from jaxnn.training.reduction import added_up, check_weight, divisor, mean_of_shares
from jaxnn.training.result import check_result
from jaxnn.training.state import Metrics, TrainState, check_optimizer, optax_rules
from jaxnn.types import Array, Key, Params, PyTree, State, Tree

Loss = Callable[[Params, State, PyTree, Key], tuple[PyTree, ...]]
"""`loss(params, state, batch, key) -> (sum, weight, state)`, or `(sum, weight, state, aux)`."""


class Step:
    """What `train_step` gives: `step(train_state, batch) -> (train_state, metrics)`."""

    def __init__(
        self, run: Callable[[TrainState, PyTree, Array | None], tuple[TrainState, Metrics]]
    ) -> None:
        self._run = run

    def __call__(self, train_state: TrainState, batch: PyTree) -> tuple[TrainState, Metrics]:
        return self._run(train_state, batch, None)

    def after(
        self, train_state: TrainState, batch: PyTree, finite: Array | None
    ) -> tuple[TrainState, Metrics]:
        """The step after one whose `metrics.finite` is given: none at all where it is false.

        So a loop need not wait for it: the train_state stays that of the step that was not finite,
        its count included, and every later `metrics.finite` is false too.
        """
        return self._run(train_state, batch, finite)


def train_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    mesh: Mesh | None = None,
    batch_axis: PyTree = None,
    accumulate: int = 1,
) -> Step:
    """A step of gradient descent on the mean loss, for a loss that gives sum and weight.

    Backpropagation, through time where the loss unrolls a cell, is `jax.grad` of the loss. The
    state that the loss carries is no argument of that gradient: in truncated BPTT it is cut at the
    border of two chunks. Where the loss, a gradient or the optimiser's update is not finite, or no
    sample is valid, params, opt_state and state stay as they were, and the metrics say so.

    With a mesh, each device runs the loss on its share of the batch, and of the carried state,
    whose arrays have the batch first; both are split over all axes of the mesh. Params, opt_state
    and key are the same on all. Sums, weights, gradients and aux are added up in one exchange, so
    that the step is the one that one device would take, to rounding, however unequal the shares.
    Only the random numbers are others: device d draws from
    `jax.random.fold_in(fold_in(key, n), d)`. A `Batch` that does not divide is filled up with
    masked samples.

    With `accumulate=n` the parameters are updated at every n-th call, by the gradient of the mean
    over the n batches: Σ wᵢ gᵢ / Σ wᵢ, with weights wᵢ, however unequal they are. It is the update
    that one batch of all of them would give. A batch that is not finite, or has no valid sample,
    counts as one of the n and adds nothing; `metrics.finite` tells. The metrics of a call are those
    of its own batch. An optimiser's schedule counts updates. One that asks for `value` or `grad`
    gets those of the n batches; one that asks for `value_fn` is refused.

    Args:
      loss: `loss(params, state, batch, key)` gives `(sum, weight, state)`; sum / weight is the mean
        that is descended, and the new state is carried on. With a mesh it gets a share of the
        batch, so the sum must be one over samples (or steps), and the weight their number. A
        fourth item, aux, may be any tree of scalars that are sums too, such as
        `{"right": right}`: they come back in `metrics.aux`, summed over the devices; divide them
        by `metrics.weight`, or by a weight that stands beside them as in
        `{"accuracy": jaxnn.losses.accuracy(logits, labels)}`.
      optimizer: any optax transformation; one that asks for the loss (`value`, `grad`, `value_fn`)
        gets it. None that accumulates by itself: `optax.MultiSteps` takes the mean of means.
      mesh: the devices, such as `jaxnn.training.cpu_mesh()`; None for one device.
      batch_axis: with a mesh, the axis of each array of the batch that is split: a tree like the
        batch, or its upper part, such as `(1, 0, 1)` for `(xs, labels, mask)`, or `1` where all are
        `(time, batch, ...)`; None, in it, for what every device gets whole. It may be left out for
        a `Batch` with one number as the target of each sample. Without a mesh it is not used.
      accumulate: how many calls make one update; `train_state` gets the same number.

    Returns:
      `step(train_state, batch) -> (train_state, metrics)`, jitted. It donates the train_state: the
      one that was given cannot be used again. With a mesh the one that it gives lies on all
      devices, which would all do what is done with it: `jax.device_get` it for an evaluation.

    Raises:
      ValueError: for a train_state that went into a step before, or was made for another
        `accumulate`; for a batch or state that cannot be split as `batch_axis` says, does not
        divide and cannot be filled up; for numpy arrays with values that do not fit the dtype that
        jax makes of theirs; for a weight that does not grow with the batch on a mesh; for
        `optax.MultiSteps`.
      TypeError: where the loss does not give two scalars, a state like the one it was given and
        scalars as aux, or an argument is none of its kind.

    >>> import jax, jax.numpy as jnp, jaxnn, optax
    >>> model = jaxnn.dense(1, 1)
    >>> def loss(params, state, batch, key):
    ...     x, y = batch
    ...     return *jaxnn.losses.mean_squared_error(model.apply(params, x), y), state
    >>> optimizer = optax.sgd(0.1)
    >>> mesh = jaxnn.training.cpu_mesh(1)  # before the first use of jax, and without a number
    >>> step = train_step(loss, optimizer, mesh, batch_axis=0)
    >>> params = model.init(jax.random.key(0))
    >>> current = jaxnn.training.train_state(params, optimizer, jax.random.key(1))
    >>> x = jnp.linspace(-1.0, 1.0, 9)[:, None]
    >>> for _ in range(100):
    ...     current, metrics = step(current, (x, 2 * x + 1))
    >>> bool(metrics.loss < 1e-4), int(current.step)
    (True, 100)
    """
    check_callable("train_step", "loss", loss, "a function of (params, state, batch, key)")
    check_takes("train_step", "loss", loss, ("params", "state", "batch", "key"))
    check_optimizer("train_step", optimizer)
    check_mesh(mesh)
    check_batch_axis(batch_axis)
    accumulate = check_size("train_step", "accumulate", accumulate)
    update = optax.with_extra_args_support(optimizer).update
    # With one device there is nothing to add up, and its keys are those of a step without a mesh.
    names = () if mesh is None or mesh.size == 1 else mesh.axis_names

    def one_step(
        current: TrainState, batch: PyTree, go: Array, plan: Plan | None
    ) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(current.key, current.step)
        if names:
            key = jax.random.fold_in(key, jax.lax.axis_index(names))

        def mean(params: Params, state: State, batch: PyTree) -> tuple[Array, PyTree]:
            total, weight, after, aux = check_result(loss(params, state, batch, key), state)
            return total / divisor(weight), (weight, after, aux)

        def run(params: Params) -> tuple[Array, Array, Params, State, PyTree]:
            descend = jax.value_and_grad(mean, has_aux=True)
            (value, (weight, after, aux)), gradients = descend(params, current.state, batch)
            if names:
                value, weight, gradients, aux = added_up(names, value, weight, gradients, aux)
            return value, weight, gradients, after, aux

        def value_of(params: Params) -> Array:
            return mean(params, current.state, batch)[0]

        def weigh(state: State, batch: PyTree) -> Array:
            return mean(current.params, state, batch)[1][0]

        def updated(
            value: Array, gradients: Params, value_fn: Callable[[Params], Array]
        ) -> tuple[Params, PyTree, Array]:
            """New params and opt_state, and whether the update is finite."""
            with optax_rules():
                updates, opt_state = update(
                    gradients,
                    current.opt_state,
                    current.params,
                    value=value,
                    grad=gradients,
                    value_fn=value_fn,
                )
                params = optax.apply_updates(current.params, updates)
            return params, opt_state, jnp.isfinite(_norm(updates))

        if plan is not None and names:
            check_weight(weigh, current.state, batch, plan)
        value, weight, gradients, state, aux = run(current.params)
        norm = _norm(gradients)
        finite = jnp.isfinite(value) & jnp.isfinite(weight) & jnp.isfinite(norm) & go
        accumulated: PyTree = ()
        if accumulate == 1:
            again = mean_of_shares(run) if names else value_of

            def value_fn(params: Params) -> Array:
                # A line search adds steps of its own dtype to the parameters.
                return again(_in_dtypes_of(current.params, params))

            params, opt_state, fine = updated(value, gradients, value_fn)
            finite &= fine
            good = taken = finite & (weight > 0)
            params, opt_state = _choose(good, (params, opt_state), (current[:2]))
        else:
            good = finite & (weight > 0)
            sums = plus(current.accumulated, value, weight, gradients, go, good)

            def take() -> tuple[PyTree, ...]:
                params, opt_state, fine = updated(*mean_of(sums, current.params), no_value_fn)
                taken = fine & (sums.weight > 0)
                new = _choose(taken, (params, opt_state), current[:2])
                return *new, nothing_yet(current.params), fine, taken

            def wait() -> tuple[PyTree, ...]:
                return *current[:2], sums, jnp.array(True), jnp.array(False)

            due = go & (sums.batches >= accumulate)
            params, opt_state, accumulated, fine, taken = jax.lax.cond(due, take, wait)
            finite &= fine
            good &= fine
        state = _choose(good, state, current.state)
        count = current.step + go.astype(current.step.dtype)
        after = TrainState(params, opt_state, state, count, current.key, accumulated)
        return after, Metrics(value, weight, norm, finite, taken, aux)

    @functools.partial(jax.jit, donate_argnums=0, static_argnames="plan")
    def step(
        current: TrainState, batch: PyTree, go: Array, plan: Plan | None = None
    ) -> tuple[TrainState, Metrics]:
        refuse_others("train_step", current.opt_state)
        check_accumulated(current.accumulated, accumulate)
        if mesh is None or plan is None:
            return one_step(current, batch, go, None)
        same, share = share_spec(mesh, None), share_spec(mesh, 0)
        carried = TrainState._make((same, same, share, same, same, same))
        split = [share_spec(mesh, axis) for axis in plan.axes]
        return jax.shard_map(
            functools.partial(one_step, plan=plan),
            mesh=mesh,
            in_specs=(carried, jax.tree.structure(batch).unflatten(split), same),
            out_specs=(carried, same),
            # What varies over the devices is told by no loss: a first state of zeros does not, the
            # one after a step does, and a scan would refuse that. What is the same on all devices
            # is so by the exchange.
            check_vma=False,
        )(current, batch, go)

    def checked(current: TrainState, batch: PyTree, go: Array | None) -> tuple[TrainState, Metrics]:
        _check_alive(current)
        if hasattr(batch, "__next__"):
            raise TypeError("train_step: batch must be one batch, got an iterator: use next(...)")
        check_tree("train_step", "batch", batch)
        go = go_on(mesh, current.step) if go is None else go
        if mesh is None:
            return step(current, batch, go)
        batch, plan = planned(mesh, batch, batch_axis, current.state)
        batch = placed(mesh, batch, plan.axes)
        state = placed(mesh, current.state, 0)
        current = placed(mesh, current._replace(state=()), None)._replace(state=state)
        if mesh.devices.flat[0].platform == "cpu" and not is_traced(current.step):
            # With many exchanges in its queue, the CPU's runtime waits for itself for ever.
            jax.block_until_ready(current.step)
        return step(current, batch, placed(mesh, go, None), plan=plan)

    return Step(checked)


def _check_alive(current: object) -> None:
    if not isinstance(current, TrainState):
        raise TypeError(
            f"train_step: a step takes a TrainState, as train_state makes it, and a batch; got "
            f"{type(current).__name__} as the first"
        )
    if current.step is None or current.key is None:
        raise TypeError(
            "train_step: the train_state has no step or no key: see jaxnn.training.train_state"
        )
    kinds = _kinds()
    for leaf in jax.tree.leaves(current):
        if type(leaf) not in kinds:
            check_leaf("train_step", "a leaf of the train_state", leaf)
        elif leaf.is_deleted():
            raise ValueError(
                "train_step: this train_state, or a part of it, went into a step before, which "
                "donated it: go on with the one that the step returned, and copy what you keep"
            )


@functools.cache
def _kinds() -> frozenset[type]:
    """The types of arrays with values: to compare them is quicker than to ask `jax.Array`."""
    with jax.ensure_compile_time_eval():
        return frozenset({type(jnp.array(True)), type(jax.random.key(0))})


def _norm(tree: PyTree) -> Array:
    """√Σ g², in float32 at the least, where 16-bit squares would overflow."""
    wide = jax.tree.map(lambda leaf: leaf.astype(state_dtype(leaf.dtype)), tree)
    with optax_rules():
        return optax.tree.norm(wide)


def _in_dtypes_of(like: Params, params: Params) -> Params:
    return jax.tree.map(lambda leaf, new: jnp.asarray(new).astype(leaf.dtype), like, params)


def _choose(good: Array, new: Tree, old: PyTree) -> Tree:
    """In the dtypes of old: an optimiser's state must not change them from step to step."""

    def choose(new: Array, old: Array) -> Array:
        new = new if new.dtype == old.dtype else new.astype(old.dtype)
        return jnp.where(good, new, old)

    return jax.tree.map(choose, new, old)
