"""Calls of functions that a user wrote: an error in one says whose function it was."""

from collections.abc import Callable
from typing import TypeVar

import jax

from jaxnn.internal.checks import is_array, outline_text, shape_text
from jaxnn.types import Array, PyTree, Shape

R = TypeVar("R")

MISTAKES = (TypeError, ValueError, LookupError, AttributeError, NameError, AssertionError)
"""What Python and jax raise for a function that was not written for what it is given."""


def call_user(name: str, argument: str, function: Callable[..., R], *values: object) -> R:
    """`function(*values)`.

    Args:
      name: the function that was called, for errors.
      argument: what the user's function is called there.
      function, values: the user's function, and what it gets.

    Raises:
      TypeError, ValueError: where it raises one, or an error of the kinds that a mistake in it
        makes; others (an interrupt, an error of the user's own) go through with a note.
    """
    try:
        return function(*values)
    except MISTAKES as error:
        shapes = ", ".join(_text(value) for value in values)
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(
            f"{name}: {argument}({shapes}) raised {type(error).__name__}: {error}"
        ) from error
    except Exception as error:
        error.add_note(f"raised by {argument}, called by {name}")
        raise


def give_arrays(name: str, argument: str, function: Callable[..., R], *values: object) -> R:
    """`call_user`, of a function that gives an array or a tree of them."""
    result = call_user(name, argument, function, *values)
    if result is None:
        raise TypeError(f"{name}: {argument} must give an array or a tree of them, got None")
    check_leading(name, argument, result, ())
    return result


def map_user(name: str, argument: str, function: Callable[[Array], Array], x: Array) -> Array:
    """A user's function of an array, entry by entry: what it gives has the shape and dtype of x."""
    y = call_user(name, argument, function, x)
    if not is_array(y) or y.shape != x.shape or y.dtype != x.dtype:
        raise TypeError(
            f"{name}: {argument} must give an array like its own, {shape_text(x)}; "
            f"got {shape_text(y)}"
        )
    return y


def is_closed(function: Callable[..., object]) -> bool:
    """Whether a function is one of jax's or our own, which compute with their arguments alone."""
    return getattr(function, "__module__", "").startswith(("jax.", "jaxnn."))


def check_leading(
    name: str, argument: str, result: PyTree, leading: Shape, of: str = "the batch"
) -> None:
    """Raise unless what a user's function gave are arrays that begin with some dimensions."""
    leading = tuple(leading)
    for path, leaf in jax.tree_util.tree_leaves_with_path(result):
        where = f"{argument}{jax.tree_util.keystr(path)}"
        if not is_array(leaf):
            raise TypeError(f"{name}: {where} must be an array, got {shape_text(leaf)}")
        if tuple(leaf.shape[: len(leading)]) != leading:
            raise ValueError(
                f"{name}: {where} must begin with {of} {leading}, got the shape {tuple(leaf.shape)}"
            )


def _text(value: object) -> str:
    return shape_text(value) if is_array(value) else outline_text(value)
