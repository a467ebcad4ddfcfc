"""Reads a CSV file as a table: its text, its layout, and its rows under the columns of a format.

The layouts of sites and programs that are recognised, DIALECTS, are a table of their own, csv_layouts.toml.
"""

import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from bot.data.csv_cells import COMMA, CONTROL, NUMERIC_DATE, PLAIN, Cells, Notation, notation_of, shorten
from bot.errors import ImportRejected
from bot.text import load_toml
from storage.records import Observation

LARGEST_FILE = 8_000_000  # bytes: thirty years of daily rows are half a million
MOST_ROWS = 100_000  # thirty years of sector weights have as many; they are read within seconds
LONGEST_LINE = 20_000  # characters: a longer one is no row of a table
TEXT_NAME = "the text"  # what a file given as text is called in messages
_NOT_TEXT = {
    b"PK\x03\x04": "an Excel workbook; save it as CSV first",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save it as CSV first",
    b"\x1f\x8b": "compressed; unpack it first",
    b"%PDF": "a PDF; a CSV file is needed",
}

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
    titles: Sequence[str]
    columns: Mapping[str, str] = field(default_factory=dict)
    dates: str = ""
    whole: bool = False
    order: str = ""
    decimal_comma: bool = False
    split_adjusted: bool = True


DIALECTS = tuple(Dialect(**fields) for fields in load_toml("bot.data", "csv_layouts.toml")["dialects"])


@dataclass(frozen=True)
class Format:
    """One kind of file: its columns and their other names, and what its rows become.

    Attributes:
        command: the word for it of the commands import and export.
        required: columns that a file must have.
        fills: tables of the kinds of observations in it.
        convert: cells, ticker and session to rows. Raises BadCell for wrong cells.
        closed: what happens to a row on a day without a session: "refuse", "drop", or "before": it counts
            for the session before.
        dialects: layouts of other programs that are read too.
    """

    command: str
    title: str
    columns: Mapping[str, Sequence[str]]
    required: Sequence[str]
    fills: Sequence[str]
    convert: Callable[[Cells, str, str], Sequence[Observation]]
    closed: str
    dialects: tuple[Dialect, ...] = ()

    def find(self, header: Sequence[str], dialect: Dialect | None = None) -> dict[str, list[int]]:
        """Positions in the header of each column that is there, also by the titles of a dialect."""
        wanted = {_normalised(name): column for column, names in self.columns.items() for name in (column, *names)}
        wanted |= dialect.columns if dialect else {}
        positions: dict[str, list[int]] = {}
        for position, title in enumerate(header):
            if column := wanted.get(_normalised(title)):
                positions.setdefault(column, []).append(position)
        return positions

    def missing(self, header: Sequence[str]) -> list[str]:
        """Required columns that the header lacks."""
        return [column for column in self.required if column not in self.find(header)]


@dataclass(frozen=True)
class CsvTable:
    """A file's rows under the columns of its format, each with its line number, and the headers not used."""

    name: str
    rows: list[tuple[int, Cells]]
    columns: frozenset[str]  # that the file has
    left_out: tuple[str, ...]
    bad: list[tuple[int, str]]  # line and reason of rows that do not fit the header
    layout: str = ""  # whose layout it is and how it writes dates and numbers; empty for the plain one
    split_adjusted: bool = True


def read_table(file: Path | str, form: Format, forms: Collection[Format], ticker: str) -> CsvTable:
    """Read a file (Path) or its text (str) as a table. Raises ImportRejected if it has another layout.

    `forms` are all kinds that can be imported: a file of another kind is named in the error. Of a file
    with columns for several tickers, those of `ticker` are read.
    """
    name = file.name if isinstance(file, Path) else TEXT_NAME
    text = read_text(file) if isinstance(file, Path) else _clean(file, name)
    delimiter = _delimiter_of(text)
    records = _records(name, text, delimiter)
    if not records:
        raise ImportRejected(f"{name} is empty.")
    (_, header), *lines = _one_header(records, ticker, name)
    titles = [_normalised(title) for title in header]
    dialect = _recognise_dialect(form.dialects, titles, lines[0][1] if lines else [])
    positions = form.find(header, dialect)
    if missing := [column for column in form.required if column not in positions]:
        first = shorten(next(line for line in text.split("\n") if line.strip(f" \t{delimiter}")), 100)
        advice = f"A first line that works: {delimiter.join(form.required)}"
        fault = f"lacks the column{'s' * (len(missing) > 1)} {_quoted(missing)}"
        if not positions and any(_is_value(cell) for cell in header):
            fault = "has no header line"
        elif other := next((other for other in forms if not other.missing(header)), None):
            advice = f"These look like {other.title}, which “import {other.command}” reads."
        raise ImportRejected(f"{name} {fault}; its first line is “{first}”. {advice}")
    for column, places in positions.items():
        if len(places) > 1:
            same = _quoted([shorten(header[place]) for place in places])
            raise ImportRejected(f"{name} has more than one column for {column}: {same}.")
    columns = [(column, places[0]) for column, places in positions.items()]
    left_out = (shorten(title) for place, title in enumerate(header) if [place] not in positions.values())
    whole, bad = _whole_lines(lines, len(header))
    day = positions["date"][0]
    dates = {cells[day].strip() for _, cells in whole}
    commas = delimiter != "," or (dialect is not None and dialect.decimal_comma)
    numbers = {cells[at].strip() for _, cells in whole for _, at in columns if at != day} if commas else ()
    order = dialect.order if dialect else ""
    notation = notation_of(dates, numbers, order, commas=commas, seconds=bool(form.dialects))
    return CsvTable(
        name,
        [(n, Cells([(c, cells[at].strip()) for c, at in columns], notation)) for n, cells in whole],
        frozenset(positions),
        tuple(title for title in left_out if title),
        bad,
        _describe(dialect, delimiter, notation, dates),
        dialect is None or dialect.split_adjusted,
    )


def _recognise_dialect(dialects: Iterable[Dialect], titles: list[str], first: list[str]) -> Dialect | None:
    """The dialect of a header in lower case and its first row, None for a file with our own titles."""
    for dialect in dialects:
        if not set(dialect.titles) <= set(titles) or (dialect.whole and len(titles) != len(dialect.titles)):
            continue
        date = first[titles.index("date")].strip() if dialect.dates and len(first) >= len(titles) else ""
        if re.fullmatch(dialect.dates, date):
            return dialect
    return None


def _delimiter_of(text: str) -> str:
    """What separates the cells of the first line: the most frequent of comma, semicolon and tab.

    As many commas as others are decimal commas.
    """
    header = next((line for line in text.split("\n") if line.strip()), "")
    other = max(";\t", key=header.count)
    return other if header.count(other) >= max(header.count(","), 1) else ","


def _one_header(records: list[Record], ticker: str, name: str) -> list[Record]:
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


def _whole_lines(lines: list[Record], width: int) -> tuple[list[Record], list[tuple[int, str]]]:
    """The lines as wide as the header (empty cells may follow), and what is wrong with the others."""
    whole, bad = [], []
    for line, cells in lines:
        if len(cells) == width or (len(cells) > width and not any(cell.strip() for cell in cells[width:])):
            whole.append((line, cells))
        else:
            bad.append((line, f"has {len(cells)} cells where the header has {width}"))
    return whole, bad


def _describe(dialect: Dialect | None, delimiter: str, notation: Notation, dates: Collection[str]) -> str:
    """The layout of a file for people: "Nasdaq, dates month/day/year"; empty for the plain one."""
    words = (
        dialect.name if dialect else "",
        DELIMITERS[delimiter],
        notation.decimals if notation.decimals == COMMA else "",
        f"dates {notation.order}" if notation.order and any(map(NUMERIC_DATE.fullmatch, dates)) else "",
    )
    return ", ".join(word for word in words if word)


def read_bytes(path: Path, needed: str, most: int) -> bytes:
    """Read at most `most` + 1 bytes of a file. Raises ImportRejected if it cannot be read."""
    try:
        with path.open("rb") as opened:
            return opened.read(most + 1)
    except FileNotFoundError:
        raise ImportRejected(f"There is no file {path}.") from None
    except IsADirectoryError:
        raise ImportRejected(f"{path} is a folder; {needed} is needed.") from None
    except OSError as err:
        raise ImportRejected(f"{path} cannot be read: {err.strerror}.") from err


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or UTF-16 with its mark. Raises ImportRejected for anything else."""
    content = read_bytes(path, "a CSV file", LARGEST_FILE)
    if len(content) > LARGEST_FILE:
        raise ImportRejected(f"{path.name} is larger than {LARGEST_FILE / 1e6:.0f} MB; import it in parts.")
    for start, words in _NOT_TEXT.items():
        if content.startswith(start):
            raise ImportRejected(f"{path.name} is {words}.")
    try:
        return _clean(decoded(content), path.name)
    except UnicodeDecodeError:
        raise ImportRejected(f"{path.name} is not a text file in UTF-8; save it as CSV (UTF-8).") from None


def decoded(content: bytes) -> str:
    """The text of bytes in UTF-8, or UTF-16 with its mark, without a mark. Raises UnicodeDecodeError."""
    utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    return content.decode("utf-16" if utf16 else "utf-8-sig")


def _clean(text: str, name: str) -> str:
    """The text without byte order mark and with plain line ends."""
    if CONTROL.search(text):
        raise ImportRejected(f"{name} is not a text file.")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _records(name: str, text: str, delimiter: str) -> list[Record]:
    """Non-blank records with their line numbers. Raises ImportRejected if the text is not CSV."""
    for line, content in enumerate(text.split("\n"), start=1):
        if len(content) > LONGEST_LINE:
            raise ImportRejected(f"{name}, line {line}: {len(content):,} characters are no row of a table.")
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        full = ((reader.line_num, cells) for cells in reader if "".join(cells).strip())
        records = list(islice(full, MOST_ROWS + 2))  # a header and one too many
    except csv.Error as err:
        raise ImportRejected(f"{name}, line {reader.line_num}: not readable as CSV ({err}).") from err
    if len(records) > MOST_ROWS + 1:
        raise ImportRejected(f"{name} has more than {MOST_ROWS:,} rows; import it in parts.")
    return records


def _quoted(names: Sequence[str]) -> str:
    *others, last = (f"“{name}”" for name in names)
    return f"{', '.join(others)} and {last}" if others else last


def _is_value(cell: str) -> bool:
    """Whether a cell is a number or a date, and so no title of a column."""
    for read in (PLAIN.number, PLAIN.date):
        try:
            return read(cell) is not None
        except ValueError:
            continue
    return False


def _normalised(title: str) -> str:
    return " ".join(title.replace("_", " ").casefold().split())
