"""Runs over the companies that the funds hold: every session their figures, every week their groups.

A run is a series of steps of one request each. What a step read is stored with the place where the run goes
on, so a run that was cut goes on there, and between two steps prices come first. Pages of companies, the
largest first, are shared by both funds; what a fund holds and no page has is asked for by symbol. A fund's
figures are stored when its run is whole, at most once a session.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import pandas as pd
import sqlite_utils

from bot.analytics import companies
from bot.analytics.sources import COMPANIES
from bot.analytics.valuation import GROUP, SECTOR
from bot.data.provider import Empty, FetchOutcome, Ok, Provider
from bot.data.yahoo import BATCH, PAGE, CompanyPage, Yahoo
from bot.data.yahoo_rows import NUMBERS
from storage import sources
from storage.records import CompanySums, Constituent, Holdings, Multiple, SectorWeight
from storage.sources import CompanyRow

RUNS = FIGURES, GROUPS = ("companies", "groups")  # the kinds of runs
# Requests of a run at most. IWM's smallest company is about the 4,000th of those listed.
MOST_PAGES, MOST_BATCHES, MOST_GROUP_PAGES = 17, 4, 80
# The names of industries, with * for any letters, by the group that they belong to.
INDUSTRIES = {
    "Biotech and pharma": ("Biotechnology", "Drug Manufacturers—*"),
    "Banks": ("Banks—*",),
    "REITs": ("REIT—*",),
    "Retail": ("* Retail", "* Stores"),
}
SECTORS = re.split(
    ", ",
    "Technology, Financial Services, Healthcare, Industrials, Consumer Cyclical, Consumer Defensive, "
    "Communication Services, Energy, Real Estate, Basic Materials, Utilities",
)
# The lists of companies that a run reads: name, and which values of which field its companies have.
_LISTS: dict[str, list[tuple[str, tuple[str, tuple[str, ...]] | None]]] = {
    FIGURES: [("", None)],
    GROUPS: [
        *((name, ("industry", names)) for name, names in INDUSTRIES.items()),
        *((name, ("sector", (name,))) for name in SECTORS),
    ],
}


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a run goes on: the list of companies, its page, and how many requests were made of each sort."""

    number: int = 0
    offset: int = 0
    pages: int = 0
    batches: int = 0


@dataclass(frozen=True)
class Step(FetchOutcome):
    """A step that was made: what it read, and where the run goes on."""

    kind: str
    span: str
    position: Position
    rows: Sequence[CompanyRow]
    sentence = "{0.position.pages} pages are read; the run goes on."

    def keep(self, db: sqlite_utils.Database) -> None:
        """Store it in the caller's transaction."""
        position = msgspec.json.encode(self.position).decode()
        sources.save_step(db, self.kind, self.span, position, self.rows)


@dataclass(frozen=True)
class Plan:
    """What a fund's run does next: ask for `symbols`, else for the page at its position, else add up."""

    yahoo: Yahoo
    kind: str
    ticker: str
    session: pd.Timestamp
    span: str  # what the run is for: a session, or a week of groups
    position: Position
    holdings: Holdings
    symbols: Sequence[str] = ()
    rows: Sequence[CompanyRow] | None = None  # all that was read, once nothing is left to ask for

    def make(self) -> FetchOutcome:
        """Make the step. Blocks."""
        if self.rows is not None:
            return self._figures(self.rows) if self.kind == FIGURES else self._weights(self.rows)
        return self._read_symbols() if self.symbols else self._read_page()

    def _read_page(self) -> FetchOutcome:
        place = self.position
        name, only = _LISTS[self.kind][place.number]
        page = self.yahoo.screen(only, place.offset, self.session)
        if not isinstance(page, CompanyPage):
            return page
        last = place.offset + PAGE >= page.total
        number, offset = (place.number + 1, 0) if last else (place.number, place.offset + PAGE)
        return self._step(Position(number, offset, place.pages + 1, place.batches), page, name)

    def _read_symbols(self) -> FetchOutcome:
        page = self.yahoo.quotes(self.symbols, self.session)
        if not isinstance(page, CompanyPage):
            return page
        position = msgspec.structs.replace(self.position, batches=self.position.batches + 1)
        return self._step(position, page, "")

    def _step(self, position: Position, page: CompanyPage, name: str) -> Step:
        unknown = [(symbol, "", "") for symbol in self.symbols if symbol not in page.quotes]
        rows = [
            (symbol, name, str(quote[-1] or "") if name else msgspec.json.encode(quote).decode())
            for symbol, quote in page.quotes.items()
        ]
        return Step(self.kind, self.span, position, rows + unknown)

    def _figures(self, rows: Sequence[CompanyRow]) -> Ok:
        quotes = {symbol: msgspec.json.decode(text) for symbol, _, text in rows if text}
        frame = pd.DataFrame.from_dict(quotes, "index", columns=list(companies.QUOTE_COLUMNS))
        total = companies.fund_sums(holdings_frame(self.holdings), frame.astype(NUMBERS))
        day, as_of = f"{self.session:%Y-%m-%d}", self.holdings.as_of
        multiples = [
            Multiple(self.ticker, day, metric, convention, basis, value, as_of, day, coverage)
            for metric, convention, basis, value, coverage in total.figures()
        ]
        coverage = total.trailing.coverage
        sums = CompanySums(self.ticker, day, msgspec.json.encode(total).decode(), coverage)
        missing = () if multiples else (f"{1 - coverage:.0%} of the weight",)
        return Ok({"multiples": multiples, "company_sums": [sums]}, missing)

    def _weights(self, rows: Sequence[CompanyRow]) -> Ok:
        """Percent of the equities' weight by group and sector, of holdings whose name agrees."""
        held = holdings_frame(self.holdings)
        members = pd.DataFrame(rows, columns=["symbol", "group", "called"])
        quoted = set(members["symbol"])
        held = held.assign(symbol=[companies.symbol_of(ticker, quoted) for ticker in held["ticker"]])
        joined = held.merge(members, on="symbol")
        joined = joined[companies.share_a_word(joined["name"], joined["called"])]
        weights = 100 * joined.groupby("group")["weight"].sum() / held["weight"].sum()
        day = f"{self.session:%Y-%m-%d}"
        known = set(members["group"])  # a list without any company is no weight of 0%
        names = [name for name in (*INDUSTRIES, *SECTORS) if name in known]
        shares = {name: round(float(weights.get(name, 0.0)), 4) for name in names}
        levels = {name: SECTOR if name in SECTORS else GROUP for name in shares}
        given = [SectorWeight(self.ticker, day, levels[name], name, share) for name, share in shares.items()]
        return Ok({"sector_weights": given})


def holdings_frame(holdings: Holdings) -> pd.DataFrame:
    """A fund's constituents with HOLDING_COLUMNS."""
    rows = map(msgspec.structs.astuple, holdings.constituents)
    frame = pd.DataFrame(rows, columns=Constituent.__struct_fields__)[list(companies.HOLDING_COLUMNS)]
    return frame.astype(dict.fromkeys(companies.HOLDING_COLUMNS[2:], "float64"))


def _missing_symbols(holdings: Holdings, read: set[str]) -> list[str]:
    """Symbols of a fund's companies that were not read, those of the largest holdings first."""
    held = (line for line in holdings.constituents if companies.is_company(line.ticker, line.name))
    largest_first = sorted(held, key=lambda line: -line.weight)
    candidates = [companies.candidate_symbols(line.ticker) for line in largest_first]
    return [symbol for symbols in candidates if read.isdisjoint(symbols) for symbol in symbols]


class Companies(Provider):
    """Runs over the companies as a provider of its own, through the one session and breaker of Yahoo."""

    name = "yahoo"
    label = "Yahoo"
    stored_as = COMPANIES
    serves: tuple[str, ...] = (FIGURES, GROUPS)

    def __init__(self, yahoo: Yahoo) -> None:
        self.yahoo, self.tickers = yahoo, yahoo.tickers

    def next_step(
        self, kind: str, ticker: str, session: pd.Timestamp, db: sqlite_utils.Database
    ) -> Plan | FetchOutcome:
        """What a fund's run does next; an outcome where nothing can be done."""
        holdings = sources.stored_holdings(db, ticker)
        if holdings is None:
            return Empty(f"there is no list of what {ticker} holds; import its holdings file")
        span = f"{session:%G-W%V}" if kind == GROUPS else f"{session:%Y-%m-%d}"
        text = sources.begin_run(db, kind, span)
        position = msgspec.json.decode(text, type=Position) if text else Position()
        plan = Plan(self.yahoo, kind, ticker, session, span, position, holdings)
        pages_left = position.number < len(_LISTS[kind])
        if kind == GROUPS and pages_left:
            too_many = Empty(f"its groups have more than {MOST_GROUP_PAGES} pages")
            return plan if position.pages < MOST_GROUP_PAGES else too_many
        rows = sources.run_rows(db, kind)
        if kind == GROUPS:
            return replace(plan, rows=rows)
        missing = _missing_symbols(holdings, {symbol for symbol, _, _ in rows})
        if missing and pages_left and position.pages < MOST_PAGES:
            return plan
        if missing and position.batches < MOST_BATCHES:
            return replace(plan, symbols=missing[:BATCH])
        return replace(plan, rows=rows)
