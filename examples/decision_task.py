"""A perceptual decision: noisy evidence for left or right, a pause, and the answer.

The evidence at each step is the coherence of the trial, above zero for right, plus noise; after it
comes a pause without evidence, then a signal to answer. The coherences are those of Britten,
Shadlen, Newsome & Movshon 1992, whose monkeys watched moving dots; times and noise are ours.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.types import Array, Key

WAIT, SHOW, PAUSE, ANSWER = 5, 30, 30, 5
"""Steps of 20 ms."""
TIME = WAIT + SHOW + PAUSE + ANSWER
NOISE = 1.0
"""Standard deviation of the evidence at a step."""
SIZES = np.array([0.0, 0.032, 0.064, 0.128, 0.256, 0.512], np.float32)
COHERENCES = np.concatenate([-SIZES[:0:-1], SIZES])


def trials(key: Key, coherence: Array) -> Array:
    """The evidence and the go signal of a trial for each coherence, `(time, trials, 2)`.

    >>> xs = trials(jax.random.key(0), jnp.full(1000, 0.5))
    >>> xs.shape, bool(abs(xs[WAIT : WAIT + SHOW, :, 0].mean() - 0.5) < 0.02)
    ((70, 1000, 2), True)
    >>> xs[-ANSWER - 1 :, 0].astype(int).tolist()
    [[0, 0], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1]]
    """
    steps = jnp.arange(TIME)[:, None]
    shown = (steps >= WAIT) & (steps < WAIT + SHOW)
    noise = jax.random.normal(key, (TIME, len(coherence)))
    evidence = shown * (coherence[None] + NOISE * noise)
    go = jnp.broadcast_to(steps >= TIME - ANSWER, evidence.shape)
    return jnp.stack([evidence, go.astype(evidence.dtype)], axis=-1)


def best(coherence: np.ndarray) -> np.ndarray:
    """How often who adds up all the evidence answers right: Φ(coherence · √SHOW / NOISE).

    >>> [round(share, 3) for share in best(np.array([0.0, 0.128])).tolist()]
    [0.5, 0.758]
    """
    return np.asarray(jax.scipy.stats.norm.cdf(coherence * SHOW**0.5 / NOISE))


def psychometric(answers: Array) -> Array:
    """The share of answers "right", 1, for each of COHERENCES; `answers` follow `repeated`.

    >>> psychometric(jnp.array([0] * 11 + [1] * 11)).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    return answers.reshape(len(COHERENCES), -1).mean(axis=1)


def repeated(count: int) -> Array:
    """Each of COHERENCES `count` times."""
    return jnp.repeat(jnp.asarray(COHERENCES), count)
