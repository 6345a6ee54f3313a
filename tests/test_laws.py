"""The laws 1 to 6 of recurrence, for every cell and everything made of cells: one table."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from rows import (
    BATCH,
    CELLS,
    CELLS_AND_MORE,
    KINDS,
    TIME,
    Problem,
    assert_close,
    judge,
    pad_with_nan,
    problem,
    sliced,
    with_gradients,
)

import jaxnn

traces: list[str] = []


def _note(event: str, duration_secs: float, **kwargs: Any) -> None:
    del duration_secs, kwargs
    traces.extend([event] * event.endswith("jaxpr_trace_duration"))


jax.monitoring.register_event_duration_secs_listener(_note)


def unrolled(
    p: Problem, mask: Any, reset: Any, reverse: bool = False, judge: Any = with_gradients
) -> Any:
    """Values and gradients of the library."""

    def run(params: Any, xs: Any, state: Any, start: Any) -> Any:
        return p.cell.unroll(params, xs, state, mask, reset, reverse, None, start)

    return judge(run, *p.arguments())


@pytest.mark.parametrize("reverse", [False, True])
def test_law_1_masks_and_resets_are_the_loop(row: str, reverse: bool) -> None:
    p = problem(row)
    p = p._replace(xs=pad_with_nan(p.xs, p.mask))

    def loop(params: Any, xs: Any, state: Any, start: Any) -> Any:
        return p.oracle(params, xs, state, p.mask, p.reset, reverse, start)

    got = unrolled(p, p.mask, p.reset, reverse)
    assert_close(got, with_gradients(loop, *p.arguments()))
    for leaf in jax.tree.leaves(got[1][1]):
        assert not np.any(np.asarray(leaf)[~p.mask]), "a gradient reached the padding"


def test_law_1_the_cells_own_start_and_no_mask(row: str) -> None:
    """Neither state nor start is given: those of the cell itself, learned ones included."""
    p = problem(row)

    def run(unroll: Any, params: Any, xs: Any) -> Any:
        return unroll(params, xs, None, None, p.reset)

    got, want = (
        judge(row)(functools.partial(run, unroll), p.params, p.xs)
        for unroll in (p.cell.unroll, p.oracle)
    )
    assert_close(got, want)


@pytest.mark.parametrize("row", CELLS)
def test_law_1_step_t_has_the_key_t_of_the_split(row: str) -> None:
    p, key = problem(row, batch=()), jax.random.key(3)
    _, ys = p.cell.unroll(p.params, p.xs, p.state, key=key)
    state = p.state
    for t, k in enumerate(jax.random.split(key, TIME)):
        state, y = p.cell.apply(p.params, state, sliced(p.xs, t), k)
        assert_close(sliced(ys, t), y)


@pytest.mark.parametrize("row", ["own with key", "stack with dropout and residual"])
def test_the_same_key_gives_the_same_and_another_another(row: str) -> None:
    p = problem(row)
    first, again, other, none, legacy = (
        np.asarray(p.cell.unroll(p.params, p.xs, key=key)[1])
        for key in (*map(jax.random.key, (1, 1, 2)), None, jax.random.PRNGKey(1))
    )
    assert np.array_equal(first, again) and np.array_equal(first, legacy)
    assert not np.array_equal(first, other) and not np.array_equal(first, none)


def in_pieces(
    p: Problem, mask: Any, reset: Any, cut: int, fresh: bool, reverse: bool, *arguments: Any
) -> Any:
    """Two calls of `unroll`; the second one goes on with the state of the first, or afresh."""
    params, xs, state, start = arguments
    pieces = [slice(None, cut), slice(cut, None)]
    outputs, given = [], state
    for piece in reversed(pieces) if reverse else pieces:
        given, ys = p.cell.unroll(
            params, sliced(xs, piece), given, mask[piece], reset[piece], reverse, None, start
        )
        outputs.append(ys)
        state, given = given, start if fresh else given
    ordered = reversed(outputs) if reverse else outputs
    return state, jax.tree.map(lambda *y: jnp.concatenate(y), *ordered)


def test_law_2_a_cut_changes_nothing(row: str) -> None:
    p = problem(row)
    cut = functools.partial(in_pieces, p, p.mask, p.reset, 2, False, False)
    want = unrolled(p, p.mask, p.reset, False, judge(row))
    assert_close(judge(row)(cut, *p.arguments()), want)
    for at, reverse in ((0, False), (2, True), (TIME, True)):
        got = in_pieces(p, p.mask, p.reset, at, False, reverse, *p.arguments())
        want = p.cell.unroll(p.params, p.xs, p.state, p.mask, p.reset, reverse, start=p.start)
        assert_close(got, want)


def test_law_2_no_steps_at_all(row: str) -> None:
    p = problem(row)
    nothing = sliced(p.xs, slice(0))

    def run(params: Any, xs: Any, state: Any, start: Any) -> Any:
        return p.cell.unroll(params, xs, state, p.mask[:0], p.reset[:0], False, None, start)

    (state, ys), gradients = judge(row)(run, p.params, nothing, p.state, p.start)
    assert_close(state, p.state)
    assert {leaf.shape[0] for leaf in jax.tree.leaves(ys)} == {0}
    if gradients is not None:
        assert not any(np.any(leaf) for leaf in jax.tree.leaves((gradients[0], gradients[3])))
    first, _ = p.cell.unroll(p.params, nothing)
    assert_close(first, p.cell.initial_state(p.params, BATCH))


@pytest.mark.parametrize("reverse", [False, True])
def test_law_3_padding_changes_nothing(row: str, reverse: bool) -> None:
    p, time = problem(row), 3
    mask = np.zeros_like(p.mask)
    mask[:time] = True
    # A reset in the padding is ignored.
    reset = p.reset | ~mask

    def padded(params: Any, xs: Any, state: Any, start: Any) -> Any:
        state, ys = p.cell.unroll(
            params, pad_with_nan(xs, mask), state, mask, reset, reverse, None, start
        )
        return state, jax.tree.map(lambda y: y[:time], ys)

    def short(params: Any, xs: Any, state: Any, start: Any) -> Any:
        flags = mask[:time], reset[:time]
        xs = sliced(xs, slice(time))
        return p.cell.unroll(params, xs, state, *flags, reverse, None, start)

    got, want = (judge(row)(run, *p.arguments()) for run in (padded, short))
    assert_close(got, want)
    _, ys = p.cell.unroll(p.params, p.xs, p.state, mask, reset, reverse, None, p.start)
    assert not any(np.any(y[time:]) for y in jax.tree.leaves(ys))


def test_law_3_an_all_true_mask_is_no_mask(row: str) -> None:
    p = problem(row)
    every, none = (
        unrolled(p, mask, p.reset, False, judge(row)) for mask in (np.ones_like(p.mask), None)
    )
    assert_close(every, none)


def test_law_3_an_all_false_mask_is_no_sequence(row: str) -> None:
    p = problem(row)
    nothing = np.zeros_like(p.mask)
    p = p._replace(xs=pad_with_nan(p.xs, nothing))
    (state, ys), (params_bar, xs_bar, state_bar, start_bar) = unrolled(p, nothing, ~nothing)
    assert_close(state, p.state)
    for leaf in jax.tree.leaves((ys, params_bar, xs_bar, start_bar)):
        assert not np.any(leaf), "something of the padding is left"
    # The state goes through untouched, so its gradient is the one that came from above.
    assert_close(state_bar, with_gradients(lambda s: (s, ys), p.state)[1][0])
    first, _ = p.cell.unroll(p.params, p.xs, None, nothing)
    assert_close(first, p.cell.initial_state(p.params, BATCH))


@pytest.mark.parametrize("reverse", [False, True])
def test_law_4_a_reset_is_a_fresh_start(row: str, reverse: bool) -> None:
    p, at = problem(row), 2
    reset, none, every = np.zeros_like(p.reset), np.zeros_like(p.reset), np.ones_like(p.mask)
    reset[at] = True
    apart = functools.partial(in_pieces, p, every, none, at, True, reverse)
    if reverse:
        got = p.cell.unroll(p.params, p.xs, p.state, every, reset, True, None, p.start)
        assert_close(got, apart(*p.arguments()))
    else:
        got = unrolled(p, every, reset, False, judge(row))
        assert_close(got, judge(row)(apart, *p.arguments()))


def test_law_4_nothing_is_left_of_a_state_that_was_nan(row: str) -> None:
    p = problem(row)
    broken = p._replace(state=jax.tree.map(lambda s: jnp.full_like(s, jnp.nan), p.state))
    reset, mask = p.reset.copy(), np.ones_like(p.mask)
    # The second sequence is masked at first, so that its reset comes later.
    reset[0], reset[0, 1], reset[1, 1], mask[0, 1] = True, False, True, False
    assert_close(unrolled(broken, mask, reset), unrolled(p, mask, reset))
    flags = np.array([True, False, True])
    by_hand = jaxnn.reset_state(p.cell, p.params, broken.state, flags, p.start)
    for leaf, start in zip(jax.tree.leaves(by_hand), jax.tree.leaves(p.start), strict=True):
        assert np.array_equal(leaf[flags], start[flags]) and np.all(np.isnan(leaf[~flags]))


def test_law_5_reverse_is_flip_run_flip(row: str) -> None:
    p = problem(row)
    # Read from the end, a flag stands at the last step of its segment: the first one of the next
    # segment is the next valid step, and where there is none the state returns to its start.
    shifted, at_the_end = np.zeros_like(p.reset), np.zeros(BATCH, bool)
    for index in np.ndindex(*BATCH):
        due = False
        for t in reversed(range(TIME)):
            if p.mask[(t, *index)]:
                shifted[(t, *index)], due = due, p.reset[(t, *index)]
        at_the_end[index] = due
    assert at_the_end.any() and shifted.any()

    backwards = functools.partial(sliced, index=slice(None, None, -1))

    def flipped(params: Any, xs: Any, state: Any, start: Any) -> Any:
        state, ys = p.cell.unroll(
            params, backwards(xs), state, p.mask[::-1], shifted[::-1], False, None, start
        )
        state = jaxnn.reset_state(p.cell, params, state, at_the_end, start)
        return state, backwards(ys)

    got = unrolled(p, p.mask, p.reset, True)
    assert_close(got, with_gradients(flipped, *p.arguments()))


def test_law_6_jit_is_eager_and_traces_once(row: str) -> None:
    p = problem(row)
    chex.clear_trace_counter()  # it counts by name, over all rows

    @chex.assert_max_traces(n=1)
    def unroll(*arguments: Any) -> Any:
        return p.cell.unroll(*arguments)

    compiled = jax.jit(unroll, static_argnums=5)
    arguments = (p.params, p.xs, p.state, p.mask, p.reset, True, None, p.start)
    first = p.cell.unroll(*arguments)
    assert_close(compiled(*arguments), first)
    if row in KINDS:
        with jax.disable_jit():
            assert_close(p.cell.unroll(*arguments), first)
    traces.clear()
    again = CELLS_AND_MORE[row](jnp.float64)
    again.unroll(*arguments)
    compiled(*arguments)
    assert not traces, f"traced {len(traces)} times more"
    # What counts the traces does count them.
    again.unroll(p.params, sliced(p.xs, slice(-1)))
    assert traces


def test_law_6_vmap_is_the_native_batch(row: str) -> None:
    p = problem(row)

    def run(params: Any, xs: Any, state: Any, start: Any) -> Any:
        mapped = jax.vmap(p.cell.unroll, (None, 1, 0, 1, 1, None, None, 0), (0, 1))
        return mapped(params, xs, state, p.mask, p.reset, False, None, start)

    got = judge(row)(run, *p.arguments())
    assert_close(got, unrolled(p, p.mask, p.reset, False, judge(row)))


def test_law_6_the_same_arguments_give_the_same_object() -> None:
    assert jaxnn.lstm(3, 4) is jaxnn.lstm(3, hidden_size=4, dtype="float32")
    assert jaxnn.lstm(3, 4) is not jaxnn.lstm(3, 4, peephole=True)
    parts = jaxnn.gru(3, 3), jaxnn.elman(3, 3)
    makes: list[Any] = [jaxnn.stack, jaxnn.bidirectional]
    for make in makes:
        assert make(*parts) is make(*parts)
        assert make(*parts) is not make(*parts[::-1])
    for make in (jaxnn.residual, jaxnn.learned_initial_state, jaxnn.output_state, jaxnn.as_layer):
        assert make(parts[0]) is make(jaxnn.gru(3, 3))


def test_initial_state_can_be_donated() -> None:
    for row in CELLS_AND_MORE:
        p = problem(row)
        leaves = jax.tree.leaves((p.params, p.cell.initial_state(p.params, BATCH)))
        pointers = [leaf.unsafe_buffer_pointer() for leaf in leaves if leaf.size]
        assert len(set(pointers)) == len(pointers), f"{row}: two leaves are one buffer"


@st.composite
def ragged(draw: st.DrawFn) -> tuple[int, tuple[int, ...], np.ndarray]:
    """A number of steps, 0 included, batch dimensions, 0 to 2 of them, and lengths."""
    time = draw(st.integers(0, 3))
    batch = tuple(draw(st.lists(st.integers(1, 2), max_size=2)))
    lengths = draw(st.lists(st.integers(0, time), min_size=4, max_size=4))
    return time, batch, np.array(lengths)[: int(np.prod(batch))].reshape(batch)


@pytest.mark.parametrize("row", ["lstm peephole", "own with key"])
@given(ragged())
@settings(derandomize=True, deadline=None, max_examples=5)
def test_any_shape_and_any_length(row: str, shapes: tuple[int, Any, np.ndarray]) -> None:
    time, batch, lengths = shapes
    p = problem(row, time=time, batch=batch)
    mask = np.asarray(jaxnn.lengths_to_mask(lengths, time))
    xs = pad_with_nan(p.xs, mask)
    state, ys = p.cell.unroll(p.params, xs, p.state, mask, p.reset, start=p.start)
    if time == 0:
        assert_close(state, p.state)
        assert ys.shape == (0, *batch, 4)
    else:
        want = p.oracle(p.params, xs, p.state, mask, p.reset, False, p.start)
        assert_close((state, ys), want)


@pytest.mark.parametrize("row", ["lstm", "learned"])
def test_one_start_serves_the_whole_batch(row: str) -> None:
    p = problem(row)
    one = jax.tree.map(lambda leaf: leaf[0], p.start)
    every = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (*BATCH, *leaf.shape)), one)
    got, want = (
        p.cell.unroll(p.params, p.xs, reset=p.reset, start=start) for start in (one, every)
    )
    assert_close(got, want)


def test_learned_start_receives_a_gradient_where_it_is_used() -> None:
    p = problem("learned in stack in residual")
    nothing = jax.tree.map(jnp.zeros_like, p.state)

    def loss(params: Any, state: Any, reset: Any) -> jax.Array:
        return jnp.sum(p.cell.unroll(params, p.xs, state, None, reset)[1])

    for state, reset, used in (
        (None, None, True),
        (nothing, p.reset, True),
        (nothing, np.zeros_like(p.reset), False),
    ):
        gradient = jax.grad(loss)(p.params, state, reset)[1].start.hidden
        assert bool(jnp.any(gradient != 0)) is used
