"""What an editor knows: pyright reads this file, and nothing runs it.

The types say which params and state a cell takes. Each wrong line is marked, and a mark that
pyright does not need is an error too: CI fails where a wrong line is no longer seen to be wrong.
"""
# pyright: reportUnnecessaryTypeIgnoreComment=error

from typing import assert_type

import jax
import jax.numpy as jnp

import jaxnn

KEY, XS = jax.random.key(0), jnp.ones((5, 2, 3))
LSTM, GRU, DENSE = jaxnn.lstm(3, 4), jaxnn.gru(3, 4), jaxnn.dense(3, 4)


def right() -> None:
    assert_type(LSTM, jaxnn.Cell[jaxnn.LSTMParams, jaxnn.LSTMState])
    assert_type(DENSE, jaxnn.Layer[jaxnn.DenseParams])
    params = LSTM.init(KEY)
    assert_type(params, jaxnn.LSTMParams)
    state, _ = LSTM.unroll(params, XS)
    assert_type(state, jaxnn.LSTMState)
    assert_type(LSTM.initial_state(params, (2,)), jaxnn.LSTMState)
    assert_type(jaxnn.reset_state(LSTM, params, state, jnp.ones(2, bool)), jaxnn.LSTMState)
    both = jaxnn.bidirectional(LSTM, GRU)
    assert_type(both.init(KEY), jaxnn.BidirectionalParams[jaxnn.LSTMParams, jaxnn.GRUParams])
    (forward, backward), _ = both.unroll(both.init(KEY), XS)
    assert_type(forward, jaxnn.LSTMState)
    assert_type(backward, jaxnn.GRUState)
    alike = jaxnn.bidirectional(GRU)
    assert_type(alike.init(KEY), jaxnn.BidirectionalParams[jaxnn.GRUParams, jaxnn.GRUParams])
    learned = jaxnn.learned_initial_state(LSTM)
    assert_type(learned.init(KEY).start, jaxnn.LSTMState)
    assert_type(jaxnn.output_state(GRU), jaxnn.Cell[jaxnn.GRUParams, jaxnn.GRUState])
    assert_type(jaxnn.residual(GRU), jaxnn.Cell[jaxnn.GRUParams, jaxnn.GRUState])
    assert_type(jaxnn.as_layer(GRU).init(KEY), jaxnn.GRUParams)
    assert_type(jaxnn.remat(GRU), jaxnn.Cell[jaxnn.GRUParams, jaxnn.GRUState])
    assert_type(jaxnn.remat(jaxnn.as_layer(GRU), 2).init(KEY), jaxnn.GRUParams)


def wrong() -> None:
    params, state = LSTM.init(KEY), LSTM.initial_state(LSTM.init(KEY))
    GRU.unroll(params, XS)  # pyright: ignore[reportArgumentType]
    GRU.unroll(GRU.init(KEY), XS, state)  # pyright: ignore[reportArgumentType]
    GRU.apply(GRU.init(KEY), state, XS[0])  # pyright: ignore[reportArgumentType]
    GRU.initial_state(params)  # pyright: ignore[reportArgumentType]
    DENSE.apply(params, XS)  # pyright: ignore[reportArgumentType]
    LSTM.unroll({"params": params}, XS)  # pyright: ignore[reportArgumentType]
    jaxnn.bidirectional(LSTM).apply(params, XS)  # pyright: ignore[reportArgumentType]
    jaxnn.learned_initial_state(LSTM).unroll(params, XS)  # pyright: ignore[reportArgumentType]
    jaxnn.as_layer(GRU).unroll(params, XS)  # pyright: ignore[reportArgumentType]
    jaxnn.reset_state(GRU, params, state, XS > 0)  # pyright: ignore[reportArgumentType]
    jaxnn.gru(3, 4, reset_before=True)  # pyright: ignore[reportCallIssue]
    jaxnn.gru(3, 4, dtype=16)  # pyright: ignore[reportArgumentType]
    jaxnn.conv(3, 4, 5)  # pyright: ignore[reportArgumentType]
    jaxnn.max_pool((2,), padding="full")  # pyright: ignore[reportArgumentType]
