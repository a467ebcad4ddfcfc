"""Reads an issuer's file, recognised by bytes and headers, of a fund of the pair: all of it or nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bot.data.cells import shorten
from bot.data.formats import FORMATS
from bot.data.issuers import ishares, ssga
from bot.data.issuers.grids import read_sheets
from bot.data.issuers.preview import IssuerContents, IssuerPreview, content_summary
from bot.data.issuers.sniff import ADVICE
from bot.data.issuers.tables import SheetReader
from bot.data.names import compared, known_fund
from bot.errors import ImportRejected
from bot.pair import DEFAULT_PAIR
from bot.text import listed

if TYPE_CHECKING:
    import pandas as pd

    from bot.analytics.sessions import Sessions
    from bot.data.issuers.found import IssuerFigures
    from bot.data.issuers.spreadsheetml import Grid
    from bot.data.provider import Observations
    from bot.pair import Fund, Pair
    from storage.rows import Row

# Beginnings of the funds' names by issuer.
ISSUERS = {"ishares": ishares.ISSUER, "spdr": ssga.ISSUER, "state street": ssga.ISSUER}
# NAV is rounded to the cent at worst, a share count to one.
ASSETS_WITHIN = 1e-3
# Above this share of the rows it is the columns that mean something else.
ASSETS_WRONG = 0.2


def read_issuer(
    data: bytes,
    *,
    name: str,
    sessions: Sessions,
    today: dt.date,
    ticker: str | None = None,
    pair: Pair = DEFAULT_PAIR,
) -> IssuerContents:
    """Fund facts, distributions and sector weights of an issuer's file, with their preview.

    `name` is what to call the file; `ticker`, when given, must be the fund that the file says it is of.
    Figures are taken as given; only rows of days without a session are left out. Raises ImportRejected,
    with everything that is wrong, for anything but a whole file of a known layout and fund.
    """
    return read_completed(data, name=name, completed=sessions.index, today=today, ticker=ticker, pair=pair)


def read_completed(
    data: bytes,
    *,
    name: str,
    completed: pd.DatetimeIndex,
    today: dt.date,
    ticker: str | None = None,
    pair: Pair = DEFAULT_PAIR,
) -> IssuerContents:
    """As `read_issuer`, of these sessions only: naive midnights in order."""
    asked = known_fund(ticker, pair) if ticker is not None else None
    reading = SheetReader(completed, today)
    sheets = read_sheets(data, name)
    figures = ishares.read_ishares(sheets, reading, name, pair) or ssga.read_ssga(sheets, reading, pair)
    if figures is None:
        raise ImportRejected(_unknown(sheets, name))
    fund = _fund(figures, asked, name, pair)
    if reading.bad:
        count = "1 thing is" if len(reading.bad) == 1 else f"{len(reading.bad):,} things are"
        lines = listed(reading.bad, "\n")
        raise ImportRejected(f"{name} was not imported, {count} wrong:\n{lines}")
    rows = _rows(figures, fund)
    if not any(rows.values()) and not figures.notes:
        raise ImportRejected(f"{name} has the layout of an {figures.layout}, but no figures. {ADVICE}")
    preview = IssuerPreview(
        layout=figures.layout,
        ticker=fund,
        parts=content_summary(rows),
        closed=tuple(sorted(reading.closed)),
        empty=reading.empty,
        unequal=_unequal(figures, name),
        notes=figures.notes,
    )
    return IssuerContents(rows, preview)


def _fund(figures: IssuerFigures, asked: str | None, name: str, pair: Pair) -> str:
    """The fund that the file is of. Raises ImportRejected if it is unknown or not the expected one."""
    if figures.fund and figures.ticker is None:
        raise ImportRejected(f"{name} is of {figures.fund}, not a fund of this bot; {compared(pair)}.")
    if asked and figures.ticker and asked != figures.ticker:
        raise ImportRejected(f"{name} is of {figures.ticker}, not of {asked}.")
    fund = figures.ticker or asked
    if fund is None:
        likely = (fund.ticker for fund in pair if issuer_of(fund) in {figures.issuer, None})
        example = next(likely, pair.small.ticker)
        raise ImportRejected(f"{name} does not say of which fund it is; add --ticker {example}.")
    issuer = next(issuer_of(member) for member in pair if member.ticker == fund)
    if issuer not in {figures.issuer, None}:
        raise ImportRejected(f"{name} has the layout of {figures.issuer}, but {fund} is of {issuer}.")
    return fund


def issuer_of(fund: Fund) -> str | None:
    """The issuer whose files a fund has, by its name; None where the name does not say."""
    name = fund.name.casefold()
    return next((issuer for beginning, issuer in ISSUERS.items() if name.startswith(beginning)), None)


def _rows(figures: IssuerFigures, ticker: str) -> Observations:
    """Rows of storage.observations, in order of their dates."""
    kinds: dict[str, list[Row]] = {
        "fund_facts": [
            {"ticker": ticker, "session": session, **values}
            for session, values in sorted(figures.facts.items())
        ],
        "distributions": [
            {"ticker": ticker, "ex_date": day, "amount": amount}
            for day, amount in sorted(figures.distributions.items())
        ],
        "sector_weights": [
            {
                "ticker": ticker,
                "session": figures.holdings,
                "level": "sector",
                "sector": sector,
                "weight": weight,
            }
            for sector, weight in figures.sectors.items()
        ],
    }
    return {kind: rows for kind, rows in kinds.items() if rows}


def _unequal(figures: IssuerFigures, name: str) -> tuple[str, ...]:
    """Sessions on which NAV x shares is not the assets. Raises ImportRejected if that is the rule."""
    whole = [
        (session, nav * shares / assets)
        for session, values in sorted(figures.facts.items())
        if (nav := values["nav"]) and (shares := values["shares"]) and (assets := values["assets"])
    ]
    wrong = tuple(session for session, ratio in whole if abs(ratio - 1) > ASSETS_WITHIN)
    if len(wrong) > ASSETS_WRONG * len(whole):
        raise ImportRejected(
            f"{name} was not imported: NAV × shares is not the total assets in {len(wrong):,} of "
            f"{len(whole):,} rows, so its columns mean something else."
        )
    return wrong


def _unknown(sheets: Mapping[str, Grid], name: str) -> str:
    """Describes a file of no known layout and says what to do."""
    header = next((row for row in sheets.get("", []) if any(cell.strip() for cell in row)), [])
    for form in FORMATS.values():
        if header and not form.layout.missing(header):
            return (
                f"{name} is no issuer's file; {form.layout.words} are read by “import {form.layout.command}”."
            )
    has = f"it begins with “{shorten(', '.join(header))}”" if header else f"its sheets are {_named(sheets)}"
    return (
        f"{name} has no known layout: {has}. Known are iShares' fund workbook and holdings, "
        f"and SSGA's navhist and holdings. {ADVICE}"
    )


def _named(sheets: Mapping[str, Grid]) -> str:
    return listed([f"“{shorten(sheet)}”" for sheet in sheets])
