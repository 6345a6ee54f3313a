"""Factories are cached: the same arguments give the same object, which is traced once."""

import contextvars
import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxnn.internal.calls import same_initializer
from jaxnn.internal.parts import Parts, parts_of_call
from jaxnn.types import facts_of, know, ranks_of

_one_at_a_time = threading.RLock()
_under_way: contextvars.ContextVar[Parts] = contextvars.ContextVar("the call that is under way")
P = ParamSpec("P")
R = TypeVar("R")


def this_call() -> str:
    """The call that the factory is just answering, such as 'lstm(12, 64)': the name of what it
    makes, in errors and in print."""
    return str(_under_way.get())


def hides(*arguments: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Required arguments that the printed call leaves out."""

    def mark(make: Callable[P, R]) -> Callable[P, R]:
        make.__dict__["hidden"] = arguments
        return make

    return mark


def factory(make: Callable[P, R]) -> Callable[P, R]:
    """Cache `make` by its arguments, however they are passed.

    jit traces a function anew for every new object it is given, so a cell that is built twice from
    the same arguments must be one object. The last 1,024 calls of each factory are remembered.
    Functions count as the same when they are one object, and initialisers of `jax.nn.initializers`
    when they are made alike.

    Raises:
      TypeError: for an unknown or missing argument, and for one that cannot be hashed.

    >>> import jaxnn
    >>> jaxnn.dense(2, 3) is jaxnn.dense(2, output_size=3)
    True
    """
    signature = inspect.signature(make)

    @functools.lru_cache(maxsize=1024)
    def made(kinds: object, *args: P.args, **kwargs: P.kwargs) -> R:
        del kinds  # True == 1 == 1.0, and a wrong one is to be an error even after a right one
        bound = signature.bind(*args, **kwargs)
        token = _under_way.set(parts_of_call(build, bound))
        try:
            thing: Any = make(*args, **kwargs)
            if hasattr(thing, "init") and facts_of(thing).parts is None:
                know(thing, _under_way.get())
        finally:
            _under_way.reset(token)
        return thing

    name = make.__name__

    @functools.wraps(make)
    def build(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            options = ", ".join(map(str, _bare(signature)))
            raise TypeError(f"{name}: {error}; it takes {options}") from None
        bound.apply_defaults()
        for argument, value in bound.arguments.items():
            if argument in ("dtype", "param_dtype") and value is not None:
                bound.arguments[argument] = _dtype(name, argument, value)
            if argument == "event_ndim":
                bound.arguments[argument] = ranks_of(value)
            bound.arguments[argument] = value = same_initializer(bound.arguments[argument])
            if signature.parameters[argument].kind is inspect.Parameter.VAR_POSITIONAL:
                for one in bound.arguments[argument]:
                    _check_hashable(name, argument, one, f"{name}(*{argument})")
            else:
                _check_hashable(name, argument, value, "a tuple or a function")
        kinds = _kinds((*bound.args, *bound.kwargs.values()))
        with _one_at_a_time:  # two threads must not make two objects of equal calls
            return made(kinds, *bound.args, **bound.kwargs)

    return build


def _kinds(value: object) -> object:
    """The type of a value, and of all that is inside of a tuple."""
    inside = tuple(map(_kinds, value)) if isinstance(value, tuple) else ()
    return type(value), *inside


def _dtype(name: str, argument: str, value: DTypeLike) -> jnp.dtype:
    try:
        return jnp.dtype(value)
    except TypeError:
        raise TypeError(f"{name}: {argument} must be a dtype, got {value!r}") from None


def _check_hashable(name: str, argument: str, value: object, instead: str) -> None:
    try:
        hash(value)
    except TypeError:
        raise TypeError(
            f"{name}: {argument} must be hashable, so that equal calls give the same object; "
            f"got {type(value).__name__}: use {instead}"
        ) from None


def _bare(signature: inspect.Signature) -> list[inspect.Parameter]:
    """The parameters without types and defaults."""
    empty = inspect.Parameter.empty
    return [p.replace(annotation=empty, default=empty) for p in signature.parameters.values()]
