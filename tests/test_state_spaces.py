"""The state spaces: their papers' equations a second time, in numpy, with complex numbers and a
loop; their initialisation; and the short convolution before them."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compare import assert_close

import jaxnn
from jaxnn.cells.s5 import hippo

TIME, INPUT = 9, 3


def lru(params: Any, xs: np.ndarray) -> np.ndarray:
    """Orvieto et al. 2023, appendix A."""
    b = params.input_kernel[:, 0] + 1j * params.input_kernel[:, 1]
    c = params.output_kernel[:, 0] + 1j * params.output_kernel[:, 1]
    rate = np.exp(-np.exp(params.log_decay) + 1j * np.exp(params.log_phase))
    b = b * np.exp(params.log_gain)
    h, ys = np.zeros(len(rate), complex), []
    for x in xs:
        h = rate * h + x @ b
        ys.append((h @ c).real + params.skip * x)
    return np.stack(ys)


def s5(params: Any, xs: np.ndarray) -> np.ndarray:
    """Smith et al. 2023, equations 2, 5 and 6, with both of each pair of conjugates."""
    half = params.eigenvalues[0] + 1j * params.eigenvalues[1]
    b = params.input_kernel[:, 0] + 1j * params.input_kernel[:, 1]
    c = params.output_kernel[:, 0] + 1j * params.output_kernel[:, 1]
    eigenvalues = np.concatenate([half, half.conj()])
    b, c = np.concatenate([b, b.conj()], 1), np.concatenate([c, c.conj()])
    step = np.tile(np.exp(params.log_step), 2)
    rate = np.exp(eigenvalues * step)
    b = b * (rate - 1) / eigenvalues
    h, ys = np.zeros(len(rate), complex), []
    for x in xs:
        h = rate * h + x @ b
        y = h @ c
        assert np.abs(y.imag).max() < 1e-9 * np.abs(y).max()
        ys.append(y.real + params.skip * x)
    return np.stack(ys)


def s6(params: Any, xs: np.ndarray) -> np.ndarray:
    """Gu & Dao 2023, algorithm 2, feature by feature."""
    h, ys = np.zeros(params.log_rates.shape), []
    for x in xs:
        step = np.log1p(
            np.exp(x @ params.step_down_kernel @ params.step_up_kernel + params.step_bias)
        )
        into, out, y = x @ params.input_kernel, x @ params.output_kernel, np.zeros(len(x))
        for d in range(len(x)):
            h[d] = np.exp(-step[d] * np.exp(params.log_rates[d])) * h[d] + step[d] * into * x[d]
            y[d] = out @ h[d] + params.skip[d] * x[d]
        ys.append(y)
    return np.stack(ys)


def causal_conv(params: Any, xs: np.ndarray) -> np.ndarray:
    """One correlation a feature, behind as many zeros as the window is longer than one."""
    window = len(params.kernel)
    padded = np.concatenate([np.zeros((window - 1, xs.shape[1])), xs])
    each = [np.correlate(padded[:, d], params.kernel[:, d]) for d in range(xs.shape[1])]
    return np.stack(each, 1) + params.bias


CASES: dict[str, tuple[Any, Any]] = {
    "lru": (lambda d: jaxnn.lru(INPUT, 5, dtype=d), lru),
    "lru with long memories": (
        lambda d: jaxnn.lru(INPUT, 5, 0.9, 0.999, max_phase=0.3, dtype=d),
        lru,
    ),
    "s5": (lambda d: jaxnn.s5(INPUT, 8, dtype=d), s5),
    "s5 of blocks": (lambda d: jaxnn.s5(INPUT, 8, blocks=2, dtype=d), s5),
    "s6": (lambda d: jaxnn.s6(INPUT, 4, dtype=d), s6),
    "causal conv": (lambda d: jaxnn.causal_conv(INPUT, 4, dtype=d), causal_conv),
}


def inputs(time: int, dtype: Any) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=(time, INPUT)), dtype)


def exact(tree: Any) -> Any:
    """numpy's float64 of the same numbers."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


@pytest.mark.parametrize("case", CASES)
def test_cells_follow_the_equations(case: str) -> None:
    make, reference = CASES[case]
    cell, xs = make(jnp.float64), inputs(TIME, jnp.float64)
    params = jax.jit(cell.init)(jax.random.key(0))
    _, ys = cell.unroll(params, xs)
    want = reference(exact(params), np.asarray(xs))
    assert np.abs(ys - want).max() <= 1e-12 * np.abs(want).max()


def test_mamba_block_is_made_of_its_parts() -> None:
    """As its docstring says; and with the equations of the parts, once more in numpy."""
    block, xs = jaxnn.mamba_block(INPUT, 2, dtype=jnp.float64), inputs(TIME, jnp.float64)
    params = block.init(jax.random.key(0))
    _, ys = block.unroll(params, xs)
    inside, out = exact(params)
    into, conv, _, selective = inside.cell

    def silu(x: np.ndarray) -> np.ndarray:
        return x / (1 + np.exp(-x))

    u = silu(causal_conv(conv, np.asarray(xs) @ into.kernel))
    gate = silu(np.asarray(xs) @ inside.gate[0].kernel)
    want = (s6(selective, u) * gate) @ out.kernel
    assert np.abs(ys - want).max() <= 1e-12 * np.abs(want).max()


def test_lru_begins_on_its_ring() -> None:
    """Uniform on it: so is |λ|² between the squares of its radii."""
    params = exact(jaxnn.lru(2, 4000, 0.6, 0.9, max_phase=1.0).init(jax.random.key(1)))
    size = np.exp(-np.exp(params.log_decay))
    share = (size**2 - 0.36) / (0.81 - 0.36)
    phase = np.exp(params.log_phase)
    for uniform in (share, phase):
        assert -1e-6 < uniform.min() < 0.01 and 0.99 < uniform.max() < 1 + 1e-6
        assert abs(uniform.mean() - 0.5) < 0.02 and abs(uniform.std() - 12**-0.5) < 0.02
    assert np.abs(np.exp(params.log_gain) ** 2 + size**2 - 1).max() < 1e-6
    assert abs(params.input_kernel.std() - 0.5) < 0.01


def test_lru_of_the_whole_disc_has_finite_parameters() -> None:
    """Neither 0 nor 1 is a logarithm's business."""
    params = jaxnn.lru(2, 100_000).init(jax.random.key(0))
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("size", [2, 8, 64])
def test_hippo_is_diagonalised(size: int) -> None:
    """HiPPO-LegS by its definition, plus its term of rank one (Gupta et al. 2022)."""
    n = np.arange(size)
    whole = -np.tril(np.sqrt(np.outer(2 * n + 1, 2 * n + 1)), -1) - np.diag(n + 1.0)
    normal = whole + np.sqrt(np.outer(n + 0.5, n + 0.5))
    rates, vectors = hippo(size)
    again = 2 * ((vectors * rates) @ vectors.conj().T).real
    assert np.abs(again - normal).max() <= 1e-12 * np.abs(normal).max()
    assert rates.imag.min() > 0 and np.allclose(rates.real, -0.5)


def test_s5_begins_as_its_code_has_it() -> None:
    cell = jaxnn.s5(40, 64, blocks=2, step_min=0.01, step_max=0.1)
    params = cell.init(jax.random.key(0))
    jitted = jax.jit(cell.init)(jax.random.key(0))
    assert_close(jitted, params, 1e-6)
    rates, _ = hippo(32)
    assert np.allclose(params.eigenvalues[1], np.tile(rates.imag, 2), rtol=1e-6)
    steps = np.exp(params.log_step)
    assert steps.min() >= 0.0099 and steps.max() <= 0.101 and len(set(steps.tolist())) == 32
    for kernel, variance in ((params.input_kernel, 1 / 64), (params.output_kernel, 2 / 64)):
        found = float(jnp.mean(kernel**2)) * 2  # of |B|², in two parts
        assert abs(found / variance - 1) < 0.1, found * 64


def test_s6_begins_as_its_paper_has_it() -> None:
    params = exact(jaxnn.s6(400, 4, step_min=0.01, step_max=1.0).init(jax.random.key(0)))
    steps = np.log10(np.log1p(np.exp(params.step_bias)))
    assert -2.001 < steps.min() < -1.9 and -0.1 < steps.max() < 0.001
    assert abs(steps.mean() + 1) < 0.1
    assert np.allclose(np.exp(params.log_rates), [1, 2, 3, 4]) and np.all(params.skip == 1)
    assert params.step_down_kernel.shape == (400, 25)
    assert np.abs(params.step_up_kernel).max() <= 25**-0.5


def test_causal_conv_is_the_layer() -> None:
    cell = jaxnn.causal_conv(INPUT, 3, dtype=jnp.float64)
    layer = jaxnn.along_time(
        jaxnn.conv(INPUT, INPUT, (3,), padding="causal", groups=INPUT, dtype=jnp.float64)
    )
    params, xs = cell.init(jax.random.key(0)), inputs(TIME, jnp.float64)
    _, ys = cell.unroll(params, xs)
    want = layer.apply(jaxnn.ConvParams(params.kernel[:, None], params.bias), xs)
    assert np.allclose(ys, want, rtol=0, atol=1e-14)


def test_what_is_masked_enters_no_window() -> None:
    """By hand: the window ends at the valid steps before, whatever lies between."""
    cell = jaxnn.causal_conv(1, 3, dtype=jnp.float64)
    params = jaxnn.CausalConvParams(jnp.array([[100.0], [10.0], [1.0]]), jnp.zeros(1))
    xs = jnp.array([[1.0], [jnp.nan], [2.0], [3.0], [jnp.nan], [4.0]])
    mask = np.array([True, False, True, True, False, True])
    start = jaxnn.CausalConvState(jnp.array([[8.0], [9.0]]))
    run = functools.partial(cell.unroll, params, xs, mask=mask, start=start)
    for reset, reverse, outputs, last in (
        (None, False, [891, 0, 912, 123, 0, 234], [3, 4]),
        ([0, 0, 0, 1, 0, 0], False, [891, 0, 912, 893, 0, 934], [3, 4]),
        (None, True, [321, 0, 432, 943, 0, 894], [2, 1]),
        ([0, 1, 1, 0, 0, 0], True, [891, 0, 432, 943, 0, 894], [9, 1]),
        ([1, 1, 1, 1, 1, 1], True, [891, 0, 892, 893, 0, 894], [8, 9]),
    ):
        flags = None if reset is None else np.array(reset, bool)
        state, ys = run(reset=flags, reverse=reverse)
        assert ys[:, 0].tolist() == outputs, (reset, reverse)
        assert state.inputs[:, 0].tolist() == last, (reset, reverse)


def test_causal_conv_and_its_gradient_need_no_loop() -> None:
    """With masks and resets neither, and no gradient is a scatter."""
    cell = jaxnn.causal_conv(INPUT, 4)
    params, xs = cell.init(jax.random.key(0)), jnp.ones((TIME, 2, INPUT), jnp.float32)
    mask = np.ones((TIME, 2), bool)

    def loss(params: Any, xs: jax.Array, mask: Any, reset: Any) -> jax.Array:
        return jnp.sum(cell.unroll(params, xs, None, mask, reset)[1] ** 2)

    for flags in ((None, None), (mask, mask)):
        traced = str(jax.make_jaxpr(jax.grad(loss, (0, 1)))(params, xs, *flags))
        assert not any(f" {name}[" in traced for name in ("while", "scan", "scatter-add")), flags


def test_a_long_sequence_in_float32() -> None:
    """Its error is that of a single float32 sum, but where λ is rounded near 1."""
    for case, bound in (("lru", 1e-6), ("s6", 1e-6), ("causal conv", 1e-6), ("s5", 1e-4)):
        make, reference = CASES[case]
        cell, xs = make(jnp.float32), inputs(4096, jnp.float32)
        params = cell.init(jax.random.key(0))
        _, ys = cell.unroll(params, xs)
        want = reference(exact(params), np.asarray(xs, np.float64))
        error = np.abs(np.asarray(ys) - want).max() / np.abs(want).max()
        assert error <= bound, (case, error)
