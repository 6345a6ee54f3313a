"""Pictures of gates and of gradients through time."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import jaxnn
from jaxnn import diagnostics
from jaxnn.plot import (
    confusion_matrix,
    eigenvalues,
    gate_activity,
    gate_saturation,
    gradient_norm,
    learning_curve,
    lyapunov_exponents,
    singular_values,
)


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


def test_singular_values(axes: Any):
    """Three lines over the gaps in their order; NaN windows do not count, and zero leaves a gap."""
    one = np.array([[[2.0, 1.0, 0.5]], [[4.0, 1.0, 0.0]], [[np.nan] * 3]])
    singular_values(axes, {4: np.zeros((3, 2)), 1: one, 2: np.full((1, 3), np.nan)})
    axes.figure.canvas.draw()
    largest, median, smallest = axes.lines[:3]
    np.testing.assert_array_equal(largest.get_xdata(), [1, 2, 4])
    np.testing.assert_array_equal(largest.get_ydata(), [3, np.nan, np.nan])
    np.testing.assert_array_equal(median.get_ydata(), [1, np.nan, np.nan])
    np.testing.assert_array_equal(smallest.get_ydata(), [0.25, np.nan, np.nan])
    assert len({line.get_linestyle() for line in axes.lines[:3]}) == 3
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_singular_values_errors(axes: Any):
    """No gap, a gap that is none, no row of values, a negative one."""
    with pytest.raises(ValueError, match="values must name at least one gap"):
        singular_values(axes, {})
    for gap in (0, 1.5, "1"):
        with pytest.raises((ValueError, TypeError), match="a gap in values must be a positive"):
            singular_values(axes, {gap: [[1.0]]})  # type: ignore[dict-item]
    for values in (1.0, []):
        with pytest.raises(ValueError, match=r"the values of gap 2 must be \(\.\.\., size\)"):
            singular_values(axes, {2: values})
    with pytest.raises(ValueError, match="the values of gap 2 must not be negative"):
        singular_values(axes, {2: [[-1.0]]})


def test_lyapunov_exponents(axes: Any):
    """The mean so far, and in the end the exponent; one that is −inf is not drawn."""
    growth = np.array([[0.5, -1.0, -np.inf], [0.1, -3.0, -np.inf]])
    lyapunov_exponents(axes, growth)
    axes.figure.canvas.draw()
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[1, 0.5], [2, 0.3]])
    assert np.isnan(axes.lines[2].get_ydata()).all()
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["λ1 = 0.300", "λ2 = −2.000", "λ3 = −inf"]
    for shape in ((3,), (0, 2), (2, 2, 2)):
        with pytest.raises(ValueError, match=r"growth must be \(time, count\) of one sequence"):
            lyapunov_exponents(axes, np.zeros(shape))


def test_gate_saturation(axes: Any):
    """To the right what is open, at the top what is shut; the letters that were asked for."""
    left = jaxnn.GRUGates(*(jnp.array([0.1 * k, 0.2]) for k in range(3)))
    right = jaxnn.GRUGates(*(jnp.array([0.3, 0.1 * k]) for k in range(3)))
    gate_saturation(axes, diagnostics.GateSaturation(left, right), "zr")
    axes.figure.canvas.draw()
    z, r = axes.collections
    np.testing.assert_allclose(z.get_offsets(), [[0.3, 0.1], [0.1, 0.2]])
    np.testing.assert_allclose(r.get_offsets(), [[0.3, 0.0], [0.0, 0.2]])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["z", "r"]
    for gates in ("", "zf"):
        with pytest.raises(ValueError, match="gates must be some of r, z, n"):
            gate_saturation(axes, diagnostics.GateSaturation(left, right), gates)
    with pytest.raises(TypeError, match="gates must be words"):
        gate_saturation(axes, diagnostics.GateSaturation(left, right), 3)  # type: ignore[arg-type]
    for wrong in (None, (left, right), left):
        with pytest.raises(TypeError, match="saturation must be the GateSaturation"):
            gate_saturation(axes, wrong)  # type: ignore[arg-type]


def test_eigenvalues(axes: Any):
    """Real and imaginary parts, with the circle; sets differ in more than colour."""
    eigenvalues(axes, {"at one": np.array([[0.5 + 0.1j, 0.5 - 0.1j]]), "at none": [], "W": [2]})
    axes.figure.canvas.draw()
    circle, one, none, real = axes.lines
    np.testing.assert_allclose(np.hypot(*circle.get_xydata().T), 1)
    np.testing.assert_allclose(one.get_xydata(), [[0.5, 0.1], [0.5, -0.1]])
    np.testing.assert_allclose(real.get_xydata(), [[2, 0]])
    assert not len(none.get_xdata())
    assert len({line.get_markerfacecolor() for line in (one, none, real)}) == 3
    with pytest.raises(ValueError, match="at least one set of eigenvalues"):
        eigenvalues(axes, {})
    with pytest.raises(TypeError, match="values must be a dictionary"):
        eigenvalues(axes, [1.0])  # type: ignore[arg-type]


PICTURES: dict[str, Any] = {
    "learning_curve": lambda axes: learning_curve(axes, [1.0, 0.5]),
    "confusion_matrix": lambda axes: confusion_matrix(axes, [0, 1], [0, 1]),
    "gate_activity": lambda axes: gate_activity(axes, [[0.5]]),
    "gradient_norm": lambda axes: gradient_norm(axes, {"a": [1.0]}),
    "singular_values": lambda axes: singular_values(axes, {1: [[1.0]]}),
    "lyapunov_exponents": lambda axes: lyapunov_exponents(axes, [[1.0]]),
    "eigenvalues": lambda axes: eigenvalues(axes, {"a": [1.0]}),
    "gate_saturation": lambda axes: gate_saturation(
        axes, diagnostics.GateSaturation(*[jaxnn.MGUGates(jnp.zeros(1), jnp.zeros(1))] * 2)
    ),
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
        "lyapunov_exponents: growth must": lambda: lyapunov_exponents(axes, wrong),
        "singular_values: the values of gap 1 must": lambda: singular_values(axes, {1: wrong}),
        "confusion_matrix: labels": lambda: confusion_matrix(axes, wrong, [0, 1]),
        "confusion_matrix: (labels|predictions)": lambda: confusion_matrix(axes, [0, 1], wrong),
    }
    if what not in ("complex", "None"):  # which are eigenvalues, or become an object
        calls["eigenvalues: the values of 'a' must"] = lambda: eigenvalues(axes, {"a": wrong})
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
