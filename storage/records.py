"""Shared conventions of the tables: instants are stored as text 'YYYY-MM-DDTHH:MM:SSZ' in UTC.

Functions that take an instant accept an aware datetime or that text, which sorts as time does. Rows are
dicts that hold the text, or frozen structs that hold dates and aware datetimes.

A kind of observation is a struct whose fields are the columns of its table.
"""

import enum
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from typing import Any, ClassVar, TypeAlias, TypeVar

import msgspec
import sqlite_utils

Row: TypeAlias = dict[str, Any]
Moment: TypeAlias = datetime | str
Parameters: TypeAlias = "Sequence[object] | Mapping[str, object]"
S = TypeVar("S", bound=msgspec.Struct)
V = TypeVar("V")

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@lru_cache(256)
def instant(moment: Moment) -> str:
    """Returns the text of an instant, cut to the second; ValueError for a naive datetime or other text."""
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise ValueError(f"{moment!r} has no time zone.")
        return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if not _INSTANT.fullmatch(moment):
        raise ValueError(f"{moment!r} is not an instant, e.g. 2020-12-11T21:00:00Z.")
    return moment


def parse_instant(text: str) -> datetime:
    """Returns an instant's text as an aware datetime."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def not_earlier(moment: Moment) -> str:
    """Returns the first whole second at or after an instant, so that what waits does not wake too early."""
    if isinstance(moment, datetime) and moment.microsecond:
        moment = moment.replace(microsecond=0) + timedelta(seconds=1)
    return instant(moment)


def stored_value(value: object) -> object:
    """Returns a value as a column holds it: a date as its text, an instant as `not_earlier` has it."""
    if isinstance(value, datetime):
        return not_earlier(value)
    return value.isoformat() if isinstance(value, date) else value


def select(db: sqlite_utils.Database, sql: str, parameters: Parameters = ()) -> list[Row]:
    """Returns all rows of a query."""
    cursor = db.execute(sql, parameters)  # type: ignore[arg-type]  # a Mapping is taken as well
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def select_as(db: sqlite_utils.Database, row_type: type[S], sql: str, parameters: Parameters = ()) -> list[S]:
    """Returns all rows of a query as structs whose fields have the names of the columns."""
    return msgspec.convert(select(db, sql, parameters), list[row_type])  # type: ignore[valid-type]


def select_first(db: sqlite_utils.Database, row_type: type[S], sql: str, parameters: Parameters = ()) -> S | None:
    """Returns the first row of a query as a struct, or None."""
    return next(iter(select_as(db, row_type, sql, parameters)), None)


def select_value(db: sqlite_utils.Database, value_type: type[V], sql: str, parameters: Parameters = ()) -> V | None:
    """Returns the first column of a query's first row, or None without a row."""
    rows = select(db, sql, parameters)
    return msgspec.convert(next(iter(rows[0].values())), value_type | None) if rows else None


def insert(
    db: sqlite_utils.Database, table: str, row: Mapping[str, object], *, unique: Sequence[str] = ()
) -> int | None:
    """Insert a row and return its rowid, or None if a row with the same values of `unique` exists."""
    cursor = db.execute(_insertion(table, tuple(row), tuple(unique)), tuple(row.values()))
    return cursor.lastrowid if cursor.rowcount == 1 else None


def insert_all(
    db: sqlite_utils.Database, table: str, rows: Sequence[Mapping[str, object]], *, unique: Sequence[str] = ()
) -> int:
    """Insert rows with the same columns as `insert` does. Returns how many there were not."""
    if not rows:
        return 0
    sql = _insertion(table, tuple(rows[0]), tuple(unique))
    return int(db.conn.executemany(sql, [tuple(row.values()) for row in rows]).rowcount)


@cache
def _insertion(table: str, columns: tuple[str, ...], unique: tuple[str, ...]) -> str:
    unless = f"ON CONFLICT ({', '.join(unique)}) DO NOTHING" if unique else ""
    values = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values}) {unless}"  # noqa: S608 - names of the schema


def change(db: sqlite_utils.Database, sql: str, parameters: Parameters = ()) -> int:
    """Run a statement. Returns how many rows it inserted, updated or deleted."""
    return int(db.execute(sql, parameters).rowcount)  # type: ignore[arg-type]  # as above


def get_meta(db: sqlite_utils.Database, key: str) -> str | None:
    """Returns a note of the program, or None when it was never set."""
    return select_value(db, str, "SELECT value FROM meta WHERE key = ?", (key,))


def set_meta(db: sqlite_utils.Database, key: str, value: str) -> None:
    """Set a note of the program."""
    db.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )


def remove_meta(db: sqlite_utils.Database, key: str) -> None:
    """Delete a note of the program."""
    db.execute("DELETE FROM meta WHERE key = ?", (key,))


class _Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stored row is from; both are empty before it is stored."""

    source: str = ""
    observed_at: str = ""


class Observation(_Origin, frozen=True):
    """What one source gave for one session of one fund. Sessions and dates are texts, "2020-12-11"."""

    table: ClassVar[str]
    key: ClassVar[tuple[str, ...]] = ("ticker", "session")  # with the source: what a row is about
    figures: ClassVar[tuple[str, ...]]  # values that answers are made of: a change of one is a restatement

    ticker: str
    session: str


class Provisional(enum.IntEnum):
    """Why a figure is kept but not used: the values of the column `provisional`."""

    FINAL = 0
    OPEN = 1  # a bar taken before the closing bell
    RANGE = 2  # a close outside the low and high of its own row
    QUOTE = 3  # a close far from the quote in the same answer
    MOVE = 4  # a move that the other fund does not share and no split explains
    SPIKE = 5  # such a move that the next session undoes
    HISTORY = 6  # in other units than the history stored before or than the later closes, without a split
    UNADJUSTED = 7  # not adjusted for a split that the source lists itself
    AMOUNT = 8  # a distribution that is negative, missing or implausibly large
    NEIGHBOUR = 9  # a distribution equal to that of a neighbouring session
    ADJUSTED = 10  # a distribution contradicted by the adjusted closes of the same answer


class Bar(Observation, frozen=True):
    """Split-adjusted prices; `provisional` is a value of Provisional."""

    table = "bars"
    figures = ("close",)

    close: float
    open: float | None = None
    high: float | None = None
    low: float | None = None
    volume: int | None = None
    provisional: int = 0


class Distribution(Observation, frozen=True):
    """Dollars per share by ex-date, None once withdrawn; `provisional` as for Bar."""

    table = "distributions"
    figures = ("amount",)

    session: str = msgspec.field(name="ex_date")
    amount: float | None
    provisional: int = 0


class Split(Observation, frozen=True):
    """New shares for one old share, None once withdrawn."""

    table = "splits"
    figures = ("ratio",)

    ratio: float | None


class FundFacts(Observation, frozen=True):
    """Net asset value per share, shares outstanding, total net assets; and by filings a month's flow.

    `flow` are the dollars of the month whose last session it is.
    """

    table = "fund_facts"
    figures = ("nav", "shares", "assets", "flow")

    nav: float | None = None
    shares: float | None = None
    assets: float | None = None
    flow: float | None = None


class Multiple(Observation, frozen=True):
    """One multiple under its convention; `coverage` is the share of the portfolio it is computed from."""

    table = "multiples"
    key = ("ticker", "session", "metric", "convention", "basis")
    figures = ("value",)

    metric: str
    convention: str
    basis: str
    value: float | None
    holdings_date: str | None = None
    price_date: str | None = None
    coverage: float | None = None


class SectorWeight(Observation, frozen=True):
    """Percent of a sector, of an industry group or of the home market in revenue, as `level` says."""

    table = "sector_weights"
    key = ("ticker", "session", "level", "sector")
    figures = ("weight",)

    level: str
    sector: str
    weight: float | None


class CompanySums(Observation, frozen=True):
    """What the companies of a fund add up to: the JSON of a FundSums, and its coverage."""

    table = "company_sums"
    figures = ("coverage",)

    contents: str
    coverage: float


EQUITY = "equity"


class Constituent(msgspec.Struct, frozen=True, array_like=True):
    """One line of a list of holdings. What a file does not give is "" or None: prices and values at SSGA."""

    ticker: str  # as the issuer writes it: BRKB (iShares), BRK.B (SSGA)
    name: str  # as the issuer writes it: MOOG INC CLASS A
    sector: str  # by GICS; none at SSGA
    asset_class: str  # EQUITY for companies, in small letters
    quantity: float | None  # shares held
    price: float | None  # dollars a share
    value: float | None  # market value in dollars
    weight: float  # percent of the fund
    currency: str = ""  # of the price: USD


class Holdings(msgspec.Struct, frozen=True):
    """A fund's list of companies."""

    ticker: str
    as_of: str  # the day of the list, 2026-07-17
    units: float | None  # the fund's own units of that day, at iShares
    constituents: tuple[Constituent, ...]  # equities only, those without a price too


K = TypeVar("K", bound=Observation)
KINDS: dict[str, type[Observation]] = {
    kind.table: kind for kind in (Bar, Distribution, Split, FundFacts, Multiple, SectorWeight, CompanySums)
}


@cache
def columns(kind: type[Observation]) -> dict[str, str]:
    """Columns of a kind's table by the fields they hold: the key, the values, `source`, `observed_at`."""
    return {field.name: field.encode_name for field in msgspec.structs.fields(kind)}


@cache
def has_provisional(kind: type[Observation]) -> bool:
    """Whether figures of a kind can be provisional."""
    return "provisional" in columns(kind)


@cache
def key_columns(kind: type[Observation]) -> tuple[str, ...]:
    """Columns that say what a row is about. The second dates it, the last is the source."""
    return (*(columns(kind)[name] for name in kind.key), "source")


@cache
def value_columns(kind: type[Observation]) -> tuple[str, ...]:
    """Columns that hold what the source gave."""
    return tuple(name for name in columns(kind).values() if name not in (*key_columns(kind), "observed_at"))
