"""Sends whose outcome is unknown, through the real client to the fake Bot API."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest

from bot.delivery import send
from bot.delivery.outcome import DrainReport
from storage import outbox
from storage.database import DiskFull
from tests.delivery.office import DOWN, ME, OWNER, YOU, Office
from tests.fakes.botapi_faults import Fault, bad_gateway, drop, flood, garbled, hang, server_error
from tests.jobs.desk import full_disk

# The outcome is unknown

UNKNOWN = [
    hang(), hang(acts=True), drop(), drop(acts=True), server_error(), server_error(acts=True),
    bad_gateway(), garbled(),
]  # fmt: skip


@pytest.mark.parametrize("fault", UNKNOWN, ids=repr)
async def test_an_alert_in_doubt_is_repeated_once_getme_answers(office: Office, fault: Fault) -> None:
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


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread")], ids=repr)
async def test_a_lack_of_memory_ends_no_alert(
    office: Office, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    await office.put()

    async def failing(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(send, "post", failing)
        assert (await office.delivery.drain()).dead == 0
    office.later(minutes=1)
    assert (await office.delivery.drain()).sent == 1
    assert office.texts() == ["possible repeat\nfired"]


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


async def test_repeats_rest_longer_each_time_and_end_after_a_day_with_a_notice(office: Office) -> None:
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
    (notice,) = office.texts(OWNER)
    assert notice.startswith("A message to chat 43 was given up: httpx.RemoteProtocolError: Server disconnected")


async def test_an_old_message_is_not_given_up_at_its_first_unknown_outcome(office: Office) -> None:
    row = await office.put()
    office.later(days=30)
    office.api.fail("sendMessage", server_error())
    await office.delivery.drain()
    assert (await office.row(row))["status"] == "waiting"


LINES = "\n".join(f"line {n}" for n in range(900))  # two messages


async def test_parts_that_arrived_are_not_sent_again_even_by_the_next_process(office: Office) -> None:
    await office.put(LINES)
    office.api.fail("sendMessage", drop(), after=1)
    assert (await office.delivery.drain()).ambiguous == 1
    office.later(seconds=30)
    assert (await office.fresh().drain()).sent == 1
    first, last = office.texts()
    assert last.startswith("possible repeat\nline")
    assert (first + last).count("line") == 900


@pytest.mark.parametrize("arrives", [False, True])
async def test_a_death_between_parts_repeats_the_one_in_doubt_alone(office: Office, arrives: bool) -> None:
    await office.put(LINES)
    office.api.fail("sendMessage", hang(acts=arrives), after=1)
    cut_off = asyncio.create_task(office.delivery.drain())
    await office.api.until(lambda: len(office.api.calls("sendMessage")) == 2 or None)
    after = office.fresh()
    assert await after.recover() == 1
    assert await after.drain() == DrainReport(sent=1)
    cut_off.cancel()
    await asyncio.gather(cut_off, return_exceptions=True)
    first, *last = office.texts()
    assert first.splitlines()[0] == "line 0"
    assert last[arrives:] == [f"possible repeat\n{text}" for text in last[:arrives] or [_rest(first)]]


def _rest(first: str) -> str:
    return LINES.removeprefix(first).strip()


async def test_a_disk_full_midway_repeats_none(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    row = await office.put(LINES)
    real = outbox.note_progress

    def full_once(*_: object) -> None:
        monkeypatch.setattr(outbox, "note_progress", real)
        full_disk()

    monkeypatch.setattr(outbox, "note_progress", full_once)
    with pytest.raises(DiskFull):
        await office.delivery.drain()
    assert await office.delivery.drain() == DrainReport(sent=1)
    assert "\n".join(office.texts()) == LINES
    assert (await office.row(row))["status"] == "sent"


async def test_a_repeat_does_not_wait_behind_a_long_queue(office: Office) -> None:
    """An alert in doubt goes again while the queue of summaries is worked off, half a minute later."""
    office.one_clock = True
    await office.put("alert")
    for number in range(60):
        await office.put(f"summary {number}", kind="summary", chat_id=YOU)
    office.api.fail("sendMessage", drop(), chat_id=ME)
    assert await office.delivery.drain() == DrainReport(sent=61)
    order = [call.fields["text"] for call in office.api.calls("sendMessage") if call.status == 200]
    assert 20 < order.index("<i>possible repeat</i>\nalert") < 45


async def test_a_summary_halted_between_its_parts_goes_on_after_them(office: Office) -> None:
    await office.put(LINES, kind="summary")
    office.api.fail("sendMessage", flood(30), after=1)
    assert await office.delivery.drain() == DrainReport(waiting=1)
    office.later(seconds=30)
    assert await office.fresh().drain() == DrainReport(sent=1)
    assert "\n".join(office.texts()) == LINES


async def test_restarts_do_not_hasten_the_giving_up(office: Office) -> None:
    row = await office.put(chat_id=YOU)
    office.api.fail("sendMessage", drop(), chat_id=YOU, times=99)
    for _ in range(15):
        await office.fresh().drain()
        office.later(seconds=30)
    assert (await office.row(row))["unknown"] == 15
    assert (await office.row(row))["status"] == "waiting"
    office.later(hours=24)
    await office.fresh().drain()
    assert (await office.row(row))["status"] == "dead"


async def test_what_was_queued_by_a_clock_that_was_ahead_is_given_up_all_the_same(office: Office) -> None:
    office.later(days=3650)
    row = await office.put(chat_id=YOU)
    office.later(days=-3650)
    await office.delivery.recover()
    office.api.fail("sendMessage", drop(), chat_id=YOU, times=99)
    for _ in range(14):
        await office.fresh().drain()
        office.later(seconds=30)
    assert (await office.row(row))["status"] == "dead"
