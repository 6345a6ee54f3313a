"""`linear_recurrence`, for anybody: checked, compiled once, and run."""

import functools

import jax
import jax.numpy as jnp

from jaxnn.functions.pair import Pair, is_pair, numbers_of, paired, unpaired
from jaxnn.internal.checks import (
    check_arguments,
    check_array,
    check_flags,
    check_state,
    is_traced,
    outline_text,
    shape_text,
    told_apart,
)
from jaxnn.internal.mesh import outline_of_step
from jaxnn.internal.options import check_bool, check_option
from jaxnn.scans.linear import METHODS, check_coefficient, run_linear
from jaxnn.types import ArrayLike, PyTree, State, Tree


def linear_recurrence(
    a: PyTree,
    b: Tree,
    state: State | None = None,
    start: State | None = None,
    mask: ArrayLike | None = None,
    reset: ArrayLike | None = None,
    reverse: bool = False,
    method: str | None = None,
) -> tuple[State, Tree]:
    """s' = a∘s + b along the leading axis, in the way that the hardware likes.

    Args:
      a: the coefficients: real or complex, of the shape of b, or, where they are the same for all
        steps, of the trailing dimensions of b, such as `(units,)`.
      b: what is added, `(time, *batch, ...)`, real or complex. Both may be trees of arrays of one
        structure, in which a `jaxnn.Pair` is a complex number in two real arrays.
      state: the first state, like one step of b; by default `start`.
      start: what a reset returns to, like one step of b; by default zeros.
      mask: boolean `(time, *batch)`. A masked step leaves the state as it is; what stands in a and
        b there, NaN included, reaches nothing.
      reset: boolean `(time, *batch)`, true where a segment begins: nothing crosses its boundary, a
        NaN neither, in either direction. Ignored at masked steps.
      reverse: from the last step to the first; states stay at their own time.
      method: "scan" (a loop), "associative" (`jax.lax.associative_scan`: log T rounds) or
        "chunked" (√T chunks side by side). By default the loop where it runs on a CPU, on which it
        is several times as fast as the others, and where the number of steps is symbolic; else the
        associative scan.

    Returns:
      The final state, and the states after each step, `(time, *batch, ...)`; at a masked step, the
      one that stays.

    Raises:
      TypeError: for what is no array, dtypes that differ or are not floating or complex, flags that
        are not boolean, and a tree of another structure.
      ValueError: for shapes that do not fit, an unknown method, and "chunked" or "associative"
        where the number of steps is symbolic.

    Its derivative is the recurrence in the other direction, by the same method, in both modes and
    of all orders. Source: Blelloch 1990; Martin & Cundy 2018 (arXiv 1709.04057).

    >>> import jax.numpy as jnp, jaxnn
    >>> state, states = jaxnn.linear_recurrence(jnp.array([0.5]), jnp.ones((3, 1)))
    >>> states[:, 0].tolist()
    [1.0, 1.5, 1.75]
    """
    name = "linear_recurrence"
    if is_traced(reverse):
        raise TypeError(f"{name}: reverse must be known when traced: under jit, make it static")
    check_bool(name, "reverse", reverse)
    if method is not None:
        check_option(name, "method", method, tuple(METHODS))
    check_arguments(name, a=a, b=b, state=state, start=start)
    _check(name, a, b)
    first = outline_of_step(b)
    for argument, given in (("state", state), ("start", start)):
        if given is not None:
            check_state(name, argument, given, first, ": it is like one step of b")
    lead = _leading(b)
    for argument, flags in (("mask", mask), ("reset", reset)):
        if flags is not None:
            check_array(name, argument, flags)
            check_flags(name, argument, flags, lead[: flags.ndim] if flags.ndim else lead, "b")
    if mask is not None and reset is not None and mask.shape != reset.shape:
        raise ValueError(
            f"{name}: mask and reset must cover the same dimensions of b, got {tuple(mask.shape)} "
            f"and {tuple(reset.shape)}"
        )
    time = lead[0]
    if method not in (None, "scan") and not isinstance(time, int):
        raise ValueError(
            f"{name}: method {method!r} needs a number of steps that is known: use None"
        )
    return _jitted(a, b, state, start, mask, reset, reverse, method)


@functools.partial(jax.jit, static_argnames=("reverse", "method"))
def _jitted(
    a: PyTree,
    b: PyTree,
    state: State | None,
    start: State | None,
    mask: ArrayLike | None,
    reset: ArrayLike | None,
    reverse: bool,
    method: str | None,
) -> tuple[State, PyTree]:
    first = outline_of_step(b)
    if start is None:
        start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), first)
    state = start if state is None else state
    x, y, s, s_0 = (numbers_of(paired(tree)) for tree in (a, b, state, start))
    final, states = run_linear(method, reverse, x, y, s, s_0, mask, reset)
    structure = jax.tree.structure(paired(b), is_leaf=is_pair)
    return unpaired(structure.unflatten(final), first), unpaired(structure.unflatten(states), b)


def _check(name: str, a: PyTree, b: PyTree) -> None:
    """Raise unless a fits b, number by number."""
    wholes = jax.tree.leaves(b, is_leaf=is_pair)
    if not wholes:
        raise ValueError(f"{name}: b must hold an array, got {outline_text(b)}")
    same = jax.tree.structure(a, is_leaf=is_pair) == jax.tree.structure(b, is_leaf=is_pair)
    if not same:
        want, got = told_apart(b, a)
        raise TypeError(f"{name}: a must be a tree like b, {want}, got {got}")
    times = {leaf.shape[:1] for leaf in jax.tree.leaves(b)}
    if len(times) != 1 or () in times:
        shapes = ", ".join(map(shape_text, jax.tree.leaves(b)))
        raise ValueError(f"{name}: b must be (time, ...), of one number of steps; got {shapes}")
    for x, y in zip(jax.tree.leaves(a, is_leaf=is_pair), wholes, strict=True):
        _check_number(name, x, y)


def _check_number(name: str, a: PyTree, b: PyTree) -> None:
    like = b.real if isinstance(b, Pair) else b
    for leaf in jax.tree.leaves(b):
        if leaf.shape != like.shape or leaf.dtype != like.dtype:
            raise ValueError(f"{name}: the two parts of a Pair must be alike, got {b}")
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            raise TypeError(f"{name}: b must be floating or complex, got {leaf.dtype}")
    check_coefficient(name, a, b)


def _leading(b: PyTree) -> tuple[int, ...]:
    """The dimensions that all leaves begin with."""
    shapes = [tuple(leaf.shape) for leaf in jax.tree.leaves(b)]
    shortest = min(shapes, key=len)
    count = next(
        (n for n in range(len(shortest)) if len({shape[: n + 1] for shape in shapes}) > 1),
        len(shortest),
    )
    return shortest[:count]
