"""Parts of sentences that every layer needs: command lines, counts, lists, dates, the nearest name, tables."""

import datetime as dt
import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

PROGRAM = "python -m bot"
SHOWN = 10  # items of a list, by default
_VOWELS = "aeiou"


def command_line(words: str, options: str = "") -> str:
    """Return a line for a terminal, e.g. "python -m bot refresh --config FILE"."""
    return f"{PROGRAM} {words} {options}".rstrip()


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: "1 session", "1,250 sessions", "2 summaries"."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y") and noun[-2] not in _VOWELS:
        return f"{count:,} {noun[:-1]}ies"
    return f"{count:,} {noun}s"


def listed(items: Sequence[str], between: str = ", ", most: int = SHOWN) -> str:
    """Return the first `most` items, and how many more there are."""
    more = len(items) - most
    return between.join(items[:most]) + (f"{between}and {more:,} more" if more > 0 else "")


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Return the shortest name that begins with `word`, else the most similar one, else None."""
    known = {name.lower(): name for name in names}
    longer = sorted((name for name in known if word and name.startswith(word.lower())), key=len)
    close = longer or difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.7)
    return known[close[0]] if close else None


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Return a question such as "Did you mean flows?", or "" if no name is near."""
    name = nearest(word, names)
    return f"Did you mean {name}?" if name else ""


_CLOCK = re.compile(r"([0-9]{1,2})(?:[:.h]?([0-9]{2}))?(?:\s*([ap])\.?m\.?)?")


def clock_time(text: str) -> str | None:
    """A time of day as "18:30", of 18:30, 18.30, 1830, 18, 6:30pm, noon or midnight; None for other text."""
    words = text.strip().lower()
    match = _CLOCK.fullmatch({"noon": "12", "midnight": "0"}.get(words, words))
    if match is None:
        return None
    hour, minute, half = int(match[1]), int(match[2] or 0), match[3]
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "p" else 0)
    return f"{hour:02d}:{minute:02d}" if hour < 24 and minute < 60 else None


def ordinal(number: int) -> str:
    """A number in an order: "1st", "7th", "12th", "22nd"."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"


# Named here because strftime's names follow the machine's locale.
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def short_date(day: dt.date) -> str:
    """A date without its weekday: "11 Dec 2020"."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def date_phrase(day: dt.date) -> str:
    """A date in words: "Fri 11 Dec 2020"."""
    return f"{DAYS[day.weekday()]} {short_date(day)}"


def load_toml(package: str, name: str) -> dict[str, Any]:
    """Return the tables of a TOML file in a package."""
    import tomllib  # noqa: PLC0415 - late: --help does without
    from importlib.resources import files  # noqa: PLC0415 - as above

    return tomllib.loads(files(package).joinpath(name).read_text(encoding="utf-8"))
