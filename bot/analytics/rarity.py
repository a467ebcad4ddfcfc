"""What is rare about the newest session of a Market, judged by all sessions before it; nothing on most days.

A value is rare if none of the last RARE sessions was as far out, a streak if fewer than RARE_SHARE of all
sessions had one as long. What was as rare within the last month, back to the same month, is not repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bot.analytics import flows, trend
from bot.analytics.market import Market, per_market
from bot.analytics.performance import excess_history, return_history
from bot.analytics.windows import Window

if TYPE_CHECKING:
    import pandas as pd

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


class Extreme(NamedTuple):
    """The last session before with a value at least as high, None without any; how many sessions ago."""

    since: pd.Timestamp | None
    sessions: int


@dataclass(frozen=True)
class Rarity:
    """One thing that is rare.

    ticker   the fund that it is about, "" for the ratio
    value    return or lead in percent or points, ratio, dollars, percent over the average; its sign is the
             direction, and of a streak sessions
    since    the last session as far out, or on the same side; None: there is none in the history
    begin    first session of the history
    weight   in how many sessions it happens once, about
    session  the one that it is of
    """

    kind: Kind
    ticker: str
    value: float
    since: pd.Timestamp | None
    begin: pd.Timestamp
    weight: float
    session: pd.Timestamp


def highest_since(values: pd.Series) -> Extreme | None:
    """Since when the last value is the highest; None without it, or without an earlier one."""
    known = values.dropna()
    if len(known) < 2 or known.index[-1] != values.index[-1]:
        return None
    x = known.to_numpy()
    reached = np.flatnonzero(x[:-1] >= x[-1])
    if not len(reached):
        return Extreme(None, len(x) - 1)
    return Extreme(known.index[reached[-1]], len(x) - 1 - int(reached[-1]))


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
    leads = excess_history(market, _DAY, total)
    ratio = trend.ratio(market)
    small, large = market.pair.tickers
    leader = small if leads.iloc[-1] > 0 else large
    rare = [*_crossed(market), *_extreme(Kind.LEAD, leader, leads, RARE), *_streak(Kind.LEADS, leader, leads)]
    rare += [row for sign in (1, -1) for row in _level(ratio, sign)]
    returns = return_history(market, _DAY, total)
    for ticker in market.pair.tickers:
        rare += _extreme(Kind.MOVE, ticker, returns[ticker], RARE_MOVE)
        frame = flows.daily_flows(market, ticker)
        if len(frame) and market.sessions_behind(frame.index[-1]) <= 1:
            dollars = flows.flow_history(frame, _DAY)["dollars"]
            rare += [*_extreme(Kind.FLOW, ticker, dollars, RARE), *_streak(Kind.FLOWS, ticker, dollars)]
    return tuple(sorted(rare, key=lambda row: -row.weight))


def _extreme(kind: Kind, ticker: str, values: pd.Series, sessions: int) -> list[Rarity]:
    """The last value, if it is the farthest from zero on its side for so many sessions."""
    value = float(values.iloc[-1]) if len(values) else 0.0
    extreme = highest_since(values if value > 0 else -values) if value else None
    if extreme is None or extreme.sessions < sessions:
        return []
    end = values.index[-1]
    return [Rarity(kind, ticker, value, extreme.since, values.index[0], extreme.sessions, end)]


def _level(ratio: pd.Series, sign: int) -> list[Rarity]:
    """The ratio, if it is the highest (`sign` 1) or lowest, unless it was so within a month."""
    extreme = highest_since(sign * ratio)
    if extreme is None or extreme.sessions < RARE:
        return []
    before = (sign * ratio).iloc[:-1]
    peak = before.iloc[-trend.SESSIONS_A_MONTH :].idxmax()
    earlier = highest_since(before.loc[:peak])
    if earlier is not None and earlier.sessions >= RARE and _month(earlier.since) == _month(extreme.since):
        return []
    weight = _LEVEL_WEIGHT * extreme.sessions
    value, begin = sign * float(ratio.iloc[-1]), ratio.index[0]
    return [Rarity(Kind.RATIO, "", value, extreme.since, begin, weight, ratio.index[-1])]


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
    apart = len(side) - 1 - (int(earlier[-1]) if len(earlier) else 0)
    known = against.dropna()
    row = Rarity(
        Kind.CROSSED, "", float(known.iloc[-1]), since, known.index[0], RARE + apart, known.index[-1]
    )
    return [row]


def _streak(kind: Kind, ticker: str, values: pd.Series) -> list[Rarity]:
    """The streak that the last value goes on with, when it becomes rare and after each _AGAIN sessions."""
    length, share = streak(values)
    if share >= RARE_SHARE or abs(length) < 2:
        return []
    _, before = streak(values.iloc[:-1])
    if before < RARE_SHARE and length % _AGAIN:
        return []
    first, begin = values.index[-abs(length)], values.index[0]
    return [Rarity(kind, ticker, float(length), first, begin, 1 / share, values.index[-1])]
