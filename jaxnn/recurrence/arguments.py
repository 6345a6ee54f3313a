"""What `unroll` and `apply` are asked for, and the check of it: once, before anything runs."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.functions.sequences import check_valid_fit, zero_masked
from jaxnn.functions.windows import check_channels_last
from jaxnn.internal.checks import (
    check_arguments,
    check_array,
    check_dtype_of,
    check_features,
    check_fits,
    check_flags,
    check_key,
    check_state,
    is_array,
    shape_text,
)
from jaxnn.internal.inputs import (
    batch_of,
    check_event,
    check_one_array,
    leading_of,
    leaves_of,
    time_of,
)
from jaxnn.internal.mesh import outline_of_step, vary, varying_axes
from jaxnn.internal.parameters import check_params, known_params
from jaxnn.internal.users import check_leading
from jaxnn.recurrence.description import Description
from jaxnn.recurrence.linear_split import LinearSplit, check_functions
from jaxnn.recurrence.split import Split, Stepwise, mixed_by, output_by, parameters, prepare
from jaxnn.scans.over_devices import TimeShards
from jaxnn.types import ArrayLike, InitialState, Key, Params, PyTree, Shape, State


class Arguments(NamedTuple):
    """The arguments of `unroll` after the parameters, in their order."""

    xs: PyTree
    state: State | None = None
    mask: ArrayLike | None = None
    reset: ArrayLike | None = None
    reverse: bool = False
    key: Any = None
    start: State | None = None


class StepKeys(NamedTuple):
    """In the place of a key, one for each step, so that a part of a sequence draws as the whole."""

    keys: Key


def step_keys(key: Key | StepKeys | None, time: int) -> Key | None:
    """The key of each of so many steps, or None."""
    if key is None:
        return None
    return key.keys if isinstance(key, StepKeys) else jax.random.split(key, time)


def keys_of(arguments: Arguments) -> Key | None:
    """The key of each step, where there is one."""
    return step_keys(arguments.key, time_of(arguments.xs))


def check_given(name: str, params: Params, arguments: Arguments) -> None:
    """Raise where something is no array: it stands before the jit, which says less."""
    if not isinstance(arguments.key, StepKeys):
        check_key(name, arguments.key)
    mask, inputs = arguments.mask, leaves_of(name, "xs", arguments.xs)
    flags = [("mask", mask), ("reset", arguments.reset)]
    for argument, value in inputs + [each for each in flags if each[1] is not None]:
        check_array(name, argument, value)
        if isinstance(value, jax.ShapeDtypeStruct):
            raise TypeError(
                f"{name}: xs, mask and reset must be arrays, got a ShapeDtypeStruct: "
                f"jax.eval_shape(cell.unroll, params, xs) traces shapes"
            )
    for argument, value in inputs:
        check_valid_fit(name, argument, value, mask)
    check_arguments(name, "params", params=params, state=arguments.state, start=arguments.start)


def checked(name: str, description: Description, params: Params, arguments: Arguments) -> None:
    """Raise unless all fits: parameters, the sequence, flags, states. Nothing is computed."""
    check_given(name, params, arguments)
    check_params_of(name, description, params)
    leading = _leading(name, description, "xs", arguments.xs)
    for argument, flags in (("mask", arguments.mask), ("reset", arguments.reset)):
        if flags is not None:
            check_flags(name, argument, flags, leading, "xs")
    check_x(description, params, arguments.xs, "xs")
    state, start = arguments.state, arguments.start
    if state is None and start is None:
        return
    batch = leading[1:]
    expected = _shapes(description.initial_state, params, batch)
    if start is not None:
        single = _shapes(description.initial_state, params, ())
        check_state(name, "start", start, single if _is_single(start, single) else expected)
    if state is not None:
        hint = _batch_hint(state, expected, leading) or _few_axes_hint(state, expected, batch)
        check_state(name, "state", state, expected, hint)


def begun(
    name: str,
    description: Description,
    params: Params,
    arguments: Arguments,
    shards: TimeShards | None = None,
) -> Arguments:
    """Checked arguments with clean inputs, the first state, and the start of every sequence; a
    start that is given without batch dimensions serves all. Where time lies over devices, both are
    the same on each."""
    batch = batch_of(arguments.xs, description.event_ndim)
    start = arguments.start
    if start is None:
        start = description.initial_state(params, batch)
        check_leading(name, f"initial_state(params, {batch})", start, batch)
    elif _is_single(start, _shapes(description.initial_state, params, ())):
        start = spread(start, batch)
    state = start if arguments.state is None else arguments.state
    xs = zero_masked(arguments.xs, arguments.mask)
    if not isinstance(description, Stepwise):
        _check_functions(name, description, params, outline_of_step(xs), state, batch)
    axes = varying_axes((params, xs, state, start, arguments.mask, arguments.reset))
    if shards is not None:
        axes -= {shards.axis}
    return arguments._replace(xs=xs, state=vary(state, axes), start=vary(start, axes))


def check_params_of(name: str, description: Description, params: Params) -> None:
    """Raise unless params are those of the cell; the dtypes of a user's own are the user's."""
    if description.dtype is not None:
        check_params(name, description.init, params)
    elif known_params(description.init) is not None:
        check_params(name, description.init, params, dtypes=False)


def check_step(
    name: str, description: Description, params: Params, state: State, x: PyTree, key: Key | None
) -> tuple[int, ...]:
    """The batch shape of x, once all fits for one step."""
    check_key(name, key)
    check_params_of(name, description, params)
    for argument, value in leaves_of(name, "x", x):
        check_array(name, argument, value)
        check_fits(name, argument, value)
    batch = _leading(name, description, "x", x)
    check_x(description, params, x, "x")
    expected = _shapes(description.initial_state, params, batch)
    check_leading(name, f"initial_state(params, {batch})", expected, batch)
    hint = _few_axes_hint(state, expected, batch, "; unroll runs a sequence")
    check_state(name, "state", state, expected, hint)
    if not isinstance(description, Stepwise):
        _check_functions(name, description, params, x, state, batch)
    return batch


def checked_step(
    cell: Stepwise,
    batch: tuple[int, ...],
    params: Params,
    state: State,
    at: tuple[PyTree, Key | None],
) -> tuple[State, PyTree]:
    """The step of a cell that is known by it only."""
    result = cell.step(params, state, *at)
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"{cell.name}: apply must give (state, y), got {shape_text(result)}")
    hint = ": apply must keep its shapes and dtypes"
    check_state(cell.name, "the new state", result[0], state, hint)
    check_leading(f"{cell.name}, apply", "y", result[1], batch)
    return result


def _check_functions(
    name: str,
    split: Split | LinearSplit,
    params: Params,
    x: PyTree,
    state: State,
    batch: tuple[int, ...],
) -> None:
    """Raise unless a user's functions keep the batch: what does not would be spread over it."""
    if split.dtype is not None:
        return
    if isinstance(split, LinearSplit):
        check_functions(name, split, params, x, state, batch)
        return

    def results(params: Params, x: PyTree, state: State) -> PyTree:
        for_mix, _ = parameters(split, params)
        found = prepare(split, params, x), mixed_by(split, for_mix, state), output_by(split, state)
        for function, result in zip(("project", "mix", "output"), found, strict=True):
            check_leading(f"{name}, {function}", "what it gives", result, batch)
        return found

    jax.eval_shape(results, params, x, state)


def _leading(name: str, description: Description, argument: str, x: PyTree) -> Shape:
    """The batch, and time before it where x is xs; a cell of the library's takes one array."""
    if description.dtype is not None and description.event is None:
        check_one_array(name, argument, x)
    time = argument == "xs"
    more = "; apply runs one step" if time else ""
    return leading_of(name, argument, x, description.event_ndim, time, more)


def check_x(split: Description, params: Params, x: PyTree, argument: str) -> None:
    """Raise unless x has the dtype and the features that the recurrence takes."""
    if split.dtype is None:
        return
    if split.event is not None:
        check_event(split.name, argument, x, split.event(params))
        return
    size = None if split.input_size is None else split.input_size(params)
    check_dtype_of(split.name, argument, x, split.dtype)
    if size is not None and split.spatial_shape:
        check_channels_last(split.name, argument, x, size, len(split.spatial_shape))
    if size is not None:
        check_features(split.name, argument, x, size)
    spatial = tuple(x.shape[-1 - len(split.spatial_shape) : -1])
    if spatial != split.spatial_shape:
        raise ValueError(
            f"{split.name}: {argument} must have the spatial shape {split.spatial_shape}, before "
            f"its features; got {spatial} (shape {tuple(x.shape)})"
        )


def spread(state: State, batch_shape: tuple[int, ...]) -> State:
    """One state, repeated for a batch; each leaf is a new array, so that it can be donated."""
    return jax.tree.map(
        lambda leaf: jnp.array(jnp.broadcast_to(leaf, (*batch_shape, *leaf.shape)), copy=True),
        state,
    )


def _shapes(initial_state: InitialState, params: Params, batch: tuple[int, ...]) -> State:
    return _jitted(initial_state, batch).eval_shape(params)


@functools.lru_cache(maxsize=1024)
def _jitted(initial_state: InitialState, batch: tuple[int, ...]) -> Any:
    """One object for one batch, which jax traces once."""
    return jax.jit(functools.partial(initial_state, batch_shape=batch))


def _is_single(start: State, single: State) -> bool:
    """Whether a start has the shapes of one without batch dimensions."""
    shapes = [getattr(leaf, "shape", None) for leaf in jax.tree.leaves(start)]
    return shapes == [leaf.shape for leaf in jax.tree.leaves(single)]


def _batch_hint(state: State, expected: State, leading: Shape) -> str:
    """Say so where the batch of a state is the first axis of xs."""
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=False)
    first = [(got.shape[:1], want.shape[:1]) for got, want in pairs if is_array(got)]
    if any(got == leading[:1] != want for got, want in first):
        return (
            ". Is xs (batch, time, features)? jaxnn is time-major (time, batch, features): "
            "use xs.swapaxes(0, 1)"
        )
    return ""


def _few_axes_hint(state: State, expected: State, batch: tuple[int, ...], more: str = "") -> str:
    """Say so where a state lacks batch dimensions."""
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=False)
    if any(is_array(got) and got.ndim < want.ndim for got, want in pairs):
        return f". initial_state(params, {batch}) makes one for this batch{more}"
    return ""
