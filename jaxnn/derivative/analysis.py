"""What the derivative rule has to know of a loop, or why it may not take it.

The rule needs `mix` linear in the state, and `combine` pointwise, unit by unit. Then the derivative
of a step is one coefficient for each pair that has one:

    d new[k]  =  Σ  coefficient ∘ d source

A source is a stream of pre-activations, a leaf of the old state, or another leaf of the new one: an
LSTM's h' = o∘tanh(c') depends on most things through c' alone, so that its row has two entries and
not six. The coefficients come from JAX's own rules, one equation of the jaxpr after the other
(`local.py`). Where `combine` reads a leaf of `projected` and one of `mixed` in their sum alone, the
two are one source: they share the coefficient and, in the backward pass, the cotangent, δ in the
textbooks. A product with a weight may stand in it (the GRU with the reset before has (r∘h) W): its
left factor has a row like a state's, and its result is a source, whose tangent is one more matmul
in the loop. So may a layer norm: what it takes has rows, its results are sources.
"""

import itertools
import operator
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Var

from jaxnn.derivative.jaxprs import (
    Atom,
    acts_on_each,
    depending,
    inlined,
    is_in,
    is_read,
    slope_has_own_rule,
    traced,
    why_not_linear,
)
from jaxnn.derivative.local import Norm, NotPointwiseError, Product, Row, Source, Walk
from jaxnn.derivative.residuals import compute, fewest_residuals
from jaxnn.types import Array, Params, PyTree, State


class Loop(NamedTuple):
    """The functions of a split, as they run in its loop.

    `mixed = mix(for_mix, state)`, and `mix_all` for the states of all steps at once;
    `state = combine(for_combine, projected, mixed, state)`; `y = output(state)`.
    """

    name: str
    mix: Callable[[Params, State], PyTree]
    mix_all: Callable[[Params, State], PyTree]
    combine: Callable[[Params, PyTree, PyTree, State], State]
    output: Callable[[State], PyTree]


class Pointwise(NamedTuple):
    """`combine`, taken apart: pointwise but for products with weights, and norms.

    rows: what each leaf of the new state depends on, and each that an operation takes.
    operations: the products and norms, in their order.
    varies: for each source of each row, whether its coefficient differs from step to step.
    stored: for each residual, what it is that is stored for another reason, a leaf of the new state
      or, counted from there on, a left factor; or None for an array of its own.
    known: `known(params)` gives the leaves that the parameters alone tell.
    step: `step(params, projected, mixed, state)` gives the new state, as `combine` does, the left
      factors of the products, and the residuals.
    varying: `varying(params, residuals)` gives the coefficients that vary.
    constants: `constants(params)` gives the other coefficients.
    """

    rows: list[Row]
    operations: list[Product | Norm]
    varies: list[bool]
    stored: list[int | None]
    known: Callable[[Params], list[Array]]
    step: Callable[[Params, PyTree, PyTree, State], tuple[State, list[Array], list[Array]]]
    varying: Callable[[Params, Sequence[Array]], list[Array]]
    constants: Callable[[Params], list[Array]]

    def coefficients(self, varying: Sequence[Array], constants: Sequence[Array]) -> Iterator[Array]:
        """All of them, in the order of the rows."""
        kinds = iter(constants), iter(varying)
        return (next(kinds[varies]) for varies in self.varies)

    def apart(self, states: int, masked: bool) -> list[bool]:
        """Which residuals are arrays of their own. At a masked step the state is the old one, so
        that what it would have been is stored apart."""
        return [place is None or (masked and place < states) for place in self.stored]

    def streams(self) -> dict[Source, int]:
        """The sources that enter, and what has their shape: a leaf of the state, or else, counted
        from there on, a left factor."""
        states = len(self.rows) - sum(len(operation.leaves) for operation in self.operations)
        like = {leaf: leaf for leaf in range(states)}
        for operation in self.operations:
            like |= dict.fromkeys(operation.leaves, states + operation.factor)
        every = [(source, like[row.leaf]) for row in self.rows for source in row.sources]
        return {source: leaf for source, leaf in every if not source.old and not source.new}

    def weights(self) -> dict[int, tuple[Product | Norm, int]]:
        """The operation that each of their results is of, and its place there."""
        every = [(op, place) for op in self.operations for place in range(len(op.leaves))]
        return dict(enumerate(every))


class Recurrence(NamedTuple):
    """A loop that the rule may take, and what it knows of it.

    The flags say, leaf by leaf, which weights `mix` reads, which leaves of the state are stored
    over time (those that `mix` or the output reads), and which the output reads; `bilinear`,
    whether `mix` is linear in its weights.
    """

    loop: Loop
    pointwise: Pointwise
    weights: list[bool]
    stored: list[bool]
    outputs: list[bool]
    bilinear: bool

    def read(self, state: State) -> list[Array]:
        """The leaves of a state that its output reads."""
        return list(itertools.compress(jax.tree.leaves(state), self.outputs))


class NotPointwise(NamedTuple):
    """Of a loop that keeps half of the rule, why its `combine` is not seen to be pointwise."""

    reason: str


def analyse(
    loop: Loop, params: tuple[Params, Params], projected: PyTree, state: State, masked_ndim: int = 0
) -> Recurrence | NotPointwise | str:
    """The Recurrence of a loop, or the reason why the rule may not take it.

    Args:
      loop: its functions.
      params: those of mix, and those of combine.
      projected, state: of one step; types will do.
      masked_ndim: the number of batch dimensions that a mask covers. At a masked step the output of
        the state that is kept is read by the rule, and of the one that is not by the plain scan:
        both are zeros in the end, unless the output of one sequence reads the state of another.
    """
    for_mix, for_combine = params
    if not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(state)):
        return "a leaf of the state is not floating"
    mix = traced(loop.mix, for_mix, state)
    arguments = for_combine, projected, mix.out_info, state
    combine, output = traced(loop.combine, *arguments), traced(loop.output, state)
    # Of equal jaxprs, such as those of two directions, the same is known.
    known, key = _known.setdefault(combine.jaxpr, {}), (mix.jaxpr, output.jaxpr, masked_ndim)
    if key not in known:
        if masked_ndim and not acts_on_each(loop.output, masked_ndim, state):
            return "output: under a mask, it is not seen to take each sequence by itself"
        known[key] = _analyse(loop, mix, combine, output, arguments, for_mix)
    return known[key]


_known: weakref.WeakKeyDictionary[ClosedJaxpr, dict[Any, Recurrence | NotPointwise | str]]
_known = weakref.WeakKeyDictionary()


def _analyse(
    loop: Loop, mix: Any, combine: Any, output: Any, arguments: Any, for_mix: Any
) -> Recurrence | NotPointwise | str:
    *_, state = arguments
    weights, states = jax.tree.leaves(for_mix), jax.tree.leaves(state)
    mixing = inlined(mix.jaxpr, [*weights, *states]).jaxpr
    first, second = mixing.invars[: len(weights)], mixing.invars[len(weights) :]
    if reason := why_not_linear(mixing, second):
        return f"mix: {reason}"
    showing, reads = inlined(output.jaxpr, states).jaxpr, is_read(mixing, first)
    outputs = is_read(showing, showing.invars)
    stored = list(map(operator.or_, is_read(mixing, second), outputs))
    try:
        pointwise = _take_apart(combine.jaxpr, stored, arguments)
    except NotPointwiseError as error:
        reason, given = f"combine: {error}", jax.tree.leaves(arguments)
        if slope_has_own_rule(combine.jaxpr, given) or slope_has_own_rule(output.jaxpr, states):
            return reason  # jax.checkpoint would forget that rule in a second derivative
        return NotPointwise(reason)
    bilinear = why_not_linear(mixing, itertools.compress(first, reads)) is None
    return Recurrence(loop, pointwise, reads, stored, outputs, bilinear)


def _take_apart(combine: ClosedJaxpr, stored: Sequence[bool], arguments: Any) -> Pointwise:
    """`combine(params, projected, mixed, state)`; `stored` says which leaves of the new state are
    stored over time for another reason.

    Raises:
      NotPointwiseError: where it is not seen to be pointwise.
    """
    leaves, counts = jax.tree.leaves(arguments), [len(jax.tree.leaves(a)) for a in arguments]
    combined = inlined(combine, leaves)
    walk = Walk(combined.jaxpr, combined.consts, counts)
    walked = inlined(jax.make_jaxpr(walk.step)(*leaves), leaves)
    jaxpr, count, first = walked.jaxpr, counts[3], counts[3] + walk.taken
    new, factors = jaxpr.outvars[:count], jaxpr.outvars[count:first]
    inputs = jaxpr.invars[counts[0] :]
    unknown = depending(jaxpr, inputs)
    varies = [is_in(unknown, atom) for atom in jaxpr.outvars[first:]]
    varying = list(itertools.compress(jaxpr.outvars[first:], varies))
    others = list(itertools.compress(jaxpr.outvars[first:], map(operator.not_, varies)))
    also = [*stored, *[True] * len(factors)]
    found = enumerate(zip([*new, *factors], also, strict=True))
    free = {atom: place for place, (atom, kept) in found if kept and is_in(unknown, atom)}
    residuals = fewest_residuals(jaxpr, inputs, varying, free)
    structure = jax.tree.structure(arguments[3])

    def run(
        atoms: Sequence[Atom], variables: Sequence[Var], values: Iterable[Array]
    ) -> list[Array]:
        known = zip((*jaxpr.constvars, *variables), (*walked.consts, *values), strict=True)
        return compute(jaxpr, dict(known), atoms)

    def step(*parts: PyTree) -> tuple[State, list[Array], list[Array]]:
        results = run([*new, *factors, *residuals], jaxpr.invars, jax.tree.leaves(parts))
        return structure.unflatten(results[:count]), results[count:first], results[first:]

    def varying_of(params: Params, values: Sequence[Array]) -> list[Array]:
        variables = [*jaxpr.invars[: counts[0]], *residuals]
        return run(varying, variables, [*jax.tree.leaves(params), *values])

    def constants(params: Params) -> list[Array]:
        return run(others, jaxpr.invars[: counts[0]], jax.tree.leaves(params))

    return Pointwise(
        walk.rows,
        walk.operations,
        varies,
        [free.get(var) for var in residuals],
        walk.known,
        step,
        varying_of,
        constants,
    )
