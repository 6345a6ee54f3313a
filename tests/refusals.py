"""Wrong calls of the whole library, made from tables: each function, argument and kind of value.

A group holds the wrong values of one argument of one function. `refuse` makes its calls from a call
that is right by putting each wrong value in the place of the right one. Calls, cells and parameters
are made when they are asked for.
"""

import ast
import functools
import importlib
import pathlib
import re
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from wrong_values import Pool

import jaxnn

HOME = pathlib.Path(jaxnn.__file__).parent
TIME, BATCH, FEATURES, HIDDEN = 2, 2, 3, 4
Words = str | tuple[str, ...]


class Group(NamedTuple):
    """Wrong calls of one function by one argument.

    names: what the message may call the function, names it must have one of; words: the same for
    the argument; calls: a call for each wrong value; ours: whether the library itself must raise,
    and not Python, which checks the arguments of plain functions.
    """

    names: tuple[str, ...]
    words: tuple[str, ...]
    calls: Callable[[], dict[str, Callable[[], Any]]]
    ours: bool = True


GROUPS: dict[str, Group] = {}
TABLES = (
    "refusals_models",
    "refusals_options",
    "refusals_initializers",
    "refusals_own",
    "refusals_functions",
    "refusals_diagnostics",
    "refusals_data",
    "refusals_training",
    "refusals_online",
    "refusals_export",
    "refusals_decoding",
    "refusals_interop",
    "refusals_onnx",
)


def all_groups() -> dict[str, Group]:
    """The groups of every table."""
    for table in TABLES:
        importlib.import_module(table)
    return GROUPS


def _words(words: Words) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else words


def add(
    where: str,
    names: Words,
    words: Words,
    calls: Callable[[], dict[str, Callable[[], Any]]] | dict[str, Callable[[], Any]],
    ours: bool = True,
) -> None:
    """A group of calls that are written out."""
    assert where not in GROUPS, where
    ready = calls if callable(calls) else lambda: calls
    GROUPS[where] = Group(_words(names), _words(words), ready, ours)


def refuse(
    where: str,
    make: Callable[[], Callable[..., Any]],
    right: Any,
    names: Words | None = None,
    words: dict[str, Words] | None = None,
    **pools: Pool | Callable[[Any], Pool],
) -> None:
    """A group for each argument: `make()(**right)` is right, and wrong with a value of the pool.

    right: the right arguments, or a function that gives them; pools: the wrong values of each
    argument, or a function that makes them of the right one.
    """
    for argument, pool in pools.items():
        add(
            f"{where}-{argument}",
            names or where.split(".")[0],
            (words or {}).get(argument, argument),
            functools.partial(_calls, make, right, argument, pool),
        )


def _calls(
    make: Callable[[], Callable[..., Any]], right: Any, argument: str, pool: Any
) -> dict[str, Callable[[], Any]]:
    def arguments() -> Any:
        return right() if callable(right) else right

    def call(value: Any) -> Any:
        return make()(**{**arguments(), argument: value})

    values: Any = pool(arguments().get(argument)) if callable(pool) else pool
    return {what: functools.partial(call, value) for what, value in values.items()}


def filled(model: Any) -> Any:
    """Parameters as `init` gives them, of one number and in numpy, which needs no program."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree.map(lambda leaf: np.full(leaf.shape, 0.1, leaf.dtype), shapes)


def zeros(state: Any) -> Any:
    """A state in numpy."""
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), state)


# What a refusal is --------------------------------------------------------------------------------


def verdict(group: Group, call: Callable[[], Any]) -> tuple[str, str]:
    """How a wrong call ends, "ours" where it is as it should be, and what came."""
    try:
        result = call()
    except Exception as error:
        text = f"{type(error).__name__}: {str(error).strip().split(chr(10) + chr(10))[0][:300]}"
        python = not group.ours and isinstance(error, TypeError)
        if not isinstance(error, (TypeError, ValueError)) or not (python or _is_raised_here(error)):
            return "foreign", f"{text} (raised {_place(error)})"
        for kind, words in (("function", group.names), ("argument", group.words)):
            if not any(_says(str(error), word) for word in words):
                return f"no name of the {kind}", f"no {' or '.join(words)} in {text}"
        return "ours", text
    return "silent", f"nothing was raised, and it gave {_shown(result)}"


def _says(text: str, word: str) -> bool:
    return re.search(rf"(?<![A-Za-z0-9_]){re.escape(word)}(?![A-Za-z0-9_])", text) is not None


def _shown(result: Any) -> str:
    return f"{type(result).__name__} {str(result)[:60]!r}".replace("\n", " ")


def _last(error: BaseException) -> traceback.FrameSummary:
    return traceback.extract_tb(error.__traceback__)[-1]


def _place(error: BaseException) -> str:
    last = _last(error)
    return f"at {pathlib.Path(last.filename).name}:{last.lineno}"


def _is_raised_here(error: BaseException) -> bool:
    """Whether a `raise` statement of the library raised it."""
    last = _last(error)
    path = pathlib.Path(last.filename)
    if HOME not in path.parents:
        return False
    return any(first <= (last.lineno or 0) <= end for first, end in _raises(path))


@functools.cache
def _raises(path: pathlib.Path) -> list[tuple[int, int]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        (n.lineno, n.end_lineno or n.lineno) for n in ast.walk(tree) if isinstance(n, ast.Raise)
    ]
