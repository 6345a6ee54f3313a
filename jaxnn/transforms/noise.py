"""Gaussian noise on the input and on the state of a cell."""

import functools
from typing import TypeVar

import jax
import jax.numpy as jnp

from jaxnn.internal.checks import check_floating
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_number
from jaxnn.recurrence.split import Split
from jaxnn.transforms.random_split import Disturbance, disturbed, state_outline
from jaxnn.types import Array, Cell, Key, Params, PyTree, State

P = TypeVar("P")
S = TypeVar("S")


@factory
def noise(cell: Cell[P, S], input: float = 0.0, state: float = 0.0) -> Cell[P, S]:
    """A cell with Gaussian noise on what it is given and on what it becomes.

        x̃ = x + input·ε_x       s' = new(s, x̃) + state·ε_s       ε ~ N(0, 1), where a key is given

    Each step draws anew, for each number. Without a key there is no noise.

    Args:
      cell: a cell of the library that has equations, such as `lstm`, or a `split_cell`.
      input, state: standard deviations, 0 or more; the one of the state is that of each of its
        leaves.

    Returns:
      A Cell with the params, states and outputs of `cell`. It runs as fast as `cell`.

    Raises:
      TypeError, ValueError: for another cell, and for deviations that are no numbers of 0 or more;
        when it runs, for noise on an input or state that is not floating.

    Source: Jim, Giles & Horne 1996, of recurrent networks; Graves 2013 (arXiv 1308.0850), of LSTMs.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.regularizers.noise(jaxnn.gru(3, 4), state=0.1)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((5, 3))
    >>> (cell.unroll(params, xs)[1] == jaxnn.gru(3, 4).unroll(params, xs)[1]).all().item()
    True
    >>> noisy = cell.unroll(params, xs, key=jax.random.key(1))[1]
    >>> (cell.unroll(params, xs)[1] == noisy).any().item()
    False
    """
    deviations = []
    for argument, value in (("input", input), ("state", state)):
        deviations.append(check_number("noise", argument, value))
        if value < 0:
            raise ValueError(f"noise: {argument} must be 0 or more, got {value}")
    disturb = _disturb if deviations[0] else None
    draw = functools.partial(_draw, this_call(), *deviations)
    return disturbed("noise", cell, Disturbance(draw, _combine, disturb))


def _draw(
    name: str, on_x: float, on_state: float, split: Split, params: Params, x: PyTree, key: Key
) -> tuple[list[Array], list[Array]]:
    """What is added to each leaf of x, and to each of the state."""
    of_x, of_state = jax.random.split(key)
    on = state_outline(split, params, x) if on_state else ()
    for leaf in jax.tree.leaves(x) if on_x else ():
        check_floating(name, leaf)
    return _normal(on_x, of_x, x if on_x else ()), _normal(on_state, of_state, on)


def _normal(deviation: float, key: Key, like: PyTree) -> list[Array]:
    """Numbers for each leaf of a tree."""
    leaves = jax.tree.leaves(like)
    return [
        deviation * jax.random.normal(k, leaf.shape, leaf.dtype)
        for k, leaf in zip(jax.random.split(key, len(leaves)), leaves, strict=True)
    ]


def _plus(tree: PyTree, added: list[Array]) -> PyTree:
    leaves, structure = jax.tree.flatten(tree)
    return structure.unflatten(list(map(jnp.add, leaves, added)))


def _disturb(drawn: tuple[list[Array], list[Array]], x: PyTree) -> PyTree:
    return _plus(x, drawn[0])


def _combine(
    split: Split,
    drawn: tuple[list[Array], list[Array]] | None,
    params: Params,
    projected: PyTree,
    mixed: PyTree,
    state: State,
) -> State:
    new = split.combine(params, projected, mixed, state)
    if drawn is None or not drawn[1]:
        return new
    return _plus(new, drawn[1])
