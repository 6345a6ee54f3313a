"""The parameters of a gated cell: their initialisers are checked, and fill them gate by gate."""

import jax.numpy as jnp

from jaxnn.functions.fill import GateInitializer, fill_whole, gate_by_gate, is_per_gate
from jaxnn.functions.initializers import uniform_hidden
from jaxnn.internal.options import check_bool, check_callable, check_initializer
from jaxnn.types import Array, Initializer, Key


def fill_gates(
    where: str,
    initializer: Initializer | None,
    key: Key,
    shape: tuple[int, ...],
    dtype: jnp.dtype,
    gates_first: bool = False,
) -> Array | None:
    """A parameter `(..., gates, hidden)`, or `(gates, ..., hidden)`; `where` says whose it is.

    Gate by gate, unless the initialiser knows of gates: then it is given the whole shape. Without
    an initialiser there is no parameter: None.
    """
    if initializer is None:
        return None
    if initializer is uniform_hidden:  # whose bound is the same with gates and without
        return fill_whole(where, initializer, key, shape, dtype)
    if gates_first:
        shape = (*shape[1:-1], shape[0], shape[-1])
    if not isinstance(initializer, GateInitializer):
        filled = gate_by_gate(where, (initializer,), key, shape, dtype)
    elif is_per_gate(initializer):
        filled = gate_by_gate(where, initializer.arguments, key, shape, dtype)
    else:
        filled = fill_whole(where, initializer, key, shape, dtype)
    return jnp.moveaxis(filled, -2, 0) if gates_first else filled


def check_bias(
    name: str, bias: bool, bias_init: Initializer | None, default: Initializer
) -> Initializer | None:
    """The initialiser of the bias, or None for no bias."""
    check_bool(name, "bias", bias)
    return check_initializer(name, "bias", bias, bias_init, default)


def check_peephole(
    name: str, peephole: bool, peephole_init: Initializer | None
) -> Initializer | None:
    """The initialiser of the peepholes, or None for none."""
    check_bool(name, "peephole", peephole)
    return check_initializer(name, "peephole", peephole, peephole_init, uniform_hidden)


def check_kernels(name: str, **initializers: Initializer | None) -> None:
    """Raise TypeError unless the initialisers of kernels can be called."""
    for argument, initializer in initializers.items():
        check_callable(name, argument, initializer, "an initialiser")
