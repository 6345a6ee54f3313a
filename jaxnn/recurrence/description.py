"""What a recurrence is: a split, a linear recurrence, or a step; `methods.py` has how it runs."""

from jaxnn.functions.windows import check_channels_last
from jaxnn.internal.checks import check_dtype_of, check_features
from jaxnn.recurrence import linear_split, split as splits
from jaxnn.recurrence.linear_split import LinearSplit
from jaxnn.recurrence.split import Split, Stepwise
from jaxnn.types import ArrayLike, Params, PyTree, State

Description = Split | LinearSplit | Stepwise


def step(
    description: Split | LinearSplit, params: Params, state: State, x: ArrayLike
) -> tuple[State, PyTree]:
    """`state, y` of one time step."""
    if isinstance(description, LinearSplit):
        return linear_split.one_step(description, params, state, x)
    run = splits.step_of(description, params)
    return run(state, splits.prepare(description, params, x))


def output_state_of(description: Split | LinearSplit, name: str) -> Description:
    """The same recurrence, whose output is the whole state."""
    if isinstance(description, LinearSplit):
        return description._replace(name=name, output=linear_split.emitted)
    return description._replace(name=name, output=splits.whole_state)


def check_x(split: Description, params: Params, x: ArrayLike, argument: str) -> None:
    """Raise unless x has the dtype and the features that the recurrence takes."""
    size = None if split.input_size is None else split.input_size(params)
    if split.dtype is not None:
        check_dtype_of(split.name, argument, x, split.dtype)
    if size is not None and split.spatial_shape:
        check_channels_last(split.name, argument, x, size, len(split.spatial_shape))
    if size is not None:
        check_features(split.name, argument, x, size)
    spatial = tuple(x.shape[-1 - len(split.spatial_shape) : -1])
    if spatial != split.spatial_shape:
        raise ValueError(
            f"{split.name}: {argument} must have the spatial shape {split.spatial_shape}, before "
            f"its features; got {spatial} (shape {tuple(x.shape)})"
        )
