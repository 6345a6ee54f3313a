"""A cell that reads its own output: the next input is what was taken from the last one."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.decoding.given import (
    Feed,
    Stop,
    batch_of,
    begun,
    check_function,
    check_given,
    check_tokens,
    fed,
    log_softmax,
    stops,
    token_of,
    tokens_of,
)
from jaxnn.decoding.sampling import greedy
from jaxnn.internal.checks import check_key, is_array, naming, shape_text
from jaxnn.internal.options import check_size
from jaxnn.internal.users import call_user
from jaxnn.scans.boundaries import where
from jaxnn.types import Array, ArrayLike, Cell, Key, Params, State, exportable

Sample = Callable[[Array, Key | None], Array]


@exportable
class Decoded(NamedTuple):
    """What `decode` gives.

    tokens: what was taken at each step, `(steps, *batch)`, the padding after a stop; of continuous
    outputs, `(steps, *first.shape)`. lengths: how many of them count, the stop included, int32
    `(*batch,)`. log_probabilities: of each token by the model's own softmax, `(steps, *batch)`, 0
    after a stop; None where no tokens are taken from logits. state: that after the last step that
    counts.
    """

    tokens: Array
    lengths: Array
    log_probabilities: Array | None
    state: State


def decode(
    cell: Cell[Params, State],
    params: Params,
    state: State | None,
    first: ArrayLike,
    steps: int,
    sample: Sample = greedy,
    stop: int | tuple[int, ...] | None = None,
    key: Key | None = None,
    feed: Feed | None = None,
    pad: int = 0,
) -> Decoded:
    """Let a cell go on by itself: each output gives the next input.

        state, y_t = cell.apply(params, state, feed(x_t));   x_{t+1} = sample(y_t, key_t)

    x_0 is `first`; what is given are x_1, x_2, …. To go on from a text, run it but for its last
    token by `unroll`, and give that state and that token. All of it is one program, traced once for
    equal shapes, as long as `sample` and `feed` are the same functions.

    Without `stop` it is a scan of all steps, and gradients go through what is continuous. With
    `stop` it is a loop that ends when the last sequence has stopped: most are shorter than the
    longest that is allowed. It has no gradient; tokens have none either.

    Args:
      cell: any Cell, such as `stack(embedding, lstm, dense)`.
      params: its parameters.
      state: where it goes on from, or None for the initial state.
      first: the first input: tokens `(*batch,)`, int32 for the functions of `jaxnn.sampling`, or
        continuous, `(*batch, features)`.
      steps: how many, at the most.
      sample: `x = sample(y, key)` takes the next input from an output: `jaxnn.sampling.greedy`,
        `jaxnn.sampling.categorical(temperature, top_k, top_p)`, or a function of your own of the
        whole batch, which gives what has the shape and dtype of `first`. For forecasts that are
        fed back as they are, `lambda y, key: y`.
      stop: a token, or several, after which a sequence has ended. From then on its tokens are
        `pad`, and its state stays.
      key: for a `sample` that draws; step t takes `jax.random.split(key, steps)[t]`. The cell
        itself is evaluated, without dropout.
      feed: what the cell gets of a token, such as a one-hot vector; by default the token itself.
      pad: the token after the end.

    Returns:
      `Decoded(tokens, lengths, log_probabilities, state)`, time first.

    Raises:
      TypeError, ValueError: for arguments that are none of these; for a `stop` where no tokens are
        taken; for a `sample` that gives something else than `first` is.

    >>> import jaxnn
    >>> cell = jaxnn.stack(jaxnn.embedding(9, 8), jaxnn.gru(8, 16), jaxnn.dense(16, 9))
    >>> params, start = cell.init(jax.random.key(0)), jnp.zeros(3, jnp.int32)
    >>> draw = jaxnn.sampling.categorical(0.7, top_k=5)
    >>> written = jaxnn.decode(cell, params, None, start, 20, draw, stop=8, key=jax.random.key(1))
    >>> written.tokens.shape, written.lengths.shape, written.state[1].hidden.shape
    ((20, 3), (3,), (3, 16))
    """
    check_given("decode", cell, params, state, first, feed)
    steps = check_size("decode", "steps", steps)
    check_function("decode", "sample", sample, ("y", "key"))
    stop, pad = tokens_of("decode", "stop", stop), token_of("decode", "pad", pad)
    check_key("decode", key)
    if stop:
        check_tokens("decode", first, "stop is given", stop, pad)
    return _decode(cell, steps, sample, stop, feed, pad, params, state, first, key)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4, 5))
def _decode(
    cell: Cell,
    steps: int,
    sample: Sample,
    stop: Stop,
    feed: Feed | None,
    pad: int,
    params: Params,
    state: State | None,
    first: Array,
    key: Key | None,
) -> Decoded:
    batch = batch_of("decode", cell, jax.eval_shape(lambda x: fed("decode", feed, x), first))
    state = begun("decode", cell, params, state, batch)
    keys = None if key is None else jax.random.split(key, steps)

    def advance(state: State, x: Array, key: Key | None) -> tuple[State, Array, Array | None]:
        with naming("decode"):
            state, y = cell.apply(params, state, fed("decode", feed, x))
        token = call_user("decode", "sample", sample, y, key)
        if not is_array(token) or token.shape != x.shape or token.dtype != x.dtype:
            raise TypeError(
                f"decode: sample must give what first is, {shape_text(x)}; got {shape_text(token)}"
            )
        return state, token, _log_probability(y, token)

    if not stop:

        def go_on(carry: tuple[State, Array], key: Key | None) -> tuple[Any, Any]:
            state, token, log_probability = advance(carry[0], carry[1], key)
            return (state, token), (token, log_probability)

        (state, _), taken = jax.lax.scan(go_on, (state, first), keys, length=steps)
        return Decoded(taken[0], jnp.full(batch, steps, jnp.int32), taken[1], state)

    if first.shape != batch:
        raise ValueError(
            f"decode: stop is given, so first must be one token for each sequence, {batch}, got "
            f"{shape_text(first)}"
        )

    def going_on(carry: tuple[Any, ...]) -> Array:
        t, stopped = carry[:2]
        return (t < steps) & ~jnp.all(stopped)

    def one_more(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        t, stopped, x, state, lengths, written = carry
        new, token, log_probability = advance(state, x, None if keys is None else keys[t])
        token = jnp.where(stopped, jnp.asarray(pad, token.dtype), token)
        gain = jax.tree.map(lambda leaf: jnp.where(stopped, 0, leaf), log_probability)
        return (
            t + 1,
            stopped | stops(token, stop),
            token,
            where(stopped, state, new),
            lengths + (~stopped).astype(jnp.int32),
            jax.tree.map(lambda every, one: every.at[t].set(one), written, (token, gain)),
        )

    gain = jax.eval_shape(advance, state, first, None if keys is None else keys[0])[2]
    blank = (
        jnp.full((steps, *batch), pad, first.dtype),
        jax.tree.map(lambda leaf: jnp.zeros((steps, *leaf.shape), leaf.dtype), gain),
    )
    begin = (jnp.int32(0), jnp.zeros(batch, bool), first, state, jnp.zeros(batch, jnp.int32), blank)
    end = jax.lax.while_loop(going_on, one_more, begin)
    _, _, _, state, lengths, (tokens, log_probabilities) = end
    return Decoded(tokens, lengths, log_probabilities, state)


def _log_probability(y: Any, token: Array) -> Array | None:
    """Of tokens that are taken from logits."""
    logits = is_array(y) and y.ndim and jnp.issubdtype(y.dtype, jnp.floating)
    if not logits or y.shape[:-1] != token.shape or not jnp.issubdtype(token.dtype, jnp.integer):
        return None
    return jnp.take_along_axis(log_softmax(y), token[..., None], axis=-1)[..., 0]
