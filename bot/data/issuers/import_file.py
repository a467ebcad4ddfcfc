"""Reads an issuer's file, recognised by bytes and headers, of a fund of the pair: all of it or nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bot.data.csv_cells import shorten
from bot.data.csv_formats import FORMATS
from bot.data.issuers import layouts
from bot.data.issuers.formats import ADVICE, read_sheets
from bot.data.issuers.layouts import SheetReader
from bot.data.provider import compared, known_fund, rows_by_kind
from bot.data.store import FileContents, Preview
from bot.errors import ImportRejected
from bot.pair import DEFAULT_PAIR
from bot.text import counted, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from bot.data.issuers.formats import Grid
    from bot.data.issuers.layouts import IssuerFile
    from bot.data.provider import Observations
    from bot.pair import Fund, Pair
    from storage.rows import FundFacts


def content_summary(observations: Observations) -> tuple[str, ...]:
    """Rows of each kind, counted and dated: "fund facts of 3 sessions, 2025-02-03 to 2025-02-05"."""
    parts = []
    for kind, rows in rows_by_kind(observations).items():
        days = sorted(row.session for row in rows)
        span = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
        if kind == "fund_facts":
            parts.append(f"fund facts of {counted(len(rows), 'session')}, {span}")
        elif kind == "distributions":
            parts.append(f"{counted(len(rows), 'distribution')}, {span}")
        else:
            parts.append(f"weights of {counted(len(rows), 'sector')} as of {span}")
    return tuple(parts)


def off_market_sentence(sessions: Sequence[str]) -> str:
    """A sentence on NAVs far from the market price."""
    return f"NAV more than 5% off the market price, stored as given: {listed(sessions)}."


# Beginnings of the funds' names by issuer.
ISSUERS = {"ishares": layouts.ISHARES, "spdr": layouts.SSGA, "state street": layouts.SSGA}
# NAV is rounded to the cent at worst, a share count to one.
ASSETS_WITHIN = 1e-3
# Above this share of the rows it is the columns that mean something else.
ASSETS_WRONG = 0.2


def read_issuer(
    data: bytes,
    *,
    name: str,
    completed: pd.DatetimeIndex,
    today: dt.date,
    ticker: str | None = None,
    pair: Pair = DEFAULT_PAIR,
) -> FileContents:
    """Fund facts, distributions and sector weights of an issuer's file, with their preview.

    name: what to call the file.
    completed: the sessions of which figures are read, naive midnights in order.
    ticker: when given, it must be the fund that the file says it is of.

    Figures are taken as given; only rows of days without a session are left out. Raises ImportRejected,
    with everything that is wrong, for anything but a whole file of a known layout and fund.
    """
    expected = known_fund(ticker, pair) if ticker is not None else None
    sheets = read_sheets(data, name)
    file = layouts.recognise_file(sheets, pair)
    if file is None:
        raise ImportRejected(_unknown_layout(sheets, name))
    fund = _fund(file, expected, name, pair)
    reader = SheetReader(fund, completed, today)
    rows = file.read(reader, name)
    if reader.bad:
        count = "1 thing is" if len(reader.bad) == 1 else f"{len(reader.bad):,} things are"
        lines = listed(reader.bad, "\n")
        raise ImportRejected(f"{name} was not imported, {count} wrong:\n{lines}")
    if not rows and not reader.notes:
        raise ImportRejected(f"{name} has the layout of an {file.layout}, but no figures. {ADVICE}")
    preview = Preview(
        fund,
        f"{fund}, {file.layout}: {'; '.join(content_summary(rows)) or 'nothing to store'}.",
        closed=tuple(sorted(reader.closed)),
        unfinished=tuple(sorted(reader.unfinished)),
        empty=reader.empty,
        notes=(*_unequal_assets(rows.get("fund_facts", ()), name), *reader.notes),
    )
    return FileContents(rows, preview, f"{fund} import")


def _fund(file: IssuerFile, expected: str | None, name: str, pair: Pair) -> str:
    """The fund that the file is of. Raises ImportRejected if it is unknown or not the expected one."""
    if file.fund and file.ticker is None:
        raise ImportRejected(f"{name} is of {file.fund}, not a fund of this bot; {compared(pair)}.")
    if expected and file.ticker and expected != file.ticker:
        raise ImportRejected(f"{name} is of {file.ticker}, not of {expected}.")
    fund = file.ticker or expected
    if fund is None:
        likely = (fund.ticker for fund in pair if issuer_of(fund) in {file.issuer, None})
        example = next(likely, pair.small.ticker)
        raise ImportRejected(f"{name} does not say of which fund it is; add --ticker {example}.")
    issuer = next(issuer_of(member) for member in pair if member.ticker == fund)
    if issuer not in {file.issuer, None}:
        raise ImportRejected(f"{name} has the layout of {file.issuer}, but {fund} is of {issuer}.")
    return fund


def issuer_of(fund: Fund) -> str | None:
    """The issuer whose files a fund has, by its name; None where the name does not say."""
    name = fund.name.casefold()
    return next((issuer for beginning, issuer in ISSUERS.items() if name.startswith(beginning)), None)


def _unequal_assets(facts: Sequence[FundFacts], name: str) -> list[str]:
    """A note on sessions whose NAV x shares is not the assets. Raises ImportRejected if that is the rule."""
    whole = [
        (row.session, row.nav * row.shares / row.assets)
        for row in facts
        if row.nav and row.shares and row.assets
    ]
    unequal = [session for session, ratio in whole if abs(ratio - 1) > ASSETS_WITHIN]
    if len(unequal) > ASSETS_WRONG * len(whole):
        raise ImportRejected(
            f"{name} was not imported: NAV × shares is not the total assets in {len(unequal):,} of "
            f"{len(whole):,} rows, so its columns mean something else."
        )
    if not unequal:
        return []
    return [f"NAV × shares is not the total assets, stored as given: {listed(unequal)}."]


def _unknown_layout(sheets: Mapping[str, Grid], name: str) -> str:
    """Describes a file of no known layout and says what to do."""
    header = next((row for row in sheets.get("", []) if any(cell.strip() for cell in row)), [])
    for form in FORMATS.values():
        if header and not form.missing(header):
            return f"{name} is no issuer's file; {form.title} are read by “import {form.command}”."
    if header:
        has = f"it begins with “{shorten(', '.join(header))}”"
    else:
        has = f"its sheets are {listed([f'“{shorten(sheet)}”' for sheet in sheets])}"
    return (
        f"{name} has no known layout: {has}. Known are iShares' fund workbook and holdings, "
        f"and SSGA's navhist and holdings. {ADVICE}"
    )
