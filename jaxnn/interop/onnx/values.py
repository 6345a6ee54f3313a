"""What a name in a file that is being read stands for: axes, tensors, states and sizes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from jaxnn.types import Params


@dataclass(eq=False)
class Axis:
    """An axis, wherever it stands in a tensor; `size` is None where it is open.

    `origin` is the axis that it comes from, such as the one that a convolution has slid along.
    """

    size: int | None
    origin: "Axis | None" = None

    def root(self) -> "Axis":
        """The first one of those that come from each other."""
        return self if self.origin is None else self.origin.root()


@dataclass
class Roles:
    """What is known of the axes of the whole model: which one is time, and whether an input of
    lengths says that the ends of sequences are padding."""

    time: Axis | None = None
    padded: bool = False

    def is_time(self, axis: Axis) -> bool:
        """Whether it is the time of the model."""
        return self.time is not None and axis.root() is self.time


Make = Callable[[Roles], tuple[Any, Params]]
"""`model, params = make(roles)`, once the roles of all axes are known."""


class Pair(NamedTuple):
    """Two directions that are not merged yet: how, given the merge, what one of them is by itself,
    and along which axes."""

    merged: Callable[[str], Make]
    single: Callable[[int], Make]
    axis: Axis
    hidden: Axis


@dataclass(eq=False)
class Made:
    """What the model has made so far: one part of it, on what was made before.

    Attributes:
      source: what the part takes; None for the input of the model.
      make: the part; None for the input.
      leading, spatial, features: the axes of the result, in jaxnn's order but for time, which
        comes first; features is None where it is not known yet, and for tokens.
      pair: what is still to be merged.
      side: the pair of which it is one direction, and which.
      affine: the same part, whose result is multiplied and shifted, feature by feature.
      is_state: whether it is the final state of an operator.
    """

    source: "Made | None"
    make: Make | None
    leading: list[Axis]
    spatial: list[Axis] = field(default_factory=list)
    features: Axis | None = None
    pair: Pair | None = None
    side: tuple[Pair, int] | None = None
    affine: "Callable[[np.ndarray | None, np.ndarray | None], Made] | None" = None
    is_state: bool = False

    def axes(self, roles: Roles) -> list[Axis]:
        """All axes, in jaxnn's order."""
        images = [axis for axis in self.spatial if not roles.is_time(axis)]
        rest = [*self.leading, *(axis for axis in self.spatial if roles.is_time(axis))]
        rest.sort(key=lambda axis: not roles.is_time(axis))  # stable
        return [*rest, *images, *([] if self.features is None else [self.features])]


class Tensor(NamedTuple):
    """What was made, as it stands in the file: for each dimension the axes that it consists of."""

    made: Made
    dims: tuple[tuple[Axis, ...], ...]
    dtype: np.dtype


class Rows(NamedTuple):
    """Final states one after the other along a dimension, as those of several layers are kept."""

    tensors: tuple[Tensor, ...]
    axis: int


class Spread(NamedTuple):
    """A constant that is broadcast to a size which is known when it runs, such as a first state."""

    array: np.ndarray


class Other(NamedTuple):
    """What comes from an input beside the first one: lengths, masks and states; `plain` as long as
    its numbers are those of the input."""

    names: frozenset[str]
    plain: bool = True


def is_sizes(value: Any) -> bool:
    """Whether it is a shape with open sizes, of dtype object: numbers, and an Axis for an open one,
    or None for what is computed of such."""
    return isinstance(value, np.ndarray) and value.dtype == object


def is_known(value: Any) -> bool:
    """Whether it is a constant."""
    return isinstance(value, np.ndarray) and value.dtype != object


def flat(dims: Sequence[Sequence[Axis]]) -> list[Axis]:
    """All axes, in their order."""
    return [axis for dim in dims for axis in dim]
