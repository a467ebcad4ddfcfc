"""The layouts of issuers' files: finds tables in a sheet by their headers and reads the figures in them.

Wrong rows are collected, so that all are reported at once. Rows on days without a session and rows without
a value are left out and counted. What follows an empty row is a note unless it begins with a date.

iShares: the fund workbook (history of NAV and shares, distributions, holdings) and the holdings CSV. Columns
are found by name: older workbooks have Index Level second, newer ones Non-FV NAV last. The share counts are
split-adjusted. Of the holdings only equities count, by their market value.

SSGA: the NAV history (navhist), the daily holdings, whose sectors are not filled in, and the distributions
of all its funds.
"""

import datetime as dt
import re
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from html import unescape

import pandas as pd

from bot.analytics.valuation import SECTOR
from bot.data.csv_cells import PLAIN, BadCell, Cells, shorten
from bot.data.csv_formats import FORMATS, WHOLE, check_facts
from bot.data.issuers.formats import ADVICE, NPORT, Grid, decode, detect_format, read_sheets
from bot.data.provider import SEC, Observations, compared, known_fund, observations_of, rows_by_kind
from bot.data.source_selection import ISSUER
from bot.data.store import FileContents, Preview
from bot.errors import ImportRejected
from bot.pair import DEFAULT_PAIR, Fund, Pair
from bot.text import MONTHS, counted, listed
from storage.records import EQUITY, Constituent, Distribution, FundFacts, Holdings, Observation, SectorWeight

HEADER_WITHIN = 40  # rows: the longest preamble has ten
MISSING = frozenset({"", "-", "--"})
WHOLE_WITHIN = 2.0  # percent that the weights of a whole portfolio add up to
ROUNDED = 0.005  # percent by which each of them is rounded
UNSORTED = 0.05  # share of the market value that may be in no sector
VALUE_WITHIN = 0.02  # of quantity times price: a price is rounded to the cent
ASSETS_WITHIN = 1e-3  # of NAV times shares: NAV is rounded to the cent at worst, a share count to one
# Above this share of the rows it is the columns that mean something else.
COLUMNS_WRONG = 0.2


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
            cells = ((name, row[at].strip() if at < len(row) else "") for name, at in self.columns.items())
            yield f"{within} {count}", Cells(cells), sum(bool(cell.strip()) for cell in row) <= 1


def find_table(
    sheets: Mapping[str, Grid], titles: Mapping[str, str], more: Mapping[str, str] | None = None
) -> SheetTable | None:
    """The first table in any sheet with all these titles (by our names) in its header, else None.

    Its columns are these, and those of `more` that it has.
    """
    for sheet, grid in sheets.items():
        for count, row in enumerate(grid[:HEADER_WITHIN]):
            header = [" ".join(cell.casefold().split()) for cell in row]
            if all(title in header for title in titles.values()):
                wanted = {**titles, **(more or {})}
                columns = {name: header.index(title) for name, title in wanted.items() if title in header}
                return SheetTable(sheet, columns, grid[:count], grid[count + 1 :])
    return None


def cell_beside(preamble: Grid, title: str) -> str | None:
    """The cell to the right of a title above a table ("Ticker Symbol:" | "SPY"), None without the title."""
    for row in preamble:
        for place, cell in enumerate(row):
            if cell.strip().rstrip(":").casefold() == title.casefold():
                return next((other.strip() for other in row[place + 1 :] if other.strip()), "")
    return None


_SATURDAY = 5  # as weekday() counts


class SheetReader:
    """Reads the tables of one fund's file and collects what is wrong in them, left out, and not given.

    Rows after the last of `sessions`, the last completed one, are left out: their figures still change.
    """

    def __init__(self, ticker: str, sessions: pd.DatetimeIndex, today: dt.date) -> None:
        self._ticker = ticker
        self._sessions: list[dt.date] = list(sessions.date)
        self._open = set(self._sessions)
        self._today = today
        self.bad: list[str] = []
        self.closed: set[str] = set()
        self.unfinished: set[str] = set()
        self.empty = 0
        self.notes: list[str] = []  # sentences
        self.holdings: Holdings | None = None

    def facts(self, table: SheetTable) -> dict[str, FundFacts]:
        """NAV, shares and assets by session, each None if missing ("--", "-" or zero)."""
        rows: dict[str, FundFacts] = {}
        places: dict[str, str] = {}
        for place, day, cells in self._dated(table, "date"):
            with self._wrong_at(place):
                nav, shares, assets = (cells.number(name) or None for name in _FACTS)
                row = FundFacts(self._ticker, day, nav, shares, assets)
                check_facts(row)
                if not (nav or shares or assets):
                    self.empty += 1
                elif rows.setdefault(day, row) != row:
                    raise BadCell(f"{day} is in {places[day]} too, with other values")
                places.setdefault(day, place)
        products = [
            (day, row.nav * row.shares / row.assets)
            for day, row in sorted(rows.items())
            if row.nav and row.shares and row.assets
        ]
        unequal = self._check_products("NAV × shares is not the total assets", products, ASSETS_WITHIN)
        if unequal:
            self.notes.append(f"NAV × shares is not the total assets, stored as given: {listed(unequal)}.")
        return rows

    def distributions(self, table: SheetTable) -> list[Distribution]:
        """Dollars per share by ex-date. Two payments on one day are added, a repeated row is not."""
        payments_by_day: dict[str, set[tuple[float, str]]] = {}
        for place, day, cells in self._dated(table, "ex-date"):
            with self._wrong_at(place):
                amount = sum(cells.number(title) or 0.0 for title in PAID if title in cells)
                if amount:
                    payments_by_day.setdefault(day, set()).add((amount, cells.get("payable", "")))
                else:
                    self.empty += 1
        return [
            Distribution(self._ticker, day, round(sum(amount for amount, _ in payments), 9))
            for day, payments in sorted(payments_by_day.items())
        ]

    def read_holdings(self, table: SheetTable, day: dt.date, rows: dict[str, FundFacts]) -> list[SectorWeight]:
        """Sector weights of a list of a day. Its companies become `holdings`, if it says how much is held.

        The count of shares outstanding above it is added to `rows`.
        """
        at = bisect(self._sessions, day)
        if not at or day > self._today:  # before the calendar, or in the future
            return []
        session = self._sessions[at - 1].isoformat()
        lines, units = self._constituents(table), self._add_count(rows, table, day, session)
        equities = tuple(line for line in lines if line.asset_class == EQUITY)
        if any(line.quantity for line in equities):
            self.holdings = Holdings(self._ticker, day.isoformat(), units, equities)
        return self._sectors(lines, session)

    def _constituents(self, table: SheetTable) -> list[Constituent]:
        """The lines of a list of holdings.

        A list that breaks off, or whose weights are not those of a whole fund, is wrong: the smallest
        holdings come last and no sum would miss them. So is one whose values are not quantity times price.
        """
        lines: list[Constituent] = []
        ended = bool(table.sheet)
        for place, cells, is_note in table.rows():
            if is_note and lines:
                ended = True
                break
            if is_note:
                continue
            texts = ("" if (text := cells.get(name, "")) in MISSING else text for name in _TEXTS)
            ticker, name, sector, currency = texts
            kind = cells.get("asset class", EQUITY if ticker else "").casefold()
            with self._wrong_at(place):
                quantity, price, value = (cells.number(title, signed=True) for title in _FIGURES)
                weight = cells.number("weight", signed=True) or 0.0
                lines.append(Constituent(ticker, name, sector, kind, quantity, price or None, value, weight, currency))
        self._check_whole(sum(line.weight for line in lines), len(lines), ended=ended)
        products = [
            (line.name, line.quantity * line.price / line.value)
            for line in lines
            if line.asset_class == EQUITY and line.quantity and line.price and line.value
        ]
        self._check_products("market value is not quantity × price", products, VALUE_WITHIN)
        return lines

    def _sectors(self, lines: Sequence[Constituent], session: str) -> list[SectorWeight]:
        """Percent of the equities' market value by sector, empty if too much of it is in none.

        Cash, futures and the like are left out. Where a list has no values, its weights stand for them.
        """
        values: dict[str, float] = {}
        has_values = any(line.value is not None for line in lines)
        for line in lines:
            if line.asset_class in {EQUITY, ""}:
                worth = (line.value or 0.0) if has_values else line.weight
                values[line.sector] = values.get(line.sector, 0.0) + worth
        whole = sum(values.values())
        if whole <= 0 or values.get("", 0.0) > UNSORTED * whole:
            return []
        return [
            SectorWeight(self._ticker, session, SECTOR, sector, round(WHOLE * values[sector] / whole, 4))
            for sector in sorted(values.keys() - {""})
        ]

    def _add_count(self, rows: dict[str, FundFacts], holdings: SheetTable, day: dt.date, session: str) -> float | None:
        """Return the shares outstanding above the holdings, and add them if the history lacks the session."""
        count = None
        with self._wrong_at(f"{_COUNT} above the holdings"):
            count = PLAIN.number(cell_beside(holdings.preamble, _COUNT) or "")
            row = FundFacts(self._ticker, session, shares=count)
            check_facts(row)
            if count and count > 0 and session not in rows:
                if session == day.isoformat():
                    rows[session] = row
                else:
                    self.closed.add(day.isoformat())
        return count

    @contextmanager
    def _wrong_at(self, place: str) -> Iterator[None]:
        """Collect what is wrong with the cells of a place."""
        try:
            yield
        except BadCell as error:
            self.bad.append(f"{place}: {error}")

    def _check_products(self, words: str, ratios: Sequence[tuple[str, float]], within: float) -> list[str]:
        """Names whose ratio of a product to the figure beside it is not one. As a rule, that is wrong."""
        unequal = [name for name, ratio in ratios if abs(ratio - 1) > within]
        if len(unequal) > COLUMNS_WRONG * len(ratios):
            rows = f"{len(unequal):,} of {len(ratios):,} rows"
            self.bad.append(f"{words} in {rows}, so its columns mean something else")
        return unequal

    def _check_whole(self, total: float, count: int, *, ended: bool) -> None:
        """Holdings of text must be followed by something, and all must add up to the fund."""
        if not ended:
            self.bad.append("nothing follows the last of its holdings: the file breaks off")
        elif abs(total - WHOLE) > WHOLE_WITHIN + ROUNDED * count and not self.bad:
            self.bad.append(f"the weights of its holdings add up to {total:.1f}%, so it is not the whole fund")

    def _dated(self, table: SheetTable, column: str) -> Iterator[tuple[str, str, Cells]]:
        ended = False
        for place, cells, is_note in table.rows():
            if cells.get("ticker", self._ticker) != self._ticker and not is_note:
                continue  # a list of all funds of an issuer
            if all(cell in MISSING for cell in cells.values()):
                ended = ended or is_note
                self.empty += not is_note
                continue
            try:
                day = dt.date.fromisoformat(PLAIN.date(cells[column]))
                if day > self._today:
                    raise BadCell(f"{day} is in the future")
            except BadCell as error:
                if not (ended or is_note):
                    self.bad.append(f"{place}: {error}")
                continue
            if day in self._open:
                yield place, day.isoformat(), cells
            elif self._sessions and day > self._sessions[-1] and day.weekday() < _SATURDAY:
                self.unfinished.add(day.isoformat())
            else:
                self.closed.add(day.isoformat())


ISHARES = "iShares"
# What funds were called in older files.
FORMER_NAMES = {"ishares russell 2000 index fund": "ishares russell 2000 etf"}

_FACTS = ("nav", "shares", "assets")
# Titles in the files by our names.
HISTORICAL = {"date": "as of", "nav": "nav per share", "shares": "shares outstanding"}
DISTRIBUTIONS = {"ex-date": "ex-date", "payable": "payable date", "total": "total distribution"}
SSGA_DISTRIBUTIONS = {
    "ticker": "ticker",
    "ex-date": "ex-date",
    "payable": "payable date",
    "total": "dividend ($)",
    "short": "short term capital gain ($)",
    "long": "long term capital gain ($)",
}
PAID = ("total", "short", "long")  # what a distribution is the sum of
ISHARES_HOLDINGS = {"sector": "sector", "asset class": "asset class", "value": "market value", "weight": "weight (%)"}
# Those of the titles of holdings that old files lack; the first names are of texts, the others of figures.
_TEXTS, _FIGURES = ("ticker", "name", "sector", "currency"), ("quantity", "price", "value")
ISHARES_MORE = {name: name for name in (*_TEXTS, *_FIGURES) if name not in ISHARES_HOLDINGS}
SSGA_MORE = {"ticker": "ticker", "name": "name", "currency": "local currency", "quantity": "shares held"}
_AS_OF, _COUNT = "Fund Holdings as of", "Shares Outstanding"
SSGA = "SSGA"
NAVHIST = {"date": "date", "nav": "nav", "shares": "shares outstanding", "assets": "total net assets"}
SSGA_HOLDINGS = {"weight": "weight", "sector": "sector", "shares held": "shares held"}


@dataclass(frozen=True)
class IssuerFile:
    """The tables of an issuer's file. `fund` is its name in the file, "" if it has none."""

    issuer: str
    layout: str  # "iShares fund workbook"
    fund: str
    ticker: str | None  # of that fund, when it is known
    history: SheetTable | None
    holdings: SheetTable | None
    distributions: SheetTable | None = None

    def read(self, reader: SheetReader, name: str) -> Observations:
        """All rows of the file by kind. Raises ImportRejected for empty holdings."""
        facts = reader.facts(self.history) if self.history else {}
        weights = self._weights(self.holdings, facts, reader, name) if self.holdings else []
        rows: dict[str, Sequence[Observation]] = {
            "fund_facts": [row for _, row in sorted(facts.items())],
            "distributions": reader.distributions(self.distributions) if self.distributions else [],
            "sector_weights": weights,
        }
        return observations_of({kind: group for kind, group in rows.items() if group})

    def _weights(
        self, holdings: SheetTable, facts: dict[str, FundFacts], reader: SheetReader, name: str
    ) -> list[SectorWeight]:
        """Sector weights; the share count above the holdings is added to `facts`."""
        if self.issuer == ISHARES and not self.history:
            reader.notes.append("It has no history of NAV and shares: that is in the fund workbook.")
        day = _as_of(holdings)
        weights = reader.read_holdings(holdings, day, facts) if day else []
        if not weights and not reader.bad:
            reason = "its holdings are of no date or of no sector."
            if self.issuer == SSGA and day:
                reason = "the issuer leaves the column Sector empty (“-”); Yahoo gives them."
            elif not self.history:
                raise ImportRejected(_no_weights_reason(holdings, day, name))
            reader.notes.append(f"Sector weights: none, {reason}")
        return weights


def recognise_file(sheets: Mapping[str, Grid], pair: Pair) -> IssuerFile | None:
    """The tables of a file of either issuer, None for any other file."""
    history, holdings = find_table(sheets, HISTORICAL), find_table(sheets, ISHARES_HOLDINGS, ISHARES_MORE)
    if history or holdings:
        layout, fund = "iShares fund workbook" if history else "iShares holdings", _fund_name(holdings)
        distributions = find_table(sheets, DISTRIBUTIONS)
        return IssuerFile(ISHARES, layout, fund, _ticker(fund, pair), history, holdings, distributions)
    history, holdings = find_table(sheets, NAVHIST), find_table(sheets, SSGA_HOLDINGS, SSGA_MORE)
    if table := history or holdings:
        fund = shorten(cell_beside(table.preamble, "Ticker Symbol") or "", 80)
        ticker = fund if fund in pair.tickers else None
        if history:
            return IssuerFile(SSGA, "SSGA NAV history", fund, ticker, history, None)
        return IssuerFile(SSGA, "SSGA holdings", fund, ticker, None, holdings)
    if distributions := find_table(sheets, SSGA_DISTRIBUTIONS):
        listed = {cells["ticker"] for _, cells, _ in distributions.rows()}
        tickers = [*filter(listed.__contains__, pair.tickers)]
        ticker = tickers[0] if len(tickers) == 1 else None
        return IssuerFile(SSGA, "SSGA distributions", ticker or "", ticker, None, None, distributions)
    return None


def _ticker(name: str, pair: Pair) -> str | None:
    """The fund of the pair that has this name in any case, None if neither has."""
    plain = _without_trademarks(name).casefold()
    names = {_without_trademarks(fund.name).casefold(): fund.ticker for fund in pair}
    return names.get(FORMER_NAMES.get(plain, plain))


def _without_trademarks(name: str) -> str:
    return " ".join(name.replace("®", "").replace("™", "").split())


def _as_of(holdings: SheetTable) -> dt.date | None:
    """Date of the holdings: beside a title, in iShares' workbook a row of its own; None for "-"."""
    beside = (cell_beside(holdings.preamble, title) for title in (_AS_OF, "Holdings"))
    named = next((text.removeprefix("As of") for text in beside if text is not None), None)
    rows = ([cell for cell in row if cell.strip()] for row in holdings.preamble)
    alone = [cells[0] for cells in rows if len(cells) == 1]
    for text in [named] if named is not None else alone:
        with suppress(BadCell):
            return dt.date.fromisoformat(PLAIN.date(text))
    return None


def _no_weights_reason(holdings: SheetTable, day: dt.date | None, name: str) -> str:
    if day is not None:
        return f"{name} has no equities sorted into sectors, or is dated {day}, on which nothing can be known."
    text = cell_beside(holdings.preamble, _AS_OF)
    if text in MISSING:
        return f"{name} is empty: the issuer has no holdings for the date asked for (as of “{text}”)."
    return f"{name} does not say of which date its holdings are."


def _fund_name(holdings: SheetTable | None) -> str:
    cells = (cell for row in (holdings.preamble if holdings else []) for cell in row)
    name = next((cell for cell in cells if cell.strip().casefold().startswith("ishares")), "")
    return shorten(_without_trademarks(name), 80)


# Form N-PORT, as filed with the SEC: the sales and redemptions of a fund in each month of a quarter, about
# two months after it. Creations in kind are among the sales, so their balance is the fund's flow.
_MONTHS = 3

_FLOW = re.compile(r"<mon([123])Flow\b([^<>]*)>")
_AMOUNT = re.compile(r'\b(sales|reinvestment|redemption)="([^"<>]*)"')


class OtherFund(ImportRejected):
    """A filing of a fund that is not compared."""


def text_of(tag: str, text: str) -> str:
    """What the first element of this name holds, an empty string without any."""
    return unescape(text.partition(f"<{tag}>")[2].partition("<")[0].strip())


def read_nport(
    data: bytes, name: str, completed: pd.DatetimeIndex, pair: Pair, ticker: str | None = None
) -> FileContents:
    """The flows of the three months of a filing, each dated by the month's last session.

    Raises ImportRejected for a filing that is cut, of another fund or without them.
    """
    text = decode(data)
    if not text.rstrip().endswith("</edgarSubmission>"):
        raise ImportRejected(f"{name} breaks off before its end; download it again.")
    series, cik = text_of("seriesId", text), text_of("regCik", text).lstrip("0")
    fund = next((fund for fund in pair if fund.sec and fund.sec.lstrip("0") in {series, cik}), None)
    if fund is None or ticker not in {None, fund.ticker}:
        whose = shorten(text_of("seriesName", text) or text_of("regName", text), 60)
        raise OtherFund(f"{name} is of {whose} ({series or cik}), not a fund of this bot; {compared(pair)}.")
    try:
        end = pd.Timestamp(dt.date.fromisoformat(text_of("repPdDate", text)))
        flows = {int(month): _balance(amounts) for month, amounts in _FLOW.findall(text)}
        assets = float(text_of("netAssets", text))
    except ValueError:
        flows = {}
    if len(flows) != _MONTHS or any(abs(flow) > assets for flow in flows.values()):
        raise ImportRejected(f"{name} does not say what was sold and redeemed in each of its months.")
    rows = []
    for month, flow in sorted(flows.items()):
        sessions = completed[completed <= end + pd.offsets.MonthEnd(month - _MONTHS)]
        if len(sessions):
            rows.append(FundFacts(fund.ticker, f"{sessions[-1]:%Y-%m-%d}", flow=flow))
    months = f"official flows of the {_MONTHS} months to {MONTHS[end.month - 1]} {end.year}"
    preview = Preview(fund.ticker, f"{fund.ticker}, N-PORT filing: {months}.")
    return FileContents({"fund_facts": rows}, preview, f"{fund.ticker} import", source=SEC)


def _balance(attributes: str) -> float:
    """Dollars sold and reinvested less those redeemed. Raises ValueError unless all three are given."""
    amounts = {name: float(amount) for name, amount in _AMOUNT.findall(attributes)}
    if len(amounts) != _MONTHS or any(not 0 <= amount < 1e13 for amount in amounts.values()):
        raise ValueError("an amount is missing")
    return round(amounts["sales"] + amounts["reinvestment"] - amounts["redemption"], 2)


def content_summary(observations: Observations) -> str:
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
    return "; ".join(parts) or "nothing to store"


def off_market_sentence(sessions: Sequence[str]) -> str:
    """A sentence on NAVs far from the market price."""
    return f"NAV more than 5% off the market price, stored as given: {listed(sessions)}."


# Beginnings of the funds' names by issuer.
ISSUERS = {"ishares": ISHARES, "spdr": SSGA, "state street": SSGA}


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

    name: what to call the file. completed: the sessions of which figures are read, naive midnights in order. ticker:
    when given, it must be the fund that the file says it is of.

    Figures are taken as given; only rows of days without a session are left out. Raises ImportRejected, with everything
    that is wrong, for anything but a whole file of a known layout and fund.
    """
    expected = known_fund(ticker, pair) if ticker is not None else None
    if detect_format(data, name) == NPORT:
        return read_nport(data, name, completed, pair, expected)
    sheets = read_sheets(data, name)
    file = recognise_file(sheets, pair)
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
        f"{fund}, {file.layout}: {content_summary(rows)}.",
        closed=tuple(sorted(reader.closed)),
        unfinished=tuple(sorted(reader.unfinished)),
        empty=reader.empty,
        notes=tuple(reader.notes),
    )
    return FileContents(rows, preview, f"{fund} import", holdings=reader.holdings, source=ISSUER)


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


def _unknown_layout(sheets: Mapping[str, Grid], name: str) -> str:
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
        f"SSGA's navhist, holdings and distributions, and N-PORT filings. {ADVICE}"
    )
