"""Vintages: which of the values that a source gave for one key were revisions, in whatever order they came.

What a source gives for a key is a sequence of (instant, values). Its vintages are found by going through it
in order: the first is a vintage, and so is each that differs from the vintage before it by more than JITTER.
To get the same answer when something given earlier arrives later, everything given is kept: values in the
kind's table, each with its first instant, and in `readings` when each row was given. A row's column
`vintage` is 1 for the first of its key, 2 for a later one, and 0 for a row that was no revision when given.
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
