"""A function as jax traces it, written as operators: each equation of its jaxpr is one or a few.

So activations, merges, norms, convolutions and the steps of cells need no second definition here.
What depends on constants alone is computed now, by jax, and stands in the file as a tensor.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from jaxnn.interop.onnx.graph import Graph, Value
from jaxnn.interop.onnx.operators import OPERATORS
from jaxnn.interop.onnx.package import Refused
from jaxnn.types import PyTree

CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
}
"""What runs a jaxpr on its own operands, and the parameter that holds it."""


def translate(graph: Graph, function: Callable[..., PyTree], *arguments: PyTree) -> PyTree:
    """What a function gives for trees of values; arrays among their leaves are constants.

    Raises:
      Refused: for an equation that has no operator.
    """
    leaves, structure = jax.tree.flatten(arguments)
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Value)]

    def run(*values: Any) -> PyTree:
        filled = list(leaves)
        for place, value in zip(places, values, strict=True):
            filled[place] = value
        return function(*jax.tree.unflatten(structure, filled))

    structs = [leaves[place].struct() for place in places]
    traced, shapes = jax.make_jaxpr(run, return_shape=True)(*structs)
    given = [leaves[place] for place in places]
    found = _interpreted(graph, traced.jaxpr, traced.consts, given)
    return jax.tree.unflatten(jax.tree.structure(shapes), [graph.value(each) for each in found])


def _interpreted(
    graph: Graph, jaxpr: Any, constants: Sequence[Any], given: Sequence[Any]
) -> list[Any]:
    """The results of a jaxpr: values, and arrays where they depend on constants alone."""
    known = dict[Any, Any](zip(jaxpr.constvars, constants, strict=True))
    known |= dict(zip(jaxpr.invars, given, strict=True))

    def read(atom: Any) -> Any:
        if isinstance(atom, Literal):
            aval: Any = atom.aval
            return np.asarray(atom.val, aval.dtype)
        return known[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        known |= dict(zip(equation.outvars, _results(graph, equation, inputs), strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _results(graph: Graph, equation: Any, inputs: list[Any]) -> Sequence[Any]:
    name = equation.primitive.name
    if name in CALLS:
        inner = equation.params[CALLS[name]]
        jaxpr, constants = (
            (inner.jaxpr, inner.consts) if isinstance(inner, ClosedJaxpr) else (inner, ())
        )
        return _interpreted(graph, jaxpr, constants, inputs)
    sizes = [size for var in equation.outvars for size in var.aval.shape]
    if all(isinstance(size, int) for size in sizes) and not any(
        isinstance(each, Value) for each in inputs
    ):
        found = equation.primitive.bind(*inputs, **equation.params)
        return found if equation.primitive.multiple_results else [found]
    for var in (*equation.invars, *equation.outvars):
        if np.issubdtype(var.aval.dtype, np.complexfloating):
            raise Refused(f"onnx has no complex numbers, which its {name} has")
    if name not in OPERATORS:
        raise Refused(
            f"its {name} has no operator here: write it by arithmetic of whole arrays, or leave "
            f"this part outside of the file"
        )
    values = [graph.value(each) for each in inputs]
    found = OPERATORS[name](graph, equation, *values)
    return found if isinstance(found, list) else [found]
