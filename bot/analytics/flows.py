"""Fund flows from shares outstanding: F_t = (S_t - S_{t-1}) * NAV_t, US dollars.

S is split-adjusted and "as reported for t", which usually carries the trades of t-1. A change in
assets is never called a flow. Days whose count looks wrong are flagged, see `counts.py`.

Share counts made ready for flows: sessions only, one unit across splits, every doubtful one flagged.

A count that looks wrong is flagged (FLAGS) and kept; what it does to flows is in `daily`. What is
known of a count at session t uses no later one: a jump is BIG until the count changes again (the same
count said twice confirms nothing), and SPIKE_REVERT only once it has come back.
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

COLUMNS = ("shares", "nav", "flow", "flag", "note", "position", "held", "undone", "stand_in")


def prepare_counts(
    facts: pd.DataFrame, sessions: pd.DatetimeIndex, price: pd.Series | None = None
) -> pd.DataFrame:
    """Facts made ready: rows x COLUMNS, on sessions that have a share count and a NAV.

    `facts` is sessions x (nav, shares, assets) of one source, with a column `was` where it has replaced
    counts; `sessions` are the exchange's, `price` closes that a NAV is checked against.
    Rows on non-sessions are dropped before differencing, and so are counts that are frozen assets
    divided by NAV.

    shares, nav   in the units that hold after the last split
    flow          US dollars, (S_t - S_{t-1}) * NAV_t; NaN on the first row; the end of a spike takes
                  back just what the spike had put in
    flag, note    "" or a key of FLAGS, and its meaning on that day
    position      of the row among `sessions`
    held          a flow that must fire nothing by itself: BIG, STALE, GAP, LOT or the end of a spike
    undone        row from which on this one is known to lie in a spike (the frame's length: in none);
    stand_in      as a base it is then replaced by this row
    """
    frame = _usable(facts, sessions)
    was = facts["was"].reindex(frame.index) if "was" in facts else pd.Series(np.nan, frame.index)
    raw = frame["shares"].diff()
    consecutive = frame["position"].diff() == 1
    split = _splits(frame, consecutive)
    factor = _later_splits(frame["shares"], split)
    frame["shares"], frame["nav"] = frame["shares"] * factor, frame["nav"] / factor
    by_market = _by_market(frame["nav"], price)
    off = (frame["nav"] / by_market - 1).abs() > OFF_MARKET
    frame["nav"] = frame["nav"].where(~off, by_market)
    change = frame["shares"].diff()
    share = (change / frame["shares"].shift(1)).abs().where(~split, 0.0)
    frame["flow"] = (change * frame["nav"]).where(~split, 0.0)
    spikes = _spikes(frame["shares"].to_numpy(), (share > BIG_SHARE).to_numpy())
    marks = {
        "REVISED": was.notna(),
        "STALE": (change == 0).rolling(FROZEN_SESSIONS).sum() == FROZEN_SESSIONS,
        "LOT": (raw.round() % LOT != 0) & raw.notna() & ~split,
        "LARGE": share > LARGE_SHARE,
        "NAV": off,
        "GAP": ~consecutive & raw.notna(),
        "BIG": share > BIG_SHARE,
    }
    # A number of the last change: rows that repeat a count are in doubt with the change that led to it.
    level = (change != 0).cumsum()
    doubtful = marks["BIG"].groupby(level).transform("first")
    frame["held"] = marks["STALE"] | marks["LOT"] | marks["GAP"] | doubtful
    _settle(frame, spikes)
    _flag(frame, marks, spikes, split, level < level.max())
    _tell(frame, was, marks["BIG"])
    return frame[list(COLUMNS)]


def is_derived(facts: pd.DataFrame) -> pd.Series:
    """Per row whether its share count is frozen assets divided by NAV: it says nothing about flows.

    Then the count moves on every session, against the NAV and by just as much.
    """
    known = facts[["shares", "nav"]].dropna()
    still = np.log(known["shares"] * known["nav"]).diff().abs() < DERIVED_MATCH
    moved = known["shares"].diff().fillna(0.0) != 0
    full = (still & moved).rolling(DERIVED_STEPS).sum() == DERIVED_STEPS
    # The stretch includes the row before its first step.
    stretch = full[::-1].rolling(DERIVED_STEPS + 1, min_periods=1).max()[::-1] == 1
    return stretch.reindex(facts.index, fill_value=False)


def trusted_bases(frame: pd.DataFrame, base: NDArray[np.intp], end: NDArray[np.intp]) -> NDArray[np.intp]:
    """Bases (rows, -1 for none) as known at the ends: one inside a spike is replaced by the row before it."""
    undone, stand_in = frame["undone"].to_numpy(), frame["stand_in"].to_numpy()
    while len(frame):
        moved = (base >= 0) & (undone[base] <= end)
        if not moved.any():
            break
        base = np.where(moved, stand_in[base], base)
    return base


def _usable(facts: pd.DataFrame, sessions: pd.DatetimeIndex) -> pd.DataFrame:
    """Rows x (shares, nav, position) on sessions, whose count and NAV can be differenced."""
    known = facts.loc[facts.index.isin(sessions), ["shares", "nav"]].astype("float64").dropna()
    known = known[(known["shares"] > 0) & (known["nav"] > 0)]
    known = known[~is_derived(known)]
    return known.assign(position=sessions.get_indexer(known.index))


def _splits(frame: pd.DataFrame, consecutive: pd.Series) -> pd.Series:
    """Sessions on which the count jumped and the NAV moved the other way by as much."""
    count = frame["shares"] / frame["shares"].shift(1)
    nav = frame["nav"] / frame["nav"].shift(1)
    return consecutive & ((count - 1).abs() > SPLIT_JUMP) & ((count * nav - 1).abs() < SPLIT_MATCH)


def _later_splits(shares: pd.Series, split: pd.Series) -> pd.Series:
    """Factor that restates each count in the units that hold after the last split."""
    ratio = (shares / shares.shift(1)).where(split, 1.0)
    return ratio.iloc[::-1].cumprod().iloc[::-1].shift(-1, fill_value=1.0)


def _by_market(nav: pd.Series, price: pd.Series | None) -> pd.Series:
    """What the market price says the NAV is, NaN without one.

    By their usual ratio, not one to one: as of a date before a split the price is already in new units.
    """
    if price is None:
        return pd.Series(np.nan, nav.index)
    close = price.reindex(nav.index)
    return close * (nav / close).rolling(USUAL_SESSIONS, min_periods=1).median()


def _spikes(shares: NDArray[np.float64], jumped: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Rows of each jump and of its undoing: back by more than half, at most five later. By their end."""
    spikes = []
    for start in np.flatnonzero(jumped):
        before, jump = shares[start - 1], shares[start] - shares[start - 1]
        after = shares[start + 1 : start + 1 + REVERT_SESSIONS]
        back = np.flatnonzero(np.abs(after - before) < abs(jump) * UNDONE)
        if back.size:
            spikes.append((int(start), int(start + 1 + back[0])))
    return sorted(spikes, key=lambda spike: spike[1])


def _settle(frame: pd.DataFrame, spikes: list[tuple[int, int]]) -> None:
    """Set undone and stand_in; make the flow at a spike's end take back what its rows had put in."""
    undone, stand_in = np.full(len(frame), len(frame)), np.arange(len(frame))
    flow, shares, nav = (frame[name].to_numpy(copy=True) for name in ("flow", "shares", "nav"))
    held = frame["held"].to_numpy(copy=True)
    for start, end in spikes:
        flow[end] = (shares[end] - shares[start - 1]) * nav[end] - flow[start:end].sum()
        held[end] = True
        # A row inside two spikes keeps what was known first; from there the way leads on to the other's.
        fresh = start + np.flatnonzero(undone[start:end] == len(frame))
        undone[fresh], stand_in[fresh] = end, start - 1
    frame["flow"], frame["held"], frame["undone"], frame["stand_in"] = flow, held, undone, stand_in


def _flag(
    frame: pd.DataFrame,
    marks: dict[str, pd.Series],
    spikes: list[tuple[int, int]],
    split: pd.Series,
    passed: pd.Series,
) -> None:
    """Set flag and note, one a session, the gravest last written."""
    flag = pd.Series("", index=frame.index)
    for name, days in marks.items():
        flag[days] = name
    # The count has changed again and did not undo it: it was real.
    flag[marks["BIG"] & passed] = "LARGE"
    for start, end in spikes:
        flag.iloc[start : end + 1] = "SPIKE_REVERT"
    flag[split] = "SPLIT"
    frame["flag"], frame["note"] = flag, flag.map({"": "", **FLAGS})


def _tell(frame: pd.DataFrame, was: pd.Series, big: pd.Series) -> None:
    """Put what is particular to a day into its note: the span of a gap, the count that was replaced."""
    column = frame.columns.get_loc("note")
    frame.loc[big & (frame["flag"] == "LARGE"), "note"] = CONFIRMED
    for row in np.flatnonzero(frame["flag"] == "REVISED"):
        frame.iloc[row, column] = f"the source gave {was.iloc[row] / 1e6:,.2f}m units first"
    steps = frame["position"].diff()
    for row in np.flatnonzero(frame["flag"] == "GAP"):
        span = f"one flow over {steps.iloc[row]:.0f} sessions since {short_date(frame.index[row - 1])}"
        frame.iloc[row, column] = f"{span}, counts between are missing"


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
    return prepare_counts(market.fund(ticker), market.sessions, market.prices.get(ticker))


def flow_summary(frame: pd.DataFrame, window: Window, anchor: pd.Timestamp | None = None) -> FlowSummary:
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
    return trusted_bases(frame, base, ends)


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


def flows_from_assets(facts: pd.DataFrame) -> pd.Series:
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


def flow_gap_history(market: Market, window: Window) -> pd.Series:
    """flow_pct of the small fund less that of the large one, percentage points, on common sessions."""
    small, large = market.pair.tickers
    legs = {ticker: flow_history(daily_flows(market, ticker), window)["percent"] for ticker in (small, large)}
    both = pd.concat(legs, axis=1, join="inner")
    return both[small] - both[large]
