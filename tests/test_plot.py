"""Pictures of gates and of gradients through time."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import jaxnn
from jaxnn.plot import confusion_matrix, gate_activity, gradient_norm, learning_curve


@pytest.fixture
def axes() -> Iterator[Any]:
    """Fresh axes, closed in the end."""
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_gate_activity(axes: Any):
    """A row a unit and a column a step, with the steps' names; closed gates are darker."""
    cell = jaxnn.lstm(3, 2, dtype=jnp.float32)
    params = cell.init(jax.random.key(0))
    xs = jax.random.normal(jax.random.key(1), (4, 3), jnp.float32)
    start = cell.initial_state(params)
    gates = [jaxnn.gates(cell, params, start, x).f for x in xs]
    gate_activity(axes, jnp.stack(gates), steps=["I", "am", "he", "."])
    axes.figure.canvas.draw()
    (image,) = axes.images
    np.testing.assert_allclose(image.get_array(), np.asarray(gates).T)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["I", "am", "he", "."]
    closed, opened = np.asarray(image.cmap([0.0, 1.0]))[:, :3].mean(axis=1)
    assert closed < opened and image.get_clim() == (0.0, 1.0)


def test_gate_activity_signed(axes: Any):
    """Zero is the neutral colour of a signed state; steps are numbered by default."""
    gate_activity(axes, np.array([[-1.0], [0.0], [1.0]]), limits=(-1.0, 1.0))
    axes.figure.canvas.draw()
    (image,) = axes.images
    assert image.get_clim() == (-1.0, 1.0)
    assert min(image.cmap(image.norm(0.0))[:3]) > 0.95
    assert axes.get_xlabel() == "step"


def test_gate_activity_errors(axes: Any):
    """A batch, nothing at all, names that do not fit, limits in the wrong order."""
    for shape in ((4, 2, 3), (4,), (0, 3)):
        with pytest.raises(ValueError, match=r"values must be \(time, units\) of one sequence"):
            gate_activity(axes, np.zeros(shape))
    with pytest.raises(ValueError, match="4 time steps, but 3 names"):
        gate_activity(axes, np.zeros((4, 2)), steps="abc")
    with pytest.raises(ValueError, match=r"limits must be \(smaller, larger\), got \(1, 1\)"):
        gate_activity(axes, np.zeros((4, 2)), limits=(1, 1))


def test_gradient_norm(axes: Any):
    """A line for each name, at its distances; lines differ in more than colour."""
    gradient_norm(axes, {"tanh": jnp.array([1.0, 0.5]), "LSTM": [1.0, 1.0, 1.0]})
    axes.figure.canvas.draw()
    tanh, lstm = axes.lines
    np.testing.assert_array_equal(tanh.get_xydata(), [[0, 1], [1, 0.5]])
    assert len(lstm.get_xydata()) == 3
    assert tanh.get_linestyle() != lstm.get_linestyle()
    assert axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["tanh", "LSTM"]


def test_gradient_norm_gaps(axes: Any):
    """What a logarithm cannot show, zero and inf, is left out without a warning."""
    gradient_norm(axes, {"ReLU": [1.0, 0.0, np.inf, 2.0]})
    axes.figure.canvas.draw()
    assert np.isnan(axes.lines[0].get_ydata()).tolist() == [False, True, True, False]


def test_gradient_norm_errors(axes: Any):
    """No network, a shape that is no row of distances, a norm below zero."""
    with pytest.raises(ValueError, match="at least one network"):
        gradient_norm(axes, {})
    for norms in ([], [[1.0]], 1.0):
        with pytest.raises(ValueError, match=r"norms of 'a' must be \(distances,\)"):
            gradient_norm(axes, {"a": norms})
    with pytest.raises(ValueError, match="norms of 'a' must not be negative"):
        gradient_norm(axes, {"a": [1.0, -1.0]})


PICTURES: dict[str, Any] = {
    "learning_curve": lambda axes: learning_curve(axes, [1.0, 0.5]),
    "confusion_matrix": lambda axes: confusion_matrix(axes, [0, 1], [0, 1]),
    "gate_activity": lambda axes: gate_activity(axes, [[0.5]]),
    "gradient_norm": lambda axes: gradient_norm(axes, {"a": [1.0]}),
}


@pytest.mark.parametrize("name", PICTURES)
def test_axes_are_those_of_matplotlib(name: str):
    """Not nothing, not the figure, not a row of axes."""
    figure, several = plt.subplots(1, 2)
    for wrong in (None, figure, several, "axes"):
        with pytest.raises(TypeError, match=f"{name}: axes must be the axes of matplotlib.*got"):
            PICTURES[name](wrong)
    PICTURES[name](several[0])
    plt.close(figure)


WRONG: dict[str, Any] = {
    "text": "abc",
    "None": None,
    "words": ["a", "b"],
    "objects": [None, 1.0],
    "a ragged list": [[1.0], [1.0, 2.0]],
    "complex": [1j, 2j],
    "keys": jax.random.split(jax.random.key(0), 2),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_drawn_are_numbers(axes: Any, what: str):
    """Each function names itself and its argument."""
    wrong = WRONG[what]
    calls: dict[str, Any] = {
        "learning_curve: losses must": lambda: learning_curve(axes, wrong),
        "gate_activity: values must": lambda: gate_activity(axes, wrong),
        "gate_activity: limits must": lambda: gate_activity(axes, [[1.0]], limits=wrong),
        "gradient_norm: the norms of 'a' must": lambda: gradient_norm(axes, {"a": wrong}),
        "confusion_matrix: labels": lambda: confusion_matrix(axes, wrong, [0, 1]),
        "confusion_matrix: (labels|predictions)": lambda: confusion_matrix(axes, [0, 1], wrong),
    }
    for text, call in calls.items():
        with pytest.raises((ValueError, TypeError), match=text):
            call()


def test_names_are_words(axes: Any):
    """And limits are finite, norms a dictionary; what is refused leaves no half a picture."""
    with pytest.raises(TypeError, match="confusion_matrix: names must be words"):
        confusion_matrix(axes, [0, 1], [0, 1], names=2)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="gate_activity: steps must be words"):
        gate_activity(axes, [[1.0]], steps=1)  # type: ignore[arg-type]
    for limits in ((0.0, np.inf), (np.nan, 1.0), (0.0, 1.0, 2.0), 1.0):
        with pytest.raises(ValueError, match="gate_activity: limits must be"):
            gate_activity(axes, [[1.0]], limits=limits)  # type: ignore[arg-type]
    for norms in ([1.0], None, "a"):
        with pytest.raises(TypeError, match="gradient_norm: norms must be a dictionary"):
            gradient_norm(axes, norms)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="norms of 'b' must not be negative"):
        gradient_norm(axes, {"a": [1.0], "b": [-1.0]})
    assert not axes.lines and not axes.images
