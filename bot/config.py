"""Configuration: a TOML file checked by pydantic, and the bot's token, also from the environment.

Each section of the file is a model, each key a field with its description below it. The documentation and
the example file are made from them. All problems are reported at once, each with its key. pydantic takes
a tenth of a second: import this module when the configuration is needed, not for --help.
"""

import datetime as dt
import difflib
import os
import re
import shlex
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pydantic
from platformdirs import user_data_path

from bot import secrets
from bot.errors import ConfigError
from bot.pair import DEFAULT_PAIR, PUBLIC_FILES, Fund, Pair

_TICKER = re.compile(r"[A-Z][A-Z0-9]{0,9}([.-][A-Z0-9]{1,4})?")
_UNENCODED = "%!#$&'()*+,/:;=?@[]~"  # characters that a URL may hold unencoded, beside letters and digits
_NOT_EMPTY = "must be text in quotes and not empty"
# The sentence for an error of pydantic's own. The validators below raise a ValueError with a sentence
# instead. The key is put in front of either: "[telegram] token: must be ...".
_SENTENCES = {
    "string_type": _NOT_EMPTY,
    "string_too_short": _NOT_EMPTY,
    "frozen_set_type": "must be a list of ids such as [123456789]",
    "tuple_type": "must be a list of dates such as [2025-01-09]",
}
_Location = tuple[int | str, ...]  # pydantic's "loc": the names of section and key, the index of an entry


def default_database() -> Path:
    """Return the path of the database unless one is configured: a file in the platform's data folder."""
    return user_data_path("small-versus-large-bot", appauthor=False) / "bot.db"


def _require(condition: Callable[[Any], bool], sentence: str) -> pydantic.BeforeValidator:
    """Return a validator that refuses, with the sentence, values for which the condition is false."""

    def check(value: object) -> object:
        if not condition(value):
            raise ValueError(sentence)
        return value

    return pydantic.BeforeValidator(check)


def _between(first: int, last: int, unit: str) -> pydantic.BeforeValidator:
    sentence = f"must be a whole number of {unit} from {first} to {last}"
    return _require(lambda value: type(value) is int and first <= value <= last, sentence)


def _path(value: object) -> Path:
    """Return the path with ~ expanded. It may be relative; load_config resolves it."""
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value.strip():
        raise ValueError(_NOT_EMPTY)
    try:
        return Path(value.strip()).expanduser()
    except RuntimeError:
        raise ValueError("begins with the home folder of a user unknown on this machine") from None


def _checked_url(url: str, example: str) -> str:
    with suppress(ValueError):  # from urlsplit: a port over 65,535, a bracket that is not closed
        parts = urlsplit(url)
        if re.fullmatch(r"https?://[^\s/]+(/\S*)?", url) and parts.hostname and parts.port != 0:
            return url
    raise ValueError(f"must be a URL such as {example}")


def _ping_url(value: pydantic.SecretStr) -> pydantic.SecretStr:
    """Return the URL percent-encoded, or an empty text for none.

    It is encoded here and not by httpx, so that httpx logs the very text that is hidden from logs.
    """
    if not value.get_secret_value():
        return value
    url = _checked_url(value.get_secret_value().strip(), "https://hc-ping.com/your-uuid")
    scheme, slashes, rest = url.partition("//")
    host, slash, path = rest.partition("/")
    return pydantic.SecretStr(f"{scheme}{slashes}{host}{slash}{quote(path, safe=_UNENCODED)}")


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"“{value}” is not a time zone name such as America/New_York") from None
    return value


def _date(value: object) -> dt.date:
    try:
        return value if type(value) is dt.date else dt.date.fromisoformat(str(value))
    except ValueError:
        raise ValueError("is not a date such as 2025-01-09") from None


def _clock_time(value: object) -> str:
    """Return a time of day as "HH:MM", given as a TOML time or as text."""
    text = f"{value:%H:%M}" if isinstance(value, dt.time) else str(value)
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text):
        raise ValueError(f"“{text}” is not a time of day such as 03:30")
    return text


def _ticker(value: object) -> str:
    ticker = value.strip().upper() if isinstance(value, str) else ""
    if not _TICKER.fullmatch(ticker):
        raise ValueError('must be a ticker such as "IJR": letters and digits, with one dot or hyphen at most')
    return ticker


Flag = Annotated[bool, _require(lambda value: isinstance(value, bool), "must be true or false")]
Text = Annotated[str, pydantic.StringConstraints(strict=True, strip_whitespace=True, min_length=1)]
FilePath = Annotated[Path, pydantic.BeforeValidator(_path)]
Url = Annotated[
    Text, pydantic.AfterValidator(lambda value: _checked_url(value.rstrip("/"), "https://api.telegram.org"))
]
OptionalUrl = Annotated[
    str,
    pydantic.StringConstraints(strict=True, strip_whitespace=True),
    pydantic.AfterValidator(lambda value: value and _checked_url(value, "https://www.example.com/IWM_fund.xls")),
]
UrlWithTicker = Annotated[
    Url, _require(lambda value: "{ticker}" in str(value), "must have {ticker} where the fund's ticker belongs")
]
SecNumber = Annotated[
    str,
    _require(
        lambda value: isinstance(value, str) and re.fullmatch(r"(S[0-9]{9}|[0-9]{1,10})?", value) is not None,
        'must be a series or CIK at the SEC such as "S000004344" or "884394"',
    ),
]
HeaderText = Annotated[
    str,
    pydantic.StringConstraints(strict=True, strip_whitespace=True),
    _require(
        lambda value: isinstance(value, str) and value.isascii() and value.isprintable(),
        "must be text in quotes, in letters without accents",
    ),
]
PingUrl = Annotated[pydantic.SecretStr, pydantic.AfterValidator(_ping_url)]
Ticker = Annotated[str, pydantic.BeforeValidator(_ticker)]
TelegramId = Annotated[
    int,
    _require(
        lambda value: type(value) is int and 0 < abs(value) < 2**63,
        "must be a Telegram id, a whole number such as 123456789",
    ),
]
PersonId = Annotated[
    TelegramId,
    _require(
        lambda value: type(value) is not int or value >= 0,
        "must be a person's id, which is positive; groups belong in chats",
    ),
]
TimeZone = Annotated[Text, pydantic.AfterValidator(_time_zone)]
Date = Annotated[dt.date, pydantic.BeforeValidator(_date)]
ClockTime = Annotated[str, pydantic.BeforeValidator(_clock_time)]


class Section(pydantic.BaseModel):
    """One section of the file. In the example file a key without a default shows its field's example."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def hidden(self) -> Iterator[str]:
        """Yield the texts that repr() leaves out: URLs, which may hold a key or a password."""
        for name, field in type(self).model_fields.items():
            if not field.repr and isinstance(value := getattr(self, name), str):
                yield value


class TelegramSection(Section):
    """Access to the Bot API."""

    token: pydantic.SecretStr = pydantic.SecretStr("")
    """The bot's token from @BotFather. It is safer in a file that only you can read, or in the
    environment variable TELEGRAM_BOT_TOKEN. The first of token, token_file and the variable counts."""
    token_file: Text | None = pydantic.Field(default=None, examples=["telegram.token"])
    """A file with the token, relative to this file; its mode must be 600. No default."""
    base_url: Url = pydantic.Field(default="https://api.telegram.org", repr=False)
    """The Bot API server, e.g. one of your own."""


class StorageSection(Section):
    """The database."""

    database: FilePath = pydantic.Field(default_factory=default_database, examples=["bot.db"])
    """The SQLite file that holds everything, relative to this file. Default: bot.db in the platform's data
    folder."""


class AccessSection(Section):
    """Who may use the bot."""

    mode: Literal["allowlist", "open"] = "allowlist"
    """"allowlist": only the ids below and whom you let in from the chat; "open": everybody."""
    owner: PersonId | None = pydantic.Field(default=None, examples=[123456789])
    """Your own Telegram user id. You are notified when something needs attention. No default."""
    users: frozenset[PersonId] = frozenset()
    """Ids of the people who may use the bot. The owner always may."""
    chats: frozenset[TelegramId] = frozenset()
    """Ids of the chats in which everybody may use the bot. A group's id is negative."""


class TimeSection(Section):
    """The local time."""

    timezone: TimeZone = "America/New_York"
    """Time zone of backups, and of daily summaries in chats that have not set their own."""


class CalendarSection(Section):
    """The exchange's calendar."""

    closed: tuple[Date, ...] = ()
    """Days on which the exchange is closed, but which this version does not know yet."""


class FundSection(Section):
    """A fund of the pair in full, as the section [pair.small] or [pair.large]."""

    ticker: Ticker = pydantic.Field(default="", validate_default=True)
    name: Text = ""
    index: Text = ""
    issuer_file: OptionalUrl = pydantic.Field(default="", repr=False)
    holdings_file: OptionalUrl = pydantic.Field(default="", repr=False)
    distributions_file: OptionalUrl = pydantic.Field(default="", repr=False)
    sec: SecNumber = ""
    distributes: Flag = True


def _fund(value: object) -> Fund:
    """Return the fund of a ticker or table. Keys left out are those of the default fund, if it is one."""
    if isinstance(value, Fund):
        return value
    section = FundSection.model_validate(value if isinstance(value, dict) else {"ticker": _ticker(value)})
    known = {fund.ticker: fund for fund in DEFAULT_PAIR}.get(section.ticker, Fund(section.ticker))
    return replace(known, **section.model_dump(exclude_unset=True))


class PairSection(Section):
    """The two funds that are compared."""

    small: Annotated[Fund, pydantic.BeforeValidator(_fund)] = DEFAULT_PAIR.small
    """The fund of small companies, by its ticker, such as "IJR". To say more about it, write a section
    [pair.small] with ticker and any of: name; index; issuer_file, the URL of its workbook or NAV history
    at the issuer; holdings_file, the URL of its holdings, with {date} in it if the site takes a day as
    20201211; distributions_file, the URL of its list of distributions; sec, its series or CIK at the SEC;
    distributes, false if it never pays. Of IWM and SPY the bot knows them all; "" switches one off."""
    large: Annotated[Fund, pydantic.BeforeValidator(_fund)] = DEFAULT_PAIR.large
    """The fund of large companies, likewise, such as "IVV". A database holds one pair: another pair needs
    another database."""


def _pair(value: object) -> Pair:
    """Return the pair of the section [pair]. A fund cannot be compared with itself."""
    section = PairSection.model_validate(value)
    if section.small.ticker == section.large.ticker:
        example = 'such as small = "IJR" and large = "IVV"'
        raise ValueError(f"small and large: both are {section.small.ticker}; name two funds, {example}")
    return Pair(section.small, section.large)


class SourcesSection(Section):
    """Sources of prices, fund facts and multiples."""

    yahoo: Flag = True
    """Whether prices, distributions, splits, fund facts and multiples are fetched from Yahoo."""
    yahoo_timeout: Annotated[int, _between(1, 300, "seconds")] = 30
    """Seconds after which a request to Yahoo is given up."""
    daily_csv: UrlWithTicker = pydantic.Field(
        default="", repr=False, examples=["https://www.example.com/daily/{ticker}.csv"]
    )
    """URL of a CSV of daily prices (Date,Close,...), with {ticker} in it, and {start} if the site takes a
    first date. It is a second source of prices that fills sessions missing at Yahoo where the two agree.
    It is asked only for sessions that Yahoo has not given 3 h 15 min after their close, or has dropped.
    No default."""


class IssuerSection(Section):
    """The issuers' own files."""

    fetch: Flag = True
    """Whether a refresh fetches the issuers' files (those of [pair.small] and [pair.large]): NAV and
    shares outstanding, from which flows are computed, holdings and distributions. Each is asked for once a
    day at most. Where a site refuses programs, download the file in a browser and use “import issuer”."""
    user_agent: HeaderText = pydantic.Field(
        default="", examples=["Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"]
    )
    """What the bot calls itself there, for a site that refuses its own name and version, e.g. what your
    browser calls itself. Default: the bot's name and version."""


class SecSection(Section):
    """Filings at the US Securities and Exchange Commission (SEC)."""

    contact: HeaderText = pydantic.Field(default="", examples=["Jane Doe jane@example.com"])
    """Your name and mail address, which the SEC wants to know of whoever asks for filings. With it the
    official flows of each month are fetched (form N-PORT, once a quarter), as a check. Default: none, and
    the SEC is not asked."""


class ChartsSection(Section):
    """How charts look."""

    theme: Literal["light", "dark"] = "light"
    """"light" or "dark", in chats that have not set their own."""


class BackupSection(Section):
    """The nightly copies of the database."""

    enabled: Flag = True
    """Whether the running bot copies its database every night and verifies the copy."""
    directory: FilePath | None = pydantic.Field(default=None, examples=["backups"])
    """The folder of the copies, relative to this file. Default: backups, beside the database."""
    time: ClockTime = "03:30"
    """Local time of the copy, in the time zone of [time]."""
    keep: Annotated[int, _between(1, 3650, "days")] = 14
    """Days for which copies are kept. The newest copy is always kept."""


class HeartbeatSection(Section):
    """A dead man's switch."""

    url: PingUrl = pydantic.SecretStr("")
    """URL that the bot calls while it is well, e.g. that of a dead man's switch, which raises the alarm
    when the calls stop. Most hold a secret; it is never logged. Default: none."""
    minutes: Annotated[int, _between(1, 1440, "minutes")] = 5
    """Minutes between two calls."""


class LogSection(Section):
    """The log."""

    level: Literal["debug", "info", "warning"] = "info"
    """How much is logged to standard error: "debug", "info" or "warning". At "debug" the log also holds what
    people write and what the bot answers. Secrets are never logged."""


class Config(pydantic.BaseModel):
    """Everything that can be configured, with its default, by section."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    telegram: TelegramSection = TelegramSection()
    storage: StorageSection = pydantic.Field(default_factory=StorageSection)
    access: AccessSection = AccessSection()
    time: TimeSection = TimeSection()
    calendar: CalendarSection = CalendarSection()
    pair: Annotated[Pair, pydantic.BeforeValidator(_pair)] = DEFAULT_PAIR
    sources: SourcesSection = SourcesSection()
    issuer: IssuerSection = IssuerSection()
    sec: SecSection = SecSection()
    charts: ChartsSection = ChartsSection()
    backup: BackupSection = BackupSection()
    heartbeat: HeartbeatSection = HeartbeatSection()
    log: LogSection = LogSection()
    _command_options: str = pydantic.PrivateAttr("")

    @property
    def secrets(self) -> frozenset[str]:
        """What no log may hold: the secret part of the token, and keys and passwords in URLs."""
        files = {url for fund in self.pair for url in fund.files.values()} - PUBLIC_FILES
        hidden = (url for _, section in self if isinstance(section, Section) for url in section.hidden())
        urls = (*hidden, *files)
        parts = {
            secrets.token_secret(self.telegram.token.get_secret_value()),
            *secrets.ping_url_secrets(self.heartbeat.url.get_secret_value()),
        }
        return frozenset(parts.union(*map(secrets.url_secrets, urls)) - {""})

    @property
    def command_options(self) -> str:
        """--config and --db of this process, which every command line shown to the owner repeats."""
        return self._command_options

    def set_command_options(self, file: Path | None, database: Path | None) -> None:
        """Remember the options with which the process was started. Copies of the configuration keep them."""
        options = {"--config": file, "--db": database}
        self._command_options = " ".join(
            f"{name} {shlex.quote(str(path))}" for name, path in options.items() if path is not None
        )

    @property
    def backups(self) -> Path:
        """The folder of the nightly backups."""
        return self.backup.directory or self.storage.database.parent / "backups"

    def with_keys(self, **sections: Mapping[str, object]) -> "Config":
        """Return a copy with other values of some keys, which are checked as those of a file."""
        copies = {}
        for name, values in sections.items():
            section, checked = getattr(self, name), section_model(name).model_validate(values)
            update = {key: getattr(checked, key) for key in values}
            is_pair = isinstance(section, Pair)
            copies[name] = replace(section, **update) if is_pair else section.model_copy(update=update)
        return self.model_copy(update=copies)


def section_model(section: str) -> type[Section]:
    """Return the model of a section, which may be that of one fund."""
    if section.startswith("pair"):
        return FundSection if "." in section else PairSection
    model = Config.model_fields[section].annotation
    if not isinstance(model, type) or not issubclass(model, Section):
        raise TypeError(f"{section} is no section")
    return model


def load_config(
    path: Path | None,
    environment: Mapping[str, str] | None = None,
    *,
    token_needed: bool = False,
    token_used: bool = False,
) -> Config:
    """Return the configuration of a TOML file, or the defaults if there is none.

    Raises ConfigError with every problem. “run” needs a token, “check” and “doctor” use one if it is given,
    and the other commands do not even read the token file.
    """
    environment = os.environ if environment is None else environment
    tables, config = _read(path), Config()
    problems: list[str] = []
    try:
        config = Config(**{name: table for name, table in tables.items() if name in Config.model_fields})
    except pydantic.ValidationError as error:
        sentences = sorted(_problems(error), key=lambda problem: problem[1]["type"] == "extra_forbidden")
        problems = [_sentence(location, problem) for location, problem in sentences]
    problems += [_unknown_section(name, value) for name, value in tables.items() if name not in Config.model_fields]
    token = None
    if token_needed or token_used:
        table = tables.get("telegram")
        try:
            token = secrets.read_token(table if isinstance(table, dict) else {}, path, environment)
            problems += [secrets.TOKEN_MISSING] if token_needed and token is None else []
        except ConfigError as error:
            problems += error.problems
        problems += _proxy_problems(environment)
    if problems:
        raise ConfigError(problems)
    config = config.with_keys(telegram={"token": token or ""})
    return config if path is None else _with_absolute_paths(config, path.parent)


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # with or without a byte order mark
    except FileNotFoundError:
        problem = "no such file; copy config.example.toml and edit it"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except UnicodeDecodeError:
        problem = "cannot be read (not a text in UTF-8)"
    except ValueError as error:  # TOMLDecodeError, and a number of thousands of digits
        problem = f"not valid TOML: {error}"
    except RecursionError:
        problem = "not valid TOML: brackets within brackets, too many to read"
    raise ConfigError([f"{path}: {problem}"])


def _with_absolute_paths(config: Config, folder: Path) -> Config:
    paths = {
        name: {key: folder / value for key, value in vars(section).items() if isinstance(value, Path)}
        for name, section in config
    }
    return config.with_keys(**{name: keys for name, keys in paths.items() if keys})


def _proxy_problems(environment: Mapping[str, str]) -> list[str]:
    """Return a sentence for each proxy that httpx, by which Telegram is called, cannot use."""
    sentence = "must be a proxy such as http://proxy.example.com:3128; SOCKS is not supported"
    return [
        f"{name}: {sentence}"
        for name, value in environment.items()
        if secrets.is_proxy_variable(name) and not re.match(r"(?i)https?://|(?!.*://)", value)
    ]


def _problems(error: pydantic.ValidationError, outer: _Location = ()) -> Iterator[tuple[_Location, Mapping[str, Any]]]:
    """Yield the location and pydantic's description of each problem, also of those in a fund's section."""
    for problem in error.errors(include_url=False):
        location, inner = (*outer, *problem["loc"]), problem.get("ctx", {}).get("error")
        if isinstance(inner, pydantic.ValidationError):
            yield from _problems(inner, location)
        else:
            yield location, problem


def _sentence(location: _Location, problem: Mapping[str, Any]) -> str:
    """Return the sentence about one value, e.g. "[charts] theme: must be one of: light, dark"."""
    kind, context = problem["type"], problem.get("ctx", {})
    *outer, name = [part for part in location if isinstance(part, str)]
    section = ".".join(outer)
    if kind == "extra_forbidden":
        return f"[{section}] {name}: unknown key{_suggestion(name, section_model(section).model_fields)}"
    if kind == "model_type":
        return f"{name}: must be a section, written [{name}]"
    if kind == "literal_error":
        choices = re.findall("'([^']+)'", context["expected"])
        reason = f"must be one of: {', '.join(choices)}"
    else:
        reason = _SENTENCES.get(kind) or str(context["error"])
    if not section:
        return f"[{name}] {reason}"
    entries = [f"entry {part + 1}, {_shown(problem['input'])}, " for part in location if isinstance(part, int)]
    return f"[{section}] {name}: {''.join(entries)}{reason}"


def _unknown_section(name: str, value: object) -> str:
    if isinstance(value, dict):
        return f"[{name}]: unknown section{_suggestion(name, Config.model_fields)}"
    return f"{name}: is not in a section; the sections are: {', '.join(sorted(Config.model_fields))}"


def _suggestion(word: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, sorted(names), n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(sorted(names))}"


def _shown(entry: object) -> str:
    """Return an entry of a list nearly as TOML writes it."""
    return str(entry).lower() if isinstance(entry, bool) else f"“{entry}”"
