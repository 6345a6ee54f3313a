"""What is in a file, read without running or even deserialising anything of it."""

import calendar
import datetime
import math
import os
from typing import Any

from jaxnn.export.border import described_leaves
from jaxnn.export.container import metadata
from jaxnn.training.checkpoint import file_path, told_by

MONTHS = 6
"""For how long jax promises to read what it exported."""


def info(path: str | os.PathLike[str]) -> str:
    """A summary of a file of `save`: `python -m jaxnn.export info FILE` prints it.

    It says which functions there are, with names, shapes and dtypes of what they take and give, for
    which platforms, by which versions, and until when jax may promise to read them. The checksum is
    verified; nothing is executed.

    Raises:
      TypeError: for a path that is none.
      ValueError: where the file is damaged, by its checksum, or none of `save`.
      OSError: where it cannot be read, such as FileNotFoundError.

    >>> import jax, jaxnn, tempfile
    >>> layer = jaxnn.dense(3, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file, params = folder + "/dense.jaxnn", layer.init(jax.random.key(0))
    ...     jaxnn.export.save(file, layer, params, jax.ShapeDtypeStruct((3,), "float32"))
    ...     text = jaxnn.export.info(file)
    >>> print(text.partition("\\n\\n")[2])
    y = apply(weights, x)
      x  float32[batch, 3]
      y  float32[batch, 2]
    <BLANKLINE>
    weights, 8 numbers
      kernel  float32[3, 2]
      bias    float32[2]
    """
    file = file_path("info", path)
    return summary(metadata("info", file, read("info", file)))


def read(name: str, file: str) -> bytes:
    """The bytes of a file."""
    with told_by(name), open(file, "rb") as stream:
        return stream.read()


def summary(about: dict[str, Any]) -> str:
    """The metadata as text."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    calling = {entry["calling_convention_version"] for entry in about["functions"].values()}
    lines = [
        f"{about['model']}, a {about['kind']} for {', '.join(about['platforms'])}",
        f"written {about['written']} by {versions}; calling convention {max(calling)}",
        f"jax promises to read it with a jaxlib built up to {MONTHS} months after "
        f"{about['versions']['jaxlib']} was, so not beyond {_promised(about['written'])}",
    ]
    for name, entry in about["functions"].items():
        taken = ", ".join(["weights", *entry["arguments"]])
        lines += ["", f"{', '.join(entry['results'])} = {name}({taken})"]
        lines += _table({**entry["arguments"], **entry["results"]})
    count = sum(math.prod(leaf["shape"]) for leaf in about["weights"].values())
    return "\n".join([*lines, "", f"weights, {count:,} numbers", *_table(about["weights"])])


def _table(descriptions: dict[str, Any]) -> list[str]:
    rows = {}
    for name, description in descriptions.items():
        rows |= described_leaves(name, description) or {name: None}
    width = max(map(len, rows), default=0)
    return [f"  {name.ljust(width)}  {leaf_text(leaf)}" for name, leaf in rows.items()]


def leaf_text(leaf: dict[str, Any] | None) -> str:
    """'float32[batch, 3]'."""
    return "nothing" if leaf is None else f"{leaf['dtype']}[{', '.join(map(str, leaf['shape']))}]"


def _promised(written: str) -> str:
    """The day up to which the promise can reach, since a jaxlib is built before it is used."""
    day = datetime.date.fromisoformat(written)
    year, month = divmod(day.year * 12 + day.month - 1 + MONTHS, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return datetime.date(year, month + 1, min(day.day, last)).isoformat()
