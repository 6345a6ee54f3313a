"""`explain` says by which method a recurrence runs, and what it says is what happens."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from rows import problem
from test_rule import RULED, carries_no_weight, census, gradient

import jaxnn
from jaxnn.recurrence.methods import Choice

KEY = jax.random.key(0)
XS = jnp.ones((6, 2, 4), jnp.float32)


def split(
    combine: Any = lambda w, p, m, s: jnp.tanh(p + m),
    mix: Any = lambda w, s: s @ w,
    output: Any = lambda s: s,
    dtype: Any = jnp.float32,
) -> jaxnn.Cell[Any, Any]:
    return jaxnn.split_cell(
        lambda key: jnp.ones((4, 4), jnp.float32),
        lambda w, x: x,
        mix,
        combine,
        lambda w, batch=(): jnp.zeros((*batch, 4), dtype),
        output,
    )


def shouting(w: Any, p: Any, m: Any, s: Any) -> Any:
    jax.debug.callback(lambda: None)
    return jnp.tanh(p + m)


REFUSED = {
    "a crooked mix": (
        split(mix=lambda w, s: jnp.sin(s @ w)),
        "mix: sin of float32[2, 4] is not linear in the state",
    ),
    "a mix with a bias": (
        split(mix=lambda w, s: s @ w + w[:1]),
        "mix: add of float32[2, 4], float32[1, 4] is not linear in the state",
    ),
    "a state of integers": (
        split(lambda w, p, m, s: s + 1, lambda w, s: s.astype(w.dtype) @ w, dtype=jnp.int32),
        "a leaf of the state is not floating",
    ),
    "an effect": (
        split(shouting),
        "its functions have an effect, which a rule would repeat or leave out",
    ),
}


def only(model: Any, *arguments: Any) -> Choice:
    (choice,) = jaxnn.explain(model, *arguments).choices
    return choice


def test_mixed_units_leave_half_of_the_rule() -> None:
    choice = only(split(lambda w, p, m, s: jnp.tanh(p + m) - s.mean(-1, keepdims=True)), XS)
    assert (choice.values, choice.derivative) == ("whole steps", "whole steps")
    reason = "combine: reduce_sum of float32[2, 4] is not seen to act unit by unit"
    assert choice.refusals["fast"] == reason


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_the_equation(case: str) -> None:
    cell, reason = REFUSED[case]
    choice = only(cell, XS)
    assert (choice.values, choice.derivative) == ("sequential", "sequential")
    assert choice.refusals["fast"] == reason
    assert f"fast: {reason}" in str(jaxnn.explain(cell, XS))


def test_a_step_alone_is_sequential() -> None:
    cell = jaxnn.cell(
        lambda key: jnp.ones((), jnp.float32),
        lambda w, s, x: (s + w * x, s),
        lambda w, batch=(): jnp.zeros((*batch, 4), jnp.float32),
    )
    choice = only(cell, XS)
    assert choice.values == "sequential" and "split_cell" in choice.refusals["fast"]


def test_an_output_that_mixes_sequences_is_refused_under_a_mask_alone() -> None:
    cell, mask = split(output=lambda s: s - s.mean(0, keepdims=True)), jnp.ones((6, 2), bool)
    assert only(cell, XS).values == "fast"
    choice = only(cell, XS, mask)
    assert choice.values == "sequential" and "output" in choice.refusals["fast"]


def test_what_is_closed_over_is_refused() -> None:
    @jax.jit
    def traced(scale: Any) -> Any:
        cell = split(lambda w, p, m, s: jnp.tanh(scale * p + m))
        assert "traced array" in only(cell, XS).refusals["fast"]
        return scale

    traced(jnp.float32(2))


def test_large_sequences_run_in_blocks() -> None:
    large = jax.ShapeDtypeStruct((128, 64, 256), jnp.float32)
    choice = only(jaxnn.lstm(256, 256), large)
    assert (choice.values, choice.derivative) == ("blocks", "fast")
    assert "blocks; fast under a derivative" in str(jaxnn.explain(jaxnn.lstm(256, 256), large))


@pytest.mark.parametrize("row", RULED)
def test_it_agrees_with_the_gradient(row: str) -> None:
    """Rows that the rule takes: the weights' gradients are made after the loops, not in them."""
    p = problem(row)
    choice = only(p.cell, p.xs, p.mask, p.reset)
    assert (choice.values, choice.derivative) == ("fast", "fast"), choice.refusals
    _, loops = census(gradient(p.cell, mask=p.mask), p.params, p.xs, p.state, p.start)
    assert carries_no_weight(p, loops)


def test_it_agrees_with_the_gradient_of_the_scan() -> None:
    p = problem("split with a crooked mix")
    assert only(p.cell, p.xs, p.mask).derivative == "sequential"
    _, loops = census(gradient(p.cell, mask=p.mask), p.params, p.xs, p.state, p.start)
    assert not carries_no_weight(p, loops)


def test_every_recurrence_of_a_model_is_told() -> None:
    model = jaxnn.serial(
        jaxnn.bidirectional(jaxnn.lstm(4, 3)),
        jaxnn.as_layer(jaxnn.stack(jaxnn.gru(6, 3), jaxnn.dense(3, 2))),
    )
    explained = jaxnn.explain(model, XS, jnp.ones((6, 2), bool))
    names = [choice.name for choice in explained.choices]
    assert names == ["lstm(4, 3)", "lstm(4, 3)", "gru(6, 3)"]
    assert str(jaxnn.explain(jaxnn.pool_over_time("mean"), XS)) == "no recurrence runs in it"


def test_nothing_is_computed_and_nothing_stays() -> None:
    """Shapes will do; afterwards the cell runs compiled, as before."""
    cell = jaxnn.lstm(4, 3)
    params = cell.init(KEY)
    before = cell.unroll(params, XS)[1]
    jaxnn.explain(cell, jax.ShapeDtypeStruct(XS.shape, XS.dtype))
    assert (cell.unroll(params, XS)[1] == before).all()


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((jaxnn.dense(4, 2), XS), TypeError, "model must be a Cell or a SequenceLayer"),
        ((jaxnn.lstm(4, 3), [1.0]), TypeError, "xs must be an array"),
        ((jaxnn.lstm(4, 3), XS, [True]), TypeError, "mask must be an array or a shape"),
        ((jaxnn.lstm(5, 3), XS), ValueError, "must have 5 features"),
    ],
)
def test_errors(arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        jaxnn.explain(*arguments)
