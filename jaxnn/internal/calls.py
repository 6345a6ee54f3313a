"""A call as a value that can be pickled, functions of jax's among its arguments."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

_MODULES = ("jax.nn", "jax.numpy", "jax.lax", "jax.nn.initializers", "jax.scipy.special")
_made: dict["_Initializer", object] = {}
"""Initialisers of jax's by how they are made, so that one process has one of each."""


class Call(NamedTuple):
    """A factory, and the arguments that are not as by default; calling it gives the same again."""

    factory: Callable[..., object]
    args: tuple[object, ...]
    kwargs: dict[str, object]

    def __call__(self) -> object:
        return self.factory(*self.args, **self.kwargs)

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (self.factory, tuple(map(_packed, self.args)), packed(self.kwargs))


def _restored(
    factory: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
) -> Call:
    return Call(factory, tuple(map(_unpacked, args)), unpacked(kwargs))


def packed(arguments: dict[str, object]) -> dict[str, object]:
    """Arguments that pickle takes, functions of jax's among them."""
    return {name: _packed(value) for name, value in arguments.items()}


def unpacked(arguments: dict[str, object]) -> dict[str, object]:
    """The arguments that were packed."""
    return {name: _unpacked(value) for name, value in arguments.items()}


class _Named(NamedTuple):
    """A function of jax's that pickle does not find, since it is wrapped: where it stands."""

    module: str
    name: str


class _Initializer(NamedTuple):
    """An initialiser of jax's, which is a function inside of another: what made it."""

    name: str
    arguments: tuple[tuple[str, object], ...]


def same_initializer(value: object) -> object:
    """One object for all initialisers of jax's that are made alike, any other value as it is."""
    made = _initializer(value) if callable(value) else None
    return value if made is None else _made.setdefault(made, value)


def _packed(value: object) -> object:
    """A value that pickle takes, for a function of jax's; any other value as it is."""
    if not callable(value) or isinstance(value, tuple):
        return value
    name = getattr(value, "__name__", "")
    for module in _MODULES:
        if getattr(importlib.import_module(module), name, None) is value:
            return _Named(module, name)
    return _initializer(value) or value


def _initializer(function: Callable[..., object]) -> _Initializer | None:
    """How an initialiser was made, if a factory of `jax.nn.initializers` keeps its arguments."""
    maker = getattr(function, "__qualname__", "").partition(".<locals>.")[0]
    factory: Any = getattr(jax.nn.initializers, maker, None)
    code = getattr(factory, "__code__", None)
    if code is None or getattr(function, "__code__", None) not in code.co_consts:
        return None
    kept = inspect.getclosurevars(function).nonlocals
    names = inspect.signature(factory).parameters.keys() - {"dtype"}  # which init is given anew
    if not kept.keys() >= names:
        return None
    made = _Initializer(maker, tuple((name, kept[name]) for name in sorted(names)))
    try:
        hash(made)
    except TypeError:  # a constant that is an array
        return None
    return made


def _unpacked(value: object) -> object:
    if isinstance(value, _Named):
        return getattr(importlib.import_module(value.module), value.name)
    if isinstance(value, _Initializer):
        if value not in _made:
            maker = getattr(jax.nn.initializers, value.name)
            _made[value] = maker(**dict(value.arguments))
        return _made[value]
    return value
