"""Large sequences in blocks of time: the same values and gradients, and less memory."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from rows import assert_close, problem, with_gradients

import jaxnn
from jaxnn.recurrence import blocks


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two steps make a block: two blocks, and a step that is left."""
    jax.clear_caches()
    monkeypatch.setattr(blocks, "_steps_of_a_block", lambda *_: 2)
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


def scans(function: Any, *arguments: Any) -> int:
    return str(jax.make_jaxpr(function)(*arguments)).count(" scan[")


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


def test_blocks_save_memory() -> None:
    """No projected input of all steps: 400 · 16 · 1024 numbers for the four gates."""
    cell = jaxnn.lstm(16, 256)
    params = jax.eval_shape(cell.init, jax.random.key(0))
    xs = jax.ShapeDtypeStruct((400, 16, 16), jnp.float32)
    compiled = jax.jit(lambda params, xs: cell.unroll(params, xs)[1]).lower(params, xs).compile()
    memory = compiled.memory_analysis()
    assert memory is not None and memory.temp_size_in_bytes < 400 * 16 * 1024 * 4 / 2
