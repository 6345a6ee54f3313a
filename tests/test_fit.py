"""The loop: how it ends, what it returns, Ctrl-C, the bar; and the pictures of its course."""

import itertools
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
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


STEP = jaxnn.training.train_step(loss, optax.sgd(0.1))


def first() -> jaxnn.training.TrainState:
    """Zeros, to be moved to the batch."""
    return jaxnn.training.train_state(jnp.zeros(2, jnp.float32), optax.sgd(0.1), jax.random.key(0))


def params_after(steps: int) -> np.ndarray:
    """Each step of rate 0.1 takes away a fifth of the distance."""
    return np.full(2, 1 - 0.8**steps)


def fit(batches: Any, **options: Any) -> jaxnn.training.Fit:
    """Without a bar."""
    return jaxnn.training.fit(STEP, first(), batches, progress=False, **options)


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


def twice() -> None:
    """Ctrl-C, and Ctrl-C again since nothing happens."""
    interrupt()
    interrupt()


def test_a_second_interrupt_leaves_a_batch_that_hangs():
    """At once, with all steps that were taken; and the old handler is back."""
    handler = signal.getsignal(signal.SIGINT)
    evaluated: list[Any] = []
    result = fit(batches_with(twice, 3), evaluate=evaluated.append)
    assert (result.stopped, len(result.history.loss)) == ("interrupted", 2)
    np.testing.assert_allclose(result.train_state.params, params_after(2), rtol=1e-5)
    assert not evaluated
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_second_interrupt_leaves_an_evaluation_that_hangs():
    """Be it one on the way or the last."""
    for every in (2, 50):
        result = fit([ONE] * 4, evaluate=lambda _: twice(), evaluate_every=every)
        assert (result.stopped, len(result.history.loss)) == ("interrupted", min(every, 4))
        assert result.history.evaluations == []


def test_a_second_interrupt_waits_for_a_step():
    """There the train state is donated: it ends first. The third raises, with what there is."""

    def pressing(times: int) -> Any:
        def step(current: Any, batch: Any) -> Any:
            if int(current.step) == 1:
                for _ in range(times):
                    interrupt()
            return STEP(current, batch)

        return step

    result = jaxnn.training.fit(pressing(2), first(), [ONE] * 5, progress=False)
    assert (result.stopped, int(result.train_state.step)) == ("interrupted", 2)
    result = jaxnn.training.fit(
        pressing(3), first(), [ONE] * 5, progress=False
    )  # before it was donated
    assert (result.stopped, int(result.train_state.step)) == ("interrupted", 1)

    def too_late(current: Any, batch: Any) -> Any:
        after = STEP(current, batch)
        interrupt()
        twice()
        return after

    with pytest.raises(KeyboardInterrupt) as caught:
        jaxnn.training.fit(too_late, first(), [ONE] * 5, progress=False)
    assert caught.value.fit.history.loss == []  # pyright: ignore[reportAttributeAccessIssue]


class Broken(Exception):
    """Somebody else's."""


def broken(*_: Any) -> Any:
    raise Broken("broken")


def breaking_step(current: Any, batch: Any) -> Any:
    return broken() if int(current.step) == 3 else STEP(current, batch)


BREAKS = {
    "a batch": {"batches": batches_with(broken, 4)},
    "an evaluation": {"batches": [ONE] * 9, "evaluate": broken, "evaluate_every": 3},
    "the last evaluation": {"batches": [ONE] * 3, "evaluate": broken},
    "a step": {"batches": [ONE] * 9, "step": breaking_step},
    "a loss": {"batches": [ONE, ONE, ONE, np.ones((2, 2), np.float32)[0, :1]]},
}


@pytest.mark.parametrize("what", BREAKS)
def test_an_exception_has_what_was_reached(what: str):
    """It is raised as it is, with the Fit of the steps before it, from which a training goes on."""
    options = {"step": STEP, "progress": False} | BREAKS[what]
    if what == "a loss":

        def loss_of_two(params: Any, state: Any, batch: Any, key: Any) -> Any:
            return broken() if batch.shape == (1,) else loss(params, state, batch, key)

        options["step"] = jaxnn.training.train_step(loss_of_two, optax.sgd(0.1))
    step = options.pop("step")
    with pytest.raises(Broken, match=r"^broken") as caught:
        jaxnn.training.fit(step, first(), options.pop("batches"), **options)
    reached: jaxnn.training.Fit = caught.value.fit  # pyright: ignore[reportAttributeAccessIssue]
    assert caught.value.args == ("broken",)
    assert caught.value.__notes__[-1] == "fit: the train_state after 3 steps is in error.fit"
    assert (reached.stopped, len(reached.history.loss)) == ("Broken", 3)
    np.testing.assert_allclose(reached.train_state.params, params_after(3), rtol=1e-5)
    result = jaxnn.training.fit(STEP, reached.train_state, [ONE] * 2, progress=False)
    np.testing.assert_allclose(result.train_state.params, params_after(5), rtol=1e-5)


def test_a_warning_that_is_an_error_loses_nothing():
    """Where Python is told to raise it."""
    batches = [ONE, ONE * np.float32(np.nan)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="not finite at step 2") as caught:
            fit(batches)
    reached: jaxnn.training.Fit = caught.value.fit  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_allclose(reached.train_state.params, params_after(1), rtol=1e-5)


def test_a_step_that_takes_the_train_state_with_it():
    """What is lost is said to be lost; the history and the best are there."""

    def step(current: Any, batch: Any) -> Any:
        after = STEP(current, batch)
        return broken() if int(after[0].step) == 3 else after

    with pytest.raises(Broken) as caught:
        jaxnn.training.fit(
            step,
            first(),
            [ONE] * 5,
            progress=False,
            evaluate=lambda s: float(s.params[0]),
            evaluate_every=2,
            best="max",
        )
    assert "which is lost" in caught.value.__notes__[0]
    reached: jaxnn.training.Fit = caught.value.fit  # pyright: ignore[reportAttributeAccessIssue]
    assert reached.best is not None and reached.best.step == 2
    np.testing.assert_allclose(reached.best.params, params_after(2), rtol=1e-5)


def test_an_ignored_interrupt_stays_ignored():
    """A job in the background of a shell does not hear Ctrl-C, and goes on."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        result = fit(batches_with(interrupt, 2), steps=4)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert (result.stopped, len(result.history.loss)) == ("done", 4)


def test_on_step():
    """Each step once, in order, with its metrics; before the evaluation after it."""
    told: list[Any] = []

    def evaluate(current: jaxnn.training.TrainState) -> None:
        told.append(("evaluated", int(current.step)))

    batches = [np.float32(n) * ONE for n in range(9)]
    result = fit(
        batches,
        on_step=lambda n, metrics: told.append((n, float(metrics.loss), float(metrics.weight))),
        evaluate=evaluate,
        evaluate_every=4,
    )
    steps = [(n + 1, loss, 1.0) for n, loss in enumerate(result.history.loss)]
    at = [("evaluated", n) for n in (4, 8, 9)]
    assert told == [*steps[:4], at[0], *steps[4:8], at[1], steps[8], at[2]]


def test_on_step_is_late_but_not_much():
    """At the most four steps after the one that it tells of was taken."""
    taken, late = [0], []

    def data() -> Iterator[np.ndarray]:
        for taken[0] in range(1, 13):
            yield ONE

    def tell(number: int, metrics: Any) -> None:
        late.append(taken[0] - number)

    jaxnn.training.fit(HEAVY, first(), data(), progress=False, on_step=tell)
    assert len(late) == 12 and 1 <= max(late) <= 4 and min(late) >= 0


def test_on_step_of_one_that_is_not_finite():
    """It is the last one told."""
    told: list[tuple[int, bool]] = []
    with pytest.warns(RuntimeWarning, match="not finite at step 3"):
        fit(
            [ONE, ONE, np.float32(np.nan) * ONE, *[ONE] * 9],
            on_step=lambda n, metrics: told.append((n, bool(metrics.finite))),
        )
    assert told == [(1, True), (2, True), (3, False)]


def test_an_exception_in_on_step():
    """Raised as it is, once, with all steps that were taken."""
    told: list[int] = []

    def tell(number: int, metrics: Any) -> None:
        told.append(number)
        if number == 3:
            broken()

    with pytest.raises(Broken) as caught:
        fit([ONE] * 20, on_step=tell)
    reached: jaxnn.training.Fit = caught.value.fit  # pyright: ignore[reportAttributeAccessIssue]
    taken = int(reached.train_state.step)
    assert told == [1, 2, 3] and 3 <= taken == len(reached.history.loss) <= 8
    np.testing.assert_allclose(reached.train_state.params, params_after(taken), rtol=1e-5)


def test_a_second_interrupt_leaves_an_on_step_that_hangs():
    """It is not called again."""
    told: list[int] = []

    def tell(number: int, metrics: Any) -> None:
        told.append(number)
        if number == 3:
            twice()

    result = fit([ONE] * 20, on_step=tell)
    taken = int(result.train_state.step)
    assert result.stopped == "interrupted" and told == [1, 2, 3]
    assert 3 <= taken == len(result.history.loss) <= 8


def test_another_thread():
    """Handlers belong to the main thread; elsewhere it just runs."""
    results: list[jaxnn.training.Fit] = []
    thread = threading.Thread(target=lambda: results.append(fit([ONE] * 4)))
    thread.start()
    thread.join()
    assert [result.stopped for result in results] == ["done"]


def heavy(params: Any, state: Any, batch: Any, key: Any) -> Any:
    """Milliseconds of work before the loss."""
    work = jnp.ones((300, 300), jnp.float32) * batch[0]
    work = jax.lax.fori_loop(0, 20, lambda _, x: jnp.tanh(x @ x), work)
    total, weight, state = loss(params, state, batch, key)
    return total + 0 * jnp.sum(work), weight, state


HEAVY = jaxnn.training.train_step(heavy, optax.sgd(0.1))


def test_no_step_is_waited_for():
    """While the device works the next batch is asked for, but no more than four steps ahead."""
    flags: list[Any] = []

    class Watched(type(HEAVY)):
        def after(self, train_state: Any, batch: Any, finite: Any) -> Any:
            current, metrics = super().after(train_state, batch, finite)
            flags.append(metrics.finite)
            return current, metrics

    unready = []

    def data() -> Iterator[np.ndarray]:
        for _ in range(12):
            unready.append(sum(not flag.is_ready() for flag in flags))
            yield ONE

    result = jaxnn.training.fit(Watched(HEAVY._run), first(), data(), progress=False)
    np.testing.assert_allclose(result.train_state.params, params_after(12), rtol=1e-5)
    assert 1 <= max(unready) <= 4
    assert len(result.history.seconds) == 12 and min(result.history.seconds) >= 0


@pytest.mark.parametrize("at", [1, 3, 9])
def test_steps_that_were_taken_too_early_change_nothing(at: int):
    """A step that was not finite is noticed late; the result is as if it had been waited for."""
    good = [ONE * np.float32(n) for n in range(9)]
    batches = [*good[: at - 1], ONE * np.float32(np.nan), *good[at - 1 :]]
    waited = first()
    for batch in batches[:at]:
        waited, _ = HEAVY(waited, batch)
    taken = iter(batches)
    with pytest.warns(RuntimeWarning, match=f"not finite at step {at}: "):
        result = jaxnn.training.fit(HEAVY, first(), taken, progress=False)
    for a, b in zip(result.train_state[:4], waited[:4], strict=True):
        jax.tree.map(np.testing.assert_array_equal, a, b)
    assert len(result.history.loss) == at
    if at < 9:
        assert len(list(taken)) < 10 - at  # some of the next ones were taken


def test_a_step_of_ones_own_is_waited_for():
    """It knows nothing of the one before, so that none may follow one that was not finite."""
    batches = iter([ONE, ONE * np.float32(np.nan), ONE])
    with pytest.warns(RuntimeWarning, match="not finite at step 2"):
        result = jaxnn.training.fit(lambda *pair: STEP(*pair), first(), batches, progress=False)
    np.testing.assert_allclose(result.train_state.params, params_after(1), rtol=1e-5)
    assert len(list(batches)) == 1


@pytest.mark.parametrize("best, at, want", [("min", 4, -1.0), ("max", 6, 5.0)])
def test_the_best_parameters_are_kept(best: Any, at: int, want: float):
    """A copy, which later steps do not take; the first of equals; NaN is none."""
    values = {2: 0.0, 4: -1.0, 6: 5.0, 8: np.nan, 10: want, 11: 0.0}
    result = fit([ONE] * 11, evaluate=lambda s: values[int(s.step)], evaluate_every=2, best=best)
    assert result.best is not None and result.best[1:] == (at, want)
    np.testing.assert_allclose(result.best.params, params_after(at), rtol=1e-5)


def test_no_best():
    """Where it is not asked for, and where all was NaN."""
    assert fit([ONE], evaluate=lambda _: 1.0).best is None
    assert fit([ONE], evaluate=lambda _: np.nan, best="max").best is None
    with pytest.raises(
        TypeError, match="best needs an evaluate that gives a number, got dict"
    ) as e:
        fit([ONE], evaluate=lambda _: {"loss": 1.0}, best="min")
    assert e.value.fit.history.evaluations == [(1, {"loss": 1.0})]  # pyright: ignore


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
    assert len(result.history.loss) == 3


def test_an_update_that_is_not_finite_is_named():
    """Loss and gradient look well there, so the message says what does not."""
    optimizer = optax.scale(float("inf"))
    start = jaxnn.training.train_state(jnp.zeros(2, jnp.float32), optimizer, jax.random.key(0))
    with pytest.warns(RuntimeWarning, match="loss 2, gradient norm .*but not the optimiser's upd"):
        result = jaxnn.training.fit(
            jaxnn.training.train_step(loss, optimizer), start, [ONE], progress=False
        )
    assert not np.any(result.train_state.params)


WRONG: dict[str, Any] = {
    "step None": ({"step": None}, TypeError, "step must be a train step"),
    "step str": ({"step": "step"}, TypeError, "step must be a train step"),
    "params": ({"train_state": np.ones(2)}, TypeError, "train_state must be a TrainState.*ndarray"),
    "no state": ({"train_state": None}, TypeError, "train_state must be a TrainState.*NoneType"),
    "number": ({"batches": 3}, TypeError, "batches must be iterable, got int"),
    "scalar": ({"batches": np.ones(())}, TypeError, "batches must be iterable, got ndarray"),
    "none": ({"batches": None}, TypeError, "batches must be iterable, got NoneType"),
    "str": ({"batches": "abc"}, TypeError, "batches must be iterable, got str"),
    "not called": ({"batches": lambda: [ONE]}, TypeError, "batches must be .*function: call it"),
    "one batch": (
        {"batches": jaxnn.data.Batch(ONE, ONE, ONE, ONE, ONE)},
        TypeError,
        r"batches must be many, got a single Batch: use \[batch\]",
    ),
    "no batch": ({"batches": []}, ValueError, "batches must give at least one batch"),
    "steps 0": ({"steps": 0}, ValueError, "steps must be a positive integer, got 0"),
    "steps -1": ({"steps": -1}, ValueError, "steps must be a positive integer, got -1"),
    "steps 2.5": ({"steps": 2.5}, TypeError, r"steps must be a positive integer, got 2\.5"),
    "steps str": ({"steps": "9"}, TypeError, "steps must be a positive integer, got '9'"),
    "every 0": ({"evaluate_every": 0}, ValueError, "evaluate_every must be a positive integer"),
    "every None": (
        {"evaluate_every": None},
        TypeError,
        "evaluate_every must be a positive integer",
    ),
    "evaluate": ({"evaluate": 0.5}, TypeError, "evaluate must be a function of the train_state"),
    "progress": ({"progress": "no"}, TypeError, "progress must be True, False or None, got 'no'"),
    "progress 0": ({"progress": 0}, TypeError, "progress must be True, False or None, got 0"),
    "best": ({"best": "lowest"}, ValueError, "best must be one of None, 'min', 'max'"),
    "best True": ({"best": True}, ValueError, "best must be one of None, 'min', 'max'"),
    "best []": ({"best": []}, ValueError, "best must be one of None, 'min', 'max'"),
    "best of": ({"best": "min"}, ValueError, "best='min' needs evaluate"),
    "one result": (
        {"step": lambda state, batch: state},
        TypeError,
        r"step must give \(train_state, metrics\).*got TrainState",
    ),
    "no metrics": (
        {"step": lambda state, batch: (state, 0.5)},
        TypeError,
        r"step must give \(train_state, metrics\)",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name: str):
    """Each is named, before the train state is donated."""
    options, error, message = WRONG[name]
    start = first()
    given = {"step": STEP, "train_state": start, "batches": [ONE], "progress": False} | options
    with pytest.raises(error, match=f"(?s)^fit: {message}"):
        jaxnn.training.fit(**given)
    assert not start.params.is_deleted()


@pytest.mark.parametrize("number", [float, np.float32, jnp.float32])
def test_the_bar(number: Callable[[float], Any], capsys: pytest.CaptureFixture[str]):
    """It shows steps, speed, the loss and the last evaluation, of any kind of number."""
    jaxnn.training.fit(
        STEP, first(), [ONE] * 4, steps=4, evaluate=lambda _: number(0.5), evaluate_every=2
    )
    shown = capsys.readouterr().err.rsplit("\r", 1)[-1]
    assert "4/4" in shown
    assert re.search(r"step/s|s/step", shown)
    assert f"loss {2 * 0.64**3:.4f}, evaluation 0.5000" in shown


def test_the_bar_without_a_number(capsys: pytest.CaptureFixture[str]):
    """An evaluation that is a dictionary goes into the history alone."""
    evaluate: Any = lambda _: {"accuracy": 1.0}  # noqa: E731
    result = jaxnn.training.fit(STEP, first(), [ONE] * 2, evaluate=evaluate, evaluate_every=1)
    shown = capsys.readouterr().err
    assert "loss" in shown and "evaluation" not in shown
    assert result.history.evaluations[0] == (1, {"accuracy": 1.0})


def test_the_bar_does_not_time_the_compilation(capsys: pytest.CaptureFixture[str]):
    """It says that the first step compiles, and begins to count after it."""

    def slow(*arguments: Any) -> Any:
        time.sleep(1.0)  # while it is traced
        return loss(*arguments)

    def data() -> Iterator[np.ndarray]:
        for _ in range(30):
            time.sleep(0.01)
            yield ONE

    jaxnn.training.fit(jaxnn.training.train_step(slow, optax.sgd(0.1)), first(), data(), steps=1000)
    shown = capsys.readouterr().err.split("\r")
    before = [text for text in shown if "| 0/1000" in text]
    assert "the first step compiles" in before[-1] and all("<?" in text for text in before)
    speeds = [float(x) for text in shown for x in re.findall(r"([\d.]+)step/s", text)]
    assert speeds and min(speeds) > 5  # with the compilation it would be below 1 at first
    assert "step/s" in shown[-1] and "30/1000" in shown[-1]


def test_without_tqdm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """No bar, but where one is asked for an error before the train state is donated."""
    for module in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, module, None)
    start = first()
    with pytest.raises(ImportError, match=r"progress=True needs tqdm"):
        jaxnn.training.fit(STEP, start, [ONE], progress=True)
    assert jaxnn.training.fit(STEP, start, [ONE]).stopped == "done"
    assert capsys.readouterr().err == ""
    monkeypatch.undo()
    jaxnn.training.fit(STEP, first(), [ONE])
    assert "1step" in capsys.readouterr().err
    jaxnn.training.fit(STEP, first(), [ONE], progress=False)
    assert capsys.readouterr().err == ""


def test_import_stays_light():
    """What is needed on demand is imported on demand."""
    heavy = ("matplotlib", "tqdm", "safetensors", "chex", "orbax", "tensorstore")
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
