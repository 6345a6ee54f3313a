"""A cell as a split: what depends on the input, what is linear in the state, and the rest.

    projected = project(params, x)                   from the input only, for all steps at once
    mixed     = mix(params, state)                   linear in the state: the matmul in the loop
    state     = combine(params, projected, mixed, state)                    pointwise, unit by unit
    y         = output(state)

Written so, the inputs of a whole sequence are projected before the loop, by large matmuls.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.derivative import rule
from jaxnn.derivative.rule import Loop
from jaxnn.internal.checks import state_dtype
from jaxnn.internal.mesh import outline_of_step, with_mesh
from jaxnn.scans.sequential import Step
from jaxnn.types import (
    Array,
    ArrayLike,
    CellApply,
    EventNdim,
    InitialState,
    Key,
    Params,
    PyTree,
    Shape,
    State,
    Tree,
)


class Split(NamedTuple):
    """The three functions of a cell, and what is known of its input and output.

    With a `dtype`, `project` and `mix` run in it, `combine` in the dtype of the state (float32
    under 16-bit arithmetic), and the output is cast to it; the parameters are cast accordingly.
    Without, nothing is cast. `project_both`, if there is one, projects one input for two cells by
    one matmul: `(params, other_params, x)` to the pair of what `project` gives for each.
    `spatial_shape` are the sizes of x before its features. `any_rank` says that `project` and `mix`
    are written for any number of leading dimensions, so that they may be called on all steps at
    once; a user's functions are written for one step, and never get another rank than its own.
    `closed` says that the functions are known to compute with their arguments alone. What `init`
    gives is what params must be. `gates(params, projected, mixed, state)`, if there is
    one, gives a NamedTuple of the gates' values: what `jaxnn.gates` shows. Of a cell of the
    library's that takes a tree, `event(params)` gives the shapes and dtypes of one step of one
    sequence. `draw(params, x, key)`, if there is one, gives what a step draws from its key; then it
    is `project(params, x, drawn)`, with None in its place where there is no key.
    `thinned(factor, params, projected, mixed, state)` is `combine` with what is new multiplied
    before it is added to the state, if that is known.
    """

    name: str
    project: Callable[..., PyTree]
    mix: Callable[[Params, State], PyTree]
    combine: Callable[[Params, PyTree, PyTree, State], State]
    initial_state: InitialState
    output: Callable[[State], PyTree]
    event_ndim: EventNdim = 1
    dtype: jnp.dtype | None = None
    input_size: Callable[[Params], int] | None = None
    project_both: Callable[[Params, Params, Any], tuple[PyTree, PyTree]] | None = None
    spatial_shape: tuple[int, ...] = ()
    any_rank: bool = False
    closed: bool = False
    init: Any = None
    gates: Callable[..., PyTree] | None = None
    event: Callable[[Params], PyTree] | None = None
    draw: Callable[[Params, Any, Key], PyTree] | None = None
    thinned: Callable[..., State] | None = None


class Stepwise(NamedTuple):
    """A cell that is known by its step only; the fields that `Split` has too mean the same here.

    `at_once(params, arguments)`, if there is one, gives what the steps would, without a loop;
    `over_devices(shards, params, arguments)` gives it for one part of a sequence that is cut along
    time.
    """

    name: str
    step: CellApply
    initial_state: InitialState
    event_ndim: EventNdim
    init: Any = None
    dtype: jnp.dtype | None = None
    input_size: Callable[[Params], int] | None = None
    spatial_shape: tuple[int, ...] = ()
    at_once: Callable[..., tuple[State, PyTree]] | None = None
    over_devices: Callable[..., tuple[State, PyTree]] | None = None
    event: Callable[[Params], PyTree] | None = None


def hidden(state: State) -> Array:
    """The output of most cells: the field `hidden` of the state."""
    return state.hidden


def whole_state(state: State) -> State:
    """The output of `output_state`: the state as it is, in its own dtype."""
    return state


def same_functions(one: Split, other: Split) -> bool:
    """Whether two splits differ in nothing but how they print and are initialised."""
    return one._replace(init=None, name="") == other._replace(init=None, name="")


def over_steps(
    split: Split, function: Callable[..., PyTree], axes: tuple[int | None, ...]
) -> Callable[..., PyTree]:
    """`project` or `mix` for all steps at once; `axes` marks with 0 what has a time axis."""
    return function if split.any_rank else jax.vmap(function, axes)


def drawn_by(split: Split, params: Params, x: PyTree, key: Key | None) -> PyTree:
    """What one step draws; None where it draws nothing."""
    return None if split.draw is None or key is None else split.draw(params, x, key)


def prepare(split: Split, params: Params, x: PyTree, drawn: PyTree = None) -> PyTree:
    """`project` for one step, in the dtype of the state."""
    given = (x,) if split.draw is None else (x, drawn)
    return cast(split.project(cast(params, split.dtype), *given), _state_dtype(split))


def outline_of_projected(split: Split, params: Params, xs: PyTree) -> PyTree:
    """The types of what `prepare` gives for one step of xs."""
    return with_mesh(_prepare(split).eval_shape(params, outline_of_step(xs)))


@functools.lru_cache(maxsize=1024)
def _prepare(split: Split) -> Any:
    """One object for one split, which jax traces once."""
    return jax.jit(functools.partial(prepare, split))


@functools.lru_cache(maxsize=1024)
def loop_of(split: Split) -> Loop:
    """The functions of a split as they run in its loop."""
    mix = functools.partial(mixed_by, split)
    output = functools.partial(output_by, split)
    return Loop(split.name, mix, over_steps(split, mix, (None, 0)), split.combine, output)


def step_of(split: Split, params: Params) -> Step:
    """`state, y = step(state, projected)`: what is left in the loop."""
    return rule.step_of(loop_of(split), parameters(split, params))


def prepare_all(split: Split, params: Params, xs: PyTree, keys: Key | None = None) -> PyTree:
    """`prepare` for all steps at once, each with what it draws from its own of the keys."""
    drawn = None
    if keys is not None:
        drawn = jax.vmap(functools.partial(drawn_by, split), (None, 0, 0))(params, xs, keys)
    return over_steps(split, functools.partial(prepare, split), (None, 0, 0))(params, xs, drawn)


def prepare_both(split: Split, left: Params, right: Params, xs: PyTree) -> tuple[PyTree, PyTree]:
    """`prepare_all` for two cells of one split that read the same input."""
    if split.project_both is None or jax.tree.map(_outline, left) != jax.tree.map(_outline, right):
        return prepare_all(split, left, xs), prepare_all(split, right, xs)
    both = split.project_both(cast(left, split.dtype), cast(right, split.dtype), xs)
    return cast(both, _state_dtype(split))


def parameters(split: Split, params: Params) -> tuple[Params, Params]:
    """The parameters as `mix` and as `combine` get them."""
    return cast(params, split.dtype), cast(params, _state_dtype(split))


def mixed_by(split: Split, params: Params, state: State) -> PyTree:
    """`mix` of parameters that are cast already; from a state to arrays of the state's dtype."""
    return cast(split.mix(params, cast(state, split.dtype)), _state_dtype(split))


def output_by(split: Split, state: State) -> PyTree:
    """The output for a state."""
    y = split.output(state)
    return y if split.output is whole_state else cast(y, split.dtype)


def before_combine(
    split: Split, params: Params, state: State, x: PyTree
) -> tuple[Params, PyTree, PyTree]:
    """The parameters, projected and mixed as `combine` gets them, for a look at the gates."""
    for_mix, for_combine = parameters(split, params)
    return for_combine, prepare(split, params, x), mixed_by(split, for_mix, state)


def _outline(leaf: ArrayLike) -> tuple[Shape, jnp.dtype]:
    return leaf.shape, leaf.dtype


def _state_dtype(split: Split) -> jnp.dtype | None:
    return None if split.dtype is None else state_dtype(split.dtype)


def cast(tree: Tree, dtype: jnp.dtype | None) -> Tree:
    """The floating leaves of a tree in `dtype`; None leaves the tree as it is."""
    if dtype is None:
        return tree
    return jax.tree.map(
        lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree
    )
