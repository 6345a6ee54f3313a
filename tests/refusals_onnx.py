"""Wrong calls of what writes and reads ONNX."""

from typing import Any

import jax
import numpy as np
import wrong_values as wrong
from refusals import filled, refuse
from wrong_values import Foreign, Pool, ones

import jaxnn
from jaxnn.interop import onnx

CELL = jaxnn.gru(3, 4)


def right() -> dict[str, Any]:
    """A call of `to_model`."""
    return {"model": CELL, "params": filled(CELL), "xs": ones(2, 2, 3)}


MODELS: Pool = {
    "None": None,
    "params": filled(jaxnn.dense(2, 3)),
    "the factory": jaxnn.gru,
    "its unroll": CELL.unroll,
    "a list": [CELL],
    "text": "gru",
}
PARAMS: Pool = {
    "None": None,
    "another cell's": filled(jaxnn.gru(3, 5)),
    "another kind's": filled(jaxnn.lstm(3, 4)),
    "types": jax.eval_shape(CELL.init, jax.random.key(0)),
    "a list": [1.0],
    "an array": ones(3),
}
XS: Pool = {
    "None": None,
    "a shape": (2, 2, 3),
    "other features": ones(2, 2, 5),
    "no time": ones(3),
    "another dtype": ones(2, 2, 3, dtype=np.int32),
    "a foreign array": Foreign(ones(2, 2, 3)),
    "a list": [1.0],
}
PATHS: Pool = {"None": None, "a number": 3, "a list": ["gru.onnx"], "a model": CELL}
PROTOS: Pool = {
    "None": None,
    "a path": "gru.onnx",
    "bytes": b"onnx",
    "a model of jaxnn": CELL,
    "a list": [1],
}
refuse(
    "to_model",
    lambda: onnx.to_model,
    right,
    model=MODELS,
    params=PARAMS,
    xs=XS,
    **dict.fromkeys(("lengths", "mask", "reset", "states", "step", "dynamic"), wrong.FLAGS),
    names=("to_model", "gru"),
    words={"params": ("params", "recurrent_kernel", "input_kernel", "bias"), "xs": ("xs", "x")},
)
refuse("save.onnx", lambda: onnx.save, lambda: {"path": "/nowhere/gru.onnx", **right()}, path=PATHS)


def proto() -> dict[str, Any]:
    """A call of `from_model`."""
    return {"proto": onnx.to_model(**right())}


OUTPUTS: Pool = {"another name": "zs", "a number": 0, "a list": ["ys"], "no text": ""}
refuse("from_model", lambda: onnx.from_model, proto, proto=PROTOS, output=OUTPUTS)
refuse("initializers", lambda: onnx.initializers, proto, proto=PROTOS)
refuse("load.onnx", lambda: onnx.load, {"path": "/nowhere/gru.onnx"}, path=PATHS)
