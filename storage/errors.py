"""Errors of the storage, each one sentence fit to show a person.

    StorageError
    ├── DatabaseMissing    nothing to read at that path, or nothing any more
    ├── DatabaseBusy       another process holds the database or writes to it
    ├── DatabaseBroken     not a database, damaged, or of another program or version
    ├── DiskFull           no room left; the transaction was rolled back
    ├── DiskFault          the disk could not be read or written, or is read-only
    └── Refused            a row broke a constraint of its table; the transaction was rolled back

They stand in for the driver's errors, because pysqlite3's are not the standard library's.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class StorageError(Exception):
    """Base of all errors of the storage."""


class DatabaseMissing(StorageError):
    """There is no database at the path, or another than the one that is open."""


class DatabaseBusy(StorageError):
    """Another process holds the database."""


class DatabaseBroken(StorageError):
    """The file cannot be used as this program's database."""


class DiskFull(StorageError):
    """No room is left; nothing of the transaction was kept."""


class DiskFault(StorageError):
    """The disk could not be read or written."""


class Refused(StorageError):
    """A row broke a constraint of its table; nothing of the transaction was kept."""


_IO, _FULL = 10, 13
_LEAST_ROOM = 2**16  # bytes: the index of the write-ahead log, which readers need too, takes half of it
# SQLite's primary result codes, https://sqlite.org/rescode.html
_BY_CODE: dict[int, tuple[type[StorageError], str]] = {
    5: (DatabaseBusy, "Another process is writing to {path}; try again in a moment."),
    6: (DatabaseBusy, "Another process is writing to {path}; try again in a moment."),
    8: (DiskFault, "{path} cannot be written: the file or its disk is read-only."),
    _IO: (DiskFault, "The disk failed while reading or writing {path} ({error})."),
    11: (DatabaseBroken, "{path} is damaged ({error}); restore a backup in its place."),
    _FULL: (DiskFull, "The disk is full: {path} could not be written; free some room and try again."),
    14: (DiskFault, "{path} cannot be opened; check that the file and its folder are yours to write."),
    19: (Refused, "{path} refused a row: {error}."),
    26: (
        DatabaseBroken,
        "{path} is not a database of this program; name another file, e.g. --db bot.sqlite3.",
    ),
}


def from_driver(error: Exception, path: Path) -> StorageError:
    """The driver's error as one of ours; unknown codes keep SQLite's own words."""
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == _IO and _is_full(path):
        code = _FULL
    kind, message = _BY_CODE.get(code, (StorageError, "{path} could not be used: {error}."))
    return kind(message.format(path=path, error=error))


def _is_full(path: Path) -> bool:
    """Whether the disk has no room: SQLite, which opens its index first, then speaks of an I/O error."""
    with suppress(OSError):
        return shutil.disk_usage(path.parent).free < _LEAST_ROOM
    return False
