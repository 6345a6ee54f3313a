"""A file that is there whole or not at all, whoever else writes it and whenever one is killed."""

import contextlib
import glob
import hashlib
import os
import secrets
import stat
from typing import Any

try:
    import fcntl
except ImportError:  # Windows, which lets nobody remove a file that is open
    fcntl: Any = None


def write(path: str, data: bytes) -> None:
    """Put data at path: beside it first, under a name of its own, and then in one move.

    What is there keeps its permissions, and a link goes on to point at its file. Data and folder
    are synced, so that a power cut leaves the old file or the new one. Whoever writes holds a lock
    on the file beside, which ends with the process: so the next `write` knows what a killed one
    left, and removes it.

    Raises:
      OSError: where it cannot be written, or what is there is no file.
    """
    real = os.path.realpath(path)
    folder = os.path.dirname(real)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no folder {folder}")
    old = os.stat(real) if os.path.lexists(real) else None
    if old is not None and not stat.S_ISREG(old.st_mode):
        raise (IsADirectoryError if stat.S_ISDIR(old.st_mode) else OSError)(f"{path} is no file")
    remove_leftovers(path)
    descriptor, beside = _open_beside(real, 0o666 if old is None else 0o600)
    file = os.fdopen(descriptor, "wb")
    try:
        if old is not None:
            _take_over(beside, old)
        file.write(data)
        file.flush()
        os.fsync(descriptor)
        if fcntl is None:
            file.close()
        os.replace(beside, real)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    finally:
        with contextlib.suppress(OSError):  # a full disk is told once
            file.close()
    _sync(folder)


def remove_leftovers(path: str) -> None:
    """Those of processes that were killed while they wrote to path; nobody holds their locks."""
    if fcntl is None:
        return
    for beside in glob.glob(glob.escape(_prefix(os.path.realpath(path))) + "*.part"):
        with contextlib.suppress(OSError):
            descriptor = os.open(beside, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(beside)
            finally:
                os.close(descriptor)


def _prefix(real: str) -> str:
    """Of the names beside; not the file's own name, which may be as long as names can be."""
    folder, name = os.path.split(real)
    own = hashlib.blake2b(os.fsencode(name), digest_size=6).hexdigest()
    return os.path.join(folder, f".jaxnn-{own}-")


def _open_beside(real: str, mode: int) -> tuple[int, str]:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        beside = f"{_prefix(real)}{secrets.token_hex(6)}.part"
        descriptor = os.open(beside, flags, mode)
        if _lock(descriptor) and os.path.exists(beside):
            return descriptor, beside
        os.close(descriptor)  # somebody took it for a leftover, before it had its lock


def _lock(descriptor: int) -> bool:
    """Whether it is ours; where there are no locks, it is, and nobody else removes it."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _take_over(beside: str, old: os.stat_result) -> None:
    """Owner and permissions, before there is anything to read."""
    if hasattr(os, "chown"):
        with contextlib.suppress(OSError):
            os.chown(beside, old.st_uid, old.st_gid)
    os.chmod(beside, stat.S_IMODE(old.st_mode))


def _sync(folder: str) -> None:
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):  # not every file system has it for folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
