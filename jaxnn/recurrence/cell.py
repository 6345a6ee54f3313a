"""Cells: what a split or a step describes, with its two views; and cells of your own."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import jax

from jaxnn.internal.checks import check_batch_shape, check_state, is_array, shape_text
from jaxnn.internal.factory import factory, hides, this_call
from jaxnn.internal.inputs import check_event_ndim
from jaxnn.internal.options import check_callable
from jaxnn.internal.parameters import init_checked
from jaxnn.internal.users import call_user, check_leading, give_arrays
from jaxnn.recurrence.arguments import check_params_of, check_step, checked_step
from jaxnn.recurrence.description import Description, step
from jaxnn.recurrence.linear_split import LinearSplit
from jaxnn.recurrence.split import Split, Stepwise, hidden
from jaxnn.recurrence.unroll import unroll_of
from jaxnn.types import (
    Array,
    Cell,
    CellApply,
    InitialState,
    Key,
    Params,
    PyTree,
    SequenceLayer,
    State,
    appears_as,
    facts_of,
    with_facts,
)

P = TypeVar("P")
S = TypeVar("S")
U = TypeVar("U")
V = TypeVar("V")


def cell_of(description: Description, init: Callable[[Key], Params]) -> Cell:
    """The Cell that is described so."""
    name = description.name
    description = description._replace(init=init)
    checked = functools.partial(init_checked, name, init)
    return Cell(
        with_facts(checked, description.event_ndim, description=description),
        functools.partial(_apply, description),
        functools.partial(_first_state, description),
        unroll_of(description),
    )


def description_of(cell: Cell) -> Description | None:
    """What `cell_of` made a Cell from; None for a transformed cell."""
    found = facts_of(cell).description
    return found if isinstance(found, (Split, LinearSplit, Stepwise)) else None


def check_cell(name: str, argument: str, cell: object) -> None:
    """Raise TypeError unless cell is a Cell."""
    if not isinstance(cell, Cell):
        hint = f"; {cell} is a Layer already" if isinstance(cell, SequenceLayer) else ""
        raise TypeError(f"{name}: {argument} must be a Cell, got {cell!r}{hint}")


@appears_as("initial_state")
def _first_state(
    description: Description, params: Params, batch_shape: tuple[int, ...] = ()
) -> State:
    """The first state, for the parameters of this cell."""
    name = f"{description.name}.initial_state"
    check_batch_shape(name, batch_shape)
    check_params_of(name, description, params)
    state = description.initial_state(params, batch_shape)
    check_leading(name, f"initial_state(params, {batch_shape})", state, batch_shape)
    return state


@appears_as("apply")
def _apply(
    description: Description, params: Params, state: State, x: PyTree, key: Key | None = None
) -> tuple[State, PyTree]:
    """One time step."""
    batch = check_step(f"{description.name}.apply", description, params, state, x, key)
    if isinstance(description, Stepwise):
        return checked_step(description, batch, params, state, (x, key))
    return step(description, params, state, x, key)


@factory
@hides("init", "initial_state")
def cell(
    init: Callable[[Key], P],
    apply: Callable[..., tuple[S, PyTree]],
    initial_state: Callable[..., S],
    event_ndim: PyTree = 1,
) -> Cell[P, S]:
    """A cell of your own, from its step.

    Args:
      init: `init(key)` gives the parameters, any pytree.
      apply: `apply(params, state, x, key=None)`, or without a key, gives `(state, y)` for one step
        of the whole batch. The new state has the structure, shapes and dtypes of the old one. A
        fourth parameter is for the key, and is called `key`.
      initial_state: `initial_state(params, batch_shape=())` gives the first state, each leaf with
        the batch dimensions first.
      event_ndim: how many trailing dimensions of x are not batch: 1 for features, 0 for tokens, 3
        for images. x may be a tree of arrays that share their batch; then it is a tree of numbers
        like x, or one number for all of them: `(1, 0)` for features and the time since the last.

    Returns:
      A Cell, with masks, resets, reverse and everything else that is done with cells.

    Raises:
      TypeError: where apply takes other arguments than these; when it runs, for x that is another
        tree than event_ndim.
      ValueError: for a negative event_ndim; when it runs, for arrays that do not share their batch.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> average = jaxnn.cell(
    ...     init=lambda key: {"rate": jnp.array(0.5)},
    ...     apply=lambda params, state, x: (state + params["rate"] * (x - state),) * 2,
    ...     initial_state=lambda params, batch_shape=(): jnp.zeros((*batch_shape, 1)),
    ... )
    >>> params = average.init(jax.random.key(0))
    >>> state, ys = average.unroll(params, jnp.ones((3, 1)))
    >>> ys[:, 0].tolist()
    [0.5, 0.75, 0.875]
    """
    _check_functions("cell", init=init, apply=apply, initial_state=initial_state)
    event_ndim = check_event_ndim("cell", event_ndim)
    name = this_call()
    one: Any = functools.partial(call_user, name, "apply", _with_key(apply))
    own = functools.partial
    described = Stepwise(name, one, own(_initial_state, name, initial_state), event_ndim)
    return cell_of(described, own(_params, name, init))


@factory
@hides("init", "project", "mix", "initial_state")
def split_cell(
    init: Callable[[Key], P],
    project: Callable[[P, Array], U],
    mix: Callable[[P, S], V],
    combine: Callable[[P, U, V, S], S],
    initial_state: Callable[..., S],
    output: Callable[[S], PyTree] = hidden,
    event_ndim: PyTree = 1,
) -> Cell[P, S]:
    """A cell of your own, from the three functions that the fast path needs.

    Args:
      init: `init(key)` gives the parameters, any pytree.
      project: `project(params, x)`, what depends on the input only, for one step. Gives an array,
        or a tuple of one for each gate.
      mix: `mix(params, state)`, what is linear in the state: the matmul of the loop.
      combine: `combine(params, projected, mixed, state)` gives the new state, unit by unit; it may
        also multiply by a matrix of the parameters.
      initial_state: `initial_state(params, batch_shape=())`, each leaf with the batch first.
      output: `output(state)` gives y; by default the field `hidden` of the state.
      event_ndim: how many trailing dimensions of x are not batch, as in `cell`.

    Returns:
      A Cell. Nothing is cast: its dtypes are those of the parameters and the input. Where mix or
      combine turn out to be something else (a layer norm, say), its derivative is that of the plain
      scan, with the same results but slower; `jaxnn.explain` says so.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> leaky = jaxnn.split_cell(
    ...     init=lambda key: jax.random.normal(key, (2, 2)),
    ...     project=lambda kernel, x: x,
    ...     mix=lambda kernel, state: state @ kernel,
    ...     combine=lambda kernel, x, mixed, state: 0.9 * state + 0.1 * jnp.tanh(x + mixed),
    ...     initial_state=lambda kernel, batch_shape=(): jnp.zeros((*batch_shape, 2)),
    ...     output=lambda state: state,
    ... )
    >>> state, ys = leaky.unroll(leaky.init(jax.random.key(0)), jnp.ones((5, 3, 2)))
    >>> ys.shape
    (5, 3, 2)
    """
    functions = {"project": project, "mix": mix, "combine": combine, "output": output}
    _check_functions("split_cell", init=init, initial_state=initial_state, **functions)
    event_ndim = check_event_ndim("split_cell", event_ndim)
    name = this_call()
    own = functools.partial
    project, mix, combine, output = (
        own(give_arrays, name, each, function) for each, function in functions.items()
    )
    first = own(_initial_state, name, initial_state)
    combine = own(_combine, name, combine)
    split = Split(name, project, mix, combine, first, output, event_ndim)
    return cell_of(split, own(_params, name, init))


@factory
@hides("init", "coefficients", "initial_state")
def linear_cell(
    init: Callable[[Key], P],
    coefficients: Callable[[P, Array], tuple[PyTree, S]],
    initial_state: Callable[..., S],
    output: Callable[..., PyTree] = hidden,
    event_ndim: PyTree = 1,
) -> Cell[P, S]:
    """A cell of your own that is linear in its state: s' = a∘s + b. It may run parallel in time.

    Args:
      init: `init(key)` gives the parameters, any pytree.
      coefficients: `coefficients(params, x)` gives `(a, b)` of one step: trees like the state, real
        or complex (in complex arrays, or in a `jaxnn.Pair` of real ones). An a that is the same for
        the whole batch, whatever x is, may leave out the batch dimensions, and is taken for all
        steps at once.
      initial_state: `initial_state(params, batch_shape=())`, each leaf with the batch first.
      output: `output(state)`, or `output(params, state, x)`, gives y from the new state; by default
        the field `hidden` of the state. It is called on all steps at once, mapped.
      event_ndim: how many trailing dimensions of x are not batch, as in `cell`.

    Returns:
      A Cell. Nothing is cast: its dtypes are those of the parameters and the input. Its `unroll` is
      `jaxnn.linear_recurrence`, which says how it runs.

    Raises:
      TypeError: for what is no function, an output that takes other arguments than these, and, when
        it runs, where a and b are not like the state.
      ValueError: when it runs, where their shapes are not, or an a that depends on x has no batch.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> average = jaxnn.linear_cell(
    ...     init=lambda key: {"rate": jnp.array(0.5)},
    ...     coefficients=lambda params, x: (1 - params["rate"], params["rate"] * x),
    ...     initial_state=lambda params, batch_shape=(): jnp.zeros((*batch_shape, 1)),
    ...     output=lambda state: state,
    ... )
    >>> state, ys = average.unroll(average.init(jax.random.key(0)), jnp.ones((3, 1)))
    >>> ys[:, 0].tolist()
    [0.5, 0.75, 0.875]
    """
    functions = {"coefficients": coefficients, "output": output}
    _check_functions("linear_cell", init=init, initial_state=initial_state, **functions)
    event_ndim = check_event_ndim("linear_cell", event_ndim)
    name = this_call()
    own = functools.partial
    output = own(give_arrays, name, "output", _of_all(output))
    given = own(_coefficients, name, coefficients)
    first = own(_initial_state, name, initial_state)
    split = LinearSplit(name, given, first, output, event_ndim)
    return cell_of(split, own(_params, name, init))


def _coefficients(
    name: str,
    coefficients: Callable[..., tuple[PyTree, State]],
    params: Params,
    x: PyTree,
) -> tuple[PyTree, State]:
    """A pair of trees of arrays."""
    found = call_user(name, "coefficients", coefficients, params, x)
    if not isinstance(found, tuple) or len(found) != 2:
        raise TypeError(f"{name}: coefficients must give (a, b), got {shape_text(found)}")
    check_leading(f"{name}: coefficients", "(a, b)", found, ())
    return found


def _of_all(output: Callable[..., PyTree]) -> Callable[[Params, State, PyTree], PyTree]:
    """`output(params, state, x)` of one that may take the state alone."""
    signature = inspect.signature(output)
    open_ended = any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values())
    if _takes(signature, 1) and not open_ended:  # whatever else it takes are options of its own
        return functools.partial(_of_state, output)
    if _takes(signature, 3):
        return output
    raise TypeError(
        f"linear_cell: output must take (state) or (params, state, x); it takes {signature}"
    )


def _of_state(output: Callable[[State], PyTree], params: Params, state: State, x: PyTree) -> PyTree:
    del params, x
    return output(state)


def _params(name: str, init: Callable[[Key], Params], key: Key) -> Params:
    """The parameters, whose leaves may be plain numbers."""
    params = call_user(name, "init", init, key)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not is_array(leaf) and not isinstance(leaf, (bool, int, float, complex)):
            where = f"init{jax.tree_util.keystr(path)}"
            raise TypeError(f"{name}: {where} must give arrays, got {shape_text(leaf)}")
    return params


def _check_functions(name: str, **functions: object) -> None:
    for argument, function in functions.items():
        check_callable(name, argument, function)


def _initial_state(
    name: str, initial_state: InitialState, params: Params, batch_shape: tuple[int, ...] = ()
) -> State:
    return give_arrays(name, "initial_state", initial_state, params, batch_shape)


def _combine(
    name: str,
    combine: Callable[[Params, PyTree, PyTree, State], State],
    params: Params,
    projected: PyTree,
    mixed: PyTree,
    state: State,
) -> State:
    """The new state, like the old one."""
    new = combine(params, projected, mixed, state)
    check_state(name, "the new state", new, state, ": combine must keep its shapes and dtypes")
    return new


def _with_key(apply: Callable[..., tuple[State, PyTree]]) -> CellApply:
    """`apply` with a fourth argument, the key, which one without a parameter `key` does not get."""
    signature = inspect.signature(apply)
    named = [p for p in signature.parameters.values() if p.kind <= p.POSITIONAL_OR_KEYWORD]
    key = signature.parameters.get("key")
    bound = isinstance(apply, functools.partial) and "key" in apply.keywords
    by_name = key is not None and key.kind is key.KEYWORD_ONLY and not bound
    if not by_name and _takes(signature, 4):
        fourth = named[3].name if len(named) > 3 else "key"  # or *args
        if fourth == "key":
            return apply
        raise TypeError(
            f"cell: the fourth argument of apply is the key, so its parameter must be called key, "
            f"got {fourth!r}: rename it, or, if it is no key, give it its value by "
            f"functools.partial(apply, {fourth}=...)"
        )
    if _takes(signature, 3):
        return functools.partial(_key_by_name if by_name else _without_key, apply)
    raise TypeError(
        f"cell: apply must take (params, state, x, key=None) or (params, state, x); "
        f"it takes {signature}"
    )


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _key_by_name(
    apply: Callable[..., tuple[State, PyTree]],
    params: Params,
    state: State,
    x: PyTree,
    key: Key | None = None,
) -> tuple[State, PyTree]:
    return apply(params, state, x, key=key)


def _without_key(
    apply: Callable[..., tuple[State, PyTree]],
    params: Params,
    state: State,
    x: PyTree,
    key: Key | None = None,
) -> tuple[State, PyTree]:
    del key
    return apply(params, state, x)
