"""Backups: copies of the whole database while it is in use, and the restore of one in its place.

    copy beside the database -> verify -> bring up to date -> settle -> swap

A problem of a backup is found before anything is replaced. A restore that is killed at any moment leaves the
old database or the new one in place, never none or half of one.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import sqlite_utils

from storage import database

# Bytes 18 and 19 of a database in WAL mode; SQLite only reads one in which the first of them is higher.
_WAL_FORMAT = b"\x02\x02"


def backup(path: Path, target: str | os.PathLike[str]) -> dict[str, int]:
    """Copy the database at `path`, verify the copy and return its row counts by table. Blocks.

    The database may be in use: the copy is made by a connection of its own, so that nobody waits. It only
    reads, neither writes nor checkpoints, which is what the WAL-reset bug needs. A database of an earlier
    version is copied as it is. An older file at `target` is replaced only by a sound copy.
    """
    database.refuse_lost(path)
    database.refuse_missing(path)
    file = Path(target)
    part = file.with_name(f"{file.name}.part")
    with database.connect_unchecked(path, read_only=True) as db:
        database.is_current(db, path)  # refuses another program's
        if file.resolve() == _file_of(db).resolve() or Path(f"{file}-wal").exists():
            raise database.StorageError(f"{file} is a database in use; name another file, e.g. bot-copy.db.")
        database.refuse_link(file)
        with _building(part, file, f"The backup {file} could not be written"):
            counts = _copy(db, part)
            if not _is_sound_copy(part, counts):
                database.refuse_unsound(path)  # the copy shows what is wrong with the database
                raise database.DatabaseBroken(f"{file} does not agree with the database, nothing was kept; try again.")
            database.replace_durably(part, file)
    return counts


@contextmanager
def _building(part: Path, file: Path, failure: str) -> Iterator[None]:
    """Name `file` in the errors of `part`, which nobody typed, and remove what is left of it at the end."""
    database.refuse_link(part)
    try:
        yield
    except (database.DiskFault, database.DiskFull) as err:
        raise type(err)(str(err).replace(str(part), str(file))) from err
    except OSError as err:
        raise database.DiskFault(f"{failure} ({err.strerror}).") from err
    finally:
        with suppress(OSError):
            remove(part)


def _file_of(db: sqlite_utils.Database) -> Path:
    return Path(db.execute("PRAGMA database_list").fetchone()[2])


def _copy(db: sqlite_utils.Database, file: Path) -> dict[str, int]:
    """Copy a database to a new file, with what is in its write-ahead log. Returns its row counts.

    A read transaction holds the snapshot, so that the counts are those of the copied moment. Inside a write
    transaction of its own connection the driver's backup would wait for ever.
    """
    remove(file)
    database.create_file(file)
    with database.transaction(db, "BEGIN"):
        counts = row_counts(db)
        with database.connect_unchecked(file) as copy:
            db.conn.backup(copy.conn)
    return counts


def remove(file: Path) -> None:
    """Delete a database with the files that SQLite keeps beside it."""
    for suffix in ("", *database.BESIDE):
        Path(f"{file}{suffix}").unlink(missing_ok=True)


def _is_sound_copy(file: Path, counts: dict[str, int]) -> bool:
    """Whether the copy is sound and complete. Leaves it as one file."""
    with database.connect_unchecked(file) as copy:
        copy.execute("PRAGMA journal_mode=DELETE")
        return not database.integrity_check(copy) and row_counts(copy) == counts


def row_counts(db: sqlite_utils.Database) -> dict[str, int]:
    """Returns the number of rows of each table, by name."""
    return {table.name: table.count for table in sorted(db.tables, key=lambda table: table.name)}


T = TypeVar("T")


def restore(file: Path, path: Path, aside: Path, settle: Callable[[sqlite_utils.Database], T]) -> T:
    """Put the backup `file` in the place of the database `path`, which is kept as `aside`. Blocks.

    The caller holds the lock. `settle` runs in a transaction of the copy, after it was brought up to date;
    its result is returned. Raises StorageError, and then the database is as it was.
    """
    if not file.is_file():
        raise database.DatabaseMissing(f"There is no backup {file}.")
    if path.exists() and file.samefile(path):
        raise database.StorageError(f"{file} is the database itself; name a backup.")
    part = path.with_name(f"{path.name}.restore")
    with _building(part, path, f"{path} could not be replaced"):
        with _naming_backup(file):
            _copy_backup(file, part)
            with database.translate_errors(file), closing(database.connect(part, read_only=False)) as db:
                with database.transaction(db, "BEGIN IMMEDIATE"):
                    settled = settle(db)
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                _refuse_unsound(db, file)
        _swap(part, path, aside)
    return settled


def _copy_backup(file: Path, part: Path) -> None:
    """Copy a backup and verify the copy. Raises DatabaseBroken if the backup is not sound."""
    with database.connect_unchecked(file, read_only=True) as db:
        if not database.is_current(db, file) and not db.table_names():
            raise database.DatabaseBroken(f"{file} is empty; name a backup of this program.")
        counts = _copy(db, part)
    with file.open("rb") as head:
        if head.read(20)[18:] > _WAL_FORMAT:
            raise database.DatabaseBroken(f"{file} is of a later format of SQLite's; name another backup.")
    with database.connect_unchecked(part) as copy:
        _refuse_unsound(copy, file)
        if row_counts(copy) != counts:
            raise database.DatabaseBroken(f"{file} could not be copied whole; nothing was replaced.")


@contextmanager
def _naming_backup(file: Path) -> Iterator[None]:
    """Raise DatabaseBroken in a sentence about the backup: it is at fault, not its copy or --db."""
    try:
        yield
    except database.DatabaseBroken as err:
        if err.__cause__ is None:
            raise database.DatabaseBroken(str(err).replace("file, e.g. --db bot.db", "backup")) from None
        reason = database.reason_of(err.__cause__)
        raise database.DatabaseBroken(
            f"{file} is not sound, nothing was replaced: {reason}; name another backup."
        ) from err


def _refuse_unsound(db: sqlite_utils.Database, file: Path) -> None:
    if problems := database.integrity_check(db):
        raise database.DatabaseBroken(
            f"{file} is not sound, nothing was replaced: {database.reason_of(problems[0])}; name another backup."
        )


def _swap(part: Path, path: Path, aside: Path) -> None:
    """Replace the database, which is complete under its second name before anything of it goes away."""
    if path.exists():
        _checkpoint(path)
    for suffix in ("", "-wal", "-journal"):
        if (old := Path(f"{path}{suffix}")).exists():
            database.add_name(old, Path(f"{aside}{suffix}"))
    for old in database.beside(path):
        old.unlink(missing_ok=True)  # left behind, it would be read into the new file
    database.sync_folder(path.parent)  # else a power cut could keep the new name alone
    database.replace_durably(part, path)


def _checkpoint(path: Path) -> None:
    """Bring the write-ahead log into the file; closing the last connection then removes the log.

    A damaged file keeps its log. Raises DatabaseBusy while another program has the file open.
    """
    try:
        database.refuse_unsound(path)
        with database.connect_unchecked(path) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except database.DatabaseBroken:
        return
    if Path(f"{path}-wal").exists():
        raise database.DatabaseBusy(f"Another program has {path} open; end it first, e.g. an import or a replication.")
