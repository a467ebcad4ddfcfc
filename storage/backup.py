"""A copy of the whole database while it is in use, and whether a file is sound."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from storage.connection import broken_references, connect_as_it_is, create, own_errors, transaction
from storage.errors import DatabaseBroken, DiskFault, StorageError

if TYPE_CHECKING:
    import sqlite_utils

    from storage.db import Database


def backup(database: Database, target: str | os.PathLike[str]) -> dict[str, int]:
    """Copy the whole database to `target`, also while it is in use; its row counts by table. Blocks.

    On the event loop: `await database.outside(partial(copy_into, target=target))`.
    """
    return database.outside_sync(partial(copy_into, target=target))


def copy_into(db: sqlite_utils.Database, target: str | os.PathLike[str]) -> dict[str, int]:
    """Copy the database to the file `target` and verify the copy; its row counts by table.

    For Database.outside: the driver's backup waits for ever inside a write transaction of its own
    connection. A read transaction holds the snapshot meanwhile, so that the counts must agree.
    An older file at `target` is replaced only by a copy that was found sound.
    """
    file = Path(target)
    _refuse_live(db, file)
    part = file.with_name(f"{file.name}.part")
    try:
        _remove(part)
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
            _remove(part)
    return counts


def _refuse_live(db: sqlite_utils.Database, target: Path) -> None:
    """StorageError when the target is a database in use: replaced, it would be lost or mixed up."""
    if target.resolve() == _file_of(db).resolve() or Path(f"{target}-wal").exists():
        raise StorageError(f"{target} is a database in use; name another file, e.g. backup.sqlite3.")


def _file_of(db: sqlite_utils.Database) -> Path:
    return Path(db.execute("PRAGMA database_list").fetchone()[2])


def _remove(file: Path) -> None:
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
    """What is wrong with the file, or else with its references, in words; empty when it is sound."""
    try:
        with own_errors(_file_of(db)):
            found = [row[0] for row in db.execute("PRAGMA integrity_check").fetchall() if row[0] != "ok"]
            return found or broken_references(db)
    except DatabaseBroken as err:  # damaged too badly even for the check
        return [str(err)]


def row_counts(db: sqlite_utils.Database) -> dict[str, int]:
    """Number of rows of each table, by name."""
    return {table.name: table.count for table in sorted(db.tables, key=lambda table: table.name)}
