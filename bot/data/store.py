"""What was read, written to the database: observations of any source, and whole files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.analytics.market import TYPED_IN
from storage import observations as stored
from storage import sources
from storage.observations import Written

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlite_utils

    from bot.data.preview import CsvContents, ExportedRows
    from bot.data.provider import Observations
    from storage.rows import Row

SOURCE = TYPED_IN


def store(
    db: sqlite_utils.Database, rows: Observations, *, source: str, observed_at: str
) -> dict[str, Written]:
    """Write observations of every kind in the caller's transaction. Returns the counts by kind."""
    return {
        kind: stored.add(db, kind, group, source=source, observed_at=observed_at)
        for kind, group in rows.items()
    }


def note_import(
    db: sqlite_utils.Database, rows: Observations, *, source: str, subject: str, observed_at: str
) -> None:
    """Note in the list of sources that a file was imported, and its last session."""
    days = [row["session"] for group in rows.values() for row in group if "session" in row]
    sources.record_import(db, source, subject, now=observed_at, session=max(days, default=None))


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
            new = stored.add(db, kind, group, source=exported.source, observed_at=exported.observed_at)
            written[kind] = written.get(kind, Written()) + new
    return written


def _withdrawn(db: sqlite_utils.Database, contents: CsvContents, kind: str) -> list[Row]:
    """Withdrawals of stored distributions or splits on sessions of this file, which has none there."""
    (day, (column,)) = stored.KINDS[kind].session, stored.KINDS[kind].values
    sessions = {row["session"] for row in contents.observations["bars"]}
    listed = {row[day] for row in contents.observations[kind]}
    return [
        {"ticker": row["ticker"], day: row[day], column: None}
        for row in stored.newest(db, kind, ticker=contents.preview.ticker, source=SOURCE)
        if row[day] in sessions - listed
    ]
