"""What `decode` and `beam_search` are given: their checks, and the little that both need."""

import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.internal.checks import (
    check_arguments,
    check_array,
    dtype_in_jax,
    naming,
    state_dtype,
)
from jaxnn.internal.inputs import leading_of
from jaxnn.internal.options import check_callable, check_takes
from jaxnn.internal.users import give_arrays
from jaxnn.recurrence.cell import check_cell
from jaxnn.types import Array, ArrayLike, Cell, Params, PyTree, Shape, State, facts_of

Feed = Callable[[Array], Any]
Stop = tuple[int, ...]


def check_given(
    name: str, cell: object, params: Params, state: State, first: PyTree, feed: Feed | None
) -> None:
    """Raise unless these are what they should be; shapes are left to the cell."""
    check_cell(name, "cell", cell)
    check_array(name, "first", first)
    check_arguments(name, "params", params=params, state=state, first=first)
    if feed is not None:
        check_function(name, "feed", feed, ("token",))


def check_function(name: str, argument: str, function: Any, arguments: tuple[str, ...]) -> None:
    """Raise TypeError unless a function takes these, and can be a static argument of jit."""
    check_callable(name, argument, function)
    check_takes(name, argument, function, arguments)
    try:
        hash(function)
    except TypeError:
        raise TypeError(f"{name}: {argument} must be hashable, got {function!r}") from None


def tokens_of(name: str, argument: str, value: object) -> Stop:
    """Tokens that stop a sequence, as a tuple of ints: None, one, or a tuple."""
    given = () if value is None else value if isinstance(value, tuple) else (value,)
    return tuple(token_of(name, argument, each) for each in given)


def token_of(name: str, argument: str, value: Any) -> int:
    """A token, as an int."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: {argument} must be a token, an integer, got {value!r}") from None


def check_tokens(name: str, first: ArrayLike, why: str, stop: Stop, pad: int) -> None:
    """Raise unless first holds tokens, of a dtype that those after which it stops, and pad, fit."""
    if not jnp.issubdtype(first.dtype, jnp.integer):
        raise TypeError(f"{name}: {why}, so first must be tokens, integers, got {first.dtype}")
    range_ = jnp.iinfo(dtype_in_jax(first))
    for argument, token in (*(("stop", each) for each in stop), ("pad", pad)):
        if not range_.min <= token <= range_.max:
            raise ValueError(
                f"{name}: {argument} is {token}, which first, {range_.dtype}, cannot hold"
            )


def fed(name: str, feed: Feed | None, token: Array) -> Array:
    """What the cell gets in the place of a token."""
    return token if feed is None else give_arrays(name, "feed", feed, token)


def batch_of(name: str, cell: Cell, x: Any) -> Shape:
    """The batch of a step's input."""
    known = facts_of(cell).event_ndim
    where, event_ndim = "first, as the cell gets it,", 1 if known is None else known
    return leading_of(name, where, x, event_ndim, False)


def begun(name: str, cell: Cell, params: Params, state: State, batch: Shape) -> State:
    """The state to begin with."""
    with naming(name):
        return cell.initial_state(params, batch) if state is None else state


def log_softmax(y: Array) -> Array:
    """Of logits, in float32 where they have 16 bits."""
    return jax.nn.log_softmax(y.astype(state_dtype(y.dtype)))


def stops(token: Array, stop: Stop) -> Array:
    """Where a token is one of those that stop."""
    return jnp.any(jnp.stack([token == each for each in stop]), axis=0)
