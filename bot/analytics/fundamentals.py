"""What price and multiple imply about fundamentals, and what moved a return.

Per share: earnings = P / PE, cash flow = P / PCF, book = P / PB, sales = P / PS, exactly as the
multiple's convention counts them. The split of a price return into earnings and multiple is exact in logs:
ln(P_e/P_b) = ln(EPS_e/EPS_b) + ln(PE_e/PE_b).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from bot.analytics.dates import short_date
from bot.analytics.performance import performance
from bot.analytics.valuation import price_sessions, select

if TYPE_CHECKING:
    from bot.analytics.market import Market
    from bot.analytics.windows import Window

# A multiple may be this many days older than the session it stands for; the split then runs between
# the multiples' own dates and says so.
TOLERANCE_DAYS = 31
BASE = 100.0  # of an index, at its base


@dataclass(frozen=True)
class ReturnSplit:
    """One fund's price return between the prices of two P/Es, split into earnings and multiple, percent."""

    ticker: str
    first: pd.Timestamp
    last: pd.Timestamp
    convention: str
    price: float
    earnings: float
    multiple: float
    pe_first: float
    pe_last: float


@dataclass(frozen=True)
class NoReturnSplit:
    """Missing history for a split: the first session with a multiple, None without any."""

    ticker: str
    reason: str
    first: pd.Timestamp | None


def implied(market: Market, ticker: str, metric: str, convention: str) -> pd.Series:
    """Price over multiple on sessions that have both: dollars of earnings, sales, ... per share.

    The price is the one that the multiple was computed from, where its source states the date of it.
    """
    multiple = select(market, ticker, metric, convention)
    dates = price_sessions(market, ticker, metric, convention)
    price = market.prices.reindex(index=pd.DatetimeIndex(dates), columns=[ticker])[ticker]
    return (price.set_axis(multiple.index) / multiple.where(multiple > 0)).dropna()


def indexed(market: Market, ticker: str, metric: str, convention: str, window: Window) -> pd.Series:
    """Implied figure per share with the one at the window's base as 100; empty without one there."""
    series = implied(market, ticker, metric, convention)
    base = performance(market, window).base
    first = nearest_figure(series.index, base) if base is not None and len(series) else None
    return series.iloc[:0] if first is None else BASE * series.loc[first:] / series[first]


def return_split(market: Market, ticker: str, window: Window, convention: str) -> ReturnSplit | NoReturnSplit:
    """Split of the fund's price return over the window; needs a P/E near its base and near its end."""
    pe = select(market, ticker, "pe", convention)
    eps = implied(market, ticker, "pe", convention)
    base = performance(market, window).base
    if base is None or market.end is None:
        return NoReturnSplit(ticker, "too little price history", None)
    if eps.empty:
        return NoReturnSplit(ticker, "no P/E stored", None)
    first, last = nearest_figure(eps.index, base), nearest_figure(eps.index, market.end)
    if first is None or last is None or first >= last:
        return NoReturnSplit(ticker, _missing_pe(eps.index, base, market.end), eps.index[0])
    dates, price = price_sessions(market, ticker, "pe", convention), eps * pe
    return ReturnSplit(
        ticker,
        dates[first],
        dates[last],
        convention,
        price=100 * (price[last] / price[first] - 1),
        earnings=100 * (eps[last] / eps[first] - 1),
        multiple=100 * (pe[last] / pe[first] - 1),
        pe_first=float(pe[first]),
        pe_last=float(pe[last]),
    )


def _missing_pe(sessions: pd.Index, base: pd.Timestamp, end: pd.Timestamp) -> str:
    """Which P/E a split between two sessions lacks, given the sessions that have one."""
    if base < sessions[0]:
        return f"P/E is recorded from {short_date(sessions[0])}"
    last = base
    for target in (base, end):
        nearest = nearest_figure(sessions, target)
        if nearest is None:
            return f"no P/E is stored for the {TOLERANCE_DAYS} days up to {short_date(target)}"
        last = nearest
    return f"no P/E is stored after {short_date(last)}"


def nearest_figure(sessions: pd.Index, target: pd.Timestamp) -> pd.Timestamp | None:
    """Last session on or before the target, unless it is too old to stand for it."""
    position = sessions.searchsorted(target, side="right") - 1
    if position < 0 or (target - sessions[position]).days > TOLERANCE_DAYS:
        return None
    return pd.Timestamp(sessions[position])


def margin(market: Market, ticker: str, convention: str) -> tuple[float | None, float | None]:
    """Net margin (P/S)/(P/E) and return on equity (P/B)/(P/E), percent, of the last common session."""
    pe = select(market, ticker, "pe", convention)
    ratios: list[float | None] = []
    for metric in ("ps", "pb"):
        both = pd.concat([select(market, ticker, metric, convention), pe], axis=1, join="inner").dropna()
        both = both[both.iloc[:, 1] > 0]
        ratios.append(float(100 * both.iloc[-1, 0] / both.iloc[-1, 1]) if len(both) else None)
    return ratios[0], ratios[1]


def convention_for(market: Market, metric: str = "pe") -> str | None:
    """The convention to read by: of the small fund's with this `metric`, that with most kinds of multiples.

    Between equals the newest figure decides, then the longest history. None without any.
    """
    rows = market.multiples[market.multiples["ticker"] == market.pair.small.ticker]
    having = rows.loc[rows["metric"] == metric, "convention"].unique()
    rows = rows[rows["convention"].isin(having)]
    if rows.empty:
        return None
    kinds = rows.groupby("convention")["metric"].nunique()
    spans = rows[rows["metric"] == metric].groupby("convention")["session"].agg(["max", "count"])
    ranked = spans.assign(kinds=kinds).sort_values(["kinds", "max", "count"])
    return str(ranked.index[-1])
