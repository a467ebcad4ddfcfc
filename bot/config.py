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

from platformdirs import user_data_path

from bot import secrets
from bot import values as check
from bot.errors import ConfigError
from bot.pair import DEFAULT_PAIR, Fund, Pair
from bot.token import is_given, read_token

_APP = "small-versus-large-bot"


def default_database() -> Path:
    """The database's place when nothing else is said: the platform's data folder."""
    return user_data_path(_APP, appauthor=False) / "bot.db"


@dataclass(frozen=True)
class Config:
    """Everything that can be configured, with its default."""

    token: str = field(default="", repr=False)
    base_url: str = field(default="https://api.telegram.org", repr=False)
    database: Path = field(default_factory=default_database)
    access: str = "allowlist"
    owner: int | None = None
    users: frozenset[int] = frozenset()
    chats: frozenset[int] = frozenset()
    timezone: str = "America/New_York"
    closed: tuple[dt.date, ...] = ()
    small: Fund = DEFAULT_PAIR.small
    large: Fund = DEFAULT_PAIR.large
    yahoo: bool = True
    yahoo_timeout: int = 30
    daily_csv: str = field(default="", repr=False)
    issuer: bool = False
    theme: str = "light"
    backup: bool = True
    backup_directory: Path | None = None
    backup_time: str = "03:30"
    backup_keep: int = 14
    heartbeat_url: str = field(default="", repr=False)
    heartbeat_minutes: int = 5
    log: str = "info"

    @property
    def secrets(self) -> frozenset[str]:
        """What must stand in no log: the token behind the bot's number, keys and passwords in addresses."""
        files = (address for fund in self.pair for address in (fund.issuer_file, fund.holdings_file))
        addresses = (self.base_url, self.daily_csv, *files)
        found = {secrets.of_token(self.token), *secrets.of_ping(self.heartbeat_url)}
        return frozenset(found.union(*map(secrets.of_address, addresses)) - {""})

    @property
    def pair(self) -> Pair:
        """The two funds that are compared."""
        return Pair(self.small, self.large)

    @property
    def backups(self) -> Path:
        """The folder of the nightly backups."""
        return self.backup_directory or self.database.parent / "backups"


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
    token, problem = read_token(table, path, environment) if wanted else ("", "")
    proxies = _proxies(environment) if token_needed or token_used else []
    chosen = {name: value for name, value in values.items() if value is not None}
    chosen.pop("token_file", None)
    config = Config(**{**chosen, "token": token})
    if problems := [*reader.problems, *_same_fund(config.pair), *([problem] if problem else []), *proxies]:
        raise ConfigError(problems)
    return config


def _same_fund(pair: Pair) -> list[str]:
    """A fund cannot be compared with itself."""
    if pair.small.ticker != pair.large.ticker:
        return []
    example = 'such as small = "IJR" and large = "IVV"'
    return [f"[pair] small and large: both are {pair.small.ticker}; name two funds, {example}"]


def _proxies(environment: Mapping[str, str]) -> list[str]:
    """Proxies that httpx, by which Telegram is asked, cannot use: it would end with a traceback."""
    said = "must be a proxy such as http://proxy.example.com:3128; SOCKS is not supported"
    return [
        f"{name}: {said}"
        for name, value in environment.items()
        if secrets.is_proxy(name) and not re.match(r"(?i)https?://|(?!.*://)", value)
    ]


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


LOG_LEVELS = ("debug", "info", "warning")
KEYS: dict[str, tuple[str, str, Callable[[object], Any]]] = {
    "token": ("telegram", "token", check.token),
    "token_file": ("telegram", "token_file", check.text),
    "base_url": ("telegram", "base_url", check.url),
    "database": ("storage", "database", check.place),
    "access": ("access", "mode", check.one_of("allowlist", "open")),
    "owner": ("access", "owner", check.person),
    "users": ("access", "users", check.people),
    "chats": ("access", "chats", check.identities),
    "timezone": ("time", "timezone", check.zone),
    "closed": ("calendar", "closed", check.dates),
    "small": ("pair", "small", check.fund),
    "large": ("pair", "large", check.fund),
    "yahoo": ("sources", "yahoo", check.flag),
    "yahoo_timeout": ("sources", "yahoo_timeout", check.number(1, 300, "seconds")),
    "daily_csv": ("sources", "daily_csv", check.template),
    "issuer": ("issuer", "fetch", check.flag),
    "theme": ("charts", "theme", check.one_of("light", "dark")),
    "backup": ("backup", "enabled", check.flag),
    "backup_directory": ("backup", "directory", check.place),
    "backup_time": ("backup", "time", check.clock_time),
    "backup_keep": ("backup", "keep", check.number(1, 3650, "days")),
    "heartbeat_url": ("heartbeat", "url", check.ping),
    "heartbeat_minutes": ("heartbeat", "minutes", check.number(1, 1440, "minutes")),
    "log": ("log", "level", check.one_of(*LOG_LEVELS)),
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

    def take(self, section: str, key: str, checked: Callable[[object], Any]) -> Any:  # noqa: ANN401 - per key
        """Checked value of one key, None where it is absent or wrong; a path begins at the file's folder."""
        if key not in self.table(section):
            return None
        try:
            value = checked(self.table(section)[key])
        except check.Bad as bad:
            self.problems += [f"[{section}] {key}: {problem}" for problem in bad.problems]
            return None
        return self.folder / value if isinstance(value, Path) else value

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
