"""What a recurrence is: a split, a linear recurrence, or a step; `methods.py` has how it runs."""

from jaxnn.recurrence import linear_split, split as splits
from jaxnn.recurrence.linear_split import LinearSplit
from jaxnn.recurrence.split import Split, Stepwise
from jaxnn.types import Key, Params, PyTree, State

Description = Split | LinearSplit | Stepwise


def step(
    description: Split | LinearSplit,
    params: Params,
    state: State,
    x: PyTree,
    key: Key | None = None,
) -> tuple[State, PyTree]:
    """`state, y` of one time step."""
    if isinstance(description, LinearSplit):
        return linear_split.one_step(description, params, state, x)
    run = splits.step_of(description, params)
    drawn = splits.drawn_by(description, params, x, key)
    return run(state, splits.prepare(description, params, x, drawn))


def output_state_of(description: Split | LinearSplit, name: str) -> Description:
    """The same recurrence, whose output is the whole state."""
    if isinstance(description, LinearSplit):
        return description._replace(name=name, output=linear_split.emitted)
    return description._replace(name=name, output=splits.whole_state)
