"""A folder that belongs to one training at a time."""

import contextlib
import os
from collections.abc import Iterator

from jaxnn.training.atomic import fcntl

_ours: set[str] = set()


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Make the folder, if there is none, and hold it, by a lock that ends with the process.

    The lock is the process's own, and not handed to those that it forks, which may live on.

    Raises:
      OSError: where it cannot be written, or BlockingIOError, where somebody else holds it.
    """
    real = os.path.realpath(folder)
    if real in _ours:
        raise _taken("training of this process", folder)
    try:
        os.makedirs(real, exist_ok=True)
        lock = os.open(os.path.join(real, ".lock"), os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        ours = type(error)(f"fit: checkpoints cannot be written to {folder}: {error}")
        ours.errno = error.errno
        raise ours from error
    _ours.add(real)
    try:
        if not _lock(lock):
            raise _taken("process", folder)
        yield
    finally:
        _ours.remove(real)
        os.close(lock)


def _lock(descriptor: int) -> bool:
    """Whether it is ours; where there are no locks, it is."""
    try:
        if fcntl is not None:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


def _taken(who: str, folder: str) -> BlockingIOError:
    return BlockingIOError(
        f"fit: another {who} has its checkpoints in {folder}: each training needs its own folder"
    )
