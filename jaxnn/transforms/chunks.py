"""How long chunks are to be: near the best by what is known, or as a budget of memory wants it."""

import contextlib
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.internal.compiled import memory_of
from jaxnn.internal.inputs import time_of
from jaxnn.recurrence.arguments import Arguments
from jaxnn.recurrence.methods import is_attended, listening
from jaxnn.types import Array, Params, PyTree

RESIDUALS = 4
"""About how many times the size of its state a step keeps for a gradient."""
DEEPEST = 6
"""So many levels at the most are tried for a budget."""

Sizes = tuple[int, ...]
"""The steps of a chunk, from the outermost loop to the innermost; none: in one piece."""


def chunk_sizes(time: int, steps: int | None, levels: int) -> Sizes:
    """The sizes of chunks of a sequence.

    With n levels of T steps the memory is RESIDUALS · L for the innermost chunk of L steps, and for
    each loop as many states as it has rounds. At its least, all these are equal.

    >>> chunk_sizes(1024, None, 1), chunk_sizes(1000, 30, 1), chunk_sizes(1024, None, 2)
    ((16,), (30,), (64, 4))
    """
    if steps is None:
        each = (RESIDUALS * time) ** (1 / (levels + 1))
        steps = _near(each / RESIDUALS, time)
    sizes, count = [steps], time // steps
    for left in range(levels - 1, 0, -1):
        factor = _near(count ** (1 / (left + 1)), count)
        count //= factor
        sizes.append(sizes[-1] * factor)
    kept = [size for size in reversed(sizes) if size == steps or size < time]
    return tuple(dict.fromkeys(kept))


def _near(target: float, total: int) -> int:
    """The proper divisor of a total that is nearest to a number, or the number where none is near:
    what does not divide costs a program for the rest, and a copy of the outputs."""
    wanted = max(1, round(target))
    near = range(max(2, (wanted + 1) // 2), min(2 * wanted + 1, total))
    divisors = [size for size in near if total % size == 0]
    return min(divisors, key=lambda size: abs(math.log(size / wanted)), default=wanted)


def sizes_within(
    name: str,
    budget: float,
    run: Callable[..., PyTree],
    inner: object,
    params: Params,
    arguments: Arguments,
) -> Sizes:
    """The sizes with the least recomputation for which the temporaries of the gradient fit.

    Args:
      name: what was called, for errors.
      budget: in bytes.
      run: `run(inner, sizes, params, arguments)` gives the final state and the outputs.
      inner, params, arguments: what it gets.

    Raises:
      ValueError: for shapes that are not known, and where nothing fits.
    """
    given = params, arguments._replace(reverse=None)
    leaves, structure = jax.tree.flatten(given)
    outlines = tuple((tuple(leaf.shape), leaf.dtype) for leaf in leaves)
    if not all(isinstance(size, int) for shape, _ in outlines for size in shape):
        raise ValueError(
            f"{name}: budget needs sizes that are known, got xs of the shape "
            f"{jax.tree.leaves(arguments.xs)[0].shape}: give steps in its place"
        )
    # Programs that are only looked at are none that somebody asked for.
    with listening() if is_attended() else contextlib.nullcontext():
        return _within(name, budget, run, inner, structure, outlines, arguments.reverse)


@functools.lru_cache(maxsize=1024)
def _within(
    name: str,
    budget: float,
    run: Callable[..., PyTree],
    inner: object,
    structure: Any,
    outlines: tuple[Any, ...],
    reverse: bool,
) -> Sizes:
    shapes = [jax.ShapeDtypeStruct(*outline) for outline in outlines]
    params, arguments = structure.unflatten(shapes)
    arguments = arguments._replace(reverse=reverse)
    time = time_of(arguments.xs)

    @functools.cache
    def needs(sizes: Sizes) -> int:
        return _temporaries(functools.partial(run, inner, sizes), params, arguments)

    plain = needs(())
    if plain <= budget or not time:
        return ()
    least: Sizes = ()
    guess = max(1, int(time * budget / plain)).bit_length() - 1
    for levels in range(1, DEEPEST + 1):
        powers = range(max(1, (time - 1).bit_length()))
        every = [chunk_sizes(time, 2**power, levels) for power in powers]
        sizes = _search(every, needs, budget, min(guess, len(every) - 1))
        if needs(sizes) <= budget:
            return sizes
        if needs(sizes) >= needs(least):
            break
        least, guess = sizes, every.index(sizes)
    how = f"steps={least[-1]}, levels={len(least)}" if least else "in one piece"
    raise ValueError(
        f"{name}: budget={budget:g} is less than the temporaries of the gradient can take: the "
        f"least is {needs(least)} bytes, {how}"
    )


def _search(every: list[Sizes], needs: Callable[[Sizes], int], budget: float, at: int) -> Sizes:
    """The last that fits, or what needs least where none does, among sizes that need less and less
    up to some place, and more and more from there."""
    for step in (-1, 1):
        while needs(every[at]) > budget and 0 <= at + step < len(every):
            if needs(every[at + step]) >= needs(every[at]):
                break
            at += step
    while at + 1 < len(every) and needs(every[at + 1]) <= budget:
        at += 1
    return every[at]


def _temporaries(run: Callable[..., PyTree], params: Params, arguments: Arguments) -> int:
    """Those of the compiled gradient, for given cotangents of all that `run` gives."""
    given = params, arguments.xs, arguments.state, arguments.start
    leaves, structure = jax.tree.flatten(given)
    flags = arguments.mask, arguments.reset, arguments.key

    def outputs(leaves: list[Array], flags: PyTree) -> list[Array]:
        params, xs, state, start = structure.unflatten(leaves)
        mask, reset, key = flags
        whole = Arguments(xs, state, mask, reset, arguments.reverse, key, start)
        return [leaf for leaf in jax.tree.leaves(run(params, whole)) if _is_inexact(leaf)]

    def gradient(leaves: list[Array], flags: PyTree, bars: list[Array]) -> list[Array]:
        moving = [leaf if _is_inexact(leaf) else None for leaf in leaves]

        def along(moving: list[Array | None]) -> list[Array]:
            pairs = zip(moving, leaves, strict=True)
            return outputs([leaf if at is None else at for at, leaf in pairs], flags)

        return jax.vjp(along, moving)[1](bars)[0]

    bars = jax.eval_shape(outputs, leaves, flags)
    return memory_of("remat", gradient, leaves, flags, bars).temp_size_in_bytes


def _is_inexact(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)
