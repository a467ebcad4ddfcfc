"""Cells of a file: text to numbers and dates, in the notation of the file.

Nothing here depends on a locale. "", "-", "--", "N/A" and "null" are missing values. Whether a date such
as 12/10/2021 begins with the day or the month, and whether 1,234 has a decimal comma, is decided by all rows
of a file together; where they do not decide it, the cell is refused.
"""

import datetime as dt
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from bot.analytics.sessions import EXCHANGE

T = TypeVar("T", str, float)

MONTH_FIRST, DAY_FIRST = "month/day/year", "day/month/year"
POINT, COMMA = "decimal points", "decimal commas"

# Control characters that no text has; a tab, line ends and a form feed it may have.
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_TIME = r"(?:,? [0-9]{1,2}(?::[0-9]{2}){1,2}(?: ?[APap][Mm])?)?"
NUMERIC_DATE = re.compile(rf"[0-9]{{1,2}}([-/.])[0-9]{{1,2}}\1[0-9]{{4}}{_TIME}")
_ORDERED = {  # with points the day comes first
    MONTH_FIRST: re.compile(rf"(?P<m>[0-9]{{1,2}})([-/])(?P<d>[0-9]{{1,2}})\2(?P<y>[0-9]{{4}}){_TIME}"),
    DAY_FIRST: re.compile(rf"(?P<d>[0-9]{{1,2}})([-/.])(?P<m>[0-9]{{1,2}})\2(?P<y>[0-9]{{4}}){_TIME}"),
}
_DATES = (
    re.compile(r"(?P<y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})(?:[ T][-+:.0-9Zz]+)?"),
    re.compile(r"(?P<y>[0-9]{4})/(?P<m>[0-9]{1,2})/(?P<d>[0-9]{1,2})"),
    re.compile(r"(?P<m>[A-Za-z]{3,9})\.? (?P<d>[0-9]{1,2}),? (?P<y>[0-9]{4})"),
    re.compile(r"(?P<d>[0-9]{1,2})[- ](?P<m>[A-Za-z]{3,9})[- ](?P<y>[0-9]{4})"),
)
_EPOCH = re.compile(r"[0-9]{9,10}")
_MONTHS = "january february march april may june july august september october november december".split()  # noqa: SIM905 - one line, not twelve
_DAY_SECONDS = 86_400

_PLAIN = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,20})?")  # most cells; too short to overflow
_AMOUNT = re.compile(r"([-+]?)\$?([0-9.,].*?)([KMB]?)")
_NUMBER = re.compile(r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_SWAPPED = str.maketrans(",.", ".,")
_FACTORS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9}
_SCALED = "volume"  # the column whose numbers may end in K, M or B
_MISSING = frozenset({"", "-", "--", "n/a", "na", "null"})


class BadCell(ValueError):
    """A row that cannot be read. The message is the reason, without the line number."""


def shorten(text: str, limit: int = 40) -> str:
    """Quote text from a file on one line of at most `limit` characters, all of them printable."""
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


@dataclass(frozen=True)
class Notation:
    """How a file writes dates and numbers, each an empty string where its rows leave it open.

    seconds: whether a date may be seconds since 1970. Elsewhere so many digits are a number of another kind.
    """

    order: str = MONTH_FIRST
    decimals: str = POINT
    seconds: bool = False

    def date(self, text: str) -> str:
        """A date in ISO form, without the time after it. Raises BadCell for one with no or two meanings."""
        text = text.strip()
        orders = (self.order,) if self.order else (MONTH_FIRST, DAY_FIRST)
        dates = {date for order in orders if (date := _date(text, order)) is not None}
        if self.seconds and _EPOCH.fullmatch(text):
            # Midnight in UTC is a date without a time; any other instant is a time of the exchange.
            zone = EXCHANGE if int(text) % _DAY_SECONDS else dt.UTC
            return dt.datetime.fromtimestamp(int(text), zone).date().isoformat()
        if not dates:
            raise BadCell(f"“{shorten(text)}” is not a date like 2020-12-11, Dec 11, 2020 or 11-Dec-2020")
        return _only(text, dates)

    def number(self, text: str, *, scaled: bool = False) -> float | None:
        """A number, None for a missing value; `scaled` ones may end in K, M or B. Raises BadCell as above."""
        text = text.strip()
        if text.casefold() in _MISSING:
            return None
        marks = (self.decimals,) if self.decimals else (POINT, COMMA)
        numbers = {n for mark in marks if (n := _number(text, mark, scaled=scaled)) is not None}
        if not numbers:
            raise BadCell(f"“{shorten(text)}” is not a number")
        value = _only(text, numbers)
        if not math.isfinite(value):
            raise BadCell(f"“{shorten(text)}” is too large")
        return value


PLAIN = Notation()


class Cells(dict[str, str]):
    """One row: its cells by column. Errors of the cells name their column."""

    def __init__(self, cells: Iterable[tuple[str, str]], notation: Notation = PLAIN) -> None:
        super().__init__(cells)
        self.notation = notation

    def number(self, column: str, *, above_zero: bool = False, signed: bool = False) -> float | None:
        """A number of zero or more (above zero, of any sign), None if missing."""
        text = self.get(column)
        if not text:
            return None
        value: float | None
        if self.notation.decimals == POINT and _PLAIN.fullmatch(text):  # most cells
            value = float(text)
        else:
            try:
                value = self.notation.number(text, scaled=column == _SCALED)
            except BadCell as error:
                raise BadCell(f"{column} {error}") from None
        if value is not None and not signed and (value < 0 or (above_zero and value == 0)):
            raise BadCell(f"{column} {value:g} is {'not above' if above_zero else 'below'} zero")
        return value

    def date(self, column: str) -> str | None:
        """A date in ISO form, None if missing."""
        text = self.get(column, "")
        try:
            return self.notation.date(text) if text else None
        except BadCell as error:
            raise BadCell(f"{column} {error}") from None

    def word(self, column: str, choices: Iterable[str]) -> str:
        """One of the words allowed in a column. P/E is read as pe, "losses in" as losses_in."""
        word = self[column].casefold().replace("/", "").replace(" ", "_").replace("-", "_")
        if word not in choices:
            raise BadCell(f"{column} “{shorten(self[column])}” is none of {', '.join(choices)}")
        return word


def notation_of(
    dates: Iterable[str], numbers: Iterable[str], order: str, *, commas: bool, seconds: bool = False
) -> Notation:
    """The notation in which most cells have a meaning.

    order: of the parts of dates, where it is known. commas: whether numbers may have decimal ones.
    """
    numeric = [date for date in dates if NUMERIC_DATE.fullmatch(date)]
    return Notation(
        order or _decide(numeric, (MONTH_FIRST, DAY_FIRST), _date),
        _decide(numbers, (POINT, COMMA), _number) if commas else POINT,
        seconds,
    )


def _decide(cells: Iterable[str], notations: tuple[str, str], read: Callable[[str, str], float | str | None]) -> str:
    """The notation that fits most cells; an empty string where both do and differ."""
    first, second = ([read(cell, notation) for cell in cells] for notation in notations)
    apart = first.count(None) - second.count(None)
    return "" if not apart and first != second else notations[apart > 0]


def _only(text: str, meanings: set[T]) -> T:
    if len(meanings) > 1:
        words = " or ".join(x if isinstance(x, str) else f"{x:.15g}" for x in sorted(meanings))
        raise BadCell(f"“{shorten(text)}” could be {words}; no other row decides which")
    return meanings.pop()


def _date(text: str, order: str) -> str | None:
    """ISO date of a text in any of the known forms; None for any other text."""
    match = next(filter(None, (form.fullmatch(text) for form in (*_DATES, _ORDERED[order]))), None)
    try:
        return match and dt.date(int(match["y"]), _month(match["m"]), int(match["d"])).isoformat()
    except ValueError:  # a 31st of February
        return None


def _month(text: str) -> int:
    """A month by its number or at least three first letters of its English name. Raises ValueError."""
    return int(text) if text.isdecimal() else 1 + [m.startswith(text.lower()) for m in _MONTHS].index(True)


def _number(text: str, mark: str, *, scaled: bool = True) -> float | None:
    """A number, also with a dollar sign, thousands marks and K, M or B; None for any other text."""
    match = _AMOUNT.fullmatch(text)
    if match is None or (match[3] and not scaled):
        return None
    amount = match[2].translate(_SWAPPED) if mark == COMMA else match[2]
    if not _NUMBER.fullmatch(amount):
        return None
    value = float(amount.replace(",", "")) * _FACTORS[match[3]]
    return -value if match[1] == "-" else value
