"""Every button of every refusal: none changes anything at once, and no example is beside the point."""

import re
from collections.abc import AsyncIterator
from difflib import get_close_matches
from pathlib import Path

import pytest

from bot.chat.commands import BY_NAME, first_step
from tests.chat.people import Person, pressed, rows
from tests.chat.talk import OWNER, STEP, Talk, talking

# Typed in a chat with alert #1 active, #2 paused and #3 ended.
WRONG = {
    "/alert": """
        ratoi > 5 | zzz > 5 | hello | ratio | ratio > | ratio > smma 200 | ratio > 5% | excess 3m > 5
        ratio > -5 | drawdown > 30% | corr 60 > 2 | flow iwm 9x > $1bn | flow iwm 5d > 5%
        pe iwm bare > 5 | qqq inflows > $1bn | ratio > 0.9 and zzz > 1 | ratio > 0.9 confirm
        ratio > 0.9 until 2020-01-02 | ratio > 0.9 once cooldown 3
        ratio > 0.9 confirm 3 and excess 3m > 5pp | ratio > 0.9 rearm 1 | ratio > 0.9 urgent silent
        iwm | spy | alert me when IWM beats SPY by 5% over 3 months | tell me when money leaves SPY
        ratio > sma 200 | new zzz | new ratio near 5 | new excess 3m > 5 | 9 | 9 off | 1 puase | 1 2
        1 pause now | 1 resume | 2 pause | 2 snooze 1d | 3 pause | 3 edit > 0.8 | 3 snooze 1d | 3 off
        1 rescale | 1 back 7 | 1 snooze never | 1 snooze off | 1 snooze until 2019-01-01 | 1 edit > 5%
        1 edit zzz | 1 edit no once | 1 edit no zzz | 1 edit condition 3 > 1 | 1 edit ratio > sma 200
        1 edit confirm 900 | 1 edit drawdown > 5%""",
    "/backtest": "zzz > 5 | ratio > 5% | drawdown > 30% | ratio > sma 200 99y | ratio asof 2020-13-01",
    "/chart": "zzz | iwm spy | ratio > 5 | ratio_vs 5y | flow 9x | excess | ratio asof 2020-13-01",
    "/settings": """zne | zone Amerika/Chicago | zone GMT+99 | quiet at night | quiet 7-7 | returns gross
        theme pink | numbers roman""",
    "/summary": "on 25:00 | at tea | now weekdays",
    "/compare": "7q | since 2020-13-01 | asof | 1d 2d 3d 4d 5d 6d 7d | XYZ",
    "/help": "momentun | nonsense",
    "/history": "x | 9",
    "/alerts": "x",
    "/flows": "7q", "/trend": "1y 2y", "/multiples": "1y", "/why": "7q",
    "/fundamentals": "7q", "/sectors": "1y",
    "/forgetme": "alerts",
    "/admin": """nonsense | approve | approve x | reject x | accept XYZ | accepted XYZ | broadcast | send 7
        accept IWM""",
    "/comapre": "", "momentum": "", "hello": "there",
}  # fmt: skip
LINES = [
    f"{command} {words.strip()}".strip()
    for command, typed in WRONG.items()
    for words in re.split(r"\||\n", typed)
    if words.strip() or not typed
]


@pytest.fixture
async def chat(sample: Path, tmp_path: Path) -> AsyncIterator[Talk]:
    async with talking(sample, tmp_path) as talk:
        for line in ("ratio > sma 200", "ratio > 0.7", "ratio > 0.8"):
            await talk.ask(f"/alert {line}", OWNER)
        await talk.ask("/alert 2 pause", OWNER)
        await talk.ask("/alert 3 off", OWNER)
        yield talk


def similar(typed: str, text: str) -> bool:
    """Whether the example of an answer, if any, has a word or number of what was typed, maybe misspelt."""
    example = text.partition("\nExample: ")[2]
    words, shown = (re.findall(r"[a-z/_]+|[0-9]+", line.lower()) for line in (typed, example))
    # An example of a rule has more than the command in common.
    taken = () if shown[1:2] == ["1"] else ("/alert", "/chart")
    return not example or any(get_close_matches(word, shown) for word in words if word not in taken)


async def test_no_button_of_a_refusal_changes_anything_and_no_example_is_beside_the_point(chat: Talk) -> None:
    before = await chat.database.run(rows)
    shown: dict[str, str] = {}  # a line whose refusal has the button, by the button's data
    for line in LINES:
        chat.now += STEP
        (refused, *_) = await chat.ask(line, OWNER)
        assert similar(line, refused.text), refused.text
        shown |= {data: line for row in refused.buttons for _, data in row}
    assert await chat.database.run(rows) == before
    for data, line in shown.items():
        if BY_NAME[data.split()[0][2:]].changes is None:
            continue  # a command that only answers, as the matrix of roles shows
        chat.now += STEP
        await chat.deliver(pressed(chat, Person("owner", OWNER, OWNER), refused, data))
        assert await chat.database.run(rows) == before, (line, data)
    assert len(shown) > len(LINES) / 3


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("/alert ratio > 0.9 confirm 2", "/alert new ratio > 0.9 confirm 2"),
        ("/alert 3 edit > 0.8 once", "/alert 3 edit"),
        ("/alert 3 snooze 1d", "/alert 3 snooze"),
        ("/alert 3 renew", "/alert 3"),
        ("/alert 3 why", "/alert 3 why"),
        ("/alert new ratio", "/alert new ratio"),
        ("/settings zone Europe/Berlin", "/settings zone"),
        ("/summary on 18:30", "/summary"),
        ("/forgetme yes", "/forgetme"),
        ("/admin approve 5", "/admin"),
        ("/admin people", "/admin people"),
        ("/compare 3y", "/compare 3y"),
        ("/nothing x", "/nothing x"),
    ],
)
def test_a_line_that_changes_something_has_a_page_before_it(line: str, step: str) -> None:
    assert first_step(line) == step


async def test_an_alert_that_cannot_be_read_has_no_button_that_ends_it(chat: Talk) -> None:
    await chat.database.run(lambda db: db.execute("UPDATE alerts SET rule_json = '{}' WHERE number = 1"))
    (answer,) = await chat.ask("/alert 1", OWNER)
    assert answer.text.endswith("Example: /alert 1 off")
    assert answer.buttons == []


async def test_a_guess_from_a_sentence_is_confirmed_in_the_guide(chat: Talk) -> None:
    (refused,) = await chat.ask("/alert alert me when IWM beats SPY by 5% over 3 months", OWNER)
    assert refused.text == "That is a sentence, not a rule. Do you mean this one?\nExample: /alert excess 3m > 5pp"
    (page,) = await chat.press(refused, "Set it up")
    assert page.text.startswith("Your rule: IWM's lead in total return over 3m above 5pp.\n")
