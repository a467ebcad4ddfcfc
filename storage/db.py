"""The database: one SQLite connection on one worker thread, and all that concerns the file.

Every change runs as `await database.run(fn)`: the synchronous `fn(db)` on the worker thread inside
BEGIN IMMEDIATE, committed when it returns and rolled back whole when it raises. With one
connection and one thread no coroutine can join another's transaction, the event loop never waits
for the disk, and SQLite's races between connections of one process cannot occur. sqlite-utils'
own transactions nest in ours as savepoints.
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import sqlite_utils
from sqlite_utils.utils import sqlite3  # type: ignore[attr-defined]  # the driver it chose

from storage.errors import (
    DatabaseBroken,
    DatabaseBusy,
    DatabaseMissing,
    DiskFault,
    DiskFull,
    Refused,
    StorageError,
    from_driver,
)
from storage.lock import hold_lock
from storage.migrations import MIGRATIONS, NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

__all__ = [
    "SQLITE_VERSION",
    "TWO_WRITERS_SAFE",
    "Database",
    "DatabaseBroken",
    "DatabaseBusy",
    "DatabaseMissing",
    "DiskFault",
    "DiskFull",
    "Refused",
    "StorageError",
    "backup",
    "copy_into",
    "data_version",
    "hold_lock",
    "integrity_check",
    "open_database",
    "row_counts",
]

T = TypeVar("T")

BUSY_TIMEOUT = 10.0  # seconds to wait for another process's transaction
SQLITE_VERSION = sqlite3.sqlite_version
# Two connections that write or checkpoint under WAL can lose a commit in 3.7.0-3.51.2.
TWO_WRITERS_SAFE = sqlite3.sqlite_version_info >= (3, 51, 3)
OLDEST_SQLITE = (3, 37, 0)  # STRICT tables


class Database:
    """One open database; `path` is its file. Use open_database() to make one."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        self._begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="storage")
        self._thread: int | None = None
        self._closed = False
        try:
            self._db = self._worker.submit(self._open, read_only=read_only).result()
        except BaseException:
            self._worker.shutdown()
            raise

    async def run(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        """Run `fn(db)` in a transaction of its own; its result, or its error after the rollback.

        A coroutine cancelled meanwhile leaves the transaction either not begun or whole.
        """
        return await asyncio.get_running_loop().run_in_executor(self._ready(), self._transaction, fn)

    async def outside(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        """Run `fn(db)` outside any transaction: backup, VACUUM and PRAGMA need that."""
        return await asyncio.get_running_loop().run_in_executor(self._ready(), self._plain, fn)

    def run_sync(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        """As run(), for callers without an event loop; blocks."""
        return self._ready().submit(self._transaction, fn).result()

    def outside_sync(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        """As outside(), for callers without an event loop; blocks."""
        return self._ready().submit(self._plain, fn).result()

    def close(self) -> None:
        """Finish what is running and close the file; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._worker.submit(self._db.close).result()
            self._worker.shutdown()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ready(self) -> ThreadPoolExecutor:
        """The worker; StorageError when it is closed or would wait for itself for ever."""
        if self._closed:
            raise StorageError(f"{self.path} is closed.")
        if threading.get_ident() == self._thread:
            raise StorageError("A storage function must not start a transaction of its own.")
        return self._worker

    def _open(self, *, read_only: bool) -> sqlite_utils.Database:
        self._thread = threading.get_ident()
        return _connect(self.path, read_only=read_only)

    def _plain(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        with _own_errors(self.path):
            return fn(self._db)

    def _transaction(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        with _own_errors(self.path), _transaction(self._db, self._begin):
            return fn(self._db)


def open_database(path: str | os.PathLike[str], *, read_only: bool = False) -> Database:
    """Open the database at `path`, creating it, its folder and its tables, or bringing it up to date.

    `read_only` creates and changes nothing: DatabaseMissing when there is no file, DatabaseBroken
    when its tables are of an older version. Raises StorageError; its message names the file.
    """
    file = Path(path)
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StorageError(f"SQLite {SQLITE_VERSION} is too old; 3.37 or later is needed.")
    if read_only and not file.is_file():
        raise DatabaseMissing(f"There is no database at {file}; name another file, e.g. --db bot.sqlite3.")
    if not read_only:
        _create(file)
    return Database(file, read_only=read_only)


def data_version(db: sqlite_utils.Database) -> int:
    """A number that changes when another process has committed to the file."""
    return int(db.execute("PRAGMA data_version").fetchone()[0])


def integrity_check(db: sqlite_utils.Database) -> list[str]:
    """What is wrong with the file and its references, one sentence each; empty when it is sound."""
    found = [row[0] for row in db.execute("PRAGMA integrity_check").fetchall() if row[0] != "ok"]
    return found + _broken_references(db)


def row_counts(db: sqlite_utils.Database) -> dict[str, int]:
    """Number of rows of each table, by name."""
    return {table.name: table.count for table in sorted(db.tables, key=lambda table: table.name)}


def backup(database: Database, target: str | os.PathLike[str]) -> dict[str, int]:
    """Copy the whole database to `target`, also while it is in use; its row counts by table. Blocks.

    On the event loop: `await database.outside(partial(copy_into, target=target))`.
    """
    return database.outside_sync(partial(copy_into, target=target))


def copy_into(db: sqlite_utils.Database, target: str | os.PathLike[str]) -> dict[str, int]:
    """Copy the database to the file `target` and verify the copy; its row counts by table.

    For Database.outside: the driver's backup waits for ever inside a write transaction of its own
    connection. A read transaction holds the snapshot meanwhile, so that the counts must agree.
    The old file at `target` is replaced only by a copy that was found sound.
    """
    file = Path(target)
    part = file.with_name(f"{file.name}.part")
    _create(part)
    try:
        with _transaction(db, "BEGIN"):
            counts = row_counts(db)
            with closing(sqlite3.connect(part)) as copy:
                db.conn.backup(copy)
        _verify(part, counts)
        part.replace(file)
    except OSError as err:
        raise DiskFault(f"The backup {file} could not be written ({err.strerror}).") from err
    finally:
        for leftover in (part, Path(f"{part}-wal"), Path(f"{part}-shm"), Path(f"{part}-journal")):
            leftover.unlink(missing_ok=True)
    return counts


def _verify(copy: Path, counts: dict[str, int]) -> None:
    """DatabaseBroken unless the copy is sound and complete; leaves it as a single file on the disk."""
    with _own_errors(copy), closing(sqlite3.connect(copy, isolation_level=None)) as conn:
        db = sqlite_utils.Database(conn, execute_plugins=False)
        conn.execute("PRAGMA journal_mode=DELETE")
        problems = integrity_check(db)
        if problems or row_counts(db) != counts:
            raise DatabaseBroken(f"The backup {copy} does not agree with the database; nothing was kept.")
    with copy.open("rb") as written:
        os.fsync(written.fileno())


def _create(path: Path) -> None:
    """An empty file that only its owner may read, and its folder, unless they are there."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.touch(mode=0o600, exist_ok=False)
    except OSError as err:
        raise DiskFault(f"The database {path} cannot be created ({err.strerror}).") from err


def _connect(path: Path, *, read_only: bool) -> sqlite_utils.Database:
    """The connection, ready for use; isolation_level None keeps the driver from its own BEGINs."""
    with _own_errors(path):
        uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
        conn = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
        try:
            db = sqlite_utils.Database(conn, strict=True, execute_plugins=False)
            if not read_only:
                conn.execute("PRAGMA journal_mode=WAL")
                conn.execute("PRAGMA synchronous=FULL")
            _bring_up_to_date(db, path, read_only=read_only)
            conn.execute("PRAGMA foreign_keys=ON")
        except BaseException:
            conn.close()
            raise
        return db


def _bring_up_to_date(db: sqlite_utils.Database, path: Path, *, read_only: bool) -> None:
    """Apply what is pending, all or nothing; foreign keys are off meanwhile and checked at the end."""
    applied = {migration.name for migration in MIGRATIONS.applied(db)}
    if not applied and set(db.table_names()) - {MIGRATIONS.migrations_table}:
        raise DatabaseBroken(
            f"{path} is a database of another program; name another file, e.g. --db bot.sqlite3."
        )
    if newer := applied - NAMES:
        raise DatabaseBroken(
            f"{path} was written by a newer version of this program ({min(newer)}); update it."
        )
    if applied == NAMES:
        return
    if read_only:
        raise DatabaseBroken(
            f"{path} was written by an older version; start the bot on it once, then try again."
        )
    with _transaction(db, "BEGIN IMMEDIATE"):
        MIGRATIONS.apply(db)
        if problems := _broken_references(db):
            raise DatabaseBroken(f"{path} could not be brought up to date: {problems[0]}")


def _broken_references(db: sqlite_utils.Database) -> list[str]:
    """Rows whose foreign key leads nowhere, one sentence each."""
    broken = db.execute("PRAGMA foreign_key_check").fetchall()
    return [f"Row {row[1]} of {row[0]} refers to a missing row of {row[2]}." for row in broken]


@contextmanager
def _transaction(db: sqlite_utils.Database, begin: str) -> Iterator[None]:
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
def _own_errors(path: Path) -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except sqlite3.Error as err:
        raise from_driver(err, path) from err
