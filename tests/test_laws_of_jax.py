"""The laws 7 to 9: derivatives of every kind, dtypes, and export, for every row of the table."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jax.test_util import check_grads
from rows import (
    CELLS_AND_MORE,
    DEEP,
    OWN,
    SPIKING,
    Problem,
    assert_close,
    build,
    floating,
    problem,
    sliced,
    weigh,
    with_gradients,
)

import jaxnn

Flat = Callable[[jax.Array], jax.Array]


def flat_functions(p: Problem) -> tuple[Flat, Flat, jax.Array]:
    """The library and the oracle as functions of one vector, and a point."""
    leaves, join = floating(p.arguments())
    point, unravel = ravel_pytree(leaves)

    def flat(unroll: Any, reverse: bool, vector: jax.Array) -> jax.Array:
        params, xs, state, start = join(unravel(vector))
        return ravel_pytree(unroll(params, xs, state, p.mask, p.reset, reverse, start=start))[0]

    return (
        functools.partial(flat, p.cell.unroll, False),
        functools.partial(flat, p.oracle, False),
        point,
    )


def loss_of(flat: Flat, vector: jax.Array) -> jax.Array:
    return weigh(flat(vector)).astype(vector.dtype)


def directions(point: jax.Array) -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(3)
    first, second = (jnp.asarray(rng.normal(size=point.shape), point.dtype) for _ in range(2))
    return first, second


def jvp(flat: Flat, point: jax.Array) -> Any:
    return jax.jvp(flat, (point,), directions(point)[:1])


def gradient(flat: Flat, point: jax.Array) -> Any:
    return jax.grad(functools.partial(loss_of, flat))(point)


def forward_over_reverse(flat: Flat, point: jax.Array) -> Any:
    """The Hessian-vector product."""
    slope = functools.partial(gradient, flat)
    return jax.jvp(slope, (point,), directions(point)[:1])[1]


def reverse_over_reverse(flat: Flat, point: jax.Array) -> Any:
    """The gradient of a gradient."""
    along = directions(point)[0]
    return jax.grad(lambda v: jnp.vdot(gradient(flat, v), along))(point)


def reverse_over_forward(flat: Flat, point: jax.Array) -> Any:
    along = directions(point)[1]
    loss = functools.partial(loss_of, flat)
    return jax.grad(lambda v: jax.jvp(loss, (v,), (along,))[1])(point)


def jacobian(mode: Any, flat: Flat, point: jax.Array) -> Any:
    return mode(flat)(point)


def gradients_of_many(flat: Flat, point: jax.Array) -> Any:
    """vmap(grad), over parameters, inputs and states at once."""
    points = jnp.stack([point, point + directions(point)[0] / 10])
    return jax.vmap(functools.partial(gradient, flat))(points)


def rematerialised(flat: Flat, point: jax.Array) -> Any:
    return gradient(jax.checkpoint(flat), point)


FURTHER = {
    "jvp": jvp,
    "reverse over reverse": reverse_over_reverse,
    "reverse over forward": reverse_over_forward,
    "jacfwd": functools.partial(jacobian, jax.jacfwd),
    "jacrev": functools.partial(jacobian, jax.jacrev),
    "vmap of grad": gradients_of_many,
    "checkpoint": rematerialised,
}


@functools.cache
def rounded(row: str) -> tuple[jax.Array, jax.Array]:
    """A point whose numbers float32 has too, in float64, and the gradient of the loop there."""
    at = flat_functions(problem(row, jnp.dtype("float32"), time=3, batch=(2,)))[2]
    _, loop, _ = flat_functions(problem(row, time=3, batch=(2,)))
    point = at.astype(jnp.float64)
    return point, gradient(loop, point)


def test_law_7_derivatives_are_those_of_the_loop(row: str) -> None:
    library, _, _ = flat_functions(problem(row, time=3, batch=(2,)))
    point, want = rounded(row)
    assert_close(gradient(library, point), want)


def test_law_7_second_derivatives_are_those_of_the_loop(row: str) -> None:
    library, loop, point = flat_functions(problem(row, time=3, batch=(2,)))
    assert_close(*(forward_over_reverse(flat, point) for flat in (library, loop)))


def test_law_7_gradient_in_float32(row: str) -> None:
    """In an optimised program, beside the loop of the same numbers in float64."""
    library, _, point = flat_functions(problem(row, jnp.dtype("float32"), time=3, batch=(2,)))
    _, want = rounded(row)
    assert_close(gradient(library, point).astype(want.dtype), want, 1e-5)


@pytest.mark.parametrize("name", FURTHER)
@pytest.mark.parametrize("deep", DEEP)
def test_law_7_further_derivatives(deep: str, name: str) -> None:
    library, loop, point = flat_functions(problem(deep, time=3, batch=(2,)))
    derivative = FURTHER[name]
    assert_close(derivative(library, point), derivative(loop, point))


@pytest.mark.parametrize("deep", DEEP)
def test_law_7_vmap_over_params(deep: str) -> None:
    p = problem(deep, time=3, batch=(2,))
    many = jax.tree.map(lambda a: jnp.stack([a, a / 2, -a]), p.params)

    def mapped(params: Any) -> Any:
        one = lambda params: p.cell.unroll(params, p.xs, None, p.mask, p.reset)  # noqa: E731
        return jax.vmap(one)(params)

    def in_turn(params: Any) -> Any:
        each = [jax.tree.map(lambda a, n=n: a[n], params) for n in range(3)]
        results = [p.oracle(one, p.xs, None, p.mask, p.reset) for one in each]
        return jax.tree.map(lambda *a: jnp.stack(a), *results)

    assert_close(with_gradients(mapped, many), with_gradients(in_turn, many))


def test_law_7_finite_differences(row: str) -> None:
    if row in SPIKING:
        return
    library, _, point = flat_functions(problem(row, time=3, batch=(2,)))
    smooth = jax.jit(library)
    order = 2 if row in DEEP[:1] else 1
    check_grads(smooth, (point,), order=order, modes=("fwd", "rev"), atol=1e-5, rtol=1e-5)


def floats_as(dtype: Any, xs: Any) -> Any:
    """The floating leaves in another dtype."""
    leaves, join = floating(xs)
    return join([leaf.astype(dtype) for leaf in leaves])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_law_8_dtypes(row: str, dtype: str) -> None:
    p = problem(row, jnp.dtype(dtype), time=3, batch=(2,))
    exact = jnp.float32 if row not in OWN else dtype
    emitted = exact if row.startswith("emitting") else dtype
    before = jax.tree.map(lambda leaf: leaf.dtype, p.cell.initial_state(p.params, (2,)))
    run = functools.partial(p.cell.unroll, mask=p.mask, reset=p.reset)
    (state, ys), (bars, *_) = with_gradients(run, p.params, p.xs)
    once, y = p.cell.apply(p.params, p.state, sliced(p.xs, 0))
    for after in (state, once):
        assert jax.tree.map(lambda leaf: leaf.dtype, after) == before
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype(exact)}
    assert {leaf.dtype for leaf in jax.tree.leaves((ys, y))} == {jnp.dtype(emitted)}
    kinds = jax.tree.map(lambda leaf: leaf.dtype, p.params)
    assert jax.tree.map(lambda leaf: leaf.dtype, bars) == kinds
    # The same numbers in float64 are what this rounds.
    want = problem(row, time=3, batch=(2,))
    wide = jax.tree.map(lambda a, like: a.astype(like.dtype), p.params, want.params)
    _, want_ys = want.oracle(wide, floats_as(jnp.float64, p.xs), None, p.mask, p.reset)
    error = 1e-5 if dtype == "float32" else 5e-2
    assert_close(jax.tree.map(lambda leaf: leaf.astype(jnp.float64), ys), want_ys, error)


@pytest.mark.parametrize("param_dtype", ["bfloat16", "float32", "float64"])
@pytest.mark.parametrize("factory", [jaxnn.elman, jaxnn.lstm, jaxnn.gru])
def test_law_8_parameters_keep_their_dtype(factory: Any, param_dtype: str) -> None:
    cell = factory(3, 4, dtype="bfloat16", param_dtype=param_dtype)
    params = cell.init(jax.random.key(0))
    kinds = {jnp.dtype(param_dtype)}
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == kinds
    (state, ys), (bars, _) = with_gradients(cell.unroll, params, jnp.ones((3, 2, 3), jnp.bfloat16))
    assert {leaf.dtype for leaf in jax.tree.leaves(bars)} == kinds
    assert ys.dtype == jnp.bfloat16 and state.hidden.dtype == jnp.float32


@pytest.mark.parametrize("ours", [row for row in CELLS_AND_MORE if row not in OWN])
def test_law_8_another_dtype_of_xs_is_an_error(ours: str) -> None:
    p = problem(ours)
    for wrong in (jnp.float32, jnp.bfloat16, jnp.int32):
        with pytest.raises(TypeError, match="must be float64, got"):
            p.cell.unroll(p.params, floats_as(wrong, p.xs))
        with pytest.raises(TypeError, match="must be float64, got"):
            p.cell.apply(p.params, p.state, sliced(floats_as(wrong, p.xs), 0))


def exported(function: Any, row: str) -> tuple[Any, Problem]:
    """The function for three platforms, with a symbolic time and batch."""
    p = problem(row, time=3, batch=(2,))
    time, batch = jax.export.symbolic_shape("t, b")

    def symbolic(leading: tuple[Any, ...], leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((*leading, *leaf.shape[len(leading) :]), leaf.dtype)

    shapes = (
        jax.tree.map(functools.partial(symbolic, ()), p.params),
        jax.tree.map(functools.partial(symbolic, (time, batch)), p.xs),
        jax.tree.map(functools.partial(symbolic, (batch,)), p.state),
        symbolic((time, batch), p.mask),
        symbolic((time, batch), p.reset),
    )
    platforms = ("cpu", "cuda", "tpu")
    return jax.export.export(jax.jit(function), platforms=platforms)(*shapes), p


def assert_serves(made: Any, function: Any, row: str, shapes: Any) -> None:
    for time, batch in shapes:
        p = problem(row, time=time, batch=(batch,))
        arguments = (p.params, p.xs, p.state, p.mask, p.reset)
        assert_close(made.call(*arguments), function(*arguments))


@pytest.mark.parametrize("deep", DEEP)
def test_law_9_export_comes_back_from_a_file(deep: str) -> None:
    unroll = build(deep).unroll
    made = exported(unroll, deep)[0]
    again = jax.export.deserialize(made.serialize())
    assert again.platforms == ("cpu", "cuda", "tpu")
    assert_serves(again, unroll, deep, [(3, 2), (5, 3)])


def test_law_9_export_of_the_sequence_and_its_gradient(row: str) -> None:
    unroll = build(row).unroll

    def both(params: Any, xs: Any, state: Any, mask: Any, reset: Any) -> Any:
        leaves, join = floating((params, xs, state))

        def loss(leaves: Any) -> Any:
            params, xs, state = join(leaves)
            state, ys = unroll(params, xs, state, mask, reset)
            return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves((state, ys))), (state, ys)

        return jax.value_and_grad(loss, has_aux=True)(leaves)

    if row.endswith(("associative", "chunked")):
        with pytest.raises(ValueError, match="the number of steps is not known"):
            exported(both, row)
        return
    made, _ = exported(both, row)
    assert_serves(made, both, row, [(3, 2)])
