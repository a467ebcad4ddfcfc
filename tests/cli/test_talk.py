from __future__ import annotations

import datetime as dt
import io
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bot.cli import main, talk
from bot.cli.talk import Clock
from bot.jobs.tick import Scheduler
from tests.cli.conftest import OFFLINE, ROOT, Call, Files, process

if TYPE_CHECKING:
    from collections.abc import Callable

MONDAY = "2020-12-14T22:00Z"
PNG = b"\x89PNG\r\n\x1a\n"


def chat(bot: Call, *lines: str) -> list[str]:
    """Answers to lines piped in, a block of lines each."""
    said = bot(
        "chat", "--offline", "--db", "bot.db", "--now", MONDAY, stdin="".join(f"{line}\n" for line in lines)
    )
    assert (said.code, said.err) == (0, "")
    return said.out.split("\n\n")


def test_piped_commands_are_answered_in_plain_text_without_a_network(bot: Call, files: Files) -> None:
    files.take_in(bot)
    said = process(
        "chat", "--offline", "--db", "bot.db", "--now", MONDAY, "--out", "pictures",
        stdin="/compare asof 2020-12-13\n",
        start=OFFLINE,
    )  # fmt: skip
    assert (said.code, said.err) == (0, "network: none clients: none\n")
    lines = said.out.splitlines()
    table = lines.index("         IWM      SPY       gap")
    assert lines[table + 5] == "ytd  +14.87%  +13.81%   +1.06pp"
    assert max(len(line) for line in lines[table : table + 7]) <= 34
    assert any(line.startswith("  [1] 3 years   [2] ") for line in lines)
    assert "[picture] pictures/01-compare.png" in lines
    assert Path("pictures/01-compare.png").read_bytes().startswith(PNG)
    assert not any(sign in said.out for sign in ("<b>", "<pre>", "&amp;", "\x1b[", "› "))


def test_buttons_are_pressed_by_their_numbers(bot: Call, files: Files) -> None:
    files.take_in(bot, "2020-12-14")
    blocks = chat(bot, "/compare", "2", "[99]", "/quit", "/compare")
    assert [block.splitlines()[0] for block in blocks if " · close of Mon 14 Dec 2020\n" in block][:2] == [
        "IWM and SPY · close of Mon 14 Dec 2020",
        "Relative trend, IWM/SPY · close of Mon 14 Dec 2020",
    ]
    assert sum(block.startswith("IWM and SPY · close") for block in blocks) == 1  # /quit ended it
    assert any(block.startswith("There is no button 99; type ") for block in blocks)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("/compare QQQ", "“QQQ”"),
        ("/compare 5q", "“5q”"),
        ("/chart foo", "“foo”"),
        ("/alert foo > 1", "“foo”"),
        ("/nonsense", "“nonsense”"),
        ("/compare asof 2020-12-15", "“asof 2020-12-15” is in the future."),
        ("/compare known 2021-01-01", "“known 2021-01-01” is in the future."),
        ("/compare asof 1999-01-01", "by Fri 1 Jan 1999; history begins Wed 2 Jan 2019."),
        ("/compare known 2019-01-01", "Nothing was stored yet on Tue 1 Jan 2019; "),
    ],
)
def test_a_mistake_is_answered_by_a_sentence_that_names_it(
    line: str, named: str, bot: Call, files: Files
) -> None:
    files.take_in(bot, "2020-12-14")
    first, *more = chat(bot, line)[0].splitlines()
    assert named in first
    assert len(more) <= 2


def test_an_empty_database_answers_how_to_fill_it(bot: Call) -> None:
    answers = [block for block in chat(bot, "/compare", "/trend", "/flows", "/why ytd") if block]
    assert len(answers) == 4
    assert all(answer.startswith("No prices are stored yet.") for answer in answers)
    assert not Path("charts").exists()


def test_alerts_and_settings_outlive_the_talk(bot: Call, files: Files) -> None:
    files.take_in(bot, "2020-12-14")
    chat(bot, "/alert ratio < 0.4", "/summary on 17:30")
    assert any("#1 ratio < 0.4" in block for block in chat(bot, "/alerts"))


def test_pictures_that_cannot_be_saved_do_not_cost_the_answer(bot: Call, files: Files) -> None:
    files.take_in(bot, "2020-12-14")
    Path("charts").write_text("a file")
    blocks = chat(bot, "/chart ratio")
    assert any("[picture] charts/01-ratio.png (not saved: " in block for block in blocks)


def test_the_clock_stands_still_for_piped_input_and_runs_on_at_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = iter((100.0, 107.0, 200.0, 300.0, 350.0, 357.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    start = dt.datetime(2020, 12, 14, 22, tzinfo=dt.UTC)
    running = Clock(start, running=True)  # at 100
    assert running() == start + dt.timedelta(seconds=7)
    still = Clock(start, running=False)  # at 200
    assert still() == start
    still.set(start + dt.timedelta(days=1))  # at 300
    assert still() == start + dt.timedelta(days=1)
    still.go()  # at 350
    assert still() == start + dt.timedelta(days=1, seconds=7)


def test_without_a_start_the_clock_is_the_wall_clock() -> None:
    before = dt.datetime.now(dt.UTC)
    assert before <= Clock(None, running=False)() <= dt.datetime.now(dt.UTC)


def test_a_terminal_is_greeted_prompted_and_ends_with_end_of_input(
    terminal: Callable[[bytes], None], capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(b"/compare\n\x04")
    assert main(["chat", "--offline", "--db", "bot.db", "--now", MONDAY]) == 0
    greeting, *more = capsys.readouterr().out.splitlines()
    assert greeting.startswith("Small caps against large caps. Type /help")
    assert more[0].startswith("› No prices are stored yet.")
    assert more[-1] == "› "


def test_the_clock_runs_at_a_terminal_only(
    terminal: Callable[[bytes], None], bot: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []

    class Seen(Clock):
        def __init__(self, start: dt.datetime | None, *, running: bool) -> None:
            super().__init__(start, running=running)
            made.append(running)

    monkeypatch.setattr(talk, "Clock", Seen)
    terminal(b"/quit\n")
    assert main(["chat", "--offline", "--db", "bot.db", "--now", MONDAY]) == 0
    chat(bot, "/quit")
    assert made == [True, False]


def test_at_a_terminal_the_scheduler_ticks_beside_the_talk(
    terminal: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks: list[int] = []

    async def tick(_: Scheduler) -> None:
        ticks.append(len(ticks))
        if len(ticks) == 3:
            terminal(b"/quit\n")

    monkeypatch.setattr(talk, "TICK_SECONDS", 0)
    monkeypatch.setattr(Scheduler, "tick", tick)
    assert main(["chat", "--offline", "--db", "bot.db", "--now", MONDAY]) == 0
    assert len(ticks) >= 3


def test_piped_input_is_answered_without_ticks(bot: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tick(_: Scheduler) -> None:
        raise AssertionError("piped input must be the same each time")

    monkeypatch.setattr(talk, "TICK_SECONDS", 0)
    monkeypatch.setattr(Scheduler, "tick", tick)
    chat(bot, "/help", "/status")


def test_an_interrupt_at_the_prompt_ends_without_a_traceback() -> None:
    keys, screen = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "bot", "chat", "--offline", "--db", "bot.db"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=screen,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as talking:
        assert talking.stdout is not None
        while "› ".encode() not in os.read(talking.stdout.fileno(), 4096):
            pass
        talking.send_signal(signal.SIGINT)
        _, err = talking.communicate(timeout=60)
    os.close(keys)
    os.close(screen)
    assert (talking.returncode, err) == (130, b"")


@pytest.mark.parametrize("command", ["chat", "check"])
def test_a_reader_that_has_gone_ends_a_command_quietly(
    command: str, bot: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written: list[str] = []

    class Gone(io.StringIO):
        def write(self, block: str) -> int:
            written.append(block)
            raise BrokenPipeError

        def fileno(self) -> int:
            return pipe.fileno()

    with (tmp_path / "pipe").open("w") as pipe:
        monkeypatch.setattr(sys, "stdout", Gone())
        said = bot(command, "--offline", "--db", "bot.db", stdin="/help\n" * 3)
        assert os.fstat(pipe.fileno()).st_rdev == Path(os.devnull).stat().st_rdev  # what is left goes there
    assert (said.code, said.err, len(written)) == (1, "", 1)
