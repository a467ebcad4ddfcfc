"""CSV files given out: what is stored of one fund, in the formats that the import reads.

A file written here and read again gives the same rows to the last digit.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.data.files import known_fund
from bot.data.formats import FORMATS
from bot.errors import NoData
from storage import observations as stored

if TYPE_CHECKING:
    import sqlite_utils

    from storage.rows import Row

SAMPLE = "sample"  # made-up figures never leave as a file: read back in, they would pass for real ones


@dataclass(frozen=True)
class Export:
    """A CSV file's text, the lines of data in it, and the one source they come from."""

    text: str
    rows: int
    source: str


def export(db: sqlite_utils.Database, what: str, ticker: str, *, source: str | None = None) -> Export:
    """The newest rows of one fund from one source as CSV; `what` is a key of FORMATS.

    Sources are never mixed: without `source` the one with most rows is taken. Provisional bars
    (of a session still open) stay behind. Raises NoData when there is nothing to write.
    """
    fund = known_fund(ticker)
    kinds = FORMATS[what].fills
    found = {kind: [row for row in stored.newest(db, kind) if row["ticker"] == fund] for kind in kinds}
    chosen = source or _fullest(found[kinds[0]])
    rows = {kind: [row for row in found[kind] if row["source"] == chosen] for kind in kinds}
    header, lines = _WRITERS[what](rows)
    if not lines or chosen == SAMPLE:
        words = FORMATS[what].layout.words
        raise NoData(f"There are no {words} of {fund}{f' from {source}' if source else ''} to export.")
    return Export(_csv(header, lines), len(lines), str(chosen))


def _fullest(rows: Iterable[Row]) -> str | None:
    """The source with most rows, the sample aside; None without any."""
    counted = Counter(row["source"] for row in rows if row["source"] != SAMPLE)
    return min(counted, key=lambda name: (-counted[name], name), default=None)


PRICE_HEADER = ("Date", "Open", "High", "Low", "Close", "Volume", "Dividends", "Stock Splits")
FACT_HEADER = ("date", "nav", "shares", "assets")
MULTIPLE_HEADER = (
    "date", "metric", "convention", "basis", "value", "holdings_date", "price_date", "coverage",
)  # fmt: skip
WEIGHT_HEADER = ("date", "level", "name", "weight")

_Lines = tuple[tuple[str, ...], list[list[object]]]


def _price_lines(rows: dict[str, list[Row]]) -> _Lines:
    """One line a session; a distribution or split without a bar has a line of its own."""
    bars = {row["session"]: row for row in rows["bars"] if not row["provisional"]}
    paid = {row["ex_date"]: row["amount"] for row in rows["distributions"] if row["amount"] is not None}
    split = {row["session"]: row["ratio"] for row in rows["splits"]}
    names = ("open", "high", "low", "close", "volume")
    lines: list[list[object]] = [
        [day, *(bars.get(day, {}).get(name) for name in names), paid.get(day, 0.0), split.get(day, 0.0)]
        for day in sorted(bars.keys() | paid.keys() | split.keys())
    ]
    return PRICE_HEADER, lines


def _plain_lines(kind: str, header: tuple[str, ...]) -> Callable[[dict[str, list[Row]]], _Lines]:
    """Writer of one line a row, the columns named as in storage."""
    return lambda rows: (
        header,
        [[row["session"], *(row[name] for name in header[1:])] for row in rows[kind]],
    )


def _weight_lines(rows: dict[str, list[Row]]) -> _Lines:
    """One line a weight; what storage calls sector is a name, of a sector or a group."""
    lines: list[list[object]] = [
        [row["session"], row["level"], row["sector"], row["weight"]] for row in rows["sector_weights"]
    ]
    return WEIGHT_HEADER, lines


_WRITERS: dict[str, Callable[[dict[str, list[Row]]], _Lines]] = {
    "prices": _price_lines,
    "fund-facts": _plain_lines("fund_facts", FACT_HEADER),
    "multiples": _plain_lines("multiples", MULTIPLE_HEADER),
    "weights": _weight_lines,
}


def _csv(header: Iterable[str], lines: Iterable[Iterable[object]]) -> str:
    """CSV text; None is an empty cell, a float its shortest exact form (csv writes repr)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return out.getvalue()
