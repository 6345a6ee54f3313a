"""Regularisers: as they are in a stream, what their chances are, and what is left of a cell.

The laws of evaluation are those of their rows in `rows.py`; here there is a key.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rows import assert_close, with_gradients

import jaxnn
from jaxnn import regularizers
from jaxnn.interop.torch import to_state_dict
from jaxnn.transforms.spectral_bound import largest_singular_value

TIME, BATCH, KEY = 6, 3, jax.random.key(4)
LSTM = jaxnn.lstm(3, 4, peephole=True, dtype="float64")
GRU = jaxnn.gru(3, 4, reset_after=False, dtype="float64")
DRAWING = {
    "variational dropout": regularizers.variational_dropout(LSTM, 0.3, 0.4, 0.5),
    "noise in zoneout": regularizers.zoneout(regularizers.noise(LSTM, 0.1, 0.2), (0.3, 0.6)),
    "recurrent dropout": regularizers.recurrent_dropout(GRU, 0.5),
    "all of it": regularizers.variational_dropout(
        regularizers.zoneout(regularizers.recurrent_dropout(LSTM, 0.5), 0.5), state=0.5
    ),
    "locked dropout": jaxnn.locked_dropout(0.5),
    "of a linear cell": regularizers.variational_dropout(
        jaxnn.min_gru(3, 4, dtype="float64"), 0.5, output=0.5
    ),
}
FLAGS = np.random.default_rng(2).random((2, TIME, BATCH)) < 0.5


@functools.cache
def given(name: str) -> tuple[Any, Any, Any]:
    """A cell, its parameters and a sequence."""
    keys = jax.random.split(jax.random.key(0))
    xs = jax.random.normal(keys[0], (TIME, BATCH, 3), jnp.float64)
    return DRAWING[name], DRAWING[name].init(keys[1]), xs


@functools.cache
def compiled(name: str) -> tuple[Any, Any]:
    cell = DRAWING[name]
    return jax.jit(cell.apply), jax.jit(functools.partial(jaxnn.reset_state, cell))


def streamed(name: str, mask: Any, reset: Any, reverse: bool) -> tuple[Any, Any]:
    """Step by step, by hand."""
    cell, params, xs = given(name)
    apply, back = compiled(name)
    state = cell.initial_state(params, (BATCH,))
    keys, ys = jax.random.split(KEY, TIME), {}
    for t in range(TIME)[:: -1 if reverse else 1]:
        fresh = reset[t] & mask[t]
        old = state if reverse else back(params, state, fresh)
        new, y = apply(params, old, xs[t], keys[t])
        new = back(params, new, fresh) if reverse else new
        state, ys[t] = (
            jax.tree.map(lambda a, b, t=t: np.where(mask[t][:, None], a, b), *pair)
            for pair in ((new, state), (y, jax.tree.map(jnp.zeros_like, y)))
        )
    return jax.tree.map(jnp.asarray, state), jnp.asarray(np.stack([ys[t] for t in range(TIME)]))


@pytest.mark.parametrize(("flags", "reverse"), [("", False), ("mask", True), ("mask reset", False)])
@pytest.mark.parametrize("name", DRAWING)
def test_a_stream_draws_as_the_sequence(name: str, flags: str, reverse: bool) -> None:
    """Law 1 with a key, where all steps have one mask, where a reset draws a new one, and where the
    first step that counts is another one in each sequence."""
    cell, params, xs = given(name)
    mask = FLAGS[0] if "mask" in flags else None
    reset = FLAGS[1] if "reset" in flags else None
    got = cell.unroll(params, xs, None, mask, reset, reverse, KEY)
    none, every = np.zeros((TIME, BATCH), bool), np.ones((TIME, BATCH), bool)
    want = streamed(
        name, every if mask is None else mask, none if reset is None else reset, reverse
    )
    assert_close(got, want)


@pytest.mark.parametrize("name", ["variational dropout", "locked dropout", "of a linear cell"])
def test_masks_outlive_a_cut_and_an_evaluation(name: str) -> None:
    """Law 2: the second piece has the masks of the first, whatever its key."""
    cell, params, xs = given(name)
    whole = cell.unroll(params, xs, key=KEY)
    start = cell.initial_state(params, (BATCH,))._replace(seed=whole[0].seed)
    state, first = cell.unroll(params, xs[:2], start, key=jax.random.key(9))
    other, _ = cell.unroll(params, xs[2:4], state)
    assert_close(other.seed, whole[0].seed)
    state, rest = cell.unroll(params, xs[2:], state, key=jax.random.key(10))
    assert_close((state, jnp.concatenate([first, rest])), whole)


@pytest.mark.parametrize("name", DRAWING)
def test_no_key_no_chance(name: str) -> None:
    """What is left is the cell, and of zoneout its expectation."""
    cell, params, xs = given(name)
    _, ys = cell.unroll(params, xs)
    if name == "locked dropout":
        assert_close(ys, xs)
    elif name == "of a linear cell":
        assert_close(ys, jaxnn.min_gru(3, 4, dtype="float64").unroll(params, xs)[1])
    elif name == "recurrent dropout":
        assert_close(ys, GRU.unroll(params, xs)[1])
    elif name == "variational dropout":
        assert_close(ys, LSTM.unroll(params, xs)[1])
    else:
        rates = (0.3, 0.6) if name == "noise in zoneout" else (0.5, 0.5)
        state = LSTM.initial_state(params, (BATCH,))
        for t in range(TIME):
            new, _ = LSTM.apply(params, state, xs[t])
            state = jaxnn.LSTMState(
                *(r * s + (1 - r) * n for r, s, n in zip(rates, state, new, strict=True))
            )
            assert_close(ys[t], state.hidden)


@pytest.mark.parametrize("name", ["all of it", "noise in zoneout"])
def test_the_gradient_of_the_fast_method_is_that_of_the_plain_scan(name: str) -> None:
    cell, params, xs = given(name)
    (choice,) = jaxnn.explain(cell, xs, key=KEY).choices
    assert (choice.values, choice.derivative) == ("fast", "fast")

    def run(method: str, params: Any, xs: Any) -> Any:
        return jaxnn.with_method(cell, method).unroll(params, xs, key=KEY)

    got, want = (
        with_gradients(functools.partial(run, method), params, xs)
        for method in ("fast", "sequential")
    )
    assert_close(got, want)
    (choice,) = jaxnn.explain(cell, xs, reset=FLAGS[1], key=KEY).choices
    assert choice.derivative == ("sequential" if name == "all of it" else "fast")


def share_is(kept: Any, share: float) -> None:
    """A share of independent choices, within four standard deviations."""
    kept = np.asarray(kept)
    deviation = np.sqrt(share * (1 - share) / kept.size)
    assert abs(kept.mean() - share) < 4 * deviation, (kept.mean(), share)


def test_masks_are_of_each_sequence_and_have_their_shares() -> None:
    layer, xs = jaxnn.locked_dropout(0.2), jnp.ones((4, 50, 40), jnp.float32)
    reset = np.zeros((4, 50), bool)
    reset[2, :25] = True
    state, ys = layer.unroll((), xs, reset=reset, key=KEY)
    assert np.allclose(np.unique(ys), [0, 1 / 0.8])
    assert np.array_equal(ys[0], ys[1]) and np.array_equal(ys[2], ys[3])
    share_is(ys[0] == 0, 0.2)
    assert np.array_equal(ys[1, 25:], ys[2, 25:])
    # A reset draws anew: independent of what was, and of other sequences.
    share_is((ys[1, :25] == 0) & (ys[2, :25] == 0), 0.2 * 0.2)
    share_is((ys[0, 1:] == 0) & (ys[0, :-1] == 0), 0.2 * 0.2)
    assert np.all((state.seed >= 0) & (state.seed < 2**24) & (state.seed == np.floor(state.seed)))


def test_the_masks_of_input_state_and_output_are_independent() -> None:
    """Of a cell whose state and output are its input, and whose recurrent product adds nothing."""
    cell = jaxnn.split_cell(
        lambda key: jnp.ones((), jnp.float32),
        lambda params, x: x,
        lambda params, state: params * state,
        lambda params, projected, mixed, state: projected + 0 * mixed,
        lambda params, batch=(): jnp.zeros((*batch, 2000), jnp.float32),
        lambda state: state,
    )
    dropped = regularizers.variational_dropout(cell, 0.5, 0.5, 0.5)
    params = dropped.init(KEY)
    state, ys = dropped.unroll(params, jnp.ones((2, 2000), jnp.float32), key=KEY)
    share_is(state.cell == 0, 0.5)
    share_is(ys[0] == 0, 0.75)
    assert set(np.unique(ys)) == {0.0, 4.0}


def test_recurrent_dropout_is_of_what_is_new() -> None:
    params = LSTM.init(KEY)
    x, key = jnp.ones((500, 3), jnp.float64), jax.random.key(1)
    state = jax.tree.map(lambda s: s + 0.5, LSTM.initial_state(params, (500,)))
    i, f, g, _ = jaxnn.gates(LSTM, params, state, x)
    cell = regularizers.recurrent_dropout(LSTM, 0.25)
    new, _ = cell.apply(params, state, x, key)
    lost = np.asarray(jnp.abs(new.cell - f * state.cell) < 1e-12)
    share_is(lost, 0.25)
    assert_close(new.cell[~lost], (f * state.cell + i * g / 0.75)[~lost])


def test_zoneout_keeps_each_leaf_by_its_rate() -> None:
    cell, params = regularizers.zoneout(LSTM, (0.1, 0.6)), LSTM.init(KEY)
    state = jax.tree.map(lambda s: s + 0.5, LSTM.initial_state(params, (500,)))
    x = jnp.ones((500, 3), jnp.float64)
    new, y = cell.apply(params, state, x, jax.random.key(1))
    plain, _ = LSTM.apply(params, state, x)
    for old, got, fresh, rate in zip(state, new, plain, (0.1, 0.6), strict=True):
        kept = np.asarray(got == old)
        share_is(kept, rate)
        assert_close(got[~kept], fresh[~kept])
    assert_close(y, new.hidden)


def test_noise_has_its_deviations() -> None:
    params = LSTM.init(KEY)
    x, many = jnp.ones((1000, 3), jnp.float64), LSTM.initial_state(params, (1000,))
    plain, _ = LSTM.apply(params, many, x)
    new, _ = regularizers.noise(LSTM, state=0.3).apply(params, many, x, KEY)
    for noisy, exact in zip(new, plain, strict=True):
        errors = np.asarray(noisy - exact).ravel()
        assert abs(errors.mean()) < 4 * 0.3 / np.sqrt(errors.size)
        assert abs(errors.std() / 0.3 - 1) < 4 / np.sqrt(2 * errors.size)
    one, other = (np.ravel(a - b) for a, b in zip(new, plain, strict=True))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.1
    shaken, _ = regularizers.noise(LSTM, input=0.3).apply(params, many, x, KEY)
    (key,) = jax.random.split(jax.random.split(KEY)[0], 1)
    added = 0.3 * jax.random.normal(key, x.shape, x.dtype)
    assert_close(shaken, LSTM.apply(params, many, x + added)[0])


def test_drop_connect_drops_one_kernel_for_a_call() -> None:
    inner = jaxnn.stack(jaxnn.elman(3, 40), jaxnn.elman(40, 40))
    cell = regularizers.drop_connect(inner, 0.3)
    params, xs = cell.init(KEY), jnp.ones((3, 2, 3), jnp.float32)
    bars = jax.grad(lambda p: jnp.sum(cell.unroll(p, xs, key=KEY)[1]))(params)
    lost = [np.asarray(p.recurrent_kernel == 0) for p in bars]
    share_is(lost, 0.3)
    assert not np.array_equal(lost[0], lost[1])
    kept = tuple(
        p._replace(recurrent_kernel=jnp.where(zero, 0, p.recurrent_kernel / jnp.float32(0.7)))
        for p, zero in zip(params, lost, strict=True)
    )
    assert_close(cell.unroll(params, xs, key=KEY), inner.unroll(kept, xs), 1e-5)
    assert_close(cell.unroll(params, xs), inner.unroll(params, xs), 0)


def test_weight_norm_is_of_each_unit() -> None:
    inner = jaxnn.gru(3, 4, dtype="float64")
    cell = regularizers.weight_norm(inner)
    params, xs = cell.init(KEY), jnp.ones((3, 2, 3), jnp.float64)
    assert_close(cell.unroll(params, xs), inner.unroll(params.cell, xs))
    doubled = params.cell._replace(recurrent_kernel=2 * params.cell.recurrent_kernel)
    assert_close(cell.unroll(params._replace(cell=doubled), xs), cell.unroll(params, xs))
    gain = {path: 2 * g for path, g in params.gain.items()}
    kernels = ("input_kernel", "recurrent_kernel")
    every = {name: 2 * getattr(params.cell, name) for name in kernels}
    want = inner.unroll(params.cell._replace(**every), xs)
    assert_close(cell.unroll(params._replace(gain=gain), xs), want)
    bars = jax.grad(lambda p: jnp.sum(cell.unroll(p, xs)[1] ** 2))(params).cell
    along = jnp.sum(bars.recurrent_kernel * params.cell.recurrent_kernel, 0)
    assert np.abs(along).max() < 1e-12 < np.abs(bars.recurrent_kernel).max()


def test_weight_norm_of_a_kernel_of_zeros_has_a_gradient() -> None:
    zeros = jax.nn.initializers.zeros
    cell = regularizers.weight_norm(jaxnn.elman(3, 4, recurrent_init=zeros))
    xs = jnp.ones((3, 3), jnp.float32)
    bars = jax.grad(lambda p: jnp.sum(cell.unroll(p, xs)[1]))(cell.init(KEY))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(bars))


@pytest.mark.parametrize("shape", [(48, 48), (48, 3, 48), (20, 2, 48)])
def test_the_spectral_bound_is_one_and_nearly_exact(shape: tuple[int, ...]) -> None:
    kernel = jax.random.normal(KEY, shape, jnp.float64) * 10.0
    gates = kernel[:, None] if kernel.ndim == 2 else kernel
    exact = np.linalg.svd(np.moveaxis(np.asarray(gates), 1, 0), compute_uv=False)[:, 0]
    found = np.broadcast_to(np.ravel(largest_singular_value(kernel)), exact.shape)
    assert np.all(found >= exact) and np.all(found <= exact * 48 ** (1 / 512))


def test_a_kernel_within_the_bound_stays() -> None:
    inner = jaxnn.lstm(3, 8, recurrent_init=jax.nn.initializers.normal(0.5), dtype="float64")
    params, xs = inner.init(KEY), jnp.ones((3, 3), jnp.float64)
    wide = regularizers.spectral_bound(inner, 100.0)
    assert_close(wide.unroll(params, xs), inner.unroll(params, xs))
    sizes = np.linalg.norm(np.asarray(params.recurrent_kernel), 2, (0, 2))
    bounded = params.recurrent_kernel * (0.7 / sizes)[None, :, None]
    narrow = regularizers.spectral_bound(inner, 0.7)
    got, want = (
        narrow.unroll(params, xs),
        inner.unroll(params._replace(recurrent_kernel=bounded), xs),
    )
    assert_close(got, want, 0.02)


def test_zeros_are_within_every_bound() -> None:
    cell = regularizers.spectral_bound(
        jaxnn.elman(3, 4, recurrent_init=jax.nn.initializers.zeros), 0.1
    )
    xs = jnp.ones((3, 3), jnp.float32)
    bars = jax.grad(lambda p: jnp.sum(cell.unroll(p, xs)[1]))(cell.init(KEY))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(bars))


def test_the_weights_are_those_of_the_cell_where_its_evaluation_is() -> None:
    cell = jaxnn.lstm(3, 4)
    params, want = cell.init(KEY), to_state_dict(cell, cell.init(KEY))
    trained = regularizers.variational_dropout(
        regularizers.noise(regularizers.recurrent_dropout(cell, 0.5), 0.1), state=0.5
    )
    assert_close(to_state_dict(regularizers.drop_connect(trained, 0.5), params), want)
    for other in (regularizers.zoneout(cell, 0.5), regularizers.spectral_bound(cell)):
        with pytest.raises(ValueError, match="no conversion for torch"):
            to_state_dict(other, params)


def test_remat_draws_as_the_cell() -> None:
    cell, params, xs = given("variational dropout")
    rematerialised = jaxnn.remat(cell, 2)
    got = rematerialised.unroll(params, xs, reset=FLAGS[1], key=KEY)
    assert_close(got, cell.unroll(params, xs, reset=FLAGS[1], key=KEY))


def test_both_directions_draw_for_themselves() -> None:
    cell, params, xs = given("noise in zoneout")
    layer = jaxnn.bidirectional(cell)
    both = jaxnn.BidirectionalParams(params, params)
    ys = layer.apply(both, xs, key=KEY)
    left, right = jax.random.split(KEY)
    want = [cell.unroll(params, xs, reverse=r, key=k)[1] for r, k in ((False, left), (True, right))]
    assert_close(ys, jnp.concatenate(want, -1))
