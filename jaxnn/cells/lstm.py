"""The LSTM, with peepholes and coupled gates as options."""

import functools
from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.activations import Activation, Activations, with_activations
from jaxnn.cells.gated import Options, gated_cell
from jaxnn.cells.parameters import check_peephole, fill_gates
from jaxnn.cells.products import (
    mix_hidden,
    per_unit,
    plus_bias,
    project_input,
    project_normed,
)
from jaxnn.functions.fill import fill_whole, without_gates
from jaxnn.functions.initializers import forget_bias, glorot, orthogonal
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_bool, check_initializer, check_size
from jaxnn.internal.standardized import normed
from jaxnn.internal.users import is_closed
from jaxnn.types import Array, Cell, Initializer, Key, Params, PyTree, exportable

GATES = ("i", "f", "g", "o")
COUPLED_GATES = ("f", "g", "o")
"""With i = 1 − f no input gate is computed."""


@exportable
class LSTMNorm(NamedTuple):
    """γ_x and γ_h, each `(gates, hidden)`, and γ_c and β_c, each `(hidden,)`."""

    input_gain: Array
    recurrent_gain: Array
    cell_gain: Array
    cell_bias: Array


@exportable
class LSTMParams(NamedTuple):
    """U `(input, gates, hidden)`, W `(hidden, gates, hidden)`, b `(gates, hidden)` or None, p
    `(3, hidden)` for i, f, o, or `(2, hidden)` for f, o where they are coupled, or None; P
    `(hidden, projection)` or None; and the gains of its norms or None. With a P, W is
    `(projection, gates, hidden)`."""

    input_kernel: Array
    recurrent_kernel: Array
    bias: Array | None
    peephole: Array | None
    projection: Array | None = None
    norm: LSTMNorm | None = None


@exportable
class LSTMState(NamedTuple):
    """h and c, each `(*batch, hidden)`; a projected h is `(*batch, projection)`."""

    hidden: Array
    cell: Array


@exportable
class LSTMGates(NamedTuple):
    """The gates' values at a step, each `(*batch, hidden)`; by default i, f, o in (0, 1), g in
    (−1, 1)."""

    i: Array
    f: Array
    g: Array
    o: Array


@factory
def lstm(
    input_size: int,
    hidden_size: int,
    peephole: bool = False,
    coupled: bool = False,
    bias: bool = True,
    kernel_init: Initializer = glorot,
    recurrent_init: Initializer = orthogonal,
    bias_init: Initializer | None = None,
    peephole_init: Initializer | None = None,
    activation: Activation = jnp.tanh,
    gate_activation: Activation = jax.nn.sigmoid,
    projection_size: int | None = None,
    projection_init: Initializer | None = None,
    layer_norm: bool = False,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[LSTMParams, LSTMState]:
    """The long short-term memory.

        i = σ(x U_i + h W_i + b_i)     [+ p_i∘c]      or i = 1 − f, if coupled
        f = σ(x U_f + h W_f + b_f)     [+ p_f∘c]
        g = tanh(x U_g + h W_g + b_g)
        c' = f∘c + i∘g
        o = σ(x U_o + h W_o + b_o)     [+ p_o∘c']
        h' = o∘tanh(c')                [(o∘tanh(c')) P, if projected]

    With `layer_norm`, γ_x∘N(x U) + γ_h∘N(h W) stands for x U + h W, and γ_c∘N(c') + β_c for c' in
    the last line, where N(v) = (v − mean) / √(variance + 1e-5): of x U and of h W over the units of
    all gates together.

    Args:
      input_size, hidden_size: features of x and of c, and of h where it is not projected.
      peephole: the terms in brackets, inside the σ: one weight a unit, as in the paper. (A popular
        drawing, Olah 2015, shows full matrices there.)
      coupled: i = 1 − f, and no input gate is computed (the CIFG of Greff 2017).
      bias: whether there is a b.
      kernel_init, recurrent_init: of U and W, gate by gate.
      bias_init: of b; by default zeros, but 1 at the forget gate.
      peephole_init: of p; by default `uniform_hidden`.
      activation, gate_activation: what stands for tanh and for σ, unit by unit, such as
        `jaxnn.activations.hard_sigmoid(0.2)`, which is Keras 2's.
      projection_size: features of h, if it is projected; mostly fewer than of c.
      projection_init: of P; by default `glorot`.
      layer_norm: whether it is normalised; not with a peephole. Gains are ones at first, β_c zero.
      dtype: of the arithmetic, x and y; the state is float32 where it has 16 bits.
      param_dtype: of the parameters; by default as the state's.

    Returns:
      A Cell with `LSTMParams` and `LSTMState`: x `(*batch, input)` to y = h' `(*batch, hidden)`, or
      `(*batch, projection)`.

    Raises:
      ValueError, TypeError: for sizes that are not positive integers, options that are not
        boolean, what is no function or initialiser, a `projection_init` without a projection, a
        `layer_norm` with a peephole, and dtypes that are not floating.

    Source: Hochreiter & Schmidhuber 1997; forget gate: Gers, Schmidhuber & Cummins 2000; peephole:
    Gers & Schmidhuber 2000; coupled: Greff et al. 2017 (arXiv 1503.04069); projection: Sak, Senior
    & Beaufays 2014 (arXiv 1402.1128); layer norm: Ba, Kiros & Hinton 2016 (arXiv 1607.06450), as
    haste has it (torch's example of one carries on N(c') in the place of c'). torch.nn.LSTM has the
    same gate order, a second, redundant bias, and of the options `proj_size`.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.lstm(3, 4, peephole=True)
    >>> params = cell.init(jax.random.key(0))
    >>> state, ys = cell.unroll(params, jnp.ones((5, 2, 3)))
    >>> ys.shape, state.cell.shape
    ((5, 2, 4), (2, 4))
    """
    check_bool("lstm", "coupled", coupled)
    check_bool("lstm", "layer_norm", layer_norm)
    if layer_norm and peephole:
        raise ValueError("lstm: layer_norm must be False where peephole is True")
    peephole_init = check_peephole("lstm", peephole, peephole_init)
    activations = Activations(activation, gate_activation)
    if projection_size is not None:
        projection_size = check_size("lstm", "projection_size", projection_size)
    projection_init = check_initializer(
        "lstm", "projection", projection_size is not None, projection_init, glorot
    )
    gates = COUPLED_GATES if coupled else GATES
    options = Options(
        input_size, hidden_size, bias, kernel_init, recurrent_init, bias_init, dtype, param_dtype
    )
    return gated_cell(
        "lstm",
        gates,
        LSTMParams,
        LSTMState,
        with_activations(
            "lstm", this_call(), projected if projection_size else equations, activations
        ),
        options,
        mix,
        project_normed if layer_norm else project_input,
        default_bias_init=forget_bias(gates),
        further=functools.partial(
            further, len(gates), peephole_init, projection_init, projection_size or 0, layer_norm
        ),
        closed=all(map(is_closed, activations)),
        output_size=projection_size,
        thins=True,
    )


def further(
    count: int,
    peephole_init: Initializer | None,
    projection_init: Initializer | None,
    projection_size: int,
    layer_norm: bool,
    name: str,
    hidden_size: int,
    dtype: jnp.dtype,
    key: Key,
) -> tuple[Iterable[Key], tuple[Array | None, Array | None, LSTMNorm | None]]:
    """p, one row for each gate but g, and P, each from a key of its own; and the gains."""
    units, gates = (hidden_size,), (count, hidden_size)
    norm = None
    if layer_norm:
        of_gates, of_units = jnp.ones(gates, dtype), jnp.ones(units, dtype)
        norm = LSTMNorm(of_gates, jnp.copy(of_gates), of_units, jnp.zeros(units, dtype))
    key, peephole_key = jax.random.split(key)
    where, shape = f"{name}: peephole_init", (count - 1, hidden_size)
    p = fill_gates(where, peephole_init, peephole_key, shape, dtype)
    if projection_init is None:
        return jax.random.split(key, 3), (p, None, norm)
    key, projection_key = jax.random.split(key)
    where, shape = f"{name}: projection_init", (hidden_size, projection_size)
    projection = fill_whole(where, without_gates(projection_init), projection_key, shape, dtype)
    return jax.random.split(key, 3), (p, projection, norm)


def mix(params: LSTMParams, state: LSTMState) -> tuple[Array, ...]:
    """h W for each gate, [+ p∘c for i and f, which come first]."""
    mixed = mix_hidden(params, state)
    if params.peephole is None:
        return mixed
    c, rows = state.cell, params.peephole[:-1]
    seen = [m + per_unit(p, c) * c for m, p in zip(mixed, rows, strict=False)]
    return *seen, *mixed[len(rows) :]


def equations(
    activations: Activations,
    params: Params,
    projected: PyTree,
    mixed: PyTree,
    state: LSTMState,
    factor: Array | None = None,
) -> tuple[LSTMState, LSTMGates]:
    """The step of every variant, less what of the peepholes `mix` has added. With norms, x U comes
    with its own and with the bias."""
    tanh, sigmoid = activations
    norm, bias = getattr(params, "norm", None), params.bias  # a conv_lstm has no norm
    if norm is not None:
        mixed, bias = normed(norm.recurrent_gain, *mixed), None
    sums = plus_bias(map(jnp.add, projected, mixed), bias)
    *before, g, o = sums
    i, f = (None, *before) if len(before) == 1 else before
    f = sigmoid(f)
    i = 1 - f if i is None else sigmoid(i)
    g = tanh(g)
    c = f * state.cell + i * (g if factor is None else factor * g)
    if params.peephole is not None:
        o = o + per_unit(params.peephole[-1], c) * c
    o = sigmoid(o)
    shown = c
    if norm is not None:
        (shown,) = plus_bias(normed(norm.cell_gain[None], c), norm.cell_bias[None])
    return LSTMState(o * tanh(shown), c), LSTMGates(i, f, g, o)


def projected(
    activations: Activations,
    params: Params,
    projected: PyTree,
    mixed: PyTree,
    state: LSTMState,
    factor: Array | None = None,
) -> tuple[LSTMState, LSTMGates]:
    """The same, with a product behind it."""
    (h, c), gates = equations(activations, params, projected, mixed, state, factor)
    return LSTMState(jnp.matmul(h, params.projection), c), gates
