"""Subcommands that operate the bot: run, check, refresh, doctor."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bot import app
from bot.cli.data import say
from bot.cli.health import examine
from bot.cli.talk import Clock
from bot.errors import BotError
from bot.local import LocalTelegram, printer
from storage.db import hold_lock, open_database

if TYPE_CHECKING:
    from bot.app import Bot
    from bot.config import Config
    from bot.data.refresh import Report
    from storage.db import Database


def run(given: argparse.Namespace, config: Config) -> int:
    """`run`: long polling until SIGTERM or Ctrl-C."""
    del given
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # At INFO these log request URLs, and the token is part of them.
    for noisy in ("httpx", "httpcore", "apscheduler"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    with hold_lock(config.database), open_database(config.database) as database:
        bot = app.telegram_bot(config, database)
        fault = app.poll(bot)
    if fault:
        raise BotError(fault)
    return 0


def check(given: argparse.Namespace, config: Config) -> int:
    """`check`: refresh (unless --offline), judge, send what is due; it says what it did."""
    clock = Clock(given.now, running=False)
    with hold_lock(config.database), open_database(config.database) as database:
        services = app.services_of(config, database, clock, live=not given.offline)
        bot = app.local_bot(services, LocalTelegram(printer(sys.stdout), None, clock))
        asyncio.run(_check(bot))
    return 0


async def _check(bot: Bot) -> None:
    async with bot.application:
        for report in await bot.scheduler.refresh():
            say(str(report))
        done = await bot.scheduler.judge()
        market = await bot.services.markets.current()
        say(f"judged up to the close of {market.last_completed:%Y-%m-%d}; prices to {_end(market.end)}")
        for fire in done.fires:
            say(str(fire))
        if not done.fires:
            say("no alert changed")
        if done.summaries:
            say(f"{done.summaries} daily summaries queued")
        sent = await bot.scheduler.drain()
        say(f"messages: {sent.sent} sent, {sent.waiting} waiting")


def _end(end: object) -> str:
    return f"{end:%Y-%m-%d}" if end is not None else "none stored"


def refresh_now(given: argparse.Namespace, config: Config) -> int:
    """`refresh`: fetch from every source now; exit 1 when none answered."""
    del given
    with open_database(config.database) as database:
        reports = asyncio.run(_refresh(config, database))
    for report in reports:
        say(str(report))
    if not reports:
        say("No source is switched on; see [sources] in the config.")
    return 0 if not reports or any(report.ok for report in reports) else 1


async def _refresh(config: Config, database: Database) -> list[Report]:
    services = app.services_of(config, database, app.wall_clock, live=True)
    bot = app.local_bot(services, LocalTelegram(printer(sys.stdout), None, app.wall_clock))
    return await bot.scheduler.refresh(force=True)


def doctor(given: argparse.Namespace, config: Config) -> int:
    """`doctor`: one line a check; exit 1 when one fails."""
    findings = examine(config, given.config if isinstance(given.config, Path) else None)
    for finding in findings:
        say(str(finding))
    return 0 if all(finding.ok for finding in findings) else 1
