"""What the equations of a gated cell are written with: products, a bias, a weight for each unit."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.internal.arrays import cut
from jaxnn.internal.checks import state_dtype
from jaxnn.internal.mesh import on_mesh, whole_rows
from jaxnn.internal.standardized import normed
from jaxnn.internal.symbolic_zeros import is_zero
from jaxnn.types import Array, Params, State

Terms = tuple[Array, ...]
"""One array `(..., hidden)` for each gate."""


def project_input(params: Params, x: Array) -> Terms:
    """x U, one array `(..., hidden)` for each gate."""
    return project_gates(x, params.input_kernel)


def mix_hidden(params: Params, state: State) -> Terms:
    """h W, one array `(..., hidden)` for each gate."""
    return times_gates(state.hidden, params.recurrent_kernel)


@functools.cache
def mix_first(count: int) -> Callable[[Params, State], Terms]:
    """`mix_hidden` for the first gates alone: the others need these before their own product."""
    return functools.partial(_mix_first, count)


def _mix_first(count: int, params: Params, state: State) -> Terms:
    return times_gates(state.hidden, params.recurrent_kernel[:, :count])


def mix_blocks(params: Params, state: State) -> Terms:
    """h W for each gate, where W has blocks on its diagonal, `(hidden / blocks, gates, hidden)`."""
    h, kernel = state.hidden, params.recurrent_kernel
    rows, gates, hidden = kernel.shape
    if rows == hidden:
        return times_gates(h, kernel)
    blocks = hidden // rows
    apart = whole_rows(h).reshape(*h.shape[:-1], blocks, rows)
    mixed = jnp.einsum("...kr,rgku->...gku", apart, kernel.reshape(rows, gates, blocks, rows))
    flat = mixed.reshape(*h.shape[:-1], gates, hidden)
    return tuple(jnp.squeeze(a, -2) for a in jnp.split(flat, gates, axis=-2))


def times_gates(x: Array, kernel: Array) -> Terms:
    """x · kernel, one array a gate: `(..., rows)` by `(rows, gates, hidden)`.

    One matmul of two matrices, then a split: on one device the fastest of the ways to say it, and
    in its transpose too. Where x may lie on many devices no axes are merged, and the rows of x are
    gathered, so that a kernel which is sharded along its hidden axis stays where it is.
    """
    rows, gates, hidden = kernel.shape
    if on_mesh(x) or on_mesh(kernel):
        whole = jnp.tensordot(whole_rows(x), kernel, 1)
        return tuple(jnp.squeeze(a, -2) for a in jnp.split(whole, gates, axis=-2))
    flat = jnp.matmul(x.reshape(-1, rows), kernel.reshape(rows, gates * hidden))
    return cut(flat.reshape(*x.shape[:-1], gates * hidden), gates)


def product(x: Array, kernel: Array) -> Array:
    """x · kernel: `(..., rows)` by `(rows, columns)`, as one matmul of two matrices, for the reason
    that `times_gates` gives."""
    if on_mesh(x) or on_mesh(kernel):
        return jnp.matmul(whole_rows(x), kernel)
    flat = jnp.matmul(x.reshape(-1, kernel.shape[0]), kernel)
    return flat.reshape(*x.shape[:-1], kernel.shape[1])


def project_gates(x: Array, kernel: Array) -> Terms:
    """x · kernel for a whole sequence, one array a gate, as `times_gates` gives them.

    By one matmul a gate, whose results lie apart at once; a split would copy them. Its tangent, and
    so its transpose, is that of the one matmul. Where x has fewer rows than the kernel, as in one
    step of a stream, cutting the kernel would cost more than cutting the result.
    """
    few = isinstance(x.size, int) and x.size < kernel.shape[0] ** 2
    return (times_gates if few or on_mesh(x) or on_mesh(kernel) else _gate_by_gate)(x, kernel)


@jax.custom_jvp
def _gate_by_gate(x: Array, kernel: Array) -> Terms:
    rows, gates, hidden = kernel.shape
    flat = x.reshape(-1, rows)
    apart = [jnp.matmul(flat, kernel[:, gate]) for gate in range(gates)]
    return tuple(y.reshape(*x.shape[:-1], hidden) for y in apart)


@functools.partial(_gate_by_gate.defjvp, symbolic_zeros=True)
def _gate_by_gate_jvp(
    primals: tuple[Array, Array], tangents: tuple[Any, Any]
) -> tuple[Terms, Terms]:
    x, kernel = primals
    x_dot, kernel_dot = tangents
    terms = [] if is_zero(x_dot) else [times_gates(x_dot, kernel)]
    if not is_zero(kernel_dot):
        terms.append(times_gates(x, kernel_dot))
    tangent = tuple(functools.reduce(jnp.add, each) for each in zip(*terms, strict=True))
    return _gate_by_gate(x, kernel), tangent


def project_both(left: Params, right: Params, x: Array) -> tuple[Terms, Terms]:
    """x U for two cells, their gates side by side in one matmul."""
    kernel = jnp.concatenate([left.input_kernel, right.input_kernel], axis=1)
    both, gates = times_gates(x, kernel), left.input_kernel.shape[1]
    return both[:gates], both[gates:]


def plus_bias(gates: Iterable[Array], bias: Array | None) -> Terms:
    """Each gate's sum, + b. It is added in the loop, where it costs no pass over all steps."""
    if bias is None:
        return tuple(gates)
    return tuple(gate + per_unit(b, gate) for gate, b in zip(gates, bias, strict=True))


def project_normed(params: Params, x: Array) -> Terms:
    """γ_x∘N(x U) + b, one array a gate; in float32 where the arithmetic has 16 bits."""
    terms = times_gates(x, params.input_kernel)
    wide = state_dtype(terms[0].dtype)
    sums = normed(params.norm.input_gain.astype(wide), *(term.astype(wide) for term in terms))
    return plus_bias(sums, None if params.bias is None else params.bias.astype(wide))


def per_unit(vector: Array, like: Array) -> Array:
    """A vector of one number a unit, with the rank of `like`."""
    return jnp.expand_dims(vector, tuple(range(like.ndim - vector.ndim)))
