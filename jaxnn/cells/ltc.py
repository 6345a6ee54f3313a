"""The liquid time-constant network, whose input changes how fast its units forget."""

import functools
import math
from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.gated import Equations, Options, gated_cell
from jaxnn.cells.parameters import check_kernels
from jaxnn.cells.products import Terms, per_unit, plus_bias
from jaxnn.functions.fill import fill
from jaxnn.functions.initializers import glorot, orthogonal
from jaxnn.internal.factory import factory
from jaxnn.internal.options import check_number, check_size
from jaxnn.types import Array, Cell, Initializer, Key, exportable


@exportable
class LTCParams(NamedTuple):
    """U `(input, 1, hidden)`, W `(hidden, 1, hidden)`, b `(1, hidden)` or None, log τ and A, each
    `(hidden,)`."""

    input_kernel: Array
    recurrent_kernel: Array
    bias: Array | None
    log_tau: Array
    target: Array


@exportable
class LTCState(NamedTuple):
    """h `(*batch, hidden)`."""

    hidden: Array


@factory
def ltc(
    input_size: int,
    hidden_size: int,
    tau: float = 1.0,
    dt: float = 1.0,
    unfolds: int = 6,
    bias: bool = True,
    kernel_init: Initializer = glorot,
    recurrent_init: Initializer = orthogonal,
    bias_init: Initializer | None = None,
    target_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[LTCParams, LTCState]:
    """The liquid time-constant network, dh/dt = −(1/τ + f)∘h + f∘A, by the paper's fused solver.

    In each of `unfolds` parts of a step, with δ = dt / unfolds:

        f = σ(x U + h W + b)
        h ← (h + δ f∘A) / (1 + δ (1/τ + f))

    f pulls a unit towards A, the harder, the larger it is. h stays between 0, A and where it began,
    however long dt is. Each part has a product of its own, h W: they are all in the loop.

    Args:
      input_size, hidden_size: features of x and of h.
      tau: τ of every unit at first, above zero, in the unit of dt. It is learned, as log τ.
      dt: the time of a step, above zero.
      unfolds: how many parts a step has, a positive integer; the authors' code has 6.
      bias: whether there is a b.
      kernel_init, recurrent_init, bias_init: of U, W and b (zeros).
      target_init: of A; by default normal numbers.
      dtype: of the arithmetic, x and y; the state is float32 where it has 16 bits.
      param_dtype: of the parameters; by default as the state's.

    Returns:
      A Cell with `LTCParams` and `LTCState`: x `(*batch, input)` to y = h' `(*batch, hidden)`.

    Raises:
      ValueError, TypeError: as `elman` does, for tau and dt that are not finite numbers above zero,
        and for unfolds that are no positive integer.

    Source: Hasani et al. 2021 (arXiv 2006.04439), equations 1 and 3, with one f a unit. Where
    f is a tanh, negative values can make the denominator zero, so that it is a σ here, as in the
    authors' code, which has one for each pair of units.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.ltc(3, 4, dt=0.5, unfolds=3)
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 2, 3)))
    >>> ys.shape, state.hidden.shape
    ((5, 2, 4), (2, 4))
    """
    tau = check_number("ltc", "tau", tau, above=0)
    dt = check_number("ltc", "dt", dt, above=0)
    unfolds = check_size("ltc", "unfolds", unfolds)
    if target_init is None:
        target_init = jax.nn.initializers.normal(1.0)
    check_kernels("ltc", target_init=target_init)
    options = Options(
        input_size, hidden_size, bias, kernel_init, recurrent_init, bias_init, dtype, param_dtype
    )
    return gated_cell(
        "ltc",
        ("f",),
        LTCParams,
        LTCState,
        _with(dt, unfolds),
        options,
        further=functools.partial(further, tau, target_init),
        shown=False,
    )


def further(
    tau: float,
    target_init: Initializer,
    name: str,
    hidden_size: int,
    dtype: jnp.dtype,
    key: Key,
) -> tuple[Iterable[Key], tuple[Array, Array]]:
    """log τ and A."""
    *keys, target_key = jax.random.split(key, 4)
    target = fill(f"{name}: target_init", target_init, target_key, (hidden_size,), dtype)
    return keys, (jnp.full(hidden_size, math.log(tau), dtype), target)


@functools.lru_cache(maxsize=1024)
def _with(dt: float, unfolds: int) -> Equations:
    return functools.partial(equations, dt, unfolds)


def equations(
    dt: float, unfolds: int, params: LTCParams, projected: Terms, mixed: Terms, state: LTCState
) -> tuple[LTCState, None]:
    """The step; the first part of it has its product already."""
    (told,) = plus_bias(projected, params.bias)
    h, heard, part = state.hidden, mixed[0], dt / unfolds
    rate, target = (per_unit(p, h) for p in (jnp.exp(-params.log_tau), params.target))
    for n in range(unfolds):
        if n:
            heard = jnp.matmul(h, params.recurrent_kernel[:, 0])
        f = jax.nn.sigmoid(told + heard)
        h = (h + part * f * target) / (1 + part * (rate + f))
    return LTCState(h), None
