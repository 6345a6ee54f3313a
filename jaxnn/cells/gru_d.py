"""The GRU with decay: values that are missing, at times that are not regular."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.cells.gru import GRUGates
from jaxnn.cells.parameters import check_kernels, fill_gates
from jaxnn.cells.products import Terms, per_unit, plus_bias, project_gates
from jaxnn.functions.initializers import glorot, orthogonal
from jaxnn.internal.checks import state_dtype
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_dtypes, check_size
from jaxnn.recurrence.cell import cell_of
from jaxnn.recurrence.split import Split, hidden
from jaxnn.types import Array, Cell, Initializer, Key, PyTree, exportable, ranks_of

GATES = ("r", "z", "n")


@exportable
class GRUDInput(NamedTuple):
    """x `(*batch, input)`; m, whether each feature was observed, boolean of the same shape; and δ,
    the time since it last was, of the dtype of x. What x is where m is false, NaN too, does not
    count."""

    values: Any
    observed: Any
    elapsed: Any


@exportable
class GRUDParams(NamedTuple):
    """U `(input, 3, hidden)`, W `(hidden, 3, hidden)`, V `(input, 3, hidden)`, b `(3, hidden)`; of
    the decay of x, w and b_x `(input,)`; of that of h, D `(input, hidden)` and b_h `(hidden,)`; x̃
    `(input,)`."""

    input_kernel: Array
    recurrent_kernel: Array
    observed_kernel: Array
    bias: Array
    input_decay: Array
    input_decay_bias: Array
    hidden_decay_kernel: Array
    hidden_decay_bias: Array
    mean: Array


@exportable
class GRUDState(NamedTuple):
    """h `(*batch, hidden)`, and what was last observed of x, `(*batch, input)`: at first x̃."""

    hidden: Array
    last: Array


@factory
def gru_d(
    input_size: int,
    hidden_size: int,
    kernel_init: Initializer = glorot,
    recurrent_init: Initializer = orthogonal,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Cell[GRUDParams, GRUDState]:
    """The GRU with decay, for features that are missing at some steps, and for irregular times.

        γ_x = exp(−max(0, w∘δ + b_x))                                    (10), of each feature
        γ_h = exp(−max(0, δ D + b_h))                                    (10), of each unit
        x̂ = m∘x + (1 − m)∘(γ_x∘x_last + (1 − γ_x)∘x̃)                     (11)
        ĥ = γ_h∘h                                                        (12)
        r = σ(x̂ U_r + ĥ W_r + m V_r + b_r)                               (13)
        z = σ(x̂ U_z + ĥ W_z + m V_z + b_z)                               (14)
        n = tanh(x̂ U_n + (r∘ĥ) W_n + m V_n + b_n)                        (15)
        h' = (1 − z)∘n + z∘ĥ                                             (16)

    A feature that is not observed goes from what it last was, x_last, to its mean, x̃, and h to
    zero, the longer ago the further.

    Args:
      input_size, hidden_size: features of x and of h.
      kernel_init, recurrent_init: of U, V and D, and of W, gate by gate. w starts at ones, the
        biases and x̃ at zero. The paper sets x̃ to the mean of each feature over the training data:
        `params._replace(mean=...)`; from there on it is learned as all others.
      dtype: of the arithmetic, x, δ and y; the state is float32 where it has 16 bits.
      param_dtype: of the parameters; by default as the state's.

    Returns:
      A Cell with `GRUDParams` and `GRUDState`: x, a `GRUDInput(values, observed, elapsed)`, each
      `(*batch, input)`, to y = h' `(*batch, hidden)`. `jaxnn.data.elapsed` makes δ of times. It
      should be of the order of one: w starts there.

    Raises:
      ValueError, TypeError: for sizes that are not positive integers, what is no initialiser, and
        dtypes that are not floating; when it runs, for x that is no such tree.

    Source: Che et al. 2018 (arXiv 1606.01865), equations 10 to 16, whose z is 1 − z here, where it
    keeps the old state as that of `gru` does.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.gru_d(3, 4)
    >>> values = jnp.array([[1.0, jnp.nan, 2.0], [jnp.nan, jnp.nan, 3.0]])
    >>> elapsed = jaxnn.data.elapsed(jnp.array([0.0, 0.5]), ~jnp.isnan(values))
    >>> xs = jaxnn.GRUDInput(values, ~jnp.isnan(values), jnp.asarray(elapsed, values.dtype))
    >>> state, ys = cell.unroll(cell.init(jax.random.key(0)), xs)
    >>> ys.shape, state.last.tolist()
    ((2, 4), [1.0, 0.0, 3.0])
    """
    rows = check_size("gru_d", "input_size", input_size)
    units = check_size("gru_d", "hidden_size", hidden_size)
    check_kernels("gru_d", kernel_init=kernel_init, recurrent_init=recurrent_init)
    dtype, param_dtype = check_dtypes("gru_d", dtype, param_dtype)
    name = this_call()
    split = Split(
        name,
        project,
        _mix_nothing,
        combine,
        functools.partial(_first, state_dtype(dtype)),
        hidden,
        event_ndim=ranks_of(GRUDInput(1, 1, 1)),
        dtype=dtype,
        any_rank=True,
        closed=True,
        gates=gates,
        event=functools.partial(_event, dtype),
    )
    initializers = kernel_init, recurrent_init
    return cell_of(split, functools.partial(_init, name, rows, units, initializers, param_dtype))


def _init(
    name: str,
    rows: int,
    units: int,
    initializers: tuple[Initializer, Initializer],
    dtype: jnp.dtype,
    key: Key,
) -> GRUDParams:
    kernel_init, recurrent_init = initializers
    gates, (first, second, third, fourth) = len(GATES), jax.random.split(key, 4)
    fill: Any = functools.partial(fill_gates, f"{name}: kernel_init", kernel_init, dtype=dtype)
    recurrent: Any = functools.partial(fill_gates, f"{name}: recurrent_init", recurrent_init)
    return GRUDParams(
        fill(first, (rows, gates, units)),
        recurrent(second, (units, gates, units), dtype),
        fill(third, (rows, gates, units)),
        jnp.zeros((gates, units), dtype),
        jnp.ones(rows, dtype),
        jnp.zeros(rows, dtype),
        jnp.squeeze(fill(fourth, (rows, 1, units)), 1),
        jnp.zeros(units, dtype),
        jnp.zeros(rows, dtype),
    )


def _first(dtype: jnp.dtype, params: GRUDParams, batch_shape: tuple[int, ...] = ()) -> GRUDState:
    """Zeros, and the means."""
    rows, units = params.hidden_decay_kernel.shape
    means = jnp.broadcast_to(params.mean.astype(dtype), (*batch_shape, rows))
    return GRUDState(jnp.zeros((*batch_shape, units), dtype), jnp.array(means, copy=True))


def _event(dtype: jnp.dtype, params: GRUDParams) -> GRUDInput:
    """What one step of one sequence takes."""
    floats, flags = (jax.ShapeDtypeStruct(params.mean.shape, kind) for kind in (dtype, jnp.bool_))
    return GRUDInput(floats, flags, floats)


class Projected(NamedTuple):
    """What depends on the input only.

    x̂ = given + kept∘x_last, x_last' = seen + missing∘x_last; decay is γ_h, terms m V of each gate.
    """

    given: Array
    kept: Array
    seen: Array
    missing: Array
    decay: Array
    terms: Terms


def project(params: GRUDParams, x: GRUDInput) -> Projected:
    """The decays, and all of the equations that has no state in it."""
    seen = jnp.where(x.observed, x.values, jnp.zeros_like(x.values))
    flags = x.observed.astype(x.values.dtype)
    w, b_x, mean = (
        per_unit(each, flags) for each in (params.input_decay, params.input_decay_bias, params.mean)
    )
    of_input = jnp.exp(-jax.nn.relu(w * x.elapsed + b_x))
    (weighed,) = project_gates(x.elapsed, params.hidden_decay_kernel[:, None])
    of_hidden = jnp.exp(-jax.nn.relu(weighed + per_unit(params.hidden_decay_bias, weighed)))
    missing = 1 - flags
    given = seen + missing * (1 - of_input) * mean
    terms = project_gates(flags, params.observed_kernel)
    return Projected(given, missing * of_input, seen, missing, of_hidden, terms)


def _mix_nothing(params: GRUDParams, state: GRUDState) -> tuple[()]:
    """h decays before its product, which so stands in `combine`."""
    del params, state
    return ()


def equations(
    params: GRUDParams, projected: Projected, mixed: PyTree, state: GRUDState
) -> tuple[GRUDState, GRUGates]:
    """The step."""
    del mixed
    x = projected.given + projected.kept * state.last
    h = projected.decay * state.hidden
    u, w = params.input_kernel, params.recurrent_kernel
    r, z, n = plus_bias(
        [term + jnp.matmul(x, u[:, gate]) for gate, term in enumerate(projected.terms)], params.bias
    )
    r = jax.nn.sigmoid(r + jnp.matmul(h, w[:, 0]))
    z = jax.nn.sigmoid(z + jnp.matmul(h, w[:, 1]))
    n = jnp.tanh(n + jnp.matmul(r * h, w[:, 2]))
    last = projected.seen + projected.missing * state.last
    return GRUDState((1 - z) * n + z * h, last), GRUGates(r, z, n)


def combine(params: GRUDParams, projected: Projected, mixed: PyTree, state: GRUDState) -> GRUDState:
    """The new state alone."""
    return equations(params, projected, mixed, state)[0]


def gates(params: GRUDParams, projected: Projected, mixed: PyTree, state: GRUDState) -> GRUGates:
    """The gates alone."""
    return equations(params, projected, mixed, state)[1]
