"""A leaky continuous-time cell of one's own learns to decide; its fixed points say how.

A network sees noisy evidence for left or right, then nothing for a while, and must say at the end
which it was (decision_task.py). The cell is τ dh/dt = −h + tanh(h W + x U + b + ξ) in steps of Δt,
written as a split; its noise ξ comes in with the input, since the step of a split has no key. An
ensemble is trained at once. In a trained network the fixed points of the step in the pause are found
(fixed_points.py), and the eigenvalues of the step's Jacobian there.
"""

import time
from typing import Any, NamedTuple

import drawing
import jax
import jax.numpy as jnp
import numpy as np
import optax
from decision_task import ANSWER, COHERENCES, SIZES, TIME, psychometric, repeated, trials
from ensemble import keys, train
from fixed_points import eigenvalues, fixed_points
from options import at_least, parser

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


def loss(params: Any, state: Any, batch: Any, key: Key) -> Any:
    """Cross-entropy of the answer, over the steps in which it is asked for."""
    del batch
    size_key, side_key, key = jax.random.split(key, 3)
    size = jax.random.choice(size_key, jnp.asarray(SIZES), (BATCH,))
    right = jax.random.bernoulli(side_key, 0.5, (BATCH,))
    _, logits = model.unroll(params, inputs_of(key, jnp.where(right, size, -size)))
    labels = jnp.broadcast_to(right.astype(int), (ANSWER, BATCH))
    return *jaxnn.cross_entropy(logits[-ANSWER:], labels), state


def share_right(params: Any, key: Key, count: int) -> Array:
    """How often the answer is "right", for each coherence."""
    _, logits = model.unroll(params, inputs_of(key, repeated(count)))
    return psychometric(jnp.argmax(logits[-1], axis=-1))


class Analysis(NamedTuple):
    """Of one network: the eigenvalues at its fixed points, and, in the plane in which its states
    vary most, the points and the ways of some trials."""

    eigenvalues: np.ndarray
    points: np.ndarray
    ways: np.ndarray


def analyse(params: Any, key: Key) -> Analysis:
    """Fixed points without input and noise, searched from states that trials went through."""
    coherence = jnp.repeat(jnp.array([-0.512, -0.128, 0.128, 0.512], jnp.float32), 8)
    _, states = leaky.unroll(params[0], inputs_of(key, coherence))

    def step(h: Array) -> Array:
        return leaky.apply(params[0], h, jnp.zeros(SENSES + UNITS))[0]

    points = fixed_points(step, states[:: TIME // 8].reshape(-1, UNITS))
    ways = np.asarray(states)
    centre = ways.mean(axis=(0, 1))
    plane = np.linalg.svd((ways - centre).reshape(-1, UNITS), full_matrices=False)[2][:2].T
    return Analysis(eigenvalues(step, points), (points - centre) @ plane, (ways - centre) @ plane)


def draw(losses: Any, shares: np.ndarray, found: Analysis, path: Any) -> None:
    """The losses; the psychometric curves; the ways and the fixed points; the eigenvalues."""
    figure, axes = drawing.panels(2, 2, (10, 8))
    blue, red = drawing.COLORS[:2]
    drawing.curves(axes[0, 0], losses, "mean of the ensemble", blue)
    axes[0, 0].set(title="training", xlabel="update", ylabel="loss (cross-entropy, nats)")
    axes[0, 0].legend(frameon=False)
    axes[0, 1].plot(100 * COHERENCES, shares.T, color=blue, alpha=0.3, linewidth=0.8)
    axes[0, 1].plot(100 * COHERENCES, shares.mean(axis=0), "o-", color=blue)
    axes[0, 1].set(title="every network and the mean", xlabel="coherence (%), right > 0")
    axes[0, 1].set_ylabel("share of answers “right”")
    for way, color in zip(found.ways.swapaxes(0, 1), [red] * 16 + [blue] * 16, strict=True):
        axes[1, 0].plot(*way.T, color=color, alpha=0.4, linewidth=0.8)
    attracts = abs(found.eigenvalues[:, 0]) < 1
    for flags, face, name in ((attracts, "black", "attracts"), (~attracts, "white", "does not")):
        points, values = found.points[flags], found.eigenvalues[flags].ravel()
        axes[1, 0].plot(*points.T, "o", color="black", mfc=face, ms=9, label=f"fixed point: {name}")
        axes[1, 1].plot(values.real, values.imag, "o", color="black", mfc=face, label=name)
    axes[1, 0].set(title="trials of one network (red left, blue right)", xlabel="component 1")
    axes[1, 0].set_ylabel("component 2")
    axes[1, 0].legend(frameon=False)
    turn = np.exp(1j * np.linspace(0, 2 * np.pi, 200))
    axes[1, 1].plot(turn.real, turn.imag, color="grey", linewidth=0.8)
    axes[1, 1].set(title="eigenvalues of the step's Jacobian there", aspect="equal")
    axes[1, 1].set(xlabel="real part", ylabel="imaginary part")
    axes[1, 1].legend(frameon=False, loc="upper left")
    drawing.save(figure, path)


def main() -> None:
    """Train the ensemble, ask it, look into it."""
    arguments = parser(__doc__, steps=800, seeds=6)
    arguments.add_argument("--trials", type=at_least(1), default=500, help="for each coherence")
    args = arguments.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(LEARNING_RATE))

    def start(key: Key) -> jaxnn.TrainState:
        return jaxnn.train_state(model.init(key), optimizer, key)

    step = jaxnn.train_step(loss, optimizer)
    current, metrics, _ = train(step, start, (keys(args.seed, args.seeds),), args.steps)
    test_key = jax.random.key(2**31 - 1)
    ask = jax.jit(jax.vmap(share_right, in_axes=(0, None, None)), static_argnums=2)
    shares = np.asarray(ask(current.params, test_key, args.trials))
    networks = [jax.tree.map(lambda leaf, k=k: leaf[k], current.params) for k in range(args.seeds)]
    found = [analyse(network, test_key) for network in networks]
    for coherence, share in zip(COHERENCES, shares.T, strict=True):
        spread = f"({share.min():.3f} to {share.max():.3f})"
        print(f"coherence {coherence:+6.1%}: {share.mean():.3f} answer right {spread}")
    for k, each in enumerate(found):
        largest = ", ".join(f"{abs(values[0]):.3f}" for values in each.eigenvalues)
        print(
            f"seed {args.seed + k}: {len(each.points)} fixed points, largest |eigenvalue| {largest}"
        )
    print(f"{time.perf_counter() - began:.0f} s")
    draw(metrics.loss, shares, found[0], args.out / "dynamics.png")


if __name__ == "__main__":
    main()
