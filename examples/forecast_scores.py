"""Scores of forecasts that are distributions, each given by its quantiles."""

from typing import NamedTuple

import numpy as np

import jaxnn

QUANTILES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
DECILES = slice(1, -1)


class Scores(NamedTuple):
    """What a method's forecasts of a panel are worth.

    mase: the mean absolute error of the medians in units of the seasonal-naive one in the training
    data. sql: the scaled quantile loss, twice the pinball loss of the nine deciles in the same
    units. wql: the weighted quantile loss, the same sum over that of all values, as GluonTS and fev
    have it. inside_80, inside_90: the share of values in the middle 80 and 90 %.
    """

    mase: float
    sql: float
    wql: float
    inside_80: float
    inside_90: float


def naive_scales(series: list[np.ndarray], season: int) -> np.ndarray:
    """How much each series differs from a season ago, on average."""
    lengths = np.array([len(values) for values in series])
    padded = np.zeros((lengths.max(), len(series), 1))
    for k, values in enumerate(series):
        padded[: len(values), k, 0] = values
    mask = np.arange(len(padded))[:, None] < lengths
    return np.asarray(jaxnn.losses.naive_scale(padded, season, mask))[:, 0]


def scores(quantiles: np.ndarray, truth: np.ndarray, scale: np.ndarray) -> Scores:
    """Of quantiles `(forecasts, ahead, QUANTILES)`, what came, `(forecasts, ahead)`, and the scale
    of each forecast's series, `(forecasts,)`.

    >>> low = np.full((1, 2, len(QUANTILES)), 2.0)
    >>> [round(score, 4) for score in scores(low, np.full((1, 2), 3.0), np.full(1, 0.5))]
    [2.0, 2.0, 0.3333, 0.0, 0.0]
    """
    middle = quantiles[..., QUANTILES.index(0.5)]
    missed, steps = jaxnn.losses.mean_absolute_scaled_error(
        middle.T[..., None], truth.T[..., None], scale[:, None].astype(middle.dtype)
    )
    deciles, levels = quantiles[..., DECILES], QUANTILES[DECILES]
    pinball, _ = jaxnn.losses.quantile_loss(deciles, truth, levels)
    scaled, _ = jaxnn.losses.quantile_loss(deciles, truth, levels, weights=1 / scale)

    def inside(low: float, high: float) -> float:
        below, above = (quantiles[..., QUANTILES.index(level)] for level in (low, high))
        return float(np.mean((truth >= below) & (truth <= above)))

    return Scores(
        float(missed / steps),
        2 * float(scaled) / len(levels) / truth.size,
        2 * float(pinball) / len(levels) / float(np.abs(truth).sum()),
        inside(0.1, 0.9),
        inside(0.05, 0.95),
    )
