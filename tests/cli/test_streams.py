"""Every command with standard streams that are closed, full or without a reader."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Call

# Each command line with its exit code when all is well. None of them uses the network.
COMMANDS = {
    "--help": 0,
    "--version": 0,
    "chta": 2,
    "run --db bot.db": 2,
    "chat --offline --db bot.db": 0,
    "demo": 0,
    "check --offline --db bot.db": 0,
    "refresh --config quiet.toml --db bot.db": 0,
    "import prices two.csv --ticker IWM --db bot.db": 0,
    "export prices - --ticker IWM --db bot.db": 0,
    "doctor --offline --db bot.db": 0,
    "backup copy.db --db bot.db": 0,
    "restore old.db --db bot.db": 0,
}
STREAMS = {
    "no stdin": "<&-",
    "no stdout": ">&-",
    "no stderr": "2>&-",
    "none": "<&- >&- 2>&-",
    "full": "</dev/null >/dev/full",
    "both full": "</dev/null >/dev/full 2>&1",
    "read only": "</dev/null 1</dev/null",
    "no terminal": "</dev/null",
}
EVERY_STREAM = ("--help", "doctor --offline --db bot.db", "chat --offline --db bot.db")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
# Opens the database while the low descriptors are closed, then says whether they are the null device.
DESCRIPTORS = """
import os, sys
from bot import cli
from bot.cli import console
from storage.db import open_database
def shown(config, **_):
    with open_database(config.storage.database):
        null = os.stat(os.devnull)
        same = [os.path.samestat(os.fstat(number), null) for number in range(3)]
    with open("same.txt", "w") as file:
        file.write(repr(same))
    return 0
import bot.cli.doctor
bot.cli.doctor.doctor = shown
sys.exit(cli.main(["doctor", "--db", "bot.db"]))
"""


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own lines
        ["/bin/bash", "-c", line],
        capture_output=True,
        encoding="utf-8",
        env=ENVIRONMENT,
        check=False,
        timeout=120,
    )


def prepare(bot: Call) -> None:
    Path("quiet.toml").write_text("[sources]\nyahoo = false\n")
    Path("two.csv").write_text("Date,Close\n2020-10-05,150\n2020-10-06,151\n")
    assert bot("import", "prices", "two.csv", "--ticker", "IWM", "--db", "bot.db").code == 0
    assert bot("backup", "old.db", "--db", "bot.db").code == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_answers_in_one_sentence_or_none_whatever_its_streams(command: str, bot: Call) -> None:
    prepare(bot)
    program = f"{shlex.quote(sys.executable)} -m bot {command}"
    for name in STREAMS if command in EVERY_STREAM else ("none", "full"):
        done = shell(f"{program} {STREAMS[name]}")
        text = done.stdout + done.stderr
        unwritable = ("full" in name or name == "read only") and COMMANDS[command] == 0
        assert done.returncode == (1 if unwritable else COMMANDS[command]), (name, text)
        assert "Traceback" not in text, name
        assert "Exception ignored" not in text, name
        if unwritable and name != "both full":
            lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
            assert lines[0].startswith("error: Standard output cannot be written ("), name
            assert len(lines) == 1, name
    done = shell(f"{program} </dev/null | head -c 0; exit ${{PIPESTATUS[0]}}")
    assert done.returncode in {1, COMMANDS[command]}
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_no_file_of_the_database_gets_a_low_descriptor() -> None:
    Path("shown.py").write_text(DESCRIPTORS)
    assert shell(f"{sys.executable} shown.py <&- >&- 2>&-").returncode == 0
    assert Path("same.txt").read_text() == "[True, True, True]"
