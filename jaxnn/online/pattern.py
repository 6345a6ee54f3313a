"""Whether a linear function acts unit by unit, read from its jaxpr; and its diagonal.

The tangent of a step is a linear function of the tangent of the parameters, and of that of the
state. Both are followed here from their inputs to the new state, equation by equation. Of each
variable it is known along which axis its units lie: the entry n of that axis belongs to the unit
n mod `units` (so that four gates side by side are followed too). What is not seen to keep the units
apart is refused: no wrong number comes out of a pattern that was only believed.

A product with a matrix mixes the units of a state. Of such a product the diagonal is still known,
∂(h W)_n / ∂h_n = W_nn, and this is what `diagonal` takes. A second product would need more than the
diagonal of the first; it is refused.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var, jaxpr_as_fun

from jaxnn.derivative.jaxprs import KEPT, Atom, eqn_text, inlined, is_in, read, run_eqn
from jaxnn.types import Array, PyTree, Shape

ALIKE = KEPT | {"mul", "div", "add", "add_any", "sub", "select_n", "real"}
"""Linear, and place by place: operands and result have one shape."""


class MixesUnitsError(Exception):
    """An equation that is not seen to keep the units apart; it says which."""


class Along(NamedTuple):
    """The axis of the units, and whether each entry depends on its own unit alone (and not, by a
    product, on the others too)."""

    axis: int
    apart: bool = True


def tangent_jaxpr(function: Callable[[list[Array]], list[Array]], at: list[Array]) -> ClosedJaxpr:
    """The jaxpr of the tangent of `function` at some leaves: from `(at, dots)` to its tangents."""

    def tangents(at: list[Array], dots: list[Array]) -> list[Array]:
        return jax.jvp(function, (at,), (dots,))[1]

    return inlined(jax.make_jaxpr(tangents)(at, at), [*at, *at])


def check_apart(closed: ClosedJaxpr, units: int, dots: Sequence[Var]) -> None:
    """Raise unless each entry of the results depends on the entries of its own unit in `dots`
    alone; the units lie along the last axis of each.

    Raises:
      MixesUnitsError: where that is not seen to hold; it names the equation.
    """
    if units > 1:
        found = _follow(closed.jaxpr, units, dots, products=False)
        _check_last(closed.jaxpr.outvars, found)


def diagonal(
    closed: ClosedJaxpr, units: int, values: Sequence[Array], dots: Sequence[Var]
) -> list[list[Array | None]]:
    """∂ result[k]_n / ∂ dot[l]_n for all units n: `(units,)` each, None where there is none.

    Args:
      closed: the tangent's jaxpr, which is linear in `dots`, its last inputs.
      units: how many there are.
      values: of its other inputs.
      dots: arrays of the shape `(units,)`.

    Raises:
      MixesUnitsError: where more is needed than the diagonal of a product.
    """
    jaxpr = closed.jaxpr
    if units == 1:  # all is its diagonal
        columns = []
        for place in range(len(dots)):
            picked = [jnp.full_like(_zeros(var), n == place) for n, var in enumerate(dots)]
            columns.append(jaxpr_as_fun(closed)(*values, *picked))
        return [list(row) for row in zip(*columns, strict=True)]
    along: dict[Any, Along] = _follow(jaxpr, units, dots, products=True)
    _check_last(jaxpr.outvars, along)
    others = jaxpr.invars[: len(jaxpr.invars) - len(dots)]
    env = dict(zip((*jaxpr.constvars, *others), (*closed.consts, *values), strict=True))
    slopes: dict[Any, dict[int, Array]] = {
        var: {place: jnp.ones_like(_zeros(var))} for place, var in enumerate(dots)
    }
    for eqn in jaxpr.eqns:
        marked = [is_in(along, atom) for atom in eqn.invars]
        if not any(marked):
            env |= zip(eqn.outvars, run_eqn(eqn, read(env, eqn.invars)), strict=True)
            continue
        for place in dict.fromkeys(p for a in eqn.invars if is_in(along, a) for p in slopes[a]):
            operands = [
                slopes[atom].get(place, _zeros(atom)) if mark else _other(eqn, env, atom)
                for atom, mark in zip(eqn.invars, marked, strict=True)
            ]
            results = _results(eqn, operands, along, marked, units)
            for var, result in zip(eqn.outvars, results, strict=True):
                slopes.setdefault(var, {})[place] = result
    return [
        [slopes[atom].get(place) if is_in(along, atom) else None for place in range(len(dots))]
        for atom in jaxpr.outvars
    ]


def _follow(jaxpr: Jaxpr, units: int, dots: Sequence[Var], products: bool) -> dict[Var, Along]:
    """Along which axis the units of each variable lie that depends on `dots`."""
    found = {var: Along(len(_shape(var)) - 1) for var in dots}
    for eqn in jaxpr.eqns:
        marked = [is_in(found, atom) for atom in eqn.invars]
        if not any(marked):
            continue
        along = _along(eqn, found, marked, units, products)
        if along is None:
            raise MixesUnitsError(f"{eqn_text(eqn)} is not seen to keep the units apart")
        found |= dict.fromkeys(eqn.outvars, along)
    return found


def _check_last(outvars: Iterable[Atom], found: dict[Any, Along]) -> None:
    for atom in outvars:
        if is_in(found, atom) and found[atom].axis != len(_shape(atom)) - 1:
            raise MixesUnitsError("the units of the new state are others than those that enter")


def _along(
    eqn: JaxprEqn, found: dict[Any, Along], marked: Sequence[bool], units: int, products: bool
) -> Along | None:
    """Where the units of the results lie, or None where that is not known."""
    name, params = eqn.primitive.name, eqn.params
    atoms = [atom for atom, mark in zip(eqn.invars, marked, strict=True) if mark]
    if len({found[atom].axis for atom in atoms}) != 1:
        return None
    axis, apart = found[atoms[0]].axis, all(found[atom].apart for atom in atoms)
    shape = _shape(atoms[0])
    if name == "concatenate":
        sizes = [_shape(atom)[axis] for atom in eqn.invars]
        whole = params["dimension"] != axis or not any(size % units for size in sizes)
        return Along(axis, apart) if whole else None
    if name in ALIKE:
        linear = {
            "mul": len(atoms) == 1,
            "div": marked == [True, False],
            "select_n": not marked[0],
        }.get(name, True)
        alike = all(_shape(atom) == _shape(eqn.outvars[0]) for atom in atoms)
        return Along(axis, apart) if linear and alike else None
    if len(atoms) != 1:
        return None
    if name == "dot_general":
        return _along_product(eqn, marked, Along(axis, apart), units, products)
    moved = _moved(eqn, axis, shape, units)
    return None if moved is None else Along(moved, apart)


def _moved(eqn: JaxprEqn, axis: int, shape: Shape, units: int) -> int | None:
    """Where an axis goes in an equation that moves, cuts or sums along the others."""
    name, params = eqn.primitive.name, eqn.params
    if name in ("reduce_sum", "squeeze"):
        axes = params["axes" if name == "reduce_sum" else "dimensions"]
        return None if axis in axes else axis - sum(other < axis for other in axes)
    if name == "transpose":
        return tuple(params["permutation"]).index(axis)
    if name == "broadcast_in_dim":
        place = params["broadcast_dimensions"][axis]
        return place if params["shape"][place] == shape[axis] else None
    if name == "split":
        return None if params["axis"] == axis and any(n % units for n in params["sizes"]) else axis
    if name == "slice":
        ends = params["start_indices"][axis], params["limit_indices"][axis]
        strided = params["strides"] is not None and params["strides"][axis] != 1
        return None if strided or any(end % units for end in ends) else axis
    if name == "reshape" and params["dimensions"] is None:
        minor, sizes = math.prod(shape[axis + 1 :]), params["new_sizes"]
        for place, size in enumerate(sizes):  # one at most, since there is more than one unit
            if size % units == 0 and math.prod(sizes[place + 1 :]) == minor:
                return place
    return None


def _along_product(
    eqn: JaxprEqn, marked: Sequence[bool], along: Along, units: int, products: bool
) -> Along | None:
    """Where the units lie in a product of what depends on the dots and what does not."""
    (left, right), (left_batch, right_batch) = eqn.params["dimension_numbers"]
    first = marked[0]
    contracted, batch = (left, left_batch) if first else (right, right_batch)
    own = _shape(eqn.invars[0 if first else 1])
    free = [n for n in range(len(own)) if n not in (*contracted, *batch)]
    other_shape = _shape(eqn.invars[1 if first else 0])
    taken = (*right, *right_batch) if first else (*left, *left_batch)
    other_free = [n for n in range(len(other_shape)) if n not in taken]
    if along.axis in batch:
        return along._replace(axis=tuple(batch).index(along.axis))
    before = len(batch) if first else len(batch) + len(other_free)
    if along.axis in free:
        return along._replace(axis=before + free.index(along.axis))
    whole = own[along.axis] == units and len(contracted) == 1 and not batch
    places = [n for n, axis in enumerate(other_free) if other_shape[axis] % units == 0]
    if not products or not along.apart or not whole or not places:
        return None
    return Along(places[-1] + (len(free) if first else 0), apart=False)


def _results(
    eqn: JaxprEqn,
    operands: Sequence[Array],
    along: dict[Var, Along],
    marked: Sequence[bool],
    units: int,
) -> list[Array]:
    """An equation of slopes: itself, but for a product over the units, of which the diagonal."""
    if eqn.primitive.name != "dot_general":
        return run_eqn(eqn, operands)
    own = 0 if marked[0] else 1
    (contracted, _) = eqn.params["dimension_numbers"]
    var = eqn.invars[own]
    if isinstance(var, Literal) or along[var].axis not in contracted[own]:
        return run_eqn(eqn, operands)
    (row,) = contracted[1 - own]
    matrix, slope = operands[1 - own], operands[own]
    slope = jnp.moveaxis(slope, along[var].axis, -1)  # (*free, units)
    free = slope.ndim - 1
    place = along[eqn.outvars[0]].axis - (free if own == 0 else 0)
    rest = matrix.ndim - 1
    # (*rest, units, groups, units), of which the diagonal is (*rest, groups, units).
    matrix = jnp.moveaxis(matrix, row, -1)
    matrix = jnp.moveaxis(matrix, place, -1)
    groups = matrix.shape[-1] // units
    matrix = matrix.reshape(*matrix.shape[:-1], groups, units)
    entries = jnp.diagonal(matrix, axis1=-3, axis2=-1)
    slope = jnp.expand_dims(slope, tuple(range(free, free + rest)))
    entries = jnp.expand_dims(entries, tuple(range(free)))
    shape = jnp.broadcast_shapes(slope.shape, entries.shape)
    result = jnp.broadcast_to(slope, shape) * jnp.broadcast_to(entries, shape)
    result = result.reshape(*result.shape[:-2], groups * units)  # (*free, *rest but one, columns)
    result = jnp.moveaxis(result, -1, free + place)
    if own == 1:  # the other operand's axes come first
        result = jnp.moveaxis(result, range(free), range(rest, rest + free))
    (out,) = eqn.outvars
    return [result.astype(_zeros(out).dtype)]


def _other(eqn: JaxprEqn, env: dict[Var, Array], atom: Atom) -> Array:
    """An operand that does not depend on the dots: in a sum, it adds no slope."""
    (value,) = read(env, [atom])
    adds = eqn.primitive.name in ("add", "add_any", "sub", "concatenate")
    picks = eqn.primitive.name == "select_n" and atom is not eqn.invars[0]
    return jnp.zeros_like(value) if adds or picks else value


def _zeros(atom: PyTree) -> Array:
    return jnp.zeros(atom.aval.shape, atom.aval.dtype)


def _shape(atom: PyTree) -> Shape:
    return tuple(atom.aval.shape)
