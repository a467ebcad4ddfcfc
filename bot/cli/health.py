"""The subcommand doctor: config, database, calendar, data, running bot, disk, SQLite. It only reads."""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bot.analytics.sessions import STALE_AFTER, Sessions
from bot.cli.voice import say
from bot.data.load import build_market, read_rows
from bot.jobs.tick import TICK_SECONDS, heartbeat
from bot.rendering.health import RESTATED_DAYS, findings, healths, switched_on
from storage import outbox, sources
from storage.db import (
    SQLITE_VERSION,
    TWO_WRITERS_SAFE,
    DatabaseMissing,
    StorageError,
    integrity_check,
    open_database,
)
from storage.lock import is_held
from storage.restatements import recent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bot.analytics.market import Market
    from bot.config import Config
    from storage.db import Database

LEAST_DISK = 100 * 2**20  # bytes: room for a year of growth and the write-ahead log
LEAST_CALENDAR = 30  # days of sessions known ahead
_MISSED_TICKS = 10
# A note is worth knowing, but nothing that a restart or a repair would change.
OK, NOTE, FAIL = "ok", "note", "FAIL"


@dataclass(frozen=True)
class Finding:
    """One line of `doctor`."""

    mark: str
    subject: str
    words: str

    def __str__(self) -> str:
        return f"{self.mark:4} {self.subject}: {self.words}"


def doctor(given: argparse.Namespace, config: Config) -> int:
    """`doctor`: one line a check; exit 1 when one fails."""
    found = list(examine(config, given.config, dt.datetime.now(dt.UTC)))
    for finding in found:
        say(str(finding))
    return 1 if any(finding.mark == FAIL for finding in found) else 0


def examine(config: Config, file: Path | None, now: dt.datetime) -> Iterator[Finding]:
    """All findings; a database that cannot be opened ends them early."""
    yield Finding(OK, "config", f"{file} is valid" if file else "no file given, defaults hold")
    yield _sqlite()
    sessions = Sessions(config.closed)
    ahead = (sessions.index[-1].date() - now.date()).days
    yield Finding(
        OK if ahead > LEAST_CALENDAR else FAIL, "calendar", f"sessions known for {ahead} days ahead"
    )
    yield _disk(config.database)
    try:
        with open_database(config.database, read_only=True) as database:
            yield from _database(database, config, sessions, now)
    except DatabaseMissing:
        where = f"there is none at {config.database}; “run”, “chat” or “import” makes it"
        yield Finding(FAIL, "database", where)
    except StorageError as error:
        yield Finding(FAIL, "database", str(error))


def _sqlite() -> Finding:
    if TWO_WRITERS_SAFE:
        return Finding(OK, "sqlite", f"version {SQLITE_VERSION}")
    return Finding(
        NOTE, "sqlite", f"version {SQLITE_VERSION}; stop the bot before import, refresh and backup"
    )


def _disk(file: Path) -> Finding:
    folder = next(parent for parent in file.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    return Finding(
        OK if free >= LEAST_DISK else FAIL, "disk", f"{free // 2**20:,} MB free beside the database"
    )


def _database(database: Database, config: Config, sessions: Sessions, now: dt.datetime) -> Iterator[Finding]:
    problems = database.outside_sync(integrity_check)
    words = "; ".join(problems[:3]) if problems else f"{database.path} is sound"
    yield Finding(FAIL if problems else OK, "database", words)
    market = build_market(database.run_sync(read_rows), sessions, now)
    yield _prices(market, sessions, now)
    asked = healths(database.run_sync(sources.statuses), sessions, now, switched_on(config))
    since = now - dt.timedelta(days=RESTATED_DAYS)
    replaced = database.run_sync(lambda db: recent(db, since=since))
    for well, subject, words in findings(market, asked, replaced, ZoneInfo(config.timezone), now):
        yield Finding(OK if well else NOTE, subject, words)
    yield _running(database, now)
    queue = database.run_sync(outbox.pending)
    waiting = sum(count for status, count in queue.items() if status not in {"sent", "dead"})
    dead = queue.get("dead", 0)
    yield Finding(NOTE if dead else OK, "queue", f"{waiting} waiting, {dead} given up")


def _prices(market: Market, sessions: Sessions, now: dt.datetime) -> Finding:
    """How old the prices are; old ones are no fault of the installation."""
    if market.end is None:
        return Finding(NOTE, "data", "no prices of both funds yet; run “refresh” or “import prices”")
    due = sessions.last_completed(now, STALE_AFTER)
    behind = int((sessions.between(market.end, due) > market.end).sum())
    age = f"{behind} session{'' if behind == 1 else 's'} behind" if behind else "current"
    words = f"prices to {market.end:%Y-%m-%d}, {age}; {market.source('prices').label}"
    return Finding(NOTE if behind else OK, "data", words)


def _running(database: Database, now: dt.datetime) -> Finding:
    """A bot that holds the lock must have ticked lately."""
    if not is_held(database.path):
        return Finding(OK, "bot", "not running")
    beat = database.run_sync(heartbeat)
    if beat is None:
        return Finding(OK, "bot", "starting, no tick yet")
    age = (now - beat).total_seconds()
    mark = OK if age < _MISSED_TICKS * TICK_SECONDS else FAIL
    return Finding(mark, "bot", f"running, last tick {age:.0f} s ago")
