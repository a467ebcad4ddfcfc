"""Caches the current Market, which is read again only when the stored observations have changed."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING

from bot.analytics.dates import date_phrase
from bot.analytics.sessions import Sessions
from bot.data.load import build_market, read_rows
from bot.errors import BadInput, NoData
from bot.pair import DEFAULT_PAIR
from storage.observations import fingerprint, first_observed

if TYPE_CHECKING:
    import pandas as pd
    import sqlite_utils

    from bot.analytics.market import Market
    from bot.pair import Pair
    from storage.db import Database

Clock = Callable[[], dt.datetime]


class Markets:
    """Gives the Market of the moment, of a date, or as it was known on a date."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        closed: tuple[dt.date, ...] = (),
        pair: Pair = DEFAULT_PAIR,
    ) -> None:
        self._database = database
        self._clock = clock
        self._closed = closed
        self._pair = pair
        self._lock = asyncio.Lock()
        self._kept: tuple[object, Market] | None = None

    def sessions(self) -> Sessions:
        """The exchange's sessions, made anew each day because the calendar ends a year ahead."""
        return Sessions(self._closed)

    async def current(self) -> Market:
        """Everything known now, up to the last completed session."""
        now = self._clock()
        sessions = await asyncio.to_thread(self.sessions)
        key = (await self._database.outside(fingerprint), sessions.last_completed(now))
        async with self._lock:
            if self._kept is None or self._kept[0] != key:
                rows = await self._database.run(read_rows)
                self._kept = (key, await asyncio.to_thread(build_market, rows, sessions, now, self._pair))
            return self._kept[1]

    async def asked(self, asof: pd.Timestamp | None, known: pd.Timestamp | None) -> Market:
        """The Market as of a date and as known on a date. Raises BadInput or NoData for dates outside."""
        self._refuse_future(asof, "asof")
        self._refuse_future(known, "known")
        market = await (self.current() if known is None else self._known(known))
        return market if asof is None else _at(market, asof)

    async def _known(self, day: pd.Timestamp) -> Market:
        """The Market as known at the end of a day, its age measured then. Raises NoData before the first."""
        rows = await self._database.run(lambda db: read_rows(db, day.date()))
        if not any(rows.values()):
            await self._database.run(lambda db: _refuse_before_all(db, day))
        end = dt.datetime.combine(day.date(), dt.time(23, 59, 59), dt.UTC)
        sessions = await asyncio.to_thread(self.sessions)
        return await asyncio.to_thread(build_market, rows, sessions, min(self._clock(), end), self._pair)

    def _refuse_future(self, day: pd.Timestamp | None, word: str) -> None:
        today = self._clock().date()
        if day is not None and day.date() > today:
            raise BadInput(f"“{word} {day:%Y-%m-%d}” is in the future.", f"{word} {today}")


def _at(market: Market, asof: pd.Timestamp) -> Market:
    """The Market as of a date. Raises NoData for a date before its history."""
    cut = market.at(asof)
    if cut.end is None and market.end is not None:
        first = market.closes.index[0]
        raise NoData(
            f"There is no close of both funds by {date_phrase(asof)}; history begins {date_phrase(first)}.",
            f"asof {first:%Y-%m-%d}",
        )
    return cut


def _refuse_before_all(db: sqlite_utils.Database, day: pd.Timestamp) -> None:
    """Raises NoData for a day before the first on which something was stored."""
    began = first_observed(db)
    if began is None:
        return
    first = dt.datetime.fromisoformat(began).date()
    raise NoData(
        f"Nothing was stored yet on {date_phrase(day)}; what is known begins on {date_phrase(first)}.",
        f"known {first}",
    )
