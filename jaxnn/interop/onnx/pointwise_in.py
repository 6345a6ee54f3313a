"""Activations, norms, arithmetic with constants, and merges of a file."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn.functions import activations
from jaxnn.interop.onnx.activations import Affine, function_of
from jaxnn.interop.onnx.build import combined
from jaxnn.interop.onnx.given import Read, applied, constant, with_features
from jaxnn.interop.onnx.package import Refused
from jaxnn.interop.onnx.values import Axis, Made, Pair, Roles, Tensor
from jaxnn.interop.onnx.views import same_axes
from jaxnn.layers.dropout import activation
from jaxnn.layers.norm import NormParams, layer_norm

ARITHMETIC = ("Add", "Sub", "Mul", "Div")
MERGES = {"Add": "sum", "Sum": "sum", "Mul": "product", "Mean": "mean", "Concat": "concat"}


def read_activation(operator: str) -> Read:
    """A function, entry by entry or along the features."""

    def read(inputs: list[Any], options: dict[str, Any], roles: Roles) -> Tensor:
        x = inputs[0]
        if operator in ("Softmax", "LogSoftmax"):
            if options.get("axis", -1) not in (-1, len(x.dims) - 1):
                raise Refused("it works along another axis than the features")
            with_features(x, x.dims[-1])
        numbers = {key: [options[key]] for key in ("alpha", "beta") if key in options}
        return applied(x, activation(function_of(operator, numbers)))

    return read


def read_clip(inputs: list[Any], options: dict[str, Any], roles: Roles) -> Tensor:
    """Clip."""
    x, *ends = [*inputs, None, None][:3]
    low, high = (
        options.get(name) if end is None else constant(end, "limit").item()
        for name, end in zip(("min", "max"), ends, strict=True)
    )
    if low is None or high is None:
        raise Refused("it has no lower or no upper limit")
    return applied(x, activation(activations.clip(float(low), float(high))))


def read_layer_norm(inputs: list[Any], options: dict[str, Any], roles: Roles) -> Tensor:
    """LayerNormalization over the features."""
    x, scale, bias = [*inputs, None][:3]
    if options.get("axis", -1) not in (-1, len(x.dims) - 1):
        raise Refused("it normalises over more than the last axis")
    _, order = with_features(x, x.dims[-1])
    if order is not None:
        raise Refused("it normalises over several axes of the model")
    scale = constant(scale, "scale")
    bias = np.zeros_like(scale) if bias is None else constant(bias, "bias")
    epsilon = float(str(np.float32(options.get("epsilon", 1e-5))))  # as one writes it
    layer = layer_norm(scale.shape[0], epsilon, dtype=scale.dtype)
    return applied(x, layer, NormParams(jnp.asarray(scale), jnp.asarray(bias)))


def changed(operator: str, x: Tensor, number: np.ndarray, first: bool) -> Tensor:
    """A constant that is added to what was made, or multiplies it: in the product or convolution
    right before, where there is one, else one number as a layer."""
    number = number.astype(x.dtype)
    if operator in ("Sub", "Div"):
        if first:
            raise Refused("it subtracts from a constant, or divides one")
        operator, number = ("Add", -number) if operator == "Sub" else ("Mul", 1 / number)
    made, adds = x.made, operator == "Add"
    size = None if made.features is None else made.features.size
    along = [place for place, dim in enumerate(x.dims) if dim and dim[0] is made.features]
    behind = len(x.dims) - along[0] if along else 0
    fits = number.size == 1 or (number.size == size and number.shape[-behind:][:1] == (size,))
    if made.affine is not None and along and fits:
        row = np.broadcast_to(number.ravel(), (size or 1,))
        return x._replace(made=made.affine(*((None, row) if adds else (row, None))))
    if number.size == 1 and number.ndim <= len(x.dims):
        value = float(str(number.ravel()[0]))  # as one writes it
        return applied(x, activation(Affine(1.0, value) if adds else Affine(value, 0.0)))
    raise Refused(
        f"it {'adds' if adds else 'multiplies by'} a constant of the shape {number.shape}, and no "
        f"product or convolution by feature stands right before it, which could take it"
    )


def merged(operator: str, inputs: list[Any], options: dict[str, Any]) -> Tensor:
    """Several tensors as one."""
    merge, first = MERGES[operator], inputs[0]
    one, *others = (each.made.side for each in inputs)
    if one is not None and one[1] == 0 and others == [(one[0], 1)]:
        return _rejoined(merge, first, one[0], options)
    if any(each.made.pair is not None for each in inputs):
        raise Refused("its two directions are not merged")
    if not all(same_axes(first.made, each.made) for each in inputs):
        raise Refused("the axes of its inputs are not those of one input")
    features, dims = first.made.features, first.dims
    if merge == "concat":
        axis = options["axis"] % len(dims)
        if any(each.dims[axis] != (each.made.features,) for each in inputs):
            raise Refused("it concatenates along another axis than the features")
        sizes = [each.made.features.size for each in inputs]
        features = Axis(None if None in sizes else sum(sizes))
        dims = tuple((features,) if n == axis else dim for n, dim in enumerate(dims))
    made = combined(merge, [each.made for each in inputs], features)
    return Tensor(made, dims, first.dtype)


def _rejoined(merge: str, first: Tensor, pair: Pair, options: dict[str, Any]) -> Tensor:
    """Two directions that were taken apart, and come together again."""
    made, features = first.made, pair.hidden
    if merge == "concat":
        if first.dims[options["axis"] % len(first.dims)] != (features,):
            raise Refused("it concatenates along another axis than the features")
        features = Axis(None if features.size is None else 2 * features.size)
    dims = tuple((features,) if dim == (pair.hidden,) else dim for dim in first.dims)
    joint = Made(made.source, pair.merged(merge), made.leading, [], features)
    joint.is_state = made.is_state
    return Tensor(joint, dims, first.dtype)
