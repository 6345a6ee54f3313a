"""A file of ONNX as a model of jaxnn, with its parameters."""

import collections
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnn.interop.onnx import pointwise_in, views
from jaxnn.interop.onnx.build import chain, together
from jaxnn.interop.onnx.given import with_features
from jaxnn.interop.onnx.graph import needed_nodes
from jaxnn.interop.onnx.package import OLDEST, OPSET, Refused, needed
from jaxnn.interop.onnx.pooling_in import read_gather, rows
from jaxnn.interop.onnx.readers import READERS
from jaxnn.interop.onnx.recurrent_in import KINDS, Final, read_recurrent
from jaxnn.interop.onnx.values import (
    Axis,
    Made,
    Other,
    Roles,
    Rows,
    Spread,
    Tensor,
    flat,
    is_known,
    is_sizes,
)
from jaxnn.types import Params


class Imported(NamedTuple):
    """What `load` and `from_model` give.

    Attributes:
      model: a Cell where every part runs step by step, else a SequenceLayer or a Layer. It is
        time-major and has its features last, whatever the file has.
      params: its parameters.
      input_axes: `x.transpose(input_axes)` is what the model takes, of what the file takes.
      output_axes: `y.transpose(output_axes)` is what the file gives, of what the model gives; axes
        of size 1 that the file adds are left out.
    """

    model: Any
    params: Params
    input_axes: tuple[int, ...]
    output_axes: tuple[int, ...]


def load(path: str | os.PathLike[str], output: str | None = None) -> Imported:
    """The model of an ONNX file, as `from_model` gives it.

    Args:
      path: the file.
      output: as for `from_model`.

    Raises:
      ValueError, TypeError, ImportError: as `from_model` does; ValueError for a file that is none.
      OSError: where it cannot be read.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"load: path must be a path, got {path!r}")
    onnx = needed("load")
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.load_model(os.fsdecode(path))
    except DecodeError as error:
        raise ValueError(f"load: {os.fsdecode(path)} is no ONNX file: {error}") from error
    return _imported("load", onnx, proto, output)


def from_model(proto: Any, output: str | None = None) -> Imported:
    """A model of jaxnn and its parameters from an ONNX model.

    It is read from its first input to one output, node by node: RNN, LSTM and GRU in any direction
    and layout, products, convolutions, pooling, LayerNormalization, embeddings, activations, and
    what joins them. Constants are folded, moved axes followed. The other inputs are lengths and
    first states: the model takes them as the arguments `mask` and `state` of its `unroll`, and
    gives the final states.

    Args:
      proto: an `onnx.ModelProto`.
      output: the name of the output that the model gives; by default the first one, and then the
        others must be final states.

    Returns:
      `Imported(model, params, input_axes, output_axes)`.

    Raises:
      ValueError: for nodes that jaxnn has no part for, each with its name, operator and reason.
      TypeError: for what is no ModelProto.
      ImportError: without the package onnx (the extra `onnx`).

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> from jaxnn.interop.onnx import to_model
    >>> cell = jaxnn.stack(jaxnn.lstm(3, 8), jaxnn.dense(8, 2))
    >>> params = cell.init(jax.random.key(0))
    >>> from_model(to_model(cell, params, jnp.zeros((5, 2, 3)))).model
    stack(lstm(3, 8), dense(8, 2))
    """
    return _imported("from_model", needed("from_model"), proto, output)


def initializers(proto: Any) -> dict[str, np.ndarray]:
    """The tensors of an ONNX model by name: its weights, as they are.

    Args:
      proto: an `onnx.ModelProto`.

    Raises:
      TypeError: for what is no ModelProto.
      ImportError: without the package onnx (the extra `onnx`).

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> from jaxnn.interop.onnx import to_model
    >>> cell = jaxnn.gru(3, 8)
    >>> proto = to_model(cell, cell.init(jax.random.key(0)), jnp.zeros((5, 2, 3)))
    >>> sorted(array.shape for array in initializers(proto).values())[1:]
    [(1, 24, 3), (1, 24, 8), (1, 48)]
    """
    onnx = needed("initializers")
    _check("initializers", onnx, proto)
    return {each.name: _array(onnx, each) for each in proto.graph.initializer}


def _check(name: str, onnx: Any, proto: Any) -> None:
    if not isinstance(proto, onnx.ModelProto):
        raise TypeError(f"{name}: proto must be an onnx.ModelProto, got {type(proto).__name__}")


def _array(onnx: Any, tensor: Any) -> np.ndarray:
    return np.array(onnx.numpy_helper.to_array(tensor))


def _imported(name: str, onnx: Any, proto: Any, output: str | None) -> Imported:
    _check(name, onnx, proto)
    known = [each.name for each in proto.graph.output]
    if output is not None and output not in known:
        raise ValueError(f"{name}: output must be one of {known}, got {output!r}")
    reader = Reader(onnx, proto)
    wanted = known if output is None else [output]
    reader.run(wanted)
    try:
        result = reader.result(wanted)
    except Refused as error:
        reader.faults += [] if reader.faults else [str(error)]
        result = None
    if reader.faults or result is None:
        faults = "\n  ".join(dict.fromkeys(reader.faults))
        raise ValueError(f"{name}: this model cannot be read:\n  {faults}")
    return result


class Reader:
    """A graph while it is being read: what each name stands for, and what was refused."""

    def __init__(self, onnx: Any, proto: Any) -> None:
        self.onnx, self.graph = onnx, proto.graph
        self.opsets = {each.domain: each.version for each in proto.opset_import}
        self.known: dict[str, Any] = {
            each.name: _array(onnx, each) for each in proto.graph.initializer
        }
        self.roles = Roles()
        self.faults: list[str] = []
        if self.opsets.get("", OLDEST) < OLDEST:
            raise ValueError(
                f"from_model: the model is of opset {self.opsets['']}, and {OLDEST} is the oldest "
                f"that is read: use onnx.version_converter"
            )
        inputs = [each for each in proto.graph.input if each.name not in self.known]
        if not inputs:
            raise ValueError("from_model: the model has no input")
        for each in inputs[1:]:
            self.known[each.name] = Other(frozenset([each.name]))
        self.lengths = self._lengths()
        self.given, self.dims = self._first(inputs[0])

    def _first(self, info: Any) -> tuple[Made, tuple[tuple[Axis, ...], ...]]:
        """The first input, whose axes are not known yet."""
        kind = info.type.tensor_type
        if not kind.HasField("shape"):
            raise ValueError(f"from_model: the input {info.name} has no number of dimensions")
        axes = [
            Axis(each.dim_value if each.HasField("dim_value") and each.dim_value > 0 else None)
            for each in kind.shape.dim
        ]
        made = Made(None, None, axes)
        dims = tuple((axis,) for axis in axes)
        dtype = np.dtype(self.onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        self.known[info.name] = Tensor(made, dims, dtype)
        return made, dims

    def run(self, wanted: Sequence[str]) -> None:
        """Read every node that the outputs depend on."""
        nodes = needed_nodes(self.graph.node, wanted)
        uses = collections.Counter(name for node in nodes for name in node.input)
        main = {name for node in needed_nodes(nodes, wanted[:1]) for name in node.output}
        for node in nodes:
            inputs = [self.known.get(name) if name else None for name in node.input]
            if any(name and name not in self.known for name in node.input):
                continue  # it depends on a node that was refused
            try:
                found = self._read(node, inputs)
            except (ValueError, TypeError) as error:
                if any(map(_is_state, inputs)) and not main & set(node.output):
                    self.known |= dict.fromkeys(node.output, Final())
                    continue
                self.faults.append(f"{node.name or node.output[0]} ({node.op_type}): {error}")
                continue
            for name, value in zip(node.output, found, strict=False):
                if isinstance(value, Tensor) and uses[name] > 1:
                    value.made.affine = None  # what comes after it must not change it for others
                self.known[name] = value

    def _read(self, node: Any, inputs: list[Any]) -> list[Any]:
        operator = node.op_type
        options = {each.name: self._option(each) for each in node.attribute}
        if node.domain not in ("", "ai.onnx"):
            raise Refused(f"operators of {node.domain} are none of ONNX's own")
        if any(each.HasField("g") for each in node.attribute):
            raise Refused("it has a graph of its own inside: jaxnn reads RNN, LSTM and GRU")
        if operator.startswith("Random") or operator in ("Bernoulli", "Multinomial"):
            raise Refused("it is random")
        if operator in ("Softmax", "LogSoftmax") and self.opsets.get("", OPSET) < 13:
            options.setdefault("axis", 1)
        if all(each is None or is_known(each) for each in inputs):
            return self._folded(node, inputs)
        given = [each for each in inputs if each is not None]
        if operator in KINDS:
            return read_recurrent(operator, inputs, options, self.roles)
        tensors = [each for each in given if isinstance(each, Tensor)]
        if operator == "Shape" and tensors:
            shape = views.shape_of(tensors[0])
            shape = shape[options.get("start", 0) : options.get("end")]
            return [shape.astype(np.int64) if all(isinstance(n, int) for n in shape) else shape]
        if operator == "Where" and tensors and isinstance(inputs[0], Other):
            return [self._where(inputs)]
        if operator == "Concat" and len(tensors) == len(given):
            axis = options["axis"]
            if all(each.made.is_state and _stands(each, axis) for each in tensors):
                return [rows(tensors, axis)]
            return [pointwise_in.merged(operator, given, options)]
        if isinstance(given[0], Rows):
            if operator == "Gather":
                return [read_gather(inputs, options, self.roles)]
            raise Refused("it takes a part of the states of several layers")
        if tensors:
            return [self._of_tensors(operator, inputs, tensors, options)]
        if any(isinstance(each, Final) for each in given):
            return [Final()]
        if any(isinstance(each, Other) for each in given):
            return [views.of_other(operator, given)] * len(node.output)
        if is_sizes(given[0]) and operator != "ConstantOfShape":
            return [views.of_sizes(operator, given, options)]
        if isinstance(given[0], Spread) or operator in ("ConstantOfShape", "Expand"):
            return [views.of_spread(operator, given, options)]
        return [views.of_sizes(operator, given, options)]

    def _of_tensors(
        self, operator: str, inputs: list[Any], tensors: list[Tensor], options: dict[str, Any]
    ) -> Tensor:
        if operator in views.MOVES:
            return self._moved(operator, tensors[0], inputs, options)
        if operator in pointwise_in.MERGES and 1 < len(tensors) == len(inputs):
            return pointwise_in.merged(operator, inputs, options)
        numbers = [each for each in inputs if is_known(each)]
        if operator in pointwise_in.ARITHMETIC and len(numbers) == 1:
            return pointwise_in.changed(operator, tensors[0], numbers[0], is_known(inputs[0]))
        others = views.of_other(operator, inputs).names
        if others:
            raise Refused(f"it joins the first input with another one, {', '.join(sorted(others))}")
        if operator in READERS:
            return READERS[operator](inputs, options, self.roles)
        raise Refused("jaxnn has no part for it")

    def _moved(
        self, operator: str, tensor: Tensor, inputs: list[Any], options: dict[str, Any]
    ) -> Tensor:
        """A view; two directions that come together in one dimension are merged there."""
        if operator == "Cast":
            dtype = np.dtype(self.onnx.helper.tensor_dtype_to_np_dtype(options["to"]))
            if np.issubdtype(dtype, np.integer) != np.issubdtype(tensor.dtype, np.integer):
                raise Refused(f"it casts {tensor.dtype} to {dtype}")
            if not np.issubdtype(dtype, np.integer) and dtype != tensor.dtype:
                raise Refused(f"it casts {tensor.dtype} to {dtype}")
            return tensor._replace(dtype=dtype)
        training = inputs[2] if operator == "Dropout" and len(inputs) > 2 else None
        if training is not None and not (is_known(training) and not training.any()):
            raise Refused("it drops at random")
        moved = views.moved(operator, tensor, inputs, options)
        pair = moved.made.pair
        if pair is None or not any(len(dim) > 1 and pair.axis in dim for dim in moved.dims):
            return moved
        features = Axis(None if pair.hidden.size is None else 2 * pair.hidden.size)
        joint = (pair.axis, pair.hidden)
        if joint not in moved.dims:
            raise Refused("its two directions come together in another order than one by one")
        dims = tuple((features,) if dim == joint else dim for dim in moved.dims)
        made = Made(moved.made.source, pair.merged("concat"), moved.made.leading, [], features)
        return Tensor(made, dims, moved.dtype)

    def _where(self, inputs: list[Any]) -> Any:
        """x with zeros at padded steps, as every model has it; or a final state, where there may
        have been no step."""
        flag, x, otherwise = inputs
        if flag.names <= self.lengths:
            if isinstance(x, Tensor) and is_known(otherwise) and not otherwise.any():
                return x
            if not isinstance(x, Tensor) and _is_state(otherwise):
                return otherwise
        raise Refused(f"it chooses by another input, {', '.join(sorted(flag.names))}")

    def _lengths(self) -> frozenset[str]:
        """The inputs that are the lengths of some operator."""
        makers = {name: node for node in self.graph.node for name in node.output}
        nodes = [node for node in self.graph.node if node.op_type in KINDS and len(node.input) > 4]
        found, waiting = set[str](), [node.input[4] for node in nodes]
        while waiting:
            name = waiting.pop()
            if name in makers:
                waiting += makers[name].input
            elif isinstance(self.known.get(name), Other):
                found.add(name)
        return frozenset(found)

    def _option(self, attribute: Any) -> Any:
        value = self.onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, self.onnx.TensorProto):
            return _array(self.onnx, value)
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], bytes):
            return [each.decode() for each in value]
        return list(value) if hasattr(value, "extend") else value

    def _folded(self, node: Any, inputs: list[Any]) -> list[Any]:
        """What a node of constants gives."""
        from onnx.reference import ReferenceEvaluator

        feeds = {n: v for n, v in zip(node.input, inputs, strict=True) if n}
        evaluator = ReferenceEvaluator(node, opsets=self.opsets)
        return [np.asarray(each) for each in evaluator.run(None, feeds)]

    def result(self, wanted: Sequence[str]) -> Imported | None:
        """The model of the first output that was asked for."""
        missing = [name for name in wanted if name not in self.known]
        if missing:
            return None
        found = self.known[wanted[0]]
        if not isinstance(found, Tensor):
            raise Refused(f"the output {wanted[0]} does not depend on the first input alone")
        for name in wanted[1:]:
            if not _is_state(self.known[name]):
                raise Refused(
                    f"it has several outputs that are no final states, {wanted[0]} and {name}: "
                    f"choose one by output="
                )
        found = _flattened(found)
        parts = chain(found.made, None)
        if not parts:
            raise Refused(f"the output {wanted[0]} is the input")
        model, params = together(parts, self.roles)
        ours, theirs = self.given.axes(self.roles), flat(self.dims)
        results = found.made.axes(self.roles)
        dims = [dim for dim in found.dims if dim]
        if any(len(dim) > 1 for dim in dims):
            raise Refused(f"the output {wanted[0]} has several axes of the model in one dimension")
        return Imported(
            model,
            params,
            tuple(theirs.index(axis) for axis in ours),
            tuple(results.index(dim[0]) for dim in dims),
        )


def _is_state(value: Any) -> bool:
    """Whether it is a final state, or some."""
    return isinstance(value, (Final, Rows)) or (isinstance(value, Tensor) and value.made.is_state)


def _stands(tensor: Tensor, axis: int) -> bool:
    """Whether the directions of a state stand along an axis."""
    dim, pair = tensor.dims[axis], tensor.made.pair
    return not dim or (pair is not None and dim == (pair.axis,))


def _flattened(tensor: Tensor) -> Tensor:
    """An output whose last dimension has several axes of an image, as one."""
    if not tensor.dims or len(tensor.dims[-1]) < 2:
        return tensor
    made, order = with_features(tensor, tensor.dims[-1])
    if order is None or order != sorted(order):
        raise Refused("the output flattens an image in another order than jaxnn")
    features = tuple(axis for axis in made.axes(Roles()) if axis is made.features)
    return tensor._replace(made=made, dims=(*tensor.dims[:-1], features))
