"""A cell that is linear in its state: s' = a∘s + b, with a and b from the input alone.

a, b = coefficients(params, x)              from the input only, for all steps at once
state = a∘state + b                         unit by unit: no product is left in the loop
y    = output(params, state, x)             for all steps at once

Under 16-bit arithmetic an a near 1 would be rounded to 1. So the library's own cells have their
products in `project(params, x)`, which runs in the dtype of the arithmetic, and `coefficients` gets
what that gives, and its params, in the dtype of the state.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.derivative.jaxprs import depending, is_in
from jaxnn.functions.pair import is_pair, numbers_of, paired, plus, times, unpaired
from jaxnn.internal.checks import check_state, state_dtype, told_apart
from jaxnn.internal.mesh import outline_of_step
from jaxnn.internal.users import check_leading
from jaxnn.recurrence.split import cast
from jaxnn.scans.boundaries import where
from jaxnn.scans.linear import Method, check_coefficient, run_linear
from jaxnn.types import Array, EventNdim, InitialState, Params, PyTree, State

Coefficients = Callable[[Params, Any], tuple[PyTree, State]]
"""`a, b = coefficients(params, x)`: trees like the state; a may leave out leading dimensions."""


class LinearSplit(NamedTuple):
    """What a linear recurrence is; the fields that `Split` has too mean the same here.

    With a `dtype`, `coefficients` and `output` run in it, and the state in that of `state_dtype`;
    where there is a `project`, that runs in the one, and `coefficients` in the other. `any_rank`
    says that all three are written for any number of leading dimensions. `gates`, if there is one,
    takes what `coefficients` takes, and gives the gates' values.
    """

    name: str
    coefficients: Coefficients
    initial_state: InitialState
    output: Callable[[Params, State, Any], PyTree]
    event_ndim: EventNdim = 1
    dtype: jnp.dtype | None = None
    input_size: Callable[[Params], int] | None = None
    spatial_shape: tuple[int, ...] = ()
    any_rank: bool = False
    closed: bool = False
    init: Any = None
    project: Callable[[Params, Any], PyTree] | None = None
    gates: Callable[[Params, Any], PyTree] | None = None
    event: Callable[[Params], PyTree] | None = None


def one_step(split: LinearSplit, params: Params, state: State, x: PyTree) -> tuple[State, PyTree]:
    """`state, y` of one time step."""
    a, b = coefficients_of(split, params, x)
    numbers = zip(*(numbers_of(paired(tree)) for tree in (a, state, b)), strict=True)
    new = [plus(times(x, s), y) for x, s, y in numbers]
    new = unpaired(_structure(state).unflatten(new), state)
    return new, output_of(split, params, new, x)


def coefficients_of(split: LinearSplit, params: Params, x: PyTree) -> tuple[PyTree, State]:
    """a and b of one step, in the dtype of the state."""
    return _in_state_dtype(split, split.coefficients, params, x)


def gates_of(split: LinearSplit, params: Params, x: PyTree) -> PyTree:
    """The gates' values of one step, in the dtype of the state."""
    assert split.gates is not None
    return _in_state_dtype(split, split.gates, params, x)


def _in_state_dtype(
    split: LinearSplit, function: Callable[[Params, Any], Any], params: Params, x: PyTree
) -> Any:
    """What `coefficients` or `gates` gives for x."""
    exact = None if split.dtype is None else state_dtype(split.dtype)
    if split.project is None:
        return cast(function(cast(params, split.dtype), x), exact)
    projected = cast(split.project(cast(params, split.dtype), x), exact)
    return cast(function(cast(params, exact), projected), exact)


def output_of(split: LinearSplit, params: Params, state: State, x: PyTree) -> PyTree:
    """y of one step."""
    if split.output is emitted:
        return state
    return cast(split.output(cast(params, split.dtype), state, x), split.dtype)


def emitted(params: Params, state: State, x: PyTree) -> State:
    """The output of `output_state`: the state as it is, in its own dtype."""
    del params, x
    return state


def run_linear_split(
    split: LinearSplit, params: Params, arguments: Any, method: Method
) -> tuple[State, PyTree]:
    """The final state and the outputs over time."""
    xs, state, start = arguments.xs, arguments.state, arguments.start
    a, b = _over_time(split, params, xs)
    x, y, s, s_0 = (numbers_of(paired(tree)) for tree in (a, b, state, start))
    flags = arguments.mask, arguments.reset
    final, states = run_linear(method, arguments.reverse, x, y, s, s_0, *flags)
    final, states = (unpaired(_structure(state).unflatten(each), state) for each in (final, states))
    if arguments.mask is not None:  # what is not finite is not to reach a gradient there
        first = jax.tree.map(lambda leaf: leaf[None], start)
        states = where(arguments.mask, states, first)
    output = functools.partial(output_of, split, params)
    return final, output(states, xs) if split.any_rank else jax.vmap(output)(states, xs)


def _over_time(split: LinearSplit, params: Params, xs: PyTree) -> tuple[PyTree, State]:
    """a and b of all steps; what of a no input reaches is that of one step."""
    function = functools.partial(coefficients_of, split)
    if split.any_rank:
        return function(params, xs)
    one = outline_of_step(xs)
    a, b = jax.vmap(function, (None, 0))(params, xs)
    varies, outlines = _varying(split, params, one)
    fixed, _ = function(params, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), one))

    def choose(every: Array, fixed: Array, like: Array) -> Array:
        missing = range(1, 1 + like.ndim - fixed.ndim)
        return jnp.expand_dims(every, tuple(missing)) if next(varies) else fixed

    chosen = [
        jax.tree.map(functools.partial(choose, like=jax.tree.leaves(like)[0]), *pair)
        for *pair, like in zip(*map(numbers_of, (a, fixed, outlines[1])), strict=True)
    ]
    return jax.tree.structure(a, is_leaf=is_pair).unflatten(chosen), b


def _varying(split: LinearSplit, params: Params, x: PyTree) -> tuple[Iterator[bool], PyTree]:
    """Of each leaf of a, and then of b, whether x reaches it; and the shapes of both."""
    function = functools.partial(coefficients_of, split)
    jaxpr, outlines = jax.make_jaxpr(function, return_shape=True)(params, x)
    reached = depending(jaxpr.jaxpr, jaxpr.jaxpr.invars[-len(jax.tree.leaves(x)) :])
    return iter([is_in(reached, atom) for atom in jaxpr.jaxpr.outvars]), outlines


def _structure(state: State) -> Any:
    return jax.tree.structure(paired(state), is_leaf=is_pair)


def check_functions(
    name: str,
    split: LinearSplit,
    params: Params,
    x: PyTree,
    state: State,
    batch: tuple[int, ...],
) -> None:
    """Raise unless what a user's functions give fits the state, and keeps the batch."""

    def results(params: Params, x: PyTree, state: State) -> tuple[Any, PyTree]:
        return coefficients_of(split, params, x), output_of(split, params, state, x)

    (a, b), y = jax.eval_shape(results, params, x, state)
    hint = ": what coefficients adds is like the state"
    check_state(f"{name}, coefficients", "b", b, state, hint)
    if jax.tree.structure(a, is_leaf=is_pair) != jax.tree.structure(b, is_leaf=is_pair):
        want, got = told_apart(b, a)
        raise TypeError(f"{name}, coefficients: a must be a tree like the state, {want}, got {got}")
    for number, like in zip(numbers_of(a), numbers_of(b), strict=True):
        check_coefficient(f"{name}, coefficients", number, like)
    if batch and jax.tree.map(jnp.ndim, a) != jax.tree.map(jnp.ndim, b):
        _check_batch_of(name, split, params, x)
    check_leading(f"{name}, output", "what it gives", y, batch)


def _check_batch_of(name: str, split: LinearSplit, params: Params, x: PyTree) -> None:
    """Raise where an a of x has no batch: it would be taken for the same of all sequences."""
    varies, outlines = _varying(split, params, x)
    for number, like in zip(*map(numbers_of, outlines), strict=True):
        shape = jax.tree.leaves(like)[0].shape
        for leaf in jax.tree.leaves(number):
            if next(varies) and leaf.ndim < len(shape):
                raise ValueError(
                    f"{name}, coefficients: an a that depends on x must have the shape of b, "
                    f"{tuple(shape)}, got {tuple(leaf.shape)}; one number for each sequence is "
                    f"jnp.broadcast_to(a[..., None], b.shape)"
                )


def hidden(params: Params, state: State, x: PyTree) -> Array:
    """The output of many cells: the field `hidden` of the state."""
    del params, x
    return state.hidden
