"""Fetches one figure of one fund from one source. Whatever the source does, there is an outcome."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bot.data.provider import FetchOutcome, NetworkDown, Ok, Partial
from bot.data.span import fetch_start, is_rebased

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from bot.data.provider import Provider
    from storage.db import Database

# Figures in the order of their use: alerts wait for prices.
FIGURES = ("prices", "multiples", "fund")

_log = logging.getLogger(__name__)
# One thread for all sources: their libraries are not made for more, and neither are their limits.
_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sources")
_asking = threading.Event()


def fetch_in_progress() -> bool:
    """Whether a source is being asked. Nothing can stop its thread, so the process cannot end meanwhile."""
    return _asking.is_set()


@dataclass(frozen=True)
class FetchRequest:
    """One figure of one ticker to be fetched from one provider."""

    provider: Provider
    ticker: str
    figure: str

    @property
    def subject(self) -> str:
        """Its name in storage.sources: "IWM prices"."""
        return f"{self.ticker} {self.figure}"

    async def fetch(self, database: Database, completed: pd.DatetimeIndex) -> FetchOutcome:
        """Fetch the figure: prices since the last ones stored, or all at first and when their units changed.

        Yahoo rewrites the whole history when a fund splits, so closes of before and after must not mix.
        """
        name = self.provider.name
        since = None
        if self.figure == "prices":
            since = await database.run(
                partial(fetch_start, source=name, ticker=self.ticker, completed=completed)
            )
        loop = asyncio.get_running_loop()
        outcome = await loop.run_in_executor(_worker, self._ask, since, completed)
        if since is not None and isinstance(outcome, Ok | Partial):
            changed = partial(is_rebased, source=name, ticker=self.ticker, payload=outcome.payload)
            if await database.run(changed):
                outcome = await loop.run_in_executor(_worker, self._ask, None, completed)
        return outcome

    def _ask(self, since: dt.date | None, completed: pd.DatetimeIndex) -> FetchOutcome:
        """Call the provider. A bug in a provider becomes an outcome like any other."""
        _asking.set()
        try:
            if self.figure == "prices":
                return self.provider.prices(self.ticker, since, completed)
            if self.figure == "multiples":
                return self.provider.multiples(self.ticker, completed)
            return self.provider.fund(self.ticker, completed)
        except Exception as error:  # noqa: BLE001 - one source's bug stops no other
            _log.exception("%s failed on %s", self.provider.name, self.subject)
            return NetworkDown(f"the request failed ({type(error).__name__})")
        finally:
            _asking.clear()


def fetch_requests(provider: Provider, tickers: Sequence[str]) -> list[FetchRequest]:
    """All requests to a provider for these tickers, in the order in which their figures are needed."""
    return [
        FetchRequest(provider, ticker, figure)
        for figure in FIGURES
        if figure in provider.serves
        for ticker in tickers
        if ticker in provider.tickers
    ]
