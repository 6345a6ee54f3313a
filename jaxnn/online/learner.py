"""`online`: a cell that learns forward in time, step by step or along a sequence."""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Self, cast

from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_bool, check_option
from jaxnn.online.along import Learned, unroll
from jaxnn.online.batch import Observed
from jaxnn.online.by_layer import by_layer as learner_by_layer, is_stack
from jaxnn.online.exact import exact_rule
from jaxnn.online.sequence import Trace, learner_of
from jaxnn.online.stepwise import Known, apply, gradient, init
from jaxnn.online.unit import unit_rule
from jaxnn.online.uoro import uoro_rule
from jaxnn.recurrence.cell import check_cell
from jaxnn.types import Cell, Params, PyTree, State, facts_of

METHODS = ("exact", "unit", "uoro")


class Online(NamedTuple):
    """A cell that learns forward in time; `jaxnn.online` makes it.

    `init(params, batch_shape=(), key=None)` gives the trace that goes with the cell's initial
    state, and `apply(params, state, trace, x, key=None, reset=None, mask=None)` one time step:
    `(state, trace, y, seen)`. `gradient(params, seen, y_bar)` says what a cotangent of that y, the
    gradient of a loss with respect to it, means for the parameters. `unroll(params, xs, targets,
    loss, state=None, trace=None, mask=None, reset=None, key=None)` goes along a sequence with
    these parameters; it gives `Learned(state, trace, loss, weight, gradient)`: those after the last
    step, the sum of the loss over all valid steps and sequences, how many those were, and the
    gradient of that sum.
    """

    init: Callable[..., Trace]
    apply: Callable[..., tuple[State, Trace, PyTree, Observed]]
    gradient: Callable[..., Params]
    unroll: Callable[..., Learned]

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
        units, but for the step of the loss itself. It is for cells of which is *seen*, in their
        jaxpr, that the last axis of every parameter is the unit, and that a parameter acts on its
        own unit within a step: of the library's, all but `gru(reset_after=False)`, `mgu`, `ltc`
        of several parts, `slstm` of several heads, `mlstm`, and the cells of images. A stack is
        taken by its layers.
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
    known = Known(name, cell, learner, draws=method == "uoro")
    return Online(
        functools.partial(init, known),
        functools.partial(apply, known),
        functools.partial(gradient, known),
        functools.partial(unroll, known),
    )
