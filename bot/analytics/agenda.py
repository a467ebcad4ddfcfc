"""What is ahead on the exchange's calendar: closures, early closes, ex-dates, changes of the indexes."""

import datetime as dt
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from bot.analytics.market import Market, per_market
from bot.analytics.sessions import EXCHANGE, Sessions
from bot.pair import Fund

_FRIDAY = 4
_QUARTER_ENDS = (3, 6, 9, 12)
_REGULAR = 8  # distributions whose ex-dates follow the rule, from which the next one is expected
_SECOND_RECONSTITUTION = 2026  # the first year in which Russell's indexes are reconstituted in November too


class Entry(NamedTuple):
    """One thing that is ahead."""

    day: dt.date
    words: str


@per_market
def agenda(market: Market, sessions: Sessions, first: dt.date, last: dt.date) -> list[Entry]:
    """Return what is ahead from `first` to `last`, both included, in order."""
    entries = []
    for day in pd.bdate_range(first, last):
        if not len(sessions.between(day, day)):
            entries.append(Entry(day.date(), "closed"))
        elif sessions.is_early_close(day):
            close = sessions.close(day).astimezone(EXCHANGE)
            entries.append(Entry(day.date(), f"early close at {close:%H:%M} New York"))
    for fund in market.pair:
        entries += [entry for entry in _of_fund(market, fund, sessions, first.year) if first <= entry.day <= last]
    return sorted(entries)


def _of_fund(market: Market, fund: Fund, sessions: Sessions, year: int) -> Iterator[Entry]:
    """Yield what is known of a fund and its index for a year and the first days of the next one."""
    for month in _QUARTER_ENDS:
        rebalanced = _friday(sessions, year, month, 3)
        if fund.index.startswith("S&P"):
            yield Entry(rebalanced, f"{fund.index} rebalanced after the close")
        if _goes_ex_on_third_fridays(market, fund, sessions):
            yield Entry(rebalanced, f"{fund.ticker} expected to go ex-dividend")
    if fund.index.startswith("Russell"):
        days = [_friday(sessions, year, 6, 4)]
        if year >= _SECOND_RECONSTITUTION:
            days.append(_friday(sessions, year, 11, 2))
        for day in days:
            yield Entry(day, f"{fund.index} reconstituted after the close")


def _friday(sessions: Sessions, year: int, month: int, number: int) -> dt.date:
    """Return the last session up to the n-th Friday of a month."""
    first = dt.date(year, month, 1)
    friday = first + dt.timedelta(days=(_FRIDAY - first.weekday()) % 7 + 7 * (number - 1))
    week = sessions.between(pd.Timestamp(friday - dt.timedelta(days=_FRIDAY)), pd.Timestamp(friday))
    return week[-1].date() if len(week) else friday


def _goes_ex_on_third_fridays(market: Market, fund: Fund, sessions: Sessions) -> bool:
    """Whether the last ex-dates of a fund were all the third Fridays of quarters' ends."""
    days = [day.date() for day in market.distributions_of(fund.ticker).index[-_REGULAR:]]
    return len(days) == _REGULAR and all(day == _friday(sessions, day.year, day.month, 3) for day in days)
