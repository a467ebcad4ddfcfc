"""The scripted market: the ratio goes up and down, so that each session fires one alert of a chat's two."""

import datetime as dt
from zoneinfo import ZoneInfo

import pandas as pd

from bot.analytics.sessions import Sessions
from bot.data.provider import FetchOutcome, Ok, Provider
from tests.jobs.desk import FIRST, Desk, bar

RULES = ("ratio > 0.6", "ratio < 0.6")  # alerts 1 and 2 of each chat: they fire in turns
CHATS = (101, 102, -1003)
SUBSCRIBERS = (101, 102)
SUMMARY_AT, EVENING, NEW_YORK = "16:30", dt.time(16, 40), ZoneInfo("America/New_York")
HELD = (301, 302)  # the statements' cycle releases what was held back for them: quiet hours, a snooze
TALKER = 201  # makes and ends alerts, and changes its summary's time
OWNER = 7
QUIET = 5  # sessions before the first that is judged: the alerts are made at the last of them
_XNYS = Sessions()
START = int(_XNYS.index.searchsorted(pd.Timestamp(FIRST)))


def session(number: int) -> pd.Timestamp:
    """The story's n-th session, the first of them numbered 0."""
    return _XNYS.index[START + number]


def evening(number: int) -> dt.datetime:
    """An instant after that session's close, also of a short one, when its summary is due too."""
    return dt.datetime.combine(session(number).date(), EVENING, NEW_YORK).astimezone(dt.UTC)


def level(number: int) -> float:
    """IWM's close over SPY's: below, above, below ... what the rules ask for."""
    return 0.63 if number >= QUIET and number % 2 else 0.56


def fires(number: int) -> int:
    """The number, in its chat, of the alert that fires on a session."""
    return 1 if level(number) > 0.6 else 2


class Script(Provider):
    """A source that knows the story up to the last completed session."""

    name, label, serves, tickers = "script", "Script", ("prices",), ("IWM", "SPY")

    def prices(self, ticker: str, start: dt.date | None, completed: pd.DatetimeIndex) -> FetchOutcome:
        """One bar a session, from `start` on."""
        days = completed[completed >= max(pd.Timestamp(FIRST), pd.Timestamp(start or FIRST))]
        bars = [bar(ticker, f"{day:%Y-%m-%d}", self.close(ticker, day)) for day in days]
        return Ok({"bars": bars, "distributions": [], "splits": []})

    def close(self, ticker: str, day: pd.Timestamp) -> float:
        """The close of a session."""
        number = int(_XNYS.index.searchsorted(day)) - START
        return 100.0 * (level(number) if ticker == "IWM" else 1.0)

    async def fill(self, desk: Desk, completed: pd.DatetimeIndex) -> None:
        """Store what it knows of these sessions, as if it had been asked."""
        for ticker in self.tickers:
            outcome = self.prices(ticker, None, completed)
            assert isinstance(outcome, Ok)
            await desk.store("bars", list(outcome.payload["bars"]), source=self.name)
