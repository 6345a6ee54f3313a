"""What the gated cells have in common: parameters with a gate axis, and products with them."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.functions.fill import GateInitializer, fill_whole, gate_by_gate, is_per_gate
from jaxnn.functions.initializers import uniform_hidden
from jaxnn.internal.arrays import cut
from jaxnn.internal.checks import (
    check_array,
    check_features,
    check_fits,
    check_state,
    is_array,
    outline_text,
)
from jaxnn.internal.mesh import on_mesh, whole_rows
from jaxnn.internal.options import check_bool, check_callable, check_initializer
from jaxnn.internal.parameters import check_params
from jaxnn.internal.symbolic_zeros import is_zero
from jaxnn.types import Array, Cell, Initializer, Key, State


def init_gates(
    name: str,
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
    kernel, recurrent = (input_size, gates, hidden_size), (hidden_size, gates, hidden_size)
    bias = None
    if bias_init is not None:
        bias = fill_gates(f"{name}: bias_init", bias_init, bias_key, (gates, hidden_size), dtype)
    return (
        fill_gates(f"{name}: kernel_init", kernel_init, kernel_key, kernel, dtype),
        fill_gates(f"{name}: recurrent_init", recurrent_init, recurrent_key, recurrent, dtype),
        bias,
    )


def fill_gates(
    where: str,
    initializer: Initializer,
    key: Key,
    shape: tuple[int, ...],
    dtype: Any,
    gates_first: bool = False,
) -> Array:
    """A parameter `(..., gates, hidden)`, or `(gates, ..., hidden)`; `where` says whose it is.

    Gate by gate, unless the initialiser knows of gates: then it is given the whole shape.
    """
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


def check_bias(name: str, bias: Any, bias_init: Initializer | None, default: Initializer) -> Any:
    """The initialiser of the bias, or None for no bias."""
    check_bool(name, "bias", bias)
    return check_initializer(name, "bias", bias, bias_init, default)


def check_peephole(name: str, peephole: Any, peephole_init: Initializer | None) -> Any:
    """The initialiser of the peepholes, or None for none."""
    check_bool(name, "peephole", peephole)
    return check_initializer(name, "peephole", peephole, peephole_init, uniform_hidden)


def check_kernels(name: str, **initializers: Any) -> None:
    """Raise TypeError unless the initialisers of kernels can be called."""
    for argument, initializer in initializers.items():
        check_callable(name, argument, initializer, "an initialiser")


def times_gates(x: Array, kernel: Array) -> tuple[Array, ...]:
    """x · kernel, one array a gate: `(..., rows)` by `(rows, gates, hidden)`.

    One matmul of two matrices, then a split: on one device the fastest of the ways to say it, and
    in its transpose too. Where x may lie on many devices no axes are merged, and the rows of x are
    gathered, so that a kernel which is sharded along its hidden axis stays where it is.
    """
    rows, gates, hidden = kernel.shape
    if on_mesh(x) or on_mesh(kernel):
        apart = jnp.tensordot(whole_rows(x), kernel, 1)
        return tuple(jnp.squeeze(a, -2) for a in jnp.split(apart, gates, axis=-2))
    flat = jnp.matmul(x.reshape(-1, rows), kernel.reshape(rows, gates * hidden))
    return cut(flat.reshape(*x.shape[:-1], gates * hidden), gates)


def project_gates(x: Array, kernel: Array) -> tuple[Array, ...]:
    """x · kernel for a whole sequence, one array a gate, as `times_gates` gives them.

    By one matmul a gate, whose results lie apart at once; a split would copy them. Its tangent, and
    so its transpose, is that of the one matmul.
    """
    return (times_gates if on_mesh(x) or on_mesh(kernel) else _gate_by_gate)(x, kernel)


@jax.custom_jvp
def _gate_by_gate(x: Array, kernel: Array) -> tuple[Array, ...]:
    rows, gates, hidden = kernel.shape
    flat = x.reshape(-1, rows)
    apart = [jnp.matmul(flat, kernel[:, gate]) for gate in range(gates)]
    return tuple(y.reshape(*x.shape[:-1], hidden) for y in apart)


@functools.partial(_gate_by_gate.defjvp, symbolic_zeros=True)
def _gate_by_gate_jvp(primals: Any, tangents: Any) -> Any:
    x, kernel = primals
    x_dot, kernel_dot = tangents
    terms = [] if is_zero(x_dot) else [times_gates(x_dot, kernel)]
    if not is_zero(kernel_dot):
        terms.append(times_gates(x, kernel_dot))
    tangent = tuple(functools.reduce(jnp.add, each) for each in zip(*terms, strict=True))
    return _gate_by_gate(x, kernel), tangent


def project_both(left: Any, right: Any, x: Array) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """x U for two cells, their gates side by side in one matmul."""
    kernel = jnp.concatenate([left.input_kernel, right.input_kernel], axis=1)
    both, gates = times_gates(x, kernel), left.input_kernel.shape[1]
    return both[:gates], both[gates:]


def plus_bias(gates: Iterable[Array], bias: Array | None) -> tuple[Array, ...]:
    """Each gate's sum, + b. It is added in the loop, where it costs no pass over all steps."""
    if bias is None:
        return tuple(gates)
    return tuple(gate + per_unit(b, gate) for gate, b in zip(gates, bias, strict=True))


def per_unit(vector: Array, like: Array) -> Array:
    """A vector of one number a unit, with the rank of `like`."""
    return jnp.expand_dims(vector, tuple(range(like.ndim - vector.ndim)))


def input_size_of(params: Any) -> int:
    """The rows of the input kernel."""
    return params.input_kernel.shape[0]


def zeros(params: Any, batch_shape: tuple[int, ...], dtype: Any) -> Array:
    """Zeros for one array of a state, `(*batch, hidden)`."""
    return jnp.zeros((*batch_shape, params.recurrent_kernel.shape[0]), dtype)


def check_gates(
    name: str, kind: type, make: Callable[..., Cell], params: Any, state: State, x: Any
) -> None:
    """Raise unless params, state and x are those of one step of the cell that `make` makes.

    Args:
      name: the function that was called, for errors.
      kind: the type of the parameters.
      make: `make(input_size, hidden_size, bias=, dtype=, param_dtype=)` gives the cell.
      params, state, x: what was given.
    """
    kernel: Any = getattr(params, "input_kernel", None)
    if type(params) is not kind or not is_array(kernel):
        raise TypeError(
            f"{name}: params must be {kind.__name__}, as init gives them; "
            f"got {outline_text(params)}"
        )
    if kernel.ndim != 3 or 0 in kernel.shape:
        raise ValueError(
            f"{name}: params.input_kernel must be (input, gates, hidden), got the shape "
            f"{tuple(kernel.shape)}"
        )
    check_array(name, "x", x)
    check_fits(name, "x", x)
    for argument, dtype in (("x", x.dtype), ("params.input_kernel", kernel.dtype)):
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(f"{name}: {argument} must be floating, got {dtype}")
    dtypes = map(jax.dtypes.canonicalize_dtype, (x.dtype, kernel.dtype))
    rows, _, hidden = kernel.shape
    cell = make(rows, hidden, params.bias is not None, *dtypes)
    check_params(name, cell.init, params)
    check_features(name, "x", x, rows)
    first = functools.partial(cell.initial_state, batch_shape=tuple(x.shape[:-1]))
    check_state(name, "state", state, jax.eval_shape(first, params))
