"""Draining a real outbox through the real client to the fake Bot API."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from bot.delivery import DrainReport, sender
from storage import chats, outbox
from storage.db import DiskFull
from tests.delivery.office import DOWN, ME, NOWHERE, OWNER, REFUSED, SICK, START, THIRD, YOU, png
from tests.fakes.botapi_faults import bad_gateway, drop, flood, garbled, hang, refusal, server_error

if TYPE_CHECKING:
    from tests.delivery.office import Office
    from tests.fakes.botapi_faults import Fault


async def test_a_message_goes_out_once_with_buttons_silence_and_its_id(office: Office) -> None:
    row = await office.put("<b>fired</b>", buttons=[[["Off", "off:1"]]], silent=True)
    assert await office.delivery.drain() == DrainReport(sent=1)
    (message,) = office.api.messages(ME)
    assert (message.text, message.buttons, message.silent) == ("fired", [[("Off", "off:1")]], True)
    kept = await office.row(row)
    assert (kept["status"], kept["message_id"]) == ("sent", message.message_id)
    assert await office.delivery.drain() == DrainReport()
    assert office.texts() == ["fired"]


async def test_a_correction_answers_the_message_it_corrects_if_that_is_still_there(office: Office) -> None:
    first = await office.put("fired")
    await office.delivery.drain()
    answered = (await office.row(first))["message_id"]
    await office.put("correction", reply_to=answered)
    await office.put("another", reply_to=answered + 1_000)
    await office.delivery.drain()
    assert office.texts() == ["fired", "correction", "another"]
    given = [call.fields.get("reply_parameters") for call in office.api.calls("sendMessage", ME)]
    sent = [text and json.loads(text) for text in given]
    asked = {"allow_sending_without_reply": True}
    assert sent == [None, {"message_id": answered, **asked}, {"message_id": answered + 1_000, **asked}]


async def test_a_row_is_sending_on_disk_before_its_request(office: Office) -> None:
    row = await office.put()
    office.api.fail("sendMessage", hang())
    work = asyncio.create_task(office.impatient().drain())
    await office.api.until(lambda: office.api.calls("sendMessage"))
    assert (await office.row(row))["status"] == "sending"
    await work


async def test_a_long_text_comes_in_parts_and_a_picture_before_them(office: Office) -> None:
    await office.put("\n".join(f"line {n}" for n in range(900)), photo=png(), buttons=[[["Off", "o"]]])
    assert (await office.delivery.drain()).sent == 1
    picture, first, last = office.api.messages(ME)
    assert (bool(picture.photo), picture.text) == (True, "")
    assert (first.text + "\n" + last.text).count("line") == 900
    assert [message.buttons for message in (picture, first, last)] == [[], [], [[("Off", "o")]]]


async def test_a_picture_carries_a_short_text(office: Office) -> None:
    await office.put("<i>ytd</i>", photo=png(), kind="summary")
    await office.delivery.drain()
    (message,) = office.api.messages(ME)
    assert message.text == "ytd"
    assert office.api.world.files[message.photo or ""] == png()


async def test_alerts_go_before_summaries_and_a_chat_keeps_its_order(office: Office) -> None:
    for n in range(4):
        await office.put(f"summary {n}", kind="summary")
    for n in range(12):
        await office.put(f"alert {n}")
    assert (await office.delivery.drain()).sent == 16
    assert office.texts() == [f"alert {n}" for n in range(12)] + [f"summary {n}" for n in range(4)]


# Nothing has been sent: try again


async def test_without_a_connection_one_row_is_tried_and_backs_off(office: Office) -> None:
    first, second = await office.put("one"), await office.put("two")
    report = await office.fresh(office.client(NOWHERE)).drain()
    assert (report.sent, report.stopped) == (0, DOWN)
    tried, spared = await office.row(first), await office.row(second)
    assert (tried["attempts"], tried["not_before"]) == (1, "2020-12-11T21:20:05Z")
    assert (spared["attempts"], spared["not_before"]) == (0, "2020-12-11T21:20:00Z")
    office.later(seconds=5)
    assert await office.delivery.drain() == DrainReport(sent=2)
    assert sorted(office.texts()) == ["one", "two"]


async def test_back_off_doubles_up_to_a_quarter_of_an_hour(office: Office) -> None:
    row = await office.put()
    waits = []
    bot = office.client(NOWHERE)
    for _ in range(10):
        await office.fresh(bot).drain()
        due = datetime.fromisoformat((await office.row(row))["not_before"])
        waits.append((due - office.now).total_seconds())
        office.later(seconds=waits[-1])
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]


# The outcome is unknown

UNKNOWN = [
    hang(), hang(acts=True), drop(), drop(acts=True), server_error(), server_error(acts=True),
    bad_gateway(), garbled(),
]  # fmt: skip


@pytest.mark.parametrize("fault", UNKNOWN, ids=repr)
async def test_an_alert_of_unknown_outcome_comes_again_marked_once_getme_answers(
    office: Office, fault: Fault
) -> None:
    row = await office.put()
    office.api.fail("sendMessage", fault)
    office.api.fail("getMe", server_error(), times=2)
    first = office.impatient() if fault.hangs else office.delivery
    assert await first.drain() == DrainReport(ambiguous=1, stopped=DOWN)
    assert (await office.row(row))["unknown"] == 1
    assert await office.delivery.drain() == DrainReport(stopped=DOWN)
    assert len(office.texts()) == fault.acts
    assert await office.delivery.drain() == DrainReport(sent=1)
    assert office.texts() == ["fired"] * fault.acts + ["possible repeat\nfired"]
    assert await office.delivery.drain() == DrainReport()


@pytest.mark.parametrize("fault", UNKNOWN, ids=repr)
async def test_a_summary_of_unknown_outcome_never_comes_again(office: Office, fault: Fault) -> None:
    row = await office.put("daily", kind="summary")
    office.api.fail("sendMessage", fault)
    first = office.impatient() if fault.hangs else office.delivery
    assert await first.drain() == DrainReport(dead=1)
    office.later(days=2)
    assert await office.fresh().drain() == DrainReport()
    assert len(office.texts()) == fault.acts
    assert (await office.row(row))["status"] == "dead"
    assert office.texts(OWNER) == []


async def test_in_doubt_nothing_more_is_sent_until_getme_answers(office: Office) -> None:
    for n in range(12):
        await office.put(f"alert {n}")
    office.api.fail("sendMessage", server_error())
    office.api.fail("getMe", server_error())
    report = await office.delivery.drain()
    assert (report.ambiguous, report.stopped) == (1, DOWN)
    assert len(office.api.calls("sendMessage")) == 1
    assert (await office.delivery.drain()).sent == 12
    assert max(office.texts()) == "possible repeat\nalert 0"


async def test_one_poisoned_message_does_not_stop_the_others(office: Office) -> None:
    await office.put("poison", chat_id=YOU)
    await office.put("fine")
    office.api.fail("sendMessage", server_error(), chat_id=YOU, times=99)
    assert await office.delivery.drain() == DrainReport(sent=1, ambiguous=1)
    assert office.texts() == ["fine"]


async def test_repeats_rest_longer_and_longer_and_end_after_a_day_with_a_word_to_the_owner(
    office: Office,
) -> None:
    row = await office.put(chat_id=YOU)
    office.api.fail("sendMessage", drop(acts=True), chat_id=YOU, times=99)
    sends = []
    while (await office.row(row))["status"] != "dead":
        seen = len(office.texts(YOU))
        await office.delivery.drain()
        if len(office.texts(YOU)) > seen:
            sends.append(office.now)
        office.later(seconds=60)
    gaps = [(b - a).total_seconds() / 60 for a, b in pairwise(sends)]
    assert gaps[:5] == [1, 1, 2, 4, 8]
    assert gaps[-1] == 360
    assert sends[-1] - sends[0] >= timedelta(hours=24)
    assert len(sends) == 14
    await office.delivery.drain()
    (told,) = office.texts(OWNER)
    assert told.startswith(
        "A message to chat 43 was given up: httpx.RemoteProtocolError: Server disconnected"
    )


async def test_an_old_message_is_not_given_up_at_its_first_unknown_outcome(office: Office) -> None:
    row = await office.put()
    office.later(days=30)
    office.api.fail("sendMessage", server_error())
    await office.delivery.drain()
    assert (await office.row(row))["status"] == "ambiguous"


async def test_parts_that_arrived_are_not_sent_again_even_by_the_next_process(office: Office) -> None:
    await office.put("\n".join(f"line {n}" for n in range(900)))
    office.api.fail("sendMessage", drop(), after=1)
    assert (await office.delivery.drain()).ambiguous == 1
    assert (await office.fresh().drain()).sent == 1
    first, last = office.texts()
    assert last.startswith("possible repeat\nline")
    assert (first + last).count("line") == 900


async def test_a_summary_halted_between_its_parts_goes_on_after_them(office: Office) -> None:
    await office.put("x\n" * 800, photo=png(), kind="summary")
    office.api.fail("sendMessage", flood(30))
    assert await office.delivery.drain() == DrainReport(waiting=1)
    office.later(seconds=30)
    assert await office.fresh().drain() == DrainReport(sent=1)
    assert [bool(message.photo) for message in office.api.messages(ME)] == [True, False]


# Limits


async def test_a_429_halts_its_chat_on_disk_and_uses_up_no_attempt(office: Office) -> None:
    row = await office.put("one")
    await office.put("two")
    await office.put("other", chat_id=YOU)
    office.api.fail("sendMessage", flood(30), chat_id=ME)
    assert (await office.delivery.drain()).sent == 1
    assert len(office.api.calls("sendMessage", ME)) == 1
    kept = await office.row(row)
    assert (kept["attempts"], kept["not_before"]) == (0, "2020-12-11T21:20:30Z")
    office.later(seconds=29)
    assert await office.fresh().drain() == DrainReport()
    office.later(seconds=1)
    assert await office.fresh().drain() == DrainReport(sent=2)
    assert office.texts() == ["one", "two"]


async def test_a_second_chats_429_halts_all(office: Office) -> None:
    await office.put("one")
    office.api.fail("sendMessage", flood(30), chat_id=ME)
    await office.delivery.drain()
    office.later(seconds=10)
    await office.put("two", chat_id=YOU)
    office.api.fail("sendMessage", flood(40), chat_id=YOU)
    await office.delivery.drain()
    await office.put("three", chat_id=THIRD)
    halts = await office.database.run(lambda db: outbox.halts(db, office.now))
    assert [(halt["chat_id"], halt["until"][11:]) for halt in halts] == [
        (outbox.EVERY_CHAT, "21:20:50Z"),
        (ME, "21:20:30Z"),
        (YOU, "21:20:50Z"),
    ]
    office.later(seconds=39)
    assert await office.fresh().drain() == DrainReport()
    office.later(seconds=1)
    assert (await office.fresh().drain()).sent == 3


async def test_a_halt_of_our_own_budget_halts_nobody(office: Office) -> None:
    for n in range(25):
        await office.put(f"alert {n}", chat_id=-100)
    office.api.chat(-100)
    report = await office.delivery.drain()
    assert (report.sent, report.waiting) == (20, 0)
    counts = await office.database.run(outbox.pending)
    assert counts == {"queued": 5, "sent": 20}
    assert await office.database.run(lambda db: outbox.halts(db, office.now)) == []
    assert len(office.api.calls("sendMessage")) == 20


async def test_parts_that_found_no_room_go_on_after_those_that_arrived(office: Office) -> None:
    office.api.chat(-100)
    await office.put("\n".join(f"line {n}" for n in range(12_000)), chat_id=-100)
    assert (await office.delivery.drain()).waiting == 1
    assert len(office.texts(-100)) == 20
    office.later(seconds=60)
    assert (await office.fresh().drain()).sent == 1
    assert "\n".join(office.texts(-100)).splitlines() == [f"line {n}" for n in range(12_000)]


# Chats that cannot be written to


@pytest.mark.parametrize(
    "fault",
    [
        refusal(403, "Forbidden: bot was blocked by the user"),
        refusal(403, "Forbidden: bot was kicked from the supergroup chat"),
        refusal(400, "Bad Request: chat not found"),
        refusal(400, "Bad Request: not enough rights to send text messages to the chat"),
        refusal(400, "Bad Request: CHAT_WRITE_FORBIDDEN"),
    ],
    ids=repr,
)
async def test_a_chat_that_left_sleeps_and_gets_its_alerts_on_return(office: Office, fault: Fault) -> None:
    await office.put("alert")
    await office.put("summary", kind="summary")
    office.api.fail("sendMessage", fault)
    await office.delivery.drain()
    assert await office.status() == "inactive"
    calls = len(office.api.calls("sendMessage"))
    await office.delivery.drain()
    assert len(office.api.calls("sendMessage")) == calls
    await office.database.run(lambda db: chats.reactivate(db, ME))
    await office.delivery.drain()
    assert "alert" in office.texts()


async def test_a_summary_to_a_chat_that_left_is_dropped(office: Office) -> None:
    row = await office.put("daily", kind="summary")
    office.api.block(ME)
    assert await office.delivery.drain() == DrainReport(dead=1)
    assert (await office.row(row))["reason"] == "Forbidden: bot was blocked by the user"


async def test_a_stranger_who_cannot_be_written_to_is_dropped(office: Office) -> None:
    await office.put("no", chat_id=777, kind="reply")
    assert await office.delivery.drain() == DrainReport(dead=1)


async def test_a_migrated_group_gets_its_message_under_the_new_id(office: Office) -> None:
    await office.database.run(lambda db: chats.ensure_chat(db, -5, "group", "", START))
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


# Refused messages


async def test_broken_html_comes_as_plain_text(office: Office) -> None:
    await office.put("a < b & c", plain="a is below b & c")
    assert await office.delivery.drain() == DrainReport(sent=1)
    assert office.texts() == ["a is below b & c"]


async def test_a_closed_topic_is_left_for_the_chat_itself(office: Office) -> None:
    await office.put("fired", thread_id=9)
    assert await office.delivery.drain() == DrainReport(sent=1)
    assert office.api.messages(ME)[0].thread_id is None


async def test_a_bad_picture_does_not_cost_the_text(office: Office) -> None:
    await office.put("fired", photo=b"not a picture")
    await office.put("a\n" * 600, photo=b"not a picture", chat_id=YOU)
    assert await office.delivery.drain() == DrainReport(sent=2)
    assert (office.texts(), len(office.texts(YOU))) == (["fired"], 1)


async def test_any_other_refusal_ends_it_and_the_owner_is_told_once_a_day(office: Office) -> None:
    rows = [await office.put(f"bad {n}", buttons=[[["Off", "x" * 65]]]) for n in range(3)]
    assert await office.delivery.drain() == DrainReport(dead=3, sent=1)
    assert {(await office.row(row))["reason"] for row in rows} == {"Button_data_invalid"}
    assert office.texts(OWNER) == ["A message to chat 42 was given up: Button_data_invalid"]


async def test_a_fault_of_our_own_ends_that_message_alone(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    row = await office.put("<b></b>")
    await office.put("fine")
    assert (await office.delivery.drain()).dead == 1
    assert (await office.row(row))["reason"] == "the message is empty"
    assert office.texts() == ["fine"]
    assert "cannot be sent" in caplog.text


async def test_nothing_to_change_counts_as_sent(office: Office) -> None:
    await office.put()
    office.api.fail("sendMessage", refusal(400, "Bad Request: message is not modified"))
    assert await office.delivery.drain() == DrainReport(sent=1)


# The token


async def test_a_refused_token_pauses_everything_and_blames_no_chat(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bot")
    good = office.api.token
    row = await office.put("one")
    await office.put("two", chat_id=YOU)
    office.api.token = f"1:{'B' * 35}"
    assert (await office.delivery.drain()).stopped == REFUSED
    assert (await office.delivery.drain()).stopped == REFUSED
    assert office.api.messages(ME) == []
    kept = await office.row(row)
    assert (kept["status"], kept["attempts"], await office.status()) == ("waiting", 0, "active")
    office.api.token = good
    office.later(seconds=60)
    assert (await office.delivery.drain()).sent == 2
    assert good not in caplog.text


# The process


async def test_a_crash_while_sending_repeats_the_alert_marked_and_no_summary(office: Office) -> None:
    await office.put("alert")
    await office.put("daily", kind="summary", chat_id=YOU)
    await office.database.run(lambda db: outbox.claim(db, START, 9))
    after = office.fresh()
    assert await after.drain() == DrainReport()
    assert await after.recover() == 2
    assert await after.drain() == DrainReport(sent=1)
    assert (office.texts(), office.texts(YOU)) == (["possible repeat\nalert"], [])


async def test_a_cancelled_drain_leaves_nothing_lost(office: Office) -> None:
    for n in range(20):
        await office.put(f"alert {n}")
    office.api.fail("sendMessage", hang(acts=True), after=2)
    work = asyncio.create_task(office.delivery.drain())
    await office.api.until(lambda: len(office.api.calls("sendMessage")) == 3 or None)
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
    assert (await office.delivery.drain()).sent == 18
    arrived = [text.removeprefix("possible repeat\n") for text in office.texts()]
    assert sorted(set(arrived)) == sorted(f"alert {n}" for n in range(20))
    assert [text for text in office.texts() if text.startswith("possible")] == ["possible repeat\nalert 2"]


async def test_stop_finishes_what_is_under_way_and_claims_nothing_more(office: Office) -> None:
    for n in range(20):
        await office.put(f"alert {n}")
    office.api.fail("sendMessage", hang(), after=2)
    delivery = office.impatient()
    work = asyncio.create_task(delivery.drain())
    await office.api.until(lambda: len(office.api.calls("sendMessage")) == 3 or None)
    await delivery.stop()
    assert work.done()
    counts = await office.database.run(outbox.pending)
    assert (counts["sent"], counts["ambiguous"]) == (2, 1)
    assert counts.get("queued", 0) + counts.get("waiting", 0) == 17


async def test_a_full_disk_after_the_send_is_made_good_without_a_second_copy(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = await office.put()
    real = outbox.mark_sent

    def full(*_arguments: object) -> bool:
        raise DiskFull("The disk is full.")

    monkeypatch.setattr(outbox, "mark_sent", full)
    with pytest.raises(DiskFull):
        await office.delivery.drain()
    with pytest.raises(DiskFull):
        await office.delivery.drain()
    monkeypatch.setattr(outbox, "mark_sent", real)
    assert await office.delivery.drain() == DrainReport()
    assert ((await office.row(row))["status"], office.texts()) == ("sent", ["fired"])


async def test_a_full_disk_at_the_claim_sends_nothing(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.put()

    def full(*_arguments: object, **_named: object) -> list[Any]:
        raise DiskFull("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "claim", full)
        with pytest.raises(DiskFull):
            await office.delivery.drain()
    assert office.api.calls("sendMessage") == []
    assert (await office.delivery.drain()).sent == 1


async def test_two_drains_at_once_send_each_message_once(office: Office) -> None:
    for n in range(10):
        await office.put(f"alert {n}")
    reports = await asyncio.gather(office.delivery.drain(), office.delivery.drain())
    assert sorted(report.sent for report in reports) == [0, 10]
    assert len(office.texts()) == 10


def test_each_doubt_has_a_sentence() -> None:
    assert set(sender.DOUBTS.values()) == {DOWN, SICK, REFUSED}


async def test_restarts_do_not_hasten_the_giving_up(office: Office) -> None:
    row = await office.put(chat_id=YOU)
    office.api.fail("sendMessage", drop(), chat_id=YOU, times=99)
    for _ in range(15):
        await office.fresh().drain()
    assert (await office.row(row))["status"] == "ambiguous"
    office.later(hours=24)
    await office.fresh().drain()
    assert (await office.row(row))["status"] == "dead"


async def test_a_notice_to_a_stranger_who_cannot_be_written_to_is_tried_once(office: Office) -> None:
    row = await office.put("hello", chat_id=777, kind="notice")
    assert await office.delivery.drain() == DrainReport(dead=1)
    assert (await office.row(row))["reason"] == "Chat not found"
    assert len(office.api.calls("sendMessage")) == 1


async def test_a_token_refused_for_sending_alone_is_not_tried_again_at_once(office: Office) -> None:
    await office.put()
    office.api.fail("sendMessage", refusal(401, "Unauthorized"), times=3)
    assert await office.delivery.drain() == DrainReport(waiting=1)
    assert len(office.api.calls("sendMessage")) == 1
