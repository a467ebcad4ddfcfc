"""Subcommands on stored data: import and export."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from typing import TYPE_CHECKING

from bot.analytics.sessions import Sessions
from bot.cli import ISSUER
from bot.cli.hold import beside_the_bot
from bot.cli.voice import busy, say
from bot.data.cells import read_bytes
from bot.data.export import export
from bot.data.files import READERS
from bot.data.issuers.reading import read_issuer
from bot.data.issuers.sniff import LARGEST
from bot.data.issuers.store import store_issuer
from bot.data.names import known_fund
from bot.data.store import store_file
from bot.errors import BotError
from storage.db import open_database

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bot.config import Config
    from storage.observations import Written


def take_in(given: argparse.Namespace, config: Config) -> int:
    """`import KIND FILE --ticker T`: all of the file or nothing."""
    if given.kind == ISSUER:
        return _take_in_issuer(given, config)
    if given.ticker is None:
        ticker = config.pair.small.ticker
        raise BotError(f"--ticker is missing. Example: import {given.kind} {given.file} --ticker {ticker}")
    with busy(f"Reading {given.file.name}"):
        now = dt.datetime.now(dt.UTC)
        fund, sessions = known_fund(given.ticker, config.pair), Sessions(config.calendar.closed)
        completed = sessions.last_completed(now).date()
        contents = READERS[given.kind](
            given.file, fund, sessions=sessions, today=now.date(), completed=completed
        )
    for sentence in contents.preview.sentences():
        say(sentence)
    path = config.storage.database
    with beside_the_bot(path), open_database(path) as database, busy("Storing"):
        instant = f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
        written = database.run_sync(lambda db: store_file(db, contents, observed_at=instant))
    _say_written(written)
    return 0


def _take_in_issuer(given: argparse.Namespace, config: Config) -> int:
    """`import issuer FILE`: a fund's workbook or holdings as its issuer gives them, told by its bytes."""
    sessions, now = Sessions(config.calendar.closed), dt.datetime.now(dt.UTC)
    with busy(f"Reading {given.file.name}"):
        contents = read_issuer(
            read_bytes(given.file, "an issuer's file", LARGEST),
            name=given.file.name,
            sessions=sessions,
            today=now.date(),
            ticker=given.ticker,
            pair=config.pair,
        )
    path = config.storage.database
    with beside_the_bot(path), open_database(path) as database:
        instant = f"{now:%Y-%m-%dT%H:%M:%SZ}"
        name = given.file.name
        with busy("Storing"):
            checked, written = database.run_sync(
                lambda db: store_issuer(db, contents, name=name, observed_at=instant)
            )
    for sentence in checked.preview.sentences():
        say(sentence)
    _say_written(written)
    return 0


def _say_written(written: Mapping[str, Written]) -> None:
    for kind, counts in written.items():
        words = kind.replace("_", " ")
        say(f"{words}: {counts.inserted:,} new, {counts.revised:,} revised, {counts.unchanged:,} unchanged")


def give_out(given: argparse.Namespace, config: Config) -> int:
    """`export KIND FILE --ticker T`; "-" writes to standard output."""
    fund = known_fund(given.ticker, config.pair)
    with open_database(config.storage.database, read_only=True) as database:
        found = database.run_sync(lambda db: export(db, given.kind, fund))
    if str(given.file) == "-":
        sys.stdout.write(found.text)
        return 0
    _write_whole(given.file, found.text)
    say(f"{given.file}: {found.rows:,} rows from {', '.join(found.sources)}")
    return 0


def _write_whole(file: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all; BotError when it cannot be written."""
    target = file.resolve()
    if target.is_dir():
        raise BotError(f"{file} is a folder; name a file.")
    try:
        if target.exists() and not target.is_file():
            target.write_text(text, encoding="utf-8", newline="")  # a pipe or a device
            return
        part = target.with_name(f"{target.name}.part")
        try:
            part.write_text(text, encoding="utf-8", newline="")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise BotError(f"{file} cannot be written: {error.strerror}.") from error
