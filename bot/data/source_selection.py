"""Selects one fund's prices, distributions and facts from the stored rows, each from its leading source.

For prices one source leads. Two vendors give the same close of a session up to rounding; where they do not,
one of them is wrong, or has not seen a split yet. So another source fills sessions that the first one lacks
only where enough of the sessions that both have agree, and then gives their distributions too; every
disagreement is reported. Fund facts come from one source a fund, because differencing share counts across
sources makes flows that never were.

Units across splits: sources rewrite their whole history at a split, or some days later, and what was observed
is stored as it was given. So a figure observed before the split is in old units and a later one in new ones,
unless the levels around the split tell otherwise: where they fall by its ratio they were not rewritten yet,
and where nothing falls there was no such split at this source.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import pandas as pd

from bot.analytics.market import NO_SOURCE, Dispute, Source
from bot.data.provider import LABELS
from bot.text import counted, short_date

# The stored rows of each kind as a frame with the kind's fields, by its table; and the share counts that
# were replaced, the newest first.
Frames: TypeAlias = Mapping[str, pd.DataFrame]
REPLACED, REPLACED_COLUMNS = "replaced", ("ticker", "session", "source", "was")

_PREFERENCE = tuple(LABELS)
ISSUER = "issuer"  # the source whose list of distributions counts

SESSIONS = 20  # that both must have before their agreement is measured
TOLERANCE = 1e-3  # closes of one session at two vendors differ by less than 10 bp
AGREEING = 0.99  # of the sessions that both have


@dataclass(frozen=True, eq=False)
class PriceComparison:
    """Closes of another source against those of the lead on the sessions that both have.

    shared: how many sessions they share.
    differences: relative to the lead's close, those of at least TOLERANCE, by session in order.
    """

    shared: int
    differences: pd.Series

    @property
    def joins(self) -> bool:
        """Whether the one may fill sessions that the other lacks."""
        return self.shared >= SESSIONS and len(self.differences) <= (1 - AGREEING) * self.shared

    def describe(self, lead: str, other: str) -> str | None:
        """The disagreement in a sentence, or that too few sessions are shared. Returns None if they agree."""
        if self.shared < SESSIONS:
            sessions = counted(self.shared, "session")
            return f"{other} and {lead} share {sessions}; they are compared from {SESSIONS} on."
        if self.differences.empty:
            return None
        sizes = self.differences.abs()
        count = f"{len(sizes):,} of {self.shared:,} sessions"
        worst = f"worst {short_date(sizes.idxmax())} by {sizes.max() * 1e4:,.0f} bp"
        gaps = "" if self.joins else "; it fills no gaps"
        return f"{other} disagrees with {lead} on {count}, {worst}{gaps}."


def compare_closes(lead: pd.Series, other: pd.Series) -> PriceComparison:
    """Compare two series of positive closes in the same units. NaN means no close."""
    apart = (other / lead - 1).dropna()
    return PriceComparison(len(apart), apart[apart.abs() >= TOLERANCE].sort_index())


def leading_source(closes: Mapping[str, pd.Series]) -> str:
    """The source that leads: the first one, unless another has so many more sessions that it is the history.

    `closes` are in order of preference. A few sessions that the preferred source dropped are filled
    from another; they do not make the other one the lead, and answers do not change their source by them.
    """
    first = next(iter(closes))
    longest = max(closes, key=lambda name: len(closes[name]))
    return longest if len(closes[longest]) >= len(closes[first]) + SESSIONS else first


# Levels this near to a split are held against it; farther away the market's own moves are as large.
_NEAR = pd.Timedelta(days=14)
# A ratio nearer to one than this (log) cannot be distinguished from a move of the market.
_TELLING = math.log(1.25)

# By session of a split, whether figures from before it are in old units: those observed before, those later.
SplitUnits: TypeAlias = Mapping[pd.Timestamp, tuple[bool, bool]]


def classify_splits(levels: pd.Series, observed: pd.Series, splits: pd.Series) -> SplitUnits:
    """Whether levels per share (closes, NAVs) of one source are in old units before each split.

    The index of `levels` are sessions in order, `observed` are instants as text, `splits` ratios by session.
    """
    levels = levels.dropna()
    early = {session: _observed_before(observed.reindex(levels.index), session) for session in splits.index}
    return {
        session: (
            _is_in_old_units(levels[early[session]], levels, session, ratio, otherwise=True),
            _is_in_old_units(levels[~early[session]], levels, session, ratio, otherwise=False),
        )
        for session, ratio in splits.items()
    }


def unit_factors(observed: pd.Series, splits: pd.Series, split_units: SplitUnits) -> pd.Series:
    """How many of today's shares one share of a row was, by session."""
    factor = pd.Series(1.0, observed.index)
    for session, ratio in splits.items():
        early_old, late_old = split_units.get(session, (True, False))
        early = _observed_before(observed, session)
        old = (early & early_old) | (~early & late_old)
        factor = factor.where(~(old & (observed.index < session)), factor * ratio)
    return factor


def _observed_before(observed: pd.Series, session: pd.Timestamp) -> pd.Series:
    return observed.str[:10] < f"{session:%Y-%m-%d}"


def _is_in_old_units(
    group: pd.Series, levels: pd.Series, session: pd.Timestamp, ratio: float, *, otherwise: bool
) -> bool:
    """Whether the last of some levels before a split is in old units, seen from the first level after it."""
    before, after = group[group.index < session], levels[levels.index >= session]
    if before.empty or after.empty or abs(math.log(ratio)) < _TELLING:
        return otherwise
    if session - before.index[-1] > _NEAR or after.index[0] - session > _NEAR:
        return otherwise
    fall = math.log(before.iloc[-1] / after.iloc[0])
    return abs(fall - math.log(ratio)) < abs(fall)


@dataclass(frozen=True)
class SelectedSeries:
    """Values of one ticker with the source they are from."""

    data: pd.Series | pd.DataFrame
    source: Source
    filled: Mapping[str, pd.DatetimeIndex] = field(default_factory=dict)  # sessions from other sources
    notes: tuple[str, ...] = ()  # what the sources do not agree on
    disputes: tuple[Dispute, ...] = ()


def _by_source(frame: pd.DataFrame, ticker: str) -> dict[str, pd.DataFrame]:
    """The rows of a ticker by session, of each source; the preferred source first."""
    rows = frame[(frame["ticker"] == ticker).to_numpy()]
    if rows.empty:
        return {}
    rows = rows.set_index(pd.DatetimeIndex(rows["session"]).as_unit("ns")).sort_index()
    names = rows["source"].unique()
    if len(names) == 1:
        return {str(names[0]): rows}
    order = sorted(names, key=lambda name: _PREFERENCE.index(name) if name in _PREFERENCE else 99)
    return {str(name): rows[(rows["source"] == name).to_numpy()] for name in order}


def levels_by_source(frames: Frames, ticker: str, kind: str, column: str) -> dict[str, pd.Series]:
    """Dollars a share (closes or net asset values) of each source, in today's shares, the preferred first."""
    splits = split_ratios(frames, ticker)
    levels = {}
    for name, frame in _by_source(frames[kind], ticker).items():
        rows = frame[frame[column].astype("float64") > 0]
        if "provisional" in rows:
            rows = rows[rows["provisional"] == 0]
        if len(rows):
            levels[name] = rows[column].astype("float64") / _factors(rows, column, splits)
    return levels


def prices(frames: Frames, ticker: str) -> SelectedSeries:
    """Split-adjusted closes of one ticker, and where they are from."""
    closes = levels_by_source(frames, ticker, "bars", "close")
    if not closes:
        return SelectedSeries(pd.Series(dtype="float64", index=pd.DatetimeIndex([])), NO_SOURCE)
    lead = leading_source(closes)
    series, lead_label = closes[lead], _label(lead)
    source_label = lead_label
    filled: dict[str, pd.DatetimeIndex] = {}
    notes, disputes = [], []
    for name, other in closes.items():
        if name == lead:
            continue
        comparison, label = compare_closes(closes[lead], other), _label(name)
        if sentence := comparison.describe(lead_label, label):
            notes.append(f"{ticker}: {sentence}")
        if comparison.shared >= SESSIONS and len(comparison.differences):
            disputes.append(Dispute(ticker, lead_label, label, comparison.differences))
        extra = other[~other.index.isin(series.index)]
        if len(extra) and comparison.joins:
            series, filled[name] = pd.concat([series, extra]).sort_index(), extra.index
            source_label += f" + {label} ({counted(len(extra), 'session')})"
    rows = frames["bars"]
    observed_at = rows.loc[(rows["ticker"] == ticker) & (rows["source"] == lead), "observed_at"].max()
    source = Source(lead, source_label, str(observed_at))
    return SelectedSeries(series, source, filled, tuple(notes), tuple(disputes))


def _label(source: str) -> str:
    return LABELS.get(source, source)


def split_ratios(frames: Frames, ticker: str) -> pd.Series:
    """Split ratios of one ticker by session, from any source: a file may have none."""
    ratios: dict[pd.Timestamp, float] = {}
    for frame in _by_source(frames["splits"], ticker).values():
        ratio = frame["ratio"].dropna().astype("float64")
        for session, value in ratio[(ratio > 0) & (ratio < math.inf)].items():  # 0:1 is no split
            ratios.setdefault(pd.Timestamp(session), float(value))
    return pd.Series(list(ratios.values()), pd.DatetimeIndex(list(ratios)).as_unit("ns"), dtype="float64")


def _split_units(frame: pd.DataFrame, column: str, splits: pd.Series) -> SplitUnits:
    levels = frame[column].astype("float64")
    return classify_splits(levels[levels > 0], frame["observed_at"], splits)


def _factors(frame: pd.DataFrame, column: str, splits: pd.Series) -> pd.Series | float:
    if splits.empty:
        return 1.0
    return unit_factors(frame["observed_at"], splits, _split_units(frame, column, splits))


def distributions(frames: Frames, ticker: str, priced: SelectedSeries) -> pd.Series:
    """Distributions by ex-date from the source of the prices, withdrawn and provisional ones left out.

    If that source has none at all (a file of closes only), it is the first source that has. Between the first
    and the last of the issuer's own list that list is used, whatever the others say.
    """
    splits = split_ratios(frames, ticker)
    bars = _by_source(frames["bars"], ticker)
    amounts = {}
    for name, frame in _by_source(frames["distributions"], ticker).items():
        split_units = _split_units(bars[name], "close", splits) if name in bars and len(splits) else {}
        factors = unit_factors(frame["observed_at"], splits, split_units)
        final = frame["provisional"] == 0
        amounts[name] = (frame["amount"].astype("float64") / factors)[final].dropna()
    if not amounts:
        return pd.Series(dtype="float64", index=pd.DatetimeIndex([]))
    selected = amounts.get(priced.source.name, next(iter(amounts.values())))
    for name, sessions in priced.filled.items():
        other = amounts.get(name, selected.iloc[:0])
        selected = pd.concat([selected, other[other.index.isin(sessions.difference(selected.index))]])
    listed = amounts.get(ISSUER, selected.iloc[:0])
    if len(listed):
        outside = (selected.index < listed.index[0]) | (selected.index > listed.index[-1])
        selected = pd.concat([selected[outside], listed])
    return selected.sort_index()


def facts(frames: Frames, ticker: str, last: pd.Timestamp) -> SelectedSeries:
    """Fund facts of one ticker from one source, in today's units.

    With the counts that it replaced (`was`), and whether another source has the same count (`seconded`).
    """
    by_source = _by_source(frames["fund_facts"], ticker)
    if not by_source:
        return SelectedSeries(pd.DataFrame(), NO_SOURCE)
    counts = {name: frame["shares"].dropna().loc[:last].index for name, frame in by_source.items()}
    lead = _count_source(counts)
    frame = by_source[lead]
    splits = split_ratios(frames, ticker)
    factor = _factors(frame, "nav", splits)
    values = frame[["nav", "shares", "assets"]].astype("float64")
    values = values.assign(nav=values["nav"] / factor, shares=values["shares"] * factor)
    replaced = frames.get(REPLACED, pd.DataFrame(columns=REPLACED_COLUMNS))
    replaced = replaced[(replaced["ticker"] == ticker) & (replaced["source"] == lead)]
    if len(replaced):  # the newest first: of a session replaced twice, the count before the last one
        was = replaced.drop_duplicates("session").set_index("session")["was"].astype("float64")
        values["was"] = was.set_axis(pd.DatetimeIndex(was.index)).reindex(values.index) * factor
    if len(by_source) > 1:
        values["seconded"] = False
    for other in (by_source[name] for name in by_source if name != lead):
        count = (other["shares"].astype("float64") * _factors(other, "nav", splits)).reindex(values.index)
        values["seconded"] |= (count / values["shares"] - 1).abs() < TOLERANCE
    source = Source(lead, _label(lead), str(frame["observed_at"].max()))
    return SelectedSeries(values, source, notes=tuple(_source_switches(ticker, counts, lead)))


def _count_source(counts: Mapping[str, pd.Index]) -> str:
    """The source of share counts: the one with most, unless it ended and another has continued."""
    lead = max(counts, key=lambda name: len(counts[name]))
    for name, sessions in counts.items():
        newer = sessions[sessions > counts[lead][-1]] if len(counts[lead]) else sessions
        if len(newer) >= SESSIONS:
            lead = name
    return lead


def _source_switches(ticker: str, counts: Mapping[str, pd.Index], lead: str) -> list[str]:
    """Share counts of other sources that are not used though the chosen one lacks their sessions."""
    sentences = []
    for name, sessions in counts.items():
        more = sessions.difference(counts[lead])
        if name != lead and len(more):
            last = f"{counted(len(more), 'session')}, last {short_date(more[-1])}"
            sentences.append(
                f"SOURCE_SWITCH {ticker}: {_label(name)} counts units of {last}, "
                f"{_label(lead)} does not; a flow is never taken across sources."
            )
    return sentences
