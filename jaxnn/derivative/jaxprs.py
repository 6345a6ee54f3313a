"""What a split promises, read from its jaxprs: `mix` is linear in the state, `combine` pointwise.

The derivative rule is right only where both hold. What is not seen here to hold (a softmax in
`combine`, a sine in `mix`, a primitive on no list) makes the cell run by the plain scan, which
needs no promise: never a wrong gradient.
"""

import functools
import itertools
import operator
from collections.abc import Callable, Container, Hashable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var, jaxpr_as_fun

from jaxnn.internal.checks import is_traced
from jaxnn.internal.mesh import outline_of_type
from jaxnn.internal.standardized import normed
from jaxnn.types import Array, PyTree, Shape

Atom = Var | Literal
"""What an equation reads."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


KEPT = _names("convert_element_type reduce_precision copy copy_p pvary pcast mesh_cast reshard")
KEPT |= {"sharding_constraint", "neg"}
"""Linear, and pointwise."""

LINEAR = KEPT | _names("""
    reshape squeeze expand_dims transpose broadcast_in_dim split slice rev reduce_sum real imag""")
"""Linear in their one operand."""

ADDITIVE = _names("add add_any sub concatenate")
"""Linear in all operands together."""

BILINEAR = _names("mul div dot_general conv_general_dilated")
"""Linear in each operand alone (a quotient in the first one)."""

POINTWISE = KEPT | _names("""
    add add_any sub mul div max min pow integer_pow square sqrt rsqrt cbrt exp exp2 expm1 log log1p
    tanh logistic sin cos tan asin acos atan atan2 sinh cosh asinh acosh atanh erf erfc erf_inv abs
    select_n clamp""")
"""Each entry of the result depends on the entries at the same place."""

COMPARISONS = _names("""
    eq ne lt le gt ge is_finite not and or xor sign floor ceil round stop_gradient""")
"""Pointwise too, with a derivative of zero."""

OWN_RULES = _names("custom_jvp_call custom_vjp_call custom_lin")
"""With a derivative of their user's own; the last is the tangent of the second."""

CALLS = {"custom_jvp_call": "call_jaxpr", "jit": "jaxpr"}
"""Primitives that run a jaxpr on their own operands, and the parameter that holds it."""


def traced(function: Callable[..., PyTree], *arguments: PyTree) -> Any:
    """A function as jax traces it for the types of some arguments (arrays or types): once, so that
    the `jaxpr` of equal calls is one object. It has `out_info`, the types of the results."""
    return _jitted(function).trace(*arguments)


@functools.lru_cache(maxsize=1024)
def _jitted(function: Callable[..., PyTree]) -> Any:
    return jax.jit(function)


def inlined(closed: ClosedJaxpr, leaves: Sequence[PyTree]) -> ClosedJaxpr:
    """A jaxpr with inner jits written out, for the types of `leaves`.

    An equation that stands there twice is computed once.
    """

    def once(*values: Array) -> list[Array]:
        return _run_once({}, closed.jaxpr, closed.consts, values)

    return jax.make_jaxpr(once)(*leaves)


def _run_once(
    done: dict[Hashable, tuple[list[Array], Sequence[Array]]],
    jaxpr: Jaxpr,
    consts: Sequence[Array],
    values: Sequence[Array],
) -> list[Array]:
    """The results of a jaxpr; those of equations that compute the same are taken from `done`."""
    env = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *values), strict=True))
    for eqn in jaxpr.eqns:
        operands = read(env, eqn.invars)
        if eqn.primitive.name == "jit":
            called = eqn.params["jaxpr"]
            results = _run_once(done, called.jaxpr, called.consts, operands)
        else:
            same = _signature(eqn, operands)
            if same not in done:  # the operands stay beside the results, for their ids' sake
                done[same] = run_eqn(eqn, operands), operands
            results, _ = done[same]
        env |= zip(eqn.outvars, results, strict=True)
    return read(env, jaxpr.outvars)


def _signature(eqn: JaxprEqn, operands: Sequence[Array]) -> Hashable:
    """Equal for equations that compute the same, as far as can be seen."""
    values = tuple(
        (atom.aval, np.asarray(atom.val).tobytes()) if isinstance(atom, Literal) else id(value)
        for atom, value in zip(eqn.invars, operands, strict=True)
    )
    try:
        params = frozenset(eqn.params.items())
    except TypeError:
        return object()
    return eqn.primitive, values, params


def why_not_closed(closed: ClosedJaxpr) -> str | None:
    """Why a function does more than compute with its arguments; None where it does not.

    A rule would not see a traced array that is none of them, and would run again, or not at all,
    what a function does beside (a `jax.debug.print`).
    """
    if closed.effects:
        return "its functions have an effect, which a rule would repeat or leave out"
    if any(map(is_traced, closed.consts)):
        return "its functions read a traced array that is none of their arguments"
    return None


def slope_has_own_rule(closed: ClosedJaxpr, leaves: Sequence[PyTree]) -> bool:
    """Whether the tangent of a function still calls one with a derivative of its user's own."""
    floating = [n for n, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]

    def tangent(*leaves: Array) -> PyTree:
        def run(chosen: list[Array]) -> list[Array]:
            values = dict(zip(floating, chosen, strict=True))
            return jaxpr_as_fun(closed)(*(values.get(n, x) for n, x in enumerate(leaves)))

        along = [leaves[n] for n in floating]
        return jax.jvp(run, (along,), (along,))

    return _has_own_rule(jax.make_jaxpr(tangent)(*leaves).jaxpr)


def _has_own_rule(jaxpr: Jaxpr) -> bool:
    for eqn in jaxpr.eqns:
        inner = (getattr(value, "jaxpr", value) for value in jax.tree.leaves(eqn.params))
        if eqn.primitive.name in OWN_RULES or any(
            _has_own_rule(each) for each in inner if isinstance(each, Jaxpr)
        ):
            return True
    return False


def run_eqn(eqn: JaxprEqn, operands: Sequence[Array]) -> list[Array]:
    """The results of one equation, in the mesh that it was traced in."""
    params = eqn.primitive.get_bind_params(eqn.params)
    with eqn.ctx.manager:
        results = eqn.primitive.bind(*operands, **params)
    return list(results) if eqn.primitive.multiple_results else [results]


def read(env: dict[Var, Array], atoms: Iterable[Atom]) -> list[Array]:
    """The values of variables and literals."""
    return [atom.val if isinstance(atom, Literal) else env[atom] for atom in atoms]


def is_in(variables: Container[Var], atom: Atom) -> bool:
    """Whether an atom is one of the variables; a literal is none."""
    return not isinstance(atom, Literal) and atom in variables


def depending(jaxpr: Jaxpr, variables: Iterable[Var]) -> set[Var]:
    """The variables, and all that is computed from them."""
    found = set(variables)
    for eqn in jaxpr.eqns:
        if any(is_in(found, atom) for atom in eqn.invars):
            found.update(eqn.outvars)
    return found


def is_read(jaxpr: Jaxpr, variables: Sequence[Var]) -> list[bool]:
    """Which of the variables some equation or result reads."""
    atoms = [*jaxpr.outvars, *(atom for eqn in jaxpr.eqns for atom in eqn.invars)]
    found = {atom for atom in atoms if not isinstance(atom, Literal)}
    return [var in found for var in variables]


def why_not_linear(jaxpr: Jaxpr, variables: Iterable[Var]) -> str | None:
    """Why the results of a jaxpr (inlined) are not linear in the variables, taken together; None
    where they are."""
    linear = set(variables)
    for eqn in jaxpr.eqns:
        which = [is_in(linear, atom) for atom in eqn.invars]
        if not any(which):
            continue
        name = eqn.primitive.name
        kept = (
            name in LINEAR
            or (name in ADDITIVE and all(which))
            or (name in BILINEAR and sum(which) == 1 and (name != "div" or which[0]))
            or (name == "select_n" and not which[0] and all(which[1:]))
        )
        if not kept or not all(is_floating(var) for var in eqn.outvars):
            return f"{eqn_text(eqn)} is not linear in the state"
        linear.update(eqn.outvars)
    if not all(is_in(linear, atom) for atom in jaxpr.outvars):
        return "one of its results does not depend on the state"
    return None


def eqn_text(eqn: JaxprEqn) -> str:
    """What an equation does, such as 'reduce_sum of float32[8, 4]'."""
    operands = ", ".join(_aval_text(atom) for atom in eqn.invars)
    return f"{eqn.primitive.name} of {operands}"


def _aval_text(atom: Any) -> str:
    return f"{atom.aval.dtype}[{', '.join(map(str, atom.aval.shape))}]"


def is_pointwise(
    eqn: JaxprEqn, unknown: Sequence[bool], known: Sequence[bool], rules: bool = True
) -> bool:
    """Whether an equation acts place by place on the operands that are marked.

    Those that are unknown before a step have the shape of the result; those that are known from the
    parameters may be broadcast to it. With `rules`, so does the derivative that a `custom_jvp`
    function brings along.
    """
    name = eqn.primitive.name
    if name in CALLS:
        marks = list(map(operator.or_, unknown, known))
        called = eqn.params[CALLS[name]].jaxpr
        if not _all_pointwise(called, itertools.compress(called.invars, marks), rules):
            return False
        return name != "custom_jvp_call" or not rules or _has_pointwise_rule(eqn, marks)
    shapes = {_shape(atom) for atom in itertools.compress(eqn.invars, unknown)}
    shapes |= {_shape(var) for var in eqn.outvars}
    return name in POINTWISE | COMPARISONS and len(shapes) == 1


def _all_pointwise(jaxpr: Jaxpr, variables: Iterable[Var], rules: bool) -> bool:
    """Whether the results of a jaxpr come place by place from some of its variables."""
    every = depending(jaxpr, variables)
    needed = {atom for atom in jaxpr.outvars if not isinstance(atom, Literal)}
    for eqn in reversed(jaxpr.eqns):
        which = [is_in(every, atom) for atom in eqn.invars]
        if not any(which) or needed.isdisjoint(eqn.outvars):
            continue
        if not is_pointwise(eqn, which, [False] * len(which), rules):
            return False
        needed.update(atom for atom in eqn.invars if not isinstance(atom, Literal))
    return True


def _has_pointwise_rule(eqn: JaxprEqn, marks: Sequence[bool]) -> bool:
    """Whether the derivative that a `custom_jvp` function brings along acts place by place too."""
    kinds: list[Any] = [atom.aval for atom in eqn.invars]
    outlines = list(map(outline_of_type, kinds))
    places = [n for n, marked in enumerate(marks) if marked and is_floating(eqn.invars[n])]

    def tangents(operands: list[Array], dots: list[Array]) -> list[Array]:
        def along(chosen: list[Array]) -> list[Array]:
            replaced = dict(zip(places, chosen, strict=True))
            return run_eqn(eqn, [replaced.get(n, value) for n, value in enumerate(operands)])

        return jax.jvp(along, ([operands[n] for n in places],), (dots,))[1]

    dots = [outlines[n] for n in places]
    jaxpr = inlined(jax.make_jaxpr(tangents)(outlines, dots), [*outlines, *dots]).jaxpr
    count = len(outlines)
    operands = [jaxpr.invars[n] for n in places]
    return _all_pointwise(jaxpr, [*operands, *jaxpr.invars[count:]], rules=False)


def is_product(eqn: JaxprEqn) -> bool:
    """Whether it is a matmul of the last axis of something with the first one of a matrix."""
    if eqn.primitive.name != "dot_general":
        return False
    left, right = map(_shape, eqn.invars)
    return len(right) == 2 and eqn.params["dimension_numbers"] == (
        ((len(left) - 1,), (0,)),
        ((), ()),
    )


def adds_up(eqn: JaxprEqn) -> bool:
    """Whether it is a product of matrices or a sum, or has one inside."""
    if eqn.primitive.name in CALLS:
        return any(map(adds_up, eqn.params[CALLS[eqn.primitive.name]].jaxpr.eqns))
    return eqn.primitive.name in ("dot_general", "reduce_sum")


def is_norm(eqn: JaxprEqn) -> bool:
    """Whether it is the layer norm of `internal/standardized.py`: the same program, and so is its
    derivative."""
    if eqn.primitive.name != "custom_jvp_call":
        return False
    kinds: list[Any] = [atom.aval for atom in eqn.invars]
    if kinds[0].shape != (len(kinds) - 1, *kinds[-1].shape[-1:]):
        return False
    outlines = list(map(outline_of_type, kinds))
    functions = functools.partial(_results_of, eqn), normed

    def texts(function: Callable[..., PyTree]) -> tuple[str, ...]:
        def tangents(terms: list[Array], dots: list[Array]) -> PyTree:
            return jax.jvp(function, terms, dots)

        programs = jax.make_jaxpr(function)(*outlines), jax.make_jaxpr(tangents)(*[outlines] * 2)
        return tuple(str(inlined(one, jax.tree.leaves(one.in_avals))) for one in programs)

    return len(set(map(texts, functions))) == 1


def _results_of(eqn: JaxprEqn, *operands: Array) -> tuple[Array, ...]:
    return tuple(run_eqn(eqn, operands))


def _shape(atom: Any) -> Shape:
    return atom.aval.shape


def acts_on_each(function: Callable[..., PyTree], batch_ndim: int, tree: PyTree) -> bool:
    """Whether a function is seen to take each entry of the leading dimensions by itself: mapped
    over them, it is the same program."""
    mapped = function
    for _ in range(batch_ndim):
        mapped = jax.vmap(mapped)
    programs = (str(jax.make_jaxpr(run)(tree)) for run in (function, mapped))
    return len(set(programs)) == 1


def is_complex(atom: Any) -> bool:
    """Whether a variable holds complex numbers."""
    return jnp.issubdtype(atom.aval.dtype, jnp.complexfloating)


def is_floating(atom: Any) -> bool:
    """Whether a variable holds floating numbers."""
    return jnp.issubdtype(atom.aval.dtype, jnp.floating)
