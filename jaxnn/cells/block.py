"""A Cell that is made of others and has a name of its own."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.internal.checks import check_dtype_of, check_features, naming
from jaxnn.internal.factory import this_call
from jaxnn.internal.options import check_dtypes
from jaxnn.internal.parameters import init_checked
from jaxnn.recurrence.arguments import Arguments
from jaxnn.recurrence.inner import initial_state_of
from jaxnn.recurrence.unroll import hands_on, unroll_by
from jaxnn.types import (
    ArrayLike,
    Cell,
    Key,
    Params,
    PyTree,
    State,
    appears_as,
    facts_of,
    with_facts,
)


class _Takes(NamedTuple):
    """What x must be: its features and its dtype."""

    size: int
    dtype: jnp.dtype


def block_cell(
    kind: str, input_size: int, dtype: DTypeLike, make: Callable[[], Cell[Any, Any]]
) -> Cell[Any, Any]:
    """The Cell that `make` puts together. A `@factory` returns it, and its call is the name.

    Errors, when it is made and when it runs, say which block they are of. Its params and states are
    those of what it is made of; `input_size` and `dtype` are those of its x.
    """
    takes = _Takes(input_size, check_dtypes(kind, dtype, None)[0])
    with naming(kind):
        block = make()
    name = this_call()
    init = functools.partial(init_checked, name, block.init)
    return Cell(
        with_facts(init, facts_of(block).event_ndim),
        functools.partial(_apply, name, takes, block),
        initial_state_of(name, block),
        unroll_by(_run, name, takes, block),
    )


def _check(takes: _Takes, name: str, argument: str, x: ArrayLike) -> None:
    check_dtype_of(name, argument, x, takes.dtype)
    check_features(name, argument, x, takes.size)


@appears_as("apply")
def _apply(
    name: str,
    takes: _Takes,
    block: Cell,
    params: Params,
    state: State,
    x: ArrayLike,
    key: Key | None = None,
) -> tuple[State, PyTree]:
    _check(takes, f"{name}.apply", "x", x)
    with naming(f"{name}.apply"):
        return block.apply(params, state, x, key)


@hands_on
def _run(
    name: str, takes: _Takes, block: Cell, params: Params, arguments: Arguments
) -> tuple[State, PyTree]:
    xs = arguments.xs
    _check(takes, f"{name}.unroll", "xs", xs)
    if xs.ndim < 2:
        raise ValueError(
            f"{name}.unroll: xs must be (time, *batch, features), at least 2 dimensions, got the "
            f"shape {tuple(xs.shape)}; apply runs one step"
        )
    with naming(name):
        return block.unroll(params, *arguments)
