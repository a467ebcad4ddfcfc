"""NYSE sessions: which days trade, when they close, which one was completed last.

Sessions are naive midnights in a DatetimeIndex; instants are aware datetimes. Closures, past and by rule for
decades to come, are in closures.csv, which `python -m docs.tables` writes from exchange_calendars' XNYS: that
library takes as long to load and to apply its rules as all else at a start.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bot.errors import NoData

if TYPE_CHECKING:
    import pandas as pd

EXCHANGE = ZoneInfo("America/New_York")
# A close is trusted this long after the bell: the closing auction prints late.
SETTLE = dt.timedelta(minutes=15)
# The exchange has not been closed for longer in a row since 1933; past it a calendar has simply ended.
LONGEST_CLOSURE = dt.timedelta(days=10)
FIRST_DAY = dt.date(1993, 1, 1)  # SPY's year
# Past this a session without a close is called stale (three more hours of trying).
STALE_AFTER = dt.timedelta(hours=3, minutes=15)
_USUAL_CLOSE = dt.time(16)
_AHEAD = dt.timedelta(days=365)


@lru_cache(maxsize=1)
def closures() -> dict[dt.date, dt.time | None]:
    """The weekdays on which the exchange closes early, at a time in New York, or is closed (None)."""
    lines = (files("bot.analytics") / "closures.csv").read_text(encoding="utf-8").splitlines()[1:]
    cells = (line.split(",") for line in lines)
    return {dt.date.fromisoformat(day): dt.time.fromisoformat(at) if at else None for day, at in cells}


class Sessions:
    """The exchange's sessions from 1993 to a year after `today`, with extra closures from the config."""

    def __init__(self, closed: Iterable[dt.date] = (), today: dt.date | None = None) -> None:
        self._early = {day: close for day, close in closures().items() if close}
        shut = {day.toordinal() for day in (*(closures().keys() - self._early), *closed)}
        # A machine whose clock is far back has a calendar too, one of its first year.
        end = max(today or dt.datetime.now(dt.UTC).date(), FIRST_DAY) + _AHEAD
        last = min(end, dt.date(max(closures()).year, 12, 31))
        days = range(FIRST_DAY.toordinal(), last.toordinal() + 1)
        weekdays = (day for day in days if 1 <= day % 7 <= 5)  # the first ordinal is a Monday
        self.days = [dt.date.fromordinal(day) for day in weekdays if day not in shut]

    @cached_property
    def index(self) -> pd.DatetimeIndex:
        """All sessions."""
        import pandas as pd  # noqa: PLC0415 - takes longer to load than an import of prices takes in all

        return pd.DatetimeIndex(self.days).as_unit("ns")

    def close(self, session: pd.Timestamp) -> dt.datetime:
        """Instant of the closing bell, UTC."""
        return self._close(session.date())

    def _close(self, day: dt.date) -> dt.datetime:
        return dt.datetime.combine(day, self._early.get(day, _USUAL_CLOSE), EXCHANGE).astimezone(dt.UTC)

    def is_early_close(self, session: pd.Timestamp) -> bool:
        """Whether the session closes before 16:00 New York."""
        return session.date() in self._early

    def last_completed(self, now: dt.datetime, settle: dt.timedelta = SETTLE) -> pd.Timestamp:
        """The last session whose close plus `settle` has passed at `now` (aware).

        Raises NoData where `now` lies outside the calendar.
        """
        return self.index[bisect_left(self.days, self.last_day(now, settle))]

    def last_day(self, now: dt.datetime, settle: dt.timedelta = SETTLE) -> dt.date:
        """The day of `last_completed`."""
        day = now.astimezone(dt.UTC).date()
        position = bisect_right(self.days, day) - 1
        while position >= 0 and self._close(self.days[position]) + settle > now:
            position -= 1
        if position < 0 or day - self.days[-1] > LONGEST_CLOSURE:
            raise self._outside(day)
        return self.days[position]

    def next_after(self, session: pd.Timestamp) -> pd.Timestamp:
        """The session after `session`, which need not be one itself. Raises NoData past the calendar."""
        position = bisect_right(self.days, session.date())
        if position == len(self.days):
            raise self._outside(session)
        return self.index[position]

    def between(self, first: pd.Timestamp, last: pd.Timestamp) -> pd.DatetimeIndex:
        """Sessions from `first` to `last`, both included."""
        return self.index[bisect_left(self.days, first.date()) : bisect_right(self.days, last.date())]

    def _outside(self, day: dt.date) -> NoData:
        first, last = self.days[0], self.days[-1]
        return NoData(f"The calendar of sessions runs from {first:%Y-%m-%d} to {last:%Y-%m-%d}, not to {day:%Y-%m-%d}.")
