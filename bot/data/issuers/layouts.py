"""The layouts of issuers' files: finds tables in a sheet by their headers and reads the figures in them.

Wrong rows are collected, so that all are reported at once. Rows on days without a session and rows without
a value are left out and counted. What follows an empty row is a note unless it begins with a date.

iShares: the fund workbook (history of NAV and shares, distributions, holdings) and the holdings CSV. Columns
are found by name: older workbooks have Index Level second, newer ones Non-FV NAV last. The share counts are
split-adjusted. Of the holdings only equities count, by their market value.

SSGA: the NAV history (navhist) and the daily holdings, whose sectors are not filled in.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.data.csv_cells import BadCell, date, number, shorten
from bot.data.csv_formats import check_facts
from bot.errors import ImportRejected

if TYPE_CHECKING:
    import pandas as pd

    from bot.data.issuers.formats import Grid
    from bot.pair import Pair


@dataclass(frozen=True)
class IssuerFigures:
    """Figures of one fund by session. `fund` is its name in the file, "" if the file has none."""

    issuer: str
    layout: str
    fund: str
    ticker: str | None  # of that fund, when it is known
    facts: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    distributions: Mapping[str, float] = field(default_factory=dict)
    holdings: str = ""  # session of the sector weights
    sectors: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


HEADER_WITHIN = 40  # rows: the longest preamble has ten
MISSING = frozenset({"", "-", "--"})
WHOLE, WHOLE_WITHIN = 100.0, 2.0  # percent that the weights of a whole portfolio add up to
ROUNDED = 0.005  # percent by which each of them is rounded
UNSORTED = 0.05  # share of the market value that may be in no sector

Cells = Mapping[str, str]
Facts = dict[str, dict[str, float | None]]


@dataclass(frozen=True)
class SheetTable:
    """Rows below a header, each with its number in the sheet."""

    sheet: str
    columns: Mapping[str, int]
    preamble: Grid
    body: Grid

    def rows(self) -> Iterator[tuple[str, Cells, bool]]:
        """Place ("Historical, row 5"), cells by column, and whether the row is a note: one cell or none."""
        within = f"{self.sheet}, row" if self.sheet else "row"
        for count, row in enumerate(self.body, start=len(self.preamble) + 2):
            cells = {name: row[at].strip() if at < len(row) else "" for name, at in self.columns.items()}
            yield f"{within} {count}", cells, sum(bool(cell.strip()) for cell in row) <= 1


def find_table(sheets: Mapping[str, Grid], titles: Mapping[str, str]) -> SheetTable | None:
    """The first table in any sheet with all these titles (by our names) in its header, else None."""
    for sheet, grid in sheets.items():
        for count, row in enumerate(grid[:HEADER_WITHIN]):
            header = [" ".join(cell.casefold().split()) for cell in row]
            if all(title in header for title in titles.values()):
                columns = {name: header.index(title) for name, title in titles.items()}
                return SheetTable(sheet, columns, grid[:count], grid[count + 1 :])
    return None


def cell_beside(preamble: Grid, title: str) -> str | None:
    """The cell to the right of a title above a table ("Ticker Symbol:" | "SPY"), None without the title."""
    for row in preamble:
        for place, cell in enumerate(row):
            if cell.strip().rstrip(":").casefold() == title.casefold():
                return next((other.strip() for other in row[place + 1 :] if other.strip()), "")
    return None


class SheetReader:
    """Reads the tables of one file and collects what is wrong in them and what was left out."""

    def __init__(self, sessions: pd.DatetimeIndex, today: dt.date) -> None:
        self._sessions: list[dt.date] = list(sessions.date)
        self._open = set(self._sessions)
        self._today = today
        self.bad: list[str] = []
        self.closed: set[str] = set()
        self.empty = 0

    def session_before(self, day: dt.date) -> str | None:
        """The last session up to a day of holdings (ISO), None in the future or before the calendar."""
        at = bisect(self._sessions, day)
        return self._sessions[at - 1].isoformat() if at and day <= self._today else None

    def facts(self, table: SheetTable) -> Facts:
        """Session -> nav, shares, assets, each None if missing ("--", "-" or zero)."""
        figures: Facts = {}
        places: dict[str, str] = {}
        for place, day, cells in self._dated(table, "date"):
            try:
                values = {name: _amount(cells, name) for name in ("nav", "shares", "assets")}
                check_facts(values)
            except BadCell as error:
                self.bad.append(f"{place}: {error}")
                continue
            if not any(values.values()):
                self.empty += 1
            elif figures.setdefault(day, values) != values:
                self.bad.append(f"{place}: {day} is in {places[day]} too, with other values")
            places.setdefault(day, place)
        return figures

    def distributions(self, table: SheetTable) -> dict[str, float]:
        """Ex-date -> dollars per share. Two payments on one day are added, a repeated row is not."""
        payments_by_day: dict[str, set[tuple[float, str]]] = {}
        for place, day, cells in self._dated(table, "ex-date"):
            try:
                amount = _amount(cells, "total")
            except BadCell as error:
                self.bad.append(f"{place}: {error}")
                continue
            if amount is None:
                self.empty += 1
            else:
                payments_by_day.setdefault(day, set()).add((amount, cells.get("payable", "")))
        totals = {day: sum(amount for amount, _ in payments) for day, payments in payments_by_day.items()}
        return {day: round(total, 9) for day, total in totals.items()}

    def sectors(self, table: SheetTable) -> dict[str, float] | None:
        """Percent of the equities' market value by sector, None if the file has no sectors.

        Cash, futures and the like are left out. A list that breaks off, or whose weights are not those
        of a whole fund, is wrong: the smallest holdings come last and no sum would miss them.
        """
        values: dict[str, float] = {}
        total, count, ended = 0.0, 0, bool(table.sheet)
        for place, cells, note in table.rows():
            if note and count:
                ended = True
                break
            if note:
                continue
            try:
                weight = number(cells["weight"]) or 0.0
                if cells.get("asset class", "Equity").casefold() == "equity":
                    worth = (number(cells["value"]) or 0.0) if "value" in cells else weight
                    values[cells["sector"]] = values.get(cells["sector"], 0.0) + worth
            except BadCell as error:
                self.bad.append(f"{place}: {error}")
                continue
            total, count = total + weight, count + 1
        self._check_whole(total, count, ended=ended)
        return _sector_percentages(values)

    def _check_whole(self, total: float, count: int, *, ended: bool) -> None:
        """Holdings of text must be followed by something, and all must add up to the fund."""
        if not ended:
            self.bad.append("nothing follows the last of its holdings: the file breaks off")
        elif abs(total - WHOLE) > WHOLE_WITHIN + ROUNDED * count and not self.bad:
            self.bad.append(
                f"the weights of its holdings add up to {total:.1f}%, so it is not the whole fund"
            )

    def _dated(self, table: SheetTable, column: str) -> Iterator[tuple[str, str, Cells]]:
        """Place, session and cells of the rows of sessions."""
        ended = False
        for place, cells, note in table.rows():
            if all(cell in MISSING for cell in cells.values()):
                ended = ended or note
                self.empty += not note
                continue
            try:
                day = date(cells[column])
                if day > self._today:
                    raise BadCell(f"{day} is in the future")
            except BadCell as error:
                if not (ended or note):
                    self.bad.append(f"{place}: {error}")
                continue
            if day in self._open:
                yield place, day.isoformat(), cells
            else:
                self.closed.add(day.isoformat())


def _amount(cells: Cells, name: str) -> float | None:
    """Number above zero, None if missing or zero. Raises BadCell for any other text."""
    try:
        value = number(cells.get(name, ""))
    except BadCell as error:
        raise BadCell(f"{name} {error}") from None
    if value is not None and value < 0:
        raise BadCell(f"{name} {shorten(cells[name])} is below zero")
    return value or None


def _sector_percentages(values: Mapping[str, float]) -> dict[str, float] | None:
    """Percent of each sector, None if too much belongs to none."""
    whole = sum(values.values())
    if whole <= 0 or sum(values.get(word, 0.0) for word in MISSING) > UNSORTED * whole:
        return None
    sectors = sorted(values.keys() - MISSING)
    return {sector: round(WHOLE * values[sector] / whole, 4) for sector in sectors}


ISHARES = "iShares"
# What funds were called in older files.
FORMER_NAMES = {"ishares russell 2000 index fund": "ishares russell 2000 etf"}

# Titles in the files by our names.
HISTORICAL = {"date": "as of", "nav": "nav per share", "shares": "shares outstanding"}
DISTRIBUTIONS = {"ex-date": "ex-date", "payable": "payable date", "total": "total distribution"}
ISHARES_HOLDINGS = {
    "sector": "sector",
    "asset class": "asset class",
    "value": "market value",
    "weight": "weight (%)",
}
_AS_OF, _COUNT = "Fund Holdings as of", "Shares Outstanding"


def read_ishares(
    sheets: Mapping[str, Grid], reader: SheetReader, name: str, pair: Pair
) -> IssuerFigures | None:
    """Read an iShares file. Returns None for other files, raises ImportRejected for empty holdings."""
    history, distributions, holdings = (
        find_table(sheets, titles) for titles in (HISTORICAL, DISTRIBUTIONS, ISHARES_HOLDINGS)
    )
    if history is None and holdings is None:
        return None
    facts = reader.facts(history) if history else {}
    notes = [] if history else ["It has no history of NAV and shares: that is in the fund workbook."]
    day = _as_of(holdings) if holdings else None
    session = reader.session_before(day) if day else None
    sectors = reader.sectors(holdings) if holdings and session else None
    if holdings and day and session:
        _add_count(facts, holdings, day, session, reader)
    if holdings and not sectors and not reader.bad:
        if history is None:
            raise ImportRejected(_no_weights_reason(holdings, day, name))
        notes.append("Sector weights: none, its holdings are of no date or of no sector.")
    fund = _fund_name(holdings)
    return IssuerFigures(
        ISHARES,
        "iShares fund workbook" if history else "iShares holdings",
        fund,
        _ticker(fund, pair),
        facts,
        reader.distributions(distributions) if distributions else {},
        session or "",
        sectors or {},
        tuple(notes),
    )


def _ticker(name: str, pair: Pair) -> str | None:
    """The fund of the pair that has this name in any case, None if neither has."""
    plain = _without_trademarks(name).casefold()
    names = {_without_trademarks(fund.name).casefold(): fund.ticker for fund in pair}
    return names.get(FORMER_NAMES.get(plain, plain))


def _without_trademarks(name: str) -> str:
    return " ".join(name.replace("®", "").replace("™", "").split())


def _as_of(holdings: SheetTable) -> dt.date | None:
    """Date of the holdings: named in the CSV, a row of its own in the workbook; None for "-"."""
    named = cell_beside(holdings.preamble, _AS_OF)
    rows = ([cell for cell in row if cell.strip()] for row in holdings.preamble)
    alone = [cells[0] for cells in rows if len(cells) == 1]
    for text in [named] if named is not None else alone:
        try:
            return date(text)
        except BadCell:
            continue
    return None


def _no_weights_reason(holdings: SheetTable, day: dt.date | None, name: str) -> str:
    """Why a file of holdings gives no weights."""
    if day is not None:
        return (
            f"{name} has no equities sorted into sectors, or is dated {day}, on which nothing can be known."
        )
    text = cell_beside(holdings.preamble, _AS_OF)
    if text in MISSING:
        return f"{name} is empty: the issuer has no holdings for the date asked for (as of “{text}”)."
    return f"{name} does not say of which date its holdings are."


def _fund_name(holdings: SheetTable | None) -> str:
    """The fund's name above its holdings."""
    cells = (cell for row in (holdings.preamble if holdings else []) for cell in row)
    name = next((cell for cell in cells if cell.strip().casefold().startswith("ishares")), "")
    return shorten(_without_trademarks(name), 80)


def _add_count(facts: Facts, holdings: SheetTable, day: dt.date, session: str, reader: SheetReader) -> None:
    """Shares outstanding above the holdings, for a session that the history does not have."""
    text = cell_beside(holdings.preamble, _COUNT)
    try:
        count = number(text or "")
        check_facts({"shares": count})
    except BadCell as error:
        reader.bad.append(f"{_COUNT} above the holdings: {error}")
        return
    if count and count > 0 and session not in facts:
        if session == day.isoformat():
            facts[session] = {"nav": None, "shares": count, "assets": None}
        else:
            reader.closed.add(day.isoformat())


SSGA = "SSGA"
# Titles in the files by our names.
NAVHIST = {"date": "date", "nav": "nav", "shares": "shares outstanding", "assets": "total net assets"}
SSGA_HOLDINGS = {"weight": "weight", "sector": "sector", "shares held": "shares held"}


def read_ssga(sheets: Mapping[str, Grid], reader: SheetReader, pair: Pair) -> IssuerFigures | None:
    """Read an SSGA file. Returns None for other files."""
    history, holdings = find_table(sheets, NAVHIST), find_table(sheets, SSGA_HOLDINGS)
    table = history or holdings
    if table is None:
        return None
    fund = shorten(cell_beside(table.preamble, "Ticker Symbol") or "", 80)
    ticker = fund if fund in pair.tickers else None
    if history:
        return IssuerFigures(SSGA, "SSGA NAV history", fund, ticker, reader.facts(history))
    return _ssga_holdings(table, reader, fund, ticker)


def _ssga_holdings(holdings: SheetTable, reader: SheetReader, fund: str, ticker: str | None) -> IssuerFigures:
    """Sector weights if the issuer fills them in, else a note that it does not."""
    sectors = reader.sectors(holdings)
    try:
        day = date((cell_beside(holdings.preamble, "Holdings") or "").removeprefix("As of").strip())
    except BadCell as error:
        reader.bad.append(f"the date of its holdings: {error}")
        return IssuerFigures(SSGA, "SSGA holdings", fund, ticker)
    session = reader.session_before(day)
    if session and sectors:
        return IssuerFigures(SSGA, "SSGA holdings", fund, ticker, holdings=session, sectors=sectors)
    note = "Sector weights: none, the issuer leaves the column Sector empty (“-”); Yahoo gives them."
    return IssuerFigures(SSGA, "SSGA holdings", fund, ticker, notes=(note,))
