"""A leaky continuous-time cell of one's own learns to decide; its fixed points say how.

A network sees noisy evidence for left or right, then nothing for a while, and must say at the end
which it was (decision_task.py). The cell is τ dh/dt = −h + tanh(h W + x U + b + ξ) in steps of Δt,
written as a split; its noise ξ comes in with the input, since the step of a split has no key. An
ensemble is trained at once. In each trained network the fixed points of the step in the pause are
found (`jaxnn.diagnostics.fixed_points`), and the eigenvalues of the step's Jacobian there.
"""

import time
from typing import Any, NamedTuple

import drawing
import jax
import jax.numpy as jnp
import numpy as np
import optax
import spread
from command_line import positive, training_parser
from decision_task import ANSWER, COHERENCES, SIZES, TIME, best, psychometric, repeated, trials
from ensemble import keys, train
from fixed_points import Portrait, draw_portrait, portrait

import jaxnn
from jaxnn.types import Array, Key

LEAK = 0.2  # Δt / τ = 20 ms / 100 ms
UNITS, SENSES, BATCH, LEARNING_RATE, NOISE = 32, 2, 64, 3e-3, 0.1


class LeakyParams(NamedTuple):
    """U `(senses, units)`, W `(units, units)`, b `(units,)`."""

    input_kernel: Array
    recurrent_kernel: Array
    bias: Array


def init(key: Key) -> LeakyParams:
    """Gaussian weights; those of W with a spectral radius of about 1."""
    input_key, key = jax.random.split(key)
    normal = jax.random.normal
    return LeakyParams(
        normal(input_key, (SENSES, UNITS)) / SENSES**0.5,
        normal(key, (UNITS, UNITS)) / UNITS**0.5,
        jnp.zeros(UNITS),
    )


def project(params: LeakyParams, x: Array) -> Array:
    """x U + b + ξ; the last features of x are ξ, one for each unit."""
    return x[..., :SENSES] @ params.input_kernel + params.bias + x[..., SENSES:]


def combine(params: LeakyParams, projected: Array, mixed: Array, h: Array) -> Array:
    """h' = h + Δt/τ (−h + tanh(h W + x U + b + ξ))."""
    del params
    return h + LEAK * (jnp.tanh(mixed + projected) - h)


leaky = jaxnn.split_cell(
    init,
    project,
    mix=lambda params, h: h @ params.recurrent_kernel,
    combine=combine,
    initial_state=lambda params, batch_shape=(): jnp.zeros((*batch_shape, UNITS)),
    output=lambda h: h,
)
model = jaxnn.stack(leaky, jaxnn.dense(UNITS, 2))


def inputs_of(key: Key, coherence: Array) -> Array:
    """The senses of each trial, and ξ: white noise, whose size in a step goes with 1 / √Δt."""
    key, noise_key = jax.random.split(key)
    xi = jax.random.normal(noise_key, (TIME, len(coherence), UNITS))
    return jnp.concatenate([trials(key, coherence), NOISE * (2 / LEAK) ** 0.5 * xi], axis=-1)


def loss(params: Any, state: Any, _: Any, key: Key) -> Any:
    """Cross-entropy of the answer, over the steps in which it is asked for."""
    size_key, side_key, key = jax.random.split(key, 3)
    size = jax.random.choice(size_key, jnp.asarray(SIZES), (BATCH,))
    right = jax.random.bernoulli(side_key, 0.5, (BATCH,))
    _, logits = model.unroll(params, inputs_of(key, jnp.where(right, size, -size)))
    labels = jnp.broadcast_to(right.astype(int), (ANSWER, BATCH))
    return *jaxnn.losses.cross_entropy(logits[-ANSWER:], labels), state


def share_right(params: Any, key: Key, count: int) -> Array:
    """How often the answer is rightwards, for each coherence."""
    _, logits = model.unroll(params, inputs_of(key, repeated(count)))
    return psychometric(jnp.argmax(logits[-1], axis=-1))


def look_into(params: Any, key: Key) -> Portrait:
    """The fixed points without input and noise, and 16 trials of four kinds, up to the answer."""
    coherence = jnp.repeat(jnp.array([-0.512, -0.128, 0.128, 0.512]), 4)
    _, states = leaky.unroll(params[0], inputs_of(key, coherence))
    nothing = jnp.zeros(SENSES + UNITS)
    return portrait(leaky, params[0], states[:-ANSWER], nothing)


def draw(losses: Any, shares: np.ndarray, found: Portrait, path: Any) -> None:
    """The losses; the psychometric curves; the ways and the fixed points; the eigenvalues."""
    figure, axes = spread.grid(2, 2, (10, 8))
    blue, orange = spread.COLORS[:2]
    spread.curves(axes[0, 0], losses, "mean of the ensemble", blue)
    axes[0, 0].set(title="training", xlabel="update", ylabel="loss (cross-entropy, nats)")
    axes[0, 0].legend(frameon=False)
    axes[0, 1].plot(100 * COHERENCES, shares.T, color=blue, alpha=0.3, linewidth=0.8)
    axes[0, 1].plot(100 * COHERENCES, shares.mean(axis=0), "o-", color=blue, label="mean")
    axes[0, 1].plot(100 * COHERENCES, best(COHERENCES), "k:", label="the best there is")
    axes[0, 1].set(title="every network, and the mean", ylabel="share of answers rightwards")
    axes[0, 1].set_xlabel("coherence (%), above zero for right")
    axes[0, 1].legend(frameon=False)
    draw_portrait(axes[1, 0], axes[1, 1], found, [orange] * 8 + [blue] * 8)
    axes[1, 0].set_title("one network up to its answer (orange left, blue right)")
    drawing.save(figure, path)


def main() -> None:
    """Train the ensemble, ask it, look into it."""
    arguments = training_parser(__doc__, steps=800, seeds=6)
    arguments.add_argument(
        "--trials", type=positive, default=500, help="test trials for each coherence"
    )
    args = arguments.parse_args()
    began = time.perf_counter()
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(LEARNING_RATE))

    def start(key: Key) -> jaxnn.training.TrainState:
        return jaxnn.training.train_state(model.init(key), optimizer, key)

    step = jaxnn.training.train_step(loss, optimizer)
    current, metrics, _ = train(step, start, (keys(args.seed, args.seeds),), args.steps)
    test_key = jax.random.key(2**31 - 1)
    ask = jax.jit(jax.vmap(share_right, in_axes=(0, None, None)), static_argnums=2)
    shares = np.asarray(ask(current.params, test_key, args.trials))
    networks = [jax.tree.map(lambda leaf, k=k: leaf[k], current.params) for k in range(args.seeds)]
    found = [look_into(network, test_key) for network in networks]
    for coherence, share in zip(COHERENCES, shares.T, strict=True):
        each = f"networks {share.min():.3f} to {share.max():.3f}, best {best(coherence):.3f}"
        print(f"coherence {coherence:+6.1%}: {share.mean():.3f} answer rightwards, {each}")
    for k, each in enumerate(found):
        largest = ", ".join(f"{abs(values[0]):.3f}" for values in each.eigenvalues)
        print(f"seed {args.seed + k}: fixed points with largest |eigenvalue| {largest or 'none'}")
    print(f"{time.perf_counter() - began:.0f} s")
    draw(metrics.loss, shares, found[0], args.out / "dynamics.png")


if __name__ == "__main__":
    main()
