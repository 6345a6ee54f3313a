"""Filling a parameter: an initialiser is called, and what it gives is checked."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeGuard

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.internal.calls import Call
from jaxnn.internal.checks import is_array, shape_text, state_dtype
from jaxnn.internal.options import check_callable
from jaxnn.internal.users import MISTAKES
from jaxnn.types import Array, Initializer, Key, Shape


class GateInitializer(NamedTuple):
    """An initialiser that knows of gates: it fills a whole parameter, gate axis included.

    Two of equal arguments are equal, and one is pickled as the call that makes it.

    make: the factory that made it, such as `forget_bias`.
    arguments: what the factory was given.
    fill: what fills, `fill(*arguments, key, shape, dtype)`.
    """

    make: Callable[..., Initializer]
    arguments: tuple[Any, ...]
    fill: Callable[..., Array]

    def __call__(self, key: Key, shape: Shape, dtype: DTypeLike = jnp.float32) -> Array:
        return self.fill(*self.arguments, key, shape, dtype)

    def __reduce__(self) -> tuple[object, ...]:
        return Call(self.make, self.arguments, {}), ()

    def __repr__(self) -> str:
        given = ", ".join(getattr(one, "__name__", repr(one)) for one in self.arguments)
        return f"{self.make.__name__}({given})"


def fill(where: str, initializer: Initializer, key: Key, shape: Shape, dtype: DTypeLike) -> Array:
    """A parameter without gates; `where` says whose it is, as 'dense(2, 3): kernel_init'.

    It is filled in float32 at the least, since not every initialiser has a 16-bit form: QR has not.

    Raises:
      TypeError: for what is no initialiser, or gives no array or another dtype than it was asked
        for.
      ValueError: where it gives another shape, and where it fails.
    """
    initializer, exact = without_gates(initializer), state_dtype(dtype)
    if isinstance(initializer, GateInitializer):
        raise ValueError(
            f"{where} is {initializer}, which fills the gates of a cell: there are none in the "
            f"shape {tuple(shape)}"
        )
    return _called(where, initializer, key, shape, exact, "").astype(dtype)


def fill_each_gate(*arguments: Any) -> Array:
    """`(*initializers, key, shape, dtype)`: as `gate_by_gate`, of a `per_gate`."""
    *initializers, key, shape, dtype = arguments
    return gate_by_gate("per_gate: the initializer", initializers, key, shape, dtype)


def gate_by_gate(
    where: str, initializers: Sequence[Initializer], key: Key, shape: Shape, dtype: DTypeLike
) -> Array:
    """A parameter `(..., gates, hidden)` by one initialiser, or by as many as there are gates.

    Each is given a key of its own and the shape of one gate, and works in float32 at the least.
    """
    if len(shape) < 2:
        raise ValueError(f"{where} fills (..., gates, hidden), not the shape {tuple(shape)}")
    gates = shape[-2]
    if len(initializers) not in (1, gates):
        raise ValueError(
            f"{where} must be one, or one for each of the {gates} gates of {tuple(shape)}; there "
            f"are {len(initializers)}"
        )
    bare = [without_gates(one) for one in initializers]
    every = bare if len(bare) == gates else bare * gates
    gate_shape, exact = (*shape[:-2], shape[-1]), state_dtype(dtype)
    of = f" for one gate of {tuple(shape)}"
    filled = [
        _called(where, initializer, k, gate_shape, exact, of)
        for initializer, k in zip(every, jax.random.split(key, gates), strict=True)
    ]
    return jnp.stack(filled, axis=-2).astype(dtype)


def is_per_gate(initializer: Initializer) -> TypeGuard[GateInitializer]:
    """Whether it is one that `per_gate` made."""
    return isinstance(initializer, GateInitializer) and initializer.fill is fill_each_gate


def without_gates(initializer: Initializer) -> Initializer:
    """What fills a single gate: the inside of a `per_gate` of one, anything else as it is."""
    while is_per_gate(initializer) and len(initializer.arguments) == 1:
        (initializer,) = initializer.arguments
    return initializer


def fill_whole(
    where: str, initializer: Initializer, key: Key, shape: Shape, dtype: DTypeLike
) -> Array:
    """A parameter by an initialiser that is given its whole shape, and its dtype."""
    return _called(where, initializer, key, shape, dtype, "")


def _call(initializer: Initializer, key: Key, shape: Shape, dtype: DTypeLike) -> Array:
    return initializer(key, shape, dtype)


def one_by_one(initializer: Initializer, key: Key, shape: Shape, dtype: DTypeLike) -> Array:
    """What an initialiser gives, under `vmap` one after the other.

    Batched QRs share the CPU's threads, and with as many of them under way as there are threads
    each waits for the others for ever (jax 0.10.2).
    """
    return jax.custom_batching.sequential_vmap(lambda k: initializer(k, shape, dtype))(key)


def _has_qr(initializer: Initializer) -> bool:
    """Whether it is one of jax's own that decompose a matrix; jax makes a new one at each call."""
    return getattr(initializer, "__qualname__", "") in (
        "orthogonal.<locals>.init",
        "delta_orthogonal.<locals>.init",
    )


def _called(
    where: str, initializer: Initializer, key: Key, shape: Shape, dtype: DTypeLike, of: str
) -> Array:
    owner, _, argument = where.partition(": ")
    check_callable(owner, argument, initializer, "an initialiser, (key, shape, dtype) -> array")
    want = f"{jnp.dtype(dtype)}[{', '.join(map(str, shape))}]"
    try:
        given = (one_by_one if _has_qr(initializer) else _call)(initializer, key, shape, dtype)
    except MISTAKES as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        hint = (
            ". Initialisers that look at fan-in and fan-out have none to look at here: use zeros, "
            "constant, normal or uniform of jax.nn.initializers"
            if kind is ValueError and len(shape) < 2
            else ""
        )
        raise kind(f"{where} could not give {want}{of}: {str(error).rstrip('.')}{hint}") from error
    if not is_array(given) or isinstance(given, jax.ShapeDtypeStruct):
        raise TypeError(f"{where} must give {want}{of}, got {shape_text(given)}")
    if tuple(given.shape) != tuple(shape):
        raise ValueError(f"{where} must give {want}{of}, got {shape_text(given)}")
    if jax.dtypes.canonicalize_dtype(given.dtype) != dtype:
        raise TypeError(
            f"{where} must give {want}{of}, got {shape_text(given)}: it has to use the dtype that "
            f"it is given"
        )
    return jnp.asarray(given, dtype)
