"""A short convolution along time, which streams: the state is the last inputs."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.parameters import check_bias, check_kernels
from jaxnn.cells.products import per_unit
from jaxnn.functions.fill import fill
from jaxnn.internal.checks import state_dtype
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_dtypes, check_size
from jaxnn.layers.dense import zeros
from jaxnn.recurrence.arguments import Arguments
from jaxnn.recurrence.cell import cell_of
from jaxnn.recurrence.split import Stepwise, cast
from jaxnn.scans.recent import apart, at_step, places, recent, together
from jaxnn.types import Array, ArrayLike, Cell, Initializer, Key, exportable

_uniform = jax.nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def uniform_rows(key: Key, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """Uniform in ±1/√rows, where a kernel is `(rows, ...)`: what torch fills its layers with."""
    return _uniform(key, shape, dtype)


@exportable
class CausalConvParams(NamedTuple):
    """kernel `(window, input)`, of which the last row is for the newest input; bias `(input,)`, or
    None."""

    kernel: Array
    bias: Array | None


@exportable
class CausalConvState(NamedTuple):
    """The last inputs, the oldest first: `(*batch, window − 1, input)`."""

    inputs: Array


@factory
def causal_conv(
    input_size: int,
    window: int,
    bias: bool = True,
    kernel_init: Initializer = uniform_rows,
    bias_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[CausalConvParams, CausalConvState]:
    """A depthwise convolution along time: x `(*batch, input)` to y of the same shape.

        y_t = Σ_j x_{t−j}∘w_j + b,  j = 0 … window − 1

    Before the first input there are zeros. t counts the valid steps: what is masked enters no
    window, and a reset brings back the zeros (or `start`). `unroll` needs no loop.

    Args:
      input_size, window: positive integers; window is how many inputs a y sees, its own among them.
      bias: whether there is a b.
      kernel_init: of w, `(window, input)`; by default uniform in ±1/√window.
      bias_init: of b; zeros by default.
      dtype, param_dtype: of x and y, and of the parameters; the state, and the arithmetic of a
        16-bit dtype, is in float32.

    Raises:
      ValueError, TypeError: for sizes that are not positive integers, a bias that is not boolean,
        initialisers that are not functions and dtypes that are not floating.

    Source: LeCun et al. 1989; before a recurrence, De et al. 2024 (arXiv 2402.19427) and Gu & Dao
    2023 (arXiv 2312.00752). `jaxnn.along_time(jaxnn.conv(..., padding="causal"))` is the layer that
    mixes features too, without a state.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.causal_conv(1, 3)
    >>> params = jaxnn.CausalConvParams(jnp.array([[4.0], [2.0], [1.0]]), jnp.zeros(1))
    >>> state, ys = cell.unroll(params, jnp.array([[1.0], [0.0], [0.0], [5.0]]))
    >>> ys[:, 0].tolist(), state.inputs[:, 0].tolist()
    ([1.0, 2.0, 4.0, 5.0], [0.0, 5.0])
    """
    input_size = check_size("causal_conv", "input_size", input_size)
    window = check_size("causal_conv", "window", window)
    check_kernels("causal_conv", kernel_init=kernel_init)
    bias_fill = check_bias("causal_conv", bias, bias_init, zeros)
    dtype, param_dtype = check_dtypes("causal_conv", dtype, param_dtype)
    name, exact = this_call(), state_dtype(dtype)
    described = Stepwise(
        name,
        functools.partial(_step, dtype),
        functools.partial(_zeros, exact),
        event_ndim=1,
        dtype=dtype,
        input_size=_input_size_of,
        at_once=functools.partial(_run, dtype),
    )
    filling = kernel_init, bias_fill
    return cell_of(
        described, functools.partial(_init, name, (window, input_size), filling, param_dtype)
    )


def _convolved(
    dtype: jnp.dtype, params: CausalConvParams, before: list[Array], x: Array
) -> Array:
    """y from x and what came one step before, two steps before, and so on."""
    kernel, bias = cast(params, state_dtype(dtype))
    terms = [each * per_unit(w, x) for each, w in zip([x, *before], kernel[::-1], strict=True)]
    y = functools.reduce(jnp.add, terms)
    return (y if bias is None else y + per_unit(bias, y)).astype(dtype)


def _step(
    dtype: jnp.dtype,
    params: CausalConvParams,
    state: CausalConvState,
    x: ArrayLike,
    key: Key | None = None,
) -> tuple[CausalConvState, Array]:
    del key
    inputs = state.inputs
    x = jnp.asarray(x, inputs.dtype)
    before = [inputs[..., index, :] for index in reversed(range(inputs.shape[-2]))]
    whole = jnp.concatenate([inputs, x[..., None, :]], -2)
    return CausalConvState(whole[..., 1:, :]), _convolved(dtype, params, before, x)


def _run(
    dtype: jnp.dtype, params: CausalConvParams, arguments: Arguments
) -> tuple[CausalConvState, Array]:
    """All steps at once: the valid ones side by side, in the order in which they run."""
    mask, reset, reverse = arguments.mask, arguments.reset, arguments.reverse
    state, start = (jnp.moveaxis(s.inputs, -2, 0) for s in (arguments.state, arguments.start))
    fresh = reset if mask is None or reset is None else reset & mask
    turn = functools.partial(jnp.flip, axis=0) if reverse else jnp.asarray
    xs = turn(arguments.xs).astype(state.dtype)
    fresh = None if fresh is None else turn(fresh)
    to = None if mask is None else places(turn(mask))
    if to is not None:
        xs = together(xs, to)
        fresh = None if fresh is None else jnp.take_along_axis(fresh, to.of, 0)
    before, after = recent(xs, state, start, _cut(reverse, fresh))
    ys = _convolved(dtype, params, before, xs)
    if to is not None:
        ys = apart(ys, to)
    if not after:
        return arguments.state, turn(ys)
    final = [each[-1] if to is None else at_step(each, to.count) for each in reversed(after)]
    return CausalConvState(jnp.stack(final, -2)), turn(ys)


def _cut(reverse: bool, fresh: Array | None) -> Array | None:
    """Before which steps there is `start`, one step more included: a reset stands before its step,
    or, in reverse, after it."""
    if fresh is None:
        return None
    never = jnp.zeros((1, *fresh.shape[1:]), bool)
    return jnp.concatenate([never, fresh] if reverse else [fresh, never])


def _init(
    name: str,
    shape: tuple[int, int],
    filling: tuple[Initializer, Initializer | None],
    dtype: jnp.dtype,
    key: Key,
) -> CausalConvParams:
    keys, (kernel_init, bias_init) = jax.random.split(key), filling
    kernel = fill(f"{name}: kernel_init", kernel_init, keys[0], shape, dtype)
    if bias_init is None:
        return CausalConvParams(kernel, None)
    return CausalConvParams(
        kernel, fill(f"{name}: bias_init", bias_init, keys[1], shape[1:], dtype)
    )


def _zeros(
    dtype: jnp.dtype, params: CausalConvParams, batch_shape: tuple[int, ...] = ()
) -> CausalConvState:
    window, size = params.kernel.shape
    return CausalConvState(jnp.zeros((*batch_shape, window - 1, size), dtype))


def _input_size_of(params: CausalConvParams) -> int:
    return params.kernel.shape[1]
