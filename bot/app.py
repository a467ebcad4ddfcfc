"""The composition root: builds a bot from configuration and database."""

from collections.abc import Callable
from functools import partial

from telegram.error import InvalidToken, TelegramError
from telegram.ext import Application

from bot.chat.dispatch import Dispatcher, Quota
from bot.chat.updates import PerChatProcessor
from bot.concurrency import ChartRenderer
from bot.config import Config
from bot.data.load import Clock, Markets
from bot.data.refresh import build_providers
from bot.delivery.drain import Delivery
from bot.delivery.outcome import error_text
from bot.jobs.scheduler import Scheduler
from bot.local.botapi import BotApi
from bot.local.terminal import LocalRequest, NoRateLimiter
from bot.services import LOCAL_CHAT, Services
from bot.serving import TOKEN_REFUSED, App, Bot, Link
from storage.database import Database

_LOCAL_TOKEN = "0:local"  # noqa: S105 - no secret; python-telegram-bot demands one


def build_services(
    config: Config, database: Database, clock: Clock, *, live: bool, chart_process: bool = False
) -> Services:
    """Return what handlers and jobs share. `chart_process`: whether charts are drawn in a child process."""
    markets = Markets(database, clock, config.calendar.closed, config.pair, config.command_options)
    return Services(config, database, markets, clock, live=live, charts=ChartRenderer(apart=chart_process))


def telegram_bot(link: Link, *, chart_process: bool = False) -> Bot:
    """Return the bot on a link to Telegram. `chart_process` is as in build_services."""
    services = build_services(link.config, link.database, link.clock, live=True, chart_process=chart_process)
    quota = Quota(link.clock)
    processor = link.application.update_processor
    if isinstance(processor, PerChatProcessor):
        processor.admits = quota.admits_update
    return _assemble(services, link.application, quota, partial(Delivery, except_chat=LOCAL_CHAT))


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


def _assemble(services: Services, application: App, quota: Quota, new_delivery: Callable[..., Delivery]) -> Bot:
    """Return a bot with its handlers, its scheduler and a delivery for the chats that it serves."""
    Dispatcher(services, quota).register(application)
    owner = services.config.access.owner
    delivery = new_delivery(application.bot, services.database, now=services.clock, owner=owner)
    scheduler = Scheduler(services, build_providers(services.config), delivery)
    return Bot(services, application, scheduler, delivery)


async def send_queued(bot: Bot) -> tuple[int, str]:
    """Send the queued messages without polling. Returns how many were sent, and why some were not, or ""."""
    try:
        async with bot.application:
            drained = await bot.delivery.drain()
    except InvalidToken:
        return 0, TOKEN_REFUSED
    except TelegramError as error:
        return 0, f"{bot.services.config.telegram.base_url} cannot be reached ({error_text(error)})"
    return drained.sent, drained.stopped
