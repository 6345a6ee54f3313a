"""How a recurrence runs: each method as a value of one type, and the one place that chooses.

`sequential` is the reference, the plain scan of any step. `fast` runs a split the same way, with a
derivative rule of its own (`jaxnn.derivative`), which falls back to the derivative of the scan
where it may not be taken; what that depends on is looked at only when somebody differentiates.
`whole steps` is what that does where `combine` mixes units: half of the rule.
`blocks` is for long sequences that nobody differentiates, `at once` for a cell that needs no loop.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.export

from jaxnn.derivative.analysis import NotPointwise, Recurrence
from jaxnn.derivative.jaxprs import why_not_closed
from jaxnn.derivative.rule import run_loop, why_or_how
from jaxnn.internal.checks import outline_text
from jaxnn.internal.inputs import batch_of, time_of
from jaxnn.internal.mesh import on_mesh
from jaxnn.recurrence.affine_split import run_affine, why_not_affine
from jaxnn.recurrence.arguments import Arguments, checked_step, keys_of
from jaxnn.recurrence.blocks import run_blocks
from jaxnn.recurrence.description import Description, step as step_once
from jaxnn.recurrence.linear_split import LinearSplit, run_linear_split
from jaxnn.recurrence.split import (
    Split,
    Stepwise,
    loop_of,
    outline_of_projected,
    parameters,
    prepare_all,
    step_of,
)
from jaxnn.scans.boundaries import Boundaries
from jaxnn.scans.linear import METHODS as LINEAR_METHODS, Method as LinearMethod, OverDevices
from jaxnn.scans.over_devices import SHARDS, TimeShards
from jaxnn.scans.sequential import laid_out, scan
from jaxnn.types import Params, PyTree, State

LARGE, BLOCK = 2**24, 2**22
"""In bytes: what is projected in blocks, and what a block may take."""


class Method(NamedTuple):
    """One way to run a recurrence.

    `refuses(description, params, arguments)` gives the reason why it cannot be taken, or None;
    `run(description, params, arguments, boundaries)` gives the final state and the outputs, of
    which those at masked steps mean nothing. `refuses_derivative` is asked by `explain` alone: the
    reason why its derivative would be that of the next method.
    """

    name: str
    refuses: Callable[[Description, Params, Arguments], str | None]
    run: Callable[[Description, Params, Arguments, Boundaries], tuple[State, PyTree]]
    refuses_derivative: Callable[[Description, Params, Arguments, Boundaries], str | None]


class Choice(NamedTuple):
    """Which method runs one recurrence: for its values, and where it is differentiated; the reasons
    of those that refused, and of those that refused to be differentiated."""

    name: str
    xs: str
    values: str
    derivative: str
    refusals: dict[str, str]


_listening: contextvars.ContextVar[list[Choice] | None] = contextvars.ContextVar(
    "choices", default=None
)

_asked: contextvars.ContextVar[str | None] = contextvars.ContextVar("asked", default=None)


def choose(
    description: Description,
    params: Params,
    arguments: Arguments,
    at: Boundaries,
    methods: tuple[Method, ...] | None = None,
    shards: TimeShards | None = None,
) -> Method:
    """The first of the methods that does not refuse; where time lies over devices, the one."""
    asked = _asked.get()
    if shards is not None:
        methods = (over_devices(shards, asked),)
        refused = methods[0].refuses(description, params, arguments)
        if refused is not None:
            raise ValueError(f"{description.name} cannot be cut along time: {refused}")
    elif asked is not None:
        methods = (BY_NAME[asked],)
        refused = methods[0].refuses(description, params, arguments)
        if refused is not None:
            raise ValueError(f"{description.name}: method {asked!r} cannot run it: {refused}")
    methods = _methods_of(description) if methods is None else methods
    chosen = next(m for m in methods if m.refuses(description, params, arguments) is None)
    heard = _listening.get()
    if heard is not None:
        heard.append(_explained(methods, chosen, description, params, arguments, at))
    return chosen


def _methods_of(description: Description) -> tuple[Method, ...]:
    """Those that are asked in turn."""
    return METHODS if _refuses_at_once(description) else (AT_ONCE, SEQUENTIAL)


@contextlib.contextmanager
def listening() -> Iterator[list[Choice]]:
    """Collects the choices of all recurrences that run inside."""
    heard: list[Choice] = []
    token = _listening.set(heard)
    try:
        yield heard
    finally:
        _listening.reset(token)


@contextlib.contextmanager
def asking(method: str) -> Iterator[None]:
    """All recurrences that run inside run by the method of that name."""
    token = _asked.set(method)
    try:
        yield
    finally:
        _asked.reset(token)


def is_attended() -> bool:
    """Whether somebody wants to hear of choices, or has one of them, so that no compiled function
    may answer."""
    if _listening.get() is not None or _asked.get() is not None:
        return True
    return SHARDS.get() is not None


def asked() -> str | None:
    """The method that all recurrences are asked to run by, if there is one."""
    return _asked.get()


def tell(choice: Choice) -> None:
    """Say by which method something runs that has not been chosen here."""
    heard = _listening.get()
    if heard is not None:
        heard.append(choice)


def _explained(
    methods: tuple[Method, ...],
    chosen: Method,
    description: Description,
    params: Params,
    arguments: Arguments,
    at: Boundaries,
) -> Choice:
    refusals: dict[str, str] = {}
    differentiated = ""
    for method in methods:
        reason = method.refuses(description, params, arguments)
        reason = reason or method.refuses_derivative(description, params, arguments, at)
        if reason is not None:
            if method is not WHOLE_STEPS or reason not in refusals.values():
                refusals[method.name] = reason
        elif not differentiated:
            differentiated = method.name
    # The values of the fast method are those of the plain scan.
    values = differentiated if chosen.name in refusals and chosen is FAST else chosen.name
    xs = outline_text(arguments.xs)
    return Choice(description.name, xs, values, differentiated, refusals)


def run_projected(
    split: Split, params: Params, projected: PyTree, arguments: Arguments, at: Boundaries
) -> tuple[State, PyTree]:
    """The fast method, once the input of all steps is projected."""
    step, both = step_of(split, params), parameters(split, params)
    state, start = laid_out(step, projected, arguments.state, arguments.start)
    return run_loop(loop_of(split), arguments.reverse, both, projected, state, start, at)


def _run_fast(
    split: Any, params: Params, arguments: Arguments, at: Boundaries
) -> tuple[State, PyTree]:
    projected = prepare_all(split, params, arguments.xs, split.draw and keys_of(arguments))
    return run_projected(split, params, projected, arguments, at)


def _refuses_fast(description: Description, params: Params, arguments: Arguments) -> str | None:
    if isinstance(description, LinearSplit):
        return "it is a linear recurrence"
    if not isinstance(description, Split):
        return "the cell is known by its step alone: jaxnn.split_cell takes it apart"
    if description.closed:
        return None

    def step(params: Params, state: State, projected: PyTree) -> tuple[State, PyTree]:
        return step_of(description, params)(state, projected)

    projected = outline_of_projected(description, params, arguments.xs)
    return why_not_closed(jax.make_jaxpr(step)(params, arguments.state, projected))


def _analysed(
    split: Any, params: Params, arguments: Arguments, at: Boundaries
) -> Recurrence | NotPointwise | str:
    projected = prepare_all(split, params, arguments.xs, split.draw and keys_of(arguments))
    both, first = parameters(split, params), (arguments.state, arguments.start)
    return why_or_how(loop_of(split), both, projected, *first, at)


def _refuses_rule(split: Any, params: Params, arguments: Arguments, at: Boundaries) -> str | None:
    found = _analysed(split, params, arguments, at)
    if isinstance(found, NotPointwise):
        return found.reason
    return found if isinstance(found, str) else None


def _refuses_whole(split: Any, params: Params, arguments: Arguments, at: Boundaries) -> str | None:
    found = _analysed(split, params, arguments, at)
    return found if isinstance(found, str) else None


def _refuses_linear(description: Description, params: Params, arguments: Arguments) -> str | None:
    if isinstance(description, LinearSplit):
        return None
    if not isinstance(description, Split):
        return "the cell is known by its step alone: jaxnn.linear_cell takes it apart"
    if description.dtype is not None:
        return "its step has a product with the state"
    if description.draw is not None and arguments.key is not None:
        return "its steps draw"
    return why_not_affine(description, params, arguments)


def _refuses_parallel(description: Description, params: Params, arguments: Arguments) -> str | None:
    if not isinstance(time_of(arguments.xs), int):
        return "the number of steps is not known"
    return _refuses_linear(description, params, arguments)


def over_devices(shards: TimeShards, asked: str | None) -> Method:
    """The method of sequences that are cut along time."""
    name = f"over {shards.devices} devices along {shards.axis!r}"
    linear = None if asked == "linear" else asked
    run = functools.partial(_run_parts, OverDevices(shards, linear))
    return Method(name, functools.partial(_refuses_parts, linear), run, _nothing)


def _run_parts(
    over: OverDevices, description: Any, params: Params, arguments: Arguments, at: Boundaries
) -> tuple[State, PyTree]:
    if isinstance(description, Stepwise) and description.over_devices is not None:
        return description.over_devices(over.shards, params, arguments)
    return _run_linear(over, description, params, arguments, at)


def _refuses_parts(
    asked: str | None, description: Description, params: Params, arguments: Arguments
) -> str | None:
    at_once = isinstance(description, Stepwise) and description.over_devices is not None
    if asked not in (None, *((AT_ONCE.name,) if at_once else LINEAR_METHODS)):
        return f"method {asked!r} runs whole sequences"
    if at_once:
        return None
    reason = _refuses_linear(description, params, arguments)
    if reason is None:
        return None
    return (
        f"it is not linear in its state ({reason}), so that each device would wait for the one "
        f"before it, and nothing would be won. Lay the batch over the devices instead, as "
        f"jaxnn.training.train_step(..., mesh) does; where memory is short, jaxnn.remat helps"
    )


def _run_linear(
    method: LinearMethod, split: Any, params: Params, arguments: Arguments, at: Boundaries
) -> tuple[State, PyTree]:
    if isinstance(split, LinearSplit):
        return run_linear_split(split, params, arguments, method)
    return run_affine(split, params, arguments, at, method)


def _run_sequential(
    description: Description, params: Params, arguments: Arguments, at: Boundaries
) -> tuple[State, PyTree]:
    xs = arguments.xs
    if isinstance(description, Split):
        step, keys = step_of(description, params), description.draw and keys_of(arguments)
        inputs = prepare_all(description, params, xs, keys)
    elif isinstance(description, LinearSplit):
        step, inputs = functools.partial(step_once, description, params), xs
    else:
        batch = batch_of(xs, description.event_ndim)
        step = functools.partial(checked_step, description, batch, params)
        inputs = xs, keys_of(arguments)
    state, start = laid_out(step, inputs, arguments.state, arguments.start)
    final, (_, ys) = scan(description.name, step, inputs, state, start, at, arguments.reverse)
    return final, ys


def _refuses_at_once(description: Description, *_: object) -> str | None:
    if isinstance(description, Stepwise) and description.at_once is not None:
        return None
    return "each step needs the state that the one before it gives"


def _run_at_once(
    description: Any, params: Params, arguments: Arguments, at: Boundaries
) -> tuple[State, PyTree]:
    del at
    return description.at_once(params, arguments)


def _refuses_blocks(description: Description, params: Params, arguments: Arguments) -> str | None:
    if not isinstance(description, Split):
        return "nothing is projected before the loop"
    if description.draw is not None and arguments.key is not None:
        return "its steps draw"
    steps = steps_of_a_block(description, params, arguments.xs)
    return steps if isinstance(steps, str) else None


def steps_of_a_block(split: Split, params: Params, xs: PyTree) -> Any:
    """How many; or the reason why a sequence is to run in one piece."""
    given = jax.tree.leaves(xs)
    if any(map(jax.export.is_symbolic_dim, [size for leaf in given for size in leaf.shape])):
        return "the number of steps or sequences is not known"
    time = given[0].shape[0]
    if not time or any(map(on_mesh, given)):
        return "the sequence has no steps, or lies on a mesh"
    leaves = jax.tree.leaves(outline_of_projected(split, params, xs))
    size = sum([math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves])
    if size * time <= LARGE:
        size *= time
        return f"its projected input takes {size:,} bytes, and blocks pay above {LARGE:,}"
    return max(1, BLOCK // size)


def _run_blocks(
    split: Any, params: Params, arguments: Arguments, at: Boundaries
) -> tuple[State, PyTree]:
    steps = steps_of_a_block(split, params, arguments.xs)

    def run(
        params: Params, xs: PyTree, state: State, start: State, at: Boundaries
    ) -> tuple[State, PyTree]:
        return _run_fast(split, params, arguments._replace(xs=xs, state=state, start=start), at)

    given = params, arguments.xs, arguments.state, arguments.start, at
    return run_blocks(run, arguments.reverse, steps, *given)


def _nothing(*_: object) -> None:
    """No reason at all."""


def _no_derivative(*_: object) -> str:
    return "a derivative keeps the projected input of all steps anyway"


AT_ONCE = Method("at once", _refuses_at_once, _run_at_once, _nothing)
BLOCKS = Method("blocks", _refuses_blocks, _run_blocks, _no_derivative)
LINEAR = Method("linear", _refuses_linear, functools.partial(_run_linear, None), _nothing)
FAST = Method("fast", _refuses_fast, _run_fast, _refuses_rule)
WHOLE_STEPS = Method("whole steps", _refuses_fast, _run_fast, _refuses_whole)
SEQUENTIAL = Method("sequential", _nothing, _run_sequential, _nothing)
IN_ONE_PIECE = (LINEAR, FAST, WHOLE_STEPS, SEQUENTIAL)
METHODS = (LINEAR, BLOCKS, FAST, WHOLE_STEPS, SEQUENTIAL)
BY_NAME = {
    **{method.name: method for method in (*METHODS, AT_ONCE)},
    **{
        name: Method(name, refuses, functools.partial(_run_linear, name), _nothing)
        for name, refuses in (
            ("scan", _refuses_linear),
            ("associative", _refuses_parallel),
            ("chunked", _refuses_parallel),
        )
    },
}
