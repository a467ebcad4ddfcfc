"""Configuration: one TOML file and the environment become frozen dataclasses.

Every problem is reported at once, each with its key.
"""

from __future__ import annotations

import datetime as dt
import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from platformdirs import user_data_path

from bot.errors import ConfigError
from bot.token import is_given, read_token

_APP = "small-versus-large-bot"


def default_database() -> Path:
    """The database's place when nothing else is said: the platform's data folder."""
    return user_data_path(_APP, appauthor=False) / "bot.db"


@dataclass(frozen=True)
class Config:
    """Everything that can be configured, with its default."""

    token: str = field(default="", repr=False)
    base_url: str = "https://api.telegram.org"
    database: Path = field(default_factory=default_database)
    access: str = "allowlist"
    owner: int | None = None
    users: frozenset[int] = frozenset()
    chats: frozenset[int] = frozenset()
    timezone: str = "America/New_York"
    closed: tuple[dt.date, ...] = ()
    yahoo: bool = True
    yahoo_timeout: int = 30
    daily_csv: str = ""
    issuer: bool = False
    issuer_iwm: str = ""
    issuer_spy: str = ""
    theme: str = "light"


def load_config(
    path: Path | None,
    environment: Mapping[str, str] | None = None,
    *,
    token_needed: bool = False,
    token_used: bool = False,
) -> Config:
    """Config of a TOML file, or the defaults without one; raises ConfigError with every problem.

    Only `bot run` needs a token, `bot check` uses one if it is given; the other commands do not even
    read the token file.
    """
    environment = os.environ if environment is None else environment
    reader = _Reader(_read(path), path.parent if path else Path())
    values = {name: reader.take(*entry) for name, entry in KEYS.items()}
    reader.unknown()
    table = reader.table("telegram")
    wanted = token_needed or (token_used and is_given(table, environment))
    token, problem = read_token(table, reader.folder, environment) if wanted else ("", "")
    if problems := [*reader.problems, *([problem] if problem else [])]:
        raise ConfigError(problems)
    chosen = {name: value for name, value in values.items() if value is not None}
    chosen.pop("token_file", None)
    return Config(**{**chosen, "token": token})


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # with or without a mark
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file; copy config.example.toml and edit it"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror})"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: cannot be read (not a text in UTF-8)"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: not valid TOML: {error}"]) from None


class _Problem(Exception):
    """What is wrong with one value."""


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Problem("must be a text in quotes, not empty")
    return value.strip()


def _token(value: object) -> str:
    return value if isinstance(value, str) else _text(value)


def _url(value: object) -> str:
    text = _text(value).rstrip("/")
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", text):
        raise _Problem("must be a URL such as https://api.telegram.org")
    return text


def _template(value: object) -> str:
    text = _url(value)
    if "{ticker}" not in text:
        raise _Problem("must have {ticker} where the fund's ticker belongs")
    return text


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Problem("must be true or false")
    return value


def _identity(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value == 0:
        raise _Problem("must be a Telegram id, a whole number such as 123456789")
    return value


def _person(value: object) -> int:
    number = _identity(value)
    if number < 0:
        raise _Problem("must be a person's id, which is positive; groups belong into chats")
    return number


def _people(value: object) -> frozenset[int]:
    if not isinstance(value, list):
        raise _Problem("must be a list of ids such as [123456789]")
    return frozenset(_person(item) for item in value)


def _identities(value: object) -> frozenset[int]:
    if not isinstance(value, list):
        raise _Problem("must be a list of ids such as [123456789]")
    return frozenset(_identity(item) for item in value)


def _zone(value: object) -> str:
    text = _text(value)
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _Problem(f"“{text}” is not a time zone name such as America/New_York") from None
    return text


def _dates(value: object) -> tuple[dt.date, ...]:
    if not isinstance(value, list):
        raise _Problem("must be a list of dates such as [2025-01-09]")
    days = []
    for item in value:
        try:
            days.append(item if type(item) is dt.date else dt.date.fromisoformat(str(item)))
        except ValueError:
            raise _Problem(f"“{item}” is not a date such as 2025-01-09") from None
    return tuple(days)


def _seconds(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 300:
        raise _Problem("must be a whole number of seconds from 1 to 300")
    return value


def _one_of(*choices: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if value not in choices:
            raise _Problem(f"must be one of: {', '.join(choices)}")
        return str(value)

    return check


KEYS: dict[str, tuple[str, str, Callable[[object], Any]]] = {
    "token": ("telegram", "token", _token),
    "token_file": ("telegram", "token_file", _text),
    "base_url": ("telegram", "base_url", _url),
    "database": ("storage", "database", _text),
    "access": ("access", "mode", _one_of("allowlist", "open")),
    "owner": ("access", "owner", _person),
    "users": ("access", "users", _people),
    "chats": ("access", "chats", _identities),
    "timezone": ("time", "timezone", _zone),
    "closed": ("calendar", "closed", _dates),
    "yahoo": ("sources", "yahoo", _flag),
    "yahoo_timeout": ("sources", "yahoo_timeout", _seconds),
    "daily_csv": ("sources", "daily_csv", _template),
    "issuer": ("issuer", "fetch", _flag),
    "issuer_iwm": ("issuer", "iwm", _url),
    "issuer_spy": ("issuer", "spy", _url),
    "theme": ("charts", "theme", _one_of("light", "dark")),
}


class _Reader:
    """Takes values out of the file and gathers what is wrong with them."""

    def __init__(self, data: dict[str, Any], folder: Path) -> None:
        self.data = data
        self.folder = folder
        self.problems: list[str] = []

    def table(self, section: str) -> dict[str, Any]:
        """One section's keys; none where there is no section."""
        found = self.data.get(section)
        return found if isinstance(found, dict) else {}

    def take(self, section: str, key: str, check: Callable[[object], Any]) -> Any:  # noqa: ANN401 - per key
        """Checked value of one key, None where it is absent or wrong."""
        if key not in self.table(section):
            return None
        try:
            value = check(self.table(section)[key])
        except _Problem as problem:
            self.problems.append(f"[{section}] {key}: {problem}")
            return None
        return self.folder / Path(value).expanduser() if (section, key) == ("storage", "database") else value

    def unknown(self) -> None:
        """Report sections and keys that mean nothing, with the nearest that does."""
        known = {(section, key) for section, key, _ in KEYS.values()}
        sections = {section for section, _ in known}
        for section, table in self.data.items():
            if section in sections and not isinstance(table, dict):
                self.problems.append(f"{section}: must be a section, written [{section}]")
            elif not isinstance(table, dict):
                self.problems.append(f"{section}: stands in no section; known: {', '.join(sorted(sections))}")
            elif section not in sections:
                self.problems.append(f"[{section}]: unknown section{_nearest(section, sections)}")
            else:
                names = {key for group, key in known if group == section}
                self.problems += [
                    f"[{section}] {key}: unknown key{_nearest(key, names)}"
                    for key in table
                    if key not in names
                ]


def _nearest(word: str, names: set[str]) -> str:
    close = difflib.get_close_matches(word, sorted(names), n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(sorted(names))}"
