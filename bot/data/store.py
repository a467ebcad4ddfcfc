"""What was read, written to the database: observations of any source, and whole files.

Withdraws distributions and splits that a source no longer lists, or has given another date.

A distribution that stays stored beside its correction is counted twice in every total return, and a
split that never was halves all closes before it. One is withdrawn only where the answer has the session
before, its own session and the session after, so that what is absent there the source does not have.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from bot.analytics.market import TYPED_IN
from bot.data.provider import Partial
from storage import observations, sources
from storage.observations import Written
from storage.rows import KINDS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import pandas as pd
    import sqlite_utils

    from bot.data.import_csv import CsvContents, ExportedRows
    from bot.data.provider import Observations, Ok
    from storage.rows import Row


SOURCE = TYPED_IN


def store(
    db: sqlite_utils.Database, rows: Observations, *, source: str, observed_at: str
) -> dict[str, Written]:
    """Write observations of every kind in the caller's transaction. Returns the counts by kind."""
    return {
        kind: observations.add(db, kind, group, source=source, observed_at=observed_at)
        for kind, group in rows.items()
    }


def note_import(
    db: sqlite_utils.Database, rows: Observations, *, source: str, subject: str, observed_at: str
) -> None:
    """Note in the list of sources that a file was imported, and its last session."""
    days = [row["session"] for group in rows.values() for row in group if "session" in row]
    session = max(days, default=None)
    sources.record_success(db, source, subject, now=observed_at, session=session, outcome=sources.IMPORTED)


def store_file(db: sqlite_utils.Database, contents: CsvContents, *, observed_at: str) -> dict[str, Written]:
    """Write a file's contents. Distributions and splits of an earlier file that it lacks are withdrawn.

    Rows of an export are stored under their own sources and instants.
    """
    if contents.record:
        return _store_record(db, contents.record)
    rows = dict(contents.observations)
    for kind in contents.complete:
        rows[kind] = [*rows[kind], *_withdrawn(db, contents, kind)]
    subject = f"{contents.preview.ticker} {contents.preview.words}"
    note_import(db, rows, source=SOURCE, subject=subject, observed_at=observed_at)
    return store(db, rows, source=SOURCE, observed_at=observed_at)


def _store_record(db: sqlite_utils.Database, record: Sequence[ExportedRows]) -> dict[str, Written]:
    """Write the rows of an export in order. Returns the counts by kind."""
    written: dict[str, Written] = {}
    for exported in record:
        for kind, group in exported.observations.items():
            new = observations.add(db, kind, group, source=exported.source, observed_at=exported.observed_at)
            written[kind] = written.get(kind, Written()) + new
    return written


def _withdrawn(db: sqlite_utils.Database, contents: CsvContents, kind: str) -> list[Row]:
    """Withdrawals of stored distributions or splits on sessions of this file, which has none there."""
    (day, (column,)) = observations.KINDS[kind].session, observations.KINDS[kind].values  # noqa: PD011 - of a kind of observation
    sessions = {row["session"] for row in contents.observations["bars"]}
    listed = {row[day] for row in contents.observations[kind]}
    return [
        {"ticker": row["ticker"], day: row[day], column: None}
        for row in observations.newest(db, kind, ticker=contents.preview.ticker, source=SOURCE)
        if row[day] in sessions - listed
    ]


_EVENTS = {"distributions": "amount", "splits": "ratio"}  # kinds and what they say


def withdrawals(
    db: sqlite_utils.Database, source: str, ticker: str, outcome: Ok | Partial, completed: pd.DatetimeIndex
) -> dict[str, list[dict[str, Any]]]:
    """Rows by kind that withdraw stored events of a source which its answer should list and does not.

    Nothing is withdrawn if the answer has an event that cannot be dated: that may be it. No split is if
    many distributions are absent: then the answer came without its events.
    """
    gone: dict[str, list[dict[str, Any]]] = {}
    if isinstance(outcome, Partial) and not _dates(outcome.missing):
        return gone
    for kind, column in _EVENTS.items():
        if kind not in outcome.payload:
            continue
        day = KINDS[kind].session
        listed = {row[day] for row in outcome.payload[kind]}
        stored = {
            row[day]
            for row in observations.newest(db, kind, ticker=ticker, source=source)
            if row[column] is not None
        }
        absent = sorted(stored & _should_be_listed(outcome.payload, listed, stored, completed))
        if len(absent) > max(len(stored & listed), 1):  # not so many at once: the list itself is not whole
            break
        gone[kind] = [{"ticker": ticker, day: event, column: None} for event in absent]
    return {kind: rows for kind, rows in gone.items() if rows}


def _should_be_listed(
    payload: Observations, listed: Collection[str], stored: Collection[str], completed: pd.DatetimeIndex
) -> set[str]:
    """Sessions on which an answer would list an event if there was one, and lists none."""
    if "bars" in payload:
        return _with_neighbours({row["session"] for row in payload["bars"]}, completed) - set(listed)
    if not listed:
        return set()
    within = {day for day in stored if min(listed) < day < max(listed)}  # a list of its own has all of them
    return within - set(listed)


def _with_neighbours(had: Collection[str], completed: pd.DatetimeIndex) -> set[str]:
    """Sessions of the answer whose neighbours are in it too."""
    days = [f"{session:%Y-%m-%d}" for session in completed]
    around = zip(days, days[1:], days[2:], strict=False)
    return {day for before, day, after in around if before in had and day in had and after in had}


def _dates(missing: tuple[str, ...]) -> bool:
    """Whether all missing items are sessions."""
    try:
        return all(dt.date.fromisoformat(name) for name in missing)
    except ValueError:
        return False
