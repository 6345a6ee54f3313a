"""Two time series that come with statsmodels."""

from typing import Any, NamedTuple

import command_line
import numpy as np


class Series(NamedTuple):
    """times and values `(time,)`; the steps of a season; where validation and test begin; whether
    the forecast corrects seasonal-naive, or the mean of the last season, whose length varies; and
    whether the model reads and forecasts square roots, as is usual for counts."""

    title: str
    times: np.ndarray
    values: np.ndarray
    season: int
    valid_from: float
    test_from: float
    strict: bool
    root: bool


def load() -> list[Series]:
    """CO2 at Mauna Loa, weekly values made monthly means, and the sunspots of each year."""
    try:
        from statsmodels import datasets
    except ImportError:
        command_line.stop("forecast.py reads its data from statsmodels: pip install statsmodels")
    weekly: Any = datasets.co2.load_pandas().data
    spots: Any = datasets.sunspots.load_pandas().data
    co2 = weekly["co2"].resample("MS").mean().interpolate()
    months = co2.index.year.to_numpy() + (co2.index.month.to_numpy() - 0.5) / 12
    years, numbers = spots["YEAR"].to_numpy(), spots["SUNACTIVITY"].to_numpy()
    return [
        Series("CO2 at Mauna Loa (ppm)", months, co2.to_numpy(), 12, 1985, 1992, True, False),
        Series("sunspots a year", years, numbers, 11, 1890, 1940, False, True),
    ]
