"""iShares' files: the fund workbook (history of NAV and shares, distributions, holdings), the holdings CSV.

Columns are found by name: older workbooks have Index Level second, newer ones Non-FV NAV last. The share
counts are split-adjusted. Of the holdings only equities count, by their market value.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bot.data.cells import BadCell, date, number, shorten
from bot.data.issuers.found import IssuerFigures
from bot.data.issuers.tables import MISSING, cell_beside, find_table
from bot.data.ranges import check_facts
from bot.errors import ImportRejected

if TYPE_CHECKING:
    from bot.data.issuers.spreadsheetml import Grid
    from bot.data.issuers.tables import Facts, SheetReader, SheetTable
    from bot.pair import Pair

ISSUER = "iShares"
# What funds were called in older files.
FORMER_NAMES = {"ishares russell 2000 index fund": "ishares russell 2000 etf"}

# Titles in the files by our names.
HISTORICAL = {"date": "as of", "nav": "nav per share", "shares": "shares outstanding"}
DISTRIBUTIONS = {"ex-date": "ex-date", "payable": "payable date", "total": "total distribution"}
HOLDINGS = {
    "sector": "sector",
    "asset class": "asset class",
    "value": "market value",
    "weight": "weight (%)",
}
_AS_OF, _COUNT = "Fund Holdings as of", "Shares Outstanding"


def read_ishares(
    sheets: Mapping[str, Grid], reading: SheetReader, name: str, pair: Pair
) -> IssuerFigures | None:
    """Read an iShares file. Returns None for other files, raises ImportRejected for empty holdings."""
    history, paid, held = (find_table(sheets, titles) for titles in (HISTORICAL, DISTRIBUTIONS, HOLDINGS))
    if history is None and held is None:
        return None
    facts = reading.facts(history) if history else {}
    notes = [] if history else ["It has no history of NAV and shares: that is in the fund workbook."]
    day = _as_of(held) if held else None
    session = reading.session_before(day) if day else None
    sectors = reading.sectors(held) if held and session else None
    if held and day and session:
        _add_count(facts, held, day, session, reading)
    if held and not sectors and not reading.bad:
        if history is None:
            raise ImportRejected(_why_nothing(held, day, name))
        notes.append("Sector weights: none, its holdings are of no date or of no sector.")
    fund = _fund_name(held)
    return IssuerFigures(
        ISSUER,
        "iShares fund workbook" if history else "iShares holdings",
        fund,
        _ticker(fund, pair),
        facts,
        reading.distributions(paid) if paid else {},
        session or "",
        sectors or {},
        tuple(notes),
    )


def _ticker(name: str, pair: Pair) -> str | None:
    """The fund of the pair that has this name in any case, None if neither has."""
    plain = _plain(name)
    names = {_plain(fund.name): fund.ticker for fund in pair}
    return names.get(FORMER_NAMES.get(plain, plain))


def _plain(name: str) -> str:
    """A name without its case, its spaces made one each, and without the signs of trademarks."""
    return " ".join(name.replace("®", "").replace("™", "").casefold().split())


def _as_of(held: SheetTable) -> dt.date | None:
    """Date of the holdings: named in the CSV, a row of its own in the workbook; None for "-"."""
    named = cell_beside(held.preamble, _AS_OF)
    alone = [cells[0] for row in held.preamble if len(cells := [cell for cell in row if cell.strip()]) == 1]
    for text in [named] if named is not None else alone:
        try:
            return date(text)
        except BadCell:
            continue
    return None


def _why_nothing(held: SheetTable, day: dt.date | None, name: str) -> str:
    """Why a file of holdings gives no weights."""
    if day is not None:
        return (
            f"{name} has no equities sorted into sectors, or is dated {day}, on which nothing can be known."
        )
    text = cell_beside(held.preamble, _AS_OF)
    if text in MISSING:
        return f"{name} is empty: the issuer has no holdings for the date asked for (as of “{text}”)."
    return f"{name} does not say of which date its holdings are."


def _fund_name(held: SheetTable | None) -> str:
    """The fund's name above its holdings, without the signs of trademarks."""
    cells = (cell for row in (held.preamble if held else []) for cell in row)
    name = next((cell for cell in cells if cell.strip().casefold().startswith("ishares")), "")
    return shorten(name.replace("®", "").replace("™", ""), 80)


def _add_count(facts: Facts, held: SheetTable, day: dt.date, session: str, reading: SheetReader) -> None:
    """Shares outstanding above the holdings, for a session that the history does not have."""
    text = cell_beside(held.preamble, _COUNT)
    try:
        count = number(text or "")
        check_facts({"shares": count})
    except BadCell as wrong:
        reading.bad.append(f"{_COUNT} above the holdings: {wrong}")
        return
    if count and count > 0 and session not in facts:
        if session == day.isoformat():
            facts[session] = {"nav": None, "shares": count, "assets": None}
        else:
            reading.closed.add(day.isoformat())
