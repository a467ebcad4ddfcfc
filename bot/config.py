"""Configuration: a TOML file and the environment, checked by pydantic-settings.

Each section of the file is a model and each key a field with its description. All problems are reported at
once, each with its key. pydantic costs a quarter of a second: import this module when the configuration is
needed, never for --help.
"""

from __future__ import annotations

import datetime as dt
import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from platformdirs import user_data_path
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    Strict,
    StringConstraints,
    ValidationError,
    WrapValidator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bot import secrets
from bot.errors import ConfigError
from bot.pair import DEFAULT_PAIR, Fund, Pair

_APP = "small-versus-large-bot"
_TICKER = re.compile(r"[A-Z][A-Z0-9]{0,9}([.-][A-Z0-9]{1,4})?")
_NOT_EMPTY = "must be a text in quotes, not empty"
_UNENCODED = "%!#$&'()*+,/:;=?@[]~"  # what an address holds as it is, beside letters and digits


def default_database() -> Path:
    """Return where the database is unless a key or option names it: the platform's data folder."""
    return user_data_path(_APP, appauthor=False) / "bot.db"


_Place = tuple[int | str, ...]  # names of a section and key, the number of an entry


# Types of the values. Each refuses what it cannot use with a ValueError that ends a sentence: "must be true
# or false". The key stands before it.


def _refused_as(sentence: str) -> WrapValidator:
    """Replace whatever pydantic says about a value by one sentence."""

    def check(value: object, validate: Callable[[object], object]) -> object:
        try:
            return validate(value)
        except ValidationError:
            raise ValueError(sentence) from None

    return WrapValidator(check)


def _from_list(sentence: str) -> BeforeValidator:
    """Refuse all but a list; its entries are checked by the type of the collection."""

    def check(value: object) -> object:
        if not isinstance(value, list | tuple | frozenset):
            raise ValueError(sentence)  # noqa: TRY004 - pydantic reports only a ValueError
        return value

    return BeforeValidator(check)


def _between(first: int, last: int, unit: str) -> BeforeValidator:
    """Refuse all but a whole number of a unit within bounds."""

    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not first <= value <= last:
            raise ValueError(f"must be a whole number of {unit} from {first} to {last}")
        return value

    return BeforeValidator(check)


def _path(value: object) -> Path:
    """Return a path; load_config puts the configuration's folder before a relative one."""
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value.strip():
        raise ValueError(_NOT_EMPTY)
    try:
        return Path(value.strip()).expanduser()
    except RuntimeError:
        raise ValueError("begins with the home folder of a user unknown on this machine") from None


def _url(value: str) -> str:
    """Return an http or https address without a slash at its end."""
    address = value.rstrip("/")
    if not _is_address(address):
        raise ValueError("must be a URL such as https://api.telegram.org")
    return address


def _ping_url(value: SecretStr) -> SecretStr:
    """Return an address as it is sent, or the empty text for none. No message shows it: it is a secret.

    It is encoded here and not by the library that sends it: that one's log would hold another text than the
    one that is hidden.
    """
    address = value.get_secret_value().strip()
    if not value.get_secret_value():
        return value
    if not _is_address(address):
        raise ValueError("must be a URL such as https://hc-ping.com/your-uuid")
    scheme, slashes, rest = address.partition("//")
    host, slash, path = rest.partition("/")
    return SecretStr(f"{scheme}{slashes}{host}{slash}{quote(path, safe=_UNENCODED)}")


def _is_address(value: str) -> bool:
    """Whether a text is an http or https address with a possible host and port."""
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", value):
        return False
    try:
        parts = urlsplit(value)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port over 65,535, a bracket that is not closed
        return False


def _with_ticker(value: str) -> str:
    if "{ticker}" not in value:
        raise ValueError("must have {ticker} where the fund's ticker belongs")
    return value


def _not_zero(value: int) -> int:
    if value == 0:
        raise ValueError("is no id")
    return value


def _positive(value: int) -> int:
    if value < 0:
        raise ValueError("must be a person's id, which is positive; groups belong in chats")
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"“{value}” is not a time zone name such as America/New_York") from None
    return value


def _date(value: object) -> dt.date:
    """Return a date, given as TOML's own or as text."""
    try:
        return value if type(value) is dt.date else dt.date.fromisoformat(str(value))
    except ValueError:
        raise ValueError("is not a date such as 2025-01-09") from None


def _clock_time(value: object) -> str:
    """Return a time of day as "HH:MM", given as TOML's own or as text."""
    shown = f"{value:%H:%M}" if isinstance(value, dt.time) else str(value)
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", shown):
        raise ValueError(f"“{value}” is not a time of day such as 03:30")
    return shown


def _ticker(value: object) -> str:
    """Return a fund's ticker as sources write it, in capitals."""
    ticker = value.strip().upper() if isinstance(value, str) else ""
    if not _TICKER.fullmatch(ticker):
        raise ValueError('must be a ticker such as "IJR": letters and digits, with one dot or hyphen at most')
    return ticker


Flag = Annotated[bool, Strict(), _refused_as("must be true or false")]
Text = Annotated[
    str, StringConstraints(strict=True, strip_whitespace=True, min_length=1), _refused_as(_NOT_EMPTY)
]
SecretText = Annotated[SecretStr, _refused_as(_NOT_EMPTY)]
FilePath = Annotated[Path, BeforeValidator(_path)]
Url = Annotated[Text, AfterValidator(_url)]
UrlWithTicker = Annotated[Url, AfterValidator(_with_ticker)]
PingUrl = Annotated[SecretText, AfterValidator(_ping_url)]
Ticker = Annotated[str, BeforeValidator(_ticker)]
Identity = Annotated[
    int,
    Strict(),
    AfterValidator(_not_zero),
    _refused_as("must be a Telegram id, a whole number such as 123456789"),
]
PersonId = Annotated[Identity, AfterValidator(_positive)]
_IDS = _from_list("must be a list of ids such as [123456789]")
TimeZone = Annotated[Text, AfterValidator(_time_zone)]
Dates = Annotated[
    tuple[Annotated[dt.date, BeforeValidator(_date)], ...],
    _from_list("must be a list of dates such as [2025-01-09]"),
]
ClockTime = Annotated[str, BeforeValidator(_clock_time)]


class Section(BaseModel):
    """One section of the file; in the example file, a key without a default shows its field's example."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TelegramSection(Section):
    """Access to the Bot API."""

    token: SecretText = Field(
        default=SecretStr(""),
        description="The bot's token from @BotFather. Better: put it in a file only you can read, or into "
        "the environment variable TELEGRAM_BOT_TOKEN. The first of token, token_file, variable counts.",
    )
    token_file: Text | None = Field(
        default=None,
        description="A file that holds the token, relative to this file; its mode must be 600. No default.",
        examples=["telegram.token"],
    )
    base_url: Url = Field(
        default="https://api.telegram.org",
        repr=False,
        description="Another Bot API server, e.g. one of your own.",
    )


class StorageSection(Section):
    """The database."""

    database: FilePath = Field(
        default_factory=default_database,
        description="One SQLite file holds everything. Relative to this file. "
        "Default: the platform's data folder.",
        examples=["bot.db"],
    )


class AccessSection(Section):
    """Who may use the bot."""

    mode: Literal["allowlist", "open"] = Field(
        default="allowlist",
        description='"allowlist": only the ids below; "open": everybody who finds the bot.',
    )
    owner: PersonId | None = Field(
        default=None,
        description="Your own Telegram user id, notified when something needs attention. No default.",
        examples=[123456789],
    )
    users: Annotated[frozenset[PersonId], _IDS] = Field(
        default=frozenset(), description="Ids of the people who may use the bot. The owner always may."
    )
    chats: Annotated[frozenset[Identity], _IDS] = Field(
        default=frozenset(),
        description="Ids of the chats in which everybody may use it; a group's id is negative.",
    )


class TimeSection(Section):
    """The local time."""

    timezone: TimeZone = Field(default="America/New_York", description="Zone of the daily summary's time.")


class CalendarSection(Section):
    """The exchange's calendar."""

    closed: Dates = Field(
        default=(),
        description="Closures of the exchange that were announced after the calendar library's release.",
    )


class FundSection(Section):
    """A fund of the pair in full, as the section [pair.small] or [pair.large]."""

    ticker: Ticker = Field(default="", validate_default=True)
    name: Text = ""
    index: Text = ""
    issuer_file: Url = Field(default="", repr=False)
    holdings_file: Url = Field(default="", repr=False)
    distributes: Flag = True


def _fund(value: object) -> Fund:
    """Return a fund, given by its ticker or as a table; what is known of a default fund is kept."""
    if isinstance(value, Fund):
        return value
    keys = (
        FundSection.model_validate(value).model_dump(exclude_unset=True)
        if isinstance(value, dict)
        else {"ticker": _ticker(value)}
    )
    known = {fund.ticker: fund for fund in DEFAULT_PAIR}
    return replace(known.get(keys["ticker"], Fund(keys["ticker"])), **keys)


class PairSection(Section):
    """The two funds that are compared."""

    small: Annotated[Fund, BeforeValidator(_fund)] = Field(
        default=DEFAULT_PAIR.small,
        description='The fund of small companies, by its ticker, such as "IJR"; in full it is a section '
        "[pair.small] with ticker and, as far as known, name and index, issuer_file (address of the fund "
        "workbook or NAV history at its issuer, who changes it now and then), holdings_file (address of its "
        "holdings), distributes (false: it never pays).",
    )
    large: Annotated[Fund, BeforeValidator(_fund)] = Field(
        default=DEFAULT_PAIR.large,
        description='The fund of large companies, likewise, such as "IVV". A database holds one pair: '
        "another pair needs another.",
    )


def _pair(value: object) -> Pair:
    """Return the pair of the section [pair]; a fund cannot be compared with itself."""
    section = PairSection.model_validate(
        dict(zip(("small", "large"), value, strict=True)) if isinstance(value, Pair) else value
    )
    if section.small.ticker == section.large.ticker:
        example = 'such as small = "IJR" and large = "IVV"'
        raise ValueError(f"small and large: both are {section.small.ticker}; name two funds, {example}")
    return Pair(section.small, section.large)


class SourcesSection(Section):
    """Sources of prices, facts and multiples."""

    yahoo: Flag = Field(
        default=True, description="Prices, distributions, splits, fund facts and multiples from Yahoo."
    )
    yahoo_timeout: Annotated[int, _between(1, 300, "seconds")] = Field(
        default=30, description="Seconds before a request to Yahoo is given up."
    )
    daily_csv: UrlWithTicker = Field(
        default="",
        repr=False,
        description="Address of a daily CSV (Date,Close,...) with {ticker} in it, and {start} where the site "
        "takes a date: a second source of prices that fills sessions Yahoo lacks, where the two agree. It is "
        "asked only for sessions that Yahoo has not given 3 h 15 min after their close, or has dropped. "
        "No default.",
        examples=["https://www.example.com/daily/{ticker}.csv"],
    )


class IssuerSection(Section):
    """The issuers' own files."""

    fetch: Flag = Field(
        default=False,
        description="Whether a refresh fetches the issuers' own files (issuer_file of [pair.small] and "
        "[pair.large]): NAV and shares outstanding, which flows need. Their sites often refuse programs; "
        "then download the file in a browser and use “import issuer”.",
    )


class ChartsSection(Section):
    """How charts look."""

    theme: Literal["light", "dark"] = Field(default="light", description='"light" or "dark".')


class BackupSection(Section):
    """The nightly copies of the database."""

    enabled: Flag = Field(
        default=True,
        description="Whether the running bot copies its database every night, verified, into a folder of its "
        "own.",
    )
    directory: FilePath | None = Field(
        default=None,
        description="The folder of the copies. Relative to this file. Default: backups, beside the database.",
        examples=["backups"],
    )
    time: ClockTime = Field(default="03:30", description="Local time of the copy, in the zone of [time].")
    keep: Annotated[int, _between(1, 3650, "days")] = Field(
        default=14, description="Days for which copies are kept; the newest is kept in any case."
    )


class HeartbeatSection(Section):
    """A dead man's switch."""

    url: PingUrl = Field(
        default=SecretStr(""),
        description="Address that the bot calls while it is well, e.g. of a dead man's switch, which raises "
        "the alarm when the calls stop. Most hold a secret, which is never logged. Default: none.",
    )
    minutes: Annotated[int, _between(1, 1440, "minutes")] = Field(
        default=5, description="Minutes between two calls."
    )


class LogSection(Section):
    """The log."""

    level: Literal["debug", "info", "warning"] = Field(
        default="info",
        description='How much is logged to standard error: "debug", "info" or "warning"; at "debug" also '
        "what people write and what they are answered. Secrets never are.",
    )


class Config(BaseSettings):
    """Everything that can be configured, with its default, by section."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, case_sensitive=True
    )

    telegram: TelegramSection = TelegramSection()
    storage: StorageSection = Field(default_factory=StorageSection)
    access: AccessSection = AccessSection()
    time: TimeSection = TimeSection()
    calendar: CalendarSection = CalendarSection()
    pair: Annotated[Pair, BeforeValidator(_pair)] = DEFAULT_PAIR
    sources: SourcesSection = SourcesSection()
    issuer: IssuerSection = IssuerSection()
    charts: ChartsSection = ChartsSection()
    backup: BackupSection = BackupSection()
    heartbeat: HeartbeatSection = HeartbeatSection()
    log: LogSection = LogSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take no key from the environment: variables named LOG or TIME are not meant for this program."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @property
    def secrets(self) -> frozenset[str]:
        """What no log may hold: the token behind the bot's number, keys and passwords in addresses."""
        files = (address for fund in self.pair for address in (fund.issuer_file, fund.holdings_file))
        addresses = (self.telegram.base_url, self.sources.daily_csv, *files)
        parts = {
            secrets.of_token(self.telegram.token.get_secret_value()),
            *secrets.of_ping(self.heartbeat.url.get_secret_value()),
        }
        return frozenset(parts.union(*map(secrets.of_address, addresses)) - {""})

    @property
    def backups(self) -> Path:
        """The folder of the nightly backups."""
        return self.backup.directory or self.storage.database.parent / "backups"

    def with_keys(self, **sections: Mapping[str, object]) -> Config:
        """Return a copy in which some keys of some sections have other values, checked as those of a file."""
        changed = {}
        for name, values in sections.items():
            section, checked = getattr(self, name), _model(name).model_validate(values)
            update = {key: getattr(checked, key) for key in values}
            is_pair = isinstance(section, Pair)
            changed[name] = replace(section, **update) if is_pair else section.model_copy(update=update)
        return self.model_copy(update=changed)


@dataclass(frozen=True)
class Key:
    """One key of the configuration, as the documentation and the example file show it."""

    section: str
    name: str
    description: str
    value: object  # the default, or an example where there is none
    commented_out: bool  # in the example file, because there is no default


def _keys() -> Iterator[Key]:
    for section in Config.model_fields:
        for name, field in _model(section).model_fields.items():
            default = field.get_default()
            default = default.ticker if isinstance(default, Fund) else default
            value = field.examples[0] if field.examples else default
            commented_out = bool(field.examples) and field.default_factory is None
            yield Key(section, name, field.description or "", value, commented_out)


def _model(section: str) -> type[Section]:
    """Return the model of a section's keys; a dot leads into the section of one fund."""
    if section.startswith("pair"):
        return FundSection if "." in section else PairSection
    model = Config.model_fields[section].annotation
    if not isinstance(model, type) or not issubclass(model, Section):
        raise TypeError(f"{section} is no section")
    return model


KEYS = tuple(_keys())


def load_config(
    path: Path | None,
    environment: Mapping[str, str] | None = None,
    *,
    token_needed: bool = False,
    token_used: bool = False,
) -> Config:
    """Return the config of a TOML file, or the defaults without one; raises ConfigError with every problem.

    Only `bot run` needs a token, `bot check` uses one if it is given; the other commands do not even
    read the token file.
    """
    environment = os.environ if environment is None else environment
    tables, config = _read(path), Config()
    problems: list[str] = []
    try:
        config = Config(**{name: table for name, table in tables.items() if name in Config.model_fields})
    except ValidationError as error:
        problems = _sentences(error)
    problems += [
        _unknown_section(name, value) for name, value in tables.items() if name not in Config.model_fields
    ]
    telegram = tables.get("telegram")
    table = telegram if isinstance(telegram, dict) else {}
    wanted = token_needed or (token_used and secrets.is_given(table, environment))
    token, problem = secrets.read_token(table, path, environment) if wanted else ("", "")
    proxies = _proxies(environment) if token_needed or token_used else []
    if problems := [*problems, *([problem] if problem else []), *proxies]:
        raise ConfigError(problems)
    config = config.with_keys(telegram={"token": token})
    return _resolved(config, path.parent) if path else config


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # with or without a byte order mark
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file; copy config.example.toml and edit it"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror})"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: cannot be read (not a text in UTF-8)"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: not valid TOML: {error}"]) from None


def _resolved(config: Config, folder: Path) -> Config:
    """Return the config with relative paths beginning at the folder of its file."""
    paths: dict[str, dict[str, object]] = {}
    for key in KEYS:
        value = getattr(getattr(config, key.section), key.name)
        if isinstance(value, Path):
            paths.setdefault(key.section, {})[key.name] = folder / value
    return config.with_keys(**paths)


def _proxies(environment: Mapping[str, str]) -> list[str]:
    """Return what is wrong with proxies that httpx, which asks Telegram, cannot use."""
    sentence = "must be a proxy such as http://proxy.example.com:3128; SOCKS is not supported"
    return [
        f"{name}: {sentence}"
        for name, value in environment.items()
        if secrets.is_proxy(name) and not re.match(r"(?i)https?://|(?!.*://)", value)
    ]


def _sentences(error: ValidationError) -> list[str]:
    """Return one sentence a problem, those about unknown names last."""
    problems = sorted(_problems(error), key=lambda problem: problem[1]["type"] == "extra_forbidden")
    return [_sentence(place, problem) for place, problem in problems]


def _problems(error: ValidationError, outer: _Place = ()) -> Iterator[tuple[_Place, Mapping[str, Any]]]:
    """Yield the place and pydantic's description of each problem, those of nested sections too."""
    for problem in error.errors(include_url=False):
        place, inner = (*outer, *problem["loc"]), problem.get("ctx", {}).get("error")
        if isinstance(inner, ValidationError):
            yield from _problems(inner, place)
        else:
            yield place, problem


def _sentence(place: _Place, problem: Mapping[str, Any]) -> str:
    """Return the sentence about one value, e.g. "[charts] theme: must be one of: light, dark"."""
    kind = problem["type"]
    *outer, name = [part for part in place if isinstance(part, str)]
    section = ".".join(outer)
    if kind == "extra_forbidden":
        return f"[{section}] {name}: unknown key{_nearest(name, list(_model(section).model_fields))}"
    if kind == "model_type":
        return f"{name}: must be a section, written [{name}]"
    reason = problem["ctx"].get("error")
    if not section:
        return f"[{name}] {reason}"
    if kind == "literal_error":
        choices = re.findall("'([^']+)'", problem["ctx"]["expected"])
        reason = f"must be one of: {', '.join(choices)}"
    entries = [f"entry {part + 1}, {_shown(problem['input'])}, " for part in place if isinstance(part, int)]
    return f"[{section}] {name}: {''.join(entries)}{reason}"


def _unknown_section(section: str, value: object) -> str:
    """Return the sentence about a section that does not exist, or a key outside of all sections."""
    sections = list(Config.model_fields)
    if isinstance(value, dict):
        return f"[{section}]: unknown section{_nearest(section, sections)}"
    return f"{section}: is not in a section; the sections are: {', '.join(sorted(sections))}"


def _nearest(word: str, names: list[str]) -> str:
    close = difflib.get_close_matches(word, sorted(names), n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(sorted(names))}"


def _shown(entry: object) -> str:
    """Return an entry as TOML writes it, or nearly."""
    return str(entry).lower() if isinstance(entry, bool) else f"“{entry}”"
