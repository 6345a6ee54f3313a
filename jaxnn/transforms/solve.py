"""The same cell, whose whole sequence is solved at once: Newton over time."""

import functools
from typing import Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from jaxnn.internal.checks import is_traced, naming, outline_text
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.inputs import time_of
from jaxnn.internal.options import check_bool, check_number, check_option, check_size
from jaxnn.internal.parameters import init_checked
from jaxnn.recurrence.arguments import Arguments, begun, check_given, checked
from jaxnn.recurrence.cell import cell_of, check_cell, description_of
from jaxnn.recurrence.description import Description
from jaxnn.recurrence.methods import Choice, asked, tell
from jaxnn.recurrence.newton import Certificate, Goal, solved_states
from jaxnn.recurrence.split import Split, Stepwise, loop_of
from jaxnn.recurrence.sweeps import begins, steps_of, why_not_solved
from jaxnn.recurrence.unroll import unroll_by, zero_outputs
from jaxnn.scans.boundaries import boundaries, where
from jaxnn.types import (
    Array,
    ArrayLike,
    Cell,
    Key,
    Params,
    PyTree,
    State,
    exportable,
    facts_of,
    with_facts,
)

P = TypeVar("P")
S = TypeVar("S")
METHODS = ("full", "unit")


class Solver(NamedTuple):
    """What `solve` was given: the cell, by its description, and when to stop."""

    cell: Cell
    description: Description
    method: str
    goal: Goal


@exportable
class Solution(NamedTuple, Generic[S]):
    """What `unroll` of a solved cell gives, `state` and `ys`, and its certificate.

    sweeps: how many there were. residual: max |s_t − f(s_{t−1}, x_t)| / max(1, |s_t|) after them,
    over the whole batch; NaN where something was not finite. converged: whether it met the
    tolerance; where it is False, `state` and `ys` are those of the sequential scan.
    """

    state: S
    ys: PyTree
    sweeps: Array
    residual: Array
    converged: Array


@factory
def solve(
    cell: Cell[P, S], method: str = "full", tolerance: float = 1e-6, sweeps: int = 50
) -> Cell[P, S]:
    """A cell whose `unroll` finds all states at once, by Newton's method over time.

    From a guess for all states, a few sweeps, each parallel in time, take the place of T steps.
    They converge where the cell forgets, a gated cell at its default initialisation in 3 to 5
    sweeps, and not at all where it is chaotic. What has not converged is never returned: then the
    sequential scan runs, and gives what `cell.unroll` gives. `jaxnn.solution` tells which it was.

    On a CPU it does not pay: on two cores `cell.unroll` takes a third to a five-hundredth of the
    time (`python -m benchmarks.newton --time`). It can on an accelerator, for long sequences, few
    of them, and a small state.

    Args:
      cell: any Cell. One that is made of others, such as a `stack`, has one large state: rather
        stack the solved ones.
      method: "full" takes the whole Jacobian of each step: the fewest sweeps, for every cell, and
        memory for time · batch · size² numbers, where size is that of the state of one sequence.
        "unit" takes from it, for each unit, how its own leaves depend on each other: time · batch ·
        size · leaves numbers, no matrix, more sweeps. For a cell that is a split and works unit by
        unit: `elman`, `gru` with the reset after, `lstm`.
      tolerance: what |s_t − f(s_{t−1}, x_t)| ≤ tolerance · max(1, |s_t|) must hold to, in every
        entry of every state.
      sweeps: so many at most, before the sequential scan runs. All sequences of a batch, also of
        one that `vmap` makes, are swept together, and fall back together.

    Returns:
      A Cell with the params, states and outputs of `cell`, to the tolerance; masks, resets, reverse
      and all else as `unroll` has them. `apply` is one step of `cell`. Its gradient is that of
      backpropagation through the states that were found: the sweeps solve for it too, to rounding,
      or it runs step by step. Second derivatives run step by step. In 16-bit arithmetic the steps
      are too coarse for the default tolerance, so that the scan runs after all: give a larger one.

    Raises:
      TypeError: where cell is no Cell, and for a tolerance that is no number.
      ValueError: for another method, a tolerance that is not positive, sweeps below 1; when it
        runs, for a state that is not floating, or of two dtypes, for "unit" where a step does not
        work unit by unit (`gru` with the reset before, `mgu`, `ltc` of several parts, `mlstm`, the
        cells of images, a cell by its step), for a key to a cell that is made of others, and on a
        mesh with explicit axes.

    Source: Lim et al. 2024 (arXiv 2309.12252), "full"; Gonzalez et al. 2024 (arXiv 2407.19115),
    "unit" (theirs is the diagonal).

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell, xs = jaxnn.gru(3, 4), jnp.ones((100, 3))
    >>> params = cell.init(jax.random.key(0))
    >>> state, ys = jaxnn.solve(cell).unroll(params, xs)
    >>> bool(jnp.allclose(ys, cell.unroll(params, xs)[1], atol=1e-5))
    True
    """
    check_cell("solve", "cell", cell)
    check_option("solve", "method", method, METHODS)
    tolerance = check_number("solve", "tolerance", tolerance, above=0)
    goal = Goal(tolerance, check_size("solve", "sweeps", sweeps))
    name, facts = this_call(), facts_of(cell)
    event_ndim = 1 if facts.event_ndim is None else facts.event_ndim
    description = description_of(cell)
    if description is None:
        step = functools.partial(_step, cell)
        description = Stepwise(name, step, cell.initial_state, event_ndim, cell.init)
    description = description._replace(name=name)
    solver = Solver(cell, description, method, goal)
    init = functools.partial(init_checked, name, cell.init)
    init = with_facts(init, event_ndim, facts.each_step, solver)
    _, apply, initial_state, _ = cell_of(description, cell.init)
    return Cell(init, apply, initial_state, unroll_by(_run, name, solver))


def _step(
    cell: Cell, params: Params, state: State, x: PyTree, key: Key | None = None
) -> tuple[State, PyTree]:
    return cell.apply(params, state, x, key)


def solution(
    cell: Cell[P, S],
    params: P,
    xs: PyTree,
    state: S | None = None,
    mask: ArrayLike | None = None,
    reset: ArrayLike | None = None,
    reverse: bool = False,
    key: Key | None = None,
    start: S | None = None,
) -> Solution[S]:
    """`unroll` of a cell that `solve` made, with the certificate of what it gives.

    Args:
      cell: what `jaxnn.solve` gives.
      params, xs, state, mask, reset, reverse, key, start: as `unroll` takes them.

    Returns:
      A Solution: state, ys, sweeps, residual, converged. A small residual means that the states
      are those of a cell whose steps are perturbed by no more than that, as the rounded ones of the
      scan are. Where the cell contracts, each step by a factor c < 1, they are off by
      residual / (1 − c) at most; where it is chaotic, two such trajectories may lie far apart.

    Raises:
      TypeError: for another cell, and what `unroll` raises.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.solve(jaxnn.gru(3, 4))
    >>> found = jaxnn.solution(cell, cell.init(jax.random.key(0)), jnp.ones((100, 3)))
    >>> bool(found.converged), int(found.sweeps) <= 5
    (True, True)
    """
    check_cell("solution", "cell", cell)
    solver = facts_of(cell).description
    if not isinstance(solver, Solver):
        raise TypeError(f"solution: cell must be one that jaxnn.solve made, got {cell!r}")
    if is_traced(reverse):
        raise TypeError("solution: reverse must be known when traced: under jit, make it static")
    check_bool("solution", "reverse", reverse)
    arguments = Arguments(xs, state, mask, reset, reverse, key, start)
    with naming("solution"):
        check_given(f"{solver.description.name}", params, arguments)
        return _jitted(solver, params, *arguments)


@functools.partial(jax.jit, static_argnames=("solver", "reverse"))
def _jitted(
    solver: Solver,
    params: Params,
    xs: PyTree,
    state: State | None,
    mask: ArrayLike | None,
    reset: ArrayLike | None,
    reverse: bool,
    key: Key | None,
    start: State | None,
) -> Solution:
    arguments = Arguments(xs, state, mask, reset, reverse, key, start)
    state, ys, certificate = _solved(solver, params, arguments)
    sweeps, residual = certificate
    return Solution(state, ys, sweeps.astype(jnp.int32), residual, certificate.meets(solver.goal))


def _run(name: str, solver: Solver, params: Params, arguments: Arguments) -> tuple[State, PyTree]:
    if asked() is not None:
        with naming(name):
            return solver.cell.unroll(params, *arguments)
    state, ys, _ = _solved(solver, params, arguments)
    return state, ys


def _solved(
    solver: Solver, params: Params, arguments: Arguments
) -> tuple[State, PyTree, Certificate]:
    """The final state, the outputs, and how they came about."""
    described, method = solver.description, solver.method
    name = f"{described.name}.unroll"
    checked(name, described, params, arguments)
    if arguments.key is not None and description_of(solver.cell) is None:
        raise ValueError(
            f"{name}: it takes no key, since it goes step by step through a cell that is made of "
            f"others: solve those, and make it of them"
        )
    arguments = begun(name, described, params, arguments)
    if reason := why_not_solved(method, described, params, arguments):
        raise ValueError(f"{name}: method {method!r} cannot solve it: {reason}")
    tell(Choice(described.name, outline_text(arguments.xs), "newton", "newton", {}))
    mask, reset, reverse = arguments.mask, arguments.reset, arguments.reverse
    time = time_of(arguments.xs)
    if not jax.tree.leaves(arguments.state) or (isinstance(time, int) and not time):
        state, ys = solver.cell.unroll(params, *arguments)
        zero = jnp.zeros((), jnp.float32)
        return state, ys, Certificate(zero, zero)
    at = boundaries(mask, reset, reverse)
    steps, params, inputs = steps_of(method, described, params, arguments)
    first = arguments.state, arguments.start
    states, certificate = solved_states(steps, solver.goal, params, inputs, *first, at)
    if isinstance(described, Split):
        ys = jax.vmap(loop_of(described).output)(states)
    else:
        _, before = begins(steps, *first, at, states)
        _, ys = steps.every(params, before, inputs)
    last = jax.tree.map(lambda leaf: leaf[0 if reverse else -1], states)
    if at.after is not None:
        last = where(at.after[0 if reverse else -1], arguments.start, last)
    return last, zero_outputs(ys, mask), certificate
