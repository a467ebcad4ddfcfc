"""The send budget, in simulated time."""

import asyncio
import heapq
import itertools
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telegram.error import BadRequest, RetryAfter

from bot.delivery.rate_limiter import (
    ALERT,
    REPLY,
    SUMMARY,
    Budget,
    LeakyBucket,
    SendBudget,
    SendPostponed,
    SlidingWindow,
    Slot,
    seconds_of,
)
from tests.fakes.botapi import FakeBotApi
from tests.fakes.botapi_faults import flood

GROUP = -100


class SimulatedTime:
    """A clock that jumps to the next sleeper once everything else has come to rest."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._serial = itertools.count()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        waking = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._serial), waking))
        await waking

    async def until_done(self, *work: Awaitable[Any]) -> list[Any]:
        tasks = [asyncio.ensure_future(request) for request in work]
        while not all(task.done() for task in tasks):
            await self.rest()
            if not all(task.done() for task in tasks):
                self.jump()
        return await asyncio.gather(*tasks, return_exceptions=True)

    async def rest(self) -> None:
        for _ in range(30):
            await asyncio.sleep(0)

    def jump(self) -> None:
        while True:
            at, _, waking = heapq.heappop(self._sleepers)
            if not waking.done():
                self.now = max(self.now, at)
                waking.set_result(None)
                return


class Desk:
    """Sends through a SendBudget and notes what went when; `answers` are raised in turn."""

    def __init__(self) -> None:
        self.time = SimulatedTime()
        self.limiter = SendBudget(monotonic=self.time, sleep=self.time.sleep)
        self.sent: list[tuple[float, Any]] = []
        self.answers: list[Exception] = []

    def send(
        self, chat: int | str, label: object = "x", *, priority: int | Slot | None = None, endpoint: str = "sendMessage"
    ) -> Awaitable[Any]:
        async def request() -> bool:
            self.sent.append((self.time.now - 1000, label))
            if self.answers:
                raise self.answers.pop(0)
            return True

        return self.limiter.process_request(request, (), {}, endpoint, {"chat_id": chat}, priority)

    @property
    def times(self) -> list[float]:
        return [round(at, 2) for at, _ in self.sent]

    @property
    def order(self) -> list[object]:
        return [label for _, label in self.sent]


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_chat_gets_three_at_once_and_then_one_a_second(desk: Desk) -> None:
    await desk.time.until_done(*(desk.send(1) for _ in range(6)))
    assert desk.times == [0, 0, 0, 1, 2, 3]


@pytest.mark.parametrize("name", [GROUP, str(GROUP), "@channel"])
async def test_a_group_is_known_by_its_sign_or_name_and_gets_at_most_twenty_in_any_minute(
    desk: Desk, name: int | str
) -> None:
    await desk.time.until_done(*(desk.send(name) for _ in range(22)))
    assert desk.times[:4] == [0, 0, 0, 1]
    assert desk.times[19:] == [17, 60, 60]


async def test_all_chats_together_get_twenty_nine_a_second(desk: Desk) -> None:
    await desk.time.until_done(*(desk.send(chat) for chat in range(1, 61)))
    assert desk.times == [0] * 29 + [1] * 29 + [2] * 2


def test_only_chats_that_must_wait_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    budget, asked = Budget(), list[object]()
    for chat in (*range(1, 900), *[900] * 3):
        budget.record(chat, 0.0)
    budget.halt(901, 5.0)
    waits = Budget.ready_at

    def counted(self: Budget, chat: int | str, now: float) -> float:
        asked.append(chat)
        return waits(self, chat, now)

    monkeypatch.setattr(Budget, "ready_at", counted)
    assert budget.chat_waits(0.5) == {900: 0.5, 901: 4.5}
    assert sorted(asked, key=str) == [900, 901]


async def test_a_slot_counts_from_when_its_request_is_made(desk: Desk) -> None:
    desk.limiter.budget.overall = SlidingWindow(3, 1.0)
    slots = [await desk.limiter.acquire(chat, ALERT) for chat in (1, 1, GROUP)]
    desk.time.now += 0.5
    granted = [desk.send(slot.chat, "granted", priority=slot) for slot in slots]
    await desk.time.until_done(*granted, desk.send(2, "next"))
    assert desk.sent == [(0.5, "granted")] * 3 + [(1.5, "next")]


async def test_a_slot_is_worth_nothing_in_a_halt_that_came_later(desk: Desk) -> None:
    slot = await desk.limiter.acquire(1, ALERT)
    desk.limiter.budget.halt(1, desk.time.now + 9)
    (result,) = await desk.time.until_done(desk.send(1, priority=slot))
    assert isinstance(result, SendPostponed)
    assert desk.sent == []


async def test_replies_go_before_alerts_before_summaries(desk: Desk) -> None:
    full = [desk.send(chat) for chat in range(1, 30)]
    late = [
        desk.send(101, "summary", priority=SUMMARY),
        desk.send(102, "alert", priority=ALERT),
        desk.send(103, "alert 2", priority=ALERT),
        desk.send(104, "reply"),
    ]
    await desk.time.until_done(*full, *late)
    assert desk.order[29:] == ["reply", "alert", "alert 2", "summary"]


async def test_a_chat_without_room_does_not_hold_up_others(desk: Desk) -> None:
    slow = [desk.send(1, "slow", priority=ALERT) for _ in range(4)]
    await desk.time.until_done(*slow, desk.send(2, "other", priority=SUMMARY))
    assert desk.order == ["slow", "slow", "slow", "other", "slow"]


async def test_a_newcomer_due_sooner_wakes_the_sleeping_limiter(desk: Desk) -> None:
    slow = asyncio.gather(*(desk.send(GROUP) for _ in range(21)))
    while len(desk.sent) < 20:
        await desk.time.rest()
        if len(desk.sent) < 20:
            desk.time.jump()
    await desk.time.until_done(*(desk.send(1) for _ in range(4)))
    assert desk.times[20:] == [17, 17, 17, 18]
    await desk.time.until_done(slow)


@pytest.mark.parametrize("endpoint", ["getMe", "answerCallbackQuery", "sendChatAction", "getChatMember"])
async def test_what_is_no_message_neither_waits_nor_spends(desk: Desk, endpoint: str) -> None:
    await desk.time.until_done(*(desk.send(1, endpoint=endpoint) for _ in range(50)))
    await desk.time.until_done(desk.send(1))
    assert desk.times == [0] * 51


async def test_an_edit_spends_like_a_message(desk: Desk) -> None:
    await desk.time.until_done(*(desk.send(1, endpoint="editMessageText") for _ in range(4)))
    assert desk.times == [0, 0, 0, 1]


async def test_a_reply_gives_up_after_three_tries(desk: Desk) -> None:
    desk.answers = [RetryAfter(timedelta(seconds=5))] * 3
    (result,) = await desk.time.until_done(desk.send(1))
    assert isinstance(result, RetryAfter)
    assert desk.times == [0, 5, 10]


async def test_a_reply_does_not_wait_for_a_far_end_of_a_halt(desk: Desk) -> None:
    desk.answers = [RetryAfter(timedelta(seconds=300))]
    (result,) = await desk.time.until_done(desk.send(1))
    assert isinstance(result, SendPostponed)
    assert seconds_of(result) == 300
    assert desk.times == [0]


async def test_a_second_429_after_the_halt_concerns_its_chat_alone(desk: Desk) -> None:
    desk.answers = [RetryAfter(timedelta(seconds=5)), RetryAfter(timedelta(seconds=20))]
    await desk.time.until_done(desk.send(1, priority=ALERT))
    desk.time.now += 5
    await desk.time.until_done(desk.send(2, priority=ALERT))
    assert await desk.time.until_done(desk.send(3, priority=ALERT)) == [True]


async def test_a_push_beyond_its_patience_goes_back_a_patient_one_waits(desk: Desk) -> None:
    results = await desk.time.until_done(*(desk.send(1, n, priority=ALERT) for n in range(8)))
    assert [type(result) for result in results] == [bool] * 6 + [SendPostponed] * 2
    assert desk.times == [0, 0, 0, 1, 2, 3]


async def test_a_push_that_waits_long_only_for_the_overall_limit_is_sent(desk: Desk) -> None:
    replies = [desk.send(chat) for chat in range(1, 29 * 5 + 1)]
    results = await desk.time.until_done(*replies, desk.send(900, "late", priority=SUMMARY))
    assert results[-1] is True
    assert desk.sent[-1] == (5, "late")


async def test_other_errors_pass_and_halt_nothing(desk: Desk) -> None:
    desk.answers = [BadRequest("Chat not found")]
    (result,) = await desk.time.until_done(desk.send(1))
    assert isinstance(result, BadRequest)
    assert await desk.time.until_done(desk.send(1)) == [True]


async def test_a_cancelled_wait_frees_its_place(desk: Desk) -> None:
    await desk.time.until_done(*(desk.send(1) for _ in range(3)))
    waiting = asyncio.ensure_future(desk.send(1, "gone"))
    await desk.time.rest()
    waiting.cancel()
    await desk.time.until_done(desk.send(1, "next"))
    assert desk.order[3:] == ["next"]
    assert desk.times[3] == 1


async def test_shutdown_cancels_what_waits(desk: Desk) -> None:
    waiting = asyncio.gather(*(desk.send(1) for _ in range(4)), return_exceptions=True)
    await desk.time.rest()
    await desk.limiter.shutdown()
    assert isinstance((await waiting)[3], asyncio.CancelledError)


async def test_the_real_client_passes_priorities_and_waits_out_a_429() -> None:
    now = [0.0]

    async def leap(seconds: float) -> None:
        now[0] += seconds

    limiter = SendBudget(monotonic=lambda: now[0], sleep=leap)
    async with FakeBotApi() as api:
        api.chat(1)
        api.fail("sendMessage", flood(9), times=2)
        async with api.client(limiter=limiter) as bot:
            with pytest.raises(RetryAfter):
                await bot.send_message(1, "alert", rate_limit_args=ALERT)
            assert (await bot.send_message(1, "reply", rate_limit_args=REPLY)).text == "reply"
    assert now[0] == 18


gaps = st.lists(st.floats(0, 5, allow_nan=False), max_size=80)


@given(gaps)
def test_no_window_ever_holds_more_than_its_count(pauses: list[float]) -> None:
    window, now, taken = SlidingWindow(5, 7.0), 0.0, []
    for pause in pauses:
        now = window.ready_at(now + pause)
        window.record(now)
        taken.append(now)
    assert all(late - early >= 7.0 - 1e-9 for early, late in zip(taken, taken[5:], strict=False))


@given(gaps)
def test_no_stretch_ever_holds_more_than_the_burst_and_the_rate(pauses: list[float]) -> None:
    rate, now, taken = LeakyBucket(2.0, 3), 0.0, []
    for pause in pauses:
        now = rate.ready_at(now + pause / 4)
        rate.record(now)
        taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= 3 + 2.0 * (taken[last] - taken[first]) + 1e-6


def test_idle_chats_are_forgotten() -> None:
    budget = Budget()
    for n in range(5000):
        budget.record(n - 2500, now=n * 10.0)
    assert len(budget._chats) <= 1025
    assert len(budget._groups) <= 1025
