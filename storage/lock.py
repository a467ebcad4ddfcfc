"""The lock file beside a database: one process at a time may run on it."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from storage.errors import DatabaseBusy, DiskFault

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def hold_lock(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Hold PATH.lock exclusively while the block runs; DatabaseBusy when another process holds it.

    The system drops the lock when the process ends, however it ends. The file itself stays: removing it
    would let a third process lock a new file while a second still holds the old one. A link in the place
    of the file is refused, as DiskFault.
    """
    file = _beside(path)
    lock = _lock(file)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as err:
        raise DatabaseBusy(
            f"Another bot{_holder(file)} is using {path}; stop it first, or name another file with --db."
        ) from err
    except OSError as err:
        raise DiskFault(f"The lock file {file} cannot be written ({err.strerror}).") from err
    try:
        yield file
    finally:
        lock.release()


def is_held(path: str | os.PathLike[str]) -> bool:
    """Whether a process holds PATH.lock. Nothing is created or written."""
    file = _beside(path)
    if not file.is_file():
        return False
    try:
        with _lock(file, name_holder=False):
            return False
    except Timeout:
        return True
    except OSError:
        return False


def _lock(file: Path, *, name_holder: bool = True) -> FileLock:
    return FileLock(
        file,
        mode=0o600,
        blocking=False,
        preserve_lock_file=True,
        on_acquired=_name_holder if name_holder else None,
    )


def _beside(path: str | os.PathLike[str]) -> Path:
    """The lock file of a database: the same by whatever link the database is named."""
    file = Path(path)
    with suppress(OSError):
        file = file.resolve() if file.is_symlink() else file
    return file.with_name(f"{file.name}.lock")


def _name_holder(descriptor: int) -> None:
    """Write this process's number into the lock file; on a full disk the lock is held without it."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())


def _holder(file: Path) -> str:
    """Which process wrote itself into the lock file, as words for the message."""
    with suppress(OSError, UnicodeDecodeError):
        number = file.read_text(encoding="ascii").strip()
        return f" (process {number})" if number.isdigit() else ""
    return ""
