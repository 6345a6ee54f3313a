"""The values of every gated cell's gates: what they say of the step; jit, vmap and grad."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rows import CELLS, assert_close, problem

import jaxnn

STARTS = ("elman", "lstm", "gru", "mgu", "min", "conv", "janet")
GATED = [name for name in CELLS if name.startswith(STARTS) and "projected" not in name]


def new_state(params: Any, state: Any, gates: Any) -> Any:
    """The state after a step, from the one before and the gates alone."""
    if isinstance(gates, jaxnn.LSTMGates):
        c = gates.f * state.cell + gates.i * gates.g
        shown, norm = c, getattr(params, "norm", None)
        if norm is not None:
            scaled = jax.nn.standardize(c, epsilon=1e-5) * norm.cell_gain[None]
            shown = scaled + norm.cell_bias[None]
        return jaxnn.LSTMState(gates.o * jnp.tanh(shown), c)
    if isinstance(gates, jaxnn.GRUGates):
        return jaxnn.GRUState((1 - gates.z) * gates.n + gates.z * state.hidden)
    if isinstance(gates, jaxnn.MGUGates):
        return jaxnn.MGUState((1 - gates.f) * state.hidden + gates.f * gates.n)
    if isinstance(gates, jaxnn.JANETGates):
        return jaxnn.JANETState(gates.f * state.hidden + gates.i * gates.n)
    if isinstance(gates, jaxnn.MinGRUGates):
        return jaxnn.MinGRUState((1 - gates.z) * state.hidden + gates.z * gates.n)
    if isinstance(gates, jaxnn.MinLSTMGates):
        both = gates.f + gates.i
        return jaxnn.MinGRUState((gates.f * state.hidden + gates.i * gates.n) / both)
    return jaxnn.ElmanState(gates.s)


@pytest.mark.parametrize("row", GATED)
def test_the_step_follows_from_the_gates(row: str) -> None:
    p = problem(row)
    gates = jaxnn.gates(p.cell, p.params, p.state, p.xs[0])
    assert_close(
        new_state(p.params, p.state, gates), p.cell.apply(p.params, p.state, p.xs[0])[0], 1e-12
    )


@pytest.mark.parametrize("row", GATED)
def test_jit_vmap_and_grad_go_through(row: str) -> None:
    """Over a whole sequence at once, as for a picture, and as a term of a loss."""
    p = problem(row)
    _, states = jaxnn.output_state(p.cell, len(p.xs.shape) - 2).unroll(p.params, p.xs, p.state)

    def gates(params: Any, state: Any, x: Any) -> Any:
        return jaxnn.gates(p.cell, params, state, x)

    at_once = jax.jit(jax.vmap(gates, (None, 0, 0)))(p.params, states, p.xs)
    one = [gates(p.params, jax.tree.map(lambda s, t=t: s[t], states), p.xs[t]) for t in (0, 4)]
    for got, t in zip(one, (0, 4), strict=True):
        assert_close(jax.tree.map(lambda g, t=t: g[t], at_once), got, 1e-12)

    def closed(params: Any) -> Any:
        return sum(jnp.sum(gate) for gate in gates(params, p.state, p.xs[0]))

    gradient = jax.grad(closed)(p.params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        # Those of the cell state's norm come after the gates.
        after = ".cell_" in jax.tree_util.keystr(path)
        assert (np.abs(leaf).max() > 0) == (not after)


def test_output_state_keeps_the_gates() -> None:
    p = problem("lstm peephole")
    want = jaxnn.gates(p.cell, p.params, p.state, p.xs[0])
    assert_close(jaxnn.gates(jaxnn.output_state(p.cell), p.params, p.state, p.xs[0]), want, 0.0)


def test_gates_have_the_dtype_of_the_state() -> None:
    cell = jaxnn.lstm(3, 4, dtype="bfloat16")
    params = cell.init(jax.random.key(0))
    gates = jaxnn.gates(cell, params, cell.initial_state(params), jnp.ones(3, jnp.bfloat16))
    assert {gate.dtype for gate in gates} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize(
    "make",
    [
        lambda: problem("own").cell,
        lambda: problem("leaky split").cell,
        lambda: jaxnn.stack(jaxnn.lstm(3, 4)),
        lambda: jaxnn.learned_initial_state(jaxnn.lstm(3, 4)),
        lambda: jaxnn.residual(jaxnn.gru(3, 3)),
    ],
    ids=["cell", "split_cell", "stack", "learned_initial_state", "residual"],
)
def test_a_cell_without_gates_says_what_to_do(make: Any) -> None:
    with pytest.raises(TypeError, match=r"gates: cell must be one of .* give one of its parts"):
        jaxnn.gates(make(), None, None, jnp.ones(3))
