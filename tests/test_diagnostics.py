"""Jacobians, exponents, singular values, saturation, fixed points and gradients through time,
against what numpy and `jax.jacrev` of a whole sequence give, and against maps of known numbers."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from rows import assert_close, problem

import jaxnn
from jaxnn import diagnostics


@pytest.fixture(autouse=True)
def few_optimizations() -> Iterator[None]:
    """Most of these tests' time is XLA's, for programs that run once."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


SOME = ("lstm peephole", "gru", "own with key", "learned in stack in residual", "conv lstm")


KINDS = (
    "elman relu no bias",
    "lstm peephole",
    "gru reset before",
    "mgu",
    "conv lstm peephole",
    "own with key",
    "own of images",
    "leaky split",
    "split that mixes units",
    "stack of layers",
    "stack with dropout and residual",
    "learned in stack in residual",
    "emitting stack",
)


def flat(state: Any, dimensions: int = 0) -> np.ndarray:
    """The leaves of a state side by side, `(*batch, size)`."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
    return np.concatenate([leaf.reshape(*leaf.shape[:dimensions], -1) for leaf in leaves], -1)


def at(tree: Any, index: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], tree)


@functools.cache
def whole_jacobian(row: str) -> np.ndarray:
    """`jax.jacrev` of the step of the whole batch: `(batch, size, batch, size)`."""
    p = problem(row)
    tree = jax.jit(jax.jacrev(lambda state: p.cell.apply(p.params, state, p.xs[0])[0]))(p.state)
    leaves = [leaf.shape[1:] for leaf in jax.tree.leaves(p.state)]
    blocks = iter(jax.tree.leaves(tree))
    count = len(leaves)
    rows = [
        np.concatenate([np.asarray(next(blocks)).reshape(3, int(np.prod(new)), 3, -1)
                        for _ in range(count)], -1)
        for new in leaves
    ]  # fmt: skip
    return np.concatenate(rows, 1)


@pytest.mark.parametrize("row", KINDS)
def test_the_jacobian_of_every_kind_of_cell(row: str) -> None:
    """Its blocks are those of the whole batch's Jacobian, and nothing is outside of them; the
    operator's products are those of the matrix."""
    p, whole = problem(row), whole_jacobian(row)
    jacobian = diagnostics.step_jacobian(p.cell, p.params, p.state, p.xs[0])
    for one in range(3):
        for other in range(3):
            want = jacobian[one] if one == other else np.zeros_like(jacobian[one])
            np.testing.assert_allclose(whole[one, :, other], want, atol=1e-12)
    step = diagnostics.step_operator(p.cell, p.params, p.state, p.xs[0])
    assert_close(step.state, p.cell.apply(p.params, p.state, p.xs[0])[0], 1e-12)
    tangent = jax.tree.map(lambda leaf: jnp.cos(3 * leaf), p.state)
    columns, vector = np.asarray(jacobian), flat(tangent, 1)
    forward, backward = flat(step.jvp(tangent), 1), flat(step.vjp(tangent), 1)
    np.testing.assert_allclose(forward, np.einsum("bij,bj->bi", columns, vector), atol=1e-12)
    np.testing.assert_allclose(backward, np.einsum("bij,bi->bj", columns, vector), atol=1e-12)


def test_a_step_that_mixes_the_batch_is_measured_one_by_one() -> None:
    """Each sequence as if it were alone: here it is its own mean."""
    cell = jaxnn.cell(
        lambda key: jnp.zeros(1),
        lambda params, state, x: (
            (state - jnp.mean(state, 0, keepdims=True), state)
            if state.ndim > 1
            else (2 * state, state)
        ),
        lambda params, batch_shape=(): jnp.zeros((*batch_shape, 2)),
    )
    jacobian = diagnostics.step_jacobian(cell, jnp.zeros(1), jnp.ones((3, 2)), jnp.zeros((3, 1)))
    np.testing.assert_array_equal(jacobian, np.tile(2 * np.eye(2), (3, 1, 1)))


@pytest.mark.parametrize("batch", [(), (2, 2)])
def test_any_batch(batch: tuple[int, ...]) -> None:
    """All functions, with no batch and with two dimensions of it: each sequence as by itself."""
    p = problem("lstm peephole", batch=batch)

    def everything(state: Any, xs: Any) -> Any:
        run = functools.partial(diagnostics.lyapunov_exponents, p.cell, p.params)
        found = run(xs, 3, state, warmup=1)
        return {
            "jacobian": diagnostics.step_jacobian(p.cell, p.params, state, xs[0]),
            "exponents": found.exponents,
            "growth": jnp.moveaxis(found.growth, 0, -1),
            "values": jnp.moveaxis(
                diagnostics.gap_singular_values(p.cell, p.params, xs, 3, state), 0, -1
            ),
            "norms": jnp.moveaxis(
                diagnostics.gradient_norms(p.cell, p.params, xs, lambda y: jnp.sum(y**2), state),
                0,
                -1,
            ),
        }

    found = everything(p.state, p.xs)
    for index in np.ndindex(batch):
        alone = everything(at(p.state, index), p.xs[(slice(None), *index)])
        assert_close(at(found, index), alone, 1e-10)


@pytest.mark.parametrize("row", SOME)
def test_singular_values_are_those_of_the_whole_way(row: str) -> None:
    """Of `jacrev` from a state to the state three steps later, for each window and sequence."""
    p = problem(row)
    values = np.asarray(diagnostics.gap_singular_values(p.cell, p.params, p.xs, 3, p.state))
    outline = jax.eval_shape(lambda: p.cell.initial_state(p.params))
    for one in (0, 2):
        state = at(p.state, one)

        def later(state: Any, xs: Any) -> Any:
            return p.cell.unroll(p.params, xs, state)[0]

        derivative = jax.jit(jax.jacrev(later))
        for t in range(3):
            tree = jax.tree.leaves(derivative(state, p.xs[t : t + 3, one]))
            sizes = [int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(outline)]
            count = len(sizes)
            matrix = np.block([
                [np.asarray(tree[i * count + j]).reshape(sizes[i], sizes[j]) for j in range(count)]
                for i in range(count)
            ])  # fmt: skip
            want = np.linalg.svd(matrix, compute_uv=False)
            np.testing.assert_allclose(values[t, one], want, atol=1e-10 * want[0])
            state, _ = p.cell.apply(p.params, state, p.xs[t, one])


@pytest.mark.parametrize("gap", [1, 2, 5, 6, 7])
def test_windows_of_every_width(gap: int) -> None:
    """Against the products written out, with a factor that float64 cannot hold in between."""
    weights = np.random.default_rng(0).normal(size=(7, 3, 3))
    cell = linear(3)
    xs = jnp.asarray(weights.reshape(7, 9))
    values = diagnostics.gap_singular_values(cell, jnp.zeros(1), xs, gap)
    for t in range(8 - gap):
        product = functools.reduce(lambda done, new: new @ done, weights[t : t + gap])
        want = np.linalg.svd(product, compute_uv=False)
        np.testing.assert_allclose(values[t], want, rtol=1e-9)
    values = diagnostics.gap_singular_values(cell, jnp.zeros(1), 1e100 * xs, 7)
    assert np.isinf(values[0, 0])
    small = jnp.tile(jnp.diag(jnp.array([2.0, 1.0, 1e-4])).reshape(1, 9), (7, 1))
    values = diagnostics.gap_singular_values(cell, jnp.zeros(1), small, gap)
    want = np.array([2.0, 1.0, 1e-4]) ** gap
    np.testing.assert_allclose(values[0], np.where(want > 1e-15 * want[0], want, 0), rtol=1e-9)
    up_and_down = xs * jnp.array([1e200, 1e200, 1e-200, 1e-200, 1e200, 1e-200, 1.0])[:, None]
    values = diagnostics.gap_singular_values(cell, jnp.zeros(1), up_and_down, 7)
    want = np.linalg.svd(functools.reduce(lambda a, b: b @ a, weights), compute_uv=False)
    np.testing.assert_allclose(values[0], want, rtol=1e-9)


def linear(size: int) -> jaxnn.Cell:
    """s' = A s, with the A of each step as its input."""
    return jaxnn.cell(
        _no_params,
        functools.partial(_linear_step, size),
        functools.partial(_ones_state, size),
    )


def _no_params(key: Any) -> Any:
    return jnp.zeros(1)


def _linear_step(size: int, params: Any, state: Any, x: Any) -> Any:
    matrix = x.reshape(*x.shape[:-1], size, size)
    state = jnp.einsum("...ij,...j->...i", matrix, state)
    return state, state


def _ones_state(size: int, params: Any, batch_shape: tuple[int, ...] = ()) -> Any:
    return jnp.ones((*batch_shape, size))


def test_masked_windows_are_nan() -> None:
    p = problem("gru")
    values = diagnostics.gap_singular_values(p.cell, p.params, p.xs, 2, p.state, p.mask)
    whole = p.mask[:-1] & p.mask[1:]
    np.testing.assert_array_equal(np.isfinite(values).all(-1), whole)
    np.testing.assert_array_equal(np.isnan(values).any(-1), ~whole)
    valid = p.mask[:, 1]
    alone = diagnostics.gap_singular_values(p.cell, p.params, p.xs[valid, 1], 1, at(p.state, 1))
    values = diagnostics.gap_singular_values(p.cell, p.params, p.xs, 1, p.state, p.mask)
    np.testing.assert_allclose(values[valid, 1], alone, rtol=1e-10)


# Lyapunov exponents -------------------------------------------------------------------------------


def test_exponents_of_a_linear_map_are_the_logarithms_of_its_eigenvalues() -> None:
    """With non-orthogonal eigenvectors, and a pair of complex ones."""
    basis = np.random.default_rng(3).normal(size=(4, 4))
    turn = 0.8 * np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
    diagonal = np.zeros((4, 4))
    diagonal[:2, :2], diagonal[2, 2], diagonal[3, 3] = turn, 1.3, -0.2
    matrix = basis @ diagonal @ np.linalg.inv(basis)
    xs = jnp.tile(jnp.asarray(matrix).reshape(1, 16), (4000, 1))
    found = diagnostics.lyapunov_exponents(linear(4), jnp.zeros(1), xs, 4, warmup=200)
    want = np.log([1.3, 0.8, 0.8, 0.2])
    np.testing.assert_allclose(found.exponents, want, atol=1e-3)
    np.testing.assert_allclose(found.exponents.sum(), want.sum(), atol=1e-12)  # ln |det|, exactly
    largest = diagnostics.lyapunov_exponents(linear(4), jnp.zeros(1), xs, warmup=200)
    np.testing.assert_allclose(largest.exponents, found.exponents[:1], rtol=1e-12)


def test_the_axes_do_not_hide_the_largest_exponent() -> None:
    """In a diagonal map each axis is invariant, and the largest stands last."""
    xs = jnp.tile(jnp.diag(jnp.array([0.1, 0.5, 0.9])).reshape(1, 9), (2000, 1))
    found = diagnostics.lyapunov_exponents(linear(3), jnp.zeros(1), xs, warmup=1000)
    np.testing.assert_allclose(found.exponents, [np.log(0.9)], atol=1e-9)


def test_the_logistic_map() -> None:
    """At r = 4 its exponent is ln 2."""
    logistic = jaxnn.cell(
        lambda key: jnp.array(4.0),
        lambda rate, s, x: (rate * s * (1 - s), s),
        lambda rate, batch_shape=(): jnp.full((*batch_shape, 1), 0.3),
    )
    states = jnp.array([[0.3], [0.123]])
    xs = jnp.zeros((20_000, 2, 1))
    found = diagnostics.lyapunov_exponents(logistic, jnp.array(4.0), xs, state=states, warmup=100)
    np.testing.assert_allclose(found.exponents[:, 0], np.log(2), atol=3e-3)


def henon_step(params: Any, state: Any, x: Any) -> Any:
    """x' = 1 − a x² + y, y' = b x, in two leaves of the state."""
    a, b = params
    new = {"x": 1 - a * state["x"] ** 2 + state["y"], "y": b * state["x"]}
    return new, new["x"]


def henon_state(params: Any, batch_shape: tuple[int, ...] = ()) -> Any:
    return {"x": jnp.full(batch_shape, 0.1), "y": jnp.full(batch_shape, 0.1)}


HENON = jaxnn.cell(lambda key: (jnp.array(1.4), jnp.array(0.3)), henon_step, henon_state)
CLASSIC = (jnp.array(1.4), jnp.array(0.3))


def test_the_henon_map() -> None:
    """0.419 and −1.623 at a = 1.4, b = 0.3; their sum is ln b at every step."""
    xs = jnp.zeros((20_000, 1))
    found = diagnostics.lyapunov_exponents(HENON, CLASSIC, xs, 2, warmup=100)
    np.testing.assert_allclose(found.exponents, [0.419, -1.623], atol=4e-3)
    np.testing.assert_allclose(found.growth.sum(-1), np.log(0.3), atol=1e-12)
    np.testing.assert_allclose(found.growth[100:].mean(0), found.exponents, rtol=1e-10)


@pytest.mark.parametrize("row", ["lstm peephole", "learned in stack in residual"])
def test_all_exponents_together_are_the_determinant(row: str) -> None:
    """Of the dense Jacobians along the way, under the mask and in each sequence."""
    p = problem(row)
    xs = jnp.where(p.mask[..., None], p.xs, jnp.nan)
    size = flat(p.state, 1).shape[-1]
    found = diagnostics.lyapunov_exponents(p.cell, p.params, xs, size, p.state, p.mask)
    state, want = p.state, np.zeros((5, 3))
    for t in range(5):
        jacobian = diagnostics.step_jacobian(p.cell, p.params, state, p.xs[t])
        want[t] = np.where(p.mask[t], np.linalg.slogdet(np.asarray(jacobian))[1], 0)
        new, _ = p.cell.apply(p.params, state, p.xs[t])
        state = jax.tree.map(
            lambda new, old, t=t: jnp.where(p.mask[t].reshape(3, *(1,) * (new.ndim - 1)), new, old),
            new,
            state,
        )
    np.testing.assert_allclose(found.growth.sum(-1), want, atol=1e-9)
    steps = p.mask.sum(0)
    np.testing.assert_allclose(
        found.exponents.sum(-1)[:-1], want.sum(0)[:-1] / steps[:-1], atol=1e-9
    )
    assert steps[-1] == 0 and np.isnan(found.exponents[-1]).all()


def test_the_first_state_is_the_cells_own() -> None:
    """The learned one, where none is given."""
    p = problem("learned")
    given = p.cell.initial_state(p.params, (3,))
    for run in (
        lambda **more: diagnostics.lyapunov_exponents(p.cell, p.params, p.xs, 2, **more),
        lambda **more: diagnostics.gap_singular_values(p.cell, p.params, p.xs, 5, **more),
        lambda **more: diagnostics.gradient_norms(p.cell, p.params, p.xs, jnp.sum, **more),
    ):
        assert_close(run(), run(state=given), 1e-12)
        some = jax.tree.leaves(run())[0]
        other = jax.tree.leaves(run(state=p.state))[0]
        assert np.abs(np.asarray(some - other)).max() > 1e-3


# Gates --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ["lstm peephole", "gru", "conv lstm"])
def test_saturation_counts(row: str) -> None:
    """Against a loop over steps and sequences, with NaN behind the mask."""
    p = problem(row)
    hidden = np.asarray(p.mask).reshape(*p.mask.shape, *(1,) * p.event_ndim)
    xs = jnp.where(hidden, p.xs, jnp.nan)
    found = diagnostics.gate_saturation(p.cell, p.params, xs, p.state, p.mask, 0.4, 0.55)
    seen = []
    for one in range(3):
        state = at(p.state, one)
        for t in range(5):
            if p.mask[t, one]:
                seen.append(jaxnn.gates(p.cell, p.params, state, p.xs[t, one]))
                state, _ = p.cell.apply(p.params, state, p.xs[t, one])
    gates = jax.tree.map(lambda *leaves: np.stack(leaves), *seen)
    assert_close(found.left, jax.tree.map(lambda gate: np.mean(gate < 0.4, 0), gates), 1e-12)
    assert_close(found.right, jax.tree.map(lambda gate: np.mean(gate > 0.55, 0), gates), 1e-12)
    assert 0 < np.mean(found.left[0]) < 1 and 0 < np.mean(found.right[0]) < 1


def test_saturation_of_nothing_is_not_a_number() -> None:
    p = problem("gru")
    found = diagnostics.gate_saturation(p.cell, p.params, p.xs, mask=np.zeros((5, 3), bool))
    assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(found))


# Gradients through time ---------------------------------------------------------------------------


@pytest.mark.parametrize("row", SOME)
def test_gradient_norms_are_those_of_the_rest_of_the_sequence(row: str) -> None:
    """At each distance, `jax.grad` by the state from which the rest of the sequence begins."""
    p = problem(row)
    # The valid steps of a sequence alone, and the one that has none.
    found = diagnostics.gradient_norms(p.cell, p.params, p.xs, weighed, p.state, p.mask)
    assert np.isnan(found[:, -1]).all()

    def rest(state: Any, xs: Any) -> Any:
        y = jnp.zeros(0)
        for x in xs:
            state, y = p.cell.apply(p.params, state, x)
        return weighed(y)

    for one in (0, 1):
        state, xs = at(p.state, one), p.xs[np.asarray(p.mask[:, one]), one]
        for t in range(len(xs)):
            want = np.linalg.norm(flat(jax.grad(rest)(state, xs[t:])))
            np.testing.assert_allclose(found[len(xs) - 1 - t, one], want, rtol=1e-9)
            state, _ = p.cell.apply(p.params, state, xs[t])
        assert np.isnan(found[len(xs) :, one]).all()


def weighed(y: Any) -> Any:
    """A loss of which each sequence has its own part."""
    return sum(jnp.sum(leaf + 0.5 * leaf**2) for leaf in jax.tree.leaves(y))


def test_gradient_norms_neither_vanish_nor_overflow_before_the_gradient_does() -> None:
    """Squares of 1e-30 are zero in float32, squares of 1e30 infinite."""
    for factor in (1e-30, 1e30):
        xs = jnp.full((1, 1), factor, jnp.float32)
        cell = jaxnn.cell(
            lambda key: jnp.zeros(1, jnp.float32),
            lambda params, state, x: (x * state, x * state),
            lambda params, batch_shape=(): jnp.ones((*batch_shape, 2), jnp.float32),
        )
        found = diagnostics.gradient_norms(cell, jnp.zeros(1, jnp.float32), xs, jnp.sum)
        np.testing.assert_allclose(found, [factor * 2**0.5], rtol=1e-5)
        assert found.dtype == jnp.float32


# Fixed points -------------------------------------------------------------------------------------


def test_the_fixed_points_of_the_henon_map() -> None:
    """Two, by the quadratic formula, and the eigenvalues of [[−2 a x, 1], [b, 0]]."""
    rng = np.random.default_rng(0)
    starts = {"x": jnp.asarray(rng.uniform(-2, 2, 40)), "y": jnp.asarray(rng.uniform(-1, 1, 40))}
    found = diagnostics.fixed_points(HENON, CLASSIC, starts, jnp.zeros(1))
    assert int(found.distinct) == 2 and found.residual[:2].max() < 1e-14
    assert found.hits[0] >= found.hits[1] > 0 and (found.hits[2:] == 0).all()
    roots = np.roots([1.4, 0.7, -1.0])
    for x, y, values in zip(
        found.state["x"][:2], found.state["y"][:2], found.eigenvalues[:2], strict=True
    ):
        assert np.abs(roots - float(x)).min() < 1e-12 and abs(y - 0.3 * x) < 1e-12
        want = np.linalg.eigvals([[-2.8 * float(x), 1], [0.3, 0]])
        np.testing.assert_allclose(values, want[np.argsort(-abs(want))], atol=1e-10)
    failed = (found.hits == 0) & (found.residual > 1e-5)
    assert found.hits.sum() + failed.sum() == 40


def test_without_fixed_points_none_are_given() -> None:
    """h' = h + 1 + h²: the searches end at the slowest point, h = 0, and say so."""
    cell = jaxnn.cell(
        lambda key: jnp.zeros(1),
        lambda params, h, x: (h + 1 + h**2, h),
        lambda params, batch_shape=(): jnp.zeros((*batch_shape, 1)),
    )
    starts = jnp.array([[3.0], [-0.5], [jnp.nan]])
    found = diagnostics.fixed_points(cell, jnp.zeros(1), starts, jnp.zeros(1))
    assert int(found.distinct) == 0 and (found.hits == 0).all()
    np.testing.assert_allclose(found.residual[:2], 1, atol=1e-6)
    np.testing.assert_allclose(found.state[:2], 0, atol=1e-3)
    assert np.isnan(found.residual[2])


def test_a_search_that_is_cut_short_says_so() -> None:
    p = problem("lstm peephole")
    starts = jax.tree.map(lambda leaf: 3 * leaf, p.state)
    short = diagnostics.fixed_points(p.cell, p.params, starts, p.xs[0, 0], iterations=1)
    assert int(short.distinct) == 0 and (short.residual > 1e-5).all()
    long = diagnostics.fixed_points(p.cell, p.params, starts, p.xs[0, 0])
    assert int(long.distinct) == 1 and long.hits.tolist() == [3, 0, 0]
    assert (long.residual < 1e-5).all()  # the other two are repetitions


@pytest.mark.parametrize("row", ["lstm peephole", "gru", "learned in stack in residual"])
def test_fixed_points_stay_and_their_eigenvalues_are_those_of_the_jacobian(row: str) -> None:
    """And derivatives by params and input are those of the point, solved for anew."""
    p = problem(row)
    params = jax.tree.map(lambda leaf: 0.5 * leaf, p.params)
    starts, x = at(p.state, slice(2)), p.xs[0, 0]

    def point(params: Any, x: Any) -> Any:
        found = diagnostics.fixed_points(p.cell, params, starts, x, tolerance=1e-9)
        return at(found.state, 0), found

    state, found = point(params, x)
    assert int(found.distinct) == 1
    assert_close(p.cell.apply(params, state, x)[0], state, 1e-8)
    jacobian = np.asarray(diagnostics.step_jacobian(p.cell, params, state, x))
    want = np.linalg.eigvals(jacobian)
    np.testing.assert_allclose(np.abs(found.eigenvalues[0]), np.sort(np.abs(want))[::-1], atol=1e-7)

    def size(params: Any, x: Any) -> Any:
        return weighed(point(params, x)[0])

    gradients = jax.grad(size, (0, 1))(params, x)
    direction = jax.tree.map(lambda leaf: jnp.cos(7 * leaf), (params, x))
    got = sum(
        jnp.vdot(*pair)
        for pair in zip(jax.tree.leaves(gradients), jax.tree.leaves(direction), strict=True)
    )

    def moved(by: float) -> Any:
        return size(*jax.tree.map(lambda a, b: a + by * b, (params, x), direction))

    np.testing.assert_allclose(got, (moved(1e-5) - moved(-1e-5)) / 2e-5, rtol=1e-5)


def test_second_derivatives_of_a_fixed_point() -> None:
    """h = cos(a h): implicitly h' = −h sin / (1 + a sin), and once more."""
    cell = jaxnn.cell(
        lambda key: jnp.array(1.0),
        lambda a, h, x: (jnp.cos(a * h), h),
        lambda a, batch_shape=(): jnp.zeros((*batch_shape, 1)),
    )

    def h(a: Any) -> Any:
        found = diagnostics.fixed_points(cell, a, jnp.array([[0.5]]), jnp.zeros(1))
        return found.state[0, 0]

    a = jnp.array(0.8)
    s = jnp.sin(a * h(a))
    np.testing.assert_allclose(jax.grad(h)(a), -h(a) * s / (1 + a * s), rtol=1e-10)
    second = (jax.grad(h)(a + 1e-5) - jax.grad(h)(a - 1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(jax.grad(h))(a), second, rtol=1e-6)
    np.testing.assert_allclose(jax.jacfwd(jax.grad(h))(a), second, rtol=1e-6)
    many = jax.vmap(h)(jnp.array([0.5, 0.8]))
    np.testing.assert_allclose(many[1], h(a), rtol=1e-12)


def test_points_that_are_near_count_as_one_or_two() -> None:
    cell = jaxnn.cell(
        lambda key: jnp.zeros(1),
        lambda params, h, x: (h - 0.5 * h * (h - 0.3), h),
        lambda params, batch_shape=(): jnp.zeros((*batch_shape, 1)),
    )
    starts = jnp.array([[-0.1], [0.4], [0.5]])
    run = functools.partial(diagnostics.fixed_points, cell, jnp.zeros(1), starts, jnp.zeros(1))
    assert int(run().distinct) == 2 and run().hits.tolist() == [2, 1, 0]
    assert int(run(apart=0.5).distinct) == 1 and run(apart=0.5).hits.tolist() == [3, 0, 0]


# Everywhere ---------------------------------------------------------------------------------------


def _moduli(cell: Any, params: Any, xs: Any) -> Any:
    """The fixed points for one input, and the moduli of their eigenvalues."""
    x = xs[(0,) * (xs.ndim - 1)]
    found = diagnostics.fixed_points(cell, params, cell.initial_state(params, (1,)), x)
    return found._replace(eigenvalues=jnp.abs(found.eigenvalues))


Runs = dict[str, Any]
RUNS: Runs = {
    "step_jacobian": lambda cell, params, xs: diagnostics.step_jacobian(
        cell, params, cell.initial_state(params, xs.shape[1:-1]), xs[0]
    ),
    "step_operator": lambda cell, params, xs: diagnostics.step_operator(
        cell, params, cell.initial_state(params, xs.shape[1:-1]), xs[0]
    ).vjp(cell.initial_state(params, xs.shape[1:-1])),
    "lyapunov_exponents": lambda cell, params, xs: diagnostics.lyapunov_exponents(
        cell, params, xs, 2
    ),
    "gap_singular_values": lambda cell, params, xs: diagnostics.gap_singular_values(
        cell, params, xs, 2
    ),
    "gate_saturation": lambda cell, params, xs: diagnostics.gate_saturation(cell, params, xs),
    "gradient_norms": lambda cell, params, xs: diagnostics.gradient_norms(
        cell, params, xs, weighed
    ),
    "fixed_points": _moduli,
}


@pytest.mark.parametrize("name", RUNS)
def test_jit_vmap_and_dtypes(name: str) -> None:
    """jit is eager, vmap over params is a loop, and each dtype gives what float64 gives."""
    run, p = RUNS[name], problem("gru")
    want = run(p.cell, p.params, p.xs)
    assert_close(jax.jit(functools.partial(run, p.cell))(p.params, p.xs), want, 1e-9)
    twice = jax.tree.map(lambda leaf: jnp.stack([0.5 * leaf, leaf], axis=-1), p.params)
    mapped = jax.vmap(functools.partial(run, p.cell), (-1, None))(twice, p.xs)
    assert_close(at(mapped, 1), want, 1e-9)
    for dtype, tolerance in (("float32", 1e-4), ("bfloat16", 0.3)):
        q = problem("gru", jnp.dtype(dtype))
        got = run(q.cell, q.params, q.xs)
        if name == "fixed_points":
            assert got.residual.dtype == jnp.float32
            assert int(got.distinct) == 1 or dtype != "float32"
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            assert a.dtype != jnp.dtype(dtype) or dtype == "float32"
            if name not in ("fixed_points", "gate_saturation"):
                np.testing.assert_allclose(a, b, atol=tolerance * max(1, np.abs(b).max()))


@pytest.mark.parametrize("name", [name for name in RUNS if name != "gate_saturation"])
def test_gradients(name: str) -> None:
    """Reverse mode is what differences are, through every function but the one that counts."""
    run, p = RUNS[name], problem("lstm peephole")

    def total(scale: Any) -> Any:
        found = run(p.cell, jax.tree.map(lambda leaf: scale * leaf, p.params), p.xs)
        found = found.state if name == "fixed_points" else found
        return weighed(found)

    one = jnp.array(1.0)
    slope = (total(one + 1e-5) - total(one - 1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(total)(one), slope, rtol=1e-5)
    np.testing.assert_allclose(jax.jacfwd(total)(one), slope, rtol=1e-5)


@pytest.mark.parametrize("name", RUNS)
def test_export(name: str) -> None:
    """For each platform, with a batch and, where it can be, a time of any size."""
    run, p = RUNS[name], problem("gru", jnp.float32)
    time, batch = jax.export.symbolic_shape("t, b", constraints=["t >= 2"])
    xs = jax.ShapeDtypeStruct((time, batch, 3), jnp.float32)
    # JAX has no eigenvalues of general matrices on a TPU.
    platforms = ["cpu"] if name == "fixed_points" else ["cpu", "cuda", "tpu"]
    exported = jax.export.export(
        jax.jit(lambda params, xs: jax.tree.leaves(run(p.cell, params, xs))), platforms=platforms
    )(p.params, xs)
    again = jax.export.deserialize(exported.serialize())
    got = again.call(p.params, p.xs)
    assert_close(got, jax.tree.leaves(run(p.cell, p.params, p.xs)), 1e-5)


@pytest.mark.parametrize("name", sorted(set(RUNS) - {"gate_saturation", "step_operator"}))
def test_a_second_call_does_not_trace_again(name: str) -> None:
    """But for the check of its arguments, which asks for one step's shapes."""
    counts, traces = [], []

    def apply(params: Any, state: Any, x: Any) -> Any:
        traces.append(None)
        return params * jnp.sin(state) + x, state

    def initial_state(params: Any, batch_shape: tuple[int, ...] = ()) -> Any:
        return jnp.zeros((*batch_shape, 3))

    cell = jaxnn.cell(lambda key: jnp.array(0.5), apply, initial_state)
    for seed in range(2):
        traces.clear()
        RUNS[name](cell, jnp.array(0.5), jnp.full((4, 2, 3), float(seed)))
        counts.append(len(traces))
    assert counts[1] <= 1 < counts[0]


def test_tokens_and_no_steps() -> None:
    """An integer input, and a sequence of one step or of none."""
    cell = jaxnn.stack(jaxnn.embedding(5, 3), jaxnn.gru(3, 4))
    params = cell.init(jax.random.key(0))
    tokens = jnp.array([[1, 2], [0, 4]])
    assert diagnostics.lyapunov_exponents(cell, params, tokens).exponents.shape == (2, 1)
    assert diagnostics.gradient_norms(cell, params, tokens, weighed).shape == (2, 2)
    start = cell.initial_state(params, (1,))
    found = diagnostics.fixed_points(cell, params, start, tokens[0, 0])
    assert int(found.distinct) == 1

    def size(params: Any) -> Any:
        return weighed(diagnostics.fixed_points(cell, params, start, tokens[0, 0]).state)

    gradient = jax.grad(size)(params)
    assert np.abs(gradient[0].table[1]).max() > 0 == np.abs(gradient[0].table[0]).max()
    none = diagnostics.lyapunov_exponents(cell, params, tokens[:0])
    assert np.isnan(none.exponents).all() and none.growth.shape == (0, 2, 1)
    assert diagnostics.gradient_norms(cell, params, tokens[:0], weighed).shape == (0, 2)
