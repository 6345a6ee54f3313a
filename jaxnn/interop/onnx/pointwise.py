"""The operators of equations that are pointwise."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxnn.interop.onnx.graph import Graph, Value
from jaxnn.interop.onnx.package import Refused
from jaxnn.types import Shape

Emit = Callable[..., Value | list[Value]]
"""`emit(graph, equation, *values)` adds the nodes of an equation, and gives its results.

An equation is a `jax.extend.core.JaxprEqn`, whose abstract values have no types of their own.
"""

UNARY = {
    "neg": "Neg",
    "abs": "Abs",
    "sign": "Sign",
    "floor": "Floor",
    "ceil": "Ceil",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "tanh": "Tanh",
    "logistic": "Sigmoid",
    "sin": "Sin",
    "cos": "Cos",
    "tan": "Tan",
    "asin": "Asin",
    "acos": "Acos",
    "atan": "Atan",
    "sinh": "Sinh",
    "cosh": "Cosh",
    "asinh": "Asinh",
    "acosh": "Acosh",
    "atanh": "Atanh",
    "erf": "Erf",
    "not": "Not",
}
BINARY = {
    "add": "Add",
    "add_any": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "pow": "Pow",
    "max": "Max",
    "min": "Min",
    "eq": "Equal",
    "lt": "Less",
    "le": "LessOrEqual",
    "gt": "Greater",
    "ge": "GreaterOrEqual",
    "and": "And",
    "or": "Or",
    "xor": "Xor",
}
SAME = ("copy", "copy_p", "stop_gradient", "reduce_precision", "sharding_constraint", "pvary")
FLAGS = ("not", "and", "or", "xor")
"""Of booleans alone: of integers jax means the bits."""


def out_of(equation: Any) -> tuple[Any, Any]:
    """Shape and dtype of the result of an equation."""
    aval = equation.outvars[0].aval
    return aval.shape, aval.dtype


def _plain(operator: str) -> Emit:
    def emit(graph: Graph, equation: Any, *values: Value) -> Value:
        if equation.primitive.name in FLAGS and values[0].dtype != np.bool_:
            raise Refused(f"its {equation.primitive.name} works on bits, and has no operator here")
        return graph.node(
            operator, _unspread(graph, values, out_of(equation)[0]), *out_of(equation)
        )

    return emit


def _unspread(graph: Graph, values: Sequence[Value], shape: Shape) -> list[Value]:
    """Operands without the Expand before them, where another one has the whole shape: operators
    that are pointwise broadcast by themselves."""
    values = list(values)
    for place, value in enumerate(values):
        others = values[:place] + values[place + 1 :]
        if any(tuple(other.shape) == tuple(shape) for other in others):
            values[place] = graph.before_expand(value)
    return values


def _like(graph: Graph, value: Value, number: float) -> Value:
    return graph.constant(np.array(number, value.dtype))


def _pointwise(graph: Graph, value: Value, operator: str, *others: Value) -> Value:
    return graph.node(operator, [value, *others], value.shape, value.dtype)


def _max(graph: Graph, equation: Any, x: Value, y: Value) -> Value:
    """A maximum with zero is a Relu."""
    for one, other in ((x, y), (y, x)):
        zero = graph.constant(np.zeros((), x.dtype))
        if other.name == zero.name and one.shape == equation.outvars[0].aval.shape:
            return _pointwise(graph, one, "Relu")
    return graph.node("Max", _unspread(graph, [x, y], out_of(equation)[0]), *out_of(equation))


def _ne(graph: Graph, equation: Any, x: Value, y: Value) -> Value:
    return graph.node("Not", [graph.node("Equal", [x, y], *out_of(equation))], *out_of(equation))


def _square(graph: Graph, equation: Any, x: Value) -> Value:
    return graph.node("Mul", [x, x], *out_of(equation))


def _rsqrt(graph: Graph, equation: Any, x: Value) -> Value:
    return _pointwise(graph, _pointwise(graph, x, "Sqrt"), "Reciprocal")


def _integer_pow(graph: Graph, equation: Any, x: Value) -> Value:
    power = equation.params["y"]
    if power == 2:
        return _square(graph, equation, x)
    return _pointwise(graph, x, "Pow", _like(graph, x, power))


def _exp2(graph: Graph, equation: Any, x: Value) -> Value:
    return graph.node("Pow", [_like(graph, x, 2), x], *out_of(equation))


def _expm1(graph: Graph, equation: Any, x: Value) -> Value:
    """(eˣ + 1) tanh(x/2), which is exact near zero, where eˣ − 1 is not."""
    half = _pointwise(graph, _pointwise(graph, x, "Mul", _like(graph, x, 0.5)), "Tanh")
    above = _pointwise(graph, _pointwise(graph, x, "Exp"), "Add", _like(graph, x, 1))
    return _pointwise(graph, above, "Mul", half)


def _log1p(graph: Graph, equation: Any, x: Value) -> Value:
    """With u = 1 + x as it is rounded, x · log(u) / (u − 1), which is exact near zero (Kahan)."""
    one = _like(graph, x, 1)
    u = _pointwise(graph, x, "Add", one)
    log = _pointwise(graph, u, "Log")
    ratio = _pointwise(graph, x, "Div", _pointwise(graph, u, "Sub", one))
    flag = (x.shape, np.bool_)
    near = graph.node("Equal", [u, one], *flag)
    small = graph.node("Where", [near, x, _pointwise(graph, log, "Mul", ratio)], x.shape, x.dtype)
    return graph.node(
        "Where", [graph.node("Greater", [x, one], *flag), log, small], *out_of(equation)
    )


def _erfc(graph: Graph, equation: Any, x: Value) -> Value:
    return graph.node("Sub", [_like(graph, x, 1), _pointwise(graph, x, "Erf")], x.shape, x.dtype)


def _is_finite(graph: Graph, equation: Any, x: Value) -> Value:
    shape = out_of(equation)
    either = [graph.node("IsInf", [x], *shape), graph.node("IsNaN", [x], *shape)]
    return graph.node("Not", [graph.node("Or", either, *shape)], *shape)


def _round(graph: Graph, equation: Any, x: Value) -> Value:
    if int(equation.params["rounding_method"]) != 1:
        raise Refused("onnx rounds halves to even: use jnp.round")
    return _pointwise(graph, x, "Round")


def _select(graph: Graph, equation: Any, flag: Value, *cases: Value) -> Value:
    if flag.dtype != np.bool_ or len(cases) != 2:
        raise Refused("a choice between more than two has no operator: use jnp.where")
    values = _unspread(graph, [flag, cases[1], cases[0]], out_of(equation)[0])
    return graph.node("Where", values, *out_of(equation))


def _clamp(graph: Graph, equation: Any, low: Value, x: Value, high: Value) -> Value:
    above = graph.node("Max", [x, low], *out_of(equation))
    return graph.node("Min", [above, high], *out_of(equation))


def _cast(graph: Graph, equation: Any, x: Value) -> Value:
    shape, dtype = out_of(equation)
    if dtype == x.dtype:
        return x
    kind = graph.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return graph.node("Cast", [x], shape, dtype, to=kind)


def _same(graph: Graph, equation: Any, x: Value) -> Value:
    return x


POINTWISE: dict[str, Emit] = {name: _plain(operator) for name, operator in UNARY.items()}
POINTWISE |= {name: _plain(operator) for name, operator in BINARY.items()}
POINTWISE |= dict.fromkeys(SAME, _same)
POINTWISE |= {
    "max": _max,
    "ne": _ne,
    "square": _square,
    "rsqrt": _rsqrt,
    "integer_pow": _integer_pow,
    "exp2": _exp2,
    "expm1": _expm1,
    "log1p": _log1p,
    "erfc": _erfc,
    "is_finite": _is_finite,
    "round": _round,
    "select_n": _select,
    "clamp": _clamp,
    "convert_element_type": _cast,
}
