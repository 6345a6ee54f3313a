"""The file: a zip archive of metadata, functions and weights, with one checksum over all of it.

Its members are `about.json`, the functions as `jax.export` serialises them (`step.bin`), and
`weights.safetensors`, which stays readable when jax does not read the functions any more. The last
64 bytes, the comment of the archive, are the SHA-256 of everything before them. Equal models give
equal bytes, on one day.
"""

import hashlib
import io
import json
import zipfile
from typing import Any, NamedTuple

import numpy as np

FORMAT = "jaxnn.export"
VERSION = 1
ABOUT = "about.json"
WEIGHTS = "weights.safetensors"
DTYPES = {
    "bool": "BOOL",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "bfloat16": "BF16",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
    "complex64": "C64",
}
"""What safetensors calls them."""
_DIGEST = 64
_LATER = "0" * _DIGEST


class Content(NamedTuple):
    """What is in a file.

    about: the metadata; functions: each serialised, by its name; weights: arrays by path.
    """

    about: dict[str, Any]
    functions: dict[str, bytes]
    weights: dict[str, np.ndarray]


def packed(content: Content) -> bytes:
    """The bytes of a file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        _add(archive, ABOUT, json.dumps(content.about, indent=1).encode())
        for name, function in content.functions.items():
            _add(archive, f"{name}.bin", function)
        _add(archive, WEIGHTS, _safetensors(content.weights), zipfile.ZIP_STORED)
        archive.comment = _LATER.encode()
    data = buffer.getvalue()[:-_DIGEST]
    return data + hashlib.sha256(data).hexdigest().encode()


def unpacked(name: str, path: str, data: bytes) -> Content:
    """The content again.

    Raises:
      ValueError: where the bytes are not those that `packed` gave, or of a newer version.
    """
    archive = _opened(name, path, data)
    about = json.loads(archive.read(ABOUT))
    functions = {each: archive.read(f"{each}.bin") for each in about["functions"]}
    return Content(about, functions, _arrays(archive.read(WEIGHTS), about["weights"]))


def metadata(name: str, path: str, data: bytes) -> dict[str, Any]:
    """The metadata alone; raises as `unpacked` does."""
    return json.loads(_opened(name, path, data).read(ABOUT))


def _opened(name: str, path: str, data: bytes) -> zipfile.ZipFile:
    """The archive, once the checksum has been found right."""
    body, digest = data[:-_DIGEST], data[-_DIGEST:]
    if hashlib.sha256(body).hexdigest().encode() != digest:
        what = "is damaged" if data[:2] == b"PK" else "is no file of jaxnn.export.save, or damaged"
        raise ValueError(
            f"{name}: {path} {what}: the checksum at its end is not that of its {len(data):,} bytes"
        )
    archive = zipfile.ZipFile(io.BytesIO(data))
    found = json.loads(archive.read(ABOUT))
    if found["format"] != FORMAT or found["format_version"] > VERSION:
        raise ValueError(
            f"{name}: {path} has the format {found['format']} {found['format_version']}, and this "
            f"jaxnn reads {FORMAT} up to {VERSION}: read it with jaxnn {found['versions']['jaxnn']}"
        )
    return archive


def _add(archive: zipfile.ZipFile, name: str, data: bytes, how: int = zipfile.ZIP_DEFLATED) -> None:
    entry = zipfile.ZipInfo(name)  # of no date: the day of writing stands in the metadata
    entry.compress_type = how
    archive.writestr(entry, data)


def _safetensors(weights: dict[str, np.ndarray]) -> bytes:
    """The format of the package safetensors, which is not needed to write it."""
    header, end = {}, 0
    for name, array in weights.items():
        begin, end = end, end + array.nbytes
        header[name] = {
            "dtype": DTYPES[array.dtype.name],
            "shape": array.shape,
            "data_offsets": (begin, end),
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # arrays begin at multiples of 8 bytes
    return len(text).to_bytes(8, "little") + text + b"".join(a.tobytes() for a in weights.values())


def _arrays(data: bytes, described: dict[str, Any]) -> dict[str, np.ndarray]:
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:begin])
    arrays = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        raw = data[begin + first : begin + last]
        array = np.frombuffer(raw, described[name]["dtype"])
        arrays[name] = array.reshape(entry["shape"])
    return arrays
