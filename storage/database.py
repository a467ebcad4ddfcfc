"""The database file: opening it, its errors, its transactions, its lock, and the threads that use it.

`await database.run(fn)` runs the synchronous `fn(db)` on the worker thread inside BEGIN IMMEDIATE, which is
committed when it returns and rolled back when it raises. With one connection and one thread that write no
coroutine can join another's transaction, the event loop never waits for a write, and SQLite's races between
connections that write cannot occur. `await database.read(fn)` reads on a second connection and thread, beside
what is being written. `database.look_up(fn)` reads a few rows by their keys on a third connection, on the
calling thread.
sqlite-utils' own transactions nest in these as savepoints.

This is the one module that names SQLite's driver. On Linux x86_64 that is pysqlite3, whose SQLite is free of
the WAL-reset bug; sqlite-utils chooses. Its errors are translated, because pysqlite3's are not the standard
library's. The message of each error is one sentence fit to show a person.

    StorageError
    ├── DatabaseMissing
    ├── DatabaseBusy
    ├── DatabaseBroken
    ├── DiskFull
    ├── DiskFault
    └── Refused
"""

import asyncio
import errno
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Self, TypeVar

import sqlite_utils
from filelock import FileLock, Timeout
from sqlite_utils.utils import sqlite3  # type: ignore[attr-defined]  # the driver it chose

from storage.migrations import MIGRATIONS, NAMES, UNRELEASED, changed_schema


class StorageError(Exception):
    """Base of all errors of the storage."""


class DatabaseMissing(StorageError):
    """There is no database at the path, or not the one that was opened."""


class DatabaseBusy(StorageError):
    """Another process runs on the database or writes to it."""


class DatabaseBroken(StorageError):
    """The file is damaged, no database, or that of another program or version."""


class DiskFull(StorageError):
    """No room is left; the transaction was rolled back."""


class DiskFault(StorageError):
    """The disk could not be read or written, or is read-only."""


class Refused(StorageError):
    """A row broke a constraint of its table; the transaction was rolled back."""


RESTORE = "restore a backup in its place"  # the command line adds which
_CHECK_FOLDER = "check that its folder is yours to write"
BESIDE = ("-wal", "-shm", "-journal")  # what SQLite's own files beside a database end in
_IO, _CORRUPT, _FULL = 10, 11, 13
_OF_DAMAGE = ("Could not decode to UTF-8", "unsupported file format")  # errors without a code of their own
_OF_COPYING = {"disk I/O error": _IO, "database or disk is full": _FULL}  # errors of the driver's backup
_MOST_WORDS = 80  # characters of SQLite's own words
_LEAST_ROOM = 2**16  # bytes: the index of the write-ahead log, which readers need too, takes half of it
# SQLite's primary result codes, https://sqlite.org/rescode.html
_BY_CODE: dict[int, tuple[type[StorageError], str]] = {
    **dict.fromkeys((5, 6), (DatabaseBusy, "Another process is writing to {path}; try again in a moment.")),
    8: (DiskFault, "{path} cannot be written: the file or its disk is read-only."),
    _IO: (DiskFault, "The disk failed while reading or writing {path} ({error}); check the disk and try again."),
    _CORRUPT: (DatabaseBroken, f"{{path}} is damaged ({{error}}); {RESTORE}."),
    _FULL: (DiskFull, "The disk is full: {path} could not be written; free some room and try again."),
    14: (DiskFault, "{path} cannot be opened; check that the file and its folder are yours to write."),
    19: (Refused, "{path} refused a row: {error}."),
    26: (
        DatabaseBroken,
        f"{{path}} is no database, or damaged at its start; name another, e.g. --db bot.db, or {RESTORE}.",
    ),
}


def from_driver(error: Exception, path: Path) -> StorageError:
    """Returns the driver's error as a StorageError; unknown codes keep SQLite's own words."""
    code = (getattr(error, "sqlite_errorcode", None) or _OF_COPYING.get(str(error), 0)) & 0xFF
    if isinstance(error, UnicodeDecodeError) or any(words in str(error) for words in _OF_DAMAGE):
        code = _CORRUPT
    with suppress(OSError):
        # On a full disk SQLite, which opens its index first, reports an I/O error.
        if code == _IO and shutil.disk_usage(path.parent).free < _LEAST_ROOM:
            code = _FULL
    kind, message = _BY_CODE.get(code, (StorageError, "{path} could not be used: {error}."))
    return kind(message.format(path=path, error=reason_of(error)))


def reason_of(error: BaseException | str) -> str:
    """Returns SQLite's words in one short line: those about a damaged file quote what is in it."""
    if isinstance(error, UnicodeDecodeError):
        return "text that is not UTF-8"
    words = " ".join("".join(sign if sign.isprintable() else " " for sign in str(error)).split())
    return words if len(words) <= _MOST_WORDS else f"{words[:_MOST_WORDS]}…"


BUSY_TIMEOUT = 10.0  # seconds to wait for another process's transaction
LOOK_UP_CACHE = 512  # KiB of pages kept for look_up()
SQLITE_VERSION = sqlite3.sqlite_version
# Two connections that write or checkpoint under WAL can lose a commit in 3.7.0-3.51.2.
TWO_WRITERS_SAFE = sqlite3.sqlite_version_info >= (3, 51, 3)
HAS_STRICT_TABLES = sqlite3.sqlite_version_info >= (3, 37, 0)


def connect(path: Path, *, read_only: bool) -> sqlite_utils.Database:
    """Open the database and bring it up to date. Raises StorageError.

    The file is checked before anything in it is changed, because it may be another program's. isolation_level
    None keeps the driver from its own BEGINs.
    """
    with translate_errors(path):
        conn = sqlite3.connect(_uri(path, read_only=read_only), uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
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
                # Foreign keys are off meanwhile.
                with transaction(db, "BEGIN IMMEDIATE"):
                    MIGRATIONS.apply(db)
                    if problems := broken_references(db):
                        raise DatabaseBroken(f"{path} could not be brought up to date: {problems[0]}.")
            conn.execute("PRAGMA foreign_keys=ON")
        except BaseException:
            conn.close()
            raise
        return db


def _uri(path: Path, *, read_only: bool) -> str:
    return f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"


@contextmanager
def connect_unchecked(
    path: Path, *, read_only: bool = False, without_log: bool = False
) -> Iterator[sqlite_utils.Database]:
    """Open any database file as it is, to copy or check it, and close it at the end of the block.

    `without_log`: as if there was no write-ahead log beside it.
    """
    uri = _uri(path, read_only=read_only) + ("&immutable=1" if without_log else "")
    with (
        leaving_nothing_beside(path, read_only=read_only),
        translate_errors(path),
        closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as conn,
    ):
        yield sqlite_utils.Database(conn, execute_plugins=False)


@contextmanager
def leaving_nothing_beside(path: Path, *, read_only: bool) -> Iterator[None]:
    """Remove the empty log that a connection creates which may only read, and therefore cannot remove it.

    One that may write does so at its end, unless another process has the file open.
    """
    log = beside(path)[0]
    was_there = log.exists()
    try:
        yield
    finally:
        if read_only and not was_there and log.exists() and not log.stat().st_size:
            uri = _uri(path, read_only=False)
            with suppress(StorageError), translate_errors(path), closing(sqlite3.connect(uri, uri=True)) as conn:
                conn.execute("SELECT count(*) FROM sqlite_master").fetchone()


def real_file(path: Path) -> Path:
    """Returns the file that a path leads to: links to a database are followed, those beside it are not."""
    with suppress(OSError):
        return path.resolve() if path.is_symlink() else path
    return path


def beside(path: Path) -> tuple[Path, ...]:
    """Returns the paths of the files that SQLite keeps beside a database, first its write-ahead log."""
    file = real_file(path)
    return tuple(file.with_name(f"{file.name}{suffix}") for suffix in BESIDE)


def refuse_link(file: Path) -> None:
    """Raise DiskFault for a symbolic link in the place of a file that is written beside a database."""
    if file.is_symlink():
        raise DiskFault(f"{file} is a symbolic link, which is not followed; move it away and try again.")


def refuse_missing(path: Path) -> None:
    """Raise DatabaseMissing unless there is a file at the path."""
    if not path.is_file():
        raise DatabaseMissing(f"There is no database at {path}; name another file, e.g. --db bot.db.")


def refuse_lost(path: Path) -> None:
    """Raise StorageError where SQLite would begin a new database in the place of one that was lost.

    Or would follow a link beside it, or write the journal of another database into it. Opens nothing.
    """
    try:
        if path.is_symlink() and not path.exists():
            raise DatabaseBroken(
                f"{path} is a symbolic link to {path.readlink()}, which is not there; bring that file back, "
                "or name another, e.g. --db bot.db."
            )
        for file in (*beside(path), _lock_file(path)):
            refuse_link(file)
        log, _, journal = (file.stat().st_size if file.exists() else 0 for file in beside(path))
        if path.is_file() and not path.stat().st_size:
            raise DatabaseBroken(
                f"{path} is empty (0 bytes), what it held is lost; {RESTORE}, or delete it to begin anew."
            )
        if log and not path.exists():
            raise DatabaseBroken(
                f"{path} is missing, but its log is there, {beside(path)[0]}; {RESTORE}, or move the log "
                "away to begin anew."
            )
        if journal:
            raise DatabaseBroken(f"{beside(path)[2]} is no file of this program; move it away and try again.")
    except OSError as err:
        raise DiskFault(f"{path} cannot be looked at ({err.strerror}).") from err


def refuse_unsound(path: Path, *, whole: bool = False) -> None:
    """Raise StorageError unless the database is sound and its log, left by a kill, its own; or there is none.

    Only reads: a connection that may write would write the log into the file. Of a file above CHECKED_WHOLE
    the history is checked only if asked for by `whole`.
    """
    refuse_lost(path)
    if not path.exists():
        return
    number, fault = 0, None
    try:
        number, problem = _problem(path, whole=whole)
        fault = DatabaseBroken(f"{path} is damaged ({problem}); {RESTORE}.") if problem else None
    except DatabaseBroken as err:
        if err.__cause__ is None:  # a database of another version or program
            raise
        fault = err
    log = beside(path)[0]
    if log.exists() and log.stat().st_size and _is_foreign_log(path, number, damaged=fault is not None):
        raise DatabaseBroken(
            f"{log} is damaged, or the log of another database; move it away to go on without it, or {RESTORE}."
        )
    if fault:
        raise fault


def _is_foreign_log(path: Path, number: int, *, damaged: bool) -> bool:
    """Whether the file is sound without its log, which brings damage or another database's number."""
    with suppress(DatabaseBroken):  # as a checkpoint that was cut off leaves it: the log completes it
        number_alone, problem_alone = _problem(path, without_log=True)
        return not problem_alone and (damaged or number_alone not in (0, number))
    return False


def _number(db: sqlite_utils.Database) -> int:
    """Returns the number by which a database is told from others; 0 in one that has none yet."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _write_number(db: sqlite_utils.Database, number: int) -> None:
    db.execute(f"PRAGMA user_version={number}")


def _new_number() -> int:
    return secrets.randbelow(2**31 - 1) + 1


def _problem(path: Path, *, without_log: bool = False, whole: bool = False) -> tuple[int, str]:
    """Returns the number of a database and its first problem, or ""."""
    with connect_unchecked(path, read_only=True, without_log=without_log) as db:
        is_current(db, path)
        return _number(db), reason_of("".join(integrity_check(db, whole=whole)[:1]))


# A check of the whole file takes about 12 ms a megabyte. What grows with the messages is the history.
CHECKED_WHOLE = 30_000_000
_HISTORY = ("alert_events", "outbox", "summaries", "updates")


def integrity_check(db: sqlite_utils.Database, *, whole: bool = True) -> list[str]:
    """Returns the problems of the file, or else of its foreign keys or schema, as sentences.

    Without `whole` the tables of _HISTORY are left out in a file above CHECKED_WHOLE bytes.
    """
    path = Path(db.execute("PRAGMA database_list").fetchone()[2])
    try:
        with translate_errors(path):
            parts = [""]
            if not whole and file_size(db) > CHECKED_WHOLE:
                sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
                parts = [f"('{name}')" for (name,) in db.execute(sql).fetchall() if name not in _HISTORY]
            checks = [f"PRAGMA integrity_check{part}" for part in parts]
            rows = [row[0] for check in checks for row in db.execute(check).fetchall()]
            lines = "\n".join(rows).splitlines()
            problems = [line for line in lines if line != "ok" and not line.startswith("*** in database")]
            return problems or broken_references(db, parts) or changed_schema(db)
    except DatabaseBroken as err:  # damaged too badly even for the check
        return [reason_of(err.__cause__ or err)]


def create_file(path: Path) -> None:
    """Create an empty file that only its owner may read, and its folder, unless they exist."""
    try:
        _make_folder(path.parent)
        with suppress(FileExistsError):
            path.touch(mode=0o600, exist_ok=False)
            sync_folder(path.parent)
    except OSError as err:
        raise _not_created(path, err) from err


def _make_folder(folder: Path) -> None:
    new = [name for name in (folder, *folder.parents) if not name.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in reversed(new):
        sync_folder(name.parent)


def _not_created(path: Path, err: OSError) -> StorageError:
    if err.errno == errno.ENOSPC:
        return DiskFull(_BY_CODE[_FULL][1].format(path=path))
    return DiskFault(f"{path} cannot be created ({err.strerror}); {_CHECK_FOLDER}.")


def _create_database(path: Path) -> None:
    """Create a database under another name and give it its own when it is complete.

    So an empty file at the path, or half of a database, is never what a kill or a power cut has left of this.
    """
    try:
        _make_folder(path.parent)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
            new = Path(folder) / path.name
            create_file(new)
            connection = sqlite3.connect(_uri(new, read_only=False), uri=True, isolation_level=None)
            with translate_errors(path), closing(connection):
                db = sqlite_utils.Database(connection, strict=True, execute_plugins=False)
                db.execute("PRAGMA synchronous=OFF")
                db.execute("PRAGMA journal_mode=MEMORY")
                with transaction(db, "BEGIN"):
                    MIGRATIONS.apply(db)
                _write_number(db, _new_number())
                db.execute("PRAGMA journal_mode=WAL")  # last: a log that a full disk keeps would be lost
            sync(new)
            with suppress(FileExistsError):  # another process was faster
                add_name(new, path)
        sync_folder(path.parent)
    except OSError as err:
        raise _not_created(path, err) from err


def add_name(old: Path, new: Path) -> None:
    """Give a file a second name. Raises FileExistsError."""
    try:
        os.link(old, new)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        with old.open("rb") as source, new.open("xb") as copy:
            shutil.copyfileobj(source, copy)
        shutil.copystat(old, new)
        sync(new)


def replace_durably(part: Path, file: Path) -> None:
    """Give a complete file the name of another: after a power cut there is the old or the new one, whole."""
    sync(part)
    part.replace(file)
    sync_folder(file.parent)


def sync(path: Path) -> None:
    """Write a file or a folder through to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Write the names of a folder through to the disk, where the file system can do that."""
    try:
        sync(folder)
    except OSError as err:
        if err.errno not in (errno.EACCES, errno.EINVAL):
            raise


def is_current(db: sqlite_utils.Database, path: Path) -> bool:
    """Whether no migration is pending. Raises DatabaseBroken for a file that this version cannot use."""
    try:
        with transaction(db, "BEGIN"):  # one snapshot: another process may be creating the tables
            applied = {migration.name for migration in MIGRATIONS.applied(db)}
            tables = set(db.table_names()) - {MIGRATIONS.migrations_table}
    except LookupError:  # the library misses a column that it wrote
        fault = LookupError("the table of migrations has other columns")
        raise DatabaseBroken(f"{path} is damaged ({fault}); {RESTORE}.") from fault
    if tables and not applied:
        raise DatabaseBroken(f"{path} is a database of another program; name another file, e.g. --db bot.db.")
    if UNRELEASED in applied:
        raise DatabaseBroken(
            f"{path} was written before the first release and cannot be brought up to date: save its data "
            "with “export” of the version that wrote it, then read them into a new database with “import”."
        )
    if newer := applied - NAMES:
        raise DatabaseBroken(f"{path} was written by a newer version of this program ({min(newer)}); update it.")
    return applied == NAMES


def broken_references(db: sqlite_utils.Database, parts: Iterable[str] = ("",)) -> list[str]:
    """Returns a sentence for each row that refers to a missing row. `parts` are tables, as "('name')"."""
    broken = [row for part in parts for row in db.execute(f"PRAGMA foreign_key_check{part}").fetchall()]
    return [f"Row {row[1]} of {row[0]} refers to a missing row of {row[2]}" for row in broken]


@contextmanager
def transaction(db: sqlite_utils.Database, begin: str) -> Iterator[None]:
    """Commit when the block ends; roll back when it raises or the commit fails."""
    if db.conn.in_transaction:  # an earlier one that lacked the memory to be rolled back
        db.conn.execute("ROLLBACK")
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
def translate_errors(path: Path) -> Iterator[None]:
    """Raise the driver's errors as StorageError."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as err:
        raise from_driver(err, path) from err
    except MemoryError as err:
        raise StorageError(f"There is too little memory to use {path}.") from err


@contextmanager
def hold_lock(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Hold PATH.lock exclusively while the block runs. Raises DatabaseBusy when another process holds it.

    The system drops the lock when the process ends, however it ends. The file itself stays: removing it
    would let a third process lock a new file while a second still holds the old one. A link in the place
    of the file is refused, as DiskFault.
    """
    file = _lock_file(path)
    refuse_link(file)
    lock = FileLock(file, mode=0o600, blocking=False, preserve_lock_file=True, on_acquired=_write_process_number)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as err:
        raise DatabaseBusy(
            f"Another bot{_holder(file)} is using {path}; stop it first, or name another file with --db."
        ) from err
    except OSError as err:
        raise DiskFault(f"The lock file {file} cannot be written ({err.strerror}); {_CHECK_FOLDER}.") from err
    try:
        yield file
    finally:
        lock.release()


def is_locked(path: str | os.PathLike[str]) -> bool:
    """Whether a process holds PATH.lock. Nothing is created or written."""
    file = _lock_file(path)
    if not file.is_file():
        return False
    try:
        with FileLock(file, mode=0o600, blocking=False, preserve_lock_file=True):
            return False
    except Timeout:
        return True
    except OSError:
        return False


def _lock_file(path: str | os.PathLike[str]) -> Path:
    """Returns the lock file of a database: the same by whatever link the database is named."""
    file = real_file(Path(path))
    return file.with_name(f"{file.name}.lock")


def _write_process_number(descriptor: int) -> None:
    with suppress(OSError):  # on a full disk the lock is held without it
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())


def _holder(file: Path) -> str:
    """Returns " (process NUMBER)" of the process that wrote itself into the lock file, or ""."""
    with suppress(OSError, UnicodeDecodeError):
        number = file.read_text(encoding="ascii").strip()
        return f" (process {number})" if number.isdigit() else ""
    return ""


T = TypeVar("T")


class Database:
    """An open database; `path` is its file. Use open_database() to create one.

    `foreign_commits` changes when another process has changed the file: at the next look_up(), or if run()
    was at work meanwhile, at the next check_path().
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        self._read_only = read_only
        self._begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
        self._threads = f"storage {id(self)}"  # what the names of its two threads begin with
        self._worker, self._reader = (ThreadPoolExecutor(1, self._threads) for _ in range(2))
        self._reading: sqlite_utils.Database | None = None
        self._looking: sqlite_utils.Database | None = None
        self._version = self._seen = self.foreign_commits = 0
        self._writes = self._writes_seen = 0  # own; odd during run()
        self._closed = False
        try:
            self._db = self._worker.submit(self._open).result()
        except BaseException:
            self._worker.shutdown()
            raise

    async def run(self, fn: Callable[[sqlite_utils.Database], T], *, plain: bool = False) -> T:
        """Run `fn(db)` in a transaction and return its result. An error rolls the transaction back.

        If the coroutine is cancelled meanwhile, the transaction is either not begun or finished. With
        `plain` there is no transaction, as backup, VACUUM and PRAGMA need it.
        """
        return await asyncio.get_running_loop().run_in_executor(self._ready(), self._call, fn, plain)

    def run_sync(self, fn: Callable[[sqlite_utils.Database], T], *, plain: bool = False) -> T:
        """As run(), for callers without an event loop. Blocks."""
        return self._ready().submit(self._call, fn, plain).result()

    async def read(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        """Run `fn(db)`, which only reads, on a connection that waits for no transaction of run().

        It sees what was committed before. A reply must not wait for the alerts of all chats to be written.
        """
        self._ready()
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._read, fn)

    def look_up(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        """Run `fn(db)`, which reads a few rows by their keys, at once on the calling thread.

        A hop to another thread and back takes longer, above all while other threads compute. Only one thread
        may call this.
        """
        self._ready()
        with translate_errors(self.path):
            if self._looking is None:
                self._looking = connect(self.path, read_only=True)
                self._looking.execute(f"PRAGMA cache_size = -{LOOK_UP_CACHE}")
                self._seen = _data_version(self._looking)
            writes, seen = self._writes, _data_version(self._looking)
            self.foreign_commits += seen != self._seen and writes == self._writes == self._writes_seen
            self._seen, self._writes_seen = seen, writes if writes % 2 == 0 else -1
            with transaction(self._looking, "BEGIN"):
                return fn(self._looking)

    async def check_path(self) -> None:
        """Raise DatabaseMissing unless the open file is still at its path, and whole, or writes are lost."""
        identity = await self.run(lambda _: _identity(self.path), plain=True)
        if identity[:2] != self._identity[:2]:
            raise DatabaseMissing(f"{self.path} was deleted or replaced while the bot had it open.")
        if identity < self._identity:  # a database only grows
            raise DatabaseBroken(f"{self.path} was cut short while the bot had it open.")
        version = await self.run(_data_version, plain=True)
        self.foreign_commits += version != self._version
        self._version = version

    def close(self) -> None:
        """Finish what is running and close the file. A second call does nothing."""
        if not self._closed:
            self._closed = True
            if self._looking is not None:
                self._looking.close()
            self._reader.submit(self._end_reading).result()
            self._worker.submit(self._files.close).result()
            self._reader.shutdown()
            self._worker.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _ready(self) -> ThreadPoolExecutor:
        """Returns the worker. Raises StorageError when it is closed or would wait for itself for ever."""
        if self._closed:
            raise StorageError(f"{self.path} is closed.")
        if threading.current_thread().name.startswith(self._threads):
            raise StorageError("A storage function must not start a transaction of its own.")
        return self._worker

    def _open(self) -> sqlite_utils.Database:
        with ExitStack() as files:
            files.enter_context(leaving_nothing_beside(self.path, read_only=self._read_only))
            opened = connect(self.path, read_only=self._read_only)
            files.callback(opened.close)
            self._identity = _identity(self.path)
            self._number = _number(opened) or _new_number()
            self._version = _data_version(opened)
            self._files = files.pop_all()
        return opened

    def _call(self, fn: Callable[[sqlite_utils.Database], T], plain: bool) -> T:
        self._writes += 1
        before = self._db.conn.total_changes
        try:
            with translate_errors(self.path), nullcontext() if plain else transaction(self._db, self._begin):
                result = fn(self._db)
                if self._db.conn.total_changes > before:
                    _write_number(self._db, self._number)  # so that every log names its database
                return result
        finally:
            self._writes += 1 if self._db.conn.total_changes > before else -1

    def _end_reading(self) -> None:
        if self._reading is not None:
            self._reading.close()

    def _read(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        with translate_errors(self.path):
            if self._reading is None:
                self._reading = connect(self.path, read_only=True)
            with transaction(self._reading, "BEGIN"):
                return fn(self._reading)


def _data_version(db: sqlite_utils.Database) -> int:
    """Returns a number that changes when another connection than this one has committed something."""
    return int(db.execute("PRAGMA data_version").fetchone()[0])


def _identity(path: Path) -> tuple[int, ...]:
    """Returns device, inode and size of the file at a path, or nothing without a file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return ()
    except OSError as err:
        raise DiskFault(f"{path} cannot be looked at ({err.strerror}).") from err
    return status.st_dev, status.st_ino, status.st_size


def open_database(path: str | os.PathLike[str], *, read_only: bool = False) -> Database:
    """Open the database at `path`. Creates it, its folder and its tables, or brings it up to date.

    `read_only` creates and changes nothing, and raises DatabaseMissing when there is no file, DatabaseBroken
    when its tables are of an older version. Raises StorageError, whose message names the file.
    """
    file = Path(path)
    if not HAS_STRICT_TABLES:
        raise StorageError(f"SQLite {SQLITE_VERSION} is too old; 3.37 or later is needed.")
    refuse_lost(file)
    if read_only:
        refuse_missing(file)
    elif not file.exists():
        _create_database(file)
    return Database(file, read_only=read_only)


def analyses(db: sqlite_utils.Database) -> list[str]:
    """Returns short statements that do what PRAGMA optimize does; it also counts all rows of the copies."""
    db.execute("PRAGMA analysis_limit = 100").fetchall()
    sql = "SELECT name FROM sqlite_master WHERE type = 'index' AND name NOT GLOB '*_copy[0-9]'"
    return [f'ANALYZE "{name}"' for (name,) in db.execute(sql).fetchall()]


def file_size(db: sqlite_utils.Database) -> int:
    """Returns the size of the file in bytes, without its write-ahead log."""
    sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    return int(db.execute(sql).fetchone()[0])
