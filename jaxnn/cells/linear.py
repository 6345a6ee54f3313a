"""A linear cell from its equations: gates of the input alone, one projection, one bias."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.parameters import check_bias, check_kernels, fill_gates
from jaxnn.cells.products import Terms, project_input
from jaxnn.internal.checks import state_dtype
from jaxnn.internal.factory import this_call
from jaxnn.internal.options import check_dtypes, check_size
from jaxnn.recurrence.cell import cell_of
from jaxnn.recurrence.linear_split import LinearSplit, hidden
from jaxnn.types import Array, Cell, Initializer, Key, Params, PyTree, State


class Options(NamedTuple):
    """The options of a linear cell with gates, as its factory was given them."""

    input_size: int
    hidden_size: int
    bias: bool
    kernel_init: Initializer
    bias_init: Initializer | None
    dtype: DTypeLike
    param_dtype: DTypeLike | None


def linear_gated_cell(
    kind: str,
    gates: tuple[str, ...],
    params: Callable[..., Params],
    state: Callable[..., State],
    coefficients: Callable[[Params, Terms], tuple[State, State]],
    options: Options,
    project: Callable[[Params, Array], PyTree] = project_input,
    output: Callable[[Params, State, Array], Array] = hidden,
    biased: tuple[str, ...] | None = None,
    closed: bool = True,
    values: Callable[[Params, Terms], PyTree] | None = None,
) -> Cell[Any, Any]:
    """The Cell of some equations, s' = a∘s + b. A `@factory` returns it, and its call is the name.

    Args:
      kind: the name of the factory, for errors.
      gates: the names of the gates, in the order of the gate axis.
      params: the NamedTuple of the parameters: `input_kernel` `(input, gates, hidden)` and `bias`
        `(gates, hidden)` or None, each filled gate by gate.
      state: the NamedTuple of the state, of one field, zeros at first.
      coefficients: `coefficients(params, projected)` gives a and b, in the dtype of the state.
      options: what the factory was given, which is checked here.
      project: `project(params, x)`, by default x U for each gate.
      output: `output(params, state, x)`, by default the state's `hidden`.
      biased: the gates that have a bias, where not all of them have.
      closed: whether the functions compute with their arguments alone.
      values: `values(params, projected)`, the gates' values, for `jaxnn.gates`.
    """
    sizes = (
        check_size(kind, "input_size", options.input_size),
        check_size(kind, "hidden_size", options.hidden_size),
    )
    check_kernels(kind, kernel_init=options.kernel_init)
    dtype, param_dtype = check_dtypes(kind, options.dtype, options.param_dtype)
    bias_init = check_bias(kind, options.bias, options.bias_init, jax.nn.initializers.zeros)
    counts = len(gates), len(gates if biased is None else biased)
    filling = options.kernel_init, bias_init
    split = LinearSplit(
        this_call(),
        coefficients,
        functools.partial(_zeros, state, state_dtype(dtype)),
        output,
        dtype=dtype,
        input_size=_input_size_of,
        any_rank=True,
        closed=closed,
        project=project,
        gates=values,
    )
    init = functools.partial(_init, this_call(), params, counts, sizes, filling, param_dtype)
    return cell_of(split, init)


def _init(
    name: str,
    make: Callable[..., Params],
    counts: tuple[int, int],
    sizes: tuple[int, int],
    filling: tuple[Initializer, Initializer | None],
    dtype: jnp.dtype,
    key: Key,
) -> Params:
    rows, units = sizes
    shapes = (rows, counts[0], units), (counts[1], units)
    each = zip(("kernel_init", "bias_init"), filling, jax.random.split(key), shapes, strict=True)
    return make(
        *(fill_gates(f"{name}: {what}", fill, k, shape, dtype) for what, fill, k, shape in each)
    )


def _zeros(
    state: Callable[..., State],
    dtype: jnp.dtype,
    params: Params,
    batch_shape: tuple[int, ...] = (),
) -> State:
    return state(jnp.zeros((*batch_shape, params.input_kernel.shape[-1]), dtype))


def _input_size_of(params: Params) -> int:
    return params.input_kernel.shape[0]
