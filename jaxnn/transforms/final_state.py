"""What a sequence ends with: the final hidden state of a layer, and not its outputs."""

import functools
from typing import Any

from jaxnn.functions.merge import merge_outputs
from jaxnn.internal.checks import outline_text
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.parameters import init_checked
from jaxnn.internal.parts import parts
from jaxnn.layers.composition import apply_layers
from jaxnn.recurrence.arguments import Arguments
from jaxnn.recurrence.inner import unroll_inner
from jaxnn.recurrence.unroll import sequence_unroll_by
from jaxnn.transforms.bidirectional import as_layer, bidirectional
from jaxnn.types import Array, Cell, Params, PyTree, SequenceLayer, State, facts_of, with_facts


@factory
def final_state(layer: SequenceLayer) -> SequenceLayer:
    """The final hidden state as the output: one value for each sequence.

    Of a cell that runs forward it is the last valid output. Of one that runs in reverse it is that
    at the first step, where `pool_over_time("last")` would give the one that has seen the last step
    alone; of a `bidirectional` both, merged as its outputs are. Keras calls it
    `return_sequences=False`.

    Args:
      layer: `as_layer(cell)` or `bidirectional`, of cells whose state has a field `hidden`, of
        transformations of them, or of stacks that end in such a cell.

    Returns:
      A SequenceLayer with the params and states of `layer`: xs `(time, *batch, features)` to y
      `(*batch, hidden)`. In a `serial` the mask stops here, as at a `pool_over_time`. A sequence
      without a valid step gives its first state.

    Raises:
      TypeError: for another layer; when it runs, for a state without a field `hidden`.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> encoder = jaxnn.final_state(jaxnn.bidirectional(jaxnn.lstm(3, 8)))
    >>> model = jaxnn.serial(encoder, jaxnn.dense(16, 2))
    >>> model.apply(model.init(jax.random.key(0)), jnp.ones((5, 4, 3))).shape
    (4, 2)
    """
    made = parts(layer) if isinstance(layer, SequenceLayer) else None
    if made is None or made.factory not in (as_layer, bidirectional):
        hint = ": as_layer(cell) makes one of a cell" if isinstance(layer, Cell) else ""
        raise TypeError(
            f"final_state: layer must be an as_layer(cell) or a bidirectional, got {layer!r}{hint}"
        )
    name = this_call()
    unroll = sequence_unroll_by(run_to_the_end, name, layer, made.options.get("merge"))
    init = functools.partial(init_checked, name, layer.init)
    return SequenceLayer(
        with_facts(init, facts_of(layer).event_ndim),
        functools.partial(apply_layers, name, unroll),
        unroll,
        pools=True,
    )


def run_to_the_end(
    name: str, layer: SequenceLayer, merge: Any, params: Params, arguments: Arguments
) -> tuple[State, PyTree]:
    """The layer's own `unroll`, of which the outputs are not read."""
    state, _ = unroll_inner(layer, params, arguments)
    if merge is None:
        return state, hidden_of(name, state)
    return state, merge_outputs(name, merge, [hidden_of(name, each) for each in state])


def hidden_of(name: str, state: State) -> Array:
    """The field `hidden`, in a stack that of its last cell."""
    while isinstance(state, tuple) and state and not hasattr(state, "hidden"):
        state = state[-1]
    hidden = getattr(state, "hidden", None)
    if hidden is None:
        raise TypeError(
            f"{name}: the state must have a field hidden, in a stack that of the last cell; got "
            f"{outline_text(state)}"
        )
    return hidden
