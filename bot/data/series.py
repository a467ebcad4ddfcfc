"""Selects one fund's prices, distributions and facts from the stored rows, each from its leading source.

For prices one source leads; another one fills sessions it lacks only where the two agree on the sessions
they share, and then gives their distributions too (`crosscheck.py`). Fund facts come from one source a
fund, because differencing share counts across sources makes flows that never were.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd

from bot.analytics.dates import short_date
from bot.analytics.market import NOTHING, Dispute, Source
from bot.data.crosscheck import SESSIONS, compare_closes, disagreement_notes, disputes, leading_source
from bot.data.names import LABELS, source_label
from bot.data.units import judge_splits, unit_factors
from bot.text import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.data.units import SplitJudgements

Rows: TypeAlias = dict[str, list[dict[str, Any]]]

_PREFERENCE = tuple(LABELS)


@dataclass(frozen=True)
class SelectedSeries:
    """Values of one ticker with the source they are from."""

    data: Any
    source: Source
    filled: Mapping[str, pd.DatetimeIndex] = field(default_factory=dict)  # sessions from other sources
    notes: tuple[str, ...] = ()  # what the sources do not agree on
    disputes: tuple[Dispute, ...] = ()


def _by_source(rows: list[dict[str, Any]], ticker: str) -> dict[str, pd.DataFrame]:
    """Frames on their session, one a source, the preferred first."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["ticker"] == ticker:
            groups.setdefault(row["source"], []).append(row)
    ordered = sorted(groups, key=lambda name: _PREFERENCE.index(name) if name in _PREFERENCE else 99)
    frames = {}
    for name in ordered:
        frame = pd.DataFrame(groups[name])
        date = "ex_date" if "ex_date" in frame else "session"
        frames[name] = frame.set_index(pd.DatetimeIndex(frame[date]).as_unit("ns")).sort_index()
    return frames


def _source(name: str, frame: pd.DataFrame) -> Source:
    return Source(name, source_label(name), str(frame["observed_at"].max()))


def prices(rows: Rows, ticker: str) -> SelectedSeries:
    """Split-adjusted closes of one ticker, and where they are from."""
    frames = {
        name: frame[(frame["close"].astype("float64") > 0) & (frame["provisional"] == 0)]
        for name, frame in _by_source(rows["bars"], ticker).items()
    }
    frames = {name: frame for name, frame in frames.items() if len(frame)}
    if not frames:
        return SelectedSeries(pd.Series(dtype="float64", index=pd.DatetimeIndex([])), NOTHING)
    splits = _splits(rows, ticker)
    closes = {
        name: frame["close"].astype("float64")
        / unit_factors(frame["observed_at"], splits, _split_judgements(frame, "close", splits))
        for name, frame in frames.items()
    }
    lead = leading_source(closes)
    series, words = closes[lead], source_label(lead)
    filled: dict[str, pd.DatetimeIndex] = {}
    for name, other in closes.items():
        extra = other[~other.index.isin(series.index)]
        if name != lead and len(extra) and compare_closes(closes[lead], other).joins:
            series, filled[name] = pd.concat([series, extra]).sort_index(), extra.index
            words += f" + {source_label(name)} ({counted(len(extra), 'session')})"
    source = Source(lead, words, str(frames[lead]["observed_at"].max()))
    apart = tuple(disputes(ticker, closes, LABELS, lead))
    return SelectedSeries(
        series, source, filled, tuple(disagreement_notes(ticker, closes, LABELS, lead)), apart
    )


def _splits(rows: Rows, ticker: str) -> pd.Series:
    """Split ratios of one ticker by session, from any source: a file may have none."""
    ratios: dict[pd.Timestamp, float] = {}
    for frame in _by_source(rows["splits"], ticker).values():
        for session, ratio in frame["ratio"].dropna().items():
            ratios.setdefault(pd.Timestamp(session), float(ratio))
    return pd.Series(ratios, dtype="float64")


def _split_judgements(frame: pd.DataFrame, column: str, splits: pd.Series) -> SplitJudgements:
    """Whether figures of one source around each split are in old units."""
    levels = frame[column].astype("float64")
    return judge_splits(levels[levels > 0], frame["observed_at"], splits)


def distributions(rows: Rows, ticker: str, priced: SelectedSeries) -> pd.Series:
    """Distributions by ex-date from the source of the prices, withdrawn ones left out.

    If that source has none at all (a file of closes only), it is the first source that has.
    """
    splits = _splits(rows, ticker)
    bars = _by_source(rows["bars"], ticker)
    frames = {}
    for name, frame in _by_source(rows["distributions"], ticker).items():
        judged = _split_judgements(bars[name], "close", splits) if name in bars else {}
        amounts = frame["amount"].astype("float64") / unit_factors(frame["observed_at"], splits, judged)
        frames[name] = amounts.dropna()
    if not frames:
        return pd.Series(dtype="float64", index=pd.DatetimeIndex([]))
    lead = priced.source.name if priced.source.name in frames else next(iter(frames))
    distributions = frames[lead]
    for name, sessions in priced.filled.items():
        other = frames.get(name, distributions.iloc[:0])
        distributions = pd.concat(
            [distributions, other[other.index.isin(sessions.difference(distributions.index))]]
        )
    return distributions.sort_index()


def facts(rows: Rows, ticker: str, last: pd.Timestamp) -> SelectedSeries:
    """Fund facts of one ticker from one source, in today's units, with the counts that it replaced."""
    frames = _by_source(rows["fund_facts"], ticker)
    if not frames:
        return SelectedSeries(pd.DataFrame(), NOTHING)
    counts = {name: frame["shares"].dropna().loc[:last].index for name, frame in frames.items()}
    lead = _count_source(counts)
    frame = frames[lead]
    splits = _splits(rows, ticker)
    factor = unit_factors(frame["observed_at"], splits, _split_judgements(frame, "nav", splits))
    values = frame[["nav", "shares", "assets"]].astype("float64")
    values = values.assign(nav=values["nav"] / factor, shares=values["shares"] * factor)
    replaced = _replaced_counts(rows, ticker, lead)
    if len(replaced):
        values["was"] = replaced.reindex(values.index) * factor
    return SelectedSeries(values, _source(lead, frame), notes=tuple(_source_switches(ticker, counts, lead)))


def _count_source(counts: Mapping[str, pd.Index]) -> str:
    """The source of share counts: the one with most, unless it ended and another has continued."""
    lead = max(counts, key=lambda name: len(counts[name]))
    for name, sessions in counts.items():
        newer = sessions[sessions > counts[lead][-1]] if len(counts[lead]) else sessions
        if len(newer) >= SESSIONS:
            lead = name
    return lead


def _replaced_counts(rows: Rows, ticker: str, source: str) -> pd.Series:
    """The share count that a source gave before its last one, by session where it was replaced."""
    counts: dict[pd.Timestamp, float] = {}
    for row in rows.get("replaced", ()):  # the newest first
        if (row["ticker"], row["source"]) == (ticker, source):
            counts.setdefault(pd.Timestamp(row["session"]), row["was"])
    return pd.Series(counts, dtype="float64")


def _source_switches(ticker: str, counts: Mapping[str, pd.Index], lead: str) -> list[str]:
    """Share counts of other sources that are not used though the chosen one lacks their sessions."""
    sentences = []
    for name, sessions in counts.items():
        more = sessions.difference(counts[lead])
        if name != lead and len(more):
            last = f"{counted(len(more), 'session')}, last {short_date(more[-1])}"
            sentences.append(
                f"SOURCE_SWITCH {ticker}: {source_label(name)} counts units of {last}, "
                f"{source_label(lead)} does not; a flow is never taken across sources."
            )
    return sentences
