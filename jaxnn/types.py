"""The two types of the library, and the words for what goes into them.

A `Layer` is a pure function from array to array, a `Cell` a pure function
`state, y = f(params, state, x)`. Both are NamedTuples of functions, made by lower-case factories
(`jaxnn.dense(12, 64)`, `jaxnn.lstm(12, 64)`), and both print as the call that makes them. Their
types say which params and states they take: `Cell[LSTMParams, LSTMState]`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

import jax
import jax.export
import numpy as np

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T", bound=type)
M = TypeVar("M", bound="Layer | SequenceLayer | Cell")
P = TypeVar("P")
S = TypeVar("S")
P_contra = TypeVar("P_contra", contravariant=True)
S_co = TypeVar("S_co", covariant=True)

Array = jax.Array
ArrayLike = jax.Array | np.ndarray
"""What may be passed where an array is read."""
Key = jax.Array
"""A key of `jax.random.key` (typed) or `jax.random.PRNGKey` (legacy)."""
Shaped = ArrayLike | jax.ShapeDtypeStruct
"""What has a shape and a dtype: arrays, and what `jax.eval_shape` gives."""
Shape = tuple[int, ...]
"""Sizes; a symbolic one of `jax.export` counts as an int, as in the types of jax."""
PyTree = Any
"""A tree, mostly of arrays, or a leaf of one: jax has no type for trees."""
Params = PyTree
"""A pytree of arrays with named fields."""
State = PyTree
"""A pytree of arrays, each with the batch dimensions first; `()` where nothing is kept."""
Tree = TypeVar("Tree")
"""A tree that comes back with the same structure."""


@dataclasses.dataclass(frozen=True, repr=False)
class Ranks:
    """An `event_ndim` that is a tree of numbers, one for each array of an input.

    It can be hashed, which a dictionary cannot, prints as the tree, and is a leaf for jax.
    """

    structure: Any
    ndims: tuple[int, ...]

    def tree(self) -> PyTree:
        """The tree of numbers."""
        return self.structure.unflatten(self.ndims)

    def __repr__(self) -> str:
        return repr(self.tree())

    def __reduce__(self) -> tuple[object, ...]:
        return ranks_of, (self.tree(),)


EventNdim = int | Ranks
"""How many trailing dimensions of x are neither time nor batch: of each array of x, or of all."""


def ranks_of(event_ndim: Any) -> Any:
    """An `event_ndim` as it is kept: a tree of numbers as Ranks, one number as it is."""
    try:
        ndims, structure = jax.tree.flatten(event_ndim)
    except (TypeError, ValueError):  # keys of a dictionary that cannot be sorted
        return event_ndim
    return event_ndim if jax.tree_util.treedef_is_leaf(structure) else Ranks(structure, (*ndims,))


class Initializer(Protocol):
    """What fills a parameter: every initialiser of `jax.nn.initializers` and of jaxnn is one."""

    def __call__(self, key: Key, shape: Shape, dtype: Any, /) -> Array: ...


class LayerApply(Protocol[P_contra]):
    """`y = apply(params, x, mask=None, key=None)`."""

    def __call__(
        self, params: P_contra, x: PyTree, mask: ArrayLike | None = None, key: Key | None = None
    ) -> Array: ...


class CellApply(Protocol[P_contra, S]):
    """`state, y = apply(params, state, x, key=None)`: one time step."""

    def __call__(
        self, params: P_contra, state: S, x: PyTree, key: Key | None = None
    ) -> tuple[S, PyTree]: ...


class InitialState(Protocol[P_contra, S_co]):
    """`state = initial_state(params, batch_shape=())`."""

    def __call__(self, params: P_contra, batch_shape: tuple[int, ...] = ()) -> S_co: ...


class Unroll(Protocol[P_contra, S]):
    """`state, ys = unroll(params, xs, ...)`: a whole sequence, time first.

    xs may be a tree of arrays that share their time and their batch, where the cell takes one.
    Nothing in an array says which axis is time: `(batch, time, features)` runs in silence along the
    batch, where no mask, state or size gives it away. `jaxnn.time_major(xs)` turns it.
    """

    def __call__(
        self,
        params: P_contra,
        xs: PyTree,
        state: S | None = None,
        mask: ArrayLike | None = None,
        reset: ArrayLike | None = None,
        reverse: bool = False,
        key: Key | None = None,
        start: S | None = None,
    ) -> tuple[S, PyTree]: ...


class SequenceUnroll(Protocol[P_contra, S]):
    """`states, ys = unroll(params, xs, ...)` of a layer that fixes its own direction."""

    def __call__(
        self,
        params: P_contra,
        xs: PyTree,
        state: S | None = None,
        mask: ArrayLike | None = None,
        reset: ArrayLike | None = None,
        key: Key | None = None,
        start: S | None = None,
    ) -> tuple[S, PyTree]: ...


class Layer(NamedTuple, Generic[P]):
    """A pure pair from array to array.

    `init(key)` gives the parameters; `apply(params, x, mask=None, key=None)` gives y. `key=None`
    means evaluation. A mask is boolean and covers the leading dimensions of x.
    """

    init: Callable[[Key], P]
    apply: LayerApply[P]

    def __repr__(self) -> str:
        return name_of(self)

    def __reduce__(self) -> tuple[object, ...]:
        return _reduced(self)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


class SequenceLayer(NamedTuple, Generic[P, S]):
    """A Layer that looks along the leading time axis, so that it cannot run step by step.

    Beside `init` and `apply` it has `unroll`, which also takes states and resets and gives the
    final states. `bidirectional` and `as_layer` make one, and `serial` where it contains one.
    `pools` says that its output has no time axis any more, as that of `pool_over_time` has none: a
    `serial` hands the layers after it no mask.
    """

    init: Callable[[Key], P]
    apply: LayerApply[P]
    unroll: SequenceUnroll[P, S]
    pools: bool = False

    def __repr__(self) -> str:
        return name_of(self)

    def __reduce__(self) -> tuple[object, ...]:
        return _reduced(self)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


class Cell(NamedTuple, Generic[P, S]):
    """A recurrent pair, and its two views.

    `init(key)` gives the parameters and `initial_state(params, batch_shape=())` a first state;
    `apply(params, state, x, key=None)` is one time step, and
    `unroll(params, xs, state=None, mask=None, reset=None, reverse=False, key=None, start=None)` a
    whole sequence, `(time, *batch, features)`: data that are batch-major go through
    `jaxnn.time_major` first. Both give `(state, y)`.
    """

    init: Callable[[Key], P]
    apply: CellApply[P, S]
    initial_state: InitialState[P, S]
    unroll: Unroll[P, S]

    def __repr__(self) -> str:
        return name_of(self)

    def __reduce__(self) -> tuple[object, ...]:
        return _reduced(self)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


def exportable(fields: T) -> T:
    """Make a NamedTuple known to `jax.export`, so that what takes or gives one can be saved."""
    jax.export.register_namedtuple_serialization(fields, serialized_name=f"jaxnn.{fields.__name__}")
    return fields


class Facts(NamedTuple):
    """What is known of a layer or cell beside its functions; it stands on its `init`.

    event_ndim: how many trailing dimensions of x are neither time nor batch; None where it is not
      known, or where any number will do.
    each_step: whether it acts on each step by itself, so that it needs no mask where x is clean.
    description: what it runs by, for those that can run it in another way.
    parts: how it was made (`internal/parts.py`).
    of: its functions; of others that happen to share the `init`, nothing is known.
    """

    event_ndim: EventNdim | None = None
    each_step: bool = False
    description: object = None
    parts: Any = None
    of: tuple[object, ...] = ()


def with_facts(
    init: F,
    event_ndim: EventNdim | None = None,
    each_step: bool = False,
    description: object = None,
) -> F:
    """Give the `init` of one layer or cell, a function of its own, what is known of that one."""
    init.__dict__["facts"] = Facts(event_ndim, each_step, description)
    return init


def know(thing: M, parts: Any) -> M:
    """The same thing, of which it is known from now on how it was made."""
    facts = getattr(thing.init, "facts", Facts())
    thing.init.__dict__["facts"] = facts._replace(parts=parts, of=tuple(thing))
    return thing


def facts_of(thing: Layer | SequenceLayer | Cell) -> Facts:
    """What is known of a layer or cell; nothing of one that no factory made."""
    found = getattr(thing.init, "facts", None)
    return found if isinstance(found, Facts) and found.of == tuple(thing) else Facts()


def appears_as(name: str) -> Callable[[F], F]:
    """The name that Python gives a function in its own errors, such as that of a wrong argument."""

    def rename(function: F) -> F:
        function.__qualname__ = name
        return function

    return rename


def name_of(thing: Layer | SequenceLayer | Cell) -> str:
    """The call that makes a layer or cell, such as 'lstm(12, 64)'.

    >>> import jaxnn
    >>> name_of(jaxnn.lstm(12, 64))
    'lstm(12, 64)'
    """
    parts = facts_of(thing).parts
    return type(thing).__name__ if parts is None else str(parts)


def _reduced(thing: Layer | SequenceLayer | Cell) -> tuple[object, ...]:
    """How a layer or cell is pickled: as the call that makes it."""
    parts = facts_of(thing).parts
    return (type(thing), tuple(thing)) if parts is None else (parts.make, ())
