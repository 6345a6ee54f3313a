"""Names for the parts of a whole: its params and its states are NamedTuples of these fields."""

import collections
import functools
import keyword
from collections.abc import Iterable
from typing import Any

import jax

from jaxnn.internal.checks import check_tuple, outline_text, type_text

Names = tuple[str, ...]


@functools.lru_cache(maxsize=1024)
def named(names: Names) -> type[tuple[Any, ...]]:
    """The NamedTuple of some names, one type for equal names.

    It can be pickled, and what has one in its arguments can be exported; the process that reads the
    export needs the type, that is, to have built a model of these names before.

    >>> named(("encoder", "head"))(1, 2).head
    2
    """
    kind: Any = collections.namedtuple("Named", names)
    kind.__reduce__ = lambda self: (_restored, (names, tuple(self)))
    kind.__module__ = __name__
    known = f"jaxnn.named.{'.'.join(names)}"
    jax.export.register_namedtuple_serialization(kind, serialized_name=known)
    return kind


def _restored(names: Names, values: Iterable[Any]) -> tuple[Any, ...]:
    return joined(names, values)


def joined(names: Names | None, values: Iterable[Any]) -> tuple[Any, ...]:
    """One value for each part: a tuple, or the NamedTuple of their names."""
    return tuple(values) if names is None else named(names)(*values)


def check_joined(name: str, argument: str, value: object, names: Names | None, count: int) -> None:
    """Raise unless value has one entry for each part, by their names where they have some."""
    if names is None:
        check_tuple(name, argument, value, count)
    elif type(value) is not named(names):
        fields = ", ".join(names)
        alike = getattr(value, "_fields", None) == names
        raise TypeError(
            f"{name}: {argument} must be a NamedTuple of ({fields}), as init and initial_state "
            f"give it; got {type_text(value) if alike else outline_text(value)}"
        )


def check_names(kind: str, names: object, count: int) -> Names | None:
    """The names of the parts, or None.

    Raises:
      TypeError: for what is no tuple of strings.
      ValueError: for another number of them than of parts, for equal ones, and for one that cannot
        be the field of a NamedTuple.
    """
    if names is None:
        return None
    if not isinstance(names, tuple) or not all(isinstance(each, str) for each in names):
        raise TypeError(f"{kind}: names must be a tuple of words, one for each part; got {names!r}")
    if len(names) != count:
        raise ValueError(f"{kind}: names must be one for each of {count} parts, got {len(names)}")
    for each in names:
        if not each.isidentifier() or keyword.iskeyword(each) or each.startswith("_"):
            raise ValueError(
                f"{kind}: names must be such as can be fields, without a first _; got {each!r}"
            )
        if each in ("count", "index"):
            raise ValueError(f"{kind}: names must not be {each!r}, which every tuple has already")
        if names.count(each) > 1:
            raise ValueError(f"{kind}: names must differ, got {each!r} twice")
    return names
