"""Convolution over one, two or three spatial axes, and its transpose."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jax.typing import DTypeLike

from jaxnn.functions.fill import fill
from jaxnn.functions.windows import (
    Padding,
    Sizes,
    Sliding,
    Windows,
    check_fit,
    check_image,
    check_steps,
    check_windows,
    clean_image,
    merged_batch,
    spatial_back,
    spatial_last,
)
from jaxnn.internal.checks import check_dtype_of
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.mesh import is_explicit
from jaxnn.internal.options import (
    check_bool,
    check_callable,
    check_dtypes,
    check_initializer,
    check_size,
)
from jaxnn.layers.dense import lecun, zeros
from jaxnn.layers.layer import make_sliding_layer
from jaxnn.types import Array, ArrayLike, Initializer, Key, Layer, exportable


@exportable
class ConvParams(NamedTuple):
    """kernel `(*window, in / groups, out)`; bias `(out,)`, or None."""

    kernel: Array
    bias: Array | None


@factory
def conv(
    input_size: int,
    output_size: int,
    window: tuple[int, ...],
    stride: Sizes = 1,
    padding: Padding = "valid",
    dilation: Sizes = 1,
    groups: int = 1,
    bias: bool = True,
    kernel_init: Initializer = lecun,
    bias_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Layer[ConvParams]:
    """y[n] = Σ_j x[s·n + d·j − low] W[j] + b, with zeros outside of x.

    n and j have one index for each spatial axis; s is the stride, d the dilation, k the window, and
    (low, high) the padding. Along each axis, N places become

        M = ⌊(N + low + high − d·(k − 1) − 1) / s⌋ + 1

    With padding "valid", low = high = 0. With "same", M = ⌈N / s⌉: low is half of what is needed,
    rounded down. With "causal", for one axis, low = d·(k − 1) and high = 0: M = ⌈N / s⌉, and y[n]
    depends on no x after x[s·n].

    Args:
      input_size, output_size: features (channels) of x and of y.
      window: the places that one y sees, `(3, 3)` over images; its length is the number of spatial
        axes, one to three.
      stride, dilation: one number, or one for each spatial axis.
      padding: "valid", "same", "causal", a number for all sides, or for each spatial axis a pair
        (low, high).
      groups: the features of x are cut into so many groups, and so are those of y; a group of y
        sees the one of x only. With groups = input_size it is depthwise.
      bias: whether there is a b, one number a feature.
      kernel_init, bias_init: of W and b.
      dtype: of x, y and the arithmetic.
      param_dtype: of the parameters; by default dtype, and float32 where that has 16 bits.

    Returns:
      A Layer with `ConvParams`: x `(*batch, *spatial, input)` to y `(*batch, *spatial', output)`.
      `along_time(conv(...))` slides along the leading axis of `(time, *batch, features)`.

    Raises:
      ValueError, TypeError: for sizes, options and groups that do not fit; when it runs, for
        features or a dtype that do not fit, an image that is channels-first or smaller than the
        window, and for a mask that covers a spatial axis.

    Source: LeCun et al. 1989. Like every library it correlates: the kernel is not flipped.
    torch.nn.Conv2d has channels first and keeps its weight as (out, in / groups, *window).

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> layer = jaxnn.conv(3, 16, (3, 3), stride=2, padding="same")
    >>> layer.apply(layer.init(jax.random.key(0)), jnp.ones((8, 28, 28, 3))).shape
    (8, 14, 14, 16)
    """
    return _layer(
        "conv",
        (input_size, output_size, window, stride, padding, dilation, groups, bias),
        (kernel_init, bias_init, dtype, param_dtype),
    )


@factory
def conv_transpose(
    input_size: int,
    output_size: int,
    window: tuple[int, ...],
    stride: Sizes = 1,
    padding: Padding = "valid",
    dilation: Sizes = 1,
    groups: int = 1,
    bias: bool = True,
    kernel_init: Initializer = lecun,
    bias_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
) -> Layer[ConvParams]:
    """y[s·n + d·j − low] += x[n] W[j], and + b: what `conv` does to gradients, to enlarge images.

    The letters are those of `conv`; its padding is here what is cut off. Along each axis, N places
    become

        M = (N − 1)·s + d·(k − 1) + 1 − low − high

    With padding "valid" nothing is cut; with "same", M = N·s. (torch's `output_padding` p makes the
    pair (low, low − p).)

    Args:
      input_size, output_size: features (channels) of x and of y.
      window, stride, padding, dilation, groups, bias: as for `conv`, without "causal".
      kernel_init, bias_init, dtype, param_dtype: as for `conv`.

    Returns:
      A Layer with `ConvParams`: x `(*batch, *spatial, input)` to y `(*batch, *spatial', output)`.

    Raises:
      ValueError, TypeError: as `conv` does, and where the padding cuts everything off.

    Source: Zeiler et al. 2010; Dumoulin & Visin 2016 (arXiv 1603.07285), chapter 4.
    torch.nn.ConvTranspose2d keeps its weight as (in, out / groups, *window).

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> layer = jaxnn.conv_transpose(16, 3, (3, 3), stride=2, padding="same")
    >>> layer.apply(layer.init(jax.random.key(0)), jnp.ones((8, 14, 14, 16))).shape
    (8, 28, 28, 3)
    """
    return _layer(
        "conv_transpose",
        (input_size, output_size, window, stride, padding, dilation, groups, bias),
        (kernel_init, bias_init, dtype, param_dtype),
    )


def _layer(kind: str, options: tuple[Any, ...], rest: tuple[Any, ...]) -> Layer:
    input_size, output_size, window, stride, padding, dilation, groups, bias = options
    kernel_init, bias_init, dtype, param_dtype = rest
    input_size = check_size(kind, "input_size", input_size)
    output_size = check_size(kind, "output_size", output_size)
    groups = check_size(kind, "groups", groups)
    for argument, size in (("input_size", input_size), ("output_size", output_size)):
        if size % groups:
            raise ValueError(f"{kind}: {argument} must divide by groups={groups}, got {size}")
    check_bool(kind, "bias", bias)
    check_callable(kind, "kernel_init", kernel_init, "an initialiser")
    words = ("valid", "same", "causal") if kind == "conv" else ("valid", "same")
    windows = check_windows(kind, window, stride, padding, dilation, words)
    bias_init = check_initializer(kind, "bias", bias, bias_init, zeros)
    dtype, param_dtype = check_dtypes(kind, dtype, param_dtype)
    name = this_call()
    shape = (*windows.sizes, input_size // groups, output_size)
    init = functools.partial(init_conv, name, shape, kernel_init, bias_init, param_dtype)
    apply = apply_conv if kind == "conv" else apply_conv_transpose
    windows = windows._replace(name=name)
    return make_sliding_layer(name, Sliding(init, apply, windows, (groups, dtype)))


def init_conv(
    name: str,
    shape: tuple[int, ...],
    kernel_init: Initializer,
    bias_init: Initializer | None,
    dtype: jnp.dtype,
    key: Key,
) -> ConvParams:
    """The parameters of a convolution or of its transpose."""
    kernel_key, bias_key = jax.random.split(key)
    bias = None
    if bias_init is not None:
        bias = fill(f"{name}: bias_init", bias_init, bias_key, shape[-1:], dtype)
    return ConvParams(fill(f"{name}: kernel_init", kernel_init, kernel_key, shape, dtype), bias)


def apply_conv(
    windows: Windows,
    groups: int,
    dtype: jnp.dtype,
    params: ConvParams,
    x: ArrayLike,
    mask: ArrayLike | None,
    key: Key | None,
) -> Array:
    """x * W + b."""
    del key
    x = _checked(windows, groups, dtype, params, x, mask)
    pads = check_fit(windows, x)
    kernel = params.kernel.astype(dtype)
    y = convolve(
        spatial_last(windows, x), kernel, pads, windows.strides, windows.dilations, groups=groups
    )
    return check_steps(windows, spatial_back(windows, _shifted(y, params, dtype)), mask)


def apply_conv_transpose(
    windows: Windows,
    groups: int,
    dtype: jnp.dtype,
    params: ConvParams,
    x: ArrayLike,
    mask: ArrayLike | None,
    key: Key | None,
) -> Array:
    """The convolution of x, spread out by the stride, with the flipped kernel."""
    del key
    x = _checked(windows, groups, dtype, params, x, mask)
    cuts = _cuts(windows, [x.shape[axis] for axis in windows.axes(x.ndim)])
    pads = [
        (span - 1 - low, span - 1 - high)
        for span, (low, high) in zip(windows.spans(), cuts, strict=True)
    ]
    kernel = jnp.flip(params.kernel.astype(dtype), range(len(windows.sizes)))
    y = convolve(
        spatial_last(windows, x),
        kernel,
        pads,
        dilations=windows.dilations,
        spread=windows.strides,
        groups=groups,
    )
    return check_steps(windows, spatial_back(windows, _shifted(y, params, dtype)), mask)


def convolve(
    x: Array,
    kernel: Array,
    pads: Sequence[tuple[int, int]],
    strides: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    spread: Sequence[int] | None = None,
    groups: int = 1,
) -> Array:
    """x `(*batch, *spatial, in)` by a kernel `(*window, in / groups, out)`.

    `spread` puts so many steps, less one of them zeros, between neighbours of x.
    """
    run = functools.partial(
        _convolve, pads=pads, strides=strides, dilations=dilations, spread=spread, groups=groups
    )
    if not is_explicit(x):
        return run(x, kernel)
    # A convolution has no rule for a batch of several axes, or for its gradient, where types say
    # how arrays are sharded: the compiler lays this one out.
    batch = jax.typeof(x).sharding.spec[: x.ndim - kernel.ndim + 1]
    laid_out: Any = jax.sharding.auto_axes(run, out_sharding=PartitionSpec(*batch))
    return laid_out(x, kernel)


def _convolve(
    x: Array,
    kernel: Array,
    pads: Sequence[tuple[int, int]],
    strides: Sequence[int] | None,
    dilations: Sequence[int] | None,
    spread: Sequence[int] | None,
    groups: int,
) -> Array:
    spatial = "DHW"[5 - kernel.ndim :]
    y = jax.lax.conv_general_dilated(
        merged_batch(x, kernel.ndim - 1),
        kernel,
        strides or (1,) * len(spatial),
        pads,
        lhs_dilation=spread,
        rhs_dilation=dilations,
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
        feature_group_count=groups,
    )
    return y.reshape(*x.shape[: x.ndim - kernel.ndim + 1], *y.shape[1:])


def _checked(
    windows: Windows,
    groups: int,
    dtype: jnp.dtype,
    params: ConvParams,
    x: ArrayLike,
    mask: ArrayLike | None,
) -> Array:
    check_dtype_of(windows.name, "x", x, dtype)
    check_image(windows, x, groups * params.kernel.shape[-2])
    return jnp.asarray(clean_image(windows, x, mask))


def _cuts(windows: Windows, lengths: list[int]) -> list[tuple[int, int]]:
    """What a transpose cuts off at both ends; where its stride leaves a gap, it adds zeros."""
    spans = windows.spans()
    if windows.padding == "valid":
        return [(0, 0)] * len(spans)
    if isinstance(windows.padding, str):
        lows = [max(span - s, 0) // 2 for span, s in zip(spans, windows.strides, strict=True)]
        trios = zip(lows, spans, windows.strides, strict=True)
        return [(low, span - s - low) for low, span, s in trios]
    every = zip(lengths, windows.strides, spans, windows.padding, strict=True)
    for length, stride, span, pair in every:
        if isinstance(length, int) and 0 < (length - 1) * stride + span <= sum(pair):
            raise ValueError(
                f"{windows.name}: its padding {windows.padding} cuts off all that is made of "
                f"{length} places: take less"
            )
    return list(windows.padding)


def _shifted(y: Array, params: ConvParams, dtype: jnp.dtype) -> Array:
    if params.bias is None:
        return y
    return y + jnp.broadcast_to(params.bias.astype(dtype), y.shape)
