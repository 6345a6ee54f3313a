"""What the gated cells have in common: parameters with a gate axis, and products with them."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from jaxnn.functions.checks import check_batch_shape, check_bool, check_params
from jaxnn.functions.cut import cut
from jaxnn.functions.mesh import on_mesh, whole_rows
from jaxnn.types import Array, Initializer, Key


def init_gates(
    key: Key,
    input_size: int,
    hidden_size: int,
    gates: int,
    initializers: tuple[Initializer, Initializer, Initializer | None],
    dtype: Any,
) -> tuple[Array, Array, Array | None]:
    """The input kernel, the recurrent kernel and the bias; no initialiser, no bias."""
    kernel_init, recurrent_init, bias_init = initializers
    kernel_key, recurrent_key, bias_key = jax.random.split(key, 3)
    bias = None if bias_init is None else bias_init(bias_key, (gates, hidden_size), dtype)
    return (
        kernel_init(kernel_key, (input_size, gates, hidden_size), dtype),
        recurrent_init(recurrent_key, (hidden_size, gates, hidden_size), dtype),
        bias,
    )


def check_bias(name: str, bias: Any, bias_init: Initializer | None, default: Initializer) -> Any:
    """The initialiser of the bias, or None for no bias."""
    check_bool(name, "bias", bias)
    if not bias and bias_init is not None:
        raise ValueError(f"{name}: bias_init is given, but bias=False")
    return (bias_init or default) if bias else None


def times_gates(x: Array, kernel: Array, bias: Array | None = None) -> tuple[Array, ...]:
    """x · kernel + bias, one array a gate: `(..., rows)` by `(rows, gates, hidden)`.

    One matmul of two matrices, then a split: on one device the fastest of the ways to say it, and
    in its transpose too. Where x may lie on many devices no axes are merged, and the rows of x are
    gathered, so that a kernel which is sharded along its hidden axis stays where it is.
    """
    rows, gates, hidden = kernel.shape
    if on_mesh(x) or on_mesh(kernel):
        apart = jnp.tensordot(whole_rows(x), kernel, 1)
        if bias is not None:
            apart = apart + per_unit(bias, apart)
        return tuple(jnp.squeeze(a, -2) for a in jnp.split(apart, gates, axis=-2))
    flat = jnp.matmul(x.reshape(-1, rows), kernel.reshape(rows, gates * hidden))
    if bias is not None:
        flat = flat + per_unit(bias.reshape(gates * hidden), flat)
    flat = flat.reshape(*x.shape[:-1], gates * hidden)
    return cut(flat, gates)


def project_gates(x: Array, kernel: Array, bias: Array | None) -> tuple[Array, ...]:
    """x · kernel + bias for a whole sequence, one array a gate, as `times_gates` gives them.

    By one matmul a gate, whose results lie apart at once; a split would copy them. Its tangent, and
    so its transpose, is that of the one matmul.
    """
    if on_mesh(x) or on_mesh(kernel):
        return times_gates(x, kernel, bias)
    return _gate_by_gate(x, kernel, bias)


@jax.custom_jvp
def _gate_by_gate(x: Array, kernel: Array, bias: Array | None) -> tuple[Array, ...]:
    flat = x.reshape(-1, x.shape[-1])
    gates = [jnp.matmul(flat, kernel[:, n]) for n in range(kernel.shape[1])]
    if bias is not None:
        gates = [gate + per_unit(b, gate) for gate, b in zip(gates, bias, strict=True)]
    return tuple(gate.reshape(*x.shape[:-1], kernel.shape[-1]) for gate in gates)


@functools.partial(_gate_by_gate.defjvp, symbolic_zeros=True)
def _gate_by_gate_jvp(primals: Any, tangents: Any) -> Any:
    x, kernel, bias = primals
    x_dot, kernel_dot, bias_dot = (None if _is_zero(dot) else dot for dot in tangents)
    gates = _gate_by_gate(x, kernel, bias)
    terms = []
    if x_dot is not None:
        terms.append(times_gates(x_dot, kernel))
    if kernel_dot is not None:
        terms.append(times_gates(x, kernel_dot))
    if bias_dot is not None:
        pairs = zip(bias_dot, gates, strict=True)
        terms.append(tuple(jnp.broadcast_to(per_unit(b, gate), gate.shape) for b, gate in pairs))
    return gates, tuple(functools.reduce(jnp.add, each) for each in zip(*terms, strict=True))


def _is_zero(tangent: Any) -> bool:
    return isinstance(tangent, SymbolicZero)


def project_both(left: Any, right: Any, x: Array) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """x U + b for two cells, their gates side by side in one matmul."""
    kernel = jnp.concatenate([left.input_kernel, right.input_kernel], axis=1)
    bias = None if left.bias is None else jnp.concatenate([left.bias, right.bias])
    both, gates = times_gates(x, kernel, bias), left.input_kernel.shape[1]
    return both[:gates], both[gates:]


def per_unit(vector: Array, like: Array) -> Array:
    """A vector of one number a unit, with the rank of `like`."""
    return jnp.expand_dims(vector, tuple(range(like.ndim - vector.ndim)))


def input_size_of(params_type: type, name: str, params: Any) -> int:
    """The rows of the input kernel, once params are of the cell's own type."""
    check_params(name, params, params_type)
    return params.input_kernel.shape[0]


def zeros(params: Any, batch_shape: tuple[int, ...], dtype: Any) -> Array:
    """Zeros for one array of a state, `(*batch, hidden)`."""
    if not hasattr(params, "recurrent_kernel"):
        raise TypeError(
            f"initial_state: params must be those of the cell, as init gives them; "
            f"got {type(params).__name__}"
        )
    check_batch_shape(batch_shape)
    return jnp.zeros((*batch_shape, params.recurrent_kernel.shape[0]), dtype)
