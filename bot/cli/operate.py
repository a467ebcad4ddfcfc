"""Subcommands that operate the bot: run, check, refresh."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bot import app, serving
from bot.analytics.sessions import Sessions
from bot.cli.hold import alone, beside_the_bot, waited_for
from bot.cli.talk import Clock
from bot.cli.voice import busy, log_briefly, log_fully, say
from bot.copies import kept
from bot.data.due import next_try
from bot.errors import BotError
from bot.local import Terminal, printer
from bot.rendering.health import switched_on
from bot.rendering.moments import moment, place_of
from bot.services.base import wall_clock
from bot.words import counted
from storage import outbox, sources
from storage.db import open_database

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bot.analytics.market import Market
    from bot.config import Config
    from bot.data.record import FetchReport
    from bot.serving import Bot
    from storage.db import Database
    from storage.sources import SourceStatus

_log = logging.getLogger(__name__)


def run(given: argparse.Namespace, config: Config) -> int:
    """`run`: long polling until SIGTERM or Ctrl-C; the command line holds the lock already."""
    del given
    log_fully(config.log.level)
    _warn_of_a_loss(config)
    with waited_for(config.storage.database) as database:
        bot = app.telegram_bot(config, database, apart=True)
        fault = serving.poll(bot)
    if fault:
        raise BotError(fault)
    return 0


def _warn_of_a_loss(config: Config) -> None:
    """A first start has no backups: where there are some, the database was lost or stands elsewhere."""
    with suppress(OSError):
        copies = kept(config)
        if copies and not config.storage.database.exists():
            words = (
                "there is no database at %s, a new one begins; “restore %s” goes on with the newest backup"
            )
            _log.warning(words, config.storage.database, copies[0][1])


def check(given: argparse.Namespace, config: Config) -> int:
    """`check`: refresh (unless --offline), judge, send what is due; it says what it did.

    The terminal's own messages are printed; the others go out where a token is configured.
    """
    log_briefly()
    clock = Clock(given.now, running=False)
    with alone(config.storage.database) as database:
        services = app.services_of(config, database, clock, live=not given.offline)
        bot = app.local_bot(services, Terminal(printer(sys.stdout), None, clock).api)
        online = config.telegram.token and not given.offline
        telegram = app.telegram_bot(config, database, clock) if online else None
        asyncio.run(_check(bot, telegram))
    return 0


async def _check(bot: Bot, telegram: Bot | None) -> None:
    await bot.delivery.recover()
    async with bot.application:
        with busy("Asking the sources"):
            reports = await bot.scheduler.refresh()
        for report in reports:
            say(str(report))
        done = await bot.scheduler.judge()
        market = await bot.services.markets.current()
        say(_judged(market))
        for fire in done.fires:
            say(str(fire))
        if not done.fires and market.end is not None:
            say("no alert turned true")
        if done.summaries:
            say(f"{counted(done.summaries, 'daily summary')} queued")
        drained = await bot.scheduler.drain()
        sent = drained.sent + (await _send(telegram) if telegram else 0)
        queue = await bot.services.database.run(outbox.pending)
        waiting = sum(queue.get(status, 0) for status in ("queued", "waiting", "ambiguous"))
        say(f"messages: {sent} sent, {waiting} waiting{' for “run”' if waiting else ''}")


async def _send(telegram: Bot) -> int:
    """Send what waits for Telegram; how many. What cannot be sent now stays in the queue."""
    sent, said = await serving.send_waiting(telegram)
    if said:
        say(said)
    return sent


def _judged(market: Market) -> str:
    """On what alerts were judged."""
    if market.end is None:
        return "nothing to judge: no prices of both funds are stored; try “refresh” or “import prices”"
    last = f"{market.last_completed:%Y-%m-%d}"
    return f"last completed session {last}; judged on prices to {market.end:%Y-%m-%d}"


def refresh_now(given: argparse.Namespace, config: Config) -> int:
    """`refresh`: fetch from every source now; exit 1 when none answered."""
    del given
    log_briefly()
    with (
        beside_the_bot(config.storage.database),
        open_database(config.storage.database) as database,
        busy("Asking the sources"),
    ):
        reports = asyncio.run(_refresh(config, database))
        statuses = database.run_sync(sources.statuses)
    for report in reports:
        say(str(report))
    failed = {(report.source, report.subject) for report in reports if not report.ok}
    if failed:
        say(_again(config, statuses, failed))
    if not reports:
        say("No source is switched on; see [sources] in the config.")
    return 0 if not reports or any(report.ok for report in reports) else 1


def _again(config: Config, statuses: Sequence[SourceStatus], failed: Collection[tuple[str, str]]) -> str:
    """What becomes of figures that did not come, and what to do."""
    now, zone, sessions = wall_clock(), ZoneInfo(config.time.timezone), Sessions(config.calendar.closed)
    tries = [
        due
        for status in statuses
        if (status.source, status.subject) in failed or status.breaker_until
        if (due := next_try(status, statuses, sessions, now, switched_on(config)))
    ]
    when = f" from {moment(min(tries), zone)} {place_of(zone)} on" if tries else ""
    return (
        "Not everything came: what is stored stays as it was, with its dates. "
        f"A running bot asks again{when}; without one, run “refresh” again then. “doctor” shows every source."
    )


async def _refresh(config: Config, database: Database) -> list[FetchReport]:
    services = app.services_of(config, database, wall_clock, live=True)
    bot = app.local_bot(services, Terminal(printer(sys.stdout), None, wall_clock).api)
    return await bot.scheduler.refresh(force=True)
