"""How a training keeps checkpoints, and the check of it."""

import os
from typing import NamedTuple

from jaxnn.internal.options import check_bool, check_size


class CheckpointOptions(NamedTuple):
    """How `fit` keeps checkpoints.

    folder: where, on a local disk; made where there is none. Each training has its own. every:
    steps between checkpoints. keep: how many are kept, the last ones, and one more while it runs;
    the best parameters are in each of them. replay: whether batches without `get_state` are taken
    anew from the first one where a training goes on; they have to be the same ones each time.
    """

    folder: str | os.PathLike[str]
    every: int = 100
    keep: int = 3
    replay: bool = False


def check_options(checkpoint: object) -> CheckpointOptions:
    """The options, with numbers as ints; ValueError or TypeError for what they cannot be."""
    if not isinstance(checkpoint, CheckpointOptions):
        raise TypeError(
            f"fit: checkpoint must be jaxnn.training.CheckpointOptions(folder, ...), got "
            f"{type(checkpoint).__name__}"
        )
    local_folder("fit", checkpoint.folder)
    check_bool("fit", "checkpoint's replay", checkpoint.replay)
    return checkpoint._replace(
        every=check_size("fit", "checkpoint's every", checkpoint.every),
        keep=check_size("fit", "checkpoint's keep", checkpoint.keep),
    )


def local_folder(name: str, folder: object) -> str:
    """An absolute path: what is written later does not depend on where the process is then."""
    text = os.fspath(folder) if isinstance(folder, os.PathLike) else folder
    if not isinstance(text, str):
        raise TypeError(
            f"{name}: the folder of checkpoints must be a str or a pathlib.Path, got "
            f"{type(folder).__name__}"
        )
    if not text or "\0" in text or "://" in text:
        raise ValueError(f"{name}: the folder of checkpoints must be a local one, got {text!r}")
    return os.path.abspath(text)
