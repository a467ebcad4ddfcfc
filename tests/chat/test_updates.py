"""Updates: fetched through every fault, answered once each and in order; faults told in one line."""

import asyncio
import json
import logging
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

import pytest
import sqlite_utils
from telegram import Update

from bot.chat.commands import BY_NAME
from bot.chat.dispatch import COMMANDS_PER_MINUTE
from bot.chat.reply import FAILED, UNUSABLE
from bot.chat.updates import CONFLICT, PerChatProcessor, Poller
from bot.errors import BadInput
from bot.local.botapi import Json
from bot.messages.common import Answer
from bot.messages.html import Html
from storage import chat_store
from storage.database import DiskFull
from tests.chat.talk import GROUP, ME, YOU, Talk
from tests.fakes.botapi_faults import Fault, answer, bad_gateway, drop, flood, hang, refusal

RULE = "ratio > 0.9"


def taken(talk: Talk) -> list[Json]:
    """The updates that Telegram holds, taken away from it."""
    updates, talk.api.updates = talk.api.updates, []
    return updates


@pytest.mark.parametrize("typed", [f"/alert {RULE}", "/summary on 18:30", "/start", "/about", "hello"])
async def test_an_update_delivered_again_changes_and_answers_nothing(typed: str, talk: Talk) -> None:
    talk.api.say(ME, typed)
    (update,) = taken(talk)
    await talk.deliver(update)
    before = [await talk.rows(table) for table in ("alerts", "chats", "summaries")]
    await talk.deliver(update, update)
    assert [await talk.rows(table) for table in ("alerts", "chats", "summaries")] == before
    assert len(talk.api.messages(ME)) == 1


async def test_a_pressed_button_delivered_again_changes_nothing(talk: Talk) -> None:
    await talk.ask(f"/alert {RULE}")
    (card,) = await talk.ask("/alert 1 more")
    talk.api.press(card.message_id, "e/alert 1 pause")
    (update,) = taken(talk)
    await talk.deliver(update)
    await talk.ask("/alert 1 resume")
    await talk.deliver(update)
    assert [row["life"] for row in await talk.rows("alerts")] == ["active"]


@pytest.mark.parametrize(
    "typed", ["/help", "/alerts", "/compare", "/about", "hello", f"/alert {RULE}", "/summary on 18:30"]
)
async def test_a_command_writes_once_and_a_question_only_after_its_answer(typed: str, talk: Talk) -> None:
    marks: list[bool] = []  # whether the answer was there when the update was recorded
    written = set[int]()  # how many rows were written, at each commit

    def trace(connection: sqlite3.Connection, statement: str) -> None:
        if statement.startswith("INSERT") and "updates" in statement:
            marks.append(bool(talk.api.messages(ME)))
        if statement == "COMMIT":
            written.add(connection.total_changes)

    def follow(db: sqlite_utils.Database) -> None:
        written.add(db.conn.total_changes)
        db.conn.set_trace_callback(partial(trace, db.conn))

    await talk.bot.services.database.run(follow, plain=True)
    await talk.ask(typed)
    assert marks == [not typed.startswith(("/alert ", "/summary"))]
    assert len(written) == 2


async def test_an_update_is_noted_with_its_change_or_not_at_all(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise DiskFull("The disk is full.")

    talk.api.say(ME, "/summary on 18:30")
    (update,) = taken(talk)
    with monkeypatch.context() as broken:
        broken.setattr(chat_store, "set_summary", full)
        await talk.deliver(update)
    assert talk.api.messages(ME)[-1].text == UNUSABLE
    assert await talk.rows("updates") == []
    assert "DiskFull: The disk is full." in caplog.text
    await talk.deliver(update)
    assert talk.api.messages(ME)[-1].text.startswith("Daily summary at 18:30")


async def test_an_edited_message_is_not_answered_again(talk: Talk) -> None:
    talk.api.say(ME, "/about")
    (update,) = taken(talk)
    edited = {**update["message"], "edit_date": update["message"]["date"] + 1, "text": "/alerts"}
    await talk.deliver({"update_id": update["update_id"] + 1, "edited_message": edited})
    assert talk.api.messages(ME) == []


async def test_what_has_no_words_is_left_alone(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    talk.api.say(ME, "x")
    (update,) = taken(talk)
    silent = {key: value for key, value in update["message"].items() if key != "text"}
    sticker = {**silent, "caption": "/about", "photo": []}
    post = {**update["message"], "chat": {"id": -1001, "type": "channel", "title": "News"}}
    post.pop("from")
    await talk.deliver(
        {"update_id": 1, "message": silent},
        {"update_id": 2, "message": sticker},
        {"update_id": 3, "message": post},
        {"update_id": 4, "channel_post": post},
    )
    assert talk.api.messages(ME) == []
    assert caplog.records == []


class Brake:
    """A handler that waits for a word; how many wait is counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered = 0
        self.go = asyncio.Event()
        command = BY_NAME["about"]
        self._about = command.handler
        monkeypatch.setitem(BY_NAME, "about", replace(command, handler=self))

    async def __call__(self, ask: Any) -> Answer:  # noqa: ANN401 - a handler's question
        self.entered += 1
        await self.go.wait()
        return await self._about(ask)


@pytest.fixture
def brake(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Brake]:
    """On /about; let go at the end, before the bot waits for what is under way."""
    del talk
    handler = Brake(monkeypatch)
    yield handler
    handler.go.set()


async def test_a_chats_commands_are_answered_in_order_beside_others(talk: Talk, brake: Brake) -> None:
    talk.api.chat(YOU)
    for text in ("/about", "/help", "/alert"):
        talk.api.say(ME, text)
    talk.api.say(YOU, "/help")
    answering = asyncio.create_task(talk.answers())
    await talk.api.wait_for_message(lambda m: m.chat_id == YOU)
    assert brake.entered == 1
    assert talk.api.messages(ME) == []
    brake.go.set()
    await answering
    firsts = [message.text.splitlines()[0] for message in talk.api.messages(ME)]
    assert firsts == ["About", "Commands", "When should the bot message you?"]


async def test_a_chat_that_floods_leaves_room_for_the_others(talk: Talk, brake: Brake) -> None:
    talk.api.chat(YOU)
    for _ in range(1000):
        talk.api.say(ME, "/about")
    talk.api.say(YOU, "/help")
    answering = asyncio.create_task(talk.answers())
    await talk.api.wait_for_message(lambda m: m.chat_id == YOU)
    assert brake.entered == 1
    brake.go.set()
    await answering
    assert len(talk.api.messages(ME)) == COMMANDS_PER_MINUTE + 1


async def test_one_picture_is_drawn_at_a_time(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go = [0], threading.Event()

    def draw() -> NoReturn:
        begun[0] += 1
        go.wait(60)
        raise BadInput("Nothing to draw.")

    async def pictured(_: object) -> Answer:
        return Answer(Html("About"), partial(draw))  # a picture of its own for each

    monkeypatch.setitem(BY_NAME, "about", replace(BY_NAME["about"], handler=pictured))
    for chat in (ME, YOU):
        talk.api.say(chat, "/about")
    answering = asyncio.create_task(talk.answers())
    try:
        await talk.api.until(lambda: len(talk.api.calls("sendChatAction")) == 2)
        talk.api.say(GROUP, "/help")
        update = Update.de_json(taken(talk)[0], talk.bot.application.bot)
        await talk.bot.application.update_queue.put(update)
        await talk.api.wait_for_message(lambda m: m.chat_id == GROUP)
        assert begun[0] == 1
    finally:
        go.set()
    await answering
    assert begun[0] == 2


async def test_long_work_shows_typing(talk: Talk, brake: Brake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.chat.reply.TYPING_AFTER", 0.0)
    monkeypatch.setattr("bot.chat.reply.TYPING_AGAIN", 0.0)
    talk.api.fail("sendChatAction", bad_gateway(), after=2)
    talk.api.say(GROUP, "/about", thread_id=5)
    answering = asyncio.create_task(talk.answers())
    await talk.api.until(lambda: len(talk.api.calls("sendChatAction")) == 3)
    brake.go.set()
    (answer,) = await answering
    assert answer.text.startswith("About")
    assert talk.api.actions == [(GROUP, "typing")] * 2
    assert talk.api.calls("sendChatAction")[0].fields["message_thread_id"] == "5"


async def test_what_an_update_raises_reaches_its_caller_and_frees_the_chat() -> None:
    processor = PerChatProcessor()

    async def fail() -> None:
        raise LookupError

    async def pass_by() -> None:
        pass

    with pytest.raises(LookupError):
        await processor.process_update(object(), fail())
    await processor.process_update(object(), pass_by())


async def test_what_one_person_types_inline_holds_up_nobody_else(talk: Talk) -> None:
    processor, go = PerChatProcessor(), asyncio.Event()
    for user_id in (ME, ME, YOU):
        talk.api.type_inline(user_id, "6m")
    first, second, other = (Update.de_json(update, talk.bot.application.bot) for update in taken(talk))
    done: list[object] = []

    async def slow() -> None:
        await go.wait()

    async def quick(update: object) -> None:
        done.append(update)

    waiting = asyncio.create_task(processor.process_update(first, slow()))
    await asyncio.sleep(0)
    behind = asyncio.create_task(processor.process_update(second, quick(second)))
    async with asyncio.timeout(5):
        await processor.process_update(other, quick(other))
    assert done == [other]
    go.set()
    await asyncio.gather(waiting, behind)
    assert done == [other, second]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """/about fails as no program should."""

    async def fail(_: object) -> Answer:
        raise ZeroDivisionError("of all things")

    monkeypatch.setitem(BY_NAME, "about", replace(BY_NAME["about"], handler=fail))


@pytest.mark.usefixtures("broken")
async def test_a_fault_is_told_in_a_line_and_logged(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    (answer,) = await talk.ask("/about", GROUP, thread_id=5)
    assert (answer.text, answer.thread_id) == (FAILED, 5)
    assert "ZeroDivisionError: of all things" in caplog.text
    assert (await talk.ask("/help"))[0].text.startswith("Commands")


@pytest.mark.usefixtures("broken")
async def test_a_fault_behind_a_button_is_a_note(talk: Talk) -> None:
    (status,) = await talk.ask("/help")
    (start,) = await talk.ask("/start")
    start.markup = {"inline_keyboard": [[{"text": "About", "callback_data": "e/about"}]]}
    assert await talk.press(start, "About") == []
    assert talk.notes() == [FAILED]
    assert status.edits == 0


@pytest.mark.usefixtures("broken")
async def test_a_fault_that_cannot_be_told_either_stops_nothing(talk: Talk) -> None:
    talk.api.fail("sendMessage", bad_gateway())
    assert await talk.ask("/about") == []
    assert (await talk.ask("/help"))[0].text.startswith("Commands")


@pytest.mark.parametrize("fault", [bad_gateway(), drop(), refusal(401, "Unauthorized")])
async def test_an_answer_that_telegram_does_not_take_is_one_line_in_the_log(
    fault: object, talk: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    talk.api.fail("sendMessage", fault)  # type: ignore[arg-type]
    assert await talk.ask("/about") == []
    (record,) = [record for record in caplog.records if record.name.startswith("bot.")]
    assert record.getMessage().startswith(f"an answer to chat {ME} did not arrive: ")
    assert record.exc_info is None
    assert talk.api.token.partition(":")[2] not in caplog.text


UNPARSED = refusal(400, "Bad Request: can't parse entities: Unclosed start tag")


@pytest.mark.parametrize("method", ["sendMessage", "editMessageText"])
async def test_markup_that_telegram_refuses_comes_as_plain_text_and_is_logged(
    method: str, talk: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    (start,) = await talk.ask("/start")
    start.markup = {"inline_keyboard": [[{"text": "About", "callback_data": "e/about"}]]}
    (usual,) = await talk.ask("/about")
    for refusing in {method, "sendMessage"}:
        talk.api.fail(refusing, UNPARSED)
    (answer,) = await (talk.press(start, "About") if method.startswith("edit") else talk.ask("/about"))
    assert answer.text == usual.text
    assert (bool(usual.entities), answer.entities) == (True, [])
    assert "can't parse entities" in caplog.text.lower()


async def test_plain_text_that_telegram_refuses_too_is_our_fault(talk: Talk) -> None:
    talk.api.fail("sendMessage", UNPARSED, times=2)
    (answer,) = await talk.ask("/about")
    assert answer.text == FAILED


class Polling:
    """A poller on the fake Bot API whose rests take no time."""

    def __init__(self, talk: Talk) -> None:
        self.rests: list[float] = []
        self.now = 0.0
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.poller = Poller(talk.bot.application.bot, self.queue, self._rest, lambda: self.now)

    async def _rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    async def one(self) -> int:
        """The id of the next update that arrives."""
        running = asyncio.create_task(self.poller.run())
        try:
            async with asyncio.timeout(5):
                return int((await self.queue.get()).update_id)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_updates_are_fetched_once_and_confirmed_at_the_end(talk: Talk) -> None:
    polling = Polling(talk)
    talk.api.say(ME, "/about")
    arrived = await polling.one()
    await polling.poller.confirm_updates()
    assert arrived == talk.api.last_update_id
    assert talk.api.updates == []
    assert polling.rests == []
    updates = talk.api.calls("getUpdates")[0].fields["allowed_updates"]
    assert updates == '["message", "edited_message", "callback_query", "inline_query", "my_chat_member"]'


async def test_an_unreadable_update_costs_only_itself(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    talk.api.say(ME, "Which?")
    talk.api.updates[0]["message"]["poll"] = {"id": "1", "question": "Which?"}
    talk.api.say(ME, "/about")
    polling = Polling(talk)
    assert [await polling.one() for _ in range(2)] == [talk.api.last_update_id - 1, talk.api.last_update_id]
    assert polling.rests == []
    (record,) = caplog.records
    assert record.getMessage().startswith("1 update cannot be read, left out (the first: TypeError: Poll")


async def test_nothing_fetched_is_nothing_to_confirm(talk: Talk) -> None:
    await Polling(talk).poller.confirm_updates()
    assert talk.api.calls("getUpdates") == []


async def test_an_end_without_telegram_does_not_wait(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    polling = Polling(talk)
    talk.api.say(ME, "/about")
    await polling.one()
    talk.api.fail("getUpdates", hang())
    monkeypatch.setattr("bot.chat.updates.CONFIRM_SECONDS", 0.05)
    calls = len(talk.api.calls("getUpdates"))
    async with asyncio.timeout(10):  # less than the request itself would wait
        await polling.poller.confirm_updates()
    assert len(talk.api.calls("getUpdates")) == calls + 1


async def test_polling_outlives_every_fault_with_growing_rests_and_without_the_token_in_the_log(
    talk: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    polling = Polling(talk)
    for fault in (bad_gateway(), drop(), *[refusal(401, "Unauthorized")] * 4, refusal(404, "Not Found")):
        talk.api.fail("getUpdates", fault)
    talk.api.say(ME, "/about")
    await polling.one()
    assert polling.rests == [1, 2, 4, 8, 16, 30, 30]
    lines = [record.getMessage() for record in caplog.records]
    assert lines[-1] == "updates cannot be fetched (the token is refused); next try in 30 s"
    assert talk.api.token.partition(":")[2] not in caplog.text


async def test_after_an_answer_the_rests_begin_anew(talk: Talk) -> None:
    polling = Polling(talk)
    talk.api.fail("getUpdates", bad_gateway(), times=3)
    talk.api.fail("getUpdates", bad_gateway(), after=1)
    talk.api.say(ME, "/about")
    running = asyncio.create_task(polling.poller.run())
    await talk.api.until(lambda: len(talk.api.calls("getUpdates")) == 6)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert polling.rests == [1, 2, 4, 1]


SHAPES: tuple[bytes, ...] = (
    *(b"", b"[]", b"null", b"true", b"7", b'"ok"', b'{"ok":tr', b"\xff\xfe", b"<html>502</html>", b"{}"),
    *(b'{"ok":true}', b'{"ok":false}', b'{"ok":true,"result":null}', b'{"ok":true,"result":{"update_id":1}}'),
    *(b'{"ok":true,"result":[null]}', b'{"ok":true,"result":[[]]}', b'{"ok":true,"result":[{}]}'),
    b'{"ok":true,"result":[{"update_id":"7"}]}',
    b'{"ok":true,"result":[{"update_id":-7}]}',
    b'{"ok":true,"result":[{"update_id":9223372036854775807}]}',
    b'{"ok":true,"result":[' + b"null," * 100_000 + b"null]}",
    b'{"ok":true,"result":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    b'{"ok":true,"result":[{"update_id":' + b"9" * 5000 + b"}]}",
    b'{"ok":true,"result":[]}',
)


@pytest.mark.parametrize("body", SHAPES, ids=lambda body: body[:40].decode("latin-1"))
async def test_an_answer_of_any_shape_is_a_line_in_the_log_and_a_rest(
    body: bytes, talk: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    polling = Polling(talk)
    talk.api.fail("getUpdates", answer(body))
    talk.api.say(ME, "/about")
    assert await polling.one() == talk.api.last_update_id
    assert polling.rests == [1]
    assert "updates cannot be fetched (" in caplog.text
    assert len(caplog.text) < 1000
    assert "Traceback" not in caplog.text


def refused(**content: object) -> Fault:
    return replace(answer(json.dumps({"ok": False, **content}).encode()), status=429)


@pytest.mark.parametrize(
    "fault",
    [
        refused(description=[1]),
        refused(description="x", parameters=[]),
        *(refused(parameters={"retry_after": seconds}) for seconds in ("7", -7, 0, 10**12, 0.5, None)),
        replace(answer(b"<p>" * 1_000_000), status=502),
        replace(answer(b""), status=403),
        replace(answer(b'{"ok":true,"result":[]}'), missing=9),
        replace(answer(b"[" * 2**20), repeats=1024),
    ],
    ids=lambda fault: f"{fault.status} {fault.body[:50].decode()}",
)
async def test_a_refusal_of_any_shape_and_any_length_is_a_line_in_the_log_and_a_rest(
    fault: Fault, talk: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    polling = Polling(talk)
    talk.api.fail("getUpdates", fault)
    talk.api.say(ME, "/about")
    assert await polling.one() == talk.api.last_update_id
    assert polling.rests == [1]
    assert len(caplog.text) < 1000
    assert talk.api.spoilt_bytes < 64 * 2**20


@pytest.mark.parametrize(
    "spoilt",
    [
        {"message_id": 2**63},
        {"chat": {"id": 2**63, "type": "private"}},
        {"chat": {"id": -(10**30), "type": "group"}},
        {"chat": {"id": "42", "type": "private"}},
        {"from": {"id": 2**64, "is_bot": False, "first_name": "Me"}},
        {"from": None, "text": 7},
        {"text": "half of a character: \ud83d"},
        {"date": 10**17},
    ],
    ids=str,
)
async def test_an_unreadable_update_is_left_out_and_counted_and_the_next_one_answered(
    spoilt: Json, talk: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    polling = Polling(talk)
    for _ in range(2):
        talk.api.say(ME, "/about")
        talk.api.updates[-1]["message"] |= spoilt
    talk.api.say(ME, "/about")
    last = talk.api.last_update_id
    assert [await polling.one() for _ in range(3)] == [last - 2, last - 1, last]
    assert polling.rests == []
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("2 updates cannot be read, left out (the first: ")
    assert line.endswith("; 2 since the start")


async def test_a_flood_limit_is_waited_for(talk: Talk) -> None:
    polling = Polling(talk)
    talk.api.fail("getUpdates", flood(7))
    talk.api.say(ME, "/about")
    await polling.one()
    assert polling.rests == [7]


ELSEWHERE = refusal(409, "Conflict: terminated by other getUpdates request")


async def test_of_two_pollers_the_newcomer_gives_way_at_once(talk: Talk) -> None:
    talk.api.fail("getUpdates", ELSEWHERE)
    async with asyncio.timeout(5):
        assert await Polling(talk).poller.run() == CONFLICT


async def test_a_poller_of_more_than_a_minute_outlives_a_conflict_and_gives_way_after_a_minute_of_them(
    talk: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    polling = Polling(talk)
    running = asyncio.create_task(polling.poller.run())
    await talk.api.until(lambda: len(talk.api.calls("getUpdates")) == 1)
    polling.now = 61.0
    talk.api.fail("getUpdates", ELSEWHERE)
    talk.api.say(ME, "/about")
    assert (await polling.queue.get()).update_id == talk.api.last_update_id
    await talk.api.until(lambda: polling.rests)
    polling.now = 200.0
    talk.api.fail("getUpdates", ELSEWHERE, times=100)
    talk.api.say(ME, "/about")
    async with asyncio.timeout(5):
        assert await running == CONFLICT
    assert polling.rests == [1, 1, 2, 4, 8, 16, 30]
    assert "(another process polls with this token); next try in 30 s" in caplog.text


async def test_a_webhook_left_behind_is_removed(talk: Talk) -> None:
    talk.api.fail(
        "getUpdates",
        refusal(409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook first"),
    )
    talk.api.say(ME, "/about")
    await Polling(talk).one()
    assert len(talk.api.calls("deleteWebhook")) == 1
