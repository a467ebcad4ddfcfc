from __future__ import annotations

import json
import re
import resource
import shutil
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlite_utils

from storage import backup as module
from storage import database as db_module
from storage.backup import backup, restore, row_counts
from storage.database import (
    Database,
    DatabaseBroken,
    DatabaseBusy,
    DatabaseMissing,
    DiskFault,
    StorageError,
    integrity_check,
    open_database,
)
from storage.migrations import MIGRATIONS
from storage.records import get_meta, set_meta
from tests.storage.conftest import ORPHAN, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    Later = Callable[[], None]


@pytest.fixture
def filled(database: Database) -> Database:
    database.run_sync(lambda db: set_meta(db, "word", "kept"))
    return database


def test_a_copy_holds_all_rows_in_one_private_file(filled: Database, tmp_path: Path) -> None:
    target = tmp_path / "copies" / "copy.sqlite3"
    counts = backup(filled.path, target)
    assert counts["meta"] == 1
    assert counts == filled.run_sync(row_counts, plain=True)
    assert [file.name for file in target.parent.iterdir()] == ["copy.sqlite3"]
    assert target.read_bytes()[18:20] == b"\x01\x01"  # no WAL: it can be read from a read-only disk
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with open_database(target, read_only=True) as copy:
        assert copy.run_sync(lambda db: get_meta(db, "word")) == "kept"


def test_what_another_connection_writes_meanwhile_is_not_half_copied(
    filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = module.row_counts

    def count_then_write(db: sqlite_utils.Database) -> dict[str, int]:
        counts = counted(db)
        with open_database(filled.path) as other:
            other.run_sync(lambda db: set_meta(db, "another", "one"))
        monkeypatch.setattr(module, "row_counts", counted)
        return counts

    monkeypatch.setattr(module, "row_counts", count_then_write)
    assert backup(filled.path, tmp_path / "copy.sqlite3")["meta"] == 1
    assert filled.run_sync(row_counts, plain=True)["meta"] == 2


def test_an_older_copy_and_a_broken_left_over_are_replaced(filled: Database, tmp_path: Path) -> None:
    target = tmp_path / "copy.sqlite3"
    target.write_text("old")
    (tmp_path / "copy.sqlite3.part").write_text("cut off" * 1000)
    backup(filled.path, target)
    assert target.read_bytes().startswith(b"SQLite format 3")
    assert not (tmp_path / "copy.sqlite3.part").exists()


def test_a_differing_copy_is_dropped(filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "copy.sqlite3"
    target.write_text("old")
    sound = db_module.integrity_check
    faulty = lambda db, **how: sound(db, **how) if how else ["row 1 missing from index"]  # noqa: E731 - once
    monkeypatch.setattr(db_module, "integrity_check", faulty)
    with refused(DatabaseBroken, f"{target} does not agree with the database, nothing was kept; try again."):
        backup(filled.path, target)
    assert target.read_text() == "old"
    assert not (tmp_path / "copy.sqlite3.part").exists()


def test_missing_rows_are_refused(filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([{"meta": 2}, {"meta": 1}])
    monkeypatch.setattr(module, "row_counts", lambda _: next(counts))
    with pytest.raises(DatabaseBroken):
        backup(filled.path, tmp_path / "copy.sqlite3")
    assert not (tmp_path / "copy.sqlite3").exists()


def test_a_database_in_use_is_never_overwritten(filled: Database, path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.sqlite3"
    link.symlink_to(path)
    with open_database(tmp_path / "other.sqlite3") as other:
        for target in (path, link, other.path):
            message = f"{target} is a database in use; name another file, e.g. bot-copy.db."
            with refused(StorageError, message):
                backup(filled.path, target)
    assert filled.run_sync(lambda db: get_meta(db, "word")) == "kept"


def test_an_earlier_database_is_copied_as_it_is(filled: Database, tmp_path: Path, later_release: Later) -> None:
    later_release()
    assert backup(filled.path, tmp_path / "copy.sqlite3")["meta"] == 1
    with sqlite_utils.Database(tmp_path / "copy.sqlite3") as copy:
        assert [migration.name for migration in MIGRATIONS.applied(copy)] == ["m001_schema"]
        assert get_meta(copy, "word") == "kept"


def test_another_programs_database_is_not_copied(path: Path, tmp_path: Path) -> None:
    with sqlite_utils.Database(path) as other:
        other.table("photos").insert({"name": "x"})
    with pytest.raises(DatabaseBroken, match="is a database of another program"):
        backup(path, tmp_path / "copy.sqlite3")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_target_that_cannot_be_written_is_named(filled: Database, tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    with refused(DiskFault, f"The backup {target} could not be written (Is a directory)."):
        backup(filled.path, target)
    assert not (tmp_path / "folder.part").exists()


ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(database: Database, tmp_path: Path) -> Path:
    """A backup that says "old"; the database has gone on to "new"."""
    database.run_sync(lambda db: set_meta(db, "word", "old"))
    backup(database.path, tmp_path / "copy.sqlite3")
    database.run_sync(lambda db: set_meta(db, "word", "new"))
    database.close()
    return tmp_path / "copy.sqlite3"


@pytest.fixture
def aside(tmp_path: Path) -> Path:
    return tmp_path / "aside.sqlite3"


def nothing(db: sqlite_utils.Database) -> None:
    assert db.conn.in_transaction


def word(path: Path) -> str | None:
    with open_database(path) as opened:
        assert opened.run_sync(integrity_check, plain=True) == []
        return opened.run_sync(lambda db: get_meta(db, "word"))


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_the_backup_takes_the_databases_place_which_is_kept(path: Path, copy: Path, aside: Path) -> None:
    before = copy.read_bytes()
    restore(copy, path, aside, nothing)
    assert (word(path), word(aside)) == ("old", "new")
    assert copy.read_bytes() == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert files(path.parent) == {"bot.sqlite3", "aside.sqlite3", "copy.sqlite3"}


def test_where_there_is_no_database_the_backup_becomes_it(tmp_path: Path, copy: Path) -> None:
    path, aside = tmp_path / "new" / "bot.sqlite3", tmp_path / "new" / "aside.sqlite3"
    restore(copy, path, aside, nothing)
    assert word(path) == "old"
    assert files(path.parent) == {"bot.sqlite3"}


def test_what_settles_the_backup_runs_in_a_transaction_of_it(path: Path, copy: Path, aside: Path) -> None:
    def settle(db: sqlite_utils.Database) -> str | None:
        before = get_meta(db, "word")
        set_meta(db, "word", "settled")
        return before

    assert restore(copy, path, aside, settle) == "old"
    assert word(path) == "settled"


def test_what_fails_while_it_settles_leaves_all_as_it_was(path: Path, copy: Path, aside: Path) -> None:
    def settle(db: sqlite_utils.Database) -> None:
        set_meta(db, "word", "settled")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        restore(copy, path, aside, settle)
    assert word(path) == "new"
    assert files(path.parent) == {"bot.sqlite3", "copy.sqlite3"}


def test_the_log_of_the_replaced_database_is_kept_with_it(path: Path, copy: Path, aside: Path) -> None:
    killed(path, "last")
    assert Path(f"{path}-wal").stat().st_size > 0
    restore(copy, path, aside, nothing)
    assert (word(path), word(aside)) == ("old", "last")


def test_what_stands_in_the_log_of_the_backup_counts(path: Path, copy: Path, aside: Path) -> None:
    killed(copy, "later")
    assert Path(f"{copy}-wal").stat().st_size > 0
    restore(copy, path, aside, nothing)
    assert word(path) == "later"


def killed(path: Path, word: str) -> None:
    """Write a word into a database, and leave it as a process does that dies without closing it."""
    with open_database(path) as opened:
        opened.run_sync(lambda db: set_meta(db, "word", word))
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{path}{suffix}", f"{path}{suffix}.left")
    for suffix in ("", "-wal"):
        Path(f"{path}{suffix}.left").replace(f"{path}{suffix}")


def test_a_damaged_database_goes_aside_as_it_is(path: Path, copy: Path, aside: Path) -> None:
    path.write_bytes(b"rubbish" * 1000)
    Path(f"{path}-wal").write_bytes(b"more rubbish")
    restore(copy, path, aside, nothing)
    assert word(path) == "old"
    assert aside.read_bytes() == b"rubbish" * 1000
    assert Path(f"{aside}-wal").read_bytes() == b"more rubbish"


def test_the_log_of_a_damaged_database_is_not_read_again(path: Path, copy: Path, aside: Path) -> None:
    killed(path, "last")
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"rubbish." * 512 + content[8192:])  # a page that the log does not hold
    restore(copy, path, aside, nothing)
    assert word(path) == "old"
    assert Path(f"{aside}-wal").stat().st_size > 0


def test_without_links_a_copy(path: Path, copy: Path, aside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.link", refuse)
    restore(copy, path, aside, nothing)
    assert (word(path), word(aside)) == ("old", "new")


def test_nothing_that_is_kept_is_overwritten(path: Path, copy: Path, aside: Path) -> None:
    aside.write_text("mine")
    with refused(DiskFault, f"{path} could not be replaced (File exists)."):
        restore(copy, path, aside, nothing)
    assert word(path) == "new"
    assert aside.read_text() == "mine"


def test_a_database_that_another_program_uses_is_not_replaced(path: Path, copy: Path, aside: Path) -> None:
    message = f"Another program has {path} open; end it first, e.g. an import or a replication."
    with open_database(path) as other:
        with refused(DatabaseBusy, message):
            restore(copy, path, aside, nothing)
        other.run_sync(lambda db: set_meta(db, "word", "theirs"))
    assert word(path) == "theirs"
    assert files(path.parent) == {"bot.sqlite3", "copy.sqlite3"}


def newer(copy: Path) -> None:
    with sqlite_utils.Database(copy) as db:
        row = {"migration_set": "storage", "name": "m999_later", "applied_at": ""}
        db.table("_sqlite_migrations").insert(row)


def foreign(copy: Path) -> None:
    copy.unlink()
    with sqlite_utils.Database(copy) as db:
        db.table("photos").insert({"name": "x"})


def damaged(copy: Path, page: int, byte: bytes) -> None:
    content = bytearray(copy.read_bytes())
    content[4096 * page : 4096 * (page + 1)] = byte * 4096
    copy.write_bytes(content)


def orphaned(copy: Path) -> None:
    with sqlite_utils.Database(copy) as db:
        db.execute(ORPHAN)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (newer, "{copy} was written by a newer version of this program (m999_later); update it."),
        (foreign, "{copy} is a database of another program; name another backup."),
        (
            lambda copy: copy.write_text("Date,Close\n" * 200),
            "{copy} is not sound, nothing was replaced: file is not a database; name another backup.",
        ),
        (
            lambda copy: copy.write_bytes(copy.read_bytes().replace(b"\x10\0\1\1", b"\x10\0\7\1", 1)),
            "{copy} is of a later format of SQLite's; name another backup.",
        ),
        (lambda copy: copy.write_bytes(b""), "{copy} is empty; name a backup of this program."),
        (
            orphaned,
            (
                "{copy} is not sound, nothing was replaced: "
                "Row 1 of summaries refers to a missing row of chats; name another backup."
            ),
        ),
    ],
)
def test_a_file_that_is_no_sound_backup_is_refused_before_anything_happens(
    path: Path, copy: Path, aside: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(copy)
    with refused(DatabaseBroken, message.format(copy=copy)):
        restore(copy, path, aside, nothing)
    assert word(path) == "new"
    assert files(path.parent) == {"bot.sqlite3", "copy.sqlite3"}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"\x00\x04\x00\x00\x00\x00", b"\x00\x07\x00\x00\x00\x00", "unsupported file format"),
        (b"applied_at", b"applied_up", "the table of migrations has other columns"),
        (b"ticker TEXT", b"ticker T\xa0XT", "text that is not UTF-8"),
        (b"ticker TEXT", b'ticker "EXT', "malformed database schema (bars) - "),
        (b"ticker TEXT", b"ticker TE\x07T", "malformed database schema (bars) - "),
    ],
)
def test_a_fault_in_the_words_of_the_schema_is_one_short_sentence(
    path: Path, copy: Path, aside: Path, old: bytes, new: bytes, reason: str
) -> None:
    content = copy.read_bytes()
    assert old in content
    copy.write_bytes(content.replace(old, new, 1 if old < b" " else -1))
    with pytest.raises(DatabaseBroken) as caught:
        restore(copy, path, aside, nothing)
    sentence = str(caught.value)
    assert sentence.startswith(f"{copy} is not sound, nothing was replaced: {reason}")
    assert sentence.endswith("; name another backup.")
    assert sentence.isprintable()
    assert len(sentence) < len(str(copy)) + 160


@pytest.mark.parametrize("byte", [b"\x00", b"\x55", b"\xff"])
@pytest.mark.parametrize("page", [0, 1, 2, 3, 9])
def test_a_damaged_backup_is_refused(path: Path, copy: Path, aside: Path, page: int, byte: bytes) -> None:
    damaged(copy, page, byte)
    message = rf"^{re.escape(str(copy))} is not sound, nothing was replaced: [^\n*;]+; name another backup\.$"
    with pytest.raises(DatabaseBroken, match=message):
        restore(copy, path, aside, nothing)
    assert word(path) == "new"


def test_what_is_missing_or_the_database_itself_is_refused(path: Path, copy: Path, aside: Path) -> None:
    none = path.with_name("none.db")
    with refused(DatabaseMissing, f"There is no backup {none}."):
        restore(none, path, aside, nothing)
    link = path.with_name("link.db")
    link.symlink_to(path)
    for file in (path, link):
        with refused(StorageError, f"{file} is the database itself; name a backup."):
            restore(file, path, aside, nothing)
    assert copy.exists()
    assert word(path) == "new"


def test_an_earlier_backup_is_updated(path: Path, copy: Path, aside: Path, later_release: Later) -> None:
    later_release()
    before = copy.read_bytes()
    restore(copy, path, aside, nothing)
    with open_database(path, read_only=True) as current:
        assert current.run_sync(lambda db: get_meta(db, "word")) == "old"
    assert copy.read_bytes() == before


def test_an_earlier_one_is_checked_first(path: Path, copy: Path, aside: Path, later_release: Later) -> None:
    later_release()
    orphaned(copy)
    with pytest.raises(DatabaseBroken, match=f"^{re.escape(str(copy))} is not sound, nothing was replaced: "):
        restore(copy, path, aside, nothing)
    assert word(path) == "new"


def test_killed_at_any_step_there_is_the_old_database_or_the_new_one(path: Path, copy: Path) -> None:
    child = [sys.executable, "-m", "tests.storage.kills", "restore", str(path), str(copy)]
    done = subprocess.run(child, cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603 - our own code
    words = [json.loads(line) for line in done.stdout.splitlines()]
    assert words[-1] == "old"
    assert len(words) > 3
    assert words == sorted(words)  # "new" as long as nothing was swapped, "old" from then on


def test_a_power_cut_leaves_the_old_database_under_its_second_name_and_the_new_one(
    path: Path, copy: Path, aside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []
    monkeypatch.setattr(db_module, "sync_folder", lambda folder: synced.append((folder.name, aside.exists())))
    monkeypatch.setattr(db_module, "sync", lambda file: synced.append((file.name, aside.exists())))
    restore(copy, path, aside, nothing)
    folder = path.parent.name
    assert synced[-3:] == [(folder, True), (f"{path.name}.restore", True), (folder, True)]


@pytest.mark.parametrize("work", ["backup", "restore"])
@pytest.mark.parametrize("size", [0, 40_000, 200_000])
def test_a_copy_for_which_there_is_no_room_changes_nothing(
    path: Path, copy: Path, aside: Path, work: str, size: int
) -> None:
    act = partial(backup, path, copy) if work == "backup" else partial(restore, copy, path, aside, nothing)
    before = {file: file.read_bytes() for file in (path, copy)}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        with pytest.raises(DiskFault, match=r"^The disk failed while .+ \(disk I/O error\); ") as full:
            act()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert ".part" not in str(full.value)
    assert ".restore" not in str(full.value)
    assert {file: file.read_bytes() for file in (path, copy)} == before
    assert not aside.exists()


@pytest.mark.parametrize("name", ["copy.sqlite3", "new.sqlite3.part", "bot.sqlite3.restore", "new.sqlite3"])
def test_a_link_in_the_place_of_a_copy_is_refused_and_what_it_names_untouched(
    path: Path, copy: Path, aside: Path, name: str
) -> None:
    precious, link = path.with_name("precious"), path.with_name(name)
    copy.replace(precious)
    link.symlink_to(precious)
    before = precious.read_bytes()
    with refused(DiskFault, f"{link} is a symbolic link, which is not followed; move it away and try again."):
        if name.endswith(".restore"):
            restore(precious, path, aside, nothing)
        else:
            backup(path, link.with_name(name.removesuffix(".part")))
    assert link.is_symlink()
    assert precious.read_bytes() == before
    assert word(path) == "new"
