"""A long queue drained by the real Delivery in simulated time, and what the limits would have allowed."""

import asyncio
import heapq
import random
import tempfile
from collections import defaultdict, deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import sqlite_utils
from telegram.ext import ExtBot

from bot.delivery.drain import Delivery
from bot.delivery.rate_limiter import Budget, SendBudget, SlidingWindow
from storage import chat_store, outbox
from storage.database import Database, open_database
from tests.budget.loop import simulate
from tests.budget.telegram import Sent, Telegram, draws
from tests.storage.messages import queue_message

START = datetime(2020, 12, 11, 21, 20, tzinfo=UTC)
TOKEN = "1:" + "A" * 35
ALLOWED = 30  # messages a second to all chats together
REPLY_EVERY, ALERT_EVERY = 7.0, 11.0  # seconds between those who ask, and alerts that come late
STRANGERS = 10_000  # ids from here on: chats that ask, or get the late alerts, each once
SHARE_OF_SUMMARIES = 0.95
REPLY_WAITS, ALERT_WAITS = (1.5, 3.0)  # seconds, of the last reply and the median alert; the queue takes minutes


@dataclass(frozen=True)
class Load:
    """What is queued: so many messages to each of so many chats."""

    private: int = 300
    each_person: int = 25
    groups: int = 50
    each_group: int = 50

    @property
    def chats(self) -> dict[int, int]:
        """Messages by chat; groups have ids below zero."""
        people = dict.fromkeys(range(1, self.private + 1), self.each_person)
        return {**people, **{-number: self.each_group for number in range(1, self.groups + 1)}}


@dataclass(frozen=True)
class Outcome:
    """What came of it: every request, the seconds that the queue took, and what was asked meanwhile."""

    load: Load
    share: float
    sent: list[Sent]
    seconds: float
    wishes: dict[int, float]  # instant of each reply's wish and each late alert's queueing, by chat
    received: int  # messages of the queue, late alerts among them

    def ideal(self) -> float:
        """Seconds that a sender would take which sees the whole queue and has no limit of its own.

        The same limits (30 a second), the same answers to requests of the same number, as late; it
        sends whatever may go at once, first to the chat that needs the longest.
        """
        budget, now, draw = Budget(SlidingWindow(ALLOWED, 1.0)), 0.0, draws(self.share)
        left = {**self.load.chats, **dict.fromkeys(self.wishes, 1)}
        answers: list[tuple[float, int, int]] = []
        while left or answers:
            while answers and answers[0][0] <= now:
                at, chat, wait = heapq.heappop(answers)
                if wait:
                    budget.halt_after_429(chat, wait, at)
                    left[chat] = left.get(chat, 0) + 1
            for chat in sorted(left, key=lambda c: -left[c] * (3 if c < 0 else 1)):
                while chat in left and self._ready(budget, chat, now) <= now:
                    budget.record(chat, now)
                    wait, latency = next(draw)
                    heapq.heappush(answers, (now + latency, chat, wait))
                    left[chat] -= 1
                    if not left[chat]:
                        del left[chat]
                if budget.overall.ready_at(now) > now:
                    break
            following = [self._ready(budget, chat, now) for chat in left] + [at for at, _, _ in answers[:1]]
            now = min(following, default=now)
        return now

    def _ready(self, budget: Budget, chat: int, now: float) -> float:
        return max(budget.ready_at(chat, now), budget.overall.ready_at(now), self.wishes.get(chat, 0.0))

    def missing(self) -> int:
        """Messages of the queue, late alerts among them, that did not come."""
        late = sum(chat < 2 * STRANGERS for chat in self.wishes)
        return sum(self.load.chats.values()) + late - self.received

    def overtakes(self) -> bool:
        """Whether replies and alerts went before the summaries queued long before them: in seconds."""
        replies, late = self.waited("reply"), self.waited("late")
        return replies[-1] < REPLY_WAITS and late[len(late) // 2] < ALERT_WAITS

    def busiest(self) -> tuple[int, int]:
        """Most requests in any second, and most to one group in any minute."""
        everyone = [request.at for request in self.sent]
        groups = [times for chat, times in self._by_chat().items() if chat < 0]
        return _most(everyone, 1.0), max(_most(times, 60.0) for times in groups)

    def over_a_second(self) -> int:
        """Requests that came to a chat sooner than a burst of three and one a second allow."""
        count = 0
        for times in self._by_chat().values():
            full = float("-inf")
            for at in times:
                count += full - 2.0 > at + 1e-6
                full = max(full, at) + 1.0
        return count

    def in_halts(self) -> int:
        """Requests that came within a halt of their chat, or of all chats."""
        count, halts = 0, [request for request in self.sent if request.wait]
        halted: dict[int, float] = defaultdict(float)
        events = [(request.answered, False, request) for request in halts] + [
            (request.at, True, request) for request in self.sent
        ]
        for at, comes, request in sorted(events, key=lambda event: event[:2]):
            if comes:
                count += at < max(halted[request.chat], halted[0]) - 1e-6
                continue
            if any(until > at for chat, until in halted.items() if chat not in (0, request.chat)):
                halted[0] = max(halted[0], at + request.wait)
            halted[request.chat] = max(halted[request.chat], at + request.wait)
        return count

    def halts(self) -> list[tuple[float, float]]:
        """Stretches in which nothing might be sent to anybody, in order and apart."""
        stretches: list[tuple[float, float]] = []
        until: dict[int, float] = {}
        for request in sorted((request for request in self.sent if request.wait), key=lambda request: request.answered):
            began, end = request.answered, request.answered + request.wait
            if any(at > began for chat, at in until.items() if chat != request.chat):
                if stretches and stretches[-1][1] >= began:
                    began, end = stretches[-1][0], max(stretches.pop()[1], end)
                stretches.append((began, end))
            until[request.chat] = max(request.answered + request.wait, until.get(request.chat, 0.0))
        return stretches

    def waited(self, kind: str) -> list[float]:
        """Sorted seconds between the wish and the first request, halts of all chats not counted."""
        first: dict[int, float] = {}
        for request in self.sent:
            if request.kind == kind and request.chat in self.wishes:
                first[request.chat] = min(request.at, first.get(request.chat, request.at))
        halts = self.halts()
        return sorted(
            at - wishes - sum(max(min(end, at) - max(began, wishes), 0.0) for began, end in halts)
            for chat, at in first.items()
            for wishes in (self.wishes[chat],)
        )

    def _by_chat(self) -> dict[int, list[float]]:
        instants: dict[int, list[float]] = defaultdict(list)
        for request in sorted(self.sent, key=lambda request: request.at):
            instants[request.chat].append(request.at)
        return instants


def _most(times: list[float], seconds: float) -> int:
    """Most of the instants in any stretch shorter than so many seconds."""
    recent: deque[float] = deque()
    most = 0
    for at in sorted(times):
        recent.append(at)
        while recent[0] <= at - seconds + 1e-6:
            recent.popleft()
        most = max(most, len(recent))
    return most


def run(load: Load, share: float) -> Outcome:
    """Queue, drain, and count; `share` of the requests is answered 429."""
    with tempfile.TemporaryDirectory(prefix="budget-") as folder, open_database(Path(folder) / "bot.db") as db:
        return simulate(_drain(db, load, share))


async def _drain(database: Database, load: Load, share: float) -> Outcome:
    loop, telegram = asyncio.get_running_loop(), Telegram(share)
    limiter = SendBudget(monotonic=loop.time)
    wishes: dict[int, float] = {}
    await database.run(partial(_fill, load=load))
    async with ExtBot(TOKEN, request=telegram, get_updates_request=telegram, rate_limiter=limiter) as bot:
        delivery = Delivery(bot, database, now=lambda: START + timedelta(seconds=loop.time()))
        sending = asyncio.create_task(delivery.keep_sending(_raise))
        helpers = [asyncio.create_task(_ask(bot, wishes)), asyncio.create_task(_queue_late(delivery, database, wishes))]
        while (await database.run(outbox.count_by_status)).keys() - {"sent", "dead"}:  # noqa: ASYNC110 - a poll
            await asyncio.sleep(1.0)
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
        await delivery.stop()
        await sending
    seconds = max(request.answered for request in telegram.sent)
    received = sum(len(texts) for chat, texts in telegram.got.items() if chat < 2 * STRANGERS)
    return Outcome(load, share, telegram.sent, seconds, wishes, received)


async def _raise(error: Exception) -> None:
    raise error


async def _ask(bot: ExtBot[Any], wishes: dict[int, float]) -> None:
    """People who ask, each in a chat of their own."""
    loop, replies = asyncio.get_running_loop(), set()
    for number in range(STRANGERS):
        await asyncio.sleep(REPLY_EVERY)
        wishes[2 * STRANGERS + number] = loop.time()
        replies.add(asyncio.create_task(bot.send_message(2 * STRANGERS + number, "reply")))


async def _queue_late(delivery: Delivery, database: Database, wishes: dict[int, float]) -> None:
    """Alerts that fire while the queue is long, each for a chat of its own."""
    loop = asyncio.get_running_loop()
    for number in range(STRANGERS, 2 * STRANGERS):
        await asyncio.sleep(ALERT_EVERY)
        wishes[number] = loop.time()
        now = START + timedelta(seconds=loop.time())
        await database.run(partial(_put, chat_id=number, kind="alert", text="late", key="0", now=now))
        delivery.wake()


def _fill(db: sqlite_utils.Database, load: Load) -> None:
    chance = random.Random(1)
    messages = [(chat, number) for chat, count in load.chats.items() for number in range(count)]
    chance.shuffle(messages)
    for chat in load.chats:
        chat_store.ensure_chat(db, chat, "private" if chat > 0 else "supergroup", "", START)
    for chat, number in messages:
        kind = "summary" if chance.random() < SHARE_OF_SUMMARIES else "alert"
        _put(db, chat, kind, f"{kind} {number}", str(number), START)


def _put(db: sqlite_utils.Database, chat_id: int, kind: str, text: str, key: str, now: datetime) -> None:
    body = outbox.MessageBody(text)
    queue_message(db, chat_id=chat_id, kind=kind, dedup=f"{kind}:{chat_id}:{key}", body=body, now=now)
