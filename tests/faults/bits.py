"""Copies of a database with one flipped bit: doctor, run and restore name it, or every value is as it was."""

import contextlib
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import sqlite_utils

from bot.analytics.sessions import Sessions
from bot.cli.doctor import FAIL, _database_and_backups
from bot.config import Config
from bot.errors import BotError
from bot.jobs.backup_files import refuse_lost_database, with_restore_command
from bot.services import wall_clock
from storage.backup import restore
from storage.database import StorageError, connect_unchecked, open_database, refuse_unsound
from storage.observations import add, newest
from storage.records import KINDS, Bar, FundFacts
from tests.storage.test_migrations import SCAFFOLD, in_order_of_references, row_of

SESSIONS, ROWS = 300, 28
Values = dict[str, list[Any]]


def prepare(path: Path) -> bytes:
    """A database with prices and fund facts, and rows in the tables of chats, alerts and messages."""
    days = [f"{day:%Y-%m-%d}" for day in Sessions().index[:SESSIONS]]

    def fill(db: sqlite_utils.Database) -> None:
        for number, ticker in enumerate(("IWM", "SPY"), start=1):
            closes = [number * (150 + place % 40 / 8) for place in range(SESSIONS)]
            bars = [Bar(ticker, day, close=close) for day, close in zip(days, closes, strict=True)]
            add(db, Bar, bars, source="csv", observed_at="2020-12-11T22:00:00Z")
            facts = [FundFacts(ticker, day, shares=close * 1e6) for day, close in zip(days, closes, strict=True)]
            add(db, FundFacts, facts, source="csv", observed_at="2020-12-11T22:00:00Z")
        for table in in_order_of_references(db):
            if table not in (*KINDS, "readings", "sources", "meta"):
                for number in range(1, ROWS + 1):
                    db.table(table).insert(row_of(db, table, number))

    with open_database(path) as database:
        database.run_sync(fill)
    return path.read_bytes()


def values(path: Path) -> Values:
    """All values, as the tables hold them and as the newest figures are read from indexes."""
    with connect_unchecked(path, read_only=True) as db:
        tables = [table for table in db.tables if table.name not in SCAFFOLD]
        stored = {}
        for table in tables:
            rows = db.execute(f"SELECT * FROM {table.name} NOT INDEXED").fetchall()  # noqa: S608
            stored[table.name] = sorted(rows, key=repr)
        return stored | {f"newest {kind.table}": newest(db, kind) for kind in KINDS.values()}


def flipped(whole: bytes, used: list[int], chance: random.Random) -> bytes:
    """A copy with one flipped bit; in every second one it is at one of the `used` places."""
    content = bytearray(whole)
    place = chance.choice(used) if chance.randrange(2) else chance.randrange(len(content))
    content[place] ^= 1 << chance.randrange(8)
    return bytes(content)


def judge(copy: bytes, folder: Path, reference: Values) -> tuple[bool, list[str]]:
    """Whether the flipped bit is named, and what is not as it must be."""
    path = folder / "bot.db"
    path.write_bytes(copy)
    config = Config().with_keys(storage={"database": path})
    told = {
        "run": sentence(lambda: refuse_lost_database(config), config),
        "doctor": "; ".join(
            finding.words
            for finding in _database_and_backups(
                config, wall_clock(), lambda _: (), partial(refuse_unsound, whole=True)
            )
            if (finding.mark, finding.subject) == (FAIL, "database")
        ),
    }
    restored = folder / "restored.db"
    told["restore"] = sentence(lambda: restore(path, restored, folder / "aside.db", lambda _: None), config)
    problems = [f"{name}: {words}" for name, words in told.items() if not words.isprintable()]
    if told["run"] != told["doctor"]:
        problems.append(f"run says “{told['run']}”, doctor “{told['doctor']}”")
    for file, name in ((path, "run"), (restored, "restore")):
        if not told[name] and values(file) != reference:
            problems.append(f"{name} takes wrong values")
    if path.read_bytes() != copy:
        problems.append("the file was changed")
    if left := {file.name for file in folder.iterdir()} - {"bot.db", "restored.db"}:
        problems.append(f"left behind: {left}")
    for file in folder.iterdir():
        file.unlink()
    return bool(told["run"]), problems


def sentence(act: Callable[[], object], config: Config) -> str:
    """What an action is refused with, or ""."""
    with contextlib.suppress(BotError):
        try:
            act()
        except StorageError as error:
            return with_restore_command(error, config)
    return ""


def sweep(count: int, folder: Path, seed: int) -> tuple[int, list[str]]:
    """How many of so many copies are named, and all problems with the copy's number."""
    whole = prepare(folder / "whole.db")
    reference, used = values(folder / "whole.db"), [place for place, byte in enumerate(whole) if byte]
    (folder / "copies").mkdir()
    named, problems = 0, []
    for number in range(count):
        copy = flipped(whole, used, random.Random(f"{seed} {number}"))
        try:
            is_named, found = judge(copy, folder / "copies", reference)
        except Exception as error:  # noqa: BLE001 - any is a fault, and the others are to be seen too
            is_named, found = False, [f"{type(error).__name__}: {error}"]
        named += is_named
        problems += [f"copy {number}: {problem}" for problem in found]
    return named, problems
