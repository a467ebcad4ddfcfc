"""The formats of the CSV files that are imported and exported: their columns, and what a line becomes.

Fund facts have upper bounds: what lies above is another column, another unit or a slip, not a figure of a
fund. An issuer's own garbage is small (a count of 150,000 units in 2007) and is kept as it was published;
judging it is the flows' business.

In an export every line names its source and instant, so that a file imported into an empty database answers
as this one does, also "as known on a date". Numbers are exact to the last digit.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from bot.analytics.sources import SAMPLE
from bot.data.csv_cells import BadCell
from bot.data.csv_table import DIALECTS, Format
from bot.data.provider import LABELS
from bot.errors import NoData
from bot.text import load_toml
from storage import observations, records

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlite_utils

    from bot.data.csv_cells import Cells
    from storage.records import Observation

BOUNDS = {
    "nav": 1e5,  # dollars a unit: funds keep theirs tradable, in the hundreds
    "shares": 1e11,  # units: a hundred times those of SPY, about one billion
    "assets": 1e13,  # dollars: what all ETFs of the US held together at the end of 2024 (ICI)
}
MOST_VOLUME = 1e12  # units a day: a thousand times those of SPY


def check_facts(row: records.FundFacts) -> None:
    """Raise BadCell if NAV, share count or assets, or NAV times shares, cannot be a fund's."""
    for name, largest in BOUNDS.items():
        value = getattr(row, name)
        if value is not None and value > largest:
            raise BadCell(f"{name} {value:,.15g} is above {largest:,.0f}, more than any fund has")
    if row.nav and row.shares and row.nav * row.shares > BOUNDS["assets"]:
        raise BadCell(
            f"nav {row.nav:,.15g} times shares {row.shares:,.15g} is above {BOUNDS['assets']:,.0f} dollars, "
            "more than any fund has"
        )


WHOLE = 100.0
LEVELS = ("sector", "industry_group", "revenue")
BASES = ("trailing", "forward", "unstated")
# Columns of an export: source and instant of a row. They are read only if a file has both.
SOURCE_COLUMN, OBSERVED_COLUMN = "source", "observed at"


# What a row of each format becomes. A figure of None is left out later; in an export it was withdrawn.


def _price_rows(cells: Cells, ticker: str, session: str) -> list[Observation]:
    """Bar, distribution and split of one session. Zero means none, in an export a withdrawn one."""
    close, opened = cells.number("close", above_zero=True), cells.number("open", above_zero=True)
    high, low = cells.number("high", above_zero=True), cells.number("low", above_zero=True)
    volume, ratio = cells.number("volume"), cells.number("stock splits")
    if volume is not None and volume > MOST_VOLUME:
        raise BadCell(f"volume {volume:,.15g} is above {MOST_VOLUME:,.0f}, more than any fund trades")
    reason, held = _reason(cells, "provisional"), _reason(cells, "dividends provisional")
    amount = cells.number("dividends", signed=bool(held))
    rows: list[Observation] = []
    if close is not None:
        if low is not None and high is not None and low > high and not reason:  # columns were mixed up
            raise BadCell(f"low {low:g} is above high {high:g}")
        whole = None if volume is None else round(volume)
        rows.append(records.Bar(ticker, session, close, opened, high, low, whole, reason))
    elif opened is not None or high is not None or low is not None:
        raise BadCell("close is missing")
    exported = OBSERVED_COLUMN in cells
    if amount or (exported and amount is not None):
        rows.append(records.Distribution(ticker, session, amount or None, held))
    if (ratio or (exported and ratio is not None)) and ratio != 1:
        rows.append(records.Split(ticker, session, ratio or None))
    return rows


def _reason(cells: Cells, column: str) -> int:
    """Why a figure is provisional, 0 for a final one."""
    if column not in cells:
        return 0
    value = cells.number(column) or 0
    if value and value not in list(records.Provisional):
        raise BadCell(f"{column} {value:g} is not between 0 and {max(records.Provisional)}")
    return int(value)


def _fact_rows(cells: Cells, ticker: str, session: str) -> list[Observation]:
    nav, shares, assets = (cells.number(name, above_zero=True) for name in ("nav", "shares", "assets"))
    row = records.FundFacts(ticker, session, nav, shares, assets, cells.number("flow", signed=True))
    check_facts(row)
    return [row]


def _multiple_rows(cells: Cells, ticker: str, session: str) -> list[Observation]:
    from bot.analytics.valuation import CONVENTIONS, MULTIPLES, OF_COMPANIES  # noqa: PLC0415 - prices do without

    metric = cells.word("metric", MULTIPLES)
    signed = metric in OF_COMPANIES
    value = cells.number("value", above_zero=not signed and metric != "yield", signed=signed)
    coverage = cells.number("coverage")
    if coverage is not None and coverage > 1:
        raise BadCell(f"coverage {coverage:g} is not between 0 and 1")
    dates = {name: cells.date(name) for name in ("date", "holdings date", "price date")}
    for name, day in dates.items():
        # In an export the date may have been moved back to the session it counts for.
        if day is not None and day > str(dates["date"]) and not cells.get(OBSERVED_COLUMN):
            raise BadCell(f"{name} {day} is after the date {dates['date']}")
    convention = cells.word("convention", CONVENTIONS)
    basis = cells.word("basis", BASES) if cells.get("basis") else "unstated"
    _, holdings, price = dates.values()
    return [records.Multiple(ticker, session, metric, convention, basis, value, holdings, price, coverage)]


def _weight_rows(cells: Cells, ticker: str, session: str) -> list[Observation]:
    weight = cells.number("weight")
    if weight is not None and weight > WHOLE:
        raise BadCell(f"weight {weight:g} is above 100 percent")
    if not cells["name"]:
        raise BadCell("name is missing")
    level = cells.word("level", LEVELS) if cells.get("level") else LEVELS[0]
    return [records.SectorWeight(ticker, session, level.replace("_", " "), cells["name"], weight)]


_CONVERTERS = {"prices": _price_rows, "fund-facts": _fact_rows, "multiples": _multiple_rows, "weights": _weight_rows}


def _format(command: str, fields: dict[str, Any]) -> Format:
    columns = {**fields["columns"], SOURCE_COLUMN: (), OBSERVED_COLUMN: ()}
    texts = {name: fields[name] for name in ("title", "required", "fills", "closed")}
    dialects = DIALECTS if command == "prices" else ()
    return Format(command, columns=columns, convert=_CONVERTERS[command], dialects=dialects, **texts)


_TABLE = load_toml("bot.data", "csv_formats.toml")
FORMATS = {command: _format(command, fields) for command, fields in _TABLE.items()}
# Titles of the columns of an export, before source and instant, and the fields that they hold.
EXPORTED_COLUMNS: dict[str, dict[str, str]] = {command: fields["exported"] for command, fields in _TABLE.items()}


@dataclass(frozen=True)
class Export:
    """A CSV file's text, the lines of data in it, and the sources they come from, as people call them."""

    text: str
    rows: int
    sources: tuple[str, ...]


def export(db: sqlite_utils.Database, form: str, ticker: str) -> Export:
    """All figures of one fund as CSV. `form` is a key of FORMATS.

    Replaced figures are included beside their replacements, each with its instant; the
    newest counts. Raises NoData if there is nothing to write. Sample data is never written.
    """
    rows = [
        row
        for kind in FORMATS[form].fills
        for row in observations.vintages(db, records.KINDS[kind], ticker)
        if row.source != SAMPLE
    ]
    if not rows:
        raise NoData(f"There are no {FORMATS[form].title} of {ticker} to export.")
    columns = {**EXPORTED_COLUMNS[form], "source": "source", "observed_at": "observed_at"}
    lines = (_price_lines if form == "prices" else _plain_lines)(rows, tuple(columns.values()))
    out = io.StringIO()  # None becomes an empty cell, a float its shortest exact form (csv writes repr)
    csv.writer(out, lineterminator="\n").writerows([columns, *lines])
    used = {row.source for row in rows}
    labels = tuple(label for name, label in LABELS.items() if name in used)
    return Export(out.getvalue(), len(lines), labels)


def _price_lines(rows: Iterable[Observation], names: tuple[str, ...]) -> list[list[object]]:
    """One line per session, instant and source. A dividend or split of 0 is a withdrawn one."""
    lines: dict[tuple[str, str, str], dict[str, object]] = {}
    for row in rows:
        values = asdict(row)
        if not isinstance(row, records.Bar):
            values = {name: value or 0 for name, value in values.items()}
            if isinstance(row, records.Distribution):
                values["amount provisional"] = values.pop("provisional")
        lines.setdefault((row.session, row.observed_at, row.source), {}).update(values)
    return [[values.get(name) for name in names] for _, values in sorted(lines.items())]


def _plain_lines(rows: Iterable[Observation], names: tuple[str, ...]) -> list[list[object]]:
    """One line a row. Of two values of one key in the same second the later one counts."""
    last = {tuple(getattr(row, name) for name in (*row.key, "source", "observed_at")): row for row in rows}
    return [[getattr(row, name) for name in names] for _, row in sorted(last.items())]
