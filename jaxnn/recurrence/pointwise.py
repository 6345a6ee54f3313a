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

import functools
import itertools
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, JaxprEqn, Literal, Var

from jaxnn.functions.mesh import on_mesh
from jaxnn.recurrence.fewest import compute, fewest
from jaxnn.recurrence.promises import (
    COMPARISONS,
    closes_over_traced,
    depending,
    inlined,
    is_floating,
    is_in,
    is_pointwise,
    is_product,
    read,
    run_eqn,
)


class Source(NamedTuple):
    """What a new state depends on: a sum of leaves that enter, or one leaf of a state.

    Indices of leaves of `mixed`, of `projected`, of what `combine` makes of the parameters alone
    (`fixed`), and of its products, which stand for their sum; or of a leaf of the old or of the
    new state. The left factors of products count as leaves of the new state, after the others.
    """

    mixed: tuple[int, ...] = ()
    projected: tuple[int, ...] = ()
    fixed: tuple[int, ...] = ()
    products: tuple[int, ...] = ()
    old: tuple[int, ...] = ()
    new: tuple[int, ...] = ()


class Row(NamedTuple):
    """A leaf of the new state, and its sources; rows come after those that they need."""

    leaf: int
    sources: tuple[Source, ...]


class Product(NamedTuple):
    """A matmul inside `combine`, of something that moves by a weight, which is a fixed leaf."""

    weight: int
    params: dict[str, Any]

    def of(self, left: Any, weight: Any) -> Any:
        """left · weight, as one matrix where no axis may be sharded (see `times_gates`)."""
        dot = functools.partial(jax.lax.dot_general_p.bind, **self.params)
        if on_mesh(left):
            ends = (((left.ndim - 1,), (0,)), ((), ()))
            return dot(left, weight, dimension_numbers=ends)
        rows = dot(
            left.reshape(-1, left.shape[-1]), weight, dimension_numbers=(((1,), (0,)), ((), ()))
        )
        return rows.reshape(*left.shape[:-1], rows.shape[-1])


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
    walk = _Walk(combined.jaxpr, combined.consts, counts)
    if closes_over_traced(combined) or not all(map(is_floating, walk.old)):
        return None
    try:
        traced = inlined(walk.step, *jax.tree.leaves(arguments))
    except _NotPointwiseError:
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


class _NotPointwiseError(Exception):
    """An equation that is not known to be pointwise."""


class _Walk:
    """A walk along the jaxpr of `combine`, with values, and forms beside them.

    The form of a variable is its derivative: a dictionary from sources to coefficients.
    """

    def __init__(self, jaxpr: Jaxpr, consts: Sequence[Any], counts: Sequence[int]) -> None:
        ends = [sum(counts[:n]) for n in range(5)]
        groups = [jaxpr.invars[a:b] for a, b in itertools.pairwise(ends)]
        self.jaxpr, self.consts = jaxpr, consts
        self.params, self.projected, self.mixed, self.old = groups
        self.moving = depending(jaxpr, jaxpr.invars[counts[0] :])
        atoms = [*jaxpr.outvars, *(atom for eqn in jaxpr.eqns for atom in eqn.invars)]
        self.uses: Counter[Any] = Counter(atom for atom in atoms if not isinstance(atom, Literal))
        self.rows: list[Row] = []
        self.coefficients: list[Any] = []
        self.products: list[Product] = []
        self.factors: list[Any] = []
        self.entering: list[Var] = []
        self.env: dict[Any, Any] = {}
        self.forms: dict[Any, dict[Source, Any]] = {}
        self.streams: dict[Any, Source] = {}

    def fix(self, params: Any) -> list[Any]:
        """The fixed variables that enter, from the parameters alone."""
        jaxpr, leaves = self.jaxpr, jax.tree.leaves(params)
        env = dict(zip((*jaxpr.constvars, *self.params), (*self.consts, *leaves), strict=True))
        for eqn in jaxpr.eqns:
            if not any(is_in(self.moving, atom) for atom in eqn.invars):
                env |= zip(eqn.outvars, run_eqn(eqn, read(env, eqn.invars)), strict=True)
        return [env[var] for var in self.entering]

    def step(self, *leaves: Any) -> list[Any]:
        """The new state, the factors and the coefficients; finds the rows on its way."""
        jaxpr = self.jaxpr
        self.env = dict(
            zip((*jaxpr.constvars, *jaxpr.invars), (*self.consts, *leaves), strict=True)
        )
        for field in ("mixed", "projected", "old"):
            for index, var in enumerate(getattr(self, field)):
                self._begin(var, Source(**{field: (index,)}))
        states = {var: leaf for leaf, var in enumerate(jaxpr.outvars) if isinstance(var, Var)}
        for eqn in jaxpr.eqns:
            results = run_eqn(eqn, read(self.env, eqn.invars))
            self.env |= zip(eqn.outvars, results, strict=True)
            if any(is_in(self.moving, atom) for atom in eqn.invars):
                self._derive(eqn, states)
            for var in eqn.outvars:
                if var in states and var in self.forms:
                    self._close(states[var], self.forms[var])
                    self._begin(var, Source(new=(states[var],)))
        done = {row.leaf for row in self.rows}
        for leaf, atom in enumerate(jaxpr.outvars):
            if leaf not in done:
                self._close(leaf, {} if isinstance(atom, Literal) else self._form(atom))
        return [*read(self.env, jaxpr.outvars), *self.factors, *self.coefficients]

    def _close(self, leaf: int, form: dict[Source, Any]) -> None:
        """What a leaf of the new state depends on is known."""
        self.rows.append(Row(leaf, tuple(form)))
        self.coefficients.extend(form.values())

    def _begin(self, var: Var, source: Source) -> None:
        """From here on, `var` is a source of its own."""
        if is_floating(var):
            self.forms[var] = {source: jnp.ones_like(self.env[var])}
            self.streams.pop(var, None)
            if not source.old and not source.new:
                self.streams[var] = source

    def _form(self, atom: Any) -> dict[Source, Any]:
        """The form of an atom; what depends on the parameters alone enters as a source."""
        if isinstance(atom, Literal) or not is_floating(atom):
            return {}
        if atom not in self.forms and atom not in self.moving:
            self._begin(atom, Source(fixed=(len(self.entering),)))
            self.entering.append(atom)
        return self.forms.get(atom, {})

    def _derive(self, eqn: JaxprEqn, states: dict[Any, int]) -> None:
        """The forms of the results of an equation, from those of its operands."""
        if eqn.primitive.name in COMPARISONS or not any(map(is_floating, eqn.outvars)):
            return
        if not any(is_in(self.forms, atom) for atom in eqn.invars):
            return
        forms = [self._form(atom) for atom in eqn.invars]
        moving = [
            is_in(self.moving, atom) and bool(form)
            for atom, form in zip(eqn.invars, forms, strict=True)
        ]
        fixed = [bool(form) and not moves for form, moves in zip(forms, moving, strict=True)]
        if moving == [True, False] and is_product(eqn):
            self._multiply(eqn)
            return
        if not is_pointwise(eqn, moving, fixed):
            raise _NotPointwiseError
        if self._joins(eqn, states):
            a, b = (self.streams[var] for var in eqn.invars)
            self._begin(eqn.outvars[0], Source(*(x + y for x, y in zip(a, b, strict=True))))
            return
        values = read(self.env, eqn.invars)
        for source in dict.fromkeys(source for form in forms for source in form):
            places = [n for n, form in enumerate(forms) if source in form]

            def along(*chosen: Any, places: list[int] = places) -> list[Any]:
                replaced = dict(zip(places, chosen, strict=True))
                return run_eqn(eqn, [replaced.get(n, value) for n, value in enumerate(values)])

            at, tangents = [values[n] for n in places], [forms[n][source] for n in places]
            _, slopes = jax.jvp(along, at, tangents)
            for var, slope in zip(eqn.outvars, slopes, strict=True):
                if is_floating(var):
                    self.forms.setdefault(var, {})[source] = slope

    def _multiply(self, eqn: JaxprEqn) -> None:
        """A product begins a source of its own; its left factor is kept as a state is."""
        left: Any
        left, weight = eqn.invars
        ((source, _),) = self._form(weight).items()
        leaf = len(self.old) + len(self.products)
        self._close(leaf, self._form(left))
        self._begin(left, Source(new=(leaf,)))
        self._begin(eqn.outvars[0], Source(products=(len(self.products),)))
        self.products.append(Product(source.fixed[0], eqn.params))
        self.factors.append(self.env[left])

    def _joins(self, eqn: JaxprEqn, states: dict[Any, int]) -> bool:
        """Whether it is the sum of two streams that nothing else reads."""
        return (
            eqn.primitive.name in ("add", "add_any")
            and all(is_in(self.streams, atom) and self.uses[atom] == 1 for atom in eqn.invars)
            and eqn.outvars[0] not in states
        )
