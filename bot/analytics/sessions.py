"""NYSE sessions: which days trade, when they close, which one was completed last.

Sessions are naive midnights in a DatetimeIndex; instants are aware datetimes. The calendar is
exchange_calendars' XNYS from 1993 on, less closures announced after its release.
"""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
from pandas.errors import Pandas4Warning

from bot.errors import NoData

EXCHANGE = ZoneInfo("America/New_York")
# A close is trusted this long after the bell: the closing auction prints late.
SETTLE = dt.timedelta(minutes=15)
# The exchange has not been closed for longer in a row since 1933; past it a calendar has simply ended.
LONGEST_CLOSURE = pd.Timedelta(days=10)
FIRST_DAY = "1993-01-01"  # SPY's year
# Past this a session without a close is called stale (three more hours of trying).
STALE_AFTER = dt.timedelta(hours=3, minutes=15)


@lru_cache(maxsize=2)
def _xnys(today: dt.date) -> Any:  # noqa: ANN401 - the library has no types
    """The exchange's calendar, built again each day because it ends a year ahead."""
    with warnings.catch_warnings():
        # The library still calls what pandas 4 will remove; its users can do nothing about it.
        warnings.simplefilter("ignore", Pandas4Warning)
        import exchange_calendars  # noqa: PLC0415 - late: it takes a second, and /start does not need it

        # A machine whose clock is far back has a calendar too, one of its first year.
        end = max(pd.Timestamp(today), pd.Timestamp(FIRST_DAY)) + pd.DateOffset(years=1)
        return exchange_calendars.get_calendar("XNYS", start=FIRST_DAY, end=end)


class Sessions:
    """The exchange's sessions from 1993 to a year after `today`, with extra closures from the config."""

    def __init__(self, closed: Iterable[dt.date] = (), today: dt.date | None = None) -> None:
        calendar = _xnys(today or dt.datetime.now(dt.UTC).date())
        extra = pd.DatetimeIndex([pd.Timestamp(day) for day in closed])
        self.index: pd.DatetimeIndex = pd.DatetimeIndex(calendar.sessions.difference(extra)).as_unit("ns")
        self._closes: pd.Series = calendar.closes
        self._early: pd.DatetimeIndex = calendar.early_closes

    def close(self, session: pd.Timestamp) -> dt.datetime:
        """Instant of the closing bell, UTC."""
        instant: dt.datetime = self._closes.loc[session].to_pydatetime()
        return instant

    def is_early_close(self, session: pd.Timestamp) -> bool:
        """Whether the session closes before 16:00 New York."""
        return session in self._early

    def last_completed(self, now: dt.datetime, settle: dt.timedelta = SETTLE) -> pd.Timestamp:
        """The last session whose close plus `settle` has passed at `now` (aware).

        Raises NoData where `now` lies outside the calendar.
        """
        day = pd.Timestamp(now.astimezone(dt.UTC).date())
        position = int(self.index.searchsorted(day, side="right")) - 1
        while position >= 0 and self.close(self.index[position]) + settle > now:
            position -= 1
        if position < 0 or day - self.index[-1] > LONGEST_CLOSURE:
            raise self._outside(day)
        return self.index[position]

    def next_after(self, session: pd.Timestamp) -> pd.Timestamp:
        """The session after `session`, which need not be one itself. Raises NoData past the calendar."""
        position = int(self.index.searchsorted(session, side="right"))
        if position == len(self.index):
            raise self._outside(session)
        return self.index[position]

    def between(self, first: pd.Timestamp, last: pd.Timestamp) -> pd.DatetimeIndex:
        """Sessions from `first` to `last`, both included."""
        return self.index[(self.index >= first) & (self.index <= last)]

    def _outside(self, day: pd.Timestamp) -> NoData:
        first, last = self.index[0], self.index[-1]
        return NoData(
            f"The calendar of sessions runs from {first:%Y-%m-%d} to {last:%Y-%m-%d}, not to {day:%Y-%m-%d}."
        )
