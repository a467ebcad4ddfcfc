"""Provisional figures in the database: marks them in an answer, and confirms or accepts them later.

What is believed is decided by the pure checks of bot.data.plausibility. Here they get what is stored: the
fund's closes, those of the other fund and of other sources, net asset values, and what was provisional
before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import msgspec
import pandas as pd

from bot.data import source_selection
from bot.data.plausibility import CONTRADICTIONS, Evidence, check_bars, check_distributions
from bot.data.provider import Observations, observations_of, rows_by_kind
from storage import observations
from storage.rows import Bar, Distribution, FundFacts, Moment, Observation, Provisional, Split

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping, Sequence

    import sqlite_utils

    from bot.data.source_selection import Frames

R = TypeVar("R", Bar, Distribution)
# Sessions are at least this long, in New York: what was given before is of an earlier session.
_EARLIEST_CLOSE = pd.Timedelta(hours=13)
# Before the first session of an answer: the sessions that its first close is compared with.
_BEFORE = pd.Timedelta(days=14)
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
            repeated = pd.DatetimeIndex(sorted(_repeated(db, bars, source, completed)))
            evidence = replace(evidence, repeated=repeated)
        marked["bars"] = bars = check_bars(bars, evidence)
    if rows.get("distributions"):
        paid = _check_distributions(db, rows["distributions"], source, bars)
        if completed is not None:
            again = _repeated(db, paid, source, completed)
            paid = [
                msgspec.structs.replace(row, provisional=0) if row.session in again else row for row in paid
            ]
        marked["distributions"] = paid
    return observations_of(marked)


def confirm_pending(db: sqlite_utils.Database, *, now: Moment) -> None:
    """Make provisional figures final that what has been stored since explains or confirms."""
    for ticker, source in sorted({(row.ticker, row.source) for row in observations.pending(db, Bar)}):
        waiting = {
            bar.session: _unmarked(bar)
            for bar in observations.pending(db, Bar, ticker=ticker)
            if bar.source == source
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


def pending_sessions(db: sqlite_utils.Database, source: str, ticker: str) -> list[str]:
    """Sessions of a source with a provisional close or distribution, which it is asked for again."""
    rows = [
        *observations.pending(db, Bar, ticker=ticker),
        *observations.pending(db, Distribution, ticker=ticker),
    ]
    return sorted({row.session for row in rows if row.source == source})


def accept(db: sqlite_utils.Database, ticker: str, session: dt.date | None = None, *, now: Moment) -> int:
    """Make the provisional figures of a fund final, or those of one session. Returns how many there were."""
    count = 0
    for kind in NOUNS:
        for row in observations.pending(db, kind, ticker=ticker):
            if session is None or row.session == session.isoformat():
                final = msgspec.structs.replace(row, provisional=0)
                observations.add(db, kind, [final], source=row.source, observed_at=now)
                count += 1
    return count


def _unmarked(row: R) -> R:
    """A row without its reason, if that is one that the checks find again."""
    return row if row.provisional in _OF_THE_ANSWER else msgspec.structs.replace(row, provisional=0)


def _evidence(
    db: sqlite_utils.Database, ticker: str, source: str, first: str, splits: Iterable[Split] = ()
) -> Evidence:
    """What is stored about the sessions from `first` on, and shortly before."""
    since = f"{pd.Timestamp(first) - _BEFORE:%Y-%m-%d}"
    kinds: tuple[type[Observation], ...] = (Bar, Split, FundFacts)
    frames = {kind.table: pd.DataFrame(observations.newest_columns(db, kind, since=since)) for kind in kinds}
    closes = source_selection.levels_by_source(frames, ticker, "bars", "close")
    listed = _series({split.session: split.ratio for split in splits})
    return Evidence(
        stored=closes.pop(source, _series({})),
        other=_other_closes(db, frames, ticker),
        splits=_joined([listed, source_selection.split_ratios(frames, ticker)]),
        navs=_joined(source_selection.levels_by_source(frames, ticker, "fund_facts", "nav").values()),
        sources=tuple(closes.values()),
    )


def _other_closes(db: sqlite_utils.Database, frames: Frames, ticker: str) -> pd.Series:
    """Closes of the other fund. Provisional ones count: a fall of both funds is no fault of a source."""
    others = [name for name in frames["bars"]["ticker"].unique() if name != ticker]
    if not others:
        return _series({})
    final = source_selection.levels_by_source(frames, others[0], "bars", "close").values()
    waiting = {bar.session: bar.close for bar in observations.pending(db, Bar, ticker=others[0])}
    return _joined([*final, _series(waiting)])


def _series(values: Mapping[str, float | None]) -> pd.Series:
    return pd.Series(list(values.values()), pd.DatetimeIndex(list(values)).as_unit("ns"), dtype="float64")


def _joined(series: Iterable[pd.Series]) -> pd.Series:
    joined = _series({})
    for values in series:
        joined = joined.combine_first(values) if len(joined) else values
    return joined


def _check_distributions(
    db: sqlite_utils.Database, rows: Sequence[Distribution], source: str, bars: Sequence[Bar]
) -> list[Distribution]:
    """Distributions held against the closes of their answer or of their source, and other sources' lists."""
    ticker, first = rows[0].ticker, min(row.session for row in rows)
    since = f"{pd.Timestamp(first) - _BEFORE:%Y-%m-%d}"
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
        sorted((*around, *rows), key=lambda row: row.session), _series(closes).sort_index(), _series(listed)
    )
    return [row for row in checked if row.session in known]


def _repeated(
    db: sqlite_utils.Database, rows: Sequence[Bar | Distribution], source: str, completed: pd.DatetimeIndex
) -> set[str]:
    """Sessions whose provisional figure was given in the answer of an earlier session too."""
    (figure,), kind = rows[0].figures, type(rows[0])
    given = {row.session: getattr(row, figure) for row in rows}
    last_close = completed[-1].tz_localize("America/New_York") + _EARLIEST_CLOSE
    return {
        row.session
        for row in observations.pending(db, kind, ticker=rows[0].ticker)
        if row.source == source
        and row.provisional not in CONTRADICTIONS
        and pd.Timestamp(row.observed_at) < last_close
        and (getattr(row, figure) or 0.0) > 0
        and observations.agree((getattr(row, figure),), (given.get(row.session),))
    }
