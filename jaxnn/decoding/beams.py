"""The likeliest sequence, sought for with several hypotheses side by side."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.decoding.given import (
    Feed,
    Stop,
    begun,
    check_given,
    check_tokens,
    fed,
    log_softmax,
    stops,
    token_of,
    tokens_of,
)
from jaxnn.internal.checks import is_array, naming, shape_text
from jaxnn.internal.options import check_number, check_size
from jaxnn.scans.boundaries import where
from jaxnn.types import Array, ArrayLike, Cell, Params, PyTree, State, exportable


@exportable
class Beams(NamedTuple):
    """What `beam_search` gives: hypotheses, the best one first.

    tokens: int `(steps, *batch, width)`, the padding after a stop. lengths: how many of them count,
    the stop included, int32 `(*batch, width)`. log_probabilities: of each whole hypothesis, and
    scores: by which they are ordered, `(*batch, width)`. Where there are fewer than `width`, the
    rest have the score −inf, the length 0, and a state without meaning. state: after the last step
    that counts, `(*batch, width, …)`.
    """

    tokens: Array
    lengths: Array
    log_probabilities: Array
    scores: Array
    state: State


def beam_search(
    cell: Cell[Params, State],
    params: Params,
    state: State | None,
    first: ArrayLike,
    steps: int,
    width: int,
    stop: int | tuple[int, ...] | None = None,
    length_penalty: float = 0.0,
    feed: Feed | None = None,
    pad: int = 0,
) -> Beams:
    """Seek the likeliest sequence that a cell goes on with, `width` hypotheses at a time.

    At each step every hypothesis is continued by every token, and the `width` of the highest score
    are kept. One that has stopped stays as it is, and competes with the others. The score is

        log P(tokens) / ((5 + length) / 6)^length_penalty.

    A width of 1 is `decode` with `greedy`; a width of vocabulary^steps finds the best sequence of
    all. Between them a wider search mostly finds a better one, without a promise. It ends early
    when all hypotheses have stopped.

    Args:
      cell: any Cell whose output are logits, `(*batch, vocabulary)`.
      params: its parameters.
      state: where it goes on from, or None for the initial state.
      first: the first tokens, integers `(*batch,)`.
      steps: how many tokens, at the most.
      width: how many hypotheses are kept for each sequence.
      stop: a token, or several, with which a hypothesis has ended.
      length_penalty: 0 for none; the higher, the less a hypothesis loses by being long. Wu et al.
        find 0.6 to 0.7 best for translation.
      feed: what the cell gets of a token, such as a one-hot vector; by default the token itself.
      pad: the token after the end.

    Returns:
      `Beams(tokens, lengths, log_probabilities, scores, state)`, time first.

    Raises:
      TypeError, ValueError: for arguments that are none of these, or a cell whose output are no
        logits.

    Source: Graves 2012 (arXiv 1211.3711); the penalty, Wu et al. 2016 (arXiv 1609.08144), equation
    14, which also has a term for attention.

    >>> import jaxnn
    >>> cell = jaxnn.stack(jaxnn.embedding(9, 8), jaxnn.gru(8, 16), jaxnn.dense(16, 9))
    >>> params, start = cell.init(jax.random.key(0)), jnp.zeros(3, jnp.int32)
    >>> best = jaxnn.beam_search(cell, params, None, start, 20, width=4, stop=8)
    >>> best.tokens.shape, best.scores.shape, bool((best.scores[:, 0] >= best.scores[:, 1]).all())
    ((20, 3, 4), (3, 4), True)
    """
    check_given("beam_search", cell, params, state, first, feed)
    steps = check_size("beam_search", "steps", steps)
    width = check_size("beam_search", "width", width)
    stop, pad = tokens_of("beam_search", "stop", stop), token_of("beam_search", "pad", pad)
    check_tokens("beam_search", first, "it seeks tokens", stop, pad)
    penalty = check_number("beam_search", "length_penalty", length_penalty)
    return _search(cell, steps, width, stop, feed, pad, params, state, first, jnp.asarray(penalty))


class _Search(NamedTuple):
    """How far it has come: for each hypothesis its log-probability, length, last token, state, and
    whether it has stopped; of each step, the tokens and which hypothesis each of them continues."""

    t: Array
    totals: Array
    lengths: Array
    stopped: Array
    token: Array
    state: State
    tokens: Array
    parents: Array


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4, 5))
def _search(
    cell: Cell,
    steps: int,
    width: int,
    stop: Stop,
    feed: Feed | None,
    pad: int,
    params: Params,
    state: State | None,
    first: Array,
    penalty: Array,
) -> Beams:
    batch = first.shape
    shape = (*batch, width)
    state = begun("beam_search", cell, params, state, batch)
    state = _widened(state, len(batch), width)

    def apply(state: State, token: Array) -> tuple[State, Array]:
        with naming("beam_search"):
            state, y = cell.apply(params, state, fed("beam_search", feed, token))
        floating = is_array(y) and jnp.issubdtype(y.dtype, jnp.floating)
        if not floating or y.shape[:-1] != shape:
            raise TypeError(
                f"beam_search: the cell must give logits, {shape} and the vocabulary, got "
                f"{shape_text(y)}"
            )
        return state, log_softmax(y)

    def score(totals: Array, lengths: Array) -> Array:
        return totals / ((5 + lengths.astype(totals.dtype)) / 6) ** penalty.astype(totals.dtype)

    def one_more(now: _Search) -> _Search:
        new, gains = apply(now.state, now.token)
        size = gains.shape[-1]
        # One that has stopped is continued by the first token alone, which costs nothing.
        stays = jnp.full_like(gains, -jnp.inf).at[..., 0].set(0)
        totals = now.totals[..., None] + jnp.where(now.stopped[..., None], stays, gains)
        lengths = now.lengths + (~now.stopped).astype(jnp.int32)
        scores = score(totals, lengths[..., None])
        flat = (*batch, width * size)
        _, best = jax.lax.top_k(scores.reshape(flat), width)
        parents, token = best // size, (best % size).astype(first.dtype)
        lengths, stopped, state = _picked(
            (lengths, now.stopped, where(now.stopped, now.state, new)), parents, len(batch)
        )
        token = jnp.where(stopped, jnp.asarray(pad, token.dtype), token)
        return _Search(
            now.t + 1,
            jnp.take_along_axis(totals.reshape(flat), best, axis=-1),
            lengths,
            stopped | stops(token, stop) if stop else stopped,
            token,
            state,
            now.tokens.at[now.t].set(token),
            now.parents.at[now.t].set(parents),
        )

    def going_on(now: _Search) -> Array:
        return (now.t < steps) & jnp.any(~now.stopped & (now.totals > -jnp.inf))

    alone = jnp.arange(width) == 0  # all begin alike, so that one of them is enough
    dtype = jax.eval_shape(apply, state, jnp.broadcast_to(first[..., None], shape))[1].dtype
    found = jax.lax.while_loop(
        going_on,
        one_more,
        _Search(
            jnp.int32(0),
            jnp.broadcast_to(jnp.where(alone, 0, -jnp.inf).astype(dtype), shape),
            jnp.zeros(shape, jnp.int32),
            jnp.zeros(shape, bool),
            jnp.broadcast_to(first[..., None], shape),
            state,
            jnp.full((steps, *shape), pad, first.dtype),
            jnp.broadcast_to(jnp.arange(width, dtype=jnp.int32), (steps, *shape)),
        ),
    )
    there = found.totals > -jnp.inf
    tokens = _followed(found.tokens, found.parents)
    return Beams(
        jnp.where(there, tokens, jnp.asarray(pad, tokens.dtype)),
        jnp.where(there, found.lengths, 0),
        found.totals,
        score(found.totals, found.lengths),
        found.state,
    )


def _widened(state: State, ndim: int, width: int) -> State:
    """The same state for each hypothesis, whose axis comes after those of the batch."""

    def widen(leaf: Array) -> Array:
        shape = (*leaf.shape[:ndim], width, *leaf.shape[ndim:])
        return jnp.broadcast_to(jnp.expand_dims(leaf, ndim), shape)

    return jax.tree.map(widen, state)


def _picked(tree: PyTree, index: Array, ndim: int) -> Any:
    """The hypotheses of these numbers."""

    def pick(tree: PyTree, index: Array) -> PyTree:
        return jax.tree.map(lambda leaf: leaf[index], tree)

    for _ in range(ndim):
        pick = jax.vmap(pick)
    return pick(tree, index)


def _followed(tokens: Array, parents: Array) -> Array:
    """The tokens of each hypothesis, from the last one back to the first."""

    def back(place: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        token, parent = (jnp.take_along_axis(each, place, axis=-1) for each in step)
        return parent, token

    last = jnp.broadcast_to(jnp.arange(tokens.shape[-1], dtype=parents.dtype), tokens.shape[1:])
    return jax.lax.scan(back, last, (tokens, parents), reverse=True)[1]
