"""Policies with a memory on gymnax's memory tasks: recurrent PPO with a GRU, an LRU and without.

Each training is one jitted function, mapped over the seeds: rollouts in a scan, in which
`reset_state` puts back the policy's state where an episode begins; minibatches of whole sequences,
each unrolled again from the state that it began with, with the same flags as `reset=`; and, if
asked, a burn-in, steps of the rollout before that bring this state up to date. rollouts.py has
what every such training needs, policy_tasks.py the tasks.
"""

import functools
import time
from typing import Any, NamedTuple

import drawing
import jax
import jax.numpy as jnp
import optax
import policy_tasks
import rollouts
import spread
from command_line import need, seed, stop, training_parser
from ensemble import keys
from policy_tasks import Task
from residual_blocks import CELLS, blocks, count, largest

import jaxnn
from jaxnn.types import Array, Cell, Key, Params, State

ENVS, ROLLOUT, EPOCHS, MINIBATCHES, EPISODES = 32, 128, 4, 4, 256
DISCOUNT, TRACE, CLIP, CRITIC, ENTROPY, LEARNING_RATE = 0.95, 0.8, 0.2, 0.5, 0.01, 3e-3
WIDTH, PARAMETERS = 32, 10_000


class Batch(NamedTuple):
    """Sequences of some environments: `state` `(1, envs, ...)` before the first step; observation
    and reset of the burn-in and of the rollout; the rest `(time, envs)` of the rollout alone."""

    state: State
    observation: Array
    reset: Array
    action: Array
    log_chance: Array
    advantage: Array
    target: Array


def policies(inputs: int, actions: int) -> dict[str, Cell]:
    """Three of about equally many parameters: logits of the actions, and the value."""

    def gru(size: int) -> Cell:
        into = jaxnn.dense(inputs, WIDTH), jaxnn.activation(jax.nn.relu)
        return jaxnn.stack(*into, jaxnn.gru(WIDTH, size), jaxnn.dense(size, actions + 1))

    def lru(size: int) -> Cell:
        body = blocks(CELLS["lru"], size, inputs, WIDTH, depth=2)
        return jaxnn.stack(body, jaxnn.dense(WIDTH, actions + 1))

    def feed_forward(size: int) -> Cell:
        return jaxnn.stack(jaxnn.mlp((inputs, size, size, actions + 1), jax.nn.relu))

    made = {"GRU": gru, "LRU": lru, "feed-forward": feed_forward}
    return {name: largest(make, PARAMETERS) for name, make in made.items()}


def outputs_again(policy: Cell, params: Params, batch: Batch) -> Array:
    """What the policy puts out along the rollout, under these parameters."""
    burn_in = batch.observation.shape[0] - batch.action.shape[0]
    memory = jax.tree.map(lambda leaf: leaf[0], batch.state)
    if burn_in:
        observation, reset = batch.observation[:burn_in], batch.reset[:burn_in]
        memory, _ = policy.unroll(params, observation, memory, reset=reset)
        memory = jax.lax.stop_gradient(memory)
    observation, reset = batch.observation[burn_in:], batch.reset[burn_in:]
    return policy.unroll(params, observation, memory, reset=reset)[1]


def clipped(policy: Cell, params: Params, state: Any, batch: Batch, key: Key) -> Any:
    """PPO's loss (Schulman 2017, arXiv 1707.06347, eqs. 7 and 9), and its sum's weight."""
    outputs = outputs_again(policy, params, batch)
    ratio = jnp.exp(rollouts.log_chances(outputs, batch.action) - batch.log_chance)
    gain = batch.advantage * ratio, batch.advantage * jnp.clip(ratio, 1 - CLIP, 1 + CLIP)
    critic = jnp.square(outputs[..., -1] - batch.target)
    logs = jax.nn.log_softmax(outputs[..., :-1])
    entropy = -jnp.sum(jnp.exp(logs) * logs, axis=-1)
    each = -jnp.minimum(*gain) + CRITIC * critic - ENTROPY * entropy
    return each.sum(), jnp.array(each.size, each.dtype), state


def batch_of(context: rollouts.Step, steps: rollouts.Step, last: Array, scale: float) -> Batch:
    """The sequences of a rollout, behind the last steps of the one before; `last` as in
    `advantages`."""
    gained = rollouts.advantages(
        scale * steps.reward, steps.done, steps.value, last, DISCOUNT, TRACE
    )
    whole = jax.tree.map(lambda *parts: jnp.concatenate(parts), context, steps)
    return Batch(
        jax.tree.map(lambda leaf: leaf[:1], whole.state),
        whole.observation,
        whole.reset,
        steps.action,
        steps.log_chance,
        (gained - gained.mean()) / (gained.std() + 1e-8),
        gained + steps.value,
    )


def learn(
    task: Task, policy: Cell, updates: int, burn_in: int, params: Params, key: Key
) -> tuple[Array, Array]:
    """One training from these parameters on.

    It gives the mean return of the episodes that ended in each rollout, `(updates,)`, NaN where
    none did, and the returns of EPISODES episodes afterwards, `(EPISODES,)`.
    """
    steps_in_all = updates * EPOCHS * MINIBATCHES
    rate = optax.schedules.linear_schedule(LEARNING_RATE, 0.0, steps_in_all)
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(rate))
    descend = jaxnn.training.train_step(functools.partial(clipped, policy), optimizer)

    def update(carry: Any, key: Key) -> Any:
        current, carried, context = carry
        rollout_key, key = jax.random.split(key)
        params = current.params
        carried, steps = rollouts.rollout(task, policy, params, carried, rollout_key, ROLLOUT)
        state = jaxnn.reset_state(policy, params, carried.state, carried.reset)
        _, ahead = policy.apply(params, state, carried.observation)
        batch = batch_of(context, steps, ahead[:, -1], task.scale)

        def epoch(current: Any, key: Key) -> Any:
            return jax.lax.scan(descend, current, rollouts.minibatches(batch, key, MINIBATCHES))

        current, _ = jax.lax.scan(epoch, current, jax.random.split(key, EPOCHS))
        context = jax.tree.map(lambda leaf: leaf[ROLLOUT - burn_in :], steps)
        return (current, carried, context), jnp.nanmean(steps.total)

    first_key, test_key, key = jax.random.split(key, 3)
    carried = rollouts.first(task, policy, params, first_key, ENVS)
    # Before the first rollout there is none: its episodes begin, so what stands here is forgotten.
    collect = functools.partial(rollouts.rollout, task, policy, steps=burn_in)
    _, shapes = jax.eval_shape(collect, params, carried, key)
    context = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    current = jaxnn.training.train_state(params, optimizer, key)
    (current, *_), curve = jax.lax.scan(
        update, (current, carried, context), jax.random.split(key, updates)
    )
    return curve, rollouts.evaluate(task, policy, current.params, test_key, EPISODES)


def main() -> None:
    """Train every policy on every task, print the returns, draw the curves."""
    arguments = training_parser(__doc__, steps=60, seeds=5)
    names = list(policy_tasks.tasks())
    arguments.add_argument("--tasks", nargs="+", choices=names, default=names, help="which tasks")
    kinds = "GRU", "LRU", "feed-forward"
    arguments.add_argument("--policies", nargs="+", choices=kinds, default=kinds, help="which ones")
    arguments.add_argument(
        "--burn-in", type=seed, default=0, help=f"steps before a rollout, at most {ROLLOUT}"
    )
    args = arguments.parse_args()
    if args.burn_in > ROLLOUT:
        stop(f"--burn-in must be at most {ROLLOUT}, got {args.burn_in}")
    need("gymnax", "matplotlib")
    columns = min(4, len(args.tasks))
    rows = -(-len(args.tasks) // columns)
    figure, grid = spread.grid(rows, columns, (4.5 * columns, 3.5 * rows))
    panels = grid.ravel()
    for name, axes in zip(args.tasks, panels, strict=False):
        task = policy_tasks.make(name)
        for kind, color in zip(args.policies, spread.COLORS, strict=False):
            policy = policies(task.inputs, task.actions)[kind]
            train = functools.partial(learn, task, policy, args.steps, args.burn_in)
            began = time.perf_counter()
            both = jax.vmap(jax.random.split)(keys(args.seed, args.seeds))
            params = jax.vmap(policy.init)(both[:, 0])
            curve, scores = jax.device_get(jax.jit(jax.vmap(train))(params, both[:, 1]))
            spread.curves(axes, curve, kind, color)
            means = scores.mean(axis=1)
            print(
                f"{name:9} {kind:12} {means.mean():7.3f} ({means.min():.3f} to {means.max():.3f}),"
                f" best {task.best:.2f}, {count(policy):,} parameters,"
                f" {time.perf_counter() - began:.0f} s",
                flush=True,
            )
        axes.set_ylim(axes.get_ylim())  # what cannot be surpassed is far above the maze's curves
        axes.axhline(task.best, color="black", linewidth=0.8, linestyle=":", label="no better than")
        axes.set(title=name, xlabel=f"update ({ROLLOUT * ENVS:,} steps each)", ylabel="return")
    panels[0].legend(frameon=False)
    for axes in panels[len(args.tasks) :]:
        axes.set_axis_off()
    drawing.save(figure, args.out / "ppo.png")


if __name__ == "__main__":
    main()
