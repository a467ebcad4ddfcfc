"""The subcommand doctor, and those of its checks that cost next to nothing: what a health check needs."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bot.cli.voice import say
from bot.copies import failing_since, kept
from bot.words import counted
from storage import outbox, sources
from storage.db import SQLITE_VERSION, TWO_WRITERS_SAFE, DatabaseMissing, StorageError, open_database
from storage.lock import is_held

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bot.config import Config
    from storage.db import Database

LEAST_DISK = 100 * 2**20  # bytes: room for a year of growth and the write-ahead log
LONGEST_PAUSE = 300  # seconds: ten ticks
OLDEST_BACKUP = dt.timedelta(days=2)  # one night may fail
# Further in the future than this no file can be but by a clock that was put back.
_SLACK = dt.timedelta(minutes=5)
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
    now, fails = dt.datetime.now(dt.UTC), False
    if given.quick:
        found = quick(config, now)
    else:
        from bot.cli.health import examine  # noqa: PLC0415 - late: it costs a second that --quick has not

        found = examine(config, given.config, now, online=not given.offline)
    for finding in found:
        say(str(finding))
        fails |= finding.mark == FAIL
    return 1 if fails else 0


def quick(config: Config, now: dt.datetime) -> Iterator[Finding]:
    """Whether disk, clock and backups are well, the database can be read, and the bot ticks."""
    yield disk(config.storage.database)
    yield clock(config, now)
    failing = None
    try:
        with open_database(config.storage.database, read_only=True) as database:
            yield running(database, now)
            failing = database.run_sync(failing_since)
    except StorageError as error:
        yield unreadable(config, error)
    yield backups(config, now, failing, runs=is_held(config.storage.database))


def unreadable(config: Config, error: StorageError) -> Finding:
    """A database that cannot be opened."""
    if isinstance(error, DatabaseMissing):
        words = (
            f"there is none at {config.storage.database}; “run”, “chat” or “import” makes it, "
            "“restore” puts a backup there"
        )
        return Finding(FAIL, "database", words)
    return Finding(FAIL, "database", str(error))


def sqlite() -> Finding:
    """Whether two programs may write to the database."""
    if TWO_WRITERS_SAFE:
        return Finding(OK, "sqlite", f"version {SQLITE_VERSION}")
    words = (
        f"version {SQLITE_VERSION} has the WAL-reset bug; stop the bot before import, refresh and backup, "
        "or install SQLite 3.51.3 or later"
    )
    return Finding(NOTE, "sqlite", words)


def disk(file: Path) -> Finding:
    """Whether there is room beside the database, and whether it can be written."""
    folder = next(parent for parent in file.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    words = f"{free // 2**20:,} MB free beside the database"
    if free < LEAST_DISK:
        return Finding(FAIL, "disk", f"{words}; free some, or move [storage] database to another disk")
    if closed := [each for each in (folder, file) if each.exists() and not os.access(each, os.W_OK)]:
        words = f"{closed[0]} cannot be written; check whose it is, and whether the disk is read-only"
        return Finding(FAIL, "disk", words)
    return Finding(OK, "disk", words)


def clock(config: Config, now: dt.datetime) -> Finding:
    """The local time, and whether files of the database are of the future."""
    local = f"{now.astimezone(ZoneInfo(config.time.timezone)):%Y-%m-%d %H:%M} in {config.time.timezone}"
    database = config.storage.database
    written = [_written(database.with_name(database.name + end)) for end in ("", "-wal")]
    last = max((moment for moment in written if moment), default=now)
    if last <= now + _SLACK:
        return Finding(OK, "clock", local)
    late = f"{last:%Y-%m-%d %H:%M} UTC"
    words = f"{local}, but the database was written later than that, at {late}; set the clock"
    return Finding(FAIL, "clock", words)


def _written(file: Path) -> dt.datetime | None:
    try:
        return dt.datetime.fromtimestamp(file.stat().st_mtime, dt.UTC)
    except (OSError, OverflowError, ValueError):
        return None


def running(database: Database, now: dt.datetime) -> Finding:
    """A bot that holds the lock must have ticked lately."""
    if not is_held(database.path):
        return Finding(OK, "bot", "not running")
    beat = database.run_sync(sources.heartbeat)
    if beat is None:
        return Finding(OK, "bot", "starting, no tick yet")
    age = (now - beat).total_seconds()
    words = f"running, last tick {age:.0f} s ago"
    if age < LONGEST_PAUSE:
        return Finding(OK, "bot", words)
    return Finding(FAIL, "bot", f"{words}; look at its log and start it again")


def queue(database: Database) -> Finding:
    """What waits to be sent, and what was given up."""
    counts = database.run_sync(outbox.pending)
    waiting = sum(count for status, count in counts.items() if status not in {"sent", "dead"})
    dead = counts.get("dead", 0)
    return Finding(NOTE if dead else OK, "queue", f"{waiting} waiting, {dead} given up")


def backups(config: Config, now: dt.datetime, failing: dt.datetime | None, *, runs: bool) -> Finding:
    """How old the newest backup is; a bot that runs makes one a night, unless they fail, and since when."""
    if not config.backup.enabled:
        return Finding(NOTE, "backups", "switched off; see [backup] in the config")
    today = now.astimezone(ZoneInfo(config.time.timezone)).date()
    try:
        copies = kept(config)
    except OSError as error:
        return Finding(FAIL, "backups", f"{config.backups} cannot be read ({error.strerror})")
    # A day ahead is another zone's; more is a clock that was wrong, and says nothing of the last nights.
    found = [(day, file) for day, file in copies if (day - today).days <= 1]
    if not found and failing and runs:
        words = f"none in {config.backups}, they fail since {failing:%Y-%m-%d}; look at the bot's log"
        return Finding(FAIL if now - failing > OLDEST_BACKUP else NOTE, "backups", words)
    if not found:
        words = f"none in {config.backups} yet; the running bot makes one a night, “backup” makes one now"
        return Finding(NOTE, "backups", words)
    day, newest = found[0]
    age = max(today - day, dt.timedelta())
    words = f"{newest}, {counted(age.days, 'day')} old, one of {len(found)}"
    if age <= OLDEST_BACKUP:
        return Finding(OK, "backups", words)
    said = "the nightly ones fail, look at the bot's log" if runs else "make one with “backup”"
    return Finding(FAIL if runs else NOTE, "backups", f"{words}; {said}")
