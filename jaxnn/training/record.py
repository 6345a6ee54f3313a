"""A training as bytes and a text, with checksums that tell whether they are whole."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.training.course import Best, Fit, History
from jaxnn.training.json_values import from_json, to_json
from jaxnn.training.named_arrays import (
    differences,
    is_key,
    named_leaves,
    on_host,
    restored,
)
from jaxnn.training.state import TrainState
from jaxnn.types import PyTree, Shaped

FORMAT = 1


class Damaged(Exception):
    """A checkpoint that is not what was saved; the text says how that shows."""


class Record(NamedTuple):
    """What stands beside the bytes of a checkpoint.

    arrays: name, dtype and shape of each, in the order of their bytes; keys: what kind the typed
    keys among them are; digest: of the bytes; evaluations: as in the history, in JSON; best_of:
    "min", "max" or None; best: its step and value; place: in the data, in JSON.
    """

    format: int
    arrays: list[list[Any]]
    keys: dict[str, str]
    digest: str
    evaluations: list[Any]
    best_of: str | None
    best: list[Any] | None
    place: Any

    def outline(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and dtypes of the arrays."""
        return {
            name: jax.ShapeDtypeStruct(tuple(shape), jnp.dtype(dtype))
            for name, dtype, shape in self.arrays
        }

    def size(self) -> int:
        """Of all arrays, in bytes."""
        return sum(leaf.size * leaf.dtype.itemsize for leaf in self.outline().values())

    def of_place(self) -> Any:
        """The place in the data, as the batches gave it."""
        return from_json(self.place)


def pack(fit: Fit, best_of: str | None, place: Any) -> tuple[np.ndarray, dict[str, str]]:
    """A copy of all arrays, as bytes, and a record of them and the rest."""
    leaves = named_leaves("fit", "train_state", _tree(fit.train_state, fit.best))
    arrays = {name: on_host("fit", name, leaf) for name, leaf in leaves.items()}
    arrays["history.loss"] = np.array(fit.history.loss, np.float64)
    arrays["history.seconds"] = np.array(fit.history.seconds, np.float64)
    data = np.concatenate([array.reshape(-1).view(np.uint8) for array in arrays.values()])
    record = Record(
        FORMAT,
        [[name, array.dtype.name, array.shape] for name, array in arrays.items()],
        _kinds_of_keys(leaves),
        _digest(data.data),
        to_json("fit: what evaluate gives", fit.history.evaluations),
        best_of,
        None if fit.best is None else [fit.best.step, fit.best.value],
        to_json("fit: the state of batches", place),
    )
    text = json.dumps(record._asdict())
    return data, {"text": text, "blake2b": _digest(text.encode())}


def read_record(found: Any) -> Record:
    """The record of a checkpoint.

    Raises:
      Damaged: where its checksum is another one.
      ValueError: where a later version wrote it.
    """
    if not isinstance(found, dict) or set(found) != {"text", "blake2b"}:
        raise Damaged("its record is none of fit's")
    if _digest(str(found["text"]).encode()) != found["blake2b"]:
        raise Damaged("its record is not what was saved, by its checksum")
    fields = json.loads(found["text"])
    if fields["format"] != FORMAT:
        raise ValueError(
            f"a checkpoint of format {fields['format']}, written by a later jaxnn: this one reads "
            f"format {FORMAT}"
        )
    return Record(**fields)


def check_outline(record: Record, like: TrainState) -> None:
    """Raise ValueError unless it is of a train_state like that one; all differences are listed."""
    expected = _expected(record, like)
    found = record.outline()
    del found["history.loss"], found["history.seconds"]
    problems = differences("checkpoint", found, expected)
    kinds = _kinds_of_keys(expected)
    for name in sorted({*kinds, *record.keys} & set(expected) & set(found)):
        if kinds.get(name) != record.keys.get(name):
            want, got = kinds.get(name, "no typed key"), record.keys.get(name, "none")
            problems.append(f"{name}: expected {want}, got {got}")
    if problems:
        raise ValueError("\n  ".join(["it is of another train_state:", *problems]))


def unpack(record: Record, data: np.ndarray, like: TrainState) -> Fit:
    """The training, on the devices of the train_state that it is to be like.

    Raises:
      Damaged: where the checksum of the bytes is another one.
    """
    if _digest(data.data) != record.digest:
        raise Damaged("its arrays are not what was saved, by their checksum")
    arrays, at = {}, 0
    for name, leaf in record.outline().items():
        end = at + leaf.size * leaf.dtype.itemsize
        arrays[name], at = data[at:end].view(leaf.dtype).reshape(leaf.shape), end
    leaves = [_placed(arrays[name], leaf) for name, leaf in _expected(record, like).items()]
    structure = jax.tree.structure(_tree(like, _best_like(record, like)))
    tree = jax.tree.unflatten(structure, leaves)
    history = History(
        arrays["history.loss"].tolist(),
        from_json(record.evaluations),
        arrays["history.seconds"].tolist(),
    )
    best = None if record.best is None else Best(tree["best"], *record.best)
    return Fit(tree["train_state"], history, "at a checkpoint", best, len(history.loss))


def _tree(train_state: TrainState, best: Best | None) -> dict[str, PyTree]:
    return {"train_state": train_state, "best": None if best is None else best.params}


def _best_like(record: Record, like: TrainState) -> Best | None:
    return None if record.best is None else Best(like.params, *record.best)


def _expected(record: Record, like: TrainState) -> dict[str, Shaped]:
    return named_leaves("fit", "train_state", _tree(like, _best_like(record, like)))


def _placed(array: np.ndarray, like: Shaped) -> jax.Array:
    value = restored(array, like)
    if isinstance(like, jax.Array) and like.committed:
        return jax.device_put(value, like.sharding)
    return value


def _kinds_of_keys(leaves: Mapping[str, Shaped]) -> dict[str, str]:
    """Two kinds of keys may be numbers of one shape."""
    return {name: str(leaf.dtype) for name, leaf in leaves.items() if is_key(leaf)}


def _digest(data: bytes | memoryview) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()
