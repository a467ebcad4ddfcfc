"""What `doctor` examines: config, database, calendar, data, running bot, disk, SQLite. Opens read-only."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.analytics.sessions import STALE_AFTER, Sessions
from bot.data.load import build_market, read_rows
from bot.jobs.tick import HEARTBEAT, TICK_SECONDS
from storage import outbox, sources
from storage.db import (
    SQLITE_VERSION,
    TWO_WRITERS_SAFE,
    DatabaseBusy,
    DatabaseMissing,
    StorageError,
    hold_lock,
    integrity_check,
    open_database,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import sqlite_utils

    from bot.config import Config
    from storage.db import Database

LEAST_DISK = 100 * 2**20  # bytes: room for a year of growth and the write-ahead log
_MISSED_TICKS = 10


@dataclass(frozen=True)
class Finding:
    """One line of `doctor`."""

    ok: bool
    subject: str
    words: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.ok else 'FAIL'} {self.subject}: {self.words}"


def examine(config: Config, path: Path | None) -> list[Finding]:
    """All findings; a database that cannot be opened ends the list early."""
    found = [
        Finding(True, "config", f"{path} is valid" if path else "no file given, defaults hold"),
        _sqlite(),
        _disk(config),
    ]
    try:
        with open_database(config.database, read_only=True) as database:
            found += _database(config, database)
    except DatabaseMissing:
        found.append(
            Finding(
                False, "database", f"there is none at {config.database}; “run”, “chat” or “import” makes it"
            )
        )
    except StorageError as error:
        found.append(Finding(False, "database", str(error)))
    return found


def _sqlite() -> Finding:
    words = f"version {SQLITE_VERSION}"
    return Finding(
        True, "sqlite", words if TWO_WRITERS_SAFE else f"{words}; stop the bot before import and refresh"
    )


def _disk(config: Config) -> Finding:
    folder = next(
        parent for parent in (config.database.parent, *config.database.absolute().parents) if parent.exists()
    )
    free = shutil.disk_usage(folder).free
    return Finding(free >= LEAST_DISK, "disk", f"{free // 2**20:,} MB free beside the database")


def _database(config: Config, database: Database) -> Iterator[Finding]:
    problems = database.outside_sync(integrity_check)
    yield Finding(
        not problems, "database", f"{config.database} is sound" if not problems else "; ".join(problems[:3])
    )
    yield from _data(config, database.run_sync)
    yield _running(config, database)
    queue = database.run_sync(outbox.pending)
    dead = queue.get("dead", 0)
    waiting = sum(count for name, count in queue.items() if name not in {"sent", "dead"})
    yield Finding(True, "queue", f"{waiting} waiting, {dead} given up")


def _data(
    config: Config, run: Callable[[Callable[[sqlite_utils.Database], object]], object]
) -> Iterator[Finding]:
    """Calendar, age of the prices, and what each source last said."""
    del run
    now = dt.datetime.now(dt.UTC)
    sessions = Sessions(config.closed)
    ahead = (sessions.index[-1].date() - now.date()).days
    yield Finding(ahead > 30, "calendar", f"sessions known for {ahead} days ahead")
    with open_database(config.database, read_only=True) as database:
        market = build_market(database.run_sync(read_rows), sessions, now)
        rows = database.run_sync(sources.statuses)
    if market.end is None:
        yield Finding(True, "data", "no prices yet; run “refresh” or “import prices”")
    else:
        due = sessions.last_completed(now, STALE_AFTER)
        behind = len(sessions.between(market.end, due)) - 1 if due > market.end else 0
        label = "sample data" if market.is_sample else market.source("prices").label
        yield Finding(True, "data", f"prices to {market.end:%Y-%m-%d}, {behind} sessions behind; {label}")
    for row in rows:
        state = (
            f"failing {row['failures']}x: {row['detail']}"
            if row["failures"]
            else f"last success {row['last_success']}"
        )
        yield Finding(True, f"source {row['source']} {row['subject']}", state)


def _running(config: Config, database: Database) -> Finding:
    """A bot that holds the lock must have ticked lately."""
    try:
        with hold_lock(config.database):
            return Finding(True, "bot", "not running")
    except DatabaseBusy:
        pass
    beat = database.run_sync(lambda db: sources.meta(db, HEARTBEAT))
    if beat is None:
        return Finding(True, "bot", "starting, no tick yet")
    age = (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(beat)).total_seconds()
    return Finding(age < _MISSED_TICKS * TICK_SECONDS, "bot", f"running, last tick {age:.0f} s ago")
