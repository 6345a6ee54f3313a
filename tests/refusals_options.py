"""Wrong options of every factory."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import wrong_values as wrong
from refusals import FEATURES, HIDDEN, refuse
from refusals_models import LINEAR, OWN, SPLIT
from wrong_values import Pool, ones

import jaxnn

F, H = FEATURES, HIDDEN
LSTM = jaxnn.lstm(F, H)
TIME_MESH = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("time",))
UNROLL: Any = jaxnn.gru(F, H).unroll
BARE = LSTM._replace(unroll=UNROLL)  # whose unroll is of somebody's own
BOTH: dict[str, Any] = {"dtype": wrong.DTYPES, "param_dtype": wrong.DTYPES_OR_NONE}
KERNEL: dict[str, Any] = {"kernel_init": wrong.FUNCTIONS}
KERNELS: dict[str, Any] = {**KERNEL, "recurrent_init": wrong.FUNCTIONS}
BIAS: dict[str, Any] = {"bias": wrong.FLAGS, "bias_init": wrong.FUNCTIONS_OR_NONE}
GLOROT = jaxnn.initializers.glorot
ACTIVATIONS: dict[str, Any] = {"activation": wrong.FUNCTIONS, "gate_activation": wrong.FUNCTIONS}
CELL_SIZES: dict[str, Any] = {"input_size": wrong.SIZES, "hidden_size": wrong.SIZES}
LAYER_SIZES: dict[str, Any] = {"input_size": wrong.SIZES, "output_size": wrong.SIZES}
SIZES = {"input_size": F, "hidden_size": H}
BIASES: Pool = {"no word": "both", **wrong.omit(wrong.FLAGS, "yes", "no")}
STEPS: dict[str, Any] = {
    "step_min": {**wrong.POSITIVE, "above the largest": 0.2},
    "step_max": {**wrong.POSITIVE, "below the smallest": 1e-4},
}
MERGES: Pool = {
    "no word": "add",
    **wrong.omit(wrong.FUNCTIONS, "text"),
    "a word in a list": ["sum"],
}
EVENT_NDIMS: Pool = {  # a tree of numbers is right
    **wrong.omit(wrong.SIZES, "zero", "a list", "a tuple", "a dict"),
    "a tuple of nothing": (),
    "a tuple of text": (1, "a"),
    "a tuple of flags": (True,),
    "a list of floats": [1.0, 0],
    "a dict of negative": {"x": -1},
    "a dict of other keys": {1: 1, "a": 0},
}
MLP_SIZES: Pool = {
    "one": (3,),
    "nothing": (),
    "a number": 3,
    "a list": [3, 2],
    "None": None,
    "text": "32",
    "a zero": (3, 0, 2),
    "a negative one": (3, -1),
    "floats": (3.0, 2.0),
    "flags": (True, True),
    "texts": ("3", "2"),
    "nested": ((3, 2),),
    "an array": np.array([3, 2]),
}
GATE_NAMES: Pool = {
    "no forget gate": ("i", "g", "o"),
    "nothing": (),
    "one word": "ifgo",
    "None": None,
    "a list": ["i", "f"],
    "numbers": (0, 1, "f"),
    "a number": 4,
}
VALUES: Pool = {
    "NaN": wrong.NAN,
    "infinite": float("inf"),
    "text": "1",
    "None": None,
    "a flag": True,
    "a list": [1.0],
    "an array": ones(4),
    "complex": 1j,
}
DEVIATIONS: Pool = {"negative": -0.1, **wrong.omit(VALUES, "a number")}
POOL_OPTIONS: dict[str, Any] = {
    "window": wrong.WINDOWS,
    "stride": wrong.STRIDES,
    "padding": {**wrong.PADDINGS, "as wide as the window": 2},
}
CONV_OPTIONS: dict[str, Any] = {
    **LAYER_SIZES,
    "window": wrong.WINDOWS,
    "stride": {**wrong.STRIDES, "None": None},
    "padding": wrong.PADDINGS,
    "dilation": {**wrong.STRIDES, "None": None},
    "groups": {**wrong.SIZES, "of another size": 2},
    "bias": {**wrong.FLAGS, "shared": "shared"},
    "kernel_init": wrong.FUNCTIONS,
    "bias_init": wrong.FUNCTIONS_OR_NONE,
    **BOTH,
}
GROUP_NORM = {"size": 4, "groups": 2, "event_ndim": 2}
CONV = {"input_size": 3, "output_size": 4, "window": (3,)}
IMAGES = {"input_size": 3, "hidden_size": 4, "spatial_shape": (5,), "window": (3,)}
IMAGE_SIZES: dict[str, Any] = {
    "spatial_shape": wrong.WINDOWS,
    "window": {**wrong.WINDOWS, "two axes": (3, 3)},
    "recurrent_window": {**wrong.omit(wrong.WINDOWS, "None"), "two axes": (3, 3)},
}
INNER: Pool = {**wrong.CELLS, "a factory": jaxnn.lstm}
NO_SPLIT: Pool = {
    **INNER,
    "a layer": jaxnn.dense(F, F),
    "a stack": jaxnn.stack(jaxnn.gru(F, H), jaxnn.dense(H, F)),
}
NO_KERNELS: Pool = {**INNER, "a layer": jaxnn.dense(F, F), "no kernels": jaxnn.locked_dropout(0.5)}

SHAPES: Pool = {
    "a number": 4,
    "a list": [2, 2],
    "None": None,
    "text": "22",
    "two unknown": (-1, -1),
    "a zero": (0, 2),
    "a negative one": (-2, 2),
    "floats": (2.0, 2.0),
    "flags": (True, 2),
}
NAMES: Pool = {
    "one": ("a",),
    "three": ("a", "b", "c"),
    "equal ones": ("a", "a"),
    "a word": "ab",
    "a list": ["a", "b"],
    "numbers": (1, 2),
    "no field": ("a", "b c"),
    "a keyword": ("a", "for"),
    "hidden": ("a", "_b"),
    "what tuples have": ("a", "count"),
    "empty": ("a", ""),
}

Row = tuple[Callable[..., Any], dict[str, Any], dict[str, Any]]
FACTORIES: dict[str, Row] = {
    "elman": (
        jaxnn.elman,
        SIZES,
        {**CELL_SIZES, "activation": wrong.FUNCTIONS, **BIAS, **KERNELS, **BOTH},
    ),
    "lstm": (
        jaxnn.lstm,
        SIZES,
        {
            **CELL_SIZES,
            "peephole": wrong.FLAGS,
            "coupled": wrong.FLAGS,
            "peephole_init": wrong.FUNCTIONS_OR_NONE,
            **ACTIVATIONS,
            "projection_size": wrong.SIZES_OR_NONE,
            "layer_norm": wrong.FLAGS,
            "projection_init": {**wrong.FUNCTIONS_OR_NONE, "without a projection": GLOROT},
            **BIAS,
            **KERNELS,
            **BOTH,
        },
    ),
    "gru": (
        jaxnn.gru,
        SIZES,
        {
            **CELL_SIZES,
            "reset_after": wrong.FLAGS,
            "layer_norm": wrong.FLAGS,
            **ACTIVATIONS,
            **BIAS,
            **KERNELS,
            **BOTH,
        },
    ),
    "gru_d": (jaxnn.gru_d, SIZES, {**CELL_SIZES, **KERNELS, **BOTH}),
    "mgu": (jaxnn.mgu, SIZES, {**CELL_SIZES, **BIAS, **KERNELS, **BOTH}),
    "janet": (
        jaxnn.janet,
        SIZES,
        {**CELL_SIZES, "beta": VALUES, **BIAS, **KERNELS, **BOTH},
    ),
    "ct_rnn": (
        jaxnn.ct_rnn,
        SIZES,
        {
            **CELL_SIZES,
            "tau": wrong.POSITIVE,
            "dt": wrong.POSITIVE,
            "activation": wrong.FUNCTIONS,
            **BIAS,
            **KERNELS,
            **BOTH,
        },
    ),
    "ltc": (
        jaxnn.ltc,
        SIZES,
        {
            **CELL_SIZES,
            "tau": wrong.POSITIVE,
            "dt": wrong.POSITIVE,
            "unfolds": wrong.SIZES,
            "target_init": wrong.FUNCTIONS_OR_NONE,
            **BIAS,
            **KERNELS,
            **BOTH,
        },
    ),
    "lif": (
        jaxnn.lif,
        SIZES,
        {
            **CELL_SIZES,
            "decay": wrong.FRACTIONS,
            "threshold": wrong.POSITIVE,
            "spike": wrong.FUNCTIONS,
            "recurrent": wrong.FLAGS,
            "recurrent_init": wrong.FUNCTIONS_OR_NONE,
            **BIAS,
            **KERNEL,
            **BOTH,
        },
    ),
    "slstm": (
        jaxnn.slstm,
        SIZES,
        {
            **CELL_SIZES,
            "heads": {**wrong.SIZES, "no divisor": 3},
            "exponential_forget": wrong.FLAGS,
            **BIAS,
            **KERNELS,
            **BOTH,
        },
    ),
    "mlstm": (
        jaxnn.mlstm,
        {**SIZES, "heads": 2},
        {
            **CELL_SIZES,
            "heads": {**wrong.SIZES, "no divisor": 3},
            "output_gate": wrong.FLAGS,
            "gate_init": wrong.FUNCTIONS,
            **BIAS,
            **KERNEL,
            **BOTH,
        },
    ),
    "indrnn": (
        jaxnn.indrnn,
        SIZES,
        {
            **CELL_SIZES,
            "activation": wrong.FUNCTIONS,
            "steps": wrong.SIZES_OR_NONE,
            "recurrent_init": wrong.FUNCTIONS_OR_NONE,
            **BIAS,
            **KERNEL,
            **BOTH,
        },
    ),
    "qrnn": (jaxnn.qrnn, SIZES, {**CELL_SIZES, **BIAS, **KERNEL, **BOTH}),
    "sru": (
        jaxnn.sru,
        {"size": F},
        {"size": wrong.SIZES, "activation": wrong.FUNCTIONS, **BIAS, **KERNEL, **BOTH},
    ),
    "rg_lru": (
        jaxnn.rg_lru,
        {"size": 6},
        {
            "size": wrong.SIZES,
            "blocks": {**wrong.SIZES, "no divisor": 4},
            "decay_init": wrong.FUNCTIONS,
            **BIAS,
            **KERNEL,
            **BOTH,
        },
    ),
    "rg_lru_block": (
        jaxnn.rg_lru_block,
        {"input_size": 6},
        {
            "input_size": wrong.SIZES,
            "hidden_size": wrong.SIZES_OR_NONE,
            "blocks": {**wrong.SIZES, "no divisor": 4},
            "window": wrong.SIZES,
            "bias": wrong.FLAGS,
            **KERNEL,
            **BOTH,
        },
    ),
    "min_gru": (
        jaxnn.min_gru,
        SIZES,
        {**CELL_SIZES, **BIAS, **KERNEL, **BOTH},
    ),
    "min_lstm": (
        jaxnn.min_lstm,
        SIZES,
        {**CELL_SIZES, **BIAS, **KERNEL, **BOTH},
    ),
    "lru": (
        jaxnn.lru,
        SIZES,
        {
            **CELL_SIZES,
            "r_min": {**wrong.omit(wrong.POSITIVE, "zero"), "above the largest": 1.5},
            "r_max": {**wrong.POSITIVE, "above one": 1.1},
            "max_phase": {**wrong.POSITIVE, "more than a turn": 7.0},
            **BOTH,
        },
    ),
    "s5": (
        jaxnn.s5,
        {"input_size": F, "hidden_size": 8},
        {
            **CELL_SIZES,
            "hidden_size": {**wrong.SIZES, "odd": 3},
            "blocks": {**wrong.SIZES, "of another size": 3},
            **STEPS,
            **BOTH,
        },
    ),
    "s6": (
        jaxnn.s6,
        {"input_size": F},
        {**CELL_SIZES, "rank": wrong.SIZES_OR_NONE, **STEPS, **KERNEL, **BOTH},
    ),
    "causal_conv": (
        jaxnn.causal_conv,
        {"input_size": F, "window": 3},
        {"input_size": wrong.SIZES, "window": wrong.SIZES, **BIAS, **KERNEL, **BOTH},
    ),
    "mamba_block": (
        jaxnn.mamba_block,
        {"input_size": F},
        {
            **CELL_SIZES,
            "expand": wrong.SIZES,
            "window": wrong.SIZES,
            "rank": wrong.SIZES_OR_NONE,
            **KERNEL,
            **BOTH,
        },
    ),
    "conv_gru": (
        jaxnn.conv_gru,
        IMAGES,
        {**CELL_SIZES, **IMAGE_SIZES, "reset_after": wrong.FLAGS, **BIAS, **KERNELS, **BOTH},
    ),
    "conv_lstm": (
        jaxnn.conv_lstm,
        IMAGES,
        {
            **CELL_SIZES,
            **IMAGE_SIZES,
            "peephole": wrong.FLAGS,
            "peephole_init": wrong.FUNCTIONS_OR_NONE,
            **BIAS,
            **KERNELS,
            **BOTH,
        },
    ),
    "dense": (
        jaxnn.dense,
        {"input_size": F, "output_size": H},
        {
            **LAYER_SIZES,
            "bias": BIASES,
            "kernel_init": wrong.FUNCTIONS,
            "bias_init": wrong.FUNCTIONS_OR_NONE,
            **BOTH,
        },
    ),
    "mlp": (
        jaxnn.mlp,
        {"sizes": (3, 2)},
        {
            "sizes": MLP_SIZES,
            "activation": wrong.FUNCTIONS,
            "output_activation": wrong.FUNCTIONS_OR_NONE,
            "bias": BIASES,
            "kernel_init": wrong.FUNCTIONS,
            "bias_init": wrong.FUNCTIONS_OR_NONE,
            **BOTH,
        },
    ),
    "embedding": (
        jaxnn.embedding,
        {"vocabulary_size": 9, "output_size": H},
        {
            "vocabulary_size": wrong.SIZES,
            "output_size": wrong.SIZES,
            "table_init": wrong.FUNCTIONS,
            **BOTH,
        },
    ),
    "layer_norm": (
        jaxnn.layer_norm,
        {"size": F},
        {"size": wrong.SIZES, "epsilon": wrong.omit(wrong.POSITIVE, "zero"), **BOTH},
    ),
    "group_norm": (
        jaxnn.group_norm,
        GROUP_NORM,
        {
            "size": {**wrong.SIZES, "of another size": 5},
            "groups": {**wrong.SIZES, "of another size": 3},
            "event_ndim": wrong.SIZES,
            "epsilon": wrong.omit(wrong.POSITIVE, "zero"),
            **BOTH,
        },
    ),
    "dropout": (jaxnn.dropout, {}, {"rate": wrong.FRACTIONS}),
    "activation": (jaxnn.activation, {}, {"function": wrong.FUNCTIONS}),
    "conv": (jaxnn.conv, CONV, CONV_OPTIONS),
    "conv_transpose": (
        jaxnn.conv_transpose,
        CONV,
        {**CONV_OPTIONS, "padding": {**wrong.PADDINGS, "causal": "causal"}},
    ),
    "max_pool": (jaxnn.max_pool, {"window": (2,)}, POOL_OPTIONS),
    "average_pool": (jaxnn.average_pool, {"window": (2,)}, POOL_OPTIONS),
    "global_average_pool": (
        jaxnn.global_average_pool,
        {},
        {"event_ndim": {**wrong.SIZES, "one": 1}},
    ),
    "flatten": (jaxnn.flatten, {}, {"event_ndim": wrong.SIZES}),
    "reshape": (
        jaxnn.reshape,
        {"event_ndim": 1, "shape": (2, -1)},
        {"event_ndim": wrong.SIZES, "shape": SHAPES},
    ),
    "along": (
        jaxnn.along,
        {"axis": -2, "layer": jaxnn.bidirectional(LSTM)},
        {
            "axis": {**wrong.SIZES, "the features": -1, "the first": 0, "counted from there": 1},
            "layer": {**INNER, "a layer": jaxnn.dense(2, 2), "a cell": LSTM},
        },
    ),
    "final_state": (
        jaxnn.final_state,
        {},
        {
            "layer": {
                **INNER,
                "a cell": LSTM,
                "a layer": jaxnn.dense(2, 2),
                "what pools": jaxnn.pool_over_time("last"),
                "a serial": jaxnn.serial(jaxnn.as_layer(LSTM), jaxnn.dense(H, 2)),
            }
        },
    ),
    "along_time": (
        jaxnn.along_time,
        {},
        {"layer": {**INNER, "dense": jaxnn.dense(2, 2), "a cell": LSTM}},
    ),
    "pool_over_time": (
        jaxnn.pool_over_time,
        {},
        {"how": {"no word": "sum", **wrong.omit(wrong.FUNCTIONS, "text")}},
    ),
    "bidirectional": (
        jaxnn.bidirectional,
        {"forward": LSTM},
        {
            "forward": {**INNER, "a layer": jaxnn.dense(2, 2)},
            "backward": wrong.omit(INNER, "None"),
            "merge": MERGES,
        },
    ),
    "as_layer": (
        jaxnn.as_layer,
        {"cell": LSTM},
        {"cell": {**INNER, "a layer": jaxnn.dense(2, 2)}, "reverse": wrong.FLAGS},
    ),
    "residual": (jaxnn.residual, {}, {"inner": INNER}),
    "remat": (
        jaxnn.remat,
        {"inner": LSTM},
        {
            "inner": {
                **INNER,
                "a layer": jaxnn.dense(2, 2),
                "what needs the end": jaxnn.bidirectional(LSTM),
                "what pools": jaxnn.pool_over_time("last"),
                "two directions": jaxnn.serial(
                    jaxnn.as_layer(LSTM), jaxnn.as_layer(jaxnn.gru(H, H), True)
                ),
            },
            "steps": wrong.SIZES_OR_NONE,
            "levels": wrong.SIZES,
            "budget": wrong.omit(wrong.POSITIVE, "None"),
        },
    ),
    "gated_by": (
        jaxnn.gated_by,
        {"cell": LSTM, "gate": jaxnn.dense(F, H)},
        {
            "cell": {**INNER, "a layer": jaxnn.dense(2, 2)},
            "gate": {**INNER, "a cell": LSTM},
        },
    ),
    "learned_initial_state": (
        jaxnn.learned_initial_state,
        {},
        {"cell": {**INNER, "a layer": jaxnn.dense(2, 2)}},
    ),
    "shard_time": (
        jaxnn.shard_time,
        {"cell": jaxnn.min_gru(F, H), "mesh": TIME_MESH, "axis": "time"},
        {
            "cell": {**INNER, "a layer": jaxnn.dense(2, 2), "a bare cell": BARE},
            "mesh": {
                "None": None,
                "a number": 8,
                "a name": "time",
                "devices": tuple(jax.devices()),
                "an outline": TIME_MESH.abstract_mesh,
            },
            "axis": {
                "no axis of it": "batch",
                "None": None,
                "a number": 0,
                "two": ("time", "time"),
                "a list": ["time"],
            },
        },
    ),
    "output_state": (
        jaxnn.output_state,
        {"cell": LSTM},
        {"cell": {**INNER, "a layer": jaxnn.dense(2, 2)}, "event_ndim": EVENT_NDIMS},
    ),
    "solve": (
        jaxnn.solve,
        {"cell": LSTM},
        {
            "cell": {**INNER, "a layer": jaxnn.dense(2, 2)},
            "method": {"no method": "dense", **wrong.omit(wrong.FUNCTIONS, "text")},
            "tolerance": {**VALUES, "zero": 0.0, "negative": -1e-6},
            "sweeps": wrong.SIZES,
        },
    ),
    "cell": (
        jaxnn.cell,
        OWN,
        {
            "init": wrong.FUNCTIONS,
            "apply": {
                **wrong.FUNCTIONS,
                "of two arguments": lambda params, state: state,
                "of five": lambda params, state, x, key, more: state,
            },
            "initial_state": wrong.FUNCTIONS,
            "event_ndim": EVENT_NDIMS,
        },
    ),
    "split_cell": (
        jaxnn.split_cell,
        SPLIT,
        {
            "init": wrong.FUNCTIONS,
            "project": wrong.FUNCTIONS,
            "mix": wrong.FUNCTIONS,
            "combine": wrong.FUNCTIONS,
            "initial_state": wrong.FUNCTIONS,
            "output": wrong.FUNCTIONS,
            "event_ndim": EVENT_NDIMS,
        },
    ),
    "linear_cell": (
        jaxnn.linear_cell,
        LINEAR,
        {
            "init": wrong.FUNCTIONS,
            "coefficients": wrong.FUNCTIONS,
            "initial_state": wrong.FUNCTIONS,
            "output": {**wrong.FUNCTIONS, "of two arguments": lambda params, state: state},
            "event_ndim": EVENT_NDIMS,
        },
    ),
    "locked_dropout": (
        jaxnn.locked_dropout,
        {"rate": 0.5},
        {"rate": wrong.FRACTIONS, "event_ndim": EVENT_NDIMS},
    ),
    "variational_dropout": (
        jaxnn.regularizers.variational_dropout,
        {"cell": LSTM},
        {
            "cell": {**NO_SPLIT, "a residual": jaxnn.residual(jaxnn.gru(F, F))},
            **dict.fromkeys(("input", "state", "output"), wrong.FRACTIONS),
        },
    ),
    "zoneout": (
        jaxnn.regularizers.zoneout,
        {"cell": LSTM, "rates": 0.5},
        {
            "cell": {**NO_SPLIT, "a linear cell": jaxnn.min_gru(F, H)},
            "rates": {**wrong.FRACTIONS, "too few": (0.5,), "one of them": (0.5, 1.0)},
        },
    ),
    "recurrent_dropout": (
        jaxnn.regularizers.recurrent_dropout,
        {"cell": LSTM, "rate": 0.5},
        {"cell": {**NO_SPLIT, "an elman": jaxnn.elman(F, H)}, "rate": wrong.FRACTIONS},
    ),
    "noise": (
        jaxnn.regularizers.noise,
        {"cell": LSTM},
        {"cell": NO_SPLIT, **dict.fromkeys(("input", "state"), DEVIATIONS)},
    ),
    "drop_connect": (
        jaxnn.regularizers.drop_connect,
        {"cell": LSTM, "rate": 0.5},
        {"cell": NO_KERNELS, "rate": wrong.FRACTIONS},
    ),
    "weight_norm": (jaxnn.regularizers.weight_norm, {}, {"cell": NO_KERNELS}),
    "spectral_bound": (
        jaxnn.regularizers.spectral_bound,
        {"cell": LSTM},
        {
            "cell": {**NO_KERNELS, "images": jaxnn.conv_lstm(F, H, (5,), (3,))},
            "largest": wrong.POSITIVE,
        },
    ),
    "with_method": (
        jaxnn.with_method,
        {"model": LSTM, "method": "fast"},
        {
            "model": {**INNER, "a layer": jaxnn.dense(2, 2)},
            "method": {"unknown": "quick", "a number": 1, "None": None, "a list": ["fast"]},
        },
    ),
    "per_gate": (
        lambda initializers: jaxnn.initializers.per_gate(initializers),
        {},
        {"initializers": wrong.FUNCTIONS},
    ),
    "forget_bias": (
        jaxnn.initializers.forget_bias,
        {"gates": jaxnn.LSTM_GATES},
        {"gates": GATE_NAMES, "value": wrong.omit(VALUES, "infinite")},
    ),
    "chrono": (
        jaxnn.initializers.chrono,
        {"gates": jaxnn.LSTM_GATES, "longest": 9.0},
        {"gates": GATE_NAMES, "longest": {**VALUES, "one": 1, "negative": -9.0}},
    ),
}
for name_, (make_, right_, pools_) in FACTORIES.items():
    refuse(name_, lambda make_=make_: make_, right_, **pools_)
TRUE: Pool = {"beside the other": True}
refuse(
    "lstm with a peephole", lambda: jaxnn.lstm, {**SIZES, "peephole": True}, "lstm", layer_norm=TRUE
)
refuse("gru before", lambda: jaxnn.gru, {**SIZES, "reset_after": False}, "gru", layer_norm=TRUE)
BESIDE: Pool = {"beside what it chooses": 1e6}
refuse("remat of chunks", lambda: jaxnn.remat, {"inner": LSTM, "steps": 2}, "remat", budget=BESIDE)
refuse("remat of loops", lambda: jaxnn.remat, {"inner": LSTM, "levels": 2}, "remat", budget=BESIDE)
ACTIVE: dict[str, tuple[Any, dict[str, float]]] = {
    "hard_sigmoid": (jaxnn.activations.hard_sigmoid, {"slope": 0.2, "offset": 0.5}),
    "clip": (jaxnn.activations.clip, {"low": 0, "high": 6}),
    "leaky_relu": (jaxnn.activations.leaky_relu, {"slope": 0.1}),
    "scaled_tanh": (jaxnn.activations.scaled_tanh, {"scale": 1, "slope": 1}),
    "elu": (jaxnn.activations.elu, {"scale": 1}),
    "fast_sigmoid_spike": (jaxnn.activations.fast_sigmoid_spike, {"slope": 2}),
    "arctan_spike": (jaxnn.activations.arctan_spike, {"slope": 2}),
}
for name_, (make_, right_) in ACTIVE.items():
    numbers_: dict[str, Any] = dict.fromkeys(right_, VALUES)
    refuse(name_, lambda make_=make_: make_, right_, **numbers_)
OTHER: Pool = {"below the low one": -1, "the low one": 0}
refuse("clip of nothing", lambda: jaxnn.activations.clip, {"low": 0}, "clip", high=OTHER)
FLAT: Pool = {"zero": 0, "negative": -1.0}
for name_ in ("fast_sigmoid_spike", "arctan_spike"):
    flat_ = functools.partial(getattr, jaxnn.activations, name_)
    refuse(f"a flat {name_}", flat_, {}, name_, slope=FLAT)
