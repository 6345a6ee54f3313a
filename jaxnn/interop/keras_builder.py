"""The pieces of a model that is built layer by layer, with batch norms folded into them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnn.interop.batch_norm import fold_batch_norm
from jaxnn.interop.convert import from_named
from jaxnn.interop.keras_names import KERAS
from jaxnn.layers.dense import DenseParams, dense
from jaxnn.types import Params

Options = Mapping[str, Any]
Arrays = list[np.ndarray]


class Piece(NamedTuple):
    """A part of the model; `make(bias)` gives its layer anew, with a bias or without."""

    name: str
    layer: Any
    params: Params
    make: Callable[[bool], Any] | None = None


class Affine(NamedTuple):
    """A batch norm: the arguments of `fold_batch_norm`."""

    name: str
    mean: np.ndarray
    variance: np.ndarray
    scale: np.ndarray | None
    shift: np.ndarray | None
    epsilon: float

    def folded(self, params: Any, before: bool) -> Params:
        """Parameters that do its work too; of both cells of a bidirectional."""
        if hasattr(params, "backward"):
            return type(params)(*(self.folded(each, before) for each in params))
        return fold_batch_norm(params, *self[1:], before=before)


class Builder:
    """The pieces of a model, in their order.

    Attributes:
      axes: how many axes a sample has where the next layer stands.
      time: whether the first of them is time; it stands in front of the batch here.
      version: of keras, if it is known.
      notes: what is to be told, each once.
    """

    def __init__(self, dtype: Any, version: int | None, axes: int, time: bool) -> None:
        self.version, self.axes, self.time = version, axes, time
        self.notes: list[str] = []
        self._dtype = dtype
        self._pieces: list[Piece] = []
        self._pending: Affine | None = None

    def plain(self, name: str, layer: Any, params: Params = ()) -> None:
        """A piece that takes in no batch norm."""
        self._write_out()
        self._pieces.append(Piece(name, layer, params))

    def weighted(
        self, name: str, layer: Any, named: Mapping[str, np.ndarray], make: Any = None
    ) -> None:
        """A piece with keras's arrays by name, which takes in a batch norm after it if it is made
        by `make`."""
        params = from_named(KERAS, "weights", layer, named, "", self._dtype is not None)
        self._write_out()
        self._pieces.append(Piece(name, layer, params, make))

    def linear_in_x(
        self, name: str, biased: bool, make: Callable[[bool], Any], named: Mapping[str, np.ndarray]
    ) -> None:
        """A piece that takes in a batch norm before it."""
        pending, self._pending = self._pending, None
        self.weighted(name, make(biased), named, make)
        if pending is not None:
            last = self._pieces[-1]
            params = pending.folded(last.params, before=True)
            self._pieces[-1] = last._replace(layer=make(True), params=params)

    def normalised(self, affine: Affine) -> None:
        """A batch norm: into the layer before it, or kept for the next one."""
        self._write_out()
        last = self._pieces[-1] if self._pieces else None
        if last is None or last.make is None or not hasattr(last.params, "kernel"):
            self._pending = affine
            return
        params = affine.folded(last.params, before=False)
        self._pieces[-1] = last._replace(layer=last.make(True), params=params)

    def note(self, text: str) -> None:
        """To be told, once."""
        if text not in self.notes:
            self.notes.append(text)

    def dtype_of(self, arrays: Arrays) -> Any:
        """The one that was asked for, or that of the weights."""
        return self._dtype or arrays[0].dtype

    def finished(self) -> list[Piece]:
        """All pieces."""
        self._write_out()
        return self._pieces

    def _write_out(self) -> None:
        """A batch norm that no neighbour takes in, as a layer by a diagonal."""
        affine, self._pending = self._pending, None
        if affine is None:
            return
        size, dtype = affine.mean.shape[0], affine.mean.dtype
        params = affine.folded(DenseParams(jnp.eye(size, dtype=dtype), None), before=False)
        self._pieces.append(Piece(affine.name, dense(size, size, dtype=dtype), params))


def named(arrays: Arrays, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """By name, in keras's order; what is too much gets a name that no layer has."""
    extra = [f"array {place}" for place in range(len(names), len(arrays))]
    return dict(zip([*names, *extra], arrays, strict=False))
