"""Checks of the configuration's values: each takes what TOML gave and returns it fit for use, or raises Bad.

A list is checked entry by entry, and every entry that is wrong is named.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bot.pair import DEFAULT_PAIR, FUND_KEYS, Fund

T = TypeVar("T")
_TICKER = re.compile(r"[A-Z][A-Z0-9]{0,9}([.-][A-Z0-9]{1,4})?")
_AS_IT_IS = "%!#$&'()*+,/:;=?@[]~"  # what stands in an address unencoded, beside letters and digits


class Bad(Exception):
    """What is wrong with one value, a sentence's end each: "must be true or false"."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__(*problems)


def text(value: object) -> str:
    """A text with something in it."""
    if not isinstance(value, str) or not value.strip():
        raise Bad("must be a text in quotes, not empty")
    return value.strip()


def token(value: object) -> str:
    """A text, empty where the token stands elsewhere; what it looks like is checked where it is used."""
    return value if isinstance(value, str) else text(value)


def place(value: object) -> Path:
    """A path; relative ones begin at the configuration's folder, which the reader puts before them."""
    try:
        return Path(text(value)).expanduser()
    except RuntimeError:
        raise Bad("begins with the home folder of somebody whom this machine does not know") from None


def url(value: object) -> str:
    """An http or https address, without a slash at its end."""
    found = text(value).rstrip("/")
    if not _is_address(found):
        raise Bad("must be a URL such as https://api.telegram.org")
    return found


def fund(value: object) -> Fund:
    """A fund of the pair: its ticker, or a table with the ticker and what else is known of it."""
    table = value if isinstance(value, dict) else {"ticker": value}
    problems = [f"{key}: unknown key; known: {', '.join(FUND_KEYS)}" for key in table if key not in FUND_KEYS]
    chosen: dict[str, Any] = {}
    for key, checked in _FUND_CHECKS.items():
        if key not in table and key != "ticker":
            continue
        try:
            chosen[key] = checked(table.get(key))
        except Bad as bad:
            problems += [f"{key} {problem}" if value is table else problem for problem in bad.problems]
    if problems:
        raise Bad(*problems)
    known = {known.ticker: known for known in DEFAULT_PAIR}
    return replace(known.get(chosen["ticker"], Fund(chosen["ticker"])), **chosen)


def ticker(value: object) -> str:
    """A fund's ticker as sources write it, in capitals."""
    found = value.strip().upper() if isinstance(value, str) else ""
    if not _TICKER.fullmatch(found):
        raise Bad('must be a ticker such as "IJR": letters and digits, with one dot or hyphen at most')
    return found


def ping(value: object) -> str:
    """An http or https address as it is sent; "" is none. It is a secret, so no message shows it.

    It is encoded here and not by the library that sends it, whose log would hold another text than is hidden.
    """
    if value == "":
        return ""
    found = text(value)
    if not _is_address(found):
        raise Bad("must be a URL such as https://hc-ping.com/your-uuid")
    scheme, slashes, rest = found.partition("//")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host}{slash}{quote(path, safe=_AS_IT_IS)}"


def _is_address(value: str) -> bool:
    """Whether it is http or https with a host and a port that can be."""
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", value):
        return False
    try:
        parts = urlsplit(value)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port over 65,535, a bracket that is not closed
        return False


def template(value: object) -> str:
    """An address with a place for the ticker."""
    found = url(value)
    if "{ticker}" not in found:
        raise Bad("must have {ticker} where the fund's ticker belongs")
    return found


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise Bad("must be true or false")
    return value


def identity(value: object) -> int:
    """A person's or a group's id."""
    if not isinstance(value, int) or isinstance(value, bool) or value == 0:
        raise Bad("must be a Telegram id, a whole number such as 123456789")
    return value


def person(value: object) -> int:
    """A person's id."""
    number = identity(value)
    if number < 0:
        raise Bad("must be a person's id, which is positive; groups belong into chats")
    return number


def people(value: object) -> frozenset[int]:
    """Persons' ids."""
    return frozenset(_each(value, person, "must be a list of ids such as [123456789]"))


def identities(value: object) -> frozenset[int]:
    """Persons' and groups' ids."""
    return frozenset(_each(value, identity, "must be a list of ids such as [123456789]"))


def zone(value: object) -> str:
    """A time zone's name."""
    name = text(value)
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Bad(f"“{name}” is not a time zone name such as America/New_York") from None
    return name


def dates(value: object) -> tuple[dt.date, ...]:
    """Dates, as TOML's own or as text."""
    return tuple(_each(value, _date, "must be a list of dates such as [2025-01-09]"))


def clock_time(value: object) -> str:
    """A time of day as "HH:MM"; TOML's own time is taken too."""
    shown = f"{value:%H:%M}" if isinstance(value, dt.time) else str(value)
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", shown):
        raise Bad(f"“{value}” is not a time of day such as 03:30")
    return shown


def number(first: int, last: int, of: str) -> Callable[[object], int]:
    """A whole number within bounds; `of` names what is counted."""

    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not first <= value <= last:
            raise Bad(f"must be a whole number of {of} from {first} to {last}")
        return value

    return check


def one_of(*choices: str) -> Callable[[object], str]:
    """One of a few words."""

    def check(value: object) -> str:
        if value not in choices:
            raise Bad(f"must be one of: {', '.join(choices)}")
        return str(value)

    return check


def _date(value: object) -> dt.date:
    try:
        return value if type(value) is dt.date else dt.date.fromisoformat(str(value))
    except ValueError:
        raise Bad("is not a date such as 2025-01-09") from None


def _each(value: object, check: Callable[[object], T], otherwise: str) -> list[T]:
    """The entries of a list, checked; Bad names each that is wrong, by its place."""
    if not isinstance(value, list):
        raise Bad(otherwise)
    good, bad = [], []
    for count, entry in enumerate(value, 1):
        try:
            good.append(check(entry))
        except Bad as problem:
            bad += [f"entry {count}, {_shown(entry)}, {sentence}" for sentence in problem.problems]
    if bad:
        raise Bad(*bad)
    return good


def _shown(entry: object) -> str:
    """An entry as TOML writes it, or nearly."""
    return str(entry).lower() if isinstance(entry, bool) else f"“{entry}”"


_FUND_CHECKS: dict[str, Callable[[object], Any]] = {
    "ticker": ticker,
    "name": text,
    "index": text,
    "issuer_file": url,
    "holdings_file": url,
    "distributes": flag,
}
