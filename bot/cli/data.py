"""The commands import, export, refresh, backup and restore."""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
import sys
from bisect import bisect
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bot.analytics.sessions import Sessions
from bot.cli import ISSUER_FILE
from bot.cli.console import beside_the_bot, log_briefly, open_beside_the_bot, refuse_other_pair, say, spinner
from bot.data.csv_formats import export
from bot.data.csv_table import read_bytes
from bot.data.import_csv import read_csv
from bot.data.provider import known_fund
from bot.data.provisional import pending_rows
from bot.data.store import FileContents, store_file
from bot.errors import BotError
from bot.jobs.backup_files import backup_file, dated_backups, refuse_lost_database
from bot.text import counted
from storage import sources
from storage.backup import backup, restore, row_counts
from storage.database import Database, hold_lock, open_database, real_file, refuse_link, refuse_lost, replace_durably
from storage.outbox import RestoreReport, settle_restore

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    import sqlite_utils

    from bot.config import Config
    from bot.data.refresh import FetchReport
    from storage.observations import Written
    from storage.sources import SourceStatus


def import_file(config: Config, *, kind: str, file: Path, ticker: str | None, accept: bool = False) -> int:
    """`import KIND FILE --ticker T`: import all of a file or nothing.

    An issuer's file names its fund itself; which of the issuer's files it is, is read from its contents.
    """
    now = dt.datetime.now(dt.UTC)
    with spinner(f"Reading {file.name}"):
        sessions = Sessions(config.calendar.closed)
        last = sessions.last_day(now)
        if kind == ISSUER_FILE:
            from bot.data.issuers.formats import LARGEST  # noqa: PLC0415 - late: other files do without
            from bot.data.issuers.layouts import read_issuer  # noqa: PLC0415 - as above

            contents = read_issuer(
                read_bytes(file, "an issuer's file", LARGEST),
                name=file.name,
                completed=sessions.index[: bisect(sessions.days, last)],
                today=now.date(),
                ticker=ticker,
                pair=config.pair,
            )
        elif ticker is None:
            example = config.pair.small.ticker
            raise BotError(f"--ticker is missing. Example: import {kind} {file} --ticker {example}")
        else:
            fund = known_fund(ticker, config.pair)
            contents = read_csv(kind, file, fund, sessions=sessions, today=now.date(), completed=last)
    observed_at = f"{now:%Y-%m-%dT%H:%M:%SZ}"

    def write(db: sqlite_utils.Database) -> tuple[FileContents, Mapping[str, Written], list[str]]:
        if kind == ISSUER_FILE:
            from bot.data.issuers.fetch import store_issuer  # noqa: PLC0415 - as above

            accepted, written = store_issuer(db, contents, name=file.name, observed_at=observed_at)
        else:
            accepted = contents
            written = store_file(db, contents, observed_at=observed_at, accept=accept)
        return accepted, written, _provisional(db, accepted.preview.ticker, last)

    with open_beside_the_bot(config.storage.database, config.pair) as database, spinner("Storing"):
        accepted, written, provisional = database.run_sync(write)
    for sentence in accepted.preview.sentences():
        say(sentence)
    for table, counts in written.items():
        words = table.replace("_", " ")
        say(f"{words}: {counts.inserted:,} new, {counts.revised:,} revised, {counts.unchanged:,} unchanged")
    for sentence in provisional:
        say(sentence)
    return 0


def _provisional(db: sqlite_utils.Database, ticker: str, last: dt.date) -> list[str]:
    """Return what is held as implausible of a fund, until the session `last`, and what to do about it."""
    if not pending_rows(db, ticker):
        return []
    from bot.data.load import pending_frame, provisional_figures  # noqa: PLC0415 - as above
    from bot.messages.common import provisional_notes  # noqa: PLC0415 - as above

    pending = pending_frame(db)
    figures = provisional_figures(pending[pending["ticker"] == ticker], last)
    advice = "If the file is right, import it with --accept."
    return [*provisional_notes(figures), advice] if figures else []


def export_file(config: Config, *, kind: str, file: Path, ticker: str) -> int:
    """`export KIND FILE --ticker T`: write a CSV file, or to standard output for "-"."""
    fund = known_fund(ticker, config.pair)
    with open_database(config.storage.database, read_only=True) as database:
        database.run_sync(partial(refuse_other_pair, pair=config.pair))
        exported = database.run_sync(lambda db: export(db, kind, fund))
    if str(file) == "-":
        sys.stdout.write(exported.text)
        return 0
    write_whole(file, exported.text)
    say(f"{file}: {exported.rows:,} rows from {', '.join(exported.sources)}")
    return 0


def write_whole(file: Path, text: str) -> None:
    """Write a file completely or not at all. Raises BotError if it cannot be written."""
    target = file.resolve()
    if target.is_dir():
        raise BotError(f"{file} is a folder; name a file.")
    try:
        if target.exists() and not target.is_file():
            target.write_text(text, encoding="utf-8", newline="")  # a pipe or a device
            return
        part = target.with_name(f"{target.name}.part")
        refuse_link(part)
        try:
            part.write_text(text, encoding="utf-8", newline="")
            replace_durably(part, target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise BotError(f"{file} cannot be written: {error.strerror}.") from error


def refresh_sources(config: Config) -> int:
    """`refresh`: fetch from every source now. Returns 1 if no source answered, else 0."""
    log_briefly()
    with open_beside_the_bot(config.storage.database, config.pair) as database:
        with spinner("Asking the sources") as progress:
            reports = asyncio.run(_refresh(config, database, getattr(progress, "update", str)))
        statuses = database.run_sync(sources.source_statuses)
        known = _known(config, database) if sys.stdout.isatty() else []
    for report in reports:
        say(str(report))
    failed = {(report.source, report.subject) for report in reports if not report.ok}
    if failed:
        say(_advice(config, statuses, failed))
    for line in known:
        say(line)
    if not reports:
        say("No source is switched on; see [sources] in the config.")
    return 0 if not reports or any(report.ok for report in reports) else 1


def _known(config: Config, database: Database) -> list[str]:
    """Return what is known of each fund now, as wide as the terminal."""
    from bot.data.load import build_market, read_frames  # noqa: PLC0415 - late: other commands do without
    from bot.messages.pages.status import knowledge  # noqa: PLC0415 - as above

    sessions, now = Sessions(config.calendar.closed), dt.datetime.now(dt.UTC)
    frames = database.run_sync(read_frames)
    market = build_market(frames, sessions, now, config.pair, config.command_options)
    tickers = market.pair.tickers
    held = database.run_sync(lambda db: {ticker: sources.stored_holdings(db, ticker) for ticker in tickers})
    return knowledge(market, held, min(shutil.get_terminal_size().columns, 80))


async def _refresh(config: Config, database: Database, progress: Callable[[str], object]) -> list[FetchReport]:
    from bot import app  # noqa: PLC0415 - as above
    from bot.local.terminal import Terminal, printer  # noqa: PLC0415 - as above
    from bot.services import wall_clock  # noqa: PLC0415 - as above

    services = app.build_services(config, database, wall_clock, live=True)
    bot = app.local_bot(services, Terminal(printer(sys.stdout), None, wall_clock).api)
    return await bot.scheduler.refresh(force=True, progress=progress)


def _advice(config: Config, statuses: Sequence[SourceStatus], failed: Collection[tuple[str, str]]) -> str:
    """Return what happens after fetches that failed: when they are tried again, and by whom."""
    from bot.data.refresh import switched_on  # noqa: PLC0415 - as above
    from bot.data.schedule import next_try  # noqa: PLC0415 - as above
    from bot.messages.html import moment, zone_name  # noqa: PLC0415 - as above

    now, zone, sessions = (dt.datetime.now(dt.UTC), ZoneInfo(config.time.timezone), Sessions(config.calendar.closed))
    tries = [
        due
        for status in statuses
        if (status.source, status.subject) in failed or status.breaker_until
        if (due := next_try(status, statuses, sessions, now, switched_on(config)))
    ]
    when = f" from {moment(min(tries), zone)} {zone_name(zone)} on" if tries else ""
    return (
        "Not everything was fetched. What is stored stays as it was, with its dates. A running bot tries "
        f"again{when}. Without one, run “refresh” again then. “doctor” shows every source."
    )


def back_up(config: Config, *, file: Path | None) -> int:
    """`backup [FILE]`: make a verified copy. Without FILE it is today's of the nightly backups."""
    today = dt.datetime.now(ZoneInfo(config.time.timezone)).date()
    target = file or backup_file(config, today)
    refuse_lost_database(config, refuse_lost)
    with beside_the_bot(config.storage.database), spinner("Copying"):
        rows = backup(config.storage.database, target)
    say(f"{target}: {sum(rows.values()):,} rows in {len(rows)} tables, verified")
    return 0


def restore_backup(config: Config, *, file: Path) -> int:
    """`restore FILE`: verify a backup and bring it up to date, then replace the database by it."""
    if not file.is_file():
        newest = ""
        with suppress(OSError):
            newest = "".join(f"; the newest is {copy}" for _, copy in dated_backups(config)[:1])
        raise BotError(f"There is no backup {file}{newest}.")
    now, path = dt.datetime.now(dt.UTC), real_file(config.storage.database)
    aside = path.with_name(f"{path.stem}-replaced-{now:%Y-%m-%dT%H%M%SZ}{path.suffix}")

    def settle(db: sqlite_utils.Database) -> RestoreReport:
        refuse_other_pair(db, config.pair)
        return settle_restore(db, now=now)

    with hold_lock(path), spinner("Restoring"):
        report = restore(file, path, aside, settle)
    with open_database(path, read_only=True) as database:
        rows = database.run_sync(row_counts)
    say(f"{path} is now a copy of {file}: {sum(rows.values()):,} rows in {len(rows)} tables, verified")
    if aside.exists():
        say(f"the old database is kept as {aside}; delete it when you no longer need it")
    tick = f"{report.last_tick:%Y-%m-%d %H:%M} UTC" if report.last_tick else "before the bot's first tick"
    say(f"the backup's last tick: {tick}; sessions since are evaluated when the bot runs and has their data")
    say("their alerts, perhaps sent before, are marked “possible repeat”; summaries due until now left out")
    if report.repeats:
        repeats = counted(report.repeats, "message")
        say(f"{repeats} waiting in the backup: sent, marked “possible repeat”")
    if report.summaries:
        say(f"{counted(report.summaries, 'summary')} waiting in the backup: left out")
    return 0
