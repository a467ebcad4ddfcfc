"""The life of one bot on Telegram: it starts, serves until a signal or a fault, and drains."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from telegram import BotCommandScopeChat
from telegram.error import InvalidToken, TelegramError
from telegram.ext import Application

from bot.chat.dispatch import menu
from bot.chat.polling import RETRIES, Poller, error_text
from bot.local import LOCAL_CHAT
from bot.services.chats import deactivate_denied_chats
from storage import sources
from storage.db import DiskFault, DiskFull, StorageError

if TYPE_CHECKING:
    from bot.delivery import Delivery
    from bot.jobs.tick import Scheduler
    from bot.services.base import Services

_log = logging.getLogger(__name__)
_sleep = asyncio.sleep
App: TypeAlias = Application[Any, Any, Any, Any, Any, Any]
# Together less than the 10 s that a service manager gives after SIGTERM.
DRAIN_SECONDS, CUT_SECONDS, LAST_SECONDS = 6.0, 1.0, 9.0
# A thread that computes gives way to the others so often; Python's own 5 ms, waited for a dozen times in each
# answer, would let everybody feel one person's charts.
TURN_SECONDS = 0.0005


@dataclass
class Bot:
    """All parts of one bot."""

    services: Services
    application: App
    scheduler: Scheduler
    delivery: Delivery


def poll(bot: Bot) -> str:
    """Serve Telegram until a signal; why it had to stop by itself, "" for a signal."""
    sys.setswitchinterval(TURN_SECONDS)
    return asyncio.run(serve(bot, when_told=_end_in_time))


def _end_in_time() -> None:
    """No thread that computes, or waits for another program's lock on the file, holds up the end for long."""
    watch = threading.Timer(LAST_SECONDS, _end)
    watch.daemon = True
    watch.start()


def _end() -> None:
    """End as if killed, which loses nothing: what was begun is in doubt, or is done again."""
    _log.warning("stopped in the middle of the work; the next start goes on with it")
    os._exit(0)


async def serve(bot: Bot, when_told: Callable[[], None] = lambda: None) -> str:
    """Serve until SIGTERM, SIGINT or a fault, then let what is under way be finished, in 10 s at most."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        if not told.is_set():
            told.set()
            when_told()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    poller = Poller(bot.application.bot, bot.application.update_queue)
    living = asyncio.create_task(_live(bot, poller))
    waiting = asyncio.create_task(told.wait())
    try:
        await asyncio.wait({living, waiting}, return_when=asyncio.FIRST_COMPLETED)
        return living.result() if living.done() else ""
    finally:
        for task in (living, waiting):
            task.cancel()
        await asyncio.gather(living, waiting, return_exceptions=True)
        await _drain(bot, poller)


async def _live(bot: Bot, poller: Poller) -> str:
    """Start and poll; why polling must not go on."""
    if refused := await _reach(bot):
        return refused
    await _recover(bot)
    await _show_menus(bot)
    bot.scheduler.schedule(bot.application)
    await bot.application.start()
    _log.info("@%s serves", bot.application.bot.username)
    return await poller.run()


async def _show_menus(bot: Bot) -> None:
    """The menu of commands for everybody, and the owner's with what is theirs alone."""
    telegram, owner = bot.application.bot, bot.services.config.access.owner
    try:
        await telegram.set_my_commands(menu())
        if owner is not None:
            await telegram.set_my_commands(menu(owner=True), scope=BotCommandScopeChat(owner))
    except TelegramError as error:  # the owner's fails until they have written to the bot
        _log.warning("a menu of commands was not set: %s", error_text(error))


async def _reach(bot: Bot) -> str:
    """Ask Telegram who the bot is, until it answers; why it never will.

    Who waits is alive: without a beat, `doctor` would have a bot restarted for Telegram's outage.
    """
    for failures in itertools.count():
        try:
            await bot.application.initialize()
        except InvalidToken:
            return "Telegram refuses this token; ask @BotFather for a valid one."
        except TelegramError as error:
            url, wait = bot.services.config.telegram.base_url, RETRIES.seconds(failures)
            _log.warning("%s cannot be reached (%s); next try in %.0f s", url, error_text(error), wait)
            with suppress(StorageError):
                await bot.services.database.run(partial(sources.beat, now=bot.services.clock()))
            await _sleep(wait)
        else:
            break
    return ""


async def _recover(bot: Bot) -> None:
    """Settle what a crash left, and whom the configuration shuts out now.

    A full disk is waited for: to end would be to be started again, and again.
    """
    for failures in itertools.count():
        try:
            await bot.delivery.recover()
            deactivated = await deactivate_denied_chats(bot.services, besides=LOCAL_CHAT)
        except (DiskFault, DiskFull) as error:
            wait = RETRIES.seconds(failures)
            _log.error("%s Next try in %.0f s", error, wait)
            await bot.delivery.outage.failed(error)
            await _sleep(wait)
        else:
            if deactivated:
                _log.info("%d chats were deactivated: they may no longer use the bot", deactivated)
            return


async def _drain(bot: Bot, poller: Poller) -> None:
    """Claim nothing more, finish what is under way; then cut it off, and its outcome is unknown."""
    application = bot.application
    steps = [bot.delivery.stop(), *([application.stop()] if application.running else [])]
    ending = [asyncio.create_task(step) for step in steps]
    _, late = await asyncio.wait(ending, timeout=DRAIN_SECONDS)
    if late:
        _log.warning("stopped with requests under way; the next start goes on with them")
    else:
        await poller.confirm_updates()
    bot.services.charts.close()
    with suppress(TelegramError):
        await application.bot.shutdown()  # closes the connections, so that requests end now
    done, late = await asyncio.wait(ending, timeout=CUT_SECONDS)
    for step in done:
        if not step.cancelled() and (fault := step.exception()) is not None:
            _log.error("not all could be put away", exc_info=fault)
    for step in late:
        step.cancel()  # what still computes has nobody left to tell
    await application.shutdown()


async def send_waiting(bot: Bot) -> tuple[int, str]:
    """Send what waits, without polling: how many, and why not all of it, or ""."""
    try:
        async with bot.application:
            drained = await bot.delivery.drain()
    except InvalidToken:
        return 0, "Telegram refuses this token; ask @BotFather for a valid one."
    except TelegramError as error:
        return 0, f"{bot.services.config.telegram.base_url} cannot be reached ({error_text(error)})"
    return drained.sent, drained.stopped
