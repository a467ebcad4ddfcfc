"""Performance: price and total returns of both funds over a window, and the gap between them.

Returns are in percent, gaps in percentage points (small less large). Both funds are measured on the
sessions they have in common. Total return: 1 + R = product over t in (base, e] of
(P_t + D_t) / P_{t-1}; a distribution on the base session is left out, one on the end session counts.

There is no total return of either fund where distributions of one are not stored: over a window that touches
STRETCH sessions without any, or that contains a provisional one. Windows in days count the exchange's
sessions; where the close of the base is missing there is no return.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bot.analytics.market import Market, per_market
from bot.analytics.windows import Window
from bot.text import date_phrase, short_date

DAYS_A_YEAR = 365.25
STRETCH = 100  # sessions; both funds have paid after 75 at most
TOO_SHORT = "too little history"


@dataclass(frozen=True)
class Performance:
    """Returns of both funds over one window, percent; None with a reason where there are none."""

    window: Window
    total: bool
    base: pd.Timestamp | None
    end: pd.Timestamp | None
    small: float | None = None
    large: float | None = None
    reason: str = TOO_SHORT

    @property
    def gap(self) -> float | None:
        """Small less large, percentage points."""
        if self.small is None or self.large is None:
            return None
        return self.small - self.large

    def annualised(self, percent: float | None) -> float | None:
        """Percent a year, (1 + R)^(365.25 / days) - 1; None for spans under one year."""
        if percent is None or self.base is None or self.end is None:
            return None
        days = (self.end - self.base).days
        if days < 365:
            return None
        return float(100 * ((1 + percent / 100) ** (DAYS_A_YEAR / days) - 1))


def total_return_index(price: pd.Series, paid: pd.Series) -> pd.Series:
    """Growth of one dollar with distributions reinvested at the close of the ex-date.

    `price` is on sessions, `paid` in dollars per share by ex-date. A distribution whose ex-date has no close
    counts on the next session that has one.
    """
    if price.empty:
        return price.astype("float64")
    dividend = np.zeros(len(price))
    inside = paid[(paid.index > price.index[0]) & (paid.index <= price.index[-1])]
    np.add.at(dividend, price.index.searchsorted(inside.index), inside.to_numpy())
    closes, factor = price.to_numpy(dtype="float64"), np.ones(len(price))
    factor[1:] = (closes[1:] + dividend[1:]) / closes[:-1]
    factor[np.isnan(factor)] = 1.0
    return pd.Series(factor.cumprod(), price.index, name=price.name)


@per_market
def fund_levels(market: Market, total: bool = False) -> pd.DataFrame:
    """Sessions x (small, large): closes, or with `total` the growth of one dollar with distributions."""
    if not total:
        return market.closes
    closes = market.closes
    levels = [total_return_index(closes[t], market.distributions_of(t)) for t in closes]
    return pd.DataFrame(np.column_stack(levels), closes.index, closes.columns)


def performance(market: Market, window: Window, total: bool = False) -> Performance:
    """Returns over `window` up to the Market's end; its anchor K is the date asked for, else the end."""
    frame = fund_levels(market, total)
    if frame.empty or market.end is None:
        return Performance(window, total, None, None)
    end = market.anchor or market.end
    anchors = np.array([end.to_datetime64()])
    position = int(window.bases(frame.index, anchors, market.sessions)[0])
    if position < 0:
        reason = missing_base(market, window.count) if window.kind == "d" else ""
        return Performance(window, total, None, market.end, reason=reason or TOO_SHORT)
    base = frame.index[position]
    if total and (reason := undistributed_reason(market, position)):
        return Performance(window, total, base, market.end, reason=reason)
    levels = frame.to_numpy()
    small, large = (100 * (levels[-1] / levels[position] - 1)).tolist()
    return Performance(window, total, base, market.end, small, large, "")


def _bases(market: Market, window: Window) -> NDArray[np.intp]:
    """Position of each common session's base; the last session counts back from the date asked for."""
    sessions = pd.DatetimeIndex(market.closes.index)
    anchors = sessions
    if market.anchor is not None:
        anchors = sessions[:-1].append(pd.DatetimeIndex([market.anchor]))
    return window.bases(sessions, anchors, market.sessions)


def missing_base(market: Market, sessions: int) -> str:
    """Why a window of so many sessions has no base: its close is missing. "" where that is not the reason."""
    at = int(market.sessions.searchsorted(market.require_end())) - sessions
    base = market.sessions[max(at, 0)]
    is_missing = base > market.closes.index[0] and base not in market.closes.index
    return f"the close of {date_phrase(base)} is missing" if is_missing else ""


@per_market
def _undistributed(market: Market) -> pd.DataFrame:
    """Exchange's sessions from the first to the last common close x tickers: no total return includes these.

    Stretches of at least STRETCH sessions without a distribution, and sessions of provisional ones.
    """
    first, end = market.closes.index[0], market.closes.index[-1]
    sessions = market.sessions[slice(*market.sessions.slice_locs(first, end))]
    columns = {}
    for fund in market.pair:
        paid = np.zeros(len(sessions) + 1, dtype=bool)
        paid[sessions.searchsorted(market.distributions_of(fund.ticker).loc[first:end].index)] = True
        # Sessions of one stretch have the same number of distributions before and on them.
        stretch = np.cumsum(paid[:-1])
        length = np.bincount(stretch[~paid[:-1]], minlength=len(sessions) + 1)
        lacking = (length[stretch] >= STRETCH) & ~paid[:-1] & fund.distributes
        for held in _held_distributions(market, fund.ticker):
            if first <= held <= end:
                lacking[min(int(sessions.searchsorted(held)), len(sessions) - 1)] = True
        columns[fund.ticker] = lacking
    return pd.DataFrame(columns, index=sessions)


def _lacking(market: Market) -> pd.DataFrame:
    """The same up to a Market's end; a stretch that is as long only later is one as of a date, too."""
    whole = market.whole or market
    return _undistributed(whole).loc[market.closes.index[0] : market.closes.index[-1]]


def _held_distributions(market: Market, ticker: str) -> list[pd.Timestamp]:
    figures = (f for f in market.provisional if (f.ticker, f.noun) == (ticker, "distribution"))
    return sorted(session for group in figures for session in group.amounts.index)


def undistributed_reason(market: Market, position: int) -> str:
    """Why there is no total return from a common session to the Market's end, "" where there is one."""
    counts, base = undistributed_sessions(market).to_numpy(), market.closes.index[position]
    if counts[-1] == counts[position]:
        return ""
    lacking = _lacking(market)
    lacking = lacking[lacking.index > base]
    tickers = [str(ticker) for ticker in lacking.columns[lacking.any()]]
    for ticker in tickers:
        for session in _held_distributions(market, ticker):
            if session > base:
                return f"{ticker}'s distribution of {short_date(session)} is provisional"
    return f"no distributions of {' and '.join(tickers)} stored"


@per_market
def undistributed_sessions(market: Market) -> pd.Series:
    """Per common session how many sessions up to it no total return may include."""
    if market.closes.empty:
        return pd.Series(dtype="int64", index=market.closes.index)
    lacking = _lacking(market)
    counts = lacking.to_numpy().any(axis=1).cumsum()
    last = lacking.index.searchsorted(market.closes.index, side="right") - 1
    return pd.Series(counts[last], market.closes.index)


def growth(market: Market, window: Window, total: bool = False) -> pd.DataFrame:
    """Percent since the window's base for every session up to the end (base = 0); empty without returns."""
    row = performance(market, window, total)
    frame = fund_levels(market, total)
    if row.base is None or row.small is None:
        return frame.iloc[:0]
    frame = frame.loc[row.base :]
    return 100 * (frame / frame.iloc[0] - 1)


def return_history(market: Market, window: Window, total: bool = True) -> pd.DataFrame:
    """Sessions x (small, large): the window's return up to each session, percent, NaN where there is none."""
    frame = fund_levels(market, total)
    positions = _bases(market, window) if len(frame) else np.empty(0, dtype=np.intp)
    values, known = frame.to_numpy(), positions >= 0
    at = positions.clip(min=0)
    if total:
        lacking = undistributed_sessions(market).to_numpy()
        known &= lacking == lacking[at]
    based = np.where(known[:, None], values[at], np.nan)
    return pd.DataFrame(100 * (values / based - 1), index=frame.index, columns=frame.columns)


def excess_history(market: Market, window: Window, total: bool = True) -> pd.Series:
    """Return of the small fund less that of the large one, for every session, percentage points."""
    history = return_history(market, window, total)
    small, large = market.pair.tickers
    return history[small] - history[large]
