"""The Occupancy data of Candanedo & Feldheim (2016): an office, minute by minute."""

import csv
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import command_line
import numpy as np

FILES = ("datatraining.txt", "datatest.txt", "datatest2.txt")
SOURCE = f"folder with {', '.join(FILES)}, from UCI's Occupancy Detection"
SENSORS = ("temperature", "humidity", "light", "CO2", "ratio")
PATH = command_line.data_folder() / "occupancy"


class Recording(NamedTuple):
    """xs `(time, sensors)`; light `(time,)` in lux; labels `(time, 1)`, 0 or 1: a row a minute."""

    xs: np.ndarray
    light: np.ndarray
    labels: np.ndarray


def load(folder: pathlib.Path = PATH, sensors: Sequence[str] = SENSORS) -> list[Recording]:
    """Training, validation and two tests; xs are scaled by the training's mean and deviation."""
    columns = [SENSORS.index(sensor) for sensor in sensors]
    recordings = []
    for name in FILES:
        if not (folder / name).is_file():
            command_line.stop(f"no file {folder / name}: --data takes a {SOURCE}")
        with open(folder / name, newline="", encoding="utf-8") as file:
            rows = np.array([row[2:] for row in csv.reader(file)][1:], np.float32)
        labels = rows[:, len(SENSORS) :].astype(np.int32)
        recordings.append(Recording(rows[:, columns], rows[:, SENSORS.index("light")], labels))
    first, *tests = recordings
    cut = len(first.xs) * 4 // 5
    parts = [Recording._make(array[:cut] for array in first)]
    parts += [Recording._make(array[cut:] for array in first), *tests]
    mean, scale = parts[0].xs.mean(axis=0), parts[0].xs.std(axis=0)
    return [part._replace(xs=(part.xs - mean) / scale) for part in parts]
