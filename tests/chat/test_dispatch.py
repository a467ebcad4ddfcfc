"""Buttons and their pictures, inline cards, and how much one person may ask."""

import datetime as dt
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bot.chat.dispatch import COMMANDS_PER_MINUTE, Quota
from bot.concurrency import ChartRenderer
from bot.local.botapi import ApiMessage, Json
from bot.messages.common import SAMPLE_NOTICE, Answer
from bot.messages.pages.compare import compare_answer
from tests.chat.talk import GROUP, ME, NOW, OWNER, YOU, Talk, talking
from tests.fakes.botapi_faults import refusal

T = TypeVar("T")
PICTURES = (
    "/compare", "/trend", "/flows", "/multiples", "/fundamentals", "/chart ratio",
    "/backtest ratio > sma 200 1y", "/alert 1 chart",
)  # fmt: skip
OLD = "Bad Request: query is too old and response timeout expired or query ID is invalid"


def pressed(talk: Talk, message: ApiMessage, data: str, user_id: int = ME) -> Json:
    """The update of a button that nobody was given."""
    talk.api.send_callback_data(message, data, user_id)
    return talk.api.updates.pop()


async def test_a_button_edits_its_message_in_place(talk: Talk) -> None:
    (start,) = await talk.ask("/start")
    (answer,) = await talk.press(start, "Compare")
    assert answer.message_id == start.message_id
    assert answer.text.startswith("IWM leads on every window")
    (page,) = await talk.ask("/chart drawdown")
    for _ in range(2):  # drawn now, then known to Telegram; the caption stays above
        (other,) = await talk.press(page, "1y")
        (answer,) = await talk.press(other, "6m")
        assert answer.message_id == page.message_id
        assert answer.photo
    methods = [call.method for call in talk.api.requests if call.method.startswith("editMessage")]
    assert methods.count("editMessageCaption") == 2
    assert all(call.status == 200 for call in talk.api.requests)


@pytest.mark.parametrize("data", ["x/about", "/about", "e", "e/abuot", "eabout", "e /about"])
async def test_data_of_no_button_ends_the_waiting_and_nothing_else(data: str, talk: Talk) -> None:
    (page,) = await talk.ask("/help")
    await talk.deliver(pressed(talk, page, data))
    assert page.edits == 0
    assert talk.api.messages(ME) == [page]
    assert [call.status for call in talk.api.calls("answerCallbackQuery")] == [200]


async def test_pressed_twice_it_is_shown_once(talk: Talk) -> None:
    (start,) = await talk.ask("/start")
    data = next(data for row in start.buttons for label, data in row if label == "Compare")
    for _ in range(2):
        talk.api.press(start.message_id, data)
    (answer,) = await talk.answers()
    assert (answer.message_id, answer.edits) == (start.message_id, 2)  # the text, its picture
    assert [call.status for call in talk.api.calls("editMessageText")] == [200]
    assert [call.status for call in talk.api.calls("editMessageMedia")] == [200, 400]
    assert len(talk.api.messages(ME)) == 1
    assert talk.notes() == []


async def test_a_message_that_cannot_be_edited_any_more_is_answered_anew(talk: Talk) -> None:
    (start,) = await talk.ask("/start")
    talk.api.fail("editMessageText", refusal(400, "Bad Request: message can't be edited"))
    (answer,) = await talk.press(start, "Compare")
    assert answer.message_id != start.message_id
    assert answer.text.startswith("IWM leads on every window")


async def test_a_picture_has_its_message_left_alone(talk: Talk) -> None:
    (picture,) = await talk.ask("/chart drawdown")
    edits = picture.edits
    await talk.deliver(pressed(talk, picture, "e/about"))
    assert talk.api.messages(ME)[-1].text.startswith("About")
    assert picture.edits == edits


async def test_a_refusal_is_a_note_over_the_chat_and_the_message_stays(talk: Talk) -> None:
    await talk.ask("/alert ratio > 0.9")
    (listing,) = await talk.ask("/alert 1 more")
    await talk.ask("/alert 1 off")
    assert await talk.press(listing, "Off") == []
    assert talk.notes() == ["Alert #1 has ended (switched off).\nExample: /alert 1 renew"]


async def test_a_note_that_comes_too_late_becomes_a_message(talk: Talk) -> None:
    await talk.ask("/alert ratio > 0.9")
    (listing,) = await talk.ask("/alert 1 more")
    await talk.ask("/alert 1 off")
    talk.api.fail("answerCallbackQuery", refusal(400, OLD))
    (answer,) = await talk.press(listing, "Off")
    assert answer.text.startswith("Alert #1 has ended")
    assert answer.message_id != listing.message_id


async def test_an_answer_does_not_wait_for_the_buttons_own_answer(talk: Talk) -> None:
    (start,) = await talk.ask("/start")
    talk.api.fail("answerCallbackQuery", refusal(400, OLD))
    (answer,) = await talk.press(start, "Compare")
    assert answer.text.startswith("IWM leads on every window")


async def test_a_picture_is_uploaded_once_and_then_sent_by_its_id(talk: Talk) -> None:
    talk.api.chat(YOU)
    (first,) = await talk.ask("/chart drawdown")
    (second,) = await talk.ask("/chart drawdown", YOU)
    assert first.photo == second.photo
    assert first.text == second.text
    assert [len(call.files) for call in talk.api.calls("editMessageMedia")] == [1]
    assert [set(call.files) for call in talk.api.calls("sendPhoto")] == [set()]
    assert talk.api.actions == [(ME, "upload_photo")]


async def test_a_picture_asked_for_again_is_neither_computed_nor_drawn(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages, drawn = [], []
    draw = talk.bot.services.charts.draw

    def page(*arguments: Any) -> Answer:  # noqa: ANN401 - of the page
        pages.append(arguments)
        return compare_answer(*arguments)

    async def count(spec: Callable[[], Callable[[], T]]) -> T:
        drawn.append(spec)
        return await draw(spec)

    monkeypatch.setattr("bot.chat.market_commands.compare_answer", page)
    monkeypatch.setattr(talk.bot.services.charts, "draw", count)
    talk.api.chat(YOU)
    for chat in (ME, YOU, ME):
        talk.api.say(chat, "/compare")
    await talk.answers()
    before = len(drawn)
    for chat in (ME, YOU):  # at once
        talk.api.say(chat, "/compare")
    await talk.answers()
    assert (len(pages), len(set(drawn)), len(drawn)) == (1, 1, before)
    await talk.ask("/settings theme dark")
    *_, dark = await talk.ask("/compare")  # another setting
    assert (len(pages), len(set(drawn))) == (2, 2)
    assert dark.photo
    talk.api.fail("sendPhoto", refusal(400, "Bad Request: wrong file identifier/HTTP URL specified"))
    *_, anew = await talk.ask("/compare")  # Telegram has forgotten the file
    assert (bool(anew.photo), len(pages), len(set(drawn))) == (True, 2, 2)
    assert len(talk.api.calls("editMessageMedia")[-1].files) == 1
    talk.now += dt.timedelta(days=3)
    later, *_ = await talk.ask("/compare")  # a new session
    assert later.text.startswith("IWM leads on every window · Tue 15 Dec 2020")
    assert len(pages) == 3


class Pickling(ChartRenderer):
    """Draws what is left of a picture on the way to another process."""

    async def draw(self, spec: Callable[[], Callable[[], T]]) -> T:
        """Draw what a pickle brings."""
        return await super().draw(lambda: pickle.loads(pickle.dumps(spec())))  # noqa: S301 - our own


async def test_every_picture_can_be_drawn_in_a_process_of_its_own(talk: Talk) -> None:
    talk.bot.services.charts = Pickling()
    await talk.ask("/alert ratio > sma 200")
    for line in PICTURES:
        *_, picture = await talk.ask(line)
        assert picture.photo, line


async def test_a_picture_whose_id_is_refused_is_uploaded_again(talk: Talk) -> None:
    await talk.ask("/chart drawdown")
    talk.api.files.clear()
    (again,) = await talk.ask("/chart drawdown")
    assert again.photo in talk.api.files
    assert [call.status for call in talk.api.calls("sendPhoto")] == [400]
    assert [call.status for call in talk.api.calls("editMessageMedia")] == [200, 200]


async def offered(talk: Talk, text: str, user_id: int = ME) -> list[dict[str, Any]]:
    """What Telegram shows to somebody who types behind the bot's name."""
    query = talk.api.type_inline(user_id, text)
    await talk.answers()
    return talk.api.inline_queries[query].results or []


async def test_a_window_is_one_card_with_date_source_and_both_returns(talk: Talk) -> None:
    (card,) = await offered(talk, "6m")
    assert card["title"] == "IWM and SPY, 6m"
    lines = card["plain"].splitlines()
    assert lines[:2] == ["IWM leads over 6m · Fri 11 Dec 2020", SAMPLE_NOTICE]
    assert lines[2] == "6m, 11 Jun 2020 to 11 Dec 2020:"
    assert [line.split(" IWM ")[0] for line in lines[3:5]] == ["Price return", "Total return"]
    assert lines[5:] == []
    assert card["description"] == lines[3]
    assert await talk.rows("updates") == await talk.rows("chats") == []


async def test_the_figures_are_those_of_compare(talk: Talk) -> None:
    (card,) = await offered(talk, "1y total")
    compared, *_ = await talk.ask("/compare total")
    row = next(line.split() for line in compared.text.splitlines() if line.startswith("1y "))
    for figure in row[1:]:
        assert figure in card["plain"]


async def test_without_a_word_the_usual_windows_are_offered(talk: Talk) -> None:
    offers = await offered(talk, "")
    assert [card["title"].split(", ")[1] for card in offers] == ["1m", "6m", "ytd", "1y"]
    assert [card["id"] for card in offers] == ["0", "1", "2", "3"]
    assert await offered(talk, "/alert 1 edit ratio > 0.9") == []  # a line to be changed and sent


@pytest.mark.parametrize(
    ("typed", "title", "begins"),
    [
        ("6q", "Not understood", "“6q” is not a window"),
        ("some months", "Not understood", "“some” is not understood here."),
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


async def test_thirty_commands_a_minute_then_one_line_then_silence(talk: Talk) -> None:
    for _ in range(COMMANDS_PER_MINUTE):
        talk.api.say(ME, "/about")
    assert len(await talk.answers()) == COMMANDS_PER_MINUTE
    talk.now = NOW + dt.timedelta(seconds=20)
    (line,) = await talk.ask("/about")
    assert line.text == "You have sent more than 30 commands in a minute; please wait 40 seconds."
    for typed in ("/about", "hello", "/alert"):
        assert await talk.ask(typed) == []
    assert (await talk.ask("/about", YOU))[0].text.startswith("About")
    talk.now = NOW + dt.timedelta(seconds=60)
    assert (await talk.ask("/about"))[0].text.startswith("About")


async def test_buttons_are_on_the_quota_too_and_said_over_the_chat(talk: Talk) -> None:
    (page,) = await talk.ask("/start")
    for _ in range(COMMANDS_PER_MINUTE - 1):
        talk.api.say(ME, "/about")
    await talk.answers()
    assert await talk.press(page, "Help") == await talk.press(page, "Help") == []
    assert talk.notes() == ["You have sent more than 30 commands in a minute; please wait 60 seconds."]


async def test_a_groups_talk_is_on_nobodys_quota(talk: Talk) -> None:
    for _ in range(3 * COMMANDS_PER_MINUTE):
        talk.api.say(GROUP, "good morning", user_id=ME)
        talk.api.say(GROUP, "/about@other_bot", user_id=ME)
    assert await talk.answers() == []
    assert (await talk.ask("/about", GROUP, user_id=ME))[0].text.startswith("About")


async def test_administrators_who_hide_are_on_their_groups_quota(talk: Talk) -> None:
    for _ in range(COMMANDS_PER_MINUTE + 5):
        talk.api.say(GROUP, "/about", anonymous=True)
    assert len(await talk.answers()) == COMMANDS_PER_MINUTE + 1
    (elsewhere,) = await talk.ask("/about", GROUP - 1, anonymous=True)
    assert elsewhere.text.startswith("About")


def test_a_quota_survives_a_clock_that_is_put_back() -> None:
    now = NOW
    quota = Quota(lambda: now, count=2)
    assert [quota.admits(1, update) for update in range(4)] == [True, True, True, False]
    assert quota.take_notice(2) == 60
    assert quota.take_notice(1) is None
    now -= dt.timedelta(hours=1)
    assert [quota.admits(1, update) for update in range(4)] == [True, True, True, False]
    now += dt.timedelta(seconds=60)
    assert quota.admits(1, 9)


def test_who_floods_on_is_told_once_a_minute_though_a_command_is_heard_now_and_then() -> None:
    now = NOW
    quota = Quota(lambda: now)
    heard: list[dt.datetime] = []
    notices: list[dt.datetime] = []
    for update in range(COMMANDS_PER_MINUTE + 10 * 180):  # slowly, so that places get free one by one; then fast
        now += dt.timedelta(seconds=1.5 if update < COMMANDS_PER_MINUTE else 0.1)
        if quota.admits(1, update):
            (heard if quota.take_notice(update) is None else notices).append(now)
    for instants, most in ((heard, COMMANDS_PER_MINUTE), (notices, 1)):
        minutes = [[at for at in instants if begin <= at < begin + dt.timedelta(minutes=1)] for begin in instants]
        assert max(map(len, minutes)) == most
    assert len(notices) == 3


async def test_plain_words_in_a_private_chat_ask_what_compare_answers(talk: Talk) -> None:
    compared, *_ = await talk.ask("/compare 2y")
    plain, *_ = await talk.ask("IWM vs SPY last 2 years?")
    assert plain.text == compared.text
    (unknown,) = await talk.ask("good morning")
    assert "“good” is not a command." in unknown.text
    assert await talk.ask("IWM vs SPY last 2 years?", GROUP, user_id=ME) == []
