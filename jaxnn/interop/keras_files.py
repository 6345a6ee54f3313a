"""Models that keras saved: .keras files, and the HDF5 files of Keras 2 and 3."""

import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from jaxnn.interop.keras_model import KerasModel, from_config

Arrays = dict[str, list[np.ndarray]]


def from_file(path: str | os.PathLike[str], dtype: Any = None) -> KerasModel:
    """A jaxnn model and its parameters from a file that `keras_model.save` wrote.

    A file is data: nothing in it is run, and a layer of one's own, such as a Lambda, is refused.

    Args:
      path: a `.keras` file of Keras 3, or an HDF5 file (`.h5`) of a whole model of Keras 2 or 3.
      dtype: of the model; by default that of the weights. Where one is given, they are converted.

    Returns:
      What `from_config` gives.

    Raises:
      ValueError: for what `from_config` refuses, and a file that is none, or holds weights alone.
      OSError: where it cannot be read.
      ImportError: without h5py (in the extra `keras`).

    Source: the formats of keras 3.15 (keras.src.saving) and of tf.keras 2.15.
    """
    h5py = _h5py("from_file")
    with open(path, "rb") as file:
        data = file.read()
    archive, hdf5 = data[:2] == b"PK", data[:8] == b"\x89HDF\r\n\x1a\n"
    if not archive and not hdf5:
        raise ValueError(f"from_file: {path} is neither a .keras file nor HDF5")
    try:
        if archive:
            config, weights, version = _from_archive(h5py, path, data)
        else:
            with h5py.File(io.BytesIO(data), "r") as content:
                config, weights, version = _from_hdf5(path, content)
    except (OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"from_file: {path} is damaged: {error}") from error
    return from_config(config, weights, dtype, version)


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The weights of an HDF5 file by their names, for `from_weights`.

    The file is what `save_weights` of Keras 2 wrote, or a whole model, of which nothing but the
    weights is read.

    Args:
      path: the file.

    Returns:
      Names to arrays, in the order of the layers: "lstm_1/kernel:0".

    Raises:
      ValueError: for a file that is no such one, is damaged, or has two weights of one name.
      OSError: where it cannot be read.
      ImportError: without h5py (in the extra `keras`).

    Source: the format of keras 2.2 and of tf.keras 2.15.
    """
    h5py = _h5py("read")
    with open(path, "rb") as file:
        data = file.read()
    if data[:8] != b"\x89HDF\r\n\x1a\n":
        raise ValueError(f"read: {path} is no HDF5 file; from_file reads .keras files")
    try:
        with h5py.File(io.BytesIO(data), "r") as content:
            groups = content.get("model_weights", content)
            if not _texts(groups, "layer_names"):
                raise ValueError(
                    f"read: {path} does not name its layers, as Keras 2 does: of Keras 3, "
                    f"from_file reads what model.save writes"
                )
            named = [pair for layer in _layers(groups) for pair in layer[1]]
    except (OSError, KeyError) as error:
        raise ValueError(f"read: {path} is damaged: {error}") from error
    weights = dict(named)
    if len(weights) < len(named):
        names = [name for name, _ in named]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"read: {path} has two weights of one name: {', '.join(twice)}")
    return weights


def _h5py(name: str) -> ModuleType:
    try:
        import h5py
    except ImportError as error:
        raise ImportError(f"{name} needs h5py: pip install 'jaxnn-cells[keras]'") from error
    return h5py


def _layers(groups: Any) -> Iterator[tuple[str, list[tuple[str, np.ndarray]]]]:
    """Each layer of HDF5, with its weights and their names."""
    for layer in _texts(groups, "layer_names"):
        entries = [entry for entry in _texts(groups[layer], "weight_names") if "seed" not in entry]
        yield layer, [(entry, np.asarray(groups[layer][entry])) for entry in entries]


def _from_hdf5(path: Any, content: Any) -> tuple[Any, Arrays, int | None]:
    """A whole model in HDF5: the layers by name, each with the names of its weights."""
    if "model_config" not in content.attrs:
        raise ValueError(
            f"from_file: {path} holds weights without a model: read them for from_weights, or give "
            f"from_config the model's to_json() beside them"
        )
    groups = content["model_weights"]
    weights = {layer: [array for _, array in named] for layer, named in _layers(groups)}
    said = content.attrs.get("keras_version", groups.attrs.get("keras_version"))
    version = None if said is None else int(_text(said).partition(".")[0])
    return json.loads(_text(content.attrs["model_config"])), weights, version


def _from_archive(h5py: ModuleType, path: Any, data: bytes) -> tuple[Any, Arrays, int]:
    """A .keras file: a zip of the config and of arrays by the places of attributes."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if not {"config.json", "model.weights.h5"} <= set(archive.namelist()):
            raise ValueError(f"from_file: {path} is no .keras file: config or weights are missing")
        config = json.loads(archive.read("config.json"))
        stored = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(stored, "r") as content:
        layers = content.get("layers", {})
        places = dict(_places(config))
        weights = {}
        for place, group in layers.items():
            own = group["vars"].attrs.get("name") if "vars" in group else None
            name = places.get(place) if own is None else _text(own)
            if name is not None:
                weights[name] = list(_variables(group))
    return config, weights, 3


def _places(config: Any) -> Iterator[tuple[str, str]]:
    """Where a layer's weights stand, by its class and a count, and its name."""
    counts: dict[str, int] = {}
    for layer in config["config"]["layers"]:
        word = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", layer["class_name"])
        word = re.sub(r"([a-z])([A-Z])", r"\1_\2", word).lower()
        count = counts.get(word, 0)
        counts[word] = count + 1
        yield f"{word}_{count}" if count else word, layer["config"]["name"]


def _variables(group: Any) -> Iterator[np.ndarray]:
    """The arrays of a layer: its own, then those inside it, forward first."""
    if "vars" in group:
        own = group["vars"]
        yield from (np.asarray(own[place]) for place in sorted(own, key=int))
    inner = [name for name in group if name != "vars" and not name.startswith("seed_generator")]
    for name in sorted(inner, key=lambda name: (not name.startswith("forward"), name)):
        yield from _variables(group[name])


def _texts(group: Any, attribute: str) -> list[str]:
    """Names in an attribute, which keras cuts where it is long: layer_names0, layer_names1, …"""
    found = [group.attrs[attribute]] if attribute in group.attrs else []
    place = 0
    while f"{attribute}{place}" in group.attrs:
        found.append(group.attrs[f"{attribute}{place}"])
        place += 1
    return [_text(each) for part in found for each in part]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
