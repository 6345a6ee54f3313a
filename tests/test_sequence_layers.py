"""Layers over sequences against the oracle: two loops, masks, resets, states, starts, gradients."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rows import Problem, assert_close, pad_with_nan, problem, with_gradients

import jaxnn

FORWARD, BACKWARD = "lstm peephole", "learned in stack in residual"


def problems() -> tuple[Problem, Problem]:
    """Two cells that share a sequence with NaN in its padding."""
    first, second = problem(FORWARD), problem(BACKWARD)
    xs = pad_with_nan(first.xs, first.mask)
    return first._replace(xs=xs), second._replace(xs=xs, mask=first.mask, reset=first.reset)


def loop(p: Problem, reverse: bool, params: Any, xs: Any, state: Any, start: Any) -> Any:
    return p.oracle(params, xs, state, p.mask, p.reset, reverse, start)


def both(one: Any, other: Any) -> tuple[Any, Any]:
    return one, other


def product(left: jax.Array, right: jax.Array) -> jax.Array:
    """A merge of the user's own, which is not zero where its inputs are."""
    return left[..., :1] * right + 1


def merged(merge: Any, left: Any, right: Any, mask: np.ndarray) -> Any:
    if merge == "concat":
        return jnp.concatenate([left, right], -1)
    ys = product(left, right)
    return jnp.where(mask[..., None], ys, jnp.zeros_like(ys))


@pytest.mark.parametrize("merge", ["concat", product])
def test_bidirectional_is_two_loops(merge: Any) -> None:
    a, b = problems()
    layer = jaxnn.bidirectional(a.cell, b.cell, merge)

    def library(pa: Any, pb: Any, xs: Any, states: Any, starts: Any) -> Any:
        params = jaxnn.BidirectionalParams(pa, pb)
        return layer.unroll(params, xs, states, a.mask, a.reset, None, starts)

    def by_hand(pa: Any, pb: Any, xs: Any, states: Any, starts: Any) -> Any:
        last, left = loop(a, False, pa, xs, states[0], starts[0])
        first, right = loop(b, True, pb, xs, states[1], starts[1])
        return (last, first), merged(merge, left, right, a.mask)

    states, starts = both(a.state, b.state), both(a.start, b.start)
    arguments = (a.params, b.params, a.xs, states, starts)
    assert_close(with_gradients(library, *arguments), with_gradients(by_hand, *arguments))


def test_bidirectional_apply_starts_from_the_cells_own_states() -> None:
    a, b = problems()
    layer = jaxnn.bidirectional(a.cell, b.cell)
    ys = layer.apply(jaxnn.BidirectionalParams(a.params, b.params), a.xs, a.mask)
    _, left = a.oracle(a.params, a.xs, None, a.mask)
    _, right = b.oracle(b.params, b.xs, None, b.mask, None, True)
    assert_close(ys, jnp.concatenate([left, right], -1))


@pytest.mark.parametrize("reverse", [False, True])
def test_recurrent_is_the_loop(reverse: bool) -> None:
    _, p = problems()
    layer = jaxnn.as_layer(p.cell, reverse)

    def library(params: Any, xs: Any, state: Any, start: Any) -> Any:
        return layer.unroll(params, xs, state, p.mask, p.reset, None, start)

    def by_hand(*arguments: Any) -> Any:
        return loop(p, reverse, *arguments)

    arguments = p.arguments()
    assert_close(with_gradients(library, *arguments), with_gradients(by_hand, *arguments))


def test_serial_of_a_dense_and_both_directions() -> None:
    """The dense layer before the cells meets NaN in the padding first, and stays finite."""
    a, b = problems()
    below = jaxnn.dense(3, 3, dtype=jnp.float64)
    model = jaxnn.serial(
        below, jaxnn.residual(jaxnn.as_layer(b.cell)), jaxnn.as_layer(a.cell, True)
    )
    dense = below.init(jax.random.key(1))
    dense = dense._replace(bias=dense.bias + 1)  # pyright: ignore[reportOptionalOperand]

    def library(dense: Any, pa: Any, pb: Any, xs: Any, sa: Any, sb: Any) -> Any:
        (_, last, first), ys = model.unroll(
            (dense, pb, pa), xs, ((), sb, sa), a.mask, a.reset, None, ((), b.start, a.start)
        )
        return last, first, ys

    def by_hand(dense: Any, pa: Any, pb: Any, xs: Any, sa: Any, sb: Any) -> Any:
        mask = a.mask[..., None]
        xs = jnp.where(mask, xs, jnp.zeros_like(xs)) @ dense.kernel + dense.bias[None, None]
        last, ys = loop(b, False, pb, xs, sb, b.start)
        ys = ys + jnp.where(mask, xs, jnp.zeros_like(xs))
        first, ys = loop(a, True, pa, ys, sa, a.start)
        return last, first, ys

    arguments = (dense, a.params, b.params, a.xs, a.state, b.state)
    got = with_gradients(library, *arguments)
    assert_close(got, with_gradients(by_hand, *arguments))
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(got))


def test_parallel_runs_each_on_the_same_sequence() -> None:
    a, b = problems()
    model = jaxnn.parallel(jaxnn.as_layer(a.cell), jaxnn.as_layer(b.cell, True))

    def library(pa: Any, pb: Any, xs: Any) -> Any:
        return model.unroll((pa, pb), xs, (a.state, b.state), a.mask, a.reset)

    def by_hand(pa: Any, pb: Any, xs: Any) -> Any:
        last, left = loop(a, False, pa, xs, a.state, None)
        first, right = loop(b, True, pb, xs, b.state, None)
        return (last, first), jnp.concatenate([left, right], -1)

    arguments = (a.params, b.params, a.xs)
    assert_close(with_gradients(library, *arguments), with_gradients(by_hand, *arguments))


@pytest.mark.parametrize("flags", ["", "mask", "reset", "mask reset"])
@pytest.mark.parametrize("row", ["lstm peephole", "gru", "gru reset before"])
def test_two_equal_directions_are_two_loops(row: str, flags: str) -> None:
    """Each from its own end, with parameters, states and starts of its own."""
    p = problem(row)
    layer = jaxnn.bidirectional(p.cell)
    other = jax.tree.map(lambda leaf: leaf * 0.7, p.params)
    options = {name: getattr(p, name) for name in flags.split()}

    def library(pa: Any, pb: Any, xs: Any, states: Any, starts: Any) -> Any:
        params = jaxnn.BidirectionalParams(pa, pb)
        return layer.unroll(params, xs, states, **options, start=starts)

    def by_hand(pa: Any, pb: Any, xs: Any, states: Any, starts: Any) -> Any:
        last, left = p.oracle(pa, xs, states[0], start=starts[0], **options)
        first, right = p.oracle(pb, xs, states[1], reverse=True, start=starts[1], **options)
        return (last, first), jnp.concatenate([left, right], -1)

    arguments = (p.params, other, p.xs, both(p.state, p.start), both(p.start, p.state))
    assert_close(with_gradients(library, *arguments), with_gradients(by_hand, *arguments))


def test_the_notes_deep_bidirectional_formula() -> None:
    """Both directions of a layer read the forward states below; the lower backward ones are idle.

    What is left is a forward network with a bidirectional layer on top: against two loops.
    """
    lower, upper = jaxnn.elman(2, 3, dtype=jnp.float64), jaxnn.elman(3, 3, dtype=jnp.float64)
    model = jaxnn.serial(jaxnn.as_layer(lower), jaxnn.bidirectional(upper))
    params = model.init(jax.random.key(0))
    xs = jax.random.normal(jax.random.key(1), (5, 2), jnp.float64)

    def states(p: Any, below: Any, steps: Any) -> Any:
        s, found = jnp.zeros(3, jnp.float64), {}
        for t in steps:
            s = jnp.tanh(below[t] @ p.input_kernel[:, 0] + s @ p.recurrent_kernel[:, 0] + p.bias[0])
            found[t] = s
        return jnp.stack([found[t] for t in range(5)])

    below = states(params[0], xs, range(5))
    forward = states(params[1].forward, below, range(5))
    backward = states(params[1].backward, below, reversed(range(5)))
    expected = jnp.concatenate([forward, backward], axis=-1)
    np.testing.assert_allclose(model.apply(params, xs), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "model",
    [
        jaxnn.dense(3, 3),
        jaxnn.dropout(0.5),
        jaxnn.activation(jnp.tanh),
        jaxnn.layer_norm(3),
        jaxnn.serial(jaxnn.activation(jnp.tanh), jaxnn.dropout(0.5)),
        jaxnn.serial(jaxnn.dense(3, 3), jaxnn.as_layer(jaxnn.gru(3, 3))),
        jaxnn.parallel(jaxnn.activation(jnp.tanh), jaxnn.dropout(0.5)),
        jaxnn.residual(jaxnn.dense(3, 3)),
        jaxnn.bidirectional(jaxnn.gru(3, 3)),
        jaxnn.pool_over_time("mean"),
    ],
    ids=repr,
)
def test_a_mask_covers_time_and_batch_and_nothing_else(model: Any) -> None:
    """Where both have one length, a mask of one of them could mean either."""
    params, xs = model.init(jax.random.key(0)), jnp.ones((4, 4, 3), jnp.float32)
    model.apply(params, xs, jnp.ones((4, 4), bool))
    for shape in ((), (4,), (4, 4, 3), (4, 4, 1), (1, 4), (4, 3)):
        with pytest.raises(ValueError, match="mask must have the shape"):
            model.apply(params, xs, jnp.ones(shape, bool))


def test_a_mask_of_films_reaches_every_layer() -> None:
    """It covers (time, batch), and the layers see (time, batch, height, width, features)."""
    model = jaxnn.serial(
        jaxnn.activation(jnp.tanh),
        jaxnn.along_time(jaxnn.conv(2, 3, (3, 3, 3), padding="same")),
        jaxnn.layer_norm(3),
        jaxnn.dense(3, 4),
        jaxnn.max_pool((2, 2)),
        jaxnn.as_layer(jaxnn.gru(4, 4)),
        jaxnn.flatten(3),
        jaxnn.pool_over_time("mean"),
    )
    params, rng = model.init(jax.random.key(0)), np.random.default_rng(0)
    xs = jnp.asarray(rng.normal(size=(4, 4, 4, 4, 2)), jnp.float32)
    mask = np.asarray(jaxnn.lengths_to_mask(jnp.array([4, 2, 0, 3]), 4))
    broken = jnp.where(mask[:, :, None, None, None], xs, jnp.nan)
    y = model.apply(params, broken, mask)
    for n, length in enumerate((4, 2, 3)):
        sample = (0, 1, 3)[n]
        alone = model.apply(params, xs[:length, sample : sample + 1])
        np.testing.assert_allclose(y[sample], alone[0], atol=1e-5)
    with pytest.raises(ValueError, match="mask must have the shape"):
        model.apply(params, xs, mask[0])
