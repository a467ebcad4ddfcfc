"""Subcommands on stored data: import, export, backup."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from typing import TYPE_CHECKING

from rich.console import Console

from bot.analytics.sessions import Sessions
from bot.data.export import export
from bot.data.files import READERS, store_file
from bot.errors import BotError
from storage.db import TWO_WRITERS_SAFE, backup, hold_lock, open_database

if TYPE_CHECKING:
    from bot.config import Config


def take_in(given: argparse.Namespace, config: Config) -> int:
    """`import KIND FILE --ticker T`: all of the file or nothing."""
    console = Console(stderr=True)
    with console.status(f"Reading {given.file.name}"):
        today = dt.datetime.now(dt.UTC).date()
        contents = READERS[given.kind](
            given.file, given.ticker, sessions=Sessions(config.closed), today=today
        )
    for sentence in contents.preview.sentences():
        say(sentence)
    _refuse_two_writers(config)
    with console.status("Storing"), open_database(config.database) as database:
        now = f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
        written = database.run_sync(lambda db: store_file(db, contents, observed_at=now))
    for kind, counts in written.items():
        words = kind.replace("_", " ")
        say(f"{words}: {counts.inserted:,} new, {counts.revised:,} revised, {counts.unchanged:,} unchanged")
    return 0


def give_out(given: argparse.Namespace, config: Config) -> int:
    """`export KIND FILE --ticker T`; "-" writes to standard output."""
    with open_database(config.database, read_only=True) as database:
        found = database.run_sync(lambda db: export(db, given.kind, given.ticker))
    if str(given.file) == "-":
        sys.stdout.write(found.text)
        return 0
    try:
        given.file.write_text(found.text, encoding="utf-8", newline="")
    except OSError as error:
        raise BotError(f"{given.file} cannot be written: {error.strerror}.") from error
    say(f"{given.file}: {found.rows:,} rows from source {found.source}")
    return 0


def back_up(given: argparse.Namespace, config: Config) -> int:
    """`backup FILE`: a verified copy."""
    with open_database(config.database, read_only=True) as database:
        rows = backup(database, given.file)
    say(f"{given.file}: {sum(rows.values()):,} rows in {len(rows)} tables, verified")
    return 0


def _refuse_two_writers(config: Config) -> None:
    """An SQLite with the WAL-reset bug must not have two writers: the bot has to be stopped first."""
    if not TWO_WRITERS_SAFE and config.database.exists():
        with hold_lock(config.database):
            pass


def say(text: str) -> None:
    """One line on standard output."""
    print(text)  # noqa: T201 - the command line's voice
