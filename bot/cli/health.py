"""All that doctor finds: config, token, clock, calendar, disk, database, data, bot, queue, backups."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bot.analytics.sessions import STALE_AFTER, Sessions
from bot.cli import machine
from bot.cli.machine import FAIL, NOTE, OK, Finding
from bot.cli.online import telegram
from bot.copies import failing_since
from bot.data.load import build_market, read_rows
from bot.rendering.health import RESTATED_DAYS, findings, healths, switched_on
from bot.secrets import is_open, of_token
from bot.words import counted
from storage import sources
from storage.db import StorageError, integrity_check, open_database
from storage.lock import is_held
from storage.migrations import NAMES
from storage.restatements import recent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bot.analytics.market import Market
    from bot.config import Config
    from storage.db import Database

LEAST_CALENDAR = 30  # days of sessions known ahead


def examine(
    config: Config, file: Path | None, now: dt.datetime, *, online: bool = False
) -> Iterator[Finding]:
    """All findings; of a database that cannot be opened no more than why."""
    yield _file(config, file)
    yield from telegram(config, online=online)
    yield from _owner(config)
    yield machine.clock(config, now)
    yield machine.sqlite()
    sessions = Sessions(config.calendar.closed)
    yield _calendar(sessions, now)
    yield machine.disk(config.storage.database)
    failing = None
    try:
        with open_database(config.storage.database, read_only=True) as database:
            failing = database.run_sync(failing_since)
            yield from _database(database, config, sessions, now)
            yield machine.running(database, now)
            yield machine.queue(database)
    except StorageError as error:
        yield machine.unreadable(config, error)
    yield machine.backups(config, now, failing, runs=is_held(config.storage.database))


def _file(config: Config, file: Path | None) -> Finding:
    """The configuration was read, so it is valid; one that holds the token is refused if open."""
    if file is None:
        return Finding(OK, "config", "no file given, defaults hold")
    if config.secrets - {of_token(config.telegram.token.get_secret_value())} and is_open(file):
        words = "others may read the keys or passwords in its addresses; run chmod 600 on it"
        return Finding(NOTE, "config", f"{file} is valid, but {words}")
    return Finding(OK, "config", f"{file} is valid")


def _owner(config: Config) -> Iterator[Finding]:
    """A bot on Telegram without an owner has nobody to tell of a full disk or a failed backup."""
    if config.telegram.token and config.access.owner is None:
        words = "nobody is told when something needs a person; see [access] owner in the config"
        yield Finding(NOTE, "owner", words)


def _calendar(sessions: Sessions, now: dt.datetime) -> Finding:
    """Whether the exchange's sessions are known far enough ahead."""
    ahead = (sessions.index[-1].date() - now.date()).days
    words = f"sessions known for {ahead} days ahead"
    if ahead > LEAST_CALENDAR:
        return Finding(OK, "calendar", words)
    return Finding(FAIL, "calendar", f"{words}; install a newer exchange_calendars, or set the clock")


def _database(database: Database, config: Config, sessions: Sessions, now: dt.datetime) -> Iterator[Finding]:
    yield _soundness(database)
    market = build_market(database.run_sync(read_rows), sessions, now, config.pair)
    yield _prices(market, sessions, now)
    asked = healths(database.run_sync(sources.statuses), sessions, now, switched_on(config))
    since = now - dt.timedelta(days=RESTATED_DAYS)
    replaced = database.run_sync(lambda db: recent(db, since=since))
    for well, subject, words in findings(market, asked, replaced, ZoneInfo(config.time.timezone), now):
        yield Finding(OK if well else NOTE, subject, words)


def _soundness(database: Database) -> Finding:
    if problems := database.outside_sync(integrity_check):
        words = f"{'; '.join(problems[:3])}; put a backup in its place with “restore”"
        return Finding(FAIL, "database", words)
    return Finding(OK, "database", f"{database.path} is sound, its schema is {max(NAMES)}")


def _prices(market: Market, sessions: Sessions, now: dt.datetime) -> Finding:
    """How old the prices are; old ones are no fault of the installation."""
    if market.end is None:
        return Finding(NOTE, "data", "no prices of both funds yet; run “refresh” or “import prices”")
    due = sessions.last_completed(now, STALE_AFTER)
    behind = int((sessions.between(market.end, due) > market.end).sum())
    age = f"{counted(behind, 'session')} behind" if behind else "current"
    words = f"prices to {market.end:%Y-%m-%d}, {age}; {market.source('prices').label}"
    return Finding(NOTE if behind else OK, "data", words)
