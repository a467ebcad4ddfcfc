"""Fetching updates: once each, confirmed at the end, through every fault of the way there."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from bot.chat.updates import CONFLICT, Poller
from tests.chat.talk import ME
from tests.fakes.botapi_faults import bad_gateway, drop, flood, hang, refusal

if TYPE_CHECKING:
    import pytest

    from tests.chat.talk import Talk


class Polling:
    """A poller on the fake Bot API whose rests take no time."""

    def __init__(self, talk: Talk) -> None:
        self.rests: list[float] = []
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.poller = Poller(talk.bot.application.bot, self.queue, self._rest)

    async def _rest(self, seconds: float) -> None:
        self.rests.append(seconds)
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
    asked = talk.api.calls("getUpdates")[0].fields["allowed_updates"]
    assert asked == '["message", "callback_query", "inline_query", "my_chat_member"]'


async def test_an_update_that_cannot_be_read_costs_only_itself(
    talk: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    talk.api.say(ME, "Which?")
    talk.api.updates[0]["message"]["poll"] = {"id": "1", "question": "Which?"}
    talk.api.say(ME, "/about")
    polling = Polling(talk)
    assert [await polling.one() for _ in range(2)] == [
        talk.api.last_update_id - 1,
        talk.api.last_update_id,
    ]
    assert polling.rests == []
    (record,) = caplog.records
    assert record.getMessage() == (
        f"update {talk.api.last_update_id - 1} cannot be read and is left out (TypeError)"
    )


async def test_nothing_fetched_is_nothing_to_confirm(talk: Talk) -> None:
    await Polling(talk).poller.confirm_updates()
    assert talk.api.calls("getUpdates") == []


async def test_an_end_without_telegram_does_not_wait(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    polling = Polling(talk)
    talk.api.say(ME, "/about")
    await polling.one()
    talk.api.fail("getUpdates", hang())
    monkeypatch.setattr("bot.chat.updates.CONFIRM_SECONDS", 0.05)
    asked = len(talk.api.calls("getUpdates"))
    async with asyncio.timeout(10):  # less than the request itself would wait
        await polling.poller.confirm_updates()
    assert len(talk.api.calls("getUpdates")) == asked + 1


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


async def test_a_flood_limit_is_waited_for(talk: Talk) -> None:
    polling = Polling(talk)
    talk.api.fail("getUpdates", flood(7))
    talk.api.say(ME, "/about")
    await polling.one()
    assert polling.rests == [7]


async def test_another_poller_ends_this_one(talk: Talk) -> None:
    talk.api.fail("getUpdates", refusal(409, "Conflict: terminated by other getUpdates request"))
    async with asyncio.timeout(5):
        assert await Polling(talk).poller.run() == CONFLICT


async def test_a_webhook_left_behind_is_removed(talk: Talk) -> None:
    talk.api.fail(
        "getUpdates",
        refusal(
            409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook first"
        ),
    )
    talk.api.say(ME, "/about")
    await Polling(talk).one()
    assert len(talk.api.calls("deleteWebhook")) == 1
