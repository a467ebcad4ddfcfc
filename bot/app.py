"""The composition root: builds a bot from configuration and database, and serves Telegram with it.

A bot starts, serves until a signal or a fault, and finishes what is under way.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from telegram import BotCommandScopeChat
from telegram.error import InvalidToken, TelegramError
from telegram.ext import Application

from bot.chat.dispatch import Dispatcher, Quota, menu
from bot.chat.updates import POLL_RETRIES, PerChatProcessor, Poller, UpdatesRequest
from bot.concurrency import ChartRenderer
from bot.data.load import Clock, Markets
from bot.data.refresh import build_providers
from bot.delivery.drain import Delivery
from bot.delivery.outcome import error_text
from bot.delivery.rate_limiter import SendBudget
from bot.delivery.request import TelegramRequest
from bot.jobs.scheduler import Scheduler
from bot.local.terminal import LOCAL_CHAT, LocalRequest, NoRateLimiter
from bot.services import Services, wall_clock
from bot.services.chats import deactivate_denied_chats
from storage import sources
from storage.db import Database, DiskFault, DiskFull, StorageError

if TYPE_CHECKING:
    from bot.config import Config
    from bot.local.botapi import BotApi


_log = logging.getLogger(__name__)
_sleep = asyncio.sleep
App: TypeAlias = Application[Any, Any, Any, Any, Any, Any]
_LOCAL_TOKEN = "0:local"  # noqa: S105 - no secret; python-telegram-bot demands one
_TOKEN_REFUSED = "Telegram refuses this token; ask @BotFather for a valid one."  # noqa: S105 - a sentence
# Together less than the 10 s that a service manager gives after SIGTERM.
DRAIN_SECONDS, CUT_SECONDS, LAST_SECONDS, EXIT_SECONDS = 6.0, 1.0, 0.5, 9.0
# How often a computing thread lets others run. An answer waits for it a dozen times: with Python's default of
# 5 ms, one person's charts would delay everybody.
SWITCH_SECONDS = 0.0005


# Building a bot


@dataclass
class Bot:
    """All parts of one bot."""

    services: Services
    application: App
    scheduler: Scheduler
    delivery: Delivery


def build_services(
    config: Config, database: Database, clock: Clock, *, live: bool, chart_process: bool = False
) -> Services:
    """Return what handlers and jobs share. `chart_process`: whether charts are drawn in a child process."""
    markets = Markets(database, clock, config.calendar.closed, config.pair, config.command_options)
    return Services(config, database, markets, clock, live=live, charts=ChartRenderer(apart=chart_process))


def telegram_bot(
    config: Config,
    database: Database,
    clock: Clock = wall_clock,
    limiter: SendBudget | None = None,
    *,
    chart_process: bool = False,
) -> Bot:
    """Return the bot on Telegram, with rate limits. `chart_process` is as in build_services."""
    services = build_services(config, database, clock, live=True, chart_process=chart_process)
    quota = Quota(clock)
    application: App = (
        Application.builder()
        .token(config.telegram.token.get_secret_value())
        .base_url(f"{config.telegram.base_url}/bot")
        .base_file_url(f"{config.telegram.base_url}/file/bot")
        .request(TelegramRequest(read_timeout=30))
        .get_updates_request(UpdatesRequest())
        .rate_limiter(limiter or SendBudget())
        .concurrent_updates(PerChatProcessor(quota))
        .updater(None)
        .build()
    )
    return _assemble(services, application, quota, partial(Delivery, except_chat=LOCAL_CHAT))


def local_bot(services: Services, api: BotApi) -> Bot:
    """Return a bot on a Bot API in this process."""
    request = LocalRequest(api)
    application: App = (
        Application.builder()
        .token(_LOCAL_TOKEN)
        .request(request)
        .get_updates_request(request)
        .rate_limiter(NoRateLimiter())
        .updater(None)
        .job_queue(None)
        .build()
    )
    return _assemble(services, application, Quota(services.clock), partial(Delivery, only_chat=LOCAL_CHAT))


def _assemble(
    services: Services, application: App, quota: Quota, new_delivery: Callable[..., Delivery]
) -> Bot:
    """Return a bot with its handlers, its scheduler and a delivery for the chats that it serves."""
    Dispatcher(services, quota).register(application)
    owner = services.config.access.owner
    delivery = new_delivery(application.bot, services.database, now=services.clock, owner=owner)
    scheduler = Scheduler(services, build_providers(services.config), delivery)
    return Bot(services, application, scheduler, delivery)


# Serving Telegram


def run_bot(bot: Bot) -> str:
    """Serve Telegram until a signal. Returns why the bot stopped by itself, or "" after a signal."""
    sys.setswitchinterval(SWITCH_SECONDS)
    signals, signalled = os.pipe()
    threading.Thread(target=_exit_after, args=(signals,), daemon=True).start()
    return asyncio.run(serve(bot, on_signal=lambda: os.write(signalled, b".")))


def _exit_after(signals: int) -> None:
    """Exit as if killed, some time after a signal: if work blocks the event loop, or a thread does not end.

    Nothing is lost: unfinished sends count as unknown, other work is repeated.
    """
    os.read(signals, 1)
    time.sleep(EXIT_SECONDS)
    for child in multiprocessing.active_children():
        child.kill()  # else a job in it would keep the standard streams open
    _log.warning("stopped in the middle of the work; the next start goes on with it")
    os._exit(0)


async def serve(bot: Bot, on_signal: Callable[[], object] = lambda: None) -> str:
    """Serve until SIGTERM, SIGINT or a fault, then finish what is under way within 10 s.

    Returns why the bot stopped by itself, or "" after a signal. `on_signal` is called at the signal, even
    while work blocks the event loop.
    """
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)  # once the loop is free
        signal.signal(number, lambda *_: on_signal())  # at once; the loop is woken all the same
    poller = Poller(bot.application.bot, bot.application.update_queue)
    polling = asyncio.create_task(_start_and_poll(bot, poller))
    signalled = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({polling, signalled}, return_when=asyncio.FIRST_COMPLETED)
        return polling.result() if polling.done() else ""
    finally:
        for task in (polling, signalled):
            task.cancel()
        await asyncio.gather(polling, signalled, return_exceptions=True)
        await _shut_down(bot, poller)


async def _start_and_poll(bot: Bot, poller: Poller) -> str:
    """Start the bot and poll. Returns why it cannot go on."""
    if problem := await _connect(bot):
        return problem
    await _recover_state(bot)
    await _show_menus(bot)
    bot.scheduler.schedule(bot.application)
    await bot.application.start()
    _log.info("@%s serves", bot.application.bot.username)
    return await poller.run()


async def _show_menus(bot: Bot) -> None:
    """Set the menu of commands, and the owner's, which also has the commands for the owner alone."""
    telegram, owner = bot.application.bot, bot.services.config.access.owner
    try:
        await telegram.set_my_commands(menu())
        if owner is not None:
            await telegram.set_my_commands(menu(owner=True), scope=BotCommandScopeChat(owner))
    except TelegramError as error:  # the owner's fails until they have written to the bot
        _log.warning("a menu of commands was not set: %s", error_text(error))


async def _connect(bot: Bot) -> str:
    """Connect to Telegram, however long that takes. Returns why it is impossible, or "".

    The heartbeat goes on meanwhile: without it, a health check would restart the bot in Telegram's outage.
    """
    for failures in itertools.count():
        try:
            await bot.application.initialize()
        except InvalidToken:
            return _TOKEN_REFUSED
        except TelegramError as error:
            url, wait = bot.services.config.telegram.base_url, POLL_RETRIES.seconds(failures)
            _log.warning("%s cannot be reached (%s); next try in %.0f s", url, error_text(error), wait)
            with suppress(StorageError):
                await bot.services.database.run(partial(sources.record_heartbeat, now=bot.services.clock()))
            await _sleep(wait)
        else:
            break
    return ""


async def _recover_state(bot: Bot) -> None:
    """Settle what a crash left unfinished, and deactivate chats that the configuration no longer admits.

    Waits on a full disk: a bot that ended would be restarted again and again.
    """
    for failures in itertools.count():
        try:
            await bot.delivery.recover()
            deactivated = await deactivate_denied_chats(bot.services, except_chat=LOCAL_CHAT)
        except (DiskFault, DiskFull) as error:
            wait = POLL_RETRIES.seconds(failures)
            _log.error("%s Next try in %.0f s", error, wait)
            await bot.delivery.outage_notifier.notify(error)
            await _sleep(wait)
        else:
            if deactivated:
                _log.info("%d chats were deactivated: they may no longer use the bot", deactivated)
            return


async def _shut_down(bot: Bot, poller: Poller) -> None:
    """Finish what is under way and start nothing new. What is late is cut off; its outcome is unknown."""
    application = bot.application
    steps = [bot.delivery.stop(), *([application.stop()] if application.running else [])]
    ending = [asyncio.create_task(step) for step in steps]
    _, late = await asyncio.wait(ending, timeout=DRAIN_SECONDS)
    if late:
        _log.warning("stopped with requests under way; the next start goes on with them")
        bot.scheduler.cut()
        if isinstance(application.update_processor, PerChatProcessor):
            application.update_processor.cut()
    else:
        await poller.confirm_updates()
    bot.services.charts.close()
    with suppress(TelegramError):
        await application.bot.shutdown()  # closes the connections, so that requests end now
    done, late = await asyncio.wait(ending, timeout=CUT_SECONDS)
    for step in done:
        if not step.cancelled() and (fault := step.exception()) is not None:
            _log.error("the shutdown failed in part", exc_info=fault)
    if late:
        bot.scheduler.cut_sending()
        _, late = await asyncio.wait(late, timeout=LAST_SECONDS)
    for step in late:
        step.cancel()  # what still computes can no longer send its answer
    await application.shutdown()


async def send_queued(bot: Bot) -> tuple[int, str]:
    """Send the queued messages without polling. Returns how many were sent, and why some were not, or ""."""
    try:
        async with bot.application:
            drained = await bot.delivery.drain()
    except InvalidToken:
        return 0, _TOKEN_REFUSED
    except TelegramError as error:
        return 0, f"{bot.services.config.telegram.base_url} cannot be reached ({error_text(error)})"
    return drained.sent, drained.stopped
