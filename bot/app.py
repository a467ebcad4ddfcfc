"""Composition root: config and database become services, an Application and a scheduler. No logic."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING

from telegram.ext import Application

from bot.analytics.sessions import Sessions
from bot.chart_process import ChartRenderer
from bot.chat.dispatch import Dispatcher
from bot.chat.polling import PerChatProcessor, UpdatesRequest
from bot.data.daily_csv import DailyCsv
from bot.data.issuers.fetch import IssuerFiles
from bot.data.markets import Markets
from bot.data.yahoo import Yahoo
from bot.delivery import Delivery
from bot.jobs.tick import Scheduler
from bot.local import LOCAL_CHAT, LocalRequest, NoRateLimiter
from bot.quota import Quota
from bot.ratelimit import SendBudget
from bot.services.base import Services, wall_clock
from bot.serving import App, Bot

if TYPE_CHECKING:
    from pathlib import Path

    from bot.config import Config
    from bot.data.provider import Provider
    from bot.local.botapi import BotApi
    from storage.db import Database

Clock = Callable[[], dt.datetime]
_LOCAL_TOKEN = "0:local"  # noqa: S105 - no secret; the library demands one


def build_services(
    config: Config, database: Database, clock: Clock, *, live: bool, chart_process: bool = False
) -> Services:
    """Return what handlers and jobs share; `chart_process` draws charts in a process of its own."""
    markets = Markets(database, clock, config.calendar.closed, config.pair)
    return Services(config, database, markets, clock, live=live, charts=ChartRenderer(apart=chart_process))


def build_providers(config: Config) -> list[Provider]:
    """Return the sources that the config switches on."""
    providers: list[Provider] = []
    tickers = config.pair.tickers
    if config.sources.yahoo:
        providers.append(Yahoo(_cache_folder(config.storage.database), config.sources.yahoo_timeout, tickers))
    if config.sources.daily_csv:
        providers.append(
            DailyCsv(config.sources.daily_csv, lambda: Sessions(config.calendar.closed), tickers=tickers)
        )
    urls = {fund.ticker: fund.issuer_file for fund in config.pair if fund.issuer_file}
    if config.issuer.fetch and urls:
        providers.append(IssuerFiles(urls, pair=config.pair))
    return providers


def _cache_folder(database: Path) -> Path:
    """Return the folder of the sources' own files, beside the database."""
    return database.parent / "cache"


def telegram_bot(
    config: Config,
    database: Database,
    clock: Clock = wall_clock,
    limiter: SendBudget | None = None,
    *,
    chart_process: bool = False,
) -> Bot:
    """The bot on Telegram: long polling, rate limits, scheduler; `chart_process` as in build_services."""
    services = build_services(config, database, clock, live=True, chart_process=chart_process)
    quota = Quota(clock)
    application: App = (
        Application.builder()
        .token(config.telegram.token.get_secret_value())
        .base_url(f"{config.telegram.base_url}/bot")
        .base_file_url(f"{config.telegram.base_url}/file/bot")
        .read_timeout(30)
        .get_updates_request(UpdatesRequest())
        .rate_limiter(limiter or SendBudget())
        .concurrent_updates(PerChatProcessor(quota))
        .updater(None)
        .build()
    )
    return _assemble(services, application, quota, besides=LOCAL_CHAT)


def local_bot(services: Services, api: BotApi) -> Bot:
    """Return the same bot for the terminal, on a Bot API in this process."""
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
    return _assemble(services, application, Quota(services.clock), only=LOCAL_CHAT)


def _assemble(
    services: Services,
    application: App,
    quota: Quota,
    *,
    only: int | None = None,
    besides: int | None = None,
) -> Bot:
    Dispatcher(services, quota).register(application)
    delivery = Delivery(
        application.bot,
        services.database,
        now=services.clock,
        owner=services.config.access.owner,
        only=only,
        besides=besides,
    )
    scheduler = Scheduler(services, build_providers(services.config), delivery)
    return Bot(services, application, scheduler, delivery)
