"""A copy of the whole database while it is in use, and whether a file is sound."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from storage.connection import (
    broken_references,
    connect_as_it_is,
    create,
    is_current,
    own_errors,
    transaction,
)
from storage.errors import DatabaseBroken, DatabaseMissing, DiskFault, StorageError

if TYPE_CHECKING:
    import sqlite_utils


def backup(path: Path, target: str | os.PathLike[str]) -> dict[str, int]:
    """Copy the database at `path`, also while it is in use, and verify the copy; row counts by table. Blocks.

    It has a connection of its own, so that nobody who uses the database waits, and only reads: it neither
    writes nor checkpoints, which is what the WAL-reset bug needs. A database of an earlier version is
    copied as it is. An older file at `target` is replaced only by a copy that was found sound.
    """
    if not path.is_file():
        raise DatabaseMissing(f"There is no database at {path}; name another file, e.g. --db bot.sqlite3.")
    with connect_as_it_is(path, read_only=True) as db:
        is_current(db, path)  # refuses another program's
        return _copy(db, target)


def _copy(db: sqlite_utils.Database, target: str | os.PathLike[str]) -> dict[str, int]:
    """The copy; a read transaction holds the snapshot, so that its counts are those of the copied moment.

    The driver's backup would wait for ever inside a write transaction of its own connection.
    """
    file = Path(target)
    _refuse_live(db, file)
    part = file.with_name(f"{file.name}.part")
    try:
        remove(part)
        create(part)
        with transaction(db, "BEGIN"):
            counts = row_counts(db)
            with connect_as_it_is(part) as copy:
                db.conn.backup(copy.conn)
        _verify(part, counts)
        part.replace(file)
    except OSError as err:
        raise DiskFault(f"The backup {file} could not be written ({err.strerror}).") from err
    finally:
        with suppress(OSError):
            remove(part)
    return counts


def _refuse_live(db: sqlite_utils.Database, target: Path) -> None:
    """StorageError when the target is a database in use: replaced, it would be lost or mixed up."""
    if target.resolve() == _file_of(db).resolve() or Path(f"{target}-wal").exists():
        raise StorageError(f"{target} is a database in use; name another file, e.g. backup.sqlite3.")


def _file_of(db: sqlite_utils.Database) -> Path:
    return Path(db.execute("PRAGMA database_list").fetchone()[2])


def remove(file: Path) -> None:
    """Delete a database with what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)


def _verify(file: Path, counts: dict[str, int]) -> None:
    """DatabaseBroken unless the copy is sound and complete; leaves it as one file, on the disk."""
    with connect_as_it_is(file) as copy:
        copy.execute("PRAGMA journal_mode=DELETE")
        if integrity_check(copy) or row_counts(copy) != counts:
            raise DatabaseBroken("The backup does not agree with the database; nothing was kept.")
    with file.open("rb") as written:
        os.fsync(written.fileno())


def integrity_check(db: sqlite_utils.Database) -> list[str]:
    """Return what is wrong with the file, or else with its references, in words; empty when it is sound."""
    try:
        with own_errors(_file_of(db)):
            lines = "\n".join(row[0] for row in db.execute("PRAGMA integrity_check").fetchall()).splitlines()
            problems = [line for line in lines if line != "ok" and not line.startswith("*** in database")]
            return problems or broken_references(db)
    except DatabaseBroken as err:  # damaged too badly even for the check
        return [str(err)]


def row_counts(db: sqlite_utils.Database) -> dict[str, int]:
    """Number of rows of each table, by name."""
    return {table.name: table.count for table in sorted(db.tables, key=lambda table: table.name)}
