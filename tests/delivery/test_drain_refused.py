"""Chats, messages and tokens that Telegram refuses, through the real client to the fake Bot API."""

import logging
from collections.abc import Callable
from functools import partial

import pytest
import sqlite_utils

from bot.delivery.outcome import DrainReport
from bot.local.methods import Call
from storage import chat_store, outbox
from tests.delivery.office import ME, OWNER, REFUSED, START, YOU, Office
from tests.fakes.botapi_faults import Fault, flood, refusal

# Chats that cannot be written to


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (refusal(403, "Forbidden: bot was blocked by the user"), "inactive"),
        (refusal(400, "Bad Request: CHAT_WRITE_FORBIDDEN"), "asleep"),
    ],
)
async def test_a_chat_that_left_gets_its_alerts_on_return(office: Office, fault: Fault, status: str) -> None:
    await office.put("alert")
    await office.put("summary", kind="summary")
    office.api.fail("sendMessage", fault)
    await office.delivery.drain()
    assert await office.status() == status
    calls = len(office.api.calls("sendMessage"))
    await office.delivery.drain()
    assert len(office.api.calls("sendMessage")) == calls
    await office.database.run(lambda db: chat_store.reactivate(db, ME))
    await office.delivery.drain()
    assert office.texts() == ["alert"]


@pytest.mark.parametrize("kind", ["reply", "notice"])
async def test_a_stranger_who_cannot_be_written_to_is_tried_once(office: Office, kind: str) -> None:
    row = await office.put("hello", chat_id=777, kind=kind)
    assert await office.delivery.drain() == DrainReport(dead=1)
    assert (await office.row(row))["reason"] == "Chat not found"
    assert len(office.api.calls("sendMessage")) == 1


async def test_a_migrated_group_gets_its_message_under_the_new_id(office: Office) -> None:
    await office.database.run(lambda db: chat_store.ensure_chat(db, -5, "group", "", START))
    await office.put("one", chat_id=-5)
    await office.put("two", chat_id=-5)
    office.api.migrate(-5, -100500)
    assert await office.delivery.drain() == DrainReport(sent=2)
    assert office.texts(-100500) == ["one", "two"]
    assert (await office.status(-5), await office.status(-100500)) == (None, "active")


async def test_a_group_that_only_migrates_is_not_chased_in_circles(office: Office) -> None:
    await office.put("one")
    office.api.migrate(ME, YOU)
    office.api.migrate(YOU, ME)
    assert (await office.delivery.drain()).waiting == 1
    assert len(office.api.calls("sendMessage")) == 4


def meanwhile(
    office: Office, monkeypatch: pytest.MonkeyPatch, change: Callable[[sqlite_utils.Database], object]
) -> None:
    """While the next request is under way, the database is changed."""
    real = office.api._call

    async def interrupted(call: Call) -> bytes | Fault | None:
        monkeypatch.setattr(office.api, "_call", real)
        await office.database.run(change)
        return await real(call)

    monkeypatch.setattr(office.api, "_call", interrupted)


KICKED = refusal(403, "Forbidden: bot was kicked from the group chat")


@pytest.mark.parametrize("fault", [KICKED, flood(300)], ids=repr)
async def test_a_chat_that_moves_while_it_is_written_to_is_written_to_under_its_new_id(
    office: Office, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.api.chat(-5, "group")
    office.api.chat(-100500, "supergroup")
    await office.database.run(lambda db: chat_store.ensure_chat(db, -5, "group", "", START))
    await office.put("one", chat_id=-5)
    office.api.fail("sendMessage", fault, chat_id=-5)
    meanwhile(office, monkeypatch, lambda db: chat_store.migrate_chat(db, -5, -100500))
    await office.delivery.drain()
    assert office.texts(-100500) == ["one"]
    assert await office.status(-100500) == "active"
    assert await office.database.run(lambda db: outbox.current_halts(db, office.now)) == []


@pytest.mark.parametrize("fault", [flood(300), refusal(400, "Bad Request: BUTTON_DATA_INVALID")], ids=repr)
async def test_nothing_is_noted_of_a_chat_that_is_forgotten_while_it_is_written_to(
    office: Office, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.put("one")
    office.api.fail("sendMessage", fault)
    meanwhile(office, monkeypatch, lambda db: chat_store.forget_chat(db, ME))
    await office.delivery.drain()
    assert await office.database.run(lambda db: chat_store.export_chat(db, ME)) == {}
    assert await office.database.run(partial(outbox.count_by_status, sent=True)) == {}


# Refused messages


async def test_broken_html_comes_as_plain_text(office: Office) -> None:
    await office.put("a < b & <b>c</b>")
    assert await office.delivery.drain() == DrainReport(sent=1)
    assert office.texts() == ["a < b & c"]


async def test_a_closed_topic_is_left_for_the_chat_itself(office: Office) -> None:
    await office.put("fired", thread_id=9)
    assert await office.delivery.drain() == DrainReport(sent=1)
    assert office.api.messages(ME)[0].thread_id is None


@pytest.mark.parametrize("closed", [{9}, {9, None}])
async def test_a_topic_that_is_closed_is_left_too_and_a_chat_that_is_closed_sleeps(
    office: Office, closed: set[int | None]
) -> None:
    chat = office.api.chat(ME)
    chat.threads, chat.closed = {9}, closed
    await office.put("fired", thread_id=9)
    await office.delivery.drain()
    assert (office.texts(), await office.status()) == (([], "asleep") if None in closed else (["fired"], "active"))


async def test_any_other_refusal_ends_it_and_the_owner_is_told_once_a_day(office: Office) -> None:
    rows = [await office.put(f"bad {n}", buttons=[[["Off", "x" * 65]]]) for n in range(3)]
    assert await office.delivery.drain() == DrainReport(dead=3, sent=1)
    assert {(await office.row(row))["reason"] for row in rows} == {"Button_data_invalid"}
    assert office.texts(OWNER) == ["A message to chat 42 was given up: Button_data_invalid"]


async def test_our_fault_ends_that_message_alone(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    row = await office.put("<b></b>")
    await office.put("fine")
    assert (await office.delivery.drain()).dead == 1
    assert (await office.row(row))["reason"] == "the message is empty"
    assert office.texts() == ["fine"]
    assert "cannot be sent" in caplog.text


@pytest.mark.parametrize("reason", ["message is not modified", "query is too old and response timeout expired"])
async def test_nothing_to_change_counts_as_sent(office: Office, reason: str) -> None:
    await office.put()
    office.api.fail("sendMessage", refusal(400, f"Bad Request: {reason}"))
    assert await office.delivery.drain() == DrainReport(sent=1)


# The token


async def test_a_refused_token_blames_no_chat(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bot")
    good = office.api.token
    row = await office.put("one")
    await office.put("two", chat_id=YOU)
    office.api.token = f"1:{'B' * 35}"
    assert (await office.delivery.drain()).stopped == REFUSED
    assert (await office.delivery.drain()).stopped == REFUSED
    assert office.api.messages(ME) == []
    stored = await office.row(row)
    assert (stored["status"], stored["attempts"], await office.status()) == ("waiting", 0, "active")
    office.api.token = good
    office.later(seconds=60)
    assert (await office.delivery.drain()).sent == 2
    assert good not in caplog.text


async def test_a_token_that_telegram_does_not_know_pauses_everything(office: Office) -> None:
    row = await office.put()
    office.api.fail("*", refusal(404, "Not Found"), times=2)
    assert (await office.delivery.drain()).stopped == REFUSED
    stored = await office.row(row)
    assert (stored["status"], stored["attempts"], await office.status()) == ("waiting", 0, "active")
    office.later(seconds=60)
    office.api.fail("sendMessage", refusal(409, "Conflict: terminated by other getUpdates request"))
    await office.delivery.drain()
    assert ((await office.row(row))["status"], await office.status()) == ("waiting", "active")
    office.later(seconds=60)
    assert (await office.delivery.drain()).sent == 1


async def test_a_token_refused_for_sending_alone_is_not_tried_again_at_once(office: Office) -> None:
    await office.put()
    office.api.fail("sendMessage", refusal(401, "Unauthorized"), times=3)
    assert await office.delivery.drain() == DrainReport(waiting=1)
    assert len(office.api.calls("sendMessage")) == 1


@pytest.mark.parametrize("shape", ["{number}:{secret}", "{number}%3A{secret}", "{secret}"])
async def test_an_answer_that_repeats_the_address_leaves_no_token_behind(
    office: Office, shape: str, caplog: pytest.LogCaptureFixture
) -> None:
    number, _, secret = office.api.token.partition(":")
    address = shape.format(number=number, secret=secret)
    row = await office.put()
    office.api.fail("sendMessage", refusal(400, f"Bad Request: no page /bot{address}/sendMessage"))
    assert await office.delivery.drain() == DrainReport(dead=1, sent=1)  # the owner is told
    hidden = address.lower().replace(secret.lower(), "HIDDEN")
    assert (await office.row(row))["reason"] == f"No page /bot{hidden}/sendmessage"
    for text in (caplog.text, *office.texts(OWNER)):
        assert "No page /bot" in text
        assert secret.lower() not in text.lower()
