"""The probabilistic forecast: its distribution, its scores and its data against others', and the
script in its short form."""

import doctest
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import deep_forecast as deep
import forecast_scores
import jax
import jax.numpy as jnp
import numpy as np
import panels
import pytest
import usual
from forecast_baselines import quantiles
from forecast_scores import QUANTILES, naive_scales, scores

stats = pytest.importorskip("scipy.stats", reason="scipy: the extra 'gallery'")
ROOT = pathlib.Path(__file__).resolve().parents[1]
WHEELS = pathlib.Path(os.environ.get("JAXNN_WHEELS") or ROOT / "results" / "wheels")


@pytest.fixture(autouse=True)
def usual_settings() -> Iterator[None]:
    """The examples run with jax's own settings, as users run them."""
    with usual.usual_settings():
        yield


@pytest.fixture(scope="module")
def series() -> list[np.ndarray]:
    """Three series of unequal length."""
    random = np.random.default_rng(0)
    return [np.exp(np.cumsum(random.normal(0.01, 0.1, steps))) for steps in (17, 30, 24)]


def test_the_likelihood_is_students_t() -> None:
    """Against scipy, and what is masked does not count."""
    y = np.random.default_rng(1).normal(0, 2, (4, 3, 3)).astype(np.float32)
    targets = np.linspace(-3, 3, 12, dtype=np.float32).reshape(4, 3)
    mask = np.arange(12).reshape(4, 3) % 3 != 1
    mean, scale, degrees = map(np.asarray, deep.distribution(jnp.asarray(y)))
    expected = -stats.t.logpdf(targets, degrees, mean, scale)[mask].sum()
    spoilt = jnp.where(mask, targets, jnp.nan)
    total, weight = deep.negative_log_likelihood(jnp.asarray(y), spoilt, jnp.asarray(mask))
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    assert weight == mask.sum() and degrees.min() > 2 and scale.min() > 0


def test_the_past_has_no_future(series: list[np.ndarray]) -> None:
    """Targets give the values back, and what comes later changes nothing that was before."""
    whole = deep.past(series, 4, 0.2)
    for k, values in enumerate(series):
        steps = np.arange(8, len(values) - 1)
        token, target = whole.tokens[: len(steps), k], whole.targets[: len(steps), k]
        np.testing.assert_allclose(
            token[:, 3] + token[:, -deep.KNOWN] * target,
            np.log(values)[steps + 1],
            rtol=1e-4,
            atol=1e-5,
        )
        assert whole.mask[:, k].sum() == len(steps) + 1
    shorter = deep.past([values[:12] for values in series], 4, 0.2)
    np.testing.assert_array_equal(shorter.tokens, whole.tokens[: len(shorter.tokens)])
    np.testing.assert_array_equal(shorter.targets[:-1], whole.targets[: len(shorter.tokens) - 1])


def test_drawn_values_have_the_networks_distribution(series: list[np.ndarray]) -> None:
    """The first values of 4,000 paths, beside the quantiles of its own outputs for each series."""
    model, season = deep.network(4, 6, 0.1), 4
    params, past = model.init(jax.random.key(0)), deep.past(series, season, 0.2)
    paths = deep.sampler(model, season)(params, past, 2, 4000, jax.random.key(1))
    assert paths.shape == (4000, 2, len(series))
    _, y = model.unroll(params, jnp.asarray(past.tokens))
    last = past.mask.sum(axis=0) - 1
    for k, values in enumerate(series):
        mean, scale, degrees = (float(part[last[k], k]) for part in deep.distribution(y))
        nu = past.tokens[last[k], k, -deep.KNOWN]
        units = (np.log(paths[:, 0, k]) - np.log(values[-season])) / nu
        found = stats.t.cdf(np.quantile(units, QUANTILES), degrees, mean, scale)
        np.testing.assert_allclose(found, QUANTILES, atol=0.03)
    assert np.abs(np.corrcoef(np.log(paths[:, :, 0]).T)[0, 1]) < 0.999  # the second is drawn too


@pytest.mark.filterwarnings("ignore")  # sktime's, of the pandas that it is installed with
def test_the_scores_are_sktimes() -> None:
    """MASE, pinball loss and coverage by sktime's own functions, where it is installed."""
    pytest.importorskip("sktime", reason="sktime: its metrics")
    import pandas as pd
    from sktime.performance_metrics.forecasting import mean_absolute_scaled_error
    from sktime.performance_metrics.forecasting.probabilistic import EmpiricalCoverage, PinballLoss

    random = np.random.default_rng(2)
    known, truth = random.normal(5, 1, 30), random.normal(5, 1, 6)
    found = np.sort(random.normal(5, 1, (1, 6, len(QUANTILES))), axis=-1)
    scale = naive_scales([known], 4)
    ours = scores(found, truth[None], scale)
    deciles = QUANTILES[1:-1]
    names = pd.MultiIndex.from_product([["y"], deciles])
    table = pd.DataFrame(found[0, :, 1:-1], columns=names)
    pinball: Any = PinballLoss()(pd.DataFrame({"y": truth}), table)
    bounds = pd.MultiIndex.from_tuples([("y", 0.8, "lower"), ("y", 0.8, "upper")])
    interval = pd.DataFrame(found[0][:, [1, -2]], columns=bounds)
    middle = found[0, :, QUANTILES.index(0.5)]
    expected = mean_absolute_scaled_error(truth, middle, y_train=known, sp=4)
    np.testing.assert_allclose(ours.mase, expected, rtol=1e-5)
    np.testing.assert_allclose(ours.sql, 2 * pinball / scale[0], rtol=1e-5)
    np.testing.assert_allclose(ours.wql, 2 * pinball / np.abs(truth).mean(), rtol=1e-5)
    coverage: Any = EmpiricalCoverage()(pd.DataFrame({"y": truth}), interval)
    np.testing.assert_allclose(ours.inside_80, coverage, rtol=1e-6)


def test_the_naive_forecast_of_m1_is_the_published_one() -> None:
    """Data, split and MASE are those of the published tables: fev has 4.894322199 for it."""
    try:
        panel = panels.yearly(WHEELS)
    except SystemExit as missing:
        pytest.skip(str(missing))
    histories, truth = panel.forecasts()
    assert len(panel.series) == 181 and truth.shape == (181, 6)
    found = quantiles("seasonal-naive", histories, 1, 6, logs=False)
    mase = scores(found, truth, naive_scales(panel.known(), 1)).mase
    np.testing.assert_allclose(mase, 4.894322199, rtol=1e-5)


def test_the_script(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On series that are made here: better than the naive forecasts, with intervals that hold."""
    pytest.importorskip("matplotlib")
    probabilistic_forecast = pytest.importorskip("probabilistic_forecast", reason="tqdm")
    assert doctest.testmod(forecast_scores).failed == 0
    options = (
        f"--out {tmp_path} --panels made --seeds 2 --paths 100 --baselines seasonal-naive drift"
    )
    monkeypatch.setattr("sys.argv", ["probabilistic_forecast.py", *options.split()])
    probabilistic_forecast.main()
    printed = capsys.readouterr().out
    lines = [line.split(" | ") for line in printed.splitlines() if " | " in line]
    assert lines[0][1:] == list(forecast_scores.Scores._fields)
    found = {name: [float(text.split()[0]) for text in rest] for name, *rest in lines[1:]}
    ours, naive, drift = (found[name] for name in ("networks together", "seasonal-naive", "drift"))
    assert all(one < other for one, other in zip(ours[:3], naive[:3], strict=True))
    assert ours[1] < drift[1] and 0.7 < ours[3] < 0.9 and ours[3] < ours[4] < 0.97
    assert re.search(r"network \| [\d.]+ \([\d.]+ to [\d.]+\)", printed)
    picture = tmp_path / "probabilistic_forecast.png"
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 10_000


def test_without_a_wheel(tmp_path: pathlib.Path) -> None:
    """One line that says how to get it."""
    with pytest.raises(SystemExit, match=r"pip download --no-deps .* aeon==1\.6\.0"):
        panels.yearly(tmp_path)
