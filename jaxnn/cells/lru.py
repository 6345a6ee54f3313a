"""The linear recurrent unit: complex numbers that turn and shrink, and nothing that is not linear."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.diagonal import check_range, diagonal_cell, polar, real_product, skipped
from jaxnn.cells.products import Terms, per_unit
from jaxnn.functions.pair import Pair
from jaxnn.internal.checks import state_dtype
from jaxnn.internal.factory import factory
from jaxnn.internal.options import check_dtypes, check_number, check_size
from jaxnn.types import Array, Cell, Key, exportable


@exportable
class LRUParams(NamedTuple):
    """log ν, log θ and log γ `(hidden,)`; B `(input, 2, hidden)` and C `(hidden, 2, input)`, each a
    real and an imaginary part; D `(input,)`."""

    log_decay: Array
    log_phase: Array
    log_gain: Array
    input_kernel: Array
    output_kernel: Array
    skip: Array


@exportable
class LRUState(NamedTuple):
    """h, complex: a Pair of `(*batch, hidden)`."""

    hidden: Pair


@factory
def lru(
    input_size: int,
    hidden_size: int,
    r_min: float = 0.0,
    r_max: float = 1.0,
    max_phase: float = 2 * math.pi,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[LRUParams, LRUState]:
    """The linear recurrent unit: x `(*batch, input)` to y of the same shape.

        λ = exp(−ν + iθ),  ν = exp(log ν),  θ = exp(log θ)
        h' = λ∘h + γ∘(x B)
        y = Re(h' C) + D∘x

    λ, h, B and C are complex, in pairs of real numbers. |λ| < 1 whatever the parameters are. At
    first λ is uniform on the ring r_min ≤ |λ| ≤ r_max with phases in [0, max_phase], γ = √(1 − |λ|²),
    so that h does not grow with the length of the memory, and the entries of B, C and D are normal
    with the variances 1/(2·input), 1/hidden and 1. For long memories, r_min = 0.9 and r_max = 0.999,
    and a max_phase of π/10 or less. What is not linear stands between two of them: a layer.

    Args:
      input_size: features of x and of y.
      hidden_size: how many complex numbers the state has.
      r_min, r_max: numbers with 0 ≤ r_min < r_max ≤ 1.
      max_phase: above 0, in radians, at most 2π.
      dtype: of x, y and the products; λ, γ and the state are in float32 where it has 16 bits.
      param_dtype: of the parameters; by default as the state's.

    Raises:
      ValueError, TypeError: for sizes that are not positive integers, numbers outside of their range
        and dtypes that are not floating.

    Source: Orvieto et al. 2023 (arXiv 2303.06349), section 3 and appendix A, whose code these
    distributions are from.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.lru(3, 8, r_min=0.9, r_max=0.999)
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 2, 3)))
    >>> ys.shape, state.hidden.imag.shape
    ((5, 2, 3), (2, 8))
    """
    sizes = check_size("lru", "input_size", input_size), check_size("lru", "hidden_size", hidden_size)
    ring = check_range("lru", "r_min", "r_max", (r_min, r_max))
    if ring[0] < 0 or ring[1] > 1:
        raise ValueError(f"lru: r_min and r_max must be in [0, 1], got {r_min} and {r_max}")
    max_phase = check_number("lru", "max_phase", max_phase, above=0)
    if max_phase > 2 * math.pi:
        raise ValueError(f"lru: max_phase must be at most 2π, got {max_phase}")
    dtype, param_dtype = check_dtypes("lru", dtype, param_dtype)
    init = functools.partial(_init, sizes, (*ring, max_phase), param_dtype)
    return diagonal_cell(init, LRUState, _coefficients, _output, dtype)


def _coefficients(params: LRUParams, projected: Terms) -> tuple[LRUState, LRUState]:
    gain = per_unit(jnp.exp(params.log_gain), projected[0])
    turn = polar(jnp.exp(-jnp.exp(params.log_decay)), jnp.exp(params.log_phase))
    return LRUState(turn), LRUState(Pair(*(gain * part for part in projected)))


def _output(params: LRUParams, state: LRUState, x: Array) -> Array:
    return real_product(state.hidden, params.output_kernel, x) + skipped(x, params.skip)


def _init(
    sizes: tuple[int, int],
    ring: tuple[float, float, float],
    dtype: jnp.dtype,
    name: str,
    key: Key,
) -> LRUParams:
    del name
    (rows, units), (r_min, r_max, max_phase) = sizes, ring
    exact, keys = state_dtype(dtype), jax.random.split(key, 5)
    tiny = float(jnp.finfo(exact).eps)  # neither |λ| nor its phase may be 0, nor |λ| be 1
    square, share = (jax.random.uniform(k, (units,), exact, tiny, 1 - tiny) for k in keys[:2])
    decay = -0.5 * jnp.log(square * (r_max**2 - r_min**2) + r_min**2)
    gain = jnp.sqrt(-jnp.expm1(-2 * decay))
    kernel = jax.random.normal(keys[2], (rows, 2, units), exact) / math.sqrt(2 * rows)
    output = jax.random.normal(keys[3], (units, 2, rows), exact) / math.sqrt(units)
    skip = jax.random.normal(keys[4], (rows,), exact)
    logs = (jnp.log(each) for each in (decay, max_phase * share, gain))
    return LRUParams(*(leaf.astype(dtype) for leaf in (*logs, kernel, output, skip)))
