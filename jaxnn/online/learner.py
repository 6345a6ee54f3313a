"""`online`: a cell that learns forward in time, step by step or along a sequence."""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Self, cast

import jax
import jax.numpy as jnp

from jaxnn.internal.checks import (
    check_array,
    check_batch_shape,
    check_key,
    is_array,
    naming,
    shape_text,
    state_dtype,
)
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.mesh import outline_of_step
from jaxnn.internal.options import check_bool, check_callable, check_option, check_takes
from jaxnn.internal.users import call_user
from jaxnn.online.batch import (
    Flags,
    Loss,
    Observed,
    Taught,
    gradient as gradient_of_one,
    keys_of,
    over_batch,
    step as step_of_one,
    summed,
    teach,
)
from jaxnn.online.by_layer import by_layer as learner_by_layer, is_stack
from jaxnn.online.exact import exact_rule
from jaxnn.online.given import (
    batch_of_sequence,
    batch_of_state,
    check_first,
    check_inputs,
    check_like,
    check_output,
    check_params,
    check_targets,
    key_like,
)
from jaxnn.online.sequence import Learner, Trace, learner_of
from jaxnn.online.unit import unit_rule
from jaxnn.online.uoro import uoro_rule
from jaxnn.recurrence.cell import check_cell
from jaxnn.types import (
    Array,
    ArrayLike,
    Cell,
    Key,
    Params,
    PyTree,
    Shape,
    State,
    appears_as,
    exportable,
    facts_of,
)

METHODS = ("exact", "unit", "uoro")
TRACE = "as init(params, batch_shape) gives it"


class Online(NamedTuple):
    """A cell that learns forward in time; `jaxnn.online` makes it.

    `init(params, batch_shape=(), key=None)` gives the trace that goes with the cell's initial
    state, and `apply(params, state, trace, x, key=None, reset=None, mask=None)` one time step:
    `(state, trace, y, seen)`. `gradient(params, seen, y_bar)` says what a cotangent of that y, the
    gradient of a loss with respect to it, means for the parameters. `unroll(params, xs, targets,
    loss, state=None, trace=None, mask=None, reset=None, key=None)` goes along a sequence with
    these parameters and adds up the gradients.
    """

    init: Callable[..., Trace]
    apply: Callable[..., tuple[State, Trace, PyTree, Observed]]
    gradient: Callable[..., Params]
    unroll: Callable[..., "Learned"]

    def __repr__(self) -> str:
        parts = facts_of(cast(Any, self)).parts
        return "Online" if parts is None else str(parts)

    def __reduce__(self) -> tuple[object, ...]:
        parts = facts_of(cast(Any, self)).parts
        return (Online, tuple(self)) if parts is None else (parts.make, ())

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


@exportable
class Learned(NamedTuple):
    """What `unroll` of a learner gives.

    state, trace: after the last step; loss: the sum over all valid steps and sequences; weight: how
    many there were; gradient: of that sum, shaped as the parameters.
    """

    state: State
    trace: Trace
    loss: Array
    weight: Array
    gradient: Params


class _Known(NamedTuple):
    """What a learner was built of; hashable, so that jit knows it again."""

    name: str
    cell: Cell
    learner: Learner
    draws: bool


@factory
def online(
    cell: Cell, method: Literal["exact", "unit", "uoro"] = "exact", by_layer: bool = False
) -> Online:
    """A cell that learns forward in time: a gradient at every step, and no step is stored.

    Beside the state goes a *trace*, what the parameters did to the state up to now. It takes the
    same memory however long the sequence is, so the parameters can be updated at every step of a
    stream that never ends. Along a sequence with fixed parameters, the gradients of all steps add
    up to the gradient of backpropagation through time (with "exact").

    Args:
      cell: any Cell: masks, resets, dropout, a learned initial state (which gets its gradient).
      method: how the influence of the parameters is kept.
        "exact": all of it (RTRL), for any cell. The trace has states × params numbers *for each
        sequence*, and a step takes states² × params multiplications: for tens of units.
        "unit": what a parameter does to its own unit (SnAp-1): states × params / units numbers, and
        a step costs about what it costs in backpropagation. Exact where the recurrence is diagonal
        (h' = f(x U + u∘h + b)), else an approximation: it leaves out what goes through the other
        units, but in the step of the loss itself, which the paper cuts too. For cells of which it is *seen*, in their jaxpr, that the last axis of every
        parameter is the unit, and that a parameter acts on its own unit within a step: of the
        library's, all but those with a product of a product (`gru(reset_after=False)`, `mgu`) and
        `conv_lstm`. A stack is taken by its layers.
        "uoro": a random product of two vectors whose expectation is the influence: states + params
        numbers, for any cell; the gradient is right on average, and noisy.
      by_layer: whether a stack is taken layer by layer: each layer's influence on its own state
        alone. The gradient is exact from the top down to the first recurrent layer, and for the
        layers below an approximation: it leaves out what goes through the past of the layers above.
        Without it, "exact" and "uoro" take the states of all layers as one.

    Returns:
      An `Online` of pure functions. `apply` and `gradient` together are one step of learning:

        state, trace, y, seen = learner.apply(params, state, trace, x)
        params_bar = learner.gradient(params, seen, y_bar)

      with the params that `apply` had, and y_bar the gradient of the loss of this step with respect
      to y, summed over the batch; it may come later than the next step, as long as `seen` is kept.
      Parameters that y depends on directly (a readout in a stack) get their gradient too. A masked
      step changes nothing and gives zeros, a reset drops state and trace before its step. With a
      key, each sequence of a batch draws by a key of its own, `jax.random.split(key, batch_shape)`;
      step t of `unroll` has the key `jax.random.split(key, time)[t]`.

      `unroll` takes `loss(y, target)`, a scalar for one step of one sequence, and targets `(time,
      *batch, ...)`; it gives a `Learned`. State and trace are given together, or neither is; the
      "uoro" needs them, since `init` draws from a key there.

    Where the parameters change between two steps, the trace still has what the old ones did, as a
    state has: a bias that is small where updates are, and that every online method has.

    Raises:
      TypeError: where cell is no Cell, or by_layer not boolean.
      ValueError: for another method; with "unit" or `by_layer`, for a stack that cannot be taken
        apart; when it runs, for a cell that "unit" is not for, and one without a state.

    Source: Williams & Zipser 1989 (exact); Menick et al. 2021, arXiv 2006.07232, SnAp-1 (unit);
    Tallec & Ollivier 2017, arXiv 1702.05043 (uoro); Irie et al. 2023, arXiv 2305.19044 (by_layer).

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.stack(jaxnn.gru(3, 4), jaxnn.dense(4, 1))
    >>> learner = jaxnn.online(cell)
    >>> params = cell.init(jax.random.key(0))
    >>> state, trace = cell.initial_state(params), learner.init(params)
    >>> for x in jnp.ones((5, 3)):  # a stream
    ...     state, trace, y, seen = learner.apply(params, state, trace, x)
    ...     params_bar = learner.gradient(params, seen, y - 1)  # of (y − 1)² / 2
    ...     params = jax.tree.map(lambda p, bar: p - 0.1 * bar, params, params_bar)
    """
    check_cell("online", "cell", cell)
    check_option("online", "method", method, METHODS)
    check_bool("online", "by_layer", by_layer)
    name = this_call()
    rule = {"exact": exact_rule, "unit": unit_rule, "uoro": uoro_rule}[method]()
    apart = method == "unit" or by_layer
    if by_layer and not is_stack(cell):
        raise ValueError(f"online: by_layer is for what stack makes, got {cell}")
    learner = learner_by_layer(rule, cell) if apart else learner_of(rule, cell)
    known = _Known(name, cell, learner, draws=method == "uoro")
    return Online(
        functools.partial(_init, known),
        functools.partial(_apply, known),
        functools.partial(_gradient, known),
        functools.partial(_unroll, known),
    )


@appears_as("init")
def _init(known: _Known, params: Params, batch_shape: Shape = (), key: Key | None = None) -> Trace:
    """The trace of the initial state."""
    name = f"{known.name}.init"
    check_params(name, params)
    check_batch_shape(name, batch_shape)
    check_key(name, key)
    if known.draws and key is None:
        raise TypeError(f"{name}: key must be one key of jax.random.key(seed), got None")
    if not known.draws and key is not None:
        raise ValueError(f"{name}: key is given, but nothing is drawn by this method")
    with naming(name):
        check_first(name, known.cell, params, batch_shape)
        return _jitted_begin(known, batch_shape, params, key)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _jitted_begin(known: _Known, batch: Shape, params: Params, key: Key | None) -> Trace:
    if key is not None and not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(key)
    if known.draws:
        return over_batch(known.learner.begin, batch)(params, keys_of(key, batch))
    trace = known.learner.begin(params, None)
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (*batch, *leaf.shape)), trace)


def _expected_trace(known: _Known, params: Params, batch: Shape, trace: Trace) -> Trace:
    begin = functools.partial(_jitted_begin, known, batch)
    return jax.eval_shape(begin, params, key_like(trace) if known.draws else None)


@appears_as("apply")
def _apply(
    known: _Known,
    params: Params,
    state: State,
    trace: Trace,
    x: ArrayLike,
    key: Key | None = None,
    reset: ArrayLike | None = None,
    mask: ArrayLike | None = None,
) -> tuple[State, Trace, PyTree, Observed]:
    """One time step."""
    name = f"{known.name}.apply"
    check_params(name, params)
    with naming(name):
        batch = batch_of_state(name, known.cell, params, state)
        check_like(name, "trace", trace, _expected_trace(known, params, batch, trace), TRACE)
        check_inputs(name, "x", x, batch, key, reset, mask)
        return _jitted_apply(known, batch, params, state, trace, x, Flags(key, reset, mask))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _jitted_apply(
    known: _Known,
    batch: Shape,
    params: Params,
    state: State,
    trace: Trace,
    x: ArrayLike,
    flags: Flags,
) -> tuple[State, Trace, PyTree, Observed]:
    flags = flags._replace(key=keys_of(flags.key, batch))
    run = functools.partial(step_of_one, known.learner, known.cell)
    return over_batch(run, batch)(params, state, trace, x, flags)


@appears_as("gradient")
def _gradient(known: _Known, params: Params, seen: Observed, y_bar: PyTree) -> Params:
    """What a cotangent of the y of a step says of the parameters."""
    name = f"{known.name}.gradient"
    check_params(name, params)
    if not isinstance(seen, Observed):
        raise TypeError(
            f"{name}: seen must be what apply gave as its fourth result, got {type(seen).__name__}"
        )
    with naming(name):
        check_output(name, seen.y)
        check_like(name, "y_bar", y_bar, seen.y, "as the y of the step")
        batch = batch_of_state(name, known.cell, params, seen.state)
        return _jitted_gradient(known, batch, params, seen, y_bar)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _jitted_gradient(
    known: _Known, batch: Shape, params: Params, seen: Observed, y_bar: PyTree
) -> Params:
    run = functools.partial(gradient_of_one, known.learner)
    return summed(over_batch(run, batch)(params, seen, y_bar), batch)


@appears_as("unroll")
def _unroll(
    known: _Known,
    params: Params,
    xs: ArrayLike,
    targets: PyTree,
    loss: Loss,
    state: State | None = None,
    trace: Trace | None = None,
    mask: ArrayLike | None = None,
    reset: ArrayLike | None = None,
    key: Key | None = None,
) -> Learned:
    """A whole sequence with fixed parameters: the loss and its gradient."""
    name = f"{known.name}.unroll"
    check_params(name, params)
    check_callable(name, "loss", loss)
    check_takes(name, "loss", loss, ("y", "target"))
    if (state is None) != (trace is None):
        raise ValueError(f"{name}: state and trace belong together: give both, or neither")
    with naming(name):
        check_array(name, "xs", xs)
        if state is None:
            batch = batch_of_sequence(name, known.cell, xs)
            trace = _first_trace(name, known, params, batch)
            state = known.cell.initial_state(params, batch)
        else:
            batch = batch_of_state(name, known.cell, params, state)
            check_like(name, "trace", trace, _expected_trace(known, params, batch, trace), TRACE)
        if xs.ndim < 1 + len(batch):
            raise ValueError(
                f"{name}: xs must be (time, *batch, ...) with the batch {batch}, got "
                f"{shape_text(xs)}"
            )
        leading = (xs.shape[0], *batch)
        check_inputs(name, "xs", xs, leading, key, reset, mask)
        check_targets(name, targets, leading)
        flags = Flags(key, reset, mask)
        return _jitted_unroll(known, batch, loss, params, xs, targets, state, trace, flags)


def _first_trace(name: str, known: _Known, params: Params, batch: Shape) -> Trace:
    """The trace of a sequence that none is given for."""
    if known.draws:
        raise ValueError(
            f"{name}: state and trace must be given, since the trace is drawn by a key: "
            f"cell.initial_state(params, {batch}) and init(params, {batch}, key)"
        )
    check_first(name, known.cell, params, batch)
    return _jitted_begin(known, batch, params, None)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _jitted_unroll(
    known: _Known,
    batch: Shape,
    loss: Loss,
    params: Params,
    xs: ArrayLike,
    targets: PyTree,
    state: State,
    trace: Trace,
    flags: Flags,
) -> Learned:
    name = f"{known.name}.unroll"
    scalar = functools.partial(_scalar, name, loss)
    of_batch = over_batch(functools.partial(teach, known.learner, known.cell, scalar), batch)

    def step(state: State, trace: Trace, x: ArrayLike, target: PyTree, at: Flags) -> Taught:
        at = at._replace(key=keys_of(at.key, batch))
        return of_batch(params, state, trace, x, target, at)

    def body(carry: tuple[State, Trace, Array, Params], now: Any) -> tuple[Any, None]:
        state, trace, total, found = carry
        taught = step(state, trace, *now)
        added = summed(taught.gradient, batch)
        found = jax.tree.map(lambda a, b: a + b.astype(a.dtype), found, added)
        total = total + summed(taught.loss, batch).astype(total.dtype)
        return (taught.state, taught.trace, total, found), None

    keys = None if flags.key is None else jax.random.split(flags.key, xs.shape[0])
    inputs = xs, targets, flags._replace(key=keys)
    one = jax.eval_shape(step, state, trace, *outline_of_step(inputs))
    total = jnp.zeros((), state_dtype(one.loss.dtype))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, state_dtype(leaf.dtype)), params)
    (state, trace, total, found), _ = jax.lax.scan(body, (state, trace, total, zeros), inputs)
    found = jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), found, params)
    steps = jnp.ones((xs.shape[0], *batch), bool) if flags.mask is None else flags.mask
    return Learned(state, trace, total, jnp.sum(steps, dtype=total.dtype), found)


def _scalar(name: str, loss: Loss, y: PyTree, target: PyTree) -> Array:
    """The loss of one step, which must be one floating number."""
    check_output(name, y)
    value = call_user(name, "loss", loss, y, target)
    if not is_array(value) or value.shape != () or not jnp.issubdtype(value.dtype, jnp.floating):
        raise TypeError(
            f"{name}: loss must give one floating number for one step of one sequence, got "
            f"{shape_text(value)}"
        )
    return value
