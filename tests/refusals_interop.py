"""Wrong calls of what brings weights from other libraries."""

from typing import Any

import jax
import numpy as np
import wrong_values as wrong
from refusals import filled, refuse
from wrong_values import Pool, ones

import jaxnn
from jaxnn.interop import (
    equinox,
    flax_linen,
    flax_nnx,
    fold_batch_norm,
    from_states,
    haiku,
    keras,
    to_states,
)
from jaxnn.interop.torch import from_state_dict, to_state_dict

CELL = jaxnn.gru(3, 4)
NAMED = jaxnn.stack(jaxnn.gru(3, 4, reset_after=False), names=("gru",))
WEIGHTS = to_state_dict(CELL, filled(CELL))
MAPPINGS: Pool = {
    "None": None,
    "text": "weights.pt",
    "a number": 3,
    "a list": list(WEIGHTS.values()),
    "an array": ones(2),
}
ARRAYS: Pool = {
    **MAPPINGS,
    "nothing": {},
    "names that are numbers": {3: ones(2)},
    "one that is missing": dict(list(WEIGHTS.items())[1:]),
    "one too many": WEIGHTS | {"other": ones(2)},
    "lists": {name: array.tolist() for name, array in WEIGHTS.items()},
    "of another dtype": {name: array.astype(np.float64) for name, array in WEIGHTS.items()},
    "integers": {name: array.astype(np.int32) for name, array in WEIGHTS.items()},
    "transposed": {name: array.T for name, array in WEIGHTS.items()} | {"bias_hh_l0": ones(2)},
    "texts": {name: np.full(array.shape, "a") for name, array in WEIGHTS.items()},
}
TEXTS: Pool = {"None": None, "a number": 3, "a list": ["rnn."], "bytes": b"rnn.", "a flag": True}

refuse(
    "from_state_dict",
    lambda: from_state_dict,
    {"model": CELL, "weights": WEIGHTS, "prefix": "", "cast": False},
    words={"weights": ("weights", "array", *WEIGHTS)},
    model=wrong.CELLS,
    weights=ARRAYS,
    prefix=TEXTS,
    cast=wrong.FLAGS,
)
refuse(
    "to_state_dict",
    lambda: to_state_dict,
    {"model": CELL, "params": filled(CELL), "prefix": ""},
    model=wrong.CELLS,
    params=wrong.trees,
    prefix=TEXTS,
)
for name_, read_, write_, model_ in (
    ("from_params", flax_linen.from_params, flax_linen.to_params, CELL),
    ("from_state", flax_nnx.from_state, flax_nnx.to_state, jaxnn.lstm(3, 4)),
    ("from_params of haiku", haiku.from_params, haiku.to_params, NAMED),
    ("from_weights", keras.from_weights, keras.to_weights, CELL),
    ("from_module", equinox.from_module, equinox.to_arrays, CELL),
):
    right_: dict[str, Any] = {"model": model_, "weights": write_(model_, filled(model_))}
    pool_: Pool = MAPPINGS
    if name_ == "from_module":
        right_["module"], pool_ = right_.pop("weights"), {}
    refuse(
        name_,
        lambda read_=read_: read_,
        {**right_, "prefix": "", "cast": False},
        names=name_.split(" ")[0],
        model=wrong.CELLS,
        prefix=TEXTS,
        cast=wrong.FLAGS,
        **({"weights": pool_} if pool_ else {}),
    )

DENSE = jaxnn.dense(3, 4)
STATISTICS: dict[str, Any] = {
    "params": filled(DENSE), "mean": ones(4), "variance": ones(4), "scale": ones(4),
    "shift": ones(4), "epsilon": 1e-5, "before": False,
}  # fmt: skip


def statistics(right: Any) -> Pool:
    """Other shapes and dtypes."""
    return {**wrong.floats(right), "of another size": ones(3), "a scalar": np.float32(1)}


def optional(right: Any) -> Pool:
    """The same, where there may be none."""
    return wrong.omit(statistics(right), "None")


refuse(
    "fold_batch_norm",
    lambda: fold_batch_norm,
    STATISTICS,
    params={"None": None, "a tuple": (ones(3, 4), ones(4)), "a cell's": filled(CELL)},
    mean=statistics,
    variance=statistics,
    scale=optional,
    shift=optional,
    epsilon={"zero": 0, "negative": -1.0, "text": "1e-5", "None": None, "NaN": wrong.NAN},
    before=wrong.FLAGS,
)
LIBRARIES: Pool = {"None": None, "another": "onnx", "a number": 3, "a module": jax}
STATE = jaxnn.GRUState(ones(2, 4))
refuse(
    "from_states",
    lambda: from_states,
    {"library": "keras", "model": CELL, "states": [ones(2, 4)]},
    words={"states": ("states", "states[0]", "arrays")},
    library=LIBRARIES,
    model=wrong.CELLS,
    states={"nothing": [], "two": [ones(2, 4), ones(2, 4)], "a number": 3, "text": "h"},
)
refuse(
    "to_states",
    lambda: to_states,
    {"library": "keras", "model": CELL, "state": STATE},
    library=LIBRARIES,
    model=wrong.CELLS,
    state={"None": None, "an array": ones(2, 4), "another": jaxnn.ElmanState(ones(2, 4))},
)
