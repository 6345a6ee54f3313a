"""gymnax's memory tasks as two functions each, with the best return that any policy could have.

gymnax resets by itself: the observation after the last step of an episode is the first of the next
one. Its tasks are episodes of at most so many steps, and the time is in the observation, so that
an episode ends where its time is up ("truncated") as where it is over ("terminated"). The bandits
and the maze put the last action and reward into the observation, as a policy needs that has to find
out within an episode which arm or place is the good one.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnn.types import Array, Key

CHAINS = 5, 30, 100


class Task(NamedTuple):
    """Many environments side by side.

    reset(keys) gives observations `(envs, inputs)` and the environments' states.
    step(keys, states, actions) gives observations, states, rewards `(envs,)` float and whether
    each episode has ended `(envs,)`; where it has, the observation is the first of the next one.
    limit: of the steps of an episode. scale: of the rewards that the learner sees.
    """

    reset: Callable[[Key], tuple[Array, Any]]
    step: Callable[[Key, Any, Array], tuple[Array, Any, Array, Array]]
    inputs: int
    actions: int
    limit: int
    scale: float
    best: float


def tasks() -> dict[str, tuple[str, dict[str, Any], int, float, float]]:
    """gymnax's name of each task, what is set other than by default, and the last three of Task."""
    chains = {f"memory {n}": ("MemoryChain-bsuite", {"memory_length": n}, n + 1, 1.0, 1.0)
              for n in CHAINS}  # fmt: skip
    return chains | {
        "umbrella": ("UmbrellaChain-bsuite", {}, 10, 1.0, 1.0),
        "bernoulli": ("BernoulliBandit-misc", {}, 100, 1.0, best_of_bernoulli()),
        "gaussian": ("GaussianBandit-misc", {}, 100, 1.0, best_of_gaussian()),
        "maze": ("MetaMaze-misc", {"normalize_time": True}, 200, 0.1, best_in_maze()),
    }


def make(name: str) -> Task:
    """A task by its name here; it needs the package gymnax."""
    import gymnax

    called, settings, limit, scale, best = tasks()[name]
    env, params = gymnax.make(called)
    params = params.replace(**settings)  # type: ignore[attr-defined]

    def step(key: Key, state: Any, action: Array) -> tuple[Array, Any, Array, Array]:
        observation, state, reward, over, late, _ = env.step(key, state, action, params)
        return observation, state, jax.numpy.float32(reward), over | late

    (inputs,) = env.observation_space(params).shape
    reset = jax.vmap(lambda key: env.reset(key, params))
    return Task(reset, jax.vmap(step), inputs, env.num_actions, limit, scale, best)


def best_of_bernoulli(low: float = 0.1, steps: int = 100) -> float:
    """The mean return of the best policy for two arms that pay 1 with chances `low` and 1 − `low`.

    Either arm tells as much about which is which, so to take the likelier one is best. Evidence is
    the number of results for the good arm less those against it, and grows with chance 1 − low.

    >>> best_of_bernoulli(steps=1), round(best_of_bernoulli(), 2)
    (0.5, 89.38)
    """
    evidence = np.arange(-steps, steps + 1)
    chance, total = (evidence == 0).astype(float), 0.0
    reward = np.where(evidence == 0, 0.5, np.where(evidence > 0, 1 - low, low))
    for _ in range(steps):
        total += float(chance @ reward)
        chance = (1 - low) * np.roll(chance, 1) + low * np.roll(chance, -1)
    return total


def best_of_gaussian(mean: float = -1.0, steps: int = 100) -> float:
    """A bound on the mean return of an arm that pays 0, and one that pays μ, normal with `mean`.

    Whoever tries the second arm once and then knew μ would stay with it where μ > 0. (gymnax adds
    noise of 0.1 to each pay, so that nobody knows μ so well.)

    >>> round(best_of_gaussian(), 2)
    7.25
    """
    density = math.exp(-(mean**2) / 2) / math.sqrt(2 * math.pi)
    good = density + mean * (1 + math.erf(mean / math.sqrt(2))) / 2  # the mean of max(μ, 0)
    return max(0.0, mean + (steps - 1) * good)


def best_in_maze(size: int = 9, steps: int = 200, reward: float = 10.0) -> float:
    """The mean return in the meta-maze of whoever knows where the goal is and goes straight there.

    It is a bound: a policy has to find the goal first, and after each finding itself. Who is put
    down on the goal by chance has finished, as gymnax has it.
    """
    open_places = [(y, x) for y in range(size) for x in range(size) if y % 2 == 0 or x % 2 == 0]
    places = {place: k for k, place in enumerate(open_places)}
    apart = np.full((len(places), len(places)), np.inf)
    np.fill_diagonal(apart, 0)
    for (y, x), k in places.items():
        for beside in ((y + 1, x), (y, x + 1)):
            if (other := places.get(beside)) is not None:
                apart[k, other] = apart[other, k] = 1
    for k in range(len(places)):
        apart = np.minimum(apart, apart[:, k : k + 1] + apart[k])
    centre, returns = places[size // 2, size // 2], []
    for goal in range(len(places)):
        ways = np.delete(apart[goal], goal).astype(int)
        later = np.zeros(steps + 1)  # the return of whoever is put down with so many steps left
        for left in range(1, steps + 1):
            near = ways[ways <= left]
            later[left] = np.sum(reward + later[left - near]) / len(places)
        first = int(apart[goal, centre]) or 2
        returns.append(reward + later[steps - first])
    return float(np.mean(returns))
