"""SSGA's files: the NAV history (navhist) and the daily holdings, whose sectors are not filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bot.data.cells import BadCell, date, shorten
from bot.data.issuers.found import IssuerFigures
from bot.data.issuers.tables import cell_beside, find_table

if TYPE_CHECKING:
    from bot.data.issuers.spreadsheetml import Grid
    from bot.data.issuers.tables import SheetReader, SheetTable
    from bot.pair import Pair

ISSUER = "SSGA"
# Titles in the files by our names.
NAVHIST = {"date": "date", "nav": "nav", "shares": "shares outstanding", "assets": "total net assets"}
HOLDINGS = {"weight": "weight", "sector": "sector", "shares held": "shares held"}


def read_ssga(sheets: Mapping[str, Grid], reading: SheetReader, pair: Pair) -> IssuerFigures | None:
    """Read an SSGA file. Returns None for other files."""
    history, held = find_table(sheets, NAVHIST), find_table(sheets, HOLDINGS)
    table = history or held
    if table is None:
        return None
    fund = shorten(cell_beside(table.preamble, "Ticker Symbol") or "", 80)
    ticker = fund if fund in pair.tickers else None
    if history:
        return IssuerFigures(ISSUER, "SSGA NAV history", fund, ticker, reading.facts(history))
    return _holdings(table, reading, fund, ticker)


def _holdings(held: SheetTable, reading: SheetReader, fund: str, ticker: str | None) -> IssuerFigures:
    """Sector weights if the issuer fills them in, else a note that it does not."""
    sectors = reading.sectors(held)
    try:
        day = date((cell_beside(held.preamble, "Holdings") or "").removeprefix("As of").strip())
    except BadCell as wrong:
        reading.bad.append(f"the date of its holdings: {wrong}")
        return IssuerFigures(ISSUER, "SSGA holdings", fund, ticker)
    session = reading.session_before(day)
    if session and sectors:
        return IssuerFigures(ISSUER, "SSGA holdings", fund, ticker, holdings=session, sectors=sectors)
    note = "Sector weights: none, the issuer leaves the column Sector empty (“-”); Yahoo gives them."
    return IssuerFigures(ISSUER, "SSGA holdings", fund, ticker, notes=(note,))
