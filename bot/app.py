"""Composition root: config and database become services, an Application and a scheduler. No logic."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from telegram import Update
from telegram.error import Conflict, InvalidToken, TelegramError
from telegram.ext import Application

from bot.chat.dispatch import Dispatcher, PerChat, menu
from bot.data.markets import Markets
from bot.data.yahoo import Yahoo
from bot.delivery import Delivery
from bot.jobs.tick import Scheduler
from bot.local import Unlimited
from bot.ratelimit import SendBudget
from bot.services import Services

if TYPE_CHECKING:
    from pathlib import Path

    from telegram.ext import CallbackContext

    from bot.config import Config
    from bot.data.provider import Provider
    from bot.local import LocalTelegram
    from storage.db import Database

_log = logging.getLogger(__name__)
Clock = Callable[[], dt.datetime]
App = Application[Any, Any, Any, Any, Any, Any]
UPDATES = [Update.MESSAGE, Update.CALLBACK_QUERY, Update.MY_CHAT_MEMBER]
_LOCAL_TOKEN = "0:local"  # noqa: S105 - the terminal asks for none, the library for something


@dataclass
class Bot:
    """All parts of one running bot; `fault` is set when it had to stop."""

    services: Services
    application: App
    scheduler: Scheduler
    delivery: Delivery
    fault: str = ""


def wall_clock() -> dt.datetime:
    """The clock of `run`."""
    return dt.datetime.now(dt.UTC)


def services_of(config: Config, database: Database, clock: Clock, *, live: bool) -> Services:
    """What handlers and jobs share."""
    return Services(config, database, Markets(database, clock, config.closed), clock, live=live)


def providers_of(config: Config) -> list[Provider]:
    """The sources that the config switches on."""
    return [Yahoo(_cache(config.database), config.yahoo_timeout)] if config.yahoo else []


def _cache(database: Path) -> Path:
    """The sources' own folder beside the database."""
    return database.parent / "cache"


def telegram_bot(config: Config, database: Database, clock: Clock = wall_clock) -> Bot:
    """The bot on Telegram: long polling, rate limits, scheduler."""
    services = services_of(config, database, clock, live=True)
    application: App = (
        Application.builder()
        .token(config.token)
        .base_url(f"{config.base_url}/bot")
        .base_file_url(f"{config.base_url}/file/bot")
        .read_timeout(30)
        .rate_limiter(SendBudget())
        .concurrent_updates(PerChat())
        .post_init(_begin)
        .post_stop(_end)
        .build()
    )
    bot = _assembled(services, application)
    application.bot_data["bot"] = bot
    application.add_error_handler(_stop_on_conflict)
    return bot


def poll(bot: Bot) -> str:
    """Poll Telegram until a signal; why it had to stop by itself, "" for a signal."""
    try:
        bot.application.run_polling(allowed_updates=UPDATES)
    except InvalidToken:
        return "Telegram refuses this token; ask @BotFather for a valid one."
    except TelegramError as error:
        return f"Telegram cannot be reached: {error}"
    return bot.fault


def local_bot(services: Services, telegram: LocalTelegram) -> Bot:
    """The same bot in the terminal: our own request object answers instead of Telegram."""
    application: App = (
        Application.builder()
        .token(_LOCAL_TOKEN)
        .request(telegram)
        .get_updates_request(telegram)
        .rate_limiter(Unlimited())
        .updater(None)
        .job_queue(None)
        .build()
    )
    return _assembled(services, application, only=telegram.chat_id)


def _assembled(services: Services, application: App, only: int | None = None) -> Bot:
    Dispatcher(services).register(application)
    delivery = Delivery(
        application.bot,
        services.database,
        now=services.clock,
        owner=services.config.owner,
        only=only,
    )
    scheduler = Scheduler(services, providers_of(services.config), delivery)
    return Bot(services, application, scheduler, delivery)


async def _begin(application: App) -> None:
    """Before polling: settle what a crash left, offer the menu, start the ticks."""
    bot: Bot = application.bot_data["bot"]
    await bot.delivery.recover()
    await application.bot.set_my_commands(menu())
    bot.scheduler.schedule(application)


async def _end(application: App) -> None:
    """After polling: let requests under way be settled."""
    bot: Bot = application.bot_data["bot"]
    await bot.delivery.stop()


async def _stop_on_conflict(update: object, context: CallbackContext[Any, Any, Any, Any]) -> None:
    """Telegram allows one poller a token: the second one stops and says so."""
    del update
    if isinstance(context.error, Conflict):
        bot: Bot = context.application.bot_data["bot"]
        bot.fault = (
            "Another process polls Telegram with this token. One bot, one process: stop the other first."
        )
        context.application.stop_running()
