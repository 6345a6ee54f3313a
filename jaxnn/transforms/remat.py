"""Memory as an argument: a gradient keeps the states between chunks, and recomputes the rest."""

import functools
from typing import TypeVar, overload

import jax

from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.inputs import batch_of, leading_of, time_of
from jaxnn.internal.mesh import vary, varying_axes
from jaxnn.internal.options import check_number, check_size
from jaxnn.internal.parameters import init_checked
from jaxnn.internal.parts import parts
from jaxnn.layers.composition import apply_layers, check_flags_of, parallel, serial
from jaxnn.recurrence.arguments import Arguments, StepKeys, step_keys
from jaxnn.recurrence.cell import description_of
from jaxnn.recurrence.inner import apply_of, initial_state_of, unroll_inner
from jaxnn.recurrence.unroll import sequence_unroll_by, unroll_by
from jaxnn.scans.checkpointed import scan_checkpointed
from jaxnn.transforms.bidirectional import as_layer
from jaxnn.transforms.chunks import chunk_sizes, sizes_within
from jaxnn.transforms.initial_state import learned_initial_state
from jaxnn.transforms.residual import residual
from jaxnn.types import (
    Array,
    Cell,
    Layer,
    Params,
    PyTree,
    SequenceLayer,
    State,
    facts_of,
    with_facts,
)

P = TypeVar("P")
S = TypeVar("S")


@overload
def remat(
    inner: Cell[P, S], steps: int | None = None, levels: int = 1, budget: float | None = None
) -> Cell[P, S]:
    """Of a Cell."""


@overload
def remat(
    inner: SequenceLayer[P, S],
    steps: int | None = None,
    levels: int = 1,
    budget: float | None = None,
) -> SequenceLayer[P, S]:
    """Of a SequenceLayer whose parts all run in one direction."""


@factory
def remat(
    inner: Cell | SequenceLayer,
    steps: int | None = None,
    levels: int = 1,
    budget: float | None = None,
) -> Cell | SequenceLayer:
    """The same cell, whose gradient takes less memory and computes the forward pass again.

    `unroll` runs in chunks of time. For its gradient it keeps the states between the chunks; what
    the steps inside one need is computed again when the gradient gets there. With T steps in chunks
    of L, that is T/L states and the residuals of L steps, in place of those of T, for one more
    forward pass. Values and gradients are those of `inner`, of any T, with masks, resets, reverse,
    a state and a start.

    The outputs of all steps, and their cotangent, are as large as ever. A loss that reads them all
    needs both; where it reads the final state alone, neither is kept.

    Args:
      inner: any Cell, a `stack` too; or a SequenceLayer that can be cut along time: `as_layer` of a
        cell, and a `serial`, `parallel` or `residual` of such and of Layers that act on each step.
      steps: how many steps a chunk has. By default about half the square root of T; where T has a
        divisor near it, that.
      levels: how many loops stand in each other. With n of them, each step is computed n times
        more, and about T^(1/(n+1)) states are kept for each loop. With `steps` given, it is the
        innermost chunk that has so many.
      budget: in bytes, in place of steps and levels: the least recomputation for which the
        temporaries of the compiled gradient of `unroll` fit, none if possible. Arguments, outputs,
        their cotangents and the gradient itself are not among them. It compiles some candidates
        when it is traced first for given shapes (seconds each), for the default backend; under
        `vmap` it counts for one of the many.

    Returns:
      A Cell, or SequenceLayer, with the params, states and `apply` of `inner`. A random cell draws
      the very numbers of `inner` with the same key, inside a `stack` too: `stack(remat(a),
      remat(b))`. A `stack` or `serial` as a whole draws anew for each chunk, by a key of its own:
      `fold_in(key, t)`, where t is its first step. Where the number of steps is not known, as
      `jax.export` may have it, the sequence runs in one piece. With a batch that the compiler lays
      over devices, the gradients of weights are summed over them once a chunk; in a `shard_map`, as
      `training.train_step` has it, once.

    Raises:
      TypeError: for another inner; a `bidirectional` needs the end before the start: use
        `bidirectional(remat(forward), remat(backward))`.
      ValueError: for steps or levels below 1, and for a budget beside them; when it runs, for a
        budget that cannot be kept, with the least that can be.

    Source: Chen et al. 2016 (arXiv 1604.06174); of recurrent networks, Gruslys et al. 2016 (arXiv
    1606.03401).

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell, xs = jaxnn.lstm(3, 4), jnp.ones((1000, 2, 3))
    >>> params = cell.init(jax.random.key(0))
    >>> def gradient(cell):
    ...     return jax.grad(lambda params: cell.unroll(params, xs)[0].hidden.sum())(params)
    >>> plain, frugal = gradient(cell), gradient(jaxnn.remat(cell))
    >>> bool(jnp.allclose(plain.input_kernel, frugal.input_kernel, rtol=1e-4))
    True
    >>> bounded = jaxnn.remat(cell, budget=100_000)
    """
    _check_inner(inner)
    if steps is not None:
        steps = check_size("remat", "steps", steps)
    levels = check_size("remat", "levels", levels)
    if budget is not None:
        budget = check_number("remat", "budget", budget, above=0)
        if steps is not None or levels != 1:
            given = "steps" if steps is not None else "levels"
            raise ValueError(f"remat: budget is given, which chooses {given}: give one of the two")
    name = this_call()
    init = functools.partial(init_checked, name, inner.init)
    init = with_facts(init, facts_of(inner).event_ndim)
    if isinstance(inner, Cell):
        return Cell(
            init,
            apply_of(name, inner),
            initial_state_of(name, inner),
            unroll_by(_run, name, inner, steps, levels, budget),
        )
    unroll = sequence_unroll_by(_run, name, inner, steps, levels, budget)
    return SequenceLayer(init, functools.partial(apply_layers, name, unroll), unroll)


def _run(
    name: str,
    inner: Cell | SequenceLayer,
    steps: int | None,
    levels: int,
    budget: float | None,
    params: Params,
    arguments: Arguments,
) -> tuple[State, PyTree]:
    event_ndim = facts_of(inner).event_ndim
    check_flags_of(name, event_ndim, arguments)
    if event_ndim is not None:  # the inside sees a chunk
        leading_of(f"{inner}.unroll", "xs", arguments.xs, event_ndim, True)
    if isinstance(inner, SequenceLayer):
        arguments = arguments._replace(reverse=True in _directions(inner))
    if budget is not None:
        sizes = sizes_within(f"{name}.unroll", budget, run_in_chunks, inner, params, arguments)
    elif _is_cut(inner, arguments):
        sizes = chunk_sizes(time_of(arguments.xs), steps, levels)
    else:
        sizes = ()
    return run_in_chunks(inner, sizes, params, arguments)


def run_in_chunks(
    inner: Cell | SequenceLayer,
    sizes: tuple[int, ...],
    params: Params,
    arguments: Arguments,
) -> tuple[State, PyTree]:
    """The unroll of `inner` in chunks of these sizes, the outermost first; in one piece without."""
    if not sizes:
        return unroll_inner(inner, params, arguments)
    xs, mask, reset, key = arguments.xs, arguments.mask, arguments.reset, arguments.key
    keys = step_keys(key, time_of(xs)) if _draws_each_step(inner) else None

    def piece(state: State, begin: Array, now: PyTree) -> tuple[State, PyTree]:
        xs, mask, reset, keys = now
        if keys is not None:
            drawn = StepKeys(keys)
        else:
            drawn = None if key is None else jax.random.fold_in(key, begin)
        part = arguments._replace(xs=xs, state=state, mask=mask, reset=reset, key=drawn)
        return unroll_inner(inner, params, part)

    state = _first_state(inner, params, arguments)
    inputs = xs, mask, reset, keys
    return scan_checkpointed(piece, state, inputs, sizes, arguments.reverse)


def _is_cut(inner: Cell | SequenceLayer, arguments: Arguments) -> bool:
    """Whether a sequence can be cut: it has steps, of a known number."""
    leaves = jax.tree.leaves((arguments.xs, arguments.mask, arguments.reset))
    times = {leaf.shape[:1] for leaf in leaves}
    if len(times) > 1:
        return False
    time = next(iter(times))
    return bool(time) and isinstance(time[0], int) and time[0] > 0


def _first_state(inner: Cell | SequenceLayer, params: Params, arguments: Arguments) -> State:
    """The state before the first chunk; None where only `inner` knows which."""
    event_ndim, xs, state = facts_of(inner).event_ndim, arguments.xs, arguments.state
    own = state is None and arguments.start is None
    if own and event_ndim is not None and isinstance(inner, Cell):
        state = inner.initial_state(params, batch_of(xs, event_ndim))
    given = params, arguments._replace(key=None, reverse=None)
    return None if state is None else vary(state, varying_axes(given))


def _draws_each_step(inner: Cell | SequenceLayer) -> bool:
    """Whether all that is random in it has a key for each step, as a single cell has."""
    if isinstance(inner, Cell) and description_of(inner) is not None:
        return True
    tree = parts(inner)
    if tree.factory not in (remat, residual, learned_initial_state, as_layer):
        return False
    return all(_draws_each_step(part.make()) for part in tree.parts.values())


def _check_inner(inner: object) -> None:
    """Raise unless inner can be cut along time."""
    if isinstance(inner, SequenceLayer):
        if len(_directions(inner)) > 1:
            raise ValueError(
                f"remat: inner must run in one direction, so that it can be cut along time; parts "
                f"of {inner} run in both: remat each of them by itself"
            )
    elif not isinstance(inner, Cell):
        hint = (
            ": a Layer alone keeps no states; put it in a stack or a serial with a cell"
            if isinstance(inner, Layer)
            else ""
        )
        raise TypeError(f"remat: inner must be a Cell or a SequenceLayer, got {inner!r}{hint}")


def _directions(layer: Layer | SequenceLayer) -> frozenset[bool]:
    """Which ways the parts of a layer run: in reverse or not; none for one that acts on each step.

    Raises:
      TypeError: for a part that cannot be cut along time.
    """
    if isinstance(layer, Layer) and facts_of(layer).each_step:
        return frozenset()
    tree = parts(layer)
    if tree.factory is as_layer:
        return frozenset((tree.options["reverse"],))
    if tree.factory in (serial, parallel, residual, remat):
        return frozenset().union(*(_directions(part.make()) for part in tree.parts.values()))
    raise TypeError(
        f"remat: inner must be cut along time, which {layer} cannot: a step of it sees others, or "
        f"may. Use remat on its cells, as in bidirectional(remat(forward), remat(backward)), or on "
        f"what stands before it in the serial"
    )
