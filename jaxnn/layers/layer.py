"""How the library's own layers are made: what all of them check stands here, once."""

import functools
from collections.abc import Callable

from jaxnn.functions.sequences import check_valid_fit
from jaxnn.functions.windows import ALONG_TIME, Sliding
from jaxnn.internal.checks import (
    check_array,
    check_key,
    check_mask,
    check_tuple,
    naming,
)
from jaxnn.internal.parameters import check_params, init_checked
from jaxnn.types import Array, ArrayLike, Key, Layer, Params, appears_as, with_facts


def make_layer(
    name: str,
    init: Callable[[Key], Params],
    apply: Callable[..., Array],
    event_ndim: int | None = None,
    hint: str = "",
    description: object = None,
) -> Layer:
    """A Layer that acts on each step by itself.

    Args:
      name: the call that makes it.
      init: `init(key)` gives its parameters.
      apply: `apply(params, x, mask, key)` gives y; x is an array, clean at masked steps, and params
        are what init gives.
      event_ndim: how many trailing dimensions of x are not batch; None for a layer that takes any
        array, entry by entry.
      hint: what to do instead, where a mask covers more than the batch.
      description: what it runs by, where others can run it in another way.
    """
    checked = functools.partial(init_checked, name, init)
    return Layer(
        with_facts(checked, event_ndim, each_step=True, description=description),
        functools.partial(apply_layer, name, init, event_ndim, hint, apply),
    )


def make_sliding_layer(name: str, sliding: Sliding) -> Layer:
    """A Layer of windows, which `along_time` can let slide along time instead."""
    apply = functools.partial(sliding.apply, sliding.windows, *sliding.rest)
    event_ndim = sliding.windows.event_ndim()
    return make_layer(name, sliding.init, apply, event_ndim, ALONG_TIME, sliding)


@appears_as("apply")
def apply_layer(
    name: str,
    init: Callable[[Key], Params],
    event_ndim: int | None,
    hint: str,
    apply: Callable[..., Array],
    params: Params,
    x: ArrayLike,
    mask: ArrayLike | None = None,
    key: Key | None = None,
) -> Array:
    """`apply`, once all that it is given fits."""
    check_key(name, key)
    if init is no_params:
        check_tuple(name, "params", params, 0)
    else:
        check_params(name, init, params)
    check_array(name, "x", x)
    check_valid_fit(name, "x", x, mask)
    if mask is not None:
        # Of a layer that takes any array, the last dimension counts as features.
        behind = min(1, x.ndim) if event_ndim is None else event_ndim
        check_mask(name, mask, x, behind, hint=hint)
    with naming(name):
        return apply(params, x, mask, key)


def no_params(key: Key) -> tuple[()]:
    """The parameters of a layer that has none."""
    del key
    return ()
