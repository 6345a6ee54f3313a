"""A policy with a memory: an actor-critic whose GRU lives inside a jitted rollout, in a T-maze.

In the maze (t_maze.py) the way to turn at the end is shown at the start, once. A feed-forward
policy can only guess, so it is right half the time; a recurrent one learns to remember. Both are
Cells, so one code trains both. The rollout puts back the state of whoever has finished by
`reset_state`; the loss runs the same steps again by `unroll`, with the same flags as `reset=`.
"""

import functools
import operator
import time
from typing import Any, NamedTuple

import drawing
import jax
import jax.numpy as jnp
import numpy as np
import optax
import spread
import t_maze
from command_line import positive, training_parser
from ensemble import keys, train

import jaxnn
from jaxnn.types import Array, Cell, Key, Params, State

HIDDEN, ROLLOUT, MAZES = 32, 32, 32
DISCOUNT, TRACE, ENTROPY, LEARNING_RATE = 0.98, 0.95, 0.02, 3e-3
OUTPUTS = len(t_maze.MOVES) + 1  # a logit for each move, and the value
POLICIES = {
    "GRU": jaxnn.stack(jaxnn.gru(3, HIDDEN), jaxnn.dense(HIDDEN, OUTPUTS)),
    "feed-forward": jaxnn.stack(jaxnn.mlp((3, HIDDEN, HIDDEN, OUTPUTS), jnp.tanh)),
}


class Carried(NamedTuple):
    """What goes on from rollout to rollout: the mazes, the policy's state, who has just finished;
    and which share of the last rollout's episodes ended at the goal (NaN where none ended)."""

    maze: t_maze.Maze
    state: State
    done: Array
    share: Array


class Step(NamedTuple):
    """One step of a rollout; `reset` where the observation is the first of an episode."""

    observation: Array
    reset: Array
    outputs: Array
    action: Array
    outcome: t_maze.Outcome


def first(policy: Cell, params: Params, key: Key) -> Carried:
    """Mazes at their start."""
    state = policy.initial_state(params, (MAZES,))
    return Carried(t_maze.start(key, MAZES), state, jnp.zeros(MAZES, bool), jnp.zeros(()))


def rollout(policy: Cell, length: int, params: Params, carried: Carried, key: Key) -> Any:
    """ROLLOUT steps of every maze, in one scan."""

    def step(carry: Any, key: Key) -> Any:
        maze, state, reset = carry
        start_key, action_key = jax.random.split(key)
        fresh = t_maze.start(start_key, MAZES)
        maze = jax.tree.map(functools.partial(jnp.where, reset), fresh, maze)
        state = jaxnn.reset_state(policy, params, state, reset)
        observation = t_maze.observe(maze, length)
        state, outputs = policy.apply(params, state, observation)
        action = jax.random.categorical(action_key, outputs[:, :-1])
        maze, outcome = t_maze.move(maze, action, length)
        return (maze, state, outcome.done), Step(observation, reset, outputs, action, outcome)

    last, steps = jax.lax.scan(step, carried[:3], jax.random.split(key, ROLLOUT))
    return Carried(*last, steps.outcome.right.sum() / steps.outcome.done.sum()), steps


def advantages(outcome: t_maze.Outcome, values: Array, last: Array) -> Array:
    """How much better it went than the values said (Schulman 2016, arXiv 1506.02438, eq. 16)."""
    go_on = DISCOUNT * (1.0 - outcome.done)
    surprises = outcome.reward + go_on * jnp.concatenate([values[1:], last[None]]) - values

    def back(after: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        surprise, go_on = inputs
        return (now := surprise + TRACE * go_on * after), now

    return jax.lax.scan(back, jnp.zeros_like(last), (surprises, go_on), reverse=True)[1]


def actor_critic(
    policy: Cell, length: int, params: Params, carried: Carried, _: Any, key: Key
) -> tuple[Array, Array, Carried]:
    """The loss of one rollout. Its gradient goes back to the rollout's first step, not further."""
    fixed = jax.lax.stop_gradient(params)
    after, steps = rollout(policy, length, fixed, carried, key)
    _, outputs = policy.unroll(params, steps.observation, carried.state, reset=steps.reset)
    _, last = policy.apply(fixed, after.state, t_maze.observe(after.maze, length))
    gained = advantages(steps.outcome, steps.outputs[..., -1], last[:, -1])
    log_shares = jax.nn.log_softmax(outputs[..., :-1])
    taken = jnp.take_along_axis(log_shares, steps.action[..., None], axis=-1)[..., 0]
    entropy = -jnp.sum(jnp.exp(log_shares) * log_shares, axis=-1)
    critic = jnp.square(steps.outputs[..., -1] + gained - outputs[..., -1])
    each = -taken * gained + 0.5 * critic - ENTROPY * entropy
    return each.sum(), jnp.array(each.size, each.dtype), after


def learn(name: str, length: int, steps: int, seed: int, seeds: int) -> np.ndarray:
    """The share of each rollout's episodes that ended at the goal, `(seeds, steps)`."""
    policy = POLICIES[name]
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(LEARNING_RATE))
    step = jaxnn.training.train_step(functools.partial(actor_critic, policy, length), optimizer)

    def start(key: Key) -> jaxnn.training.TrainState:
        init_key, maze_key, key = jax.random.split(key, 3)
        params = policy.init(init_key)
        return jaxnn.training.train_state(params, optimizer, key, first(policy, params, maze_key))

    watch = operator.attrgetter("state.share")
    return train(step, start, (keys(seed, seeds),), steps, watch=watch, title=name)[2]


def main() -> None:
    """Train both, print how often each is right, draw the curves."""
    arguments = training_parser(__doc__, steps=600, seeds=6)
    arguments.add_argument(
        "--length", type=positive, default=10, help="steps of the corridor before the junction"
    )
    args = arguments.parse_args()
    figure, ((axes,),) = spread.grid(1, 1, (7, 4))
    for name, color in zip(POLICIES, spread.COLORS, strict=False):
        began = time.perf_counter()
        shares = learn(name, args.length, args.steps, args.seed, args.seeds)
        spread.curves(axes, shares, name, color)
        late = np.nanmean(shares[:, -max(1, args.steps // 10) :], axis=1)
        print(
            f"{name}: {late.mean():.3f} of the episodes end at the goal, in the last tenth,", end=""
        )
        print(f" seeds {late.min():.3f} to {late.max():.3f}, {time.perf_counter() - began:.0f} s")
    axes.axhline(0.5, color="black", linewidth=0.8, linestyle=":", label="a guess at the junction")
    axes.set(
        xlabel=f"update ({ROLLOUT * MAZES:,} moves each)", ylabel="episodes that end at the goal"
    )
    axes.set(title=f"T-maze, corridor of {args.length}: every seed and their mean", ylim=(0, 1.03))
    axes.legend(frameon=False, loc=(0.6, 0.15))
    drawing.save(figure, args.out / "recurrent_policy.png")


if __name__ == "__main__":
    main()
