"""The folder of a training that survives: its checkpoints, by orbax, in the background."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnn.training.checkpoint_options import CheckpointOptions, local_folder
from jaxnn.training.course import Fit
from jaxnn.training.folder_lock import locked
from jaxnn.training.record import Damaged, Record, check_outline, pack, read_record, unpack
from jaxnn.training.state import TrainState

STEP = re.compile(r"step_(\d+)(_again)?")
LEFTOVER = re.compile(r"step_.*orbax-checkpoint-tmp.*|deleted_step_.*")


class Found(NamedTuple):
    """A training in a folder.

    fit: as far as it came; place: in the data; best_of: what its best is; path: the checkpoint;
    damaged: the names of newer ones, and why they cannot be read.
    """

    fit: Fit
    place: Any
    best_of: str | None
    path: str
    damaged: dict[str, str]

    def warning(self) -> str:
        """What is to be said of the damaged ones, if there are any."""
        return f"{_listed(self.damaged)}; the last good one is {self.path}" if self.damaged else ""


class RunFolder:
    """A folder that is this process's own until it is closed."""

    def __init__(self, options: CheckpointOptions) -> None:
        self._folder, self._keep = local_folder("fit", options.folder), options.keep
        orbax = orbax_of("fit")
        if jax.process_count() > 1:
            raise ValueError("fit: checkpoint is for a training in one process")
        self._args, self._saving = orbax.args, ""
        with contextlib.ExitStack() as stack:
            stack.enter_context(locked(self._folder))
            self._clean()
            stack.callback(self._clean)
            self._checkpointer = orbax.AsyncCheckpointer(orbax.CompositeCheckpointHandler())
            stack.callback(self._checkpointer.close)
            self._held = stack.pop_all()

    def newest(self, like: TrainState) -> Found | None:
        """The newest that can be read."""
        return newest("fit", self._folder, like)

    def put_aside(self, damaged: Iterable[str]) -> None:
        """Give them other names, since there will be new ones of theirs."""
        for name in damaged:
            aside = os.path.join(self._folder, f"damaged_{name}")
            shutil.rmtree(aside, ignore_errors=True)
            os.rename(os.path.join(self._folder, name), aside)

    def save(self, fit: Fit, best_of: str | None, place: Any) -> None:
        """Copy it, and write the copy while the training goes on.

        Raises:
          OSError: where this one or the one before could not be written.
          TypeError: for what a checkpoint cannot hold.
        """
        data, record = pack(fit, best_of, place)
        self.finish()
        name = f"step_{len(fit.history.loss)}"
        if name in _names(self._folder):  # with an evaluation less
            name += "_again"
        self._saving = name
        with self._told():
            self._checkpointer.save(
                os.path.join(self._folder, name),
                args=self._args.Composite(
                    data=self._args.StandardSave({"bytes": data}),
                    record=self._args.JsonSave(record),
                ),
            )

    def finish(self) -> None:
        """Wait for what is being written, and remove what need not be kept.

        Raises:
          OSError: where it could not be written.
        """
        with self._told():
            self._checkpointer.wait_until_finished()
            names = _names(self._folder)
            kept = [name for name in names if f"{name}_again" not in names][: self._keep]
            for name in set(names) - set(kept):
                # By another name first: what is removed in part is no checkpoint.
                gone = os.path.join(self._folder, f"deleted_{name}")
                os.rename(os.path.join(self._folder, name), gone)
                shutil.rmtree(gone, ignore_errors=True)

    def close(self) -> None:
        """Finish, and leave the folder to others."""
        with self._held:
            self.finish()

    def _clean(self) -> None:
        """Remove what a killed process, or a write that failed, has left."""
        for name in os.listdir(self._folder) if os.path.isdir(self._folder) else ():
            if LEFTOVER.fullmatch(name):
                shutil.rmtree(os.path.join(self._folder, name), ignore_errors=True)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of orbax, of tensorstore, of the system
            ours = OSError(
                f"fit: the checkpoint {self._saving} could not be written to {self._folder}: "
                f"{error}"
            )
            ours.errno = getattr(error, "errno", None)
            raise ours from error


def newest(name: str, folder: str, like: TrainState) -> Found | None:
    """The newest checkpoint of a folder that can be read; None where there is none at all.

    Raises:
      ValueError: for one of another train_state, or where none can be read.
    """
    damaged: dict[str, str] = {}
    for step in _names(folder):
        path = os.path.join(folder, step)
        try:
            fit, record = _read(name, path, like)
        except Damaged as error:
            damaged[step] = str(error)
        except ValueError as error:
            raise ValueError(f"{name}: {path} cannot be gone on with: {error}") from error
        else:
            return Found(fit, record.of_place(), record.best_of, path, damaged)
    if damaged:
        raise ValueError(f"{name}: no checkpoint in {folder} can be read: {_listed(damaged)}")
    return None


def _read(name: str, path: str, like: TrainState) -> tuple[Fit, Record]:
    orbax = orbax_of(name)
    with contextlib.closing(orbax.Checkpointer(orbax.CompositeCheckpointHandler())) as checkpointer:

        def item(name: str, args: object) -> Any:
            try:
                return checkpointer.restore(path, args=orbax.args.Composite(**{name: args}))[name]
            except Exception as error:  # whatever damaged files make orbax run into
                text = str(error).strip().splitlines() or [""]
                raise Damaged(f"{type(error).__name__}: {text[0][:200]}") from error

        record = read_record(item("record", orbax.args.JsonRestore()))
        check_outline(record, like)
        like_data = {"bytes": np.empty(record.size(), np.uint8)}
        data = item("data", orbax.args.StandardRestore(like_data))["bytes"]
        return unpack(record, data, like), record


def _names(folder: str) -> list[str]:
    """Of the checkpoints, the newest first."""
    found = [match for name in os.listdir(folder) if (match := STEP.fullmatch(name))]
    found.sort(key=lambda match: (int(match[1]), match[2] is not None), reverse=True)
    return [match[0] for match in found]


def _listed(damaged: dict[str, str]) -> str:
    return "; ".join(f"{name} is damaged ({why})" for name, why in damaged.items())


def orbax_of(name: str) -> ModuleType:
    """Orbax, which takes a while to import."""
    try:
        import orbax.checkpoint
    except ImportError as error:
        raise ImportError(
            f"{name}: checkpoints are written and read by orbax, which is not installed: "
            f"pip install 'jaxnn-cells[checkpoint]'"
        ) from error
    return orbax.checkpoint
