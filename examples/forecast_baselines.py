"""What statsmodels forecasts of one series at a time: the baselines of a forecaster of many."""

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from forecast_scores import QUANTILES

Forecast = tuple[np.ndarray, np.ndarray]  # mean and standard deviation, (ahead,)


def naive(values: np.ndarray, season: int, ahead: int) -> Forecast:
    """The value a season ago; the deviation grows with the square root of the seasons."""
    seasons = np.arange(ahead) // season + 1
    mean = values[len(values) - season + np.arange(ahead) % season]
    spread = np.sqrt(np.mean((values[season:] - values[:-season]) ** 2))
    return mean, spread * np.sqrt(seasons)


def drift(values: np.ndarray, season: int, ahead: int) -> Forecast:
    """The same with the mean growth of a season, whose own error is counted in."""
    seasons = np.arange(ahead) // season + 1
    mean, _ = naive(values, season, ahead)
    grown = values[season:] - values[:-season]
    own = seasons * (1 + seasons * season / len(grown))
    return mean + seasons * grown.mean(), np.sqrt(np.var(grown, ddof=1) * own)


def ets(values: np.ndarray, season: int, ahead: int) -> Forecast:
    """Exponential smoothing with additive errors: trend, damping and season by the lowest AICc."""
    import pandas as pd
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    trends = [(None, False), ("add", False), ("add", True)]
    seasonals = ["add"] if season > 1 else [None]
    fits: list[Any] = [
        ETSModel(
            pd.Series(values),
            trend=trend,
            damped_trend=damped,
            seasonal=seasonal,
            seasonal_periods=season if seasonal else None,
        ).fit(disp=False)
        for (trend, damped), seasonal in itertools.product(trends, seasonals)
    ]
    best = min(fits, key=lambda fit: fit.aicc if np.isfinite(fit.aicc) else np.inf)
    predicted = best.get_prediction(len(values), len(values) + ahead - 1)
    return np.asarray(predicted.predicted_mean), np.sqrt(np.asarray(predicted.forecast_variance))


def theta(values: np.ndarray, season: int, ahead: int) -> Forecast:
    """The Theta method of Assimakopoulos & Nikolopoulos, additive."""
    from statsmodels.tsa.forecasting.theta import ThetaModel

    model = ThetaModel(values, period=season, deseasonalize=season > 1, method="additive")
    fit = model.fit()
    low = fit.prediction_intervals(ahead, alpha=0.1)["lower"]
    mean = np.asarray(fit.forecast(ahead))
    return mean, (mean - np.asarray(low)) / 1.6448536269514722


def arima(values: np.ndarray, season: int, ahead: int) -> Forecast:
    """ARIMA of one difference, (seasonal) orders and drift by the lowest AICc."""
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    if season > 1:
        orders = [((p, 1, q), (0, 1, 1, season), "n") for p, q in ((0, 1), (1, 1), (2, 1))]
    else:
        pairs = ((0, 0), (1, 0), (0, 1), (1, 1))
        orders = [((p, 1, q), (0, 0, 0, 0), trend) for p, q in pairs for trend in "nt"]
    fits = []
    for order, seasonal_order, trend in orders:
        model = SARIMAX(values, order=order, seasonal_order=seasonal_order, trend=trend)
        fits.append(model.fit(disp=False, maxiter=100))
    best = min(fits, key=lambda fit: fit.aicc if np.isfinite(fit.aicc) else np.inf)
    predicted = best.get_forecast(ahead)
    return np.asarray(predicted.predicted_mean), np.asarray(predicted.se_mean)


METHODS: dict[str, Callable[[np.ndarray, int, int], Forecast]] = {
    "seasonal-naive": naive,
    "drift": drift,
    "ETS": ets,
    "Theta": theta,
    "ARIMA": arima,
}


def quantiles(
    method: str, histories: list[np.ndarray], season: int, ahead: int, logs: bool
) -> np.ndarray:
    """Quantiles `(forecasts, ahead, QUANTILES)`, normal around the mean; those of logarithms are
    turned back."""
    from scipy.stats import norm

    levels, found = norm.ppf(QUANTILES), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fits that end at their limits, which the AICc compares
        for values in histories:
            mean, deviation = METHODS[method](np.log(values) if logs else values, season, ahead)
            each = mean[:, None] + deviation[:, None] * levels
            found.append(np.exp(each) if logs else each)
    return np.array(found)
