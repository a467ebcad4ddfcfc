"""What the sources gave and when: append-only vintages of prices, fund facts and multiples.

A key (a ticker's session at one source, say) has one vintage per value that its source gave, each
with the instant it was first observed; the newest is the one with the highest (observed_at, id).
"As known on a date" is therefore a query, and nothing that was once published is lost.
storage/vintages.py says what makes a vintage.

Restatements: figures that a source has replaced by others, the newest first.

A change counts from RESTATED on. Not restatements are a figure given where there was none, a provisional
bar made final, and whatever changes when a source rewrites its history at a split.

Vintages: which of the values that a source gave for one key were revisions, in whatever order they came.

What a source gives for a key is a sequence of (instant, values). Its vintages are found by going through it
in order: the first is a vintage, and so is each that differs from the vintage before it by more than JITTER.
To get the same answer when something given earlier arrives later, everything given is kept: values in the
kind's table, each with its first instant, and in `readings` when each row was given. A row's column
`vintage` is 1 for the first of its key, 2 for a later one, and 0 for a row that was no revision when given.
"""

from __future__ import annotations

import logging
import math
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from storage.rows import KINDS, Kind, instant, select, select_one

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import sqlite_utils

    from storage.rows import Moment, Row


RESTATED = 1e-4  # relative: 1 basis point
# Days after a split by which sources have rewritten their history in new shares.
REBASING_DAYS = 7
_REBASED = {"bars", "distributions", "fund_facts"}  # kinds with figures a share


@dataclass(frozen=True)
class Restatement:
    """One figure that was replaced; `new` and `change` are None where it was withdrawn."""

    kind: str
    key: Mapping[str, str]  # the kind's key columns: ticker, session or ex_date, ...
    column: str  # "close"
    old: float
    new: float | None
    source: str
    observed_at: str  # of the new value

    @property
    def change(self) -> float | None:
        """Relative change, 0.01 for one percent more; None also where the old figure is zero."""
        return None if self.new is None or not self.old else self.new / self.old - 1

    def __str__(self) -> str:
        """In words: "IWM 2020-12-10 close 190 -> 190.19 (+10.0 bp)", or "... withdrawn"."""
        what = " ".join((*self.key.values(), self.column))
        if self.new is None:
            return f"{what} {_shown(self.old)} withdrawn"
        moved = "" if self.change is None else f" ({self.change * 1e4:+,.1f} bp)"
        return f"{what} {_shown(self.old)} -> {_shown(self.new)}{moved}"


def _shown(figure: float) -> str:
    """Six digits, which show a basis point without the dust of binary fractions; counts in whole."""
    return f"{figure:,.6g}" if abs(figure) < 1e6 else f"{figure:,.10g}"


def recent(db: sqlite_utils.Database, *, since: Moment, limit: int = 100) -> list[Restatement]:
    """The last `limit` restatements of any kind, observed at or after `since`, newest first."""
    newest = [change for kind in KINDS for change in restatements(db, kind, since=since, limit=limit)]
    return sorted(newest, key=lambda change: change.observed_at, reverse=True)[:limit]


def restatements(
    db: sqlite_utils.Database, kind: str, *, since: Moment | None = None, limit: int = 20
) -> list[Restatement]:
    """The last `limit` restatements of a kind, observed at or after `since`, newest first."""
    shape = KINDS[kind]
    newest: list[Restatement] = []
    for pair in _pairs(db, shape, None if since is None else instant(since)):
        for column in shape.figures:
            old, new = pair[f"old_{column}"], pair[column]
            if _differ(old, new):
                key = {name: pair[name] for name in shape.key}
                newest.append(Restatement(kind, key, column, old, new, pair["source"], pair["observed_at"]))
        if len(newest) >= limit:
            break
    return newest[:limit]


# Splits of a fund after a session for which the source rewrote its history between two observations, or
# within REBASING_DAYS of the split: it does so on the split's session, or when it withdraws the split.
_REBASING = """
    SELECT 1 FROM (
        SELECT ticker, session, CASE WHEN ratio IS NULL THEN date(observed_at) ELSE session END AS day
        FROM splits WHERE vintage > 0
    ) AS split
    WHERE split.ticker = new.ticker AND split.session > new.{date} AND split.day <= date(new.observed_at)
    AND (date(old.observed_at) < split.day OR date(new.observed_at) <= date(split.day, '+{days} days'))
"""


def _pairs(db: sqlite_utils.Database, kind: Kind, since: str | None) -> Iterator[Row]:
    """Vintages with a figure unlike that of the one before, which is named old_...; newest first.

    Left out is a pair between whose observations the source may have rewritten its history at a split.

    Walks the index {table}_revisions, so what is not asked for is not read.
    """
    own = (*kind.whole_key, "observed_at", *kind.figures)
    names = (*own, *(f"old_{name}" for name in kind.figures))
    columns = [*(f"new.{name}" for name in own), *(f"old.{name}" for name in kind.figures)]
    same_key = " AND ".join(f"before.{name} = new.{name}" for name in kind.whole_key)
    differs = " OR ".join(
        f"(old.{name} IS NOT NULL AND (new.{name} IS NULL"
        f" OR abs(new.{name} - old.{name}) > {RESTATED} * abs(old.{name})))"
        for name in kind.figures
    )
    final = "AND old.provisional = 0" if "provisional" in kind.values else ""
    bound = "AND new.observed_at >= :since" if since else ""
    rebased = ""
    if kind.table in _REBASED:
        rebased = f"AND NOT EXISTS ({_REBASING.format(date=kind.session, days=REBASING_DAYS)})"
    sql = f"""
        SELECT {", ".join(columns)} FROM {kind.table} AS new INDEXED BY {kind.table}_revisions
        JOIN {kind.table} AS old ON old.id = (
            SELECT id FROM {kind.table} AS before
            WHERE {same_key} AND vintage > 0 AND (observed_at, id) < (new.observed_at, new.id)
            ORDER BY observed_at DESC, id DESC LIMIT 1
        )
        WHERE new.vintage = 2 {bound} {final} AND ({differs}) {rebased}
        ORDER BY new.observed_at DESC, new.id DESC
    """  # noqa: S608 - names from KINDS only
    with closing(db.execute(sql, {"since": since} if since else {})) as cursor:
        for values in cursor:
            yield dict(zip(names, values, strict=True))


def _differ(old: float | None, new: float | None) -> bool:
    """Whether a figure was withdrawn or changed by more than RESTATED."""
    if old is None or new is None:
        return old is not None
    return abs(new - old) > RESTATED * abs(old)


# Sources recompute prices in single precision: the last digits of the same figure differ between
# two downloads. A relative difference up to this is no revision.
JITTER = 1e-5
_NO, _FIRST, _LATER = 0, 1, 2  # values of the column `vintage`


@dataclass(frozen=True)
class _Given:
    """Values given for a key: when, the row with them, and whether that row is stored with this instant."""

    at: str
    row: Row
    own: bool


class VintageWriter:
    """Writes what one source gives of one kind at one instant: take row after row, then close."""

    def __init__(self, db: sqlite_utils.Database, kind: Kind, source: str, at: str) -> None:
        self._db, self._kind, self._source, self._at = db, kind, source, at
        self._given_ids: list[int] = []
        sql = "SELECT max(observed_at) AS latest FROM readings WHERE kind = ? AND source = ?"
        row = select_one(db, sql, (kind.table, source))
        self._in_order = not row or (row["latest"] or "") <= at

    def take(self, row: Row) -> str:
        """Store a row of the key and value columns. Returns the field of Written it counts in."""
        last = self._last(row) if self._in_order else None
        if self._in_order and last is None:
            self._given_ids.append(self._insert(row, self._at, _FIRST))
            return "inserted"
        if last is None or last["observed_at"] == self._at:
            return self._take_late(row)
        if agree(last, row, self._kind.values):
            same = last["id"] if self._equal(last, row) else self._same_values(self._rows(row), row)
            self._given_ids.append(same)
            return "unchanged"
        self._given_ids.append(self._insert(row, self._at, _LATER))
        return "revised"

    def close(self) -> None:
        """Store which rows were given, in runs of neighbouring ids."""
        ids = sorted(set(self._given_ids))
        breaks = [place for place, (left, right) in enumerate(pairwise(ids), start=1) if right - left > 1]
        edges = [0, *breaks, len(ids)] if ids else []
        for first, end in pairwise(edges):
            self._db.execute(
                "INSERT OR IGNORE INTO readings VALUES (?, ?, ?, ?, ?)",
                (self._kind.table, self._source, self._at, ids[first], ids[end - 1]),
            )

    def _take_late(self, row: Row) -> str:
        """Store a row given before the latest one: the vintages of its key are found anew."""
        rows = self._rows(row)
        history = self._history(rows)
        if any(given.at == self._at and self._equal(given.row, row) for given in history):
            return "unchanged"
        before = sum(stored["vintage"] != _NO for stored in rows)
        place = sum(given.at <= self._at for given in history)
        new = _Given(self._at, row, own=False)
        vintages = _vintages([*history[:place], new, *history[place:]], self._kind.values)
        if not any(given is new for given in vintages):
            self._given_ids.append(self._same_values(rows, row))
        self._mark(rows, vintages)
        if not rows:
            return "inserted"
        return "revised" if len(vintages) > before else "unchanged"

    def _history(self, rows: Sequence[Row]) -> list[_Given]:
        """Return all that was given for one key so far, in order; in one second, as it arrived."""
        runs = "SELECT observed_at FROM readings WHERE kind = ? AND source = ?"
        sql = f"{runs} AND ? BETWEEN first_id AND last_id"
        own = {row["observed_at"] for row in rows}
        history = [_Given(row["observed_at"], row, own=True) for row in rows]
        history += [
            _Given(reading["observed_at"], row, own=False)
            for row in rows
            for reading in select(self._db, sql, (self._kind.table, self._source, row["id"]))
            if reading["observed_at"] not in own
        ]
        return sorted(history, key=lambda given: (given.at, given.row["id"]))

    def _mark(self, rows: Sequence[Row], vintages: Sequence[_Given]) -> None:
        """Make `vintages` the vintages of a key: rows that are none are marked so, missing ones are added."""
        marks = dict.fromkeys((row["id"] for row in rows), _NO)
        for count, given in enumerate(vintages):
            mark = _LATER if count else _FIRST
            if given.own:
                marks[given.row["id"]] = mark
            else:
                values = {column: given.row[column] for column in (*self._kind.whole_key, *self._kind.values)}
                self._insert(values, given.at, mark)
        for row in rows:
            if row["vintage"] != marks[row["id"]]:
                sql = f"UPDATE {self._kind.table} SET vintage = ? WHERE id = ?"  # noqa: S608 - names from KINDS only
                self._db.execute(sql, (marks[row["id"]], row["id"]))

    def _same_values(self, rows: Iterable[Row], row: Row) -> int:
        """Id of a stored row with exactly these values, which is added as no vintage where there is none."""
        same = next((stored["id"] for stored in rows if self._equal(stored, row)), None)
        return self._insert(row, self._at, _NO) if same is None else same

    def _equal(self, stored: Row, row: Row) -> bool:
        return all(stored[column] == row[column] for column in self._kind.values)

    def _last(self, row: Row) -> Row | None:
        """The newest vintage of a row's key."""
        return next(iter(self._rows(row, "vintage > 0", limit=1)), None)

    def _rows(self, row: Row, which: str = "1", limit: int = -1) -> list[Row]:
        """Stored rows of a row's key, the newest first."""
        columns = ", ".join(("id", *self._kind.whole_key, *self._kind.values, "observed_at", "vintage"))
        same_key = " AND ".join(f"{column} = :{column}" for column in self._kind.whole_key)
        sql = f"""
            SELECT {columns} FROM {self._kind.table}
            WHERE {same_key} AND {which}
            ORDER BY observed_at DESC, id DESC LIMIT :limit
        """  # noqa: S608 - as above
        key = {column: row[column] for column in self._kind.whole_key}
        return select(self._db, sql, {**key, "limit": limit})

    def _insert(self, row: Row, at: str, vintage: int) -> int:
        columns = (*row, "observed_at", "vintage")
        sql = (
            f"INSERT INTO {self._kind.table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - as above
        )
        return int(self._db.execute(sql, (*row.values(), at, vintage)).lastrowid or 0)


def _vintages(history: Iterable[_Given], columns: Sequence[str]) -> list[_Given]:
    """Those of what was given, in order, that differ from the vintage before by more than JITTER."""
    vintages: list[_Given] = []
    for given in history:
        if not vintages or not agree(vintages[-1].row, given.row, columns):
            vintages.append(given)
    return vintages


def agree(stored: Row, row: Row, columns: Sequence[str]) -> bool:
    """Whether two rows agree: equal, or numbers that differ by no more than JITTER."""
    return all(_agree(stored[column], row[column]) for column in columns)


def _agree(old: object, new: object) -> bool:
    if isinstance(old, (int, float)) and isinstance(new, (int, float)):
        return math.isclose(old, new, rel_tol=JITTER, abs_tol=0.0)
    return old == new


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
