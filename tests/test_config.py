import datetime as dt
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from bot.config import (
    AccessSection,
    BackupSection,
    CalendarSection,
    ChartsSection,
    Config,
    HeartbeatSection,
    LogSection,
    SourcesSection,
    StorageSection,
    TelegramSection,
    TimeSection,
    default_database,
    load_config,
)
from bot.errors import ConfigError
from bot.pair import DEFAULT_PAIR, Fund, Pair
from bot.secrets import TOKEN_VARIABLE
from docs.tables import KEYS

TOKEN = "123456789:" + "A" * 35
OTHER = "987654321:" + "B" * 35
MISSING = f"[telegram] token: missing; set it, or token_file, or {TOKEN_VARIABLE} (ask @BotFather)"
UNLIKE = "does not look like a bot token (123456789:AA...)"
EXAMPLE = Path(__file__).parents[1] / "config.example.toml"
PERSON = "must be a person's id, which is positive; groups belong in chats"
# Keys of the example whose value is commented out, because they have no default.
WITHOUT_DEFAULT = {(key.section, key.name) for key in KEYS if key.commented_out}
# Keys whose value is a URL.
URLS = [
    (key.section, key.name)
    for key in KEYS
    if key.section != "pair" and (key.description.startswith("URL ") or str(key.value).startswith("https:"))
]


def example(uncommented: bool) -> str:
    """The example, its commented keys in force or not."""
    text = EXAMPLE.read_text(encoding="utf-8")
    return re.sub(r"(?m)^# (\w+ = )", r"\1", text) if uncommented else text


def write(folder: Path, text: str) -> Path:
    file = folder / "config.toml"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return file


def token_of(file: Path | None, environment: Mapping[str, str] | None = None) -> str:
    """The token that `run` uses with a configuration."""
    return load_config(file, environment, token_needed=True).telegram.token.get_secret_value()


def problems(folder: Path, text: str, **environment: str) -> list[str]:
    """What is wrong with a file for `run`; with a token in the environment unless the test is about it."""
    with pytest.raises(ConfigError) as refused:
        load_config(write(folder, text), environment or {TOKEN_VARIABLE: TOKEN}, token_needed=True)
    assert str(refused.value) == "\n".join(refused.value.problems)
    return refused.value.problems


# The example


def test_the_example_is_loaded_and_holds_the_defaults() -> None:
    config = load_config(EXAMPLE, {TOKEN_VARIABLE: TOKEN}, token_needed=True)
    assert config == Config().with_keys(telegram={"token": TOKEN}, storage={"database": EXAMPLE.parent / "bot.db"})


def test_the_example_has_every_key_and_no_other() -> None:
    tables = tomllib.loads(example(uncommented=True))
    keys = {(section, key) for section, table in tables.items() for key in table}
    assert keys == {(key.section, key.name) for key in KEYS}
    plain = {(s, k) for s, table in tomllib.loads(example(uncommented=False)).items() for k in table}
    assert keys - plain == WITHOUT_DEFAULT
    assert {getattr(getattr(Config(), section), key) for section, key in WITHOUT_DEFAULT} == {None, ""}


def test_no_key_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for section in Config.model_fields:
        monkeypatch.setenv(section, "{}")
        monkeypatch.setenv(section.upper(), '{"unknown": 1}')
    assert load_config(None) == Config()


def test_a_key_named_as_an_argument_of_pydantic_is_unknown(tmp_path: Path) -> None:
    (sentence,) = problems(tmp_path, '_env_file = "other"')
    assert sentence.startswith("_env_file: is not in a section; the sections are: ")


def test_copies_with_other_values_are_checked_as_files_are() -> None:
    config = Config().with_keys(access={"users": [1, 2]}, charts={"theme": "dark"})
    assert config.access == AccessSection(users=frozenset({1, 2}))
    assert config.charts == ChartsSection(theme="dark")
    with pytest.raises(ValidationError):
        Config().with_keys(charts={"theme": "red"})


def test_the_commented_keys_of_the_example_are_valid_too(tmp_path: Path) -> None:
    file = write(tmp_path, example(uncommented=True).replace('token = ""\n', ""))
    secret = tmp_path / "telegram.token"
    secret.write_text(f"{TOKEN}\n")
    secret.chmod(0o600)
    config = load_config(file, {}, token_needed=True)
    assert (config.telegram.token.get_secret_value(), config.access.owner) == (TOKEN, 123456789)


# Values


def test_without_a_file_the_defaults_hold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert load_config(None, {}) == Config()
    assert load_config(None, {}).storage.database == default_database()
    assert default_database().name == "bot.db"


def test_every_value_of_a_file_is_taken(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        f"""
        [telegram]
        token = " {TOKEN} "
        base_url = "http://127.0.0.1:8081/"
        [storage]
        database = "data/mine.db"
        [access]
        mode = "open"
        owner = 7
        users = [1, 2, 2]
        chats = [-100]
        [time]
        timezone = "Europe/Berlin"
        [calendar]
        closed = [2025-01-09, "2018-12-05"]
        [sources]
        yahoo = false
        yahoo_timeout = 5
        [charts]
        theme = "dark"
        [backup]
        enabled = false
        directory = "copies"
        time = 23:05:00
        keep = 3
        [heartbeat]
        url = "https://example.com/ping/secret/"
        minutes = 15
        [log]
        level = "debug"
        """,
    )
    assert load_config(file, {}, token_needed=True) == Config(
        telegram=TelegramSection(token=SecretStr(TOKEN), base_url="http://127.0.0.1:8081"),
        storage=StorageSection(database=tmp_path / "data" / "mine.db"),
        access=AccessSection(mode="open", owner=7, users=frozenset({1, 2}), chats=frozenset({-100})),
        time=TimeSection(timezone="Europe/Berlin"),
        calendar=CalendarSection(closed=(dt.date(2025, 1, 9), dt.date(2018, 12, 5))),
        sources=SourcesSection(yahoo=False, yahoo_timeout=5),
        charts=ChartsSection(theme="dark"),
        backup=BackupSection(enabled=False, directory=tmp_path / "copies", time="23:05", keep=3),
        heartbeat=HeartbeatSection(url=SecretStr("https://example.com/ping/secret/"), minutes=15),
        log=LogSection(level="debug"),
    )


def test_the_database_may_be_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for text, place in (("/var/lib/bot.db", Path("/var/lib/bot.db")), ("~/bot.db", tmp_path / "home" / "bot.db")):
        assert load_config(write(tmp_path, f'[storage]\ndatabase = "{text}"'), {}).storage.database == place


def test_backups_lie_beside_the_database_unless_a_folder_is_named(tmp_path: Path) -> None:
    def backups(text: str) -> Path:
        return load_config(write(tmp_path, text), {}).backups

    assert backups('[storage]\ndatabase = "data/mine.db"') == tmp_path / "data" / "backups"
    assert backups('[backup]\ndirectory = "/mnt/copies"') == Path("/mnt/copies")


def test_a_file_saved_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b'\xef\xbb\xbf[charts]\r\ntheme = "dark"\r\n')
    assert load_config(file, {}).charts.theme == "dark"


# Mistakes


def test_all_mistakes_are_told_at_once_each_with_its_key(tmp_path: Path) -> None:
    text = """
        speed = 5
        [telegram]
        token = "hello"
        base_url = "telegram.org"
        [storage]
        database = ""
        [access]
        mode = "closed"
        owner = "me"
        users = 5
        chats = [1, true, "us"]
        [time]
        timezone = "New York"
        [calendar]
        closed = ["2025-13-01"]
        [source]
        """
    sections = sorted({key.section for key in KEYS})
    assert problems(tmp_path, text) == [
        "[telegram] base_url: must be a URL such as https://api.telegram.org",
        "[storage] database: must be text in quotes and not empty",
        "[access] mode: must be one of: allowlist, open",
        "[access] owner: must be a Telegram id, a whole number such as 123456789",
        "[access] users: must be a list of ids such as [123456789]",
        "[access] chats: entry 2, true, must be a Telegram id, a whole number such as 123456789",
        "[access] chats: entry 3, “us”, must be a Telegram id, a whole number such as 123456789",
        "[time] timezone: “New York” is not a time zone name such as America/New_York",
        "[calendar] closed: entry 1, “2025-13-01”, is not a date such as 2025-01-09",
        f"speed: is not in a section; the sections are: {', '.join(sections)}",
        "[source]: unknown section; did you mean sources?",
        f"[telegram] token: {UNLIKE}",
    ]


# Sections and keys, and sentences with the values that they refuse.
ID = "must be a Telegram id, a whole number such as 123456789"
TIME = "“{}” is not a time of day such as 03:30"
ZONE = "“{}” is not a time zone name such as America/New_York"
MISTAKES = {
    "telegram base_url": {
        "must be a URL such as https://api.telegram.org": ['"https://"'],
        "must be text in quotes and not empty": ["5"],
    },
    "telegram token": {"must be text in quotes and not empty": ["5"]},
    "telegram token_file": {"must be text in quotes and not empty": ["false"]},
    "access owner": {ID: ["0", "9223372036854775807000"]},
    "access mode": {"must be one of: allowlist, open": ["true"]},
    "access users": {f"entry 2, “-5”, {PERSON}": ["[7, -5]"]},
    "time timezone": {ZONE.format("../etc"): ['"../etc"'], ZONE.format("America"): ['"America"']},
    "calendar closed": {
        "must be a list of dates such as [2025-01-09]": ['"2025-01-09"'],
        "entry 1, “5”, is not a date such as 2025-01-09": ["[5]"],
        "entry 1, “2025-01-09 10:00:00”, is not a date such as 2025-01-09": ["[2025-01-09T10:00:00]"],
    },
    "sources daily_csv": {"must have {ticker} where the fund's ticker belongs": ['"https://www.example.com/IWM.csv"']},
    "sources yahoo": {"must be true or false": ['"yes"']},
    "sources yahoo_timeout": {"must be a whole number of seconds from 1 to 300": ["0", "301", "true"]},
    "sources yahoo_timout": {"unknown key; did you mean yahoo_timeout?": ["5"]},
    "charts colour": {"unknown key; known: theme": ["5"]},
    "charts theme": {"must be one of: light, dark": ['"Dark"']},
    "backup keep": {"must be a whole number of days from 1 to 3650": ["0"]},
    "backup time": {TIME.format(time): [f'"{time}"'] for time in ("3:30", "24:00", "03:3०")},
    "heartbeat url": {
        "must be a URL such as https://hc-ping.com/your-uuid": [
            '"hc-ping.com"',
            '"ftp://hc-ping.com/secret"',
            '"https://[hc-ping.com/secret"',
            '"https://hc-ping.com:99999/secret"',
        ]
    },
    "heartbeat minutes": {"must be a whole number of minutes from 1 to 1440": ["0"]},
}


@pytest.mark.parametrize("place", MISTAKES)
def test_a_mistake_is_told_with_its_key(place: str, tmp_path: Path) -> None:
    section, key = place.split()
    for sentence, values in MISTAKES[place].items():
        for value in values:
            assert problems(tmp_path, f"[{section}]\n{key} = {value}") == [f"[{section}] {key}: {sentence}"]


@pytest.mark.parametrize("text", ["charts = 5", "[[charts]]\ntheme = 'dark'"])
def test_what_is_no_section_is_told(text: str, tmp_path: Path) -> None:
    assert problems(tmp_path, text) == ["charts: must be a section, written [charts]"]


def test_what_is_no_configuration_file_is_named(tmp_path: Path) -> None:
    for text in ("[telegram\n", "x = " + "[" * 100_000, "x = " + "1" * 5_000):
        file = write(tmp_path, text)
        (found,) = problems(tmp_path, text)
        assert found.startswith(f"{file}: not valid TOML: ")
    for path, said in (
        (tmp_path / "none.toml", "no such file; copy config.example.toml and edit it"),
        (tmp_path, "cannot be read (Is a directory)"),
    ):
        with pytest.raises(ConfigError, match=f"^{re.escape(f'{path}: {said}')}$"):
            load_config(path, {})
    file.write_bytes(b"[charts]\ntheme = '\xff'\n")
    with pytest.raises(ConfigError, match=f"^{re.escape(f'{file}: cannot be read (not a text in UTF-8)')}$"):
        load_config(file, {})


def test_the_address_of_a_heartbeat_is_encoded_as_it_is_sent(tmp_path: Path) -> None:
    file = write(tmp_path, '[heartbeat]\nurl = "https://bücher.example/ü/{a}%20b?m=“x”#y"')
    sent = "https://bücher.example/%C3%BC/%7Ba%7D%20b?m=%E2%80%9Cx%E2%80%9D#y"
    assert load_config(file, {}).heartbeat.url.get_secret_value() == sent


# Proxies


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "all_proxy"])
@pytest.mark.parametrize("value", ["socks5://me:pass-word@proxy.example:1080", "foo://proxy.example"])
def test_a_proxy_that_telegram_cannot_use_is_refused(name: str, value: str, tmp_path: Path) -> None:
    said = "must be a proxy such as http://proxy.example.com:3128; SOCKS is not supported"
    environment = {TOKEN_VARIABLE: TOKEN, name: value}
    assert problems(tmp_path, "", **environment) == [f"{name}: {said}"]
    assert load_config(None, environment) == Config()  # Yahoo can be asked through it


@pytest.mark.parametrize("value", ["http://me:pass@proxy.example:3128", "HTTPS://proxy.example", "proxy:3128", ""])
def test_a_proxy_of_http_is_taken(value: str) -> None:
    environment = {TOKEN_VARIABLE: TOKEN, "HTTPS_PROXY": value, "no_proxy": "socks5://all"}
    assert token_of(None, environment) == TOKEN


# What no log may hold


def test_the_secret_part_of_the_token_and_of_the_heartbeat_is_known() -> None:
    config = Config().with_keys(telegram={"token": TOKEN}, heartbeat={"url": "https://example.com/ping/secret?key=1"})
    assert config.secrets == {"A" * 35, "ping/secret?key=1"}
    assert not any(secret in repr(config) for secret in (*config.secrets, "secret"))
    assert config.with_keys(heartbeat={"url": "https://example.com/"}).secrets == {"A" * 35}
    assert Config().secrets == frozenset()


@pytest.mark.parametrize(("section", "key"), URLS)
def test_passwords_and_keys_in_addresses_are_known(section: str, key: str) -> None:
    url = "https://me:p%40ssword@example.com/daily/0123456789abcdef/{ticker}?apikey=fedcba9876543210"
    config = Config().with_keys(**{section: {key: url}})
    assert {"p%40ssword", "p@ssword", "0123456789abcdef", "fedcba9876543210"} <= config.secrets
    assert "daily" not in config.secrets
    assert "ssword" not in repr(config)


@pytest.mark.parametrize("name", ["issuer_file", "holdings_file"])
def test_passwords_in_addresses_of_a_funds_files_are_known(name: str) -> None:
    address = {name: "https://me:p%40ssword@example.com/IJR.xls"}
    config = Config().with_keys(pair={"small": {"ticker": "IJR", **address}})
    assert {"p%40ssword", "p@ssword"} <= config.secrets
    assert "ssword" not in repr(config)


# The pair


def test_a_ticker_alone_is_its_own_name_and_has_no_files(tmp_path: Path) -> None:
    pair = load_config(write(tmp_path, '[pair]\nsmall = "ijr"\nlarge = "IVV"'), {}).pair
    assert pair == Pair(Fund("IJR", "IJR"), Fund("IVV", "IVV"))


def test_the_default_pair_keeps_what_is_known_of_its_funds(tmp_path: Path) -> None:
    assert Config().pair == DEFAULT_PAIR
    pair = load_config(write(tmp_path, '[pair]\nsmall = "SPY"\nlarge = "IVV"'), {}).pair
    assert pair.small == DEFAULT_PAIR.large


def test_a_fund_in_full(tmp_path: Path) -> None:
    text = """
        [pair]
        large = "IVV"
        [pair.small]
        ticker = "IJR"
        name = "iShares Core S&P Small-Cap ETF"
        index = "S&P SmallCap 600"
        issuer_file = "https://www.example.com/IJR.xls"
        holdings_file = "https://www.example.com/IJR.csv"
        distributes = false
        """
    assert load_config(write(tmp_path, text), {}).pair.small == Fund(
        "IJR",
        "iShares Core S&P Small-Cap ETF",
        "S&P SmallCap 600",
        "https://www.example.com/IJR.xls",
        "https://www.example.com/IJR.csv",
        distributes=False,
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[pair]\nsmall = "IVV"\nlarge = "ivv"',
            '[pair] small and large: both are IVV; name two funds, such as small = "IJR" and large = "IVV"',
        ),
        ('[pair]\nlarge = "IWM"', "[pair] small and large: both are IWM; name two funds"),
        ('[pair]\nsmall = "I J R"', '[pair] small: must be a ticker such as "IJR"'),
        ("[pair]\nsmall = 5", '[pair] small: must be a ticker such as "IJR"'),
        ('[pair.small]\nname = "Small"', '[pair.small] ticker: must be a ticker such as "IJR"'),
        ('[pair.large]\nticker = "IVV"\nindx = "x"', "[pair.large] indx: unknown key; did you mean index?"),
        ('[pair.large]\nticker = "IVV"\nissuer_file = "x"', "[pair.large] issuer_file: must be a URL"),
    ],
)
def test_a_pair_that_cannot_be_is_refused_with_an_example(tmp_path: Path, text: str, problem: str) -> None:
    (sentence,) = problems(tmp_path, text)
    assert sentence.startswith(problem)


# The token: where it may stand, and what is refused without being shown


def test_the_token_is_taken_from_the_first_of_three_places(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{OTHER}\n")
    secret.chmod(0o600)
    environment = {TOKEN_VARIABLE: "5:" + "C" * 35}

    def token(text: str) -> str:
        return token_of(write(tmp_path, f"[telegram]\n{text}"), environment)

    assert token(f'token = "{TOKEN}"\ntoken_file = "secret"') == TOKEN
    assert token('token = ""\ntoken_file = "secret"') == OTHER
    assert token("") == environment[TOKEN_VARIABLE]


def test_the_token_of_the_process_environment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert token_of(None) == TOKEN
    assert not load_config(None).telegram.token


def test_commands_of_the_terminal_read_no_token(tmp_path: Path) -> None:
    file = write(tmp_path, '[telegram]\ntoken_file = "none"\n')
    assert not load_config(file, {TOKEN_VARIABLE: TOKEN}).telegram.token


def test_a_missing_token_names_the_ways_to_give_one(tmp_path: Path) -> None:
    assert problems(tmp_path, "", SOMETHING="else") == [MISSING]
    assert problems(tmp_path, '[telegram]\ntoken = ""', SOMETHING="else") == [MISSING]


@pytest.mark.parametrize("token", ["hello", "87654321", "87654321:short", "x" + TOKEN, TOKEN + "!", "5:" + "é" * 35])
def test_what_is_no_token_is_refused_without_being_shown(token: str, tmp_path: Path) -> None:
    for found in (
        problems(tmp_path, f'[telegram]\ntoken = "{token}"'),
        problems(tmp_path, "", **{TOKEN_VARIABLE: token}),
    ):
        assert len(found) == 1
        assert found[0].endswith(f": {UNLIKE}")
        assert token not in found[0]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_token_file_that_others_may_read_is_refused(mode: int, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(TOKEN)
    secret.chmod(mode)
    said = f"[telegram] token_file: others may read {secret}; run chmod 600 on it"
    assert problems(tmp_path, '[telegram]\ntoken_file = "secret"') == [said]


def test_a_token_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    text = '[telegram]\ntoken_file = "secret"'
    secret = tmp_path / "secret"
    where = f"[telegram] token_file: cannot read {secret}"
    assert problems(tmp_path, text) == [f"{where} (No such file or directory)"]
    secret.write_bytes(b"\xff\xfe")
    secret.chmod(0o600)
    assert problems(tmp_path, text) == [f"{where} (not a text)"]
    secret.write_text("hello")
    assert problems(tmp_path, text) == [f"[telegram] token_file: {UNLIKE}"]


def test_a_configuration_that_holds_the_token_must_not_be_readable_by_others(tmp_path: Path) -> None:
    file = write(tmp_path, f'[telegram]\ntoken = "{TOKEN}"\n')
    file.chmod(0o644)
    with pytest.raises(ConfigError) as refused:
        load_config(file, {}, token_needed=True)
    assert refused.value.problems == [
        f"[telegram] token: others may read {file}; run chmod 600 on it, or put the token into a token_file"
    ]
    assert not load_config(file, {}).telegram.token
    file.write_text("")
    assert token_of(file, {TOKEN_VARIABLE: TOKEN}) == TOKEN


def test_a_token_file_may_be_a_link_and_is_no_folder(tmp_path: Path) -> None:
    kept, link = tmp_path / "kept", tmp_path / "secret"
    kept.write_text(TOKEN)
    kept.chmod(0o600)
    link.symlink_to(kept)
    file = write(tmp_path, '[telegram]\ntoken_file = "secret"')
    assert token_of(file, {}) == TOKEN
    kept.chmod(0o640)
    said = f"[telegram] token_file: others may read {link}; run chmod 600 on it"
    assert problems(tmp_path, '[telegram]\ntoken_file = "secret"') == [said]
    said = f"[telegram] token_file: {tmp_path} is a folder; name the file with the token in it"
    assert problems(tmp_path, f'[telegram]\ntoken_file = "{tmp_path}"') == [said]


def test_a_secret_of_a_container_that_all_may_read_is_refused_with_advice_that_helps_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.secrets._MOUNTED", str(tmp_path))
    secret = tmp_path / "secret"
    secret.write_text(TOKEN)
    secret.chmod(0o444)
    advice = "give the secret the container's uid and mode 0400 where it is mounted"
    assert problems(tmp_path, '[telegram]\ntoken_file = "secret"') == [
        f"[telegram] token_file: others may read {secret}; {advice}"
    ]
    secret.chmod(0o400)
    assert token_of(tmp_path / "config.toml", {}) == TOKEN


def test_a_home_folder_of_nobody_is_named(tmp_path: Path) -> None:
    text = '[telegram]\ntoken_file = "~nobody-here/t"\n[storage]\ndatabase = "~nobody-here/b"'
    unknown = "begins with the home folder of a user unknown on this machine"
    where = tmp_path / "~nobody-here" / "t"
    assert problems(tmp_path, text) == [
        f"[storage] database: {unknown}",
        f"[telegram] token_file: cannot read {where} (no such home folder)",
    ]
