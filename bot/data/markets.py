"""Markets kept ready: the one in memory is read again only when the stored observations changed."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING

from bot.analytics.sessions import Sessions
from bot.data.load import build_market, read_rows
from bot.errors import BadInput, NoData
from storage.observations import KINDS

if TYPE_CHECKING:
    import pandas as pd
    import sqlite_utils

    from bot.analytics.market import Market
    from storage.db import Database

Clock = Callable[[], dt.datetime]


class Markets:
    """Gives the Market of the moment, of a date, or as it was known on a date."""

    def __init__(self, database: Database, clock: Clock, closed: tuple[dt.date, ...] = ()) -> None:
        self._database = database
        self._clock = clock
        self._closed = closed
        self._lock = asyncio.Lock()
        self._kept: tuple[object, Market] | None = None

    def sessions(self) -> Sessions:
        """The exchange's sessions; made anew each day, because the calendar ends a year ahead."""
        return Sessions(self._closed)

    async def current(self) -> Market:
        """Everything known now, up to the last completed session."""
        now = self._clock()
        sessions = await asyncio.to_thread(self.sessions)
        key = (await self._database.outside(_fingerprint), sessions.last_completed(now))
        async with self._lock:
            if self._kept is None or self._kept[0] != key:
                rows = await self._database.run(read_rows)
                self._kept = (key, await asyncio.to_thread(build_market, rows, sessions, now))
            return self._kept[1]

    async def asked(self, asof: pd.Timestamp | None, known: pd.Timestamp | None) -> Market:
        """The Market as of a date and as known on a date; raises BadInput and NoData for dates outside."""
        self._refuse_future(asof, "asof")
        self._refuse_future(known, "known")
        if known is None:
            market = await self.current()
        else:
            sessions = await asyncio.to_thread(self.sessions)
            rows = await self._database.run(lambda db: read_rows(db, known.date()))
            market = await asyncio.to_thread(build_market, rows, sessions, self._clock())
            if market.end is None:
                raise NoData(f"Nothing was stored yet on {known:%Y-%m-%d}.")
        return market if asof is None else _at(market, asof)

    def _refuse_future(self, day: pd.Timestamp | None, word: str) -> None:
        today = self._clock().date()
        if day is not None and day.date() > today:
            raise BadInput(f"“{word} {day:%Y-%m-%d}” is in the future.", f"{word} {today}")


def _at(market: Market, asof: pd.Timestamp) -> Market:
    """The Market as of a date on which there was history."""
    cut = market.at(asof)
    if cut.end is None and market.end is not None:
        first = market.pair.index[0]
        raise NoData(f"There is no close of both funds by {asof:%Y-%m-%d}; history begins {first:%Y-%m-%d}.")
    return cut


def _fingerprint(db: sqlite_utils.Database) -> tuple[object, ...]:
    """Changes whenever observations do: by this process (highest ids) or by another one."""
    highest = [db.execute(f"SELECT max(id) FROM {table}").fetchone()[0] for table in KINDS]  # noqa: S608 - names from KINDS
    return (*highest, db.execute("PRAGMA data_version").fetchone()[0])
