"""Wrong calls of plain functions: gates, losses, pools over steps, and trees of parameters."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import wrong_values as wrong
from refusals import BATCH, FEATURES, HIDDEN, TIME, add, filled, refuse, zeros
from refusals_models import LINEAR, OWN, SPLIT
from wrong_values import HUGE, KEY, NAN, Foreign, Pool, ones

import jaxnn

F, H = FEATURES, HIDDEN

# The gates of a cell ------------------------------------------------------------------------------

GATED: dict[str, Callable[[], Any]] = {
    "elman": lambda: jaxnn.elman(F, H),
    "lstm": lambda: jaxnn.lstm(F, H, peephole=True),
    "gru": lambda: jaxnn.gru(F, H),
    "mgu": lambda: jaxnn.mgu(F, H),
    "janet": lambda: jaxnn.janet(F, H),
    "slstm": lambda: jaxnn.slstm(F, H),
    "min_gru": lambda: jaxnn.min_gru(F, H),
    "min_lstm": lambda: jaxnn.min_lstm(F, H),
    "conv_lstm": lambda: jaxnn.conv_lstm(F, H, (5,), (3,), peephole=True),
    "output_state": lambda: jaxnn.output_state(jaxnn.gru(F, H)),
}
GATELESS: Pool = {
    **wrong.CELLS,
    "a layer": jaxnn.dense(F, H),
    "a cell of one's own": jaxnn.cell(**OWN),
    "a split of one's own": jaxnn.split_cell(**SPLIT),
    "a cell without gates": jaxnn.lif(F, H),
    "a linear cell of one's own": jaxnn.linear_cell(**LINEAR),
    "a bare cell": jaxnn.Cell(*jaxnn.gru(F, H)[:2], *jaxnn.cell(**OWN)[2:]),
    "a stack": jaxnn.stack(jaxnn.lstm(F, H), jaxnn.dense(H, 2)),
    "a residual": jaxnn.residual(jaxnn.gru(F, F)),
    "a learned initial state": jaxnn.learned_initial_state(jaxnn.gru(F, H)),
    "the output_state of a stack": jaxnn.output_state(jaxnn.stack(jaxnn.gru(F, H))),
}


@functools.cache
def step_of(label: str) -> dict[str, Any]:
    """What `gates` takes."""
    cell = GATED[label]()
    params = filled(cell)
    state = zeros(cell.initial_state(params, (BATCH,)))
    x = ones(BATCH, 5, F) if label == "conv_lstm" else ones(BATCH, F)
    return {"cell": cell, "params": params, "state": state, "x": x}


for label_ in GATED:
    refuse(
        f"gates of {label_}",
        lambda: jaxnn.gates,
        functools.partial(step_of, label_),
        "gates",
        params=wrong.trees,
        state=lambda right: {**wrong.states(right), "None": None},
        x=wrong.features,
    )
refuse("gates", lambda: jaxnn.gates, functools.partial(step_of, "gru"), cell=GATELESS)


# Linear recurrences -------------------------------------------------------------------------------

RECURRENCE: dict[str, Any] = {
    "a": ones(TIME, BATCH, H),
    "b": ones(TIME, BATCH, H),
    "state": ones(BATCH, H),
    "start": ones(BATCH, H),
    "mask": ones(TIME, BATCH, dtype=bool),
    "reset": ones(TIME, BATCH, dtype=bool),
    "reverse": False,
    "method": "scan",
}


def coefficients(right: Any) -> Pool:
    """For what is as b, or as its last dimensions."""
    return {
        **wrong.omit(wrong.floats(right), "None"),
        "None": None,
        "of one": right[..., :1],
        "of other units": right[..., 1:],
        "of the other time": right[1:],
        "with more dimensions": right[None],
        "a tree": {"a": right},
        "a pair": jaxnn.Pair(right, right),
    }


def like_a_step(right: Any) -> Pool:
    """For a state."""
    return {
        **wrong.omit(wrong.floats(right), "None"),
        "of one": right[..., :1],
        "without the batch": right[0],
        "over time": right[None],
        "a tuple": (right,),
    }


refuse(
    "linear_recurrence",
    lambda: jaxnn.linear_recurrence,
    RECURRENCE,
    words={"b": ("b", "a must")},
    a=coefficients,
    b=lambda right: {
        **wrong.omit(wrong.floats(right), "None"),
        "None": None,
        "without time": right[0, 0, 0],
        "of another time": right[1:],
        "no array at all": (),
    },
    state=like_a_step,
    start=like_a_step,
    mask=wrong.exact_flags,
    reset=wrong.exact_flags,
    reverse=wrong.FLAGS,
    method={"unknown": "parallel", "a number": 1, "a function": abs},
)


# The solution of a solved cell --------------------------------------------------------------------


@functools.cache
def to_solve() -> dict[str, Any]:
    """What `solution` takes."""
    cell = jaxnn.solve(jaxnn.gru(F, H))
    return {"cell": cell, "params": filled(cell), "xs": ones(TIME, BATCH, F)}


refuse(
    "solution",
    lambda: jaxnn.solution,
    to_solve,
    cell={**wrong.CELLS, "a cell that is not solved": jaxnn.gru(F, H)},
    params=wrong.trees,
    xs=wrong.sequence,
    state=lambda _: wrong.states(zeros(jaxnn.GRUState(ones(BATCH, H)))),
    start=lambda _: wrong.starts(zeros(jaxnn.GRUState(ones(BATCH, H)))),
    mask=lambda _: wrong.exact_flags(ones(TIME, BATCH, dtype=bool)),
    reset=lambda _: wrong.exact_flags(ones(TIME, BATCH, dtype=bool)),
    reverse=wrong.FLAGS,
    key=wrong.KEYS,
)


# Losses and pools over steps ----------------------------------------------------------------------

LOGITS, MASK = ones(TIME, BATCH, F), ones(TIME, BATCH, dtype=bool)
LABELS, NOTES = ones(TIME, BATCH, dtype=np.int32), ones(TIME, BATCH, F)


def outputs(right: Any) -> Pool:
    """For predictions `(time, batch, outputs)`."""
    return {**wrong.floats_of_any_size(right), "a scalar": right[0, 0, 0]}


def targets(right: Any) -> Pool:
    """For an array as the predictions are."""
    return {
        **wrong.floats(right),
        "of one": right[..., :1],
        "without outputs": right[..., 0],
        "a step": right[:1],
        "another axis": right[None],
        "the other way round": np.moveaxis(right, -1, 0),
    }


def labels(right: Any) -> Pool:
    """For integers in 0…2, `(time, batch)`."""
    return {
        **wrong.not_arrays(right),
        **wrong.of_dtypes(right, "float32", "float16", "bool", "complex64"),
        **wrong.keys_like(right),
        "negative": right - 2,
        "beyond the classes": right + 2,
        "of one": right[..., None],
        "one hot": np.repeat(right[..., None], F, -1),
        "a step": right[:1],
        "a batch": right[0],
        "a scalar": np.int32(1),
    }


def notes(right: Any) -> Pool:
    """For numbers in [0, 1], as the logits are."""
    pool = wrong.omit(targets(right), "int32", "uint8", "bool")
    beyond = {"beyond": right + 1, "negative": -right, "NaN": right * np.float32(NAN)}
    return {
        **pool,
        **beyond,
        "infinite": right * np.float32(np.inf),
        "integers": right.astype(int) * 2,
    }


def weights(right: Any) -> Pool:
    """For weights of samples, `(time, batch)` or `(batch,)`."""
    return {
        **wrong.omit(wrong.floats(right), "None"),
        "negative": -right,
        "NaN": right * np.float32(NAN),
        "infinite": right * np.float32(np.inf),
        "of one": right[..., None],
        "one more": np.concatenate([right, right]),
        "a scalar": np.float32(1),
    }


def axes(count: int) -> Pool:
    """For axes of samples that have so many."""
    return {
        "negative": -1,
        "beyond": count,
        "twice": (0, 0),
        "a flag": True,
        "a float": 0.0,
        "text": "time",
        "a list": [0],
        "an array": np.array([0, 1]),
        "Nones": (None,),
    }


SMOOTHING = wrong.omit(wrong.FRACTIONS, "a flag")
COUNTED: Any = {
    "mask": lambda _: wrong.exact_flags(MASK),
    "weights": lambda _: weights(ones(TIME, BATCH)),
    "axis": axes(2),
}
Loss = tuple[str, np.ndarray, str, np.ndarray, Any]
LOSSES: dict[str, Loss] = {
    "mean_squared_error": ("predictions", LOGITS, "targets", NOTES, targets),
    "half_squared_error": ("predictions", LOGITS, "targets", NOTES, targets),
    "cross_entropy": ("logits", LOGITS, "labels", LABELS, labels),
    "accuracy": ("logits", LOGITS, "labels", LABELS, labels),
    "binary_cross_entropy": ("logits", LOGITS, "labels", NOTES, notes),
    "binary_accuracy": ("logits", LOGITS, "labels", NOTES, notes),
}
for name_, (first_, given_, second_, wanted_, pool_) in LOSSES.items():
    right_ = {first_: given_, second_: wanted_}
    loss_: Any = getattr(jaxnn.losses, name_)
    pools_: Any = {first_: outputs, second_: pool_, **COUNTED}
    if name_.endswith("cross_entropy"):
        pools_["label_smoothing"] = SMOOTHING
    words_: Any = {second_: (second_, "targets", "labels")}
    refuse(name_, lambda loss_=loss_: loss_, right_, words=words_, **pools_)
    missing_: Any = {"one argument": functools.partial(loss_, given_)}
    add(f"{name_}-missing", name_, second_, missing_, ours=False)

refuse(
    "quantile_loss",
    lambda: jaxnn.losses.quantile_loss,
    {"predictions": ones(TIME, BATCH, F, 2), "targets": NOTES, "quantiles": (0.1, 0.9)},
    predictions=lambda right: {**outputs(right), "without quantiles": right[..., 0]},
    targets=targets,
    quantiles={
        "None": None,
        "a number": 0.5,
        "text": ("0.1", "0.9"),
        "an array": np.array([0.1, 0.9]),
        "one": (0.5,),
        "zero": (0.0, 0.9),
        "above one": (0.1, 1.5),
        "NaN": (0.1, NAN),
        "flags": (True, 0.5),
        "nothing": (),
    },
    words={"targets": ("targets", "predictions"), "predictions": ("predictions", "targets")},
    **COUNTED,
)
refuse(
    "naive_scale",
    lambda: jaxnn.losses.naive_scale,
    {"series": ones(TIME, BATCH, F)},
    series=lambda right: {**outputs(right), "a line": right[:, 0, 0], "a step": right[:1]},
    season={**wrong.SIZES, "as long as the series": TIME},
    mask=COUNTED["mask"],
    words={"season": ("season", "series")},
)
refuse(
    "mean_absolute_scaled_error",
    lambda: jaxnn.losses.mean_absolute_scaled_error,
    {"predictions": LOGITS, "targets": NOTES, "scale": ones(BATCH, F)},
    predictions=outputs,
    targets=targets,
    scale=lambda right: {
        **wrong.floats(right),
        "zero": right * 0,
        "negative": -right,
        "NaN": right * np.float32(NAN),
        "infinite": right * np.float32(np.inf),
        "without outputs": right[:, 0],
        "of one": right[:, :1],
        "a scalar": np.float32(1),
    },
    words={
        "targets": ("targets", "predictions"),
        "predictions": ("predictions", "targets", "scale"),
    },
    **COUNTED,
)
refuse(
    "ctc_loss",
    lambda: jaxnn.losses.ctc_loss,
    {"logits": LOGITS, "labels": LABELS},
    logits=lambda right: {**outputs(right), "a step": right[0, 0], "no steps": right[:0]},
    labels=lambda right: {
        **wrong.omit(labels(right), "a step", "a batch"),
        "the blank": right * 0,
        "of another batch": right[:, :1],
    },
    mask=COUNTED["mask"],
    label_mask=COUNTED["mask"],
    weights=lambda _: weights(ones(BATCH)),
    axis=axes(1),
    blank={
        "negative": -1,
        "beyond": F,
        "a flag": True,
        "a float": 0.0,
        "None": None,
        "text": "0",
        "an array": np.array([0]),
    },
)

for name_ in ("masked_mean", "masked_max", "masked_last"):
    pool_ = wrong.floats_of_any_size(LOGITS)
    if name_ != "masked_mean":
        pool_ = wrong.omit(pool_, "int32", "uint8", "bool", "complex64")
    pool_ = {**pool_, "a scalar": np.float32(1)}
    masked_: Any = getattr(jaxnn, name_)
    pools_ = {"xs": pool_, "mask": lambda _: wrong.exact_flags(MASK)}
    refuse(name_, lambda masked_=masked_: masked_, {"xs": LOGITS}, **pools_)

LENGTHS: Pool = {
    "floats": ones(2),
    "flags": ones(2, dtype=bool),
    "None": None,
    "text": "12",
    "a number": 1.5,
    "a set": {1, 2},
    "a dict": {"lengths": 1},
    "objects": np.array([1, None], object),
    "texts": np.array(["1", "2"]),
    "complex": ones(2, dtype=np.complex64),
    "negative": np.array([-1, 2]),
    "beyond": np.array([1, 6]),
    "keys": jax.random.split(KEY, 2),
    "ragged": [[1], [1, 2]],
    "a function": abs,
}
refuse(
    "lengths_to_mask",
    lambda: jaxnn.lengths_to_mask,
    {"lengths": np.array([0, 1]), "time": 5},
    lengths=LENGTHS,
    time={**wrong.omit(wrong.SIZES, "zero"), "huge": HUGE, "infinite": float("inf")},
)


# Trees of parameters ------------------------------------------------------------------------------

NAMED = ("params", "kernel", "name", "rate", "init")
TREES: Pool = {
    "text": "params",
    "a number": 3,
    "a leaf of text": {"kernel": ones(2), "name": "mine"},
    "a leaf that is a number": {"kernel": ones(2), "rate": 0.5},
    "objects": np.full(2, None, object),
    "texts": np.array(["a"]),
    "a foreign array": {"kernel": Foreign(ones(2))},
    "a set": {1.0},
    "a function": abs,
    "the layer itself": jaxnn.dense(2, 3),
    "the cell itself": jaxnn.lstm(2, 3),
}
refuse("describe", lambda: jaxnn.describe, {}, params=TREES, words={"params": NAMED})
PARAMS = {"kernel": ones(2, 3)}
for name_ in ("decay_mask", "labels", "muon_dimensions"):
    read_: Any = getattr(jaxnn.training, name_)
    refuse(name_, lambda read_=read_: read_, {}, params=TREES, words={"params": NAMED})
refuse(
    "hidden_partition_specs",
    lambda: jaxnn.hidden_partition_specs,
    {"params": PARAMS, "axis": "model"},
    params={**TREES, "a scalar": {"kernel": ones()}},
    axis=wrong.omit({**wrong.FUNCTIONS, "no name": ""}, "text", "a tuple"),
    words={"params": NAMED},
)

CELL = jaxnn.gru(F, H)


@functools.cache
def reset_arguments() -> dict[str, Any]:
    params = filled(CELL)
    state = zeros(CELL.initial_state(params, (BATCH,)))
    return {"cell": CELL, "params": params, "state": state, "reset": ones(BATCH, dtype=bool)}


def start_pool(_: Any) -> Pool:
    return wrong.starts(reset_arguments()["state"])


refuse(
    "reset_state",
    lambda: jaxnn.reset_state,
    reset_arguments,
    cell={**wrong.CELLS, "a layer": jaxnn.dense(F, H)},
    params=wrong.trees,
    state=lambda right: {**wrong.states(right), "None": None},
    reset=lambda right: {**wrong.flags(right), "None": None, "a scalar": np.bool_(True)},
    start=start_pool,
    words={"reset": ("reset", "state")},
)

# What a gradient takes ----------------------------------------------------------------------------


def squares(params: Any, xs: Any) -> Any:
    """A loss."""
    return (params * xs**2).sum()


refuse(
    "memory",
    lambda: lambda loss, params, xs: jaxnn.memory(loss, params, xs),
    {"loss": squares, "params": ones(2), "xs": ones(2)},
    words={"xs": "args"},
    loss={
        **wrong.FUNCTIONS,
        "of more numbers": lambda params, xs: params * xs,
        "of two results": lambda params, xs: (squares(params, xs), xs),
        "of an integer": lambda params, xs: squares(params, xs).astype(np.int32),
        "of nothing": lambda params, xs: None,
    },
    params={"text": "p", "a list of text": ["p"], "a function": abs, "a number": 2.0},
    xs={"text": "x", "a function": abs, "a list of text": ["x"]},
)
