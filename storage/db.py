"""The database: one SQLite connection on one worker thread.

Every change runs as `await database.run(fn)`: the synchronous `fn(db)` on the worker thread inside
BEGIN IMMEDIATE, committed when it returns and rolled back whole when it raises. With one
connection and one thread no coroutine can join another's transaction, the event loop never waits
for the disk, and SQLite's races between connections of one process cannot occur. sqlite-utils'
own transactions nest in ours as savepoints.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from storage.connection import (
    HAS_STRICT_TABLES,
    SQLITE_VERSION,
    DatabaseMissing,
    DiskFault,
    StorageError,
    connect,
    create_file,
    transaction,
    translate_errors,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from types import TracebackType

    import sqlite_utils


T = TypeVar("T")


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

    async def confirm(self) -> None:
        """DatabaseMissing unless the open file still bears its name: else what is written to it is lost."""
        if await self.outside(lambda _: _identity(self.path)) != self._identity:
            raise DatabaseMissing(f"{self.path} was deleted or replaced while the bot had it open.")

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
        opened = connect(self.path, read_only=read_only)
        self._identity = _identity(self.path)
        return opened

    def _plain(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        with translate_errors(self.path):
            return fn(self._db)

    def _transaction(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        with translate_errors(self.path), transaction(self._db, self._begin):
            return fn(self._db)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file stands under a name; None for none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as err:
        raise DiskFault(f"{path} cannot be looked at ({err.strerror}).") from err
    return status.st_dev, status.st_ino


def open_database(path: str | os.PathLike[str], *, read_only: bool = False) -> Database:
    """Open the database at `path`, creating it, its folder and its tables, or bringing it up to date.

    `read_only` creates and changes nothing: DatabaseMissing when there is no file, DatabaseBroken
    when its tables are of an older version. Raises StorageError; its message names the file.
    """
    file = Path(path)
    if not HAS_STRICT_TABLES:
        raise StorageError(f"SQLite {SQLITE_VERSION} is too old; 3.37 or later is needed.")
    if read_only and not file.is_file():
        raise DatabaseMissing(f"There is no database at {file}; name another file, e.g. --db bot.sqlite3.")
    if not read_only:
        create_file(file)
    return Database(file, read_only=read_only)


def file_size(db: sqlite_utils.Database) -> int:
    """Bytes of the file, its write-ahead log aside."""
    sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    return int(db.execute(sql).fetchone()[0])
