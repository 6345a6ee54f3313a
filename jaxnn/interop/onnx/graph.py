"""A graph of ONNX while it is being written: its nodes, its tensors, and its symbolic sizes."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxnn.interop.onnx.package import Refused, needed
from jaxnn.types import Shape

ALL = np.iinfo(np.int64).max
"""The end of a slice that goes to the end."""


@dataclass(frozen=True)
class Value:
    """What a node gives: name, shape with symbolic sizes, and dtype. In trees it is a leaf."""

    name: str
    shape: Shape
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    def struct(self) -> jax.ShapeDtypeStruct:
        """What jax traces in its place."""
        return jax.ShapeDtypeStruct(self.shape, self.dtype)


Operand = Value | np.ndarray | None
"""An input of a node: a value, a constant, or nothing where it is optional."""


class Graph:
    """The nodes of a graph, or of the body of a loop inside of one (`outer`).

    Names are unique over all of them, and constants stand in the outermost one: a body may read
    whatever is outside of it.
    """

    def __init__(self, outer: "Graph | None" = None) -> None:
        self.onnx: Any = needed("to_model")
        self.outer = outer
        self.nodes: list[Any] = []
        self.path: list[str] = [] if outer is None else outer.path
        self.faults: list[str] = [] if outer is None else outer.faults
        self.counter: Iterator[int] = itertools.count() if outer is None else outer.counter
        self.tensors: dict[Any, Any] = {} if outer is None else outer.tensors
        self._arrays: dict[str, np.ndarray] = {} if outer is None else outer._arrays
        self._makers: dict[str, Any] = {}
        self._spread: dict[str, Value] = {} if outer is None else outer._spread
        self._sizes: dict[str, tuple[Value, int]] = {}
        self._known: dict[str, Value] = {}

    @contextlib.contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Nodes and errors of a part of the model say where it is."""
        self.path.append(name)
        try:
            yield
        finally:
            self.path.pop()

    def name(self, word: str) -> str:
        """A name that nothing else in the file has."""
        return "/".join([*self.path, f"{word}_{next(self.counter)}"])

    def given(self, name: str, shape: Shape, dtype: Any) -> Value:
        """An input of the graph."""
        return self._seen(Value(name, tuple(shape), np.dtype(dtype)))

    def node(
        self, operator: str, inputs: Sequence[Operand], shape: Shape, dtype: Any, **attributes: Any
    ) -> Value:
        """What an operator with one output gives."""
        return self.node_of_many(operator, inputs, [(shape, dtype)], **attributes)[0]

    def node_of_many(
        self,
        operator: str,
        inputs: Sequence[Operand],
        outputs: Sequence[tuple[Shape, Any]],
        **attributes: Any,
    ) -> list[Value]:
        """What an operator gives, of these shapes and dtypes."""
        name = self.name(operator)
        names = [self._name(each) for each in inputs]
        while names and not names[-1]:  # an optional input is left out after the last one given
            names.pop()
        values = [
            Value(f"{name}:{place}", tuple(shape), np.dtype(dtype))
            for place, (shape, dtype) in enumerate(outputs)
        ]
        given = [each.name for each in values]
        made = self.onnx.helper.make_node(operator, names, given, name=name, **attributes)
        self.nodes.append(made)
        self._makers |= dict.fromkeys(given, made)
        return [self._seen(each) for each in values]

    def constant(self, array: Any) -> Value:
        """A tensor of the file; equal ones are written once."""
        array = np.asarray(array)
        key = (array.dtype.str, str(array.dtype), array.shape, array.tobytes())
        if key not in self.tensors:
            name = self.name("tensor")
            self.tensors[key] = self.onnx.numpy_helper.from_array(array, name)
            self._arrays[name] = array
        return Value(self.tensors[key].name, array.shape, array.dtype)

    def value(self, operand: Value | np.ndarray) -> Value:
        """An operand as a value."""
        return operand if isinstance(operand, Value) else self.constant(operand)

    def array(self, value: Value) -> np.ndarray | None:
        """The numbers of a constant."""
        return self._arrays.get(value.name)

    def sizes(self, shape: Shape) -> Value:
        """A shape as a tensor of int64, symbolic sizes read where they are known."""
        if all(isinstance(size, int) for size in shape):
            return self.constant(np.array(shape, np.int64))
        pieces = [
            self.constant(np.array([size], np.int64)) if isinstance(size, int) else self.size(size)
            for size in shape
        ]
        return self.node("Concat", pieces, (len(shape),), np.int64, axis=0)

    def size(self, size: Any) -> Value:
        """A symbolic size as a tensor of one int64."""
        text = str(size)
        if text not in self._known:
            if text in self._sizes:
                value, axis = self._sizes[text]
                self._known[text] = self.node(
                    "Shape", [value], (1,), np.int64, start=axis, end=axis + 1
                )
            elif self.outer is not None:
                self._known[text] = self.outer.size(size)
            else:
                raise Refused(
                    f"it needs the size {size}, which no input has: give xs of fixed sizes, with "
                    f"dynamic=False"
                )
        return self._known[text]

    def reshape(self, value: Value, shape: Shape) -> Value:
        """The same numbers in another shape."""
        if tuple(value.shape) == tuple(shape):
            return value
        if value.name in self._arrays:
            return self.constant(self._arrays[value.name].reshape(shape))
        # 0 is the size as it was at this place, -1 whatever is left
        target = [
            size
            if isinstance(size, int)
            else 0
            if place < value.ndim and str(value.shape[place]) == str(size)
            else -1
            for place, size in enumerate(shape)
        ]
        simple = target.count(-1) < 2 and 0 not in shape
        sizes = self.constant(np.array(target, np.int64)) if simple else self.sizes(shape)
        return self.node("Reshape", [value, sizes], shape, value.dtype)

    def transpose(self, value: Value, order: Sequence[int]) -> Value:
        """The axes in another order; two in a row are one, or none."""
        if value.name in self._arrays:
            return self.constant(np.transpose(self._arrays[value.name], order))
        before = self._makers.get(value.name)
        if before is not None and before.op_type == "Transpose":
            first = list(before.attribute[0].ints)
            shape = [value.shape[first.index(axis)] for axis in range(len(first))]
            value = Value(before.input[0], tuple(shape), value.dtype)
            order = [first[axis] for axis in order]
        if list(order) == list(range(len(order))):
            return value
        shape = tuple(value.shape[axis] for axis in order)
        return self.node("Transpose", [value], shape, value.dtype, perm=list(order))

    def expand(self, value: Value, shape: Shape) -> Value:
        """Broadcast to a shape of the same rank."""
        if tuple(value.shape) == tuple(shape):
            return value
        spread = self.node("Expand", [value, self.sizes(shape)], shape, value.dtype)
        self._spread[spread.name] = value
        return spread

    def before_expand(self, value: Value) -> Value:
        """What was broadcast to a value, or the value itself."""
        return self._spread.get(value.name, value)

    def info(self, value: Value) -> Any:
        """How an input or output of the graph is declared."""
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
        shape = [size if isinstance(size, int) else str(size) for size in value.shape]
        return self.onnx.helper.make_tensor_value_info(value.name, kind, shape)

    def named(self, value: Value | np.ndarray, name: str) -> Value:
        """A value under a name of our own, as the outputs of a graph have one."""
        value = self.node("Identity", [value], value.shape, value.dtype)
        self.nodes[-1].output[0] = name
        return Value(name, value.shape, value.dtype)

    def _name(self, operand: Operand) -> str:
        return "" if operand is None else self.value(operand).name

    def _seen(self, value: Value) -> Value:
        for axis, size in enumerate(value.shape):
            if not isinstance(size, int):
                self._sizes.setdefault(str(size), (value, axis))
        return value


def needed_nodes(nodes: Sequence[Any], outputs: Sequence[str]) -> list[Any]:
    """The nodes that some output depends on, in their order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(reads(node))
    return kept[::-1]


def reads(node: Any) -> set[str]:
    """What a node reads, the bodies inside of it included."""
    found = set(node.input)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            inner = attribute.g.node
            found |= {name for each in inner for name in reads(each)}
            found |= {each.name for each in attribute.g.output}
    return found - {""}
