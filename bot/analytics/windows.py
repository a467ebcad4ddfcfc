"""Windows of time: how a window is parsed and printed, and where its base session lies.

    window = N "d" | N "w" | N "m" | N "y" | "ytd" | "qtd" | "mtd" | "max" | "since" DATE

Days are sessions; weeks, months and years are calendar time counted back from the anchor K (clipped to the month's
end). The base is the last session on or before the target. YTD, QTD and MTD start at the last session of the previous
year, quarter or month, MAX at the first session there is. All dates are naive midnights.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bot.errors import Ambiguous, BadInput
from bot.text import DAYS, MONTHS, load_toml, short_date

Days: TypeAlias = "pd.DatetimeIndex | NDArray[np.datetime64]"
NAMED = ("ytd", "qtd", "mtd", "max")
WORDS = (*NAMED, "since")  # windows, or beginnings of one, that are words
EXAMPLES = "5d, 1w, 3m, 1y, ytd, mtd, max, since 2020-09-30"
_COUNTED = re.compile(r"(\d{1,5})\s*(d|days?|sessions?|w|weeks?|m|mos?|months?|y|yrs?|years?)", re.IGNORECASE)
_SPACED = re.compile(rf"\b{_COUNTED.pattern}\b", re.IGNORECASE)
_NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_TABLE = load_toml("bot.analytics", "dates.toml")
_NUMBERED = re.compile(_TABLE["windows"]["numbered"], re.IGNORECASE)
_PHRASES: list[tuple[re.Pattern[str], str]] = [
    (re.compile(pattern, re.IGNORECASE), meaning) for pattern, meaning in _TABLE["windows"]["phrases"]
]
_DATES: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern.replace("MONTH", _TABLE["month"]), re.IGNORECASE)
    for name, pattern in _TABLE["dates"].items()
}
# Dates in numbers, as a pattern. A year alone is one only after a word such as “since”.
DATE = r"[0-9]{4}-[0-9]{2}(?:-[0-9]{2})?|[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}|[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}"
_DATE_FORMS = re.compile(r"(?P<year>[0-9]{4})(?:-[0-9]{2}){0,2}|[0-9]{1,2}(?P<joint>[./])[0-9]{1,2}(?P=joint)[0-9]{4}")
_FIRST_YEAR, _LAST_YEAR = 1900, 2199
_DATE = "2020-12-11"  # an example
_DAY: np.timedelta64 = np.timedelta64(1, "D")
_LONGEST = {"d": 20_000, "w": 5_000, "m": 1_200, "y": 100}


@dataclass(frozen=True)
class AsOf:
    """The moment a question is about: `asof` = as the market was, `known` = as it was known."""

    asof: pd.Timestamp | None = None
    known: pd.Timestamp | None = None

    @property
    def suffix(self) -> str:
        """The same moment as words to append to a command."""
        days = (("asof", self.asof), ("known", self.known))
        return "".join(f" {word} {day:%Y-%m-%d}" for word, day in days if day)


class Window(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A span that ends at the session asked about; `kind` is d, w, m, y, since or one of NAMED."""

    kind: str
    count: int = 0
    since: dt.date | None = None

    def __post_init__(self) -> None:
        """Refuse a kind, length or date that does not make a window."""
        if self.kind not in {*_LONGEST, *WORDS}:
            raise ValueError(f"{self.kind} is not a kind of window")
        longest = _LONGEST.get(self.kind, 0)
        if not min(longest, 1) <= self.count <= longest or (self.kind == "since") != bool(self.since):
            raise ValueError(f"a window of kind {self.kind} has no such length or date")

    @property
    def counted(self) -> bool:
        """Whether the window has a length, so that there is one before it: not ytd, mtd, since."""
        return self.kind in _LONGEST

    def __str__(self) -> str:
        """Canonical text; `parse_window` reads it back to an equal window."""
        if self.kind == "since":
            return f"since {self.since}"
        return f"{self.count}{self.kind}" if self.counted else self.kind

    def targets(self, anchors: Days) -> NDArray[np.datetime64]:
        """Target date of each anchor: the base is the last session on or before it.

        Months before a day that they do not have end on their last: a month before 31 March is 28 February.
        """
        days: NDArray[np.datetime64] = np.asarray(anchors).astype("datetime64[D]")
        target: NDArray[np.datetime64]
        match self.kind:
            case "w":
                target = days - np.timedelta64(7 * self.count, "D")
            case "m" | "y":
                months = days.astype("datetime64[M]")
                count = self.count * (12 if self.kind == "y" else 1)
                before = months - np.timedelta64(count, "M")
                last = (before + np.timedelta64(1, "M")).astype("datetime64[D]") - _DAY
                target = np.minimum(before.astype("datetime64[D]") + (days - months), last)
            case "ytd" | "mtd":
                period = days.astype(f"datetime64[{self.kind[0].upper()}]")
                begin: NDArray[np.datetime64] = period.astype("datetime64[D]")
                target = begin - _DAY
            case "qtd":
                months = days.astype("datetime64[M]")
                begin = (months - months.astype("int64") % 3).astype("datetime64[D]")
                target = begin - _DAY
            case "since":
                target = np.full(len(days), np.datetime64(self.since, "D"))
            case _:
                raise ValueError(f"a window of kind {self.kind} has no target date")
        return target

    def bases(
        self, sessions: pd.DatetimeIndex, anchors: Days | None = None, calendar: pd.DatetimeIndex | None = None
    ) -> NDArray[np.intp]:
        """Position in `sessions` of each anchor's base, -1 where history is too short.

        `anchors` are K, one per end, by default the sessions themselves, as in a history. A base after its
        own end (`since` a later date) counts as too short as well. Days are counted in `calendar`, the
        exchange's sessions, by default in `sessions`; a base that `sessions` lack is -1, never another one.
        """
        anchors = sessions if anchors is None else anchors
        ends = _last_until(sessions, anchors)
        if self.kind == "d" and calendar is not None and len(sessions):
            counted = _last_until(calendar, sessions[ends.clip(min=0)]) - self.count
            based = sessions.get_indexer(calendar[counted.clip(min=0)])
            positions = np.where((counted < 0) | (ends < 0), -1, based)
        elif self.kind == "d":
            positions = ends - self.count
        elif self.kind == "max":
            positions = np.where(ends > 0, 0, -1)
        else:
            positions = _last_until(sessions, self.targets(anchors))
        late = positions > ends
        if self.kind == "since":
            late |= np.asarray(anchors) < np.datetime64(self.since, "D")
        return np.where(late | (positions < 0), -1, positions)


def _last_until(sessions: pd.DatetimeIndex, days: Days) -> NDArray[np.intp]:
    """Position of the last session on or before each day, -1 before the first."""
    return np.searchsorted(np.asarray(sessions), np.asarray(days), side="right") - 1


YTD = Window("ytd")
MTD = Window("mtd")


def parse_window(text: str, example: str = "") -> Window:
    """The window that a person typed. Raises BadInput with forms that work, or with `example`."""
    words = text.strip().lower()
    if words in NAMED:
        return Window(words)
    if words == "since":
        raise BadInput("“since” needs a date written YYYY-MM-DD.", example or "since 2020-09-30")
    if words.startswith("since "):
        return Window("since", since=parse_date(text.strip()[len("since") :].strip(), example or _DATE, begins=True))
    match = _COUNTED.fullmatch(words)
    if match is None:
        raise BadInput(f"“{text}” is not a window; one of these works: {EXAMPLES}.", example)
    count, kind = int(match[1]), match[2][0].replace("s", "d")
    if not 0 < count <= _LONGEST[kind]:
        raise out_of_range(text, kind, _LONGEST[kind], example or f"1{kind}")
    return Window(kind, count)


def out_of_range(text: str, kind: str, longest: int, example: str) -> BadInput:
    """The error for a length that is not from one to `longest` of a kind of window."""
    return BadInput(f"“{text}” is out of range (1{kind} to {longest}{kind}).", example)


def parse_date(text: str, example: str = _DATE, *, begins: bool = False) -> dt.date:
    """A date that a person typed, of a year that pandas counts in nanoseconds. Raises BadInput.

    2020-12-11, 11.12.2020, 12/13/2020 if only one order is a date, and what `named_dates` writes. A whole
    month (2020-12) or year stands for its last day, or, where a window `begins` with it, for the day before
    its first: the base close of that month or year.
    """
    match = _DATE_FORMS.fullmatch(text)
    if match is None:
        raise BadInput(f"“{text}” is not a date written YYYY-MM-DD.", example)
    numbers = [int(number) for number in re.findall(r"[0-9]+", text)]
    year, *month_day = numbers if match["year"] else numbers[::-1]
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise BadInput(f"“{text}” is not within {_FIRST_YEAR} to {_LAST_YEAR}.", example)
    if len(month_day) < 2:
        month = month_day[0] if month_day else (1 if begins else len(MONTHS))
        first = _date(text, (year, month, 1), example)
        after = dt.date(year + month // len(MONTHS), month % len(MONTHS) + 1, 1)
        return (first if begins else after) - dt.timedelta(days=1)
    month, day = month_day
    if match["joint"] == "/":
        if month <= len(MONTHS) and day <= len(MONTHS) and month != day:
            both = [dt.date(year, *order) for order in ((month, day), (day, month))]
            sentence = f"“{text}” can be two dates; type {' or '.join(map(str, both))}."
            raise Ambiguous(sentence, text, [(short_date(reading), str(reading)) for reading in both])
        month, day = sorted((month, day))
    return _date(text, (year, month, day), example)


def _date(text: str, numbers: tuple[int, int, int], example: str) -> dt.date:
    try:
        return dt.date(*numbers)
    except ValueError:
        year, month, day = numbers
        named = f"{day} {MONTHS[month - 1]} {year}" if 1 <= month <= len(MONTHS) else f"month {month}"
        raise BadInput(f"“{text}” is not a date: there is no {named}.", example) from None


def named_windows(text: str) -> str:
    """The text with windows in words as numbers and names: "six months" is 6 months, "this year" ytd."""
    text = _NUMBERED.sub(lambda match: f"{_NUMBERS.index(match[1].lower()) + 1} ", text)
    for pattern, meaning in _PHRASES:
        text = pattern.sub(meaning, text)
    return text


def joined_windows(text: str) -> str:
    """The text with each length of time as one word: "6 months" is 6months."""
    return _SPACED.sub(r"\1\2", named_windows(text))


def named_dates(text: str, today: dt.date | None = None) -> str:
    """The text with dates in words as numbers: "Sep 30, 2020" and "30 September 2020", "Sep 2020".

    With `today`, also those that need it: "yesterday", "last friday", "3 months ago", and the latest 30 Sep;
    "this week" is since the last Friday before it.
    """

    def written(match: re.Match[str]) -> str:
        part = match.groupdict()
        month_name = part["month"] or part.get("first") or part["alone"]
        month = [name.lower() for name in MONTHS].index(month_name[:3].lower()) + 1
        day = int(part["before"] or part["day"] or 0)
        year = part.get("year") or (today.year - ((month, day) > (today.month, today.day)) if today else 0)
        return f"{year}-{month:02}" + (f"-{day:02}" if day else "")

    text = _DATES["named"].sub(written, text)
    if today is None:
        return text
    return _DATES["relative"].sub(lambda match: _counted_date(match, today), _DATES["yearless"].sub(written, text))


def _counted_date(match: re.Match[str], today: dt.date) -> str:
    if match["this"]:
        return f"since {today - dt.timedelta(today.weekday() + 3)}"
    if match["day"]:
        return str(today - dt.timedelta((today.weekday() - DAYS.index(match["day"].capitalize()) - 1) % 7 + 1))
    if match["near"]:
        return str(today - dt.timedelta(match["near"].lower() == "yesterday"))
    count, unit = int(match["count"]), match["unit"].lower()
    if unit == "d":
        return str(today - dt.timedelta(count))
    return str(Window(unit, max(count, 1)).targets(np.array([today], "datetime64[D]"))[0])
