"""A walk along a pointwise function that finds its local derivatives, with JAX's own rules.

Each variable has a form: its derivative, as coefficients by source. The form of a result is that of
its operands, one equation after the other; a leaf of the new state ends a form and begins another.
"""

import functools
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, JaxprEqn, Literal, Var

from jaxnn.derivative.jaxprs import (
    COMPARISONS,
    Atom,
    depending,
    eqn_text,
    is_complex,
    is_floating,
    is_in,
    is_norm,
    is_pointwise,
    is_product,
    read,
    run_eqn,
)
from jaxnn.internal.mesh import on_mesh
from jaxnn.internal.standardized import along, scaled, standardized
from jaxnn.types import Array, Params


class Source(NamedTuple):
    """What a new state depends on: a sum of leaves that enter, or one leaf of a state.

    Indices of leaves of `mixed`, of `projected`, of what is known from the parameters alone
    (`known`), and of the results of the operations in `combine`, which stand for their sum; or of a
    leaf of the old or of the new state. What operations take counts as leaves of the new state,
    after the others.
    """

    mixed: tuple[int, ...] = ()
    projected: tuple[int, ...] = ()
    known: tuple[int, ...] = ()
    results: tuple[int, ...] = ()
    old: tuple[int, ...] = ()
    new: tuple[int, ...] = ()


class Row(NamedTuple):
    """A leaf of the new state, or of what an operation takes, and its sources; rows come after
    those that they need."""

    leaf: int
    sources: tuple[Source, ...]


class Product(NamedTuple):
    """A matmul inside `combine`, of something by a weight, which is a known leaf.

    leaves: the number of its left factor among the leaves of the new state and of what operations
      take. factor: its number among the left factors alone.
    """

    leaves: tuple[int, ...]
    factor: int
    weight: int
    params: dict[str, Any]

    @property
    def values(self) -> int:
        return 0

    def of(self, left: Array, weight: Array) -> Array:
        """left · weight, as one matrix where no axis may be sharded (see `times_gates`)."""
        dot = functools.partial(jax.lax.dot_general_p.bind, **self.params)
        if on_mesh(left):
            ends = (((left.ndim - 1,), (0,)), ((), ()))
            return dot(left, weight, dimension_numbers=ends)
        rows = dot(
            left.reshape(-1, left.shape[-1]), weight, dimension_numbers=(((1,), (0,)), ((), ()))
        )
        return rows.reshape(*left.shape[:-1], rows.shape[-1])

    def weighed(self, left: Array, known_dots: Sequence[Array], place: int) -> Array:
        """What the tangent of the weight adds to that of the result."""
        return self.of(left, known_dots[self.weight])

    def tangents(
        self, dots: Sequence[Array | None], known: Sequence[Array], values: Sequence[Array]
    ) -> list[Array | None]:
        """Of its result, along what is known of its left factor."""
        (left,) = dots
        return [None if left is None else self.of(left, known[self.weight])]


class Norm(NamedTuple):
    """`normed` inside `combine`, with a gain that is a known leaf; its tangents are linear in those
    of what it takes.

    leaves: the numbers of these. factor: the number of the first n among the left factors, which
      they are for the gain.
    """

    leaves: tuple[int, ...]
    factor: int
    weight: int

    @property
    def values(self) -> int:
        """The n, and the scale: they come after its coefficients."""
        return len(self.leaves) + 1

    def weighed(self, n: Array, known_dots: Sequence[Array], place: int) -> Array:
        """What the tangent of the gain adds to that of a result."""
        return scaled(known_dots[self.weight][place : place + 1], [n])[0]

    def tangents(
        self, dots: Sequence[Array | None], known: Sequence[Array], values: Sequence[Array]
    ) -> Sequence[Array | None]:
        """Of its results."""
        if all(dot is None for dot in dots):
            return dots
        *n, scale = values
        pairs = zip(n, dots, strict=True)
        full = [jnp.zeros_like(like) if dot is None else dot for like, dot in pairs]
        return scaled(known[self.weight], along(n, scale, full))


class NotPointwiseError(Exception):
    """An equation that is not seen to be pointwise; it says which."""


class Walk:
    """A walk along the jaxpr of `combine`, with values, and forms beside them.

    The form of a variable is its derivative: a dictionary from sources to coefficients. What
    changes from step to step is unknown, as in partial evaluation; what the parameters alone tell
    is known.
    """

    def __init__(self, jaxpr: Jaxpr, consts: Sequence[Array], counts: Sequence[int]) -> None:
        ends = [sum(counts[:n]) for n in range(5)]
        groups = [jaxpr.invars[a:b] for a, b in itertools.pairwise(ends)]
        self.jaxpr, self.consts = jaxpr, consts
        self.params, self.projected, self.mixed, self.old = groups
        self.unknown = depending(jaxpr, jaxpr.invars[counts[0] :])
        atoms = [*jaxpr.outvars, *(atom for eqn in jaxpr.eqns for atom in eqn.invars)]
        self.uses: Counter[Atom] = Counter(atom for atom in atoms if not isinstance(atom, Literal))
        self.rows: list[Row] = []
        self.coefficients: list[Array] = []
        self.operations: list[Product | Norm] = []
        self.taken = 0  # leaves by operations
        self.results = 0  # of operations
        self.factors: list[Array] = []
        self.entering: list[Var] = []
        self.env: dict[Var, Array] = {}
        self.forms: dict[Var, dict[Source, Array]] = {}
        self.streams: dict[Atom, Source] = {}

    def known(self, params: Params) -> list[Array]:
        """The known variables that enter, from the parameters alone."""
        jaxpr, leaves = self.jaxpr, jax.tree.leaves(params)
        env = dict(zip((*jaxpr.constvars, *self.params), (*self.consts, *leaves), strict=True))
        for eqn in jaxpr.eqns:
            if not any(is_in(self.unknown, atom) for atom in eqn.invars):
                env |= zip(eqn.outvars, run_eqn(eqn, read(env, eqn.invars)), strict=True)
        return [env[var] for var in self.entering]

    def step(self, *leaves: Array) -> list[Array]:
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
            if any(is_in(self.unknown, atom) for atom in eqn.invars):
                self._derive(eqn, states)
            for var in eqn.outvars:
                if var in states and var in self.forms:
                    self._close(states[var], self.forms[var])
                    self._begin(var, Source(new=(states[var],)))
        done = {row.leaf for row in self.rows}
        for leaf, atom in enumerate(jaxpr.outvars):
            if leaf not in done:
                self._close(leaf, {} if isinstance(atom, Literal) else self._form(atom))
        results = [*read(self.env, jaxpr.outvars), *self.factors, *self.coefficients]
        self.env, self.forms = {}, {}  # no traced value outlives the trace
        self.factors, self.coefficients = [], []
        return results

    def _close(self, leaf: int, form: dict[Source, Array]) -> None:
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

    def _form(self, atom: Atom) -> dict[Source, Array]:
        """The form of an atom; what depends on the parameters alone enters as a source."""
        if isinstance(atom, Literal) or not is_floating(atom):
            return {}
        if atom not in self.forms and atom not in self.unknown:
            self._begin(atom, Source(known=(len(self.entering),)))
            self.entering.append(atom)
        return self.forms.get(atom, {})

    def _derive(self, eqn: JaxprEqn, states: dict[Var, int]) -> None:
        """The forms of the results of an equation, from those of its operands."""
        if any(map(is_complex, [*eqn.outvars, *filter(self._is_unknown, eqn.invars)])):
            # Two numbers a place, of which no coefficient is known.
            raise NotPointwiseError(f"{eqn_text(eqn)} has complex numbers")
        if eqn.primitive.name in COMPARISONS or not any(map(is_floating, eqn.outvars)):
            return
        if not any(is_in(self.forms, atom) for atom in eqn.invars):
            return
        forms = [self._form(atom) for atom in eqn.invars]
        unknown = [
            is_in(self.unknown, atom) and bool(form)
            for atom, form in zip(eqn.invars, forms, strict=True)
        ]
        known = [bool(form) and not varies for form, varies in zip(forms, unknown, strict=True)]
        if unknown == [True, False] and is_product(eqn):
            self._multiply(eqn)
            return
        if known[0] and all(unknown[1:]) and is_norm(eqn):
            self._normalise(eqn)
            return
        if not is_pointwise(eqn, unknown, known):
            raise NotPointwiseError(f"{eqn_text(eqn)} is not seen to act unit by unit")
        if self._joins(eqn, states):
            a, b = (self.streams[var] for var in eqn.invars)
            self._begin(eqn.outvars[0], Source(*(x + y for x, y in zip(a, b, strict=True))))
            return
        values = read(self.env, eqn.invars)
        for source in dict.fromkeys(source for form in forms for source in form):
            places = [n for n, form in enumerate(forms) if source in form]

            def along(*chosen: Array, places: list[int] = places) -> list[Array]:
                replaced = dict(zip(places, chosen, strict=True))
                return run_eqn(eqn, [replaced.get(n, value) for n, value in enumerate(values)])

            at, tangents = [values[n] for n in places], [forms[n][source] for n in places]
            results, slopes = jax.jvp(along, at, tangents)
            if eqn.primitive.name == "custom_jvp_call":
                # A second derivative is that of what the rule gives, and not of the function.
                self.env |= zip(eqn.outvars, results, strict=True)
            for var, slope in zip(eqn.outvars, slopes, strict=True):
                if is_floating(var):
                    self.forms.setdefault(var, {})[source] = slope

    def _is_unknown(self, atom: Atom) -> bool:
        return is_in(self.unknown, atom)

    def _multiply(self, eqn: JaxprEqn) -> None:
        """A product begins a source of its own; its left factor is kept as a state is."""
        left: Any
        left, weight = eqn.invars
        ((source, _),) = self._form(weight).items()
        leaves = (self._take(left),)
        self._result(eqn.outvars[0])
        self.operations.append(Product(leaves, len(self.factors), source.known[0], eqn.params))
        self.factors.append(self.env[left])

    def _normalise(self, eqn: JaxprEqn) -> None:
        """Each result of a norm begins a source; its tangents want the n, and the scale."""
        variables: list[Any] = eqn.invars[1:]
        ((source, _),) = self._form(eqn.invars[0]).items()
        gain, *terms = read(self.env, eqn.invars)
        n, scale = standardized(terms)
        self.env |= zip(eqn.outvars, scaled(gain, n), strict=True)
        leaves = tuple(map(self._take, variables))
        self.coefficients += [*n, scale]
        for var in eqn.outvars:
            self._result(var)
        self.operations.append(Norm(leaves, len(self.factors), source.known[0]))
        self.factors += n

    def _take(self, var: Var) -> int:
        """What an operation takes is a row of its own, as a leaf of the state is."""
        leaf = len(self.old) + self.taken
        self.taken += 1
        self._close(leaf, self._form(var))
        self._begin(var, Source(new=(leaf,)))
        return leaf

    def _result(self, var: Var) -> None:
        self._begin(var, Source(results=(self.results,)))
        self.results += 1

    def _joins(self, eqn: JaxprEqn, states: dict[Var, int]) -> bool:
        """Whether it is the sum of two streams that nothing else reads."""
        return (
            eqn.primitive.name in ("add", "add_any")
            and all(is_in(self.streams, atom) and self.uses[atom] == 1 for atom in eqn.invars)
            and eqn.outvars[0] not in states
        )
