"""Functions that are one operator: in the graph, and as activations inside of recurrent ones."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.functions import activations
from jaxnn.interop.onnx.package import Refused
from jaxnn.types import Array


class Named(NamedTuple):
    """An operator and its numbers, and where it may stand: as a node, and as an activation of RNN,
    LSTM and GRU."""

    operator: str
    numbers: dict[str, float]
    in_graph: bool = True
    in_recurrence: bool = False

    def is_symmetric(self) -> bool:
        """Whether 1 − f(a) = f(−a)."""
        if self.operator == "HardSigmoid":
            return self.numbers["beta"] == 0.5
        return self.operator == "Sigmoid"


class Affine(NamedTuple):
    """slope · x + offset, by its numbers."""

    slope: float
    offset: float

    def __call__(self, x: Array) -> Array:
        return self.slope * x + self.offset


BOTH = {
    "Tanh": (jnp.tanh, jax.nn.tanh, jax.lax.tanh),
    "Sigmoid": (jax.nn.sigmoid, jax.lax.logistic),
    "Relu": (jax.nn.relu,),
    "Softsign": (jax.nn.soft_sign,),
    "Softplus": (jax.nn.softplus,),
}
"""Operators without numbers that are activations too, and functions that they are; one that is read
becomes the first."""
ALONE = {
    "HardSwish": (jax.nn.hard_swish,),
    "Mish": (jax.nn.mish,),
    "Erf": (jax.scipy.special.erf, jax.lax.erf),
    "Exp": (jnp.exp,),
    "Log": (jnp.log,),
    "Sqrt": (jnp.sqrt,),
    "Abs": (jnp.abs,),
    "Neg": (jnp.negative,),
    "Sin": (jnp.sin,),
    "Cos": (jnp.cos,),
}
KNOWN: dict[Any, Named] = {
    jax.nn.hard_sigmoid: Named("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}, True, True),
    jax.nn.leaky_relu: Named("LeakyRelu", {"alpha": 0.01}, True, True),
    jax.nn.elu: Named("Elu", {"alpha": 1.0}, True, True),
    jax.nn.selu: Named("Selu", {}),
    jax.nn.softmax: Named("Softmax", {"axis": -1}),
    jax.nn.log_softmax: Named("LogSoftmax", {"axis": -1}),
}
KNOWN |= {f: Named(name, {}, True, True) for name, each in BOTH.items() for f in each}
KNOWN |= {f: Named(name, {}) for name, each in ALONE.items() for f in each}
MADE: dict[str, tuple[Any, tuple[float, ...], bool]] = {
    "HardSigmoid": (activations.HardSigmoid, (0.2, 0.5), True),
    "LeakyRelu": (activations.LeakyRelu, (0.01,), True),
    "Elu": (activations.Elu, (1.0,), True),
    "ScaledTanh": (activations.ScaledTanh, (1.0, 1.0), False),
    "Affine": (Affine, (1.0, 0.0), False),
}
"""What is made of alpha and beta, their defaults, and whether it may be a node."""
OPERATORS = ("Selu", "Softmax", "LogSoftmax", *MADE, *BOTH, *ALONE)


def named(function: Callable[..., Any]) -> Named | None:
    """The operator of a function, or None."""
    for operator, (kind, _, in_graph) in MADE.items():
        if isinstance(function, kind):
            values: Any = function
            numbers = dict(zip(("alpha", "beta"), values, strict=False))
            return Named(operator, {k: float(v) for k, v in numbers.items()}, in_graph, True)
    try:
        return KNOWN.get(function)
    except TypeError:
        return None


def function_of(operator: str, numbers: dict[str, list[float]]) -> Any:
    """The function of an operator; one that has numbers takes them from the front.

    Raises:
      Refused: for one that jaxnn does not have.
    """
    given: dict[str, float] = {}
    if operator in MADE:
        _, defaults, _ = MADE[operator]
        for name, default in zip(("alpha", "beta"), defaults, strict=False):
            value = numbers[name].pop(0) if numbers.get(name) else default
            given[name] = float(str(np.float32(value)))  # as one writes it
    for function, known in KNOWN.items():
        same = [np.float32(v) for v in known.numbers.values()]
        if known.operator == operator and (
            operator not in MADE or same == [np.float32(v) for v in given.values()]
        ):
            return function
    if operator in MADE:
        return MADE[operator][0](*given.values())
    raise Refused(f"its activation {operator} is none of jaxnn's")
