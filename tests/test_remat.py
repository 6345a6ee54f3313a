"""`remat` gives the numbers of what it is made of, with the memory that it promises."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from rows import (
    TIME,
    Problem,
    assert_close,
    pad_with_nan,
    problem,
    values,
    with_gradients,
)

import jaxnn
from jaxnn.transforms.chunks import chunk_sizes

KEY = jax.random.key(3)
ROWS = (
    *("lstm", "gru reset before", "conv lstm peephole", "own with key", "split that mixes units"),
    *("own linear of pairs", "min gru", "s6", "causal conv", "rg lru block", "solved gru"),
    *("stack with dropout and residual", "learned of stack", "emitting stack", "gated by"),
)
"""One of each kind; `remat` has rows of its own in the table of laws."""
DEEP = ("lstm", "own with key", "learned in stack in residual")
LSTM = jaxnn.lstm(8, 16)


@pytest.fixture
def few_optimizations_here() -> Iterator[None]:
    """For programs that run once, and whose memory nobody looks at."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def unrolled(cell: Any, p: Problem, reverse: bool, judge: Any = with_gradients) -> Any:
    """Values and gradients, with NaN under the mask, resets, a state and a start."""

    def run(params: Any, xs: Any, state: Any, start: Any) -> Any:
        return cell.unroll(params, xs, state, p.mask, p.reset, reverse, None, start)

    return judge(run, p.params, pad_with_nan(p.xs, p.mask), p.state, p.start)


@pytest.mark.usefixtures("few_optimizations_here")
@pytest.mark.parametrize("row", ROWS)
def test_of_every_row_it_is_the_plain_one(row: str) -> None:
    """Five steps by two: one, and a loop over two chunks."""
    p = problem(row)
    cell = jaxnn.remat(p.cell, 2)
    assert_close(unrolled(cell, p, True), unrolled(p.cell, p, True))
    assert_close(unrolled(cell, p, False, values), unrolled(p.cell, p, False, values))


@pytest.mark.usefixtures("few_optimizations_here")
@pytest.mark.parametrize("steps", [1, 3, TIME, TIME + 1, None])
@pytest.mark.parametrize("row", DEEP)
def test_any_number_of_steps(row: str, steps: int | None) -> None:
    p = problem(row)
    cell = jaxnn.remat(p.cell, steps)
    assert_close(unrolled(cell, p, False), unrolled(p.cell, p, False))
    none, one = ((p.params, p.xs[:time]) for time in (0, 1))
    assert_close(cell.unroll(*none), p.cell.unroll(*none))
    assert_close(cell.unroll(*one), p.cell.unroll(*one))


@pytest.mark.usefixtures("few_optimizations_here")
@pytest.mark.parametrize("levels", [2, 3])
def test_loops_inside_of_loops(levels: int) -> None:
    p = problem("elman", time=11)
    assert len(chunk_sizes(11, 1, levels)) == levels
    cell = jaxnn.remat(p.cell, 1, levels)
    assert_close(unrolled(cell, p, levels == 2), unrolled(p.cell, p, levels == 2))


@pytest.mark.parametrize(
    ("time", "steps", "levels", "sizes"),
    [
        (1024, None, 1, (16,)),  # half of the square root
        (1000, None, 1, (20,)),  # a divisor near it
        (997, None, 1, (16,)),  # none near it
        (1024, None, 2, (64, 4)),
        (1000, 30, 1, (30,)),
        (24, 4, 2, (8, 4)),
        (4, 9, 1, (9,)),
        (1, None, 3, (1,)),
    ],
)
def test_sizes_of_chunks(time: int, steps: int | None, levels: int, sizes: Any) -> None:
    assert chunk_sizes(time, steps, levels) == sizes


@pytest.mark.usefixtures("few_optimizations_here")
def test_gradients_of_gradients() -> None:
    """Along the loop over chunks, by every order of the two modes."""
    p = problem("elman", time=4, batch=(2,))
    along = jax.tree.map(jnp.ones_like, (p.params, p.xs))

    def derivatives(cell: Any) -> Any:
        def loss(params: Any, xs: Any) -> Any:
            state, ys = cell.unroll(params, xs, None, p.mask, p.reset)
            return jnp.sum(jnp.sin(ys)) + jnp.sum(state.hidden**2)

        slope = jax.grad(loss, (0, 1))

        def slope_along(*arguments: Any) -> Any:
            pairs = zip(jax.tree.leaves(slope(*arguments)), jax.tree.leaves(along), strict=True)
            return sum(jnp.vdot(a, b) for a, b in pairs)

        def tangent(*arguments: Any) -> Any:
            return jax.jvp(loss, arguments, along)[1]

        @jax.jit
        def every(*at: Any) -> Any:
            of_slope = jax.grad(slope_along, (0, 1))(*at)
            return of_slope, jax.grad(tangent, (0, 1))(*at), jax.jvp(slope, at, along)[1]

        return every(p.params, p.xs)

    assert_close(derivatives(jaxnn.remat(p.cell, 2)), derivatives(p.cell))


@pytest.mark.usefixtures("few_optimizations_here")
def test_gradients_under_vmap() -> None:
    p = problem("lstm")

    def run(cell: Any) -> Any:
        def one(params: Any, xs: Any) -> Any:
            return with_gradients(lambda *a: cell.unroll(*a, None, None, None), params, xs)

        return jax.vmap(one, (None, 1))(p.params, p.xs)

    assert_close(run(jaxnn.remat(p.cell, 2)), run(p.cell))


# What is random -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("row", ["own with key", "lstm", "min gru", "causal conv"])
def test_a_single_cell_draws_what_the_plain_one_draws(row: str, reverse: bool) -> None:
    if reverse and row != "own with key":
        return
    p = problem(row)
    for key in (KEY, jax.random.PRNGKey(3)):
        arguments = p.params, p.xs, p.state, p.mask, None, reverse, key
        assert_close(jaxnn.remat(p.cell, 2).unroll(*arguments), p.cell.unroll(*arguments))


@pytest.mark.parametrize(
    ("made", "plain"),
    [
        (lambda own: jaxnn.learned_initial_state(jaxnn.remat(own, 2)), None),
        (lambda own: jaxnn.remat(jaxnn.learned_initial_state(own), 2), None),
        (
            lambda own: jaxnn.stack(jaxnn.dense(3, 3, dtype="float64"), jaxnn.remat(own, 2)),
            lambda own: jaxnn.stack(jaxnn.dense(3, 3, dtype="float64"), own),
        ),
        (
            lambda own: jaxnn.remat(jaxnn.remat(jaxnn.output_state(own), 1), 3),
            lambda own: jaxnn.output_state(own),
        ),
        (
            lambda own: jaxnn.bidirectional(jaxnn.remat(own, 2), jaxnn.remat(own, 3)),
            lambda own: jaxnn.bidirectional(own),
        ),
        (
            lambda own: jaxnn.remat(jaxnn.as_layer(own, True), 2),
            lambda own: jaxnn.as_layer(own, True),
        ),
    ],
)
def test_what_is_made_of_one_cell_draws_so_too(made: Any, plain: Any) -> None:
    p = problem("own with key")
    one, other = made(p.cell), (plain or jaxnn.learned_initial_state)(p.cell)
    params = other.init(KEY)
    got, want = (model.unroll(params, p.xs, mask=p.mask, key=KEY) for model in (one, other))
    assert_close(got, want)
    assert not np.array_equal(
        *(jax.tree.leaves(out[1])[0] for out in (got, other.unroll(params, p.xs)))
    )


def test_a_stack_as_a_whole_draws_for_each_chunk() -> None:
    """With a key of the chunk's own, so that no two chunks drop the same."""
    dropping = jaxnn.remat(jaxnn.stack(jaxnn.dropout(0.5)), 4)
    _, ys = dropping.unroll(((),), jnp.ones((10, 32), jnp.float32), key=KEY)
    rows = np.asarray(ys)
    assert not np.array_equal(rows[2:6], rows[6:])
    inner = jaxnn.stack(jaxnn.dropout(0.5))
    for begin, end in ((0, 2), (2, 6), (6, 10)):
        key = jax.random.fold_in(KEY, begin)
        _, part = inner.unroll(((),), jnp.ones((end - begin, 32), jnp.float32), key=key)
        assert np.array_equal(part, rows[begin:end])


# Layers over sequences ----------------------------------------------------------------------------


@pytest.mark.usefixtures("few_optimizations_here")
def test_a_serial_is_cut_as_a_whole() -> None:
    gru, other = (jaxnn.as_layer(jaxnn.gru(*sizes, dtype="float64")) for sizes in ((4, 4), (4, 3)))
    model = jaxnn.serial(
        jaxnn.dense(3, 4, dtype="float64"),
        jaxnn.residual(gru),
        jaxnn.parallel(other, jaxnn.layer_norm(4, dtype="float64")),
    )
    cut = jaxnn.remat(model, 2)
    assert isinstance(cut, jaxnn.SequenceLayer)
    p, params = problem("lstm"), model.init(KEY)

    def run(model: Any) -> Any:
        return with_gradients(
            lambda params, xs: model.unroll(params, xs, None, p.mask, p.reset),
            params,
            pad_with_nan(p.xs, p.mask),
        )

    assert_close(run(cut), run(model))
    state, _ = model.unroll(params, p.xs)
    assert_close(cut.unroll(params, p.xs, state), model.unroll(params, p.xs, state))
    assert_close(cut.apply(params, p.xs, p.mask), model.apply(params, p.xs, p.mask))
    with pytest.raises(ValueError, match="state must be a tuple of 3"):
        cut.unroll(params, p.xs, state[:2])


def test_tokens_are_cut_too() -> None:
    """Integers have no tangent."""
    model = jaxnn.serial(jaxnn.embedding(9, 4), jaxnn.as_layer(jaxnn.gru(4, 3)))
    params, tokens = model.init(KEY), jnp.arange(14).reshape(7, 2) % 9

    def run(model: Any) -> Any:
        return with_gradients(lambda params: model.unroll(params, tokens), params)

    assert_close(run(jaxnn.remat(model, 3)), run(model), 1e-5)


REFUSED: dict[str, Any] = {
    "bidirectional": jaxnn.bidirectional(jaxnn.gru(3, 4)),
    "pool_over_time": jaxnn.serial(jaxnn.as_layer(jaxnn.gru(3, 4)), jaxnn.pool_over_time("last")),
    "along_time": jaxnn.along_time(jaxnn.conv(3, 4, (3,), padding="causal")),
    r"bidirectional\(gru\(4": jaxnn.serial(
        jaxnn.as_layer(jaxnn.gru(3, 4)), jaxnn.bidirectional(jaxnn.gru(4, 4))
    ),
    "Layer": jaxnn.serial(
        jaxnn.as_layer(jaxnn.gru(3, 4)),
        jaxnn.Layer(lambda key: (), lambda params, x, mask=None, key=None: x),
    ),
}


@pytest.mark.parametrize("part", REFUSED)
def test_what_sees_other_steps_is_refused(part: str) -> None:
    pattern = rf"(?s)remat: inner .*{part}.*bidirectional\(remat\(forward\), remat\(backward\)\)"
    with pytest.raises(TypeError, match=pattern):
        jaxnn.remat(REFUSED[part])


def test_two_directions_are_refused() -> None:
    gru = jaxnn.gru(3, 3)
    both = jaxnn.serial(jaxnn.as_layer(gru), jaxnn.as_layer(gru, True))
    with pytest.raises(ValueError, match="remat: inner must run in one direction"):
        jaxnn.remat(both)
    with pytest.raises(TypeError, match=r"got dense.*a Layer alone keeps no states"):
        jaxnn.remat(jaxnn.dense(3, 3))  # pyright: ignore[reportCallIssue, reportArgumentType]


# Memory -------------------------------------------------------------------------------------------


def state_loss(cell: Any, params: Any, xs: Any) -> Any:
    state, _ = cell.unroll(params, xs)
    return jnp.sum(jax.tree.leaves(state)[0] ** 2)


def temporaries(cell: Any, time: int, batch: int = 4, features: int = 8, loss: Any = None) -> int:
    """Of the gradient in float32, in bytes."""
    params = jax.eval_shape(cell.init, KEY)
    xs = jax.ShapeDtypeStruct((time, batch, features), jnp.float32)
    return jaxnn.memory(functools.partial(loss or state_loss, cell), params, xs).temporaries


def test_memory_grows_like_the_root_of_time() -> None:
    plain, frugal = (
        [temporaries(cell, time) for time in (256, 4096)] for cell in (LSTM, jaxnn.remat(LSTM))
    )
    assert plain[1] > 12 * plain[0]
    assert frugal[1] < 5 * frugal[0]
    assert frugal[0] < plain[0] / 4 and frugal[1] < plain[1] / 30
    assert temporaries(jaxnn.remat(LSTM, levels=2), 4096) < frugal[1] / 2


@pytest.mark.parametrize(("steps", "batch"), [(64, 1), (100, 1), (100, 4)])
def test_the_inputs_are_not_copied(steps: int, batch: int) -> None:
    """Neither where chunks are ragged, nor where the batch is one."""
    inputs = 4096 * batch * 256 * 4
    cell = jaxnn.remat(jaxnn.gru(256, 4), steps)
    assert temporaries(cell, 4096, batch, 256) < inputs / 3


def test_outputs_that_nobody_reads_are_not_kept() -> None:
    cell, outputs = jaxnn.remat(jaxnn.gru(8, 64)), 8192 * 64 * 4
    assert temporaries(cell, 8192, 1) < outputs / 2

    def of_outputs(cell: Any, params: Any, xs: Any) -> Any:
        return jnp.sum(cell.unroll(params, xs)[1] ** 2)

    both = temporaries(cell, 8192, 1, loss=of_outputs)
    assert outputs < both < 2.5 * outputs


def test_the_gradient_of_the_inputs_is_written_chunk_by_chunk() -> None:
    """No round of a loop adds to an array of the whole length: O(time · chunks) in all."""
    time, params = 96, LSTM.init(KEY)

    def whole_in_loops(cell: Any) -> list[str]:
        slope = jax.grad(functools.partial(state_loss, cell, params))
        traced = jax.make_jaxpr(slope)(jnp.ones((time, 2, 8), jnp.float32))
        return [name for name, shape in in_loops(traced.jaxpr) if shape[:1] == (time,)]

    assert whole_in_loops(jaxnn.remat(LSTM, 8)) == []

    # What finds them does find them.
    def by_slices(params: Any, xs: Any, *_: Any) -> Any:
        def chunk(state: Any, begin: Any) -> Any:
            part = jax.lax.dynamic_slice_in_dim(xs, begin, 8)
            return LSTM.unroll(params, part, state)

        begins = jnp.arange(0, time, 8)
        return jax.lax.scan(chunk, LSTM.initial_state(params, (2,)), begins)

    assert "add_any" in whole_in_loops(LSTM._replace(unroll=by_slices))


def in_loops(jaxpr: Any, inside: bool = False) -> Iterator[tuple[str, Any]]:
    """The name of each equation inside of a loop, and the shape of what it gives."""
    for eqn in jaxpr.eqns:
        inner = list(jaxprs_in_params(eqn.params))
        if inside and not inner:
            yield eqn.primitive.name, getattr(eqn.outvars[0].aval, "shape", ())
        for each in inner:
            yield from in_loops(each, inside or eqn.primitive.name == "scan")


# A budget -----------------------------------------------------------------------------------------


def needs(cell: Any, xs: Any) -> int:
    """The temporaries of the gradient of `unroll`, for cotangents of all that it gives."""

    def gradient(params: Any, xs: Any, bars: Any) -> Any:
        return jax.vjp(cell.unroll, params, xs)[1](bars)

    params = cell.init(KEY)
    bars = jax.eval_shape(cell.unroll, params, xs)
    found = jax.jit(gradient).lower(params, xs, bars).compile().memory_analysis()
    assert found is not None
    return found.temp_size_in_bytes


def test_a_budget_chooses_the_least_recomputation_that_fits() -> None:
    cell, xs = jaxnn.elman(8, 16), jnp.ones((64, 2, 8), jnp.float32)
    takes = {steps: needs(jaxnn.remat(cell, steps), xs) for steps in (8, 16)}
    plain, params = needs(cell, xs), cell.init(KEY)
    assert takes[8] < takes[16] < plain
    chosen = jaxnn.remat(cell, budget=takes[16] - 1)
    assert needs(jaxnn.remat(cell, budget=plain), xs) == plain
    assert needs(jaxnn.remat(cell, budget=takes[16]), xs) == takes[16]
    assert needs(chosen, xs) == takes[8]
    run = jax.grad(lambda params, cell: state_loss(cell, params, xs))
    assert_close(run(params, chosen), run(params, cell), 1e-5)


def test_a_budget_may_want_more_levels_and_be_too_small() -> None:
    cell, xs = jaxnn.elman(2, 2), jnp.ones((64, 64, 2), jnp.float32)
    params = cell.init(KEY)
    with pytest.raises(ValueError, match="budget=10 is less than") as caught:
        jaxnn.remat(cell, budget=10).unroll(params, xs)
    least = int(str(caught.value).split("least is ")[1].split(" bytes")[0])
    jaxnn.remat(cell, budget=least).unroll(params, xs)
    with pytest.raises(ValueError, match=f"least is {least} bytes"):
        jaxnn.remat(cell, budget=least - 1).unroll(params, xs)


# Symbolic sizes, and how it reads -----------------------------------------------------------------


def test_unknown_sizes() -> None:
    """A symbolic time runs in one piece; of what is not known no budget can be kept."""
    time, batch = jax.export.symbolic_shape("t, b")
    params = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), LSTM.init(KEY))

    def export(cell: Any, *sizes: Any) -> Any:
        xs = jax.ShapeDtypeStruct((*sizes, 8), jnp.float32)
        return jax.export.export(jax.jit(cell.unroll))(params, xs)

    xs, numbers = jnp.ones((6, 3, 8), jnp.float32), LSTM.init(KEY)
    for sizes in ((time, batch), (6, batch)):
        made = export(jaxnn.remat(LSTM, 2), *sizes)
        assert_close(made.call(numbers, xs), LSTM.unroll(numbers, xs), 1e-5)
    with pytest.raises(ValueError, match=r"budget needs sizes that are known.*give steps"):
        export(jaxnn.remat(LSTM, budget=1e6), 6, batch)


def test_explain_tells_of_a_chunk() -> None:
    explained = str(jaxnn.explain(jaxnn.remat(LSTM, 10), jnp.ones((100, 2, 8), jnp.float32)))
    assert "lstm(8, 16) over float32[10, 2, 8]: fast" in explained
    bounded = jaxnn.explain(jaxnn.remat(LSTM, budget=1e9), jnp.ones((100, 2, 8), jnp.float32))
    assert len(bounded.choices) == 1


# memory -------------------------------------------------------------------------------------------


def test_memory_is_what_the_compiler_says() -> None:
    params, xs = LSTM.init(KEY), jnp.ones((64, 2, 8), jnp.float32)
    loss = functools.partial(state_loss, LSTM)
    found = jaxnn.memory(loss, params, xs)
    program = jax.jit(jax.grad(loss)).lower(params, xs).compile().memory_analysis()
    assert program is not None
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    assert found.temporaries == program.temp_size_in_bytes > 0
    assert found.arguments == size + xs.nbytes
    assert size <= found.outputs < size + 200  # and a table of where they are
    assert found.total == found.arguments + found.outputs + found.temporaries
    shapes = jax.eval_shape(lambda: (params, xs))
    assert jaxnn.memory(loss, *shapes) == found


def test_memory_reads_well() -> None:
    text = str(jaxnn.Memory(117_482_000, 2_000, 999, 3_400_000_000))
    assert text == ("arguments 117.5 MB, outputs 2 kB, temporaries 999 bytes, total 3.4 GB")
