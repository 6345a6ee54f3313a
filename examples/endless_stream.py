"""A cell learns from a stream that never ends, with an update after every step and no past stored.

At every step comes a value, 1 or −1. One of 31 is marked, and 30 steps later the network must say
which it was. A gated cell whose recurrence is diagonal learns it forward in time: for such a cell
`jaxnn.online(model, "unit")` is the exact gradient, and its trace takes as many numbers as 7 states
of the cell. Truncated backpropagation, which stores 7 steps, has the same memory and the same
optimiser; the mark is never among the steps that it sees.
"""

import functools
import time
from typing import Any, NamedTuple

import drawing
import jax
import jax.numpy as jnp
import numpy as np
import optax
import spread
from command_line import positive, stop, training_parser

import jaxnn
from jaxnn.types import Array, Key

UNITS, DELAY, PIECE = 32, 30, 6944  # steps of a piece: 31 and 7 divide them
OPTIMIZER = optax.adam(3e-3)


class GateParams(NamedTuple):
    """Kernels `(2, 2, units)` of the forget gate and the new value, what the gate sees of its own
    unit, `(units,)`, and biases `(2, units)`."""

    kernel: Array
    recurrent: Array
    bias: Array


def init(key: Key) -> GateParams:
    """Biases of the gate such that the units forget in 1 to 40 steps (Tallec & Ollivier 2018)."""
    kernel_key, key = jax.random.split(key)
    remembers = jnp.log(jax.random.uniform(key, (UNITS,), minval=1.0, maxval=40.0))
    kernel = jax.random.normal(kernel_key, (2, 2, UNITS)) / 2
    return GateParams(kernel, jnp.zeros(UNITS), jnp.stack([remembers, jnp.zeros(UNITS)]))


def combine(params: GateParams, projected: Any, mixed: Array, h: Array) -> Array:
    """f = σ(x U + u∘h + b); h' = f∘h + (1 − f)∘tanh(x V + c)."""
    f = jax.nn.sigmoid(projected[0] + mixed + params.bias[0])
    return f * h + (1 - f) * jnp.tanh(projected[1] + params.bias[1])


cell = jaxnn.split_cell(
    init,
    lambda params, x: (x @ params.kernel[:, 0], x @ params.kernel[:, 1]),
    lambda params, h: h * params.recurrent,
    combine,
    initial_state=lambda params, batch_shape=(): jnp.zeros((*batch_shape, UNITS)),
    output=lambda h: h,
)
model = jaxnn.stack(cell, jaxnn.dense(UNITS, 1))
learner = jaxnn.online(model, "unit")


class Now(NamedTuple):
    """One step of the stream: the value and the mark; the answer, and whether it is asked for."""

    x: Array
    target: Array
    asked: Array


def stream(key: Key, steps: int) -> Now:
    """Some steps of it, from a marked one on."""
    phase = jnp.arange(steps) % (DELAY + 1)
    values = jax.random.rademacher(key, (steps,), jnp.float32)
    marked = values[jnp.arange(steps) - phase]
    xs = jnp.stack([values, (phase == 0).astype(jnp.float32)], axis=1)
    return Now(xs, marked, phase == DELAY)


def loss(y: Array, now: Now) -> Array:
    """Cross-entropy of the answer, where it is asked for."""
    return jnp.where(now.asked, jax.nn.softplus(-now.target * y[0]), 0.0)


def update(params: Any, moments: Any, gradient: Any) -> tuple[Any, Any]:
    """One step of the optimiser."""
    updates, moments = OPTIMIZER.update(gradient, moments, params)
    return optax.apply_updates(params, updates), moments


def forward(carry: Any, now: Now) -> tuple[Any, Array]:
    """One step of learning forward in time."""
    params, moments, state, trace = carry
    state, trace, y, seen = learner.apply(params, state, trace, now.x)
    gradient = learner.gradient(params, seen, jax.grad(loss)(y, now))
    return (*update(params, moments, gradient), state, trace), y[0]


def truncated(carry: Any, window: Now) -> tuple[Any, Array]:
    """One window of truncated backpropagation; the state is carried on."""
    params, moments, state = carry

    def total(params: Any) -> tuple[Array, Any]:
        after, ys = model.unroll(params, window.x, state)
        return jnp.sum(jax.vmap(loss)(ys, window)), (after, ys[:, 0])

    gradient, (state, ys) = jax.grad(total, has_aux=True)(params)
    return (*update(params, moments, gradient), state), ys


@functools.partial(jax.jit, static_argnums=0)
@functools.partial(jax.vmap, in_axes=(None, 0, 0))
def piece(window: int | None, carry: Any, key: Key) -> tuple[Any, Array, Now]:
    """Learn from a piece of the stream: the outputs, each before it was learned from."""
    now = stream(key, PIECE)
    if window is None:
        return *jax.lax.scan(forward, carry, now), now
    windows = jax.tree.map(lambda leaf: leaf.reshape(-1, window, *leaf.shape[1:]), now)
    carry, ys = jax.lax.scan(truncated, carry, windows)
    return carry, ys.ravel(), now


def begin(key: Key, forwards: bool) -> Any:
    """The first parameters, moments and state, and trace."""
    params = model.init(key)
    carry = params, OPTIMIZER.init(params), model.initial_state(params)
    return (*carry, learner.init(params)) if forwards else carry


def learn(window: int | None, seed: int, seeds: int, pieces: int) -> tuple[np.ndarray, Any]:
    """The share of right answers of each seed in each piece, and the last piece."""
    keys = jax.vmap(jax.random.key)(jnp.arange(seed, seed + seeds))
    carry = jax.vmap(functools.partial(begin, forwards=window is None))(keys)
    shares, ys, now = [], None, None
    for number in range(pieces):
        carry, ys, now = piece(window, carry, jax.vmap(jax.random.fold_in, (0, None))(keys, number))
        right = (ys * now.target > 0) & now.asked
        shares.append(jnp.sum(right, axis=1) / jnp.sum(now.asked, axis=1))
    return np.asarray(shares).T, (np.asarray(ys), now)


def main() -> None:
    """Both ways from the same parameters and the same stream."""
    arguments = training_parser(__doc__, steps=140_000, seeds=5)
    arguments.add_argument("--window", type=positive, default=7, help="steps that are stored")
    args = arguments.parse_args()
    if PIECE % args.window:
        stop(f"--window must divide {PIECE}, as 7, 14, 31, 62 and 124 do")
    pieces = max(1, args.steps // PIECE)
    ending: Any = None
    names = {None: "forward in time", args.window: f"backpropagation, {args.window} steps"}
    figure, axes = drawing.panels(2, widths=(1, 1.4))
    for (window, name), color in zip(names.items(), spread.COLORS, strict=False):
        began = time.perf_counter()
        shares, (ys, ending) = learn(window, args.seed, args.seeds, pieces)
        middle, low, high = spread.median_and_range(shares[:, -max(1, pieces // 10) :].mean(1))
        took = f"{time.perf_counter() - began:.0f} s"
        print(f"{name}: {middle:.3f} of the answers right ({low:.3f} to {high:.3f}), {took}")
        steps = PIECE * np.arange(1, pieces + 1) / 1000
        axes[0].plot(steps, shares.T, color=color, alpha=0.3, linewidth=0.8)
        axes[0].plot(steps, np.median(shares, axis=0), color=color, label=name)
        axes[1].plot(np.tanh(ys[0, -5 * (DELAY + 1) :] / 2), color=color)
    target, asked = (np.asarray(leaf)[0, -5 * (DELAY + 1) :] for leaf in ending[1:])
    axes[0].axhline(0.5, color="black", linestyle=":", label="a guess")
    axes[0].set(title="each seed, and the median", xlabel="thousand steps", ylabel="answers right")
    axes[0].legend(frameon=False)
    axes[1].step(range(len(target)), target, color="black", linewidth=0.6, where="mid")
    axes[1].plot(np.flatnonzero(asked), target[asked], "ko", label="asked for")
    axes[1].set(title="the end of one stream: tanh(y / 2), and the marked value", xlabel="step")
    axes[1].legend(frameon=False, loc="center right")
    drawing.save(figure, args.out / "endless_stream.png")


if __name__ == "__main__":
    main()
