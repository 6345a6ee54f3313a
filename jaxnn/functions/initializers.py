"""Initialisers that know of gates.

Each has the signature of `jax.nn.initializers`, `(key, shape, dtype) -> array`. The parameters of
a cell have a gate axis: kernels `(rows, gates, hidden)`, biases `(gates, hidden)`. An initialiser
that knows nothing of gates, such as those of `jax.nn.initializers`, is handed to a cell as it is:
the cell calls it for each gate, with the shape `(rows, hidden)` or `(hidden,)`.
"""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.functions.fill import GateInitializer, fill_each_gate, one_by_one, without_gates
from jaxnn.internal.factory import factory
from jaxnn.internal.options import check_callable, check_number
from jaxnn.types import Array, Initializer, Key, Shape

_jax_orthogonal = jax.nn.initializers.orthogonal()
_jax_glorot = jax.nn.initializers.glorot_uniform()


@factory
def per_gate(*initializers: Initializer) -> Initializer:
    """Initialise each gate by itself, as if it were the only one; or each in its own way.

    An orthogonal matrix cut into four gates leaves no gate orthogonal, and Glorot's fan-out would
    count all gates at once. A cell does by itself what `per_gate(initializer)` does; `per_gate` of
    several is for gates that differ. Works in float32 at the least (QR has no 16-bit form).

    Args:
      *initializers: one for all gates, or one for each, in the order of the gates. Each fills one
        gate, `(rows, hidden)` or `(hidden,)`.

    Returns:
      An initialiser of shape `(rows, gates, hidden)` or `(gates, hidden)`. It can be pickled if
      those that it was given can.

    Raises:
      TypeError: for what is no function.
      ValueError: for none, and for a `forget_bias` or `chrono`, which fill all gates; when it runs,
        for as many as there are not gates.

    >>> import jax
    >>> from jax.nn.initializers import ones, orthogonal, zeros
    >>> kernel = per_gate(orthogonal())(jax.random.key(0), (3, 4, 3), jnp.float32)
    >>> bool(jnp.allclose(kernel[:, 2] @ kernel[:, 2].T, jnp.eye(3), atol=1e-6))
    True
    >>> per_gate(zeros, ones, zeros)(jax.random.key(0), (3, 2), jnp.float32).tolist()
    [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    """
    if not initializers:
        raise ValueError("per_gate: initializers must be at least one, got none")
    for one in initializers:
        check_callable("per_gate", "initializers", one, "functions (key, shape, dtype) -> array")
        if isinstance(without_gates(one), GateInitializer):
            raise ValueError(f"per_gate: an initializer must fill one gate, and {one} fills all")
    return GateInitializer(per_gate, initializers, fill_each_gate)


def _orthogonal(key: Key, shape: Shape, dtype: DTypeLike) -> Array:
    return one_by_one(_jax_orthogonal, key, shape, dtype)


def _glorot(key: Key, shape: Shape, dtype: DTypeLike) -> Array:
    return _jax_glorot(key, shape, dtype)


orthogonal: Initializer = per_gate(_orthogonal)
"""Each gate's recurrent kernel is an orthogonal matrix (Saxe 2014, arXiv 1312.6120)."""

glorot: Initializer = per_gate(_glorot)
"""Each gate's kernel is uniform in ±√(6 / (rows + hidden)) (Glorot & Bengio 2010)."""


def uniform_hidden(key: Key, shape: Shape, dtype: DTypeLike = jnp.float32) -> Array:
    """Uniform in ±1/√hidden, where hidden is the last dimension: what torch fills its cells with.

    >>> import jax
    >>> float(jnp.abs(uniform_hidden(jax.random.key(0), (5, 4, 100))).max()) <= 0.1
    True
    """
    if not len(shape):
        raise ValueError("uniform_hidden: shape must have a last dimension, hidden; got ()")
    bound = shape[-1] ** -0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)


@factory
def forget_bias(gates: tuple[str, ...], value: float = 1.0) -> Initializer:
    """Zeros, but `value` at the forget gate, so that an untrained LSTM remembers.

    Args:
      gates: the names of the gates in order, such as `jaxnn.LSTM_GATES`; the forget gate is "f".
      value: the forget gate's bias.

    Raises:
      TypeError: for gates that are no tuple of names, and a value that is no number.
      ValueError: where none of the gates is "f", and for a value that is not finite; when it runs,
        for anything but a bias `(gates, hidden)` of so many gates.

    Source: Gers, Schmidhuber & Cummins 2000; Jozefowicz 2015 for the value 1.

    >>> import jax
    >>> forget_bias(("i", "f", "g", "o"))(jax.random.key(0), (4, 2), jnp.float32).tolist()
    [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    """
    _check_gates("forget_bias", gates)
    value = check_number("forget_bias", "value", value)
    if "f" not in gates:
        raise ValueError(f"forget_bias: none of the gates {gates} is the forget gate ('f')")
    return GateInitializer(forget_bias, (gates, value), _fill_forget_bias)


def _fill_forget_bias(
    gates: tuple[str, ...], value: float, key: Key, shape: Shape, dtype: DTypeLike
) -> Array:
    del key
    _check_bias("forget_bias", gates, shape)
    if abs(value) > float(jnp.finfo(dtype).max):
        raise ValueError(f"forget_bias: value {value} is beyond the largest {jnp.dtype(dtype)}")
    rows = [jnp.full(shape[1:], value if gate == "f" else 0.0, dtype) for gate in gates]
    return jnp.stack(rows)


@factory
def chrono(gates: tuple[str, ...], longest: float) -> Initializer:
    """Biases that spread the time constants of the units between 1 and `longest` steps.

    b_f = log u with u uniform in [1, longest − 1], b_i = −b_f, the others zero. The gate that keeps
    the state is "f" in the LSTM and "z" in the GRU.

    Args:
      gates: the names of the gates in order, such as `jaxnn.LSTM_GATES` or `jaxnn.GRU_GATES`.
      longest: the longest dependency that is expected, in time steps; at least 2.

    Raises:
      TypeError: for gates that are no tuple of names, and a `longest` that is no number.
      ValueError: where no gate keeps the state, or `longest` is below 2 or no float32; when it
        runs, for anything but a bias `(gates, hidden)` of so many gates.

    Source: Tallec & Ollivier 2018 (arXiv 1804.11188), section 3.

    >>> import jax
    >>> bias = chrono(("i", "f", "g", "o"), 100.0)(jax.random.key(0), (4, 8), jnp.float32)
    >>> bool(jnp.all(bias[0] == -bias[1])), bool(jnp.all(bias[1] <= jnp.log(99.0)))
    (True, True)
    """
    _check_gates("chrono", gates)
    longest = check_number("chrono", "longest", longest)
    if not 2 <= longest <= float(jnp.finfo(jnp.float32).max):
        raise ValueError(
            f"chrono: longest must be at least 2 time steps, and a float32; got {longest}"
        )
    if "f" not in gates and "z" not in gates:
        raise ValueError(f"chrono: none of the gates {gates} keeps the state ('f' or 'z')")
    return GateInitializer(chrono, (gates, longest), _fill_chrono)


def _fill_chrono(
    gates: tuple[str, ...], longest: float, key: Key, shape: Shape, dtype: DTypeLike
) -> Array:
    _check_bias("chrono", gates, shape)
    times = jax.random.uniform(key, shape[1:], jnp.float32, 1.0, longest - 1.0)
    keep = jnp.log(times).astype(dtype)
    rows = {"f": keep, "z": keep, "i": -keep}
    return jnp.stack([rows.get(gate, jnp.zeros(shape[1:], dtype)) for gate in gates])


def _check_gates(name: str, gates: object) -> None:
    if not isinstance(gates, tuple) or not all(isinstance(gate, str) for gate in gates):
        raise TypeError(
            f"{name}: gates must be a tuple of names, such as jaxnn.LSTM_GATES; got {gates!r}"
        )


def _check_bias(name: str, gates: tuple[str, ...], shape: Shape) -> None:
    if len(shape) != 2:
        raise ValueError(f"{name}: it fills a bias (gates, hidden), not the shape {tuple(shape)}")
    if shape[0] != len(gates):
        raise ValueError(
            f"{name}: the bias has {shape[0]} gates, the initialiser was made for {len(gates)} "
            f"({', '.join(gates)}): give it the GATES of the cell's own file"
        )
