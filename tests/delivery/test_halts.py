"""Nothing goes to a chat that asked to wait, nothing at all when two did: not even after a restart."""

import asyncio
from typing import Any

import pytest
from telegram.error import RetryAfter
from telegram.ext import ExtBot

from bot.delivery.outcome import DrainReport, StatusWrite
from bot.delivery.rate_limiter import SendPostponed, seconds_of
from storage import outbox
from storage.database import DiskFull
from storage.outbox import OutboxMessage
from tests.delivery.office import ME, THIRD, YOU, Office
from tests.fakes.botapi_faults import flood
from tests.jobs.desk import full_disk

LONG = 300  # seconds: more than a reply waits for


async def ask(bot: ExtBot[int], chat_id: int) -> float:
    """Seconds for which a reply to the chat is held; 0 when it was sent."""
    try:
        await bot.send_message(chat_id, "reply")
    except SendPostponed as error:
        return seconds_of(error)
    return 0.0


async def meet_429(office: Office, bot: ExtBot[int], chat_id: int) -> None:
    """A reply to the chat is refused for longer than it waits."""
    office.api.fail("sendMessage", flood(LONG), chat_id=chat_id)
    with pytest.raises(RetryAfter):
        await bot.send_message(chat_id, "reply")


async def test_a_reply_keeps_to_the_halt_of_an_alert_and_an_alert_to_that_of_a_reply(office: Office) -> None:
    await office.put("alert")
    office.api.fail("sendMessage", flood(LONG), chat_id=ME)
    await office.delivery.drain()
    assert await ask(office.bot, ME) == LONG
    await meet_429(office, office.bot, YOU)
    await office.put("alert", chat_id=YOU)
    assert await office.delivery.drain() == DrainReport()
    assert [call.chat_id for call in office.api.calls("sendMessage")] == [ME, YOU]


async def test_the_next_process_keeps_to_halts_of_alerts_and_replies(office: Office) -> None:
    await office.put("alert")
    office.api.fail("sendMessage", flood(LONG), chat_id=ME)
    await office.delivery.drain()
    bot = office.client()
    await office.fresh(bot).recover()
    office.later(seconds=LONG - 100)
    assert await ask(bot, ME) == 100
    assert await ask(bot, YOU) == 0
    office.later(seconds=100)
    await meet_429(office, bot, ME)
    next_bot = office.client()
    await office.fresh(next_bot).drain()
    assert await ask(next_bot, ME) == LONG


async def test_the_next_process_keeps_to_a_halt_of_all(office: Office) -> None:
    for chat_id in (ME, YOU):
        await meet_429(office, office.bot, chat_id)
    bot = office.client()
    await office.put("alert", chat_id=THIRD)
    assert await office.fresh(bot).drain() == DrainReport()
    assert await ask(bot, THIRD) == LONG
    assert len(office.api.calls("sendMessage")) == 2


async def test_what_spends_nothing_is_not_shown_in_a_halt_either(office: Office) -> None:
    await meet_429(office, office.bot, ME)
    with pytest.raises(SendPostponed):
        await office.bot.send_chat_action(ME, "typing")
    await office.bot.send_chat_action(YOU, "typing")
    await meet_429(office, office.bot, YOU)
    with pytest.raises(SendPostponed):
        await office.bot.answer_callback_query("1")
    assert (await office.bot.get_me()).is_bot
    assert len(office.api.calls("sendChatAction")) == 1


async def test_a_429_to_what_spends_nothing_halts_the_chat_too(office: Office) -> None:
    office.api.fail("sendChatAction", flood(LONG))
    with pytest.raises(RetryAfter):
        await office.bot.send_chat_action(ME, "typing")
    await office.put("alert")
    assert await office.delivery.drain() == DrainReport()
    assert await ask(office.bot, ME) == LONG
    assert await ask(office.bot, YOU) == 0
    bot = office.client()
    await office.fresh(bot).recover()
    assert await ask(bot, ME) == LONG


async def test_a_second_chats_429_halts_all_though_another_process_met_the_first(office: Office) -> None:
    await meet_429(office, office.bot, ME)
    bot = office.client()
    await office.fresh(bot).recover()
    await meet_429(office, bot, YOU)
    assert await ask(bot, THIRD) == LONG


async def test_a_halt_that_cannot_be_written_is_kept_in_memory(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox, "begin_halt", full_disk)
    office.api.fail("sendMessage", flood(5), chat_id=ME)
    assert await ask(office.bot, ME) == 0
    assert office._seconds == 5
    assert f"the halt of chat {ME} is kept in memory only: The disk is full." in caplog.text


# Sending by itself


async def test_what_is_queued_meanwhile_goes_when_the_delivery_is_woken(office: Office) -> None:
    failures: list[Exception] = []

    async def failed(error: Exception) -> None:
        failures.append(error)

    sending = asyncio.create_task(office.delivery.keep_sending(failed))
    for number in range(3):
        await office.put(f"alert {number}")
        office.delivery.wake()
        await office.api.wait_for_message(lambda m, n=number: m.text == f"alert {n}")  # type: ignore[misc]
    await office.delivery.stop()
    await sending
    assert failures == []


async def test_a_fault_is_told_and_sending_goes_on(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = asyncio.Queue[Exception]()
    await office.put()
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "mark_sending", full_disk)
        sending = asyncio.create_task(office.delivery.keep_sending(failed.put))
        assert isinstance(await failed.get(), DiskFull)
    office.delivery.wake()
    await office.api.wait_for_message(lambda m: m.text == "fired")
    await office.delivery.stop()
    await sending


async def test_a_delivery_stopped_in_work_ends(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    stops: list[asyncio.Task[None]] = []
    send_part = office.delivery._sender.send_part

    async def stopped_meanwhile(row: OutboxMessage, *how: Any) -> tuple[StatusWrite, bool]:  # noqa: ANN401 - passed on
        stops.append(asyncio.create_task(office.delivery.stop()))
        return await send_part(row, *how)

    monkeypatch.setattr(office.delivery._sender, "send_part", stopped_meanwhile)
    await office.put()
    async with asyncio.timeout(10):  # it would look again after half a minute
        await office.delivery.keep_sending(asyncio.Queue[Exception]().put)
    await stops[0]
    assert office.texts() == ["fired"]
