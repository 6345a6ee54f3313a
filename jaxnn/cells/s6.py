"""S6, the selective state space: its step, what goes in and what comes out depend on the input."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.causal_conv import uniform_rows
from jaxnn.cells.diagonal import check_range, skipped, spread
from jaxnn.cells.parameters import check_kernels
from jaxnn.cells.products import product
from jaxnn.functions.fill import fill
from jaxnn.internal.checks import state_dtype
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.mesh import on_mesh
from jaxnn.internal.options import check_dtypes, check_size
from jaxnn.recurrence.cell import cell_of
from jaxnn.recurrence.linear_split import LinearSplit
from jaxnn.types import Array, Cell, Initializer, Key, exportable


@exportable
class S6Params(NamedTuple):
    """W₁ `(input, rank)`, W₂ `(rank, input)` and b `(input,)` of the step; U and V
    `(input, hidden)`; log of −A `(input, hidden)`; D `(input,)`."""

    step_down_kernel: Array
    step_up_kernel: Array
    step_bias: Array
    input_kernel: Array
    output_kernel: Array
    log_rates: Array
    skip: Array


@exportable
class S6State(NamedTuple):
    """h `(*batch, input, hidden)`."""

    hidden: Array


@factory
def s6(
    input_size: int,
    hidden_size: int = 16,
    rank: int | None = None,
    step_min: float = 1e-3,
    step_max: float = 0.1,
    kernel_init: Initializer = uniform_rows,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[S6Params, S6State]:
    """The selective state space of Mamba: x `(*batch, input)` to y of the same shape.

        Δ = softplus(x W₁ W₂ + b)
        B = x U,  C = x V
        h'[d, n] = exp(Δ[d] A[d, n]) h[d, n] + Δ[d] B[n] x[d]
        y[d] = Σ_n C[n] h'[d, n] + D[d] x[d]

    Each feature d has a state of `hidden_size` numbers; A = −exp(log_rates) is negative. At first
    A[d, n] = −(n + 1), with n from 0, D = 1, and b such that softplus(b) is log-uniform between
    step_min and step_max. The step of h is exact for A, and Euler's for B, as in the authors' code.

    What goes into the loop and comes out of it is `(time, *batch, input, hidden)`, `hidden_size`
    times as large as x, and a gradient keeps several such arrays. `jaxnn.remat(s6(...))` makes them
    chunk by chunk: at (1024, 4, 64), with 16 numbers a feature, 5 MB in the place of 155, in less
    than half of the time on a CPU.

    Args:
      input_size: features of x and of y.
      hidden_size: numbers of the state a feature.
      rank: of W₁ W₂; by default input_size / 16, rounded up.
      step_min, step_max: positive numbers.
      kernel_init: of W₁, W₂, U and V; by default uniform in ±1/√rows.
      dtype: of x, y and the products; Δ, a, b and the state are in float32 where it has 16 bits.
      param_dtype: of the parameters; by default as the state's.

    Raises:
      ValueError, TypeError: for sizes that are not positive integers, numbers outside of their
        range, an initialiser that is no function and dtypes that are not floating.

    Source: Gu & Dao 2023 (arXiv 2312.00752), algorithm 2 and section 3.6. With what is around it in
    their network: `mamba_block`.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.s6(3, 4)
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 2, 3)))
    >>> ys.shape, state.hidden.shape
    ((5, 2, 3), (2, 3, 4))
    """
    size = check_size("s6", "input_size", input_size)
    units = check_size("s6", "hidden_size", hidden_size)
    rank = -(-size // 16) if rank is None else check_size("s6", "rank", rank)
    steps = check_range("s6", "step_min", "step_max", (step_min, step_max))
    if steps[0] <= 0:
        raise ValueError(f"s6: step_min must be a positive number, got {step_min}")
    check_kernels("s6", kernel_init=kernel_init)
    dtype, param_dtype = check_dtypes("s6", dtype, param_dtype)
    split = LinearSplit(
        this_call(),
        _coefficients,
        functools.partial(_zeros, state_dtype(dtype)),
        _output,
        dtype=dtype,
        input_size=_input_size_of,
        any_rank=True,
        closed=True,
        project=_project,
    )
    sizes = size, units, rank
    return cell_of(
        split, functools.partial(_init, this_call(), sizes, steps, kernel_init, param_dtype)
    )


def _project(params: S6Params, x: Array) -> tuple[Array, Array, Array]:
    step = product(product(x, params.step_down_kernel), params.step_up_kernel)
    return x, step, product(x, params.input_kernel)


def _coefficients(
    params: S6Params, projected: tuple[Array, Array, Array]
) -> tuple[S6State, S6State]:
    x, step, into = projected
    step = jax.nn.softplus(step + spread(params.step_bias, step))
    b = _each(jnp.multiply, (step * x)[..., None], into[..., None, :])
    return S6State(jnp.exp(step[..., None] * spread(-jnp.exp(params.log_rates), b))), S6State(b)


def _output(params: S6Params, state: S6State, x: Array) -> Array:
    out = product(x, params.output_kernel).astype(state.hidden.dtype)
    y = _each(_weighed, state.hidden, out[..., None, :]).astype(x.dtype)
    return y + skipped(x, params.skip)


def _weighed(h: Array, out: Array) -> Array:
    return jnp.sum(h * out, -1)


def _each(function: Callable[[Array, Array], Array], x: Array, y: Array) -> Array:
    """A function of matrices for each step of each sequence.

    With time and batch as one dimension: with a batch of one, XLA's CPU takes ten times as long for
    the sums of its transpose. On a mesh axes stay apart.
    """
    if on_mesh(x) or on_mesh(y):
        return function(x, y)
    flat = function(*(each.reshape(-1, *each.shape[-2:]) for each in (x, y)))
    return flat.reshape(*x.shape[:-2], *flat.shape[1:])


def _init(
    name: str,
    sizes: tuple[int, int, int],
    steps: tuple[float, float],
    kernel_init: Initializer,
    dtype: jnp.dtype,
    key: Key,
) -> S6Params:
    size, units, rank = sizes
    exact, keys = state_dtype(dtype), jax.random.split(key, 5)
    shapes = (size, rank), (rank, size), (size, units), (size, units)
    down, up, into, out = (
        fill(f"{name}: kernel_init", kernel_init, k, shape, dtype)
        for k, shape in zip(keys[:4], shapes, strict=True)
    )
    step = jnp.exp(jax.random.uniform(keys[4], (size,), exact, *map(math.log, steps)))
    bias = step + jnp.log(-jnp.expm1(-step))  # softplus of this is the step
    rates = jnp.broadcast_to(jnp.arange(1, units + 1, dtype=exact), (size, units))
    bias, rates = bias.astype(dtype), jnp.log(rates).astype(dtype)
    return S6Params(down, up, bias, into, out, rates, jnp.ones((size,), dtype))


def _zeros(dtype: jnp.dtype, params: S6Params, batch_shape: tuple[int, ...] = ()) -> S6State:
    return S6State(jnp.zeros((*batch_shape, *params.log_rates.shape), dtype))


def _input_size_of(params: S6Params) -> int:
    return params.skip.shape[0]
