"""What recurrent policies are trained by: rollouts with resets, advantages, minibatches of whole
sequences, and an evaluation. A policy is a Cell whose output is a logit for each action, and the
value of where it is.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from policy_tasks import Task

import jaxnn
from jaxnn.types import Array, Cell, Key, Params, State


class Carried(NamedTuple):
    """What goes on from rollout to rollout, for each environment: what it shows and its state, the
    policy's state, whether a new episode begins, and the return of its episode up to now."""

    observation: Array
    environment: Any
    state: State
    reset: Array
    total: Array


class Step(NamedTuple):
    """A step of each environment; `state` is the policy's before it, `total` the return of an
    episode that ends here, NaN where none does."""

    state: State
    observation: Array
    reset: Array
    action: Array
    log_chance: Array
    value: Array
    reward: Array
    done: Array
    total: Array


def first(task: Task, policy: Cell, params: Params, key: Key, count: int) -> Carried:
    """`count` environments at the beginning of an episode."""
    observation, environment = task.reset(jax.random.split(key, count))
    state = policy.initial_state(params, (count,))
    return Carried(observation, environment, state, jnp.ones(count, bool), jnp.zeros(count))


def log_chances(outputs: Array, action: Array) -> Array:
    """The logarithm of the chance of each action that was taken."""
    logs = jax.nn.log_softmax(outputs[..., :-1])
    return jnp.take_along_axis(logs, action[..., None], axis=-1)[..., 0]


def rollout(
    task: Task, policy: Cell, params: Params, carried: Carried, key: Key, steps: int
) -> tuple[Carried, Step]:
    """So many steps of every environment, in one scan: each leaf of Step is `(time, envs, ...)`."""

    def step(carried: Carried, key: Key) -> tuple[Carried, Step]:
        action_key, key = jax.random.split(key)
        observation, environment, before, reset, total = carried
        state = jaxnn.reset_state(policy, params, before, reset)
        state, outputs = policy.apply(params, state, observation)
        action = jax.random.categorical(action_key, outputs[:, :-1])
        keys = jax.random.split(key, reset.shape[0])
        after, environment, reward, done = task.step(keys, environment, action)
        total = total + reward
        seen = Step(before, observation, reset, action, log_chances(outputs, action),
                    outputs[:, -1], reward, done, jnp.where(done, total, jnp.nan))  # fmt: skip
        return Carried(after, environment, state, done, jnp.where(done, 0.0, total)), seen

    return jax.lax.scan(step, carried, jax.random.split(key, steps))


def advantages(
    reward: Array, done: Array, value: Array, last: Array, discount: float, trace: float
) -> Array:
    """How much better it went than the values said, `(time, envs)`; `last` is the value of where
    the rollout stopped. Source: Schulman 2016, arXiv 1506.02438, eq. 16.

    >>> reward, done = jnp.array([[1.0], [2.0], [3.0]]), jnp.array([[False], [True], [False]])
    >>> advantages(reward, done, jnp.zeros((3, 1)), jnp.array([4.0]), 0.5, 1.0)[:, 0].tolist()
    [2.0, 2.0, 5.0]
    """
    go_on = discount * (1.0 - done)
    surprises = reward + go_on * jnp.concatenate([value[1:], last[None]]) - value

    def back(after: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        surprise, go_on = inputs
        return (now := surprise + trace * go_on * after), now

    return jax.lax.scan(back, jnp.zeros_like(last), (surprises, go_on), reverse=True)[1]


def minibatches(sequences: Any, key: Key, count: int) -> Any:
    """Environments in random order, in `count` groups: leaves `(time, envs, ...)` to `(count, time,
    envs / count, ...)`. A sequence is never cut.

    >>> minibatches(jnp.arange(12).reshape(2, 6), jax.random.key(0), 3).shape
    (3, 2, 2)
    """
    envs = jax.tree.leaves(sequences)[0].shape[1]
    groups = jax.random.permutation(key, envs).reshape(count, envs // count)
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf[:, groups], 1, 0), sequences)


def evaluate(task: Task, policy: Cell, params: Params, key: Key, episodes: int) -> Array:
    """The returns of so many whole episodes, `(episodes,)`; actions are drawn as in training."""
    first_key, key = jax.random.split(key)
    carried = first(task, policy, params, first_key, episodes)
    _, steps = rollout(task, policy, params, carried, key, task.limit)
    ends = jnp.argmax(steps.done, axis=0)
    return jnp.take_along_axis(steps.total, ends[None], axis=0)[0]
