"""How a layer or cell was made: by which factory, with which options, of which parts.

The factory keeps it beside what it makes. Printing, pickling, `explain` and whoever needs the
inside of a model read it here: nothing looks into the functions that a model is made of.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnn.internal.calls import packed, unpacked
from jaxnn.types import Cell, Layer, SequenceLayer, facts_of

MODELS = (Layer, SequenceLayer, Cell)
_MANY = inspect.Parameter.VAR_POSITIONAL


class Parts(NamedTuple):
    """A factory and its arguments; calling `make` gives the same object again.

    Attributes:
      kind: the name of the factory: "lstm", "stack".
      options: its other arguments by name, those too that are as by default.
      parts: the layers and cells among its arguments, by the name of the argument; where there are
        any number of them by their `names`, or else by "0", "1", …: as in the paths of the params.
      factory: what is called.
    """

    kind: str
    options: dict[str, Any]
    parts: dict[str, "Parts"]
    factory: Callable[..., Any]

    def make(self) -> Any:
        """The layer or cell itself."""
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for name, parameter in inspect.signature(self.factory).parameters.items():
            if parameter.kind is _MANY:
                positional = [part.make() for part in self.parts.values()] or [*self.options[name]]
            elif name not in self.options:
                named[name] = self.parts[name].make()
            else:
                named[name] = self.options[name]
        return self.factory(*positional, **named)

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(self._given())})"

    def __repr__(self) -> str:
        return f"Parts({self})"

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (self.kind, packed(self.options), self.parts, self.factory)

    def _given(self) -> Iterator[str]:
        """The arguments as one would write them, less those that are as by default, and less what
        fills the parameters."""
        hidden, by_name = getattr(self.factory, "hidden", ()), False
        for parameter in inspect.signature(self.factory).parameters.values():
            name, default = parameter.name, parameter.default
            if parameter.kind is _MANY:
                yield from (
                    map(str, self.parts.values()) if self.parts else map(_text, self.options[name])
                )
                continue
            value = self.options[name] if name in self.options else self.parts[name]
            required = default is inspect.Parameter.empty
            if name in hidden or name.endswith("_init") or (not required and _same(value, default)):
                by_name = by_name or not required
            elif not by_name and (required or isinstance(value, Parts)):
                yield _text(value)
            else:
                by_name = True
                yield f"{name}={_text(value)}"


def parts(model: Layer | SequenceLayer | Cell) -> Parts:
    """How a model was made, as a plain tree.

    Args:
      model: a Layer, a SequenceLayer or a Cell.

    Returns:
      A tree of `Parts(kind, options, parts, factory)`: exactly what made it, in the factory's own
      words. Of a model that no factory made (`jaxnn.Layer(init, apply)`), its functions.

    Raises:
      TypeError: for anything else.

    >>> import jaxnn
    >>> tree = jaxnn.parts(jaxnn.stack(jaxnn.lstm(3, 8, peephole=True), jaxnn.dense(8, 2)))
    >>> tree.kind, tree.parts["0"].kind, tree.parts["0"].options["hidden_size"]
    ('stack', 'lstm', 8)
    >>> print(tree.parts["1"])
    dense(8, 2)
    """
    if not isinstance(model, MODELS):
        raise TypeError(f"parts: model must be a Layer, a SequenceLayer or a Cell, got {model!r}")
    known = facts_of(model).parts
    if known is not None:
        return known
    kind: Any = type(model)
    return Parts(kind.__name__, model._asdict(), {}, kind)


def parts_of_call(factory: Callable[..., Any], bound: inspect.BoundArguments) -> Parts:
    """The Parts of a call of a factory, whose arguments are all bound."""
    options: dict[str, Any] = {}
    found: dict[str, Parts] = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if isinstance(value, MODELS):
            found[name] = parts(value)
        elif kind is _MANY and value and all(isinstance(each, MODELS) for each in value):
            keys = bound.arguments.get("names")
            if not isinstance(keys, tuple) or len(set(keys)) != len(value):
                keys = tuple(map(str, range(len(value))))
            found |= {key: parts(part) for key, part in zip(keys, value, strict=True)}
        else:
            options[name] = value
    return Parts(factory.__name__, options, found, factory)


def _restored(
    kind: str, options: dict[str, Any], parts: dict[str, Parts], factory: Callable[..., Any]
) -> Parts:
    return Parts(kind, unpacked(options), parts, factory)


def _same(value: object, default: Any) -> bool:
    if isinstance(value, np.dtype) and default is not None:
        return value == jnp.dtype(default)
    return value is default or (type(value) is type(default) and value == default)


def _text(value: object) -> str:
    if isinstance(value, np.dtype):
        return repr(str(value))
    if isinstance(value, np.integer):
        return str(value)
    if isinstance(value, (Parts, *MODELS)):
        return str(value)
    if isinstance(value, functools.partial):
        return f"partial({_text(value.func)})"
    if callable(value) and not isinstance(value, tuple):
        return getattr(value, "__name__", repr(value))
    return repr(value)
