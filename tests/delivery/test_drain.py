"""Draining a real outbox through the real client to the fake Bot API."""

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
import sqlite_utils

from bot.delivery import send
from bot.delivery.drain import OVER_AFTER, OutageNotifier
from bot.delivery.outcome import DrainReport
from bot.delivery.rate_limiter import SendBudget, SlidingWindow
from storage import chat_store, outbox
from storage.database import DatabaseBroken, DatabaseBusy, DatabaseMissing, DiskFault, DiskFull, Refused
from tests.delivery.office import DOWN, ME, NOWHERE, OWNER, REFUSED, SICK, START, THIRD, YOU, Office
from tests.fakes.botapi_faults import bad_gateway, flood, hang
from tests.jobs.desk import full_disk
from tests.storage.messages import claim


async def test_a_message_goes_out_once_with_buttons_silence_and_its_id(office: Office) -> None:
    row = await office.put("<b>fired</b>", buttons=[[["Off", "off:1"]]], silent=True)
    assert await office.delivery.drain() == DrainReport(sent=1)
    (message,) = office.api.messages(ME)
    assert (message.text, message.buttons, message.silent) == ("fired", [[("Off", "off:1")]], True)
    stored = await office.row(row)
    assert (stored["status"], stored["message_id"]) == ("sent", message.message_id)
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
    parameters = [call.fields.get("reply_parameters") for call in office.api.calls("sendMessage", ME)]
    sent = [text and json.loads(text) for text in parameters]
    option = {"allow_sending_without_reply": True}
    assert sent == [None, {"message_id": answered, **option}, {"message_id": answered + 1_000, **option}]


async def test_a_long_text_comes_in_parts(office: Office) -> None:
    await office.put("\n".join(f"line {n}" for n in range(900)), buttons=[[["Off", "o"]]])
    assert (await office.delivery.drain()).sent == 1
    first, last = office.api.messages(ME)
    assert (first.text + "\n" + last.text).count("line") == 900
    assert [message.buttons for message in (first, last)] == [[], [[("Off", "o")]]]


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


# Limits


async def test_a_429_halts_its_chat_on_disk_and_uses_up_no_attempt(office: Office) -> None:
    row = await office.put("one")
    await office.put("two")
    await office.put("other", chat_id=YOU)
    office.api.fail("sendMessage", flood(30), chat_id=ME)
    assert (await office.delivery.drain()).sent == 1
    assert len(office.api.calls("sendMessage", ME)) == 1
    stored = await office.row(row)
    assert (stored["attempts"], stored["not_before"]) == (0, "2020-12-11T21:20:30Z")
    office.later(seconds=29)
    assert await office.fresh().drain() == DrainReport()
    office.later(seconds=1)
    assert await office.fresh().drain() == DrainReport(sent=2)
    assert office.texts() == ["one", "two"]


async def test_a_halt_of_our_own_budget_halts_nobody(office: Office) -> None:
    for n in range(25):
        await office.put(f"alert {n}", chat_id=-100)
    office.api.chat(-100)
    report = await office.delivery.drain()
    assert (report.sent, report.waiting) == (20, 0)
    counts = await office.database.run(partial(outbox.count_by_status, sent=True))
    assert counts == {"queued": 5, "sent": 20}
    assert await office.database.run(lambda db: outbox.current_halts(db, office.now)) == []
    assert len(office.api.calls("sendMessage")) == 20


async def test_parts_that_found_no_room_go_on_after_those_that_arrived(office: Office) -> None:
    office.api.chat(-100)
    await office.put("\n".join(f"line {n}" for n in range(8_500)), chat_id=-100)
    assert (await office.delivery.drain()).waiting == 1
    assert len(office.texts(-100)) == 20
    assert await office.database.run(lambda db: outbox.current_halts(db, office.now)) == []
    office.later(seconds=60)
    assert (await office.fresh().drain()).sent == 1
    assert "\n".join(office.texts(-100)).splitlines() == [f"line {n}" for n in range(8_500)]


# Slots and marks


async def hold_slots(office: Office) -> asyncio.Event:
    """One slot is free; the next are granted when the event is set."""
    limiter, opened = office.bot.rate_limiter, asyncio.Event()
    assert isinstance(limiter, SendBudget)
    limiter.budget.overall = SlidingWindow(1, 1.0)

    async def wait(seconds: float) -> None:
        await opened.wait()
        await office._leap(seconds)

    limiter.sleep = wait
    return opened


async def test_what_waits_for_a_slot_is_not_marked_and_stays_queued_at_the_end(office: Office) -> None:
    await hold_slots(office)
    for chat_id in (ME, YOU, THIRD):
        await office.put(chat_id=chat_id)
    draining = asyncio.create_task(office.delivery.drain())
    await office.api.until(office.texts)
    assert (await office.database.run(partial(outbox.count_by_status, sent=True)))["queued"] == 2
    await office.delivery.stop()
    assert await draining == DrainReport(sent=1)
    assert await office.database.run(partial(outbox.count_by_status, sent=True)) == {"queued": 2, "sent": 1}


async def test_a_death_while_the_next_part_waits_for_a_slot_costs_no_mark(office: Office) -> None:
    await hold_slots(office)
    row = await office.put("\n".join(f"line {n}" for n in range(900)))
    cut_off = asyncio.create_task(office.delivery.drain())
    await office.api.until(office.texts)
    while (await office.row(row))["status"] == "sending":  # its part is being recorded
        pass
    assert await office.fresh().recover() == 0
    cut_off.cancel()
    await asyncio.gather(cut_off, return_exceptions=True)
    assert await office.fresh(office.client()).drain() == DrainReport(sent=1)
    assert "\n".join(office.texts()).splitlines() == [f"line {n}" for n in range(900)]


async def test_what_is_granted_together_is_marked_together(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    marked, mark_sending = [], outbox.mark_sending

    def noted(*db: Any, **arguments: Any) -> list[outbox.OutboxMessage]:  # noqa: ANN401 - passed on
        marked.append(len(arguments["messages"]))
        return mark_sending(*db, **arguments)

    monkeypatch.setattr(outbox, "mark_sending", noted)
    for chat_id in (ME, YOU, THIRD):
        await office.put(chat_id=chat_id)
    assert await office.delivery.drain() == DrainReport(sent=3)
    assert marked == [3]


@pytest.mark.parametrize(
    ("change", "chat_id", "texts"),
    [
        (lambda db: outbox.amend(db, 2, outbox.MessageBody("amended")), YOU, ["amended"]),
        (lambda db: outbox.withdraw(db, 2), YOU, []),
        (lambda db: outbox.begin_halt(db, YOU, START + timedelta(days=1)), YOU, []),
        (lambda db: chat_store.deactivate(db, YOU, "blocked"), YOU, []),
        (lambda db: chat_store.migrate_chat(db, YOU, THIRD), THIRD, ["fired"]),
    ],
    ids=["amended", "withdrawn", "halted", "inactive", "migrated"],
)
async def test_what_changes_while_a_message_waits_for_its_slot_counts(
    office: Office, change: Callable[[sqlite_utils.Database], object], chat_id: int, texts: list[str]
) -> None:
    opened = await hold_slots(office)
    for chat in (ME, YOU):
        await office.put(chat_id=chat)
    draining = asyncio.create_task(office.delivery.drain())
    await office.api.until(office.texts)
    await office.database.run(change)
    opened.set()
    assert await draining == DrainReport(sent=1 + len(texts))
    assert office.texts(chat_id) == texts


async def test_a_drain_that_is_cancelled_while_it_marks_gives_the_message_back(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = await office.put()
    entered, opened, mark_sending = threading.Event(), threading.Event(), outbox.mark_sending

    def slow(*db: Any, **arguments: Any) -> list[outbox.OutboxMessage]:  # noqa: ANN401 - passed on
        entered.set()
        opened.wait()
        return mark_sending(*db, **arguments)

    monkeypatch.setattr(outbox, "mark_sending", slow)
    draining = asyncio.create_task(office.delivery.drain())
    await asyncio.to_thread(entered.wait)
    draining.cancel()
    await asyncio.sleep(0)
    opened.set()
    await asyncio.gather(draining, return_exceptions=True)
    assert (await office.row(row))["status"] == "sending"
    assert await office.delivery.drain() == DrainReport(sent=1)
    assert office.texts() == ["fired"]


# The process


async def test_a_crash_while_sending_repeats_the_alert_marked_and_no_summary(office: Office) -> None:
    await office.put("alert")
    await office.put("daily", kind="summary", chat_id=YOU)
    await office.database.run(lambda db: claim(db, START, 9))
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
    counts = await office.database.run(partial(outbox.count_by_status, sent=True))
    assert (counts["sent"], counts["ambiguous"]) == (2, 1)
    assert counts.get("queued", 0) + counts.get("waiting", 0) == 17


async def test_a_disk_full_after_a_send_repeats_none(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    row = await office.put()
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "mark_sent", full_disk)
        for _ in range(2):
            with pytest.raises(DiskFull):
                await office.delivery.drain()
    assert await office.delivery.drain() == DrainReport()
    assert ((await office.row(row))["status"], office.texts()) == ("sent", ["fired"])


async def test_a_full_disk_at_a_claim_sends_none(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    await office.put()

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "mark_sending", full_disk)
        with pytest.raises(DiskFull):
            await office.delivery.drain()
    assert office.api.calls("sendMessage") == []
    assert (await office.delivery.drain()).sent == 1


async def test_our_fault_in_settling_stops_no_other(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    row = await office.put()
    with monkeypatch.context() as broken:
        broken.setattr(outbox, "mark_sent", None)
        with pytest.raises(TypeError):
            await office.delivery.drain()
    await office.put("other", chat_id=YOU)
    assert await office.delivery.drain() == DrainReport(sent=1)
    assert (await office.row(row))["status"] == "sending"
    assert await office.fresh().recover() == 1


async def test_a_wait_and_a_halt_of_a_clock_that_was_ahead_end_when_it_is_put_right(office: Office) -> None:
    office.later(days=3650)
    await office.put("later")
    office.api.fail("sendMessage", flood(30), chat_id=ME)
    await office.delivery.drain()
    office.later(days=-3650)
    after = office.fresh(office.client())
    await after.recover()
    assert await after.drain() == DrainReport(sent=1)


async def test_two_drains_at_once_send_each_message_once(office: Office) -> None:
    for n in range(10):
        await office.put(f"alert {n}")
    reports = await asyncio.gather(office.delivery.drain(), office.delivery.drain())
    assert sorted(report.sent for report in reports) == [0, 10]
    assert len(office.texts()) == 10


def test_each_doubt_has_a_sentence() -> None:
    assert set(send.PAUSE_REASONS.values()) == {DOWN, SICK, REFUSED}


FULL = "The disk is full."
WAITS = "Nothing is lost: what is due waits, and the bot tries again twice a minute."
STAYS = "This does not pass by itself: stop the bot, put the newest backup back with “restore”, start it."


def outage(office: Office, owner: int | None = OWNER) -> OutageNotifier:
    return OutageNotifier(office.bot, owner, lambda: office.now)


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        *((kind, WAITS) for kind in (DiskFull, DiskFault)),
        *((kind, STAYS) for kind in (DatabaseBroken, DatabaseMissing)),
        *((kind, None) for kind in (DatabaseBusy, Refused, ZeroDivisionError)),  # left to the log
    ],
)
async def test_the_owner_is_told_at_once_what_is_wrong_and_what_to_do(
    office: Office, kind: type[Exception], advice: str | None
) -> None:
    await outage(office).notify(kind(FULL))
    assert office.texts(OWNER) == ([f"{FULL} {advice}"] if advice else [])
    assert office.texts(ME) == []


async def test_an_outage_lasts_until_ten_minutes_passed_without_a_fault(office: Office) -> None:
    faults = outage(office)
    for _ in range(60):  # two ticks a minute
        await faults.notify(DiskFull(FULL))
        office.later(seconds=30)
    assert len(office.texts(OWNER)) == 1
    office.later(seconds=OVER_AFTER.total_seconds() - 31)
    await faults.notify(DiskFull(FULL))
    assert len(office.texts(OWNER)) == 1
    office.later(seconds=OVER_AFTER.total_seconds())
    await faults.notify(DiskFull(FULL))
    assert len(office.texts(OWNER)) == 2


async def test_a_clock_put_back_begins_another_outage(office: Office) -> None:
    faults = outage(office)
    await faults.notify(DiskFull(FULL))
    office.now -= OVER_AFTER
    await faults.notify(DiskFull(FULL))
    assert len(office.texts(OWNER)) == 2


async def test_a_refused_notice_is_tried_again(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    faults = outage(office)
    office.api.fail("sendMessage", bad_gateway())
    with caplog.at_level(logging.WARNING, "bot.delivery"):
        await faults.notify(DiskFull(FULL))
    assert [record.getMessage() for record in caplog.records if record.name.startswith("bot.")] == [
        "the owner was not told that the database cannot be used: NetworkError"
    ]
    assert office.texts(OWNER) == []
    for _ in range(2):
        await faults.notify(DiskFull(FULL))
    assert office.texts(OWNER) == [f"{FULL} {WAITS}"]


async def test_without_an_owner_nobody_is_told(office: Office) -> None:
    await outage(office, owner=None).notify(DiskFull(FULL))
    assert office.api.calls("sendMessage") == []
