"""Wrong calls of `export`, and of what it loads."""

import functools
import tempfile
from typing import Any

import jax
import numpy as np
import wrong_values as wrong
from refusals import FEATURES, HIDDEN, filled, refuse
from wrong_values import Pool, ones

import jaxnn

CELL = jaxnn.gru(FEATURES, HIDDEN)
PATHS: Pool = {
    "None": None,
    "a number": 3,
    "bytes": b"model.jaxnn",
    "a list": ["model.jaxnn"],
    "nothing": "",
    "a NUL": "model\0.jaxnn",
}
NAMES: Pool = {
    "nothing": "",
    "a sum": "a + 1",
    "two": "a, b",
    "zero": 0,
    "negative": -1,
    "a float": 2.0,
    "a flag": True,
    "a tuple": ("time",),
    "None": None,
}


@functools.cache
def folder() -> str:
    """Where nothing is to be written."""
    return tempfile.mkdtemp()


def right() -> dict[str, Any]:
    """A call that is right; each wrong one fails before it writes."""
    return {
        "path": f"{folder()}/model.jaxnn",
        "model": CELL,
        "params": filled(CELL),
        "x": ones(FEATURES),
    }


refuse(
    "save of export",
    lambda: jaxnn.export.save,
    right,
    "save",
    path=PATHS,
    model={**wrong.CELLS, "its parts": jaxnn.parts(CELL)},
    params={
        "None": None,
        "text": "params",
        "a leaf of text": {"kernel": "abc"},
        "of another cell": filled(jaxnn.lstm(FEATURES, HIDDEN)),
        "of another size": filled(jaxnn.gru(FEATURES, HIDDEN + 1)),
        "shapes alone": jax.eval_shape(CELL.init, wrong.KEY),
        "keys": wrong.KEY,
    },
    x={
        **wrong.not_arrays(ones(FEATURES)),
        **wrong.of_dtypes(ones(FEATURES), *wrong.NOT_FLOAT32),
        "more features": ones(FEATURES + 1),
        "a scalar": np.float32(1),
        "with a batch": ones(2, FEATURES),
    },
    batch_shape={
        "a name": "batch",
        "None": None,
        "a number": 3,
        "one name twice": ("a", "a"),
        "that of time": ("time",),
        **{f"{what}, in a tuple": (value,) for what, value in NAMES.items()},
    },
    time=NAMES,
    mask=wrong.FLAGS,
    reset=wrong.FLAGS,
    platforms={
        "a name": "cpu",
        "nothing": (),
        "unknown": ("gpu",),
        "one twice": ("cpu", "cpu"),
        "None": None,
        "a number": (1,),
    },
    words={
        "params": ("params", "kernel", "input_kernel", "value"),
        "x": ("x", "xs"),
        "time": ("time", "batch_shape"),
    },
)
refuse("load of export", lambda: jaxnn.export.load, {"path": "f"}, "load", path=PATHS)
refuse("info of export", lambda: jaxnn.export.info, {"path": "f"}, "info", path=PATHS)
