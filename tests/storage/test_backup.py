from __future__ import annotations

import asyncio
import re
import stat
from typing import TYPE_CHECKING

import pytest
import sqlite_utils

from storage import backup as module
from storage.backup import backup, row_counts
from storage.db import Database, DatabaseBroken, DiskFault, StorageError, open_database
from storage.migrations import MIGRATIONS
from storage.rows import get_meta, set_meta

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def filled(database: Database) -> Database:
    database.run_sync(lambda db: set_meta(db, "word", "kept"))
    return database


def test_a_copy_holds_all_rows_in_one_private_file(filled: Database, tmp_path: Path) -> None:
    target = tmp_path / "copies" / "copy.sqlite3"
    counts = backup(filled.path, target)
    assert counts["meta"] == 1
    assert counts == filled.run_plain_sync(row_counts)
    assert [file.name for file in target.parent.iterdir()] == ["copy.sqlite3"]
    assert target.read_bytes()[18:20] == b"\x01\x01"  # no WAL: it can be read from a read-only disk
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with open_database(target, read_only=True) as copy:
        assert copy.run_sync(lambda db: get_meta(db, "word")) == "kept"


async def test_a_copy_is_made_while_the_database_is_in_use(filled: Database, tmp_path: Path) -> None:
    await asyncio.to_thread(backup, filled.path, tmp_path / "copy.sqlite3")
    await filled.run(lambda db: set_meta(db, "word", "later"))
    with open_database(tmp_path / "copy.sqlite3", read_only=True) as copy:
        assert await copy.run(lambda db: get_meta(db, "word")) == "kept"


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
    assert filled.run_plain_sync(row_counts)["meta"] == 2


def test_an_older_copy_is_replaced_and_a_broken_left_over_does_not_matter(
    filled: Database, tmp_path: Path
) -> None:
    target = tmp_path / "copy.sqlite3"
    target.write_text("old")
    (tmp_path / "copy.sqlite3.part").write_text("cut off" * 1000)
    backup(filled.path, target)
    assert target.read_bytes().startswith(b"SQLite format 3")
    assert not (tmp_path / "copy.sqlite3.part").exists()


def test_a_copy_that_does_not_agree_replaces_nothing(
    filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "copy.sqlite3"
    target.write_text("old")
    monkeypatch.setattr(module, "integrity_check", lambda _: ["row 1 missing from index"])
    with pytest.raises(
        DatabaseBroken, match=r"^The backup does not agree with the database; nothing was kept\.$"
    ):
        backup(filled.path, target)
    assert target.read_text() == "old"
    assert not (tmp_path / "copy.sqlite3.part").exists()


def test_a_copy_that_lacks_rows_is_refused(
    filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
            with pytest.raises(StorageError, match=f"^{re.escape(message)}$"):
                backup(filled.path, target)
    assert filled.run_sync(lambda db: get_meta(db, "word")) == "kept"


def test_a_database_of_an_earlier_version_is_copied_as_it_is(
    filled: Database,
    tmp_path: Path,
    later_release: None,  # noqa: ARG001 - last: the database is of the release before
) -> None:
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
    (tmp_path / "folder").mkdir()
    target = tmp_path / "folder"
    with pytest.raises(
        DiskFault, match=rf"^The backup {re.escape(str(target))} could not be written \(.+\)\.$"
    ):
        backup(filled.path, target)
    assert sorted(file.name for file in tmp_path.iterdir() if "part" in file.name) == []
