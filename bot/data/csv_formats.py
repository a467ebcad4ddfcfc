"""Bounds of fund facts: what lies outside is another column, another unit or a slip, not a figure of a fund.

There are upper bounds only. An issuer's own garbage is small (a count of 150,000 units in 2007) and is
kept as it was published; judging it is the flows' business.

Formats of the CSV files that are imported and exported: their columns, and what a row becomes.

A format's conversion makes the storage's rows, without ticker and session, of the cells of one line.

Exports what is stored of one fund as CSV, in the formats that the import reads.

Every line names its source and instant, so that a file imported into an empty database answers as
this one does, also "as known on a date". Numbers are exact to the last digit.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.analytics.market import SAMPLE
from bot.analytics.valuation import CONVENTIONS, MULTIPLES, SECTOR
from bot.data.csv_cells import BadCell, Layout, date, number, shorten
from bot.data.csv_layouts import DIALECTS
from bot.data.provider import LABELS
from bot.errors import NoData
from storage import observations

if TYPE_CHECKING:
    from storage.rows import Row

    Cells = Mapping[str, str]
    Kinded = list[tuple[str, Row]]
    import sqlite_utils


LARGEST = {
    "nav": 1e5,  # dollars a unit: funds keep theirs tradable, in the hundreds
    "shares": 1e11,  # units: a hundred times those of SPY, about one billion
    "assets": 1e13,  # dollars: what all ETFs of the US held together at the end of 2024 (ICI)
}


def check_facts(values: Mapping[str, float | None]) -> None:
    """Raise BadCell if NAV, share count or assets, or NAV times shares, cannot be a fund's."""
    for name, largest in LARGEST.items():
        value = values.get(name)
        if value is not None and value > largest:
            raise BadCell(f"{name} {value:,.15g} is above {largest:,.0f}, more than any fund has")
    nav, shares = values.get("nav"), values.get("shares")
    if nav and shares and nav * shares > LARGEST["assets"]:
        raise BadCell(
            f"nav {nav:,.15g} times shares {shares:,.15g} is above {LARGEST['assets']:,.0f} dollars, "
            "more than any fund has"
        )


WHOLE = 100.0
LEVELS = ("sector", "industry_group", "revenue")
BASES = ("trailing", "forward", "unstated")
# Columns of an export: source and instant of a row. They are read only if a file has both.
SOURCE, OBSERVED = "source", "observed at"


@dataclass(frozen=True)
class Format:
    """One kind of file: its columns, the storage kinds it fills, and how a row is converted.

    `convert` returns no rows if the cells hold no value and raises BadCell if they are wrong. In an
    export a row without a value is a figure that was withdrawn.
    `closed` is what happens to a row on a day without a session: "refuse", "drop", or "before":
    it counts for the session before.
    """

    layout: Layout
    fills: tuple[str, ...]
    convert: Callable[[Cells], Kinded]
    closed: str


def _price_row(cells: Cells) -> Kinded:
    """Bar, distribution and split of one session. Zero means none."""
    prices = {name: _positive(cells, name) for name in ("open", "high", "low", "close")}
    volume, paid, ratio = (_not_negative(cells, name) for name in ("volume", "dividends", "stock splits"))
    rows: Kinded = []
    if prices["close"] is not None:
        _check_range(prices)
        whole = None if volume is None else round(volume)
        provisional = int(_not_negative(cells, "provisional") or 0)
        rows.append(("bars", {**prices, "volume": whole, "provisional": min(provisional, 1)}))
    elif any(price is not None for price in prices.values()):
        raise BadCell("close is missing")
    if paid or (paid == 0 and is_record(cells)):
        rows.append(("distributions", {"amount": paid or None}))
    if (ratio and ratio != 1) or (ratio == 0 and is_record(cells)):
        rows.append(("splits", {"ratio": ratio or None}))
    return rows


def is_record(cells: Cells) -> bool:
    """Whether a row is from an export, which names source and instant."""
    return bool(cells.get(OBSERVED))


def _check_range(prices: Mapping[str, float | None]) -> None:
    """Raise BadCell if low is above high, because columns were mixed up."""
    low, high = prices["low"], prices["high"]
    if low is not None and high is not None and low > high:
        raise BadCell(f"low {low:g} is above high {high:g}")


def _fact_row(cells: Cells) -> Kinded:
    """NAV, shares and assets of one session."""
    facts = {name: _positive(cells, name) for name in ("nav", "shares", "assets")}
    check_facts(facts)
    given = any(value is not None for value in facts.values())
    return [("fund_facts", dict(facts))] if given or is_record(cells) else []


def _multiple_row(cells: Cells) -> Kinded:
    """One figure under its convention and basis."""
    metric = _word(cells, "metric", tuple(MULTIPLES))
    value = (_not_negative if metric == "yield" else _positive)(cells, "value")
    coverage = _not_negative(cells, "coverage")
    if coverage is not None and coverage > 1:
        raise BadCell(f"coverage {coverage:g} is not between 0 and 1")
    behind = {name: _date_text(cells, name) for name in ("holdings date", "price date")}
    for name, day in behind.items():
        # In an export the date may have been moved back to the session it counts for.
        if day is not None and day > date(cells["date"]).isoformat() and not is_record(cells):
            raise BadCell(f"{name} {day} is after the date {date(cells['date'])}")
    row = {
        "metric": metric,
        "convention": _word(cells, "convention", tuple(CONVENTIONS)),
        "basis": _word(cells, "basis", BASES) if cells.get("basis") else "unstated",
        "value": value,
        "holdings_date": behind["holdings date"],
        "price_date": behind["price date"],
        "coverage": coverage,
    }
    return [("multiples", row)] if value is not None or is_record(cells) else []


def _weight_row(cells: Cells) -> Kinded:
    """Weight of one sector or group in percent. The level defaults to "sector"."""
    weight = _not_negative(cells, "weight")
    if weight is not None and weight > WHOLE:
        raise BadCell(f"weight {weight:g} is above 100 percent")
    level = _word(cells, "level", LEVELS).replace("_", " ") if cells.get("level") else SECTOR
    if not cells["name"].strip():
        raise BadCell("name is missing")
    row = {"level": level, "sector": cells["name"].strip(), "weight": weight}
    return [("sector_weights", row)] if weight is not None or is_record(cells) else []


def _positive(cells: Cells, column: str) -> float | None:
    """Number above zero, None if missing."""
    value = _number(cells, column)
    if value is not None and value <= 0:
        raise BadCell(f"{column} {value:g} is not above zero")
    return value


def _not_negative(cells: Cells, column: str) -> float | None:
    """Number of zero or more, None if missing."""
    value = _number(cells, column)
    if value is not None and value < 0:
        raise BadCell(f"{column} {value:g} is below zero")
    return value


def _number(cells: Cells, column: str) -> float | None:
    """Number of a cell. An error names the column."""
    try:
        return number(cells.get(column, ""))
    except BadCell as wrong:
        raise BadCell(f"{column} {wrong}") from None


def _word(cells: Cells, column: str, words: tuple[str, ...]) -> str:
    """One of the words allowed in a column. P/E is read as pe, "losses in" as losses_in."""
    word = cells[column].casefold().replace("/", "").replace(" ", "_").replace("-", "_")
    if word not in words:
        raise BadCell(f"{column} “{shorten(cells[column])}” is none of {', '.join(words)}")
    return word


def _date_text(cells: Cells, column: str) -> str | None:
    """ISO date of a cell that may be empty."""
    text = cells.get(column, "")
    try:
        return date(text).isoformat() if text else None
    except BadCell as wrong:
        raise BadCell(f"{column} {wrong}") from None


_RECORD: dict[str, tuple[str, ...]] = {SOURCE: (), OBSERVED: ()}


FORMATS: dict[str, Format] = {
    "prices": Format(
        Layout(
            "prices",
            "daily prices",
            {
                "date": ("session", "day"),
                "open": (),
                "high": (),
                "low": (),
                "close": (),
                "volume": (),
                "dividends": ("dividend", "distributions", "distribution"),
                "stock splits": ("stock split", "splits", "split"),
                "provisional": (),
                **_RECORD,
            },
            ("date", "close"),
            DIALECTS,
        ),
        ("bars", "distributions", "splits"),
        _price_row,
        "refuse",
    ),
    "fund-facts": Format(
        Layout(
            "fund-facts",
            "fund facts",
            {
                "date": ("session", "day", "as of"),
                "nav": ("nav per share", "net asset value"),
                "shares": ("shares outstanding", "units"),
                "assets": ("total net assets", "net assets", "aum"),
                **_RECORD,
            },
            ("date", "nav", "shares"),
        ),
        ("fund_facts",),
        _fact_row,
        "drop",
    ),
    "multiples": Format(
        Layout(
            "multiples",
            "multiples",
            {
                "date": ("session", "day", "as of"),
                "metric": ("multiple",),
                "convention": (),
                "basis": (),
                "value": (),
                "holdings date": (),
                "price date": (),
                "coverage": (),
                **_RECORD,
            },
            ("date", "metric", "convention", "value"),
        ),
        ("multiples",),
        _multiple_row,
        "before",
    ),
    "weights": Format(
        Layout(
            "weights",
            "weights",
            {
                "date": ("session", "day", "as of"),
                "level": (),
                "name": ("sector", "group", "industry group"),
                "weight": ("weight (%)", "percent"),
                **_RECORD,
            },
            ("date", "name", "weight"),
        ),
        ("sector_weights",),
        _weight_row,
        "before",
    ),
}


@dataclass(frozen=True)
class Export:
    """A CSV file's text, the lines of data in it, and the sources they come from, as people call them."""

    text: str
    rows: int
    sources: tuple[str, ...]


def export(db: sqlite_utils.Database, what: str, ticker: str, *, source: str | None = None) -> Export:
    """All figures of one fund from the sources (or one of them) as CSV. `what` is a key of FORMATS.

    Replaced figures are included beside their replacements, each with its instant; the
    newest counts. Raises NoData if there is nothing to write. Sample data is never written.
    """
    rows = {
        kind: [
            row
            for row in observations.vintages(db, kind, ticker)
            if row["source"] != SAMPLE and source in {None, row["source"]}
        ]
        for kind in FORMATS[what].fills
    }
    header, lines = _WRITERS[what](rows)
    if not lines:
        words = FORMATS[what].layout.words
        raise NoData(f"There are no {words} of {ticker}{f' from {source}' if source else ''} to export.")
    names = {row["source"] for group in rows.values() for row in group}
    labels = tuple(label for name, label in LABELS.items() if name in names)
    return Export(_csv((*header, *_SAID), lines), len(lines), labels)


PRICE_HEADER = (
    "Date", "Open", "High", "Low", "Close", "Volume", "Dividends", "Stock Splits", "Provisional",
)  # fmt: skip
FACT_HEADER = ("date", "nav", "shares", "assets")
MULTIPLE_HEADER = (
    "date", "metric", "convention", "basis", "value", "holdings_date", "price_date", "coverage",
)  # fmt: skip
WEIGHT_HEADER = ("date", "level", "name", "weight")
_SAID = ("source", "observed_at")  # the last columns of every format

_Lines = tuple[tuple[str, ...], list[list[object]]]


def _price_lines(rows: dict[str, list[Row]]) -> _Lines:
    """One line per source, session and instant. A dividend or split of 0 is a withdrawn one."""
    lines: dict[tuple[str, ...], dict[str, object]] = {}
    for kind, group in rows.items():
        for row in group:
            key = tuple(
                str(row[name]) for name in (observations.KINDS[kind].session, "observed_at", "source")
            )
            values = {name: row[name] for name in observations.KINDS[kind].values}
            if kind != "bars":
                values = {name: value or 0 for name, value in values.items()}
            lines.setdefault(key, {}).update(values)
    names = ("open", "high", "low", "close", "volume", "amount", "ratio", "provisional")
    return PRICE_HEADER, [
        [day, *(values.get(name) for name in names), source, at]
        for (day, at, source), values in sorted(lines.items())
    ]


def _plain_lines(kind: str, header: tuple[str, ...], names: tuple[str, ...]) -> Callable[..., _Lines]:
    """Writer of one line a row, its columns named in storage as `names`."""

    def write(rows: dict[str, list[Row]]) -> _Lines:
        # Of two values of one key in the same second the later one counts.
        last = {
            tuple(row[name] for name in (*observations.KINDS[kind].whole_key, "observed_at")): row
            for row in rows[kind]
        }
        return header, [[row[name] for name in (*names, *_SAID)] for _, row in sorted(last.items())]

    return write


_WRITERS: dict[str, Callable[[dict[str, list[Row]]], _Lines]] = {
    "prices": _price_lines,
    "fund-facts": _plain_lines("fund_facts", FACT_HEADER, ("session", *FACT_HEADER[1:])),
    "multiples": _plain_lines("multiples", MULTIPLE_HEADER, ("session", *MULTIPLE_HEADER[1:])),
    "weights": _plain_lines("sector_weights", WEIGHT_HEADER, ("session", "level", "sector", "weight")),
}


def _csv(header: Iterable[str], lines: Iterable[Iterable[object]]) -> str:
    """CSV text. None becomes an empty cell, a float its shortest exact form (csv writes repr)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return out.getvalue()
