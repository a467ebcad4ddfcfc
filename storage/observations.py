"""What the sources gave and when: append-only vintages of prices, fund facts and multiples.

A key (a ticker's session at one source, say) has one vintage per value that its source gave, each with the instant it
was first observed; the newest is the one with the highest (observed_at, id). "As known on a date" is therefore a query,
and nothing that was once published is lost.

Vintages. What a source gives for a key is a sequence of (instant, values). The first is a vintage, and so is each that
differs from the vintage before it by more than JITTER. To get the same answer when something given earlier arrives
later, everything given is kept: values in the kind's table, each with its first instant, and in `readings` when each
row was given. A row's column `vintage` is 1 for the first of its key, 2 for a later one, and 0 for a row that was no
revision when given.

Provisional figures are stored like others and never used: newest() gives the newest final vintage of a key, and a
provisional one only where there is no final one. pending() lists the keys whose last vintage is provisional.

Restatements. A figure that a source has replaced by another, or withdrawn, is restated if it changed by more than
RESTATED_FROM. Not restatements are a figure given where there was none, a provisional bar made final and whatever
changes when a source rewrites its history at a split.
"""

import logging
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeAlias

import sqlite_utils

from storage import records

# Sources recompute prices in single precision: the last digits of the same figure differ between
# two downloads. A relative difference up to this is no revision.
JITTER = 1e-5
RESTATED_FROM = 1e-4  # relative: 1 basis point
# Days after a split by which sources have rewritten their history in new shares.
REBASING_DAYS = 7

_FIGURES_A_SHARE = {"bars", "distributions", "fund_facts"}  # kinds that a split changes
_LOGGED = 100  # restatements of one answer that are logged one by one
_NO, _FIRST, _LATER = 0, 1, 2  # values of the column `vintage`
_log = logging.getLogger(__name__)

Values: TypeAlias = "tuple[float | str | None, ...]"


@dataclass(frozen=True)
class Written:
    """What an add did, in rows: `inserted` new keys, `revised` new values of known keys, `unchanged`."""

    inserted: int = 0
    revised: int = 0
    unchanged: int = 0

    def __add__(self, other: "Written") -> "Written":
        return Written(self.inserted + other.inserted, self.revised + other.revised, self.unchanged + other.unchanged)


def add(
    db: sqlite_utils.Database,
    kind: type[records.K],
    rows: Iterable[records.K],
    *,
    source: str,
    observed_at: records.Moment,
) -> Written:
    """Store what `source` gave at `observed_at`, whatever source and instant the rows name.

    A row that agrees with what was known then (within JITTER) is no vintage; a different value is one. Rows
    may arrive in any order of observed_at and any number of times: the vintages are those of the order in
    which they were given, so a value that was replaced and came back has come back whichever of the three is
    stored last. Of two values of one key observed in the same second the later one added counts. NaN becomes
    None. Restatements are logged. Raises ValueError for an empty key or an infinite number.
    """
    at = records.instant(observed_at)
    writer = _VintageWriter(db, kind, source, at)
    written = {"inserted": 0, "revised": 0, "unchanged": 0}
    written["inserted"], others = writer.insert_first(rows)
    for row in others:
        written[writer.take(row)] += 1
    writer.close()
    if written["revised"]:
        for restatement in restatements(db, kind, since=at, limit=_LOGGED):
            if (restatement.source, restatement.observed_at) == (source, at):
                _log.info("restated by %s: %s", source, restatement)
    return Written(**written)


def newest(
    db: sqlite_utils.Database,
    kind: type[records.K],
    *,
    known: records.Moment | None = None,
    ticker: str | None = None,
    source: str | None = None,
    since: str | None = None,
) -> list[records.K]:
    """The newest row of each key observed at or before `known`, ordered by key.

    Of one `ticker` or `source`, and of sessions from `since` on, where given. A provisional row is the newest
    only of a key that has no final one. A withdrawn distribution comes back with amount None, a withdrawn
    split with ratio None. Each source has rows of its own.
    """
    names = list(records.columns(kind).values())
    rows = _newest_rows(db, kind, names, known, ticker, source, since)
    return [kind(*row[:-2], source=row[-2], observed_at=row[-1]) for row in rows]


def newest_columns(
    db: sqlite_utils.Database,
    kind: type[records.K],
    *,
    known: records.Moment | None = None,
    ticker: str | None = None,
    since: str | None = None,
    without: Collection[str] = (),
) -> dict[str, Sequence[object]]:
    """The rows of newest() as one sequence a field, which is faster for a whole history.

    The fields `without` are left out.
    """
    names = {field: column for field, column in records.columns(kind).items() if field not in without}
    rows = _newest_rows(db, kind, list(names.values()), known, ticker, None, since)
    return dict(zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True))


def _newest_rows(
    db: sqlite_utils.Database,
    kind: type[records.K],
    names: list[str],
    known: records.Moment | None,
    ticker: str | None,
    source: str | None,
    since: str | None,
) -> list[tuple[Any, ...]]:
    """The columns `names`, those of the key among them, of the rows of newest()."""
    bounds = {
        "ticker = :ticker": ("ticker", ticker),
        "source = :source": ("source", source),
        f"{records.key_columns(kind)[1]} >= :since": ("since", since),
        "observed_at <= :known": ("known", None if known is None else records.instant(known)),
    }
    filters = {bound: (name, value) for bound, (name, value) in bounds.items() if value is not None}
    # In the order of an index, which takes half as long as to let SQL number the rows of each key.
    newest_first = f"{'provisional > 0, ' if records.has_provisional(kind) else ''}observed_at DESC, id DESC"
    sql = f"""
        SELECT {", ".join(names)} FROM {kind.table} WHERE {" AND ".join(("vintage > 0", *filters))}
        ORDER BY {", ".join(records.key_columns(kind))}, {newest_first}
    """  # noqa: S608 - names from KINDS only
    key = itemgetter(*(names.index(column) for column in records.key_columns(kind)))
    rows = db.execute(sql, dict(filters.values()))
    return [next(same_key) for _, same_key in groupby(rows, key)]


def pending(
    db: sqlite_utils.Database, kind: type[records.K], *, known: records.Moment | None = None, ticker: str | None = None
) -> list[records.K]:
    """The rows that are their key's last vintage and provisional, other than bars of an open session."""
    bound = "" if known is None else "AND {0}.observed_at <= :known"
    same_key = " AND ".join(f"later.{name} = given.{name}" for name in records.key_columns(kind))
    sql = f"""
        SELECT {", ".join(records.columns(kind).values())} FROM {kind.table} AS given
        WHERE provisional > {int(records.Provisional.OPEN)} AND vintage > 0 {bound.format("given")}
        AND (:ticker IS NULL OR ticker = :ticker)
        AND NOT EXISTS (
            SELECT 1 FROM {kind.table} AS later WHERE {same_key} AND vintage > 0 {bound.format("later")}
            AND (later.observed_at, later.id) > (given.observed_at, given.id)
        ) ORDER BY {", ".join(records.key_columns(kind))}
    """  # noqa: S608 - as above
    parameters = {"ticker": ticker} | ({} if known is None else {"known": records.instant(known)})
    return records.select_as(db, kind, sql, parameters)


def vintages(db: sqlite_utils.Database, kind: type[records.K], ticker: str) -> list[records.K]:
    """All vintages of one ticker in the order in which they were given."""
    sql = f"""
        SELECT {", ".join(records.columns(kind).values())} FROM {kind.table}
        WHERE ticker = :ticker AND vintage > 0 ORDER BY observed_at, id
    """  # noqa: S608 - as above
    return records.select_as(db, kind, sql, {"ticker": ticker})


def first_observed(db: sqlite_utils.Database) -> str | None:
    """Instant at which the first row of any kind was observed, None without any."""
    instants = (records.select_value(db, str, f"SELECT min(observed_at) FROM {table}") for table in records.KINDS)  # noqa: S608 - as above
    return min(filter(None, instants), default=None)


def latest_session(db: sqlite_utils.Database, ticker: str, source: str) -> str | None:
    """Last session for which a source gave a bar, None without any."""
    sql = "SELECT max(session) FROM bars WHERE ticker = ? AND source = ?"
    return records.select_value(db, str, sql, (ticker, source))


_FAILING_FILES = "sources WHERE failures > 0 AND source IN ('issuer', 'sec')"


def fingerprint(db: sqlite_utils.Database) -> tuple[int | None, ...]:
    """Changes whenever there are new observations, or old ones are given again.

    And when an issuer's file begins or ceases to fail, which a Market names.
    """
    tables = (f"SELECT max(id) FROM {table}" for table in records.KINDS)  # noqa: S608 - as above
    failing = f"SELECT count(*) FROM {_FAILING_FILES}"  # noqa: S608 - as above
    queries = (*tables, "SELECT count(*) FROM readings", failing)
    row: tuple[int | None, ...] = db.execute(f"SELECT ({'), ('.join(queries)})").fetchone()
    return row


def failing_files(db: sqlite_utils.Database) -> list[tuple[str, str]]:
    """Subject and detail of each issuer's file that is refused, or is not what it should be, by source."""
    sql = f"SELECT subject, detail FROM {_FAILING_FILES} ORDER BY source, subject"  # noqa: S608 - as above
    return db.execute(sql).fetchall()


def stored_sources(db: sqlite_utils.Database) -> set[str]:
    """The sources of all rows of any kind."""
    query = " UNION ".join(f"SELECT source FROM {table}" for table in records.KINDS)  # noqa: S608 - as above
    return {source for (source,) in db.execute(query).fetchall()}


class _StoredRow(NamedTuple):
    id: int
    observed_at: str
    vintage: int
    values: Values


class _VintageWriter(Generic[records.K]):
    """Writes what one source gives of one kind at one instant: take row after row, then close."""

    def __init__(self, db: sqlite_utils.Database, kind: type[records.K], source: str, at: str) -> None:
        self._db, self._kind, self._source, self._at = db, kind, source, at
        self._values = records.value_columns(kind)
        self._given_ids: list[int] = []
        sql = "SELECT max(observed_at) FROM readings WHERE kind = ? AND source = ?"
        self._in_order = (records.select_value(db, str, sql, (kind.table, source)) or "") <= at
        names = (*records.key_columns(kind), *self._values, "observed_at", "vintage")
        self._insert_sql = f"INSERT INTO {kind.table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - names from KINDS only
        self._rows_sql = f"""
            SELECT {", ".join(("id", "observed_at", "vintage", *self._values))} FROM {kind.table}
            WHERE {" AND ".join(f"{column} = ?" for column in records.key_columns(kind))} AND vintage >= ?
            ORDER BY observed_at DESC, id DESC LIMIT ?
        """  # noqa: S608 - as above

    def insert_first(self, rows: Iterable[records.K]) -> tuple[int, list[records.K]]:
        """Store at once the first row of each key of tickers without any. Returns how many, and the rest."""
        stored: dict[str, bool] = {}
        sql = f"SELECT 1 FROM {self._kind.table} WHERE ticker = ? AND source = ? LIMIT 1"  # noqa: S608 - as above
        first: dict[tuple[str, ...], Values] = {}
        others = []
        for row in rows:
            if row.ticker not in stored:
                stored[row.ticker] = bool(self._db.execute(sql, (row.ticker, self._source)).fetchone())
            if stored[row.ticker] or (key := self._key(row)) in first:
                others.append(row)
            else:
                first[key] = self._finite_values(row)
        self._db.conn.executemany(
            self._insert_sql, [(*key, *values, self._at, _FIRST) for key, values in first.items()]
        )
        (last,) = self._db.execute("SELECT last_insert_rowid()").fetchone()
        self._given_ids.extend(range(last - len(first) + 1, last + 1))
        return len(first), others

    def take(self, row: records.K) -> str:
        """Store a row. Returns the field of Written it counts in."""
        key, values = self._key(row), self._finite_values(row)
        last = next(iter(self._rows(key, _FIRST, limit=1)), None) if self._in_order else None
        if self._in_order and last is None:
            self._given_ids.append(self._insert(key, values, self._at, _FIRST))
            return "inserted"
        if last is None or last.observed_at == self._at:
            return self._take_late(key, values)
        if agree(last.values, values):
            rows = [last] if last.values == values else self._rows(key)
            self._given_ids.append(self._row_with(rows, key, values))
            return "unchanged"
        self._given_ids.append(self._insert(key, values, self._at, _LATER))
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

    def _key(self, row: records.K) -> tuple[str, ...]:
        key = (*[getattr(row, name) for name in self._kind.key], self._source)
        if not all(key):
            names = zip(records.key_columns(self._kind), key, strict=True)
            missing = ", ".join(column for column, value in names if not value)
            raise ValueError(f"A row of {self._kind.table} lacks {missing}: {row}.")
        return key

    def _finite_values(self, row: records.K) -> Values:
        values = [getattr(row, name) for name in self._values]
        for place, value in enumerate(values):
            if isinstance(value, float) and not math.isfinite(value):
                if math.isinf(value):
                    raise ValueError(f"{self._values[place]} of {self._kind.table} is infinite.")
                values[place] = None
        return tuple(values)

    def _take_late(self, key: tuple[str, ...], values: Values) -> str:
        """Store a row given before the latest one: the vintages of its key are determined anew.

        A vintage needs a row of its own instant: one is added where a value has come back.
        """
        rows = self._rows(key)
        history = self._history(rows)
        if any(at == self._at and row.values == values for at, row in history):
            return "unchanged"
        stored_row = next((row for row in rows if row.values == values), None)
        if stored_row is None:
            stored_row = _StoredRow(self._insert(key, values, self._at, _NO), self._at, _NO, values)
        self._given_ids.append(stored_row.id)
        place = sum(at <= self._at for at, _ in history)
        marks, vintages = dict.fromkeys((row.id for row in (*rows, stored_row)), _NO), 0
        last: Values | None = None
        for at, row in (*history[:place], (self._at, stored_row), *history[place:]):
            if last is not None and agree(last, row.values):
                continue
            last, mark, vintages = row.values, _LATER if vintages else _FIRST, vintages + 1
            if row.observed_at == at:
                marks[row.id] = mark
            else:
                self._insert(key, row.values, at, mark)
        sql = f"UPDATE {self._kind.table} SET vintage = :mark WHERE id = :id AND vintage <> :mark"  # noqa: S608 - as above
        for row_id, mark in marks.items():
            self._db.execute(sql, {"id": row_id, "mark": mark})
        if not rows:
            return "inserted"
        return "revised" if vintages > sum(row.vintage != _NO for row in rows) else "unchanged"

    def _history(self, rows: Sequence[_StoredRow]) -> list[tuple[str, _StoredRow]]:
        """All that was given for one key so far, by its instants, in order; in one second, as it arrived."""
        sql = """
            SELECT observed_at FROM readings WHERE kind = ? AND source = ? AND ? BETWEEN first_id AND last_id
        """
        firsts = {row.observed_at for row in rows}
        history = [(row.observed_at, row) for row in rows]
        for row in rows:
            later = self._db.execute(sql, (self._kind.table, self._source, row.id)).fetchall()
            history += [(at, row) for (at,) in later if at not in firsts]
        return sorted(history, key=lambda reading: (reading[0], reading[1].id))

    def _row_with(self, rows: Iterable[_StoredRow], key: tuple[str, ...], values: Values) -> int:
        """Id of a stored row with exactly these values, which is added as no vintage where there is none."""
        same = next((row.id for row in rows if row.values == values), None)
        return self._insert(key, values, self._at, _NO) if same is None else same

    def _rows(self, key: tuple[str, ...], least: int = _NO, limit: int = -1) -> list[_StoredRow]:
        """Stored rows of a key whose `vintage` is at least `least`, the newest first."""
        rows = self._db.execute(self._rows_sql, (*key, least, limit)).fetchall()
        return [_StoredRow(row[0], row[1], row[2], row[3:]) for row in rows]

    def _insert(self, key: tuple[str, ...], values: Values, at: str, vintage: int) -> int:
        return int(self._db.execute(self._insert_sql, (*key, *values, at, vintage)).lastrowid or 0)


def agree(old: Values, new: Values) -> bool:
    """Whether the values of two rows are equal, numbers up to a difference of JITTER."""
    return old == new or all(
        math.isclose(one_old, one_new, rel_tol=JITTER, abs_tol=0.0)
        if isinstance(one_old, (int, float)) and isinstance(one_new, (int, float))
        else one_old == one_new
        for one_old, one_new in zip(old, new, strict=True)
    )


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
        name = " ".join((*self.key.values(), self.column))
        if self.new is None:
            return f"{name} {_shown(self.old)} withdrawn"
        change = "" if self.change is None else f" ({self.change * 1e4:+,.1f} bp)"
        return f"{name} {_shown(self.old)} -> {_shown(self.new)}{change}"


def _shown(figure: float) -> str:
    """Six digits, which show a basis point without the dust of binary fractions; counts in whole."""
    return f"{figure:,.6g}" if abs(figure) < 1e6 else f"{figure:,.10g}"


def recent(db: sqlite_utils.Database, *, since: records.Moment, limit: int = 100) -> list[Restatement]:
    """The last `limit` restatements of any kind, observed at or after `since`, newest first."""
    changes = [change for kind in records.KINDS.values() for change in restatements(db, kind, since=since, limit=limit)]
    return sorted(changes, key=lambda change: change.observed_at, reverse=True)[:limit]


def restatements(
    db: sqlite_utils.Database, kind: type[records.K], *, since: records.Moment | None = None, limit: int = 20
) -> list[Restatement]:
    """The last `limit` restatements of a kind, observed at or after `since`, newest first."""
    key = records.key_columns(kind)[:-1]
    figures = len(kind.figures)
    changes: list[Restatement] = []
    for row in _revised_rows(db, kind, None if since is None else records.instant(since)):
        source, observed_at = row[len(key) : len(key) + 2]
        for column, old, new in zip(kind.figures, row[-figures:], row[-2 * figures : -figures], strict=True):
            if old is not None and (new is None or abs(new - old) > RESTATED_FROM * abs(old)):
                names = dict(zip(key, row, strict=False))
                changes.append(Restatement(kind.table, names, column, old, new, source, observed_at))
        if len(changes) >= limit:
            break
    return changes[:limit]


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


def _revised_rows(db: sqlite_utils.Database, kind: type[records.K], since: str | None) -> Iterator[tuple[Any, ...]]:
    """Key, source, instant, figures and figures before of vintages with a restated figure, newest first.

    Left out are those between which and the vintage before the source may have rewritten its history at a
    split. Walks the index {table}_revisions, so rows that are not needed are not read.
    """
    key = records.key_columns(kind)
    names = [f"new.{name}" for name in (*key, "observed_at", *kind.figures)]
    names += [f"old.{name}" for name in kind.figures]
    same_key = " AND ".join(f"before.{name} = new.{name}" for name in key)
    differs = " OR ".join(
        f"(old.{name} IS NOT NULL AND (new.{name} IS NULL"
        f" OR abs(new.{name} - old.{name}) > {RESTATED_FROM} * abs(old.{name})))"
        for name in kind.figures
    )
    final = "AND old.provisional = 0 AND new.provisional = 0" if records.has_provisional(kind) else ""
    bound = "AND new.observed_at >= :since" if since else ""
    rebased = ""
    if kind.table in _FIGURES_A_SHARE:
        rebasing = _REBASING.format(date=records.columns(kind)["session"], days=REBASING_DAYS)
        rebased = f"AND NOT EXISTS ({rebasing})"
    sql = f"""
        SELECT {", ".join(names)} FROM {kind.table} AS new INDEXED BY {kind.table}_revisions
        JOIN {kind.table} AS old ON old.id = (
            SELECT id FROM {kind.table} AS before
            WHERE {same_key} AND vintage > 0 AND (observed_at, id) < (new.observed_at, new.id)
            ORDER BY observed_at DESC, id DESC LIMIT 1
        )
        WHERE new.vintage = 2 {bound} {final} AND ({differs}) {rebased}
        ORDER BY new.observed_at DESC, new.id DESC
    """  # noqa: S608 - names from KINDS only
    with closing(db.execute(sql, {"since": since} if since else {})) as cursor:
        yield from cursor
