"""A convolution or pooling along the leading time axis."""

import functools
from typing import TypeVar

from jaxnn.functions.windows import Sliding
from jaxnn.internal.checks import check_tuple
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.parameters import init_checked
from jaxnn.layers.layer import apply_layer
from jaxnn.recurrence.arguments import Arguments
from jaxnn.recurrence.unroll import sequence_unroll_by
from jaxnn.types import (
    Layer,
    LayerApply,
    Params,
    PyTree,
    SequenceLayer,
    State,
    facts_of,
    with_facts,
)

P = TypeVar("P")


@factory
def along_time(layer: Layer[P]) -> SequenceLayer[P, tuple[()]]:
    """A layer whose window slides along the leading axis of a time-major sequence.

    The first axis of the window lies along time, the others along the axes before the features, so
    `conv(3, 8, (5,))` takes `(time, *batch, features)`, and `conv(3, 8, (5, 3, 3))` a film,
    `(time, *batch, height, width, features)`.

    With a mask, `(time, *batch)`, a masked step counts as padding: x is zero there for a
    convolution, and a pooling passes it over. What has another number of steps than its input has
    no mask, so with a mask the stride is 1 and the padding "same" or "causal".

    Args:
      layer: a `conv`, `conv_transpose`, `max_pool` or `average_pool`.

    Returns:
      A SequenceLayer with the params of `layer`, and without a state, `()`.

    Raises:
      TypeError: for another layer.
      ValueError: when it runs, as `layer` does; where it changes the number of steps and a mask is
        given; and for a reset, since the window would see across it.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> layer = jaxnn.along_time(jaxnn.conv(3, 8, (5,), padding="causal"))
    >>> layer.apply(layer.init(jax.random.key(0)), jnp.ones((20, 4, 3))).shape
    (20, 4, 8)
    """
    sliding = facts_of(layer).description if isinstance(layer, Layer) else None
    if not isinstance(sliding, Sliding):
        raise TypeError(
            f"along_time: layer must be one conv, conv_transpose, max_pool or average_pool, got "
            f"{layer!r}: wrap each one of a serial by itself"
        )
    name = this_call()
    windows = sliding.windows._replace(name=name, time=True)
    slide = functools.partial(sliding.apply, windows, *sliding.rest)
    event_ndim = windows.event_ndim()
    checked = functools.partial(apply_layer, name, sliding.init, event_ndim, "", slide)
    return SequenceLayer(
        with_facts(functools.partial(init_checked, name, layer.init), event_ndim),
        checked,
        sequence_unroll_by(run_slide, name, checked),
    )


def run_slide(
    name: str, slide: LayerApply, params: Params, arguments: Arguments
) -> tuple[State, PyTree]:
    """A whole sequence; there is no state."""
    for argument, value in (("state", arguments.state), ("start", arguments.start)):
        if value is not None:
            check_tuple(name, argument, value, 0)
    if arguments.reset is not None:
        raise ValueError(
            f"{name}: it cannot be given a reset, since its window sees the steps before it: run "
            f"each segment as a sequence of its own"
        )
    return (), slide(params, arguments.xs, arguments.mask, arguments.key)
