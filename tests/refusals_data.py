"""Wrong calls of what makes batches, and of what keeps parameters in files."""

import atexit
import functools
import pathlib
import shutil
import tempfile
from typing import Any

import numpy as np
import wrong_values as wrong
from refusals import refuse
from refusals_functions import NAMED, PARAMS, TREES
from wrong_values import KEY, Foreign, Pool, ones

import jaxnn

# Data ---------------------------------------------------------------------------------------------

RAGGED = [ones(3, 2), ones(1, 2)]
SEQUENCES: Pool = {
    "None": None,
    "a number": 3,
    "text": "abc",
    "nothing": [],
    "scalars": [np.float32(1), np.float32(2)],
    "of other features": [ones(2, 3), ones(2, 4)],
    "of other axes": [ones(2, 3), ones(2)],
    "of other dtypes": [ones(2), ones(2, dtype=np.int32)],
    "texts": [np.array(["a"]), np.array(["b"])],
    "words": ["ab", "cd"],
    "objects": [np.full(2, None, object)] * 2,
    "Nones": [None, None],
    "dates": [np.zeros(2, "datetime64[s]")] * 2,
    "dicts of other names": [{"x": ones(2)}, {"y": ones(2)}],
    "dicts of unequal lengths": [{"x": ones(2), "y": ones(3)}] * 2,
    "dicts of texts": [{"x": np.array(["a"])}] * 2,
    "empty dicts": [{}, {}],
    "dicts of odd keys": [{"x": ones(2)}, {"x": ones(2), 1: ones(2)}],
    "a dict": {"a": ones(2), "b": ones(2)},
    "a set": {1.0},
    "ragged lists": [[[1.0], [1.0, 2.0]], [[1.0]]],
    "a function": abs,
}
refuse(
    "pad",
    lambda: jaxnn.data.pad,
    {"sequences": RAGGED},
    sequences=SEQUENCES,
    time={**wrong.omit(wrong.SIZES, "None"), "less than the longest": 2},
    words={"sequences": ("sequences", "sequence")},
)
refuse(
    "elapsed",
    lambda: jaxnn.data.elapsed,
    {"times": np.arange(3.0), "observed": ones(3, 2, dtype=bool)},
    times={
        "None": None,
        "text": "abc",
        "a number": 3.0,
        "falling": np.array([0.0, 2.0, 1.0]),
        "NaN": np.array([0.0, np.nan, 1.0]),
        "dates": np.zeros(3, "datetime64[s]"),
        "flags": ones(3, dtype=bool),
        "complex": ones(3, dtype=np.complex64),
        "of other steps": np.arange(4.0),
        "with features": ones(3, 2),
    },
    observed={
        "None": None,
        "numbers": ones(3, 2),
        "without features": ones(3, dtype=bool),
        "of other steps": ones(4, 2, dtype=bool),
    },
    words={"times": ("times", "observed"), "observed": "observed"},
)
TARGETS: Pool = {
    "None": None,
    "a number": 3,
    "text": "ab",
    "too few": [1],
    "too many": [1, 2, 3],
    "of other shapes": [ones(2), ones(3)],
    "of other dtypes": [1, 2.5],
    "words": ["yes", "no"],
    "Nones": [None, None],
    "objects": [np.full(2, None, object)] * 2,
    "a dict": {"a": 1, "b": 2},
    "a set": {1, 2},
    "a function": abs,
}
BOUNDARIES: Pool = {
    "nothing": (),
    "falling": (3, 2),
    "equal": (3, 3),
    "zero": (0, 3),
    "negative": (-1, 3),
    "too short": (1, 2),
    "floats": (1.0, 3.0),
    "flags": (True, True),
    "text": "13",
    "texts": ("1", "3"),
    "a number": 3,
    "nested": ((1, 3),),
    "a set": {1, 3},
    "a function": abs,
}
SEEDS: Pool = {
    "negative": -1,
    "a float": 1.5,
    "text": "seed",
    "a flag": True,
    "a key": KEY,
    "floats": (0.5, 1),
    "texts": ("0", "1"),
    "a dict": {"seed": 1},
    "a function": abs,
}
BATCHES = {"sequences": RAGGED, "targets": [0, 1], "batch_size": 2}
refuse(
    "batches",
    lambda: jaxnn.data.batches,
    BATCHES,
    sequences=SEQUENCES,
    targets=TARGETS,
    batch_size=wrong.SIZES,
    seed=SEEDS,
    boundaries=BOUNDARIES,
    each_step=wrong.FLAGS,
    epochs=wrong.omit(wrong.SIZES, "None"),
    words={
        "sequences": ("sequences", "sequence"),
        "targets": ("targets", "target"),
        "boundaries": ("boundaries", "boundary"),
    },
)
each_ = functools.partial(jaxnn.data.batches, RAGGED, batch_size=2, each_step=True)
refuse(
    "batches of each step",
    lambda: each_,
    {},
    "batches",
    {"targets": ("targets", "target")},
    targets={
        "numbers": [0, 1],
        "of other lengths": [ones(3), ones(2)],
        "of other dtypes": [ones(3), ones(1, dtype=np.int32)],
        "texts": [np.array(["a"] * 3), np.array(["a"])],
    },
)
refuse(
    "by_number",
    lambda: jaxnn.data.by_number,
    {"batch_of": lambda n: n},
    batch_of={**wrong.FUNCTIONS, "of no argument": lambda: 0, "of two": lambda n, m: 0},
    count=wrong.omit(wrong.SIZES, "None"),
)
STATES: Pool = {
    "None": None,
    "a number": 3,
    "a list": [3],
    "nothing": {},
    "of another": {"next": 0, "made_of": {"time": 3}},
    "beyond": {"next": 9, "made_of": {}},
    "negative": {"next": -1, "made_of": {}},
    "a float": {"next": 1.0, "made_of": {}},
}
refuse(
    "set_state",
    lambda: jaxnn.data.by_number(lambda n: n, 3).set_state,
    {"state": {"next": 1, "made_of": {}}},
    "by_number",
    {"state": ("state", "place")},
    state=STATES,
)
CHUNKED: Pool = {
    "None": None,
    "nothing": (),
    "a number": 3,
    "text": "abc",
    "time alone": ones(3),
    "no steps": ones(0, 2),
    "of other lengths": (ones(3, 2), ones(4, 2)),
    "of other batches": (ones(3, 2), ones(3, 1)),
    "a leaf of text": (ones(3, 2), "name"),
    "nested lists": [[1.0, 2.0], [3.0, 4.0]],
    "objects": np.full((3, 2), None, object),
    "texts": np.full((3, 2), "a"),
    "a function": abs,
}
refuse(
    "chunks",
    lambda: jaxnn.data.chunks,
    {"tree": ones(3, 2), "length": 2},
    tree=CHUNKED,
    length=wrong.SIZES,
    words={"tree": ("tree", "array")},
)
refuse(
    "cpu_mesh",
    lambda: jaxnn.training.cpu_mesh,
    {},
    cores=wrong.omit(wrong.SIZES, "None"),
)


# Files --------------------------------------------------------------------------------------------

FOLDER = pathlib.Path(tempfile.mkdtemp())
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
FILE = FOLDER / "file.safetensors"
PATHS: Pool = {
    "None": None,
    "a number": 10**6,
    "a float": 3.5,
    "a list": ["file"],
    "a tuple": ("file",),
    "an array": ones(2),
    "a dict": {"path": "file"},
    "a function": abs,
}
LEAVES: Any = {
    **wrong.omit(TREES, "a foreign array"),
    "None": None,
    "nothing": (),
    "a foreign array": {"kernel": Foreign(ones(2))},
    "two of one path": {"a": {"b": ones(1)}, "a.b": ones(1)},
    "dates": np.zeros(2, "datetime64[s]"),
    "keys that cannot be sorted": {0: ones(2), "a": ones(2)},
}
refuse(
    "save",
    lambda: jaxnn.training.save,
    {"path": FILE, "tree": PARAMS},
    path=PATHS,
    tree=LEAVES,
    words={"tree": ("tree", *NAMED, "value", "a.b")},
)


def saved() -> dict[str, Any]:
    jaxnn.training.save(FILE, PARAMS)
    return {"path": FILE, "like": PARAMS}


refuse(
    "load",
    lambda: jaxnn.training.load,
    saved,
    path=PATHS,
    like={
        **LEAVES,
        "another shape": {"kernel": ones(3, 2)},
        "another dtype": {"kernel": ones(2, 3, dtype=np.float16)},
        "another name": {"weight": ones(2, 3)},
        "more": {**PARAMS, "bias": ones(3)},
        "the init": jaxnn.dense(2, 3).init,
    },
    words={"like": ("like", "tree", *NAMED, "value", "a.b")},
)
