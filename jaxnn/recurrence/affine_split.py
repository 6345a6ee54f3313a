"""A split that turns out to be linear in its state: no `mix`, and s' = a∘s + b in `combine`.

Whether it is, its jaxpr says: each leaf of the state that `combine` reads must come back affine in
itself alone, place by place, and `mix` must give nothing. Then b is `combine` at zero, and a its
derivative along ones. Leaves that it does not read, such as an output kept in the state, may be any
function of the others: they come from `combine` itself, run for all steps at once.
"""

import functools
import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, JaxprEqn, Var

from jaxnn.derivative.jaxprs import (
    KEPT,
    Atom,
    eqn_text,
    inlined,
    is_floating,
    is_in,
    is_read,
    traced,
    why_not_closed,
)
from jaxnn.recurrence.arguments import Arguments
from jaxnn.recurrence.split import (
    Split,
    loop_of,
    outline_of_projected,
    parameters,
    prepare_all,
    step_of,
)
from jaxnn.scans.boundaries import Boundaries, previous, where
from jaxnn.scans.linear import Method, OverDevices, run_linear_from
from jaxnn.scans.over_devices import TimeShards, last_over
from jaxnn.scans.sequential import laid_out
from jaxnn.types import Array, Params, PyTree, State


def why_not_affine(split: Split, params: Params, arguments: Arguments) -> str | None:
    """The reason why a split is no linear recurrence; None where it is one."""
    found = _leaves_read(split, params, arguments)
    return found if isinstance(found, str) else None


def _leaves_read(split: Split, params: Params, arguments: Arguments) -> list[bool] | str:
    """Which leaves of the state `combine` reads, each affine in itself; or why it is not so."""
    loop, (for_mix, for_combine) = loop_of(split), parameters(split, params)
    state, projected = arguments.state, outline_of_projected(split, params, arguments.xs)
    mixed = traced(loop.mix, for_mix, state)
    if jax.tree.leaves(mixed.out_info):
        return "mix: it gives something, so that a step is more than a∘s + b"
    given = for_combine, projected, mixed.out_info, state
    combine = traced(loop.combine, *given)
    for function in (mixed.jaxpr, combine.jaxpr):
        if reason := why_not_closed(function):
            return reason
    jaxpr = inlined(combine.jaxpr, jax.tree.leaves(given)).jaxpr
    states = jaxpr.invars[-len(jaxpr.outvars) :] if jaxpr.outvars else []
    return _affine_leaves(jaxpr, states)


def _affine_leaves(jaxpr: Jaxpr, states: Sequence[Var]) -> list[bool] | str:
    read = is_read(jaxpr, states)
    if not any(read):
        return "combine: it does not read the state"
    if not all(is_floating(var) for var in itertools.compress(states, read)):
        return "a leaf of the state is not floating"
    of: dict[Atom, int] = {var: leaf for leaf, var in enumerate(states)}
    crooked: dict[Atom, str] = {}
    for eqn in jaxpr.eqns:
        inside = [of[atom] for atom in eqn.invars if is_in(of, atom)]
        reason = next((crooked[atom] for atom in eqn.invars if is_in(crooked, atom)), None)
        if reason is None and inside:
            reason = _why_crooked(eqn, inside, [is_in(of, atom) for atom in eqn.invars])
        if reason is not None:
            crooked.update(dict.fromkeys(eqn.outvars, reason))
        elif inside:
            of.update(dict.fromkeys(eqn.outvars, inside[0]))
    for leaf, atom in enumerate(jaxpr.outvars):
        if not read[leaf]:
            continue
        if is_in(crooked, atom):
            return f"combine: {crooked[atom]}"
        if is_in(of, atom) and of[atom] != leaf:
            return "combine: a leaf of the new state is made of another one of the old"
    return read


def _why_crooked(eqn: JaxprEqn, inside: Sequence[int], which: Sequence[bool]) -> str | None:
    """Why the result of an equation is not affine in the one leaf of the state that is in it."""
    if len(set(inside)) > 1:
        return f"{eqn_text(eqn)} has two leaves of the state"
    name = eqn.primitive.name
    kept = (
        name in KEPT
        or name in ("add", "add_any", "sub")
        or (name in ("mul", "div") and sum(which) == 1 and (name == "mul" or which[0]))
        or (name == "select_n" and not which[0])
    )
    if kept and all(is_floating(var) for var in eqn.outvars):
        return None
    return f"{eqn_text(eqn)} is not affine in the state"


def run_affine(
    split: Split, params: Params, arguments: Arguments, at: Boundaries, method: Method
) -> tuple[State, PyTree]:
    """The final state and the outputs of a split that is a linear recurrence."""
    read = _leaves_read(split, params, arguments)
    assert not isinstance(read, str)
    loop, (_, for_combine) = loop_of(split), parameters(split, params)
    projected = prepare_all(split, params, arguments.xs)
    ends, reverse = (arguments.state, arguments.start), arguments.reverse
    state, start = laid_out(step_of(split, params), projected, *ends)
    structure = jax.tree.structure(state)
    mixed = loop.mix(parameters(split, params)[0], state)
    combine = functools.partial(loop.combine, for_combine)

    def coefficients(now: PyTree) -> tuple[list[Array], list[Array]]:
        def step(state: State) -> list[Array]:
            return _only(read, combine(now, mixed, state))

        zeros, ones = (jax.tree.map(fill, state) for fill in (jnp.zeros_like, jnp.ones_like))
        b, a = jax.jvp(step, (zeros,), (ones,))
        return a, b

    a, b = jax.vmap(coefficients)(projected)
    ends = _only(read, state), _only(read, start)
    flags = arguments.mask, arguments.reset
    final, states, begin = run_linear_from(method, reverse, a, b, *ends, *flags)
    before = iter(previous(states, begin, ends[1], at, reverse))
    time = jax.tree.leaves(projected)[0].shape[0]
    whole = [
        next(before) if yes else jnp.broadcast_to(leaf, (time, *leaf.shape))
        for yes, leaf in zip(read, jax.tree.leaves(state), strict=True)
    ]
    new = jax.vmap(lambda now, state: combine(now, mixed, state))(
        projected, structure.unflatten(whole)
    )
    shards = method.shards if isinstance(method, OverDevices) else None
    ends_of = functools.partial(_final, arguments, at, shards)
    others = map(ends_of, jax.tree.leaves(new), jax.tree.leaves(state), jax.tree.leaves(start))
    found = iter(final)
    last = [next(found) if yes else other for yes, other in zip(read, others, strict=True)]
    return structure.unflatten(last), jax.vmap(loop.output)(new)


def _final(
    arguments: Arguments,
    at: Boundaries,
    shards: TimeShards | None,
    new: Array,
    state: Array,
    start: Array,
) -> Array:
    """What is left in the end of a leaf that `combine` does not read, given it after each step."""
    mask, reverse = arguments.mask, arguments.reverse
    if isinstance(new.shape[0], int) and not new.shape[0]:
        return state
    if mask is None:
        last = new[0 if reverse else -1]
        last = last if at.after is None else where(at.after[0], start, last)
        return last if shards is None else last_over(shards, reverse, jnp.array(True), last, state)
    valid = jax.lax.cumsum(jnp.asarray(mask, jnp.int32), reverse=not reverse)
    is_last, found = mask & (valid == 1), jnp.any(mask, axis=0)
    last = jnp.sum(where(is_last, new, jnp.zeros_like(new)), axis=0, dtype=new.dtype)
    if at.after is not None:
        last = where(jnp.any(is_last & at.after, axis=0), start, last)
    if shards is not None:
        return last_over(shards, reverse, found, last, state)
    return where(found, last, state)


def _only(read: Sequence[bool], state: State) -> list[Array]:
    return list(itertools.compress(jax.tree.leaves(state), read))
