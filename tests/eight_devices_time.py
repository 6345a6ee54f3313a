"""Sequences cut along time over eight devices.

Run by test_devices.py in a process of its own, which has eight CPU devices.
"""

import functools
from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from collectives import collectives
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P
from rows import Problem, assert_close, pad_with_nan, problem, weigh, with_gradients

import jaxnn

COUNT, TIME, BATCH = 8, 16, 3
F64 = jnp.float64
# The search for doctests imports this file where there is one device.
MESH = jax.make_mesh((min(COUNT, jax.device_count()),), ("time",), axis_types=(AxisType.Auto,))
shard = functools.partial(jaxnn.shard_time, mesh=MESH, axis="time")


def delayed(params: Any, x: Any, mixed: Any, state: Any) -> Any:
    """Linear in one leaf; the other is a function of that as it was before the step."""
    kept = jax.nn.sigmoid(x) * state["kept"] + x
    return {"kept": kept, "shown": jnp.tanh(params[0, 0] * state["kept"])}


def complex_turn(params: Any, x: Any) -> Any:
    """The same complex a for all steps."""
    turn = jnp.exp(jax.lax.complex(jnp.full(2, -0.1), params[0]))
    return turn, jax.lax.complex(x @ params, x @ params)


def of_batch(dtype: Any, params: Any, batch_shape: tuple[int, ...] = ()) -> Any:
    return jnp.zeros((*batch_shape, params.shape[1]), dtype)


def of_two(params: Any, batch_shape: tuple[int, ...] = ()) -> Any:
    return dict.fromkeys(("kept", "shown"), jnp.zeros((*batch_shape, params.shape[1])))


def kernel(key: Any) -> Any:
    return jax.random.normal(key, (3, 2))


DELAYED = jaxnn.split_cell(
    kernel, lambda p, x: x @ p, lambda p, s: (), delayed, of_two, lambda s: s["shown"]
)
TURN = jaxnn.linear_cell(
    kernel, complex_turn, functools.partial(of_batch, jnp.complex128), lambda s: s.real
)
GRU = jaxnn.min_gru(3, 4, dtype=F64)
DEEP = jaxnn.stack(
    jaxnn.dense(3, 4, dtype=F64),
    jaxnn.learned_initial_state(jaxnn.min_lstm(4, 4, dtype=F64)),
    jaxnn.residual(jaxnn.min_gru(4, 4, dtype=F64)),
)


def made(cell: jaxnn.Cell) -> Problem:
    """Numbers for a cell, as `problem` has them for a row."""
    rng = np.random.default_rng(0)

    def fill(leaf: Any) -> jax.Array:
        drawn = rng.normal(size=(2, *leaf.shape))
        numbers = drawn[0] + 1j * drawn[1] if jnp.iscomplexobj(leaf) else drawn[0]
        return jnp.asarray(numbers / 2, leaf.dtype)

    params = jax.tree.map(fill, jax.eval_shape(cell.init, jax.random.key(0)))
    first = jax.eval_shape(functools.partial(cell.initial_state, params, (BATCH,)))
    state, start = (jax.tree.map(fill, first) for _ in range(2))
    mask, reset = rng.random((2, TIME, BATCH)) < np.array([0.6, 0.2])[:, None, None]
    mask[:, 0], mask[:, -1], reset[[0, -1], 0] = True, False, True
    xs = jnp.asarray(rng.normal(size=(TIME, BATCH, 3)))
    return Problem(cell, params, xs, state, start, mask, reset, 1)


def of_two_inputs() -> Problem:
    """x is features and the time since the step before, two arrays of unequal rank."""

    def coefficients(kernel: jax.Array, x: Any) -> tuple[jax.Array, jax.Array]:
        features, gap = x
        added = jnp.tanh(features @ kernel)
        return jnp.exp(-jnp.square(gap))[..., None] * jnp.ones_like(added), added

    cell = jaxnn.linear_cell(
        lambda key: jax.random.normal(key, (3, 4), F64),
        coefficients,
        lambda kernel, batch_shape=(): jnp.zeros((*batch_shape, 4), kernel.dtype),
        lambda state: state,
        event_ndim=(1, 0),
    )
    p = made(cell)
    return p._replace(xs=(p.xs, p.xs[..., 0]))


CONV = jaxnn.stack(jaxnn.causal_conv(3, 4, dtype=F64), jaxnn.rg_lru(3, dtype=F64))
CELLS = {
    "convolution": lambda: made(CONV),
    "mamba": lambda: made(jaxnn.mamba_block(3, 2, dtype=F64)),
    "min gru": lambda: made(GRU),
    "min gru, associative": lambda: made(jaxnn.with_method(GRU, "associative")),
    "deep": lambda: made(DEEP),
    "delayed": lambda: made(DELAYED),
    "complex and constant": lambda: made(TURN),
    "two inputs": of_two_inputs,
    "own linear of pairs, chunked": lambda: problem("own linear of pairs, chunked", time=TIME),
}


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("reverse", [False, True])
def test_law_many_devices_are_one(name: str, reverse: bool) -> None:
    """Values, final states and all gradients, with masks over NaN, resets, states and starts."""
    p = CELLS[name]()

    def run(cell: jaxnn.Cell) -> Any:
        def of(params: Any, xs: Any, state: Any, start: Any) -> Any:
            given = xs, state, p.mask, p.reset, reverse, None, start
            return real(cell.unroll(params, *given))

        return jax.jit(lambda *given: real(with_gradients(of, *given)))

    given = p.params, pad_with_nan(p.xs, p.mask), p.state, p.start
    assert_close(run(shard(p.cell))(*given), run(p.cell)(*given), 1e-12)


def real(tree: Any) -> Any:
    """Complex leaves as two real ones."""
    return jax.tree.map(lambda x: (x.real, x.imag) if jnp.iscomplexobj(x) else x, tree)


def loss(cell: jaxnn.Cell, mask: Any, reset: Any) -> Any:
    """Of the outputs and the final state."""

    def of(params: Any, xs: Any, state: Any) -> jax.Array:
        return weigh(cell.unroll(params, xs, state, mask, reset))

    return of


def test_law_derivatives_of_every_order() -> None:
    """Forward over reverse, which linearises the transpose too."""
    p = made(DEEP)

    def second(cell: jaxnn.Cell) -> Any:
        gradient = jax.grad(loss(cell, p.mask, p.reset), (0, 1, 2))
        return jax.jit(lambda *given: jax.jvp(gradient, given, given))

    given = p.params, p.xs, p.state
    assert_close(second(shard(DEEP))(*given), second(DEEP)(*given), 1e-12)


def test_law_gradients_of_gradients_and_vmap() -> None:
    """Over the parameters of several cells, and with a gradient that holds another."""
    p = made(GRU)

    def twice(cell: jaxnn.Cell) -> Any:
        first = jax.grad(loss(cell, None, p.reset))
        members = jax.vmap(jax.grad(lambda *given: weigh(first(*given))), (0, None, None))
        return jax.jit(members)

    two = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), p.params)
    given = two, p.xs, p.state
    assert_close(twice(shard(GRU))(*given), twice(GRU)(*given), 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_law_long_sequences_in_reduced_precision(dtype: str) -> None:
    """A part of 64 steps, over which the products of a go to nothing."""
    cell = jaxnn.min_gru(3, 4, dtype=dtype)
    params, rng = cell.init(jax.random.key(0)), np.random.default_rng(0)
    xs = jnp.asarray(rng.normal(size=(512, 2, 3)), dtype)
    run = [jax.jit(functools.partial(with_gradients, each.unroll)) for each in (shard(cell), cell)]
    # The sum of bfloat16 gradients over eight parts is rounded eight times.
    assert_close(run[0](params, xs), run[1](params, xs), 1e-6 if dtype == "float32" else 2e-2)


# What is sent, and what lies where ----------------------------------------------------------------


def on(mesh: Mesh, *axes: str | None) -> NamedSharding:
    return NamedSharding(mesh, P(*axes))


def program(cell: jaxnn.Cell, time: int, flags: bool = False, of: Any = None, **more: Any) -> Any:
    """A cell of 16 inputs over devices, compiled: its values, or `of` a function of those."""
    sharded = shard(cell)

    def run(params: Any, xs: Any, mask: Any) -> Any:
        return sharded.unroll(params, xs, mask=mask, reset=mask, **more)

    kind = jax.eval_shape(cell.init, jax.random.key(0))
    params, xs, mask = jax.tree.map(
        lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where),
        (kind, jax.ShapeDtypeStruct((time, 2, 16), F64), jax.ShapeDtypeStruct((time, 2), bool)),
        (jax.tree.map(lambda _: on(MESH), kind), on(MESH, "time"), on(MESH, "time")),
    )
    return jax.jit(of(run) if of else run).lower(params, xs, mask if flags else None).compile()


def gradient(run: Any) -> Any:
    return jax.grad(lambda *given: weigh(run(*given)), (0, 1))


WIDE = jaxnn.min_gru(16, 16, dtype=F64)


def sent(compiled: Any) -> dict[str, int]:
    found = collectives(compiled.as_text())
    assert found.in_loops == []
    return dict(Counter(found.once))


@pytest.mark.parametrize("time", [64, 4096])
def test_what_is_sent_does_not_grow_with_time(time: int) -> None:
    """Two all-gathers, or with resets a third, of flags. The gradient needs two as well, of which
    the compiler finds that one was made before; that of the parameters is a sum over devices."""
    assert sent(program(WIDE, time)) == {"all-gather": 2}
    assert sent(program(WIDE, time, of=gradient)) == {"all-gather": 3, "all-reduce": 1}
    if time == 64:
        assert sent(program(WIDE, time, flags=True)) == {"all-gather": 3}
        # In reverse the reset of the first step of the next part counts in ours.
        assert sent(program(WIDE, time, flags=True, reverse=True)) == {"all-gather": 4}


def test_an_a_that_is_the_same_for_all_steps_is_not_sent() -> None:
    kernel = jnp.ones((16, 2))
    cell = jaxnn.linear_cell(
        lambda key: kernel,
        lambda p, x: (jax.nn.sigmoid(p[0]), x @ p),
        functools.partial(of_batch, F64),
        lambda s: s,
    )
    assert sent(program(cell, 64)) == {"all-gather": 1}


def test_between_layers_nothing_is_sent() -> None:
    dense = jaxnn.dense(16, 16, dtype=F64)
    deep = jaxnn.stack(dense, WIDE, dense, jaxnn.residual(WIDE), dense)
    assert sent(program(deep, 64)) == {"all-gather": 4}
    assert sent(program(deep, 64, of=gradient)) == {"all-gather": 6, "all-reduce": 1}


def test_each_device_has_its_part_of_the_memory() -> None:
    def taken(compiled: Any) -> int:
        return compiled.memory_analysis().temp_size_in_bytes

    run = gradient(lambda params, xs: WIDE.unroll(params, xs))
    given = jax.eval_shape(WIDE.init, jax.random.key(0)), jax.ShapeDtypeStruct((4096, 2, 16), F64)
    assert taken(program(WIDE, 4096, of=gradient)) < taken(jax.jit(run).lower(*given).compile()) / 5


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
def test_with_the_batch_along_another_axis(kind: AxisType) -> None:
    """Every array keeps its place: time and batch."""
    mesh = jax.make_mesh((4, 2), ("time", "batch"), axis_types=(kind,) * 2)
    p, flags = made(DELAYED), np.random.default_rng(1).random((2, TIME, 4)) < 0.5
    xs = jnp.concatenate([p.xs, p.xs[:, :1]], axis=1)

    def run(cell: jaxnn.Cell) -> Any:
        def of(params: Any, xs: Any, mask: Any, reset: Any) -> Any:
            ends, ys = cell.unroll(params, xs, mask=mask, reset=reset)
            return weigh((ends, ys)), (ends, ys)

        return jax.jit(jax.value_and_grad(of, (0, 1), has_aux=True))

    want = run(DELAYED)(p.params, xs, *flags)
    placed = jax.device_put((xs, *flags), on(mesh, "time", "batch"))
    cell = jaxnn.shard_time(DELAYED, mesh, "time")
    with jax.set_mesh(mesh):
        got = run(cell)(jax.device_put(p.params, on(mesh)), *placed)
    assert_close(got, want, 1e-12)
    (_, (ends, ys)), (_, of_xs) = got
    assert [tuple(each.sharding.spec)[:2] for each in (ys, of_xs)] == [("time", "batch")] * 2
    assert {leaf.sharding.spec[0] for leaf in jax.tree.leaves(ends)} == {"batch"}


def test_arrays_that_lie_nowhere_are_laid_out() -> None:
    """Eagerly too, and over a mesh whose axes are explicit, as `jax.make_mesh` makes them."""
    cell = jaxnn.shard_time(GRU, jax.make_mesh((COUNT,), ("time",)), "time")
    p = made(GRU)
    state, ys = cell.unroll(p.params, np.asarray(p.xs))
    assert ys.sharding.spec[0] == "time" and state.hidden.sharding.is_fully_replicated
    assert_close((state, ys), GRU.unroll(p.params, p.xs), 1e-12)


def test_within_a_shard_map_over_the_batch() -> None:
    mesh = jax.make_mesh((2, 4), ("batch", "time"), axis_types=(AxisType.Auto,) * 2)
    cell, p = jaxnn.shard_time(GRU, mesh, "time"), made(GRU)
    xs = jnp.concatenate([p.xs, p.xs[:, :1]], axis=1)
    over = functools.partial(
        jax.shard_map, mesh=mesh, in_specs=(P(), P(None, "batch")),
        out_specs=(P("batch"), P(None, "batch")),
    )  # fmt: skip
    got = jax.jit(over(lambda *given: cell.unroll(*given), axis_names={"batch"}))(p.params, xs)
    assert_close(got, GRU.unroll(p.params, xs), 1e-12)
    with pytest.raises(ValueError, match=r"shard_time\(.*'time' is taken by a shard_map around it"):
        jax.jit(over(lambda *given: cell.unroll(*given)))(p.params, xs)


def test_a_train_step() -> None:
    """Under its jit, without a mesh of its own: the batch comes cut along time."""
    optimizer, p = optax.adam(0.1), made(GRU)

    def trained(cell: jaxnn.Cell, xs: Any) -> Any:
        def loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
            ys = cell.unroll(params, batch)[1]
            return jnp.sum(ys**2), jnp.asarray(ys.size, F64), state

        step = jaxnn.training.train_step(loss, optimizer)
        current = jaxnn.training.train_state(p.params, optimizer, jax.random.key(0))
        for _ in range(2):
            current, _ = step(current, xs)
        return current.params

    placed = jax.device_put(p.xs, on(MESH, "time"))
    assert_close(trained(shard(GRU), placed), trained(GRU, p.xs), 1e-12)


def test_it_can_be_exported() -> None:
    p, cell = made(GRU), shard(GRU)
    exported = jax.export.export(jax.jit(cell.unroll), platforms=["cpu", "cuda", "tpu"])
    again = jax.export.deserialize(exported(p.params, p.xs).serialize())
    given = jax.device_put(p.params, on(MESH)), jax.device_put(p.xs, on(MESH, "time"))
    assert again.nr_devices == COUNT
    assert_close(jax.jit(again.call)(*given), GRU.unroll(p.params, p.xs), 1e-12)


# What may go wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
def test_what_is_not_finite_ends_at_a_reset_and_not_before(reverse: bool) -> None:
    """Also where a part has a reset, so that its product of a is nothing, or goes to nothing."""
    cell = jaxnn.linear_cell(
        lambda key: jnp.ones(1),
        lambda p, x: (1e-300 * jnp.ones_like(x), x),
        lambda p, batch_shape=(): jnp.zeros((*batch_shape, 1)),
        lambda s: s,
    )
    reset = np.zeros((TIME, 2), bool)
    reset[9, 0] = True
    given = jnp.ones(1), jnp.ones((TIME, 2, 1)), jnp.full((2, 1), jnp.nan), None, reset, reverse
    got, want = shard(cell).unroll(*given), cell.unroll(*given)
    jax.tree.map(np.testing.assert_array_equal, got, want)
    assert np.isnan(want[0]).tolist() == [[False], [True]]


def test_each_device_draws_its_own() -> None:
    """By fold_in(key, n), so that no part repeats another."""
    cell = jaxnn.stack(jaxnn.dropout(0.5), jaxnn.dense(3, 4, dtype=F64))
    p, key = made(cell), jax.random.key(3)
    _, ys = shard(cell).unroll(p.params, p.xs, key=key)
    for n, part in enumerate(np.split(p.xs, COUNT)):
        _, want = cell.unroll(p.params, part, key=jax.random.fold_in(key, n))
        np.testing.assert_allclose(np.split(np.asarray(ys), COUNT)[n], want, rtol=1e-12)


def test_a_sequence_within_a_step_has_a_time_of_its_own() -> None:
    """A cell and a layer whose input at each step is a sequence itself, which is on one device."""

    def read(params: Any, x: Any) -> Any:
        return GRU.unroll(params, x)[0].hidden

    def coefficients(params: Any, x: Any) -> Any:
        kept = jnp.moveaxis(x, -2, 0)
        return jax.nn.sigmoid(x[..., -1, :1]), read(params, kept)[..., :1]

    cell = jaxnn.linear_cell(
        GRU.init, coefficients, lambda p, batch_shape=(): jnp.zeros((*batch_shape, 1)),
        lambda s: s, event_ndim=2,
    )  # fmt: skip
    inner = jax.random.normal(jax.random.key(0), (TIME, 2, 5, 3))
    params = GRU.init(jax.random.key(1))
    assert_close(shard(cell).unroll(params, inner), cell.unroll(params, inner), 1e-12)

    def last(params: Any, x: Any, mask: Any = None, key: Any = None) -> Any:
        return read(params, jnp.moveaxis(x, -2, 0))

    layer = jaxnn.Layer(GRU.init, last)
    deep, more = jaxnn.stack(layer, jaxnn.min_gru(4, 2, dtype=F64)), jaxnn.min_gru(4, 2, dtype=F64)
    both = params, more.init(jax.random.key(2))
    assert_close(shard(deep).unroll(both, inner), deep.unroll(both, inner), 1e-12)


def test_no_steps() -> None:
    p = made(GRU)
    state, ys = shard(GRU).unroll(p.params, p.xs[:0], p.state, p.mask[:0], p.reset[:0], True)
    assert_close(state, p.state, 0)
    assert ys.shape == (0, BATCH, 4)


class Refused:
    """What it is, and what the error says."""

    def __init__(self, cell: Any, time: int = TIME, says: str = "") -> None:
        self.cell, self.time, self.says = cell, time, says


NONLINEAR = "not linear in its state .* each device would wait .*train_step.*jaxnn.remat"
REFUSED = {
    "a time that does not divide": Refused(
        GRU, 12, r"8 devices share evenly, got 12 steps: add 4 by"
    ),
    "one step": Refused(GRU, 1, r"8 devices share evenly, got 1 steps: add 7 by"),
    "an lstm": Refused(jaxnn.lstm(3, 4, dtype=F64), says=r"^shard_time.*lstm\(.*" + NONLINEAR),
    "an lstm in a stack": Refused(
        jaxnn.stack(GRU, jaxnn.lstm(4, 4, dtype=F64)), says="part 1, lstm.*" + NONLINEAR
    ),
    "a step of one's own": Refused(
        jaxnn.cell(kernel, lambda p, s, x: (s + x @ p, s), functools.partial(of_batch, F64)),
        says=r"known by its step alone: jaxnn\.linear_cell takes it apart",
    ),
    "a method for whole sequences": Refused(
        jaxnn.with_method(GRU, "sequential"), says="method 'sequential' runs whole sequences"
    ),
    "cut along time twice": Refused(shard(GRU), says="put jaxnn.shard_time inside of it"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    case = REFUSED[what]
    cell = shard(case.cell)
    params = jax.eval_shape(cell.init, jax.random.key(0))
    params = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), params)
    with pytest.raises(ValueError, match=case.says):
        cell.unroll(params, jnp.ones((case.time, 2, 3)))


def test_an_unroll_of_ones_own_is_refused() -> None:
    """Inside of others too."""
    own = GRU._replace(unroll=lambda params, xs, *rest: GRU.unroll(params, xs[::-1], *rest))
    cells: Any = own, jaxnn.stack(own), jaxnn.residual(jaxnn.stack(jaxnn.dense(4, 3), own))
    for cell in cells:
        with pytest.raises(TypeError, match="shard_time: cell must be made by jaxnn's factories"):
            shard(cell)
