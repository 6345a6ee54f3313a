"""The loop: how it ends, what it returns, Ctrl-C, the bar; and the pictures of its course."""

import itertools
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn.plot import confusion_matrix, learning_curve

plt.switch_backend("agg")
ONE = np.ones(2, np.float32)


def loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
    """The squared distance of the parameters to the batch."""
    del key
    return jnp.sum((params - batch) ** 2), 1.0, state


STEP = jaxnn.train_step(loss, optax.sgd(0.1))


def first() -> jaxnn.TrainState:
    """Zeros, to be moved to the batch."""
    return jaxnn.train_state(jnp.zeros(2, jnp.float32), optax.sgd(0.1), jax.random.key(0))


def params_after(steps: int) -> np.ndarray:
    """Each step of rate 0.1 takes away a fifth of the distance."""
    return np.full(2, 1 - 0.8**steps)


def fit(batches: Any, **options: Any) -> jaxnn.Fit:
    """Without a bar."""
    return jaxnn.fit(STEP, first(), batches, progress=False, **options)


def test_it_runs_to_steps():
    """Endless batches end at `steps`, and none is taken beyond."""
    batches = itertools.repeat(ONE, 9)
    result = fit(batches, steps=7)
    assert (result.stopped, int(result.train_state.step)) == ("done", 7)
    np.testing.assert_allclose(result.train_state.params, params_after(7), rtol=1e-5)
    np.testing.assert_allclose(result.history.loss, 2 * 0.64 ** np.arange(7), rtol=1e-4)
    assert len(result.history.seconds) == 7 and min(result.history.seconds) > 0
    assert len(list(batches)) == 2


def test_it_ends_with_the_batches():
    """A list that is shorter than `steps`, or without `steps`, is done at its end."""
    for options in ({}, {"steps": 9}):
        result = fit([ONE] * 3, **options)
        assert (result.stopped, len(result.history.loss)) == ("done", 3)


@pytest.mark.parametrize("steps, at", [(7, [3, 6, 7]), (6, [3, 6]), (2, [2])])
def test_evaluation(steps: int, at: list[int]):
    """Every third step and after the last, once each, with the parameters of that step."""
    result = fit([ONE] * steps, evaluate=lambda s: float(s.params[0]), evaluate_every=3)
    assert [step for step, _ in result.history.evaluations] == at
    for step, value in result.history.evaluations:
        np.testing.assert_allclose(value, params_after(step)[0], rtol=1e-5)


@pytest.fixture(autouse=True)
def usual_handler() -> Iterator[None]:
    """Python's own, also where the tests run as a background job, which ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    """Ctrl-C, by hand."""
    signal.raise_signal(signal.SIGINT)


def batches_with(action: Callable[[], None], at: int) -> Iterator[np.ndarray]:
    """Many; something happens while batch `at` is made."""
    for number in range(1, 100):
        if number == at:
            action()
        yield ONE


def test_interrupt_while_a_batch_is_made():
    """The step goes on to its end, then all is returned, and the old handler is back."""
    handler = signal.getsignal(signal.SIGINT)
    result = fit(batches_with(interrupt, 3), evaluate=lambda s: int(s.step))
    assert result.stopped == "interrupted"
    assert len(result.history.loss) == 3
    assert result.history.evaluations == [(3, 3)]
    np.testing.assert_allclose(result.train_state.params, params_after(3), rtol=1e-5)
    assert signal.getsignal(signal.SIGINT) is handler


def test_interrupt_within_an_evaluation():
    """Also in the last one, after which nothing is left to end, what was reached comes back."""
    result = fit([ONE] * 9, evaluate=lambda _: interrupt(), evaluate_every=2)
    assert (result.stopped, len(result.history.loss)) == ("interrupted", 2)
    result = fit([ONE] * 3, evaluate=lambda _: interrupt(), evaluate_every=5)
    assert (result.stopped, len(result.history.loss)) == ("done", 3)


def test_a_second_interrupt_raises():
    """A stuck batch can be left at once, and the old handler is back."""
    handler = signal.getsignal(signal.SIGINT)

    def twice() -> None:
        interrupt()
        interrupt()

    with pytest.raises(KeyboardInterrupt):
        fit(batches_with(twice, 2))
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_ignored_interrupt_stays_ignored():
    """A job in the background of a shell does not hear Ctrl-C, and goes on."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        result = fit(batches_with(interrupt, 2), steps=4)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert (result.stopped, len(result.history.loss)) == ("done", 4)


def test_another_thread():
    """Handlers belong to the main thread; elsewhere it just runs."""
    results: list[jaxnn.Fit] = []
    thread = threading.Thread(target=lambda: results.append(fit([ONE] * 4)))
    thread.start()
    thread.join()
    assert [result.stopped for result in results] == ["done"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite(bad: float):
    """It ends there, warns, names the step, and gives the last good parameters."""
    batches = iter([ONE, ONE, ONE * np.float32(bad), ONE])
    with pytest.warns(RuntimeWarning, match="not finite at step 3: loss (nan|inf)") as caught:
        result = fit(batches, evaluate=lambda s: float(s.params[0]), evaluate_every=3)
    assert caught[0].filename == __file__.replace(".pyc", ".py")
    assert result.stopped.startswith("not finite at step 3: loss ")
    np.testing.assert_allclose(result.train_state.params, params_after(2), rtol=1e-5)
    np.testing.assert_allclose(result.history.evaluations, [(3, params_after(2)[0])], rtol=1e-5)
    assert len(result.history.loss) == 3 and len(list(batches)) == 1


def test_an_update_that_is_not_finite_is_named():
    """Loss and gradient look well there, so the message says what does not."""
    optimizer = optax.scale(float("inf"))
    start = jaxnn.train_state(jnp.zeros(2, jnp.float32), optimizer, jax.random.key(0))
    with pytest.warns(RuntimeWarning, match="loss 2, gradient norm .*but not the optimiser's upd"):
        result = jaxnn.fit(jaxnn.train_step(loss, optimizer), start, [ONE], progress=False)
    assert not np.any(result.train_state.params)


def test_wrong_arguments():
    """No batch, and counts that are no positive integers."""
    with pytest.raises(ValueError, match="batches must give at least one batch"):
        fit([])
    with pytest.raises(ValueError, match="steps must be a positive integer, got 0"):
        fit([ONE], steps=0)
    with pytest.raises(ValueError, match="evaluate_every must be a positive integer, got 0"):
        fit([ONE], evaluate_every=0)
    with pytest.raises(TypeError, match=r"steps must be a positive integer, got 2\.5"):
        fit([ONE], steps=2.5)


@pytest.mark.parametrize("number", [float, np.float32, jnp.float32])
def test_the_bar(number: Callable[[float], Any], capsys: pytest.CaptureFixture[str]):
    """It shows steps, speed, the loss and the last evaluation, of any kind of number."""
    jaxnn.fit(STEP, first(), [ONE] * 4, steps=4, evaluate=lambda _: number(0.5), evaluate_every=2)
    shown = capsys.readouterr().err.rsplit("\r", 1)[-1]
    assert "4/4" in shown
    assert re.search(r"step/s|s/step", shown)
    assert f"loss {2 * 0.64**3:.4f}, evaluation 0.5000" in shown


def test_the_bar_without_a_number(capsys: pytest.CaptureFixture[str]):
    """An evaluation that is a dictionary goes into the history alone."""
    evaluate: Any = lambda _: {"accuracy": 1.0}  # noqa: E731
    result = jaxnn.fit(STEP, first(), [ONE] * 2, evaluate=evaluate, evaluate_every=1)
    shown = capsys.readouterr().err
    assert "loss" in shown and "evaluation" not in shown
    assert result.history.evaluations[0] == (1, {"accuracy": 1.0})


def test_without_tqdm(monkeypatch: pytest.MonkeyPatch):
    """The error says what to install, before the train state is donated; no bar needs none."""
    for module in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, module, None)
    start = first()
    with pytest.raises(ImportError, match=r"needs tqdm.*progress=False"):
        jaxnn.fit(STEP, start, [ONE])
    assert jaxnn.fit(STEP, start, [ONE], progress=False).stopped == "done"


def test_import_stays_light():
    """What is needed on demand is imported on demand."""
    heavy = ("matplotlib", "tqdm", "safetensors", "chex")
    code = f"import sys, jaxnn; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "losses, scale", [([4.0, 2.0, 1.0, np.nan], "log"), ([1.0, -1.0], "linear")]
)
def test_learning_curve(losses: list[float], scale: str):
    """Each loss at its step, and the mean of the window at its last step."""
    figure, axes = plt.subplots()
    learning_curve(axes, losses, window=2)
    figure.canvas.draw()
    each, smooth = axes.lines
    np.testing.assert_array_equal(each.get_xydata(), np.c_[np.arange(1, len(losses) + 1), losses])
    means = [(a + b) / 2 for a, b in itertools.pairwise(losses)]
    drawn = np.asarray(smooth.get_xydata(), float)
    np.testing.assert_allclose(drawn, np.c_[np.arange(2, len(losses) + 1), means])
    assert axes.get_yscale() == scale
    plt.close(figure)


def test_learning_curve_errors():
    """Nothing to draw, and a window of nothing."""
    figure, axes = plt.subplots()
    with pytest.raises(ValueError, match=r"losses must be \(steps,\), got the shape \(0,\)"):
        learning_curve(axes, [])
    with pytest.raises(ValueError, match="window must be a positive integer"):
        learning_curve(axes, [1.0], window=0)
    plt.close(figure)


def test_confusion_matrix():
    """Counts stand at (predicted, true), and the colours are shares of the true class."""
    figure, axes = plt.subplots()
    confusion_matrix(axes, jnp.array([0, 0, 0, 1]), [0, 0, 2, 1], names=["a", "b", "c"])
    figure.canvas.draw()
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts == {(0, 0): "2", (2, 0): "1", (1, 1): "1"}
    shares = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shares, [[2 / 3, 0, 1 / 3], [0, 1, 0], [0, 0, 0]])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b", "c"]
    plt.close(figure)


def test_confusion_matrix_errors():
    """Shapes, dtypes, negative numbers and names that do not fit."""
    figure, axes = plt.subplots()
    for labels, predictions in (([0], [0, 1]), ([], []), ([[0]], [[0]])):
        with pytest.raises(ValueError, match=r"must both be \(samples,\)"):
            confusion_matrix(axes, labels, predictions)
    with pytest.raises(TypeError, match="predictions must be integers, got float64"):
        confusion_matrix(axes, [0], [0.5])
    with pytest.raises(ValueError, match="labels must not be negative"):
        confusion_matrix(axes, [-1], [0])
    with pytest.raises(ValueError, match="3 classes, but 2 names"):
        confusion_matrix(axes, [0, 2], [0, 1], names=["a", "b"])
    plt.close(figure)
