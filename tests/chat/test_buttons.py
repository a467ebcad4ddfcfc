"""Buttons edit their message, pictures are drawn once, and no data that was made up does anything."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, TypeVar

import pytest

from bot.chart_process import ChartRenderer
from tests.chat.people import STEP, shape
from tests.chat.talk import ME, YOU
from tests.fakes.botapi_faults import refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.local.botapi import Json, Message
    from tests.chat.talk import Talk

T = TypeVar("T")
PICTURES = (
    "/compare", "/trend", "/flows", "/multiples", "/fundamentals", "/chart ratio",
    "/backtest ratio > sma 200 1y", "/alert 1 chart",
)  # fmt: skip
OLD = "Bad Request: query is too old and response timeout expired or query ID is invalid"


def pressed(talk: Talk, message: Message, data: str, user_id: int = ME) -> Json:
    """The update of a button that nobody was given."""
    talk.api.send_callback_data(message, data, user_id)
    return talk.api.updates.pop()


async def test_a_button_edits_its_message_in_place(talk: Talk) -> None:
    (start,) = await talk.ask("/start")
    (answer,) = await talk.press(start, "What moved it")
    assert answer.message_id == start.message_id
    assert answer.text.startswith("What moved it, ytd")
    answer, picture = await talk.press(answer, "Flows")
    assert answer.message_id == start.message_id
    assert picture.photo


@pytest.mark.parametrize("data", ["x/about", "/about", "e", "e/abuot", "eabout", "e /about"])
async def test_data_of_no_button_ends_the_waiting_and_nothing_else(data: str, talk: Talk) -> None:
    (page,) = await talk.ask("/help")
    await talk.deliver(pressed(talk, page, data))
    assert page.edits == 0
    assert talk.api.messages(ME) == [page]
    assert [call.status for call in talk.api.calls("answerCallbackQuery")] == [200]


async def test_pressed_twice_it_is_shown_once(talk: Talk) -> None:
    (start,) = await talk.ask("/start")
    (label, data) = start.buttons[1][1]
    assert label == "What moved it"
    for _ in range(2):
        talk.api.press(start.message_id, data)
    (answer,) = await talk.answers()
    assert (answer.message_id, answer.edits) == (start.message_id, 1)
    assert [call.status for call in talk.api.calls("editMessageText")] == [200, 400]
    assert len(talk.api.messages(ME)) == 1
    assert talk.notes() == []


async def test_a_message_that_cannot_be_edited_any_more_is_answered_anew(talk: Talk) -> None:
    (start,) = await talk.ask("/start")
    talk.api.fail("editMessageText", refusal(400, "Bad Request: message can't be edited"))
    (answer,) = await talk.press(start, "What moved it")
    assert answer.message_id != start.message_id
    assert answer.text.startswith("What moved it")


async def test_a_picture_has_its_message_left_alone(talk: Talk) -> None:
    _, picture = await talk.ask("/chart drawdown")
    await talk.deliver(pressed(talk, picture, "e/about"))
    assert talk.api.messages(ME)[-1].text.startswith("About")
    assert picture.edits == 0


async def test_a_refusal_is_a_note_over_the_chat_and_the_message_stays(talk: Talk) -> None:
    await talk.ask("/alert ratio > 0.9")
    (listing,) = await talk.ask("/alerts")
    await talk.ask("/alert 1 off")
    assert await talk.press(listing, "Off") == []
    assert talk.notes() == ["Alert #1 has ended (switched off).\nExample: /alert 1 renew"]


async def test_a_note_that_comes_too_late_becomes_a_message(talk: Talk) -> None:
    await talk.ask("/alert ratio > 0.9")
    (listing,) = await talk.ask("/alerts")
    await talk.ask("/alert 1 off")
    talk.api.fail("answerCallbackQuery", refusal(400, OLD))
    (said,) = await talk.press(listing, "Off")
    assert said.text.startswith("Alert #1 has ended")
    assert said.message_id != listing.message_id


async def test_an_answer_does_not_wait_for_the_buttons_own_answer(talk: Talk) -> None:
    (start,) = await talk.ask("/start")
    talk.api.fail("answerCallbackQuery", refusal(400, OLD))
    (answer,) = await talk.press(start, "What moved it")
    assert answer.text.startswith("What moved it")


async def test_a_picture_is_uploaded_once_and_then_sent_by_its_id(talk: Talk) -> None:
    talk.api.chat(YOU)
    _, first = await talk.ask("/chart drawdown")
    _, second = await talk.ask("/chart drawdown", YOU)
    assert first.photo == second.photo
    assert [set(call.files) for call in talk.api.calls("sendPhoto")] == [{"photo"}, set()]
    assert talk.api.actions == [(ME, "upload_photo"), (YOU, "upload_photo")]


class Pickling(ChartRenderer):
    """Draws what is left of a picture's inputs on the way to another process."""

    async def draw(self, spec: Callable[[], T]) -> T:
        """Draw what a pickle brings."""
        return await super().draw(pickle.loads(pickle.dumps(spec)))  # noqa: S301 - our own


async def test_every_picture_can_be_drawn_in_a_process_of_its_own(talk: Talk) -> None:
    talk.bot.services.charts = Pickling()
    await talk.ask("/alert ratio > sma 200")
    for line in PICTURES:
        *_, picture = await talk.ask(line)
        assert picture.photo, line


async def test_a_picture_whose_id_is_refused_is_uploaded_again(talk: Talk) -> None:
    await talk.ask("/chart drawdown")
    talk.api.files.clear()
    _, again = await talk.ask("/chart drawdown")
    assert again.photo in talk.api.files
    assert [call.status for call in talk.api.calls("sendPhoto")] == [200, 400, 200]


async def test_every_button_there_is_leads_to_an_answer(talk: Talk) -> None:
    shapes: set[str] = set()
    (page,) = await talk.ask("/start")
    waiting = [data for row in page.buttons for _, data in row]
    while waiting:
        data = waiting.pop()
        if shape(data) in shapes:
            continue
        shapes.add(shape(data))
        talk.now += 2 * STEP
        (page,) = await talk.ask("/about")
        notes = len(talk.notes())
        await talk.deliver(pressed(talk, page, data))
        answered = page.edits > 0 or talk.api.messages(ME)[-1] is not page or len(talk.notes()) > notes
        assert answered == (data != "e/about"), data
        waiting += [data for row in page.buttons for _, data in row]
    assert shapes >= {"e/compare", "e/alerts", "e/help metrics", "e/summary now"}
    assert not [note for note in talk.notes() if "failed" in note]
