import datetime as dt
import errno
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from bot import __version__, cli
from bot.cli import COMPLETION_VARIABLE, SCRIPT, Instant, commands, data
from bot.data.csv_formats import FORMATS
from bot.errors import OUT_OF_MEMORY, BotError
from storage.database import open_database
from storage.records import set_meta
from tests.cli.conftest import Call, Result, process

COMMANDS = ("run", "chat", "demo", "check", "refresh", "import", "export", "doctor", "backup", "restore")
# What cannot be a database, by what is there; {path} is its name.
RESTORE = "restore a backup in its place (python -m bot restore {backup} --db {path})"
UNUSABLE = {
    "folder": "{path} is a folder; name a file, e.g. --db {path}/bot.db",
    "text": (f"{{path}} is no database, or damaged at its start; name another, e.g. --db bot.db, or {RESTORE}."),
    "damaged": f"{{path}} is damaged (database disk image is malformed); {RESTORE}.",
    "truncated": f"{{path}} is damaged (database disk image is malformed); {RESTORE}.",
    "flipped": f"{{path}} is damaged (row 1 missing from index meta_copy1); {RESTORE}.",
    "empty": f"{{path}} is empty (0 bytes), what it held is lost; {RESTORE}, or delete it to begin anew.",
    "gone": (
        "There is no database at {path}, but there are backups of it in {backup.parent}; "
        f"{RESTORE}, or move them away to begin anew."
    ),
    "only a log": (
        f"{{path}} is missing, but its log is there, {{path}}-wal; {RESTORE}, or move the log away to begin anew."
    ),
    "another log": (
        f"{{path}}-wal is damaged, or the log of another database; move it away to go on without it, or {RESTORE}."
    ),
    "a journal": "{path}-journal is no file of this program; move it away and try again.",
    "linked log": "{path}-wal is a symbolic link, which is not followed; move it away and try again.",
    "linked lock": "{path}.lock is a symbolic link, which is not followed; move it away and try again.",
    "link to nothing": (
        "{path} is a symbolic link to away.db, which is not there; bring that file back, or name another, "
        "e.g. --db bot.db."
    ),
}


READING = (
    ("run",),
    ("chat", "--offline"),
    ("demo",),
    ("refresh", "--config", "quiet.toml"),
    ("import", "prices", "two.csv", "--ticker", "IWM"),
    ("export", "prices", "out.csv", "--ticker", "IWM"),
    ("backup", "copy.db"),
)


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


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        SystemError("<function import> returned NULL without setting an exception"),
        SystemError("error return without exception set"),
        ImportError("pandas.so: failed to map segment from shared object"),
    ],
    ids=repr,
)
def test_a_lack_of_memory_is_told(error: Exception, bot: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> int:
        raise KeyError from error

    monkeypatch.setattr(data, "export_file", failing)
    shown = bot("export", "prices", "-", "--ticker", "IWM")
    assert (shown.code, shown.out, shown.err) == (1, "", f"error: {OUT_OF_MEMORY}\n")


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
        (["chat", "--now", "noon"], "Invalid value for '--now': “noon” is not an instant such as 2020-10-06T22:00Z"),
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


def flip(content: bytes) -> bytes:
    return content.replace(b"kept", b"leqt", 1)


SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "text": lambda _: b"hello\n",
    "damaged": lambda content: content[:4096] + b"\x55" * 4096 * 3 + content[4096 * 4 :],
    "truncated": lambda content: content[:-4096],
    "flipped": flip,
    "empty": lambda _: b"",
}
LINKED = {"linked log": "bot.db-wal", "linked lock": "bot.db.lock", "link to nothing": "bot.db"}
LEFT = {"only a log": "bot.db-wal", "a journal": "bot.db-journal", "gone": "backups/bot-2026-11-20.db"}


def unusable(kind: str, folder: Path) -> Path:
    """A path that cannot be a database."""
    path = folder / "bot.db"
    if kind == "folder":
        path.mkdir()
    elif kind not in ("gone", "only a log", "link to nothing"):
        with open_database(path) as database:
            database.run_sync(lambda db: set_meta(db, "word", "kept"))
    if kind in SPOILED:
        path.write_bytes(SPOILED[kind](path.read_bytes()))
    elif kind in LINKED:
        (folder / LINKED[kind]).symlink_to("away.db")
    elif kind in LEFT:
        (folder / "backups").mkdir()
        (folder / LEFT[kind]).write_text("left")
    elif kind == "another log":
        with open_database(folder / "other.db") as other:
            other.run_sync(lambda db: set_meta(db, "word", "theirs"))
            shutil.copyfile(folder / "other.db-wal", folder / "bot.db-wal")
    return path


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        *((("check", "--offline"), kind) for kind in UNUSABLE),
        *((command, "empty") for command in READING),
        *((command, "flipped") for command in READING if command[0] != "backup"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_what_is_no_database_is_refused_and_left_as_it_is(
    command: tuple[str, ...], kind: str, bot: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", f"1:{'A' * 35}")
    Path("two.csv").write_text("date,close\n2020-10-05,1\n2020-10-06,2\n")
    Path("quiet.toml").write_text("[sources]\nyahoo = false\n[issuer]\nfetch = false\n")
    path, copy = unusable(kind, tmp_path), tmp_path / "backups" / "bot-2026-11-20.db"
    before = contents(tmp_path)
    config = "".join(f"--config {word} " for word in command if word.endswith(".toml"))
    options = {"path": path, "backup": copy if kind == "gone" else "FILE"}
    sentence = UNUSABLE[kind].replace("--db {path})", f"{config}--db {{path}})").format(**options)
    refused = bot(*command, "--db", path)
    assert (refused.code, refused.err) == (1, f"error: {sentence}\n")
    if kind != "folder":
        checked = bot("doctor", "--offline", "--db", path)
        assert (checked.code, checked.err) == (1, "")
        assert f"FAIL database: {sentence.replace(config, '')}" in checked.out.splitlines()
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder but indexes of logs; of a link, what it leads to."""
    return {
        file.name: os.fsencode(file.readlink()) if file.is_symlink() else file.read_bytes()
        for file in folder.rglob("*")
        if file.is_symlink() or (file.is_file() and not file.name.endswith("-shm"))
    }


@pytest.mark.parametrize(
    "command", [("check", "--offline"), ("export", "prices", "out.csv", "--ticker", "IWM"), ("backup", "copy.db")]
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
    check = "(File exists); check that its folder is yours to write."
    assert bot("refresh", "--db", path).err == f"error: {path} cannot be created {check}\n"
    assert bot("chat", "--db", path).err == f"error: The lock file {path}.lock cannot be written {check}\n"


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
