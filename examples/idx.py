"""The idx format of LeCun's MNIST, in which Fashion-MNIST comes too; gzipped or not.

Two zero bytes, a byte for the type, a byte for the number of dimensions, each size as four bytes,
then the numbers row by row; all big-endian.
"""

import gzip
import math
import pathlib
import struct
import zlib

import numpy as np

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read(path: pathlib.Path) -> np.ndarray:
    """The array in an idx file, in the machine's byte order.

    Raises:
      FileNotFoundError: where there is no file.
      ValueError: for what is no idx file, or one that is cut off or goes on after its numbers.
    """
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: its gzip is damaged: {error}") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES:
        raise ValueError(f"{path} is no idx file: it begins with {content[:4].hex(' ')}")
    first = 4 + 4 * content[3]
    if len(content) < first:
        raise ValueError(f"{path} ends within its sizes")
    shape = struct.unpack(f">{content[3]}I", content[4:first])
    dtype = np.dtype(TYPES[content[2]])
    count = math.prod(shape)
    if len(content) != first + count * dtype.itemsize:
        raise ValueError(
            f"{path} should have {count * dtype.itemsize} bytes for the shape {shape}, "
            f"it has {len(content) - first}"
        )
    values = np.frombuffer(content, dtype, count, first).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def read_pair(folder: pathlib.Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images `(count, height, width)` and labels `(count,)`; part is "train" or "t10k".

    Raises:
      FileNotFoundError: where the folder has no such file, under none of the usual names.
      ValueError: for a damaged file, or files that do not belong together.
    """
    images, labels = (
        read(_find(folder, f"{part}-{name}")) for name in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{folder}: {part} has images {images.shape} and labels {labels.shape}: expected "
            f"(count, height, width) and (count,)"
        )
    return images, labels


def _find(folder: pathlib.Path, stem: str) -> pathlib.Path:
    for name in (stem, f"{stem}.gz", stem.replace("-idx", ".idx")):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"no {stem} or {stem}.gz in {folder}")
