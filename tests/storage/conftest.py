"""A database of its own for each test, and other processes that use it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import pytest
import sqlite_utils
from sqlite_utils.utils import sqlite3  # type: ignore[attr-defined]  # the driver it chose

from storage import database as database_module
from storage import migrations
from storage.chat_store import ensure_chat
from storage.database import Database, open_database, transaction
from storage.migrations import MIGRATIONS
from tests.storage import kills

ROOT = Path(__file__).parents[2]
# A row that refers to a chat that does not exist.
ORPHAN = "INSERT INTO summaries (chat_id, kind, local_date, due_at) VALUES (7, 'daily', '2020-01-01', '')"

# Starts Python code with the database's path as argument; returns once it has printed a line.
Spawn: TypeAlias = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.sqlite3"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    with open_database(path) as opened:
        yield opened


def in_memory() -> sqlite_utils.Database:
    """An empty database as connect() opens one, but in memory."""
    conn = sqlite3.connect(":memory:", isolation_level=None)
    conn.execute("PRAGMA foreign_keys=ON")
    return sqlite_utils.Database(conn, strict=True, execute_plugins=False)


@pytest.fixture(scope="session")
def schema() -> Iterator[sqlite_utils.Database]:
    with in_memory() as db:
        MIGRATIONS.apply(db)
        yield db


@pytest.fixture
def db(schema: sqlite_utils.Database) -> Iterator[sqlite_utils.Database]:
    """What a storage function is given: a connection inside a transaction."""
    with in_memory() as opened:
        schema.conn.backup(opened.conn)
        with transaction(opened, "BEGIN IMMEDIATE"):
            yield opened


@pytest.fixture
def later_release(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the program one that knows one migration more: databases made before are older."""

    def release() -> None:
        for module in (database_module, migrations):
            monkeypatch.setattr(module, "MIGRATIONS", kills.LATER)
            monkeypatch.setattr(module, "NAMES", kills.LATER_NAMES)

    return release


@pytest.fixture
def chats(db: sqlite_utils.Database) -> None:
    """Chats 1 and 2."""
    for chat_id in (1, 2):
        ensure_chat(db, chat_id, "private", "", "2020-12-11T12:00:00Z")


@pytest.fixture(scope="module")
def scratch(schema: sqlite_utils.Database) -> Iterator[sqlite_utils.Database]:
    """A database that the examples of a property share; each begins by emptying it."""
    with in_memory() as db:
        schema.conn.backup(db.conn)
        yield db


@pytest.fixture
def spawn(path: Path) -> Iterator[Spawn]:
    with ExitStack() as stack:

        def start(code: str) -> subprocess.Popen[str]:
            process = stack.enter_context(
                subprocess.Popen(  # noqa: S603 - our own interpreter and code
                    [sys.executable, "-c", code, str(path)],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            return process

        yield start


def refused(kind: type[Exception], message: str) -> pytest.RaisesExc[Exception]:
    """Expects an error of this kind with exactly this message."""
    return pytest.raises(kind, match=f"^{re.escape(message)}$")
