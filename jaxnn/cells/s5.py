"""S5: a linear differential equation with HiPPO's eigenvalues, in steps of a learned size."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jaxnn.cells.diagonal import check_range, diagonal_cell, polar, real_product, skipped
from jaxnn.cells.products import Terms
from jaxnn.functions.pair import Pair, times
from jaxnn.internal.checks import state_dtype
from jaxnn.internal.factory import factory
from jaxnn.internal.options import check_dtypes, check_size
from jaxnn.layers.dense import lecun
from jaxnn.types import Array, Cell, Key, exportable


@exportable
class S5Params(NamedTuple):
    """Λ `(2, pairs)` and log Δ `(pairs,)`; B `(input, 2, pairs)` and C `(pairs, 2, input)`; D
    `(input,)`. A 2 is a real and an imaginary part; there are hidden / 2 pairs."""

    eigenvalues: Array
    log_step: Array
    input_kernel: Array
    output_kernel: Array
    skip: Array


@exportable
class S5State(NamedTuple):
    """h, complex: a Pair of `(*batch, hidden / 2)`."""

    hidden: Pair


@factory
def s5(
    input_size: int,
    hidden_size: int,
    blocks: int = 1,
    step_min: float = 1e-3,
    step_max: float = 0.1,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[S5Params, S5State]:
    """The simplified state space layer's recurrence: x `(*batch, input)` to y of the same shape.

        λ = exp(Λ∘Δ),  Δ = exp(log Δ)
        h' = λ∘h + (λ − 1)/Λ∘(x B)
        y = 2 Re(h' C) + D∘x

    This is dh/dt = Λ∘h + x B where x holds for a time Δ, each unit's own. Λ, h, B and C are complex,
    in pairs of real numbers; of two conjugate ones only one is there, hence the 2.

    At first Λ has the eigenvalues of HiPPO-N, −½ ± iω, of as many blocks on the diagonal as are asked
    for; with their eigenvectors V, B is V⁻¹B₀ and C is C₀V, where the entries of B₀ and of both parts
    of C₀ are normal with the variance 1/hidden. log Δ is uniform between log step_min and
    log step_max, and D normal. The real part of Λ is not bound to stay negative.

    Args:
      input_size: features of x and of y.
      hidden_size: how many real numbers the state has; even, and so is each block's part.
      blocks: of how many blocks the HiPPO matrix is.
      step_min, step_max: positive numbers.
      dtype: of x, y and the products; λ and the state are in float32 where it has 16 bits.
      param_dtype: of the parameters; by default as the state's.

    Raises:
      ValueError, TypeError: for sizes that are not positive integers, a hidden_size that does not
        divide by 2·blocks, numbers outside of their range and dtypes that are not floating.

    Source: Smith et al. 2023 (arXiv 2208.04933), section 3 and appendix B; HiPPO-N from Gupta et al.
    2022 (arXiv 2203.14343). The layer around it, with its norm, activation and gate, is a matter of
    `stack` and `residual`.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.s5(3, 8)
    >>> params = cell.init(jax.random.key(0))
    >>> state, ys = cell.unroll(params, jnp.ones((5, 2, 3)))
    >>> ys.shape, state.hidden.real.shape, params.eigenvalues[0].tolist()
    ((5, 2, 3), (2, 4), [-0.5, -0.5, -0.5, -0.5])
    """
    sizes = check_size("s5", "input_size", input_size), check_size("s5", "hidden_size", hidden_size)
    blocks = check_size("s5", "blocks", blocks)
    if sizes[1] % (2 * blocks):
        raise ValueError(
            f"s5: hidden_size must divide by 2·blocks, {2 * blocks}: the eigenvalues of each block "
            f"come in pairs; got {sizes[1]}"
        )
    steps = check_range("s5", "step_min", "step_max", (step_min, step_max))
    if steps[0] <= 0:
        raise ValueError(f"s5: step_min must be a positive number, got {step_min}")
    dtype, param_dtype = check_dtypes("s5", dtype, param_dtype)
    init = functools.partial(_init, sizes, blocks, steps, param_dtype)
    return diagonal_cell(init, S5State, _coefficients, _output, dtype)


def _coefficients(params: S5Params, projected: Terms) -> tuple[S5State, S5State]:
    step, rate = jnp.exp(params.log_step), Pair(*params.eigenvalues)
    shrink, angle = rate.real * step, rate.imag * step
    turn = polar(jnp.exp(shrink), angle)
    # λ − 1 without the difference of numbers that are nearly equal.
    less = Pair(jnp.expm1(shrink) * jnp.cos(angle) - 2 * jnp.sin(angle / 2) ** 2, turn.imag)
    square = rate.real**2 + rate.imag**2
    gain = times(less, Pair(rate.real / square, -rate.imag / square))
    return S5State(turn), S5State(times(gain, Pair(*projected)))


def _output(params: S5Params, state: S5State, x: Array) -> Array:
    return 2 * real_product(state.hidden, params.output_kernel, x) + skipped(x, params.skip)


def _init(
    sizes: tuple[int, int],
    blocks: int,
    steps: tuple[float, float],
    dtype: jnp.dtype,
    name: str,
    key: Key,
) -> S5Params:
    del name
    rows, units = sizes
    exact, keys = state_dtype(dtype), jax.random.split(key, 4)
    rates, vectors = hippo(units // blocks)
    eigenvalues = np.tile([rates.real, rates.imag], blocks)
    parts = jnp.asarray([vectors.real, vectors.imag], exact)  # each (block, pairs)
    log_step = jax.random.uniform(keys[0], (units // 2,), exact, *map(math.log, steps))
    product = functools.partial(jnp.einsum, precision="highest")
    b = lecun(keys[1], (units, rows), exact).reshape(blocks, -1, rows)
    kernel = product("kpq,bpi->ikbq", parts * jnp.asarray([1, -1], exact)[:, None, None], b)
    real, imag = lecun(keys[2], (units, 2 * rows), exact).reshape(blocks, -1, 2, rows).swapaxes(0, 2)
    output = jnp.stack(
        [
            product("pq,pbi->bqi", parts[0], real) - product("pq,pbi->bqi", parts[1], imag),
            product("pq,pbi->bqi", parts[1], real) + product("pq,pbi->bqi", parts[0], imag),
        ],
        axis=2,
    )
    leaves = (
        jnp.asarray(eigenvalues, exact),
        log_step,
        kernel.reshape(rows, 2, -1),
        output.reshape(-1, 2, rows),
        jax.random.normal(keys[3], (rows,), exact),
    )
    return S5Params(*(leaf.astype(dtype) for leaf in leaves))


@functools.lru_cache(maxsize=64)
def hippo(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The eigenvalues of HiPPO-N with a positive imaginary part, and their eigenvectors, one a
    column.

    HiPPO-N is −½ plus a skew-symmetric matrix, ½√(2n + 1)√(2k + 1) above the diagonal.
    """
    n = np.arange(size)
    scale = np.sqrt(2 * n + 1)
    skew = np.outer(scale, scale) / 2 * np.sign(n[None] - n[:, None])
    frequencies, vectors = np.linalg.eigh(-1j * skew)
    return -0.5 + 1j * frequencies[size // 2 :], vectors[:, size // 2 :]
