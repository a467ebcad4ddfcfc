"""Chats that refuse messages for a time: their answers, and what wakes them up."""

import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from bot.local.botapi import bad_request
from storage.database import DiskFault
from tests.chat.talk import GROUP, ME, OCTOBER, OWNER, RULE, Talk, prepared, talking
from tests.fakes.botapi_faults import refusal

FIRE, MINUTE = OCTOBER + dt.timedelta(days=1), dt.timedelta(minutes=1)
ADMIN = 21
NO_RIGHTS = bad_request("not enough rights to send text messages to the chat")


@pytest.fixture(scope="session")
def with_group(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Alert #1 of a group, on the day before it fires."""

    async def make(talk: Talk) -> None:
        talk.now = OCTOBER
        talk.api.chat(GROUP).members[ADMIN] = "administrator"
        await talk.ask(f"/alert {RULE}", GROUP, user_id=ADMIN)

    return prepared(sample, tmp_path_factory.mktemp("group"), make)


@pytest.fixture
async def asleep(with_group: Path, tmp_path: Path) -> AsyncIterator[Talk]:
    """A group that refuses messages, and whose alert has fired."""
    async with talking(with_group, tmp_path) as talk:
        talk.api.chat(GROUP).members[ADMIN] = "administrator"
        talk.api.chat(GROUP).refusal = NO_RIGHTS
        await talk.pass_to(FIRE)
        assert await status(talk) == "asleep"
        assert len(talk.api.messages(OWNER)) == 1
        yield talk
        assert len(talk.api.messages(OWNER)) == 1


async def status(talk: Talk) -> str:
    return str(next(row["status"] for row in await talk.rows("chats") if row["chat_id"] == GROUP))


async def alerts_told(talk: Talk, after: dt.timedelta) -> int:
    """How many messages about alerts come by then."""
    await talk.pass_to(FIRE + after)
    texts = [message.text for message in talk.api.messages(GROUP)]
    return sum("Held back while this chat refused messages" in text for text in texts)


async def ask(talk: Talk, text: str = "/alerts@small_large_bot") -> list[str]:
    return [message.text for message in await talk.ask(text, GROUP, user_id=ADMIN)]


async def rights(talk: Talk) -> None:
    talk.api.change_membership(GROUP, "member", "administrator")
    await talk.answers()


async def chatter(talk: Talk) -> None:
    assert await ask(talk, "good morning") == []


async def new_title(talk: Talk) -> None:
    message = talk.api.add_message(talk.api.chat(GROUP), sender=talk.api.user(ADMIN))
    talk.api.queue_update("message", message.json() | {"new_chat_title": "Bulls"})
    await talk.answers()


async def pressed(talk: Talk) -> None:
    question = talk.api.add_message(talk.api.chat(GROUP), text="Alerts")
    talk.api.send_callback_data(question, "e/alerts", ADMIN)
    (edited,) = await talk.answers()
    assert edited.message_id == question.message_id


async def refused_start(talk: Talk) -> None:
    talk.api.fail("sendMessage", refusal(NO_RIGHTS.status, NO_RIGHTS.description))
    await ask(talk, "/start@small_large_bot")


@pytest.mark.parametrize(
    ("sign", "soon"),
    [(ask, True), (rights, True), (chatter, False), (new_title, False), (pressed, False), (refused_start, False)],
)
async def test_a_sign_of_life_wakes(asleep: Talk, sign: Callable[[Talk], Awaitable[object]], *, soon: bool) -> None:
    asleep.now += MINUTE
    asleep.api.chat(GROUP).refusal = None
    await sign(asleep)
    assert await alerts_told(asleep, 2 * MINUTE) == soon
    assert await alerts_told(asleep, 12 * MINUTE) == 1
    assert await status(asleep) == "active"


async def test_however_lively_a_refusing_chat_is_tried_once_in_ten_minutes(asleep: Talk) -> None:
    tried = len(asleep.api.calls("sendMessage", GROUP))
    for minutes in range(1, 31):
        asleep.now = FIRE + minutes * MINUTE
        await chatter(asleep)
        await asleep.pass_to(asleep.now)
    assert len(asleep.api.calls("sendMessage", GROUP)) == tried + 3


async def test_the_list_and_the_history_say_what_was_not_told(asleep: Talk) -> None:
    asleep.api.chat(GROUP).refusal = None
    (listed,) = await ask(asleep)
    assert "Fired on 6 Oct 2020, not told: this chat refuses messages. Waiting to re-arm." in listed
    (history,) = await ask(asleep, "/history@small_large_bot")
    assert "not told: this chat refuses messages" in history
    assert await alerts_told(asleep, MINUTE) == 1
    (listed,) = await ask(asleep)
    assert "not told" not in listed


@pytest.mark.parametrize("kind", ["private", "group", "topic", "channel"])
@pytest.mark.parametrize("reason", ["CHAT_RESTRICTED", "TOPIC_CLOSED"])
async def test_a_refused_answer_lets_a_chat_sleep(
    talk: Talk, kind: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    chat_id, thread = ME if kind == "private" else GROUP, 9 if kind == "topic" else None
    chat = talk.api.chat(chat_id, {"topic": "supergroup"}.get(kind, kind))
    chat.members[ADMIN] = "administrator"
    for refuses in (False, True, True):
        talk.now += 11 * MINUTE
        if reason == "TOPIC_CLOSED":
            chat.closed = {None, 9} if refuses else set()
        else:
            chat.refusal = bad_request(reason) if refuses else None
        talk.api.say(chat_id, "/summary@small_large_bot on 18:30", user_id=ADMIN, thread_id=thread)
        assert bool(await talk.answers()) is not refuses
    (row,) = await talk.rows("chats")
    assert (row["status"], row["reason"].lower()) == ("asleep", reason.lower())
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert [message.text.partition(": ")[0] for message in await talk.pushed(OWNER)] == [
        f"Chat “{row['title']}” ({chat_id}) refuses messages"
    ]


async def test_a_chat_that_takes_no_files_is_told_so_and_does_not_sleep(talk: Talk) -> None:
    await talk.ask("/summary on 18:30")
    reason = "Bad Request: not enough rights to send documents to the chat"
    talk.api.fail("sendDocument", refusal(400, reason), times=2)
    *_, answer = await talk.ask("/export")
    words = "Telegram did not accept the file: Not enough rights to send documents to the chat."
    assert answer.text == words
    assert [row["status"] for row in await talk.rows("chats")] == ["active"]


async def test_chatter_is_not_answered_when_the_database_cannot_be_used(
    asleep: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise DiskFault("The disk cannot be read.")

    with monkeypatch.context() as patch:
        patch.setattr(asleep.database, "run", fail)
        asleep.api.chat(GROUP).refusal = None
        await chatter(asleep)
