"""Splits whose functions are drawn at random have the values and derivatives of the same cell by
its step: what a user writes for one step is never given another rank, and never believed unseen.

Time, batch, features and units have one length, so that an axis taken for another gives no error.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compare import assert_close

import jaxnn

N = 4
Function = Callable[..., Any]


@jax.custom_jvp
def centred_slope(x: jax.Array) -> jax.Array:
    """Entry by entry, with a derivative that is not."""
    return jnp.tanh(x)


@centred_slope.defjvp
def _(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    ((x,), (t,)) = primals, tangents
    return centred_slope(x), t - 0.5 * jnp.mean(t, axis=-1, keepdims=True)


@jax.custom_jvp
def rounded(x: jax.Array) -> jax.Array:
    """Straight through: its slope is one, and zero in a second derivative."""
    return jnp.round(x)


@rounded.defjvp
def _(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    return jnp.round(*primals), tangents[0]


def turned(p: jax.Array, m: jax.Array, s: jax.Array) -> jax.Array:
    """Through complex numbers and back."""
    z = jax.lax.complex(jnp.tanh(p + m), s) * jnp.exp(jax.lax.complex(-jnp.abs(s), m))
    return z.real + 0.5 * z.imag


PROJECTS: dict[str, Function] = {
    "x U": lambda W, x: x @ W["u"],
    "x": lambda W, x: x,
    "x less the mean of its first axis": lambda W, x: (x - x.mean(0)) @ W["u"],
    "x from the end": lambda W, x: x[::-1] * W["b"],
    "sums along the first axis": lambda W, x: jnp.cumsum(x, axis=0) @ W["u"],
    "sorted": lambda W, x: jnp.sort(x, axis=0),
    "sines": lambda W, x: jnp.sin(x) @ W["u"] + W["b"],
    "transposed": lambda W, x: x.T,
    "a constant": lambda W, x: jnp.zeros_like(x) + W["b"],
}
MIXES: dict[str, Function] = {
    "s W": lambda W, s: s @ W["w"],
    "s": lambda W, s: s,
    "s less the mean of its first axis": lambda W, s: (s - s.mean(0)) @ W["w"],
    "turned round": lambda W, s: s[::-1] @ W["w"],
    "rolled": lambda W, s: jnp.roll(s, 1, axis=0) * W["b"],
    "einsum": lambda W, s: jnp.einsum("...i,ij->...j", s, W["w"]),
    "crooked": lambda W, s: jnp.sin(s) @ W["w"],
    "sum of the first axis": lambda W, s: s + 0.3 * s.sum(0),
    "affine": lambda W, s: s @ W["w"] + 1,
    "two products": lambda W, s: s @ W["w"] + jnp.flip(s, -1) @ W["u"],
}
VECTOR_PROJECTS: dict[str, Function] = {"U x": lambda W, x: W["u"] @ x}
VECTOR_MIXES: dict[str, Function] = {
    "W s": lambda W, s: W["w"] @ s,
    "W s and s W": lambda W, s: W["w"] @ s + 0.5 * s @ W["u"],
}
COMBINES: dict[str, Function] = {
    "tanh": lambda W, p, m, s: jnp.tanh(p + m),
    "leaky": lambda W, p, m, s: 0.7 * s + 0.3 * jnp.tanh(p + m + W["b"]),
    "gated": lambda W, p, m, s: jax.nn.sigmoid(p) * s + jax.nn.relu(m) * jnp.tanh(p),
    "normed": lambda W, p, m, s: jnp.tanh(jax.nn.standardize(p + m, epsilon=1e-3) + s),
    "softmax": lambda W, p, m, s: jax.nn.softmax(p + m) * s + p,
    "rolled": lambda W, p, m, s: jnp.tanh(p + jnp.roll(m, 1, axis=-1)) + 0.1 * s,
    "by the mean of the first axis": lambda W, p, m, s: jnp.tanh(p + m) - 0.2 * s.mean(0),
    "complex": lambda W, p, m, s: turned(p, m, s),
    "chosen": lambda W, p, m, s: jnp.where(p > m, jnp.tanh(p), 0.5 * s + m),
    "a product": lambda W, p, m, s: jnp.tanh(p + (jax.nn.sigmoid(m) * s) @ W["u"]),
    "a product on the left": lambda W, p, m, s: jnp.tanh(p + m + W["u"] @ jnp.tanh(s)),
    "a slope of its own": lambda W, p, m, s: centred_slope(p + m) + 0.2 * s,
    "straight through": lambda W, p, m, s: rounded(2 * jnp.tanh(p + m)) * jnp.tanh(s) + 0.1 * p,
    "sums along the first axis": lambda W, p, m, s: jnp.tanh(p + 0.2 * jnp.cumsum(m, axis=0)),
    "rounded": lambda W, p, m, s: jnp.tanh(p + m) + 0.1 * jnp.round(3 * s),
    "a half": lambda W, p, m, s: jnp.tanh(p + m).astype(jnp.float32).astype(p.dtype) + 0.1 * s,
}
OUTPUTS: dict[str, Function] = {
    "s": lambda s: s,
    "sines": lambda s: jnp.sin(s),
    "turned round": lambda s: s[::-1],
    "less the mean of the first axis": lambda s: s - s.mean(0),
}


def init(key: jax.Array) -> dict[str, jax.Array]:
    """Two square matrices and a vector."""
    keys = jax.random.split(key, 3)
    shapes = {"w": (N, N), "u": (N, N), "b": (N,)}
    return {
        name: 0.6 * jax.random.normal(k, shape, jnp.float64)
        for k, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def zeros(params: Any, batch_shape: tuple[int, ...] = ()) -> jax.Array:
    """The first state."""
    return jnp.full((*batch_shape, N), 0.25, jnp.float64)


@pytest.fixture(autouse=True)
def a_users_settings() -> Iterator[None]:
    """Ranks may be promoted, as a user has it."""
    with jax.numpy_rank_promotion("allow"):
        yield


def draws() -> list[Any]:
    """Every function at least twice, in company that is drawn."""
    rng, cases = np.random.default_rng(0), []
    for batch in ((), (N,)):
        tables = [
            list(PROJECTS if batch else PROJECTS | VECTOR_PROJECTS),
            list(MIXES if batch else MIXES | VECTOR_MIXES),
            [name for name in COMBINES if not batch or name != "a product on the left"],
            list(OUTPUTS),
        ]
        columns = [itertools.cycle(rng.permutation(names).tolist()) for names in tables]
        cases += [(batch, *map(next, columns)) for _ in range(30)]
    return cases


@pytest.mark.parametrize(("batch", "project", "mix", "combine", "output"), draws())
def test_a_drawn_split_is_the_loop(
    batch: tuple[int, ...], project: str, mix: str, combine: str, output: str
) -> None:
    projects, mixes = PROJECTS | VECTOR_PROJECTS, MIXES | VECTOR_MIXES
    functions = projects[project], mixes[mix], COMBINES[combine], OUTPUTS[output]

    def step(params: Any, state: Any, x: Any) -> tuple[Any, Any]:
        first, second, third, last = functions
        state = third(params, first(params, x), second(params, state), state)
        return state, last(state)

    split = jaxnn.split_cell(init, *functions[:3], zeros, functions[3])
    plain = jaxnn.cell(init, step, zeros)
    params, rng = init(jax.random.key(1)), np.random.default_rng(2)
    xs = jnp.asarray(rng.normal(size=(N, *batch, N)))
    mask, reset = rng.random((N, *batch)) < 0.8, rng.random((N, *batch)) < 0.3

    def results(cell: jaxnn.Cell) -> Any:
        def run(params: Any, xs: Any) -> Any:
            flags = (None, mask, reset)
            mapped = jax.vmap(lambda xs: cell.unroll(params, 0.5 * xs, *flags), 1, 1)
            several = mapped(jnp.stack([xs, jnp.cos(xs)], axis=1))
            return cell.unroll(params, xs, *flags), several

        # The graph of a vmap that another jit holds is differentiated, not traced again.
        outputs, dots = jax.jvp(jax.jit(run), (params, xs), (params, jnp.sin(xs)))
        weighed = lambda *at: sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(run(*at)))  # noqa: E731
        descend = jax.grad(weighed, (0, 1))
        return outputs, dots, jax.jit(lambda *at: jax.jvp(descend, at, at))(params, xs)

    assert_close(results(split), results(plain), 1e-6 if combine == "a half" else 1e-10)


def test_the_fast_way_is_taken_where_it_is_right() -> None:
    """What is seen to be linear, and pointwise, keeps its one matmul in each loop."""

    def is_fast(mix: str, combine: str, batch: tuple[int, ...]) -> bool:
        functions = PROJECTS["x U"], (MIXES | VECTOR_MIXES)[mix], COMBINES[combine]
        cell = jaxnn.split_cell(init, *functions, zeros, OUTPUTS["s"])
        loss = lambda params, xs: jnp.sum(cell.unroll(params, xs)[1])  # noqa: E731
        params = init(jax.random.key(0))
        program = str(jax.make_jaxpr(jax.grad(loss))(params, jnp.ones((3, *batch, N))))
        return "linear_recurrence" in program

    assert is_fast("W s", "tanh", ())
    for mix in ("s W", "einsum", "s less the mean of its first axis", "two products"):
        assert is_fast(mix, "leaky", (2,)), mix
    for combine in ("gated", "chosen", "a product", "rounded", "straight through"):
        assert is_fast("s W", combine, (2,)), combine
    for combine in ("normed", "softmax", "rolled", "complex", "a slope of its own"):
        assert not is_fast("s W", combine, (2,)), combine
    for mix in ("crooked", "affine"):
        assert not is_fast(mix, "tanh", (2,)), mix
