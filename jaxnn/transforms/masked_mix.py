"""A split whose `mix` reads a masked state: the masks stand beside its parameters."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from jaxnn.derivative.jaxprs import depending, inlined, is_in, traced
from jaxnn.recurrence.split import Split, mixed_by, parameters, prepare
from jaxnn.transforms.seeds import dropped
from jaxnn.types import Array, ArrayLike, Params, PyTree, State


def read_by_mix(state: State) -> list[Array]:
    """The leaves that are masked: the hidden state, where there is one, or else the whole."""
    return jax.tree.leaves(getattr(state, "hidden", state))


@functools.lru_cache(maxsize=1024)
def with_masks(split: Split) -> Split:
    """The split with params `(params, masks)`, one mask for each leaf of `read_by_mix`."""

    def of_params(function: Callable[..., Any]) -> Callable[..., Any]:
        return functools.partial(_of_params, function)

    return split._replace(
        project=of_params(split.project),
        mix=functools.partial(_mix, split),
        combine=of_params(split.combine),
        initial_state=functools.partial(_first_state, split),
        draw=None if split.draw is None else of_params(split.draw),
        input_size=None,
        event=None,
        project_both=None,
        init=None,
        gates=None,
        thinned=None,
    )


def check_mix(name: str, split: Split, params: Params, state: State, x: ArrayLike) -> None:
    """Raise ValueError where `combine` multiplies the state by a weight: no mask would reach it."""
    for_mix, for_combine = parameters(split, params)
    projected = jax.eval_shape(functools.partial(prepare, split), params, x)
    mixed = jax.eval_shape(functools.partial(mixed_by, split), for_mix, state)
    arguments = for_combine, projected, mixed, state
    leaves = jax.tree.leaves(arguments)
    jaxpr = inlined(traced(split.combine, *arguments).jaxpr, leaves).jaxpr
    places = {id(leaf) for leaf in read_by_mix(state)}
    pairs = zip(jaxpr.invars, leaves, strict=True)
    found = depending(jaxpr, [var for var, leaf in pairs if id(leaf) in places])
    for eqn in jaxpr.eqns:
        product = eqn.primitive.name in ("dot_general", "conv_general_dilated")
        if product and any(is_in(found, atom) for atom in eqn.invars):
            raise ValueError(
                f"{name}: state must be 0 for {split.name}, which multiplies its state by a weight "
                f"after its gates, where no mask would reach it: use gru(reset_after=True)"
            )


def _of_params(function: Callable[..., Any], params: tuple[Params, PyTree], *rest: Any) -> Any:
    return function(params[0], *rest)


def _first_state(
    split: Split, params: tuple[Params, PyTree], batch_shape: tuple[int, ...] = ()
) -> State:
    return split.initial_state(params[0], batch_shape)


def _mix(split: Split, params: tuple[Params, list[Array]], state: State) -> PyTree:
    params, masks = params
    leaves, structure = jax.tree.flatten(getattr(state, "hidden", state))
    each = map(dropped, leaves, masks)
    masked = structure.unflatten(list(each))
    return split.mix(params, state._replace(hidden=masked) if hasattr(state, "hidden") else masked)
