"""The research examples in their short form, as a user runs them, and what they are built of."""

import doctest
import functools
import importlib
import importlib.util
import pathlib
import re
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import usual

import jaxnn

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
DATA = EXAMPLES.parents[1] / "shared" / "data" / "JSB_Chorales.mat"


def without(*modules: str) -> bool:
    """Whether one of these is not installed."""
    return any(importlib.util.find_spec(module) is None for module in modules)


pytestmark = pytest.mark.skipif(
    without("matplotlib", "tqdm", "scipy"), reason="matplotlib, tqdm, scipy: the extra 'examples'"
)


def run(script: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    """A script in a process of its own."""
    command = [sys.executable, EXAMPLES / f"{script}.py", *arguments]
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=300
    )


def answer(script: str, out: pathlib.Path, *arguments: Any) -> str:
    """What it prints, and the picture is there."""
    result = run(script, "--seeds", 2, "--out", out, *arguments)
    assert result.returncode == 0, result.stderr
    picture = out / f"{script}.png"
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 5_000
    return result.stdout


@pytest.fixture(scope="module")
def example() -> Any:
    """A module of the examples, by its name."""
    sys.path.insert(0, str(EXAMPLES))
    yield importlib.import_module
    sys.path.remove(str(EXAMPLES))


@pytest.fixture(autouse=True)
def usual_settings() -> Any:
    """The examples run with jax's own settings, as users run them."""
    with usual.usual_settings():
        yield


def test_recurrent_policy(tmp_path: pathlib.Path) -> None:
    printed = answer("recurrent_policy", tmp_path, "--steps", 20, "--length", 3)
    for name in ("GRU", "feed-forward"):
        found = re.search(rf"{name}: ([\d.]+) of the episodes", printed)
        assert found is not None and 0.1 < float(found[1]) < 1


def test_dynamics(tmp_path: pathlib.Path) -> None:
    printed = answer("dynamics", tmp_path, "--steps", 60, "--trials", 50)
    shares = [float(share) for share in re.findall(r"%: ([\d.]+) answer rightwards", printed)]
    assert len(shares) == 11 and shares[0] < 0.2 < 0.8 < shares[-1]
    assert printed.count("fixed points") == 2


def test_endless_stream(tmp_path: pathlib.Path) -> None:
    printed = answer("endless_stream", tmp_path, "--steps", 21_000)
    forward, backward = (float(share) for share in re.findall(r": ([\d.]+) of the", printed))
    assert forward > 0.95 and 0.3 < backward < 0.7
    refused = run("endless_stream", "--window", 5)
    assert refused.returncode == 2 and "--window must divide" in refused.stderr


@pytest.mark.skipif(
    without("flax", "equinox", "haiku"), reason="flax, equinox, haiku: the extra 'peers'"
)
def test_inside_other_libraries(tmp_path: pathlib.Path) -> None:
    printed = answer("inside_other_libraries", tmp_path, "--steps", 30, "--seeds", 1)
    accuracies = [float(share) for share in re.findall(r"test accuracy ([\d.]+)", printed)]
    assert len(accuracies) == 3 and min(accuracies) > 0.6


def test_lstm_variants(tmp_path: pathlib.Path) -> None:
    printed = answer(
        "lstm_variants", tmp_path, "--steps", 2, "--tasks", "adding", "--cells", "elman", "both"
    )
    assert re.search(r"both +[\d.]+ \([\d.]+ to [\d.]+\)", printed)


def test_variants_without_data(tmp_path: pathlib.Path) -> None:
    result = run(
        "lstm_variants", "--tasks", "chorales", "--data", tmp_path / "none.mat", "--out", tmp_path
    )
    assert result.returncode == 0 and "chorales: left out" in result.stdout


@pytest.mark.skipif(without("sklearn"), reason="scikit-learn: the extra 'gallery'")
def test_sequential_images(tmp_path: pathlib.Path) -> None:
    printed = answer("sequential_images", tmp_path, "--cells", "lru", "--steps", 40, "--seeds", 1)
    assert "digits: 64 steps; 1077 + 360 + 360 images" in printed
    found = re.findall(r"(in order|permuted) +([\d.]+) % \(", printed)
    assert [order for order, _ in found] == ["in order", "permuted"]
    assert min(float(share) for _, share in found) > 15


def test_selective_copy(tmp_path: pathlib.Path) -> None:
    short = "--time", 8, "--length", 1, "--steps", 60
    printed = answer("selective_copy", tmp_path, "--cells", "min_gru", *short)
    found = re.search(r"min_gru +([\d.]+) % \(.*\), (\d+) parameters", printed)
    assert found is not None and float(found[1]) > 25 and 18_000 < int(found[2]) <= 20_000


def test_more_to_copy_than_there_is() -> None:
    refused = run("selective_copy", "--time", 3, "--length", 4)
    assert refused.returncode == 2 and "--length must be at most --time, 3, got 4" in refused.stderr


@pytest.mark.parametrize(
    "script",
    [
        "recurrent_policy",
        "dynamics",
        "endless_stream",
        "inside_other_libraries",
        "lstm_variants",
        "sequential_images",
        "selective_copy",
    ],
)
def test_command_line(script: str) -> None:
    refused = run(script, "--steps", 0)
    assert refused.returncode == 2 and "must be a whole number above zero, got 0" in refused.stderr
    assert "--seeds" in run(script, "--help").stdout


@pytest.mark.parametrize(
    "name",
    [
        "chorale_data",
        "decision_task",
        "fixed_points",
        "memory_tasks",
        "residual_blocks",
        "sequential_image_data",
        "spread",
        "t_maze",
    ],
)
def test_docstrings(example: Any, name: str) -> None:
    """The examples in the docstrings of the modules that the scripts share."""
    result = doctest.testmod(example(name))
    assert result.attempted > 0 and result.failed == 0


def test_rollout_is_what_unroll_gives(example: Any) -> None:
    """reset_state between two applies, and reset= in unroll, are the same."""
    policies, t_maze = example("recurrent_policy"), example("t_maze")
    policy = policies.POLICIES["GRU"]
    params = policy.init(jax.random.key(0))
    carried = policies.first(policy, params, jax.random.key(1))
    for key in jax.random.split(jax.random.key(2), 3):
        before = carried.state
        carried, steps = policies.rollout(policy, 1, params, carried, key)
        assert steps.reset[1:].any()
        _, ys = policy.unroll(params, steps.observation, before, reset=steps.reset)
        np.testing.assert_allclose(steps.outputs, ys, atol=1e-5)
    signals = t_maze.observe(t_maze.start(jax.random.key(0), 100), 5)
    assert 20 < int((signals == jnp.array(t_maze.NORTH)).all(-1).sum()) < 80


def test_advantages(example: Any) -> None:
    """Against the sum of discounted surprises, up to the end of an episode, written out."""
    policies, t_maze = example("recurrent_policy"), example("t_maze")
    reward, values, last = np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.25, -1.0]), 2.0
    done = np.array([False, True, False])
    gamma, trace = policies.DISCOUNT, policies.TRACE
    surprises = [1.0 + gamma * 0.25 - 0.5, 2.0 - 0.25, 3.0 + gamma * last + 1.0]
    expected = [surprises[0] + gamma * trace * surprises[1], *surprises[1:]]
    outcome = t_maze.Outcome(*(jnp.asarray(a)[:, None] for a in (reward, done, done)))
    found = policies.advantages(outcome, jnp.asarray(values)[:, None], jnp.array([last]))
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5)


def test_maze(example: Any) -> None:
    t_maze = example("t_maze")
    maze = t_maze.Maze(jnp.array([0, 0, 3, 3]), jnp.array([True] * 4), jnp.array([0, 11, 3, 3]))
    north, east, _, west = range(4)
    after, outcome = t_maze.move(maze, jnp.array([west, east, north, west]), 3)
    assert after.position.tolist() == [0, 1, 3, 2]
    np.testing.assert_allclose(outcome.reward, [-0.1, 0, 4, 0])
    assert outcome.done.tolist() == [False, True, True, False]
    assert outcome.right.tolist() == [False, False, True, False]


def test_tasks(example: Any) -> None:
    """The papers' definitions, on many sequences at their sizes."""
    tasks = example("memory_tasks")
    key = jax.random.key(3)
    marks = np.asarray(tasks.adding(key, 500, 100).xs[..., 1])
    assert (marks[:50].sum(0) == 1).all() and (marks[50:].sum(0) == 1).all()

    task = tasks.copy_memory(key, 50, 100)
    symbols = np.asarray(jnp.argmax(task.xs, -1))
    assert symbols.shape == (120, 50) and set(symbols[:10].ravel()) == set(range(8))
    assert (symbols[10:109] == 8).all() and (symbols[109] == 9).all() and (symbols[110:] == 8).all()
    assert (task.targets[:110] == 8).all() and (task.targets[110:] == symbols[:10]).all()

    task = tasks.temporal_order(key, 500)
    symbols, lengths = np.asarray(jnp.argmax(task.xs, -1)), np.asarray(task.mask.sum(0))
    assert (lengths.min(), lengths.max()) == (100, 110) and (symbols[0] == 0).all()
    counts, targets = np.asarray(task.counts), np.asarray(task.targets[0])
    for place, (sequence, length) in enumerate(zip(symbols.T, lengths, strict=True)):
        assert sequence[length - 1] == 1
        assert np.flatnonzero(counts[:, place]).tolist() == [length - 1]
        first, second = np.flatnonzero(sequence[:length] >= 6)
        assert 10 <= first <= 20 and 50 <= second <= 60
        assert targets[place] == 2 * (sequence[first] - 6) + sequence[second] - 6


def test_selective_copy_task(example: Any) -> None:
    """At the paper's size: symbols at any place, in the order in which they are asked for."""
    task = example("memory_tasks").selective_copy(jax.random.key(3), 20)
    symbols = np.asarray(jnp.argmax(task.xs, -1))
    assert symbols.shape == (4112, 20) and task.xs.shape[-1] == 16 and bool(task.mask.all())
    assert (symbols[4096:] == 15).all() and set(symbols[:4096].ravel()) == set(range(15))
    counts, places = np.asarray(task.counts), []
    assert counts[4096:].all() and not counts[:4096].any()
    for column, targets in zip(symbols[:4096].T, task.targets[4096:].T, strict=True):
        there = np.flatnonzero(column < 14)
        assert column[there].tolist() == targets.tolist()
        places.append(there)
    assert np.shape(places) == (20, 16) and abs(np.mean(places) / 4095 - 0.5) < 0.06


def test_sequences(example: Any) -> None:
    """Permuted, every image has its own pixels, all of them in the same new order."""
    data = example("sequential_image_data")
    images = np.random.default_rng(1).random((3, 4, 4, 1))
    (rows, permuted), labels = data.sequences(data.image_data.Images(images, np.arange(3)))
    np.testing.assert_allclose(rows[..., 0], 2 * images.reshape(3, 16) - 1)
    order = [int(np.flatnonzero(rows[0] == x)[0]) for x in permuted[0]]
    assert sorted(order) == list(range(16)) != order and labels.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(rows[:, order], permuted)


def test_task_errors(example: Any) -> None:
    tasks, key = example("memory_tasks"), jax.random.key(0)
    with pytest.raises(ValueError, match="adding: time must be at least 2, got 1"):
        tasks.adding(key, 1, 1)
    with pytest.raises(ValueError, match="copy_memory: length must be at least 1, got 0"):
        tasks.copy_memory(key, 1, 5, 0)
    with pytest.raises(ValueError, match="selective_copy: time must be at least 4, got 3"):
        tasks.selective_copy(key, 1, 3, 4)
    with pytest.raises(ValueError, match="temporal_order: 0 < first"):
        tasks.temporal_order(key, 1, first=(10, 50))


def test_runs_are_independent(example: Any) -> None:
    """A run in an ensemble is the run by itself."""
    ensemble = example("ensemble")
    import optax

    model, optimizer = jaxnn.gru(1, 3), optax.adam(1e-2)

    def loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
        xs = jax.random.normal(key, (5, 4, 1))
        return *jaxnn.losses.mean_squared_error(
            model.unroll(params, xs)[1][-1, :, :1], xs[0]
        ), state

    step = jaxnn.training.train_step(loss, optimizer)
    start = functools.partial(begin, model, optimizer)
    many, metrics, _ = ensemble.train(step, start, (ensemble.keys(0, 3),), 7)
    alone, _, _ = ensemble.train(step, start, (ensemble.keys(2, 1),), 7)
    assert metrics.loss.shape == (3, 7) and bool(metrics.finite.all())
    for one, other in zip(jax.tree.leaves(many.params), jax.tree.leaves(alone.params), strict=True):
        np.testing.assert_allclose(one[2], other[0], rtol=1e-4, atol=1e-6)


def begin(model: Any, optimizer: Any, key: Any) -> Any:
    """The first TrainState of a run."""
    return jaxnn.training.train_state(model.init(key), optimizer, key)


def test_equal_parameters(example: Any) -> None:
    problems = example("variant_problems")
    for problem in problems.PROBLEMS.values():
        for cell in problems.CELLS:
            params = jax.eval_shape(problems.build(cell, problem).init, jax.random.key(0))
            count = sum(leaf.size for leaf in jax.tree.leaves(params))
            assert 0.9 < count / problem.parameters <= 1


def test_equal_parameters_in_the_blocks(example: Any) -> None:
    blocks = example("residual_blocks")
    images, copying = example("sequential_images"), example("selective_copy")
    for cell in blocks.CELLS:
        model = blocks.largest(functools.partial(images.network, cell), images.PARAMETERS)
        assert 0.9 < blocks.count(model) / images.PARAMETERS <= 1
    model = blocks.largest(copying.plain, copying.PARAMETERS)
    assert 0.9 < blocks.count(model) / copying.PARAMETERS <= 1


@pytest.mark.skipif(not DATA.exists(), reason=f"no {DATA}")
def test_chorales(example: Any) -> None:
    """The numbers that are published of the file, and the trivial model's 11.09 nats."""
    data = example("chorale_data")
    train, valid, test = data.load(DATA)
    assert [len(part.lengths) for part in (train, valid, test)] == [229, 76, 77]
    steps = data.whole(test)
    assert int(steps.mask.sum()) == 4648
    share = train.notes.sum((0, 1)) / train.lengths.sum()
    logits = jnp.log(jnp.clip(share, 1e-6, 1)) - jnp.log1p(-jnp.clip(share, 1e-6, 1))
    logits = jnp.broadcast_to(logits, steps.targets.shape)
    total, weight = jaxnn.losses.binary_cross_entropy(logits, steps.targets, steps.mask)
    assert abs(float(total / weight) - 11.09) < 0.1
