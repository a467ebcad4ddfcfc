from __future__ import annotations

import asyncio
import errno
import os
import re
import resource
import shutil
import stat
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import sqlite_utils

from storage import database as database_module
from storage.database import (
    Database,
    DatabaseBroken,
    DatabaseBusy,
    DatabaseMissing,
    DiskFault,
    DiskFull,
    Refused,
    StorageError,
    from_driver,
    hold_lock,
    integrity_check,
    is_locked,
    open_database,
    refuse_unsound,
)
from storage.migrations import NAMES
from storage.records import get_meta, set_meta
from tests.storage.conftest import ORPHAN, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.storage.conftest import Spawn


HALF_A_TRANSACTION = """
import sys
from storage.database import open_database
from storage.records import set_meta

def half(db):
    set_meta(db, "word", "new")
    print("ready", flush=True)
    sys.stdin.read()

open_database(sys.argv[1]).run_sync(half)
"""


def write(word: str, db: sqlite_utils.Database) -> None:
    set_meta(db, "word", word)


def read(db: sqlite_utils.Database) -> str | None:
    return get_meta(db, "word")


def in_transaction(db: sqlite_utils.Database) -> bool:
    return bool(db.conn.in_transaction)


# What a transaction is


async def test_an_error_rolls_everything_back(database: Database) -> None:
    await database.run(partial(write, "old"))

    def fail(db: sqlite_utils.Database) -> None:
        set_meta(db, "word", "new")
        with db.atomic():  # a nested transaction of sqlite-utils
            db.table("chats").insert({"chat_id": 1, "kind": "private", "created_at": "2020-01-01T00:00:00Z"})
        raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        await database.run(fail)
    assert await database.run(read) == "old"
    assert await database.run(lambda db: db.table("chats").count) == 0


async def test_run_is_in_a_transaction_unless_it_is_plain(database: Database) -> None:
    inside = [await database.run(in_transaction), database.run_sync(in_transaction)]
    outside = [await database.run(in_transaction, plain=True), database.run_sync(in_transaction, plain=True)]
    assert (inside, outside) == ([True, True], [False, False])


async def test_no_coroutine_joins_anothers_transaction(database: Database) -> None:
    started, release = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    order: list[str] = []

    def first(db: sqlite_utils.Database) -> None:
        set_meta(db, "word", "first")
        loop.call_soon_threadsafe(started.set)
        assert release.wait(10)
        order.append("first ends")
        raise RuntimeError("first fails")

    def second(db: sqlite_utils.Database) -> str | None:
        order.append("second begins")
        before = read(db)
        set_meta(db, "other", "second")
        return before

    one = asyncio.create_task(database.run(first))
    await started.wait()
    two = asyncio.create_task(database.run(second))
    await asyncio.sleep(0)  # the loop goes on while the first transaction is open
    release.set()
    with pytest.raises(RuntimeError, match="first fails"):
        await one
    assert await two is None
    assert order == ["first ends", "second begins"]
    assert await database.run(lambda db: get_meta(db, "other")) == "second"


def test_nobody_writes_in_between(database: Database, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT", 0.01)

    def append(db: sqlite_utils.Database) -> None:
        word = read(db)
        with refused(DatabaseBusy, f"Another process is writing to {path}; try again in a moment."):
            other.run_sync(partial(write, "theirs"))
        set_meta(db, "word", f"{word} and mine")

    database.run_sync(partial(write, "old"))
    with open_database(path) as other:
        database.run_sync(append)
    assert database.run_sync(read) == "old and mine"


async def test_a_cancelled_coroutine_leaves_its_transaction_whole(database: Database) -> None:
    started, release = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(db: sqlite_utils.Database) -> None:
        set_meta(db, "word", "one")
        loop.call_soon_threadsafe(started.set)
        assert release.wait(10)
        set_meta(db, "word", "two")

    task = asyncio.create_task(database.run(slow))
    await started.wait()
    task.cancel()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await database.run(read) == "two"


async def test_starting_or_ending_a_transaction_inside_one_is_refused(database: Database) -> None:
    with refused(StorageError, "A storage function must not start a transaction of its own."):
        await database.run(lambda _: database.run_sync(read))
    with refused(StorageError, "A storage function ended the transaction it ran in."):
        await database.run(lambda db: db.commit())
    assert not await database.run(in_transaction, plain=True)


async def test_a_broken_constraint_is_our_own_error(database: Database, path: Path) -> None:
    def orphan(db: sqlite_utils.Database) -> None:
        set_meta(db, "word", "kept?")
        db.execute(ORPHAN)

    message = f"{path} refused a row: FOREIGN KEY constraint failed."
    with refused(Refused, message):
        await database.run(orphan)
    assert await database.run(read) is None


async def test_a_full_disk_keeps_the_old_state_and_the_next_works(database: Database, path: Path) -> None:
    await database.run(partial(write, "old"))
    pages = await database.run(lambda db: db.execute("PRAGMA page_count").fetchone()[0], plain=True)
    await database.run(lambda db: db.execute(f"PRAGMA max_page_count={pages}").fetchall(), plain=True)
    message = f"The disk is full: {path} could not be written; free some room and try again."
    with refused(DiskFull, message):
        await database.run(partial(write, "x" * 100_000))
    assert await database.run(read) == "old"
    await database.run(partial(write, "new"))
    assert await database.run(read) == "new"


async def test_a_lack_of_memory_rolls_back_and_the_next_works(database: Database, path: Path) -> None:
    def exhausted(db: sqlite_utils.Database) -> None:
        write("lost", db)
        raise MemoryError

    with refused(StorageError, f"There is too little memory to use {path}."):
        await database.run(exhausted)
    await database.run(lambda db: db.execute("BEGIN"), plain=True)  # as if the rollback lacked it too
    await database.run(partial(write, "new"))
    assert await database.run(read) == "new"


# Opening


def test_opening_creates_the_folder_and_a_file_only_the_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "a ?#%" / "b" / "bot.sqlite3"
    open_database(path).close()
    assert [file.name for file in path.parent.iterdir()] == ["bot.sqlite3"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_connection_is_durable_and_checks_references(database: Database) -> None:
    def pragmas(db: sqlite_utils.Database) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "recursive_triggers")
        return [db.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert database.run_sync(pragmas, plain=True) == ["wal", 2, 1, 10_000, 1]


def test_every_table_of_ours_is_strict(database: Database) -> None:
    def loose(db: sqlite_utils.Database) -> set[str]:
        return {table.name for table in db.tables if not table.strict}

    assert database.run_sync(loose, plain=True) == {"sqlite_sequence"}


def test_reading_only_refuses_writes(database: Database, path: Path) -> None:
    database.run_sync(partial(write, "old"))
    message = f"{path} cannot be written: the file or its disk is read-only."
    with open_database(path, read_only=True) as reader, refused(DiskFault, message):
        reader.run_sync(partial(write, "new"))
    assert database.run_sync(read) == "old"


def test_reading_only_sees_one_state_while_another_writes(database: Database, path: Path) -> None:
    def twice(db: sqlite_utils.Database) -> tuple[str | None, str | None]:
        before = read(db)
        database.run_sync(partial(write, "new"))
        return before, read(db)

    database.run_sync(partial(write, "old"))
    with open_database(path, read_only=True) as reader:
        assert reader.run_sync(twice) == ("old", "old")
        assert reader.run_sync(read) == "new"


async def test_a_reply_reads_while_another_transaction_is_open(database: Database) -> None:
    await database.run(partial(write, "old"))
    begun, ended = threading.Event(), threading.Event()

    def slowly(db: sqlite_utils.Database) -> None:
        write("new", db)
        begun.set()
        assert ended.wait(60)

    writing = asyncio.create_task(database.run(slowly))
    await asyncio.to_thread(begun.wait, 60)
    try:
        assert await database.read(read) == "old"
    finally:
        ended.set()
    await writing
    assert await database.read(read) == "new"
    with pytest.raises(StorageError, match="read-only"):
        await database.read(partial(write, "newer"))
    with pytest.raises(StorageError, match="must not start a transaction of its own"):
        await database.read(lambda _: database.run_sync(read))


def test_reading_only_creates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "none" / "bot.sqlite3"
    message = f"There is no database at {path}; name another file, e.g. --db bot.db."
    with refused(DatabaseMissing, message):
        open_database(path, read_only=True)
    assert list(tmp_path.iterdir()) == []


CHECK = "check that its folder is yours to write"
NO_DATABASE = (
    "is no database, or damaged at its start; name another, e.g. --db bot.db, or restore a backup in its place."
)


def write_text(path: Path) -> None:
    path.write_text("Date,Close\n" * 200)


def write_foreign(path: Path) -> None:
    with sqlite_utils.Database(path) as other:
        other.table("photos").insert({"name": "x"})


def write_applied(path: Path, *names: str) -> None:
    """A database to which migrations of these names were applied."""
    with sqlite_utils.Database(path) as db:
        db.table("bars").create({"id": int})
        rows = ({"migration_set": "storage", "name": name, "applied_at": ""} for name in names)
        db.table("_sqlite_migrations").insert_all(rows)


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize(
    ("write_file", "message"),
    [
        (write_text, NO_DATABASE),
        (write_foreign, "is a database of another program; name another file, e.g. --db bot.db."),
        (
            lambda path: write_applied(path, *NAMES, "m999_later"),
            "was written by a newer version of this program (m999_later); update it.",
        ),
        (
            lambda path: write_applied(path, "m001_observations", "m002_chats_and_alerts"),
            (
                "was written before the first release and cannot be brought up to date: save its data with "
                "“export” of the version that wrote it, then read them into a new database with “import”."
            ),
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_left_as_it_is(
    path: Path, write_file: Callable[[Path], object], message: str, read_only: bool
) -> None:
    write_file(path)
    before = path.read_bytes()
    with refused(DatabaseBroken, f"{path} {message}"):
        open_database(path, read_only=read_only)
    assert path.read_bytes() == before


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    check = "check that the file and its folder are yours to write."
    with refused(DiskFault, f"{tmp_path} cannot be opened; {check}"):
        open_database(tmp_path)


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "bot.sqlite3"
    with refused(DiskFault, f"{path} cannot be created (File exists); {CHECK}."):
        open_database(path)


async def test_leaving_the_block_closes(path: Path) -> None:
    with open_database(path) as opened:
        await opened.run(partial(write, "kept"))
    opened.close()
    with refused(StorageError, f"{path} is closed."):
        await opened.run(read)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


# Other processes


def test_killed_in_the_middle_of_a_transaction_the_old_state_stays(database: Database, spawn: Spawn) -> None:
    database.run_sync(partial(write, "old"))
    child = spawn(HALF_A_TRANSACTION)
    child.kill()
    child.wait()
    assert database.run_sync(read) == "old"
    assert database.run_sync(integrity_check, plain=True) == []
    database.run_sync(partial(write, "mine"))
    assert database.run_sync(read) == "mine"


@pytest.mark.parametrize("replaced", [False, True])
def test_an_open_file_that_lost_its_name_is_found_out(database: Database, path: Path, replaced: bool) -> None:
    asyncio.run(database.check_path())
    path.unlink()
    if replaced:
        path.write_bytes(b"")
    message = f"{path} was deleted or replaced while the bot had it open."
    with refused(DatabaseMissing, message):
        asyncio.run(database.check_path())


def test_an_open_file_that_was_cut_short_is_found_out(database: Database, path: Path) -> None:
    os.truncate(path, 4096)
    with refused(DatabaseBroken, f"{path} was cut short while the bot had it open."):
        asyncio.run(database.check_path())


def test_reading_leaves_nothing_beside(path: Path) -> None:
    open_database(path).close()
    refuse_unsound(path)
    open_database(path, read_only=True).close()
    with pytest.raises(DiskFault), open_database(path, read_only=True) as reader:
        reader.run_sync(partial(write, "new"))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_of_a_large_file_the_history_is_checked_when_the_whole_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.database.CHECKED_WHOLE", 1)
    with open_database(path) as opened:
        for statement in (
            "INSERT INTO meta VALUES ('key', 'value')",
            "INSERT INTO updates VALUES (7, '2020-12-11T12:00:00Z')",
        ):
            opened.run_sync(partial(sqlite_utils.Database.execute, sql=statement))
    content = path.read_bytes()
    for text, is_history in ((b"2020-12-11T12:00:00Z", True), (b"keyvalue", False)):
        at = content.index(text)
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(DatabaseBroken, match="is damaged"):
            refuse_unsound(path, whole=True)
        if is_history:
            refuse_unsound(path)
        else:
            with pytest.raises(DatabaseBroken, match="is damaged"):
                refuse_unsound(path)


@pytest.mark.parametrize("size", [0, 20_000, 250_000])
def test_where_there_is_no_room_for_a_database_there_is_none(path: Path, size: int) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        with pytest.raises(DiskFault, match=f"{re.escape(str(path))} "):
            open_database(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(path.parent.iterdir()) == []


def test_two_that_create_it_at_once_have_one_database(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_name = database_module.add_name

    def late(old: Path, new: Path) -> None:
        monkeypatch.setattr(database_module, "add_name", add_name)
        with open_database(path) as faster:
            faster.run_sync(partial(write, "kept"))
        add_name(old, new)

    monkeypatch.setattr(database_module, "add_name", late)
    with open_database(path) as database:
        assert database.run_sync(read) == "kept"


def test_a_log_completes_a_file_whose_checkpoint_was_cut_off(database: Database, path: Path) -> None:
    database.run_sync(partial(write, "kept"))
    copy = path.with_name("copy.sqlite3")
    copy.write_bytes(path.read_bytes()[:100] + b"\x55" * 3996 + path.read_bytes()[4096:])
    shutil.copyfile(f"{path}-wal", f"{copy}-wal")
    refuse_unsound(copy)
    with open_database(copy) as opened:
        assert opened.run_sync(read) == "kept"


def test_a_log_from_before_the_number_or_of_a_kill_is_taken(database: Database, path: Path) -> None:
    database.run_sync(lambda db: db.execute("PRAGMA user_version=0"), plain=True)
    database.run_sync(lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall(), plain=True)
    database.run_sync(partial(write, "kept"))
    refuse_unsound(path)


# Soundness


def test_integrity_check_names_a_reference_that_leads_nowhere(database: Database) -> None:
    def orphan(db: sqlite_utils.Database) -> list[str]:
        db.execute("PRAGMA foreign_keys=OFF")
        db.execute(ORPHAN)
        return integrity_check(db)

    assert database.run_sync(integrity_check, plain=True) == []
    assert database.run_sync(orphan, plain=True) == ["Row 1 of summaries refers to a missing row of chats"]


def test_a_damaged_file_is_found_out(path: Path) -> None:
    with open_database(path) as database:
        database.run_sync(partial(write, "x" * 50_000))
    content = bytearray(path.read_bytes())
    for page in range(0, len(content), 4096):
        if content[page + 4 : page + 4000] == b"x" * 3996:
            content[page : page + 4] = b"\xff" * 4  # where the long word's next page is noted
    path.write_bytes(content)
    with refused(
        DatabaseBroken, f"{path} is damaged (database disk image is malformed); restore a backup in its place."
    ):
        refuse_unsound(path)
    with open_database(path) as database:
        assert database.run_sync(integrity_check, plain=True) != []
        with pytest.raises(DatabaseBroken, match=rf"^{re.escape(str(path))} is damaged \(.+\); restore"):
            database.run_sync(read)


@pytest.fixture
def older(path: Path, later_release: Callable[[], None]) -> Path:
    """A database of the release before, with a row in it."""
    with open_database(path) as database:
        database.run_sync(lambda db: set_meta(db, "word", "old"))
    later_release()
    return path


def test_an_older_database_is_not_opened_for_reading(older: Path) -> None:
    message = f"{older} was written by an older version; start the bot on it once, then try again."
    with refused(DatabaseBroken, message):
        open_database(older, read_only=True)


def test_a_migration_that_breaks_references_is_undone(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "broken_references", lambda _: ["Row 1 of a refers to nothing"])
    message = f"{older} could not be brought up to date: Row 1 of a refers to nothing."
    with refused(DatabaseBroken, message):
        open_database(older)
    with sqlite_utils.Database(older) as db:
        assert "notes" not in db.table_names()


HOLD = """
import sys
from storage.database import hold_lock
with hold_lock(sys.argv[1]):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_turned_away_until_the_first_is_gone(path: Path, spawn: Spawn) -> None:
    child = spawn(HOLD)
    message = f"Another bot (process {child.pid}) is using {path}; stop it first, or name another file with --db."
    with refused(DatabaseBusy, message), hold_lock(path):
        pass
    child.kill()
    child.wait()
    with hold_lock(path) as lock:
        assert lock.read_text() == f"{os.getpid()}\n"


def test_a_lock_is_held_against_the_same_process_and_free_again_after_its_block(path: Path) -> None:
    assert not is_locked(path)
    assert list(path.parent.iterdir()) == []  # asking takes and makes nothing
    with hold_lock(path) as lock:
        holder = lock.read_text()
        assert is_locked(path)
        assert lock.read_text() == holder
        with pytest.raises(DatabaseBusy), hold_lock(path):
            pass
    with pytest.raises(RuntimeError), hold_lock(path):
        raise RuntimeError
    assert not is_locked(path)
    with hold_lock(path):
        pass


def test_by_a_link_it_is_the_same_database_with_the_same_lock(path: Path, tmp_path: Path) -> None:
    path.touch()
    link = tmp_path / "elsewhere" / "link.sqlite3"
    link.parent.mkdir()
    link.symlink_to(path)
    with hold_lock(link):
        assert is_locked(path)
        with pytest.raises(DatabaseBusy), hold_lock(path):
            pass
    assert [file.name for file in link.parent.iterdir()] == [link.name]


def test_on_a_full_disk_it_is_held_without_a_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    message = f"Another bot is using {path}; stop it first, or name another file with --db."
    with hold_lock(path), refused(DatabaseBusy, message), hold_lock(path):
        pass


def test_a_lock_and_its_folder_are_the_owners_alone_and_those_of_two_databases_apart(tmp_path: Path) -> None:
    with hold_lock(tmp_path / "new" / "a.db") as one, hold_lock(tmp_path / "new" / "b.db") as other:
        assert (one.name, other.name) == ("a.db.lock", "b.db.lock")
        assert stat.S_IMODE(one.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(one.stat().st_mode) == 0o600


def test_a_lock_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lock = tmp_path / "file" / "a.sqlite3.lock"
    message = f"The lock file {lock} cannot be written (File exists); {CHECK}."
    with refused(DiskFault, message), hold_lock(tmp_path / "file" / "a.sqlite3"):
        pass


def test_a_link_in_the_place_of_the_lock_is_refused_and_what_it_names_is_untouched(path: Path) -> None:
    target = path.with_name("precious")
    target.write_text("kept")
    lock = path.with_name(f"{path.name}.lock")
    lock.symlink_to(target)
    message = f"{lock} is a symbolic link, which is not followed; move it away and try again."
    with refused(DiskFault, message), hold_lock(path):
        pass
    assert not is_locked(path)
    assert target.read_text() == "kept"


class DriverError(Exception):
    """As the driver raises it."""

    def __init__(self, code: int | None) -> None:
        super().__init__("disk I/O error")
        self.sqlite_errorcode = code


@pytest.mark.parametrize(
    ("free", "kind", "message"),
    [
        (
            2**16,
            DiskFault,
            "The disk failed while reading or writing bot.db (disk I/O error); check the disk and try again.",
        ),
        (2**16 - 1, DiskFull, "The disk is full: bot.db could not be written; free some room and try again."),
        (0, DiskFull, "The disk is full: bot.db could not be written; free some room and try again."),
    ],
)
@pytest.mark.parametrize("code", [10, 10 | 19 << 8])
def test_an_io_error_without_room_on_the_disk_is_a_full_disk(
    code: int, free: int, kind: type[StorageError], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    error = from_driver(DriverError(code), Path("bot.db"))
    assert (type(error), str(error)) == (kind, message)


def test_a_disk_that_cannot_even_be_asked_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> None:
        raise OSError

    monkeypatch.setattr(shutil, "disk_usage", fail)
    assert type(from_driver(DriverError(10), Path("bot.db"))) is DiskFault


@pytest.mark.parametrize("code", [None, 99])
def test_an_unknown_code_keeps_the_drivers_words(code: int | None) -> None:
    error = DriverError(code)
    error.args = ("an odd fault",)
    translated = from_driver(error, Path("bot.db"))
    assert (type(translated), str(translated)) == (StorageError, "bot.db could not be used: an odd fault.")
