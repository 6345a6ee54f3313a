"""keras's layers, each as what it is here."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.functions.activations import elu, leaky_relu
from jaxnn.interop.keras_builder import Affine, Arrays, Builder, Options, named
from jaxnn.interop.keras_options import axis_of, function_of, identity, per_axis, refuse
from jaxnn.interop.keras_recurrent import KINDS, both_directions, recurrent
from jaxnn.layers.along_time import along_time
from jaxnn.layers.conv import conv, conv_transpose
from jaxnn.layers.dense import dense
from jaxnn.layers.dropout import activation, dropout
from jaxnn.layers.embedding import embedding
from jaxnn.layers.flatten import flatten, global_average_pool, reshape
from jaxnn.layers.norm import NormParams, layer_norm
from jaxnn.layers.pool import average_pool, max_pool
from jaxnn.layers.pool_over_time import pool_over_time

Build = Callable[[Builder, Options, Arrays], None]


def add(to: Builder, kind: str, options: Options, arrays: Arrays) -> None:
    """The next layer of a model.

    Raises:
      ValueError: for options that have no counterpart, and arrays that do not fit.
      KeyError: for an option that is not there.
    """
    if kind in _WEIGHTED and not arrays:
        raise ValueError("its weights are not there")
    BUILD[kind](to, options, arrays)


def _dense(to: Builder, options: Options, arrays: Arrays) -> None:
    sizes, dtype = arrays[0].shape, to.dtype_of(arrays)

    def make(bias: bool) -> Any:
        return dense(*sizes, bias=bias, dtype=dtype)

    weights = named(arrays, ("kernel", "bias"))
    to.linear_in_x(str(options["name"]), bool(options["use_bias"]), make, weights)
    _ends_with(to, options)


def _conv(to: Builder, options: Options, arrays: Arrays) -> None:
    refuse(options, data_format=("channels_last",))
    dtype, groups = to.dtype_of(arrays), options.get("groups", 1)
    window, sizes = arrays[0].shape[:-2], arrays[0].shape[-2:]
    transposed = "output_padding" in options
    if transposed:
        refuse(options, output_padding=(None,))
        sizes = sizes[::-1]
    along = to.time and len(window) == to.axes - 1

    def make(bias: bool) -> Any:
        layer = (conv_transpose if transposed else conv)(
            sizes[0] * groups,
            sizes[1],
            window,
            per_axis(options["strides"]),
            options["padding"],
            per_axis(options["dilation_rate"]),
            groups,
            bias,
            dtype=dtype,
        )
        return along_time(layer) if along else layer

    name, biased = str(options["name"]), bool(options["use_bias"])
    weights = named(arrays, ("kernel", "bias"))
    if options["padding"] == "valid" and groups == 1 and not transposed:
        to.linear_in_x(name, biased, make, weights)
    else:
        to.weighted(name, make(biased), weights, make)
    _ends_with(to, options)


def _ends_with(to: Builder, options: Options) -> None:
    """The activation of a layer, as a piece of its own."""
    function = function_of(options.get("activation"), to.version)
    if function is not identity:
        to.plain(f"{options['name']}_activation", activation(function))


def _time_distributed(to: Builder, options: Options, arrays: Arrays) -> None:
    inner = options["layer"]
    kind = str(inner["class_name"])
    if kind not in _OF_ONE_STEP:
        raise ValueError(f"no counterpart for each step of a {kind}")
    to.axes, to.time = to.axes - 1, False
    add(to, kind, {**inner["config"], "name": options["name"]}, arrays)
    to.axes, to.time = to.axes + 1, True


def _embedding(to: Builder, options: Options, arrays: Arrays) -> None:
    layer = embedding(*arrays[0].shape, dtype=to.dtype_of(arrays))
    to.weighted(str(options["name"]), layer, named(arrays, ("embeddings",)))
    to.axes += 1
    if options.get("mask_zero"):
        to.note(f"{options['name']}: mask_zero=True: give mask=(x != 0) at each call")


def _masking(to: Builder, options: Options, arrays: Arrays) -> None:
    del arrays
    to.note(
        f"{options['name']}: give mask=(x != {options['mask_value']}).any(-1) at each call; masked "
        f"outputs are zeros here, where keras repeats the last valid one"
    )


def _layer_norm(to: Builder, options: Options, arrays: Arrays) -> None:
    refuse({"axis": axis_of(options)}, axis=(-1, to.axes))
    scale, shift = _scale_and_shift(options, arrays)
    size, dtype = arrays[0].shape[0], to.dtype_of(arrays)
    if len(arrays) != (scale is not None) + (shift is not None):
        raise ValueError(f"expected gamma and beta, got {len(arrays)} arrays")
    params = NormParams(
        jnp.ones(size, dtype) if scale is None else jnp.array(scale, dtype),
        jnp.zeros(size, dtype) if shift is None else jnp.array(shift, dtype),
    )
    to.plain(str(options["name"]), layer_norm(size, options["epsilon"], dtype=dtype), params)


def _batch_norm(to: Builder, options: Options, arrays: Arrays) -> None:
    refuse({"axis": axis_of(options)}, axis=(-1, to.axes))
    scale, shift = _scale_and_shift(options, arrays)
    if len(arrays) != 2 + (scale is not None) + (shift is not None):
        raise ValueError(f"expected gamma, beta, mean and variance, got {len(arrays)} arrays")
    dtype = to.dtype_of(arrays)
    every = (*arrays[-2:], scale, shift)
    mean, variance, scale, shift = (None if a is None else np.asarray(a, dtype) for a in every)
    assert mean is not None and variance is not None
    name, epsilon = str(options["name"]), options["epsilon"]
    to.normalised(Affine(name, mean, variance, scale, shift, epsilon))


def _scale_and_shift(options: Options, arrays: Arrays) -> tuple[Any, Any]:
    """gamma and beta, where there are such."""
    rest = iter(arrays)
    scale = next(rest, None) if options.get("scale", True) else None
    return scale, next(rest, None) if options.get("center", True) else None


def _pool(make: Callable[..., Any]) -> Build:
    def add(to: Builder, options: Options, arrays: Arrays) -> None:
        del arrays
        refuse(options, data_format=("channels_last",))
        window = per_axis(options["pool_size"])
        stride = window if options["strides"] is None else per_axis(options["strides"])
        layer = make(window, stride, options["padding"])
        along = to.time and len(window) == to.axes - 1
        to.plain(str(options["name"]), along_time(layer) if along else layer)

    return add


def _global_pool(how: str) -> Build:
    def add(to: Builder, options: Options, arrays: Arrays) -> None:
        del arrays
        refuse(options, data_format=("channels_last",), keepdims=(False,))
        if to.time and to.axes == 2:
            layer: Any = pool_over_time(how)
        elif how == "mean" and not to.time:
            layer = global_average_pool(to.axes)
        else:
            raise ValueError("no counterpart for the largest of all places")
        to.plain(str(options["name"]), layer)
        to.axes, to.time = 1, False

    return add


def _flatten(to: Builder, options: Options, arrays: Arrays) -> None:
    del arrays
    if to.time:
        raise ValueError("no counterpart for all steps of a sequence in one row")
    if to.axes > 1:
        to.plain(str(options["name"]), flatten(to.axes))
    to.axes = 1


def _reshape(to: Builder, options: Options, arrays: Arrays) -> None:
    del arrays
    shape = tuple(options["target_shape"])
    if to.time or len(shape) == 2:
        raise ValueError("no counterpart for a Reshape from steps, or to steps")
    to.plain(str(options["name"]), reshape(to.axes, shape))
    to.axes = len(shape)


def _activation(to: Builder, options: Options, arrays: Arrays) -> None:
    del arrays
    function = function_of(options["activation"], to.version)
    if function is not identity:
        to.plain(str(options["name"]), activation(function))


def _function(make: Callable[[Options], Any]) -> Build:
    """A layer that is a function with numbers of its own."""

    def add(to: Builder, options: Options, arrays: Arrays) -> None:
        del arrays
        to.plain(str(options["name"]), activation(make(options)))

    return add


def _relu(options: Options) -> Any:
    refuse(options, max_value=(None,), threshold=(0,))
    slope = options.get("negative_slope")
    return leaky_relu(float(slope)) if slope else jax.nn.relu


def _leaky_relu(options: Options) -> Any:
    return leaky_relu(float(options["negative_slope" if "negative_slope" in options else "alpha"]))


def _elu(options: Options) -> Any:
    return elu(float(options["alpha"]))


def _softmax(options: Options) -> Any:
    refuse(options, axis=(-1,))
    return jax.nn.softmax


def _dropout(to: Builder, options: Options, arrays: Arrays) -> None:
    del arrays
    refuse(options, noise_shape=(None,))
    to.plain(str(options["name"]), dropout(float(options["rate"])))


def _left_out(to: Builder, options: Options, arrays: Arrays) -> None:
    del arrays
    to.note(f"{options['name']}: it is left out, since it does something in training only")


_CONVS = tuple(f"Conv{n}D{kind}" for n in (1, 2, 3) for kind in ("", "Transpose"))
_POOLS: dict[str, Build] = {
    f"{name}{n}D": _pool(make)
    for name, make in (("MaxPooling", max_pool), ("AveragePooling", average_pool))
    for n in (1, 2, 3)
}
_OF_ONE_STEP = {
    "Dense", "Activation", "ReLU", "LeakyReLU", "ELU", "Softmax", "Dropout", "Flatten",
    "LayerNormalization", *_CONVS, *_POOLS,
}  # fmt: skip
_WEIGHTED = {
    "Dense", *_CONVS, *KINDS, "Bidirectional", "Embedding", "LayerNormalization",
    "BatchNormalization",
}  # fmt: skip
_TRAINING = (
    "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianNoise", "GaussianDropout",
    "AlphaDropout", "ActivityRegularization",
)  # fmt: skip
BUILD: dict[str, Build] = {
    "Dense": _dense,
    **dict.fromkeys(_CONVS, _conv),
    **{kind: recurrent(kind) for kind in KINDS},
    "Bidirectional": both_directions,
    "TimeDistributed": _time_distributed,
    "Embedding": _embedding,
    "Masking": _masking,
    "LayerNormalization": _layer_norm,
    "BatchNormalization": _batch_norm,
    **_POOLS,
    **{f"GlobalAveragePooling{n}D": _global_pool("mean") for n in (1, 2, 3)},
    **{f"GlobalMaxPooling{n}D": _global_pool("max") for n in (1, 2, 3)},
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Activation": _activation,
    "ReLU": _function(_relu),
    "LeakyReLU": _function(_leaky_relu),
    "ELU": _function(_elu),
    "Softmax": _function(_softmax),
    "Dropout": _dropout,
    **dict.fromkeys(_TRAINING, _left_out),
}
"""Each adds the pieces of a layer of a class."""
