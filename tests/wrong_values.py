"""Wrong values, by kind of argument: what a size, a flag, an array or the parameters cannot be.

Each pool has a name for each value. Those that depend on the right value are functions of it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Pool = dict[str, Any]
KEY = jax.random.key(0)
NAN, HUGE = float("nan"), 2**70


class Foreign:
    """An array of another library: numpy can read it, jax takes none."""

    def __init__(self, array: Any) -> None:
        self.array = np.asarray(array)
        self.shape, self.dtype, self.ndim = self.array.shape, self.array.dtype, self.array.ndim

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array


class Strange(NamedTuple):
    """The parameters or the state of something else."""

    weight: Any


def ones(*shape: int, dtype: Any = np.float32) -> Any:
    return np.ones(shape, dtype)


def omit(pool: Pool, *names: str) -> Pool:
    """A pool without some of its values."""
    return {name: value for name, value in pool.items() if name not in names}


# Options ------------------------------------------------------------------------------------------

SIZES: Pool = {
    "zero": 0,
    "negative": -1,
    "a float": 2.0,
    "NaN": NAN,
    "a flag": True,
    "a numpy flag": np.bool_(True),
    "text": "3",
    "None": None,
    "a list": [3],
    "a tuple": (3,),
    "an array": ones(2, dtype=np.int32),
    "a dict": {"size": 3},
}
SIZES_OR_NONE = omit(SIZES, "None")
FLAGS: Pool = {
    "one": 1,
    "zero": 0,
    "a float": 1.0,
    "yes": "yes",
    "no": "no",
    "no text": "",
    "None": None,
    "a list": [True],
    "a tuple": (True,),
    "an array": np.array([True, False]),
}
FUNCTIONS: Pool = {
    "None": None,
    "text": "tanh",
    "a number": 0.1,
    "a flag": True,
    "an array": ones(3, 4),
    "a list": [abs],
    "a tuple": (abs,),
    "a dict": {"function": abs},
}
FUNCTIONS_OR_NONE = omit(FUNCTIONS, "None")
DTYPES: Pool = {
    "no dtype": "float23",
    "integers": int,
    "int32": "int32",
    "flags": bool,
    "complex": "complex64",
    "objects": object,
    "text": "U3",
    "a number": 3,
    "a list": [np.float32],
    "an array": ones(2),
    "a function": abs,
    "None": None,
}
DTYPES_OR_NONE = omit(DTYPES, "None")
FRACTIONS: Pool = {
    "one": 1.0,
    "an integer one": 1,
    "negative": -0.1,
    "infinite": float("inf"),
    "NaN": NAN,
    "a flag": False,
    "text": "0.5",
    "None": None,
    "a list": [0.5],
    "an array": ones(2),
    "complex": 0.5j,
}
POSITIVE: Pool = {
    "zero": 0.0,
    **omit(FRACTIONS, "one", "an integer one", "a flag"),
    "a flag": True,
}
CELLS: Pool = {
    "None": None,
    "text": "lstm",
    "a number": 3,
    "a function": abs,
    "a type": Strange,
    "a list": [abs],
    "a tuple": (abs,),
    "an array": ones(2),
}
BATCH_SHAPES: Pool = {
    "a number": 3,
    "a list": [2],
    "None": None,
    "floats": (2.5,),
    "negative": (-1,),
    "texts": ("2",),
    "flags": (True,),
    "Nones": (None,),
    "text": "2",
    "an array": np.array([2]),
    "nested": ((2,),),
}
WINDOWS: Pool = {
    "a number": 3,
    "a list": [3],
    "text": "3",
    "None": None,
    "nothing": (),
    "four axes": (3, 3, 3, 3),
    "zero": (0,),
    "negative": (-1,),
    "a float": (2.0,),
    "a flag": (True,),
    "texts": ("3",),
    "an array": np.array([3]),
}
STRIDES: Pool = {
    **omit(SIZES, "a tuple", "None"),
    "two axes": (1, 1),
    "zeros": (0,),
    "floats": (1.0,),
    "nothing": (),
}
PADDINGS: Pool = {
    "no word": "full",
    "None": None,
    "negative": -1,
    "a float": 1.0,
    "a flag": True,
    "pairs of two axes": ((1, 1), (1, 1)),
    "no pair": (1,),
    "a pair of one": ((1,),),
    "a negative pair": ((-1, 0),),
    "floats": ((1.0, 1.0),),
    "a list": [(1, 1)],
    "nothing": (),
}
KEYS: Pool = {
    "a number": 0,
    "a flag": True,
    "a float": 1.5,
    "text": "seed",
    "a legacy key of 3": np.zeros(3, np.uint32),
    "a batch of legacy keys": np.zeros((2, 2), np.uint32),
    "signed": np.zeros(2, np.int32),
    "floats": ones(2),
    "objects": np.full(2, 0, object),
    "a scalar": np.uint32(0),
    "keys": jax.random.split(KEY, 2),
    "no keys": jax.random.split(KEY, 2)[:0],
    "a list": [0, 0],
    "a tuple of keys": (KEY, KEY),
    "a foreign array": Foreign(np.zeros(2, np.uint32)),
    "a function": jax.random.key,
}
KEYS_FOR_INIT: Pool = {**KEYS, "None": None}


# Arrays -------------------------------------------------------------------------------------------


def not_arrays(right: Any) -> Pool:
    """What is no array, though it may hold the right numbers."""
    return {
        "None": None,
        "text": "abc",
        "a number": 1.5,
        "a list": right.tolist(),
        "a tuple": (right, right),
        "a dict": {"x": right},
        "a set": {1.0},
        "objects": right.astype(object),
        "texts": right.astype("U8"),
        "dates": np.zeros(right.shape, "datetime64[s]"),
        "records": np.zeros(right.shape, [("a", np.float32)]),
        "a foreign array": Foreign(right),
        "a function": abs,
    }


def of_dtypes(right: Any, *names: str) -> Pool:
    """The same numbers in other dtypes."""
    return {name: right.astype(jnp.dtype(name)) for name in names}


def keys_like(right: Any) -> Pool:
    return {"keys": jax.random.split(KEY, right.shape)}


NOT_FLOATS = ("int32", "uint8", "bool", "complex64")
NOT_FLOAT32 = (*NOT_FLOATS, "float16", "bfloat16", "float64")


def floats(right: Any) -> Pool:
    """For an array of float32 with any number of axes."""
    return {**not_arrays(right), **of_dtypes(right, *NOT_FLOAT32), **keys_like(right)}


def floats_of_any_size(right: Any) -> Pool:
    """For an array of a floating dtype."""
    return {**not_arrays(right), **of_dtypes(right, *NOT_FLOATS), **keys_like(right)}


def features(right: Any) -> Pool:
    """For float32 `(*batch, features)`."""
    return {
        **floats(right),
        "more features": np.concatenate([right, right], -1),
        "fewer features": right[..., :-1],
        "no features": right[..., :0],
        "features first": np.moveaxis(right, -1, 0),
        "a scalar": right.ravel()[0],
    }


def sequence(right: Any) -> Pool:
    """For float32 `(time, batch, features)`."""
    return {**features(right), "one step's features": right[0, 0]}


def flags(right: Any) -> Pool:
    """For booleans of one shape."""
    rest = right.shape[1:]
    return {
        **omit(not_arrays(right), "None"),
        **of_dtypes(right, "int32", "uint8", "float32", "complex64"),
        **keys_like(right),
        "True": True,
        "more steps": ones(right.shape[0] + 1, *rest, dtype=bool),
        "no steps": ones(0, *rest, dtype=bool),
        "a step": ones(1, *rest, dtype=bool),
        "lengths": np.full(rest, 1, np.int32),
    }


def exact_flags(right: Any) -> Pool:
    """For booleans `(time, batch)`, of those axes and no others."""
    time, *batch = right.shape
    return {
        **flags(right),
        "a scalar": np.bool_(True),
        "time alone": ones(time, dtype=bool),
        "a batch of one": ones(time, *(1 for _ in batch), dtype=bool),
        "features of one": right[..., None],
        "features too": np.repeat(right[..., None], 3, -1),
        "time twice": right[None],
    }


# Trees --------------------------------------------------------------------------------------------


def structures(right: Any) -> Pool:
    """Other trees, with the right arrays in them or without."""
    leaves = jax.tree.leaves(right)
    first = leaves[0] if leaves else ones(2, 3)
    pool = {
        "None": None,
        "text": "params",
        "a number": 1.5,
        "a list of arrays, as keras has them": [*leaves],
        "a dict, as torch has it": {"weight_ih_l0": first, "bias_ih_l0": first},
        "a nested dict, as flax has it": {"params": {"cell": {"kernel": first}}},
        "those of something else": Strange(first),
        "an array": first,
        "a set": {1.0},
        "a function": abs,
        "a type": type(right),
        "wrapped": (right,),
        "a pair": (right, right),
    }
    if leaves:
        pool["nothing"] = ()
    if hasattr(right, "_fields"):
        pool["a tuple of its fields"] = tuple(right)
        pool["a dict of its fields"] = right._asdict()
    elif isinstance(right, tuple):
        pool["a list"] = [*right]
    return pool


def leaves(right: Any, dtypes: bool = True) -> Pool:
    """The right tree, with something wrong at one leaf or at all."""
    given, tree = jax.tree.flatten(right)
    if not given:
        return {}
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(right)]
    pool: Pool = {"all stacked": jax.tree.map(lambda leaf: np.stack([leaf, leaf]), right)}
    if dtypes:
        for name in ("int32", "float16", "float64"):
            pool[f"all {name}"] = jax.tree.map(lambda leaf, name=name: leaf.astype(name), right)
    for index, (path, leaf) in enumerate(zip(paths, given, strict=True)):
        for what, wrong in _wrong_leaves(leaf, dtypes).items():
            pool[f"{path or 'it'} {what}"] = tree.unflatten(
                [*given[:index], wrong, *given[index + 1 :]]
            )
    return pool


def _wrong_leaves(leaf: Any, dtypes: bool) -> Pool:
    pool: Pool = {
        "missing": None,
        "text": "a",
        "a list": leaf.tolist(),
        "objects": leaf.astype(object),
        "a foreign array": Foreign(leaf),
        "stacked": np.stack([leaf, leaf]),
    }
    if dtypes:
        pool["int32"] = leaf.astype(np.int32)
    if leaf.ndim:
        pool["a scalar"] = leaf.ravel()[0]
        pool["longer"] = np.concatenate([leaf, leaf], -1)
        pool["of one"] = leaf[..., :1]
    if leaf.ndim > 1:
        pool["longer in front"] = np.concatenate([leaf, leaf], 0)
        pool["without an axis"] = leaf[0]
    return pool


def trees(right: Any) -> Pool:
    """For parameters, whose structure, shapes and dtypes are known."""
    return {**structures(right), **leaves(right)}


def trees_of_any_dtype(right: Any) -> Pool:
    return {**structures(right), **leaves(right, dtypes=False)}


def states(right: Any) -> Pool:
    """For a state, or None, each leaf `(batch, ...)`."""
    return omit(trees(right), "None")


def starts(right: Any) -> Pool:
    """For a start, which may come without the batch; one of its leaves alone may not."""
    return {what: value for what, value in states(right).items() if "without an axis" not in what}
