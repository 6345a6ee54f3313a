"""What a part of a model is asked to run, as `unroll` is asked, but of values."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxnn.functions.sequences import expand_to, lengths_to_mask
from jaxnn.interop.onnx.graph import Graph, Value
from jaxnn.interop.onnx.translate import translate
from jaxnn.types import Array, Shape, State


class Asked(NamedTuple):
    """The arguments of `unroll`; `lengths` `(*batch,)` where the mask is known to be one of them.

    Trees of states hold values, or arrays where they are constant.
    """

    x: Any
    state: State | None = None
    mask: Value | None = None
    lengths: Value | None = None
    reset: Value | None = None
    reverse: bool = False
    start: State | None = None


def mask_of(graph: Graph, lengths: Value, time: Any) -> Value:
    """The mask of lengths."""
    return translate(graph, lambda each: lengths_to_mask(each, time), lengths)


def clean(graph: Graph, x: Value, mask: Value | None) -> Value:
    """x with zeros at masked steps."""
    return x if mask is None else translate(graph, _zero_masked, x, mask)


def _zero_masked(x: Array, mask: Array) -> Array:
    return jnp.where(expand_to(mask, x), x, jnp.zeros((), x.dtype))


def broadcast(graph: Graph, value: Value, shape: Shape) -> Value:
    """A value with further leading axes."""
    new = (1,) * (len(shape) - value.ndim)
    return graph.expand(graph.reshape(value, (*new, *value.shape)) if new else value, shape)
