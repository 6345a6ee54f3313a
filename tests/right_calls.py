"""Calls that are right, and near enough to wrong ones that a check could refuse them."""

import functools
import itertools
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from refusals import FEATURES, HIDDEN, filled, zeros
from refusals_models import CELLS, LAYERS, LINEAR, OWN, SEQUENCE_LAYERS, SPLIT, given
from wrong_values import KEY, ones

import jaxnn

F, H = FEATURES, HIDDEN
LEGACY: Any = np.array([0, 7], np.uint32)
LSTM, GRU = jaxnn.lstm(F, H), jaxnn.gru(F, H)
HALF = jaxnn.gru(F, H, dtype="float16")


def unrolled(label: str, *shape: int, **more: Any) -> Any:
    """A cell over a sequence, in numpy, and the shape of what it gives."""
    cell, params = given(CELLS[label])
    state, ys = cell.unroll(params, ones(*shape, F), **more)
    for leaf in jax.tree.leaves(ys):
        assert leaf.shape[: len(shape)] == shape
    for leaf in jax.tree.leaves(state):
        assert leaf.shape[: len(shape) - 1] == shape[1:]
    return state, ys


def film() -> Any:
    """Conv layers along the time of a film, with a mask of its steps."""
    model = jaxnn.serial(
        jaxnn.along_time(jaxnn.conv(F, H, (3, 2, 2), padding="same")),
        jaxnn.activation(jax.nn.relu),
        jaxnn.conv(H, H, (2, 2), padding="same"),
        jaxnn.max_pool((2, 2)),
        jaxnn.dropout(0.5),
        jaxnn.layer_norm(H),
        jaxnn.group_norm(H, 2, 3),
        jaxnn.dense(H, 2),
        jaxnn.flatten(3),
    )
    mask = np.array([[True, True], [True, False], [False, False]])
    y = model.apply(filled(model), ones(3, 2, 4, 4, F), mask, KEY)
    assert y.shape == (3, 2, 8)


def layer(label: str, *front: int, **more: Any) -> Any:
    """A layer with so many axes before those of its input."""
    make, x = LAYERS[label]
    model, params = given(make)
    return model.apply(params, np.broadcast_to(x, (*front, *x.shape)), **more)


def with_start(label: str) -> Any:
    """States and starts, the latter without the batch too."""
    cell, params = given(CELLS[label])
    state, single = (zeros(cell.initial_state(params, batch)) for batch in ((2,), ()))
    flags = ones(3, 2, dtype=bool)
    cell.unroll(params, ones(3, 2, F), state, flags, flags, True, None, single)
    cell.unroll(params, ones(3, 2, F), None, None, flags, False, LEGACY, state)


def stepped(label: str, *batch: int) -> Any:
    cell, params = given(CELLS[label])
    state = cell.initial_state(params, tuple(np.int64(size) for size in batch))
    return cell.apply(params, state, ones(*batch, F), KEY)


def sequence_layer(label: str, **more: Any) -> Any:
    model, params = given(SEQUENCE_LAYERS[label])
    return model.unroll(params, ones(2, 2, F), mask=ones(2, 2, dtype=bool), **more)


def own_of_any_dtype() -> Any:
    """Nothing is cast in a cell of one's own, and nothing is asked of its dtypes."""
    for kind, functions in (("cell", OWN), ("split_cell", SPLIT), ("linear_cell", LINEAR)):
        first = lambda params, batch_shape=(): jaxnn.ElmanState(  # noqa: E731
            jnp.zeros((*batch_shape, H), params["kernel"].dtype)
        )
        cell = getattr(jaxnn, kind)(**{**functions, "initial_state": first})
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float16), filled(cell))
        _, ys = cell.unroll(params, ones(2, 2, F, dtype=np.float16))
        assert ys.dtype == jnp.float16


def tokens_in_numpy() -> Any:
    for dtype in (np.uint8, np.int16, np.int64):
        layer_ = jaxnn.embedding(9, H)
        assert layer_.apply(filled(layer_), np.zeros((2, 0), dtype)).shape == (2, 0, H)


def trained() -> Any:
    """A training on arrays of numpy, with a mesh of one device and without."""
    model, optimizer = jaxnn.dense(F, 1), optax.adam(0.1)

    def loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
        x, y = batch
        return *jaxnn.losses.mean_squared_error(model.apply(params, x), y), state

    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("batch",))
    ways: Any = ((), (mesh, (0, 0)))
    for where in ways:
        step = jaxnn.training.train_step(loss, optimizer, *where)
        first = jaxnn.training.train_state(filled(model), optimizer, LEGACY)
        batch = ones(4, F), ones(4, 1)
        result = jaxnn.training.fit(step, first, itertools.repeat(batch), INT64(2), progress=False)
        assert result.stopped == "done"


def saved() -> Any:
    """Any tree of arrays, from and to a path of each kind."""
    with tempfile.TemporaryDirectory() as folder:
        for path in (pathlib.Path(folder) / "a", folder + "/b"):
            tree = {"a": [ones(2), (ones(),)], "b": KEY, "c": ones(0, 3, dtype=np.int8)}
            jaxnn.training.save(path, tree)
            jaxnn.training.load(path, jax.eval_shape(lambda tree: tree, tree))


in_numpy: Any = lambda key, shape, dtype: np.ones(shape, dtype)  # noqa: E731
INT8: Any = np.int8
INT64: Any = np.int64  # integers of numpy count as integers
X = ones(2, 2, F)
FLAGS = ones(2, 2, dtype=bool)
RAGGED = [ones(3, 2), ones(0, 2)]
CALLS: dict[str, Callable[[], Any]] = {
    **{
        f"{label} without a batch": functools.partial(unrolled, label, 2)
        for label in CELLS
        if label not in ("conv_lstm", "conv_gru")
    },
    **{
        f"{label} of two batch axes": functools.partial(unrolled, label, 2, 3, 1)
        for label in ("lstm", "gru", "cell", "stack")
    },
    **{
        f"{label} of no steps": functools.partial(unrolled, label, 0, 2)
        for label in ("lstm", "gru", "cell", "split_cell", "stack", "learned_initial_state")
    },
    **{
        f"{label} of no sequences": functools.partial(unrolled, label, 2, 0)
        for label in ("lstm", "gru", "cell", "stack")
    },
    **{
        f"{label} with states and starts": functools.partial(with_start, label)
        for label in ("lstm", "cell", "split_cell", "stack", "learned_initial_state")
    },
    **{
        f"a step of {label}": functools.partial(stepped, label, 2)
        for label in ("elman", "lstm, coupled", "gru, reset before", "cell", "output_state")
    },
    **{
        f"{label} with a mask": functools.partial(sequence_layer, label)
        for label in SEQUENCE_LAYERS
    },
    **{
        f"{label} of more axes": functools.partial(layer, label, 1, 3)
        for label in LAYERS
        if label != "embedding"
    },
    "a step without a batch": functools.partial(stepped, "lstm"),
    "a typed key": functools.partial(unrolled, "stack", 2, 2, key=KEY),
    "a legacy key": functools.partial(unrolled, "stack", 2, 2, key=LEGACY),
    "a legacy key for init": lambda: LSTM.init(jnp.asarray(LEGACY)),
    "an empty mask": functools.partial(unrolled, "gru", 2, 2, mask=~FLAGS),
    "a film": film,
    "a mask of the batch of images": functools.partial(layer, "conv", mask=ones(2, dtype=bool)),
    "own cells of any dtype": own_of_any_dtype,
    "tokens": tokens_in_numpy,
    "a dropout of nothing": lambda: jaxnn.dropout(0).apply((), X, None, KEY),
    "sizes of numpy": lambda: jaxnn.lstm(INT64(F), INT8(H)),
    "a dtype by its name": lambda: jaxnn.gru(F, H, dtype="bfloat16", param_dtype="float32"),
    "an initialiser in numpy": lambda: jaxnn.dense(F, H, kernel_init=in_numpy).init(KEY),
    "an activation of another size": lambda: jaxnn.activation(lambda x: x[..., :1]).apply((), X),
    "integers through an activation": lambda: jaxnn.activation(abs).apply((), X.astype(int)),
    "a forget bias of an integer": lambda: jaxnn.initializers.forget_bias(jaxnn.LSTM_GATES, 2)(
        KEY, (4, 2), jnp.float32
    ),
    "chrono of an integer": lambda: jaxnn.initializers.chrono(jaxnn.GRU_GATES, 9)(
        KEY, (3, 2), jnp.float32
    ),
    "binary labels of every kind": lambda: [
        jaxnn.losses.binary_cross_entropy(X, X.astype(dtype))
        for dtype in (bool, np.int8, np.float32)
    ],
    "a loss of one sample": lambda: jaxnn.losses.mean_squared_error(ones(1, 3), ones(1, 3)),
    "a loss of no samples": lambda: jaxnn.losses.mean_squared_error(ones(0, 3), ones(0, 3)),
    "labels of 8 bits": lambda: jaxnn.losses.cross_entropy(X, np.zeros((2, 2), np.uint8), FLAGS),
    "wrong labels where masked": lambda: jaxnn.losses.cross_entropy(X, np.full((2, 2), -1), ~FLAGS),
    "a mean of sequences without a mask": lambda: jaxnn.masked_mean(ones(3, 2, 2, 4)),
    "a largest integer": lambda: jaxnn.masked_max(X.astype(np.int32), FLAGS),
    "lengths in a list": lambda: jaxnn.lengths_to_mask([0, 2], 2),
    "one length": lambda: jaxnn.lengths_to_mask(np.int32(2), 2),
    "no lengths": lambda: jaxnn.lengths_to_mask(np.zeros(0, int), 0),
    "a sequence of no steps": lambda: jaxnn.data.pad(RAGGED, INT64(4)),
    "sequences in lists": lambda: jaxnn.data.pad([[1, 2], [3]]),
    "batches by lists": lambda: [*jaxnn.data.batches(RAGGED, [0, 1], 2, (0, 1), [1, 3])],
    "a seed of numpy": lambda: [*jaxnn.data.batches(RAGGED, np.arange(2), INT64(1), INT64(3))],
    "chunks of a tree": lambda: [*jaxnn.data.chunks({"x": ones(3, 2), "y": jnp.ones((3, 2))}, 2)],
    "shapes for parameters": lambda: jaxnn.describe(jax.eval_shape(LSTM.init, KEY)),
    "no parameters": lambda: jaxnn.describe(()),
    "a mask of decay for shapes": lambda: jaxnn.training.decay_mask(jax.eval_shape(LSTM.init, KEY)),
    "specs of shapes": lambda: jaxnn.hidden_partition_specs(
        jax.eval_shape(LSTM.init, KEY), "model"
    ),
    "a training": trained,
    "a file": saved,
    "gates in 16 bits": lambda: jaxnn.gates(
        HALF, filled(HALF), HALF.initial_state(filled(HALF)), ones(F, dtype=np.float16)
    ),
    "a reset by hand": lambda: jaxnn.reset_state(
        GRU,
        filled(GRU),
        GRU.initial_state(filled(GRU), (2,)),
        np.array([True, False]),
        GRU.initial_state(filled(GRU)),
    ),
    "stacked parameters under vmap": lambda: jax.vmap(LSTM.unroll, (0, None))(
        jax.tree.map(lambda leaf: np.stack([leaf] * 2), filled(LSTM)), X
    ),
    "shapes alone": lambda: jax.eval_shape(LSTM.unroll, jax.eval_shape(LSTM.init, KEY), X),
}


def wide(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


USUAL: dict[str, Callable[[], Any]] = {
    "float64 of numpy for a cell": lambda: LSTM.unroll(wide(filled(LSTM)), wide(X)),
    "a state of float64": lambda: GRU.unroll(
        filled(GRU), X, wide(zeros(GRU.initial_state(filled(GRU), (2,))))
    ),
    "float64 for a layer": lambda: jaxnn.dense(F, H).apply(filled(jaxnn.dense(F, H)), wide(X)),
    "float64 for a loss": lambda: jaxnn.losses.mean_squared_error(X, wide(X)),
    "labels of 64 bits": lambda: jaxnn.losses.cross_entropy(
        wide(X), np.zeros((2, 2), np.int64), FLAGS
    ),
    "tokens of 64 bits": lambda: jaxnn.embedding(9, H).apply(
        filled(jaxnn.embedding(9, H)), np.zeros((2, 2), np.int64), FLAGS
    ),
    "lengths of 64 bits": lambda: jaxnn.lengths_to_mask(np.array([0, 2]), 2),
    "a pool of float64": lambda: jaxnn.masked_mean(wide(X), FLAGS),
    "images of float64": lambda: jaxnn.max_pool((2,)).apply((), wide(X)),
    "own cells": lambda: jaxnn.cell(**OWN).unroll(filled(jaxnn.cell(**OWN)), wide(X)),
    "a film": film,
    "a training": trained,
}
