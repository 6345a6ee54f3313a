"""The derivative rule of recurrences (first draft; prose comes)."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from jaxnn.recurrence.pointwise import Pointwise, Source, take_apart
from jaxnn.recurrence.promises import inlined, is_linear, is_read
from jaxnn.recurrence.scan import previous, scan
from jaxnn.types import ArrayLike, Params, State


class Recurrence(NamedTuple):
    """The two functions of a split that stay in the loop, and what the rule knows of them."""

    name: str
    mix: Callable[[Any, State], Any]
    combine: Callable[[Any, Any, Any, State], State]
    pointwise: Pointwise
    bilinear: bool
    mixes: list[bool]
    reads: list[bool]
    shows: list[bool]


def analyse(name, mix, combine, output, params, projected, state):
    """The Recurrence, where mix is linear in the state and combine pointwise; else None."""
    for_mix, for_combine = params
    linear = inlined(mix, for_mix, state)
    count = len(jax.tree.leaves(for_mix))
    weights, states = linear.jaxpr.invars[:count], linear.jaxpr.invars[count:]
    if not is_linear(linear.jaxpr, states):
        return None
    mixed = jax.eval_shape(mix, for_mix, state)
    pointwise = take_apart(combine, for_combine, projected, mixed, state)
    if pointwise is None:
        return None
    read = is_read(linear.jaxpr, weights)
    bilinear = is_linear(linear.jaxpr, [w for w, yes in zip(weights, read) if yes])
    out = inlined(output, state).jaxpr
    return Recurrence(
        name,
        mix,
        combine,
        pointwise,
        bilinear,
        is_read(linear.jaxpr, states),
        read,
        is_read(out, out.invars),
    )


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def recur(rec: Recurrence, reverse, params, projected, state, start, mask, reset):
    """The final state, and the leaves of the states that are shown, over time."""
    for_mix, for_combine = params

    def step(state: State, at: Any) -> tuple[State, tuple[()]]:
        return rec.combine(for_combine, at, rec.mix(for_mix, state), state), ()

    show = functools.partial(_pick, rec.shows)
    final, (shown, _) = scan(rec.name, step, projected, state, start, mask, reset, reverse, show)
    return final, shown


def _pick(which: Sequence[bool], tree: Any) -> list[Any]:
    return [leaf for leaf, yes in zip(jax.tree.leaves(tree), which, strict=True) if yes]


@functools.partial(recur.defjvp, symbolic_zeros=True)
def _rule(rec: Recurrence, reverse, primals, tangents):
    params, projected, state, start, mask, reset = primals
    dparams, dprojected, dstate, dstart, _, _ = tangents
    for_mix, for_combine = params
    pw = rec.pointwise
    structure = jax.tree.structure(state)
    leaves = jax.tree.leaves

    def step(state: State, at: Any):
        mixed = rec.mix(for_mix, state)
        new, coefs = pw.step(leaves(for_combine), leaves(at), leaves(mixed), leaves(state))
        return structure.unflatten(new), _pick(pw.varies, coefs)

    keeps = [a or b for a, b in zip(rec.mixes, rec.shows)]
    final, (kept, varying) = scan(
        rec.name,
        step,
        projected,
        state,
        start,
        mask,
        reset,
        reverse,
        functools.partial(_pick, keeps),
    )
    kept = iter(kept)
    states = [next(kept) if yes else None for yes in keeps]
    shown = [s for s, yes in zip(states, rec.shows) if yes]

    # coefficients that do not vary
    blank = jax.tree.map(lambda a: jnp.zeros(a.shape[1:], a.dtype), projected)
    _, coefs = pw.step(
        leaves(for_combine),
        leaves(blank),
        leaves(jax.eval_shape_zero(rec.mix, for_mix, state))
        if False
        else [jnp.zeros(s.shape, s.dtype) for s in leaves(jax.eval_shape(rec.mix, for_mix, state))],
        leaves(state),
    )
    constant = [c for c, v in zip(coefs, pw.varies) if not v]

    # what enters, all steps at once
    time = leaves(projected)[0].shape[0]
    dmixed = None
    read = [t for t, yes in zip(leaves(dparams[0], is_leaf=_is_zero), rec.reads) if yes]
    if not all(map(_is_zero, read)):
        which = rec.mixes
        ks = [s for s, yes in zip(states, which) if yes]
        prev = iter(previous(ks, _pick(which, state), _pick(which, start), mask, reset, reverse))
        prev = structure.unflatten(
            [
                next(prev) if yes else jnp.zeros((time, *s.shape), s.dtype)
                for yes, s in zip(which, leaves(state))
            ]
        )
        d = _dense(dparams[0])
        if rec.bilinear:
            dmixed = jax.vmap(functools.partial(rec.mix, d))(prev)
        else:
            _, dmixed = jax.jvp(
                lambda p: jax.vmap(functools.partial(rec.mix, p))(prev), (for_mix,), (d,)
            )
        dmixed = leaves(dmixed)
    dproj = leaves(dprojected, is_leaf=_is_zero)
    dfixed = []
    if any(s.fixed for row in pw.rows for s in row.sources) and not all(
        map(_is_zero, leaves(dparams[1], is_leaf=_is_zero))
    ):
        _, dfixed = jax.jvp(pw.fix, (leaves(for_combine),), (leaves(_dense(dparams[1])),))

    def enters(source: Source):
        terms = [] if dmixed is None else [dmixed[j] for j in source.mixed]
        terms += [dproj[k] for k in source.projected if not _is_zero(dproj[k])]
        terms += [dfixed[k][None] for k in source.fixed if dfixed]
        return functools.reduce(jnp.add, terms) if terms else None

    flat_sources = [s for row in pw.rows for s in row.sources]
    vs, cs = iter(varying), iter(constant)
    coef = [next(vs) if v else next(cs)[None] for v in pw.varies]
    streams = list(dict.fromkeys(s for s in flat_sources if s.mixed))
    q = [enters(s) for s in streams]
    extra, n = [], 0
    for row in pw.rows:
        total = None
        for s in row.sources:
            c = coef[n]
            n += 1
            if s.mixed or s.old or s.new:
                continue
            t = enters(s)
            if t is not None:
                total = c * t if total is None else total + c * t
        if total is not None and total.shape[0] != time:
            total = jnp.broadcast_to(total, (time, *total.shape[1:]))
        extra.append(total)
    mixed_shapes = {(s.shape, s.dtype) for s in leaves(jax.eval_shape(rec.mix, for_mix, state))}
    order = [s.mixed for s in streams]
    fuses = (
        len(streams) > 1
        and len(mixed_shapes) == 1
        and all(x is not None for x in q)
        and all(len(m) == 1 for m in order)
        and sorted(m[0] for m in order)
        == list(range(len(leaves(jax.eval_shape(rec.mix, for_mix, state)))))
    )
    if fuses:
        perm = [m[0] for m in order]
        inv = [perm.index(j) for j in range(len(perm))]
        q = jnp.concatenate([jnp.broadcast_to(q[i], (time, *q[i].shape[1:])) for i in inv], -1)
    else:
        q = [x if x is None else jnp.broadcast_to(x, (time, *x.shape[1:])) for x in q]

    def tangent(ds, at):
        varying, q, extra = at
        dm = leaves(rec.mix(for_mix, ds))
        if fuses:
            u = jnp.split(jnp.concatenate(dm, -1) + q, len(dm), -1)
            value = {s: u[s.mixed[0]] for s in streams}
        else:
            value = {}
            for s, x in zip(streams, q):
                terms = [dm[j] for j in s.mixed] + ([] if x is None else [x])
                value[s] = functools.reduce(jnp.add, terms)
        value |= {Source(old=(k,)): leaf for k, leaf in enumerate(leaves(ds))}
        vs, cs = iter(varying), iter(constant)
        news = {}
        for row, e in zip(pw.rows, extra):
            total = e
            for s, v in zip(row.sources, [None] * len(row.sources)):
                varies = next(kinds)
                c = next(vs) if varies else next(cs)
                if s in value:
                    total = c * value[s] if total is None else total + c * value[s]
            if total is None:
                total = jnp.zeros_like(leaves(ds)[row.leaf])
            news[row.leaf] = total
            value[Source(new=(row.leaf,))] = total
        return structure.unflatten([news[k] for k in range(len(news))]), ()

    kinds = None

    def tangent_(ds, at):
        nonlocal kinds
        kinds = iter(pw.varies)
        return tangent(ds, at)

    dfinal, (dshown, _) = scan(
        rec.name,
        tangent_,
        (varying, q, extra),
        _dense(dstate),
        _dense(dstart),
        mask,
        reset,
        reverse,
        functools.partial(_pick, rec.shows),
    )
    return (final, shown), (dfinal, dshown)


def _is_zero(x):
    return isinstance(x, SymbolicZero)


def _dense(tree):
    return jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype) if _is_zero(x) else x, tree, is_leaf=_is_zero
    )
