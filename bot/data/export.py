"""Exports what is stored of one fund as CSV, in the formats that the import reads.

Every line names its source and instant, so that a file imported into an empty database answers as
this one does, also "as known on a date". Numbers are exact to the last digit.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.analytics.market import SAMPLE
from bot.data.formats import FORMATS
from bot.data.names import LABELS
from bot.errors import NoData
from storage import observations as stored

if TYPE_CHECKING:
    import sqlite_utils

    from storage.rows import Row


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
            for row in stored.vintages(db, kind, ticker)
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
            key = tuple(str(row[name]) for name in (stored.KINDS[kind].session, "observed_at", "source"))
            values = {name: row[name] for name in stored.KINDS[kind].values}
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
            tuple(row[name] for name in (*stored.KINDS[kind].whole_key, "observed_at")): row
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
