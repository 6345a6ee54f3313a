"""Newton over time: its linear algebra, its sweeps, its certificate and its derivative.

The rows "solved gru" and "solved lstm, unit" of the table of laws go through all laws.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Jaxpr
from rows import assert_close, build, pad_with_nan, problem, with_gradients

import jaxnn
from jaxnn.recurrence.arguments import Arguments
from jaxnn.recurrence.cell import description_of
from jaxnn.recurrence.sweeps import steps_of
from jaxnn.scans import matrix
from jaxnn.scans.matrix import DENSE, UNITS

TIME, BATCH, SIZE = 6, 2, 3
KINDS = ("dense", "one leaf", "two leaves")


def drawn(kind: str) -> tuple[Any, Any, Any]:
    """An algebra, matrices and vectors over time."""
    rng = np.random.default_rng(5)

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=(TIME, BATCH, *shape)))

    if kind == "dense":
        return DENSE, draw(SIZE, SIZE), draw(SIZE)
    leaves = 1 if kind == "one leaf" else 2
    rows = [[draw(SIZE) for _ in range(leaves)] for _ in range(leaves)]
    return UNITS, rows, [draw(SIZE) for _ in range(leaves)]


def flags() -> np.ndarray:
    fresh = np.zeros((TIME, BATCH), bool)
    fresh[[0, 3], 0], fresh[[2, 5], 1] = True, True
    return fresh


def loop(algebra: Any, reverse: bool, a: Any, r: Any, fresh: Any) -> Any:
    """The oracle: one step after the other."""
    take = lambda tree, t: jax.tree.map(lambda leaf: leaf[t], tree)  # noqa: E731
    d, found = jax.tree.map(jnp.zeros_like, take(r, 0)), [None] * TIME
    for t in reversed(range(TIME)) if reverse else range(TIME):
        keep = 1.0 - (0.0 if fresh is None else fresh[t][:, None])
        if not reverse:
            d = jax.tree.map(lambda leaf, keep=keep: leaf * keep, d)
        d = jax.tree.map(jnp.add, algebra.apply(take(a, t), d), take(r, t))
        found[t] = d
        if reverse:
            d = jax.tree.map(lambda leaf, keep=keep: leaf * keep, d)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_matrices_are_the_loop_and_back_is_the_transpose(
    kind: str, reverse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    algebra, a, r = drawn(kind)
    for fresh in (None, flags()):
        want = loop(algebra, reverse, a, r, fresh)
        bars = jax.tree.map(jnp.cos, r)
        transpose = jax.linear_transpose(
            functools.partial(loop, algebra, reverse, a, fresh=fresh), r
        )
        for how in (matrix._sequential, matrix._associative):
            monkeypatch.setattr(matrix, "_run", how)
            assert_close(matrix.solve_matrix(algebra, reverse, a, r, fresh), want, 1e-12)
            back = matrix.solve_matrix_back(algebra, reverse, a, bars, fresh)
            assert_close(back, transpose(bars)[0], 1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_finite_stays_in_its_segment(kind: str) -> None:
    algebra, a, r = drawn(kind)
    fresh = np.zeros((TIME, BATCH), bool)
    fresh[3] = True
    spoiled = jax.tree.map(lambda leaf: leaf.at[1].set(jnp.inf), r)
    for how in (matrix._sequential, matrix._associative):
        found = how(algebra, False, a, spoiled, jnp.asarray(fresh))
        want = how(algebra, False, a, r, jnp.asarray(fresh))
        for leaf, expected in zip(jax.tree.leaves(found), jax.tree.leaves(want), strict=True):
            assert not np.isfinite(leaf[2]).any() and np.array_equal(leaf[3:], expected[3:])


@pytest.mark.parametrize("row", ["elman", "gru", "lstm peephole", "lstm coupled no bias"])
def test_the_matrix_of_a_unit_is_its_part_of_the_jacobian(row: str) -> None:
    p = problem(row)
    arguments = Arguments(p.xs, p.state, None, None, False, None, p.start)
    description: Any = description_of(p.cell)
    before = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf / 2, -leaf, leaf, leaf]), p.state)
    whole, rows = (
        steps.matrices(params, before, inputs)
        for steps, params, inputs in (
            steps_of(method, description, p.params, arguments) for method in ("full", "unit")
        )
    )
    time, sequence, units = 2, 1, jax.tree.leaves(p.state)[0].shape[-1]

    def step(state: Any) -> Any:
        x = p.xs[time, sequence]
        return jnp.concatenate(jax.tree.leaves(p.cell.apply(p.params, state, x)[0]))

    point = jax.tree.map(lambda leaf: leaf[time, sequence], before)
    want = jnp.concatenate(jax.tree.leaves(jax.jacrev(step)(point)), axis=-1)
    assert_close(whole[time, sequence], want, 1e-12)
    for k, line in enumerate(rows):
        for n, entry in enumerate(line):
            block = want[k * units : (k + 1) * units, n * units : (n + 1) * units]
            assert_close(entry[time, sequence], jnp.diagonal(block), 1e-12)


@pytest.mark.parametrize(
    ("row", "method"),
    [
        ("gru", "unit"),
        ("own with key", "full"),
        ("split with a crooked mix", "full"),
        ("own linear", "full"),
        ("learned", "full"),
    ],
)
def test_more_cells_are_the_loop(row: str, method: str) -> None:
    p = problem(row)
    p = p._replace(xs=pad_with_nan(p.xs, p.mask))
    cell = jaxnn.solve(p.cell, method, 1e-13)

    def run(unroll: Any, reverse: bool, params: Any, xs: Any, state: Any, start: Any) -> Any:
        return unroll(params, xs, state, p.mask, p.reset, reverse, start=start)

    for reverse in (False, True):
        got = with_gradients(functools.partial(run, cell.unroll, reverse), *p.arguments())
        want = with_gradients(functools.partial(run, p.oracle, reverse), *p.arguments())
        assert_close(got, want)


def series(kind: Any, gain: float, dtype: Any, time: int = 512) -> tuple[Any, Any, Any]:
    """A cell of 16 units, with its default parameters but for a gain, and one sequence."""
    cell = kind(8, 16, dtype=dtype)
    params = cell.init(jax.random.key(0))
    params = params._replace(recurrent_kernel=params.recurrent_kernel * gain)
    return cell, params, jax.random.normal(jax.random.key(1), (time, 8), dtype)


@functools.cache
def loss_of(cell: Any) -> Any:
    def loss(params: Any, xs: Any) -> jax.Array:
        state, ys = cell.unroll(params, xs)
        return jnp.sum(ys**2) + sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(state))

    return jax.jit(jax.grad(loss, (0, 1)))


@pytest.mark.parametrize("kind", [jaxnn.gru, jaxnn.lstm])
@pytest.mark.parametrize(("method", "most"), [("full", 6), ("unit", 20)])
def test_few_sweeps_and_the_gradient_of_the_scan(kind: Any, method: str, most: int) -> None:
    cell, params, xs = series(kind, 1, jnp.float32)
    solved = jaxnn.solve(cell, method)
    found, (state, ys) = jaxnn.solution(solved, params, xs), cell.unroll(params, xs)
    assert found.converged and 1 < found.sweeps <= most and found.residual <= 1e-6
    assert_close((found.state, found.ys), (state, ys), 1e-5)
    assert_close(loss_of(solved)(params, xs), loss_of(cell)(params, xs), 3e-6)


@pytest.mark.parametrize("kind", [jaxnn.elman, jaxnn.gru, jaxnn.lstm])
@pytest.mark.parametrize("method", ["full", "unit"])
def test_chaos_is_found_out_and_runs_as_it_does(kind: Any, method: str) -> None:
    cell, params, xs = series(kind, 5, jnp.float64, 96)
    solved = jaxnn.solve(cell, method, 1e-12, 20)
    found, want = jaxnn.solution(solved, params, xs), cell.unroll(params, xs)
    assert not found.converged and found.sweeps == 20 and found.residual > 1e-3
    assert_close((found.state, found.ys), want)


def test_the_gradient_of_a_scan_that_was_taken_instead() -> None:
    cell, params, xs = series(jaxnn.lstm, 5, jnp.float64, 96)
    got = loss_of(jaxnn.solve(cell, "unit", 1e-12, 20))(params, xs)
    assert_close(got, loss_of(cell)(params, xs), 1e-9)


def test_what_the_matrices_leave_out_is_in_the_gradient_all_the_same() -> None:
    """A cell of one's own that looks from one sequence into the others, which no column sees."""

    def apply(kernel: Any, state: Any, x: Any) -> Any:
        state = jnp.tanh(x + state @ kernel + jnp.mean(state, axis=0, keepdims=True) / 2)
        return state, state

    cell = jaxnn.cell(
        lambda key: jax.random.normal(key, (4, 4)) / 3,
        apply,
        lambda kernel, batch_shape=(): jnp.zeros((*batch_shape, 4)),
    )
    params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (20, 3, 4))
    for sweeps in (50, 2):
        solved = jaxnn.solve(cell, "full", 1e-13, sweeps)
        got, want = (with_gradients(each.unroll, params, xs) for each in (solved, cell))
        assert_close(got, want)
    assert jaxnn.solution(jaxnn.solve(cell, "full", 1e-13), params, xs).converged


def shape_of(atom: Any) -> tuple[int, ...]:
    return atom.aval.shape


def conditions(jaxpr: Jaxpr, found: list[Any]) -> list[Any]:
    """The shapes of all conditions of loops and branches."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "cond":
            found.append(shape_of(eqn.invars[0]))
        if eqn.primitive.name == "while":
            found.append(shape_of(eqn.params["cond_jaxpr"].jaxpr.outvars[0]))
        for value in eqn.params.values():
            for inner in value if isinstance(value, (list, tuple)) else [value]:
                if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                    conditions(getattr(inner, "jaxpr", inner), found)
    return found


def test_vmap_decides_once() -> None:
    cell, params, xs = series(jaxnn.gru, 1, jnp.float64, 64)
    gains = jnp.array([1.0, 5.0])[:, None, None, None]
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), params)
    many = many._replace(recurrent_kernel=many.recurrent_kernel * gains)
    solved = jaxnn.solve(cell, "unit", 1e-10)

    def each(params: Any) -> Any:
        return jaxnn.solution(solved, params, xs)

    shapes = conditions(jax.make_jaxpr(jax.vmap(each))(many).jaxpr, [])
    assert len(shapes) > 1 and set(shapes) == {()}
    found = jax.vmap(each)(many)
    assert each(params).converged and not found.converged.any()
    want = jax.vmap(lambda params: cell.unroll(params, xs))(many)
    assert_close((found.state, found.ys), want)


def test_a_nan_of_one_sequence_stays_there() -> None:
    cell, params, _ = series(jaxnn.gru, 1, jnp.float64, 8)
    xs = jax.random.normal(jax.random.key(2), (8, 2, 8)).at[3, 1, 0].set(jnp.nan)
    found = jaxnn.solution(jaxnn.solve(cell), params, xs)
    _, ys = cell.unroll(params, xs)
    assert not found.converged and np.isnan(found.residual)
    assert np.array_equal(np.isnan(found.ys), np.isnan(ys))
    assert_close(found.ys[:, 0], ys[:, 0])


def test_a_state_that_a_reset_replaces_may_be_anything() -> None:
    cell, params, xs = series(jaxnn.lstm, 1, jnp.float64, 8)
    state = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), cell.initial_state(params))
    reset = np.arange(8) == 0
    found = jaxnn.solution(jaxnn.solve(cell, tolerance=1e-12), params, xs, state, reset=reset)
    assert found.converged and np.isfinite(found.ys).all()
    assert_close(found.ys, cell.unroll(params, xs, state, reset=reset)[1])


def test_too_few_sweeps_are_not_enough() -> None:
    cell, params, xs = series(jaxnn.gru, 1, jnp.float64)
    found = jaxnn.solution(jaxnn.solve(cell, sweeps=2), params, xs)
    assert not found.converged and found.sweeps == 2 and found.residual > 1e-6
    assert_close(found.ys, cell.unroll(params, xs)[1])


def test_16_bits_need_another_tolerance() -> None:
    cell, params, xs = series(jaxnn.gru, 1, jnp.bfloat16, 64)
    found, want = jaxnn.solution(jaxnn.solve(cell), params, xs), cell.unroll(params, xs)
    assert not found.converged
    assert_close((found.state, found.ys), want)
    assert jaxnn.solution(jaxnn.solve(cell, tolerance=0.01), params, xs).converged


def test_nothing_to_solve() -> None:
    cell, params, xs = series(jaxnn.gru, 1, jnp.float64, 4)
    found = jaxnn.solution(jaxnn.solve(cell), params, xs[:0])
    assert found.converged and found.ys.shape == (0, 16) and found.sweeps == 0
    layers = jaxnn.stack(jaxnn.dense(8, 2, dtype="float64"))
    params = layers.init(jax.random.key(0))
    found = jaxnn.solution(jaxnn.solve(layers), params, xs)
    assert found.converged and found.state == ((),)
    assert_close(found.ys, layers.unroll(params, xs)[1])


def test_keys_are_those_of_the_steps_and_of_one_cell_alone() -> None:
    p, key = problem("own with key"), jax.random.key(3)
    got = jaxnn.solve(p.cell, "full", 1e-13).unroll(p.params, p.xs, p.state, key=key)
    assert_close(got, p.cell.unroll(p.params, p.xs, p.state, key=key))
    stack = problem("stack")
    with pytest.raises(ValueError, match="takes no key"):
        jaxnn.solve(stack.cell).unroll(stack.params, stack.xs, key=key)


def test_a_method_that_is_asked_for_is_taken_and_explained() -> None:
    cell, xs = jaxnn.solve(jaxnn.gru(3, 4)), jax.ShapeDtypeStruct((5, 3), jnp.float32)
    assert str(jaxnn.explain(cell, xs)) == "solve(gru(3, 4)) over float32[5, 3]: newton"
    other = jaxnn.with_method(cell, "sequential")
    assert str(jaxnn.explain(other, xs)) == "gru(3, 4) over float32[5, 3]: sequential"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("gru reset before", "combine: it has a product"),
        ("mgu", "combine: it has a product"),
        ("conv lstm", "units of its state do not lie along one axis"),
        ("own", "the cell is no split"),
        ("own linear", "it is a linear recurrence"),
        ("split that mixes units", "is not seen to act unit by unit"),
        ("split with a crooked mix", "mix: sin of float64.* is not linear in the state"),
        ("stack", "the cell is no split"),
    ],
)
def test_a_unit_that_is_none_is_refused(row: str, reason: str) -> None:
    p = problem(row)
    cell = jaxnn.solve(p.cell, "unit")
    with pytest.raises(ValueError, match=f"^solve.*method 'unit' cannot solve it: .*{reason}"):
        cell.unroll(p.params, p.xs)
    with pytest.raises(ValueError, match="method 'unit' cannot solve it"):
        jaxnn.solution(cell, p.params, p.xs)


def test_states_that_have_no_jacobian_are_refused() -> None:
    def counting(dtype: Any) -> Any:
        return jaxnn.cell(
            lambda key: jnp.zeros(()),
            lambda params, state, x: ((state[0] + x, state[1] + 1), x),
            lambda params, batch_shape=(): (jnp.zeros(batch_shape), jnp.zeros(batch_shape, dtype)),
            event_ndim=0,
        )

    for dtype, reason in ((jnp.int32, "not floating"), (jnp.float32, "differ in dtype")):
        with pytest.raises(ValueError, match=reason):
            jaxnn.solve(counting(dtype)).unroll(jnp.zeros(()), jnp.ones(3))


def test_solution_is_of_solved_cells() -> None:
    cell = build("gru")
    p = problem("gru")
    with pytest.raises(TypeError, match=r"must be one that jaxnn\.solve made, got gru"):
        jaxnn.solution(cell, p.params, p.xs)
    with pytest.raises(TypeError, match="reverse must be known when traced"):
        jax.jit(lambda reverse: jaxnn.solution(jaxnn.solve(cell), p.params, p.xs, reverse=reverse))(
            True
        )


def test_meshes() -> None:
    """Over the devices of a `shard_map`; types that say how they are sharded are refused."""
    cell, params, _ = series(jaxnn.gru, 1, jnp.float64, 4)
    xs = jax.random.normal(jax.random.key(2), (4, 2, 8), jnp.float64)
    solved = jaxnn.solve(cell, "unit", 1e-13)
    mesh = jax.make_mesh((1,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    parts = jax.P(None, "d")

    def ys_of(params: Any, xs: Any) -> Any:
        return solved.unroll(params, xs)[1]

    mapped = jax.shard_map(ys_of, mesh=mesh, in_specs=(jax.P(), parts), out_specs=parts)
    got = with_gradients(jax.jit(mapped), params, xs)
    assert_close(got, with_gradients(lambda params, xs: cell.unroll(params, xs)[1], params, xs))
    explicit = jax.make_mesh((1,), ("d",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(explicit), pytest.raises(ValueError, match="a mesh with automatic axes"):
        solved.unroll(params, jax.device_put(xs, jax.NamedSharding(explicit, parts)))
