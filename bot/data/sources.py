"""The sources that a configuration switches on. To add one, write its Provider and add it here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.analytics.sessions import Sessions
from bot.data.csv_source import DailyCsv
from bot.data.issuers.fetch import IssuerFiles
from bot.data.yahoo import Yahoo

if TYPE_CHECKING:
    from bot.config import Config
    from bot.data.provider import Provider


def build_providers(config: Config) -> list[Provider]:
    """Return the sources that the configuration switches on."""
    providers: list[Provider] = []
    tickers = config.pair.tickers
    if config.sources.yahoo:
        cache = config.storage.database.parent / "cache"
        providers.append(Yahoo(cache, config.sources.yahoo_timeout, tickers))
    if config.sources.daily_csv:
        providers.append(
            DailyCsv(config.sources.daily_csv, lambda: Sessions(config.calendar.closed), tickers=tickers)
        )
    urls = {fund.ticker: fund.issuer_file for fund in config.pair if fund.issuer_file}
    if config.issuer.fetch and urls:
        providers.append(IssuerFiles(urls, pair=config.pair, options=config.command_options))
    return providers


def switched_on(config: Config) -> set[str]:
    """Return the names of the sources that the configuration switches on."""
    return {provider.name for provider in build_providers(config)}
