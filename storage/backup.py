"""A copy of the whole database while it is in use, and whether a file is sound.

A backup in the place of the database: what is wrong with it is found before anything is replaced.

    copy beside the database -> verify -> bring up to date -> settle -> swap

Killed at any moment this leaves the old database or the new one in place, never none or half of one.
"""

from __future__ import annotations

import os
import shutil
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from storage.connection import (
    DatabaseBroken,
    DatabaseBusy,
    DatabaseMissing,
    DiskFault,
    StorageError,
    broken_references,
    connect,
    connect_unchecked,
    create_file,
    is_current,
    transaction,
    translate_errors,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlite_utils


def backup(path: Path, target: str | os.PathLike[str]) -> dict[str, int]:
    """Copy the database at `path`, also while it is in use, and verify the copy; row counts by table. Blocks.

    It has a connection of its own, so that nobody who uses the database waits, and only reads: it neither
    writes nor checkpoints, which is what the WAL-reset bug needs. A database of an earlier version is
    copied as it is. An older file at `target` is replaced only by a copy that was found sound.
    """
    if not path.is_file():
        raise DatabaseMissing(f"There is no database at {path}; name another file, e.g. --db bot.sqlite3.")
    with connect_unchecked(path, read_only=True) as db:
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
        create_file(part)
        with transaction(db, "BEGIN"):
            counts = row_counts(db)
            with connect_unchecked(part) as copy:
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
    with connect_unchecked(file) as copy:
        copy.execute("PRAGMA journal_mode=DELETE")
        if integrity_check(copy) or row_counts(copy) != counts:
            raise DatabaseBroken("The backup does not agree with the database; nothing was kept.")
    with file.open("rb") as written:
        os.fsync(written.fileno())


def integrity_check(db: sqlite_utils.Database) -> list[str]:
    """Return what is wrong with the file, or else with its references, in words; empty when it is sound."""
    try:
        with translate_errors(_file_of(db)):
            lines = "\n".join(row[0] for row in db.execute("PRAGMA integrity_check").fetchall()).splitlines()
            problems = [line for line in lines if line != "ok" and not line.startswith("*** in database")]
            return problems or broken_references(db)
    except DatabaseBroken as err:  # damaged too badly even for the check
        return [str(err)]


def row_counts(db: sqlite_utils.Database) -> dict[str, int]:
    """Number of rows of each table, by name."""
    return {table.name: table.count for table in sorted(db.tables, key=lambda table: table.name)}


T = TypeVar("T")


def restore(file: Path, path: Path, aside: Path, settle: Callable[[sqlite_utils.Database], T]) -> T:
    """Put the backup `file` in the place of the database `path`, which is kept as `aside`. Blocks.

    For the holder of the lock. `settle` runs in a transaction of the copy, already brought up to date; its
    result is returned. Raises StorageError, and then the database is as it was.
    """
    if not file.is_file():
        raise DatabaseMissing(f"There is no backup {file}.")
    if path.exists() and file.samefile(path):
        raise StorageError(f"{file} is the database itself; name a backup.")
    part = path.with_name(f"{path.name}.restore")
    try:
        remove(part)
        create_file(part)
        _copy_backup(file, part)
        with translate_errors(file), closing(connect(part, read_only=False)) as db:
            with transaction(db, "BEGIN IMMEDIATE"):
                settled = settle(db)
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            _verify_backup(db, file)
        _sync(part)
        _swap(part, path, aside)
    except OSError as err:
        raise DiskFault(f"{path} could not be replaced ({err.strerror}).") from err
    finally:
        with suppress(OSError):
            remove(part)
    return settled


def _copy_backup(file: Path, part: Path) -> None:
    """Copy through SQLite: a write-ahead log beside the backup counts. DatabaseBroken if it is not sound."""
    try:
        _copy_whole(file, part)
    except DatabaseBroken as err:
        if err.__cause__ is None:
            raise
        raise DatabaseBroken(
            f"{file} is not sound, nothing was replaced: {err.__cause__}; name another backup."
        ) from err


def _copy_whole(file: Path, part: Path) -> None:
    with connect_unchecked(file, read_only=True) as source, connect_unchecked(part) as target:
        with translate_errors(file):
            if not is_current(source, file) and not source.table_names():
                raise DatabaseBroken(f"{file} is empty; name a backup of this program.")
            source.conn.backup(target.conn)
        _verify_backup(target, file)
        if row_counts(target) != row_counts(source):
            raise DatabaseBroken(f"{file} could not be copied whole; nothing was replaced.")


def _verify_backup(db: sqlite_utils.Database, file: Path) -> None:
    if problems := integrity_check(db):
        raise DatabaseBroken(
            f"{file} is not sound, nothing was replaced: {problems[0]}; name another backup."
        )


def _sync(file: Path) -> None:
    with file.open("rb") as written:
        os.fsync(written.fileno())


def _swap(part: Path, path: Path, aside: Path) -> None:
    """The database is complete under its second name before anything of it goes away."""
    if path.exists():
        _fold(path)
        for suffix in ("", "-wal"):
            if (old := Path(f"{path}{suffix}")).exists():
                _second_name(old, Path(f"{aside}{suffix}"))
    for suffix in ("-wal", "-shm", "-journal"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)  # left behind, it would be read into the new file
    part.replace(path)
    _sync_folder(path.parent)


def _fold(path: Path) -> None:
    """Bring what stands in the write-ahead log into the file; closing the last connection removes the log.

    A damaged file keeps its log and goes aside with it. DatabaseBusy while another program has the file open.
    """
    try:
        with connect_unchecked(path, read_only=True) as db:
            db.table_names()
        with connect_unchecked(path) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except DatabaseBroken:
        return
    if Path(f"{path}-wal").exists():
        raise DatabaseBusy(f"Another program has {path} open; end it first, e.g. an import or a replication.")


def _second_name(old: Path, new: Path) -> None:
    try:
        os.link(old, new)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        shutil.copy2(old, new)
        _sync(new)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
