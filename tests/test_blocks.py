"""Large sequences in blocks of time: the same values and gradients, and less memory."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from rows import assert_close, problem, with_gradients
from test_rule import census

import jaxnn
from jaxnn.internal.pinned import pinned
from jaxnn.recurrence import methods


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two steps make a block: two blocks, and a step that is left."""
    jax.clear_caches()
    monkeypatch.setattr(methods, "steps_of_a_block", lambda *_: 2)
    yield
    jax.clear_caches()


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("row", ["lstm peephole", "gru reset before", "conv lstm", "leaky split"])
def test_blocks_are_the_sequence(row: str) -> None:
    p = problem(row)

    def run(unroll: Any, reverse: bool, params: Any, xs: Any, state: Any, start: Any) -> Any:
        return unroll(params, xs, state, p.mask, p.reset, reverse, start=start)

    for reverse in (False, True):
        library, by_hand = (
            functools.partial(run, unroll, reverse) for unroll in (p.cell.unroll, p.oracle)
        )
        want = with_gradients(by_hand, *p.arguments())
        assert_close(library(*p.arguments()), want[0])
        assert_close(with_gradients(library, *p.arguments()), want)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("row", ["lstm", "split that mixes units", "split with a crooked mix"])
@pytest.mark.parametrize("batch", [5, 3])  # as many as there are steps, and fewer
def test_a_derivative_of_mapped_blocks(row: str, batch: int) -> None:
    """The graph of a `vmap` is differentiated: jax lays the results out as the blocks do."""
    p = problem(row, batch=(batch,))

    def native(xs: Any) -> Any:
        return p.cell.unroll(p.params, xs, mask=p.mask)

    @jax.jit
    def mapped(xs: Any) -> Any:
        one = lambda xs, mask: p.cell.unroll(p.params, xs, mask=mask)  # noqa: E731
        return jax.vmap(one, (1, 1), (0, 1))(xs, p.mask)

    along = (p.xs,), (jnp.cos(p.xs),)
    assert_close(jax.jvp(mapped, *along), jax.jvp(native, *along))
    assert_close(with_gradients(mapped, p.xs), with_gradients(native, p.xs))


def test_pinned_results_are_batched_in_front() -> None:
    """Where jax takes the batch axis of a `custom_jvp` from its function, both have the same."""

    @jax.custom_jvp
    def double(x: jax.Array, a: float) -> jax.Array:
        return pinned(x * a, (x, a))

    @double.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        loop = lambda x, a: jax.lax.scan(lambda c, v: (c, v * a), 0.0, x)[1]  # noqa: E731
        value, dot = jax.jvp(loop, primals, tangents)
        return pinned(value, primals), dot

    for width in (5, 3):
        x = jnp.arange(3.0 * width).reshape(3, width)
        mapped = jax.jit(lambda x: jax.vmap(lambda x: double(x, 2.0))(x))
        value, dot = jax.jvp(mapped, (x,), (jnp.ones_like(x),))
        assert_close((value, dot), (2 * x, jnp.full_like(x, 2.0)))
        squared = lambda x, mapped=mapped: jnp.sum(mapped(x) ** 2)  # noqa: E731
        second = jax.jvp(jax.grad(squared), (x,), (x,))
        assert_close(second, (8 * x, 8 * x))


def scans(function: Any, *arguments: Any) -> int:
    return len(census(function, *arguments).loops)


def test_only_what_is_large_and_not_differentiated_runs_in_blocks() -> None:
    cell = jaxnn.lstm(256, 256)
    params = jax.eval_shape(cell.init, jax.random.key(0))
    large = jax.ShapeDtypeStruct((100, 64, 256), jnp.float32)
    small = jax.ShapeDtypeStruct((100, 8, 256), jnp.float32)

    def loss(params: Any, xs: Any) -> jax.Array:
        return jnp.sum(cell.unroll(params, xs)[1])

    assert scans(loss, params, small) == 1
    assert scans(loss, params, large) == 3  # the steps that are left; the blocks, and their steps
    assert scans(jax.grad(loss), params, large) == scans(jax.grad(loss), params, small) == 2


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="blocks are for a CPU's caches")
def test_blocks_save_memory() -> None:
    """No projected input of all steps: 400 · 16 · 1024 numbers for the four gates."""
    cell = jaxnn.lstm(16, 256)
    params = jax.eval_shape(cell.init, jax.random.key(0))
    xs = jax.ShapeDtypeStruct((400, 16, 16), jnp.float32)
    compiled = jax.jit(lambda params, xs: cell.unroll(params, xs)[1]).lower(params, xs).compile()
    memory = compiled.memory_analysis()
    assert memory is not None and memory.temp_size_in_bytes < 400 * 16 * 1024 * 4 / 2
