"""Serving Telegram: connecting, polling while the rest is loaded, and shutting down.

Telegram is polled before the rest of the bot is loaded, which takes longer than python-telegram-bot itself.
Therefore nothing is imported here that computes or renders. Updates wait in their queue for the handlers, and
are not confirmed to Telegram before there are any.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from telegram import BotCommandScopeAllChatAdministrators, BotCommandScopeAllGroupChats, BotCommandScopeChat
from telegram.error import InvalidToken, TelegramError
from telegram.ext import Application, ExtBot

from bot.chat.updates import POLL_RETRIES, PerChatProcessor, Poller, UpdatesRequest
from bot.concurrency import living_children, run_in_daemon_thread
from bot.delivery.outcome import error_text
from bot.delivery.rate_limiter import SendBudget
from bot.delivery.request import TelegramRequest
from storage import sources
from storage.database import Database, DiskFault, DiskFull, StorageError

if TYPE_CHECKING:
    from bot.config import Config
    from bot.delivery.drain import Delivery
    from bot.jobs.scheduler import Scheduler
    from bot.services import Services


_log = logging.getLogger(__name__)
_sleep = asyncio.sleep
_now = partial(dt.datetime.now, dt.UTC)
App: TypeAlias = Application[Any, Any, Any, Any, Any, Any]
TOKEN_REFUSED = "Telegram refuses this token; ask @BotFather for a valid one."  # noqa: S105 - a sentence
# Together less than the 10 s that a service manager gives after SIGTERM.
DRAIN_SECONDS, CUT_SECONDS, LAST_SECONDS, EXIT_SECONDS = 6.0, 1.0, 0.5, 9.0
# How often a computing thread lets others run. An answer waits for it a dozen times: with Python's default of
# 5 ms, one person's charts would delay everybody.
SWITCH_SECONDS = 0.0005
HEAD_START = 0.05  # seconds for the first poll to go out before imports take the interpreter


@dataclass
class Link:
    """What polling needs: an Application without handlers, and what tells whether the process lives."""

    config: Config
    database: Database
    application: App
    clock: Callable[[], dt.datetime]


@dataclass
class Bot:
    """All parts of one bot."""

    services: Services
    application: App
    scheduler: Scheduler
    delivery: Delivery


def link_to_telegram(
    config: Config, database: Database, clock: Callable[[], dt.datetime] = _now, limiter: SendBudget | None = None
) -> Link:
    """Return the link to Telegram, with rate limits. Connects to nothing yet."""
    application: App = (
        Application.builder()
        .token(config.telegram.token.get_secret_value())
        .base_url(f"{config.telegram.base_url}/bot")
        .base_file_url(f"{config.telegram.base_url}/file/bot")
        .request(TelegramRequest(read_timeout=30))
        .get_updates_request(UpdatesRequest())
        .rate_limiter(limiter or SendBudget())
        .concurrent_updates(PerChatProcessor())
        .updater(None)
        .build()
    )
    return Link(config, database, application, clock)


def run_bot(link: Link, load: Callable[[], Bot]) -> str:
    """Serve Telegram until a signal. Returns why the bot stopped by itself, or "" after a signal."""
    sys.setswitchinterval(SWITCH_SECONDS)
    signals, signalled = os.pipe()
    threading.Thread(target=_exit_after, args=(signals,), daemon=True).start()
    return asyncio.run(serve(link, load, on_signal=lambda: os.write(signalled, b".")))


def _exit_after(signals: int) -> None:
    """Exit as if killed, some time after a signal: if work blocks the event loop, or a thread does not end.

    Nothing is lost: unfinished sends count as unknown, other work is repeated.
    """
    os.read(signals, 1)
    time.sleep(EXIT_SECONDS)
    for child in living_children():
        child.kill()  # else a job in it would keep the standard streams open
    _log.warning("stopped in the middle of the work; the next start goes on with it")
    os._exit(0)


async def serve(link: Link, load: Callable[[], Bot], on_signal: Callable[[], object] = lambda: None) -> str:
    """Serve until SIGTERM, SIGINT or a fault, then finish what is under way within 10 s.

    `load`, which is called in a thread while Telegram is polled, returns the bot on the link. Returns why the
    bot stopped by itself, or "" after a signal. `on_signal` is called at the signal, even while work blocks
    the event loop.
    """
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)  # once the loop is free
        signal.signal(number, lambda *_: on_signal())  # at once; the loop is woken all the same
    start = _Start(link, load)
    polling = asyncio.create_task(start.run())
    signalled = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({polling, signalled}, return_when=asyncio.FIRST_COMPLETED)
        return polling.result() if polling.done() else ""
    finally:
        for task in (polling, signalled):
            task.cancel()
        await asyncio.gather(polling, signalled, return_exceptions=True)
        await _shut_down(link.application, start.poller, await start.bot())


class _Start:
    """The start of a bot: connects, polls, and meanwhile loads the rest and starts it."""

    def __init__(self, link: Link, load: Callable[[], Bot]) -> None:
        self._link, self._load = link, load
        self._loading: asyncio.Task[Bot] | None = None
        self._ready = asyncio.Event()
        self.poller = Poller(link.application.bot, link.application.update_queue, ready=self._ready)

    async def run(self) -> str:
        """Start the bot and poll. Returns why it cannot go on."""
        if problem := await _connect(self._link):
            return problem
        polling = asyncio.create_task(self.poller.run())
        tasks: set[asyncio.Task[Any]] = {polling}
        try:
            await asyncio.wait(tasks, timeout=HEAD_START)
            if not polling.done():
                tasks.add(starting := asyncio.create_task(self._start()))
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if not polling.done():
                    await starting
            return await polling
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def bot(self) -> Bot | None:
        """Return the bot once it is loaded, or None if it never is."""
        if self._loading is None:
            return None
        await asyncio.wait({self._loading})
        return None if self._loading.cancelled() or self._loading.exception() else self._loading.result()

    async def _start(self) -> None:
        self._loading = asyncio.create_task(run_in_daemon_thread(self._load, "loading"))
        bot = await asyncio.shield(self._loading)
        await _recover_state(bot)
        bot.scheduler.schedule(bot.application)
        await bot.application.start()
        self._ready.set()
        _log.info("@%s serves", bot.application.bot.username)
        await _show_menus(bot)  # last: nobody waits for it


async def _show_menus(bot: Bot) -> None:
    """Set the menus of commands, by who may use them, and what the bot says of itself."""
    from bot.chat.access import Role  # noqa: PLC0415 - as above
    from bot.chat.dispatch import menu  # noqa: PLC0415 - loaded by now
    from bot.messages.pages.help import described  # noqa: PLC0415 - as above

    telegram, services = bot.application.bot, bot.services
    name, about, short = described(services.pair)
    calls = [
        telegram.set_my_commands(menu(Role.ADMIN)),
        telegram.set_my_commands(menu(Role.MEMBER), scope=BotCommandScopeAllGroupChats()),
        telegram.set_my_commands(menu(Role.ADMIN), scope=BotCommandScopeAllChatAdministrators()),
        _rename(telegram, name),
        telegram.set_my_description(about),
        telegram.set_my_short_description(short),
    ]
    if (owner := services.config.access.owner) is not None:
        calls.append(telegram.set_my_commands(menu(Role.OWNER), scope=BotCommandScopeChat(owner)))
    await asyncio.gather(*map(_set, calls))


async def _set(call: Awaitable[object]) -> None:
    """Wait for a call. That of the owner's menu fails until they have written to the bot."""
    try:
        await call
    except TelegramError as error:
        _log.warning("a menu of commands was not set: %s", error_text(error))


async def _rename(telegram: ExtBot[Any], name: str) -> None:
    """Give the bot its name unless it has it: Telegram allows few changes of it a day."""
    if (await telegram.get_my_name()).name != name:
        await telegram.set_my_name(name)


async def _connect(link: Link) -> str:
    """Connect to Telegram, however long that takes. Returns why it is impossible, or "".

    The heartbeat goes on meanwhile: without it, a health check would restart the bot in Telegram's outage.
    """
    for failures in itertools.count():
        try:
            await link.application.initialize()
        except InvalidToken:
            return TOKEN_REFUSED
        except TelegramError as error:
            url, wait = link.config.telegram.base_url, POLL_RETRIES.wait(failures).total_seconds()
            _log.warning("%s cannot be reached (%s); next try in %.0f s", url, error_text(error), wait)
            with suppress(StorageError):
                await link.database.run(partial(sources.record_heartbeat, now=link.clock()))
            await _sleep(wait)
        else:
            break
    return ""


async def _recover_state(bot: Bot) -> None:
    """Settle what a crash left unfinished, and deactivate chats that the configuration no longer admits.

    Waits on a full disk: a bot that ended would be restarted again and again.
    """
    from bot.services import LOCAL_CHAT  # noqa: PLC0415 - as above
    from bot.services.chats import deactivate_denied_chats  # noqa: PLC0415 - as above

    for failures in itertools.count():
        try:
            await bot.delivery.recover()
            deactivated = await deactivate_denied_chats(bot.services, except_chat=LOCAL_CHAT)
        except (DiskFault, DiskFull) as error:
            wait = POLL_RETRIES.wait(failures).total_seconds()
            _log.error("%s Next try in %.0f s", error, wait)
            await bot.delivery.outage_notifier.notify(error)
            await _sleep(wait)
        else:
            if deactivated:
                _log.info("%d chats were deactivated: they may no longer use the bot", deactivated)
            return


async def _shut_down(application: App, poller: Poller, bot: Bot | None) -> None:
    """Finish what is under way and start nothing new. What is late is cut off; its outcome is unknown."""
    served = application.running
    steps = [*([bot.delivery.stop()] if bot else []), *([application.stop()] if served else [])]
    ending = {asyncio.create_task(step) for step in steps}
    late = (await asyncio.wait(ending, timeout=DRAIN_SECONDS))[1] if ending else set()
    if late:
        _log.warning("stopped with requests under way; the next start goes on with them")
        if bot:
            bot.scheduler.work.cut()
        if isinstance(application.update_processor, PerChatProcessor):
            application.update_processor.cut()
    elif served:
        await poller.confirm_updates()
    if bot:
        bot.services.charts.close()
    with suppress(TelegramError):
        await application.bot.shutdown()  # closes the connections, so that requests end now
    done, late = await asyncio.wait(ending, timeout=CUT_SECONDS) if ending else (ending, ending)
    for step in done:
        if not step.cancelled() and (fault := step.exception()) is not None:
            _log.error("the shutdown failed in part", exc_info=fault)
    if late and bot:
        bot.scheduler.sending.cut()
        _, late = await asyncio.wait(late, timeout=LAST_SECONDS)
    for step in late:
        step.cancel()  # what still computes can no longer send its answer
    await application.shutdown()
