"""Fund flows from shares outstanding: F_t = (S_t - S_{t-1}) * NAV_t, in US dollars.

S is split-adjusted and "as reported for t", which usually carries the trades of t-1. A change in assets is
never called a flow. Where a count has no NAV, the close is used instead ("by close").

First the share counts are prepared: sessions only, one unit across splits. A count that looks wrong is
flagged (FLAGS). A jump of the count by more than BIG_SHARE is unresolved until it is undone (a spike, whose
counts are then left out), has stood for STANDS sessions or is confirmed by a second source. From an
unresolved jump on the flows are held: no alert is evaluated on them until they are resolved, in order.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bot.analytics.market import Market, per_market
from bot.analytics.windows import Window
from bot.text import load_toml, short_date

BIG, IMPOSSIBLE, SPIKE = "BIG", "IMPOSSIBLE", "SPIKE_REVERT"
FLAGS: dict[str, str] = load_toml("bot.analytics", "flags.toml")
STOOD = "above 15% of assets, confirmed: it stood for five sessions"
SECONDED = "above 15% of assets, confirmed: a second source has the same count"
FROZEN_SESSIONS = 3
STANDS = 5  # sessions within which a spike is undone, and after which a jump is real
UNDONE = 0.5  # back by more than half: IWM 2005-06-28 and 2007-06-29 came back by 59% and 73%
IMPOSSIBLE_SHARE = 0.5
BIG_SHARE = 0.15
LARGE_SHARE = 0.05
FLAT_PERCENT = 0.1  # of assets: a smaller flow says nothing
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


@per_market
def daily_flows(market: Market, ticker: str) -> pd.DataFrame:
    """`prepare_counts` of one fund of a Market, computed once because many alerts ask for the same."""
    return prepare_counts(market.fund(ticker), market.sessions, market.prices.get(ticker))


def prepare_counts(facts: pd.DataFrame, sessions: pd.DatetimeIndex, price: pd.Series | None = None) -> pd.DataFrame:
    """Daily counts and flows, on sessions that have a share count and a NAV or a close.

    `facts` is sessions x (nav, shares, assets) of one source; it may have the columns `was` (counts that the
    source has replaced) and `seconded` (whether another source has the same count). `sessions` are the
    exchange's; `price` holds closes that a NAV is checked against, and which stand for one that is missing.
    Rows on non-sessions are dropped before differencing, and so are counts that are frozen assets divided by
    NAV.

    shares, nav  in the units that hold after the last split
    flow         US dollars, (S_t - S_{t-1}) * NAV_t; NaN on the first row. Within a spike it is 0, and at its
                 end S_{t-1} is the count before the spike
    flag, note   "" or a key of FLAGS, and its meaning on that day
    position     of the row among `sessions`
    doubtful     whether the flow must not fire anything by itself: STALE, GAP, LOT, in a spike or at its end,
                 or held
    held         whether the row waits for a jump, its own or an earlier one, to be confirmed or undone
    known        session whose count resolved the jumps up to the row: its own, or a later one
    stand_in     row that replaces this one as a base: the one before a spike, else itself
    by_close     whether `nav` is the close
    """
    frame = facts.loc[facts.index.isin(sessions), ["shares", "nav"]].astype("float64")
    frame["nav"] = frame["nav"].where(frame["nav"] > 0)
    priced = frame["nav"].notna() | (price is not None and price.reindex(frame.index).notna())
    frame = frame[(frame["shares"] > 0) & priced]
    frame = frame[~is_derived(frame)]
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

    off_market = _value_by_market(frame, price)
    seconded = facts["seconded"].reindex(frame.index) if "seconded" in facts else split & False
    jumps = _judge_jumps(frame["shares"].to_numpy(), seconded.to_numpy(dtype=bool))
    frame["held"] = np.arange(len(frame)) >= jumps.unresolved
    frame["known"], frame["stand_in"] = frame.index[jumps.known], jumps.stand_in
    before = frame["shares"].iloc[jumps.before].set_axis(frame.index)
    change = frame["shares"] - before
    share = (change / before).abs()
    spiked = frame["stand_in"] != np.arange(len(frame))
    frame["flow"] = (change * frame["nav"]).where(~(spiked | split), 0.0)
    frame.iloc[:1, frame.columns.get_loc("flow")] = np.nan
    flagged = {
        "REVISED": replaced.notna(),
        "STALE": (frame["shares"].diff() == 0).rolling(FROZEN_SESSIONS).sum() == FROZEN_SESSIONS,
        "LOT": (raw_change.round() % LOT != 0) & raw_change.notna() & ~split,
        "LARGE": share > LARGE_SHARE,
        "NAV": off_market,
        "GAP": ~consecutive & raw_change.notna(),
        SPIKE: spiked | spiked.shift(1, fill_value=False),  # with its end
        BIG: frame["held"] & (share > BIG_SHARE),
        IMPOSSIBLE: frame["held"] & (share > IMPOSSIBLE_SHARE),
        "SPLIT": split,
    }
    frame["doubtful"] = frame["held"].copy()
    for name in ("STALE", "LOT", "GAP", SPIKE):
        frame["doubtful"] |= flagged[name]
    gravest = np.zeros(len(frame), dtype="int64")  # position among the flags, which stand in this order
    for position, days in enumerate(flagged.values(), 1):
        gravest[days.to_numpy(dtype=bool)] = position
    frame["flag"] = np.array(["", *flagged], dtype=object)[gravest]
    frame["note"] = np.array(["", *(FLAGS[name] for name in flagged)], dtype=object)[gravest]
    _add_details(frame, replaced, jumps)
    return frame


def is_derived(facts: pd.DataFrame) -> pd.Series:
    """Per row whether its share count is frozen assets divided by NAV, which says nothing about flows.

    Such a count moves on every session, against the NAV and by just as much.
    """
    known = facts[["shares", "nav"]].dropna()
    still = np.log(known["shares"] * known["nav"]).diff().abs() < DERIVED_MATCH
    moved = known["shares"].diff().fillna(0.0) != 0
    if (still & moved).sum() < DERIVED_STEPS:  # as usual
        return pd.Series(False, facts.index)
    full = (still & moved).rolling(DERIVED_STEPS).sum() == DERIVED_STEPS
    # The stretch includes the row before its first step.
    stretch = full[::-1].rolling(DERIVED_STEPS + 1, min_periods=1).max()[::-1] == 1
    return stretch.reindex(facts.index, fill_value=False)


def _value_by_market(frame: pd.DataFrame, price: pd.Series | None) -> pd.Series:
    """Set NAVs that are missing or off the market from the closes, and `by_close`. Returns which were off.

    A NAV is compared by their usual ratio, not one to one: as of a date before a split the price is already
    in new units.
    """
    nav = frame["nav"]
    close = pd.Series(np.nan, nav.index) if price is None else price.reindex(nav.index)
    usual = (nav / close).rolling(USUAL_SESSIONS, min_periods=1).median()
    off_market = (nav / (close * usual) - 1).abs() > OFF_MARKET
    units = usual.ffill().where(lambda ratio: (ratio - 1).abs() > OFF_MARKET, 1.0)
    frame["by_close"] = nav.isna()
    frame["nav"] = nav.where(~off_market, close * usual).fillna(close * units)
    return off_market


@dataclass(frozen=True)
class _Jumps:
    """What is known of the jumps of a count.

    before      the row that each row is differenced from; of the first row, itself
    stand_in    of rows in a spike the one before it, of others themselves
    known       of each row the one by which all jumps up to it were resolved, where they are
    confirmed   rows of the jumps that are real, with the reason
    unresolved  the first row of which that is not known yet, or the number of rows
    """

    before: NDArray[np.intp]
    stand_in: NDArray[np.intp]
    known: NDArray[np.intp]
    confirmed: dict[int, str]
    unresolved: int


def _judge_jumps(shares: NDArray[np.float64], seconded: NDArray[np.bool_]) -> _Jumps:
    """Decide row by row which jumps are real and which are spikes, each by the STANDS rows after it only."""
    rows = np.arange(len(shares))
    before, stand_in, known = (rows - 1).clip(min=0), rows.copy(), rows.copy()
    confirmed, row = dict[int, str](), 0
    while row < len(rows):
        steps = np.abs(shares[row:] / shares[before[row:]] - 1) > BIG_SHARE
        if not steps.any():
            break
        row += int(steps.argmax())
        base, after = before[row], slice(row + 1, row + 1 + STANDS)
        back = np.abs(shares[after] - shares[base]) < abs(shares[row] - shares[base]) * UNDONE
        end = int(back.argmax()) + 1 if back.any() else STANDS
        confirmations = np.flatnonzero(seconded[row : row + end])
        until = row + (int(confirmations[0]) if confirmations.size else end)
        if until < len(rows):
            known[row : until + 1] = until
        if confirmations.size:
            confirmed[row] = SECONDED
        elif back.any():
            row, first = row + end, row
            while row + 1 < len(rows) and _goes_on_back(shares[row : row + 2], shares[base]):
                row += 1  # its end was a step on the way: IWM 2004-06-28
            stand_in[first:row] = base
            before[row] = base
            continue
        elif len(back) == STANDS:
            confirmed[row] = STOOD
        else:
            return _Jumps(before, stand_in, known, confirmed, row)
        row += 1
    return _Jumps(before, stand_in, known, confirmed, len(rows))


def _goes_on_back(step: NDArray[np.float64], base: float) -> bool:
    """Whether a step is a jump towards the count before the spike."""
    big = abs(step[1] / step[0] - 1) > BIG_SHARE
    return bool(big and abs(step[1] - base) < abs(step[0] - base))


def _add_details(frame: pd.DataFrame, replaced: pd.Series, jumps: _Jumps) -> None:
    """Put what is particular to a day into its note: why it is real, the span of a gap, the old count."""
    column = frame.columns.get_loc("note")
    for place, reason in jumps.confirmed.items():
        if frame["flag"].iloc[place] == "LARGE":
            frame.iloc[place, column] = reason
    for row in np.flatnonzero(frame["flag"] == "REVISED"):
        frame.iloc[row, column] = f"the source gave {replaced.iloc[row] / 1e6:,.2f}m units first"
    steps = frame["position"].diff()
    for row in np.flatnonzero(frame["flag"] == "GAP"):
        span = f"one flow over {steps.iloc[row]:.0f} sessions since {short_date(frame.index[row - 1])}"
        frame.iloc[row, column] = f"{span}, counts between are missing"


@dataclass(frozen=True)
class FlowSummary:
    """Flow of one fund over one window; None where it cannot be given.

    dollars   US dollars, positive into the fund
    percent   of assets at the window's start
    units     percent change of shares outstanding
    before    dollars of the same window before
    flags     session, key of FLAGS and its meaning on that day
    by_close  whether a count of the window has no NAV and is valued by the close
    """

    window: Window
    base: pd.Timestamp | None
    end: pd.Timestamp | None
    dollars: float | None = None
    percent: float | None = None
    units: float | None = None
    before: float | None = None
    flags: tuple[tuple[pd.Timestamp, str, str], ...] = ()
    by_close: bool = False

    @property
    def is_flat(self) -> bool:
        """Whether the flow is too small to be called one."""
        return self.percent is not None and abs(self.percent) < FLAT_PERCENT

    @property
    def is_unconfirmed(self) -> bool:
        """Whether a jump in the window is unresolved."""
        return any(flag in {BIG, IMPOSSIBLE} for _, flag, _ in self.flags)


def flow_summary(frame: pd.DataFrame, window: Window, anchor: pd.Timestamp | None = None) -> FlowSummary:
    """Flow over (base, end] with its flags; `anchor` is K, by default the last row's session.

    While an IMPOSSIBLE jump is unresolved the last count is not believed: the flow is None, with its flag.
    """
    if frame.empty:
        return FlowSummary(window, None, None)
    index, rows = pd.DatetimeIndex(frame.index), np.arange(len(frame))
    if len(believed(frame)) < len(frame):
        flags = _flags(frame, rows[frame["flag"] == IMPOSSIBLE])
        return FlowSummary(window, None, index[-1], flags=flags)
    base = int(_bases(frame, window, pd.DatetimeIndex([anchor if anchor is not None else index[-1]]))[0])
    if base < 0:
        return FlowSummary(window, None, index[-1])
    flow, shares, by_close = (frame[name].to_numpy() for name in ("flow", "shares", "by_close"))
    dollars, before = float(np.nansum(flow[base + 1 :])), None
    if window.counted:
        earlier = int(_bases(frame, window, index[base : base + 1])[0])
        before = float(np.nansum(flow[earlier + 1 : base + 1])) if earlier >= 0 else None
    return FlowSummary(
        window=window,
        base=index[base],
        end=index[-1],
        dollars=dollars,
        percent=100 * dollars / float(shares[base] * frame["nav"].iloc[base]),
        units=100 * float(shares[-1] / shares[base] - 1),
        before=before,
        flags=_flags(frame, rows[base + 1 :]),
        by_close=bool(by_close[base + 1 :].any()),
    )


def month_flow(frame: pd.DataFrame, sessions: pd.DatetimeIndex, end: pd.Timestamp) -> float | None:
    """Dollars of the calendar month whose last session is `end`, None without the counts at both its ends."""
    before = sessions[sessions < end.replace(day=1)]
    if not len(before) or not {before[-1], end} <= set(frame.index) or frame.loc[end, "held"]:
        return None
    return float(frame["flow"].loc[before[-1] : end].iloc[1:].sum())


def believed(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows before what waits for an IMPOSSIBLE jump to be resolved, all without one."""
    held = frame["held"].to_numpy()
    return frame[~held] if held.any() and (frame["flag"] == IMPOSSIBLE).any() else frame


def _flags(frame: pd.DataFrame, rows: NDArray[np.intp]) -> tuple[tuple[pd.Timestamp, str, str], ...]:
    flags = frame["flag"].to_numpy()
    flagged = rows[flags[rows] != ""]
    return tuple((frame.index[row], flags[row], frame["note"].iloc[row]) for row in flagged)


def _bases(frame: pd.DataFrame, window: Window, anchors: pd.DatetimeIndex | None = None) -> NDArray[np.intp]:
    """Row of each anchor's base, -1 where history is too short; days are the exchange's sessions.

    Where the base's own count is missing or lies in a spike, the last good row before it stands in.
    """
    index = pd.DatetimeIndex(frame.index)
    ends = np.arange(len(index)) if anchors is None else index.searchsorted(anchors, side="right") - 1
    if window.kind == "d":
        position = frame["position"].to_numpy()
        base = position.searchsorted(position[ends] - window.count, side="right") - 1
    else:
        base = window.bases(index, anchors)
    # An empty frame has no base that a row could stand in for.
    rows: NDArray[np.intp] = np.where(base >= 0, frame["stand_in"].to_numpy()[base], -1) if len(frame) else base
    return rows


def flow_history(frame: pd.DataFrame, window: Window, anchor: pd.Timestamp | None = None) -> pd.DataFrame:
    """For every session the window's dollars, percent of assets at its start, units and change.

    `units` is the percent change of shares outstanding; `change` is dollars less those of the same window
    before (NaN for windows without a length). A session whose own flow is doubtful or held is NaN, so that it
    fires nothing; its flow counts in the windows after it. The last session counts back from `anchor`, if
    given.
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
        flow_history(daily_flows(market, ticker), window, market.anchor)["percent"] for ticker in market.pair.tickers
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
