"""Reads an issuer's file, recognised by bytes and headers, of a fund of the pair: all of it or nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.analytics.valuation import SECTOR
from bot.data.csv_cells import shorten
from bot.data.csv_formats import FORMATS
from bot.data.issuers import layouts
from bot.data.issuers.formats import ADVICE, read_sheets
from bot.data.issuers.layouts import SheetReader
from bot.data.provider import compared, known_fund, observations_of, rows_by_kind
from bot.errors import ImportRejected
from bot.pair import DEFAULT_PAIR
from bot.text import counted, listed
from storage.rows import Distribution, FundFacts, SectorWeight

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from bot.data.issuers.formats import Grid
    from bot.data.issuers.layouts import IssuerFigures
    from bot.data.provider import Observations
    from bot.pair import Fund, Pair
    from storage.rows import Observation


@dataclass(frozen=True)
class IssuerPreview:
    """What was read, left out and looks wrong. `sentences` is for people."""

    layout: str  # "iShares fund workbook"
    ticker: str
    parts: tuple[str, ...] = ()  # what would be stored, each counted and dated
    closed: tuple[str, ...] = ()  # dates of rows left out because there was no session
    empty: int = 0  # rows left out because they hold no value
    unequal: tuple[str, ...] = ()  # sessions on which NAV x shares is not the assets
    off_market: tuple[str, ...] = ()  # sessions with a NAV far from the market price, and how far
    notes: tuple[str, ...] = ()  # sentences on what the file does not give

    def sentences(self) -> list[str]:
        """The preview, a sentence each: what there is, what was left out, what looks wrong."""
        sentences = {
            f"{self.ticker}, {self.layout}: {'; '.join(self.parts) or 'nothing to store'}.": True,
            f"Left out, no session on that day: {listed(self.closed)}.": self.closed,
            f"Left out, without a value: {counted(self.empty, 'row')}.": self.empty,
            off_market_sentence(self.off_market): self.off_market,
            f"NAV × shares is not the total assets, stored as given: {listed(self.unequal)}.": self.unequal,
        }
        return [*(sentence for sentence, shown in sentences.items() if shown), *self.notes]


@dataclass(frozen=True)
class IssuerContents:
    """A file as read. It has all distributions between its first and last one, or none at all."""

    observations: Observations
    preview: IssuerPreview


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
) -> IssuerContents:
    """Fund facts, distributions and sector weights of an issuer's file, with their preview.

    name: what to call the file.
    completed: the sessions of which figures are read, naive midnights in order.
    ticker: when given, it must be the fund that the file says it is of.

    Figures are taken as given; only rows of days without a session are left out. Raises ImportRejected,
    with everything that is wrong, for anything but a whole file of a known layout and fund.
    """
    expected = known_fund(ticker, pair) if ticker is not None else None
    reader = SheetReader(completed, today)
    sheets = read_sheets(data, name)
    figures = layouts.read_ishares(sheets, reader, name, pair) or layouts.read_ssga(sheets, reader, pair)
    if figures is None:
        raise ImportRejected(_unknown_layout(sheets, name))
    fund = _fund(figures, expected, name, pair)
    if reader.bad:
        count = "1 thing is" if len(reader.bad) == 1 else f"{len(reader.bad):,} things are"
        lines = listed(reader.bad, "\n")
        raise ImportRejected(f"{name} was not imported, {count} wrong:\n{lines}")
    rows = _rows(figures, fund)
    if not rows and not figures.notes:
        raise ImportRejected(f"{name} has the layout of an {figures.layout}, but no figures. {ADVICE}")
    preview = IssuerPreview(
        layout=figures.layout,
        ticker=fund,
        parts=content_summary(rows),
        closed=tuple(sorted(reader.closed)),
        empty=reader.empty,
        unequal=_unequal(figures, name),
        notes=figures.notes,
    )
    return IssuerContents(rows, preview)


def _fund(figures: IssuerFigures, expected: str | None, name: str, pair: Pair) -> str:
    """The fund that the file is of. Raises ImportRejected if it is unknown or not the expected one."""
    if figures.fund and figures.ticker is None:
        raise ImportRejected(f"{name} is of {figures.fund}, not a fund of this bot; {compared(pair)}.")
    if expected and figures.ticker and expected != figures.ticker:
        raise ImportRejected(f"{name} is of {figures.ticker}, not of {expected}.")
    fund = figures.ticker or expected
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
    """The figures as observations, in order of their dates."""
    rows: dict[str, list[Observation]] = {
        "fund_facts": [
            FundFacts(ticker, session, values["nav"], values["shares"], values["assets"])
            for session, values in sorted(figures.facts.items())
        ],
        "distributions": [
            Distribution(ticker, session, amount) for session, amount in sorted(figures.distributions.items())
        ],
        "sector_weights": [
            SectorWeight(ticker, figures.holdings, SECTOR, sector, weight)
            for sector, weight in figures.sectors.items()
        ],
    }
    return observations_of({kind: group for kind, group in rows.items() if group})


def _unequal(figures: IssuerFigures, name: str) -> tuple[str, ...]:
    """Sessions on which NAV x shares is not the assets. Raises ImportRejected if that is the rule."""
    whole = [
        (session, nav * shares / assets)
        for session, values in sorted(figures.facts.items())
        if (nav := values["nav"]) and (shares := values["shares"]) and (assets := values["assets"])
    ]
    unequal = tuple(session for session, ratio in whole if abs(ratio - 1) > ASSETS_WITHIN)
    if len(unequal) > ASSETS_WRONG * len(whole):
        raise ImportRejected(
            f"{name} was not imported: NAV × shares is not the total assets in {len(unequal):,} of "
            f"{len(whole):,} rows, so its columns mean something else."
        )
    return unequal


def _unknown_layout(sheets: Mapping[str, Grid], name: str) -> str:
    """Describes a file of no known layout and says what to do."""
    header = next((row for row in sheets.get("", []) if any(cell.strip() for cell in row)), [])
    for form in FORMATS.values():
        if header and not form.layout.missing(header):
            return (
                f"{name} is no issuer's file; {form.layout.title} are read by “import {form.layout.command}”."
            )
    if header:
        has = f"it begins with “{shorten(', '.join(header))}”"
    else:
        has = f"its sheets are {listed([f'“{shorten(sheet)}”' for sheet in sheets])}"
    return (
        f"{name} has no known layout: {has}. Known are iShares' fund workbook and holdings, "
        f"and SSGA's navhist and holdings. {ADVICE}"
    )
