"""The database: one SQLite connection on one worker thread.

`await database.run(fn)` runs the synchronous `fn(db)` on the worker thread inside BEGIN IMMEDIATE, which is
committed when it returns and rolled back when it raises. With one connection and one thread no coroutine can
join another's transaction, the event loop never waits for the disk, and SQLite's races between connections
of one process cannot occur. sqlite-utils' own transactions nest in these as savepoints.
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

    import sqlite_utils


T = TypeVar("T")


class Database:
    """An open database; `path` is its file. Use open_database() to create one."""

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
        """Run `fn(db)` in a transaction and return its result. An error rolls the transaction back.

        If the coroutine is cancelled meanwhile, the transaction is either not begun or finished.
        """
        return await asyncio.get_running_loop().run_in_executor(self._ready(), self._transaction, fn)

    async def run_plain(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        """Run `fn(db)` without a transaction, as backup, VACUUM and PRAGMA need it."""
        return await asyncio.get_running_loop().run_in_executor(self._ready(), self._plain, fn)

    def run_sync(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        """As run(), for callers without an event loop. Blocks."""
        return self._ready().submit(self._transaction, fn).result()

    def run_plain_sync(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        """As run_plain(), for callers without an event loop. Blocks."""
        return self._ready().submit(self._plain, fn).result()

    async def check_path(self) -> None:
        """Raise DatabaseMissing unless the open file is still at its path; if not, writes to it are lost."""
        if await self.run_plain(lambda _: _identity(self.path)) != self._identity:
            raise DatabaseMissing(f"{self.path} was deleted or replaced while the bot had it open.")

    def close(self) -> None:
        """Finish what is running and close the file. A second call does nothing."""
        if not self._closed:
            self._closed = True
            self._worker.submit(self._db.close).result()
            self._worker.shutdown()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _ready(self) -> ThreadPoolExecutor:
        """Returns the worker. Raises StorageError when it is closed or would wait for itself for ever."""
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
    """Returns device and inode of the file at a path, or None without a file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as err:
        raise DiskFault(f"{path} cannot be looked at ({err.strerror}).") from err
    return status.st_dev, status.st_ino


def open_database(path: str | os.PathLike[str], *, read_only: bool = False) -> Database:
    """Open the database at `path`. Creates it, its folder and its tables, or brings it up to date.

    `read_only` creates and changes nothing, and raises DatabaseMissing when there is no file, DatabaseBroken
    when its tables are of an older version. Raises StorageError, whose message names the file.
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
    """Returns the size of the file in bytes, without its write-ahead log."""
    sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    return int(db.execute(sql).fetchone()[0])
