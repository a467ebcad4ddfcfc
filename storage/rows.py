"""Shared conventions of the tables: instants are stored as text 'YYYY-MM-DDTHH:MM:SSZ' in UTC.

Functions that take an instant accept an aware datetime or that text, which sorts as time does. Rows are
dicts that hold the text, or frozen structs that hold dates and aware datetimes.

Kinds of observation: the table of each, what a row is about, and what it says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import sqlite_utils


Row: TypeAlias = dict[str, Any]
Moment: TypeAlias = datetime | str
S = TypeVar("S", bound=msgspec.Struct)

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def instant(moment: Moment) -> str:
    """Text of an instant, cut to the second; ValueError for a naive datetime or other text."""
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise ValueError(f"{moment!r} has no time zone.")
        return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if not _INSTANT.fullmatch(moment):
        raise ValueError(f"{moment!r} is not an instant, e.g. 2020-12-11T21:00:00Z.")
    return moment


def moment(text: str) -> datetime:
    """The aware datetime of an instant's text."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def not_earlier(moment: Moment) -> str:
    """Text of the first whole second at or after an instant: what waits must not wake too early."""
    if isinstance(moment, datetime) and moment.microsecond:
        moment = moment.replace(microsecond=0) + timedelta(seconds=1)
    return instant(moment)


def select(
    db: sqlite_utils.Database, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
) -> list[Row]:
    """All rows of a query, read to the end."""
    cursor = db.execute(sql, parameters)  # type: ignore[arg-type]  # a Mapping is taken as well
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def select_one(
    db: sqlite_utils.Database, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
) -> Row | None:
    """The first row of a query, None when there is none."""
    rows = select(db, sql, parameters)
    return rows[0] if rows else None


def select_as(
    db: sqlite_utils.Database,
    row_type: type[S],
    sql: str,
    parameters: Sequence[object] | Mapping[str, object] = (),
) -> list[S]:
    """All rows of a query as structs, whose fields are named as the columns."""
    return msgspec.convert(select(db, sql, parameters), list[row_type])  # type: ignore[valid-type]


def select_first(
    db: sqlite_utils.Database,
    row_type: type[S],
    sql: str,
    parameters: Sequence[object] | Mapping[str, object] = (),
) -> S | None:
    """Returns the first row of a query as a struct, or None."""
    return next(iter(select_as(db, row_type, sql, parameters)), None)


def select_value(
    db: sqlite_utils.Database, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
) -> Any:  # noqa: ANN401 - a column's value
    """Returns the first column of a query's first row, or None without a row."""
    row = select_one(db, sql, parameters)
    return next(iter(row.values())) if row else None


def insert(
    db: sqlite_utils.Database, table: str, row: Mapping[str, object], *, unique: Sequence[str] = ()
) -> int | None:
    """Insert a row and return its rowid, or None if a row with the same values of `unique` exists."""
    unless = f"ON CONFLICT ({', '.join(unique)}) DO NOTHING" if unique else ""
    values = ", ".join(f":{column}" for column in row)
    sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values}) {unless}"  # noqa: S608 - names of the schema
    cursor = db.execute(sql, row)  # type: ignore[arg-type]  # a Mapping is taken as well
    return cursor.lastrowid if cursor.rowcount == 1 else None


def change(
    db: sqlite_utils.Database, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
) -> int:
    """How many rows a statement inserted, updated or deleted."""
    return int(db.execute(sql, parameters).rowcount)  # type: ignore[arg-type]  # as above


@dataclass(frozen=True)
class Kind:
    """One kind of observation: its table, what a row is about, what it says, and where it may be silent."""

    table: str
    key: tuple[str, ...]  # `source` belongs to every key besides
    values: tuple[str, ...]
    figures: tuple[str, ...]  # values that answers are made of: a change of one is a restatement
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
            ("close",),
            {"provisional": 0},
        ),
        Kind("distributions", ("ticker", "ex_date"), ("amount",), ("amount",)),
        Kind("splits", ("ticker", "session"), ("ratio",), ("ratio",)),
        Kind("fund_facts", ("ticker", "session"), ("nav", "shares", "assets"), ("nav", "shares", "assets")),
        Kind(
            "multiples",
            ("ticker", "session", "metric", "convention", "basis"),
            ("value", "holdings_date", "price_date", "coverage"),
            ("value",),
        ),
        Kind(
            "sector_weights",
            ("ticker", "session", "level", "sector"),
            ("weight",),
            ("weight",),
            {"level": "sector"},
        ),
    )
}
