"""Vintages: which of the values that a source gave for one key were revisions, in whatever order they came.

What a source said of a key is a sequence of (instant, values). Its vintages are found by going
through it in order: the first is one, and so is each that differs from the vintage before it by
more than JITTER. To get the same answer when something said earlier arrives later, all that was
said is kept: values in the kind's table, each with its first instant, and in `readings` when each
row was said. A row's column `vintage` is 1 for the first of its key, 2 for a later one, and 0 for
a row that was no revision when it was said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from storage.rows import select, select_one

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import sqlite_utils

    from storage.kinds import Kind
    from storage.rows import Row

# Sources recompute prices in single precision: the last digits of the same figure differ between
# two downloads. A relative difference up to this is no revision.
JITTER = 1e-5
_NO, _FIRST, _LATER = 0, 1, 2  # values of the column `vintage`


@dataclass(frozen=True)
class _Said:
    """One thing said of a key: when, the row with the values, and whether that row is stored as said then."""

    at: str
    row: Row
    own: bool


class Reading:
    """What one source says of one kind at one instant: take row after row, then close."""

    def __init__(self, db: sqlite_utils.Database, kind: Kind, source: str, at: str) -> None:
        self._db, self._kind, self._source, self._at = db, kind, source, at
        self._said: list[int] = []
        sql = "SELECT max(observed_at) AS latest FROM readings WHERE kind = ? AND source = ?"
        found = select_one(db, sql, (kind.table, source))
        self._in_order = not found or (found["latest"] or "") <= at

    def take(self, row: Row) -> str:
        """Store a row of the key and value columns; which count of observations.Written it belongs to."""
        last = self._last(row) if self._in_order else None
        if self._in_order and last is None:
            self._said.append(self._insert(row, self._at, _FIRST))
            return "inserted"
        if last is None or last["observed_at"] == self._at:
            return self._take_late(row)
        if agree(last, row, self._kind.values):
            same = last["id"] if self._equal(last, row) else self._same_values(self._rows(row), row)
            self._said.append(same)
            return "unchanged"
        self._said.append(self._insert(row, self._at, _LATER))
        return "revised"

    def close(self) -> None:
        """Note what was said, in runs of neighbouring rows."""
        ids = sorted(set(self._said))
        breaks = [place for place, (one, other) in enumerate(pairwise(ids), start=1) if other - one > 1]
        edges = [0, *breaks, len(ids)] if ids else []
        for first, end in pairwise(edges):
            self._db.execute(
                "INSERT OR IGNORE INTO readings VALUES (?, ?, ?, ?, ?)",
                (self._kind.table, self._source, self._at, ids[first], ids[end - 1]),
            )

    def _take_late(self, row: Row) -> str:
        """Store a row said before the latest: all that was said of its key is gone through again."""
        rows = self._rows(row)
        said = self._history(rows)
        if any(each.at == self._at and self._equal(each.row, row) for each in said):
            return "unchanged"
        before = sum(each["vintage"] != _NO for each in rows)
        place = sum(each.at <= self._at for each in said)
        new = _Said(self._at, row, own=False)
        vintages = _vintages([*said[:place], new, *said[place:]], self._kind.values)
        if not any(each is new for each in vintages):
            self._said.append(self._same_values(rows, row))
        self._mark(rows, vintages)
        if not rows:
            return "inserted"
        return "revised" if len(vintages) > before else "unchanged"

    def _history(self, rows: Sequence[Row]) -> list[_Said]:
        """All that was said of one key so far, in order; of one second, what was stored then, as it came."""
        runs = "SELECT observed_at FROM readings WHERE kind = ? AND source = ?"
        sql = f"{runs} AND ? BETWEEN first_id AND last_id"
        own = {row["observed_at"] for row in rows}
        said = [_Said(row["observed_at"], row, own=True) for row in rows]
        said += [
            _Said(reading["observed_at"], row, own=False)
            for row in rows
            for reading in select(self._db, sql, (self._kind.table, self._source, row["id"]))
            if reading["observed_at"] not in own
        ]
        return sorted(said, key=lambda each: (each.at, each.row["id"]))

    def _mark(self, rows: Sequence[Row], vintages: Sequence[_Said]) -> None:
        """Make `vintages` the vintages of a key: rows that are none are marked so, missing ones are added."""
        marks = dict.fromkeys((row["id"] for row in rows), _NO)
        for count, each in enumerate(vintages):
            mark = _LATER if count else _FIRST
            if each.own:
                marks[each.row["id"]] = mark
            else:
                values = {column: each.row[column] for column in (*self._kind.whole_key, *self._kind.values)}
                self._insert(values, each.at, mark)
        for row in rows:
            if row["vintage"] != marks[row["id"]]:
                sql = f"UPDATE {self._kind.table} SET vintage = ? WHERE id = ?"  # noqa: S608 - names from KINDS only
                self._db.execute(sql, (marks[row["id"]], row["id"]))

    def _same_values(self, rows: Iterable[Row], row: Row) -> int:
        """Id of a stored row with exactly these values, which is added as no vintage where there is none."""
        same = next((each["id"] for each in rows if self._equal(each, row)), None)
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


def _vintages(said: Iterable[_Said], columns: Sequence[str]) -> list[_Said]:
    """Those of what was said, in order, that the one before did not say within JITTER."""
    found: list[_Said] = []
    for each in said:
        if not found or not agree(found[-1].row, each.row, columns):
            found.append(each)
    return found


def agree(stored: Row, row: Row, columns: Sequence[str]) -> bool:
    """Whether two rows say the same: equal, or numbers that differ by no more than JITTER."""
    return all(_same(stored[column], row[column]) for column in columns)


def _same(one: object, other: object) -> bool:
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=JITTER, abs_tol=0.0)
    return one == other
