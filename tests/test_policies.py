"""Recurrent PPO: in its short form as a user runs it, and the parts that it is made of."""

import doctest
import functools
import importlib.util
import pathlib
import re
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import policy_tasks
import ppo
import pytest
import rollouts
import usual

import jaxnn

NEEDED = "gymnax", "matplotlib", "tqdm"
pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in NEEDED),
    reason=f"{', '.join(NEEDED)}: the extras 'examples' and 'gallery'",
)
ENVS, STEPS = 4, 14


@pytest.fixture(scope="module", autouse=True)
def usual_settings() -> Any:
    """The examples run with jax's own settings, as users run them."""
    with usual.usual_settings():
        yield


@pytest.fixture(scope="module")
def two_rollouts() -> Any:
    """A policy, and what it did in "memory 5" in two rollouts, one behind the other."""
    task = policy_tasks.make("memory 5")
    policy = jaxnn.stack(jaxnn.dense(3, 8), jaxnn.gru(8, 8), jaxnn.dense(8, 3))
    params = policy.init(jax.random.key(0))
    carried = rollouts.first(task, policy, params, jax.random.key(1), ENVS)
    collect = jax.jit(functools.partial(rollouts.rollout, task, policy, steps=STEPS))
    after, earlier = collect(params, carried, jax.random.key(2))
    _, later = collect(params, after, jax.random.key(3))
    return policy, params, earlier, later


def command(monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> None:
    """The script, run in this process."""
    monkeypatch.setattr(sys, "argv", ["ppo.py", *map(str, arguments)])
    ppo.main()


def test_a_gru_remembers(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was shown four steps ago; a guess is 0. With a burn-in, so that all of it runs."""
    short = "--steps", 15, "--seeds", 1, "--tasks", "memory 5", "--policies", "GRU"
    command(monkeypatch, *short, "--burn-in", 16, "--out", tmp_path)
    (lowest,) = re.findall(r"memory 5 +GRU +[\d.]+ \((-?[\d.]+) to", capsys.readouterr().out)
    assert float(lowest) > 0.9
    assert (tmp_path / "ppo.png").stat().st_size > 5_000


def test_a_burn_in_is_no_longer_than_a_rollout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command(monkeypatch, "--burn-in", ppo.ROLLOUT + 1)
    assert f"must be at most {ppo.ROLLOUT}, got {ppo.ROLLOUT + 1}" in capsys.readouterr().err


@pytest.mark.parametrize("module", [policy_tasks, rollouts])
def test_docstrings(module: Any) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0


@pytest.mark.parametrize("name", ["memory 5", "maze"])
def test_episodes_end_in_time(name: str) -> None:
    """By the limit that an evaluation runs to, and not before it but in the maze; a memory chain
    shows its context at the first two steps, and pays at the last one alone."""
    task = policy_tasks.make(name)

    @jax.jit
    def episode(key: Any) -> Any:
        observation, state = task.reset(jax.random.split(key, 8))

        def step(carry: Any, key: Any) -> Any:
            observation, state = carry
            action = jax.random.randint(key, (8,), 0, task.actions)
            after, state, reward, done = task.step(jax.random.split(key, 8), state, action)
            return (after, state), (observation, action, reward, done)

        return jax.lax.scan(step, (observation, state), jax.random.split(key, task.limit))[1]

    observation, action, reward, done = map(np.asarray, episode(jax.random.key(0)))
    assert observation.shape == (task.limit, 8, task.inputs) and reward.dtype == np.float32
    assert done[-1].all() if name != "maze" else done.any(axis=0).all()
    assert name == "maze" or not done[:-1].any()
    if name == "memory 5":
        context = observation[:, :, 2]
        assert (context[0] ** 2 == 1).all() and (context[1] == context[0]).all()
        assert not context[2:].any() and not reward[:-1].any()
        np.testing.assert_array_equal(reward[-1] == 1, action[-1] == (context[0] > 0))


def test_advantages_are_those_of_a_loop() -> None:
    random = np.random.default_rng(0)
    reward, value = random.normal(size=(2, 7, 3)).astype(np.float32)
    done, last = random.random((7, 3)) < 0.3, np.ones(3, np.float32)
    expected, later, ahead = np.zeros((7, 3)), np.zeros(3), last
    for t in reversed(range(7)):
        surprise = reward[t] + np.where(done[t], 0.0, 0.9 * ahead) - value[t]
        later = surprise + np.where(done[t], 0.0, 0.9 * 0.8 * later)
        expected[t], ahead = later, value[t]
    given = jnp.asarray(reward), jnp.asarray(done), jnp.asarray(value), jnp.asarray(last)
    found = rollouts.advantages(*given, discount=0.9, trace=0.8)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("burn_in", [0, 5])
def test_the_loss_sees_the_rollout_again(two_rollouts: Any, burn_in: int) -> None:
    """From the stored states, each minibatch has the rollout's own log-probabilities and values,
    also behind a burn-in; so the first gradient is that of a ratio of 1."""
    policy, params, earlier, later = two_rollouts
    assert later.reset[1:].any() and not later.reset[0].all()
    context = jax.tree.map(lambda leaf: leaf[STEPS - burn_in :], earlier)
    batch = ppo.batch_of(context, later, jnp.zeros(ENVS), 1.0)
    order = jax.random.permutation(jax.random.key(4), ENVS).reshape(2, 2)
    groups = rollouts.minibatches(batch, jax.random.key(4), 2)
    for part, columns in enumerate(order):
        group = jax.tree.map(lambda leaf, part=part: leaf[part], groups)
        assert group.observation.shape == (burn_in + STEPS, 2, 3)
        outputs = ppo.outputs_again(policy, params, group)
        value, log_chance = outputs[..., -1], rollouts.log_chances(outputs, group.action)
        np.testing.assert_allclose(value, later.value[:, columns], atol=1e-6)
        np.testing.assert_allclose(log_chance, later.log_chance[:, columns], atol=1e-6)


@pytest.mark.parametrize(("burn_in", "forgotten"), [(5, True), (1, False)])
def test_burn_in_forgets_a_stale_state(two_rollouts: Any, burn_in: int, forgotten: bool) -> None:
    """Where an episode begins in the burn-in, what was stored before it does not matter."""
    policy, params, earlier, later = two_rollouts
    context = jax.tree.map(lambda leaf: leaf[STEPS - burn_in :], earlier)
    assert bool(context.reset.any()) == forgotten and not later.reset[0].any()
    batch = ppo.batch_of(context, later, jnp.zeros(ENVS), 1.0)
    stale = batch._replace(state=jax.tree.map(lambda leaf: leaf + 1, batch.state))
    values = ppo.outputs_again(policy, params, stale)[..., -1]
    assert np.allclose(values, later.value, atol=1e-6) == forgotten


def test_totals_are_the_returns_of_episodes(two_rollouts: Any) -> None:
    """±1 where an episode ends, nothing elsewhere."""
    *_, later = two_rollouts
    total, done = np.asarray(later.total), np.asarray(later.done)
    np.testing.assert_array_equal(np.isnan(total), ~done)
    np.testing.assert_array_equal(total[done], np.asarray(later.reward)[done])
    assert (np.abs(total[done]) == 1).all()
