"""The activations of a gated cell: tanh and σ, or what a user has put in their place."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.cells.gated import Equations
from jaxnn.internal.options import check_callable
from jaxnn.internal.users import map_user
from jaxnn.types import Array

Activation = Callable[[Array], Array]


class Activations(NamedTuple):
    """What is applied to a new value, and what to a gate; both unit by unit."""

    activation: Activation
    gate: Activation


USUAL = Activations(jnp.tanh, jax.nn.sigmoid)


def with_activations(
    kind: str, name: str, equations: Callable[..., Any], given: Activations
) -> Equations:
    """`equations(activations, params, projected, mixed, state)` with those of a cell.

    With the usual ones they are the same for all cells; others are called so that an error says
    which cell they were given to.

    Raises:
      TypeError: for one that cannot be called.
    """
    check_callable(kind, "activation", given.activation)
    check_callable(kind, "gate_activation", given.gate)
    return _with("" if given == USUAL else name, equations, given)


@functools.lru_cache(maxsize=1024)
def _with(name: str, equations: Callable[..., Any], given: Activations) -> Equations:
    if name:
        given = Activations(
            functools.partial(map_user, name, "activation", given.activation),
            functools.partial(map_user, name, "gate_activation", given.gate),
        )
    return functools.partial(equations, given)
