"""Provisional figures in the database: marks them in an answer, and confirms or accepts them later.

What is believed is decided by the pure checks of bot.data.plausibility. Here they get what is stored: the fund's
closes, those of the other fund and of other sources, net asset values, and what was provisional before.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import msgspec

from bot.analytics.sessions import EXCHANGE
from bot.data.plausibility import CONTRADICTIONS, Evidence, check_bars, check_distributions
from bot.data.provider import Observations, observations_of, rows_by_kind
from bot.data.split_units import classify_splits, preferred, ratios_by_session, unit_factors
from storage import observations
from storage.records import Bar, Distribution, FundFacts, K, Moment, Observation, Provisional, Split, parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    import sqlite_utils

    from bot.data.plausibility import Levels

R = TypeVar("R", Bar, Distribution)
# In New York; no session closes before it: what was given before is of an earlier session.
_EARLIEST_CLOSE = dt.time(13)
# Before the first session of an answer: the sessions that its first close is compared with.
_BEFORE = dt.timedelta(days=14)
# Reasons of the answer itself; the checks find the others again in what is stored.
_OF_THE_ANSWER = {Provisional.OPEN, Provisional.QUOTE, Provisional.AMOUNT, Provisional.ADJUSTED}
NOUNS: dict[type[Bar | Distribution], str] = {Bar: "close", Distribution: "distribution"}
REASONS = {
    Provisional.RANGE: "outside the low and high of the same session",
    Provisional.QUOTE: "far from the quote in the same answer",
    Provisional.MOVE: "a move that the other fund does not share and no split explains",
    Provisional.SPIKE: "a move that the other fund does not share and the next session undoes",
    Provisional.HISTORY: "far from the rest of the history, and no split explains it",
    Provisional.UNADJUSTED: "not adjusted for a split that the source lists",
    Provisional.AMOUNT: "not a possible amount",
    Provisional.NEIGHBOUR: "equal to that of the session before",
    Provisional.ADJUSTED: "contradicted by the adjusted closes of the same answer",
}


def mark_answer(
    db: sqlite_utils.Database,
    rows: Observations,
    *,
    source: str,
    ticker: str,
    completed: pd.DatetimeIndex | None = None,
) -> Observations:
    """The rows of an answer with those marked as provisional that are not believed.

    completed: the sessions completed so far; a figure that was provisional before the last one becomes final
    if the answer has it again. None for a file, whose rows do not become truer by importing them again.
    """
    marked: dict[str, Sequence[Observation]] = dict(rows_by_kind(rows))
    bars = sorted(rows.get("bars", ()), key=lambda bar: bar.session)
    if bars:
        evidence = _evidence(db, ticker, source, bars[0].session, rows.get("splits", ()))
        if completed is not None:
            evidence = replace(evidence, repeated=_repeated(db, bars, source, completed))
        marked["bars"] = bars = check_bars(bars, evidence)
    if rows.get("distributions"):
        paid = _check_distributions(db, rows["distributions"], source, bars)
        if completed is not None:
            again = _repeated(db, paid, source, completed)
            paid = [msgspec.structs.replace(row, provisional=0) if row.session in again else row for row in paid]
        marked["distributions"] = paid
    return observations_of(marked)


def confirm_pending(db: sqlite_utils.Database, *, now: Moment) -> None:
    """Make provisional figures final that what has been stored since explains or confirms."""
    for ticker, source in sorted({(row.ticker, row.source) for row in observations.pending(db, Bar)}):
        waiting = {
            bar.session: _unmarked(bar) for bar in observations.pending(db, Bar, ticker=ticker) if bar.source == source
        }
        newest = observations.newest(db, Bar, ticker=ticker, source=source)
        bars = [waiting.get(bar.session, bar) for bar in newest]
        checked = check_bars(bars, _evidence(db, ticker, source, bars[0].session))
        final = [bar for bar in checked if bar.session in waiting and not bar.provisional]
        observations.add(db, Bar, final, source=source, observed_at=now)
    for row in observations.pending(db, Distribution):
        (checked_row,) = _check_distributions(db, [_unmarked(row)], row.source, ())
        if not checked_row.provisional:
            observations.add(db, Distribution, [checked_row], source=row.source, observed_at=now)


def pending_rows(
    db: sqlite_utils.Database, ticker: str | None = None, known: Moment | None = None
) -> list[Bar | Distribution]:
    """The provisional closes and distributions, of one fund or of both, now or as known at an instant."""
    return [row for kind in NOUNS for row in observations.pending(db, kind, ticker=ticker, known=known)]


def pending_sessions(db: sqlite_utils.Database, source: str, ticker: str) -> list[str]:
    """Sessions of a source with a provisional close or distribution, which it is asked for again."""
    return sorted({row.session for row in pending_rows(db, ticker) if row.source == source})


def accept(db: sqlite_utils.Database, ticker: str, session: dt.date | None = None, *, now: Moment) -> int:
    """Make the provisional figures of a fund final, or those of one session. Returns how many there were."""
    rows = [row for row in pending_rows(db, ticker) if session is None or row.session == f"{session}"]
    for row in rows:
        final = msgspec.structs.replace(row, provisional=0)
        observations.add(db, type(row), [final], source=row.source, observed_at=now)
    return len(rows)


def _unmarked(row: R) -> R:
    """A row without its reason, if that is one that the checks find again."""
    return row if row.provisional in _OF_THE_ANSWER else msgspec.structs.replace(row, provisional=0)


def _evidence(
    db: sqlite_utils.Database, ticker: str, source: str, first: str, splits: Iterable[Split] = ()
) -> Evidence:
    """What is stored about the sessions from `first` on, and shortly before."""
    since = _shortly_before(first)
    bars = observations.newest(db, Bar, since=since)
    ratios, others = (
        ratios_by_session((row.source, row.session, row.ratio) for row in rows)
        for rows in _own_and_others(observations.newest(db, Split, since=since), ticker)
    )
    ratios |= {split.session: split.ratio for split in splits if split.ratio}
    own_bars, other_bars = _own_and_others(bars, ticker)
    closes = _levels_by_source(own_bars, "close", ratios)
    facts = observations.newest(db, FundFacts, ticker=ticker, since=since)
    other = _levels_by_source(other_bars, "close", others)
    # Provisional closes of the other fund count: a fall of both funds is no fault of a source.
    waiting = {bar.session: bar.close for bar in observations.pending(db, Bar) if bar.ticker != ticker}
    return Evidence(
        stored=closes.pop(source, {}),
        other=_joined([waiting, *reversed(other.values())]),
        splits=ratios,
        navs=_joined(reversed(_levels_by_source(facts, "nav", ratios).values())),
        sources=tuple(closes.values()),
    )


def _own_and_others(rows: Sequence[K], ticker: str) -> tuple[list[K], list[K]]:
    return [row for row in rows if row.ticker == ticker], [row for row in rows if row.ticker != ticker]


def _shortly_before(session: str) -> str:
    return (dt.date.fromisoformat(session) - _BEFORE).isoformat()


def _levels_by_source(rows: Iterable[Bar | FundFacts], column: str, splits: Levels) -> dict[str, dict[str, float]]:
    """Final figures a share in today's shares, by source in order of preference and by session in order."""
    levels: dict[str, list[tuple[str, str, float]]] = {}
    for row in sorted(rows, key=lambda row: (preferred(row.source), row.session)):
        value = getattr(row, column)
        if value is not None and value > 0 and not getattr(row, "provisional", 0):
            levels.setdefault(row.source, []).append((row.session, row.observed_at, value))
    by_source = {}
    for source, group in levels.items():
        factors = unit_factors([level[:2] for level in group], splits, classify_splits(group, splits))
        by_source[source] = {level[0]: level[2] / factor for level, factor in zip(group, factors, strict=True)}
    return by_source


def _joined(levels: Iterable[Levels]) -> Levels:
    """Levels of several sources by session in order, those of a later source first."""
    joined: dict[str, float] = {}
    for values in levels:
        joined |= values
    return dict(sorted(joined.items()))


def _check_distributions(
    db: sqlite_utils.Database, rows: Sequence[Distribution], source: str, bars: Sequence[Bar]
) -> list[Distribution]:
    """Distributions held against the closes of their answer or of their source, and other sources' lists."""
    ticker, first = rows[0].ticker, min(row.session for row in rows)
    since = _shortly_before(first)
    stored = observations.newest(db, Bar, ticker=ticker, source=source, since=since)
    closes = {bar.session: bar.close for bar in (*stored, *bars) if not bar.provisional}
    others = observations.newest(db, Distribution, ticker=ticker, since=since)
    listed = {
        row.session: row.amount
        for row in others
        if row.source != source and row.amount is not None and not row.provisional
    }
    known = {row.session for row in rows}
    around = [row for row in others if row.source == source and row.session not in known]
    checked = check_distributions(
        sorted((*around, *rows), key=lambda row: row.session), dict(sorted(closes.items())), listed
    )
    return [row for row in checked if row.session in known]


def _repeated(
    db: sqlite_utils.Database, rows: Sequence[Bar | Distribution], source: str, completed: pd.DatetimeIndex
) -> set[str]:
    """Sessions whose provisional figure was given in the answer of an earlier session too."""
    (figure,), kind = rows[0].figures, type(rows[0])
    given = {row.session: getattr(row, figure) for row in rows}
    last_close = dt.datetime.combine(completed[-1].date(), _EARLIEST_CLOSE, EXCHANGE)
    return {
        row.session
        for row in observations.pending(db, kind, ticker=rows[0].ticker)
        if row.source == source
        and row.provisional not in CONTRADICTIONS
        and parse_instant(row.observed_at) < last_close
        and (getattr(row, figure) or 0.0) > 0
        and observations.agree((getattr(row, figure),), (given.get(row.session),))
    }
