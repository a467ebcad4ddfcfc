"""Storage to Market: the newest vintages of every kind as frames, one source a series.

Sources are never mixed silently. For prices one source leads; another one fills sessions it lacks only
where the two agree on the sessions they share, and then gives their distributions too
(`crosscheck.py`). Fund facts come from one source a fund, because differencing share counts across
sources makes flows that never were. What the sources do not agree on is in the Market's notes.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from bot.analytics.dates import short_date
from bot.analytics.market import MULTIPLE_COLUMNS, PAIR, WEIGHT_COLUMNS, Dispute, Market, Source
from bot.data.crosscheck import SESSIONS, compare, disputes, leading, notes
from bot.data.units import judge, units
from storage import observations

if TYPE_CHECKING:
    from collections.abc import Mapping

    import sqlite_utils

    from bot.analytics.sessions import Sessions
    from bot.data.units import Judged

LABELS = {
    "yahoo": "Yahoo",
    "issuer": "issuer file",
    "csv": "CSV import",
    "daily-csv": "daily CSV",
    "sample": "sample data",
}
_PREFERENCE = tuple(LABELS)
_BEHIND = ("holdings_date", "price_date", "coverage")  # of a multiple: what it was computed from
_RESTATED = 1_000  # replaced share counts that are remembered

Rows = dict[str, list[dict[str, Any]]]


def read_rows(db: sqlite_utils.Database, known: dt.date | None = None) -> Rows:
    """Newest row per key of every kind the Market is made of, as known at the end of `known`."""
    moment = None if known is None else f"{known.isoformat()}T23:59:59Z"
    kinds = ("bars", "distributions", "splits", "fund_facts", "multiples", "sector_weights")
    rows: Rows = {kind: observations.newest(db, kind, known=moment) for kind in kinds}
    rows["replaced"] = [
        {**each.key, "source": each.source, "was": each.old}
        for each in observations.restatements(db, "fund_facts", limit=_RESTATED)
        if each.column == "shares" and (moment is None or each.observed_at <= moment)
    ]
    return rows


def closes(db: sqlite_utils.Database, ticker: str) -> pd.Series:
    """Split-adjusted closes of one fund as a Market would have them; empty with sample data only."""
    rows: Rows = {
        kind: [row for row in observations.newest(db, kind) if row["source"] != "sample"]
        for kind in ("bars", "splits")
    }
    found: pd.Series = _prices(rows, ticker).data
    return found


def build_market(rows: Rows, sessions: Sessions, now: dt.datetime) -> Market:
    """Market of stored rows as of the instant `now`: nothing after the last completed session."""
    last = sessions.last_completed(now)
    real = any(row["source"] != "sample" for group in rows.values() for row in group)
    kept = {
        kind: [row for row in group if not (real and row["source"] == "sample")]
        for kind, group in rows.items()
    }
    shown = sessions.index[sessions.index <= last]
    prices = {ticker: _prices(kept, ticker) for ticker in PAIR}
    facts = {ticker: _facts(kept, ticker, last) for ticker in PAIR}
    multiples, multiples_source = _multiples(kept["multiples"])
    chosen = {f"facts:{ticker}": found for ticker, found in facts.items()}
    sources = {part: found.source for part, found in chosen.items()}
    sources["prices"] = _joint(prices)
    sources["multiples"] = multiples_source
    told = {part: found.notes for part, found in chosen.items()}
    told["prices"] = tuple(note for found in prices.values() for note in found.notes)
    frame = pd.DataFrame({ticker: found.data for ticker, found in prices.items()})
    both = frame.dropna().index
    return Market(
        prices=_only(frame, shown),
        last_completed=last,
        distributions={ticker: _paid(kept, ticker, prices[ticker]).loc[:last] for ticker in PAIR},
        facts={ticker: _only(found.data, shown) for ticker, found in facts.items() if len(found.data)},
        multiples=multiples[multiples["session"] <= last],
        weights=_weights(kept.get("sector_weights", []), last),
        sources={part: source for part, source in sources.items() if source.name != "none"},
        calendar=sessions.index,
        notes={part: said for part, said in told.items() if said},
        disputes=tuple(
            replace(each, apart=each.apart.loc[:last]) for found in prices.values() for each in found.disputes
        ),
        begins=both.min() if len(both) else None,
    )


def _only(frame: pd.DataFrame, shown: pd.DatetimeIndex) -> pd.DataFrame:
    """The rows on sessions that are to be seen; one on a day that was closed after all is left out."""
    return frame[frame.index.isin(shown)].sort_index()


@dataclass(frozen=True)
class _Chosen:
    """Values of one ticker with the source they are from."""

    data: Any
    source: Source
    filled: Mapping[str, pd.DatetimeIndex] = field(default_factory=dict)  # sessions from other sources
    notes: tuple[str, ...] = ()  # what the sources do not agree on
    disputes: tuple[Dispute, ...] = ()


_NONE = Source("none", "no data")


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
    return Source(name, LABELS.get(name, name), str(frame["observed_at"].max()))


def _prices(rows: Rows, ticker: str) -> _Chosen:
    """Split-adjusted closes of one ticker, and where they are from."""
    frames = {
        name: frame[(frame["close"].astype("float64") > 0) & (frame["provisional"] == 0)]
        for name, frame in _by_source(rows["bars"], ticker).items()
    }
    frames = {name: frame for name, frame in frames.items() if len(frame)}
    if not frames:
        return _Chosen(pd.Series(dtype="float64", index=pd.DatetimeIndex([])), _NONE)
    splits = _splits(rows, ticker)
    closes = {
        name: frame["close"].astype("float64")
        / units(frame["observed_at"], splits, _judged(frame, "close", splits))
        for name, frame in frames.items()
    }
    lead = leading(closes)
    series, label = closes[lead], LABELS.get(lead, lead)
    filled: dict[str, pd.DatetimeIndex] = {}
    for name, other in closes.items():
        extra = other[~other.index.isin(series.index)]
        if name != lead and len(extra) and compare(closes[lead], other).joins:
            series, filled[name] = pd.concat([series, extra]).sort_index(), extra.index
            label += f" + {LABELS.get(name, name)} ({len(extra)} session{'s' * (len(extra) != 1)})"
    source = Source(lead, label, str(frames[lead]["observed_at"].max()))
    apart = tuple(disputes(ticker, closes, LABELS, lead))
    return _Chosen(series, source, filled, tuple(notes(ticker, closes, LABELS, lead)), apart)


def _splits(rows: Rows, ticker: str) -> pd.Series:
    """Split ratios of one ticker by session, from whichever source tells of one: a file may tell of none."""
    found: dict[pd.Timestamp, float] = {}
    for frame in _by_source(rows["splits"], ticker).values():
        for session, ratio in frame["ratio"].dropna().items():
            found.setdefault(pd.Timestamp(session), float(ratio))
    return pd.Series(found, dtype="float64")


def _judged(frame: pd.DataFrame, column: str, splits: pd.Series) -> Judged:
    """What the levels of one source tell of each split."""
    levels = frame[column].astype("float64")
    return judge(levels[levels > 0], frame["observed_at"], splits)


def _joint(prices: dict[str, _Chosen]) -> Source:
    """One source for both legs: theirs if it is the same, else both named."""
    labels = list(dict.fromkeys(c.source.label for c in prices.values() if c.source.name != "none"))
    names = list(dict.fromkeys(c.source.name for c in prices.values() if c.source.name != "none"))
    if not names:
        return _NONE
    observed = max(c.source.observed_at for c in prices.values())
    return Source(names[0], " / ".join(labels), observed)


def _paid(rows: Rows, ticker: str, prices: _Chosen) -> pd.Series:
    """Distributions by ex-date from the source of the prices, withdrawn ones left out.

    Where that one tells of none at all (a file of closes only) it is the first source that does.
    """
    splits = _splits(rows, ticker)
    bars = _by_source(rows["bars"], ticker)
    frames = {}
    for name, frame in _by_source(rows["distributions"], ticker).items():
        judged = _judged(bars[name], "close", splits) if name in bars else {}
        amounts = frame["amount"].astype("float64") / units(frame["observed_at"], splits, judged)
        frames[name] = amounts.dropna()
    if not frames:
        return pd.Series(dtype="float64", index=pd.DatetimeIndex([]))
    lead = prices.source.name if prices.source.name in frames else next(iter(frames))
    paid = frames[lead]
    for name, sessions in prices.filled.items():
        other = frames.get(name, paid.iloc[:0])
        paid = pd.concat([paid, other[other.index.isin(sessions.difference(paid.index))]])
    return paid.sort_index()


def _facts(rows: Rows, ticker: str, last: pd.Timestamp) -> _Chosen:
    """Fund facts of one ticker from one source, in today's units, with the counts that it replaced."""
    frames = _by_source(rows["fund_facts"], ticker)
    if not frames:
        return _Chosen(pd.DataFrame(), _NONE)
    counts = {name: frame["shares"].dropna().loc[:last].index for name, frame in frames.items()}
    lead = _counting(counts)
    frame = frames[lead]
    splits = _splits(rows, ticker)
    factor = units(frame["observed_at"], splits, _judged(frame, "nav", splits))
    values = frame[["nav", "shares", "assets"]].astype("float64")
    values = values.assign(nav=values["nav"] / factor, shares=values["shares"] * factor)
    replaced = _replaced(rows, ticker, lead)
    if len(replaced):
        values["was"] = replaced.reindex(values.index) * factor
    return _Chosen(values, _source(lead, frame), notes=tuple(_switches(ticker, counts, lead)))


def _counting(counts: Mapping[str, pd.Index]) -> str:
    """The source to take share counts from: the one with most, unless it ended and another has gone on."""
    lead = max(counts, key=lambda name: len(counts[name]))
    for name, sessions in counts.items():
        newer = sessions[sessions > counts[lead][-1]] if len(counts[lead]) else sessions
        if len(newer) >= SESSIONS:
            lead = name
    return lead


def _replaced(rows: Rows, ticker: str, source: str) -> pd.Series:
    """The count before the last one that a source gave, by session; only where it replaced one."""
    found: dict[pd.Timestamp, float] = {}
    for row in rows.get("replaced", ()):  # the newest first
        if (row["ticker"], row["source"]) == (ticker, source):
            found.setdefault(pd.Timestamp(row["session"]), row["was"])
    return pd.Series(found, dtype="float64")


def _switches(ticker: str, counts: Mapping[str, pd.Index], lead: str) -> list[str]:
    """Counts of other sources that are left aside though the chosen one has none of their sessions."""
    said = []
    for name, sessions in counts.items():
        more = sessions.difference(counts[lead])
        if name != lead and len(more):
            last = f"{len(more):,} session{'s' * (len(more) != 1)}, last {short_date(more[-1])}"
            said.append(
                f"SOURCE_SWITCH {ticker}: {LABELS.get(name, name)} counts units of {last}, "
                f"{LABELS.get(lead, lead)} does not; a flow is never taken across sources."
            )
    return said


def _multiples(rows: list[dict[str, Any]]) -> tuple[pd.DataFrame, Source]:
    """All stored multiples, ordered by session; their convention keeps the sources apart."""
    if not rows:
        empty = pd.DataFrame(columns=list(MULTIPLE_COLUMNS))
        return empty.astype({"session": "datetime64[ns]", "value": "float64"}), _NONE
    frame = pd.DataFrame(rows).reindex(columns=[*rows[0], *(set(_BEHIND) - rows[0].keys())])
    frame["session"] = pd.to_datetime(frame["session"]).dt.as_unit("ns")
    names = list(dict.fromkeys(frame.sort_values("session")["source"][::-1]))
    source = Source(names[0], ", ".join(LABELS.get(n, n) for n in names), str(frame["observed_at"].max()))
    # Every question picks rows by these names, and texts take ten times as long to compare.
    frame = frame.astype(dict.fromkeys(("ticker", "metric", "convention", "basis"), "category"))
    return frame[[*MULTIPLE_COLUMNS, *_BEHIND]].sort_values("session", kind="stable"), source


def _weights(rows: list[dict[str, Any]], last: pd.Timestamp) -> pd.DataFrame:
    """All stored weights up to a session, ordered by session."""
    frame = pd.DataFrame(rows, columns=list(WEIGHT_COLUMNS))
    frame["session"] = pd.to_datetime(frame["session"]).astype("datetime64[ns]")
    return frame[frame["session"] <= last].sort_values("session", kind="stable")
