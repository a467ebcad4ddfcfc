"""Fund flows from shares outstanding: F_t = (S_t - S_{t-1}) * NAV_t, in US dollars.

S is split-adjusted and "as reported for t", which usually carries the trades of t-1. A change in assets is
never called a flow.

First the share counts are prepared: sessions only, one unit across splits. A count that looks wrong is
flagged (FLAGS) and stays. What is known of a count at session t uses no later one: a jump is BIG until the
count changes again (repeating the same count confirms nothing), and SPIKE_REVERT only once it has come back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bot.analytics.sessions import short_date

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bot.analytics.market import Market
    from bot.analytics.windows import Window


FLAGS = {
    "SPLIT": "share count rescaled for a split, no flow that day",
    "STALE": "share count unchanged for three sessions or more, it may be frozen",
    "GAP": "one flow over several sessions, counts between are missing",
    "SPIKE_REVERT": "a jump in the count that was undone within five sessions",
    "BIG": "above 15% of assets, unconfirmed until the count changes again",
    "LARGE": "above 5% of assets",
    "LOT": "the count did not change by whole lots of 50,000 shares",
    "NAV": "net asset value more than 5% off the market price, which is used instead",
    "REVISED": "the source has replaced the count that it gave first",
}
CONFIRMED = "above 15% of assets, not undone by the next change of the count"
FROZEN_SESSIONS = 3
REVERT_SESSIONS = 5
UNDONE = 0.5  # back by more than half: IWM 2005-06-28 and 2007-06-29 came back by 59% and 73%
BIG_SHARE = 0.15
LARGE_SHARE = 0.05
SPLIT_JUMP = 0.15
SPLIT_MATCH = 0.02
LOT = 50_000  # both funds create and redeem shares in lots of this size
OFF_MARKET = 0.05  # IWM's NAV was 13% off in July 2001 and 7% in January 2002, else never 5%
USUAL_SESSIONS = 20
DERIVED_STEPS = 10  # so many steps on which assets stood still while the count moved are no accident
DERIVED_MATCH = 1e-4  # NAVs are rounded to cents

Z_SESSIONS = 120
Z_MINIMUM = 20
Z_CLIP = 5.0
MAD_TO_SIGMA = 1.4826

COLUMNS = ("shares", "nav", "flow", "flag", "note", "position", "doubtful", "undone", "stand_in")


@lru_cache(maxsize=8)
def daily_flows(market: Market, ticker: str) -> pd.DataFrame:
    """`prepare_counts` of one fund of a Market, cached because many alerts ask for the same."""
    return prepare_counts(market.fund(ticker), market.sessions, market.prices.get(ticker))


def prepare_counts(
    facts: pd.DataFrame, sessions: pd.DatetimeIndex, price: pd.Series | None = None
) -> pd.DataFrame:
    """Daily counts and flows: rows x COLUMNS, on sessions that have a share count and a NAV.

    `facts` is sessions x (nav, shares, assets) of one source, with a column `was` where it has replaced
    counts; `sessions` are the exchange's; `price` holds closes that a NAV is checked against. Rows on
    non-sessions are dropped before differencing, and so are counts that are frozen assets divided by NAV.

    shares, nav  in the units that hold after the last split
    flow         US dollars, (S_t - S_{t-1}) * NAV_t; NaN on the first row. The end of a spike takes back
                 just what the spike had added
    flag, note   "" or a key of FLAGS, and its meaning on that day
    position     of the row among `sessions`
    doubtful     whether the flow must not fire anything by itself: BIG, STALE, GAP, LOT or a spike's end
    undone       row from which on this one is known to lie in a spike, or the frame's length
    stand_in     row that then replaces this one as a base
    """
    known = facts.loc[facts.index.isin(sessions), ["shares", "nav"]].astype("float64").dropna()
    known = known[(known["shares"] > 0) & (known["nav"] > 0)]
    frame = known[~is_derived(known)]
    frame = frame.assign(position=sessions.get_indexer(frame.index))
    replaced = facts["was"].reindex(frame.index) if "was" in facts else pd.Series(np.nan, frame.index)
    raw_change = frame["shares"].diff()
    consecutive = frame["position"].diff() == 1

    # A split: the count jumps and the NAV moves the other way by as much.
    count_ratio, nav_ratio = (frame[name] / frame[name].shift(1) for name in ("shares", "nav"))
    split = consecutive & ((count_ratio - 1).abs() > SPLIT_JUMP)
    split &= (count_ratio * nav_ratio - 1).abs() < SPLIT_MATCH
    # The factor that restates each count in the units that hold after the last split.
    factor = count_ratio.where(split, 1.0)[::-1].cumprod()[::-1].shift(-1, fill_value=1.0)
    frame["shares"], frame["nav"] = frame["shares"] * factor, frame["nav"] / factor

    by_market = _nav_by_market(frame["nav"], price)
    off_market = (frame["nav"] / by_market - 1).abs() > OFF_MARKET
    frame["nav"] = frame["nav"].where(~off_market, by_market)
    change = frame["shares"].diff()
    share = (change / frame["shares"].shift(1)).abs().where(~split, 0.0)
    frame["flow"] = (change * frame["nav"]).where(~split, 0.0)
    flagged = {
        "REVISED": replaced.notna(),
        "STALE": (change == 0).rolling(FROZEN_SESSIONS).sum() == FROZEN_SESSIONS,
        "LOT": (raw_change.round() % LOT != 0) & raw_change.notna() & ~split,
        "LARGE": share > LARGE_SHARE,
        "NAV": off_market,
        "GAP": ~consecutive & raw_change.notna(),
        "BIG": share > BIG_SHARE,
    }
    # Rows that repeat a count are numbered with the change that led to it, and are in doubt with it.
    level = (change != 0).cumsum()
    in_doubt = flagged["BIG"].groupby(level).transform("first")
    frame["doubtful"] = flagged["STALE"] | flagged["LOT"] | flagged["GAP"] | in_doubt
    spikes = _spikes(frame["shares"].to_numpy(), flagged["BIG"].to_numpy())
    _take_back_spikes(frame, spikes)

    flag = pd.Series("", index=frame.index)  # the gravest is written last
    for name, days in flagged.items():
        flag[days] = name
    flag[flagged["BIG"] & (level < level.max())] = "LARGE"  # the count has changed again: it was real
    for start, end in spikes:
        flag.iloc[start : end + 1] = "SPIKE_REVERT"
    flag[split] = "SPLIT"
    frame["flag"], frame["note"] = flag, flag.map({"": "", **FLAGS})
    _add_details(frame, replaced, flagged["BIG"])
    return frame[list(COLUMNS)]


def is_derived(facts: pd.DataFrame) -> pd.Series:
    """Per row whether its share count is frozen assets divided by NAV, which says nothing about flows.

    Such a count moves on every session, against the NAV and by just as much.
    """
    known = facts[["shares", "nav"]].dropna()
    still = np.log(known["shares"] * known["nav"]).diff().abs() < DERIVED_MATCH
    moved = known["shares"].diff().fillna(0.0) != 0
    full = (still & moved).rolling(DERIVED_STEPS).sum() == DERIVED_STEPS
    # The stretch includes the row before its first step.
    stretch = full[::-1].rolling(DERIVED_STEPS + 1, min_periods=1).max()[::-1] == 1
    return stretch.reindex(facts.index, fill_value=False)


def _nav_by_market(nav: pd.Series, price: pd.Series | None) -> pd.Series:
    """The NAV that the market price implies, NaN without one.

    It uses their usual ratio, not one to one: as of a date before a split the price is already in new units.
    """
    if price is None:
        return pd.Series(np.nan, nav.index)
    close = price.reindex(nav.index)
    return close * (nav / close).rolling(USUAL_SESSIONS, min_periods=1).median()


def _spikes(shares: NDArray[np.float64], jumped: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Rows of each jump and of its undoing (back by more than half within five rows), by their end."""
    spikes = []
    for start in np.flatnonzero(jumped):
        before, jump = shares[start - 1], shares[start] - shares[start - 1]
        after = shares[start + 1 : start + 1 + REVERT_SESSIONS]
        back = np.flatnonzero(np.abs(after - before) < abs(jump) * UNDONE)
        if back.size:
            spikes.append((int(start), int(start + 1 + back[0])))
    return sorted(spikes, key=lambda spike: spike[1])


def _take_back_spikes(frame: pd.DataFrame, spikes: list[tuple[int, int]]) -> None:
    """Set undone and stand_in; make the flow at a spike's end take back what its rows had added."""
    undone, stand_in = np.full(len(frame), len(frame)), np.arange(len(frame))
    flow, shares, nav = (frame[name].to_numpy(copy=True) for name in ("flow", "shares", "nav"))
    doubtful = frame["doubtful"].to_numpy(copy=True)
    for start, end in spikes:
        flow[end] = (shares[end] - shares[start - 1]) * nav[end] - flow[start:end].sum()
        doubtful[end] = True
        # A row inside two spikes keeps the earlier end; its stand-in may itself be replaced by the other's.
        first_known = start + np.flatnonzero(undone[start:end] == len(frame))
        undone[first_known], stand_in[first_known] = end, start - 1
    frame["flow"], frame["doubtful"], frame["undone"], frame["stand_in"] = flow, doubtful, undone, stand_in


def _add_details(frame: pd.DataFrame, replaced: pd.Series, big: pd.Series) -> None:
    """Put what is particular to a day into its note: the span of a gap, the count that was replaced."""
    column = frame.columns.get_loc("note")
    frame.loc[big & (frame["flag"] == "LARGE"), "note"] = CONFIRMED
    for row in np.flatnonzero(frame["flag"] == "REVISED"):
        frame.iloc[row, column] = f"the source gave {replaced.iloc[row] / 1e6:,.2f}m units first"
    steps = frame["position"].diff()
    for row in np.flatnonzero(frame["flag"] == "GAP"):
        span = f"one flow over {steps.iloc[row]:.0f} sessions since {short_date(frame.index[row - 1])}"
        frame.iloc[row, column] = f"{span}, counts between are missing"


@dataclass(frozen=True)
class FlowSummary:
    """Flow of one fund over one window; None where it cannot be given.

    dollars  US dollars, positive into the fund
    percent  of assets at the window's start
    units    percent change of shares outstanding
    before   dollars of the same window before
    flags    session, key of FLAGS and its meaning on that day
    """

    window: Window
    base: pd.Timestamp | None
    end: pd.Timestamp | None
    dollars: float | None = None
    percent: float | None = None
    units: float | None = None
    before: float | None = None
    flags: tuple[tuple[pd.Timestamp, str, str], ...] = ()


def flow_summary(frame: pd.DataFrame, window: Window, anchor: pd.Timestamp | None = None) -> FlowSummary:
    """Flow over (base, end] with its flags; `anchor` is K, by default the last row's session."""
    if frame.empty:
        return FlowSummary(window, None, None)
    index = pd.DatetimeIndex(frame.index)
    base = int(_bases(frame, window, pd.DatetimeIndex([anchor if anchor is not None else index[-1]]))[0])
    if base < 0:
        return FlowSummary(window, None, index[-1])
    span, start = frame.iloc[base + 1 :], frame.iloc[base]
    dollars, before = float(span["flow"].sum()), None
    if window.counted:
        earlier = int(_bases(frame, window, index[base : base + 1])[0])
        before = float(frame["flow"].iloc[earlier + 1 : base + 1].sum()) if earlier >= 0 else None
    return FlowSummary(
        window=window,
        base=index[base],
        end=index[-1],
        dollars=dollars,
        percent=100 * dollars / float(start["shares"] * start["nav"]),
        units=100 * (float(frame["shares"].iloc[-1]) / float(start["shares"]) - 1),
        before=before,
        flags=tuple((day, row["flag"], row["note"]) for day, row in span[span["flag"] != ""].iterrows()),
    )


def _bases(frame: pd.DataFrame, window: Window, anchors: pd.DatetimeIndex | None = None) -> NDArray[np.intp]:
    """Row of each anchor's base, -1 where history is too short; days are the exchange's sessions.

    Where the base's own count is missing or was known at the anchor to lie in a spike, the last good row
    before it stands in.
    """
    index = pd.DatetimeIndex(frame.index)
    ends = np.arange(len(index)) if anchors is None else index.searchsorted(anchors, side="right") - 1
    if window.kind == "d":
        position = frame["position"].to_numpy()
        base = position.searchsorted(position[ends] - window.count, side="right") - 1
    else:
        base = window.bases(index, anchors)
    undone, stand_in = frame["undone"].to_numpy(), frame["stand_in"].to_numpy()
    while len(frame):
        moved = (base >= 0) & (undone[base] <= ends)
        if not moved.any():
            break
        base = np.where(moved, stand_in[base], base)
    rows: NDArray[np.intp] = base
    return rows


def flow_history(frame: pd.DataFrame, window: Window, anchor: pd.Timestamp | None = None) -> pd.DataFrame:
    """For every session the window's dollars, percent of assets at its start, units and change.

    `units` is the percent change of shares outstanding; `change` is dollars less those of the same window
    before (NaN for windows without a length). A session whose own flow is doubtful is NaN, so that it fires
    nothing; its flow counts in the windows after it. The last session counts back from `anchor`, if given.
    """
    anchors = pd.DatetimeIndex(frame.index)
    if anchor is not None and len(anchors):
        anchors = anchors[:-1].append(pd.DatetimeIndex([anchor]))
    base = _bases(frame, window, anchors)
    known = base >= 0
    at = base.clip(min=0)
    total = frame["flow"].fillna(0.0).cumsum().to_numpy()
    assets = (frame["shares"] * frame["nav"]).to_numpy()
    shares = frame["shares"].to_numpy()
    dollars = np.where(known, total - total[at], np.nan)
    history = pd.DataFrame({"dollars": dollars}, index=frame.index)
    history["percent"] = 100 * history["dollars"] / assets[at]
    history["units"] = np.where(known, 100 * (shares / shares[at] - 1), np.nan)
    history["change"] = np.where(known & window.counted, dollars - dollars[at], np.nan)
    history[frame["doubtful"]] = np.nan
    return history


def flow_gap_history(market: Market, window: Window) -> pd.Series:
    """Flow in percent of assets, small fund less large one, percentage points, on common sessions."""
    small, large = (
        flow_history(daily_flows(market, ticker), window, market.anchor)["percent"]
        for ticker in market.pair.tickers
    )
    small, large = small.align(large, join="inner")
    return small - large


def flows_from_assets(facts: pd.DataFrame) -> pd.Series:
    """Flows by the other method, F_t = TNA_t - TNA_{t-1} * NAV_t / NAV_{t-1}, in US dollars.

    It gives the same where TNA = S * NAV. The return is the price return of the NAV: with the total return
    a distribution would count as a flow.
    """
    known = facts[["assets", "nav"]].astype("float64").dropna()
    return known["assets"] - known["assets"].shift(1) * known["nav"] / known["nav"].shift(1)


def robust_z(values: pd.Series) -> pd.Series:
    """(x_t - median) / (1.4826 MAD) over the 120 sessions before t, clipped to +-5.

    NaNs are left out; fewer than 20 values give NaN. A MAD of zero gives 0 at the median and NaN elsewhere.
    The factor makes the median absolute deviation a standard deviation where values are normal.
    """
    x = values.to_numpy(dtype="float64")
    padded = np.concatenate((np.full(Z_SESSIONS, np.nan), x))
    past = np.lib.stride_tricks.sliding_window_view(padded, Z_SESSIONS)[:-1]
    median = _medians(past)
    spread = MAD_TO_SIGMA * _medians(np.abs(past - median[:, None]))
    with np.errstate(divide="ignore", invalid="ignore"):
        score = ((x - median) / spread).clip(-Z_CLIP, Z_CLIP)
    score = np.where(spread > 0, score, np.where(x == median, 0.0, np.nan))
    enough = np.isfinite(past).sum(axis=1) >= Z_MINIMUM
    return pd.Series(np.where(enough, score, np.nan), index=values.index)


def _medians(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of each row without its NaNs, which sorting puts last; NaN where nothing else is in it."""
    ordered = np.sort(rows, axis=1)
    count = np.isfinite(rows).sum(axis=1)
    row = np.arange(len(rows))
    medians: NDArray[np.float64] = (ordered[row, (count - 1) // 2] + ordered[row, count // 2]) / 2
    return medians
