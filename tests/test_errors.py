"""Bad input gets a clear error, when traced, that names the cell and the argument."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn

KEY = jax.random.key(0)
TIME, BATCH, FEATURES, HIDDEN = 5, 2, 3, 4
LSTM = jaxnn.lstm(FEATURES, HIDDEN)
PARAMS = LSTM.init(KEY)
XS = jnp.ones((TIME, BATCH, FEATURES), jnp.float32)


def ones(*shape: int, dtype: Any = jnp.float32) -> jax.Array:
    return jnp.ones(shape, dtype)


def unroll(*args: Any, **kwargs: Any) -> Callable[[], Any]:
    return functools.partial(LSTM.unroll, PARAMS, *args, **kwargs)


def run(cell: Any, xs: Any = XS, **kwargs: Any) -> Any:
    return cell.unroll(cell.init(KEY), xs, **kwargs)


def narrowing(params: Any, state: Any, x: Any) -> Any:
    """A user's step that loses precision."""
    return state.astype(jnp.bfloat16), x


def own(apply: Any, initial_state: Any = None) -> jaxnn.Cell:
    """A user's cell without parameters."""

    def zeros(params: Any, batch_shape: tuple[int, ...] = ()) -> Any:
        return jnp.zeros((*batch_shape, FEATURES), jnp.float32)

    return jaxnn.cell(lambda key: (), apply, initial_state or zeros)


NARROWING = jaxnn.cell(
    lambda key: (), narrowing, lambda params, batch_shape=(): ones(*batch_shape, FEATURES)
)


class LSTMState(NamedTuple):
    """The state of somebody else's cell."""

    hidden: Any
    cell: Any


class LSTMParams(NamedTuple):
    """Somebody else's parameters."""

    input_kernel: Any
    recurrent_kernel: Any
    bias: Any
    peephole: Any
    projection: Any
    norm: Any


class BidirectionalParams(NamedTuple):
    """Of two cells, but not ours."""

    forward: Any
    backward: Any


FOREIGN: Any = (LSTMState, LSTMParams, BidirectionalParams)
BOTH_WAYS: Any = jaxnn.bidirectional

CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "features that do not match": (
        unroll(ones(TIME, BATCH, 7)),
        ValueError,
        ["lstm(3, 4)", "xs must have 3 features", "got 7"],
    ),
    "features that do not match, one step": (
        lambda: LSTM.apply(PARAMS, LSTM.initial_state(PARAMS), ones(7)),
        ValueError,
        ["lstm(3, 4)", "x must have 3 features", "got 7"],
    ),
    "features in another place": (
        unroll(ones(TIME, FEATURES, BATCH)),
        ValueError,
        ["axis 1 has 3", "features come last", "jnp.moveaxis(xs, 1, -1)"],
    ),
    "batch-major by its mask": (
        unroll(ones(BATCH, TIME, FEATURES), mask=ones(TIME, BATCH, dtype=bool)),
        ValueError,
        ["mask must have the shape (2, 5)", "batch-major", "time-major", "xs.swapaxes(0, 1)"],
    ),
    "batch-major by its state": (
        unroll(ones(BATCH, TIME, FEATURES), state=LSTM.initial_state(PARAMS, (BATCH,))),
        ValueError,
        ["state.hidden", "time-major", "xs.swapaxes(0, 1)"],
    ),
    "a mask of integers": (
        unroll(XS, mask=ones(TIME, BATCH, dtype=jnp.int32)),
        TypeError,
        ["lstm(3, 4)", "mask must be boolean, got int32", "astype(bool)", "lengths_to_mask"],
    ),
    "a mask of floats": (
        unroll(XS, mask=ones(TIME, BATCH)),
        TypeError,
        ["mask must be boolean, got float32"],
    ),
    "a mask that is too short": (
        unroll(XS, mask=ones(TIME - 1, BATCH, dtype=bool)),
        ValueError,
        ["mask must have the shape (5, 2)", "got (4, 2)"],
    ),
    "a mask with features": (
        unroll(XS, mask=ones(TIME, BATCH, 1, dtype=bool)),
        ValueError,
        ["got (5, 2, 1)", "use mask[..., 0]"],
    ),
    "a mask that is no array": (unroll(XS, mask=[True] * TIME), TypeError, ["mask", "list"]),
    "a reset of another batch": (
        unroll(XS, reset=ones(TIME, 3, dtype=bool)),
        ValueError,
        ["reset must have the shape (5, 2)", "got (5, 3)"],
    ),
    "a reset of integers": (
        unroll(XS, reset=ones(TIME, BATCH, dtype=jnp.int32)),
        TypeError,
        ["reset must be boolean"],
    ),
    "a state of another cell": (
        unroll(XS, state=jaxnn.GRUState(ones(BATCH, HIDDEN))),
        TypeError,
        ["lstm(3, 4)", "state must be LSTMState(hidden, cell)", "got GRUState(hidden)"],
    ),
    "a state of another batch": (
        unroll(XS, state=LSTM.initial_state(PARAMS, (3,))),
        ValueError,
        ["state.hidden must have the shape (2, 4)", "got (3, 4)"],
    ),
    "a state without a batch": (
        unroll(XS, state=LSTM.initial_state(PARAMS)),
        ValueError,
        ["got (4,)", "initial_state(params, (2,)) makes one"],
    ),
    "a sequence for one step": (
        lambda: LSTM.apply(PARAMS, LSTM.initial_state(PARAMS, (BATCH,)), XS),
        ValueError,
        ["got (2, 4)", "unroll runs a sequence"],
    ),
    "a state of another dtype": (
        unroll(XS, state=jaxnn.LSTMState(*[ones(BATCH, HIDDEN, dtype=jnp.float16)] * 2)),
        TypeError,
        ["state.hidden must be float32, got float16"],
    ),
    "a start of another batch": (
        unroll(XS, start=LSTM.initial_state(PARAMS, (3,))),
        ValueError,
        ["start.hidden must have the shape (2, 4)"],
    ),
    "integer inputs": (
        unroll(ones(TIME, BATCH, FEATURES, dtype=jnp.int32)),
        TypeError,
        ["lstm(3, 4)", "xs must be float32, got int32", "astype('float32')"],
    ),
    "inputs of another dtype": (
        unroll(ones(TIME, BATCH, FEATURES, dtype=jnp.bfloat16)),
        TypeError,
        ["xs must be float32, got bfloat16", "dtype='bfloat16'"],
    ),
    "inputs that are no array": (unroll([1.0, 2.0]), TypeError, ["xs must be an array, got list"]),
    "too few dimensions": (
        unroll(ones(FEATURES)),
        ValueError,
        ["xs must be (time, *batch, features)", "apply runs one step"],
    ),
    "params of another cell": (
        lambda: LSTM.unroll(jaxnn.gru(FEATURES, HIDDEN).init(KEY), XS),  # pyright: ignore[reportArgumentType]
        TypeError,
        ["lstm(3, 4)", "params must be LSTMParams", "got GRUParams"],
    ),
    "a key that is none": (unroll(XS, key=0), TypeError, ["key must be one key", "got int"]),
    "init without a key": (
        lambda: LSTM.init(0),  # pyright: ignore[reportArgumentType]
        TypeError,
        ["key must be one key of jax.random.key(seed)"],
    ),
    "a batch shape that is no tuple": (
        lambda: LSTM.initial_state(PARAMS, 3),  # pyright: ignore[reportArgumentType]
        TypeError,
        ["batch_shape must be a tuple of sizes, such as (8,), got 3"],
    ),
    "a traced reverse": (
        lambda: jax.jit(LSTM.unroll)(PARAMS, XS, reverse=True),
        TypeError,
        ["lstm(3, 4).unroll", "reverse must be known", "static_argnames"],
    ),
    "a reverse that is a number": (unroll(XS, reverse=1), TypeError, ["reverse must be True or"]),
    "an unknown option": (
        lambda: jaxnn.lstm(3, 4, peephol=True),  # pyright: ignore[reportCallIssue]
        TypeError,
        ["lstm", "peephol", "it takes input_size, hidden_size, peephole, coupled"],
    ),
    "an option that is no boolean": (
        lambda: jaxnn.lstm(3, 4, peephole=1),  # pyright: ignore[reportArgumentType]
        TypeError,
        ["lstm: peephole must be True or False, got 1"],
    ),
    "an unknown bias": (
        lambda: jaxnn.dense(2, 3, bias="both"),
        ValueError,
        ["dense: bias must be one of True, False, 'shared'; got 'both'"],
    ),
    "an initialiser for no bias": (
        lambda: jaxnn.lstm(3, 4, bias=False, bias_init=jax.nn.initializers.ones),
        ValueError,
        ["bias_init is given, but bias=False"],
    ),
    "a dtype that is not floating": (
        lambda: jaxnn.gru(3, 4, dtype=int),
        TypeError,
        ["gru: dtype must be a floating dtype"],
    ),
    "an argument that cannot be hashed": (
        lambda: jaxnn.mlp([2, 3]),  # pyright: ignore[reportArgumentType]
        TypeError,
        ["mlp: sizes must be hashable", "use a tuple"],
    ),
    "a stack whose sizes do not meet": (
        lambda: run(jaxnn.stack(LSTM, jaxnn.gru(5, 6))),
        ValueError,
        ["part 1, gru(5, 6), on top of part 0, lstm(3, 4)", "must have 5 features, got 4"],
    ),
    "a stack whose sizes do not meet, one step": (
        lambda: (lambda s, p: s.apply(p, s.initial_state(p), ones(FEATURES)))(
            jaxnn.stack(LSTM, jaxnn.dense(5, 6)), jaxnn.stack(LSTM, jaxnn.dense(5, 6)).init(KEY)
        ),
        ValueError,
        ["part 1, dense(5, 6), on top of part 0, lstm(3, 4)"],
    ),
    "a stack of nothing": (lambda: jaxnn.stack(), ValueError, ["at least one cell"]),
    "a stack with too few states": (
        lambda: run(jaxnn.stack(LSTM, jaxnn.gru(4, 4)), state=(None,)),
        ValueError,
        ["stack(lstm(3, 4), gru(4, 4))", "state must be a tuple of 2", "got 1"],
    ),
    "a layer over sequences in a stack": (
        lambda: jaxnn.stack(jaxnn.bidirectional(LSTM)),  # pyright: ignore[reportArgumentType]
        TypeError,
        ["part 0", "bidirectional(lstm(3, 4), lstm(3, 4))", "use serial"],
    ),
    "a cell in a serial": (
        lambda: jaxnn.serial(LSTM),  # pyright: ignore[reportCallIssue, reportArgumentType]
        TypeError,
        ["part 0 must be a Layer, got lstm(3, 4)", "jaxnn.as_layer(cell)"],
    ),
    "a layer as a cell": (
        lambda: jaxnn.as_layer(jaxnn.dense(2, 3)),  # pyright: ignore[reportArgumentType]
        TypeError,
        ["as_layer: cell must be a Cell, got dense(2, 3)"],
    ),
    "a merge that needs equal sizes": (
        lambda: run(jaxnn.bidirectional(LSTM, jaxnn.lstm(3, 5), merge="sum")),
        ValueError,
        ["bidirectional(lstm(3, 4), lstm(3, 5), merge='sum')", "equal sizes", "float32[5, 2, 5]"],
    ),
    "an unknown merge": (
        lambda: jaxnn.bidirectional(LSTM, merge="add"),
        ValueError,
        ["merge must be one of 'concat', 'sum', 'mean', 'product' or a function", "got 'add'"],
    ),
    "a residual of unequal sizes": (
        lambda: run(jaxnn.residual(LSTM)),
        ValueError,
        ["residual(lstm(3, 4))", "float32[5, 2, 3]", "float32[5, 2, 4]"],
    ),
    "a step that changes its state": (
        lambda: run(NARROWING),
        TypeError,
        ["narrowing", "the new state must be float32, got bfloat16"],
    ),
    "a step without an output": (
        lambda: run(own(lambda params, state, x: state)),
        TypeError,
        ["apply must give (state, y), got float32[2, 3]"],
    ),
    "an output without the batch": (
        lambda: run(own(lambda params, state, x: (state, jnp.sum(x)))),
        ValueError,
        ["y must begin with the batch (2,), got the shape ()"],
    ),
    "an initial state without the batch": (
        lambda: run(
            own(lambda params, state, x: (state, x), lambda params, batch_shape=(): ones(1))
        ),
        ValueError,
        ["initial_state(params, (2,)) must begin with the batch (2,), got the shape (1,)"],
    ),
    "a step of other arguments": (
        lambda: jaxnn.cell(lambda key: (), lambda params: params, LSTM.initial_state),
        TypeError,
        ["cell: apply must take (params, state, x, key=None)"],
    ),
    "a layer that changes the number of steps": (
        lambda: jaxnn.serial(jaxnn.activation(lambda x: x[::2])).apply(
            ((),), XS, ones(TIME, BATCH, dtype=bool)
        ),
        ValueError,
        ["changes the number of steps, from (5, 2) to (3, 2)", "cannot be given a mask"],
    ),
    "a layer in a stack that changes the number of steps": (
        lambda: run(jaxnn.stack(jaxnn.activation(lambda x: x[::2]))),
        ValueError,
        ["changes the number of steps, from 5 to 3", "use serial"],
    ),
    "a list of cells": (
        lambda: jaxnn.stack([LSTM]),  # type: ignore[arg-type]
        TypeError,
        ["stack: cells must be hashable", "got list: use stack(*cells)"],
    ),
    "a dtype that is none": (
        lambda: jaxnn.lstm(3, 4, dtype="float23"),
        TypeError,
        ["lstm: dtype must be a dtype, got 'float23'"],
    ),
    "no key for a cell": (
        lambda: LSTM.init(None),  # type: ignore[arg-type]
        TypeError,
        ["lstm(3, 4).init: key must be one key of jax.random.key(seed), got None"],
    ),
    "no key for a stack": (
        lambda: jaxnn.stack(LSTM).init(None),  # type: ignore[arg-type]
        TypeError,
        ["stack.init: key must be one key", "got None"],
    ),
    "no key for a layer": (
        lambda: jaxnn.dense(3, 4).init(None),  # type: ignore[arg-type]
        TypeError,
        ["dense(3, 4).init: key must be one key", "got None"],
    ),
    "a first state from the params of a layer": (
        lambda: LSTM.initial_state(jaxnn.dense(3, 4).init(KEY)),  # pyright: ignore[reportArgumentType]
        TypeError,
        ["lstm(3, 4).initial_state: params must be LSTMParams", "got DenseParams"],
    ),
    "a residual around a whole state": (
        lambda: run(jaxnn.residual(jaxnn.output_state(jaxnn.gru(3, 3)))),
        TypeError,
        ["residual(output_state(gru(3, 3)))", "to be added to it; got GRUState(hidden)"],
    ),
    "a merge of different states": (
        lambda: run(BOTH_WAYS(jaxnn.output_state(LSTM), jaxnn.output_state(jaxnn.gru(3, 4)))),
        TypeError,
        ["needs outputs of one structure, got LSTMState(hidden, cell) and GRUState(hidden)"],
    ),
    "a merge of whole states of other sizes": (
        lambda: run(BOTH_WAYS(*(jaxnn.output_state(jaxnn.gru(3, size)) for size in (4, 5)), "sum")),
        ValueError,
        ["merge='sum' needs outputs of equal sizes", "float32[5, 2, 5]"],
    ),
    "outputs without features, joined": (
        lambda: run(
            jaxnn.bidirectional(
                own(
                    lambda params, state, x: (state + 1, state + 1),
                    lambda params, batch_shape=(): jnp.zeros(batch_shape, jnp.float32),
                )
            )
        ),
        ValueError,
        ["merge='concat' needs outputs with features", "float32[5, 2]"],
    ),
    "an option where the key belongs": (
        lambda: own(lambda params, state, x, scale=2.0: (state, x)),
        TypeError,
        ["cell: the fourth argument of apply is the key", "got 'scale'", "functools.partial"],
    ),
    "a state of the same name": (
        lambda: LSTM.apply(PARAMS, FOREIGN[0](*LSTM.initial_state(PARAMS)), ones(FEATURES)),
        TypeError,
        ["must be jaxnn.cells.lstm.LSTMState, as", "got test_errors.LSTMState"],
    ),
    "a state of the same name in a stack": (
        lambda: jaxnn.bidirectional(LSTM).unroll(
            jaxnn.BidirectionalParams(PARAMS, FOREIGN[1](*PARAMS)), XS
        ),
        TypeError,
        ["must be jaxnn.cells.lstm.LSTMParams, as", "got test_errors.LSTMParams"],
    ),
    "params of the same name": (
        lambda: jaxnn.bidirectional(LSTM).unroll(FOREIGN[2](PARAMS, PARAMS), XS),
        TypeError,
        [
            "must be jaxnn.transforms.bidirectional.BidirectionalParams, as",
            "got test_errors.BidirectionalParams",
        ],
    ),
    "params of the same name inside of a cell of one's own": (
        lambda: jaxnn.cell(
            lambda key: {"inner": PARAMS},
            lambda params, state, x: (state, x),
            lambda params, batch_shape=(): (),
        ).initial_state({"inner": FOREIGN[1](*PARAMS)}),
        TypeError,
        [
            "params must be dict of (inner) with ['inner'] jaxnn.cells.lstm.LSTMParams",
            "got dict of (inner) with ['inner'] test_errors.LSTMParams",
        ],
    ),
    "lengths beyond the time": (
        lambda: jaxnn.lengths_to_mask(jnp.array([1, 9]), TIME),
        ValueError,
        ["lengths must lie in 0…5, got 9"],
    ),
    "negative lengths": (
        lambda: jaxnn.lengths_to_mask(np.array([-1, 2]), TIME),
        ValueError,
        ["lengths must lie in 0…5, got -1"],
    ),
    "lengths that are not integers": (
        lambda: jaxnn.lengths_to_mask(ones(2), TIME),
        TypeError,
        ["lengths must be integers, got float32"],
    ),
    "labels outside the classes": (
        lambda: jaxnn.losses.cross_entropy(ones(2, 3), jnp.array([0, 3])),
        ValueError,
        ["cross_entropy: labels must lie in 0…2, got 3"],
    ),
    "labels of another shape": (
        lambda: jaxnn.losses.accuracy(ones(2, 3), jnp.array([0])),
        ValueError,
        ["accuracy: labels must have the shape (2,)", "got (1,)"],
    ),
    "binary labels outside [0, 1]": (
        lambda: jaxnn.losses.binary_cross_entropy(ones(1, 2), jnp.array([[0, 2]])),
        ValueError,
        ["labels must lie in [0, 1], got 2"],
    ),
    "targets of another shape": (
        lambda: jaxnn.losses.mean_squared_error(ones(2, 3), ones(2, 1)),
        ValueError,
        ["targets must have the shape of the predictions, (2, 3), got (2, 1)"],
    ),
    "a token outside the vocabulary": (
        lambda: jaxnn.embedding(10, 2).apply(jaxnn.embedding(10, 2).init(KEY), jnp.array([3, 11])),
        ValueError,
        ["embedding(10, 2): tokens must lie in 0…9, got 11"],
    ),
    "a dropout of everything": (
        lambda: jaxnn.dropout(1.0),
        ValueError,
        ["dropout: rate must be at least 0 and below 1, got 1.0"],
    ),
    "an empty data set": (
        lambda: jaxnn.data.batches([], [], 4),
        ValueError,
        ["batches: sequences must hold at least one sequence"],
    ),
    "a batch size of 0": (
        lambda: jaxnn.data.batches([np.ones((2, 1))], [0], 0),
        ValueError,
        ["batches: batch_size must be a positive integer, got 0"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_error(case: str) -> None:
    call, kind, texts = CASES[case]
    with pytest.raises(kind) as caught:
        call()
    assert caught.type is kind
    missing = [text for text in texts if text not in str(caught.value)]
    assert not missing, f"{missing} in {str(caught.value)!r}"


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "3", None])
@pytest.mark.parametrize("make", [jaxnn.lstm, jaxnn.gru, jaxnn.elman, jaxnn.dense])
def test_a_size_is_a_positive_integer(make: Callable[..., Any], size: Any) -> None:
    for arguments in ((size, 4), (3, size)):
        with pytest.raises((ValueError, TypeError), match=r"_size must be a positive integer, got"):
            make(*arguments)
    assert repr(make(np.int64(3), 4)) == repr(make(3, 4))


def test_float64_without_x64() -> None:
    """Nothing is truncated in silence: float64 has to be enabled."""
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(ValueError, match="jax_enable_x64"):
            jaxnn.lstm(7, 5, dtype="float64")
    finally:
        jax.config.update("jax_enable_x64", True)


def test_errors_come_before_any_arithmetic() -> None:
    """Shapes alone raise them: the values need not exist."""
    with pytest.raises(ValueError, match="3 features"):
        jax.eval_shape(LSTM.unroll, PARAMS, jax.ShapeDtypeStruct((TIME, BATCH, 7), jnp.float32))
