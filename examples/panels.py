"""Panels of time series that come with aeon, sktime and statsmodels."""

import pathlib
from typing import Any, NamedTuple

import command_line
import numpy as np
import wheels

AEON, SKTIME = "aeon==1.6.0", "sktime==1.2.0"


class Panel(NamedTuple):
    """Positive series, each `(its own number of steps,)`, with a name each.

    season: steps of one. ahead: steps of a forecast. origins: how many forecasts of each series the
    test has. every: steps from an origin to the next; the last forecast ends with the series.
    """

    title: str
    names: list[str]
    series: list[np.ndarray]
    season: int
    ahead: int
    origins: int
    every: int

    @property
    def test(self) -> int:
        """The steps at the end of each series that only the test sees."""
        return self.ahead + (self.origins - 1) * self.every

    def known(self) -> list[np.ndarray]:
        """What is known of each series before the test."""
        return [values[: -self.test] for values in self.series]

    def forecasts(self) -> tuple[list[np.ndarray], np.ndarray]:
        """Of each forecast what is known at its origin, and what came, `(forecasts, ahead)`: all
        origins of a series, then the next series."""
        starts = [
            (values, len(values) - self.test + origin * self.every)
            for values in self.series
            for origin in range(self.origins)
        ]
        histories = [values[:start] for values, start in starts]
        return histories, np.array([values[start : start + self.ahead] for values, start in starts])

    def before_test(self) -> "Panel":
        """The same without its test: what choices may see. Too short series are left out."""
        least = self.test + self.ahead + 2 * self.season + 1
        kept = [k for k, values in enumerate(self.series) if len(values) >= least]
        return self._replace(
            names=[self.names[k] for k in kept],
            series=[self.known()[k] for k in kept],
        )


def yearly(folder: pathlib.Path) -> Panel:
    """The 181 yearly series of the M1 competition (Makridakis 1982), six years ahead, as there."""
    text = wheels.read_from(
        wheels.find(folder, AEON), "aeon/datasets/data/m1_yearly_dataset/m1_yearly_dataset.tsf"
    ).decode()
    rows = [line.rpartition(":") for line in text.split("@data\n")[1].splitlines() if line]
    names = [head.partition(":")[0] for head, _, _ in rows]
    series = [np.array([float(number) for number in tail.split(",")]) for _, _, tail in rows]
    return Panel("M1, yearly", names, series, 1, 6, 1, 6)


def monthly(folder: pathlib.Path) -> Panel:
    """Four monthly series, a year ahead, from every third month of the last three years."""
    try:
        from statsmodels import datasets
    except ImportError:
        command_line.stop("the monthly series and the baselines need: pip install statsmodels")
    sktime = wheels.find(folder, SKTIME)

    def column(name: str, number: int = 1) -> np.ndarray:
        rows = wheels.read_from(sktime, f"sktime/datasets/data/{name}.csv").decode().splitlines()
        return np.array([float(row.split(",")[number]) for row in rows[1:] if row])

    weekly: Any = datasets.co2.load_pandas().data
    years: Any = datasets.elnino.load_pandas().data
    co2 = weekly["co2"].resample("MS").mean().interpolate()
    series = {
        "airline passengers": column("Airline/Airline"),
        "drivers hurt": column("seatbelts/seatbelts"),
        "CO2": co2.to_numpy(float),
        "El Niño, °C": years.drop(columns="YEAR").to_numpy(float).ravel(),
    }
    return Panel("monthly", list(series), list(series.values()), 12, 12, 9, 3)


def made(seed: int = 0) -> Panel:
    """Quarterly series that are made here, as logarithms: trend, season and noise that lasts."""
    random, series = np.random.default_rng(seed), []
    for _ in range(40):
        steps = np.arange(random.integers(50, 90))
        phase, size, trend = (
            random.uniform(0, 4),
            random.uniform(0.1, 0.4),
            random.normal(0.01, 0.01),
        )
        noise = np.cumsum(0.02 * random.standard_t(5, len(steps)))
        season = size * np.sin(2 * np.pi * (steps + phase) / 4)
        series.append(np.exp(random.uniform(0, 6) + trend * steps + season + noise))
    return Panel("made, quarterly", [f"made {k}" for k in range(40)], series, 4, 4, 2, 4)
