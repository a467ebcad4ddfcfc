"""The lock file beside a database: one process at a time may run on it."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import DatabaseBusy, DiskFault

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def hold_lock(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Hold PATH.lock exclusively while the block runs; DatabaseBusy when another process holds it.

    The system drops the lock when the process ends, however it ends. The file itself stays:
    removing it would let a third process lock a new file while a second still holds the old one.
    """
    lock = _beside(path)
    descriptor = _open(lock)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise DatabaseBusy(
                f"Another bot{_holder(descriptor)} is using {path}; "
                "stop it first, or name another file with --db."
            ) from err
        with suppress(OSError):  # on a full disk the lock is held without its holder's name
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield lock
    finally:
        os.close(descriptor)


def is_held(path: str | os.PathLike[str]) -> bool:
    """Whether a process holds PATH.lock. Nothing is created or written, and nobody is kept out by asking."""
    try:
        descriptor = os.open(_beside(path), os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _beside(path: str | os.PathLike[str]) -> Path:
    """The lock file of a database: the same by whatever link the database is named."""
    file = Path(path)
    with suppress(OSError):
        file = file.resolve() if file.is_symlink() else file
    return file.with_name(f"{file.name}.lock")


def _open(lock: Path) -> int:
    try:
        lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as err:
        raise DiskFault(f"The lock file {lock} cannot be written ({err.strerror}).") from err


def _holder(descriptor: int) -> str:
    """Which process wrote itself into the lock file, as words for the message."""
    number = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
    return f" (process {number})" if number.isdigit() else ""
