"""Initialisers that know of gates.

Each has the signature of `jax.nn.initializers`, `(key, shape, dtype) -> array`. The parameters of a
cell have a gate axis: kernels `(rows, gates, hidden)`, biases `(gates, hidden)`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.functions.checks import state_dtype
from jaxnn.functions.factory import factory
from jaxnn.types import Array, Initializer, Key


@factory
def per_gate(initializer: Initializer) -> Initializer:
    """Initialise each gate by itself, as if it were the only one.

    An orthogonal matrix cut into four gates leaves no gate orthogonal, and Glorot's fan-out would
    count all gates at once. Works in float32 at the least (QR has no 16-bit form).

    Args:
      initializer: fills one gate, `(rows, hidden)` or `(hidden,)`.

    Returns:
      An initialiser of shape `(rows, gates, hidden)` or `(gates, hidden)`.

    >>> import jax
    >>> kernel = per_gate(jax.nn.initializers.orthogonal())(
    ...     jax.random.key(0), (3, 4, 3), jnp.float32)
    >>> bool(jnp.allclose(kernel[:, 2] @ kernel[:, 2].T, jnp.eye(3), atol=1e-6))
    True
    """

    def init(key: Key, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        gate_shape = (*shape[:-2], shape[-1])
        exact = state_dtype(dtype)
        gates = [initializer(k, gate_shape, exact) for k in jax.random.split(key, shape[-2])]
        return jnp.stack(gates, axis=-2).astype(dtype)

    return init


def _one_by_one(initializer: Initializer) -> Initializer:
    """Under `vmap`, one after the other.

    Batched QRs share the CPU's threads, and with as many of them under way as there are threads
    each waits for the others for ever (jax 0.10.2).
    """

    def init(key: Key, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        return jax.custom_batching.sequential_vmap(lambda key: initializer(key, shape, dtype))(key)

    return init


orthogonal: Initializer = per_gate(_one_by_one(jax.nn.initializers.orthogonal()))
"""Each gate's recurrent kernel is an orthogonal matrix (Saxe 2014, arXiv 1312.6120)."""

glorot: Initializer = per_gate(jax.nn.initializers.glorot_uniform())
"""Each gate's kernel is uniform in ±√(6 / (rows + hidden)) (Glorot & Bengio 2010)."""


def uniform_hidden(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """Uniform in ±1/√hidden, where hidden is the last dimension: what torch fills its cells with.

    >>> import jax
    >>> float(jnp.abs(uniform_hidden(jax.random.key(0), (5, 4, 100))).max()) <= 0.1
    True
    """
    bound = shape[-1] ** -0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)


def _bias_of(fill: Callable[[str, Key, tuple[int, ...], jnp.dtype], Array], gates: tuple[str, ...]):
    def init(key: Key, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        if shape[-2] != len(gates):
            raise ValueError(
                f"the bias has {shape[-2]} gates, the initialiser was made for {len(gates)} "
                f"({', '.join(gates)}): give it the GATES of the cell's own file"
            )
        return jnp.stack([fill(gate, key, shape[-1:], dtype) for gate in gates], axis=-2)

    return init


@factory
def forget_bias(gates: tuple[str, ...], value: float = 1.0) -> Initializer:
    """Zeros, but `value` at the forget gate, so that an untrained LSTM remembers.

    Args:
      gates: the names of the gates in order, such as `jaxnn.LSTM_GATES`; the forget gate is "f".
      value: the forget gate's bias.

    Raises:
      ValueError: where none of the gates is "f".

    Source: Gers, Schmidhuber & Cummins 2000; Jozefowicz 2015 for the value 1.

    >>> import jax
    >>> forget_bias(("i", "f", "g", "o"))(jax.random.key(0), (4, 2), jnp.float32).tolist()
    [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    """
    if "f" not in gates:
        raise ValueError(f"forget_bias: none of the gates {gates} is the forget gate ('f')")

    def fill(gate: str, key: Key, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        del key
        return jnp.full(shape, value if gate == "f" else 0.0, dtype)

    return _bias_of(fill, gates)


@factory
def chrono(gates: tuple[str, ...], longest: float) -> Initializer:
    """Biases that spread the time constants of the units between 1 and `longest` steps.

    b_f = log u with u uniform in [1, longest − 1], b_i = −b_f, the others zero. The gate that keeps
    the state is "f" in the LSTM and "z" in the GRU.

    Args:
      gates: the names of the gates in order, such as `jaxnn.LSTM_GATES` or `jaxnn.GRU_GATES`.
      longest: the longest dependency that is expected, in time steps; at least 2.

    Raises:
      ValueError: where no gate keeps the state, or `longest` is below 2.

    Source: Tallec & Ollivier 2018 (arXiv 1804.11188), section 3.

    >>> import jax
    >>> bias = chrono(("i", "f", "g", "o"), 100.0)(jax.random.key(0), (4, 8), jnp.float32)
    >>> bool(jnp.all(bias[0] == -bias[1])), bool(jnp.all(bias[1] <= jnp.log(99.0)))
    (True, True)
    """
    if longest < 2:
        raise ValueError(f"chrono: longest must be at least 2 time steps, got {longest}")
    if "f" not in gates and "z" not in gates:
        raise ValueError(f"chrono: none of the gates {gates} keeps the state ('f' or 'z')")

    def fill(gate: str, key: Key, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        if gate not in ("f", "z", "i"):
            return jnp.zeros(shape, dtype)
        keep = jnp.log(jax.random.uniform(key, shape, jnp.float32, 1.0, longest - 1.0))
        return (-keep if gate == "i" else keep).astype(dtype)

    return _bias_of(fill, gates)
