"""The local derivatives of a pointwise `combine`: one coefficient for each pair that has one.

    d new[k]  =  Σ  coefficient ∘ d source

A source is a stream of pre-activations, a leaf of the old state, or another leaf of the new one:
an LSTM's h' = o∘tanh(c') depends on most things through c' alone, so that its row has two entries
and not six. The coefficients come from JAX's own rules, one equation of the jaxpr after the other.

Where `combine` reads a leaf of `projected` and one of `mixed` in their sum alone, the two are one
source: they share the coefficient and, in the backward pass, the cotangent, δ in the textbooks.

A product with a weight may stand in it (the GRU with the reset before has (r∘h) W): its left factor
has a row like a state's, and its result is a source, whose tangent is one more matmul in the loop.
"""

import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend.core import Var

from jaxnn.derivative.jaxprs import depending, inlined, is_closed, is_floating, is_in
from jaxnn.derivative.local import NotPointwiseError, Product, Row, Source, Walk
from jaxnn.derivative.residuals import compute, fewest


class Pointwise(NamedTuple):
    """`combine`, taken apart: pointwise but for products with weights.

    rows: what each leaf of the new state depends on, and each left factor of a product.
    varies: for each source of each row, whether its coefficient depends on the step.
    saves: what is saved of a step: the index of a leaf of the new state that is kept anyway, or
      None for another array.
    fix: `fix(params)` gives the fixed leaves.
    step: `step(params, projected, mixed, state)` gives the new state, as `combine` does, the left
      factors of the products, and what is saved.
    slopes: `slopes(params, saved)` gives the coefficients that vary.
    constants: `constants(params)` gives the other coefficients.
    """

    rows: list[Row]
    products: list[Product]
    varies: list[bool]
    saves: list[int | None]
    fix: Callable[[Any], list[Any]]
    step: Callable[[Any, Any, Any, Any], tuple[Any, list[Any], list[Any]]]
    slopes: Callable[[Any, Sequence[Any]], list[Any]]
    constants: Callable[[Any], list[Any]]

    def coefficients(self, varying: Sequence[Any], constant: Sequence[Any]) -> Iterator[Any]:
        """All of them, in the order of the rows."""
        kinds = iter(constant), iter(varying)
        return (next(kinds[varies]) for varies in self.varies)

    def streams(self) -> dict[Source, int]:
        """The sources that enter, and a leaf of the new state that has their shape."""
        every = [(source, row.leaf) for row in self.rows for source in row.sources]
        return {source: leaf for source, leaf in every if not source.old and not source.new}


def take_apart(
    combine: Callable[..., Any], kept: Sequence[bool], *arguments: Any
) -> Pointwise | None:
    """`combine(params, projected, mixed, state)`; None where it is not pointwise.

    The arguments may be shapes. A state with a leaf that is not floating counts as not pointwise.
    `kept` says which leaves of the new state are kept over time anyway.
    """
    counts = [len(jax.tree.leaves(part)) for part in arguments]
    combined = inlined(combine, *arguments)
    walk = Walk(combined.jaxpr, combined.consts, counts)
    if not is_closed(combined) or not all(map(is_floating, walk.old)):
        return None
    try:
        traced = inlined(walk.step, *jax.tree.leaves(arguments))
    except NotPointwiseError:
        return None
    jaxpr, count, first = traced.jaxpr, counts[3], counts[3] + len(walk.products)
    new, factors = jaxpr.outvars[:count], jaxpr.outvars[count:first]
    given = jaxpr.invars[counts[0] :]
    moving = depending(jaxpr, given)
    varies = [is_in(moving, atom) for atom in jaxpr.outvars[first:]]
    wanted = list(itertools.compress(jaxpr.outvars[first:], varies))
    others = list(itertools.compress(jaxpr.outvars[first:], map(operator.not_, varies)))
    anyway = {atom: leaf for leaf, atom in enumerate(new) if kept[leaf] and is_in(moving, atom)}
    saved = fewest(jaxpr, given, wanted, anyway)
    structure = jax.tree.structure(arguments[3])

    def run(atoms: Sequence[Any], variables: Sequence[Var], values: Iterable[Any]) -> list[Any]:
        known = zip((*jaxpr.constvars, *variables), (*traced.consts, *values), strict=True)
        return compute(jaxpr, dict(known), atoms)

    def step(*parts: Any) -> tuple[Any, list[Any], list[Any]]:
        results = run([*new, *factors, *saved], jaxpr.invars, jax.tree.leaves(parts))
        return structure.unflatten(results[:count]), results[count:first], results[first:]

    def slopes(params: Any, values: Sequence[Any]) -> list[Any]:
        variables = [*jaxpr.invars[: counts[0]], *saved]
        return run(wanted, variables, [*jax.tree.leaves(params), *values])

    def constants(params: Any) -> list[Any]:
        return run(others, jaxpr.invars[: counts[0]], jax.tree.leaves(params))

    saves = [anyway.get(var) for var in saved]
    return Pointwise(walk.rows, walk.products, varies, saves, walk.fix, step, slopes, constants)
