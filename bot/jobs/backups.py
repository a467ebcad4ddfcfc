"""The nightly backups: verified copies of the database, kept for some days; a failure tells the owner once.

What is due is read from the folder: the copy of a local date is there or it is not. So a bot that was
off at night makes up for it when it starts, and a copy that somebody deleted is made again.
"""

import datetime as dt
import logging
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import sqlite_utils

from bot.concurrency import run_in_daemon_thread
from bot.config import Config
from bot.jobs.backup_files import FAILING, backup_file, dated_backups
from bot.jobs.notify import OutboxWriter
from bot.jobs.summaries import due_instant
from bot.messages.common import Answer
from bot.messages.html import escape
from bot.services import Services
from storage.backup import backup
from storage.database import StorageError
from storage.records import get_meta, remove_meta, set_meta

_log = logging.getLogger(__name__)
RETRY = dt.timedelta(hours=1)


def backup_due(config: Config, now: dt.datetime) -> dt.date | None:
    """Return the local date whose backup is to be made now, None when there is none."""
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
        """Make the backup that is due. Returns it, or None when none was due or it failed."""
        services, now = self._services, self._services.clock()
        rest_ends = self._not_before  # a clock that was put back ends the rest too
        is_resting = rest_ends is not None and rest_ends - RETRY <= now < rest_ends
        if not services.config.backup.enabled or is_resting:
            return None
        try:
            day = backup_due(services.config, now)
            if day is None:
                return None
            copy = await run_in_daemon_thread(partial(make_backup, services.config, day), "backup")
        except (StorageError, OSError) as error:
            self._not_before = now + RETRY
            _log.error("the nightly backup failed: %s", error)
            reason = f"{error.filename} ({error.strerror})" if isinstance(error, OSError) else str(error)
            text = f"The nightly backup failed: {reason.rstrip('.')}. It is tried again every hour."
            await self._tell_owner(text, now, failing=True)
            return None
        self._not_before = None
        _log.info("the database was copied to %s", copy)
        text = f"Backups work again; the newest is {copy.name}."
        await self._tell_owner(text, services.clock(), failing=False)
        return copy

    async def _tell_owner(self, text: str, now: dt.datetime, *, failing: bool) -> None:
        """Tell the owner, once, that backups fail or that they work again."""

        def write(db: sqlite_utils.Database) -> None:
            if failing is (get_meta(db, FAILING) is not None):
                return
            if failing:
                set_meta(db, FAILING, f"{now:%Y-%m-%dT%H:%M:%SZ}")
            else:
                remove_meta(db, FAILING)
            config = self._services.config
            if config.access.owner is not None:
                writer = OutboxWriter(db, now, config.time.timezone)
                dedup = f"backup:{now:%Y-%m-%dT%H:%M:%S}"
                writer.notice((config.access.owner, None), dedup, Answer(escape(text)))

        await self._services.database.run(write)


def make_backup(config: Config, day: dt.date) -> Path:
    """Copy the database to the file of a date, verified; then delete the copies that are too old. Blocks.

    What is left of older backups whose process ended before they were complete is deleted too.
    """
    target = backup_file(config, day)
    backup(config.storage.database, target)
    old = [file for copied, file in dated_backups(config) if (day - copied).days >= config.backup.keep]
    incomplete = dated_backups(config, r"\.part(?:-\w+)?")
    for file in (*old, *(file for begun, file in incomplete if begun < day)):
        file.unlink(missing_ok=True)
    return target
