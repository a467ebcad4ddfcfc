import datetime as dt
import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.cli import demo, main
from bot.cli.demo import PrivateHistory
from bot.jobs.scheduler import Scheduler
from bot.local.terminal import LocalClock
from tests.cli.conftest import OFFLINE, ROOT, Call, Files, Result, process

MONDAY = "2020-12-14T22:00Z"
PNG = b"\x89PNG\r\n\x1a\n"


def chat(bot: Call, *lines: str) -> list[str]:
    """Answers to lines piped in, a block of lines each."""
    said = bot("chat", "--offline", "--db", "bot.db", "--now", MONDAY, stdin="".join(f"{line}\n" for line in lines))
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
    table = lines.index("price      IWM      SPY  gap pp")
    assert lines[table + 4] == "ytd    +14.87%  +13.81%   +1.06"
    assert max(len(line) for line in lines[table : table + 6]) <= 34
    assert any(line.startswith("  [1] 1m   [2] 6m   [3] ytd ") for line in lines)
    assert "[picture] pictures/01-compare.png" in lines
    assert Path("pictures/01-compare.png").read_bytes().startswith(PNG)
    assert not any(sign in said.out for sign in ("<b>", "<pre>", "&amp;", "\x1b[", "› "))


def test_an_empty_database_answers_how_to_fill_it(bot: Call) -> None:
    answers = [block for block in chat(bot, "/compare", "/trend", "/flows", "/why ytd") if block]
    assert len(answers) == 4
    assert all(answer.startswith("No prices are stored yet.") for answer in answers)
    assert "“python -m bot refresh --db bot.db”" in answers[0]
    assert not Path("charts").exists()


def test_command_lines_in_answers_repeat_the_options_of_the_process(bot: Call, files: Files) -> None:
    files.take_in(bot, "2020-12-14")
    Path("my bot.toml").write_text('[storage]\ndatabase = "bot.db"\n', encoding="utf-8")
    start = ("chat", "--offline", "--now", MONDAY, "--config", "my bot.toml")
    said = bot(*start, stdin="/fundamentals\n/multiples\n/sectors\n")
    shown = re.findall(r"python -m bot import \w+ FILE --ticker IWM.*?(?=\)|\n)", said.out)
    assert len(shown) >= 3
    assert all(line.endswith("FILE --ticker IWM --config 'my bot.toml'") for line in shown)


def test_the_clock_stands_for_piped_input_and_runs_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dt.datetime.now(dt.UTC)
    assert before <= LocalClock(None, running=False)() <= dt.datetime.now(dt.UTC)
    seconds = iter((100.0, 107.0, 200.0, 300.0, 350.0, 357.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    start = dt.datetime(2020, 12, 14, 22, tzinfo=dt.UTC)
    running = LocalClock(start, running=True)  # at 100
    assert running() == start + dt.timedelta(seconds=7)
    still = LocalClock(start, running=False)  # at 200
    assert still() == start
    still.set(start + dt.timedelta(days=1))  # at 300
    assert still() == start + dt.timedelta(days=1)
    still.go()  # at 350
    assert still() == start + dt.timedelta(days=1, seconds=7)


def test_a_terminal_is_greeted_prompted_and_has_a_running_clock(
    terminal: Callable[[bytes], None], bot: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running_clocks: list[bool] = []

    class RecordedClock(LocalClock):
        def __init__(self, start: dt.datetime | None, *, running: bool) -> None:
            super().__init__(start, running=running)
            running_clocks.append(running)

    monkeypatch.setattr(demo, "LocalClock", RecordedClock)
    terminal(b"/compare\n\x04")  # end of input
    assert main(["chat", "--offline", "--db", "bot.db", "--now", MONDAY]) == 0
    greeting, *more = capsys.readouterr().out.splitlines()
    assert greeting.startswith("IWM/SPY, no prices are stored yet. Type /help")
    assert more[0].startswith("› No prices are stored yet.")
    assert more[-1] == "› "
    chat(bot, "/quit")
    assert running_clocks == [True, False]


def test_at_a_terminal_the_scheduler_ticks(terminal: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch) -> None:
    ticks: list[int] = []

    async def tick(_: Scheduler) -> None:
        ticks.append(len(ticks))
        if len(ticks) == 3:
            terminal(b"/quit\n")

    monkeypatch.setattr(demo, "TICK_SECONDS", 0)
    monkeypatch.setattr(Scheduler, "tick", tick)
    assert main(["chat", "--offline", "--db", "bot.db", "--now", MONDAY]) == 0
    assert len(ticks) >= 3


def test_piped_input_is_answered_without_ticks(bot: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tick(_: Scheduler) -> None:
        raise AssertionError("piped input must be the same each time")

    monkeypatch.setattr(demo, "TICK_SECONDS", 0)
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


def test_the_prompt_of_a_terminal_completes_commands_and_keeps_a_private_history(tmp_path: Path) -> None:
    keys, screen = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "bot", "chat", "--offline", "--db", "bot.db"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        stdin=screen,
        stdout=screen,
        stderr=subprocess.PIPE,
    ) as talking:
        shown = ""
        for typed, awaited in (
            ("", "ends."),
            ("", "›"),
            ("/pri\t", "/privacy"),
            ("\r", "[1] "),
            ("", "›"),
            ("\x1b[A\r", "[1] "),  # the line before
            ("", "›"),
        ):
            os.write(keys, typed.encode())
            while awaited not in shown:
                shown += os.read(keys, 4096).decode(errors="replace")
            shown = shown.partition(awaited)[2]
        os.write(keys, b"\x04")
        _, err = talking.communicate(timeout=60)
    os.close(keys)
    os.close(screen)
    assert (talking.returncode, err) == (0, b"")
    history = tmp_path / "bot.db.history"
    assert history.read_text(encoding="utf-8").splitlines()[2:] == ["+/privacy"]  # below its time
    assert history.stat().st_mode & 0o777 == 0o600


def test_a_history_that_cannot_be_kept_costs_nothing_else(tmp_path: Path) -> None:
    history = PrivateHistory(str(tmp_path / "none" / "history"))
    history.store_string("/compare")
    assert list(history.load_history_strings()) == []
    history = PrivateHistory(str(tmp_path))
    history.store_string("/compare")
    assert list(history.load_history_strings()) == []


@pytest.mark.parametrize("command", ["chat", "check"])
def test_a_reader_that_has_gone_ends_a_command_quietly(
    command: str, bot: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written: list[str] = []

    class Gone(io.StringIO):
        def write(self, block: str) -> int:
            written.append(block)
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

        def fileno(self) -> int:
            return pipe.fileno()

    bot("chat", "--offline", "--db", "bot.db")
    with (tmp_path / "pipe").open("w") as pipe:
        monkeypatch.setattr(sys, "stdout", Gone())
        said = bot(command, "--offline", "--db", "bot.db", stdin="/help\n" * 3)
        assert os.fstat(pipe.fileno()).st_rdev == Path(os.devnull).stat().st_rdev  # what is left goes there
    assert (said.code, said.err, len(written)) == (1, "", 1)


# The story in its order, by lines that must come one after the other.
STORY = (
    "› /compare asof 2020-12-13",
    "IWM leads on every window · Fri 11 Dec 2020",
    "[picture] pictures/01-compare.png",
    "› /flows",
    "Money went into IWM and out of SPY, 20d · Fri 11 Dec 2020",
    "[picture] pictures/02-flows.png",
    "› /multiples",
    "IWM costs 170% more than SPY by P/E · Fri 11 Dec 2020",
    "› /why ytd",
    "IWM rose on a higher multiple while its earnings fell, ytd · Fri 11 Dec 2020",
    "› /alert ratio > sma200",
    "“Trend breaks” (#1) is set: IWM/SPY above its 200-day average.",
    "  Thu 1 Oct 2020: close evaluated, no alerts",
    "  Fri 2 Oct 2020: close evaluated, no alerts",
    "  Mon 5 Oct 2020: close evaluated, no alerts",
    "  Tue 6 Oct 2020: close evaluated, an alert",
    "IWM/SPY crossed above its 200-day average",
    "0.4676 against 0.4642 (+0.73%), close of Tue 6 Oct 2020. Before: 0.4623. Sample data, not the market.",
    "› /summary on 17:30",
    "  Wed 7 Oct 2020, 18:00 New York",
    "IWM led for the 5th session in a row, by 0.25pp · Wed 7 Oct 2020",
    "› /alerts",
    "1 alert, 1 fired lately · Wed 7 Oct 2020",
)
# The first lines of all messages made from the sample market.
FROM_DATA = re.compile(
    r"(“Trend breaks” \(#1\) is|IWM/SPY crossed)|(IWM leads|Money|IWM costs|IWM rose|IWM led|1 alert).* · (Fri|Wed)"
)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The demo without a terminal, without a network, in a folder of its own."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        said = process("demo", "--out", "pictures", start=OFFLINE, environment={"TMPDIR": str(folder)})
    return folder, said


def test_the_demo_tells_its_story_in_order_without_a_network_or_a_terminal(played: tuple[Path, Result]) -> None:
    assert (played[1].code, played[1].err) == (0, "network: none clients: none\n")
    told = iter(played[1].out.splitlines())
    assert [line for line in STORY if line not in told] == []  # each is looked for behind the one before


def test_every_answer_made_from_the_sample_says_so(played: tuple[Path, Result]) -> None:
    lines = played[1].out.splitlines()
    starts = [number for number, line in enumerate(lines) if FROM_DATA.match(line)]
    answers = [lines[start : lines.index("", start)] for start in starts]
    assert len(answers) == 8
    assert [said[0] for said in answers if "sample data" not in " ".join(said).lower()] == []


def test_the_golden_figures_come_out_of_the_sample_too(played: tuple[Path, Result]) -> None:
    said = played[1]
    for words in (("ytd", "+14.87%", "+13.81%"), ("6m", "+38.63%", "+21.43%"), ("P/E", "75.0x", "27.8x")):
        assert said.lines(*words)
    assert said.lines("fired", "2020-10-06") == []  # the message itself, not the log of `check`


def test_pictures_are_saved_where_they_are_said_to_be_and_nothing_else_is(played: tuple[Path, Result]) -> None:
    folder, said = played
    named = [line.removeprefix("[picture] ") for line in said.lines("[picture] ")]
    assert len(named) >= 3
    assert {f"pictures/{file.name}" for file in (folder / "pictures").iterdir()} == set(named)
    assert all((folder / name).read_bytes().startswith(PNG) for name in named)
    assert {file.name for file in folder.iterdir() if not file.name.startswith("matplotlib")} == {"pictures"}


def test_at_a_terminal_the_demo_stays_open_on_the_whole_market(
    terminal: Callable[[bytes], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_QUESTIONS", ())
    terminal(b"/compare\n/alerts\n/quit\n")
    assert main(["demo", "--db", "kept.db", "--now", "2020-10-02T22:00Z"]) == 0
    _, typed = capsys.readouterr().out.split("The clock goes on to 13 Dec 2020.\n")
    assert "› IWM leads on every window · Fri 11 Dec 2020" in typed.splitlines()
    assert "› 1 alert, none fired lately · Fri 11 Dec 2020" in typed.splitlines()
    assert Path("demo-output/01-compare.png").exists()
    assert Path("kept.db").exists()


def test_a_span_without_a_fire_ends_with_the_sample(bot: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_QUESTIONS", ())
    said = bot("demo", "--now", "2020-12-29T22:00Z")
    assert said.lines("close evaluated") == ["  Wed 30 Dec 2020: close evaluated, no alerts"]
    assert (said.code, said.out.splitlines()[-1]) == (0, "No alert fired in this span.")


def test_a_database_with_data_or_chats_is_refused(bot: Call, files: Files) -> None:
    files.take_in(bot, "2019-03-01", db="real.db")
    bot("chat", "--offline", "--db", "talk.db", stdin="/summary on 17:30\n")
    for name in ("real.db", "talk.db"):
        before = Path(name).read_bytes()
        assert bot("demo", "--db", name) == Result(
            1, "", f"error: {name} holds data or chats; the demo needs a new file, or none.\n"
        )
        assert Path(name).read_bytes() == before


@pytest.mark.parametrize("now", ["2019-12-31T22:00Z", "2021-01-04T22:00Z"])
def test_a_story_outside_2020_is_refused_before_anything_is_made(now: str, bot: Call) -> None:
    said = f"The story runs in 2020; --now {now[:10]} is not in it. Try --now 2020-09-30T22:00Z"
    assert bot("demo", "--now", now, "--db", "new.db") == Result(1, "", f"error: {said}\n")
    assert not Path("new.db").exists()


def test_a_link_in_the_place_of_the_history_is_neither_read_nor_written(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("+kept\n")
    (tmp_path / "bot.db.history").symlink_to("precious")
    history = PrivateHistory(str(tmp_path / "bot.db.history"))
    history.store_string("/compare")
    assert list(history.load_history_strings()) == []
    assert (tmp_path / "precious").read_text() == "+kept\n"
