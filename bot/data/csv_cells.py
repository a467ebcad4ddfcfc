"""Cells and rows of a CSV file: header names to columns, text to numbers and dates.

Nothing here depends on a locale. A number may carry thousands commas; "", "-", "--", "N/A" and "null"
are missing values. Dates are `2020-12-11` (a time after it is left out), `Dec 11, 2020` or `11-Dec-2020`.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from bot.data.csv_layouts import (
    NUMBER_PATTERN,
    Dialect,
    delimiter_of,
    describe,
    notation_of,
    one_header,
    recognise_dialect,
)
from bot.errors import ImportRejected

if TYPE_CHECKING:
    from storage.rows import Observation

Cells: TypeAlias = Mapping[str, str]

LARGEST_FILE = 8_000_000  # bytes: thirty years of daily rows are half a million
MOST_ROWS = 100_000  # thirty years of sector weights have as many; they are read within seconds
LONGEST_LINE = 20_000  # characters: a longer one is no row of a table
TEXT_NAME = "the text"  # what a file given as text is called in messages

# Control characters that no text has; a tab, line ends and a form feed it may have.
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_MISSING = frozenset({"", "-", "--", "n/a", "na", "null"})
_VALUE = re.compile(r'(?:^|[,;\t])[ "]*[-+$]?\.?[0-9]')  # in a line: a cell that is no title of a column
_ISO = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[ T][-+:.0-9Zz]+)?")
_MONTH_FIRST = re.compile(r"([A-Za-z]{3,9})\.? ([0-9]{1,2}),? ([0-9]{4})")
_DAY_FIRST = re.compile(r"([0-9]{1,2})[- ]([A-Za-z]{3,9})[- ]([0-9]{4})")
_MONTHS = "january february march april may june july august september october november december".split()  # noqa: SIM905 - one line, not twelve
_NOT_TEXT = {
    b"PK\x03\x04": "an Excel workbook; save it as CSV first",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save it as CSV first",
    b"\x1f\x8b": "compressed; unpack it first",
    b"%PDF": "a PDF; a CSV file is needed",
}


class BadCell(ValueError):
    """A row that cannot be read. The message is the reason, without the line number."""


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
        dialects: layouts of other programs that are read too; without any, only commas separate cells.
    """

    command: str
    title: str
    columns: Mapping[str, tuple[str, ...]]
    required: tuple[str, ...]
    fills: tuple[str, ...]
    convert: Callable[[Cells, str, str], Sequence[Observation]]
    closed: str
    dialects: tuple[Dialect, ...] = ()

    def find(self, header: list[str], dialect: Dialect | None = None) -> dict[str, list[int]]:
        """Positions in the header of each column that is there, also by the titles of a dialect."""
        wanted = {
            _normalised(name): column for column, names in self.columns.items() for name in (column, *names)
        }
        wanted |= dialect.columns if dialect else {}
        positions_of: dict[str, list[int]] = {}
        for position, title in enumerate(header):
            if column := wanted.get(_normalised(title)):
                positions_of.setdefault(column, []).append(position)
        return positions_of

    def missing(self, header: list[str], dialect: Dialect | None = None) -> list[str]:
        """Required columns that the header lacks."""
        present = self.find(header, dialect)
        return [column for column in self.required if column not in present]


@dataclass(frozen=True)
class CsvTable:
    """A file's rows under the columns of its layout, each with its line number, and the headers not used."""

    name: str
    rows: list[tuple[int, dict[str, str]]]
    columns: frozenset[str]  # that the file has
    left_out: tuple[str, ...]
    bad: list[tuple[int, str]]  # line and reason of rows that do not fit the header or are ambiguous
    layout: str = ""  # whose layout it is and how it writes dates and numbers; empty for the plain one
    split_adjusted: bool = True


def read_table(file: Path | str, form: Format, forms: Collection[Format], ticker: str) -> CsvTable:
    """Read a file (Path) or its text (str) as a table. Raises ImportRejected if it has another layout.

    `forms` are all kinds that can be imported: a file of another kind is named in the error. Of a file
    with columns for several tickers, those of `ticker` are read.
    """
    name = file.name if isinstance(file, Path) else TEXT_NAME
    text = read_text(file) if isinstance(file, Path) else _clean(file, name)
    delimiter = delimiter_of(text) if form.dialects else ","
    lines = _records(name, text, delimiter)
    if not lines:
        raise ImportRejected(f"{name} is empty.")
    if form.dialects:
        lines = one_header(lines, ticker, name)
    header = lines[0][1]
    dialect = recognise_dialect(
        form.dialects, [_normalised(title) for title in header], lines[1][1] if lines[1:] else []
    )
    if missing := form.missing(header, dialect):
        first = shorten(next(line for line in text.split("\n") if line.strip(f" \t{delimiter}")), 100)
        if _VALUE.search(first) and not form.find(header, dialect):
            fault, advice = "has no header line", _example(form, delimiter)
        else:
            fault = f"lacks the {_quoted_columns(missing)}"
            advice = _advice(header, form, forms, delimiter)
        raise ImportRejected(f"{name} {fault}; its first line is “{first}”. {advice}")
    for column, positions in form.find(header, dialect).items():
        if len(positions) > 1:
            titles = " and ".join(f"“{shorten(header[place])}”" for place in positions)
            raise ImportRejected(f"{name} has more than one column for {column}: {titles}.")
    columns = {column: positions[0] for column, positions in form.find(header, dialect).items()}
    others = (shorten(title) for place, title in enumerate(header) if place not in columns.values())
    rows, bad = [], []
    for line, cells in lines[1:]:
        extra = any(cell.strip() for cell in cells[len(header) :])
        if extra or len(cells) < len(header):
            bad.append((line, f"has {len(cells)} cells where the header has {len(header)}"))
        else:
            rows.append((line, {column: cells[place].strip() for column, place in columns.items()}))
    table = CsvTable(name, rows, frozenset(columns), tuple(title for title in others if title), bad)
    return _in_plain_notation(table, dialect, delimiter) if form.dialects else table


def _in_plain_notation(table: CsvTable, dialect: Dialect | None, delimiter: str) -> CsvTable:
    """The table with ISO dates and plain numbers; rows with an ambiguous cell are reported as wrong."""
    notation = notation_of((cells for _, cells in table.rows), dialect, delimiter)
    layout = describe(dialect, delimiter, notation, (cells["date"] for _, cells in table.rows))
    rows, bad = [], list(table.bad)
    for line, cells in table.rows:
        try:
            cells.update(notation.plain(cells))  # in place: a large file is held once
        except ValueError as err:
            bad.append((line, shorten(str(err), 160)))
        else:
            rows.append((line, cells))
    return replace(
        table, rows=rows, bad=bad, layout=layout, split_adjusted=dialect is None or dialect.split_adjusted
    )


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
    utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return _clean(content.decode("utf-16" if utf16 else "utf-8"), path.name)
    except UnicodeDecodeError:
        raise ImportRejected(f"{path.name} is not a text file in UTF-8; save it as CSV (UTF-8).") from None


def _clean(text: str, name: str) -> str:
    """The text without byte order mark and with plain line ends."""
    if CONTROL.search(text):
        raise ImportRejected(f"{name} is not a text file.")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _records(name: str, text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Non-blank records with their line numbers. Raises ImportRejected if the text is not CSV."""
    for line, content in enumerate(text.split("\n"), start=1):
        if len(content) > LONGEST_LINE:
            raise ImportRejected(f"{name}, line {line}: {len(content):,} characters are no row of a table.")
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        full = ((reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells))
        records = list(islice(full, MOST_ROWS + 2))  # a header and one too many
    except csv.Error as err:
        raise ImportRejected(f"{name}, line {reader.line_num}: not readable as CSV ({err}).") from err
    if len(records) > MOST_ROWS + 1:
        raise ImportRejected(f"{name} has more than {MOST_ROWS:,} rows; import it in parts.")
    return records


def _quoted_columns(names: Sequence[str]) -> str:
    *others, last = (f"“{name}”" for name in names)
    return f"columns {', '.join(others)} and {last}" if others else f"column {last}"


def _example(form: Format, delimiter: str) -> str:
    return f"A first line that works: {delimiter.join(form.required)}"


def _advice(header: list[str], form: Format, forms: Collection[Format], delimiter: str) -> str:
    """What to do about a header that does not fit."""
    for mark, words in ((";", "semicolons"), ("\t", "tabs")):
        if mark in header[0] and not form.dialects:
            return f"Its columns are separated by {words}; save it with commas."
    for other in forms:
        if other is not form and not other.missing(header):
            return f"These look like {other.title}, which “import {other.command}” reads."
    return _example(form, delimiter)


def number(text: str) -> float | None:
    """Parse a number. Returns None for a missing value and raises BadCell for anything else."""
    text = text.strip()
    if text.casefold() in _MISSING:
        return None
    if NUMBER_PATTERN.fullmatch(text) is None:
        raise BadCell(f"“{shorten(text)}” is not a number")
    value = float(text.replace(",", ""))
    if not math.isfinite(value):
        raise BadCell(f"“{shorten(text)}” is too large")
    return value


def number_in(cells: Cells, column: str, *, above_zero: bool = False, signed: bool = False) -> float | None:
    """Number of zero or more (above zero, of any sign) of a cell, None if missing; errors name the column."""
    try:
        value = number(cells.get(column, ""))
    except BadCell as error:
        raise BadCell(f"{column} {error}") from None
    if value is not None and not signed and (value < 0 or (above_zero and value == 0)):
        raise BadCell(f"{column} {value:g} is {'not above' if above_zero else 'below'} zero")
    return value


def date(text: str) -> dt.date:
    """Parse a date. Raises BadCell if it is not a date or ambiguous."""
    text = text.strip()
    with suppress(ValueError):  # a 31st of February: the same sentence as for any other text
        if match := _ISO.fullmatch(text):
            return dt.date.fromisoformat(match[1])
        if match := _MONTH_FIRST.fullmatch(text):
            return dt.date(int(match[3]), _month(match[1]), int(match[2]))
        if match := _DAY_FIRST.fullmatch(text):
            return dt.date(int(match[3]), _month(match[2]), int(match[1]))
    raise BadCell(f"“{shorten(text)}” is not a date like 2020-12-11, Dec 11, 2020 or 11-Dec-2020")


def _month(name: str) -> int:
    """Number of an English month by its name or at least three first letters. Raises ValueError."""
    return 1 + [month.startswith(name.lower()) for month in _MONTHS].index(True)


def shorten(text: str, limit: int = 40) -> str:
    """Quote text from a file on one line of at most `limit` characters, all of them printable."""
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _normalised(title: str) -> str:
    return " ".join(title.replace("_", " ").casefold().split())
