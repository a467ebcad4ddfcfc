"""Performance: price and total returns of both funds over a window, and the gap between them.

Returns are in percent, gaps in percentage points (small less large). Both funds are measured on the
sessions they have in common. Total return: 1 + R = product over t in (base, e] of
(P_t + D_t) / P_{t-1}; a distribution on the base session is left out, one on the end session counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from bot.analytics.market import Market
    from bot.analytics.windows import Window

DAYS_A_YEAR = 365.25


@dataclass(frozen=True)
class Performance:
    """Returns of both funds over one window, percent; None where history is too short."""

    window: Window
    total: bool
    base: pd.Timestamp | None
    end: pd.Timestamp | None
    small: float | None = None
    large: float | None = None

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
    factor = (price + dividend) / price.shift(1)
    return factor.fillna(1.0).cumprod()


def fund_levels(market: Market, total: bool = False) -> pd.DataFrame:
    """Sessions x (small, large): closes, or with `total` the growth of one dollar with distributions."""
    if not total:
        return market.closes
    closes = market.closes.items()
    return pd.DataFrame({t: total_return_index(close, market.distributions_of(t)) for t, close in closes})


def performance(market: Market, window: Window, total: bool = False) -> Performance:
    """Returns over `window` up to the Market's end; its anchor K is the date asked for, else the end."""
    frame = fund_levels(market, total)
    if frame.empty or market.end is None:
        return Performance(window, total, None, None)
    anchor = pd.DatetimeIndex([market.anchor if market.anchor is not None else market.end])
    position = int(window.bases(pd.DatetimeIndex(frame.index), anchor)[0])
    if position < 0:
        return Performance(window, total, None, market.end)
    small, large = 100 * (frame.iloc[-1] / frame.iloc[position] - 1)
    return Performance(window, total, frame.index[position], market.end, float(small), float(large))


def growth(market: Market, window: Window, total: bool = False) -> pd.DataFrame:
    """Percent since the window's base for every session from base to end (base = 0); empty if too short."""
    base = performance(market, window, total).base
    frame = fund_levels(market, total)
    if base is None:
        return frame.iloc[:0]
    frame = frame.loc[base:]
    return 100 * (frame / frame.iloc[0] - 1)


def return_history(market: Market, window: Window, total: bool = True) -> pd.DataFrame:
    """Sessions x (small, large): the window's return up to each session, percent, NaN if too short."""
    frame = fund_levels(market, total)
    positions = window.bases(pd.DatetimeIndex(frame.index))
    values = frame.to_numpy()
    based = np.where(positions[:, None] >= 0, values[positions.clip(min=0)], np.nan)
    return pd.DataFrame(100 * (values / based - 1), index=frame.index, columns=frame.columns)


def excess_history(market: Market, window: Window, total: bool = True) -> pd.Series:
    """Return of the small fund less that of the large one, for every session, percentage points."""
    history = return_history(market, window, total)
    small, large = market.pair.tickers
    return history[small] - history[large]
