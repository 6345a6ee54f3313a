"""Dropout whose masks stay for a whole sequence: how it runs, at once or step by step.

The seed of the masks is drawn by the first valid step that has a key (`seeds.py`). Where nothing is
reset all steps have the same masks, so that they are made once, and the recurrence inside runs by
its own method, with masks of the state beside the parameters of `mix` (`masked_mix.py`). Where a
reset draws new masks on the way, it runs step by step.
"""

import functools
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from jaxnn.internal.checks import check_floating
from jaxnn.internal.inputs import time_of
from jaxnn.internal.mesh import outline_of_step
from jaxnn.recurrence.arguments import Arguments, StepKeys, begun, step_keys
from jaxnn.recurrence.cell import cell_of
from jaxnn.recurrence.description import Description, step as step_once
from jaxnn.recurrence.split import Split, Stepwise
from jaxnn.recurrence.unroll import run_description, unroll_by
from jaxnn.scans.boundaries import boundaries, where
from jaxnn.scans.sequential import scan
from jaxnn.transforms.masked_mix import check_mix, read_by_mix, with_masks
from jaxnn.transforms.seeds import SeededState, dropped, mask_of, no_seed, seeded
from jaxnn.types import Array, ArrayLike, Cell, Key, Params, PyTree, State

INPUT, STATE, OUTPUT = range(3)


class Rates(NamedTuple):
    """How much of each is dropped."""

    input: float
    state: float
    output: float


class Dropping(NamedTuple):
    """A cell, what describes it, and how much of it is dropped."""

    name: str
    cell: Cell
    inner: Description
    rates: Rates


def dropping(it: Dropping) -> Cell:
    """The Cell that drops so."""
    described = Stepwise(
        it.name,
        functools.partial(_step, it),
        functools.partial(_first_state, it.cell),
        it.inner.event_ndim,
        it.cell.init,
        it.inner.dtype,
        it.inner.input_size,
        it.inner.spatial_shape,
        event=it.inner.event,
    )
    return cell_of(described, it.cell.init)._replace(unroll=unroll_by(_run, described, it))


def _first_state(cell: Cell, params: Params, batch_shape: tuple[int, ...] = ()) -> SeededState:
    state = cell.initial_state(params, batch_shape)
    return SeededState(state, no_seed(state, batch_shape))


def _step(
    it: Dropping, params: Params, state: SeededState, x: ArrayLike, key: Key | None = None
) -> tuple[SeededState, PyTree]:
    """One step."""
    _check(it, params, state, x)
    if key is None:
        new, y = it.cell.apply(params, state.cell, x)
        return SeededState(new, state.seed), y
    own, key = jax.random.split(key)
    seed = seeded(state.seed, own)
    x = _dropped(it.rates.input, seed, INPUT, x)
    if isinstance(it.inner, Split) and it.rates.state:
        given = params, _masks(it, seed, state.cell)
        new, y = step_once(with_masks(it.inner), given, state.cell, x, key)
    else:
        new, y = it.cell.apply(params, state.cell, x, key)
    return SeededState(new, seed), _dropped(it.rates.output, seed, OUTPUT, y)


def _run(
    described: Stepwise, it: Dropping, params: Params, arguments: Arguments
) -> tuple[SeededState, PyTree]:
    """A whole sequence; where nothing is reset, all steps have the masks of the last."""
    name, mask, reset, key = f"{it.name}.unroll", arguments.mask, arguments.reset, arguments.key
    arguments = begun(name, described, params, arguments)
    if key is not None and reset is not None:
        return run_description(described, params, arguments)
    state, start = cast(tuple[SeededState, SeededState], (arguments.state, arguments.start))
    _check(it, params, state, outline_of_step(arguments.xs))
    inner = arguments._replace(state=state.cell, start=start.cell)
    if key is None:
        new, ys = it.cell.unroll(params, *inner)
        seed = state.seed
        if reset is not None:
            seed = where(jnp.any(reset if mask is None else reset & mask, 0), start.seed, seed)
        return SeededState(new, seed), ys
    every: Any = step_keys(key, time_of(arguments.xs))
    keys = jax.vmap(jax.random.split)(every)
    at = boundaries(mask, None, arguments.reverse)
    first = functools.partial(scan, name, lambda seed, key: (seeded(seed, key), ()))
    seed, _ = first(keys[:, 0], state.seed, start.seed, at, arguments.reverse)
    xs = _dropped(it.rates.input, seed, INPUT, arguments.xs, 1)
    inner = inner._replace(xs=xs, key=StepKeys(keys[:, 1]))
    if isinstance(it.inner, Split) and it.rates.state:
        given = params, _masks(it, seed, state.cell)
        new, ys = run_description(with_masks(it.inner), given, inner)
    else:
        new, ys = it.cell.unroll(params, *inner)
    return SeededState(new, seed), _dropped(it.rates.output, seed, OUTPUT, ys, 1)


def _check(it: Dropping, params: Params, state: SeededState, x: ArrayLike) -> None:
    """Raise unless there are numbers to drop, and masks reach all that is to be dropped."""
    if it.rates.input:
        for leaf in jax.tree.leaves(x):
            check_floating(it.name, leaf)
    if it.rates.state and isinstance(it.inner, Split):
        check_mix(it.name, it.inner, params, state.cell, x)


def _masks(it: Dropping, seed: Array, state: State) -> list[Array]:
    """One mask for each leaf that `mix` reads."""
    every = enumerate(read_by_mix(state))
    return [mask_of(seed, _place(STATE, n), it.rates.state, leaf.shape) for n, leaf in every]


def _dropped(rate: float, seed: Array, kind: int, tree: PyTree, leading: int = 0) -> PyTree:
    """A tree, each leaf by a mask of its own; `leading` axes, of time, share it."""
    if not rate:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    masks = [
        mask_of(seed, _place(kind, n), rate, leaf.shape[leading:]) for n, leaf in enumerate(leaves)
    ]
    return structure.unflatten(list(map(dropped, leaves, masks)))


def _place(kind: int, leaf: int) -> int:
    return len(Rates._fields) * leaf + kind
