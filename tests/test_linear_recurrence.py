"""`linear_recurrence` against a plain loop, by every method: values, derivatives of all orders."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rows import assert_close, with_gradients

import jaxnn

METHODS = ("scan", "associative", "chunked", None)
TIME, BATCH, UNITS = 7, 3, 2


class Numbers:
    """What goes in, of one dtype; a complex one too."""

    def __init__(self, dtype: Any, constant: bool = False, time: int = TIME) -> None:
        rng = np.random.default_rng(3)

        def draw(*shape: int) -> jax.Array:
            drawn = rng.normal(size=shape)
            if jnp.issubdtype(dtype, jnp.complexfloating):
                drawn = drawn + 1j * rng.normal(size=shape)
            return jnp.asarray(drawn / 2, dtype)

        self.a = draw(UNITS) if constant else draw(time, BATCH, UNITS)
        self.b = draw(time, BATCH, UNITS)
        self.state, self.start = draw(BATCH, UNITS), draw(BATCH, UNITS)
        self.mask = rng.random((time, BATCH)) < 0.7
        self.reset = rng.random((time, BATCH)) < 0.4
        if time:
            self.mask[:, 0], self.reset[[0, -1], 0] = True, True

    @property
    def given(self) -> tuple[Any, ...]:
        return self.a, self.b, self.state, self.start


def loop(
    a: Any, b: Any, state: Any, start: Any, mask: Any = None, reset: Any = None,
    reverse: bool = False,
) -> Any:  # fmt: skip
    """The oracle: one step after the other, with plain `where`s."""
    states: list[Any] = [None] * len(b)
    for t in reversed(range(len(b))) if reverse else range(len(b)):
        valid = jnp.ones(b.shape[1:2], bool) if mask is None else mask[t]
        fresh = valid & (jnp.zeros_like(valid) if reset is None else reset[t])
        if not reverse:
            state = jnp.where(fresh[:, None], start, state)
        state = jnp.where(
            valid[:, None], (a[t] if a.ndim == b.ndim else a[None]) * state + b[t], state
        )
        states[t] = state
        if reverse:
            state = jnp.where(fresh[:, None], start, state)
    return state, jnp.stack(states) if states else b


def run(method: Any, n: Numbers, reverse: bool, flags: bool) -> Any:
    mask, reset = (n.mask, n.reset) if flags else (None, None)

    def of(a: Any, b: Any, state: Any, start: Any) -> Any:
        return jaxnn.linear_recurrence(a, b, state, start, mask, reset, reverse, method)

    return of


def want(n: Numbers, reverse: bool, flags: bool) -> Any:
    mask, reset = (n.mask, n.reset) if flags else (None, None)
    return functools.partial(loop, mask=mask, reset=reset, reverse=reverse)


def parts(tree: Any) -> Any:
    """A complex tree as real ones, for a comparison."""
    return jax.tree.map(lambda x: (x.real, x.imag), tree)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("flags", [False, True])
@pytest.mark.parametrize("constant", [False, True])
def test_values_and_gradients_are_those_of_the_loop(
    method: Any, reverse: bool, flags: bool, constant: bool
) -> None:
    n = Numbers(jnp.float64, constant)
    got = with_gradients(run(method, n, reverse, flags), *n.given)
    assert_close(got, with_gradients(want(n, reverse, flags), *n.given))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reverse", [False, True])
def test_complex_numbers(method: Any, reverse: bool) -> None:
    n = Numbers(jnp.complex128)

    def weigh(function: Any) -> Any:
        def loss(*given: Any) -> Any:
            out = parts(function(*given))
            return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(out)), out

        (_, out), gradients = jax.value_and_grad(loss, (0, 1, 2, 3), has_aux=True)(*n.given)
        return out, parts(gradients)

    assert_close(weigh(run(method, n, reverse, True)), weigh(want(n, reverse, True)))


@pytest.mark.parametrize("method", METHODS)
def test_a_pair_is_a_complex_number(method: Any) -> None:
    n = Numbers(jnp.complex128, constant=True)
    pairs: Any = [jaxnn.Pair(x.real, x.imag) for x in n.given]
    for got, expected in zip(
        run(method, n, False, True)(*pairs), want(n, False, True)(*n.given), strict=True
    ):
        assert_close(tuple(got), parts(expected))


@pytest.mark.parametrize("method", METHODS)
def test_forward_mode_and_second_derivatives(method: Any) -> None:
    n = Numbers(jnp.float64)
    got, expected = (make(n) for make in (lambda n: run(method, n, True, True),
                                          lambda n: want(n, True, True)))  # fmt: skip
    rng = np.random.default_rng(5)
    dots = tuple(jnp.asarray(rng.normal(size=x.shape)) for x in n.given)

    def product(function: Any) -> Any:
        def loss(*given: Any) -> Any:
            return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(function(*given)))

        every = tuple(range(4))
        forward = jax.jvp(function, n.given, dots)[1]
        over = jax.jvp(jax.grad(loss, every), n.given, dots)[1]

        def along(*given: Any) -> Any:
            gradients = jax.grad(loss, every)(*given)
            return sum(jnp.sum(g * d) for g, d in zip(gradients, dots, strict=True))

        return forward, over, jax.grad(along, every)(*n.given)

    assert_close(product(got), product(expected))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("time", [0, 1, 2, 9])
def test_any_number_of_steps(method: Any, time: int) -> None:
    for reverse in (False, True):
        n = Numbers(jnp.float64, time=time)
        got = with_gradients(run(method, n, reverse, True), *n.given)
        assert_close(got, with_gradients(want(n, reverse, True), *n.given))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reverse", [False, True])
def test_nothing_of_what_was_not_finite_crosses_a_reset_or_a_mask(
    method: Any, reverse: bool
) -> None:
    n = Numbers(jnp.float64)
    at = 2 if reverse else 4
    reset = np.zeros_like(n.reset)
    reset[at] = True
    bad = n.b.at[at + 2 if reverse else at - 2].set(jnp.nan)
    clean = slice(None, at) if reverse else slice(at, None)
    _, states = jaxnn.linear_recurrence(n.a, bad, n.state, n.start, None, reset, reverse, method)
    _, expected = loop(n.a, n.b, n.state, n.start, None, reset, reverse)
    assert_close(states[clean], expected[clean])
    mask = np.ones_like(n.mask)
    mask[3] = False
    a, b = (x.at[3].set(jnp.nan) for x in (n.a, n.b))
    _, states = jaxnn.linear_recurrence(a, b, n.state, n.start, mask, None, reverse, method)
    assert_close(states, loop(n.a, n.b, n.state, n.start, mask, None, reverse)[1])


@pytest.mark.parametrize("method", METHODS)
def test_vmap_over_everything(method: Any) -> None:
    n = Numbers(jnp.float64)
    given = [jnp.stack([x, 2 * x]) for x in n.given]

    def one(*given: Any) -> Any:
        return with_gradients(run(method, n, False, True), *given)

    got = jax.vmap(one)(*given)
    for index in (0, 1):
        part = one(*(x[index] for x in given))
        assert_close(jax.tree.map(lambda x, index=index: x[index], got), part)


@pytest.mark.parametrize("method", METHODS)
def test_long_sequences_keep_their_accuracy(method: Any) -> None:
    """Against float64, at 16,384 steps: the direct form loses nothing."""
    rng = np.random.default_rng(0)
    logits, values = rng.normal(size=(2, 2**14, 4))
    a = jax.nn.sigmoid(-jnp.asarray(logits))
    b = (1 - a) * values
    _, exact = jaxnn.linear_recurrence(a, b, method="scan")
    single, added = (x.astype(jnp.float32) for x in (a, b))
    _, states = jaxnn.linear_recurrence(single, added, method=method)
    error = np.abs(np.asarray(states, np.float64) - np.asarray(exact)).max()
    assert error <= 1e-6 * np.abs(exact).max()


def test_the_platform_chooses() -> None:
    """On a CPU a loop, elsewhere none: all in one exported program."""
    b = jnp.ones((64, 2, 3), jnp.float32)
    function = jax.jit(lambda b: jaxnn.linear_recurrence(0.5 * b, b))
    here = jax.export.export(function, platforms=["cpu"])(b).mlir_module()
    there = jax.export.export(function, platforms=["cuda"])(b).mlir_module()
    assert here.count("stablehlo.while") == 1 and "stablehlo.while" not in there
    both = jax.export.export(function, platforms=["cpu", "cuda", "tpu"])(b)
    assert_close(both.call(b), function(b), 1e-6)


@pytest.mark.parametrize("method", [None, "scan"])
def test_a_symbolic_number_of_steps(method: Any) -> None:
    time, batch = jax.export.symbolic_shape("time, batch")
    shape = jax.ShapeDtypeStruct((time, batch, 3), jnp.float32)
    function = jax.jit(lambda b: jaxnn.linear_recurrence(0.5 * b, b, method=method))
    b = jnp.ones((5, 2, 3), jnp.float32)
    assert_close(jax.export.export(function)(shape).call(b), function(b), 1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_gradient_of_b_alone_is_that_of_b(method: str | None) -> None:
    """Where a is not differentiated, nothing of it is computed; with a complex one in pairs."""
    numbers = Numbers(jnp.complex128, constant=True)
    pair = [jaxnn.Pair(each.real, each.imag) for each in numbers.given]

    def loss(a: Any, b: Any, state: Any, start: Any) -> Any:
        flags = numbers.mask, numbers.reset
        return jaxnn.linear_recurrence(a, b, state, start, *flags, method=method)

    (_, every), (_, one) = (
        with_gradients(loss, *pair),
        with_gradients(lambda b: loss(pair[0], b, *pair[2:]), pair[1]),
    )
    assert_close(one[0], every[1])


@pytest.mark.parametrize("method", METHODS)
def test_the_gradient_in_what_is_added_alone(method: Any) -> None:
    """Where a is a constant, there is no cotangent of it."""
    n = Numbers(jnp.float64)
    alone, loops = (
        lambda b, of=of: of(n.a, b, n.state, n.start)
        for of in (run(method, n, True, True), want(n, True, True))
    )
    assert_close(with_gradients(jax.jit(alone), n.b), with_gradients(loops, n.b))
