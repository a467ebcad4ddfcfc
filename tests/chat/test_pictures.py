"""Pictures of pushes: added by edits when all alerts are out, each at most once."""

import datetime as dt

import pytest

from tests.chat.talk import ME, OCTOBER, OWNER, RULE, YOU, Talk
from tests.fakes.botapi_faults import Fault, drop, flood, refusal

FIRED = OCTOBER + dt.timedelta(days=1)  # after the close of 6 October


async def fire(talk: Talk) -> None:
    """The alert fires, and its message is sent."""
    talk.now = FIRED
    await talk.bot.scheduler.evaluate()
    await talk.bot.scheduler.drain()


async def add(talk: Talk) -> list[bool]:
    """Add the pictures; which of a chat's messages have one."""
    await talk.bot.scheduler.edit_messages()
    return [bool(message.photo) for message in talk.api.messages(ME)]


async def test_a_fire_gets_its_chart_above_which_stands_the_same_text_with_its_buttons(october: Talk) -> None:
    await fire(october)
    *_, message = october.api.messages(ME)
    text, buttons = message.text, message.buttons
    assert message.photo is None  # the push waits for no drawing
    assert await add(october) == [True]
    assert (message.text, message.buttons, message.caption_above) == (text, buttons, True)
    assert await add(october) == [True]
    assert len(october.api.calls("editMessageMedia")) == 1


async def test_one_picture_serves_all_who_read_the_same_in_one_theme(october: Talk) -> None:
    for chat in (YOU, OWNER):
        october.api.chat(chat)
        await october.ask(f'/alert {RULE} note "mine"', chat)
    await october.ask("/settings theme dark", OWNER)
    await fire(october)
    await add(october)
    calls = october.api.calls("editMessageMedia")
    assert sorted(call.chat_id or 0 for call in calls) == [OWNER, ME, YOU]
    assert sum(bool(call.files) for call in calls) == 2


async def test_a_summary_gets_the_chart_of_compare_which_telegram_may_have(october: Talk) -> None:
    await october.ask("/summary on 18:30")
    october.now = FIRED + dt.timedelta(hours=1)
    await october.bot.scheduler.evaluate()
    await october.bot.scheduler.drain()
    assert (await add(october))[-2:] == [True, True]
    await october.ask("/compare", YOU)
    uploads = [call for call in october.api.calls("editMessageMedia") if call.files]
    assert len(uploads) == 2  # of the alert and of the summary


@pytest.mark.parametrize(
    "fault", [refusal(400, "Bad Request: not enough rights to send photos to the chat"), flood(5), drop()]
)
async def test_a_refused_picture_is_not_tried_again(october: Talk, fault: Fault) -> None:
    await fire(october)
    october.api.fail("editMessageMedia", fault)
    assert await add(october) == [False]
    assert await add(october) == [False]
    assert len(october.api.calls("editMessageMedia")) == 1
    assert [row["status"] for row in await october.rows("outbox")] == ["sent"]


async def test_while_something_waits_to_be_sent_there_is_no_picture(october: Talk) -> None:
    october.now = FIRED
    await october.bot.scheduler.evaluate()
    assert await add(october) == []
    await october.bot.scheduler.drain()
    assert await add(october) == [True]


async def test_a_message_whose_button_was_tapped_is_left_alone(october: Talk) -> None:
    await fire(october)
    *_, message = october.api.messages(ME)
    await october.press(message, message.buttons[0][0][0])
    assert not (await add(october))[0]
    assert october.bot.services.tapped == set()


async def test_a_restart_leaves_the_text(october: Talk) -> None:
    await fire(october)
    october.bot.services.wanted.clear()
    assert await add(october) == [False]


async def test_above_twenty_fires_no_rules_own_threshold_is_drawn(october: Talk) -> None:
    for number in range(21):
        october.now += dt.timedelta(seconds=3)
        await october.ask(f"/alert ratio > {0.4650 + number / 10_000:.4f}")
    await fire(october)
    await october.bot.scheduler.edit_messages()
    assert sum(bool(call.files) for call in october.api.calls("editMessageMedia")) <= 2
