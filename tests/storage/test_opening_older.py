"""Opening a database of an earlier schema: brought up to date whole, or left as it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import sqlite_utils

from storage import db as database_module
from storage.db import DatabaseBroken, open_database
from storage.migrations import NAMES
from storage.rows import get_meta, set_meta

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Spawn = Callable[[str], subprocess.Popen[str]]


def test_opening_again_migrates_nothing(path: Path) -> None:
    def state(db: sqlite_utils.Database) -> tuple[str, list[dict[str, object]]]:
        return db.schema, list(db.table("_sqlite_migrations").rows)

    with open_database(path) as once:
        before = once.run_plain_sync(state)
    with open_database(path) as again:
        assert again.run_plain_sync(state) == before
    assert {row["name"] for row in before[1]} == NAMES


@pytest.fixture
def today(path: Path) -> Path:
    """A database with a row in it."""
    with open_database(path) as database:
        database.run_sync(lambda db: set_meta(db, "word", "old"))
    return path


@pytest.fixture
def older(today: Path, later_release: None) -> Path:  # noqa: ARG001 - made before the later release runs
    return today


def test_an_older_database_is_brought_up_to_date_with_its_rows(older: Path) -> None:
    with open_database(older) as opened:
        assert opened.run_sync(lambda db: get_meta(db, "word")) == "old"
        assert opened.run_sync(lambda db: db.table("notes").count) == 0


def test_an_older_database_is_not_opened_for_reading(older: Path) -> None:
    message = f"{older} was written by an older version; start the bot on it once, then try again."
    with pytest.raises(DatabaseBroken, match=f"^{re.escape(message)}$"):
        open_database(older, read_only=True)


@pytest.mark.parametrize("read_only", [True, False])
def test_a_database_of_before_the_first_release_names_export_and_import(path: Path, read_only: bool) -> None:
    with sqlite_utils.Database(path) as unreleased:
        unreleased.table("bars").create({"id": int})
        unreleased.table("_sqlite_migrations").insert_all(
            {"migration_set": "storage", "name": name, "applied_at": ""}
            for name in ("m001_observations", "m002_chats_and_alerts")
        )
    before = path.read_bytes()
    message = (
        f"{path} was written before the first release and cannot be brought up to date: save its data with "
        "“export” of the version that wrote it, then read them into a new database with “import”."
    )
    with pytest.raises(DatabaseBroken, match=f"^{re.escape(message)}$"):
        open_database(path, read_only=read_only)
    assert path.read_bytes() == before


def test_a_migration_that_fails_leaves_the_old_schema(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: sqlite_utils.Database) -> list[str]:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(database_module, "broken_references", fail)
        with pytest.raises(RuntimeError):
            open_database(older)
    with sqlite_utils.Database(older) as db:
        assert "notes" not in db.table_names()
    open_database(older).close()


def test_a_migration_that_breaks_references_is_undone(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "broken_references", lambda _: ["Row 1 of a refers to nothing"])
    message = f"{older} could not be brought up to date: Row 1 of a refers to nothing."
    with pytest.raises(DatabaseBroken, match=f"^{re.escape(message)}$"):
        open_database(older)
    with sqlite_utils.Database(older) as db:
        assert "notes" not in db.table_names()
