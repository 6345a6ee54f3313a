"""The real-gated linear recurrent unit of Griffin."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.parameters import check_bias, check_kernels, fill_gates
from jaxnn.cells.products import per_unit, plus_bias, project_gates
from jaxnn.functions.fill import fill
from jaxnn.internal.checks import state_dtype
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_dtypes, check_size
from jaxnn.layers.dense import lecun
from jaxnn.recurrence.cell import cell_of
from jaxnn.recurrence.linear_split import LinearSplit, hidden
from jaxnn.types import Array, Cell, Initializer, Key, Shape, exportable

GATES = ("r", "i")
POWER = 8.0
"""c."""


@exportable
class RGLRUParams(NamedTuple):
    """W `(blocks, size / blocks, 2, size / blocks)`, b `(2, size)` or None, and Λ `(size,)`."""

    input_kernel: Array
    bias: Array | None
    decay: Array


@exportable
class RGLRUState(NamedTuple):
    """h `(*batch, size)`."""

    hidden: Array


def slow_decay(key: Key, shape: Shape, dtype: DTypeLike = jnp.float32) -> Array:
    """Λ for a decay, with both gates open, that is uniform in [0.9, 0.999]."""
    kept = jax.random.uniform(key, shape, dtype, 0.9, 0.999)
    return jnp.log(jnp.expm1(-jnp.log(kept) / POWER))


@factory
def rg_lru(
    size: int,
    blocks: int = 1,
    bias: bool = True,
    kernel_init: Initializer = lecun,
    bias_init: Initializer | None = None,
    decay_init: Initializer = slow_decay,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[RGLRUParams, RGLRUState]:
    """The real-gated linear recurrent unit: x `(*batch, size)` to y = h' `(*batch, size)`.

        r, i = σ(x W + b)
        log a = −c softplus(Λ)∘r,   c = 8
        h' = a∘h + √(1 − a²)∘(i∘x)

    Each unit forgets by a rate of its own, which r only slows down; i lets the input in. The root
    keeps the scale of h at that of x. At a = 1, where its derivative has no bound, h' does not see
    x, and the gradient there is zero, which is its limit.

    Args:
      size: features of x and of h.
      blocks: W is block-diagonal, of so many blocks; they divide the size.
      bias: whether there is a b.
      kernel_init, bias_init: of W (LeCun's), block by block and gate by gate, and of b (zeros).
      decay_init: of Λ; by default a is uniform in [0.9, 0.999] where r = 1.
      dtype, param_dtype: of the arithmetic and of the parameters; the gates, a and the state are
        float32 under 16-bit arithmetic.

    Raises:
      ValueError, TypeError: for sizes that are not positive integers, blocks that do not divide the
        size, a `bias` that is not boolean, what is no initialiser, and dtypes that are not
        floating.

    Source: De et al. 2024 (arXiv 2402.19427), section 2.4, equations 1 to 4, and appendix A, whose
    Λ this is; in section 2.4 it has the other sign. The authors' code (recurrentgemma) starts from
    another spread: there e^(−softplus(Λ)), and not its power c, is between 0.9 and 0.999.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.rg_lru(4, blocks=2)
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 2, 4)))
    >>> ys.shape, state.hidden.shape
    ((5, 2, 4), (2, 4))
    """
    size, blocks = check_size("rg_lru", "size", size), check_size("rg_lru", "blocks", blocks)
    if size % blocks:
        raise ValueError(f"rg_lru: blocks must divide size={size}, got {blocks}")
    check_kernels("rg_lru", kernel_init=kernel_init, decay_init=decay_init)
    dtype, param_dtype = check_dtypes("rg_lru", dtype, param_dtype)
    bias_init = check_bias("rg_lru", bias, bias_init, jax.nn.initializers.zeros)
    name, filling = this_call(), (kernel_init, bias_init, decay_init)
    split = LinearSplit(
        name,
        _coefficients,
        functools.partial(_zeros, state_dtype(dtype)),
        hidden,
        dtype=dtype,
        input_size=_size_of,
        any_rank=True,
        closed=True,
        project=_project,
    )
    return cell_of(split, functools.partial(_init, name, (size, blocks), filling, param_dtype))


def _project(params: RGLRUParams, x: Array) -> tuple[Array, Array, Array]:
    """x W of both gates, and x."""
    blocks, rows, gates, _ = params.input_kernel.shape
    if blocks == 1:
        r, i = project_gates(x, params.input_kernel[0])
        return r, i, x
    apart = x.reshape(*x.shape[:-1], blocks, rows)
    r, i = (
        jnp.einsum("...kr,kru->...ku", apart, params.input_kernel[:, :, gate]).reshape(x.shape)
        for gate in range(gates)
    )
    return r, i, x


def _coefficients(
    params: RGLRUParams, projected: tuple[Array, Array, Array]
) -> tuple[RGLRUState, RGLRUState]:
    *gates, x = projected
    r, i = map(jax.nn.sigmoid, plus_bias(gates, params.bias))
    log_a = -POWER * per_unit(jax.nn.softplus(params.decay), r) * r
    return RGLRUState(jnp.exp(log_a)), RGLRUState(_root_of_rest(log_a) * (i * x))


def _root_of_rest(log_a: Array) -> Array:
    """√(1 − a²), where 1 − a² loses no digits, and its derivatives of all orders stay finite."""
    rest = -jnp.expm1(2 * log_a)
    least = math.sqrt(float(jnp.finfo(rest.dtype).tiny))
    there, one, zero = rest > least, jnp.ones((), rest.dtype), jnp.zeros((), rest.dtype)
    return jnp.where(there, jnp.sqrt(jnp.where(there, rest, one)), zero)


def _init(
    name: str,
    sizes: tuple[int, int],
    filling: tuple[Initializer, Initializer | None, Initializer],
    dtype: jnp.dtype,
    key: Key,
) -> RGLRUParams:
    size, blocks = sizes
    kernel_init, bias_init, decay_init = filling
    kernel_key, bias_key, decay_key = jax.random.split(key, 3)
    shape = size // blocks, len(GATES), size // blocks
    kernels: list[Any] = [
        fill_gates(f"{name}: kernel_init", kernel_init, k, shape, dtype)
        for k in jax.random.split(kernel_key, blocks)
    ]
    return RGLRUParams(
        jnp.stack(kernels),
        fill_gates(f"{name}: bias_init", bias_init, bias_key, (len(GATES), size), dtype),
        fill(f"{name}: decay_init", decay_init, decay_key, (size,), dtype),
    )


def _zeros(dtype: jnp.dtype, params: RGLRUParams, batch_shape: tuple[int, ...] = ()) -> RGLRUState:
    return RGLRUState(jnp.zeros((*batch_shape, *params.decay.shape), dtype))


def _size_of(params: RGLRUParams) -> int:
    return params.decay.shape[0]
