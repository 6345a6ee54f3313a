"""A forecaster of many series: one recurrent network gives the distribution of the next value.

As DeepAR (Salinas et al. 2020) it is shared by all series, reads their own past in units of each,
and is let go on by itself, on values that it draws, for the distribution of a whole path.

Logarithms u are forecast, as a difference from the value of one season before the next:

    u_{t+1} = u_{t+1−m} + ν_t (μ + σ ε),   ε of Student's t with d degrees of freedom,

where μ, σ, d are the network's outputs at t, and ν_t is the mean of |u_s − u_{s−m}| so far.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxnn
from jaxnn.types import Array, Cell, Key, Params, State

PRIOR = 4  # differences that count as seen before the first: ν is that of the panel there
KNOWN = 3  # numbers of a token behind its values: ν, the mean difference, the step


class Past(NamedTuple):
    """Tokens `(time, series, 2 m + 1 + KNOWN)`; what comes next, in units of ν; where they are."""

    tokens: np.ndarray
    targets: np.ndarray
    mask: np.ndarray


def past(series: list[np.ndarray], season: int, scale: float) -> Past:
    """What there is to learn from: at each step from the third season on, the two seasons before.

    `scale` is ν of the whole panel. The last step of each series has no target: there the forecast
    begins.
    """
    window, time = 2 * season + 1, max(map(len, series)) - 2 * season
    tokens = np.zeros((time, len(series), window + KNOWN), np.float32)
    targets = np.zeros((time, len(series)), np.float32)
    mask = np.zeros((time, len(series)), bool)
    for k, values in enumerate(series):
        u = np.log(values)
        windows = np.lib.stride_tricks.sliding_window_view(u, window)[:, ::-1]
        steps = np.arange(2 * season, len(u))
        grown = u[season:] - u[:-season]
        counts = np.arange(1, len(grown) + 1)[season:]
        nu = (np.cumsum(np.abs(grown))[season:] + PRIOR * scale) / (counts + PRIOR)
        mean = np.cumsum(grown)[season:] / (counts + PRIOR)
        tokens[: len(steps), k] = np.column_stack([windows, nu, mean, steps])
        targets[: len(steps) - 1, k] = (u[steps[1:]] - u[steps[1:] - season]) / nu[:-1]
        mask[: len(steps), k] = True
    return Past(tokens, targets, mask)


def scale_of(series: list[np.ndarray], season: int) -> float:
    """ν of a panel: the median over its series of how much a value differs from a season ago."""
    logs = [np.log(values) for values in series]
    return float(np.median([np.abs(u[season:] - u[:-season]).mean() for u in logs]))


def features(season: int, tokens: Array) -> Array:
    """What the network sees: the last two seasons and the mean growth in units of ν; ν; age; and
    which part of the season is next."""
    u, (nu, mean, step) = tokens[..., :-KNOWN], jnp.moveaxis(tokens[..., -KNOWN:], -1, 0)
    apart = (u - u[..., season - 1, None]) / nu[..., None]
    phase = 2 * jnp.pi * (step + 1) / season
    seen = mean / nu, jnp.log(nu), jnp.log1p(step), jnp.sin(phase), jnp.cos(phase)
    return jnp.concatenate([apart, jnp.stack(seen, axis=-1)], axis=-1)


def network(season: int, hidden: int, rate: float) -> Cell:
    """An LSTM, and three numbers out: those of Student's t. `rate` is that of dropout."""
    return jaxnn.stack(
        jaxnn.activation(functools.partial(features, season)),
        jaxnn.lstm(2 * season + 6, hidden),
        jaxnn.dropout(rate),
        jaxnn.dense(hidden, 3),
    )


def distribution(y: Array) -> tuple[Array, Array, Array]:
    """μ, σ and the degrees of freedom, above 2, from the outputs of the network."""
    return y[..., 0], jax.nn.softplus(y[..., 1]) + 1e-3, 2 + jax.nn.softplus(y[..., 2])


def negative_log_likelihood(y: Array, targets: Array, mask: Array) -> tuple[Array, Array]:
    """Of targets `(…)` under outputs `(…, 3)`: the sum over valid steps and their number."""
    mean, scale, degrees = distribution(y)
    each = jax.scipy.stats.t.logpdf(jnp.where(mask, targets, mean), degrees, mean, scale)
    return -jnp.sum(jnp.where(mask, each, 0.0)), jnp.sum(mask, dtype=y.dtype)


def windows(past: Past, length: int, batch: int, key: Key) -> Any:
    """Pieces of series, each series as likely as any other, from a random step on."""
    which, where = jax.random.uniform(key, (2, batch))
    known = jnp.asarray(past.mask).sum(axis=0) - 1  # steps with a target
    k = jnp.int32(which * known.size)
    first = jnp.int32(where * (jnp.maximum(known[k] - length, 0) + 1))
    t = jnp.minimum(first + jnp.arange(length)[:, None], len(past.tokens) - 1)
    mask = first + jnp.arange(length)[:, None] < known[k]
    return jnp.asarray(past.tokens)[t, k], jnp.asarray(past.targets)[t, k], mask


def training(model: Cell, past: Past, steps: int, length: int, batch: int = 64) -> Any:
    """`train(keys)`: the parameters of one training for each key, and their losses."""
    length = min(length, len(past.tokens) - 1)
    schedule = optax.schedules.cosine_decay_schedule(3e-3, steps)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(schedule, weight_decay=0.01, mask=jaxnn.training.decay_mask),
    )

    def loss(params: Params, state: State, batch: Any, key: Key) -> Any:
        tokens, targets, mask = batch
        _, y = model.unroll(params, tokens, None, mask, key=key)
        return *negative_log_likelihood(y, targets, mask), state

    step = jaxnn.training.train_step(loss, optimizer)

    def one(key: Key) -> tuple[Params, Array]:
        init_key, data_key, key = jax.random.split(key, 3)

        def update(current: Any, key: Key) -> Any:
            current, metrics = step(current, windows(past, length, batch, key))
            return current, metrics.loss

        first = jaxnn.training.train_state(model.init(init_key), optimizer, key)
        last, losses = jax.lax.scan(update, first, jax.random.split(data_key, steps))
        return last.params, losses

    return jax.jit(jax.vmap(one))


def goes_on(model: Cell) -> Cell:
    """The cell that `decode` lets go on: its output is that of the network, and what it read."""

    def apply(params: Params, state: State, token: Array) -> tuple[State, Any]:
        state, y = model.apply(params, state, token)
        return state, (y, token)

    return jaxnn.cell(model.init, apply, model.initial_state)


def draw(season: int, output: Any, key: Any) -> Array:
    """A next value from the distribution, and with it the next token."""
    y, token = output
    mean, scale, degrees = distribution(y)
    nu = token[..., -KNOWN]
    noise = jax.random.t(key, degrees, mean.shape, mean.dtype)
    value = token[..., season - 1] + nu * (mean + scale * noise)
    rest = token[..., -KNOWN:] + jnp.array([0, 0, 1], token.dtype)
    return jnp.concatenate([value[..., None], token[..., : -KNOWN - 1], rest], axis=-1)


def sampler(model: Cell, season: int) -> Any:
    """`paths(params, past, ahead, samples, key)`: values drawn, `(samples, ahead, series)`."""
    cell, sample = goes_on(model), functools.partial(draw, season)

    @functools.partial(jax.jit, static_argnames=("ahead", "samples"))
    def paths(params: Params, past: Past, ahead: int, samples: int, key: Key) -> Array:
        mask = jnp.asarray(past.mask)
        last = mask.sum(axis=0) - 1
        before = mask & (jnp.arange(len(mask))[:, None] < last)
        state, _ = model.unroll(params, jnp.asarray(past.tokens), None, before)
        first = jnp.asarray(past.tokens)[last, jnp.arange(last.size)]
        many = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], samples, axis=0), (state, first))
        taken = jaxnn.decode(cell, params, many[0], many[1], ahead, sample, key=key)
        return jnp.exp(taken.tokens[..., 0]).swapaxes(0, 1)

    return paths
