"""Subcommands backup and restore."""

from __future__ import annotations

import argparse
import datetime as dt
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bot.analytics.sessions import Sessions
from bot.cli.hold import beside_the_bot
from bot.cli.voice import busy, say
from bot.copies import file_of, kept
from bot.errors import BotError
from bot.jobs.restored import last_possible_send, settle_restore
from bot.words import counted
from storage import sources
from storage.db import StorageError, backup, hold_lock, open_database, restore, row_counts

if TYPE_CHECKING:
    from pathlib import Path

    from bot.config import Config
    from bot.jobs.restored import RestoreReport


def back_up(given: argparse.Namespace, config: Config) -> int:
    """`backup [FILE]`: a verified copy; without FILE today's, where the nightly ones are."""
    today = dt.datetime.now(ZoneInfo(config.timezone)).date()
    file = given.file or file_of(config, today)
    with beside_the_bot(config.database), busy("Copying"):
        rows = backup(config.database, file)
    say(f"{file}: {sum(rows.values()):,} rows in {len(rows)} tables, verified")
    return 0


def put_back(given: argparse.Namespace, config: Config) -> int:
    """`restore FILE`: verified, brought up to date, and only then in the place of the database."""
    _refuse_missing(given.file, config)
    now, path = dt.datetime.now(dt.UTC), config.database
    aside = path.with_name(f"{path.stem}-replaced-{now:%Y-%m-%dT%H%M%SZ}{path.suffix}")
    with hold_lock(path), busy("Restoring"):
        until = last_possible_send(_last_tick(path), now)
        how = partial(
            settle_restore, sessions=Sessions(config.closed), zone=config.timezone, until=until, now=now
        )
        settled = restore(given.file, path, aside, how)
    with open_database(path, read_only=True) as database:
        rows = database.run_sync(row_counts)
    say(f"{given.file} is now {path}: {sum(rows.values()):,} rows in {len(rows)} tables, verified")
    if aside.exists():
        say(f"what was there is kept as {aside}; delete it when all is well")
    for line in _told(settled):
        say(line)
    return 0


def _refuse_missing(file: Path, config: Config) -> None:
    if file.is_file():
        return
    newest = None
    with suppress(OSError):
        newest = next(iter(kept(config)), None)
    hint = f"; the newest is {newest[1]}" if newest else ""
    raise BotError(f"There is no backup {file}{hint}.")


def _last_tick(path: Path) -> dt.datetime | None:
    """The last tick of the database to be replaced, None when it cannot say."""
    try:
        with open_database(path, read_only=True) as database:
            return database.run_sync(sources.heartbeat)
    except StorageError:
        return None


def _told(settled: RestoreReport) -> list[str]:
    """What becomes of the messages about the time between the backup and the loss."""
    made = f"{settled.made:%Y-%m-%d %H:%M} UTC" if settled.made else "before the bot's first tick"
    lines = [
        f"the backup's last tick: {made}; sessions since are judged when the bot runs and has their data"
    ]
    if settled.repeats:
        lines.append(f"{counted(settled.repeats, 'message')} waited then: sent, marked “possible repeat”")
    if settled.summaries:
        lines.append(f"{counted(settled.summaries, 'summary')} that may have been sent since: left out")
    return lines
