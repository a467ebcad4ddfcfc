"""The commands run and check: the bot on Telegram, and one pass of its work without polling."""

from __future__ import annotations

import asyncio
import datetime as dt
import sys
from functools import partial
from typing import TYPE_CHECKING

from bot import serving
from bot.cli import loading
from bot.cli.console import log_briefly, log_fully, open_exclusively, open_when_there_is_room, say, spinner
from bot.errors import BotError
from bot.text import counted
from storage import outbox
from storage.database import refuse_missing

if TYPE_CHECKING:
    from bot.config import Config
    from bot.serving import Bot, Link


def run(config: Config) -> int:
    """`run`: poll Telegram until SIGTERM or Ctrl-C. The command line holds the lock already."""
    log_fully(config.log.level)
    with open_when_there_is_room(config.storage.database, config.pair) as database:
        link = serving.link_to_telegram(config, database)
        fault = serving.run_bot(link, partial(_load, link))
    if fault:
        raise BotError(fault)
    return 0


def _load(link: Link) -> Bot:
    with loading():
        from bot import app  # noqa: PLC0415 - beside the first poll: it takes longer than all else at a start

        return app.telegram_bot(link, chart_process=True)


def check(config: Config, *, now: dt.datetime | None, offline: bool) -> int:
    """`check`: refresh (unless --offline), evaluate the alerts, send what is due, and print what was done.

    Messages to the terminal's chat are printed. The others are sent if a token is configured.
    """
    from bot import app  # noqa: PLC0415 - as above
    from bot.local.terminal import LocalClock, Terminal, printer  # noqa: PLC0415 - as above

    log_briefly()
    refuse_missing(config.storage.database)
    clock = LocalClock(now, running=False)
    with open_exclusively(config.storage.database, config.pair) as database:
        services = app.build_services(config, database, clock, live=not offline)
        bot = app.local_bot(services, Terminal(printer(sys.stdout), None, clock).api)
        online = config.telegram.token and not offline
        link = serving.link_to_telegram(config, database, clock) if online else None
        telegram = app.telegram_bot(link) if link else None
        asyncio.run(_check(bot, telegram))
    return 0


async def _check(bot: Bot, telegram: Bot | None) -> None:
    from bot import app  # noqa: PLC0415 - as above

    await bot.delivery.recover()
    async with bot.application:
        with spinner("Asking the sources"):
            reports = await bot.scheduler.refresh()
        for report in reports:
            say(str(report))
        evaluation = await bot.scheduler.evaluate()
        market = await bot.services.markets.current()
        if market.end is None:
            say("no alerts evaluated: no prices of both funds are stored; try “refresh” or “import prices”")
        else:
            last = f"last completed session {market.last_completed:%Y-%m-%d}"
            say(f"{last}; alerts evaluated on prices to {market.end:%Y-%m-%d}")
        for fire in evaluation.fires:
            say(str(fire))
        if not evaluation.fires and market.end is not None:
            say("no alert turned true")
        if evaluation.summaries:
            say(f"{counted(evaluation.summaries, 'daily summary')} queued")
        drained = await bot.scheduler.drain()
        sent, problem = await app.send_queued(telegram) if telegram else (0, "")
        if problem:
            say(problem)  # what was not sent stays in the queue
        queue = await bot.services.database.run(outbox.count_by_status)
        waiting = sum(queue.get(status, 0) for status in ("queued", "waiting", "ambiguous"))
        say(f"messages: {drained.sent + sent} sent, {waiting} waiting{' for “run”' if waiting else ''}")
