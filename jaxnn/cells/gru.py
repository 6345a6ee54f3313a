"""The gated recurrent unit, with the reset gate after or before the recurrent product."""

import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.activations import Activation, Activations, with_activations
from jaxnn.cells.gated import Options, gated_cell
from jaxnn.cells.products import (
    Terms,
    mix_first,
    mix_hidden,
    per_unit,
    plus_bias,
    project_input,
    project_normed,
)
from jaxnn.functions.initializers import glorot, orthogonal
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_bool
from jaxnn.internal.standardized import normed
from jaxnn.internal.users import is_closed
from jaxnn.types import Array, Cell, Initializer, Key, Params, PyTree, exportable

GATES = ("r", "z", "n")


@exportable
class GRUNorm(NamedTuple):
    """γ_x and γ_h, each `(3, hidden)`."""

    input_gain: Array
    recurrent_gain: Array


@exportable
class GRUParams(NamedTuple):
    """U `(input, 3, hidden)`, W `(hidden, 3, hidden)`, b `(3, hidden)` or None, b_h `(hidden,)`, or
    None without biases or with the reset before, and the gains of its norms or None."""

    input_kernel: Array
    recurrent_kernel: Array
    bias: Array | None
    recurrent_bias: Array | None
    norm: GRUNorm | None = None


@exportable
class GRUState(NamedTuple):
    """h `(*batch, hidden)`."""

    hidden: Array


@exportable
class GRUGates(NamedTuple):
    """The gates' values at a step, each `(*batch, hidden)`; by default r, z in (0, 1), n in
    (−1, 1)."""

    r: Array
    z: Array
    n: Array


@factory
def gru(
    input_size: int,
    hidden_size: int,
    reset_after: bool = True,
    bias: bool = True,
    kernel_init: Initializer = glorot,
    recurrent_init: Initializer = orthogonal,
    bias_init: Initializer | None = None,
    activation: Activation = jnp.tanh,
    gate_activation: Activation = jax.nn.sigmoid,
    layer_norm: bool = False,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[GRUParams, GRUState]:
    """The gated recurrent unit.

        r = σ(x U_r + h W_r + b_r)
        z = σ(x U_z + h W_z + b_z)
        n = tanh(x U_n + b_n + r∘(h W_n + b_h))       reset_after=True: cuDNN's form, the faster
        n = tanh(x U_n + b_n + (r∘h) W_n)             reset_after=False: the paper's and the notes'
        h' = (1 − z)∘n + z∘h

    With `layer_norm`, γ_x∘N(x U) stands for x U and γ_h∘N(h W) for h W, where N(v) =
    (v − mean) / √(variance + 1e-5), over the units of all gates together.

    Args:
      input_size, hidden_size: features of x and of h.
      reset_after: whether the reset gate comes after the recurrent product or before it.
      bias: whether there are b and b_h.
      kernel_init, recurrent_init: of U and W, gate by gate.
      bias_init: of b; zeros by default. b_h starts at zero.
      activation, gate_activation: what stands for tanh and for σ, unit by unit, such as
        `jaxnn.activations.hard_sigmoid(0.2)`, which is Keras 2's.
      layer_norm: whether it is normalised; with the reset after alone. Gains are ones at first.
      dtype: of the arithmetic, x and y; the state is float32 where it has 16 bits.
      param_dtype: of the parameters; by default as the state's.

    Returns:
      A Cell with `GRUParams` and `GRUState`: x `(*batch, input)` to y = h' `(*batch, hidden)`.

    Raises:
      ValueError, TypeError: for sizes that are not positive integers, options that are not
        boolean, what is no function or initialiser, a `layer_norm` with the reset before, and
        dtypes that are not floating.

    Source: Cho et al. 2014 (arXiv 1406.1078), whose z keeps the old state, as here and in torch
    (Chung et al. 2014 turn it round); layer norm: Ba, Kiros & Hinton 2016 (arXiv 1607.06450), as
    haste has it. torch.nn.GRU has further, redundant biases for r and z.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.gru(3, 4)
    >>> params = cell.init(jax.random.key(0))
    >>> state, ys = cell.unroll(params, jnp.ones((5, 2, 3)))
    >>> ys.shape, state.hidden.shape
    ((5, 2, 4), (2, 4))
    """
    check_bool("gru", "reset_after", reset_after)
    check_bool("gru", "layer_norm", layer_norm)
    if layer_norm and not reset_after:
        raise ValueError("gru: layer_norm must be False where reset_after is False")
    activations = Activations(activation, gate_activation)
    options = Options(
        input_size, hidden_size, bias, kernel_init, recurrent_init, bias_init, dtype, param_dtype
    )
    return gated_cell(
        "gru",
        GATES,
        GRUParams,
        GRUState,
        with_activations(
            "gru", this_call(), equations_after if reset_after else equations_before, activations
        ),
        options,
        mix_hidden if reset_after else mix_first(2),
        project_normed if layer_norm else project_input,
        further=functools.partial(further, reset_after and bias, layer_norm),
        closed=all(map(is_closed, activations)),
        thins=True,
    )


def recurrent_bias(
    biased: bool, name: str, hidden_size: int, dtype: jnp.dtype, key: Key
) -> tuple[Iterable[Key], tuple[Array | None]]:
    """b_h, zeros."""
    del name
    return jax.random.split(key, 3), (jnp.zeros(hidden_size, dtype) if biased else None,)


def further(
    biased: bool, layer_norm: bool, name: str, hidden_size: int, dtype: jnp.dtype, key: Key
) -> tuple[Iterable[Key], tuple[Array | None, GRUNorm | None]]:
    """b_h, and the gains, ones."""
    keys, (bias,) = recurrent_bias(biased, name, hidden_size, dtype, key)
    gains = [jnp.ones((len(GATES), hidden_size), dtype) for _ in GRUNorm._fields]
    return keys, (bias, GRUNorm(*gains) if layer_norm else None)


def equations_after(
    activations: Activations,
    params: Params,
    projected: PyTree,
    mixed: PyTree,
    state: GRUState,
    factor: Array | None = None,
) -> tuple[GRUState, GRUGates]:
    """The step with the reset after the product; with norms, as in `lstm.py`."""
    norm, bias = getattr(params, "norm", None), params.bias  # a conv_gru has no norm
    if norm is not None:
        mixed, bias = normed(norm.recurrent_gain, *mixed), None
    m_r, m_z, m = mixed
    if params.recurrent_bias is not None:
        m = m + per_unit(params.recurrent_bias, m)
    p_r, p_z, p = projected
    r, z, p = plus_bias((p_r + m_r, p_z + m_z, p), bias)
    tanh, sigmoid = activations
    r = sigmoid(r)
    return _updated(state, GRUGates(r, sigmoid(z), tanh(p + r * m)), factor)


def equations_before(
    activations: Activations,
    params: GRUParams,
    projected: Terms,
    mixed: Terms,
    state: GRUState,
    factor: Array | None = None,
) -> tuple[GRUState, GRUGates]:
    """The step with the reset before the product: a second matmul, which needs the first."""

    def multiplied(h: Array) -> Array:
        return jnp.matmul(h, params.recurrent_kernel[:, 2])

    return equations_with(multiplied, activations, params, projected, mixed, state, factor)


def equations_with(
    product: Callable[[Array], Array],
    activations: Activations,
    params: Params,
    projected: Terms,
    mixed: Terms,
    state: GRUState,
    factor: Array | None = None,
) -> tuple[GRUState, GRUGates]:
    """The same, for any product of r∘h."""
    (p_r, p_z, p), (m_r, m_z) = projected, mixed
    r, z, p = plus_bias((p_r + m_r, p_z + m_z, p), params.bias)
    tanh, sigmoid = activations
    r = sigmoid(r)
    n = tanh(p + product(r * state.hidden))
    return _updated(state, GRUGates(r, sigmoid(z), n), factor)


def _updated(state: GRUState, gates: GRUGates, factor: Array | None) -> tuple[GRUState, GRUGates]:
    """h' = (1 − z)∘n + z∘h, and the gates."""
    _, z, n = gates
    return GRUState((1 - z) * (n if factor is None else factor * n) + z * state.hidden), gates
