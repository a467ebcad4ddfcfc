"""How sites and programs lay out daily prices: the titles of their columns, what separates their cells.

The layouts that are recognised, DIALECTS, are a table of their own, csv_layouts.toml.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files

from bot.errors import ImportRejected

Record = tuple[int, list[str]]
DELIMITERS = {",": "", ";": "semicolons", "\t": "tabs"}


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


DIALECTS = tuple(
    Dialect(**{**fields, "titles": tuple(fields["titles"])})
    for fields in tomllib.loads(files("bot.data").joinpath("csv_layouts.toml").read_text(encoding="utf-8"))["dialects"]
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
