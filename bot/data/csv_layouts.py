"""How sites and programs write daily prices: the titles of their columns, their dates and their numbers.

`DIALECTS` is the table of the layouts that are recognised. Whether a date such as 12/10/2021 begins with the
day or the month, and whether 1,234 has a decimal comma, is decided by all rows of a file together; where they
do not decide it, the cell is refused.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bot.errors import ImportRejected

if TYPE_CHECKING:
    Record = tuple[int, list[str]]


MONTH_FIRST, DAY_FIRST = "month/day/year", "day/month/year"
POINT, COMMA = "decimal points", "decimal commas"
DELIMITERS = {",": "", ";": "semicolons", "\t": "tabs"}
NUMERIC_COLUMNS = ("open", "high", "low", "close", "volume", "dividends", "stock splits")

_EXCHANGE = ZoneInfo("America/New_York")
_DAY_SECONDS = 86_400
NUMBER_PATTERN = re.compile(
    r"[-+]?(?:(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?"
)
_THREE_NUMBERS = re.compile(
    r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})(?:,? [0-9]{1,2}(?::[0-9]{2}){1,2}(?: ?[APap][Mm])?)?"
)
_YEAR_FIRST = re.compile(r"([0-9]{4})/([0-9]{1,2})/([0-9]{1,2})")
_EPOCH = re.compile(r"[0-9]{9,10}")
_AMOUNT = re.compile(r"([-+]?)\$?([0-9.,].*?)([KMB]?)")
_PLAIN = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_SWAPPED = str.maketrans(",.", ".,")
_SUFFIXES = {"K": 1e3, "M": 1e6, "B": 1e9}


@dataclass(frozen=True)
class Dialect:
    """One layout of daily prices, recognised by the titles of its header and, where needed, its first date.

    Attributes:
        titles: all of these are in the header, in lower case; `whole` when there are no others.
        columns: its own titles for the columns of daily prices; an empty string for one that is not read.
        dates: what its first date looks like.
        order: of the parts of its dates where that is fixed; otherwise the rows decide.
        split_adjusted: whether its closes are; if not, its own split factors adjust them.
    """

    name: str
    titles: tuple[str, ...]
    columns: Mapping[str, str] = field(default_factory=dict)
    dates: str = ""
    whole: bool = False
    order: str = ""
    decimal_comma: bool = False
    split_adjusted: bool = True


_GERMAN = {
    "datum": "date",
    "erster": "open",
    "eröffnung": "open",
    "eröffn.": "open",
    "hoch": "high",
    "tief": "low",
    "schluss": "close",
    "schlusskurs": "close",
    "zuletzt": "close",
}

DIALECTS = (
    Dialect(
        "Tiingo",
        ("date", "divcash", "splitfactor"),
        {"divcash": "dividends", "splitfactor": "stock splits"},
        split_adjusted=False,
    ),
    Dialect(
        "Alpha Vantage adjusted",
        ("timestamp", "dividend amount", "split coefficient"),
        {"timestamp": "date", "dividend amount": "dividends", "split coefficient": "stock splits"},
        split_adjusted=False,
    ),
    Dialect("Alpha Vantage", ("timestamp", "close"), {"timestamp": "date"}),
    Dialect("Nasdaq", ("date", "close/last"), {"close/last": "close"}, order=MONTH_FIRST),
    Dialect("Investing.com", ("date", "price", "vol.", "change %"), {"price": "close", "vol.": "volume"}),
    Dialect(
        "Investing.com in German",
        ("datum", "zuletzt", "vol."),
        {**_GERMAN, "vol.": "volume"},
        decimal_comma=True,
    ),
    Dialect("TradingView", ("time", "close"), {"time": "date"}),
    Dialect("StockCharts", ("day", "date", "close"), {"day": ""}),
    Dialect("Yahoo Finance's page", ("date", "close*"), {"close*": "close"}),
    Dialect(
        "Yahoo Finance's page",
        ("date", "close close price adjusted for splits."),
        {"close close price adjusted for splits.": "close"},
    ),
    Dialect("yf.download", ("date of yf.download",), {"date of yf.download": "date"}),
    Dialect("Google Sheets", ("date", "close"), dates=r".* (?:13|16):00:00"),
    Dialect(
        "MarketWatch",
        ("date", "open", "high", "low", "close", "volume"),
        dates=r"[0-9]{2}/[0-9]{2}/[0-9]{4}",
        whole=True,
    ),
    Dialect("German", ("datum",), _GERMAN, decimal_comma=True),
)


def recognise_dialect(dialects: Iterable[Dialect], titles: list[str], first: list[str]) -> Dialect | None:
    """The dialect of a header in lower case and its first row, None for a file with our own titles."""
    for dialect in dialects:
        if not set(dialect.titles) <= set(titles) or (dialect.whole and len(titles) != len(dialect.titles)):
            continue
        date = first[titles.index("date")].strip() if dialect.dates and len(first) >= len(titles) else ""
        if re.fullmatch(dialect.dates, date):
            return dialect
    return None


def delimiter_of(text: str) -> str:
    """What separates the cells of the first line: the most frequent of comma, semicolon and tab.

    As many commas as others are decimal commas.
    """
    header = next((line for line in text.split("\n") if line.strip()), "")
    other = max(";\t", key=header.count)
    return other if header.count(other) >= max(header.count(","), 1) else ","


def one_header(records: list[Record], ticker: str, name: str) -> list[Record]:
    """The records with one header in place of yf.download's three: price, ticker, date.

    Columns of other tickers lose their title. Raises ImportRejected where the ticker has none.
    """
    heads = [cells for _, cells in records[:3]]
    firsts = [cells[0].strip().casefold() for cells in heads]
    if sorted(firsts[:2]) != ["price", "ticker"] or firsts[2:] != ["date"]:
        return records
    prices, tickers = heads[firsts.index("price")], heads[firsts.index("ticker")]
    pairs = list(zip(prices[1:], tickers[1:], strict=False))
    if ticker not in {cell.strip() for _, cell in pairs}:
        others = ", ".join(dict.fromkeys(cell.strip() for _, cell in pairs if cell.strip())) or "none"
        raise ImportRejected(f"{name} has no prices of {ticker}; the tickers in it: {others}.")
    header = ["Date of yf.download", *(price if cell.strip() == ticker else "" for price, cell in pairs)]
    return [(records[0][0], header), *records[3:]]


def _date(cell: str, *, month_first: bool) -> str | None:
    """ISO date of three numbers, also with the year first, or of seconds since 1970; None for other text."""
    try:
        if match := _THREE_NUMBERS.fullmatch(cell):
            if month_first and match[2] == ".":
                return None  # with points the day comes first
            month, day = (match[1], match[3]) if month_first else (match[3], match[1])
            return dt.date(int(match[4]), int(month), int(day)).isoformat()
        if match := _YEAR_FIRST.fullmatch(cell):
            return dt.date(int(match[1]), int(match[2]), int(match[3])).isoformat()
    except ValueError:
        return None  # a 13th month
    if not _EPOCH.fullmatch(cell):
        return None
    # Midnight in UTC is a date without a time; any other instant is a time of the exchange.
    zone = _EXCHANGE if int(cell) % _DAY_SECONDS else dt.UTC
    return dt.datetime.fromtimestamp(int(cell), zone).date().isoformat()


def _number(cell: str, *, comma: bool) -> str | None:
    """A number without dollar sign, thousands marks and K, M or B; None for other text."""
    if not (match := _AMOUNT.fullmatch(cell)):
        return None
    sign, amount, suffix = match.groups()
    amount = amount.translate(_SWAPPED) if comma else amount
    if not NUMBER_PATTERN.fullmatch(amount):
        return None
    plain = amount.replace(",", "")
    return sign + (repr(float(plain) * _SUFFIXES[suffix]) if suffix else plain)


_Meanings = Mapping[str, Callable[[str], str | None]]
_DATES: _Meanings = {
    MONTH_FIRST: partial(_date, month_first=True),
    DAY_FIRST: partial(_date, month_first=False),
}
_DECIMALS: _Meanings = {POINT: partial(_number, comma=False), COMMA: partial(_number, comma=True)}


@dataclass(frozen=True)
class Notation:
    """How the rows of one file write dates and numbers, each an empty string where the rows leave it open."""

    order: str
    decimals: str

    def plain(self, cells: Mapping[str, str]) -> dict[str, str]:
        """The cells with ISO dates and plain numbers. Raises ValueError for a cell with two meanings.

        A cell without any meaning stays as it is: what reads it names what is wrong with it.
        """
        return {column: self._plain(column, cell) for column, cell in cells.items()}

    def _plain(self, column: str, cell: str) -> str:
        if column == "date":
            meanings = [read(cell) for order, read in _DATES.items() if self.order in {"", order}]
        elif self.decimals == POINT and _PLAIN.fullmatch(cell):
            return cell
        elif column == "volume" or (column in NUMERIC_COLUMNS and cell[-1:] not in _SUFFIXES):
            meanings = [read(cell) for mark, read in _DECIMALS.items() if self.decimals in {"", mark}]
        else:
            return cell
        different = sorted({meaning for meaning in meanings if meaning is not None})
        if len(different) > 1:
            raise ValueError(
                f"{column} “{cell}” could be {' or '.join(different)}; no other row decides which"
            )
        return different[0] if different else cell


def notation_of(rows: Iterable[Mapping[str, str]], dialect: Dialect | None, delimiter: str) -> Notation:
    """How a file writes its dates and numbers, as its dialect says or all its rows decide.

    Decimal commas are looked for only where commas do not separate the cells, or in a German file.
    """
    dates, numbers = set[str](), set[str]()
    for row in rows:
        dates.add(row["date"])
        numbers.update(row[column] for column in NUMERIC_COLUMNS if column in row)
    order = dialect.order if dialect else ""
    commas = delimiter != "," or (dialect is not None and dialect.decimal_comma)
    return Notation(order or _decide(dates, _DATES), _decide(numbers, _DECIMALS) if commas else POINT)


def _decide(cells: Iterable[str], readings: _Meanings) -> str:
    """The name of the reading that fits most cells; an empty string where two do and differ."""
    meanings = {name: [read(cell) for cell in cells] for name, read in readings.items()}
    misfits = {name: column.count(None) for name, column in meanings.items()}
    best = [name for name in readings if misfits[name] == min(misfits.values())]
    return best[0] if all(meanings[name] == meanings[best[0]] for name in best) else ""


def describe(dialect: Dialect | None, delimiter: str, notation: Notation, dates: Iterable[str]) -> str:
    """The layout of a file for people: "Nasdaq, dates month/day/year"; empty for the plain one."""
    numeric = any(_THREE_NUMBERS.fullmatch(date) for date in dates)
    words = (
        dialect.name if dialect else "",
        DELIMITERS[delimiter],
        notation.decimals if notation.decimals == COMMA else "",
        f"dates {notation.order}" if numeric and notation.order else "",
    )
    return ", ".join(word for word in words if word)
