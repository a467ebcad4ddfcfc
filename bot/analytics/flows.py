"""Fund flows from shares outstanding: F_t = (S_t - S_{t-1}) * NAV_t, US dollars.

S is split-adjusted and "as reported for t", which usually carries the trades of t-1. A change in
assets is never called a flow. Days whose count looks wrong are flagged, see `counts.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bot.analytics.counts import daily, trusted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bot.analytics.market import Market
    from bot.analytics.windows import Window

Z_SESSIONS = 120
Z_MINIMUM = 20
Z_CLIP = 5.0
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class FlowSummary:
    """Flow of one fund over one window; None where it cannot be given."""

    window: Window
    base: pd.Timestamp | None
    end: pd.Timestamp | None
    dollars: float | None = None
    percent: float | None = None  # of assets at the window's start
    units: float | None = None  # percent change of shares outstanding
    before: float | None = None  # dollars of the same window before
    flags: tuple[
        tuple[pd.Timestamp, str, str], ...
    ] = ()  # session, key of counts.FLAGS, its meaning that day


@lru_cache(maxsize=8)
def daily_flows(market: Market, ticker: str) -> pd.DataFrame:
    """`counts.daily` of one fund of a Market, made once: many alerts ask for the same."""
    return daily(market.fund(ticker), market.sessions, market.prices.get(ticker))


def summary(frame: pd.DataFrame, window: Window, anchor: pd.Timestamp | None = None) -> FlowSummary:
    """Flow over (base, end] with its flags; `anchor` is K, default the last row's session."""
    if frame.empty:
        return FlowSummary(window, None, None)
    index = pd.DatetimeIndex(frame.index)
    base = int(_bases(frame, window, pd.DatetimeIndex([anchor if anchor is not None else index[-1]]))[0])
    if base < 0:
        return FlowSummary(window, None, index[-1])
    span = frame.iloc[base + 1 :]
    start = frame.iloc[base]
    dollars = float(span["flow"].sum())
    return FlowSummary(
        window=window,
        base=index[base],
        end=index[-1],
        dollars=dollars,
        percent=100 * dollars / float(start["shares"] * start["nav"]),
        units=100 * (float(frame["shares"].iloc[-1]) / float(start["shares"]) - 1),
        before=_before(frame, window, base),
        flags=tuple((day, row["flag"], row["note"]) for day, row in span[span["flag"] != ""].iterrows()),
    )


def _bases(frame: pd.DataFrame, window: Window, anchors: pd.DatetimeIndex | None = None) -> NDArray[np.intp]:
    """Row of each anchor's base, -1 where history is too short; days are the exchange's sessions.

    Where the base's own count is missing or known to be wrong, the last good one before it stands in.
    """
    index = pd.DatetimeIndex(frame.index)
    ends = np.arange(len(index)) if anchors is None else index.searchsorted(anchors, side="right") - 1
    if window.kind == "d":
        position = frame["position"].to_numpy()
        base = position.searchsorted(position[ends] - window.count, side="right") - 1
    else:
        base = window.bases(index, anchors)
    return trusted(frame, base, ends)


def _before(frame: pd.DataFrame, window: Window, base: int) -> float | None:
    """Dollars of the same window that ended at this one's base; only for counted windows."""
    if not window.counted:
        return None
    start = int(_bases(frame, window, pd.DatetimeIndex([frame.index[base]]))[0])
    return float(frame["flow"].iloc[start + 1 : base + 1].sum()) if start >= 0 else None


def flow_history(frame: pd.DataFrame, window: Window) -> pd.DataFrame:
    """For every session the window's dollars, percent of assets at its start, units and change.

    `change` is dollars less those of the same window before (of counted windows). A session whose own
    flow is held has no value: it must not fire anything; its flow counts in the windows after it.
    """
    base = _bases(frame, window)
    known = base >= 0
    at = base.clip(min=0)
    total = frame["flow"].fillna(0.0).cumsum().to_numpy()
    assets = (frame["shares"] * frame["nav"]).to_numpy()
    shares = frame["shares"].to_numpy()
    dollars = np.where(known, total - total[at], np.nan)
    out = pd.DataFrame({"dollars": dollars}, index=frame.index)
    out["percent"] = 100 * out["dollars"] / assets[at]
    out["units"] = np.where(known, 100 * (shares / shares[at] - 1), np.nan)
    out["change"] = np.where(known & window.counted, dollars - dollars[at], np.nan)
    out[frame["held"]] = np.nan
    return out


def by_assets(facts: pd.DataFrame) -> pd.Series:
    """Flows by the other method, F_t = TNA_t - TNA_{t-1} * NAV_t / NAV_{t-1}: the same where TNA = S * NAV.

    The return is the price return of the NAV: with the total return a distribution would count as a flow.
    """
    known = facts[["assets", "nav"]].astype("float64").dropna()
    return known["assets"] - known["assets"].shift(1) * known["nav"] / known["nav"].shift(1)


def robust_z(values: pd.Series) -> pd.Series:
    """(x_t - median) / (1.4826 MAD) over the 120 sessions before t, at least 20 of them, clipped to +-5.

    A MAD of zero gives 0 at the median and NaN elsewhere.
    """
    x = values.to_numpy(dtype="float64")
    before = np.concatenate((np.full(Z_SESSIONS, np.nan), x))
    past = np.lib.stride_tricks.sliding_window_view(before, Z_SESSIONS)[:-1]
    median = _medians(past)
    spread = MAD_TO_SIGMA * _medians(np.abs(past - median[:, None]))
    with np.errstate(divide="ignore", invalid="ignore"):
        score = ((x - median) / spread).clip(-Z_CLIP, Z_CLIP)
    score = np.where(spread > 0, score, np.where(x == median, 0.0, np.nan))
    enough = np.isfinite(past).sum(axis=1) >= Z_MINIMUM
    return pd.Series(np.where(enough, score, np.nan), index=values.index)


def _medians(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of each row without its NaNs, NaN where nothing else is in it; sorting puts them last."""
    ordered = np.sort(rows, axis=1)
    count = np.isfinite(rows).sum(axis=1)
    places = np.arange(len(rows))
    middle: NDArray[np.float64] = (ordered[places, (count - 1) // 2] + ordered[places, count // 2]) / 2
    return middle


def gap_history(market: Market, window: Window) -> pd.Series:
    """flow_pct of the small fund less that of the large one, percentage points, on common sessions."""
    small, large = market.pair.tickers
    legs = {ticker: flow_history(daily_flows(market, ticker), window)["percent"] for ticker in (small, large)}
    both = pd.concat(legs, axis=1, join="inner")
    return both[small] - both[large]
