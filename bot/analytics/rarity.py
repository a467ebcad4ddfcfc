"""What is rare about the newest session of a Market, judged by all sessions before it; nothing on most days.

A value is rare if none of the last RARE sessions was as far out, a streak if fewer than RARE_SHARE of all
sessions ended one as long. A level that was the highest since the same month before, within a month, is not.
"""

from enum import StrEnum
from typing import NamedTuple

import numpy as np
import pandas as pd

from bot.analytics import flows, trend
from bot.analytics.market import Market, per_market
from bot.analytics.performance import excess_history, return_history
from bot.analytics.windows import Window

RARE, RARE_MOVE = 60, 252  # sessions
RARE_SHARE = 0.05
AVERAGE = 200
_DAY = Window("d", 1)
_AGAIN = 5  # after so many sessions more, a rare streak is told again
_LEVEL_WEIGHT = 0.5  # a level, unlike a change, is often near its last one


class Kind(StrEnum):
    """What is rare."""

    CROSSED = "the ratio's side of its average"
    LEAD = "a fund's lead over the other in a session"
    RATIO = "the level of the ratio"
    MOVE = "a fund's return in a session"
    FLOW = "a fund's flow of a session"
    LEADS = "sessions in a row in which a fund led"
    FLOWS = "sessions in a row with a fund's flow in one direction"


class Rarity(NamedTuple):
    """One thing that is rare.

    ticker   the fund that it is about, "" for the ratio
    value    return or lead in percent or points, ratio, dollars, percent over the average; its sign is the
             direction, and of a streak sessions
    since    the last session as far out, or on the same side; None: there is none in the history
    begin    first session of the history
    session  the one that it is of
    weight   in how many sessions it happens once, about
    """

    kind: Kind
    ticker: str
    value: float
    since: pd.Timestamp | None
    begin: pd.Timestamp
    session: pd.Timestamp
    weight: float


def highest_since(values: pd.Series) -> tuple[pd.Timestamp | None, int]:
    """The last session with a value at least as high as the last one, None without any, and how long ago.

    0 sessions ago without a last value, or without an earlier one.
    """
    known = values.dropna()
    if len(known) < 2 or known.index[-1] != values.index[-1]:
        return None, 0
    reached = np.flatnonzero(known.to_numpy()[:-1] >= known.iloc[-1])
    if not len(reached):
        return None, len(known) - 1
    return known.index[reached[-1]], len(known) - 1 - int(reached[-1])


def streak(values: pd.Series) -> tuple[int, float]:
    """How many last values in a row have the sign of the last one, and how rare that is.

    The number has that sign, 0 for none. The share is that of all values which end as long a streak in the
    same direction. A missing value ends a streak.
    """
    sign = np.sign(values.to_numpy(dtype="float64"))
    if not len(sign) or not sign[-1] or np.isnan(sign[-1]):
        return 0, 1.0
    at = np.arange(len(sign))
    starts = np.concatenate([[True], sign[1:] != sign[:-1]])
    lengths = at - np.maximum.accumulate(np.where(starts, at, 0)) + 1
    last = int(lengths[-1])
    return last * int(sign[-1]), float(np.mean((lengths >= last) & (sign == sign[-1])))


@per_market
def rarities(market: Market, total: bool = False) -> tuple[Rarity, ...]:
    """What is rare about the newest session, the rarest first; `total`: by total returns."""
    if market.end is None:
        return ()
    leads, ratio = excess_history(market, _DAY, total), trend.ratio(market)
    leader = market.pair.tickers[int(not leads.iloc[-1] > 0)]
    rare = [*_crossed(market), *_extreme(Kind.LEAD, leader, leads, RARE), *_streak(Kind.LEADS, leader, leads)]
    rare += [*_level(ratio), *_level(-ratio)]
    returns = return_history(market, _DAY, total)
    for ticker in market.pair.tickers:
        rare += _extreme(Kind.MOVE, ticker, returns[ticker], RARE_MOVE)
        frame = flows.daily_flows(market, ticker)
        if len(frame) and market.sessions_behind(frame.index[-1]) <= 1:
            dollars = flows.flow_history(frame, _DAY)["dollars"]
            rare += [*_extreme(Kind.FLOW, ticker, dollars, RARE), *_streak(Kind.FLOWS, ticker, dollars)]
    return tuple(sorted(rare, key=lambda row: -row.weight))


def _extreme(kind: Kind, ticker: str, values: pd.Series, least: int) -> list[Rarity]:
    """The last value, if it is the farthest from zero on its side for so many sessions."""
    value = float(values.iloc[-1]) if len(values) else 0.0
    since, sessions = highest_since(values if value > 0 else -values) if value else (None, 0)
    rare = sessions >= least
    return [Rarity(kind, ticker, value, since, values.index[0], values.index[-1], sessions)] if rare else []


def _level(level: pd.Series) -> list[Rarity]:
    """The ratio, or the ratio times -1, if it is the highest, unless it was so within a month."""
    since, sessions = highest_since(level)
    if sessions < RARE:
        return []
    peak = level.iloc[-1 - trend.SESSIONS_A_MONTH : -1].idxmax()
    earlier, before = highest_since(level.loc[:peak])
    if before >= RARE and _month(earlier) == _month(since):
        return []
    span = level.index[0], level.index[-1]
    return [Rarity(Kind.RATIO, "", float(level.iloc[-1]), since, *span, _LEVEL_WEIGHT * sessions)]


def _month(session: pd.Timestamp | None) -> tuple[int, int] | None:
    return None if session is None else (session.year, session.month)


def _crossed(market: Market) -> list[Rarity]:
    """The ratio, if it closes on another side of its average than the session before."""
    against = trend.of_ratio(market, trend.ratio_vs_sma, AVERAGE)
    side = np.sign(against.to_numpy())
    if len(side) < 2 or np.isnan(side[-2:]).any() or side[-1] == side[-2]:
        return []
    earlier = np.flatnonzero(side[:-1] == side[-1])
    since = against.index[earlier[-1]] if len(earlier) else None
    weight = RARE + len(side) - 1 - (int(earlier[-1]) if len(earlier) else 0)
    span = against.first_valid_index(), against.index[-1]
    return [Rarity(Kind.CROSSED, "", float(against.iloc[-1]), since, *span, weight)]


def _streak(kind: Kind, ticker: str, values: pd.Series) -> list[Rarity]:
    """The streak that the last value goes on with, when it becomes rare and after each _AGAIN sessions."""
    length, share = streak(values)
    if share >= RARE_SHARE or abs(length) < 2:
        return []
    if streak(values.iloc[:-1])[1] < RARE_SHARE and length % _AGAIN:
        return []
    begin, first, end = values.index[0], values.index[-abs(length)], values.index[-1]
    return [Rarity(kind, ticker, float(length), first, begin, end, 1 / share)]
