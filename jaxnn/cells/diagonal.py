"""What cells with a diagonal of complex numbers share: everything in real parts.

A complex kernel is `(in, 2, out)`, with its real and its imaginary part; one for each unit is a
`Pair`.
"""

import functools
from collections.abc import Callable

import jax.numpy as jnp

from jaxnn.cells.products import Terms, per_unit, project_input
from jaxnn.functions.pair import Pair
from jaxnn.internal.checks import state_dtype
from jaxnn.internal.factory import this_call
from jaxnn.internal.options import check_number
from jaxnn.recurrence.cell import cell_of
from jaxnn.recurrence.linear_split import LinearSplit
from jaxnn.types import Array, Cell, Key, Params, State


def diagonal_cell(
    init: Callable[[str, Key], Params],
    state: Callable[[Pair], State],
    coefficients: Callable[[Params, Terms], tuple[State, State]],
    output: Callable[[Params, State, Array], Array],
    dtype: jnp.dtype,
) -> Cell:
    """The Cell of some equations, h' = λ∘h + b with b from x B. Its name is the factory's call.

    Args:
      init: `init(name, key)` gives the parameters; among them `input_kernel` `(input, 2, hidden)`.
      state: the NamedTuple of the state, of one field, a Pair of zeros at first.
      coefficients: `coefficients(params, projected)` gives λ and b from the two parts of x B, in the
        dtype of the state.
      output: `output(params, state, x)`.
      dtype: of the arithmetic.
    """
    split = LinearSplit(
        this_call(),
        coefficients,
        functools.partial(_zeros, state, state_dtype(dtype)),
        output,
        dtype=dtype,
        input_size=_input_size_of,
        any_rank=True,
        closed=True,
        project=project_input,
    )
    return cell_of(split, functools.partial(init, this_call()))


def polar(size: Array, angle: Array) -> Pair:
    """size∘exp(i·angle)."""
    return Pair(size * jnp.cos(angle), size * jnp.sin(angle))


def real_product(h: Pair, kernel: Array, x: Array) -> Array:
    """Re(h C) in the dtype of x, for a kernel `(hidden, 2, out)`."""
    real, imag = (jnp.matmul(h[part].astype(x.dtype), kernel[:, part]) for part in range(2))
    return real - imag


def skipped(x: Array, skip: Array) -> Array:
    """D∘x."""
    return per_unit(skip, x) * x


def check_range(name: str, low: str, high: str, given: tuple[float, float]) -> tuple[float, float]:
    """Two finite numbers, the first of which is below the second."""
    first, last = (check_number(name, what, n) for what, n in zip((low, high), given, strict=True))
    if first >= last:
        raise ValueError(f"{name}: {low} must be below {high}, got {first} and {last}")
    return first, last


def _zeros(
    state: Callable[[Pair], State],
    dtype: jnp.dtype,
    params: Params,
    batch_shape: tuple[int, ...] = (),
) -> State:
    shape = *batch_shape, params.input_kernel.shape[-1]
    return state(Pair(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)))


def _input_size_of(params: Params) -> int:
    return params.input_kernel.shape[0]
