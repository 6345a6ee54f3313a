"""The independently recurrent network: each unit sees its own past alone."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.parameters import check_bias, check_kernels, fill_gates
from jaxnn.cells.products import Terms, per_unit, plus_bias, project_both, project_input
from jaxnn.functions.initializers import glorot
from jaxnn.internal.checks import state_dtype
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_callable, check_dtypes, check_size
from jaxnn.internal.users import is_closed, map_user
from jaxnn.recurrence.cell import cell_of
from jaxnn.recurrence.split import Split, hidden
from jaxnn.types import Array, Cell, Initializer, Key, exportable

Activation = Callable[[Array], Array]


@exportable
class IndRNNParams(NamedTuple):
    """U `(input, 1, hidden)`, u `(1, hidden)`, and b `(1, hidden)` or None."""

    input_kernel: Array
    recurrent_weight: Array
    bias: Array | None


@exportable
class IndRNNState(NamedTuple):
    """h `(*batch, hidden)`."""

    hidden: Array


@factory
def indrnn(
    input_size: int,
    hidden_size: int,
    activation: Activation = jax.nn.relu,
    steps: int | None = None,
    bias: bool = True,
    kernel_init: Initializer = glorot,
    recurrent_init: Initializer | None = None,
    bias_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[IndRNNParams, IndRNNState]:
    """The independently recurrent network: x `(*batch, input)` to y = h' `(*batch, hidden)`.

        h' = f(x U + u∘h + b)

    A unit sees the past of no other one, so that several layers are stacked. Over T steps of a ReLU
    a state grows by |u|ᵀ at the most; the paper bounds it by 2.

    Args:
      input_size, hidden_size: positive integers.
      activation: f, entry by entry.
      steps: T, which bounds what is used of u to |u| ≤ 2^(1/T); without it u has no bound. A u
        beyond its bound counts as the bound, and has no gradient. The paper's code clips u itself
        after each update instead, which `jnp.clip` of `recurrent_weight` does.
      bias: whether there is a b.
      kernel_init, recurrent_init, bias_init: of U, of u (uniform between 0 and its bound, or 1),
        and of b (zeros).
      dtype, param_dtype: of the arithmetic and of the parameters; the state is float32 under 16-bit
        arithmetic.

    Raises:
      ValueError, TypeError: as `elman` does, and for steps that are no positive integer.

    Source: Li et al. 2018 (arXiv 1803.04831), sections 3 and 4.1. Its last layer starts, where only
    the end of the sequence is read, from u near the bound: `recurrent_init` does that.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.indrnn(3, 4, steps=5)
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), jnp.ones((5, 2, 3)))
    >>> ys.shape, state.hidden.shape
    ((5, 2, 4), (2, 4))
    """
    sizes = (
        check_size("indrnn", "input_size", input_size),
        check_size("indrnn", "hidden_size", hidden_size),
    )
    check_callable("indrnn", "activation", activation)
    bound = None if steps is None else 2.0 ** (1 / check_size("indrnn", "steps", steps))
    if recurrent_init is None:
        recurrent_init = jax.nn.initializers.uniform(1.0 if bound is None else bound)
    check_kernels("indrnn", kernel_init=kernel_init, recurrent_init=recurrent_init)
    dtype, param_dtype = check_dtypes("indrnn", dtype, param_dtype)
    bias_init = check_bias("indrnn", bias, bias_init, jax.nn.initializers.zeros)
    name = this_call()
    split = Split(
        name,
        project_input,
        _mix_within(bound),
        _combine_with(name, activation),
        _zeros_in(state_dtype(dtype)),
        hidden,
        dtype=dtype,
        input_size=_input_size_of,
        project_both=project_both,
        any_rank=True,
        closed=is_closed(activation),
    )
    filling = kernel_init, recurrent_init, bias_init
    return cell_of(split, functools.partial(_init, name, sizes, filling, param_dtype))


def _mix(bound: float | None, params: IndRNNParams, state: IndRNNState) -> Terms:
    """u∘h: each unit by itself."""
    u = params.recurrent_weight[0]
    if bound is not None:
        u = jnp.clip(u, -bound, bound)
    return (per_unit(u, state.hidden) * state.hidden,)


def _combine(
    f: Activation, params: IndRNNParams, projected: Terms, mixed: Terms, state: IndRNNState
) -> IndRNNState:
    del state
    (h,) = plus_bias([projected[0] + mixed[0]], params.bias)
    return IndRNNState(f(h))


# Equal cells share their functions, so that `bidirectional` projects for both of its cells at once.


@functools.lru_cache(maxsize=1024)
def _mix_within(bound: float | None) -> Callable[..., Terms]:
    return functools.partial(_mix, bound)


@functools.lru_cache(maxsize=1024)
def _combine_with(name: str, activation: Activation) -> Callable[..., IndRNNState]:
    """That of one activation, whose errors say which cell it was given to."""
    return functools.partial(_combine, functools.partial(map_user, name, "activation", activation))


@functools.lru_cache(maxsize=1024)
def _zeros_in(dtype: jnp.dtype) -> Callable[..., IndRNNState]:
    return functools.partial(_zeros, dtype)


def _zeros(
    dtype: jnp.dtype, params: IndRNNParams, batch_shape: tuple[int, ...] = ()
) -> IndRNNState:
    return IndRNNState(jnp.zeros((*batch_shape, params.input_kernel.shape[-1]), dtype))


def _init(
    name: str,
    sizes: tuple[int, int],
    filling: tuple[Initializer, Initializer, Initializer | None],
    dtype: jnp.dtype,
    key: Key,
) -> IndRNNParams:
    rows, units = sizes
    shapes = (rows, 1, units), (1, units), (1, units)
    each = zip(
        ("kernel_init", "recurrent_init", "bias_init"),
        filling,
        jax.random.split(key, 3),
        shapes,
        strict=True,
    )
    filled: list[Any] = [
        fill_gates(f"{name}: {what}", fill, k, shape, dtype) for what, fill, k, shape in each
    ]
    return IndRNNParams(*filled)


def _input_size_of(params: IndRNNParams) -> int:
    return params.input_kernel.shape[0]
