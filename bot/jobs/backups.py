"""The nightly backup: a verified copy of the database, kept for some days; a failure tells the owner once.

What is due is read from the folder: the copy of a local date stands in it or it does not. So a bot that was
off at night makes up for it when it starts, and a copy that somebody deleted is made again.

The nightly backups: their names, which ones exist, and since when they fail.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bot.concurrency import run_in_daemon_thread
from bot.jobs.summaries import due_instant
from bot.messages.common import REPLY, Answer, payload_of
from bot.messages.html import escape
from storage import outbox, sources
from storage.backup import backup
from storage.connection import StorageError

if TYPE_CHECKING:
    import sqlite_utils

    from bot.config import Config
    from bot.services import Services


FAILING = "backup_failing"  # meta key: since when, while the owner knows that backups fail


def backup_file(config: Config, day: dt.date) -> Path:
    """Return the backup of a local date, e.g. backups/bot-2020-12-11.db."""
    return config.backups / f"{config.storage.database.stem}-{day}{config.storage.database.suffix}"


def dated_backups(config: Config) -> list[tuple[dt.date, Path]]:
    """Return the backups by date, the newest first; none without a folder. OSError if it is unreadable."""
    return _dated(config, "")


def partial_backups(config: Config) -> list[tuple[dt.date, Path]]:
    """Return, by date, what is left of backups whose process ended before they were complete."""
    return _dated(config, r"\.part(?:-\w+)?")


def failing_since(db: sqlite_utils.Database) -> dt.datetime | None:
    """Return when the nightly backups began to fail; None while they work."""
    since = sources.get_meta(db, FAILING)
    return dt.datetime.fromisoformat(since) if since else None


def _dated(config: Config, ending: str) -> list[tuple[dt.date, Path]]:
    """Files named after the database and a date, the newest first; `ending` is a pattern."""
    database = config.storage.database
    stem, suffix = re.escape(database.stem), re.escape(database.suffix)
    name = re.compile(rf"{stem}-(\d{{4}}-\d\d-\d\d){suffix}{ending}")
    if not config.backups.is_dir():
        return []
    matches = ((name.fullmatch(file.name), file) for file in config.backups.iterdir())
    return sorted(((day, file) for match, file in matches if match and (day := _day(match[1]))), reverse=True)


def _day(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return None


_log = logging.getLogger(__name__)
RETRY = dt.timedelta(hours=1)


def backup_due(config: Config, now: dt.datetime) -> dt.date | None:
    """The local date whose backup is to be made now, None when there is none."""
    zone = ZoneInfo(config.time.timezone)
    today = now.astimezone(zone).date()
    at = due_instant(today, config.backup.time, zone)
    if at is None or at > now or backup_file(config, today).exists():
        return None
    return today


class Backups:
    """Makes the backup that is due, beside all other work; the next try after a failure is an hour later."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._not_before: dt.datetime | None = None

    async def run(self) -> Path | None:
        """The backup that was made, None when none was due or it failed."""
        services, now = self._services, self._services.clock()
        if not services.config.backup.enabled or self._is_resting(now):
            return None
        try:
            day = backup_due(services.config, now)
            if day is None:
                return None
            made = await run_in_daemon_thread(partial(make_backup, services.config, day), "backup")
        except (StorageError, OSError) as error:
            await self._failed(str(error), now)
            return None
        await self._worked(made)
        return made

    def _is_resting(self, now: dt.datetime) -> bool:
        """After a failure; a clock that was put back ends the rest."""
        start = self._not_before
        return start is not None and start - RETRY <= now < start

    async def _failed(self, reason: str, now: dt.datetime) -> None:
        self._not_before = now + RETRY
        _log.error("the nightly backup failed: %s", reason)
        await self._services.database.run(
            partial(_note_failure, owner=self._services.config.access.owner, reason=reason, now=now)
        )

    async def _worked(self, made: Path) -> None:
        self._not_before = None
        _log.info("the database was copied to %s", made)
        await self._services.database.run(
            partial(
                _note_success,
                owner=self._services.config.access.owner,
                made=made,
                now=self._services.clock(),
            )
        )


def make_backup(config: Config, day: dt.date) -> Path:
    """Copy the database to the file of a date, verified; then forget the copies that are too old. Blocks."""
    target = backup_file(config, day)
    backup(config.storage.database, target)
    old = [file for made, file in dated_backups(config) if (day - made).days >= config.backup.keep]
    for file in (*old, *(left for made, left in partial_backups(config) if made < day)):
        file.unlink(missing_ok=True)
    return target


def _note_failure(db: sqlite_utils.Database, owner: int | None, reason: str, now: dt.datetime) -> None:
    """Tell the owner, once until a backup works again."""
    if sources.get_meta(db, FAILING) is None:
        sources.set_meta(db, FAILING, f"{now:%Y-%m-%dT%H:%M:%SZ}")
        _tell(db, owner, f"The nightly backup failed: {reason} It is tried again every hour.", now)


def _note_success(db: sqlite_utils.Database, owner: int | None, made: Path, now: dt.datetime) -> None:
    if sources.get_meta(db, FAILING) is not None:
        sources.remove_meta(db, FAILING)
        _tell(db, owner, f"Backups work again; the newest is {made.name}.", now)


def _tell(db: sqlite_utils.Database, owner: int | None, words: str, now: dt.datetime) -> None:
    if owner is None:
        return
    payload = payload_of(Answer(escape(words)), REPLY)
    dedup = f"backup:{now:%Y-%m-%dT%H:%M:%S}"
    outbox.enqueue(db, chat_id=owner, kind="notice", dedup=dedup, payload=payload, now=now)
