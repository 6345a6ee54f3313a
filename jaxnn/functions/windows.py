"""Windows that slide along the spatial axes of an image or a sequence: checks, padding, layout."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.functions.sequences import clean
from jaxnn.internal.checks import check_array, check_features, check_mask
from jaxnn.internal.options import check_option, check_size
from jaxnn.types import Array, ArrayLike, Key, Params

Sizes = int | tuple[int, ...]
"""One number for each spatial axis, or one for all of them."""
Padding = Literal["valid", "same", "causal"] | int | tuple[tuple[int, int], ...]
"""A word, a number for all sides, or a pair (low, high) for each spatial axis."""


ALONG_TIME = "; jaxnn.along_time(layer) slides it along time"


class Windows(NamedTuple):
    """The windows of a layer: along each spatial axis their size, steps, dilation and padding.

    The spatial axes stand before the features; with `time`, the first of them leads instead, as
    time does in `(time, *batch, features)`.
    """

    name: str
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str | tuple[tuple[int, int], ...]
    time: bool = False

    def axes(self, ndim: int) -> list[int]:
        """The axes of x that the window slides along."""
        last = range(ndim - 1 - len(self.sizes), ndim - 1)
        return [0, *last[1:]] if self.time else list(last)

    def event_ndim(self) -> int:
        """How many trailing dimensions of x are not batch (nor time, where the window leads)."""
        return len(self.sizes) + (not self.time)

    def spans(self) -> tuple[int, ...]:
        """From the first to the last place that a window sees: d · (k − 1) + 1."""
        pairs = zip(self.sizes, self.dilations, strict=True)
        return tuple(dilation * (size - 1) + 1 for size, dilation in pairs)

    def pads(self, lengths: Sequence[int]) -> list[tuple[int, int]]:
        """The pair (low, high) for each spatial axis of these lengths."""
        if not isinstance(self.padding, str):
            return list(self.padding)
        if self.padding == "causal":
            return [(span - 1, 0) for span in self.spans()]
        if self.padding == "same" and set(self.strides) == {1}:  # whatever the lengths are
            return [((span - 1) // 2, span // 2) for span in self.spans()]
        word = self.padding.upper()
        return list(jax.lax.padtype_to_pads(lengths, self.spans(), self.strides, word))


class Sliding(NamedTuple):
    """What a layer with windows runs by: `apply(windows, *rest, params, x, mask, key)`."""

    init: Callable[[Key], Params]
    apply: Callable[..., Array]
    windows: Windows
    rest: tuple[object, ...] = ()


def check_windows(
    name: str,
    window: tuple[int, ...],
    stride: Sizes,
    padding: Padding,
    dilation: Sizes = 1,
    words: tuple[str, ...] = ("valid", "same", "causal"),
    argument: str = "window",
) -> Windows:
    """The windows of a layer, from what its factory was given."""
    if not isinstance(window, tuple) or not 1 <= len(window) <= 3:
        raise TypeError(
            f"{name}: {argument} must be a tuple of one to three sizes, (3,) along a line, (3, 3) "
            f"over images; got {window!r}"
        )
    sizes = tuple(check_size(name, argument, size) for size in window)
    strides, dilations = (
        _each(name, argument, value, len(sizes))
        for argument, value in (("stride", stride), ("dilation", dilation))
    )
    if isinstance(padding, str):
        check_option(name, "padding", padding, words, ", a number or a pair for each axis")
        if padding == "causal" and len(sizes) > 1:
            raise ValueError(
                f"{name}: padding 'causal' is for one spatial axis, the window has {len(sizes)}: "
                f"give pairs, for each axis (low, high)"
            )
        return Windows(name, sizes, strides, dilations, padding)
    return Windows(name, sizes, strides, dilations, _pairs(name, padding, len(sizes)))


def _each(name: str, argument: str, value: Sizes, count: int) -> tuple[int, ...]:
    if not isinstance(value, tuple):
        return (check_size(name, argument, value),) * count
    if len(value) != count:
        raise ValueError(
            f"{name}: {argument} must be one number, or {count} as the window has; got {value!r}"
        )
    return tuple(check_size(name, argument, one) for one in value)


def _pairs(name: str, padding: Any, count: int) -> tuple[tuple[int, int], ...]:
    pairs = padding if isinstance(padding, tuple) else ((padding, padding),) * count
    if len(pairs) == count and all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
        numbers = [number for pair in pairs for number in pair]
        if all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers):
            return pairs
    raise ValueError(
        f"{name}: padding must be a word, a number from 0, or for each axis of the window a pair "
        f"of such numbers, {((1, 1),) * count}; got {padding!r}"
    )


def check_image(windows: Windows, x: ArrayLike, features: int | None = None) -> None:
    """Raise ValueError unless x has the axes and the features of the layer."""
    name, count = windows.name, len(windows.sizes)
    check_array(name, "x", x)
    if x.ndim < count + 1:
        raise ValueError(f"{name}: x must be {_layout(windows)}, got the shape {tuple(x.shape)}")
    if features is not None:
        if not windows.time:
            check_channels_last(name, "x", x, features, count)
        check_features(name, "x", x, features)


def check_channels_last(
    name: str, argument: str, x: ArrayLike, features: int, spatial: int
) -> None:
    """Raise ValueError where x has so many features before its spatial axes, and not behind."""
    if x.shape[-1] != features and x.shape[-1 - spatial] == features:
        raise ValueError(
            f"{name}: {argument} must have {features} features, got {x.shape[-1]} (shape "
            f"{x.shape}). It looks channels-first; channels come last: use "
            f"jnp.moveaxis({argument}, {-1 - spatial}, -1)"
        )


def check_fit(windows: Windows, x: ArrayLike) -> list[tuple[int, int]]:
    """The pads; ValueError where x is too small for one window."""
    lengths = [x.shape[axis] for axis in windows.axes(x.ndim)]
    pads = windows.pads(lengths)
    for length, pair, span in zip(lengths, pads, windows.spans(), strict=True):
        if isinstance(length, int) and 0 < length < span - sum(pair):
            raise ValueError(
                f"{windows.name}: its window spans {_times(windows.spans())}, x has "
                f"{_times(lengths)} (shape {x.shape}, {_layout(windows)}): pad x, or take a "
                f"smaller window"
            )
    return pads


def _times(lengths: Sequence[int]) -> str:
    return " × ".join(map(str, lengths))


def _layout(windows: Windows) -> str:
    axes = ["depth", "height", "width"][-len(windows.sizes) :] if len(windows.sizes) > 1 else []
    leading = ["time", "*batch", *axes[1:]] if windows.time else ["*batch", *(axes or ["length"])]
    return f"({', '.join([*leading, 'features'])})"


def clean_image(windows: Windows, x: ArrayLike, mask: ArrayLike | None) -> ArrayLike:
    """x with zeros at masked steps; a mask covers the batch, and time where the window leads."""
    check_mask(windows.name, mask, x, windows.event_ndim())
    return clean(windows.name, x, mask)


def check_event(name: str, event_ndim: int, x: ArrayLike) -> None:
    """Raise ValueError where x has fewer dimensions."""
    check_array(name, "x", x)
    if x.ndim < event_ndim:
        raise ValueError(
            f"{name}: x must have at least {event_ndim} dimensions, got the shape {tuple(x.shape)}"
        )


def check_steps(windows: Windows, y: Array, mask: ArrayLike | None) -> Array:
    """y; ValueError where there is a mask, and another number of steps."""
    if mask is not None and y.shape[: mask.ndim] != mask.shape:
        raise ValueError(
            f"{windows.name}: it changes the number of steps, from {mask.shape[0]} to "
            f"{y.shape[0]}, so it cannot be given a mask: use stride 1 and padding 'same' or "
            f"'causal', or run it without a mask on sequences of one length"
        )
    return y


def spatial_last(windows: Windows, x: Array) -> Array:
    """x as `(*batch, *spatial, features)`."""
    return jnp.moveaxis(x, 0, -1 - len(windows.sizes)) if windows.time else x


def spatial_back(windows: Windows, y: Array) -> Array:
    """The inverse of `spatial_last`."""
    return jnp.moveaxis(y, -1 - len(windows.sizes), 0) if windows.time else y


def merged_batch(x: Array, event_ndim: int) -> Array:
    """x with one batch axis, whatever it had."""
    if x.ndim == event_ndim + 1:
        return x
    batch = x.shape[: x.ndim - event_ndim]
    return x.reshape(math.prod(batch), *x.shape[len(batch) :])
