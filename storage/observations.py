"""What the sources gave and when: append-only vintages of prices, fund facts and multiples.

A key (a ticker's session at one source, say) has one vintage per value that its source gave, each
with the instant it was first observed; the newest is the one with the highest (observed_at, id).
"As known on a date" is therefore a query, and nothing that was once published is lost.
storage/vintages.py says what makes a vintage.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.kinds import KINDS, Kind
from storage.restatements import Restatement, restatements
from storage.rows import instant, select
from storage.vintages import JITTER, VintageWriter

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlite_utils

    from storage.rows import Moment, Row

__all__ = [
    "JITTER",
    "KINDS",
    "Kind",
    "Restatement",
    "Written",
    "add",
    "final_sessions",
    "first_observed",
    "has_source",
    "is_empty",
    "latest_session",
    "newest",
    "restatements",
]


_LOGGED = 100  # restatements of one answer that are logged one by one
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Written:
    """What an add did, in rows: `inserted` new keys, `revised` new values of known keys, `unchanged`."""

    inserted: int = 0
    revised: int = 0
    unchanged: int = 0

    def __add__(self, other: Written) -> Written:
        return Written(
            self.inserted + other.inserted, self.revised + other.revised, self.unchanged + other.unchanged
        )


def add(
    db: sqlite_utils.Database, kind: str, rows: Iterable[Row], *, source: str, observed_at: Moment
) -> Written:
    """Store what `source` gave at `observed_at`: rows of the key and value columns of `kind`.

    A row that agrees with what was known then (within storage.vintages.JITTER) is no vintage; a
    different value is one. Rows may arrive in any order of observed_at and any number of times: the
    vintages are those of the order in which they were given, so a value that was replaced and came
    back has come back whichever of the three is stored last. Of two values of one key observed in
    the same second the later one added counts. NaN is None; a column not given is None.
    Figures replaced by others (storage.restatements) are logged. ValueError for an unknown column, a
    missing key or an infinite number.
    """
    shape, at = KINDS[kind], instant(observed_at)
    writer = VintageWriter(db, shape, source, at)
    written = {"inserted": 0, "revised": 0, "unchanged": 0}
    for row in rows:
        written[writer.take(_clean(shape, row, source))] += 1
    writer.close()
    if written["revised"]:
        for restatement in restatements(db, kind, since=at, limit=_LOGGED):
            if (restatement.source, restatement.observed_at) == (source, at):
                _log.info("restated by %s: %s", source, restatement)
    return Written(**written)


def newest(
    db: sqlite_utils.Database,
    kind: str,
    *,
    known: Moment | None = None,
    ticker: str | None = None,
    source: str | None = None,
) -> list[Row]:
    """The newest row of each key observed at or before `known`, ordered by key; all columns.

    Of one `ticker` or `source` where given. A withdrawn distribution comes back with amount None, a
    withdrawn split with ratio None. Each source has rows of its own.
    """
    shape = KINDS[kind]
    key = ", ".join(shape.whole_key)
    columns = f"id, {key}, {', '.join(shape.values)}, observed_at"
    bounds = {"ticker = :ticker": ticker, "source = :source": source, "observed_at <= :known": known}
    where = " AND ".join(["vintage > 0", *(bound for bound, value in bounds.items() if value is not None)])
    sql = f"""
        SELECT {columns} FROM (
            SELECT {columns}, row_number() OVER (
                PARTITION BY {key} ORDER BY observed_at DESC, id DESC
            ) AS age
            FROM {shape.table} WHERE {where}
        ) WHERE age = 1 ORDER BY {key}
    """  # noqa: S608 - names from KINDS only
    given = {"known": known and instant(known), "ticker": ticker, "source": source}
    return select(db, sql, {name: value for name, value in given.items() if value is not None})


def vintages(db: sqlite_utils.Database, kind: str, ticker: str) -> list[Row]:
    """All vintages of one ticker in the order in which they were given: key, values, observed_at."""
    shape = KINDS[kind]
    columns = ", ".join((*shape.whole_key, *shape.values, "observed_at"))
    sql = f"""
        SELECT {columns} FROM {shape.table} WHERE ticker = :ticker AND vintage > 0 ORDER BY observed_at, id
    """  # noqa: S608 - as above
    return select(db, sql, {"ticker": ticker})


def first_observed(db: sqlite_utils.Database) -> str | None:
    """Instant at which the first row of any kind was observed, None without any."""
    sql = "SELECT min(observed_at) FROM {}"
    instants = (_text(db, sql.format(kind.table), {}) for kind in KINDS.values())
    return min(filter(None, instants), default=None)


def latest_session(
    db: sqlite_utils.Database, kind: str, ticker: str, source: str | None = None
) -> str | None:
    """Last session (ex-date of distributions) stored for a ticker (by one source), None without any."""
    shape = KINDS[kind]
    sql = f"""
        SELECT {shape.session} FROM {shape.table}
        WHERE ticker = :ticker AND (:source IS NULL OR source = :source)
        ORDER BY {shape.session} DESC LIMIT 1
    """  # noqa: S608 - as above
    return _text(db, sql, {"ticker": ticker, "source": source})


def final_sessions(db: sqlite_utils.Database, ticker: str, source: str) -> set[str]:
    """Sessions of which a source gave a bar that is final: not one that was taken before the bell."""
    sql = """
        SELECT session FROM (
            SELECT session, provisional, row_number() OVER (
                PARTITION BY session ORDER BY observed_at DESC, id DESC
            ) AS age
            FROM bars WHERE ticker = ? AND source = ? AND vintage > 0
        ) WHERE age = 1 AND provisional = 0
    """
    return {row["session"] for row in select(db, sql, (ticker, source))}


def has_source(db: sqlite_utils.Database, source: str) -> bool:
    """Whether any row of any kind came from this source."""
    return any(
        _text(db, f"SELECT source FROM {kind.table} WHERE source = :source LIMIT 1", {"source": source})  # noqa: S608 - as above
        for kind in KINDS.values()
    )


def fingerprint(db: sqlite_utils.Database) -> tuple[int | None, ...]:
    """Changes whenever observations do: by this process (new rows, or old ones given again) or by another."""
    tables = (f"SELECT max(id) FROM {kind.table}" for kind in KINDS.values())  # noqa: S608 - as above
    queries = (*tables, "SELECT count(*) FROM readings", "PRAGMA data_version")
    return tuple(db.execute(sql).fetchone()[0] for sql in queries)


def is_empty(db: sqlite_utils.Database) -> bool:
    """Whether nothing was ever observed."""
    return not any(
        _text(db, f"SELECT source FROM {kind.table} LIMIT 1", {})  # noqa: S608 - as above
        for kind in KINDS.values()
    )


def _clean(kind: Kind, row: Row, source: str) -> Row:
    """The row with every column of its kind, in order, and NaN as None."""
    if unknown := row.keys() - {*kind.key, *kind.values}:
        raise ValueError(f"{kind.table} has no column {', '.join(sorted(unknown))}.")
    key = {column: row.get(column) or kind.defaults.get(column) for column in kind.key}
    if missing := [column for column, value in key.items() if not value]:
        raise ValueError(f"A row of {kind.table} lacks {', '.join(missing)}: {row}.")
    values = {column: _finite(kind, column, row.get(column)) for column in kind.values}
    return {**key, **values, "source": source}


def _finite(kind: Kind, column: str, value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        if math.isinf(value):
            raise ValueError(f"{column} of {kind.table} is infinite.")
        value = None
    return kind.defaults.get(column) if value is None else value


def _text(db: sqlite_utils.Database, sql: str, parameters: Row) -> str | None:
    row = db.execute(sql, parameters).fetchone()
    return row[0] if row else None
