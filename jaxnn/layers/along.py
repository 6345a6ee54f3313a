"""A layer over sequences along another axis than the first."""

import functools

import jax
import jax.numpy as jnp

from jaxnn.functions.sequences import clean, expand_to
from jaxnn.internal.checks import check_array, check_key, check_mask, naming
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.parameters import init_checked
from jaxnn.types import (
    Array,
    ArrayLike,
    Cell,
    Key,
    Layer,
    Params,
    PyTree,
    SequenceLayer,
    Shape,
    appears_as,
    facts_of,
    with_facts,
)


@factory
def along(axis: int, layer: SequenceLayer) -> Layer:
    """A layer over sequences whose steps lie along an axis of choice, not along the first.

    `along(-2, layer)` takes `(*batch, time, features)`, so it is also how a batch-major model is
    written. Two of them see an image from all sides: `serial(along(-3, …), along(-2, …))` runs down
    the columns of `(*batch, height, width, features)`, then along the rows.

    Args:
      axis: where the steps lie, counted from the end: −2 is the axis before the features.
      layer: `bidirectional`, `as_layer(cell)`, `along_time(conv)`, a pooling, a `serial` of such.

    Returns:
      A Layer with the params of `layer`. The steps of its output lie where those of x do; a pooling
      takes the axis away. The mask covers leading dimensions of x, as ever: where it reaches the
      axis it says which steps are valid, where it does not, which sequences.

    Raises:
      TypeError: for a layer that does not look along time, and an axis that is no integer.
      ValueError: for an axis above −2; when it runs, for x that has no such axis.

    Source: the two ways over an image are those of Visin et al. 2015 (arXiv 1505.00393).

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> down, right = (jaxnn.bidirectional(jaxnn.gru(size, 4)) for size in (3, 8))
    >>> model = jaxnn.serial(jaxnn.along(-3, down), jaxnn.along(-2, right))
    >>> model.apply(model.init(jax.random.key(0)), jnp.ones((2, 28, 30, 3))).shape
    (2, 28, 30, 8)
    """
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise TypeError(f"along: axis must be an integer, got {axis!r}")
    if axis > -2:
        raise ValueError(
            f"along: axis must be −2 or below, since it counts from the end, where −1 are the "
            f"features; got {axis}"
        )
    if not isinstance(layer, SequenceLayer):
        hint = ": as_layer(cell) makes one of a cell" if isinstance(layer, Cell) else ""
        raise TypeError(f"along: layer must be a SequenceLayer, got {layer!r}{hint}")
    name = this_call()
    return Layer(
        with_facts(functools.partial(init_checked, name, layer.init)),
        functools.partial(apply_along, name, axis, layer),
    )


@appears_as("apply")
def apply_along(
    name: str,
    axis: int,
    layer: SequenceLayer,
    params: Params,
    x: ArrayLike,
    mask: ArrayLike | None = None,
    key: Key | None = None,
) -> PyTree:
    """The axis to the front, and back."""
    check_key(name, key)
    check_array(name, "x", x)
    if x.ndim < -axis:
        raise ValueError(
            f"{name}: x must have {-axis} dimensions at least, (*batch, steps, …, features); got "
            f"the shape {tuple(x.shape)}"
        )
    known, place = facts_of(layer).event_ndim, x.ndim + axis
    event_ndim = known if isinstance(known, int) and known else 1
    check_mask(name, mask, x, None)
    xs = jnp.moveaxis(clean(name, x, mask), place, 0)
    if mask is not None:
        leading = xs.shape[: xs.ndim - event_ndim]
        if mask.ndim > len(leading):
            raise ValueError(
                f"{name}: mask must not cover the features, got the shape {tuple(mask.shape)} "
                f"for x {tuple(x.shape)}"
            )
        mask = mask_along(place, leading, mask)
    with naming(name):
        ys = layer.apply(params, xs, mask, key)
    return ys if layer.pools else jax.tree.map(lambda y: jnp.moveaxis(y, 0, place), ys)


def mask_along(place: int, leading: Shape, mask: ArrayLike) -> Array:
    """A mask of leading dimensions with the axis at a place in front, as wide as `leading`."""
    mask = jnp.moveaxis(mask, place, 0) if place < mask.ndim else mask[None]
    return jnp.broadcast_to(expand_to(mask, jnp.zeros(leading)), leading)
