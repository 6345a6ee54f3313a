"""Linear recurrences, s' = a∘s + b: by any method, with one derivative rule for all of them.

The tangent of such a recurrence is another one, with the same a:

    ds' = a∘ds + (da∘s + db)

and its transpose is the same recurrence in the other direction. So neither JAX nor the rule ever
differentiates a loop, or the tree of an associative scan: the method that runs it runs its
derivatives of all orders. Masks and resets are folded into a and b beforehand, so that no method
knows of them: a masked step is s' = 1∘s + 0, a reset s' = a∘start + b with nothing of s.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.functions.pair import Number, Pair, one_like, plus, times
from jaxnn.internal.linear_call import apply_linear
from jaxnn.internal.mesh import is_explicit, laid_out_as, outline_of_step
from jaxnn.internal.pinned import pinned
from jaxnn.internal.symbolic_zeros import are_zeros, dense, jvp_along
from jaxnn.scans.affine import (
    Numbers,
    associative,
    back,
    chunked,
    sequential,
    sequential_back,
    spread,
)
from jaxnn.scans.boundaries import where
from jaxnn.scans.over_devices import TimeShards, gathered, neighbours, run_back_over, run_over
from jaxnn.types import Array, ArrayLike

METHODS = {
    "scan": (sequential, sequential_back),
    "associative": (associative, functools.partial(back, associative)),
    "chunked": (chunked, functools.partial(back, chunked)),
}
"""How one runs, forward and back."""


class OverDevices(NamedTuple):
    """Time lies over devices, each of which runs its part by a method."""

    shards: TimeShards
    method: str | None


Method = str | OverDevices | None
"""One of METHODS; None lets the platform choose."""


def run_linear(
    method: Method,
    reverse: bool,
    a: Numbers,
    b: Numbers,
    state: Numbers,
    start: Numbers,
    mask: ArrayLike | None,
    reset: ArrayLike | None,
) -> tuple[Numbers, Numbers]:
    """The final state, and the states after each step; at a masked step, the one that stays.

    Args:
      method: one of METHODS, or over devices; None lets the platform choose.
      reverse: from the last step to the first.
      a: one number for each of b, over time as b, or with fewer dimensions, for all steps.
      b: numbers over time, `(time, *batch, ...)`.
      state, start: the first state, and what a reset returns to, as one step of b.
      mask, reset: boolean `(time, *batch)`, or None.
    """
    return run_linear_from(method, reverse, a, b, state, start, mask, reset)[:2]


def run_linear_from(
    method: Method,
    reverse: bool,
    a: Numbers,
    b: Numbers,
    state: Numbers,
    start: Numbers,
    mask: ArrayLike | None,
    reset: ArrayLike | None,
) -> tuple[Numbers, Numbers, Numbers]:
    """`run_linear`, and the state from which the steps that are here begin: the first one, or what
    comes from the device before."""
    if any(map(is_explicit, jax.tree.leaves(b))):
        state, start = (laid_out_as(each, outline_of_step(b)) for each in (state, start))
    over = isinstance(method, OverDevices)
    if over and not jax.tree.leaves(b)[0].shape[0]:
        return state, b, state
    fresh = reset if mask is None or reset is None else reset & mask
    if mask is not None:
        a = spread(a, b)
        a = where(mask, a, [one_like(x) for x in a])
        b = where(mask, b, jax.tree.map(jnp.zeros_like, b))
    cut, ends_fresh, comes_fresh = fresh, None, None
    if reverse and fresh is not None and fresh.shape[0]:
        # It stands after its step: the one that comes next begins from the start, masked or not.
        ends_fresh, comes_fresh = fresh[0], jnp.zeros_like(fresh[0])
        if over:
            every = gathered(method.shards, fresh[0])
            ends_fresh, comes_fresh = every[0], neighbours(method.shards, True, every, comes_fresh)
        cut = jnp.concatenate([fresh[1:], comes_fresh[None]])
    if cut is not None:
        first = jax.tree.map(lambda leaf: leaf[None], start)
        begun = [plus(times(x, s), y) for x, y, s in zip(a, b, first, strict=True)]
        b = where(cut, begun, b)
    if over and cut is not None:
        cut = cut, gathered(method.shards, jnp.any(cut, axis=0))
    final, states, begin = _run(reverse, method, a, b, state, cut)
    if ends_fresh is not None:
        final = where(ends_fresh, start, final)
    begin = begin or state
    return final, states, begin if comes_fresh is None else where(comes_fresh, start, begin)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _run(
    reverse: bool, method: Method, a: Numbers, b: Numbers, state: Numbers, cut: Any
) -> tuple[Numbers, Numbers, Numbers]:
    """The final state, those after each step and, over devices, what the steps here begin with.

    `cut` is as the method has it: flags over time, or a `Cut` over devices.
    """
    if isinstance(method, OverDevices):
        part = functools.partial(_run_in_order, method.method)
        result = run_over(method.shards, part, reverse, a, b, state, cut)
    else:
        result = *_by(method, 0, reverse, a, b, state, cut), []
    return pinned(result, (a, b, state, cut))


@functools.partial(_run.defjvp, symbolic_zeros=True)
def _run_jvp(
    reverse: bool, method: Method, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Any, Any]:
    a, _, state, cut = primals
    a_dot, b_dot, state_dot, _ = tangents
    found = _run(reverse, method, *primals)
    _, states, begin = found
    known = a, begin or state, states, cut
    with_a = not are_zeros(a_dot)
    dots = dense(a_dot) if with_a else None, dense(b_dot), dense(state_dot)
    residuals, known_structure = jax.tree.flatten(known)
    operands, dots_structure = jax.tree.flatten(dots)
    results, results_structure = jax.tree.flatten(found)

    def run(residuals: list[Array], operands: list[Array]) -> list[Array]:
        known, dots = known_structure.unflatten(residuals), dots_structure.unflatten(operands)
        return jax.tree.leaves(_tangent(reverse, method, known, dots))

    def transposed(residuals: list[Array], cotangents: list[Array]) -> list[Array]:
        known, bars = known_structure.unflatten(residuals), results_structure.unflatten(cotangents)
        return jax.tree.leaves(_cotangent(reverse, method, known, with_a, *bars))

    along = apply_linear(run, transposed, residuals, operands, results, transposed)
    return pinned(found, primals), results_structure.unflatten(along)


def _tangent(
    reverse: bool, method: Method, known: Any, dots: Any
) -> tuple[Numbers, Numbers, Numbers]:
    a, begin, states, cut = known
    a_dot, b_dot, state_dot = dots
    if a_dot is not None:
        before = _before(reverse, begin, states, cut)
        b_dot = [plus(times(x, s), y) for x, s, y in zip(a_dot, before, b_dot, strict=True)]
    return _run(reverse, method, a, b_dot, state_dot, cut)


def _cotangent(
    reverse: bool,
    method: Method,
    known: Any,
    with_a: bool,
    final: Numbers,
    bars: Numbers,
    begin_bar: Numbers,
) -> tuple[Numbers | None, Numbers, Numbers]:
    """Those of a, b and the first state."""
    a, begin, states, cut = known
    state_bar, b_bar = _run_back(reverse, method, a, bars, final, begin_bar, cut)
    if not with_a:
        return None, b_bar, state_bar
    before = _before(reverse, begin, states, cut)

    def of_a(x: Number, s: Number, bar: Number) -> Number:
        (found,) = jax.linear_transpose(lambda x: times(x, s), x)(bar)
        return found

    return [of_a(*each) for each in zip(a, before, b_bar, strict=True)], b_bar, state_bar


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _run_back(
    reverse: bool,
    method: Method,
    a: Numbers,
    bars: Numbers,
    final: Numbers,
    begin: Numbers,
    cut: Any,
) -> tuple[Numbers, Numbers]:
    """The cotangents of the first state, and of b, from those of what `_run` gives."""
    if isinstance(method, OverDevices):
        result = _back_over(method, reverse, a, bars, final, begin, cut)
    else:
        result = _by(method, 1, reverse, a, bars, final, cut)
    return pinned(result, (a, bars, final, begin, cut))


@functools.partial(_run_back.defjvp, symbolic_zeros=True)
def _run_back_jvp(
    reverse: bool, method: Method, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Any, Any]:
    """A part is the same recurrence the other way round, and so is differentiated as that; what is
    done over devices, JAX differentiates."""

    def again(a: Numbers, bars: Numbers, final: Numbers, begin: Numbers, cut: Any) -> Any:
        if isinstance(method, OverDevices):
            return _back_over(method, reverse, a, bars, final, begin, cut)
        return back(functools.partial(_run_in_order, method), reverse, a, bars, final, cut)

    _, dots = jvp_along(again, primals, tangents)
    return _run_back(reverse, method, *primals), dots


def _back_over(
    over: OverDevices,
    reverse: bool,
    a: Numbers,
    bars: Numbers,
    final: Numbers,
    begin: Numbers,
    cut: Any,
) -> tuple[Numbers, Numbers]:
    part = functools.partial(_back_in_order, over.method)
    return run_back_over(over.shards, part, reverse, a, bars, final, begin, cut)


def _run_in_order(
    method: str | None, reverse: bool, a: Numbers, b: Numbers, state: Numbers, cut: Array | None
) -> tuple[Numbers, Numbers]:
    return _run(reverse, method, a, b, state, cut)[:2]


def _back_in_order(
    method: str | None, reverse: bool, a: Numbers, bars: Numbers, final: Numbers, cut: Array | None
) -> tuple[Numbers, Numbers]:
    return _run_back(reverse, method, a, bars, final, [], cut)


def _by(
    method: str | None,
    which: int,
    reverse: bool,
    a: Numbers,
    b: Numbers,
    state: Numbers,
    cut: Array | None,
) -> tuple[Numbers, Numbers]:
    """Forward (0) or back (1), by a method; None is the loop on a CPU, and where the number of
    steps is not known, and the associative scan elsewhere."""
    if method is not None:
        return METHODS[method][which](reverse, a, b, state, cut)
    loop = functools.partial(METHODS["scan"][which], reverse)
    time = jax.tree.leaves(b)[0].shape[0]
    if not isinstance(time, int) or time < 2:
        return loop(a, b, state, cut)
    parallel = functools.partial(METHODS["associative"][which], reverse)
    return jax.lax.platform_dependent(a, b, state, cut, cpu=loop, default=parallel)


def _before(reverse: bool, state: Numbers, states: Numbers, cut: Any) -> Numbers:
    """What each step began from; zeros where that is nothing."""
    if isinstance(cut, tuple):
        cut, _ = cut

    def shift(first: Array, rest: Array) -> Array:
        return jnp.concatenate([rest[1:], first[None]] if reverse else [first[None], rest[:-1]])

    before = jax.tree.map(shift, state, states)
    return before if cut is None else where(cut, jax.tree.map(jnp.zeros_like, before), before)


def check_coefficient(name: str, a: Number, b: Number) -> None:
    """Raise unless a has the dtype of b, and its shape or the last dimensions of it."""
    if not _is_complex(b) and _is_complex(a):
        raise TypeError(f"{name}: a is complex, and b is not: give both a complex dtype")
    like = jax.tree.leaves(b)[0]
    for leaf in jax.tree.leaves(a):
        if leaf.dtype not in (like.dtype, jnp.finfo(like.dtype).dtype):
            raise TypeError(f"{name}: a must be {like.dtype}, as b is, got {leaf.dtype}")
        if leaf.ndim > like.ndim or tuple(leaf.shape) != tuple(like.shape[like.ndim - leaf.ndim :]):
            raise ValueError(
                f"{name}: a must have the shape of b, {tuple(like.shape)}, or its last dimensions, "
                f"got {tuple(leaf.shape)}"
            )


def _is_complex(number: Number) -> bool:
    return isinstance(number, Pair) or jnp.issubdtype(number.dtype, jnp.complexfloating)
