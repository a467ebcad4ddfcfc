from __future__ import annotations

import asyncio
import re
import stat
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest
import sqlite_utils

from storage import db as database_module
from storage.backup import integrity_check
from storage.db import (
    Database,
    DatabaseBroken,
    DatabaseBusy,
    DatabaseMissing,
    DiskFault,
    DiskFull,
    Refused,
    StorageError,
    open_database,
)
from storage.observations import fingerprint
from storage.rows import get_meta, set_meta

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Spawn = Callable[[str], subprocess.Popen[str]]


HALF_A_TRANSACTION = """
import sys
from storage.db import open_database
from storage.rows import set_meta

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


async def test_run_gives_the_result_and_keeps_the_change(database: Database, path: Path) -> None:
    await database.run(partial(write, "kept"))
    assert await database.run(read) == "kept"
    with open_database(path, read_only=True) as other:
        assert other.run_sync(read) == "kept"


async def test_an_error_rolls_everything_back(database: Database) -> None:
    await database.run(partial(write, "old"))

    def fail(db: sqlite_utils.Database) -> None:
        set_meta(db, "word", "new")
        db.table("chats").insert({"chat_id": 1, "kind": "private", "created_at": "2020-01-01T00:00:00Z"})
        raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        await database.run(fail)
    assert await database.run(read) == "old"
    assert await database.run(lambda db: db.table("chats").count) == 0


async def test_a_nested_transaction_of_sqlite_utils_rolls_back_with_ours(database: Database) -> None:
    def fail(db: sqlite_utils.Database) -> None:
        with db.atomic():
            set_meta(db, "word", "inner")
        raise RuntimeError("after the inner one")

    with pytest.raises(RuntimeError):
        await database.run(fail)
    assert await database.run(read) is None


async def test_run_is_in_a_transaction_and_outside_is_not(database: Database) -> None:
    assert await database.run(in_transaction)
    assert not await database.run_plain(in_transaction)
    assert database.run_sync(in_transaction)
    assert not database.run_plain_sync(in_transaction)


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


def test_no_other_connection_writes_between_reading_and_writing(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT", 0.01)

    def append(db: sqlite_utils.Database) -> None:
        word = read(db)
        with pytest.raises(DatabaseBusy):
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


async def test_starting_a_transaction_inside_one_is_refused(database: Database) -> None:
    with pytest.raises(StorageError, match=r"must not start a transaction of its own\.$"):
        await database.run(lambda _: database.run_sync(read))


async def test_ending_the_transaction_is_refused(database: Database) -> None:
    with pytest.raises(StorageError, match=r"ended the transaction it ran in\.$"):
        await database.run(lambda db: db.commit())
    assert not await database.run_plain(in_transaction)


async def test_a_broken_constraint_is_our_own_error(database: Database, path: Path) -> None:
    def orphan(db: sqlite_utils.Database) -> None:
        set_meta(db, "word", "kept?")
        db.execute(
            "INSERT INTO summaries (chat_id, kind, local_date, due_at) VALUES (7, 'daily', '2020-01-01', '')"
        )

    message = f"{path} refused a row: FOREIGN KEY constraint failed."
    with pytest.raises(Refused, match=f"^{re.escape(message)}$"):
        await database.run(orphan)
    assert await database.run(read) is None


async def test_a_full_disk_keeps_the_old_state_and_the_next_transaction_works(
    database: Database, path: Path
) -> None:
    await database.run(partial(write, "old"))
    pages = await database.run_plain(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    await database.run_plain(lambda db: db.execute(f"PRAGMA max_page_count={pages}").fetchall())
    message = f"The disk is full: {path} could not be written; free some room and try again."
    with pytest.raises(DiskFull, match=f"^{re.escape(message)}$"):
        await database.run(partial(write, "x" * 100_000))
    assert await database.run(read) == "old"
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

    assert database.run_plain_sync(pragmas) == ["wal", 2, 1, 10_000, 1]


def test_every_table_of_ours_is_strict(database: Database) -> None:
    def loose(db: sqlite_utils.Database) -> set[str]:
        return {table.name for table in db.tables if not table.strict}

    assert database.run_plain_sync(loose) == {"sqlite_sequence"}


def test_reading_only_refuses_writes(database: Database, path: Path) -> None:
    database.run_sync(partial(write, "old"))
    message = f"{path} cannot be written: the file or its disk is read-only."
    with (
        open_database(path, read_only=True) as reader,
        pytest.raises(DiskFault, match=f"^{re.escape(message)}$"),
    ):
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


def test_reading_only_creates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "none" / "bot.sqlite3"
    message = f"There is no database at {path}; name another file, e.g. --db bot.db."
    with pytest.raises(DatabaseMissing, match=f"^{re.escape(message)}$"):
        open_database(path, read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_left_as_it_is(path: Path) -> None:
    path.write_text("Date,Close\n" * 200)
    message = f"{path} is not a database of this program; name another file, e.g. --db bot.db."
    with pytest.raises(DatabaseBroken, match=f"^{re.escape(message)}$"):
        open_database(path)
    assert path.read_text() == "Date,Close\n" * 200


def test_another_programs_database_is_left_as_it_is(path: Path) -> None:
    with sqlite_utils.Database(path) as other:
        other.table("photos").insert({"name": "x"})
    before = path.read_bytes()
    message = f"{path} is a database of another program; name another file, e.g. --db bot.db."
    with pytest.raises(DatabaseBroken, match=f"^{re.escape(message)}$"):
        open_database(path)
    assert path.read_bytes() == before


def test_a_newer_database_is_refused(database: Database, path: Path) -> None:
    database.close()
    with sqlite_utils.Database(path) as newer:
        newer.table("_sqlite_migrations").insert(
            {"migration_set": "storage", "name": "m999_later", "applied_at": ""}
        )
    message = f"{path} was written by a newer version of this program (m999_later); update it."
    with pytest.raises(DatabaseBroken, match=f"^{re.escape(message)}$"):
        open_database(path)


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=f"^{re.escape(str(tmp_path))} cannot be opened; check"):
        open_database(tmp_path)


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "bot.sqlite3"
    with pytest.raises(DiskFault, match=rf"^The database {re.escape(str(path))} cannot be created \(.+\)\.$"):
        open_database(path)


def test_a_closed_database_says_so(database: Database, path: Path) -> None:
    database.close()
    database.close()
    with pytest.raises(StorageError, match=f"^{re.escape(str(path))} is closed\\.$"):
        database.run_sync(read)


async def test_leaving_the_block_closes(path: Path) -> None:
    async with open_database(path) as opened:
        await opened.run(partial(write, "kept"))
    with pytest.raises(StorageError, match="is closed"):
        await opened.run(read)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


# Other processes


def test_killed_in_the_middle_of_a_transaction_the_old_state_stays(database: Database, spawn: Spawn) -> None:
    database.run_sync(partial(write, "old"))
    child = spawn(HALF_A_TRANSACTION)
    child.kill()
    child.wait()
    assert database.run_sync(read) == "old"
    assert database.run_plain_sync(integrity_check) == []
    database.run_sync(partial(write, "mine"))
    assert database.run_sync(read) == "mine"


def test_another_process_in_a_transaction_is_waited_for_then_named(
    path: Path, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT", 0.01)
    with open_database(path) as database:
        database.run_sync(partial(write, "old"))
        spawn(HALF_A_TRANSACTION)
        message = f"Another process is writing to {path}; try again in a moment."
        with pytest.raises(DatabaseBusy, match=f"^{re.escape(message)}$"):
            database.run_sync(partial(write, "mine"))
        assert database.run_plain_sync(read) == "old"


def test_whatever_another_process_writes_changes_the_fingerprint_of_the_observations(
    database: Database, spawn: Spawn
) -> None:
    database.run_sync(partial(write, "mine"))
    before = database.run_plain_sync(fingerprint)
    database.run_sync(partial(write, "mine again"))
    assert database.run_plain_sync(fingerprint) == before
    child = spawn(HALF_A_TRANSACTION)
    child.communicate("")
    assert child.returncode == 0
    assert database.run_plain_sync(fingerprint) != before
    assert database.run_sync(read) == "new"


@pytest.mark.parametrize("replaced", [False, True])
def test_an_open_file_that_lost_its_name_is_found_out(database: Database, path: Path, replaced: bool) -> None:
    asyncio.run(database.check_path())
    path.unlink()
    if replaced:
        path.write_bytes(b"")
    message = f"{path} was deleted or replaced while the bot had it open."
    with pytest.raises(DatabaseMissing, match=f"^{re.escape(message)}$"):
        asyncio.run(database.check_path())


# Soundness


def test_integrity_check_names_a_reference_that_leads_nowhere(database: Database) -> None:
    def orphan(db: sqlite_utils.Database) -> list[str]:
        db.execute("PRAGMA foreign_keys=OFF")
        db.execute(
            "INSERT INTO summaries (chat_id, kind, local_date, due_at) VALUES (7, 'daily', '2020-01-01', '')"
        )
        return integrity_check(db)

    assert database.run_plain_sync(integrity_check) == []
    assert database.run_plain_sync(orphan) == ["Row 1 of summaries refers to a missing row of chats"]


def test_a_damaged_file_is_found_out(path: Path) -> None:
    with open_database(path) as database:
        database.run_sync(partial(write, "x" * 50_000))
    content = bytearray(path.read_bytes())
    page = content.index(b"x" * 4000) // 4096 * 4096
    content[page : page + 4] = b"\xff" * 4  # where the long word's next page is noted
    path.write_bytes(content)
    with open_database(path) as database:
        assert database.run_plain_sync(integrity_check) != []
        with pytest.raises(DatabaseBroken, match=rf"^{re.escape(str(path))} is damaged \(.+\); restore"):
            database.run_sync(read)
