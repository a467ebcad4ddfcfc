"""Fund flows from shares outstanding: F_t = (S_t - S_{t-1}) * NAV_t, US dollars.

S is split-adjusted and "as reported for t", which usually carries the trades of t-1. A change in
assets is never called a flow. A day that looks wrong is flagged (FLAGS) and said so beside the number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bot.analytics.market import LARGE, SMALL

if TYPE_CHECKING:
    from bot.analytics.market import Market
    from bot.analytics.windows import Window

FLAGS = {
    "SPLIT": "share count rescaled for a split, no flow that day",
    "STALE": "share count unchanged for three sessions or more, it may be frozen",
    "GAP": "one flow over several sessions, counts between are missing",
    "SPIKE_REVERT": "a jump in the count that was undone within five sessions",
    "BIG": "above 15% of assets, unconfirmed until the next count",
    "LARGE": "above 5% of assets",
}
FROZEN_SESSIONS = 3
REVERT_SESSIONS = 5
UNDONE = 0.5  # back by more than half: IWM 2005-06-28 and 2007-06-29 came back by 59% and 73%
BIG_SHARE = 0.15
LARGE_SHARE = 0.05
SPLIT_JUMP = 0.15
SPLIT_MATCH = 0.02
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
    flags: tuple[tuple[pd.Timestamp, str], ...] = ()


def daily(facts: pd.DataFrame, sessions: pd.DatetimeIndex) -> pd.DataFrame:
    """Facts made ready: rows x (shares, nav, flow, flag), on sessions that have a share count and a NAV.

    `facts` is sessions x (nav, shares, assets) of one source, `sessions` the exchange's. Rows on
    non-sessions are dropped before differencing. `shares` is restated in today's units after a
    split; `flow` is NaN on the first row; `flag` is "" or a key of FLAGS.
    """
    known = facts[["shares", "nav"]].dropna()
    known = known[known.index.isin(sessions) & (known["shares"] > 0) & (known["nav"] > 0)]
    frame = known.astype("float64").copy()
    position = pd.Series(sessions.get_indexer(frame.index), index=frame.index)
    consecutive = position.diff() == 1
    split = _splits(frame, consecutive)
    frame["shares"] = frame["shares"] * _later_splits(frame["shares"], split)
    change = frame["shares"].diff()
    frame["flow"] = (change * frame["nav"]).where(~split, 0.0)
    frame["flag"] = _flags(frame, change, consecutive, split)
    return frame


def _splits(frame: pd.DataFrame, consecutive: pd.Series) -> pd.Series:
    """Sessions on which the count jumped and the NAV moved the other way by as much."""
    count = frame["shares"] / frame["shares"].shift(1)
    nav = frame["nav"] / frame["nav"].shift(1)
    return consecutive & ((count - 1).abs() > SPLIT_JUMP) & ((count * nav - 1).abs() < SPLIT_MATCH)


def _later_splits(shares: pd.Series, split: pd.Series) -> pd.Series:
    """Factor that restates each count in the units that hold after the last split."""
    ratio = (shares / shares.shift(1)).where(split, 1.0)
    return ratio.iloc[::-1].cumprod().iloc[::-1].shift(-1, fill_value=1.0)


def _flags(frame: pd.DataFrame, change: pd.Series, consecutive: pd.Series, split: pd.Series) -> pd.Series:
    """One flag a session, the gravest last written."""
    share = (frame["flow"] / (frame["shares"].shift(1) * frame["nav"])).abs()
    unchanged = (change == 0).rolling(FROZEN_SESSIONS, min_periods=FROZEN_SESSIONS).sum() == FROZEN_SESSIONS
    flag = pd.Series("", index=frame.index)
    flag[unchanged] = "STALE"
    flag[~consecutive & change.notna()] = "GAP"
    flag[share > LARGE_SHARE] = "LARGE"
    flag[share > BIG_SHARE] = "BIG"
    flag[_reverted(frame["shares"], share > BIG_SHARE)] = "SPIKE_REVERT"
    flag[split] = "SPLIT"
    return flag


def _reverted(shares: pd.Series, jumped: pd.Series) -> pd.Series:
    """Sessions from a jump until the count has come back by more than half, at most five later."""
    spiked = np.zeros(len(shares), dtype=bool)
    values = shares.to_numpy()
    for start in np.flatnonzero(jumped.to_numpy()):
        before, jump = values[start - 1], values[start] - values[start - 1]
        after = values[start + 1 : start + 1 + REVERT_SESSIONS]
        back = np.flatnonzero(np.abs(after - before) < abs(jump) * UNDONE)
        if back.size:
            spiked[start : start + 2 + back[0]] = True
    return pd.Series(spiked, index=shares.index)


@lru_cache(maxsize=8)
def prepared(market: Market, ticker: str) -> pd.DataFrame:
    """`daily` of one fund of a Market, made once: many alerts ask for the same."""
    return daily(market.fund(ticker), market.sessions)


def summary(frame: pd.DataFrame, window: Window, anchor: pd.Timestamp | None = None) -> FlowSummary:
    """Flow over (base, end] with its flags; `anchor` is K, default the last row's session."""
    if frame.empty:
        return FlowSummary(window, None, None)
    index = pd.DatetimeIndex(frame.index)
    base = int(window.bases(index, pd.DatetimeIndex([anchor if anchor is not None else index[-1]]))[0])
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
        flags=tuple((day, flag) for day, flag in span["flag"].items() if flag),
    )


def _before(frame: pd.DataFrame, window: Window, base: int) -> float | None:
    """Dollars of the same window that ended at this one's base; only for counted windows."""
    if window.kind in {"ytd", "mtd", "since"}:
        return None
    earlier = frame.iloc[: base + 1]
    start = int(window.bases(pd.DatetimeIndex(earlier.index))[-1])
    return float(earlier["flow"].iloc[start + 1 :].sum()) if start >= 0 else None


def flow_history(frame: pd.DataFrame, window: Window) -> pd.DataFrame:
    """For every session the window's dollars, percent of assets at its start, and units in percent.

    A window whose own last day is BIG (unconfirmed) or STALE has no value: it must not fire anything.
    """
    index = pd.DatetimeIndex(frame.index)
    base = window.bases(index)
    known = base >= 0
    at = base.clip(min=0)
    total = frame["flow"].fillna(0.0).cumsum().to_numpy()
    assets = (frame["shares"] * frame["nav"]).to_numpy()
    shares = frame["shares"].to_numpy()
    dollars = np.where(known, total - total[at], np.nan) if len(frame) else total
    out = pd.DataFrame({"dollars": dollars}, index=index)
    out["percent"] = 100 * out["dollars"] / assets[at]
    out["units"] = np.where(known, 100 * (shares / shares[at] - 1), np.nan)
    out["change"] = np.where(known, dollars - dollars[at], np.nan)
    out[frame["flag"].isin(["BIG", "STALE"])] = np.nan
    return out


def robust_z(values: pd.Series) -> pd.Series:
    """(x_t - median) / (1.4826 MAD) over the 120 values before t, at least 20, clipped to +-5.

    A MAD of zero gives 0 at the median and NaN elsewhere.
    """
    out = pd.Series(np.nan, index=values.index)
    known = values.dropna()
    past = known.to_numpy()
    for i in range(Z_MINIMUM, len(past)):
        window = past[max(0, i - Z_SESSIONS) : i]
        median = np.median(window)
        spread = MAD_TO_SIGMA * np.median(np.abs(window - median))
        if spread > 0:
            out[known.index[i]] = np.clip((past[i] - median) / spread, -Z_CLIP, Z_CLIP)
        elif past[i] == median:
            out[known.index[i]] = 0.0
    return out


def gap_history(market: Market, window: Window) -> pd.Series:
    """flow_pct of IWM less that of SPY, percentage points, on sessions that both have."""
    small, large = (flow_history(prepared(market, t), window)["percent"] for t in (SMALL, LARGE))
    return (small - large).dropna()
