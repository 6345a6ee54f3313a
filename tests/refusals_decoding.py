"""Wrong calls of `decode` and `beam_search`, and of what takes the next token."""

import functools
from typing import Any

import jax
import numpy as np
import wrong_values as wrong
from refusals import BATCH, FEATURES, HIDDEN, filled, refuse, zeros
from wrong_values import KEY, Pool, ones

import jaxnn

CELL = jaxnn.stack(
    jaxnn.embedding(5, FEATURES), jaxnn.gru(FEATURES, HIDDEN), jaxnn.dense(HIDDEN, 5)
)
TOKENS = np.zeros(BATCH, np.int32)
STOPS: Pool = {
    "a flag": True,
    "a float": 1.0,
    "text": "end",
    "a list": [1],
    "floats": (1.0,),
    "Nones": (None,),
    "an array": np.array([1, 2]),
    "more than 32 bits": 2**40,
}
FIRST: Pool = {
    **wrong.not_arrays(TOKENS),
    **wrong.of_dtypes(TOKENS, "float32", "bool", "complex64"),
    "keys": jax.random.split(KEY, BATCH),
}


@functools.cache
def state() -> Any:
    return zeros(CELL.initial_state(filled(CELL), (BATCH,)))


def right() -> dict[str, Any]:
    """What both functions take."""
    return {
        "cell": CELL,
        "params": filled(CELL),
        "state": state(),
        "first": TOKENS,
        "steps": 2,
        "stop": 1,
    }


COMMON: dict[str, Any] = {
    "cell": {**wrong.CELLS, "a layer": jaxnn.dense(2, 3)},
    "params": {"None": None, "text": "params", "of a part": filled(CELL)[1], "keys": KEY},
    "state": {
        "text": "state",
        "an array": ones(BATCH),
        "of a part": zeros(jaxnn.gru(FEATURES, HIDDEN).initial_state(filled(CELL)[1], (BATCH,))),
        "of another batch": zeros(CELL.initial_state(filled(CELL), (BATCH + 1,))),
        "without a batch": zeros(CELL.initial_state(filled(CELL))),
    },
    "first": FIRST,
    "steps": wrong.SIZES,
    "stop": STOPS,
    "feed": {
        **wrong.FUNCTIONS_OR_NONE,
        "of nothing": lambda: 1,
        "of two": lambda a, b: a,
        "gives None": lambda token: None,
        "gives text": lambda token: "x",
        "raises": lambda token: token.nothing,
    },
    "pad": {"None": None, **STOPS, "a tuple": (0,)},
}
WORDS: Any = {"params": ("params", "kernel"), "state": ("state", "states")}
refuse(
    "decode",
    lambda: jaxnn.decode,
    right,
    sample={
        **wrong.FUNCTIONS,
        "of one": lambda y: y,
        "of three": lambda y, key, more: y,
        "gives None": lambda y, key: None,
        "gives text": lambda y, key: "x",
        "gives the logits": lambda y, key: y,
        "gives one token": lambda y, key: np.int32(0),
        "gives floats": lambda y, key: np.zeros(BATCH, np.float32),
        "raises": lambda y, key: y.nothing,
    },
    key=wrong.KEYS,
    words=WORDS,
    **COMMON,
)
refuse(
    "beam_search",
    lambda: jaxnn.beam_search,
    lambda: {**right(), "width": 2},
    width=wrong.SIZES,
    length_penalty={
        "None": None,
        "NaN": wrong.NAN,
        "infinite": float("inf"),
        "text": "0.6",
        "a flag": True,
        "an array": ones(1),
    },
    words=WORDS,
    **COMMON,
)
refuse(
    "categorical",
    lambda: jaxnn.sampling.categorical,
    {"temperature": 1.0, "top_k": 2, "top_p": 0.5},
    temperature=wrong.POSITIVE,
    top_k=wrong.SIZES_OR_NONE,
    top_p={**wrong.omit(wrong.POSITIVE, "None"), "above one": 1.5},
)
LOGITS: Pool = {
    **wrong.floats_of_any_size(ones(2, 3)),
    "a scalar": np.float32(1),
}
refuse(
    "categorical: a draw",
    lambda: jaxnn.sampling.categorical(top_k=2),
    {"logits": ones(2, 3), "key": KEY},
    "categorical",
    logits={**LOGITS, "fewer than top_k": ones(2, 1)},
    key=wrong.KEYS_FOR_INIT,
    words={"logits": ("logits", "top_k")},
)
refuse("greedy", lambda: jaxnn.sampling.greedy, {"logits": ones(2, 3)}, logits=LOGITS)
