"""Every command with standard streams that are closed, full or without a reader."""

import io
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bot.cli import demo, main
from tests.cli.conftest import ROOT

# Each command line with its exit code when all is well. None of them uses the network.
COMMANDS = {
    "--help": 0,
    "--version": 0,
    "chta": 2,
    "run --db bot.db": 2,
    "chat --offline --db bot.db": 0,
    "demo --now 2020-12-29T22:00Z": 0,
    "check --offline --db bot.db": 0,
    "refresh --config quiet.toml --db bot.db": 0,
    "import prices two.csv --ticker IWM --db bot.db": 0,
    "export prices - --ticker IWM --db bot.db": 0,
    "doctor --offline --db bot.db": 0,
    "backup copy.db --db bot.db": 0,
    "restore old.db --db bot.db": 0,
}
NAMES = ("stdin", "stdout", "stderr")
STREAMS = {
    "no stdin": "<&-",
    "no stdout": ">&-",
    "no stderr": "2>&-",
    "none": "<&- >&- 2>&-",
    "full": "</dev/null >/dev/full",
    "both full": "</dev/null >/dev/full 2>&1",
    "read only": "</dev/null 1</dev/null",
    "no terminal": "</dev/null",
    "no reader": "</dev/null | head -c 0; exit ${PIPESTATUS[0]}",
}
# Opens the database while the low descriptors are closed, then says whether they are the null device.
DESCRIPTORS = """
import os, sys
from bot import cli
from bot.cli import console
from storage.database import open_database
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
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands read."""
    folder = tmp_path_factory.mktemp("prepared")
    database = ("--db", str(folder / "bot.db"))
    (folder / "quiet.toml").write_text("[sources]\nyahoo = false\n[issuer]\nfetch = false\n")
    (folder / "two.csv").write_text("Date,Close\n2020-10-05,150\n2020-10-06,151\n")
    assert main(["import", "prices", str(folder / "two.csv"), "--ticker", "IWM", *database]) == 0
    assert main(["backup", str(folder / "old.db"), *database]) == 0
    return folder


@pytest.mark.parametrize("is_full", [False, True], ids=["closed", "full"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_answers_in_one_sentence_or_none_whatever_its_streams(
    command: str, is_full: bool, prepared: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(prepared, ".", dirs_exist_ok=True)
    monkeypatch.setattr(demo, "_QUESTIONS", ())
    errors = io.StringIO()
    full = open("/dev/full", "w", encoding="utf-8")  # noqa: PTH123, SIM115 - closed below
    streams = (io.StringIO("/help\n"), full, errors) if is_full else (None, None, None)
    for name, stream in zip(NAMES, streams, strict=True):
        monkeypatch.setattr(sys, name, stream)
        monkeypatch.setattr(sys, f"__{name}__", stream)
    code, text = main(command.split()), errors.getvalue()
    for stream in (full, *(getattr(sys, name) for name in NAMES)):
        stream.close()
    assert "Traceback" not in text
    assert [record for record in caplog.records if record.exc_info] == []
    if is_full and COMMANDS[command] == 0:
        (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
        assert line.startswith("error: Standard output cannot be written (")
        assert code == 1
    else:
        assert code == COMMANDS[command]


@pytest.mark.parametrize(("command", "states"), [("--help", tuple(STREAMS)), ("chat --offline --db bot.db", ("none",))])
def test_a_process_ends_in_at_most_one_sentence_on_any_streams(command: str, states: tuple[str, ...]) -> None:
    for state in states:
        done = shell(f"{shlex.quote(sys.executable)} -m bot {command} {STREAMS[state]}")
        text = done.stdout + done.stderr
        unwritable = state in {"full", "both full", "read only"}
        assert done.returncode in ({0, 1} if state == "no reader" else {int(unwritable)}), (state, text)
        assert "Traceback" not in text, state
        assert "Exception ignored" not in text, state
        if unwritable and state != "both full":
            (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
            assert line.startswith("error: Standard output cannot be written ("), state


def test_no_file_of_the_database_gets_a_low_descriptor() -> None:
    Path("shown.py").write_text(DESCRIPTORS)
    assert shell(f"{sys.executable} shown.py <&- >&- 2>&-").returncode == 0
    assert Path("same.txt").read_text() == "[True, True, True]"
