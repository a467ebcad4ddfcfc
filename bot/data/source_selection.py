"""Selects one fund's prices, distributions and facts from the stored rows, each from its leading source.

For prices one source leads. Two vendors give the same close of a session up to rounding; where they do not, one of them
is wrong, or has not seen a split yet. So another source fills sessions that the first one lacks only where enough of
the sessions that both have agree, and then gives their distributions too; every disagreement is reported. Fund facts
come from one source a fund, because differencing share counts across sources makes flows that never were.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import pandas as pd

from bot.analytics.market import NO_SOURCE, Dispute, Source
from bot.data.provider import LABELS
from bot.data.split_units import SplitUnits, classify_splits, preferred, ratios_by_session, unit_factors
from bot.text import counted, short_date

# The stored rows of each kind as a frame with the kind's fields, by its table; and the share counts that
# were replaced, the newest first.
Frames: TypeAlias = Mapping[str, pd.DataFrame]
REPLACED, REPLACED_COLUMNS = "replaced", ("ticker", "session", "source", "was")

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
    return {str(name): rows[(rows["source"] == name).to_numpy()] for name in sorted(names, key=preferred)}


def levels_by_source(frames: Frames, ticker: str, kind: str, column: str) -> dict[str, pd.Series]:
    """Dollars a share (closes or net asset values) of each source, in today's shares, the preferred first."""
    splits = split_ratios(frames, ticker)
    levels = {}
    for name, frame in _by_source(frames[kind], ticker).items():
        rows = frame[frame[column].astype("float64") > 0]
        if "provisional" in rows:
            rows = rows[rows["provisional"] == 0]
        if len(rows):
            levels[name] = rows[column].astype("float64") / _own_factors(rows, column, splits)
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


def split_ratios(frames: Frames, ticker: str) -> dict[str, float]:
    """Split ratios of one ticker by session, a text in ISO form, from any source."""
    rows = frames["splits"]
    rows = rows[(rows["ticker"] == ticker).to_numpy()]
    return ratios_by_session(zip(rows["source"], _texts(rows["session"]), rows["ratio"], strict=True))


def _texts(sessions: pd.Series | pd.Index) -> list[str]:
    return list(np.datetime_as_string(sessions.to_numpy(dtype="datetime64[D]")))


def _split_units(frame: pd.DataFrame, column: str, splits: Mapping[str, float]) -> SplitUnits:
    levels = frame[frame[column].astype("float64") > 0]
    return classify_splits(zip(_texts(levels.index), levels["observed_at"], levels[column], strict=True), splits)


def _factors(frame: pd.DataFrame, splits: Mapping[str, float], split_units: SplitUnits) -> pd.Series | float:
    """How many of today's shares one share of a row was, by session."""
    if not splits:
        return 1.0
    rows = zip(_texts(frame.index), frame["observed_at"], strict=True)
    return pd.Series(unit_factors(rows, splits, split_units), frame.index)


def _own_factors(frame: pd.DataFrame, column: str, splits: Mapping[str, float]) -> pd.Series | float:
    return _factors(frame, splits, _split_units(frame, column, splits) if splits else {})


def distributions(frames: Frames, ticker: str, priced: SelectedSeries) -> pd.Series:
    """Distributions by ex-date from the source of the prices, withdrawn and provisional ones left out.

    If that source has none at all (a file of closes only), it is the first source that has. Between the first
    and the last of the issuer's own list that list is used, whatever the others say.
    """
    splits = split_ratios(frames, ticker)
    bars = _by_source(frames["bars"], ticker) if splits else {}
    amounts = {}
    for name, frame in _by_source(frames["distributions"], ticker).items():
        split_units = _split_units(bars[name], "close", splits) if name in bars else {}
        factors = _factors(frame, splits, split_units)
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
    factor = _own_factors(frame, "nav", splits)
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
        count = (other["shares"].astype("float64") * _own_factors(other, "nav", splits)).reindex(values.index)
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
