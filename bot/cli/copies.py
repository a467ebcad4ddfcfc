"""Subcommands backup and restore."""

from __future__ import annotations

import argparse
import datetime as dt
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bot.cli.hold import beside_the_bot
from bot.cli.voice import busy, say
from bot.copies import file_of, kept
from bot.errors import BotError
from bot.words import counted
from storage.db import backup, hold_lock, open_database, restore, row_counts
from storage.doubts import settle_restore

if TYPE_CHECKING:
    from pathlib import Path

    from bot.config import Config
    from storage.doubts import RestoreReport


def back_up(given: argparse.Namespace, config: Config) -> int:
    """`backup [FILE]`: a verified copy; without FILE today's, where the nightly ones are."""
    today = dt.datetime.now(ZoneInfo(config.time.timezone)).date()
    file = given.file or file_of(config, today)
    with beside_the_bot(config.storage.database), busy("Copying"):
        rows = backup(config.storage.database, file)
    say(f"{file}: {sum(rows.values()):,} rows in {len(rows)} tables, verified")
    return 0


def put_back(given: argparse.Namespace, config: Config) -> int:
    """`restore FILE`: verified, brought up to date, and only then in the place of the database."""
    _refuse_missing(given.file, config)
    now, path = dt.datetime.now(dt.UTC), config.storage.database
    aside = path.with_name(f"{path.stem}-replaced-{now:%Y-%m-%dT%H%M%SZ}{path.suffix}")
    with hold_lock(path), busy("Restoring"):
        report = restore(given.file, path, aside, partial(settle_restore, now=now))
    with open_database(path, read_only=True) as database:
        rows = database.run_sync(row_counts)
    say(f"{given.file} is now {path}: {sum(rows.values()):,} rows in {len(rows)} tables, verified")
    if aside.exists():
        say(f"what was there is kept as {aside}; delete it when all is well")
    for line in _report_lines(report):
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


def _report_lines(report: RestoreReport) -> list[str]:
    """What becomes of the messages about the time between the backup and now."""
    made = f"{report.made:%Y-%m-%d %H:%M} UTC" if report.made else "before the bot's first tick"
    lines = [
        f"the backup's last tick: {made}; sessions since are judged when the bot runs and has their data",
        "their alerts may have been sent before: marked “possible repeat”; summaries due until now: left out",
    ]
    if report.repeats:
        lines.append(f"{counted(report.repeats, 'message')} waited then: sent, marked “possible repeat”")
    if report.summaries:
        lines.append(f"{counted(report.summaries, 'summary')} waited then: left out")
    return lines
