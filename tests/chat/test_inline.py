"""Inline mode: cards for other chats, for those who may use the bot."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from bot.chat.dispatch import COMMANDS_PER_MINUTE
from bot.messages.common import SAMPLE
from tests.chat.talk import ME, OWNER, YOU, talking
from tests.fakes.botapi_faults import refusal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chat.talk import Talk


async def offered(talk: Talk, text: str, user_id: int = ME) -> list[dict[str, Any]]:
    """What Telegram shows to somebody who types behind the bot's name."""
    query = talk.api.type_inline(user_id, text)
    await talk.answers()
    return talk.api.inline_queries[query].results or []


async def test_a_window_is_one_card_with_date_source_and_both_returns(talk: Talk) -> None:
    (card,) = await offered(talk, "6m")
    assert card["title"] == "IWM and SPY, 6m"
    lines = card["plain"].splitlines()
    assert lines[:2] == ["IWM and SPY · close of Fri 11 Dec 2020", SAMPLE]
    assert lines[2] == "6m, 11 Jun 2020 to 11 Dec 2020:"
    assert [line.split(" IWM ")[0] for line in lines[3:5]] == ["Price return", "Total return"]
    assert lines[5] == "Source: sample data."
    assert card["description"] == lines[3]
    assert await talk.rows("updates") == await talk.rows("chats") == []


async def test_the_figures_are_those_of_compare(talk: Talk) -> None:
    (card,) = await offered(talk, "1y total")
    (compared,) = [m for m in await talk.ask("/compare total") if not m.photo]
    row = next(line.split() for line in compared.text.splitlines() if line.startswith("1y "))
    for figure in row[1:]:
        assert figure in card["plain"]


async def test_without_a_word_the_usual_windows_are_offered(talk: Talk) -> None:
    found = await offered(talk, "")
    assert [card["title"].split(", ")[1] for card in found] == ["1m", "6m", "ytd", "1y"]
    assert [card["id"] for card in found] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("typed", "title", "begins"),
    [
        ("6q", "Not understood", "“6q” is not a window"),
        ("six months", "Not understood", "“six” is not understood here."),
        ("1m asof 2001-01-01", "No data", "There is no close of both funds by Mon 1 Jan 2001"),
    ],
)
async def test_a_mistake_is_named(typed: str, title: str, begins: str, talk: Talk) -> None:
    (card,) = await offered(talk, typed)
    assert card["title"] == title
    assert card["description"].startswith(begins)


async def test_a_window_beyond_history_says_so(talk: Talk) -> None:
    (card,) = await offered(talk, "50y")
    assert "50y: too little history." in card["plain"]


async def test_the_settings_of_the_private_chat_hold(talk: Talk) -> None:
    await talk.ask("/settings numbers 1.234,5")
    await talk.ask("/settings returns total")
    (card,) = await offered(talk, "6m")
    assert "Price return" not in card["plain"]
    assert ",".join(card["plain"].split("IWM +")[1].split(",")[:2]).split("%")[0].count(",") == 1


async def test_strangers_are_offered_nothing_and_nobody_is_asked(sample: Path, tmp_path: Path) -> None:
    async with talking(sample, tmp_path, mode="allowlist", users=frozenset({ME})) as talk:
        assert await offered(talk, "6m", YOU) == []
        assert await talk.rows("access") == await talk.rows("outbox") == []
        assert len(await offered(talk, "6m", ME)) == len(await offered(talk, "6m", OWNER)) == 1


async def test_letters_typed_are_on_a_quota_of_their_own(talk: Talk) -> None:
    for _ in range(COMMANDS_PER_MINUTE + 5):
        talk.api.type_inline(ME, "6m")
    await talk.answers()
    assert len(talk.api.calls("answerInlineQuery")) == COMMANDS_PER_MINUTE
    assert (await talk.ask("/about"))[0].text.startswith("About")
    talk.now += dt.timedelta(minutes=1)
    assert len(await offered(talk, "6m")) == 1


async def test_an_answer_that_comes_too_late_is_let_go(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    talk.api.fail("answerInlineQuery", refusal(400, "Bad Request: query is too old"))
    assert await offered(talk, "6m") == []
    assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []
