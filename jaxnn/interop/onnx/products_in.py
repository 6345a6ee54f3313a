"""Products and convolutions of a file, with what is added to them and multiplies them after."""

from dataclasses import replace
from typing import Any

import numpy as np

from jaxnn.interop.onnx.given import constant, done, image_of, in_jax, slid, with_features
from jaxnn.interop.onnx.package import Refused
from jaxnn.interop.onnx.values import Axis, Made, Make, Roles, Tensor
from jaxnn.interop.onnx.windows_in import short, window_of
from jaxnn.layers.conv import ConvParams, conv, conv_transpose
from jaxnn.layers.dense import DenseParams, dense


def read_dense(inputs: list[Any], options: dict[str, Any], roles: Roles) -> Tensor:
    """MatMul and Gemm."""
    x, weight, *rest = inputs
    if options.get("transA") or not isinstance(x, Tensor):
        raise Refused("it multiplies a constant by the input, not the input by a constant")
    kernel: Any = constant(weight, "matrix")
    kernel = kernel.T if options.get("transB") else kernel
    if kernel.ndim != 2:
        raise Refused(f"its constant has {kernel.ndim} dimensions, not 2")
    if options.get("alpha", 1.0) != 1 or options.get("beta", 1.0) != 1:
        raise Refused("its alpha and beta are not 1")
    made, order = with_features(x, x.dims[-1])
    if order is not None:  # an image, whose places are flattened in the order of the file
        sizes = [axis.size or 0 for axis in x.dims[-1]]
        apart = kernel.reshape(*sizes, kernel.shape[1])
        kernel = apart.transpose(*order, apart.ndim - 1).reshape(kernel.shape)
    out, bias = Axis(kernel.shape[1]), rest[0] if rest else None
    row = None if bias is None else np.broadcast_to(constant(bias, "bias"), (1, out.size or 0))[0]

    def build(kernel: np.ndarray, bias: np.ndarray | None) -> Make:
        layer = dense(*kernel.shape, bias=bias is not None, dtype=kernel.dtype)
        return done(layer, DenseParams(in_jax(kernel), in_jax(bias)))

    result = affine(Made(made, None, made.leading, made.spatial, out), build, kernel, row)
    return Tensor(result, (*x.dims[:-1], (out,)), x.dtype)


def affine(made: Made, build: Any, kernel: np.ndarray, bias: np.ndarray | None) -> Made:
    """A part with a kernel and a bias, both by feature, that what comes after it may change."""

    def changed(scale: np.ndarray | None, shift: np.ndarray | None) -> Made:
        own = bias if scale is None or bias is None else bias * scale
        if shift is not None:
            own = shift if own is None else own + shift
        return affine(made, build, kernel if scale is None else kernel * scale, own)

    return replace(made, make=build(kernel, bias), affine=changed)


def read_conv(inputs: list[Any], options: dict[str, Any], roles: Roles) -> Tensor:
    """Conv."""
    kernel = constant(inputs[1], "kernel")
    return _convolved(conv, kernel, inputs, options, False)


def read_conv_transpose(inputs: list[Any], options: dict[str, Any], roles: Roles) -> Tensor:
    """ConvTranspose, whose kernel is (in, out / groups, *window)."""
    rows, out, *window = constant(inputs[1], "kernel").shape
    groups = options.get("group", 1)
    apart = inputs[1].reshape(groups, rows // groups, out, *window).swapaxes(1, 2)
    kernel = apart.reshape(groups * out, rows // groups, *window)
    return _convolved(conv_transpose, kernel, inputs, options, True)


def _convolved(
    factory: Any, kernel: np.ndarray, inputs: list[Any], options: dict[str, Any], back: bool
) -> Tensor:
    """A convolution with a kernel (out, in / groups, *window)."""
    x, _, *rest = inputs
    kernel = np.moveaxis(kernel, (0, 1), (-1, -2))
    groups, size, out = options.get("group", 1), kernel.shape[-2], Axis(kernel.shape[-1])
    window = window_of(options, kernel.shape[:-2], back)
    source, spatial = image_of(x)

    def build(kernel: np.ndarray, bias: np.ndarray | None) -> Make:
        layer = factory(
            size * groups,
            kernel.shape[-1],
            window.sizes,
            short(window.strides),
            window.padding(),
            short(window.dilations),
            groups,
            bias is not None,
            dtype=kernel.dtype,
        )
        return slid(layer, spatial, ConvParams(in_jax(kernel), in_jax(bias)))

    new = window.slid_along(spatial)
    bias = constant(rest[0], "bias") if rest and rest[0] is not None else None
    made = affine(Made(source, None, source.leading, new, out), build, kernel, bias)
    return Tensor(made, (x.dims[0], (out,), *((axis,) for axis in new)), x.dtype)


def read_batch_norm(inputs: list[Any], options: dict[str, Any], roles: Roles) -> Tensor:
    """BatchNormalization by fixed means and variances: a part of what stands before it."""
    x, *given = inputs
    if options.get("training_mode"):
        raise Refused("it takes mean and variance of the batch")
    scale, bias, mean, variance = (constant(each, "statistics").astype(float) for each in given)
    scale = scale / np.sqrt(variance + options.get("epsilon", 1e-5))
    if x.made.affine is None or x.dims[1] != (x.made.features,):
        raise Refused("no product or convolution stands right before it, which could take it")
    shift = (bias - mean * scale).astype(x.dtype)
    return x._replace(made=x.made.affine(scale.astype(x.dtype), shift))
