"""Connections to the file: the one place that names SQLite's driver and its errors.

On Linux x86_64 that is pysqlite3, whose SQLite is free of the WAL-reset bug; sqlite-utils chooses.
"""

from __future__ import annotations

from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import sqlite_utils
from sqlite_utils.utils import sqlite3  # type: ignore[attr-defined]  # the driver it chose

from storage.errors import DatabaseBroken, DiskFault, StorageError, from_driver
from storage.migrations import MIGRATIONS, NAMES, UNRELEASED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_TIMEOUT = 10.0  # seconds to wait for another process's transaction
SQLITE_VERSION = sqlite3.sqlite_version
# Two connections that write or checkpoint under WAL can lose a commit in 3.7.0-3.51.2.
TWO_WRITERS_SAFE = sqlite3.sqlite_version_info >= (3, 51, 3)
HAS_STRICT_TABLES = sqlite3.sqlite_version_info >= (3, 37, 0)


def connect(path: Path, *, read_only: bool) -> sqlite_utils.Database:
    """The connection, ready for use; isolation_level None keeps the driver from its own BEGINs.

    The file is looked at before anything in it is changed: it may be somebody else's.
    """
    with own_errors(path):
        uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
        conn = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
        try:
            db = sqlite_utils.Database(conn, strict=True, execute_plugins=False)
            current = is_current(db, path)
            if read_only and not current:
                raise DatabaseBroken(
                    f"{path} was written by an older version; start the bot on it once, then try again."
                )
            if not read_only:
                conn.execute("PRAGMA journal_mode=WAL")
                conn.execute("PRAGMA synchronous=FULL")
            if not current:
                _bring_up_to_date(db, path)
            conn.execute("PRAGMA foreign_keys=ON")
        except BaseException:
            conn.close()
            raise
        return db


@contextmanager
def connect_as_it_is(path: Path, *, read_only: bool = False) -> Iterator[sqlite_utils.Database]:
    """A connection to any database file that is there, for copies; closed at the end of the block."""
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    with own_errors(path), closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as conn:
        yield sqlite_utils.Database(conn, execute_plugins=False)


def create(path: Path) -> None:
    """An empty file that only its owner may read, and its folder, unless they are there."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.touch(mode=0o600, exist_ok=False)
    except OSError as err:
        raise DiskFault(f"The database {path} cannot be created ({err.strerror}).") from err


def is_current(db: sqlite_utils.Database, path: Path) -> bool:
    """Whether no migration is pending; DatabaseBroken for a file that is not ours to use."""
    with transaction(db, "BEGIN"):  # one snapshot: another process may be creating the tables
        applied = {migration.name for migration in MIGRATIONS.applied(db)}
        tables = set(db.table_names()) - {MIGRATIONS.migrations_table}
    if tables and not applied:
        raise DatabaseBroken(
            f"{path} is a database of another program; name another file, e.g. --db bot.sqlite3."
        )
    if UNRELEASED in applied:
        raise DatabaseBroken(
            f"{path} was written before the first release and cannot be brought up to date: save its data "
            "with “export” of the version that wrote it, then read them into a new database with “import”."
        )
    if newer := applied - NAMES:
        raise DatabaseBroken(
            f"{path} was written by a newer version of this program ({min(newer)}); update it."
        )
    return applied == NAMES


def _bring_up_to_date(db: sqlite_utils.Database, path: Path) -> None:
    """Apply what is pending, all or nothing; foreign keys are off meanwhile and checked at the end."""
    with transaction(db, "BEGIN IMMEDIATE"):
        MIGRATIONS.apply(db)
        if problems := broken_references(db):
            raise DatabaseBroken(f"{path} could not be brought up to date: {problems[0]}.")


def broken_references(db: sqlite_utils.Database) -> list[str]:
    """Rows whose foreign key leads nowhere, in words."""
    broken = db.execute("PRAGMA foreign_key_check").fetchall()
    return [f"Row {row[1]} of {row[0]} refers to a missing row of {row[2]}" for row in broken]


@contextmanager
def transaction(db: sqlite_utils.Database, begin: str) -> Iterator[None]:
    """Commit when the block ends, roll back whole when it raises or the commit fails."""
    db.conn.execute(begin)
    try:
        yield
        if not db.conn.in_transaction:
            raise StorageError("A storage function ended the transaction it ran in.")
        db.conn.execute("COMMIT")
    except BaseException:
        if db.conn.in_transaction:
            db.conn.execute("ROLLBACK")
        raise


@contextmanager
def own_errors(path: Path) -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except sqlite3.Error as err:
        raise from_driver(err, path) from err
