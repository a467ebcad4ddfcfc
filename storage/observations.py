"""What the sources said and when: append-only vintages of prices, fund facts and multiples.

A key (a ticker's session at one source, say) has one row per value that its source gave, each
with the instant it was first observed; the newest is the one with the highest (observed_at, id).
"As known on a date" is therefore a query, and nothing that was once published is lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from storage.rows import Row, instant, select, select_one

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import sqlite_utils

    from storage.rows import Moment

# Sources recompute prices in single precision: the last digits of the same figure differ between
# two downloads. A relative difference up to this is no revision.
JITTER = 1e-5


@dataclass(frozen=True)
class Kind:
    """One kind of observation: its table, what a row is about, what it says, and where it may be silent."""

    table: str
    key: tuple[str, ...]  # `source` belongs to every key besides
    values: tuple[str, ...]
    defaults: Mapping[str, object] = field(default_factory=dict)

    @property
    def session(self) -> str:
        """The column that dates a row: the second of every key."""
        return self.key[1]

    @property
    def whole_key(self) -> tuple[str, ...]:
        """The key columns with the source."""
        return (*self.key, "source")


KINDS: dict[str, Kind] = {
    kind.table: kind
    for kind in (
        Kind(
            "bars",
            ("ticker", "session"),
            ("open", "high", "low", "close", "volume", "provisional"),
            {"provisional": 0},
        ),
        Kind("distributions", ("ticker", "ex_date"), ("amount",)),
        Kind("splits", ("ticker", "session"), ("ratio",)),
        Kind("fund_facts", ("ticker", "session"), ("nav", "shares", "assets")),
        Kind(
            "multiples",
            ("ticker", "session", "metric", "convention", "basis"),
            ("value", "holdings_date", "price_date", "coverage"),
        ),
        Kind("sector_weights", ("ticker", "session", "level", "sector"), ("weight",), {"level": "sector"}),
    )
}


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
    """Store what `source` said at `observed_at`: rows of the key and value columns of `kind`.

    A row that agrees with what was known then (within JITTER) writes nothing. A different value is
    appended as a vintage. Rows may arrive in any order of observed_at: one observed earlier than
    the newest takes its place in the past, and where it brings a later vintage's value forward,
    that vintage is dated back instead of being stored twice. Of two values of one key observed in
    the same second the later one added counts. NaN is None; a column not given is None.
    ValueError for an unknown column, a missing key or an infinite number.
    """
    shape = KINDS[kind]
    at = instant(observed_at)
    written = {"inserted": 0, "revised": 0, "unchanged": 0}
    for row in rows:
        written[_add_one(db, shape, _clean(shape, row, source), at)] += 1
    return Written(**written)


def newest(db: sqlite_utils.Database, kind: str, *, known: Moment | None = None) -> list[Row]:
    """The newest row of each key observed at or before `known`, ordered by key; all columns.

    A withdrawn distribution comes back with amount None. Each source has rows of its own.
    """
    shape = KINDS[kind]
    key = ", ".join(shape.whole_key)
    columns = f"id, {key}, {', '.join(shape.values)}, observed_at"
    sql = f"""
        SELECT {columns} FROM (
            SELECT {columns}, row_number() OVER (
                PARTITION BY {key} ORDER BY observed_at DESC, id DESC
            ) AS age
            FROM {shape.table} WHERE :known IS NULL OR observed_at <= :known
        ) WHERE age = 1 ORDER BY {key}
    """  # noqa: S608 - names from KINDS only
    return select(db, sql, {"known": None if known is None else instant(known)})


def first_observed(db: sqlite_utils.Database, kind: str, ticker: str | None = None) -> str | None:
    """Instant at which the first row of a kind (of one ticker) was observed, None without any."""
    sql = f"SELECT min(observed_at) FROM {KINDS[kind].table} WHERE :ticker IS NULL OR ticker = :ticker"  # noqa: S608 - as above
    return _text(db, sql, {"ticker": ticker})


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


def has_source(db: sqlite_utils.Database, source: str) -> bool:
    """Whether any row of any kind came from this source."""
    return any(
        _text(db, f"SELECT source FROM {kind.table} WHERE source = :source LIMIT 1", {"source": source})  # noqa: S608 - as above
        for kind in KINDS.values()
    )


def is_empty(db: sqlite_utils.Database) -> bool:
    """Whether nothing was ever observed."""
    return not any(
        _text(db, f"SELECT source FROM {kind.table} LIMIT 1", {})  # noqa: S608 - as above
        for kind in KINDS.values()
    )


def _add_one(db: sqlite_utils.Database, kind: Kind, row: Row, at: str) -> str:
    """Store one clean row; which count of Written it belongs to."""
    before = _neighbour(db, kind, row, "observed_at <= :at ORDER BY observed_at DESC, id DESC", at)
    if before and _agree(before, row, kind.values):
        return "unchanged"
    after = _neighbour(db, kind, row, "observed_at > :at ORDER BY observed_at, id", at)
    if after and before and before["observed_at"] == at:
        return "unchanged"  # what was said in that second is known and no longer the newest
    if after and _agree(after, row, kind.values):
        _date_back(db, kind, row, after["id"], at)
        return "unchanged"
    columns = (*row, "observed_at")
    sql = f"INSERT INTO {kind.table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - as above
    db.execute(sql, (*row.values(), at))
    return "revised" if before or after else "inserted"


def _neighbour(db: sqlite_utils.Database, kind: Kind, row: Row, which: str, at: str) -> Row | None:
    """The vintage of the row's key next to an instant."""
    same_key = " AND ".join(f"{column} = :{column}" for column in kind.whole_key)
    columns = ", ".join(("id", "observed_at", *kind.values))
    sql = f"SELECT {columns} FROM {kind.table} WHERE {same_key} AND {which} LIMIT 1"  # noqa: S608 - as above
    return select_one(db, sql, {**{column: row[column] for column in kind.whole_key}, "at": at})


def _date_back(db: sqlite_utils.Database, kind: Kind, row: Row, vintage: int, at: str) -> None:
    """Let a vintage begin at `at`, as the row observed then says the same."""
    assigned = ", ".join(f"{column} = ?" for column in kind.values)
    sql = f"UPDATE {kind.table} SET {assigned}, observed_at = ? WHERE id = ?"  # noqa: S608 - as above
    db.execute(sql, (*(row[column] for column in kind.values), at, vintage))


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


def _agree(stored: Row, row: Row, columns: Sequence[str]) -> bool:
    """Whether two rows say the same: equal, or numbers that differ by no more than JITTER."""
    return all(_same(stored[column], row[column]) for column in columns)


def _same(one: object, other: object) -> bool:
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=JITTER, abs_tol=0.0)
    return one == other


def _text(db: sqlite_utils.Database, sql: str, parameters: Row) -> str | None:
    found = db.execute(sql, parameters).fetchone()
    return found[0] if found else None
