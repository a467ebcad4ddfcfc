from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bot.cli import main, story
from tests.cli.conftest import OFFLINE, Call, Files, Result, process

if TYPE_CHECKING:
    from collections.abc import Callable

PNG = b"\x89PNG\r\n\x1a\n"
# The story in its order, by lines that must come one after the other.
STORY = (
    "› /compare asof 2020-12-13",
    "IWM and SPY · close of Fri 11 Dec 2020",
    "[picture] pictures/01-compare.png",
    "› /flows",
    "Fund flows · close of Fri 11 Dec 2020",
    "[picture] pictures/02-flows.png",
    "› /multiples",
    "Valuation multiples · close of Fri 11 Dec 2020",
    "› /why ytd",
    "What moved it, ytd · close of Fri 11 Dec 2020",
    "› /alert ratio > sma200",
    "Alert #1 ratio > sma 200",
    "  Thu 1 Oct 2020: close judged, no alerts",
    "  Fri 2 Oct 2020: close judged, no alerts",
    "  Mon 5 Oct 2020: close judged, no alerts",
    "  Tue 6 Oct 2020: close judged, an alert",
    "Alert #1 fired · close of Tue 6 Oct 2020",
    "› /summary on 17:30",
    "  Wed 7 Oct 2020, 18:00 New York",
    "Daily summary · close of Wed 7 Oct 2020",
    "› /alerts",
    "Alerts · close of Wed 7 Oct 2020",
)
# The first lines of all messages made from the sample market.
FROM_DATA = re.compile(
    r"(IWM and SPY|Fund flows|Valuation|What moved|Alert #1|Daily summary|Alerts).*( · close of|>)"
)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The demo without a terminal, without a network, in a folder of its own."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        said = process("demo", "--out", "pictures", start=OFFLINE, environment={"TMPDIR": str(folder)})
    return folder, said


def test_the_demo_touches_no_network_and_ends_without_a_terminal(played: tuple[Path, Result]) -> None:
    assert (played[1].code, played[1].err) == (0, "network: none clients: none\n")


def test_the_story_is_told_in_its_order(played: tuple[Path, Result]) -> None:
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


def test_pictures_are_saved_where_they_are_said_to_be(played: tuple[Path, Result]) -> None:
    folder, said = played
    named = [line.removeprefix("[picture] ") for line in said.lines("[picture] ")]
    assert len(named) >= 3
    assert {f"pictures/{file.name}" for file in (folder / "pictures").iterdir()} == set(named)
    assert all((folder / name).read_bytes().startswith(PNG) for name in named)


def test_nothing_else_is_left_behind(played: tuple[Path, Result]) -> None:
    kept = {file.name for file in played[0].iterdir() if not file.name.startswith("matplotlib")}
    assert kept == {"pictures"}


def test_at_a_terminal_the_demo_stays_open_on_the_whole_market(
    terminal: Callable[[bytes], None], capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(b"/compare\n/alerts\n/quit\n")
    assert main(["demo", "--db", "kept.db", "--now", "2020-10-02T22:00Z"]) == 0
    _, typed = capsys.readouterr().out.split("The clock goes on to 13 Dec 2020.\n")
    assert "› IWM and SPY · close of Fri 11 Dec 2020" in typed.splitlines()
    assert "› Alerts · close of Fri 11 Dec 2020" in typed.splitlines()
    assert Path("demo-output/01-compare.png").exists()
    assert Path("kept.db").exists()


def test_a_span_without_a_fire_ends_with_the_sample_and_is_said(
    bot: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story, "_QUESTIONS", ())
    said = bot("demo", "--now", "2020-12-29T22:00Z")
    assert said.lines("close judged") == ["  Wed 30 Dec 2020: close judged, no alerts"]
    assert (said.code, said.out.splitlines()[-1]) == (0, "No alert fired in this span.")


def test_a_database_with_data_or_chats_is_refused(bot: Call, files: Files) -> None:
    files.take_in(bot, "2019-03-01", db="real.db")
    bot("chat", "--offline", "--db", "talk.db", stdin="/summary on 17:30\n")
    for name in ("real.db", "talk.db"):
        before = Path(name).read_bytes()
        assert bot("demo", "--db", name) == Result(
            1, "", f"error: {name} holds data or chats; the demo takes a new file, or none at all.\n"
        )
        assert Path(name).read_bytes() == before


@pytest.mark.parametrize("now", ["2019-12-31T22:00Z", "2021-01-04T22:00Z"])
def test_a_story_outside_2020_is_refused_before_anything_is_made(now: str, bot: Call) -> None:
    said = f"The story runs in 2020; --now {now[:10]} is outside. Try --now 2020-09-30T22:00Z"
    assert bot("demo", "--now", now, "--db", "new.db") == Result(1, "", f"error: {said}\n")
    assert not Path("new.db").exists()
