"""States from and to other libraries: the order of h and c, and of layers and directions."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.cells.elman import ElmanState
from jaxnn.cells.gru import GRUState
from jaxnn.cells.lstm import LSTMState
from jaxnn.internal.named import joined
from jaxnn.internal.options import check_option
from jaxnn.internal.parts import Parts, parts
from jaxnn.interop.convert import check_model, read_arrays
from jaxnn.interop.layouts import LAYOUTS
from jaxnn.interop.walk import CONTAINERS, inside
from jaxnn.types import Cell, State

LIBRARIES = tuple(dict.fromkeys(row.library for row in LAYOUTS if row.library != "onnx"))
_STATES: dict[str, Any] = {"elman": ElmanState, "gru": GRUState, "lstm": LSTMState}


def from_states(library: str, model: Any, states: Any) -> State:
    """The state of a jaxnn model from the states of another library's layers.

    Args:
      library: "torch", "keras", "flax.linen", "flax.nnx", "haiku" or "equinox".
      model: a cell, a `bidirectional`, or a `serial` or `stack` of such and of layers.
      states: what the library gives, nested as it likes: one cell's arrays after the other, forward
        before backward, the lowest layer first. torch's (h, c) of a whole nn.LSTM are `(layers ·
        directions, batch, hidden)`.

    Returns:
      What `model.unroll` gives and takes: h and c at their places.

    Raises:
      ValueError: for another library, a model with cells that it has no layer for, and another
        number of arrays than the model has.
      TypeError: for a model that is none, and an entry that is no array.

    >>> import jaxnn, numpy as np
    >>> from jaxnn.interop import from_states
    >>> c, h = np.ones((2, 4)), np.zeros((2, 4))
    >>> from_states("flax.linen", jaxnn.lstm(3, 4), (c, h)).hidden.tolist()[0]
    [0.0, 0.0, 0.0, 0.0]
    """
    check_option("from_states", "library", library, LIBRARIES)
    check_model("from_states", model)
    tree = parts(model)
    orders = [_order("from_states", library, cell) for cell in _cells(tree)]
    named = {f"states[{place}]": leaf for place, leaf in enumerate(jax.tree.leaves(states))}
    given = list(read_arrays("from_states", named).values())
    leaves = given
    if library == "torch":
        rows = {leaf.shape[0] if leaf.ndim else 0 for leaf in given}
        leaves = [leaf[row] for row in range(min(rows, default=0)) for leaf in given]
    uneven = library == "torch" and len(set(orders)) > 1
    if uneven or len(leaves) != sum(map(len, orders)):
        raise ValueError(
            f"from_states: the cells of {model} have {orders}; got arrays of "
            f"{[tuple(leaf.shape) for leaf in given]}"
        )
    return _filled(tree, iter(leaves), iter(orders))


def to_states(library: str, model: Any, state: State) -> Any:
    """The states of another library's layers from the state of a jaxnn model.

    Args:
      library: as for `from_states`.
      model: as for `from_states`.
      state: what `model.unroll` gives.

    Returns:
      A list of arrays, one cell's after the other in the library's order; for torch h `(layers ·
      directions, batch, hidden)`, or (h, c) of an LSTM.

    Raises:
      ValueError: for another library, a model with cells that it has no layer for, and a state that
        is not the model's.
      TypeError: for a model that is none.

    >>> import jaxnn, jax.numpy as jnp
    >>> from jaxnn.interop import to_states
    >>> h, c = to_states("torch", jaxnn.lstm(3, 4), jaxnn.LSTMState(jnp.ones(4), jnp.zeros(4)))
    >>> h.shape
    (1, 4)
    """
    check_option("to_states", "library", library, LIBRARIES)
    check_model("to_states", model)
    cells = list(_cells(parts(model)))
    orders = [_order("to_states", library, cell) for cell in cells]
    found = list(_states(state))
    kinds = [_STATES[cell.kind] for cell in cells]
    if [type(each) for each in found] != kinds:
        wanted = ", ".join(kind.__name__ for kind in kinds)
        raise ValueError(f"to_states: the state of {model} must hold {wanted}, got {state!r}")
    pairs = list(zip(found, orders, strict=True))
    if library != "torch":
        return [getattr(each, name) for each, order in pairs for name in order]
    if len(set(orders)) != 1:
        raise ValueError(f"to_states: {model} is not one layer of torch, its cells differ")
    (order,) = set(orders)
    stacked = [jnp.stack([getattr(each, name) for each in found]) for name in order]
    return tuple(stacked) if len(stacked) > 1 else stacked[0]


def _order(called: str, library: str, tree: Parts) -> tuple[str, ...]:
    for row in LAYOUTS:
        if (row.library, row.kind) == (library, tree.kind):
            return row.state
    raise ValueError(f"{called}: {tree}: {library} has no layer for it")


def _cells(tree: Parts) -> Iterator[Parts]:
    """The cells of a model, in the order of their states."""
    tree = _stateful(tree)
    if tree.kind in CONTAINERS or tree.kind == "bidirectional":
        for part in tree.parts.values():
            yield from _cells(part)
    elif _is_cell(tree):
        yield tree


def _filled(tree: Parts, leaves: Iterator[Any], orders: Iterator[tuple[str, ...]]) -> State:
    tree = _stateful(tree)
    if tree.kind in CONTAINERS:
        names = tree.options.get("names")
        return joined(names, [_filled(part, leaves, orders) for part in tree.parts.values()])
    if tree.kind == "bidirectional":
        return tuple(_filled(part, leaves, orders) for part in tree.parts.values())
    if not _is_cell(tree):
        return ()
    fields = {name: jnp.asarray(next(leaves)) for name in next(orders)}
    return _STATES[tree.kind](**fields)


def _states(state: Any) -> Iterator[Any]:
    if hasattr(state, "hidden"):
        yield state
    elif isinstance(state, tuple):
        for each in state:
            yield from _states(each)


def _stateful(tree: Parts) -> Parts:
    tree = inside(tree)
    if tree.kind == "learned_initial_state":
        (tree,) = tree.parts.values()
        return _stateful(tree)
    return tree


def _is_cell(tree: Parts) -> bool:
    return isinstance(tree.make(), Cell)
