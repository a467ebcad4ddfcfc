import datetime as dt
import re
import sys
from pathlib import Path

import click
import pytest

from bot import __version__, cli
from bot.cli import COMPLETION_VARIABLE, SCRIPT, Instant, commands
from bot.data.csv_formats import FORMATS
from bot.errors import BotError
from storage.db import open_database
from tests.cli.conftest import Call, Result, process

COMMANDS = ("run", "chat", "demo", "check", "refresh", "import", "export", "doctor", "backup", "restore")
# What cannot be a database, by what is there; {path} is its name.
UNUSABLE = {
    "folder": "{path} is a folder; name a file, e.g. --db {path}/bot.db",
    "text": "{path} is not a database of this program; name another file, e.g. --db bot.db.",
    "damaged": "{path} is damaged (database disk image is malformed); restore a backup",
}


def instant(text: str) -> dt.datetime:
    return Instant().convert(text, None, None)


def test_no_command_shows_the_help_as_wrong_usage(bot: Call) -> None:
    shown, asked = bot(), bot("--help")
    assert (shown.code, shown.out, shown.err) == (2, "", asked.out)
    assert asked.code == 0
    assert tuple(commands.commands) == COMMANDS
    assert all(re.search(rf"^  {name} +\S", asked.out, re.MULTILINE) for name in COMMANDS)


def test_version_is_told(bot: Call) -> None:
    assert bot("--version") == Result(0, f"{__version__}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_a_sentence_and_an_example(command: str, bot: Call) -> None:
    shown = bot(command, "--help")
    assert (shown.code, shown.err) == (0, "")
    assert re.search(r"^  [A-Z][^\n]+\.$", shown.out, re.MULTILINE)
    assert f"Example: python -m bot {command}" in shown.out
    assert all(len(line) <= 80 for line in shown.out.splitlines())


def test_every_argument_of_every_command_is_explained() -> None:
    params = [(name, param) for name, command in commands.commands.items() for param in command.params]
    assert [(name, param.name) for name, param in params if not getattr(param, "help", None)] == []


def test_every_command_takes_a_database_and_a_configuration() -> None:
    options = {
        name: {option for param in command.params for option in param.opts}
        for name, command in commands.commands.items()
    }
    assert all({"--db", "--config"} <= names for names in options.values())
    assert {name for name, names in options.items() if "--now" in names} == {"chat", "check", "demo"}
    assert {name for name, names in options.items() if "--offline" in names} == {"chat", "check", "doctor"}


def test_import_and_export_offer_every_kind_of_file() -> None:
    assert set(cli.FILE_KINDS) == set(FORMATS)


def test_help_and_mistakes_load_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from bot.cli import main\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "finally:\n"
        "    print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)\n"
    )
    loaded = process("--help", start=("-c", program)).err.split()
    heavy = {"pandas", "numpy", "telegram", "matplotlib", "yfinance", "sqlite_utils", "exchange_calendars"}
    assert "bot" in loaded
    assert (heavy | {"pydantic", "rich", "asyncio", "logging"}).isdisjoint(loaded)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("small-versus-large-bot ", {"run", "chat", "restore"}),
        ("small-versus-large-bot export --", {"--ticker", "--config", "--db", "--help"}),
        ("small-versus-large-bot import ", {"prices", "fund-facts", "multiples", "weights", "issuer"}),
    ],
)
def test_a_shell_completes(line: str, words: set[str], bot: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COMPLETION_VARIABLE, "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", f"{line.count(' ')}")
    assert words <= {shown.partition(",")[2] for shown in bot().out.splitlines()}


def test_the_completion_is_for_the_installed_script(bot: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [SCRIPT])
    monkeypatch.setenv(COMPLETION_VARIABLE, "zsh_source")
    assert f"compdef {SCRIPT}" in bot().out.replace("_small_versus_large_bot_completion ", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chta"], "No such command 'chta'. Did you mean 'chat'?"),
        (["export", "prices", "a.csv"], "Missing option '--ticker'."),
        (["import", "price", "a.csv", "--ticker", "IWM"], "Invalid value for 'KIND': 'price' is not one of"),
        (["export", "prices", "--ticker", "IWM"], "Missing argument 'FILE'."),
        (["refresh", "--offline"], "No such option '--offline'."),
        (
            ["chat", "--now", "noon"],
            "Invalid value for '--now': “noon” is not an instant such as 2020-10-06T22:00Z",
        ),
        (["check", "--now", ""], "Invalid value for '--now': “” is not an instant such as 2020-10-06T22:00Z"),
        (
            ["demo", "--now", "2020-13-01"],
            "Invalid value for '--now': “2020-13-01” is not an instant such as 2020-10-06T22:00Z",
        ),
    ],
)
def test_wrong_usage_is_named_and_exits_with_2(arguments: list[str], said: str, bot: Call) -> None:
    refused = bot(*arguments)
    assert (refused.code, refused.out) == (2, "")
    assert f"error: {said}" in refused.err.splitlines()[-1]


@pytest.mark.parametrize("text", ["1992-12-31T22:00Z", "0001-01-01", "9999-12-31T23:59-05:00", "2200-01-01"])
def test_an_instant_outside_the_calendar_is_refused(text: str) -> None:
    last = f"{dt.datetime.now(dt.UTC) + dt.timedelta(days=180):%Y-%m-%d}"
    said = f"“{text}” is outside the exchange's calendar, 1993-02-01 to {last}"
    unreadable = f"“{text}” is not an instant such as 2020-10-06T22:00Z"
    with pytest.raises(click.BadParameter) as refused:
        instant(text)
    assert refused.value.message == (unreadable if text.startswith("9999") else said)


@pytest.mark.parametrize(
    ("text", "hour"),
    [("2020-10-06T22:00Z", 22), ("2020-10-06T18:00-04:00", 22), ("2020-10-06T22:00", 22), ("2020-10-06", 0)],
)
def test_an_instant_is_utc_unless_it_says_otherwise(text: str, hour: int) -> None:
    assert instant(text) == dt.datetime(2020, 10, 6, hour, tzinfo=dt.UTC)
    assert instant(text).tzinfo is dt.UTC


def unusable(kind: str, folder: Path) -> Path:
    """A path that cannot be a database."""
    path = folder / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("hello\n")
    else:
        whole = folder / "whole.db"
        open_database(whole).close()
        content = bytearray(whole.read_bytes())
        content[4096 : 4096 * 4] = b"\x55" * 4096 * 3
        path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", UNUSABLE)
@pytest.mark.parametrize(
    "command",
    [
        ("check", "--offline"),
        ("chat", "--offline"),
        ("demo",),
        ("refresh", "--config", "quiet.toml"),
        ("import", "prices", "two.csv", "--ticker", "IWM"),
        ("export", "prices", "out.csv", "--ticker", "IWM"),
        ("backup", "copy.db"),
    ],
    ids=lambda command: command[0],
)
def test_what_is_no_database_is_refused_and_left_as_it_is(
    command: tuple[str, ...], kind: str, bot: Call, tmp_path: Path
) -> None:
    (tmp_path / "two.csv").write_text("date,close\n2020-10-05,1\n2020-10-06,2\n")
    (tmp_path / "quiet.toml").write_text("[sources]\nyahoo = false\n")
    path = unusable(kind, tmp_path)
    before = path.read_bytes() if path.is_file() else b""
    refused = bot(*command, "--db", path)
    assert refused.code == 1
    assert refused.err.startswith(f"error: {UNUSABLE[kind].format(path=path)}")
    assert refused.err.count("\n") == 1
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert not (tmp_path / "out.csv").exists()
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.parametrize(
    "command",
    [("check", "--offline"), ("export", "prices", "out.csv", "--ticker", "IWM"), ("backup", "copy.db")],
)
def test_a_mistyped_database_is_not_created(command: tuple[str, ...], bot: Call, tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    assert bot(*command, "--db", path) == Result(
        1, "", f"error: There is no database at {path}; name another file, e.g. --db bot.db.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_database_below_a_file_is_refused(bot: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "bot.db"
    assert (
        bot("refresh", "--db", path).err == f"error: The database {path} cannot be created (File exists).\n"
    )
    assert bot("chat", "--db", path).err == (
        f"error: The lock file {path}.lock cannot be written (File exists).\n"
    )


def test_the_database_is_of_db_else_the_config_else_the_data_folder(bot: Call, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.toml").write_text('[storage]\ndatabase = "mine.db"\n')
    bot("chat", "--offline", "--config", "conf/config.toml")
    assert (tmp_path / "conf" / "mine.db").exists()
    bot("chat", "--offline", "--config", "conf/config.toml", "--db", "other.db")
    assert (tmp_path / "other.db").exists()
    bot("chat", "--offline")
    assert (tmp_path / "share" / "small-versus-large-bot" / "bot.db").exists()


@pytest.mark.parametrize("command", ["chat", "check", "doctor", "demo", "refresh"])
def test_a_wrong_configuration_is_told_whole_with_code_2(command: str, bot: Call, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[time]\ntimezone = "Mars"\n[chart]\n')
    assert bot(command, "--config", "config.toml") == Result(
        2,
        "",
        "config: [time] timezone: “Mars” is not a time zone name such as America/New_York\n"
        "config: [chart]: unknown section; did you mean charts?\n",
    )
    assert [file.name for file in tmp_path.iterdir()] == ["config.toml"]


@pytest.mark.parametrize("asking", [True, False])
def test_the_end_does_not_wait_for_a_source(asking: bool, bot: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []

    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("bot.data.refresh.fetch_in_progress", lambda: asking)
    monkeypatch.setattr("bot.cli.doctor.doctor", interrupted)
    monkeypatch.setattr("os._exit", left.append)
    assert bot("doctor") == Result(130, "", "")
    assert left == ([130] if asking else [])


def test_an_error_for_people_is_one_line(bot: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> int:
        raise BotError("No.")

    monkeypatch.setattr("bot.cli.doctor.doctor", refused)
    assert bot("doctor") == Result(1, "", "error: No.\n")


def test_a_terminal_of_few_letters_shows_the_rest() -> None:
    shown = process("chat", "--now", "noon", environment={"PYTHONIOENCODING": "ascii"})
    assert shown.code == 2
    assert "?noon? is not an instant such as 2020-10-06T22:00Z" in shown.err
