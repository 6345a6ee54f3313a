"""A gated cell from its equations: what all of them have in common is written here, once."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.parameters import check_bias, check_kernels, fill_gates
from jaxnn.cells.products import mix_hidden, project_both, project_input
from jaxnn.internal.checks import state_dtype
from jaxnn.internal.factory import this_call
from jaxnn.internal.options import check_dtypes, check_size
from jaxnn.recurrence.cell import cell_of
from jaxnn.recurrence.split import Split, hidden
from jaxnn.types import (
    Array,
    Cell,
    Initializer,
    InitialState,
    Key,
    Params,
    PyTree,
    Shape,
    State,
)

P = TypeVar("P")
S = TypeVar("S")
Equations = Callable[..., tuple[State, PyTree]]
"""`state, gates = equations(params, projected, mixed, state)`: a step, given x U and h W."""
Further = Callable[[str, int, jnp.dtype, Key], tuple[Iterable[Key], tuple[PyTree, ...]]]
"""`keys, parameters = further(name, hidden_size, dtype, key)`: the keys of the input kernel, of the
recurrent kernel and of the bias, and the parameters that come after these three."""


class Options(NamedTuple):
    """The options that every gated cell has, as its factory was given them."""

    input_size: int
    hidden_size: int
    bias: bool
    kernel_init: Initializer
    recurrent_init: Initializer | None
    bias_init: Initializer | None
    dtype: DTypeLike
    param_dtype: DTypeLike | None


def gated_cell(
    kind: str,
    gates: tuple[str, ...],
    params: Callable[..., P],
    state: Callable[..., S],
    equations: Equations,
    options: Options,
    mix: Callable[[Params, State], PyTree] = mix_hidden,
    project: Callable[[Params, Array], PyTree] = project_input,
    default_bias_init: Initializer = jax.nn.initializers.zeros,
    further: Further | None = None,
    spatial_shape: tuple[int, ...] = (),
    windows: tuple[tuple[int, ...], tuple[int, ...]] = ((), ()),
    closed: bool = True,
    output_size: int | None = None,
    recurrent: bool = True,
    blocks: int = 1,
    initial_state: Callable[..., S] | None = None,
    shown: bool = True,
    thins: bool = False,
) -> Cell[P, S]:
    """The Cell of some equations. A `@factory` returns it, and the call of that is its name.

    Two cells of the same functions share them, whatever their sizes, so that `bidirectional` can
    project one input for both at once. So `equations`, `mix` and `project` are functions of a
    module, or made once for equal options (`functools.lru_cache`).

    Args:
      kind: the name of the factory, for errors: "lstm".
      gates: the names of the gates, in the order of the gate axis.
      params: the NamedTuple of the parameters: `input_kernel` `(input, gates, hidden)`,
        `recurrent_kernel` `(hidden, gates, hidden)`, `bias` `(gates, hidden)` or None, and any
        further ones after them. Each is filled gate by gate, from a key of its own.
      state: the NamedTuple of the state, zeros at first in each field. The output is its `hidden`.
      equations: `equations(params, projected, mixed, state)` gives the new state and a NamedTuple
        of the gates' values, unit by unit. It may multiply by a matrix of the parameters
        (`jnp.matmul`): that costs a second product in each step.
      options: what the factory was given, which is checked here.
      mix: `mix(params, state)`, what is linear in the state: by default h W for each gate.
      project: `project(params, x)`, what depends on the input only: by default x U for each gate.
      default_bias_init: what fills the bias where none is given.
      further: makes the further parameters.
      spatial_shape, windows: for images, the sizes of x and of the state before their features, and
        the axes of the two kernels before their others.
      closed: whether the equations compute with their arguments alone; False where they call a
        function that a user wrote.
      output_size: the size of `hidden` where the equations give it another one than a unit's: that
        many rows has the recurrent kernel.
      recurrent: whether there is a recurrent kernel; without, it is None.
      blocks: how many blocks the recurrent kernel has on its diagonal, side by side in `(hidden /
        blocks, gates, hidden)`. Each is filled by itself, and `mix_blocks` multiplies by them.
      initial_state: `initial_state(dtype, params, batch_shape)`, where it is not zeros.
      shown: whether the equations give gates for `jaxnn.gates`; without, they give None.
      thins: whether the equations take a fifth argument, the `factor` of what is new in a step,
        by which `recurrent_dropout` drops, or None.

    Raises:
      ValueError, TypeError: for sizes that are not positive integers, a `bias` that is not boolean,
        what is no initialiser, and dtypes that are not floating.

    `jaxnn/cells/mgu.py` is a whole cell that is made by it.
    """
    rows = check_size(kind, "input_size", options.input_size)
    units = check_size(kind, "hidden_size", options.hidden_size)
    sizes = rows, output_size or units, units
    kernel_init, recurrent_init = options.kernel_init, options.recurrent_init
    check_kernels(kind, kernel_init=kernel_init)
    if recurrent:
        check_kernels(kind, recurrent_init=recurrent_init)
    dtype, param_dtype = check_dtypes(kind, options.dtype, options.param_dtype)
    bias_init = check_bias(kind, options.bias, options.bias_init, default_bias_init)
    name = this_call()
    combine, values, thinned = _parts_of(equations)
    split = Split(
        name,
        project,
        mix,
        combine,
        _first(initial_state or _zeros_of(state, spatial_shape), state_dtype(dtype)),
        hidden,
        event_ndim=1 + len(spatial_shape),
        dtype=dtype,
        input_size=_input_size_of,
        project_both=project_both if project is project_input else None,
        spatial_shape=spatial_shape,
        any_rank=True,
        closed=closed,
        gates=values if shown else None,
        thinned=thinned if thins else None,
    )
    initializers = (kernel_init, recurrent_init if recurrent else None, bias_init)
    init = functools.partial(
        _init, name, params, len(gates), sizes, windows, blocks, initializers, further, param_dtype
    )
    return cell_of(split, init)


@functools.lru_cache(maxsize=1024)
def _parts_of(equations: Equations) -> tuple[Callable[..., PyTree], ...]:
    """The new state alone, the gates alone, and the new state of a thinned step."""
    results = [functools.partial(_result, equations, which) for which in (0, 1)]
    return *results, functools.partial(_thinned, equations)


def _result(
    equations: Equations, which: int, params: Params, projected: PyTree, mixed: PyTree, state: State
) -> PyTree:
    return equations(params, projected, mixed, state)[which]


def _thinned(
    equations: Equations,
    factor: Array,
    params: Params,
    projected: PyTree,
    mixed: PyTree,
    state: State,
) -> State:
    return equations(params, projected, mixed, state, factor)[0]


def _init(
    name: str,
    make: Callable[..., Params],
    gates: int,
    sizes: tuple[int, int, int],
    windows: tuple[tuple[int, ...], tuple[int, ...]],
    blocks: int,
    initializers: tuple[Initializer, Initializer | None, Initializer | None],
    further: Further | None,
    dtype: jnp.dtype,
    key: Key,
) -> Params:
    """The parameters of a gated cell."""
    rows, outputs, units = sizes
    recurrent = (*windows[1], outputs // blocks, gates, units // blocks)
    shapes = (*windows[0], rows, gates, units), recurrent, (gates, units)
    keys, more = _no_further(key) if further is None else further(name, units, dtype, key)
    arguments = ("kernel_init", "recurrent_init", "bias_init")
    by_block = fill_gates if blocks == 1 else functools.partial(_fill_blocks, blocks)
    fills = fill_gates, by_block, fill_gates
    filled = [
        fill(f"{name}: {argument}", initializer, each, shape, dtype)
        for fill, argument, initializer, each, shape in zip(
            fills, arguments, initializers, keys, shapes, strict=True
        )
    ]
    return make(*filled, *more)


def _fill_blocks(
    count: int,
    where: str,
    initializer: Initializer | None,
    key: Key,
    shape: Shape,
    dtype: jnp.dtype,
) -> Array | None:
    """So many blocks of a shape side by side, each by a key of its own."""
    if initializer is None:
        return None
    blocks: list[Any] = [
        fill_gates(where, initializer, k, shape, dtype) for k in jax.random.split(key, count)
    ]
    return jnp.concatenate(blocks, axis=-1)


def _no_further(key: Key) -> tuple[Iterable[Key], tuple[Array | None, ...]]:
    return jax.random.split(key, 3), ()


@functools.lru_cache(maxsize=1024)
def _first(initial_state: Callable[..., State], dtype: jnp.dtype) -> InitialState:
    """The `initial_state` of a cell: one object for all cells with such states."""
    return functools.partial(initial_state, dtype)


@functools.lru_cache(maxsize=1024)
def _zeros_of(state: Callable[..., State], spatial_shape: tuple[int, ...]) -> Callable[..., State]:
    return functools.partial(_zeros, state, spatial_shape)


def _zeros(
    state: Any,
    spatial_shape: tuple[int, ...],
    dtype: jnp.dtype,
    params: Params,
    batch_shape: tuple[int, ...] = (),
) -> State:
    """Zeros, an array of its own for each field, so that a state can be donated."""
    units = outputs = params.input_kernel.shape[-1]
    if params.recurrent_kernel is not None:
        outputs = params.recurrent_kernel.shape[-3]
    sizes, leading = {"hidden": outputs}, (*batch_shape, *spatial_shape)
    return state(*[jnp.zeros((*leading, sizes.get(f, units)), dtype) for f in state._fields])


def _input_size_of(params: Params) -> int:
    """The rows of the input kernel."""
    return params.input_kernel.shape[-3]
