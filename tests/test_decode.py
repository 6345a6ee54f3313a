"""Generation: it is a loop of `apply`, and a search that is wide enough finds the best of all."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compare import assert_close, random_like

import jaxnn

KEY = jax.random.key(0)
SIZE, STEPS, BATCH = 4, 6, 3
CELL = jaxnn.stack(jaxnn.embedding(SIZE, 4), jaxnn.gru(4, 5), jaxnn.dense(5, SIZE))
PARAMS = random_like(CELL.init(KEY), 2, 1.5)
FIRST = jnp.array([0, 1, 3], jnp.int32)
draw = jaxnn.sampling.categorical
SAMPLES = {
    "greedy": jaxnn.sampling.greedy,
    "drawn": draw(),
    "of two": draw(0.8, top_k=2),
    "of most": draw(1.5, top_p=0.8),
}


def loop(
    sample: Any, stop: tuple[int, ...], steps: int = STEPS, first: Any = FIRST
) -> jaxnn.Decoded:
    """`decode` in Python, row by row where a row stops."""
    state, x = CELL.initial_state(PARAMS, first.shape), first
    tokens, gains, lengths = [], [], np.zeros(first.shape, np.int32)
    stopped = np.zeros(first.shape, bool)
    for key in jax.random.split(KEY, steps):
        new, y = CELL.apply(PARAMS, state, x)
        x = sample(y, key)
        gain = np.array(jax.nn.log_softmax(y))[np.arange(len(x)), x]
        for row in np.flatnonzero(~stopped):
            state = jax.tree.map(lambda old, new, row=row: old.at[row].set(new[row]), state, new)
        lengths += ~stopped
        tokens.append(np.where(stopped, 0, x))
        gains.append(np.where(stopped, np.float32(0), gain))
        stopped |= np.isin(x, stop)
        x = jnp.asarray(tokens[-1])
    return jaxnn.Decoded(jnp.array(tokens), jnp.array(lengths), jnp.array(gains), state)


@pytest.mark.parametrize(
    ("name", "stop"),
    [("greedy", None), ("greedy", 2), ("drawn", (1, 3)), ("of two", None), ("of most", 2)],
    ids=str,
)
def test_it_is_a_loop_of_apply(name: str, stop: Any):
    """Tokens, lengths, log-probabilities and the state, which stays where a row has stopped."""
    stops = () if stop is None else stop if isinstance(stop, tuple) else (stop,)
    got = jaxnn.decode(CELL, PARAMS, None, FIRST, STEPS, SAMPLES[name], stop, KEY)
    assert_close(got, loop(SAMPLES[name], stops), 1e-5)


def test_sequences_of_all_lengths_were_among_them():
    found: set[int] = set()
    for name in ("greedy", "of most"):
        written = jaxnn.decode(CELL, PARAMS, None, FIRST, STEPS, SAMPLES[name], 2, KEY)
        found |= {*written.lengths.tolist()}
    assert {1, 2, 4, STEPS} <= found


def test_a_batch_is_each_alone():
    """With any number of batch dimensions, and with a key for each by vmap."""
    stop, sample = 2, SAMPLES["drawn"]
    keys = jax.random.split(KEY, BATCH)

    def alone(first: Any, key: Any) -> jaxnn.Decoded:
        return jaxnn.decode(CELL, PARAMS, None, first, STEPS, sample, stop, key)

    axes: Any = (1, 0, 1, 0)
    every = jax.vmap(alone, out_axes=jaxnn.Decoded._make(axes))(FIRST, keys)
    greedy = jaxnn.decode(CELL, PARAMS, None, FIRST, STEPS, stop=stop)
    wide = jaxnn.decode(CELL, PARAMS, None, FIRST.reshape(1, 3, 1), STEPS, stop=stop)
    assert wide.tokens.shape == (STEPS, 1, 3, 1)
    assert_close(wide.tokens.reshape(STEPS, 3), greedy.tokens, 0)
    for row in range(BATCH):
        one = alone(FIRST[row], keys[row])
        assert_close(jax.tree.map(lambda leaf, row=row: leaf[:, row], every[::2]), one[::2], 1e-5)
        assert_close(jax.tree.map(lambda leaf, row=row: leaf[row], every[1::2]), one[1::2], 1e-5)
        one = jaxnn.decode(CELL, PARAMS, None, FIRST[row], STEPS, stop=stop)
        assert_close(greedy.tokens[:, row], one.tokens, 0)


def test_it_goes_on_from_a_text():
    """The state after all but the last token, and that token."""
    text = jnp.array([[0, 1], [2, 2], [1, 3], [3, 0]], jnp.int32)
    state, _ = CELL.unroll(PARAMS, text[:-1])
    whole = jnp.concatenate([text, jaxnn.decode(CELL, PARAMS, state, text[-1], STEPS).tokens])
    _, logits = CELL.unroll(PARAMS, whole[:-1])
    assert (jnp.argmax(logits[3:], -1) == whole[4:].astype(int)).all()


class Counted:
    """A `feed` that counts how often it is traced, and how often it runs."""

    def __init__(self) -> None:
        self.traced = self.ran = 0

    def __call__(self, token: Any) -> Any:
        self.traced += 1
        jax.debug.callback(self.run)
        return token

    def run(self) -> None:
        self.ran += 1


def test_it_ends_when_all_have_stopped_and_is_traced_once():
    feed, lengths = Counted(), loop(jaxnn.sampling.greedy, (2,), 40).lengths
    assert max(lengths) < 40
    run = functools.partial(jaxnn.decode, CELL, PARAMS, None, steps=40, stop=2, feed=feed)
    assert run(FIRST).lengths.tolist() == lengths.tolist()
    jax.effects_barrier()
    assert feed.ran == max(lengths)
    traced = feed.traced
    run(FIRST[::-1])
    assert feed.traced == traced

    feed = Counted()
    best = jaxnn.beam_search(CELL, PARAMS, None, FIRST, 40, 1, 2, feed=feed)
    jax.effects_barrier()
    assert feed.ran == max(best.lengths[:, 0]) == max(lengths)


def test_continuous_outputs_are_fed_back_and_have_a_gradient():
    cell, steps = jaxnn.elman(2, 2), 3
    params, first = cell.init(KEY), jnp.ones((BATCH, 2), jnp.float32)

    def by_hand(params: Any, first: Any) -> Any:
        state, x, ys = cell.initial_state(params, (BATCH,)), first, []
        for _ in range(steps):
            state, x = cell.apply(params, state, jnp.tanh(x))
            ys.append(x)
        return jnp.stack(ys), state

    def keep(y: Any, key: Any) -> Any:
        del key
        return y

    def decoded(params: Any, first: Any) -> Any:
        found = jaxnn.decode(cell, params, None, first, steps, keep, feed=jnp.tanh)
        assert found.log_probabilities is None
        return found.tokens, found.state

    def total(run: Any) -> Any:
        return jax.jit(jax.grad(lambda *args: jnp.sum(run(*args)[0] ** 2), (0, 1)))(params, first)

    assert_close(decoded(params, first), by_hand(params, first), 1e-5)
    assert_close(total(decoded), total(by_hand), 1e-5)


def one_hot(token: Any) -> Any:
    return jax.nn.one_hot(token, SIZE, dtype=jnp.float32)


def test_feed_gives_the_cell_vectors():
    """One-hot vectors into a dense layer are an embedding without the bias."""
    table = PARAMS[0].table
    cell = jaxnn.stack(jaxnn.dense(SIZE, 4, bias=False), jaxnn.gru(4, 5), jaxnn.dense(5, SIZE))
    params = (jaxnn.DenseParams(table, None), *PARAMS[1:])
    got = jaxnn.decode(cell, params, None, FIRST, STEPS, stop=2, feed=one_hot)
    assert_close(got.tokens, jaxnn.decode(CELL, PARAMS, None, FIRST, STEPS, stop=2).tokens, 0)
    beams = jaxnn.beam_search(cell, params, None, FIRST, STEPS, 3, feed=one_hot)
    assert_close(beams.tokens, jaxnn.beam_search(CELL, PARAMS, None, FIRST, STEPS, 3).tokens, 0)


def test_16_bits_have_log_probabilities_in_32():
    cell = jaxnn.stack(
        jaxnn.embedding(SIZE, 4, dtype="bfloat16"), jaxnn.dense(4, SIZE, dtype="bfloat16")
    )
    params = cell.init(KEY)
    found = jaxnn.decode(cell, params, None, FIRST, 2)
    assert found.log_probabilities is not None
    assert found.log_probabilities.dtype == jnp.float32
    assert jaxnn.beam_search(cell, params, None, FIRST, 2, 2).scores.dtype == jnp.float32


# Sampling -----------------------------------------------------------------------------------------


COUNT = 20_000
LOGITS = jnp.log(jnp.array([0.1, 0.4, 0.2, 0.3], jnp.float32))


@pytest.mark.parametrize(
    ("options", "shares"),
    {
        (): [0.1, 0.4, 0.2, 0.3],
        (("temperature", 0.5),): [1 / 30, 16 / 30, 4 / 30, 9 / 30],
        (("top_k", 2),): [0, 4 / 7, 0, 3 / 7],
        (("top_k", 1),): [0, 1, 0, 0],
        (("top_p", 0.65),): [0, 4 / 7, 0, 3 / 7],
        (("top_p", 0.75),): [0, 4 / 9, 2 / 9, 3 / 9],
        (("top_p", 0.01),): [0, 1, 0, 0],
        (("top_p", 1.0),): [0.1, 0.4, 0.2, 0.3],
        (("top_k", 3), ("top_p", 0.75)): [0, 4 / 7, 0, 3 / 7],
    }.items(),
    ids=str,
)
def test_what_is_drawn_has_its_shares(options: Any, shares: Any):
    """Within five standard deviations; what does not count is never drawn."""
    tokens = draw(**dict(options))(jnp.broadcast_to(LOGITS, (COUNT, 4)), KEY)
    assert tokens.dtype == jnp.int32
    found = np.bincount(tokens, minlength=4) / COUNT
    shares = np.array(shares)
    assert (np.abs(found - shares) <= 5 * np.sqrt(shares * (1 - shares) / COUNT)).all()


def test_equal_logits_count_in_their_order():
    ties = jnp.zeros((COUNT, 4), jnp.float32)
    assert set(draw(top_k=2)(ties, KEY).tolist()) == {0, 1}
    assert set(draw(top_p=0.6)(ties, KEY).tolist()) == {0, 1, 2}
    assert set(jaxnn.sampling.greedy(ties).tolist()) == {0}


def test_equal_options_are_one_function():
    assert draw(0.5, 3) == draw(temperature=0.5, top_k=3)
    assert hash(draw(0.5, 3)) == hash(draw(0.5, 3))


# Beams --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [None, 2])
def test_a_width_of_one_is_greedy(stop: Any):
    greedy = jaxnn.decode(CELL, PARAMS, None, FIRST, STEPS, stop=stop)
    beam = jaxnn.beam_search(CELL, PARAMS, None, FIRST, STEPS, 1, stop)
    assert_close(beam.tokens[..., 0], greedy.tokens, 0)
    assert_close(beam.lengths[..., 0], greedy.lengths, 0)
    assert_close(jax.tree.map(lambda leaf: leaf[:, 0], beam.state), greedy.state, 1e-5)
    assert greedy.log_probabilities is not None
    assert_close(beam.log_probabilities[..., 0], jnp.sum(greedy.log_probabilities, 0), 1e-5)
    assert_close(beam.scores, beam.log_probabilities, 0)


SHORT = 3


@functools.cache
def everything(stop: int | None, penalty: float) -> list[list[tuple[float, tuple[int, ...]]]]:
    """For each first token, every sequence with its score, the best one first."""
    sequences = np.array(list(itertools.product(range(SIZE), repeat=SHORT)), np.int32)
    found = []
    for first in FIRST:
        inputs = np.concatenate([np.full((len(sequences), 1), first), sequences[:, :-1]], 1)
        _, logits = CELL.unroll(PARAMS, jnp.asarray(inputs.T, jnp.int32))
        steps = np.array(jax.nn.log_softmax(logits)).swapaxes(0, 1)
        scores = {}
        for sequence, step in zip(sequences, steps, strict=True):
            ends = np.flatnonzero(sequence == stop)
            length = ends[0] + 1 if len(ends) else SHORT
            total = sum(step[t, sequence[t]] for t in range(length))
            scores[tuple(sequence[:length].tolist())] = total / ((5 + length) / 6) ** penalty
        found.append(sorted(((score, s) for s, score in scores.items()), reverse=True))
    return found


@pytest.mark.parametrize("penalty", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("stop", [None, 2])
def test_a_search_that_is_wide_enough_finds_all(stop: int | None, penalty: float):
    """The best sequence of all, and the others in order; what is not there has no score."""
    width = SIZE**SHORT
    got = jaxnn.beam_search(CELL, PARAMS, None, FIRST, SHORT, width, stop, penalty)
    for row, want in enumerate(everything(stop, penalty)):
        lengths = got.lengths[row].tolist()
        tokens = np.array(got.tokens[:, row])
        found = [tuple(tokens[:length, i].tolist()) for i, length in enumerate(lengths)]
        scores, count = np.array([score for score, _ in want]), len(want)
        np.testing.assert_allclose(got.scores[row, :count], scores, rtol=1e-5)
        assert found[0] == want[0][1]
        assert set(found[:count]) == {sequence for _, sequence in want}
        assert np.isneginf(got.scores[row, count:]).all() and not any(lengths[count:])
        assert all(not tokens[length:, i].any() for i, length in enumerate(lengths))


def test_the_state_of_a_hypothesis_is_its_own():
    """That after its inputs, whichever hypotheses it came from."""
    beams = jaxnn.beam_search(CELL, PARAMS, None, FIRST, STEPS, 3, stop=2)
    first = jnp.broadcast_to(FIRST[:, None], (1, BATCH, 3))
    mask = jaxnn.lengths_to_mask(beams.lengths, STEPS)
    inputs = jnp.concatenate([first, beams.tokens[:-1]])
    state, logits = CELL.unroll(PARAMS, inputs, mask=mask)
    assert_close(beams.state, state, 1e-5)
    gains = jnp.take_along_axis(jax.nn.log_softmax(logits), beams.tokens[..., None], -1)[..., 0]
    assert_close(beams.log_probabilities, jnp.sum(gains, 0, where=mask), 1e-5)
    assert not beams.tokens[~mask].any()


def chain(params: Any, state: Any, x: Any) -> Any:
    return state, params[x]


def test_two_hypotheses_see_what_one_passes_by():
    """A chain whose likeliest first token leads into a fork: 0.6 · 0.5 < 0.4 · 0.9."""
    shares = [[0.0, 0.6, 0.4, 0.0], [0.1, 0.0, 0.4, 0.5], [0.1, 0.9, 0.0, 0.0], [1.0, 0, 0, 0]]
    table = jnp.log(jnp.array(shares, jnp.float32))
    cell = jaxnn.cell(lambda key: table, chain, lambda params, batch_shape=(): (), event_ndim=0)
    start = jnp.zeros((), jnp.int32)
    found = {
        width: jaxnn.beam_search(cell, table, None, start, 2, width).tokens[:, 0].tolist()
        for width in (1, 2)
    }
    assert found == {1: [1, 3], 2: [2, 1]}


# Wrong calls --------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused():
    run = functools.partial(jaxnn.decode, CELL, PARAMS, None)
    with pytest.raises(TypeError, match=r"sample must give what first is, int64\[3\]; got int32"):
        run(FIRST.astype(jnp.int64), STEPS)
    with pytest.raises(TypeError, match="it draws, so that it needs a key"):
        run(FIRST, STEPS, draw())
    with pytest.raises(ValueError, match="top_k is 9, and there are 4 logits"):
        run(FIRST, STEPS, draw(top_k=9), key=KEY)
    with pytest.raises(TypeError, match="stop is given, so first must be tokens"):
        jaxnn.decode(jaxnn.elman(2, 2), (), None, jnp.ones(2), STEPS, stop=1)
    with pytest.raises(ValueError, match=r"decode: .*state.* must have the shape \(3, 5\)"):
        jaxnn.decode(CELL, PARAMS, CELL.initial_state(PARAMS, (2,)), FIRST, STEPS)
    with pytest.raises(TypeError, match=r"must give logits, \(3, 2\) and the vocabulary"):
        cell = jaxnn.cell(nothing, chain_of_tokens, nothing, event_ndim=0)
        jaxnn.beam_search(cell, (), (), FIRST, STEPS, 2)


def nothing(*_: Any) -> Any:
    return ()


def chain_of_tokens(params: Any, state: Any, x: Any) -> Any:
    return state, x
